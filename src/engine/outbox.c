#include "engine/outbox.h"

#include <stdlib.h>

#include "net/partial.h"

#define OUT_BYTES_MAX 65000u /* a message with its own headers fits IPv4 and IPv6 */

/* ---- Where to ---- */

bool outbox_path(const struct outbox *o, const struct peer *peer, struct path *out)
{
    struct endpoint to;
    return tunnel_peer_endpoint(peer, &to) && outbox_path_by(o, peer, &to, out);
}

bool outbox_path_by(const struct outbox *o, const struct peer *peer, const struct endpoint *to, struct path *out)
{
    out->relay = NULL;
    out->carrier = tunnel_peer_id(peer);
    out->to = *to;
    if (out->to.family != ENDPOINT_RELAYED)
        return true;
    memcpy(out->name, out->to.address, sizeof(out->name));
    out->carrier = endpoint_relay(&out->to);
    out->relay = tunnel_peer(o->engine->tunnel, out->carrier);
    /* Nothing relayed is carried inside something relayed. */
    return out->relay && tunnel_peer_endpoint(out->relay, &out->to) && out->to.family != ENDPOINT_RELAYED;
}

bool outbox_is_open(const struct outbox *o, const struct peer *peer, const struct path *path)
{
    return tunnel_has_session(peer, o->now) && (!path->relay || tunnel_has_session(path->relay, o->now));
}

/* ---- Sealing ---- */

static void tell_control(struct outbox *o, const struct tunnel_notice *notice)
{
    if (notice->bits != 0)
        mailbox_put(&o->engine->inbox, &(struct mail){.kind = MAIL_NOTICE, .notice = *notice});
}

void outbox_stage(struct outbox *o, const struct peer *peer, const uint8_t *packet, uint32_t len)
{
    engine_count(&o->engine->counters.staged_dropped, staging_put(&o->staging, tunnel_peer_id(peer), packet, len));
}

/* The session ended since the packets were laid out for it. What waits must be whole: the next session may have no
 * native transport. */
static void stage_group(struct outbox *o)
{
    const struct group *g = &o->group;
    for (uint32_t i = 0; i < g->count; i++) {
        uint8_t *packet = g->packets[i].at + g->way.headroom;
        uint32_t len = g->packets[i].len;
        if (g->packets[i].partial && partial_complete(packet, len) != 0)
            engine_count(&o->engine->counters.staged_dropped, 1);
        else if (len != 0)
            outbox_stage(o, g->peer, packet, len);
    }
}

static void take_back_group(struct outbox *o)
{
    o->message_count = o->group.messages;
    if (o->message_count > 0)
        o->messages[o->message_count - 1].len = o->group.len;
}

/* The sealed datagrams once more, for the relay; each has room for that around it. */
static int wrap_group(struct outbox *o)
{
    struct group *g = &o->group;
    struct sealing outer[TUNNEL_BATCH_MAX];
    struct tunnel_notice notice;
    struct frame_relayed header = {.kind = FRAME_RELAYED};
    memcpy(header.device, g->path.name, sizeof(header.device));
    for (uint32_t i = 0; i < g->count; i++) {
        put_be32(header.len, g->packets[i].sealed_len);
        memcpy(g->packets[i].at - sizeof(header), &header, sizeof(header));
        outer[i] = (struct sealing){.at = g->packets[i].at - sizeof(header) - g->outer.headroom,
                                    .len = (uint32_t)sizeof(header) + g->packets[i].sealed_len};
    }
    int error = tunnel_seal_batch(o->engine->tunnel, o->crypto, g->path.relay, &g->outer, outer, g->count,
                                  TUNNEL_NO_PADDING, o->now, &notice);
    tell_control(o, &notice);
    return error == ERROR_NO_SESSION ? ERROR_AGAIN : error; /* too late to stage what is sealed */
}

void outbox_seal(struct outbox *o)
{
    struct tunnel_notice notice;
    struct group *g = &o->group;
    if (g->count == 0)
        return;
    int error = tunnel_seal_batch(o->engine->tunnel, o->crypto, g->peer, &g->way, g->packets, g->count, o->mtu, o->now,
                                  &notice);
    if (error == 0 && g->path.relay)
        error = wrap_group(o);
    if (error == ERROR_NO_SESSION)
        stage_group(o);
    else if (error != 0)
        engine_count(&o->engine->counters.send_failed, g->count);
    if (error != 0)
        take_back_group(o);
    tell_control(o, &notice);
    g->count = 0;
}

void outbox_send(struct outbox *o)
{
    outbox_seal(o);
    if (o->message_count == 0)
        return;
    udp_send(o->engine->udp, o->messages, o->message_count);
    for (uint32_t i = 0; i < o->message_count; i++) {
        if (o->messages[i].result != 0)
            engine_count(&o->engine->counters.send_failed, 1);
        if (o->messages[i].local_refused)
            mailbox_put(&o->engine->inbox, &(struct mail){.kind = MAIL_LOCAL_REFUSED, .peer = o->carriers[i]});
    }
    o->message_count = 0;
}

