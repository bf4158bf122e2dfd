#include "policy/explain.h"

#include <string.h>

static bool is_among(const struct subject *subject, const struct explain_side *side)
{
    for (uint32_t i = 0; i < side->count; i++)
        if (memcmp(subject, &side->subjects[i], sizeof(*subject)) == 0)
            return true;
    return false;
}

struct nearest {
    const struct rule *allows, *joins, *backward;
};

/* The first of each kind. */
static void note(const struct rule **slot, const struct rule *rule)
{
    if (!*slot)
        *slot = rule;
}

static void look(struct nearest *n, const struct rule *rule, const struct explain_side *from,
                 const struct explain_side *to, uint8_t protocol, uint16_t port)
{
    bool holds = grants_hold(rule->grants, rule->grant_count, protocol, port);
    if (is_among(&rule->from, from) && is_among(&rule->to, to))
        note(holds ? &n->allows : &n->joins, rule);
    if (holds && is_among(&rule->from, to) && is_among(&rule->to, from))
        note(&n->backward, rule);
}

enum explain_answer policy_explain(const struct rule_set *rules, const struct explain_side *from,
                                   const struct explain_side *to, uint8_t protocol, uint16_t port,
                                   const struct rule **rule)
{
    struct grant grants[GRANTS_MAX];
    struct nearest n = {0};
    for (uint32_t i = 0; i < rules->count; i++)
        look(&n, &rules->rules[i], from, to, protocol, port);
    *rule = n.allows ? n.allows : n.joins ? n.joins : n.backward;
    if (n.allows) {
        uint32_t count = rules_grants(&rules, 1, from->subjects, from->count, to->subjects, to->count, grants);
        return grants_hold(grants, count, protocol, port) ? EXPLAIN_ALLOWED : EXPLAIN_CUT_OFF;
    }
    return n.joins ? EXPLAIN_OTHER_PORTS : n.backward ? EXPLAIN_OTHER_WAY : EXPLAIN_NO_RULE;
}
