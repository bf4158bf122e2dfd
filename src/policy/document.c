#include "policy/document.h"

#include <stdlib.h>
#include <string.h>

#include "policy/document_reader.h"

/* ---- Names ---- */

static bool is_named_already(const struct named *side, uint32_t count, const struct subject *subject)
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(&side[i].subject, subject, sizeof(*subject)) == 0)
            return true;
    return false;
}

static void read_name(struct reader *r, uint32_t which, const struct node *node)
{
    struct named *side = r->draft.sides[which];
    uint32_t *count = &r->draft.side_counts[which];
    struct subject subject;
    if (node->kind == NODE_WRONG)
        return;
    if (node->kind != NODE_SCALAR) {
        complain(&r->complaints, node->at, "here must stand the name of a group or of a device");
        return;
    }
    if (!reader_look_up(r, node, &subject))
        return;
    if (is_named_already(side, *count, &subject))
        complain(&r->complaints, node->at, "\"", node->text, "\" stands in this list already");
    else if (*count == SIDE_MAX)
        complain(&r->complaints, node->at, "a list holds at most 256 names; put the devices into a group");
    else
        side[(*count)++] = (struct named){.subject = subject, .name = node->text};
}

static void read_side(struct reader *r, uint32_t which, const struct node *value)
{
    if (value->kind != NODE_LIST) {
        read_name(r, which, value);
        return;
    }
    if (!value->child)
        complain(&r->complaints, value->at, "the list is empty; name a group or a device, or take the rule out");
    for (const struct node *item = value->child; item; item = item->next)
        read_name(r, which, item);
}

static void read_from(struct reader *r, const struct node *value)
{
    read_side(r, 0, value);
}

static void read_to(struct reader *r, const struct node *value)
{
    read_side(r, 1, value);
}

/* ---- Ports ---- */

static void add_grant(struct reader *r, uint8_t protocol, uint32_t low, uint32_t high)
{
    struct grant grant = {.protocol = protocol, .low = (uint16_t)low, .high = (uint16_t)high};
    if (!grants_add(r->draft.grants, &r->draft.grant_count, GRANTS_MAX, &grant))
        r->draft.grants_overflow = true;
}

static void read_port(struct reader *r, uint8_t protocol, const struct node *node)
{
    uint32_t low, high;
    if (node->kind == NODE_WRONG)
        return;
    if (node->kind == NODE_SCALAR && reader_ports(node->text, &low, &high))
        add_grant(r, protocol, low, high);
    else
        complain(&r->complaints, node->at, "\"", node->kind == NODE_SCALAR ? node->text : "...",
                 "\" is no port; ports are 502, \"9000-9010\" (1 to 65535, the lower first), a list of those, or any");
}

static bool is_any(const struct node *node)
{
    return node->kind == NODE_SCALAR && strcmp(node->text, "any") == 0;
}

static void read_ports(struct reader *r, uint8_t protocol, const struct node *value)
{
    if (is_any(value)) {
        add_grant(r, protocol, 0, PORT_MAX);
        return;
    }
    if (value->kind != NODE_LIST) {
        read_port(r, protocol, value);
        return;
    }
    if (!value->child)
        complain(&r->complaints, value->at, "the list is empty; write the ports into it, or any, or leave the key out");
    for (const struct node *item = value->child; item; item = item->next)
        read_port(r, protocol, item);
}

static void read_tcp(struct reader *r, const struct node *value)
{
    read_ports(r, GRANT_TCP, value);
}

static void read_udp(struct reader *r, const struct node *value)
{
    read_ports(r, GRANT_UDP, value);
}

static void read_icmp(struct reader *r, const struct node *value)
{
    if (is_any(value))
        add_grant(r, GRANT_ICMP, 0, 0);
    else if (value->kind != NODE_WRONG)
        complain(&r->complaints, value->at, "icmp can only be \"any\"");
}

/* ---- Rules ---- */

static bool reserve(struct reader *r, uint32_t more)
{
    uint32_t wanted = r->set->count + more, capacity = r->capacity ? r->capacity : 16;
    while (capacity < wanted)
        capacity *= 2;
    if (capacity == r->capacity)
        return true;
    struct rule *rules = realloc(r->set->rules, capacity * sizeof(*rules));
    if (!rules) {
        r->error = ERROR_MEMORY;
        return false;
    }
    r->set->rules = rules;
    r->capacity = capacity;
    return true;
}

/* Room was reserved. */
static void add_rule(struct reader *r, const struct named *from, const struct named *to, uint32_t line)
{
    const struct draft *d = &r->draft;
    struct grant *grants = malloc(d->grant_count * sizeof(*grants));
    if (!grants) {
        r->error = ERROR_MEMORY;
        return;
    }
    memcpy(grants, d->grants, d->grant_count * sizeof(*grants));
    struct rule *rule = &r->set->rules[r->set->count++];
    *rule = (struct rule){
        .from = from->subject, .to = to->subject, .line = line, .grant_count = d->grant_count, .grants = grants};
    memcpy(rule->from_name, from->name, strlen(from->name));
    memcpy(rule->to_name, to->name, strlen(to->name));
}

