/* From the TUN to the port, in one thread that runs each packet to completion: read a packet or super-packet, write its
 * segments straight to where they are sent from, seal them there, send. */
#include <pthread.h>
#include <stdlib.h>

#include "base/pool.h"
#include "engine/internal.h"
#include "engine/staging.h"
#include "net/segment.h"

#define OUT_MESSAGES 8 /* sends a batch; each up to 64 KiB */
#define READS_MAX 64   /* packets a batch */
#define PACKET_MAX                                \
    ((65507u - (uint32_t)MESSAGE_TRANSPORT_MIN) & \
     ~(MESSAGE_PADDING - 1u)) /* beyond it no UDP datagram holds it sealed */
#define OUT_BYTES_MAX 65000u  /* a message with its own headers fits IPv4 and IPv6 */

/* Packets for one peer that are sealed together. They are the last in the outgoing messages, so that what can't be
 * sealed is taken back by forgetting it. */
struct group {
    struct peer *peer;
    struct endpoint to;
    uint32_t count;
    struct sealing packets[TUNNEL_BATCH_MAX];
    uint32_t messages; /* outgoing messages before it, */
    uint32_t len;      /* and the bytes in the last of them */
};

struct sender {
    struct engine *engine;
    struct crypto *crypto;
    struct loop *loop;
    struct mailbox inbox;
    struct reclaim_reader reader;
    pthread_t thread;
    bool running;
    _Atomic bool stop;

    /* The thread's own. */
    struct staging staging;
    struct group group;
    uint64_t now; /* monotonic, of this batch */
    uint32_t mtu;
    uint32_t message_count;
    struct pool *pool; /* of the buffers below; all are taken for good */
    uint8_t *in;
    uint8_t *spare; /* a packet on its way to being staged */
    uint8_t *out[OUT_MESSAGES];
    struct udp_outgoing messages[OUT_MESSAGES];
    peer_id peers[OUT_MESSAGES];
};

/* ---- Outgoing messages ---- */

static void tell_control(struct sender *s, const struct tunnel_notice *notice)
{
    if (notice->bits == 0)
        return;
    mailbox_put(&s->engine->inbox, &(struct mail){.kind = MAIL_NOTICE, .notice = *notice});
}

static void stage(struct sender *s, const struct peer *peer, const uint8_t *packet, uint32_t len)
{
    engine_count(&s->engine->counters.staged_dropped, staging_put(&s->staging, tunnel_peer_id(peer), packet, len));
}

static void stage_group(struct sender *s)
{
    const struct group *g = &s->group;
    for (uint32_t i = 0; i < g->count; i++)
        if (g->packets[i].len != 0)
            stage(s, g->peer, g->packets[i].at + sizeof(struct message_transport), g->packets[i].len);
}

static void take_back_group(struct sender *s)
{
    s->message_count = s->group.messages;
    if (s->message_count > 0)
        s->messages[s->message_count - 1].len = s->group.len;
}

static void close_group(struct sender *s)
{
    struct tunnel_notice notice;
    struct group *g = &s->group;
    if (g->count == 0)
        return;
    int error = tunnel_seal_batch(s->engine->tunnel, s->crypto, g->peer, g->packets, g->count, s->mtu, s->now, &notice);
    if (error == ERROR_NO_SESSION)
        stage_group(s);
    else if (error != 0)
        engine_count(&s->engine->counters.send_failed, g->count);
    if (error != 0)
        take_back_group(s);
    tell_control(s, &notice);
    g->count = 0;
}

static void send_messages(struct sender *s)
{
    close_group(s);
    if (s->message_count == 0)
        return;
    udp_send(s->engine->udp, s->messages, s->message_count);
    for (uint32_t i = 0; i < s->message_count; i++) {
        if (s->messages[i].result != 0)
            engine_count(&s->engine->counters.send_failed, 1);
        if (s->messages[i].local_refused)
            mailbox_put(&s->engine->inbox, &(struct mail){.kind = MAIL_LOCAL_REFUSED, .peer = s->peers[i]});
    }
    s->message_count = 0;
}

static void open_group(struct sender *s, struct peer *peer, const struct endpoint *to)
{
    struct group *g = &s->group;
    g->peer = peer;
    g->to = *to;
    g->messages = s->message_count;
    g->len = s->message_count > 0 ? s->messages[s->message_count - 1].len : 0;
}

