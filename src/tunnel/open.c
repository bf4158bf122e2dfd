/* The way in: find the session, open, refuse what was seen before or has a source that is not the peer's, and what the
 * timers want to know of it (paper sections 5.4.6, 6.1, 6.5). */
#include "tunnel/internal.h"
#include "wire/ip.h"

/* An initiator that only receives renews its session while it still can (paper section 6.2). */
#define LAST_MINUTE (REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT)

/* What a run of messages of one session means for its peer. */
struct run {
    struct session *session;
    const struct endpoint *from;
    uint64_t bytes;
    bool data;
};

static struct session *find(struct tunnel *t, const struct opening *message, uint64_t now)
{
    struct message_transport header;
    memcpy(&header, message->at, sizeof(header));
    struct indexed *found = index_table_lookup(&t->indices, get_le32(header.receiver));
    if (!found || found->kind != INDEXED_SESSION) {
        count(&t->counters.unknown_index);
        return NULL;
    }
    struct session *s = (struct session *)found;
    if (now < s->born + REJECT_AFTER_TIME && get_le64(header.counter) < REJECT_AFTER_MESSAGES)
        return s;
    count(&t->counters.bad_packet);
    return NULL;
}

/* ---- Opening ---- */

/* Messages in the order of arrival, and how far they have been opened; those that follow each other under one AEAD are
 * opened together. */
struct work {
    struct crypto *crypto;
    size_t count, opened;
    enum aead aead; /* of those not opened yet */
    struct aead_op ops[TUNNEL_BATCH_MAX];
    struct session *sessions[TUNNEL_BATCH_MAX];
    struct opening *messages[TUNNEL_BATCH_MAX];
};

static void open_rest(struct work *w)
{
    crypto_open_batch(w->crypto, w->aead, w->ops + w->opened, w->count - w->opened);
    w->opened = w->count;
}

static bool is_native(const struct opening *message)
{
    return message->at[0] == MESSAGE_NATIVE;
}

/* The peer knows what we offer, and we don't know yet what it does: its hello is late. It seals with the best that both
 * offer, so each that we offer may be it. Longer messages wait for a shorter one to tell, or for the hello. */
#define TRIAL_MAX 2048
static int try_native(struct crypto *c, struct session *s, struct aead_op *op)
{
    static const enum aead best_first[AEADS] = {AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305};
    uint32_t offered = s->indexed.peer->tunnel->options.aeads;
    uint8_t sealed[TRIAL_MAX];
    if (op->len > sizeof(sealed))
        return ERROR_AUTHENTICATION;
    memcpy(sealed, op->text, op->len);
    for (int i = 0; i < AEADS; i++) {
        if (!(offered & 1u << best_first[i]))
            continue;
        memcpy(op->text, sealed, op->len);
        op->key = s->native_keys[best_first[i]].receive;
        crypto_open_batch(c, best_first[i], op, 1);
        if (op->result == 0) {
            session_learn_native(s, best_first[i]);
            return 0;
        }
    }
    return ERROR_AUTHENTICATION;
}

static void add_under(struct work *w, enum aead aead, const struct aead_op *op)
{
    if (w->aead != aead)
        open_rest(w);
    w->aead = aead;
    w->ops[w->count++] = *op;
}

static void add_native(struct work *w, struct session *s, struct aead_op *op)
{
    uint32_t native = atomic_load_explicit(&s->native, memory_order_relaxed);
    op->ad = op->text - sizeof(struct message_transport);
    op->ad_len = sizeof(struct message_transport);
    if (native == 0) {
        open_rest(w);
        op->result = try_native(w->crypto, s, op);
        w->ops[w->count++] = *op;
        w->opened = w->count;
        return;
    }
    enum aead aead = (enum aead)(native - 1);
    op->key = s->native_keys[aead].receive;
    op->ready = session_ready_key(&s->receive_ready, w->crypto, aead, op->key);
    add_under(w, aead, op);
}

static void add(struct work *w, struct session *s, struct opening *message)
{
    struct message_transport header;
    memcpy(&header, message->at, sizeof(header));
    struct aead_op op = {.key = s->receive_key,
                         .text = message->at + sizeof(header),
                         .len = message->len - (uint32_t)sizeof(header),
                         .counter = get_le64(header.counter)};
    w->sessions[w->count] = s;
    w->messages[w->count] = message;
    if (is_native(message))
        add_native(w, s, &op);
    else
        add_under(w, AEAD_CHACHA20_POLY1305, &op);
}

/* ---- What was inside ---- */

/* Bytes that anybody may send: control frames; or an IP packet that this peer may send. */
static void take_packet(struct tunnel *t, struct peer *p, struct opening *message, uint8_t *packet, uint32_t len)
{
    struct ip_header ip;
    const void *owner = NULL;

    if (packet[0] >> 4 == 0) {
        message->packet = packet;
        message->packet_len = len;
        message->frame = true;
        return;
    }
    if (ip_parse(&ip, packet, len) == 0)
        owner = ip.version == 4 ? allowed_ips_lookup4(&t->allowed_ips, ip.source)
                                : allowed_ips_lookup6(&t->allowed_ips, ip.source);
    if (owner != p) {
        count(&t->counters.bad_source);
        return;
    }
    message->packet = packet;
    message->packet_len = ip.total_len;
}

/* Nothing that is sealed stands for a future: what this version does not know, it does not guess at. Only a packet has
 * a checksum. */
