#include "policy/rules.h"

#include <stdlib.h>
#include <string.h>

#include "wire/cbor.h"

/* Keys of a rule's map. */
enum rule_key { KEY_FROM, KEY_TO, KEY_FROM_NAME, KEY_TO_NAME, KEY_LINE, KEY_GRANTS, KEY_COUNT };

void rule_set_free(struct rule_set *set)
{
    if (!set)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        free(set->rules[i].grants);
    free(set->rules);
    free(set);
}

/* ---- Grants ---- */

/* Whether `a` ends before `b` begins, with at least one port between them. */
static bool lies_before(const struct grant *a, const struct grant *b)
{
    if (a->protocol != b->protocol)
        return a->protocol < b->protocol;
    return (uint32_t)a->high + 1 < b->low;
}

static struct grant cover(const struct grant *a, const struct grant *b)
{
    return (struct grant){.protocol = a->protocol,
                          .low = a->low < b->low ? a->low : b->low,
                          .high = a->high > b->high ? a->high : b->high};
}

bool grants_add(struct grant *grants, uint32_t *count, uint32_t max, const struct grant *more)
{
    struct grant merged = *more;
    uint32_t first = 0;
    while (first < *count && lies_before(&grants[first], &merged))
        first++;
    uint32_t end = first; /* first..end-1 become one with it */
    while (end < *count && !lies_before(&merged, &grants[end]))
        merged = cover(&merged, &grants[end++]);
    if (end == first && *count >= max)
        return false;
    memmove(&grants[first + 1], &grants[end], (*count - end) * sizeof(*grants));
    grants[first] = merged;
    *count = *count - (end - first) + 1;
    return true;
}

bool grants_hold(const struct grant *grants, uint32_t count, uint8_t protocol, uint16_t port)
{
    uint32_t low = 0, high = count; /* the first one that does not end before the port */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct grant *g = &grants[middle];
        if (g->protocol < protocol || (g->protocol == protocol && g->high < port))
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && grants[low].protocol == protocol && grants[low].low <= port;
}

/* ---- As bytes ---- */

static void put_grant(struct cursor *c, const struct grant *grant)
{
    cbor_put_array(c, 3);
    cbor_put_unsigned(c, grant->protocol);
    cbor_put_unsigned(c, grant->low);
    cbor_put_unsigned(c, grant->high);
}

static void put_rule(struct cursor *c, const struct rule *rule)
{
    cbor_put_map(c, KEY_COUNT);
    cbor_put_unsigned(c, KEY_FROM);
    cbor_put_bytes(c, rule->from.bytes, SUBJECT_SIZE);
    cbor_put_unsigned(c, KEY_TO);
    cbor_put_bytes(c, rule->to.bytes, SUBJECT_SIZE);
    cbor_put_unsigned(c, KEY_FROM_NAME);
    cbor_put_text(c, rule->from_name, strlen(rule->from_name));
    cbor_put_unsigned(c, KEY_TO_NAME);
    cbor_put_text(c, rule->to_name, strlen(rule->to_name));
    cbor_put_unsigned(c, KEY_LINE);
    cbor_put_unsigned(c, rule->line);
    cbor_put_unsigned(c, KEY_GRANTS);
    cbor_put_array(c, rule->grant_count);
    for (uint32_t i = 0; i < rule->grant_count; i++)
        put_grant(c, &rule->grants[i]);
}

void rule_set_put(struct cursor *c, const struct rule_set *set)
{
    cbor_put_array(c, set->count);
    for (uint32_t i = 0; i < set->count; i++)
        put_rule(c, &set->rules[i]);
}

/* What is read of one rule, and whether all of it was understood. */
struct rule_reader {
    struct cursor *c;
    struct rule *rule;
    uint32_t seen; /* a bit for each key */
    bool unknown;
};

static uint64_t get_number(struct cursor *c, uint64_t max)
{
    uint64_t value = cbor_get_unsigned(c);
    if (value > max)
        cursor_fail(c, ERROR_MALFORMED);
    return c->error ? 0 : value;
}

static bool is_known_protocol(uint8_t protocol)
{
    return protocol == GRANT_ICMP || protocol == GRANT_TCP || protocol == GRANT_UDP;
}

static void get_grant(struct rule_reader *r, struct grant *out)
{
    (void)cbor_get_count(r->c, 3, 3);
    out->protocol = (uint8_t)get_number(r->c, UINT8_MAX);
    out->low = (uint16_t)get_number(r->c, UINT16_MAX);
    out->high = (uint16_t)get_number(r->c, UINT16_MAX);
    if (out->low > out->high || (out->protocol == GRANT_ICMP && out->high != 0))
        cursor_fail(r->c, ERROR_MALFORMED);
    r->unknown |= !is_known_protocol(out->protocol);
}

