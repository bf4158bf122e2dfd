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
           atomic_load_explicit(&s->send_counter, memory_order_relaxed) < REJECT_AFTER_MESSAGES - packets;
}

/* Each counter is taken once, whoever seals. Threads that saw the last ones free at the same time overshoot by a batch
 * each, far less than what is left behind REJECT_AFTER_MESSAGES: the sum never wraps. */
static bool take_counters(struct session *s, size_t packets, uint64_t *first)
{
    *first = atomic_fetch_add_explicit(&s->send_counter, packets, memory_order_relaxed);
    return *first < REJECT_AFTER_MESSAGES - packets;
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

static bool renewal_due(struct session *s, uint64_t counter, uint64_t now)
{
    return (counter > REKEY_AFTER_MESSAGES || (s->initiator && now >= s->born + REKEY_AFTER_TIME)) &&
           ask(&s->renewal_asked, REKEY_TIMEOUT, now);
}

static void write_header(uint8_t *at, const struct session *s, uint64_t counter)
{
    struct message_transport header = {
        .type = put_le32(MESSAGE_TRANSPORT), .receiver = put_le32(s->remote_index), .counter = put_le64(counter)};
    memcpy(at, &header, sizeof(header));
}

/* Pads and describes; returns the bytes that go out. */
static uint64_t prepare(struct session *s, struct sealing *packets, size_t count, uint32_t mtu, uint64_t counter,
                        struct aead_op *ops)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        uint8_t *text = packets[i].at + sizeof(struct message_transport);
        packets[i].sealed_len = tunnel_sealed_len(packets[i].len, mtu);
        uint32_t padded = packets[i].sealed_len - (uint32_t)MESSAGE_TRANSPORT_MIN;
        memset(text + packets[i].len, 0, padded - packets[i].len);
        write_header(packets[i].at, s, counter + i);
        ops[i] = (struct aead_op){.key = s->send_key, .text = text, .len = padded, .counter = counter + i};
        bytes += packets[i].sealed_len;
    }
    return bytes;
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

int tunnel_seal_batch(struct tunnel *t, struct crypto *c, struct peer *peer, struct sealing *packets, size_t count,
                      uint32_t mtu, uint64_t monotonic, struct tunnel_notice *notice)
{
    (void)t;
    struct aead_op ops[TUNNEL_BATCH_MAX];
    struct session *s = sending_of(peer);
    bool data = false;

    notice->peer = peer->id;
    notice->bits = 0;
    if (count > TUNNEL_BATCH_MAX)
        return ERROR_INVALID;
    uint64_t counter = 0;
    if (!usable(s, count, monotonic) || !take_counters(s, count, &counter)) {
        if (ask(&peer->handshake_asked, ASK_INTERVAL, monotonic))
            notice->bits = TUNNEL_NOTICE_HANDSHAKE;
        return ERROR_NO_SESSION;
    }
    uint64_t bytes = prepare(s, packets, count, mtu, counter, ops);
    crypto_seal_batch(c, AEAD_CHACHA20_POLY1305, ops, count);
    for (size_t i = 0; i < count; i++) {
        if (ops[i].result != 0)
            return ops[i].result;
        data |= packets[i].len != 0;
    }
    add_bytes(&peer->tx_bytes, bytes);
    sent(peer, data, monotonic, notice);
    if (renewal_due(s, counter + count, monotonic))
        notice->bits |= TUNNEL_NOTICE_HANDSHAKE;
    return 0;
}