/* A message ends with its first datagram that is shorter than the others. */
static bool fits(const struct sender *s, uint32_t len)
{
    if (s->message_count == 0)
        return false;
    const struct udp_outgoing *m = &s->messages[s->message_count - 1];
    return s->peers[s->message_count - 1] == tunnel_peer_id(s->group.peer) && len <= m->segment &&
           m->len % m->segment == 0 && m->len / m->segment < UDP_SEGMENTS_MAX && m->len + len <= OUT_BYTES_MAX &&
           endpoint_equal(&m->to, &s->group.to);
}

static void start_message(struct sender *s, uint32_t segment)
{
    if (segment > UDP_MESSAGE_MAX)
        abort(); /* carry lets nothing in that is longer than PACKET_MAX */
    uint32_t i = s->message_count++;
    s->messages[i] = (struct udp_outgoing){.data = s->out[i], .segment = segment, .to = s->group.to};
    s->peers[i] = tunnel_peer_id(s->group.peer);
}

/* Room for a packet of `len` bytes in the group; returns where its bytes go. */
static uint8_t *place(struct sender *s, struct peer *peer, const struct endpoint *to, uint32_t len)
{
    struct group *g = &s->group;
    uint32_t sealed_len = tunnel_sealed_len(len, s->mtu);
    if (g->count > 0 && (g->peer != peer || g->count == TUNNEL_BATCH_MAX))
        close_group(s);
    if (g->count == 0)
        open_group(s, peer, to);
    if (!fits(s, sealed_len)) {
        if (s->message_count == OUT_MESSAGES) {
            send_messages(s);
            open_group(s, peer, to);
        }
        start_message(s, sealed_len);
    }
    uint32_t last = s->message_count - 1;
    uint8_t *at = s->out[last] + s->messages[last].len;
    s->messages[last].len += sealed_len;
    g->packets[g->count++] = (struct sealing){.at = at, .len = len};
    return at + sizeof(struct message_transport);
}

/* ---- What was staged ---- */

static void place_staged(struct sender *s, struct peer *peer, const struct endpoint *to)
{
    struct staged_packet *packet = staging_take(&s->staging, tunnel_peer_id(peer));
    while (packet) {
        struct staged_packet *next = packet->next;
        memcpy(place(s, peer, to, packet->len), packet->bytes, packet->len);
        free(packet);
        packet = next;
    }
}

/* Nothing can be sealed: an empty batch has the control thread told, if it should be. */
static void ask_for_session(struct sender *s, struct peer *peer)
{
    struct tunnel_notice notice;
    int error = tunnel_seal_batch(s->engine->tunnel, s->crypto, peer, NULL, 0, s->mtu, s->now, &notice);
    (void)error;
    tell_control(s, &notice);
}

static void flush(struct sender *s, peer_id id, bool keepalive)
{
    struct endpoint to;
    struct peer *peer = tunnel_peer(s->engine->tunnel, id);
    if (!peer || !tunnel_peer_endpoint(peer, &to))
        return;
    if (!tunnel_has_session(peer, s->now)) {
        if (keepalive || staging_has(&s->staging, id))
            ask_for_session(s, peer);
        return;
    }
    if (staging_has(&s->staging, id))
        place_staged(s, peer, &to);
    else if (keepalive)
        place(s, peer, &to, 0);
    close_group(s);
}

static void read_mail(struct sender *s)
{
    uint32_t count;
    struct mail *mail = mailbox_take(&s->inbox, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (mail[i].kind == MAIL_FLUSH)
            flush(s, mail[i].peer, mail[i].keepalive);
        else if (mail[i].kind == MAIL_DISCARD)
            engine_count(&s->engine->counters.staged_dropped, staging_discard(&s->staging, mail[i].peer));
    }
    free(mail);
}

/* ---- What the TUN gives ---- */

static void stage_segments(struct sender *s, struct peer *peer, const struct segmenter *segments)
{
    close_group(s);
    for (uint32_t i = 0; i < segments->count; i++) {
        segment_write(segments, i, s->spare);
        stage(s, peer, s->spare, segment_len(segments, i));
    }
    ask_for_session(s, peer);
}

static void carry(struct sender *s, const struct virtio_net_hdr *header, uint32_t len)
{
    struct segmenter segments;
    struct endpoint to;
    if (segment_start(&segments, header, s->in, len) != 0) {
        engine_count(&s->engine->counters.malformed, 1);
        return;
    }
    struct peer *peer = tunnel_route(s->engine->tunnel, s->in, len);
    if (!peer)
        return;
    if (segment_len(&segments, 0) > PACKET_MAX) {
        engine_count(&s->engine->counters.send_failed, segments.count);
        return;
    }
    if (!tunnel_peer_endpoint(peer, &to)) {
        engine_count(&s->engine->counters.no_endpoint, segments.count);
        return;
    }
    if (!tunnel_has_session(peer, s->now)) {
        stage_segments(s, peer, &segments);
        return;
    }
    if (staging_has(&s->staging, tunnel_peer_id(peer)))
        place_staged(s, peer, &to); /* so that nothing overtakes */
    for (uint32_t i = 0; i < segments.count; i++)
        segment_write(&segments, i, place(s, peer, &to, segment_len(&segments, i)));
}

