/* Allowed IPs: which peer owns an inner address. A path-compressed binary trie for each family; longest prefix wins
 * (paper section 2, cryptokey routing). One writer; readers look up without locks while it writes. */
#ifndef TUNNEL_ALLOWED_IPS_H
#define TUNNEL_ALLOWED_IPS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/reclaim.h"

struct allowed_node;

struct allowed_ips {
    _Atomic(struct allowed_node *) root4;
    _Atomic(struct allowed_node *) root6;
};

/* Heads a list of one owner's prefixes, so that they can be listed and removed without walking the trie. Embedded in
 * the owner; all zero is empty. */
struct allowed_list {
    struct allowed_node *first;
    struct allowed_node **end; /* the last one's `next`; of no meaning while empty */
    uint32_t count;
};

void allowed_ips_init(struct allowed_ips *table);
/* Frees all nodes at once; no reader may be inside. Owners' lists become invalid. */
void allowed_ips_clear(struct allowed_ips *table);

/* Gives address/cidr to `owner`, taking it from whoever had it. address is 4 or 16 bytes as address_len says; bits
 * behind the prefix are ignored. `list` is owner's own list; each owner always comes with the same one. cidr beyond
 * the address: ERROR_INVALID. Readers see the old owner or the new one, never neither (when there was one). */
must_check int allowed_ips_insert(struct allowed_ips *table, struct reclaim *reclaim, const uint8_t *address,
                                  unsigned address_len, unsigned cidr, void *owner, struct allowed_list *list);
/* Takes exactly this prefix away from `owner`; ERROR_NOT_FOUND when it is not the owner's. */
must_check int allowed_ips_remove(struct allowed_ips *table, struct reclaim *reclaim, const uint8_t *address,
                                  unsigned address_len, unsigned cidr, void *owner, struct allowed_list *list);
/* Takes away all of an owner's prefixes. */
void allowed_ips_remove_all(struct allowed_ips *table, struct reclaim *reclaim, struct allowed_list *list);

/* The owner of the longest prefix that covers the address, or NULL. For readers between reclaim_enter and _leave. */
void *allowed_ips_lookup4(const struct allowed_ips *table, const uint8_t address[4]);
void *allowed_ips_lookup6(const struct allowed_ips *table, const uint8_t address[16]);

/* Calls `each` for every prefix in the list, in the order of being given to the owner; `address` is 4 or 16 bytes, bits
 * behind the prefix zero. Stops early and returns what `each` returned if that is not 0. */
int allowed_ips_each(const struct allowed_list *list,
                     int (*each)(void *context, const uint8_t *address, unsigned address_len, unsigned cidr),
                     void *context);

#endif
