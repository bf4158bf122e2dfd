#include "policy_known.h"

#include <stdlib.h>
#include <string.h>

#include "policy_file.h"

bool policy_same_grants(const struct rule *a, const struct rule *b)
{
    bool same = a->grant_count == b->grant_count;
    for (uint32_t i = 0; same && i < a->grant_count; i++)
        same = a->grants[i].protocol == b->grants[i].protocol && a->grants[i].low == b->grants[i].low &&
               a->grants[i].high == b->grants[i].high;
    return same;
}

bool policy_same_rule(const struct rule *a, const struct rule *b)
{
    return policy_compare_subjects(&a->from, &b->from) == 0 && policy_compare_subjects(&a->to, &b->to) == 0 &&
           policy_same_grants(a, b);
}

static void take_rule(struct policy_known *k, const struct rule *rule, uint64_t version)
{
    uint32_t i = 0;
    while (i < k->rules.count && !policy_same_rule(&k->rules.rules[i], rule))
        i++;
    bool is_new = i == k->rules.count;
    if (i == RULES_MAX || (!is_new && k->versions[i] >= version))
        return;
    k->rules.rules[i] = *rule;
    k->versions[i] = version;
    k->rules.count += is_new;
}

static const struct opening *rules_of(const struct view *v, uint32_t i)
{
    struct subject subject;
    uint8_t commitment[SHA256_SIZE];
    const struct opening *o = fold_subject_at(v->fold, i, &subject, commitment) ? view_opening(v, commitment) : NULL;
    return o && o->kind == OPENING_RULES ? o : NULL;
}

int policy_known_read(struct policy_known *out, const struct view *v)
{
    *out = (struct policy_known){{0, calloc(RULES_MAX, sizeof(struct rule))}, calloc(RULES_MAX, sizeof(uint64_t))};
    if (!out->rules.rules || !out->versions) {
        policy_known_clear(out);
        return ERROR_MEMORY;
    }
    for (uint32_t i = 0; i < fold_subject_count(v->fold); i++) {
        const struct opening *o = rules_of(v, i);
        for (uint32_t r = 0; o && r < o->rules.set->count; r++)
            take_rule(out, &o->rules.set->rules[r], o->rules.version);
    }
    return 0;
}

void policy_known_clear(struct policy_known *k)
{
    free(k->rules.rules);
    free(k->versions);
    memset(k, 0, sizeof(*k));
}

bool policy_known_wholly(const struct view *v, const struct subject *subjects, uint32_t count)
{
    uint8_t commitment[SHA256_SIZE];
    for (uint32_t i = 0; i < count; i++)
        if (fold_subject(v->fold, &subjects[i], commitment) && !view_opening(v, commitment))
            return false;
    return true;
}

bool policy_known_all(const struct view *v)
{
    struct subject subject;
    uint8_t commitment[SHA256_SIZE];
    for (uint32_t i = 0; i < fold_subject_count(v->fold); i++)
        if (fold_subject_at(v->fold, i, &subject, commitment) && !view_opening(v, commitment))
            return false;
    return true;
}

bool policy_holds_rule(const struct rule_set *set, const struct rule *rule)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (policy_same_rule(&set->rules[i], rule))
            return true;
    return false;
}
