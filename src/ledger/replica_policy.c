/* Which rules are in force here. A node knows from the fold which openings it must hold; until it has them all it stays
 * on its last complete version. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

static int compare(const void *a, const void *b)
{
    const struct subject_rules *x = a, *y = b;
    return memcmp(x->subject.bytes, y->subject.bytes, SUBJECT_SIZE);
}

static struct subject_rules *find(const struct policy_in_force *p, const struct subject *subject)
{
    struct subject_rules key = {.subject = *subject};
    return p->count ? bsearch(&key, p->subjects, p->count, sizeof(key), compare) : NULL;
}

void replica_policy_clear(struct policy_in_force *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        rule_set_free(p->subjects[i].set);
    free(p->subjects);
    *p = (struct policy_in_force){0};
}

static void add_wanted(struct policy_in_force *p, const struct subject *subject, const uint8_t *commitment)
{
    struct subject_rules *rules = &p->subjects[p->count++];
    *rules = (struct subject_rules){.subject = *subject};
    memcpy(rules->commitment, commitment, SHA256_SIZE);
}

/* All subjects for those who are entitled to everything, else those that we are. */
static int list_wanted(const struct replica *r, struct policy_in_force *out)
{
    uint32_t self;
    *out = (struct policy_in_force){.version = fold_policy_version(r->fold)};
    if (!replica_self_position(r, &self) || !replica_known_is_good(&r->known[self]))
        return 0;
    const struct known *k = &r->known[self];
    uint32_t most = replica_is_full(k) ? fold_subject_count(r->fold) : k->subject_count;
    out->subjects = calloc(most + 1, sizeof(*out->subjects));
    if (!out->subjects)
        return ERROR_MEMORY;
    uint8_t commitment[SHA256_SIZE];
    struct subject subject;
    for (uint32_t i = 0; i < most; i++)
        if (replica_is_full(k) ? fold_subject_at(r->fold, i, &subject, commitment)
                               : fold_subject(r->fold, &k->subjects[i], commitment))
            add_wanted(out, replica_is_full(k) ? &subject : &k->subjects[i], commitment);
    qsort(out->subjects, out->count, sizeof(*out->subjects), compare);
    return 0;
}

/* NULL: not held, or not what it should be. */
static struct rule_set *read_rules(const struct replica *r, const struct subject_rules *rules)
{
    const struct kept_opening *kept = replica_openings_find(&r->openings, rules->commitment);
    struct opening opening;
    if (!kept || opening_decode(&opening, kept->bytes, kept->len))
        return NULL;
    struct rule_set *set = NULL;
    if (opening.kind == OPENING_RULES && memcmp(opening.rules.subject.bytes, rules->subject.bytes, SUBJECT_SIZE) == 0) {
        set = opening.rules.set;
        opening.rules.set = NULL;
    }
    opening_clear(&opening);
    return set;
}

static bool is_same(const struct subject_rules *old, const struct subject_rules *new)
{
    return old && old->set && memcmp(old->commitment, new->commitment, SHA256_SIZE) == 0;
}

/* What is not in force already is read; false: something is missing. */
static bool read_changed(const struct replica *r, struct policy_in_force *new)
{
    bool complete = true;
    for (uint32_t i = 0; i < new->count; i++) {
        struct subject_rules *rules = &new->subjects[i];
        if (is_same(find(&r->policy, &rules->subject), rules))
            continue;
        rules->set = read_rules(r, rules);
        complete = complete && rules->set;
    }
    return complete;
}

static void put_in_force(struct replica *r, struct policy_in_force *new)
{
    for (uint32_t i = 0; i < new->count; i++) {
        struct subject_rules *old = find(&r->policy, &new->subjects[i].subject);
        if (new->subjects[i].set || !old)
            continue;
        new->subjects[i].set = old->set;
        old->set = NULL;
    }
    replica_policy_clear(&r->policy);
    r->policy = *new;
}

void replica_policy_compile(struct replica *r)
{
    struct policy_in_force new;
    if (list_wanted(r, &new))
        return;
    bool complete = read_changed(r, &new);
    if (complete)
        put_in_force(r, &new);
    else
        replica_policy_clear(&new);
    replica_problem_set(r, REPLICA_PROBLEM_POLICY_INCOMPLETE, NULL, NULL, !complete && r->begun);
}

uint32_t replica_policy_sets(const struct replica *r, const struct subject *subjects, uint32_t count,
                             const struct rule_set *out[SUBJECTS_MAX])
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count && found < SUBJECTS_MAX; i++) {
        const struct subject_rules *rules = find(&r->policy, &subjects[i]);
        if (rules && rules->set)
            out[found++] = rules->set;
    }
    return found;
}

/* A rule that joins two names a subject of each: it is in the sets of either. */
bool replica_policy_joins(const struct replica *r, const struct known *a, const struct known *b)
{
    const struct rule_set *sets[SUBJECTS_MAX];
    uint32_t count = replica_policy_sets(r, a->subjects, a->subject_count, sets);
    return rules_join(sets, count, a->subjects, a->subject_count, b->subjects, b->subject_count);
}

uint64_t replica_policy_version(const struct replica *r)
{
    return r->policy.version;
}
