#include "engine/forward.h"

#include <stddef.h>

#include "engine/companion.h"

uint8_t *forward_datagram(const struct opening *frame, uint32_t *len)
{
    struct frame_relayed header;
    if (frame->packet_len < sizeof(header))
        return NULL;
    memcpy(&header, frame->packet, sizeof(header));
    *len = get_be32(header.len);
    if (!is_zero(header.zero, sizeof(header.zero)) || header.direction > RELAYED_FROM ||
        *len > frame->packet_len - sizeof(header) ||
        message_classify(frame->packet + sizeof(header), *len) == MESSAGE_NONE)
        return NULL;
    return frame->packet + sizeof(header);
}

bool forward_is_asked(const struct opening *frame)
{
    return frame->packet[offsetof(struct frame_relayed, direction)] == RELAYED_TO;
}

bool forward_find(const struct forward *f, const struct opening *frame, struct permit *out)
{
    return permits_find(&f->engine->permits, tunnel_peer_id(frame->peer),
                        frame->packet + offsetof(struct frame_relayed, device), out);
}

static bool is_within_rate(struct engine *e, const struct peer *origin, uint32_t len, uint64_t now)
{
    struct companion *c = companion_of(origin);
    uint64_t rate = atomic_load_explicit(&e->relay_rate, memory_order_relaxed);
    if (c && bucket_take(&c->bucket, rate, len, now))
        return true;
    engine_count(&e->counters.relay_limited, 1);
    return false;
}

/* All that is collected goes to one destination, at one endpoint, by one way. Where a frame lies there is no more room
 * than it came with: what did not come as native transport does not go so. */
static bool turn_to(struct forward *f, peer_id id, bool came_native, uint64_t now)
{
    if (f->count > 0 && f->count < TUNNEL_BATCH_MAX && f->came_native == came_native &&
        tunnel_peer_id(f->destination) == id)
        return true;
    forward_seal(f, now);
    f->destination = tunnel_peer(f->engine->tunnel, id);
    if (!f->destination)
        return false;
    f->came_native = came_native;
    f->way = tunnel_find_way(f->destination, now);
    if (!came_native)
        f->way = tunnel_plain_way(f->way);
    return tunnel_peer_endpoint(f->destination, &f->to) && f->to.family != ENDPOINT_RELAYED;
}

/* Where the frame goes out from: where it lies, so that a burst stays one. If it gets shorter, it moves up to the one
 * before it. */
static uint8_t *close_up(struct forward *f, const struct opening *frame)
{
    uint8_t *at = frame->packet - f->way.headroom;
    bool follows = f->count > 0 && frame->at == f->end;
    f->end = frame->at + frame->len;
    if (at == frame->at || !follows)
        return at;
    const struct sealing *before = &f->packets[f->count - 1];
    at = before->at + tunnel_way_len(&f->way, before->len, TUNNEL_NO_PADDING);
    memmove(at + f->way.headroom, frame->packet, frame->packet_len);
    return at;
}

void forward_add(struct forward *f, const struct opening *frame, const struct permit *permit, uint64_t now)
{
    if (!is_within_rate(f->engine, frame->peer, frame->packet_len, now))
        return;
    bool came_native = frame->packet - frame->at == (ptrdiff_t)TUNNEL_HEADROOM_MAX;
    if (!turn_to(f, permit->destination, came_native, now)) {
        engine_count(&f->engine->counters.relay_refused, 1);
        return;
    }
    permit_serves(permit, now);
    frame->packet[offsetof(struct frame_relayed, direction)] = RELAYED_FROM;
    memcpy(frame->packet + offsetof(struct frame_relayed, device), permit->origin_name, sizeof(permit->origin_name));
    uint8_t *at = close_up(f, frame);
    f->packets[f->count++] = (struct sealing){.at = at, .len = frame->packet_len};
}

/* A message goes on while the next datagram lies right behind it and is no longer than its first; a shorter one ends
 * it. */
static bool extends(const struct forward *f, const struct sealing *packet)
{
    if (f->message_count == 0)
        return false;
    const struct udp_outgoing *m = &f->messages[f->message_count - 1];
    return m->data + m->len == packet->at && f->peers[f->message_count - 1] == tunnel_peer_id(f->destination) &&
           packet->sealed_len <= m->segment && m->len % m->segment == 0 && m->len / m->segment < UDP_SEGMENTS_MAX &&
           endpoint_equal(&m->to, &f->to);
}

static void add_message(struct forward *f, const struct sealing *packet)
{
    if (extends(f, packet)) {
        f->messages[f->message_count - 1].len += packet->sealed_len;
        return;
    }
    if (f->message_count == FORWARD_MESSAGES)
        forward_send(f);
    uint32_t i = f->message_count++;
    f->messages[i] = (struct udp_outgoing){
        .data = packet->at, .len = packet->sealed_len, .segment = packet->sealed_len, .to = f->to};
    f->peers[i] = tunnel_peer_id(f->destination);
}

void forward_seal(struct forward *f, uint64_t now)
{
    struct tunnel_notice notice;
    if (f->count == 0)
        return;
    int error = tunnel_seal_batch(f->engine->tunnel, f->crypto, f->destination, &f->way, f->packets, f->count,
                                  TUNNEL_NO_PADDING, now, &notice);
    if (notice.bits != 0)
        mailbox_put(&f->engine->inbox, &(struct mail){.kind = MAIL_NOTICE, .notice = notice});
    for (uint32_t i = 0; i < f->count && error == 0; i++)
        add_message(f, &f->packets[i]);
    engine_count(error == 0 ? &f->engine->counters.relayed : &f->engine->counters.relay_refused, f->count);
    f->count = 0;
}

void forward_send(struct forward *f)
{
    if (f->message_count == 0)
        return;
    udp_send(f->engine->udp, f->messages, f->message_count);
    for (uint32_t i = 0; i < f->message_count; i++) {
        if (f->messages[i].result != 0)
            engine_count(&f->engine->counters.send_failed, 1);
        if (f->messages[i].local_refused)
            mailbox_put(&f->engine->inbox, &(struct mail){.kind = MAIL_LOCAL_REFUSED, .peer = f->peers[i]});
    }
    f->message_count = 0;
}
