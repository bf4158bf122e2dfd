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

static void describe(const struct opening *message, const struct session *s, struct aead_op *op)
{
    struct message_transport header;
    memcpy(&header, message->at, sizeof(header));
    *op = (struct aead_op){.key = s->receive_key,
                           .text = message->at + sizeof(header),
                           .len = message->len - (uint32_t)sizeof(header),
                           .counter = get_le64(header.counter)};
}

/* The inner packet, if it is one that this peer may send; anybody may send control frames. */
static void take_packet(struct tunnel *t, struct peer *p, struct opening *message)
{
    struct ip_header ip;
    uint8_t *packet = message->at + sizeof(struct message_transport);
    uint32_t len = message->len - (uint32_t)MESSAGE_TRANSPORT_MIN;
    const void *owner = NULL;

    if (len > 0 && packet[0] >> 4 == 0) {
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
    if (message->len == MESSAGE_TRANSPORT_MIN)
        return; /* a keepalive */
    run->data = true;
    message->peer = s->indexed.peer;
    message->session = s->indexed.index;
    take_packet(t, s->indexed.peer, message);
}

void tunnel_open_batch(struct tunnel *t, struct crypto *c, struct opening *messages, size_t count, uint64_t monotonic,
                       struct tunnel_notice *notices, size_t *notice_count)
{
    struct aead_op ops[TUNNEL_BATCH_MAX];
    struct session *sessions[TUNNEL_BATCH_MAX];
    struct opening *which[TUNNEL_BATCH_MAX];
    struct run run = {0};
    size_t found = 0;

    *notice_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct session *s = find(t, &messages[i], monotonic);
        messages[i].packet = NULL;
        messages[i].packet_len = 0;
        messages[i].frame = messages[i].partial = false;
        messages[i].peer = NULL;
        if (!s || found == TUNNEL_BATCH_MAX)
            continue;
        describe(&messages[i], s, &ops[found]);
        sessions[found] = s;
        which[found++] = &messages[i];
    }
    crypto_open_batch(c, AEAD_CHACHA20_POLY1305, ops, found);
    for (size_t i = 0; i < found; i++) {
        if (sessions[i] != run.session) {
            finish_run(&run, monotonic, notices, notice_count);
            run = (struct run){0};
        }
        judge(t, sessions[i], &ops[i], which[i], &run);
    }
    finish_run(&run, monotonic, notices, notice_count);
}
