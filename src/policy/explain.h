/* Why policy lets something through, or does not: for people. Pure. */
#ifndef POLICY_EXPLAIN_H
#define POLICY_EXPLAIN_H

#include "policy/rules.h"

/* One who is all of these: `all`, itself and its groups. */
struct explain_side {
    const struct subject *subjects;
    uint32_t count;
};

enum explain_answer {
    EXPLAIN_ALLOWED,     /* by `*rule` */
    EXPLAIN_CUT_OFF,     /* `*rule` would, but is among what lies beyond GRANTS_MAX */
    EXPLAIN_OTHER_PORTS, /* `*rule` joins them, but for something else */
    EXPLAIN_OTHER_WAY,   /* `*rule` lets only the other one begin this */
    EXPLAIN_NO_RULE,     /* no rule joins them; `*rule` is NULL */
};

/* Whether `from` may begin a flow to that destination port of `to` (ICMP: 0), which is what rules_grants says, and the
 * first rule, in order of writing, that says so or comes nearest. `*rule` stays the set's. */
enum explain_answer policy_explain(const struct rule_set *rules, const struct explain_side *from,
                                   const struct explain_side *to, uint8_t protocol, uint16_t port,
                                   const struct rule **rule);

#endif