/* One rule for each pair; none when anything in it is wrong, since nothing will be made of the file. */
static void add_rules(struct reader *r, const struct node *node)
{
    const struct draft *d = &r->draft;
    uint32_t pairs = d->side_counts[0] * d->side_counts[1];
    if (d->grants_overflow)
        complain(&r->complaints, node->at, "the rule has more than 256 separate ports and ranges; split it");
    if (pairs > RULES_MAX - r->set->count)
        complain(&r->complaints, node->at, "with this rule there are more than 4096 (one for each pair of names); ",
                 "put devices into groups");
    if (r->complaints.any || r->error || !reserve(r, pairs))
        return;
    for (uint32_t i = 0; i < d->side_counts[0]; i++)
        for (uint32_t j = 0; j < d->side_counts[1] && !r->error; j++)
            add_rule(r, &d->sides[0][i], &d->sides[1][j], node->at.line);
}

enum rule_word { WORD_FROM, WORD_TO, WORD_TCP, WORD_UDP, WORD_ICMP, RULE_WORDS };
static const struct keyword rule_words[RULE_WORDS] = {
    [WORD_FROM] = {"from", read_from}, [WORD_TO] = {"to", read_to},       [WORD_TCP] = {"tcp", read_tcp},
    [WORD_UDP] = {"udp", read_udp},    [WORD_ICMP] = {"icmp", read_icmp},
};

static void check_completeness(struct reader *r, const struct node *node, uint32_t seen)
{
    if (!(seen & 1u << WORD_FROM))
        complain(&r->complaints, node->at, "the rule lacks \"from\": who may begin");
    if (!(seen & 1u << WORD_TO))
        complain(&r->complaints, node->at, "the rule lacks \"to\": with whom");
    if (!(seen & (1u << WORD_TCP | 1u << WORD_UDP | 1u << WORD_ICMP)))
        complain(&r->complaints, node->at, "the rule allows nothing; add tcp, udp or icmp");
}

static void read_rule(struct reader *r, const struct node *node)
{
    if (node->kind == NODE_WRONG)
        return;
    if (node->kind != NODE_MAP) {
        complain(&r->complaints, node->at, "a rule is a map: {from: NAME, to: NAME, tcp: PORTS}");
        return;
    }
    r->draft.side_counts[0] = r->draft.side_counts[1] = r->draft.grant_count = 0;
    r->draft.grants_overflow = false;
    uint32_t seen = reader_map(r, node, rule_words, RULE_WORDS, "from, to, tcp, udp, icmp");
    check_completeness(r, node, seen);
    add_rules(r, node);
}

static void read_allow(struct reader *r, const struct node *value)
{
    if (value->kind == NODE_WRONG || value->empty)
        return;
    if (value->kind != NODE_LIST) {
        complain(&r->complaints, value->at, "\"allow\" is a list of rules; begin each one with \"- \"");
        return;
    }
    for (const struct node *rule = value->child; rule && !r->error; rule = rule->next)
        read_rule(r, rule);
}

static void read_root(struct reader *r, const struct node *root)
{
    static const struct keyword words[] = {{"allow", read_allow}, {"tests", document_read_tests}};
    if (!root || root->empty || root->kind == NODE_WRONG)
        return;
    if (root->kind == NODE_MAP)
        reader_map(r, root, words, 2, "allow, tests");
    else
        complain(&r->complaints, root->at, "a policy is a map with the key \"allow\", which holds the rules");
}

static int read_text(struct reader *r, const char *text, size_t len)
{
    struct node *root = NULL;
    if (len > POLICY_TEXT_MAX) {
        complain(&r->complaints, (struct place){1, 1}, "the file is larger than 1 MiB; put devices into groups");
        return ERROR_MALFORMED;
    }
    int error = tree_parse(&root, text, len, &r->complaints);
    if (error)
        return error;
    read_root(r, root);
    tree_free(root);
    return r->error ? r->error : r->complaints.any ? ERROR_MALFORMED : 0;
}

static int read_into(struct reader *r, const char *text, size_t len)
{
    r->set = calloc(1, sizeof(*r->set));
    if (!r->set)
        return ERROR_MEMORY;
    int error = read_text(r, text, len);
    complaints_sort(&r->complaints);
    if (error) {
        rule_set_free(r->set);
        r->set = NULL;
    }
    return error;
}

void policy_tests_free(struct policy_tests *tests)
{
    free(tests->all);
    *tests = (struct policy_tests){0};
}

int policy_read_tested(struct rule_set **out, struct policy_tests *tests, const char *text, size_t len,
                       const struct policy_names *names, struct policy_error *errors, uint32_t errors_max,
                       uint32_t *error_count)
{
    struct reader *r = calloc(1, sizeof(*r)); /* a draft is too large for the stack */
    *error_count = 0;
    *tests = (struct policy_tests){0};
    if (!r)
        return ERROR_MEMORY;
    r->names = names;
    r->complaints = (struct complaints){.errors = errors, .max = errors_max};
    int error = read_into(r, text, len);
    *error_count = r->complaints.count;
    if (error) {
        policy_tests_free(&r->tests);
    } else {
        *out = r->set;
        *tests = r->tests;
    }
    free(r);
    return error;
}

int policy_read(struct rule_set **out, const char *text, size_t len, const struct policy_names *names,
                struct policy_error *errors, uint32_t errors_max, uint32_t *error_count)
{
    struct policy_tests tests;
    int error = policy_read_tested(out, &tests, text, len, names, errors, errors_max, error_count);
    policy_tests_free(&tests);
    return error;
}
