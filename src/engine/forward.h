/* A relay's work: datagrams that came sealed for us, naming a destination, go on sealed for it, from where they lie. A
 * burst for one destination leaves as one burst. For the receiver's thread. */
#ifndef ENGINE_FORWARD_H
#define ENGINE_FORWARD_H

#include "engine/internal.h"
#include "engine/permits.h"
#include "wire/frame.h"

#define FORWARD_MESSAGES 64

struct forward {
    struct engine *engine;
    struct crypto *crypto; /* borrowed */
    /* Not sealed yet, all for one. */
    struct peer *destination;
    struct endpoint to;
    bool came_native;
    struct tunnel_way way; /* for what came so */
    const uint8_t *end;    /* of the last as it came */
    uint32_t count;
    struct sealing packets[TUNNEL_BATCH_MAX];
    /* Sealed. */
    uint32_t message_count;
    struct udp_outgoing messages[FORWARD_MESSAGES];
    peer_id peers[FORWARD_MESSAGES];
};

/* The datagram of an opened relayed frame, or NULL when its header does not hold: whole, a message of the protocol. */
uint8_t *forward_datagram(const struct opening *frame, uint32_t *len);
/* Of such a frame: whether we are to pass it on; else it is for us. */
bool forward_is_asked(const struct opening *frame);
/* Whether the frame's sender is permitted to send to the one that it names. */
must_check bool forward_find(const struct forward *f, const struct opening *frame, struct permit *out);
/* Passes the frame on, or drops and counts it. Its bytes stay as they are until forward_send. */
void forward_add(struct forward *f, const struct opening *frame, const struct permit *permit, uint64_t now);
/* Before reclaim_leave: seals what was added. */
void forward_seal(struct forward *f, uint64_t now);
/* Sends what was sealed. */
void forward_send(struct forward *f);

#endif