/* They stand in the one form that they have: ascending, merged. */
static void get_grants(struct rule_reader *r)
{
    uint64_t count = cbor_get_array(r->c);
    if (count > GRANTS_MAX || r->rule->grants)
        cursor_fail(r->c, ERROR_MALFORMED);
    if (r->c->error || count == 0)
        return;
    r->rule->grants = calloc(count, sizeof(struct grant));
    if (!r->rule->grants) {
        cursor_fail(r->c, ERROR_MEMORY);
        return;
    }
    for (uint32_t i = 0; i < count && !r->c->error; i++) {
        get_grant(r, &r->rule->grants[i]);
        if (i > 0 && !lies_before(&r->rule->grants[i - 1], &r->rule->grants[i]))
            cursor_fail(r->c, ERROR_MALFORMED);
    }
    r->rule->grant_count = (uint32_t)count;
}

static void get_field(struct rule_reader *r)
{
    uint64_t key = cbor_get_unsigned(r->c);
    if (key < KEY_COUNT)
        r->seen |= 1u << key;
    switch (key) {
    case KEY_FROM:
        cbor_get_exactly(r->c, r->rule->from.bytes, SUBJECT_SIZE);
        return;
    case KEY_TO:
        cbor_get_exactly(r->c, r->rule->to.bytes, SUBJECT_SIZE);
        return;
    case KEY_FROM_NAME:
        name_get(r->c, r->rule->from_name);
        return;
    case KEY_TO_NAME:
        name_get(r->c, r->rule->to_name);
        return;
    case KEY_LINE:
        r->rule->line = (uint32_t)get_number(r->c, UINT32_MAX);
        return;
    case KEY_GRANTS:
        get_grants(r);
        return;
    default:
        r->unknown = true;
        cbor_skip(r->c);
    }
}

static void get_rule(struct cursor *c, struct rule *rule)
{
    struct rule_reader r = {.c = c, .rule = rule};
    uint64_t fields = cbor_get_map(c);
    for (uint64_t i = 0; i < fields && !c->error; i++)
        get_field(&r);
    if (r.seen != (1u << KEY_COUNT) - 1)
        cursor_fail(c, ERROR_MALFORMED);
    if (r.unknown)
        rule->grant_count = 0;
}

static struct rule_set *rule_set_new(uint32_t count)
{
    struct rule_set *set = calloc(1, sizeof(*set));
    if (!set || count == 0)
        return set;
    set->rules = calloc(count, sizeof(*set->rules));
    if (!set->rules) {
        free(set);
        return NULL;
    }
    set->count = count;
    return set;
}

struct rule_set *rule_set_get(struct cursor *c)
{
    uint64_t count = cbor_get_array(c);
    if (count > RULES_MAX)
        cursor_fail(c, ERROR_MALFORMED);
    if (c->error)
        return NULL;
    struct rule_set *set = rule_set_new((uint32_t)count);
    if (!set) {
        cursor_fail(c, ERROR_MEMORY);
        return NULL;
    }
    for (uint32_t i = 0; i < set->count && !c->error; i++)
        get_rule(c, &set->rules[i]);
    if (!c->error)
        return set;
    rule_set_free(set);
    return NULL;
}

/* ---- Deciding ---- */

static bool is_among(const struct subject *subject, const struct subject *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(subject, &list[i], sizeof(*subject)) == 0)
            return true;
    return false;
}

/* What does not fit is left out; a later one may still merge with what is there. */
static void add_all(const struct rule *rule, struct grant out[GRANTS_MAX], uint32_t *count)
{
    for (uint32_t i = 0; i < rule->grant_count; i++)
        grants_add(out, count, GRANTS_MAX, &rule->grants[i]);
}

uint32_t rules_grants(const struct rule_set *const *sets, uint32_t set_count, const struct subject *from,
                      uint32_t from_count, const struct subject *to, uint32_t to_count, struct grant out[GRANTS_MAX])
{
    uint32_t count = 0;
    for (uint32_t s = 0; s < set_count; s++)
        for (uint32_t i = 0; i < sets[s]->count; i++) {
            const struct rule *rule = &sets[s]->rules[i];
            if (is_among(&rule->from, from, from_count) && is_among(&rule->to, to, to_count))
                add_all(rule, out, &count);
        }
    return count;
}

static bool joins(const struct rule *rule, const struct subject *a, uint32_t a_count, const struct subject *b,
                  uint32_t b_count)
{
    if (rule->grant_count == 0)
        return false;
    return (is_among(&rule->from, a, a_count) && is_among(&rule->to, b, b_count)) ||
           (is_among(&rule->from, b, b_count) && is_among(&rule->to, a, a_count));
}

bool rules_join(const struct rule_set *const *sets, uint32_t set_count, const struct subject *a, uint32_t a_count,
                const struct subject *b, uint32_t b_count)
{
    for (uint32_t s = 0; s < set_count; s++)
        for (uint32_t i = 0; i < sets[s]->count; i++)
            if (joins(&sets[s]->rules[i], a, a_count, b, b_count))
                return true;
    return false;
}
