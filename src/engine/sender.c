/* From the TUN to the port, in one thread that runs each packet to completion: read a packet or super-packet, write its
 * segments straight to where they are sent from, seal them there, send. Control frames go the same way. */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/outbox.h"
#include "engine/police.h"
#include "net/segment.h"
#include "wire/ip.h"

#define READS_MAX 64 /* packets a batch */
#define STAGED_PEERS_MAX 256
#define SWEEP_INTERVAL (10 * SECOND)
/* Sweeps that staged packets outlive: a handshake has its time, one with somebody who can't be found less of it. */
#define SWEEPS_MAX ((uint32_t)(REKEY_ATTEMPT_TIME / SWEEP_INTERVAL) + 2)
#define SWEEPS_WITHOUT_PATH 2
#define WANTED_PER_SECOND 16

/* Inner addresses that nobody has, of this second, each told once; and of the second before: who goes on sending there
 * is told by ICMP, since whoever could be introduced has been by then. */
struct wanted {
    uint64_t since; /* monotonic */
    uint32_t count, before_count;
    uint8_t addresses[WANTED_PER_SECOND][16];
    uint8_t before[WANTED_PER_SECOND][16];
};
#define WANTED_REMEMBERED (8 * SECOND)

/* How long the control thread waits for what it handed over. */
#define SETTLE_LOOKS 5u /* 1 ms apart */

struct sender {
    struct engine *engine;
    struct loop *loop;
    struct mailbox inbox;
    struct reclaim_reader reader;
    pthread_t thread;
    bool running;
    _Atomic bool stop;
    uint32_t asked;           /* control thread: the latest sender_settle, */
    _Atomic uint32_t settled; /* and up to which one all has been sent that was handed over before */

    /* The thread's own. */
    uint32_t settles; /* the latest one that was read */
    struct outbox outbox;
    struct wanted wanted;
    struct police_memory police;
    uint64_t swept;    /* monotonic */
    struct pool *pool; /* of the outbox's buffers and those below; all are taken for good */
    uint8_t *in;       /* with its virtio header right before it */
    uint8_t *spare;    /* a packet on its way to being staged */
};

/* ---- What was staged, and frames ---- */

/* A path that can be sealed on, with nothing staged that would be overtaken. Otherwise what is missing was asked for.
 */
static bool make_way(struct sender *s, struct peer *peer, struct path *path)
{
    struct outbox *o = &s->outbox;
    if (!outbox_path(o, peer, path)) {
        outbox_want(o, peer);
        return false;
    }
    if (!outbox_is_open(o, peer, path)) {
        outbox_ask(o, path, peer);
        return false;
    }
    if (staging_has(&o->staging, tunnel_peer_id(peer)))
        outbox_place_staged(o, peer, path);
    return true;
}

static void flush(struct sender *s, peer_id id, bool keepalive)
{
    struct path path;
    struct peer *peer = tunnel_peer(s->engine->tunnel, id);
    bool staged = staging_has(&s->outbox.staging, id);
    if (!peer || (!staged && !keepalive) || !make_way(s, peer, &path))
        return;
    if (!staged)
        outbox_place(&s->outbox, peer, &path, 0);
    outbox_seal(&s->outbox);
}

/* What waits for the session with a relay is staged for the peers behind it. */
static void flush_dependents(struct sender *s, peer_id relay)
{
    peer_id waiting[STAGED_PEERS_MAX];
    uint32_t count = staging_peers(&s->outbox.staging, waiting, STAGED_PEERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct endpoint to;
        const struct peer *peer = tunnel_peer(s->engine->tunnel, waiting[i]);
        if (peer && tunnel_peer_endpoint(peer, &to) && to.family == ENDPOINT_RELAYED && endpoint_relay(&to) == relay)
            flush(s, waiting[i], false);
    }
}

/* What waits for peers that never come would take the room of what waits for others. */
static void sweep(struct sender *s)
{
    peer_id waiting[STAGED_PEERS_MAX];
    struct path path;
    struct outbox *o = &s->outbox;
    if (o->now < s->swept + SWEEP_INTERVAL)
        return;
    s->swept = o->now;
    uint32_t count = staging_peers(&o->staging, waiting, STAGED_PEERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct peer *peer = tunnel_peer(s->engine->tunnel, waiting[i]);
        uint32_t most = peer && outbox_path(o, peer, &path) ? SWEEPS_MAX : SWEEPS_WITHOUT_PATH;
        if (staging_age(&o->staging, waiting[i]) > most)
            engine_count(&s->engine->counters.staged_dropped, staging_discard(&o->staging, waiting[i]));
    }
}

static void send_frame(struct sender *s, peer_id id, const uint8_t *bytes, uint32_t len)
{
    struct peer *peer = tunnel_peer(s->engine->tunnel, id);
    if (!peer)
        return;
    outbox_stage(&s->outbox, peer, bytes, len);
    flush(s, id, false);
}

