/* The timers of paper section 6, one function an event. Data threads set and clear the two that depend on every packet
 * as plain times in the peer; the heap's one timer for the peer may fire early and then looks again. */
#include "tunnel/internal.h"

#define NOT_PENDING 0

static uint32_t random_jitter(struct peer *p)
{
    uint32_t random;
    entropy(p->tunnel, &random, sizeof(random));
    return random % (uint32_t)REKEY_TIMEOUT_JITTER;
}

static void traversed(struct peer *p, uint64_t now)
{
    atomic_store_explicit(&p->traversal, now, memory_order_relaxed);
}

void timers_packet_sent(struct peer *p, uint64_t now)
{
    traversed(p, now);
    atomic_store(&p->keepalive_at, NOT_PENDING);
}

void timers_packet_received(struct peer *p, uint64_t now)
{
    traversed(p, now);
    atomic_store(&p->new_handshake_at, NOT_PENDING);
}

void timers_initiation_sent(struct peer *p, uint64_t now)
{
    timers_packet_sent(p, now);
    p->retransmit_at = now + REKEY_TIMEOUT + random_jitter(p);
    timers_arm(p);
}

void timers_session_derived(struct peer *p, uint64_t now)
{
    p->zero_at = now + 3 * REJECT_AFTER_TIME;
    p->link_at = now + REJECT_AFTER_TIME;
    atomic_store_explicit(&p->jitter, random_jitter(p), memory_order_relaxed);
}

void timers_handshake_complete(struct peer *p, struct tunnel_time now)
{
    p->retransmit_at = NOT_PENDING;
    p->attempts = 0;
    p->unanswered = 0;
    p->last_handshake = now.wall;
}

void timers_stop(struct peer *p)
{
    p->retransmit_at = NOT_PENDING;
    p->zero_at = NOT_PENDING;
    p->link_at = NOT_PENDING;
    atomic_store(&p->keepalive_at, NOT_PENDING);
    atomic_store(&p->new_handshake_at, NOT_PENDING);
    atomic_store(&p->traversal, 0);
    atomic_store(&p->handshake_asked, 0);
    if (!p->tunnel->up)
        p->persistent_at = NOT_PENDING;
    timers_arm(p);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return b != NOT_PENDING && b < a ? b : a;
}

static uint64_t next_of(const struct peer *p)
{
    uint64_t at = sooner(TIMER_NEVER, p->retransmit_at);
    at = sooner(at, p->zero_at);
    at = sooner(at, p->link_at);
    at = sooner(at, p->persistent_at);
    at = sooner(at, atomic_load(&p->keepalive_at));
    return sooner(at, atomic_load(&p->new_handshake_at));
}

void timers_arm(struct peer *p)
{
    /* A data thread stores its time and then reads `armed`; here it is the other way round, so one of us sees it. */
    uint64_t at;
    do {
        at = next_of(p);
        atomic_store(&p->armed, at);
    } while (next_of(p) < at);
    if (at == TIMER_NEVER)
        timer_disarm(&p->tunnel->timers, &p->timer);
    else
        timer_arm(&p->tunnel->timers, &p->timer, at);
}

static bool take_due(uint64_t *at, uint64_t now)
{
    bool due = *at != NOT_PENDING && *at <= now;
    if (due)
        *at = NOT_PENDING;
    return due;
}

static bool take_due_shared(_Atomic uint64_t *at, uint64_t now)
{
    uint64_t value = atomic_load(at);
    return value != NOT_PENDING && value <= now && atomic_compare_exchange_strong(at, &value, NOT_PENDING);
}

/* The initiation was not answered: try again, or give up (paper section 6.4). */
static void retransmit(struct peer *p, struct tunnel_time now, struct tunnel_actions *actions)
{
    if (p->attempts >= HANDSHAKE_ATTEMPTS) {
        handshake_end(p);
        atomic_store(&p->keepalive_at, NOT_PENDING);
        action_add(actions, TUNNEL_ACTION_DISCARD)->discard.peer = p->id;
        action_link(actions, p, false);
        if (p->zero_at == NOT_PENDING)
            p->zero_at = now.monotonic + 3 * REJECT_AFTER_TIME;
        return;
    }
    p->attempts++;
    peer_forget_local(p); /* in case it is what the trouble is about */
    initiate(p, true, now, actions);
}

static void persistent(struct peer *p, uint64_t now, struct tunnel_actions *actions)
{
    uint64_t interval = p->keepalive * SECOND, last = atomic_load_explicit(&p->traversal, memory_order_relaxed);
    if (last != 0 && last + interval > now) {
        p->persistent_at = last + interval;
        return;
    }
    action_flush(actions, p, true);
    p->persistent_at = now + interval;
}

void timers_expire(struct peer *p, struct tunnel_time now, struct tunnel_actions *actions)
{
    if (!p->tunnel->up)
        return;
    if (take_due(&p->retransmit_at, now.monotonic))
        retransmit(p, now, actions);
    if (take_due_shared(&p->keepalive_at, now.monotonic) && !p->passive)
        action_flush(actions, p, true);
    if (take_due_shared(&p->new_handshake_at, now.monotonic)) {
        peer_forget_local(p);
        initiate(p, false, now, actions);
    }
    if (take_due(&p->link_at, now.monotonic) && !session_lives(p, now.monotonic))
        action_link(actions, p, false);
    if (take_due(&p->zero_at, now.monotonic)) {
        handshake_end(p);
        session_end_all(p);
    }
    if (p->persistent_at != NOT_PENDING && p->persistent_at <= now.monotonic)
        persistent(p, now.monotonic, actions);
    timers_arm(p);
}