static bool inner_holds(const struct message_native_inner *inner, const uint8_t *packet, uint32_t len)
{
    return (inner->flags & ~MESSAGE_NATIVE_PARTIAL_CHECKSUM) == 0 && is_zero(inner->zero, sizeof(inner->zero)) &&
           (inner->flags == 0 || (len > 0 && packet[0] >> 4 != 0));
}

/* Returns whether there is more than a keepalive. */
static bool take_text(struct tunnel *t, struct session *s, struct opening *message)
{
    struct message_native_inner inner;
    uint8_t *packet = message->at + sizeof(struct message_transport);
    uint32_t len = message->len - (uint32_t)MESSAGE_TRANSPORT_MIN;
    if (is_native(message)) {
        memcpy(&inner, packet, sizeof(inner));
        packet += sizeof(inner);
        len -= (uint32_t)sizeof(inner);
        if (!inner_holds(&inner, packet, len)) {
            count(&t->counters.bad_native);
            return true;
        }
        message->partial = inner.flags & MESSAGE_NATIVE_PARTIAL_CHECKSUM;
    }
    if (len == 0)
        return false;
    message->peer = s->indexed.peer;
    message->session = s->indexed.index;
    take_packet(t, s->indexed.peer, message, packet, len);
    return true;
}

/* ---- What the timers want to know ---- */

static struct tunnel_notice *notice_for(struct peer *p, struct tunnel_notice *notices, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (notices[i].peer == p->id)
            return &notices[i];
    notices[*count] = (struct tunnel_notice){.peer = p->id};
    return &notices[(*count)++];
}

static bool renewal_due(struct session *s, uint64_t now)
{
    if (!s->initiator || now < s->born + LAST_MINUTE ||
        atomic_load_explicit(&s->indexed.peer->sending, memory_order_relaxed) != s)
        return false;
    return ask(&s->renewal_asked, REKEY_TIMEOUT, now);
}

/* Returns whether the control thread's timer comes too late for what was set. */
static bool received(struct peer *p, bool data, uint64_t now)
{
    atomic_store_explicit(&p->traversal, now, memory_order_relaxed);
    if (atomic_load_explicit(&p->new_handshake_at, memory_order_relaxed) != 0)
        atomic_store(&p->new_handshake_at, 0);
    if (!data || atomic_load_explicit(&p->keepalive_at, memory_order_relaxed) != 0)
        return false;
    atomic_store(&p->keepalive_at, now + KEEPALIVE_TIMEOUT);
    return atomic_load(&p->armed) > now + KEEPALIVE_TIMEOUT;
}

static void finish_run(const struct run *run, uint64_t now, struct tunnel_notice *notices, size_t *count)
{
    struct session *s = run->session;
    if (!s)
        return;
    struct peer *p = s->indexed.peer;
    uint32_t bits = 0;

    add_bytes(&p->rx_bytes, run->bytes);
    if (received(p, run->data, now))
        bits |= TUNNEL_NOTICE_TIMER;
    if (!atomic_load_explicit(&s->confirmed, memory_order_relaxed))
        bits |= TUNNEL_NOTICE_CONFIRMED;
    if (renewal_due(s, now))
        bits |= TUNNEL_NOTICE_HANDSHAKE;
    if (peer_is_news(p, run->from, now))
        bits |= TUNNEL_NOTICE_ROAMED;
    if (bits == 0)
        return;
    struct tunnel_notice *notice = notice_for(p, notices, count);
    notice->bits |= bits;
    if (bits & TUNNEL_NOTICE_CONFIRMED)
        notice->session = s->indexed.index;
    notice->from = *run->from;
}

/* Judges one message that was opened; adds it to its session's run. */
static void judge(struct tunnel *t, struct session *s, const struct aead_op *op, struct opening *message,
                  struct run *run)
{
    if (op->result != 0) {
        count(&t->counters.bad_packet);
        return;
    }
    if (!replay_accept(&s->replay, op->counter)) {
        count(&t->counters.replayed);
        return;
    }
    if (!atomic_load_explicit(&s->used, memory_order_relaxed))
        atomic_store_explicit(&s->used, true, memory_order_release);
    run->session = s;
    run->from = message->from;
    run->bytes += message->len;
    run->data |= take_text(t, s, message);
}

void tunnel_open_batch(struct tunnel *t, struct crypto *c, struct opening *messages, size_t count, uint64_t monotonic,
                       struct tunnel_notice *notices, size_t *notice_count)
{
    struct work w;
    struct run run = {0};

    *notice_count = 0;
    w.crypto = c;
    w.count = w.opened = 0;
    w.aead = AEAD_CHACHA20_POLY1305;
    for (size_t i = 0; i < count; i++) {
        struct session *s = find(t, &messages[i], monotonic);
        messages[i].packet = NULL;
        messages[i].packet_len = 0;
        messages[i].frame = messages[i].partial = false;
        messages[i].peer = NULL;
        if (s && w.count < TUNNEL_BATCH_MAX)
            add(&w, s, &messages[i]);
    }
    open_rest(&w);
    for (size_t i = 0; i < w.count; i++) {
        if (i > 0 && w.sessions[i] != w.sessions[i - 1]) {
            finish_run(&run, monotonic, notices, notice_count);
            run = (struct run){0};
        }
        judge(t, w.sessions[i], &w.ops[i], w.messages[i], &run);
    }
    finish_run(&run, monotonic, notices, notice_count);
}
