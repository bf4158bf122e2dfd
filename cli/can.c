#include "can.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/document.h"
#include "values.h"

#define MQTT_PORT 1883
#define COAP_PORT 5683

/* ---- What ---- */

static const char *read_port(struct can_what *out, const char *what)
{
    uint64_t port;
    if (!number_parse(&port, what, 1, UINT16_MAX))
        return "A port is a number from 1 to 65535.";
    out->port = (uint16_t)port;
    return NULL;
}

static const char *read_topic(struct can_what *out, const char *what)
{
    (void)out;
    return *what ? NULL : "A topic or a path is not empty.";
}

static const char *read_nothing(struct can_what *out, const char *what)
{
    (void)out;
    return what ? "icmp takes nothing between it and TO." : NULL;
}

const char *can_what_read(struct can_what *out, const char *verb, const char *what)
{
    static const struct {
        const char *verb;
        struct can_what what;
        const char *(*read)(struct can_what *out, const char *what);
    } verbs[] = {
        {"tcp", {GRANT_TCP, 0, NULL}, read_port},
        {"udp", {GRANT_UDP, 0, NULL}, read_port},
        {"icmp", {GRANT_ICMP, 0, NULL}, read_nothing},
        {"publish",
         {GRANT_TCP, MQTT_PORT,
          "Rules about messages do not exist yet: whoever may connect to tcp 1883 may publish to every topic there."},
         read_topic},
        {"subscribe",
         {GRANT_TCP, MQTT_PORT,
          "Rules about messages do not exist yet: whoever may connect to tcp 1883 may subscribe to every topic there."},
         read_topic},
        {"coap",
         {GRANT_UDP, COAP_PORT,
          "Rules about messages do not exist yet: whoever may send to udp 5683 may ask for every path there."},
         read_topic},
    };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verbs[i].verb, verb) != 0)
            continue;
        *out = verbs[i].what;
        if (!what && verbs[i].read != read_nothing)
            return "Something is missing: nightjar can FROM tcp|udp|publish|subscribe|coap WHAT TO.";
        return verbs[i].read(out, what);
    }
    return "What somebody can do is one of tcp, udp, icmp, publish, subscribe and coap.";
}

/* ---- Deciding ---- */

void can_print_rule(char *out, size_t size, const struct rule *rule)
{
    struct rule copy = *rule;
    const struct rule_set one = {1, &copy};
    (void)!policy_print(&one, out, size);
    out[strcspn(out, "\n")] = 0;
}

static void __attribute__((format(printf, 3, 4)))
add_reason(struct can_answer *a, const char *code, const char *format, ...)
{
    va_list list;
    if (a->reason_count == CAN_REASONS_MAX)
        return;
    a->reasons[a->reason_count].code = code;
    va_start(list, format);
    vsnprintf(a->reasons[a->reason_count++].text, CAN_TEXT_MAX, format, list);
    va_end(list);
}

static void add_absence(struct can_answer *a, const struct can_world *world, const struct who *w)
{
    struct who_absence absence;
    if (!world->policy_only && who_is_absent(world->view, w, &absence))
        add_reason(a, absence.code, "%s %s.", w->name, absence.what);
}

static void add_rule_reason(struct can_answer *a, const struct who *from, const struct who *to,
                            enum explain_answer answer)
{
    char rule[CAN_TEXT_MAX / 2] = "";
    if (a->rule)
        can_print_rule(rule, sizeof(rule), a->rule);
    switch (answer) {
    case EXPLAIN_ALLOWED:
        break;
    case EXPLAIN_CUT_OFF:
        add_reason(a, "too-many-ports",
                   "%s would be allowed it toward %s, but by more separate ports than a node takes: %s", from->name,
                   to->name, rule);
        break;
    case EXPLAIN_OTHER_PORTS:
        add_reason(a, "other-ports", "A rule joins %s to %s, but for something else: %s", from->name, to->name, rule);
        break;
    case EXPLAIN_OTHER_WAY:
        add_reason(a, "other-way", "Only %s may begin that with %s: %s", to->name, from->name, rule);
        break;
    case EXPLAIN_NO_RULE:
        add_reason(a, "no-rule", "No rule leads from %s%s to %s%s.", from->name,
                   from->is_group ? "" : " or any of its groups", to->name, to->is_group ? "" : " or any of its");
        break;
    }
}

/* By this node's knowledge: the rules of either side are all of the rules between both. */
static bool knows_enough(const struct can_world *world, const struct who *from, const struct who *to)
{
    return world->policy_only || policy_known_wholly(world->view, from->subjects, from->count) ||
           policy_known_wholly(world->view, to->subjects, to->count);
}

static void decide_pair(struct can_answer *a, const struct can_world *world, const struct who *from,
                        const struct who *to, const struct can_what *what)
{
    *a = (struct can_answer){0};
    struct explain_side from_side = who_side(from), to_side = who_side(to);
    enum explain_answer answer =
        policy_explain(&world->policy->rules, &from_side, &to_side, what->protocol, what->port, &a->rule);
    add_absence(a, world, from);
    add_absence(a, world, to);
    if (a->rule)
        a->version = world->policy->versions[a->rule - world->policy->rules.rules];
    if (answer != EXPLAIN_ALLOWED && !knows_enough(world, from, to))
        add_reason(a, "not-known", "This node does not hold all rules of %s or of %s; an operator's node does.",
                   from->name, to->name);
    else
        add_rule_reason(a, from, to, answer);
    a->yes = answer == EXPLAIN_ALLOWED && a->reason_count == 0;
}

/* ---- Groups ---- */

/* Whether a device belongs to what was asked about: is it, or is a member that counts. */
static bool belongs(const struct can_world *world, const struct who *device, const struct who *asked)
{
    struct who_absence absence;
    if (!asked->is_group)
        return memcmp(&device->subjects[1], &asked->subjects[1], sizeof(struct subject)) == 0;
    return who_is(device, &asked->subjects[asked->count - 1]) &&
           (world->policy_only || !who_is_absent(world->view, device, &absence));
}

/* Ends at the first pair that decides. */
static bool decide_members(struct can_answer *a, const struct can_world *world, const struct who *from,
                           const struct who *to, const struct can_what *what)
{
    bool any = false;
    for (uint32_t i = 0; i < world->who->count; i++)
        for (uint32_t j = 0; belongs(world, &world->who->all[i], from) && j < world->who->count; j++) {
            if (i == j || !belongs(world, &world->who->all[j], to))
                continue;
            decide_pair(a, world, &world->who->all[i], &world->who->all[j], what);
            any = true;
            if (a->yes == world->any)
                return true;
        }
    return any;
}

void can_decide(struct can_answer *out, const struct can_world *world, const struct who *from, const struct who *to,
                const struct can_what *what)
{
    decide_pair(out, world, from, to, what);
    struct can_answer whole = *out;
    /* What is said of a group is so for each of its members; what is not may still be so for each by itself. */
    if (out->yes || (!from->is_group && !to->is_group))
        return;
    if (!decide_members(out, world, from, to, what))
        *out = whole;
}
