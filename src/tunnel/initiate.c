/* The initiator's half of the handshake (paper sections 5.4.2, 5.4.3). */
#include <stdlib.h>

#include "tunnel/internal.h"

/* Timestamps advance in steps of 2^24 ns, so that they tell no more of the clock than they must. */
#define TIMESTAMP_STEP (UINT64_C(1) << 24)
#define PATH_ATTEMPTS 3 /* on one path through a relay, or that is steered; then another is to be found */

static void make_timestamp(struct peer *p, uint64_t wall, uint8_t out[MESSAGE_TIMESTAMP_SIZE])
{
    struct tunnel *t = p->tunnel;
    /* The clock may have jumped back; what the peers remember has not. */
    if (wall < t->timestamp_floor)
        wall = t->timestamp_floor;
    t->timestamp_floor = wall;
    if (wall < p->last_timestamp + TIMESTAMP_STEP)
        wall = p->last_timestamp + TIMESTAMP_STEP;
    p->last_timestamp = wall;
    put_be64(out, TAI64_EPOCH + wall / SECOND);
    put_be32(out + 8, (uint32_t)(wall % SECOND & ~(TIMESTAMP_STEP - 1)));
}

void initiate_remember_timestamp(const struct peer *p)
{
    uint64_t next = p->last_timestamp + TIMESTAMP_STEP;
    if (p->last_timestamp != 0 && next > p->tunnel->timestamp_floor)
        p->tunnel->timestamp_floor = next;
}

static void release_handshake(struct reclaim_item *item)
{
    wipe(item, sizeof(struct handshake));
    free(item);
}

/* Takes the handshake away without giving up its index. */
static void retire_handshake(struct peer *p)
{
    reclaim_retire(&p->tunnel->reclaim, &p->handshake->indexed.retired, release_handshake);
    p->handshake = NULL;
}

void handshake_end(struct peer *p)
{
    if (!p->handshake)
        return;
    index_table_release(&p->tunnel->indices, p->handshake->indexed.index);
    retire_handshake(p);
}

static struct handshake *handshake_new(struct peer *p)
{
    struct handshake *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->indexed.kind = INDEXED_HANDSHAKE;
    h->indexed.peer = p;
    if (claim_index(p->tunnel, &p->tunnel->indices, h, &h->indexed.index) == 0)
        return h;
    free(h);
    return NULL;
}

/* e, es, s: all that comes before the static private key is needed. */
static void write_initiation(struct peer *p, struct handshake *h, const struct identity *own,
                             struct message_initiation *message)
{
    struct crypto *c = p->tunnel->crypto;
    uint8_t key[AEAD_KEY_SIZE];

    memset(message, 0, sizeof(*message));
    message->type = put_le32(MESSAGE_INITIATION);
    message->sender = put_le32(h->indexed.index);
    entropy(p->tunnel, h->ephemeral, sizeof(h->ephemeral));
    noise_start(&h->noise, c, p->public_key);
    int error = crypto_x25519_public(c, message->ephemeral, h->ephemeral);
    if (h->noise.error == 0)
        h->noise.error = error;
    noise_mix_ephemeral(&h->noise, c, message->ephemeral);
    noise_mix_dh(&h->noise, c, h->ephemeral, p->public_key, key);
    noise_seal(&h->noise, c, key, message->sealed_static, own->public_key, X25519_SIZE);
    wipe(key, sizeof(key));
}

/* A wish for a handshake may have been under way while one was completed. */
static bool fulfilled(const struct peer *p)
{
    const struct session *s = p->session_current;
    return s && s->born >= p->last_handshake_sent && s->born > p->lost_at;
}

/* Nothing was sent yet since the peer was known to have lost its session. */
static bool is_newly_lost(const struct peer *p)
{
    return p->lost_at != 0 && p->lost_at >= p->last_handshake_sent;
}

/* A relay passes nothing on for whom it does not permit (any more), and says nothing of it; what was a direct path ends
 * as silently, with a NAT's memory of it. */
static bool leads_nowhere(const struct peer *p)
{
    struct endpoint to;
    return p->unanswered >= PATH_ATTEMPTS && tunnel_peer_endpoint(p, &to) &&
           (to.family == ENDPOINT_RELAYED || atomic_load_explicit(&p->steered, memory_order_relaxed));
}

