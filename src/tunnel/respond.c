/* The responder's half of the handshake (paper sections 5.4.2, 5.4.3). */
#include "tunnel/internal.h"

bool identity_mac1_holds(const struct identity *own, enum local_key local, struct crypto *c, const uint8_t *message,
                         size_t len)
{
    if (local == LOCAL_OWN)
        return cookie_mac1_holds(&own->keys, c, message, len);
    return own->has_second && cookie_mac1_holds(&own->second_keys, c, message, len);
}

/* e, es: the step then yields the initiator's static key. */
void initiation_received(struct tunnel *t, const struct message_initiation *message, const struct endpoint *from,
                         bool gated, struct tunnel_actions *actions)
{
    const struct identity *own = atomic_load(&t->identity);
    struct noise n;

    if (t->options.dark && repeat_cache_seen(t->repeats, message->macs.mac1)) {
        count(&t->counters.repeated_initiation);
        return;
    }
    bool to_own = identity_mac1_holds(own, LOCAL_OWN, t->crypto, (const uint8_t *)message, sizeof(*message));
    noise_start(&n, t->crypto, to_own ? own->public_key : own->second_key);
    noise_mix_ephemeral(&n, t->crypto, message->ephemeral);
    if (n.error != 0)
        return;
    struct static_step *step = &action_add(actions, TUNNEL_ACTION_STATIC_STEP)->static_step;
    memset(step, 0, sizeof(*step));
    noise_save(&n, step->chaining_key, step->hash);
    memcpy(step->remote, message->ephemeral, X25519_SIZE);
    memcpy(step->message, message, sizeof(*message));
    memcpy(step->text, message->sealed_static, sizeof(message->sealed_static));
    step->text_kind = STATIC_STEP_OPEN_TEXT;
    step->text_len = X25519_SIZE;
    step->stage = STAGE_INITIATION_FINDING;
    step->local = to_own ? LOCAL_OWN : LOCAL_SECOND;
    step->gated = gated;
    step->from = *from;
    noise_wipe(&n);
}

/* Whom an initiation to this key of ours may come from. */
static bool is_served(const struct tunnel *t, const struct peer *p, uint8_t local)
{
    const struct identity *own = atomic_load(&t->identity);
    return p && (local == LOCAL_OWN || (own->has_second && own->second_peer == p->id));
}

/* Only a known initiator is worth the next Diffie-Hellman. */
void initiation_found(struct tunnel *t, struct static_step *step, struct tunnel_actions *actions)
{
    const struct message_initiation *message = (const struct message_initiation *)step->message;
    if (step->result != 0) {
        count(&t->counters.bad_handshake);
        return;
    }
    const struct peer *p = peer_by_key(t, step->text);
    if (!is_served(t, p, step->local)) {
        count(&t->counters.unknown_peer);
        return;
    }
    struct static_step *next = &action_add(actions, TUNNEL_ACTION_STATIC_STEP)->static_step;
    *next = *step;
    memcpy(next->remote, step->text, X25519_SIZE);
    memcpy(next->text, message->sealed_timestamp, sizeof(message->sealed_timestamp));
    next->text_len = MESSAGE_TIMESTAMP_SIZE;
    next->stage = STAGE_INITIATION_OPENING;
    next->peer = p->id;
}

/* Dark, our own clock has a say: what it was told decades ahead locks nobody out for good. */
static bool is_newer(struct peer *p, const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE], struct tunnel_time now)
{
    struct tunnel *t = p->tunnel;
    uint64_t wall = t->options.dark ? wall_latest(&t->clock, now.wall, now.monotonic) : 0;
    return timestamp_may_follow(timestamp, p->greatest_timestamp, wall);
}

static bool is_admissible(struct peer *p, const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE], struct tunnel_time now)
{
    if (!is_newer(p, timestamp, now)) {
        count(&p->tunnel->counters.old_timestamp);
        return false;
    }
    if (p->last_initiation_consumed != 0 && now.monotonic < p->last_initiation_consumed + INITIATION_INTERVAL_MIN) {
        count(&p->tunnel->counters.flooding);
        return false;
    }
    return true;
}

