#include "tunnel/tunnel.h"

#include <stdlib.h>

#include "tunnel/internal.h"

/* The most actions that one peer's timers can ask for at once. */
#define ACTIONS_PER_PEER 8

struct tunnel_action *action_add(struct tunnel_actions *actions, enum tunnel_action_kind kind)
{
    if (actions->count == TUNNEL_ACTIONS_MAX)
        abort(); /* TUNNEL_ACTIONS_MAX is a bound on what one event can ask for */
    struct tunnel_action *action = &actions->list[actions->count++];
    action->kind = kind;
    return action;
}

void action_flush(struct tunnel_actions *actions, const struct peer *p, bool keepalive)
{
    struct tunnel_action *action = action_add(actions, TUNNEL_ACTION_FLUSH);
    action->flush.peer = p->id;
    action->flush.keepalive = keepalive;
}

void action_link(struct tunnel_actions *actions, const struct peer *p, bool up)
{
    struct tunnel_action *action = action_add(actions, TUNNEL_ACTION_LINK);
    action->link.peer = p->id;
    action->link.up = up;
}

int claim_index(struct tunnel *t, struct index_table *table, void *value, uint32_t *out)
{
    int error;
    do {
        entropy(t, out, sizeof(*out));
        error = index_table_claim(table, &t->reclaim, *out, value);
    } while (error == ERROR_EXISTS);
    return error;
}

int tunnel_new(struct tunnel **out, const struct tunnel_options *options)
{
    struct tunnel *t = calloc(1, sizeof(*t));
    if (!t)
        return ERROR_MEMORY;
    t->options = *options;
    reclaim_init(&t->reclaim);
    allowed_ips_init(&t->allowed_ips);
    timer_heap_init(&t->timers);
    entropy(t, t->hash_seed, sizeof(t->hash_seed));
    int error = index_table_init(&t->indices);
    if (error == 0)
        error = index_table_init(&t->peers);
    if (error == 0)
        error = crypto_new(&t->crypto, CRYPTO_BULK_OPENSSL);
    t->repeats = repeat_cache_new();
    if (error == 0 && !t->repeats)
        error = ERROR_MEMORY;
    if (error == 0)
        error = gate_begin(t);
    if (error != 0)
        tunnel_free(t);
    else
        *out = t;
    return error;
}

static void free_item(struct reclaim_item *item)
{
    free(item);
}

static void set_identity(struct tunnel *t, struct identity *identity)
{
    struct identity *old = atomic_exchange(&t->identity, identity);
    if (old)
        reclaim_retire(&t->reclaim, &old->retired, free_item);
}

void tunnel_free(struct tunnel *t)
{
    struct tunnel_actions unused;
    if (!t)
        return;
    while (t->first) {
        unused.count = 0;
        tunnel_peer_remove(t, t->first->id, &unused);
    }
    set_identity(t, NULL);
    gate_clear(&t->gate, &t->reclaim);
    reclaim_clear(&t->reclaim);
    allowed_ips_clear(&t->allowed_ips);
    index_table_clear(&t->indices);
    index_table_clear(&t->peers);
    timer_heap_clear(&t->timers);
    crypto_free(t->crypto);
    repeat_cache_free(t->repeats);
    free(t->rate_limit);
    free(t->buckets);
    wipe(t, sizeof(*t));
    free(t);
}

void tunnel_add_reader(struct tunnel *t, struct reclaim_reader *reader)
{
    reclaim_add_reader(&t->reclaim, reader);
}

void tunnel_remove_reader(struct tunnel *t, struct reclaim_reader *reader)
{
    reclaim_remove_reader(&t->reclaim, reader);
}

/* A second key that there was stays. */
static int make_identity(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE], struct identity **out)
{
    const struct identity *own = atomic_load(&t->identity);
    struct identity *identity = calloc(1, sizeof(*identity));
    if (!identity)
        return ERROR_MEMORY;
    if (own)
        *identity = *own;
    memcpy(identity->public_key, public_key, X25519_SIZE);
    int error = cookie_keys_derive(&identity->keys, t->crypto, public_key);
    if (error != 0)
        free(identity);
    else
        *out = identity;
    return error;
}

