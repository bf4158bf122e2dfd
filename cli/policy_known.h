/* The policy in force, as far as this node holds it: each rule once. */
#ifndef CLI_POLICY_KNOWN_H
#define CLI_POLICY_KNOWN_H

#include "view.h"

/* A rule is told to both of its sides, each time that something of theirs changes: its line is that of the latest. The
 * grants stay the view's. */
struct policy_known {
    struct rule_set rules;
    uint64_t *versions; /* of the policy that each rule's line is in */
};

/* ERROR_MEMORY. policy_known_clear afterwards. */
must_check int policy_known_read(struct policy_known *out, const struct view *v);
void policy_known_clear(struct policy_known *k);

/* Whether this node holds what is in force for all of these. */
bool policy_known_wholly(const struct view *v, const struct subject *subjects, uint32_t count);
/* For everyone. */
bool policy_known_all(const struct view *v);

bool policy_same_grants(const struct rule *a, const struct rule *b);
/* The same between the same; the lines may differ. */
bool policy_same_rule(const struct rule *a, const struct rule *b);
/* Whether a rule is among these. */
bool policy_holds_rule(const struct rule_set *set, const struct rule *rule);

#endif
