/* From the port to the TUN, in one thread that runs each message to completion: receive, open in place, join what
 * belongs together, write; or, as a relay, seal again and send on. Handshake messages and control frames go to the
 * control thread. */
#include <pthread.h>
#include <stdlib.h>

#include "base/pool.h"
#include "engine/companion.h"
#include "engine/forward.h"
#include "engine/police.h"
#include "net/coalesce.h"
#include "net/compat.h"
#include "net/tun.h"

#define MESSAGES 8 /* a receive; each up to 64 KiB */

struct receiver {
    struct engine *engine;
    struct crypto *crypto;
    struct loop *loop;
    struct reclaim_reader reader;
    pthread_t thread;
    bool running;
    _Atomic bool stop;

    /* The thread's own. */
    struct coalescer *coalescer;
    struct coalesce_options coalesce_options;
    uint64_t now; /* monotonic, of this batch */
    bool told_gone;
    uint32_t opening_count;
    struct opening opening[TUNNEL_BATCH_MAX];
    /* What came through relays: a second batch, of what was inside the first. */
    uint32_t relayed_count;
    struct opening relayed[TUNNEL_BATCH_MAX];
    struct endpoint relayed_from[TUNNEL_BATCH_MAX];
    struct forward forward;
    struct police_memory police;
    bool ready[2];     /* IPv4, IPv6 */
    struct pool *pool; /* of all buffers; all are taken for good */
    uint8_t *split;    /* one packet of a super-packet that the kernel would not take */
    struct udp_received messages[MESSAGES];
};

/* ---- To the TUN ---- */

static void write_failed(struct receiver *r, int error, uint32_t packets)
{
    if (error == ERROR_GONE && !r->told_gone) {
        mailbox_put(&r->engine->inbox, &(struct mail){.kind = MAIL_GONE});
        r->told_gone = true;
    }
    engine_count(&r->engine->counters.tun_dropped, packets);
}

static void write_split(struct receiver *r, const struct coalesced *super)
{
    static const struct virtio_net_hdr plain;
    for (uint32_t i = 0; i < super->packets; i++) {
        struct iovec iov = {.iov_base = r->split, .iov_len = coalesce_split(super, i, r->split)};
        int error = tun_write(r->engine->tun, &plain, &iov, 1);
        if (error != 0)
            write_failed(r, error, 1);
    }
}

/* What the kernel refused is not made again. */
static void stop_making(struct receiver *r, const struct virtio_net_hdr *header)
{
    uint8_t kind = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    if (kind == VIRTIO_NET_HDR_GSO_NONE)
        r->coalesce_options.partial = false;
    else if (kind == VIRTIO_NET_HDR_GSO_UDP_L4)
        r->coalesce_options.udp = false;
    else
        r->coalesce_options.tcp = false;
}

/* The kernel is known to take super-packets and partial checksums, until it refuses one. */
static void write_out(struct receiver *r)
{
    struct coalesced next;
    while (coalesce_next(r->coalescer, &next)) {
        int error = tun_write(r->engine->tun, &next.header, next.iov, next.count);
        if (error == ERROR_UNSUPPORTED) {
            stop_making(r, &next.header);
            write_split(r, &next);
        } else if (error != 0) {
            write_failed(r, error, next.packets);
        }
    }
    coalesce_reset(r->coalescer, &r->coalesce_options);
}

/* ---- From the port ---- */

static int add(struct receiver *r, const struct opening *o)
{
    return o->partial ? coalesce_add_partial(r->coalescer, o->packet, o->packet_len)
                      : coalesce_add(r->coalescer, o->packet, o->packet_len);
}

static void take_packet(struct receiver *r, const struct opening *o)
{
    if (!r->engine->tun) {
        engine_count(&r->engine->counters.tun_dropped, 1);
        return;
    }
    if (!police_lets_in(r->engine, &r->police, o->peer, o->packet, o->packet_len, r->now))
        return;
    int error = add(r, o);
    if (error == ERROR_FULL) {
        write_out(r);
        error = add(r, o);
    }
    if (error == ERROR_MALFORMED)
        engine_count(&r->engine->counters.partial_malformed, 1);
    else if (error != 0)
        engine_count(&r->engine->counters.tun_dropped, 1);
}

static void take_frame(struct receiver *r, const struct opening *o)
{
    struct engine *e = r->engine;
    struct mail mail = {.kind = MAIL_FRAME, .peer = tunnel_peer_id(o->peer), .len = o->packet_len};
    mail.path = *o->from;
    mail.session = o->session;
    if (!e->options.frame || !mailbox_put_frame(&e->inbox, &mail, o->packet))
        engine_count(&e->counters.frames_dropped, 1);
}

static void take_handshake(struct receiver *r, const uint8_t *bytes, uint32_t len, const struct endpoint *from,
                           enum message_type type);

static bool is_sealed(enum message_type type)
{
    return type == MESSAGE_TRANSPORT || type == MESSAGE_NATIVE;
}