/* Returns false when there was nothing to read. */
static bool read_packet(struct sender *s)
{
    struct virtio_net_hdr header;
    int len = tun_read(s->engine->tun, &header, s->in, TUN_PACKET_MAX);
    if (len >= 0) {
        carry(s, &header, (uint32_t)len);
        return true;
    }
    if (len == ERROR_GONE || (len == ERROR_IO && tun_is_gone(s->engine->tun))) {
        mailbox_put(&s->engine->inbox, &(struct mail){.kind = MAIL_GONE});
        atomic_store(&s->stop, true);
    }
    return false;
}

static bool run_batch(struct sender *s)
{
    uint32_t reads = 0;
    s->now = loop_monotonic();
    s->mtu = atomic_load_explicit(&s->engine->mtu, memory_order_relaxed);
    reclaim_enter(&s->reader);
    read_mail(s);
    while (reads < READS_MAX && s->message_count < OUT_MESSAGES / 2 && read_packet(s))
        reads++;
    send_messages(s);
    reclaim_leave(&s->reader);
    return reads > 0;
}

static void tun_ready(void *context, int fd)
{
    (void)context;
    (void)fd;
}

static void *run(void *context)
{
    struct sender *s = context;
    while (!atomic_load(&s->stop)) {
        if (run_batch(s))
            continue;
        if (loop_once(s->loop, UINT64_MAX) != 0)
            break;
    }
    return NULL;
}

/* ---- For the control thread ---- */

static int take_buffers(struct sender *s)
{
    int error = pool_new(&s->pool, OUT_MESSAGES + 2, 0, UDP_MESSAGE_MAX);
    if (error != 0)
        return error;
    s->in = pool_take(s->pool)->data;
    s->spare = pool_take(s->pool)->data;
    for (int i = 0; i < OUT_MESSAGES; i++)
        s->out[i] = pool_take(s->pool)->data;
    return 0;
}

int sender_new(struct sender **out, struct engine *e)
{
    struct sender *s = calloc(1, sizeof(*s));
    if (!s)
        return ERROR_MEMORY;
    s->engine = e;
    int error = take_buffers(s);
    if (error == 0)
        error = loop_new(&s->loop);
    if (error == 0)
        error = mailbox_init(&s->inbox, s->loop, false);
    if (error == 0)
        error = crypto_new(&s->crypto, CRYPTO_BULK_BEST);
    if (error == 0)
        error = loop_add(s->loop, tun_fd(e->tun), tun_ready, s);
    if (error == 0) {
        tunnel_add_reader(e->tunnel, &s->reader);
        *out = s;
    } else {
        sender_free(s);
    }
    return error;
}

void sender_free(struct sender *s)
{
    if (!s)
        return;
    sender_stop(s);
    sender_discard_all(s);
    tunnel_remove_reader(s->engine->tunnel, &s->reader);
    crypto_free(s->crypto);
    mailbox_clear(&s->inbox);
    loop_free(s->loop);
    pool_free(s->pool);
    free(s);
}

int sender_start(struct sender *s)
{
    atomic_store(&s->stop, false);
    if (pthread_create(&s->thread, NULL, run, s) != 0)
        return ERROR_MEMORY;
    s->running = true;
    return 0;
}

void sender_stop(struct sender *s)
{
    if (!s->running)
        return;
    atomic_store(&s->stop, true);
    loop_wake(s->loop);
    pthread_join(s->thread, NULL);
    s->running = false;
}

/* While the thread does not run, nobody would read the mail; and there is no session to flush to. */
void sender_flush(struct sender *s, peer_id peer, bool keepalive)
{
    if (s->running)
        mailbox_put(&s->inbox, &(struct mail){.kind = MAIL_FLUSH, .peer = peer, .keepalive = keepalive});
}

void sender_discard(struct sender *s, peer_id peer)
{
    if (s->running)
        mailbox_put(&s->inbox, &(struct mail){.kind = MAIL_DISCARD, .peer = peer});
    else
        engine_count(&s->engine->counters.staged_dropped, staging_discard(&s->staging, peer));
}

void sender_discard_all(struct sender *s)
{
    engine_count(&s->engine->counters.staged_dropped, staging_discard_all(&s->staging));
}
