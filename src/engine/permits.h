/* Who may send to whom through us: (origin's peer, destination's name) -> destination's peer. An open-addressing set
 * under a secret key. One writer; readers look up without locks, between reclaim_enter and reclaim_leave. */
#ifndef ENGINE_PERMITS_H
#define ENGINE_PERMITS_H

#include <stdatomic.h>

#include "tunnel/tunnel.h"

struct permit_table;

struct permits {
    _Atomic(struct permit_table *) table; /* NULL: nobody may */
    uint64_t key[4];
};

/* What a permitted datagram needs. */
struct permit {
    peer_id destination;
    uint8_t origin_name[ENDPOINT_NAME_SIZE];
    _Atomic uint64_t *used; /* when it served last, monotonic ns; valid between reclaim_enter and reclaim_leave */
};

/* Writer. `key`: random, so that nobody can choose names that collide. */
void permits_init(struct permits *p, const uint64_t key[4]);
/* No reader may be inside. */
void permits_clear(struct permits *p);
/* One direction; permitted already is fine. Grows when half full, leaving out what names peers that are gone. */
must_check int permits_add(struct permits *p, struct tunnel *t, peer_id origin, const uint8_t origin_name[8],
                           peer_id destination, const uint8_t destination_name[8]);
void permits_remove(struct permits *p, peer_id origin, peer_id destination);
/* With whom `peer` is permitted to pass datagrams, in either direction, and did from `since` on. `out` gets each once.
 * Returns how many; `more` counts those that found no room in `max`. */
struct permit_use {
    peer_id with;
    uint64_t used;
};
uint32_t permits_list(const struct permits *p, peer_id peer, uint64_t since, struct permit_use *out, uint32_t max,
                      uint32_t *more);

/* Reader. */
must_check bool permits_find(const struct permits *p, peer_id origin, const uint8_t name[8], struct permit *out);
static inline void permit_serves(const struct permit *permit, uint64_t now)
{
    atomic_store_explicit(permit->used, now, memory_order_relaxed);
}

#endif