int tunnel_set_public_key(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE], struct tunnel_actions *actions)
{
    struct identity *identity = NULL;
    const struct identity *own = atomic_load(&t->identity);
    if (own && public_key && memcmp(own->public_key, public_key, X25519_SIZE) == 0)
        return 0;
    if (public_key) {
        int error = make_identity(t, public_key, &identity);
        if (error != 0)
            return error;
        struct peer *self = peer_by_key(t, public_key);
        if (self)
            tunnel_peer_remove(t, self->id, actions);
    }
    for (struct peer *p = t->first; p; p = p->next)
        peer_expire(p);
    set_identity(t, identity);
    return 0;
}

int tunnel_set_second_key(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE], peer_id peer)
{
    const struct identity *own = atomic_load(&t->identity);
    struct identity *identity;
    if (!own)
        return public_key ? ERROR_INVALID : 0;
    int error = make_identity(t, own->public_key, &identity);
    if (error != 0)
        return error;
    identity->has_second = public_key != NULL;
    identity->second_peer = peer;
    if (public_key) {
        memcpy(identity->second_key, public_key, X25519_SIZE);
        error = cookie_keys_derive(&identity->second_keys, t->crypto, public_key);
    }
    if (error != 0)
        free(identity);
    else
        set_identity(t, identity);
    return error;
}

void tunnel_retire(struct tunnel *t, struct reclaim_item *item, void (*release)(struct reclaim_item *item))
{
    reclaim_retire(&t->reclaim, item, release);
}

static void step_datagram(struct tunnel *t, const struct tunnel_event *event, struct tunnel_time now,
                          struct tunnel_actions *actions)
{
    const struct endpoint *from = &event->datagram.from;
    const uint8_t *bytes = event->datagram.bytes;
    size_t len = event->datagram.len;
    enum message_type type = message_classify(bytes, len);
    struct identity *own = atomic_load(&t->identity);

    if (!own || !t->up)
        return;
    if (type == MESSAGE_COOKIE_REPLY) {
        cookie_reply_received(t, (const struct message_cookie_reply *)bytes, now.monotonic);
        return;
    }
    if ((type != MESSAGE_INITIATION && type != MESSAGE_RESPONSE) || !tunnel_mac1_holds(t, t->crypto, bytes, len))
        return;
    if (event->datagram.under_load && !t->options.dark && !cookie_admits(t, from, bytes, len, now.monotonic, actions))
        return;
    if (type == MESSAGE_INITIATION)
        initiation_received(t, (const struct message_initiation *)bytes, from, event->datagram.gated, actions);
    else
        response_received(t, (const struct message_response *)bytes, from, actions);
}

static void step_static_step(struct tunnel *t, struct static_step *step, struct tunnel_time now,
                             struct tunnel_actions *actions)
{
    if (!atomic_load(&t->identity) || !t->up)
        return;
    switch (step->stage) {
    case STAGE_INITIATION_SEALING:
        initiate_sealed(t, step, now, actions);
        break;
    case STAGE_INITIATION_FINDING:
        initiation_found(t, step, actions);
        break;
    case STAGE_INITIATION_OPENING:
        initiation_opened(t, step, now, actions);
        break;
    case STAGE_RESPONSE_MIXING:
        response_mixed(t, step, now, actions);
        break;
    }
}

static void step_notice(struct tunnel *t, const struct tunnel_notice *notice, struct tunnel_time now,
                        struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, notice->peer);
    if (!p || !t->up)
        return;
    if (notice->bits & TUNNEL_NOTICE_CONFIRMED && session_confirm(p, notice->session)) {
        timers_handshake_complete(p, now);
        count(&t->counters.handshakes);
        action_link(actions, p, true);
        action_flush(actions, p, false);
    }
    if (notice->bits & TUNNEL_NOTICE_ROAMED)
        peer_heard(p, &notice->from, actions);
    if (notice->bits & TUNNEL_NOTICE_HANDSHAKE)
        initiate(p, false, now, actions);
    timers_arm(p);
}

