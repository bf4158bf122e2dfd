#include <string.h>

#include "policy/document.h"

/* Writes what fits and counts all. */
struct writing {
    char *out;
    size_t capacity, len;
};

static void put_char(struct writing *w, char c)
{
    if (w->len + 1 < w->capacity)
        w->out[w->len] = c;
    w->len++;
}

static void put_text(struct writing *w, const char *text)
{
    while (*text)
        put_char(w, *text++);
}

static void put_number(struct writing *w, uint32_t value)
{
    if (value >= 10)
        put_number(w, value / 10);
    put_char(w, (char)('0' + value % 10));
}

static const char *protocol_name(uint8_t protocol)
{
    switch (protocol) {
    case GRANT_TCP:
        return "tcp";
    case GRANT_UDP:
        return "udp";
    default:
        return "icmp";
    }
}

static void put_ports(struct writing *w, const struct grant *grant)
{
    if (grant->protocol == GRANT_ICMP || (grant->low == 0 && grant->high == UINT16_MAX)) {
        put_text(w, "any");
        return;
    }
    put_number(w, grant->low);
    if (grant->high == grant->low)
        return;
    put_char(w, '-');
    put_number(w, grant->high);
}

/* "tcp 502, 9000-9010; udp any" */
static void put_grants(struct writing *w, const struct rule *rule)
{
    for (uint32_t i = 0; i < rule->grant_count; i++) {
        bool continues = i > 0 && rule->grants[i].protocol == rule->grants[i - 1].protocol;
        if (i > 0)
            put_text(w, continues ? ", " : "; ");
        if (!continues) {
            put_text(w, protocol_name(rule->grants[i].protocol));
            put_char(w, ' ');
        }
        put_ports(w, &rule->grants[i]);
    }
    if (rule->grant_count == 0)
        put_text(w, "nothing (a later version made this rule)");
}

static void put_rule(struct writing *w, const struct rule *rule)
{
    put_text(w, rule->from_name);
    put_text(w, " -> ");
    put_text(w, rule->to_name);
    put_text(w, ": ");
    put_grants(w, rule);
    put_text(w, " (line ");
    put_number(w, rule->line);
    put_text(w, ")\n");
}

int policy_print(const struct rule_set *set, char *out, size_t capacity)
{
    struct writing w = {.out = out, .capacity = capacity};
    for (uint32_t i = 0; i < set->count; i++)
        put_rule(&w, &set->rules[i]);
    if (capacity > 0)
        out[w.len < capacity ? w.len : capacity - 1] = 0;
    return w.len > INT32_MAX ? ERROR_OVERFLOW : (int)w.len;
}