/* It says something about this path alone: it waits for nothing, and follows the peer nowhere. */
static void send_frame_by(struct sender *s, const struct mail *mail)
{
    struct path path;
    struct outbox *o = &s->outbox;
    struct peer *peer = tunnel_peer(s->engine->tunnel, mail->peer);
    if (!peer || !outbox_path_by(o, peer, &mail->path, &path) || !outbox_is_open(o, peer, &path)) {
        engine_count(&s->engine->counters.frames_dropped, 1);
        return;
    }
    memcpy(outbox_place(o, peer, &path, mail->len), mail->bytes, mail->len);
    outbox_seal(o);
}

static void read_mail(struct sender *s)
{
    uint32_t count;
    struct mail *mail = mailbox_take(&s->inbox, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (mail[i].kind == MAIL_FLUSH) {
            flush(s, mail[i].peer, mail[i].keepalive);
            flush_dependents(s, mail[i].peer);
        } else if (mail[i].kind == MAIL_FRAME && mail[i].path.family != ENDPOINT_NONE) {
            send_frame_by(s, &mail[i]);
        } else if (mail[i].kind == MAIL_FRAME) {
            send_frame(s, mail[i].peer, mail[i].bytes, mail[i].len);
        } else if (mail[i].kind == MAIL_DISCARD) {
            engine_count(&s->engine->counters.staged_dropped, staging_discard(&s->outbox.staging, mail[i].peer));
        } else if (mail[i].kind == MAIL_SETTLE) {
            s->settles = mail[i].len;
        }
    }
    mail_free(mail, count);
}

/* ---- What the TUN gives ---- */

static bool is_among(uint8_t (*addresses)[16], uint32_t count, const uint8_t address[16])
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(addresses[i], address, 16) == 0)
            return true;
    return false;
}

static void begin_second(struct wanted *w, uint64_t now)
{
    if (w->since != 0 && now < w->since + SECOND)
        return;
    w->before_count = w->since != 0 && now < w->since + WANTED_REMEMBERED ? w->count : 0;
    memcpy(w->before, w->addresses, sizeof(w->before));
    w->since = now;
    w->count = 0;
}

static bool is_new(struct wanted *w, const uint8_t address[16])
{
    if (w->count == WANTED_PER_SECOND || is_among(w->addresses, w->count, address))
        return false;
    memcpy(w->addresses[w->count++], address, 16);
    return true;
}

/* Multicast, and what is meant for the local link, are nobody's. */
static bool may_be_a_peers(const struct ip_header *ip)
{
    const uint8_t *a = ip->destination;
    if (ip->version == 4)
        return a[0] != 0 && a[0] < 224 && a[0] != 127 && (a[0] != 169 || a[1] != 254);
    return a[0] != 0xff && (a[0] != 0xfe || (a[1] & 0xc0) != 0x80);
}

static void want_address(struct sender *s, uint32_t len)
{
    struct ip_header ip;
    struct mail mail = {.kind = MAIL_WANTED};
    if (!s->engine->options.wanted || ip_parse(&ip, s->in, len) != 0 || !may_be_a_peers(&ip))
        return;
    mail.len = ip.address_len;
    memcpy(mail.address, ip.destination, ip.address_len);
    begin_second(&s->wanted, s->outbox.now);
    if (is_among(s->wanted.before, s->wanted.before_count, mail.address))
        police_tell_sender(s->engine, s->in, len);
    if (is_new(&s->wanted, mail.address))
        mailbox_put(&s->engine->inbox, &mail);
}

static void stage_segments(struct sender *s, const struct peer *peer, const struct segmenter *segments)
{
    outbox_seal(&s->outbox);
    for (uint32_t i = 0; i < segments->count; i++) {
        segment_write(segments, i, s->spare);
        outbox_stage(&s->outbox, peer, s->spare, segment_len(segments, i));
    }
}

/* The packet can't be sent now. */
static void hold_back(struct sender *s, struct peer *peer, const struct segmenter *segments)
{
    struct path path;
    if (outbox_path(&s->outbox, peer, &path)) {
        stage_segments(s, peer, segments);
        outbox_ask(&s->outbox, &path, peer);
    } else if (s->engine->options.wanted) {
        stage_segments(s, peer, segments);
        outbox_want(&s->outbox, peer);
    } else {
        engine_count(&s->engine->counters.no_endpoint, segments->count);
    }
}

