/* What goes out: packets are placed, sealed in batches where they lie, and sent in few system calls. A peer behind a
 * relay gets them sealed twice: for itself, and, behind a small header that names it, for the relay. What can't be
 * sealed yet is staged. For one thread. */
#ifndef ENGINE_OUTBOX_H
#define ENGINE_OUTBOX_H

#include "base/pool.h"
#include "engine/internal.h"
#include "engine/staging.h"
#include "wire/frame.h"

#define OUT_MESSAGES 8 /* sends a batch; each up to 64 KiB */
/* What a datagram grows by on the relayed path. */
#define RELAYED_OVERHEAD_MAX ((uint32_t)(TUNNEL_HEADROOM_MAX + sizeof(struct frame_relayed) + MESSAGE_TAG_SIZE))
#define PACKET_MAX                                                                                  \
    ((65507u - RELAYED_OVERHEAD_MAX - (uint32_t)TUNNEL_HEADROOM_MAX - (uint32_t)MESSAGE_TAG_SIZE) & \
     ~(MESSAGE_PADDING - 1u)) /* beyond it no UDP datagram holds it sealed */

/* How a peer is reached; good until reclaim_leave. */
struct path {
    struct endpoint to;
    struct peer *relay; /* NULL: directly */
    peer_id carrier;    /* whose endpoint `to` is: the relay's or the peer's */
    uint8_t name[ENDPOINT_NAME_SIZE];
};

/* Packets for one peer that are sealed together. They are the last in the outgoing messages, so that what can't be
 * sealed is taken back by forgetting it. */
struct group {
    struct peer *peer;
    struct path path;
    struct tunnel_way way;   /* to the peer */
    struct tunnel_way outer; /* to its relay, if there is one */
    uint32_t count;
    struct sealing packets[TUNNEL_BATCH_MAX];
    uint32_t messages; /* outgoing messages before it, */
    uint32_t len;      /* and the bytes in the last of them */
};

struct outbox {
    struct engine *engine;
    struct crypto *crypto;
    struct staging staging;
    struct group group;
    uint64_t now; /* monotonic, of this batch */
    uint32_t mtu;
    uint32_t message_count;
    uint8_t *out[OUT_MESSAGES]; /* UDP_MESSAGE_MAX each */
    struct udp_outgoing messages[OUT_MESSAGES];
    peer_id carriers[OUT_MESSAGES];
};

/* False when nobody said where the peer is, or its relay is none. */
must_check bool outbox_path(const struct outbox *o, const struct peer *peer, struct path *out);
/* The same by this endpoint of it, whichever is in use. False: its relay is none. */
must_check bool outbox_path_by(const struct outbox *o, const struct peer *peer, const struct endpoint *to,
                               struct path *out);
/* Whether what is placed now can be sealed: there is a session with the peer, and one with its relay. */
bool outbox_is_open(const struct outbox *o, const struct peer *peer, const struct path *path);
/* Room for a packet of `len` bytes, PACKET_MAX at most, to the peer; returns where its bytes go. */
uint8_t *outbox_place(struct outbox *o, struct peer *peer, const struct path *path, uint32_t len);
/* Of the packet that was placed last, whether it may go with its transport checksum partial; and that it does. */
bool outbox_may_be_partial(const struct outbox *o);
void outbox_make_partial(struct outbox *o);
/* Places what is staged for the peer. */
void outbox_place_staged(struct outbox *o, struct peer *peer, const struct path *path);
/* Seals what was placed since the last time. */
void outbox_seal(struct outbox *o);
/* Seals, and sends everything. */
void outbox_send(struct outbox *o);

void outbox_stage(struct outbox *o, const struct peer *peer, const uint8_t *packet, uint32_t len);
/* A session is missing on this path: the control thread is told, if it should be. */
void outbox_ask(struct outbox *o, const struct path *path, struct peer *peer);
/* Something is staged for a peer that nobody said where to find: the control thread is told, once a second. */
void outbox_want(struct outbox *o, const struct peer *peer);

#endif