/* The datagram inside re-enters the door, as if it came from where the relay says. */
static void take_inside(struct receiver *r, const struct opening *o, uint8_t *bytes, uint32_t len)
{
    struct endpoint *from = &r->relayed_from[r->relayed_count];
    *from = endpoint_relayed(o->packet + offsetof(struct frame_relayed, device), tunnel_peer_id(o->peer));
    enum message_type type = message_classify(bytes, len);
    if (is_sealed(type))
        r->relayed[r->relayed_count++] = (struct opening){.at = bytes, .len = len, .from = from};
    else
        take_handshake(r, bytes, len, from, type);
}

static void take_relayed(struct receiver *r, const struct opening *o)
{
    struct engine_counters_live *counters = &r->engine->counters;
    const struct companion *c = companion_of(o->peer);
    struct permit permit;
    uint32_t len;
    if (o->from->family == ENDPOINT_RELAYED) {
        engine_count(&counters->relay_nested, 1);
        return;
    }
    uint8_t *datagram = forward_datagram(o, &len);
    bool asked = datagram && forward_is_asked(o);
    if (asked && forward_find(&r->forward, o, &permit))
        forward_add(&r->forward, o, &permit, r->now);
    else if (datagram && !asked && c && atomic_load_explicit(&c->relay, memory_order_relaxed))
        take_inside(r, o, datagram, len);
    else
        engine_count(&counters->relay_refused, 1);
}

static void take_opened(struct receiver *r, const struct opening *o)
{
    if (!o->packet)
        return;
    if (!o->frame)
        take_packet(r, o);
    else if (o->packet[0] == FRAME_RELAYED)
        take_relayed(r, o);
    else
        take_frame(r, o);
}

static void open_batch(struct receiver *r, struct opening *messages, uint32_t message_count)
{
    struct tunnel_notice notices[TUNNEL_BATCH_MAX];
    size_t count;
    tunnel_open_batch(r->engine->tunnel, r->crypto, messages, message_count, r->now, notices, &count);
    for (size_t i = 0; i < count; i++)
        mailbox_put(&r->engine->inbox, &(struct mail){.kind = MAIL_NOTICE, .notice = notices[i]});
    for (uint32_t i = 0; i < message_count; i++)
        take_opened(r, &messages[i]);
}

static void open_messages(struct receiver *r)
{
    open_batch(r, r->opening, r->opening_count);
    r->opening_count = 0;
    if (r->relayed_count > 0)
        open_batch(r, r->relayed, r->relayed_count);
    r->relayed_count = 0;
}

static void put_handshake(struct receiver *r, enum handshake_class class, const uint8_t *bytes, uint32_t len,
                          const struct endpoint *from)
{
    if (!mailbox_put_handshake(&r->engine->inbox, class, bytes, len, from, r->now))
        engine_count(&r->engine->counters.handshake_dropped, 1);
}

/* Where there is no room for those without our gate key, who has none costs not even a hash. */
static bool comes_in_vain(const struct receiver *r, const uint8_t *bytes, uint32_t len)
{
    return !mailbox_has_room(&r->engine->inbox, HANDSHAKE_UNGATED) &&
           (is_zero(bytes + len - MESSAGE_MAC_SIZE, MESSAGE_MAC_SIZE) ||
            !mailbox_has_room(&r->engine->inbox, HANDSHAKE_GATED));
}

static void take_initiation(struct receiver *r, const uint8_t *bytes, uint32_t len, const struct endpoint *from)
{
    struct tunnel *t = r->engine->tunnel;
    if (comes_in_vain(r, bytes, len)) {
        engine_count(&r->engine->counters.handshake_dropped, 1);
        return;
    }
    if (!tunnel_mac1_holds(t, r->crypto, bytes, len))
        return;
    enum tunnel_gate_verdict gate = tunnel_gate_judge(t, r->crypto, bytes, len);
    if (gate != TUNNEL_GATE_REPEATED)
        put_handshake(r, gate == TUNNEL_GATE_HELD ? HANDSHAKE_GATED : HANDSHAKE_UNGATED, bytes, len, from);
}

/* The little that can be checked here keeps what can't come to anything out of the queue. */
static void take_handshake(struct receiver *r, const uint8_t *bytes, uint32_t len, const struct endpoint *from,
                           enum message_type type)
{
    struct tunnel *t = r->engine->tunnel;
    if (type == MESSAGE_INITIATION)
        take_initiation(r, bytes, len, from);
    else if (tunnel_awaits(t, bytes, len) &&
             (type == MESSAGE_COOKIE_REPLY || tunnel_mac1_holds(t, r->crypto, bytes, len)))
        put_handshake(r, HANDSHAKE_ANSWER, bytes, len, from);
}

