/* What the engine keeps beside each peer of the tunnel. Attached to the peer and retired with it. */
#ifndef ENGINE_COMPANION_H
#define ENGINE_COMPANION_H

#include <stdatomic.h>

#include "engine/bucket.h"
#include "policy/flow.h"
#include "tunnel/tunnel.h"

/* Immutable once published. */
struct published_grants {
    struct reclaim_item retired; /* first */
    struct peer_grants grants;
    struct grant list[]; /* out, then in */
};

struct companion {
    struct reclaim_item retired; /* first */
    bool named;                  /* control thread, as what follows up to `candidates` */
    uint8_t name[ENDPOINT_NAME_SIZE];
    uint32_t candidate_count;
    struct endpoint *candidates;                /* our initiations go there, too; owned */
    _Atomic bool relay;                         /* relayed datagrams are taken from it */
    _Atomic(struct published_grants *) granted; /* NULL: nothing passes */
    _Atomic uint64_t refused;
    struct bucket bucket; /* of what it has relayed; receiver's thread */
};

/* The peer's companion, or NULL. */
static inline struct companion *companion_of(const struct peer *peer)
{
    return (struct companion *)tunnel_peer_attachment(peer);
}

/* Control thread: makes it if there is none; NULL: no such peer, or no memory (`error` tells). */
struct companion *companion_make(struct tunnel *t, peer_id peer, int *error);
/* Control thread: publishes a copy of the grants under a version of their own. */
must_check int companion_grant(struct tunnel *t, peer_id peer, uint64_t version, const struct grant *out,
                               uint32_t out_count, const struct grant *in, uint32_t in_count);

/* Control thread: copies the list in the place of the one before. ERROR_MEMORY: there is none any more. */
must_check int companion_set_candidates(struct companion *c, const struct endpoint *list, uint32_t count);

#endif