/* ---- Placing ---- */

static void open_group(struct outbox *o, struct peer *peer, const struct path *path)
{
    struct group *g = &o->group;
    g->peer = peer;
    g->path = *path;
    g->way = tunnel_find_way(peer, o->now);
    if (path->relay)
        g->outer = tunnel_find_way(path->relay, o->now);
    g->messages = o->message_count;
    g->len = o->message_count > 0 ? o->messages[o->message_count - 1].len : 0;
}

/* A message ends with its first datagram that is shorter than the others. */
static bool fits(const struct outbox *o, uint32_t len)
{
    if (o->message_count == 0)
        return false;
    const struct udp_outgoing *m = &o->messages[o->message_count - 1];
    return o->carriers[o->message_count - 1] == o->group.path.carrier && len <= m->segment &&
           m->len % m->segment == 0 && m->len / m->segment < UDP_SEGMENTS_MAX && m->len + len <= OUT_BYTES_MAX &&
           endpoint_equal(&m->to, &o->group.path.to);
}

static void start_message(struct outbox *o, uint32_t segment)
{
    if (segment > UDP_MESSAGE_MAX)
        abort(); /* nobody places what is longer than PACKET_MAX */
    uint32_t i = o->message_count++;
    o->messages[i] = (struct udp_outgoing){.data = o->out[i], .segment = segment, .to = o->group.path.to};
    o->carriers[i] = o->group.path.carrier;
}

static bool same_path(const struct path *a, const struct path *b)
{
    return a->relay == b->relay && endpoint_equal(&a->to, &b->to) &&
           (!a->relay || memcmp(a->name, b->name, sizeof(a->name)) == 0);
}

/* What a packet of `len` bytes of the group becomes, relay and all. */
static uint32_t whole_len(const struct outbox *o, uint32_t len)
{
    const struct group *g = &o->group;
    len = tunnel_way_len(&g->way, len, o->mtu);
    if (!g->path.relay)
        return len;
    return tunnel_way_len(&g->outer, (uint32_t)sizeof(struct frame_relayed) + len, TUNNEL_NO_PADDING);
}

/* Room at the end of the last message, or of a new one. */
static uint8_t *take_room(struct outbox *o, struct peer *peer, const struct path *path, uint32_t len)
{
    if (!fits(o, whole_len(o, len)) && o->message_count == OUT_MESSAGES) {
        outbox_send(o);
        open_group(o, peer, path);
    }
    uint32_t whole = whole_len(o, len);
    if (!fits(o, whole))
        start_message(o, whole);
    uint32_t last = o->message_count - 1;
    uint8_t *at = o->out[last] + o->messages[last].len;
    o->messages[last].len += whole;
    return at;
}

uint8_t *outbox_place(struct outbox *o, struct peer *peer, const struct path *path, uint32_t len)
{
    struct group *g = &o->group;
    if (g->count > 0 && (g->peer != peer || g->count == TUNNEL_BATCH_MAX || !same_path(&g->path, path)))
        outbox_seal(o);
    if (g->count == 0)
        open_group(o, peer, path);
    uint8_t *at = take_room(o, peer, path, len);
    if (path->relay)
        at += g->outer.headroom + sizeof(struct frame_relayed);
    g->packets[g->count++] = (struct sealing){.at = at, .len = len};
    return at + g->way.headroom;
}

bool outbox_may_be_partial(const struct outbox *o)
{
    return o->group.way.native;
}

void outbox_make_partial(struct outbox *o)
{
    o->group.packets[o->group.count - 1].partial = true;
}

void outbox_place_staged(struct outbox *o, struct peer *peer, const struct path *path)
{
    struct staged_packet *packet = staging_take(&o->staging, tunnel_peer_id(peer));
    while (packet) {
        struct staged_packet *next = packet->next;
        memcpy(outbox_place(o, peer, path, packet->len), packet->bytes, packet->len);
        free(packet);
        packet = next;
    }
}

/* ---- What is missing ---- */

/* An empty batch says whether, and how often, to ask for a handshake. */
void outbox_ask(struct outbox *o, const struct path *path, struct peer *peer)
{
    struct tunnel_notice notice;
    struct peer *missing = path->relay && !tunnel_has_session(path->relay, o->now) ? path->relay : peer;
    int error = tunnel_seal_batch(o->engine->tunnel, o->crypto, missing, NULL, NULL, 0, o->mtu, o->now, &notice);
    (void)error;
    tell_control(o, &notice);
}

void outbox_want(struct outbox *o, const struct peer *peer)
{
    if (staging_ask(&o->staging, tunnel_peer_id(peer), o->now))
        mailbox_put(&o->engine->inbox, &(struct mail){.kind = MAIL_WANTED, .peer = tunnel_peer_id(peer)});
}