/* Where the peer completes the checksum, and the kernel left it, nobody need sum the payload on the way. */
static void place_segments(struct outbox *o, struct peer *peer, const struct path *path,
                           const struct segmenter *segments)
{
    bool may_be_partial = segment_may_be_partial(segments);
    for (uint32_t i = 0; i < segments->count; i++) {
        uint8_t *out = outbox_place(o, peer, path, segment_len(segments, i));
        if (may_be_partial && outbox_may_be_partial(o)) {
            segment_write_partial(segments, i, out);
            outbox_make_partial(o);
        } else {
            segment_write(segments, i, out);
        }
    }
}

static void carry_to(struct sender *s, struct peer *peer, const struct segmenter *segments)
{
    struct path path;
    struct outbox *o = &s->outbox;
    if (!outbox_path(o, peer, &path) || !outbox_is_open(o, peer, &path)) {
        hold_back(s, peer, segments);
        return;
    }
    if (staging_has(&o->staging, tunnel_peer_id(peer)))
        outbox_place_staged(o, peer, &path); /* so that nothing overtakes */
    place_segments(o, peer, &path, segments);
}

static void carry(struct sender *s, const struct virtio_net_hdr *header, uint32_t len)
{
    struct segmenter segments;
    if (segment_start(&segments, header, s->in, len) != 0) {
        engine_count(&s->engine->counters.malformed, 1);
        return;
    }
    struct peer *peer = tunnel_route(s->engine->tunnel, s->in, len);
    if (!peer)
        want_address(s, len);
    else if (segment_len(&segments, 0) > PACKET_MAX)
        engine_count(&s->engine->counters.send_failed, segments.count);
    else if (police_lets_out(s->engine, &s->police, peer, s->in, len, segments.count, s->outbox.now))
        carry_to(s, peer, &segments);
}

/* Returns false when there was nothing to read. */
static bool read_packet(struct sender *s)
{
    struct virtio_net_hdr *header = (void *)(s->in - sizeof(*header));
    if (!s->engine->tun)
        return false;
    int len = tun_read(s->engine->tun, header, TUN_PACKET_MAX);
    if (len >= 0) {
        carry(s, header, (uint32_t)len);
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
    struct outbox *o = &s->outbox;
    o->now = loop_monotonic();
    o->mtu = atomic_load_explicit(&s->engine->mtu, memory_order_relaxed);
    s->police.peer = NULL;
    reclaim_enter(&s->reader);
    read_mail(s);
    sweep(s);
    while (reads < READS_MAX && o->message_count < OUT_MESSAGES / 2 && read_packet(s))
        reads++;
    outbox_send(o);
    reclaim_leave(&s->reader);
    atomic_store_explicit(&s->settled, s->settles, memory_order_release);
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
    int error = pool_new(&s->pool, OUT_MESSAGES + 2, sizeof(struct virtio_net_hdr), UDP_MESSAGE_MAX);
    if (error != 0)
        return error;
    s->in = pool_take(s->pool)->data;
    s->spare = pool_take(s->pool)->data;
    for (int i = 0; i < OUT_MESSAGES; i++)
        s->outbox.out[i] = pool_take(s->pool)->data;
    return 0;
}

int sender_new(struct sender **out, struct engine *e)
{
    struct sender *s = calloc(1, sizeof(*s));
    if (!s)
        return ERROR_MEMORY;
    s->engine = s->outbox.engine = e;
    int error = take_buffers(s);
    if (error == 0)
        error = loop_new(&s->loop);
    if (error == 0)
        error = mailbox_init(&s->inbox, s->loop, false);
    if (error == 0)
        error = crypto_new(&s->outbox.crypto, CRYPTO_BULK_BEST);
    if (error == 0 && e->tun)
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
    crypto_free(s->outbox.crypto);
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
        engine_count(&s->engine->counters.staged_dropped, staging_discard(&s->outbox.staging, peer));
}

void sender_frame(struct sender *s, peer_id peer, const uint8_t *bytes, uint32_t len)
{
    sender_frame_by(s, peer, &(struct endpoint){.family = ENDPOINT_NONE}, bytes, len);
}

void sender_frame_by(struct sender *s, peer_id peer, const struct endpoint *path, const uint8_t *bytes, uint32_t len)
{
    struct mail mail = {.kind = MAIL_FRAME, .peer = peer, .len = len};
    mail.path = *path;
    if (!s->running || !mailbox_put_frame(&s->inbox, &mail, bytes))
        engine_count(&s->engine->counters.frames_dropped, 1);
}

void sender_settle(struct sender *s)
{
    if (!s->running)
        return;
    mailbox_put(&s->inbox, &(struct mail){.kind = MAIL_SETTLE, .len = ++s->asked});
    for (uint32_t i = 0; i < SETTLE_LOOKS && atomic_load_explicit(&s->settled, memory_order_acquire) != s->asked; i++)
        (void)poll(NULL, 0, 1);
}

void sender_discard_all(struct sender *s)
{
    engine_count(&s->engine->counters.staged_dropped, staging_discard_all(&s->outbox.staging));
}