static void step_timer(struct tunnel *t, struct tunnel_time now, struct tunnel_actions *actions)
{
    struct timer *timer;
    gate_expire(t, now.monotonic, actions);
    while (actions->count + ACTIONS_PER_PEER <= TUNNEL_ACTIONS_MAX &&
           (timer = timer_heap_expire(&t->timers, now.monotonic))) {
        struct peer *p = (void *)((char *)timer - offsetof(struct peer, timer));
        timers_expire(p, now, actions);
    }
}

static void step_up(struct tunnel *t, uint64_t now)
{
    if (t->up)
        return;
    t->up = true;
    gate_up(t, now);
    for (struct peer *p = t->first; p; p = p->next) {
        if (p->keepalive != 0)
            p->persistent_at = now;
        else if (p->resume)
            p->retransmit_at = now;
        timers_arm(p);
    }
}

/* Whoever was talking to us when the interface went down still thinks that there is a session, and would find out only
 * after 15 s of silence: peers with a session get a handshake as soon as it is up again. */
static void step_down(struct tunnel *t)
{
    t->up = false;
    for (struct peer *p = t->first; p; p = p->next) {
        p->resume = p->session_current != NULL;
        peer_reset(p);
    }
}

void tunnel_step(struct tunnel *t, const struct tunnel_event *event, struct tunnel_time now,
                 struct tunnel_actions *actions)
{
    switch (event->kind) {
    case TUNNEL_EVENT_DATAGRAM:
        step_datagram(t, event, now, actions);
        break;
    case TUNNEL_EVENT_STATIC_STEP:
        step_static_step(t, event->static_step, now, actions);
        break;
    case TUNNEL_EVENT_NOTICE:
        step_notice(t, &event->notice, now, actions);
        break;
    case TUNNEL_EVENT_TIMER:
        step_timer(t, now, actions);
        break;
    case TUNNEL_EVENT_UP:
        step_up(t, now.monotonic);
        break;
    case TUNNEL_EVENT_DOWN:
        step_down(t);
        break;
    }
    reclaim_collect(&t->reclaim);
}

uint64_t tunnel_deadline(const struct tunnel *t)
{
    return earlier(timer_heap_deadline(&t->timers), gate_deadline(t));
}

bool tunnel_awaits(struct tunnel *t, const uint8_t *message, size_t len)
{
    struct le32 receiver;
    memcpy(&receiver, message + (message_classify(message, len) == MESSAGE_RESPONSE ? 8 : 4), sizeof(receiver));
    const struct indexed *found = index_table_lookup(&t->indices, get_le32(receiver));
    /* A session answers no response: those that made it are repeated in vain. */
    if (found && (found->kind == INDEXED_HANDSHAKE || message_classify(message, len) != MESSAGE_RESPONSE))
        return true;
    count(&t->counters.bad_handshake);
    return false;
}

bool tunnel_mac1_holds(struct tunnel *t, struct crypto *c, const uint8_t *message, size_t len)
{
    struct identity *own = atomic_load_explicit(&t->identity, memory_order_acquire);
    if (own && (identity_mac1_holds(own, LOCAL_OWN, c, message, len) ||
                identity_mac1_holds(own, LOCAL_SECOND, c, message, len)))
        return true;
    count(&t->counters.bad_mac1);
    return false;
}

void tunnel_read_counters(const struct tunnel *t, struct tunnel_counters *out)
{
#define COUNTER_READ(name) out->name = atomic_load_explicit(&t->counters.name, memory_order_relaxed);
    COUNTERS(COUNTER_READ)
#undef COUNTER_READ
}
