/* Packets that wait for a session, by peer, in order. For the sender's thread alone. */
#ifndef ENGINE_STAGING_H
#define ENGINE_STAGING_H

#include <stdbool.h>
#include <stdint.h>

#include "tunnel/tunnel.h"

#define STAGING_BUCKETS 64
#define STAGING_BYTES_MAX (2u << 20) /* of all peers */

struct staged_packet {
    struct staged_packet *next;
    uint32_t len;
    uint8_t bytes[];
};

struct staged_queue {
    struct staged_queue *next; /* in the bucket */
    peer_id peer;
    uint32_t count;
    uint32_t age;   /* sweeps that it has seen */
    uint64_t asked; /* monotonic; 0: not yet */
    struct staged_packet *first, **last;
};

/* All zero is empty. */
struct staging {
    struct staged_queue *buckets[STAGING_BUCKETS];
    uint32_t bytes;
    uint32_t queues;
};

/* Copies a packet to the end of the peer's queue. Returns how many packets were dropped for it: the oldest of the same
 * peer beyond STAGED_PACKETS_MAX, or this one when there is no room. */
uint32_t staging_put(struct staging *s, peer_id peer, const uint8_t *bytes, uint32_t len);
/* Takes the whole queue; the caller frees each packet. NULL when there is none. */
struct staged_packet *staging_take(struct staging *s, peer_id peer);
/* Whether to say now that something waits for the peer: at most once a second. */
bool staging_ask(struct staging *s, peer_id peer, uint64_t now);
/* One more sweep that finds the peer's queue where it was: how many that makes. */
uint32_t staging_age(struct staging *s, peer_id peer);
/* The peers that have something staged, `max` at most; returns how many. */
uint32_t staging_peers(const struct staging *s, peer_id *out, uint32_t max);
bool staging_has(const struct staging *s, peer_id peer);
/* Return how many packets were dropped. */
uint32_t staging_discard(struct staging *s, peer_id peer);
uint32_t staging_discard_all(struct staging *s);

#endif
