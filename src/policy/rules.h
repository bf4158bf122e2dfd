/* Rules as they are distributed and decided by: who may begin what with whom. Pure. */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/error.h"
#include "wire/names.h"

#define GRANTS_MAX 256 /* of one device toward another; what is beyond is not allowed */
#define RULES_MAX 4096 /* in one set */

enum grant_protocol { GRANT_ICMP = 1, GRANT_TCP = 6, GRANT_UDP = 17 };

/* Leave to begin a flow: to destination ports low..high (ICMP, of either version: 0..0). */
struct grant {
    uint8_t protocol; /* enum grant_protocol */
    uint16_t low, high;
};

/* Adds one to grants that are ascending and merged, and stay so. False: it would be one more than `max`. */
bool grants_add(struct grant *grants, uint32_t *count, uint32_t max, const struct grant *more);

struct rule {
    struct subject from, to;
    char from_name[NAME_MAX_LEN + 1], to_name[NAME_MAX_LEN + 1]; /* for people */
    uint32_t line;                                               /* in the file that it was written in */
    uint32_t grant_count;
    struct grant *grants; /* owned by the set; ascending, merged */
};

/* Owned by whoever made it; rules in order of being written. */
struct rule_set {
    uint32_t count;
    struct rule *rules;
};
void rule_set_free(struct rule_set *set);

/* The CBOR array of rules, each a map: 0 from, 1 to (16 bytes each), 2, 3 their names (text), 4 line, 5 grants, an
 * array of [protocol, low, high]. A key or a protocol that is unknown makes its rule allow nothing (grant_count 0). */
void rule_set_put(struct cursor *c, const struct rule_set *set);
/* From an item that passed cbor_check; NULL with an error stuck in the cursor. The caller frees. */
struct rule_set *rule_set_get(struct cursor *c);

/* What a device that is all of `from` may begin with one that is all of `to` (each: its groups, `all` and itself):
 * ascending and merged. Returns their number, at most GRANTS_MAX; what does not fit is left out, which allows less. */
uint32_t rules_grants(const struct rule_set *const *sets, uint32_t set_count, const struct subject *from,
                      uint32_t from_count, const struct subject *to, uint32_t to_count, struct grant out[GRANTS_MAX]);
/* Whether any rule joins the two, in either direction. One that allows nothing joins nobody. */
bool rules_join(const struct rule_set *const *sets, uint32_t set_count, const struct subject *a, uint32_t a_count,
                const struct subject *b, uint32_t b_count);
/* Whether grants, ascending and merged, hold a destination port. */
bool grants_hold(const struct grant *grants, uint32_t count, uint8_t protocol, uint16_t port);

#endif
