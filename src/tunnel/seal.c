/* The way out: route, seal, and what the timers want to know of it (paper sections 5.4.6, 6.1). */
#include "tunnel/internal.h"
#include "wire/ip.h"

/* How often a data thread repeats its wish for a handshake. */
#define ASK_INTERVAL SECOND

struct peer *tunnel_route(struct tunnel *t, const uint8_t *packet, size_t len)
{
    struct ip_header ip;
    struct peer *p = NULL;
    if (ip_parse(&ip, packet, len) == 0)
        p = ip.version == 4 ? allowed_ips_lookup4(&t->allowed_ips, ip.destination)
                            : allowed_ips_lookup6(&t->allowed_ips, ip.destination);
    if (!p)
        count(&t->counters.no_route);
    return p;
}

static bool usable(const struct session *s, size_t packets, uint64_t now)
{
    return s && now < s->born + REJECT_AFTER_TIME &&
           atomic_load_explicit(&s->send_counter, memory_order_relaxed) < REJECT_AFTER_MESSAGES - packets &&
           atomic_load_explicit(&s->send_blocks, memory_order_relaxed) < REJECT_AFTER_BLOCKS;
}

/* Each counter is taken once, whoever seals. Threads that saw the last ones free at the same time overshoot by a batch
 * each, far less than what is left behind REJECT_AFTER_MESSAGES: the sum never wraps. */
static bool take_counters(struct session *s, size_t packets, uint64_t *first)
{
    *first = atomic_fetch_add_explicit(&s->send_counter, packets, memory_order_relaxed);
    return *first < REJECT_AFTER_MESSAGES - packets;
}

/* As many blocks as `count` datagrams have at most: their header and tag stand for what an AEAD spends beside the text.
 */
static bool take_blocks(struct session *s, uint64_t bytes, size_t count)
{
    uint64_t blocks = bytes / 16 + count;
    return atomic_fetch_add_explicit(&s->send_blocks, blocks, memory_order_relaxed) + blocks <= REJECT_AFTER_BLOCKS;
}

/* The peer has used the session that waits before the control thread hears of it: the reply goes out under it already.
 */
static struct session *sending_of(const struct peer *p)
{
    struct session *waiting = atomic_load_explicit(&p->waiting, memory_order_acquire);
    if (waiting && atomic_load_explicit(&waiting->used, memory_order_acquire))
        return waiting;
    return atomic_load_explicit(&p->sending, memory_order_acquire);
}

bool tunnel_has_session(const struct peer *peer, uint64_t monotonic)
{
    return usable(sending_of(peer), 1, monotonic);
}

struct tunnel_way tunnel_find_way(const struct peer *peer, uint64_t monotonic)
{
    struct session *s = sending_of(peer);
    struct tunnel_way way = {.headroom = sizeof(struct message_transport)};
    if (!usable(s, 1, monotonic))
        return way;
    way.session = s;
    way.native = atomic_load_explicit(&s->native, memory_order_relaxed) != 0;
    if (way.native)
        way.headroom = TUNNEL_HEADROOM_MAX;
    return way;
}

static bool renewal_due(struct session *s, uint64_t counter, uint64_t now)
{
    return (counter > REKEY_AFTER_MESSAGES ||
            atomic_load_explicit(&s->send_blocks, memory_order_relaxed) > REKEY_AFTER_BLOCKS ||
            (s->initiator && now >= s->born + REKEY_AFTER_TIME)) &&
           ask(&s->renewal_asked, REKEY_TIMEOUT, now);
}

/* ---- One batch ---- */

/* Returns the bytes that go out. */
static uint64_t measure(const struct tunnel_way *way, struct sealing *packets, size_t count, uint32_t mtu)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += packets[i].sealed_len = tunnel_way_len(way, packets[i].len, mtu);
    return bytes;
}

static void write_header(uint8_t *at, enum message_type type, const struct session *s, uint64_t counter)
{
    struct message_transport header = {
        .type = put_le32(type), .receiver = put_le32(s->remote_index), .counter = put_le64(counter)};
    memcpy(at, &header, sizeof(header));
}

