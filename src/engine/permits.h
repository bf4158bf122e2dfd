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
};

/* Writer. `key`: random, so that nobody can choose names that collide. */
void permits_init(struct permits *p, const uint64_t key[4]);
/* No reader may be inside. */
void permits_clear(struct permits *p);
/* One direction; permitted already is fine. Grows when half full, leaving out what names peers that are gone. */
must_check int permits_add(struct permits *p, struct tunnel *t, peer_id origin, const uint8_t origin_name[8],
                           peer_id destination, const uint8_t destination_name[8]);
void permits_remove(struct permits *p, peer_id origin, peer_id destination);

/* Reader. */
must_check bool permits_find(const struct permits *p, peer_id origin, const uint8_t name[8], struct permit *out);

#endif
