#include <stdlib.h>
#include <string.h>

#include "policy/document.h"

static bool is_same(const struct subject *a, const struct subject *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static bool names_subject(const struct rule *rule, const struct subject *subject)
{
    return is_same(&rule->from, subject) || is_same(&rule->to, subject);
}

static uint32_t count_naming(const struct rule_set *all, const struct subject *subject)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        count += names_subject(&all->rules[i], subject);
    return count;
}

/* False: no memory; the set holds what was copied so far. */
static bool copy_rule(struct rule_set *set, const struct rule *rule)
{
    struct rule copy = *rule;
    size_t size = rule->grant_count * sizeof(*rule->grants);
    copy.grants = NULL;
    if (size > 0) {
        copy.grants = malloc(size);
        if (!copy.grants)
            return false;
        memcpy(copy.grants, rule->grants, size);
    }
    set->rules[set->count++] = copy;
    return true;
}

static bool copy_naming(struct rule_set *set, const struct rule_set *all, const struct subject *subject)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (names_subject(&all->rules[i], subject) && !copy_rule(set, &all->rules[i]))
            return false;
    return true;
}

struct rule_set *policy_of_subject(const struct rule_set *all, const struct subject *subject, int *error)
{
    uint32_t count = count_naming(all, subject);
    *error = 0;
    if (count == 0)
        return NULL;
    struct rule_set *set = calloc(1, sizeof(*set));
    if (set)
        set->rules = calloc(count, sizeof(*set->rules));
    if (set && set->rules && copy_naming(set, all, subject))
        return set;
    rule_set_free(set);
    *error = ERROR_MEMORY;
    return NULL;
}

/* The least one above `floor` (NULL: of all). False: there is none. */
static bool least_above(const struct rule_set *all, const struct subject *floor, struct subject *out)
{
    const struct subject *best = NULL;
    for (uint32_t i = 0; i < 2 * all->count; i++) {
        const struct rule *rule = &all->rules[i / 2];
        const struct subject *s = i % 2 ? &rule->to : &rule->from;
        if ((!floor || memcmp(s, floor, sizeof(*s)) > 0) && (!best || memcmp(s, best, sizeof(*s)) < 0))
            best = s;
    }
    if (best)
        *out = *best;
    return best;
}

uint32_t policy_subjects(const struct rule_set *all, struct subject *out, uint32_t max)
{
    struct subject last;
    uint32_t count = 0;
    while (least_above(all, count > 0 ? &last : NULL, &last)) {
        if (count < max)
            out[count] = last;
        count++;
    }
    return count;
}