static void give_path_up(struct peer *p, struct tunnel_actions *actions)
{
    handshake_end(p);
    p->retransmit_at = 0;
    tunnel_peer_forget_endpoint(p->tunnel, p->id);
    action_link(actions, p, false);
}

static void initiate_after(struct peer *p, uint64_t pause, bool retry, struct tunnel_time now,
                           struct tunnel_actions *actions)
{
    struct tunnel *t = p->tunnel;
    const struct identity *own = atomic_load(&t->identity);
    if (!retry)
        p->attempts = 0;
    if (!own || !t->up || p->passive || !atomic_load(&p->endpoint))
        return;
    if (p->last_handshake_sent != 0 && now.monotonic < p->last_handshake_sent + pause) {
        if (p->retransmit_at == 0 && !fulfilled(p))
            p->retransmit_at = p->last_handshake_sent + pause;
        return;
    }
    if (leads_nowhere(p)) {
        give_path_up(p, actions);
        return;
    }
    handshake_end(p);
    struct handshake *h = p->handshake = handshake_new(p);
    if (!h)
        return; /* out of memory: the next packet asks again */
    p->last_handshake_sent = now.monotonic;
    if (p->unanswered < PATH_ATTEMPTS)
        p->unanswered++;
    timers_initiation_sent(p, now.monotonic);

    struct static_step *step = &action_add(actions, TUNNEL_ACTION_STATIC_STEP)->static_step;
    memset(step, 0, sizeof(*step));
    write_initiation(p, h, own, (struct message_initiation *)step->message);
    noise_save(&h->noise, step->chaining_key, step->hash);
    memcpy(step->remote, p->public_key, X25519_SIZE);
    step->text_kind = STATIC_STEP_SEAL_TEXT;
    step->text_len = MESSAGE_TIMESTAMP_SIZE;
    make_timestamp(p, now.wall, step->text);
    step->stage = STAGE_INITIATION_SEALING;
    step->peer = p->id;
    step->local_index = h->indexed.index;
    if (h->noise.error != 0) {
        /* A peer whose key is of low order: no handshake with it can ever succeed. */
        wipe(step, sizeof(*step));
        actions->count--;
        handshake_end(p);
    }
}

void initiate(struct peer *p, bool retry, struct tunnel_time now, struct tunnel_actions *actions)
{
    initiate_after(p, is_newly_lost(p) ? RECONNECT_TIME : REKEY_TIMEOUT, retry, now, actions);
}

#define FRESH (60 * SECOND)

static void begin_handshake(struct peer *p, uint64_t pause, struct tunnel_time now, struct tunnel_actions *actions)
{
    if (!p->tunnel->up)
        p->resume = true;
    if (p->handshake && p->retransmit_at != 0 && now.monotonic < p->last_handshake_sent + pause)
        return;
    initiate_after(p, pause, false, now, actions);
    timers_arm(p);
}

void tunnel_peer_connect(struct tunnel *t, peer_id peer, struct tunnel_time now, struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, peer);
    bool fresh =
        p && p->session_current && !p->session_current->expired && now.monotonic < p->session_current->born + FRESH;
    if (p && (!fresh || !t->up))
        begin_handshake(p, REKEY_TIMEOUT, now, actions);
}

void tunnel_peer_reconnect(struct tunnel *t, peer_id peer, struct tunnel_time now, struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, peer);
    if (!p)
        return;
    p->lost_at = now.monotonic;
    begin_handshake(p, RECONNECT_TIME, now, actions);
}

/* Sends a handshake message to where the peer is, with its macs. */
static void send_to_peer(struct peer *p, void *message, size_t len, uint64_t now, struct tunnel_actions *actions)
{
    struct endpoint to;
    if (!tunnel_peer_endpoint(p, &to) || peer_seal_macs(p, message, len, now) != 0)
        return;
    struct tunnel_action *action = action_add(actions, TUNNEL_ACTION_SEND);
    action->send.to = to;
    action->send.peer = p->id;
    action->send.len = (uint32_t)len;
    memcpy(action->send.bytes, message, len);
    add_bytes(&p->tx_bytes, len);
}

