#include "policy/document.h"

#include <stdlib.h>
#include <string.h>

#include "policy/document_tree.h"

#define SIDE_MAX 256u /* names on one side of a rule */
#define PORT_MAX 65535u

struct named {
    struct subject subject;
    const char *name; /* in the tree */
};

/* A rule as it is written: every one of `from` toward every one of `to`. */
struct draft {
    struct named sides[2][SIDE_MAX]; /* from, to */
    uint32_t side_counts[2];
    struct grant grants[GRANTS_MAX];
    uint32_t grant_count;
    bool grants_overflow;
};

struct reader {
    struct complaints complaints;
    const struct policy_names *names;
    struct rule_set *set;
    uint32_t capacity;
    struct draft draft;
    int error; /* ERROR_MEMORY */
};

/* ---- Words ---- */

#define WORD_MAX 64u

static uint32_t least(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t d = a < b ? a : b;
    return d < c ? d : c;
}

/* Levenshtein's: insertions, deletions and replacements; great for long words, which nobody misspelt. */
static uint32_t distance(const char *a, const char *b)
{
    uint32_t row[WORD_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > WORD_MAX || b_len > WORD_MAX)
        return UINT32_MAX;
    for (uint32_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a_len; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b_len; j++) {
            uint32_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = least(replaced, row[j] + 1, row[j - 1] + 1);
        }
    }
    return row[b_len];
}

/* Keeps the better guess at what `word` should have been; a guess is at most two letters away, one in a short word. */
static void consider(const char *word, const char *candidate, const char **best, uint32_t *best_distance)
{
    uint32_t d = distance(word, candidate), limit = strlen(word) > 4 ? 2 : 1;
    if (d <= limit && (!*best || d < *best_distance)) {
        *best = candidate;
        *best_distance = d;
    }
}

/* ---- Maps with known keys ---- */

struct keyword {
    const char *name;
    void (*read)(struct reader *r, const struct node *value);
};

static const struct keyword *find_keyword(const struct keyword *words, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i].name, name) == 0)
            return &words[i];
    return NULL;
}

static void complain_of_key(struct reader *r, const struct node *key, const struct keyword *words, size_t count,
                            const char *known)
{
    const char *best = NULL;
    uint32_t best_distance = 0;
    for (size_t i = 0; i < count; i++)
        consider(key->text, words[i].name, &best, &best_distance);
    if (best)
        complain(&r->complaints, key->at, "unknown key \"", key->text, "\"; did you mean \"", best, "\"?");
    else
        complain(&r->complaints, key->at, "unknown key \"", key->text, "\"; what may stand here: ", known);
}

/* Reads each value by its key's row; returns a bit for each row whose key was there. */
static uint32_t read_map(struct reader *r, const struct node *map, const struct keyword *words, size_t count,
                         const char *known)
{
    uint32_t seen = 0;
    for (const struct node *key = map->child; key && key->next; key = key->next->next) {
        if (key->kind != NODE_SCALAR) {
            if (key->kind != NODE_WRONG)
                complain(&r->complaints, key->at, "a key must be a word; what may stand here: ", known);
            continue;
        }
        const struct keyword *word = find_keyword(words, count, key->text);
        if (!word) {
            complain_of_key(r, key, words, count, known);
            continue;
        }
        uint32_t bit = 1u << (word - words);
        if (seen & bit)
            complain(&r->complaints, key->at, "\"", key->text, "\" stands here twice; put both into one");
        else
            word->read(r, key->next);
        seen |= bit;
    }
    return seen;
}

/* ---- Names ---- */

static void complain_of_unknown(struct reader *r, const struct node *node)
{
    const char *best = NULL, *known;
    uint32_t best_distance = 0;
    bool guess = r->names->known && r->complaints.count < r->complaints.max;
    for (uint32_t i = 0; guess && (known = r->names->known(r->names->context, i)); i++)
        consider(node->text, known, &best, &best_distance);
    if (best)
        complain(&r->complaints, node->at, "no group or device is called \"", node->text, "\"; did you mean \"", best,
                 "\"?");
    else
        complain(&r->complaints, node->at, "no group or device is called \"", node->text,
                 "\"; invite a device of that name or into that group first");
}

static bool look_up(struct reader *r, const struct node *node, struct subject *out)
{
    struct subject group, device;
    if (strcmp(node->text, "all") == 0) {
        *out = (struct subject){0};
        return true;
    }
    if (!name_is_valid(node->text, strlen(node->text))) {
        complain(&r->complaints, node->at, "\"", node->text,
                 "\" is no name; names are of a-z, 0-9 and inner hyphens, at most 63 of them");
        return false;
    }
    bool is_group = r->names->group(r->names->context, node->text, &group);
    bool is_device = r->names->device(r->names->context, node->text, &device);
    if (is_group && is_device)
        complain(&r->complaints, node->at, "\"", node->text,
                 "\" is both a group and a device; rename one, so that it is clear who is meant");
    else if (!is_group && !is_device)
        complain_of_unknown(r, node);
    *out = is_group ? group : device;
    return is_group != is_device;
}

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
    if (!look_up(r, node, &subject))
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

/* A number from 1 to 65535 without leading zeroes; moves `*text` behind it. */
static bool take_port(const char **text, uint32_t *out)
{
    const char *digit = *text;
    uint32_t value = 0;
    while (*digit >= '0' && *digit <= '9' && value <= PORT_MAX)
        value = value * 10 + (uint32_t)(*digit++ - '0');
    if (**text == '0' || digit == *text || value > PORT_MAX)
        return false;
    *text = digit;
    *out = value;
    return true;
}

static bool parse_ports(const char *text, uint32_t *low, uint32_t *high)
{
    if (!take_port(&text, low))
        return false;
    *high = *low;
    if (*text == '-') {
        text++;
        if (!take_port(&text, high))
            return false;
    }
    return *text == 0 && *low <= *high;
}

static void read_port(struct reader *r, uint8_t protocol, const struct node *node)
{
    uint32_t low, high;
    if (node->kind == NODE_WRONG)
        return;
    if (node->kind == NODE_SCALAR && parse_ports(node->text, &low, &high))
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
    uint32_t seen = read_map(r, node, rule_words, RULE_WORDS, "from, to, tcp, udp, icmp");
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
    static const struct keyword words[] = {{"allow", read_allow}};
    if (!root || root->empty || root->kind == NODE_WRONG)
        return;
    if (root->kind == NODE_MAP)
        read_map(r, root, words, 1, "allow");
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

int policy_read(struct rule_set **out, const char *text, size_t len, const struct policy_names *names,
                struct policy_error *errors, uint32_t errors_max, uint32_t *error_count)
{
    struct reader *r = calloc(1, sizeof(*r)); /* a draft is too large for the stack */
    *error_count = 0;
    if (!r)
        return ERROR_MEMORY;
    r->names = names;
    r->complaints = (struct complaints){.errors = errors, .max = errors_max};
    int error = read_into(r, text, len);
    *error_count = r->complaints.count;
    if (!error)
        *out = r->set;
    free(r);
    return error;
}