static void take_datagram(struct receiver *r, uint8_t *bytes, uint32_t len, const struct endpoint *from)
{
    enum message_type type = message_classify(bytes, len);
    if (is_sealed(type)) {
        r->opening[r->opening_count++] = (struct opening){.at = bytes, .len = len, .from = from};
        if (r->opening_count == TUNNEL_BATCH_MAX)
            open_messages(r);
    } else if (type != MESSAGE_NONE) {
        take_handshake(r, bytes, len, from, type);
    } else {
        engine_count(&r->engine->counters.strange, 1);
    }
}

static void take_message(struct receiver *r, struct udp_received *message)
{
    for (uint32_t at = 0; at < message->len; at += message->segment) {
        uint32_t left = message->len - at;
        take_datagram(r, message->data + at, left < message->segment ? left : message->segment, &message->from);
    }
}

/* Returns whether more may be waiting. */
static bool run_batch(struct receiver *r, enum endpoint_family family)
{
    int count = udp_receive(r->engine->udp, family, r->messages, MESSAGES);
    if (count <= 0)
        return false;
    r->now = loop_monotonic();
    r->police.peer = NULL;
    reclaim_enter(&r->reader);
    for (int i = 0; i < count; i++)
        take_message(r, &r->messages[i]);
    open_messages(r);
    forward_seal(&r->forward, r->now);
    reclaim_leave(&r->reader);
    forward_send(&r->forward);
    write_out(r);
    return count == MESSAGES;
}

static void ipv4_ready(void *context, int fd)
{
    (void)fd;
    ((struct receiver *)context)->ready[0] = true;
}

static void ipv6_ready(void *context, int fd)
{
    (void)fd;
    ((struct receiver *)context)->ready[1] = true;
}

static void *run(void *context)
{
    struct receiver *r = context;
    while (!atomic_load(&r->stop)) {
        if (!r->ready[0] && !r->ready[1] && loop_once(r->loop, UINT64_MAX) != 0)
            break;
        bool more = r->ready[0] && run_batch(r, ENDPOINT_IPV4);
        more |= r->ready[1] && run_batch(r, ENDPOINT_IPV6);
        r->ready[0] = r->ready[1] = more; /* neither family waits for the other to fall silent */
    }
    return NULL;
}

/* ---- For the control thread ---- */

static int take_buffers(struct receiver *r)
{
    int error = pool_new(&r->pool, MESSAGES + 1, 0, UDP_MESSAGE_MAX);
    if (error != 0)
        return error;
    r->split = pool_take(r->pool)->data;
    for (int i = 0; i < MESSAGES; i++)
        r->messages[i].data = pool_take(r->pool)->data;
    return 0;
}

int receiver_new(struct receiver **out, struct engine *e)
{
    struct receiver *r = calloc(1, sizeof(*r));
    if (!r)
        return ERROR_MEMORY;
    r->engine = e;
    if (e->tun)
        r->coalesce_options = (struct coalesce_options){
            .tcp = tun_has_offloads(e->tun), .udp = tun_has_udp_offload(e->tun), .partial = tun_takes_partial(e->tun)};
    int error = take_buffers(r);
    if (error == 0)
        error = coalesce_new(&r->coalescer);
    if (error == 0)
        error = loop_new(&r->loop);
    if (error == 0)
        error = crypto_new(&r->crypto, CRYPTO_BULK_BEST);
    if (error != 0) {
        receiver_free(r);
        return error;
    }
    coalesce_reset(r->coalescer, &r->coalesce_options);
    r->forward.engine = e;
    r->forward.crypto = r->crypto;
    tunnel_add_reader(e->tunnel, &r->reader);
    *out = r;
    return 0;
}

void receiver_free(struct receiver *r)
{
    if (!r)
        return;
    receiver_stop(r);
    tunnel_remove_reader(r->engine->tunnel, &r->reader);
    crypto_free(r->crypto);
    coalesce_free(r->coalescer);
    loop_free(r->loop);
    pool_free(r->pool);
    free(r);
}

static int watch(struct receiver *r, enum endpoint_family family, loop_ready *ready)
{
    int fd = udp_fd(r->engine->udp, family);
    return fd < 0 ? 0 : loop_add(r->loop, fd, ready, r);
}

static void unwatch(struct receiver *r)
{
    loop_remove(r->loop, udp_fd(r->engine->udp, ENDPOINT_IPV4));
    loop_remove(r->loop, udp_fd(r->engine->udp, ENDPOINT_IPV6));
}

int receiver_start(struct receiver *r)
{
    atomic_store(&r->stop, false);
    r->ready[0] = r->ready[1] = false;
    int error = watch(r, ENDPOINT_IPV4, ipv4_ready);
    if (error == 0)
        error = watch(r, ENDPOINT_IPV6, ipv6_ready);
    if (error == 0 && pthread_create(&r->thread, NULL, run, r) != 0)
        error = ERROR_MEMORY;
    r->running = error == 0;
    if (error != 0)
        unwatch(r);
    return error;
}

void receiver_stop(struct receiver *r)
{
    if (!r->running)
        return;
    atomic_store(&r->stop, true);
    loop_wake(r->loop);
    pthread_join(r->thread, NULL);
    r->running = false;
    unwatch(r);
}