void initiate_sealed(struct tunnel *t, struct static_step *step, struct tunnel_time now, struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, step->peer);
    struct message_initiation *message = (struct message_initiation *)step->message;
    if (!p || !p->handshake || p->handshake->indexed.index != step->local_index || p->handshake->sent)
        return;
    if (step->result != 0) {
        handshake_end(p);
        return;
    }
    noise_load(&p->handshake->noise, step->chaining_key, step->hash);
    p->handshake->sent = true;
    memcpy(message->sealed_timestamp, step->text, sizeof(message->sealed_timestamp));
    send_to_peer(p, message, sizeof(*message), now.monotonic, actions);
}

/* The handshake that a response or a cookie reply answers. */
static struct handshake *handshake_by_index(struct tunnel *t, struct le32 receiver)
{
    struct indexed *found = index_table_lookup(&t->indices, get_le32(receiver));
    if (!found || found->kind != INDEXED_HANDSHAKE || !((struct handshake *)found)->sent) {
        count(&t->counters.bad_handshake);
        return NULL;
    }
    return (struct handshake *)found;
}

/* e, ee; the state is worked on as a copy, since a forged response must not harm the handshake. */
void response_received(struct tunnel *t, const struct message_response *message, const struct endpoint *from,
                       struct tunnel_actions *actions)
{
    struct handshake *h = handshake_by_index(t, message->receiver);
    if (!h)
        return;
    struct noise n = h->noise;
    noise_mix_ephemeral(&n, t->crypto, message->ephemeral);
    noise_mix_dh(&n, t->crypto, h->ephemeral, message->ephemeral, NULL);
    if (n.error != 0) {
        count(&t->counters.bad_handshake);
        noise_wipe(&n);
        return;
    }
    struct static_step *step = &action_add(actions, TUNNEL_ACTION_STATIC_STEP)->static_step;
    memset(step, 0, sizeof(*step));
    noise_save(&n, step->chaining_key, step->hash);
    memcpy(step->remote, message->ephemeral, X25519_SIZE);
    memcpy(step->message, message, sizeof(*message));
    step->text_kind = STATIC_STEP_NO_TEXT;
    step->stage = STAGE_RESPONSE_MIXING;
    step->peer = h->indexed.peer->id;
    step->local_index = h->indexed.index;
    step->from = *from;
    noise_wipe(&n);
}

static struct session *session_from_response(struct peer *p, struct static_step *step, uint64_t now)
{
    const struct message_response *message = (const struct message_response *)step->message;
    struct crypto *c = p->tunnel->crypto;
    struct noise n;
    noise_load(&n, step->chaining_key, step->hash);
    noise_open_response(&n, c, p->preshared_key, message->sealed_nothing);
    if (n.error != 0) {
        noise_wipe(&n);
        return NULL;
    }
    struct session *s = session_new(p, true, get_le32(message->sender), now);
    if (s && session_take_keys(s, &n) != 0) {
        session_discard(s);
        s = NULL;
    }
    noise_wipe(&n);
    return s;
}

void response_mixed(struct tunnel *t, struct static_step *step, struct tunnel_time now, struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, step->peer);
    if (!p || !p->handshake || p->handshake->indexed.index != step->local_index)
        return;
    struct session *s = step->result == 0 ? session_from_response(p, step, now.monotonic) : NULL;
    if (!s) {
        count(&t->counters.bad_handshake);
        return;
    }
    session_begin_as_initiator(s, p->handshake);
    retire_handshake(p);
    add_bytes(&p->rx_bytes, sizeof(struct message_response));
    timers_packet_received(p, now.monotonic);
    timers_session_derived(p, now.monotonic);
    timers_handshake_complete(p, now);
    timers_arm(p);
    count(&t->counters.handshakes);
    action_link(actions, p, true);
    peer_heard(p, &step->from, actions); /* only now, so that whoever is told has a session to ask in */

    /* What was staged, or a keepalive, confirms the session to the responder (paper section 6.5). */
    action_flush(actions, p, true);
}

void cookie_reply_received(struct tunnel *t, const struct message_cookie_reply *message, uint64_t now)
{
    struct indexed *found = index_table_lookup(&t->indices, get_le32(message->receiver));
    if (!found || cookie_reply_take(&found->peer->cookie, t->crypto, found->peer->public_key, message, now) != 0)
        count(&t->counters.bad_handshake);
}