static void seal_plain(struct crypto *c, struct session *s, const struct sealing *packets, size_t count,
                       uint64_t counter, struct aead_op *ops)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t *text = packets[i].at + sizeof(struct message_transport);
        uint32_t padded = packets[i].sealed_len - (uint32_t)MESSAGE_TRANSPORT_MIN;
        memset(text + packets[i].len, 0, padded - packets[i].len);
        write_header(packets[i].at, MESSAGE_TRANSPORT, s, counter + i);
        ops[i] = (struct aead_op){.key = s->send_key, .text = text, .len = padded, .counter = counter + i};
    }
    crypto_seal_batch(c, AEAD_CHACHA20_POLY1305, ops, count);
}

static void seal_native(struct crypto *c, struct session *s, const struct sealing *packets, size_t count,
                        uint64_t counter, struct aead_op *ops)
{
    enum aead aead = (enum aead)(atomic_load_explicit(&s->native, memory_order_relaxed) - 1);
    const uint8_t *key = s->native_keys[aead].send;
    const struct crypto_ready_key *ready = session_ready_key(&s->send_ready, c, aead, key);
    for (size_t i = 0; i < count; i++) {
        struct message_native_inner inner = {.flags = packets[i].partial ? MESSAGE_NATIVE_PARTIAL_CHECKSUM : 0};
        uint8_t *text = packets[i].at + sizeof(struct message_transport);
        memcpy(text, &inner, sizeof(inner));
        write_header(packets[i].at, MESSAGE_NATIVE, s, counter + i);
        ops[i] = (struct aead_op){.key = key,
                                  .ready = ready,
                                  .text = text,
                                  .ad = packets[i].at,
                                  .len = (uint32_t)sizeof(inner) + packets[i].len,
                                  .ad_len = sizeof(struct message_transport),
                                  .counter = counter + i};
    }
    crypto_seal_batch(c, aead, ops, count);
}

/* All or none. */
static int seal(struct crypto *c, const struct tunnel_way *way, const struct sealing *packets, size_t count,
                uint64_t counter)
{
    struct aead_op ops[TUNNEL_BATCH_MAX];
    if (way->native)
        seal_native(c, way->session, packets, count, counter, ops);
    else
        seal_plain(c, way->session, packets, count, counter, ops);
    for (size_t i = 0; i < count; i++)
        if (ops[i].result != 0)
            return ops[i].result;
    return 0;
}

static bool has_data(const struct sealing *packets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (packets[i].len != 0)
            return true;
    return false;
}

static void sent(struct peer *p, bool data, uint64_t now, struct tunnel_notice *notice)
{
    atomic_store_explicit(&p->traversal, now, memory_order_relaxed);
    if (atomic_load_explicit(&p->keepalive_at, memory_order_relaxed) != 0)
        atomic_store(&p->keepalive_at, 0);
    if (!data || atomic_load_explicit(&p->new_handshake_at, memory_order_relaxed) != 0)
        return;
    uint64_t at = now + KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + atomic_load_explicit(&p->jitter, memory_order_relaxed);
    atomic_store(&p->new_handshake_at, at);
    if (atomic_load(&p->armed) > at)
        notice->bits |= TUNNEL_NOTICE_TIMER;
}

int tunnel_seal_batch(struct tunnel *t, struct crypto *c, struct peer *peer, const struct tunnel_way *way,
                      struct sealing *packets, size_t count, uint32_t mtu, uint64_t monotonic,
                      struct tunnel_notice *notice)
{
    struct tunnel_way found;
    uint64_t counter = 0;
    (void)t;
    notice->peer = peer->id;
    notice->bits = 0;
    if (count > TUNNEL_BATCH_MAX)
        return ERROR_INVALID;
    if (!way) {
        found = tunnel_plain_way(tunnel_find_way(peer, monotonic));
        way = &found;
    }
    struct session *s = way->session;
    uint64_t bytes = measure(way, packets, count, mtu);
    if (!usable(s, count, monotonic) || !take_counters(s, count, &counter) ||
        (way->native && !take_blocks(s, bytes, count))) {
        if (ask(&peer->handshake_asked, ASK_INTERVAL, monotonic))
            notice->bits = TUNNEL_NOTICE_HANDSHAKE;
        return ERROR_NO_SESSION;
    }
    int error = seal(c, way, packets, count, counter);
    if (error != 0)
        return error;
    add_bytes(&peer->tx_bytes, bytes);
    sent(peer, has_data(packets, count), monotonic, notice);
    if (renewal_due(s, counter + count, monotonic))
        notice->bits |= TUNNEL_NOTICE_HANDSHAKE;
    return 0;
}