/* e, ee, se, psk: writes the response but for its sender and macs, and derives the session's keys. */
static int write_response(struct session *s, const struct static_step *step, struct message_response *response)
{
    struct peer *p = s->indexed.peer;
    struct crypto *c = p->tunnel->crypto;
    const struct message_initiation *message = (const struct message_initiation *)step->message;
    uint8_t ephemeral[X25519_SIZE];
    struct noise n;

    memset(response, 0, sizeof(*response));
    response->type = put_le32(MESSAGE_RESPONSE);
    response->receiver = message->sender;
    noise_load(&n, step->chaining_key, step->hash);
    entropy(p->tunnel, ephemeral, sizeof(ephemeral));
    n.error = crypto_x25519_public(c, response->ephemeral, ephemeral);
    noise_mix_ephemeral(&n, c, response->ephemeral);
    noise_mix_dh(&n, c, ephemeral, message->ephemeral, NULL);
    noise_mix_dh(&n, c, ephemeral, p->public_key, NULL);
    noise_seal_response(&n, c, p->preshared_key, response->sealed_nothing);
    wipe(ephemeral, sizeof(ephemeral));
    return session_take_keys(s, &n);
}

static void persist(struct peer *p, struct tunnel_actions *actions)
{
    if (!p->tunnel->options.dark)
        return;
    struct tunnel_action *action = action_add(actions, TUNNEL_ACTION_PERSIST);
    memcpy(action->persist.public_key, p->public_key, MESSAGE_KEY_SIZE);
    memcpy(action->persist.timestamp, p->greatest_timestamp, MESSAGE_TIMESTAMP_SIZE);
}

/* The session is whole before its index makes it visible to the opening thread. */
static struct session *make_response(struct peer *p, const struct static_step *step, uint64_t now,
                                     struct message_response *response)
{
    const struct message_initiation *initiation = (const struct message_initiation *)step->message;
    struct session *s = session_new(p, false, get_le32(initiation->sender), now);
    if (!s)
        return NULL;
    if (write_response(s, step, response) != 0 ||
        claim_index(p->tunnel, &p->tunnel->indices, s, &s->indexed.index) != 0) {
        session_discard(s);
        return NULL;
    }
    response->sender = put_le32(s->indexed.index);
    if (peer_seal_macs(p, response, sizeof(*response), now) != 0) {
        session_retire(s);
        return NULL;
    }
    return s;
}

static void respond(struct peer *p, const struct static_step *step, uint64_t now, struct tunnel_actions *actions)
{
    struct message_response response;
    struct session *s = make_response(p, step, now, &response);
    if (!s)
        return;
    session_begin_as_responder(s);
    persist(p, actions);
    struct tunnel_action *action = action_add(actions, TUNNEL_ACTION_SEND);
    action->send.to = step->from;
    action->send.peer = p->id;
    action->send.len = sizeof(response);
    memcpy(action->send.bytes, &response, sizeof(response));
    add_bytes(&p->tx_bytes, sizeof(response));
    p->last_handshake_sent = now;
    timers_session_derived(p, now);
    timers_packet_sent(p, now);
}

/* Our key may have changed while the steps ran. */
static bool is_to_us_still(struct tunnel *t, const struct static_step *step)
{
    const struct identity *own = atomic_load(&t->identity);
    return identity_mac1_holds(own, step->local, t->crypto, step->message, sizeof(struct message_initiation));
}

void initiation_opened(struct tunnel *t, struct static_step *step, struct tunnel_time now,
                       struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, step->peer);
    if (!p || memcmp(p->public_key, step->remote, X25519_SIZE) != 0 || !is_to_us_still(t, step) ||
        !is_served(t, p, step->local))
        return;
    if (step->result != 0) {
        count(&t->counters.bad_handshake);
        return;
    }
    if (!is_admissible(p, step->text, now))
        return;
    memcpy(p->greatest_timestamp, step->text, MESSAGE_TIMESTAMP_SIZE);
    if (step->local == 0) /* who was answered on the second key goes on at once under the first */
        p->last_initiation_consumed = now.monotonic;
    if (p->silent) {
        persist(p, actions);
        action_add(actions, TUNNEL_ACTION_INTRUDER)->intruder.peer = p->id;
        return;
    }
    peer_heard(p, &step->from, actions);
    add_bytes(&p->rx_bytes, sizeof(struct message_initiation));
    timers_packet_received(p, now.monotonic);
    respond(p, step, now.monotonic, actions);
    timers_arm(p);
}
