#include <stdlib.h>

#include "tunnel/internal.h"

#define PEERS_MAX (1u << 20)
#define BUCKETS_MIN 16u

/* ---- By public key ---- */

/* Multiply-shift over pairs of 32-bit words with secret summands, whose upper half is universal: so that nobody can
 * choose keys that collide. */
static uint32_t hash_key(const struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE])
{
    uint32_t words[8];
    uint64_t hash = 0;
    memcpy(words, public_key, sizeof(words));
    for (int i = 0; i < 8; i += 2)
        hash += (words[i] + t->hash_seed[i]) * (words[i + 1] + t->hash_seed[i + 1]);
    return (uint32_t)(hash >> 32) & (t->bucket_count - 1);
}

static struct peer **link_of(const struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE])
{
    struct peer **link = &t->buckets[hash_key(t, public_key)];
    while (*link && memcmp((*link)->public_key, public_key, MESSAGE_KEY_SIZE) != 0)
        link = &(*link)->hash_next;
    return link;
}

struct peer *peer_by_key(const struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE])
{
    return t->bucket_count ? *link_of(t, public_key) : NULL;
}

static int grow_buckets(struct tunnel *t)
{
    uint32_t bucket_count = t->bucket_count ? t->bucket_count * 2 : BUCKETS_MIN;
    struct peer **buckets = calloc(bucket_count, sizeof(struct peer *));
    if (!buckets)
        return ERROR_MEMORY;
    free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = bucket_count;
    for (struct peer *p = t->first; p; p = p->next) {
        struct peer **bucket = &buckets[hash_key(t, p->public_key)];
        p->hash_next = *bucket;
        *bucket = p;
    }
    return 0;
}

/* ---- Adding and removing ---- */

peer_id tunnel_peer_find(const struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE])
{
    const struct peer *p = peer_by_key(t, public_key);
    return p ? p->id : 0;
}

peer_id tunnel_peer_next(const struct tunnel *t, peer_id peer)
{
    const struct peer *next = t->first;
    if (peer != 0) {
        const struct peer *p = tunnel_peer((struct tunnel *)t, peer);
        next = p ? p->next : NULL;
    }
    return next ? next->id : 0;
}

static int may_add(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE])
{
    const struct identity *own = atomic_load(&t->identity);
    if (own && memcmp(own->public_key, public_key, MESSAGE_KEY_SIZE) == 0)
        return ERROR_INVALID;
    if (peer_by_key(t, public_key))
        return ERROR_EXISTS;
    if (t->peer_count == PEERS_MAX)
        return ERROR_FULL;
    if (t->peer_count == t->bucket_count && grow_buckets(t) != 0)
        return ERROR_MEMORY;
    return timer_heap_reserve(&t->timers, t->peer_count + 1);
}

static void link_peer(struct tunnel *t, struct peer *p)
{
    *link_of(t, p->public_key) = p;
    p->previous = t->last;
    *(t->last ? &t->last->next : &t->first) = p;
    t->last = p;
    t->peer_count++;
}

static void unlink_peer(struct tunnel *t, struct peer *p)
{
    *link_of(t, p->public_key) = p->hash_next;
    *(p->previous ? &p->previous->next : &t->first) = p->next;
    *(p->next ? &p->next->previous : &t->last) = p->previous;
    t->peer_count--;
}

int tunnel_peer_add(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE], peer_id *out)
{
    int error = may_add(t, public_key);
    if (error != 0)
        return error;
    struct peer *p = calloc(1, sizeof(*p));
    if (!p)
        return ERROR_MEMORY;
    uint32_t index;
    p->tunnel = t;
    p->armed = TIMER_NEVER;
    p->id = (peer_id)++t->peer_serial << 32; /* complete before a reader can find the peer */
    timer_init(&p->timer);
    memcpy(p->public_key, public_key, MESSAGE_KEY_SIZE);
    do {
        entropy(t, &index, sizeof(index));
        p->id = (p->id & ~(peer_id)UINT32_MAX) | index;
        error = index_table_claim(&t->peers, &t->reclaim, index, p);
    } while (error == ERROR_EXISTS);
    if (error != 0) {
        free(p);
        return error;
    }
    link_peer(t, p);
    *out = p->id;
    return 0;
}

static void release_peer(struct reclaim_item *item)
{
    wipe(item, sizeof(struct peer));
    free(item);
}

static void release_item(struct reclaim_item *item)
{
    free(item);
}

void tunnel_peer_remove(struct tunnel *t, peer_id peer, struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, peer);
    if (!p)
        return;
    p->persistent_at = 0;
    initiate_remember_timestamp(p);
    peer_reset(p);
    timer_disarm(&t->timers, &p->timer); /* a data thread may have set a time while the others were taken back */
    allowed_ips_remove_all(&t->allowed_ips, &t->reclaim, &p->allowed);
    tunnel_peer_attach(t, peer, NULL, NULL);
    index_table_release(&t->peers, (uint32_t)p->id);
    unlink_peer(t, p);
    t->gate.forgotten = true; /* it may know our gate key */
    struct published_endpoint *endpoint = atomic_exchange(&p->endpoint, NULL);
    if (endpoint)
        reclaim_retire(&t->reclaim, &endpoint->retired, release_item);
    reclaim_retire(&t->reclaim, &p->retired, release_peer);
    action_add(actions, TUNNEL_ACTION_DISCARD)->discard.peer = peer;
    reclaim_collect(&t->reclaim);
}

void peer_reset(struct peer *p)
{
    handshake_end(p);
    session_end_all(p);
    timers_stop(p);
    p->last_handshake_sent = 0;
    p->attempts = 0;
}

void peer_expire(struct peer *p)
{
    if (session_lives(p, 0))
        p->link_at = 1; /* at once: it is told with the next timers */
    handshake_end(p);
    session_expire_all(p);
    atomic_store(&p->handshake_asked, 0);
    p->last_handshake_sent = 0;
    p->attempts = 0;
    timers_arm(p);
}

struct peer *tunnel_peer(struct tunnel *t, peer_id id)
{
    struct peer *p = index_table_lookup(&t->peers, (uint32_t)id);
    return p && p->id == id ? p : NULL;
}

peer_id tunnel_peer_id(const struct peer *peer)
{
    return peer->id;
}

void tunnel_peer_attach(struct tunnel *t, peer_id peer, struct reclaim_item *attachment,
                        void (*release)(struct reclaim_item *attachment))
{
    struct peer *p = tunnel_peer(t, peer);
    if (!p)
        return;
    struct reclaim_item *old = atomic_exchange(&p->attachment, attachment);
    if (old)
        reclaim_retire(&t->reclaim, old, p->attachment_release);
    p->attachment_release = release;
}

struct reclaim_item *tunnel_peer_attachment(const struct peer *peer)
{
    return atomic_load_explicit(&peer->attachment, memory_order_acquire);
}

/* ---- Where it is ---- */

bool tunnel_peer_endpoint(const struct peer *peer, struct endpoint *out)
{
    const struct published_endpoint *published = atomic_load_explicit(&peer->endpoint, memory_order_acquire);
    if (published)
        *out = published->endpoint;
    return published != NULL;
}

/* The same address and port there, by whichever address here. */
static bool same_place(const struct endpoint *a, const struct endpoint *b)
{
    return a->family == b->family && a->port == b->port && a->scope == b->scope &&
           memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

bool peer_set_endpoint(struct peer *p, const struct endpoint *endpoint)
{
    struct published_endpoint *old = atomic_load(&p->endpoint);
    if (old && endpoint_equal(&old->endpoint, endpoint))
        return true;
    struct published_endpoint *published = calloc(1, sizeof(*published));
    if (!published)
        return false;
    published->endpoint = *endpoint;
    if (!old || !same_place(&old->endpoint, endpoint))
        p->unanswered = 0;
    atomic_store_explicit(&p->endpoint, published, memory_order_release);
    atomic_store_explicit(&p->handshake_asked, 0, memory_order_relaxed);
    if (old)
        reclaim_retire(&p->tunnel->reclaim, &old->retired, release_item);
    return true;
}

/* What it means that a peer spoke from somewhere. */
enum whereabouts { WHERE_IT_IS, MOVED, ELSEWHERE };

static enum whereabouts whereabouts_of(const struct peer *p, const struct endpoint *from)
{
    const struct published_endpoint *known = atomic_load_explicit(&p->endpoint, memory_order_acquire);
    if (!known)
        return MOVED;
    bool relayed = known->endpoint.family == ENDPOINT_RELAYED;
    if (endpoint_equal(&known->endpoint, from) || (!relayed && atomic_load_explicit(&p->stays, memory_order_relaxed)))
        return WHERE_IT_IS;
    bool steered = atomic_load_explicit(&p->steered, memory_order_relaxed);
    return steered && !same_place(&known->endpoint, from) ? ELSEWHERE : MOVED;
}

/* A peer that goes on speaking from elsewhere is told of seldom, one that does so from several places a little more
 * often, since it may be the one that matters. */
#define SPOKE_INTERVAL (SECOND / 10)
#define SPOKE_INTERVAL_OTHER (SECOND / 100)

static bool is_worth_telling(struct peer *p, const struct endpoint *from, uint64_t now)
{
    uint64_t interval = same_place(&p->spoke_from, from) ? SPOKE_INTERVAL : SPOKE_INTERVAL_OTHER;
    if (p->spoke_at != 0 && now < p->spoke_at + interval)
        return false;
    p->spoke_from = *from;
    p->spoke_at = now;
    return true;
}

bool peer_is_news(struct peer *p, const struct endpoint *from, uint64_t now)
{
    enum whereabouts where = whereabouts_of(p, from);
    return where == MOVED || (where == ELSEWHERE && is_worth_telling(p, from, now));
}

void peer_heard(struct peer *p, const struct endpoint *from, struct tunnel_actions *actions)
{
    enum whereabouts where = whereabouts_of(p, from);
    if (where == MOVED)
        peer_set_endpoint(p, from);
    if (where != ELSEWHERE)
        return;
    struct tunnel_action *action = action_add(actions, TUNNEL_ACTION_SPOKE);
    action->spoke.peer = p->id;
    action->spoke.from = *from;
}

void peer_forget_local(struct peer *p)
{
    struct endpoint endpoint;
    if (!tunnel_peer_endpoint(p, &endpoint))
        return;
    memset(endpoint.local, 0, sizeof(endpoint.local));
    endpoint.interface = 0;
    peer_set_endpoint(p, &endpoint);
}

void tunnel_peer_forget_local(struct tunnel *t, peer_id peer)
{
    struct peer *p = tunnel_peer(t, peer);
    if (p)
        peer_forget_local(p);
}

int tunnel_peer_set_endpoint(struct tunnel *t, peer_id peer, const struct endpoint *endpoint,
                             struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, peer);
    if (!p)
        return ERROR_NOT_FOUND;
    if (!peer_set_endpoint(p, endpoint))
        return ERROR_MEMORY;
    action_flush(actions, p, false);
    return 0;
}

void tunnel_peer_forget_endpoint(struct tunnel *t, peer_id peer)
{
    struct peer *p = tunnel_peer(t, peer);
    struct published_endpoint *old = p ? atomic_exchange(&p->endpoint, NULL) : NULL;
    if (old)
        reclaim_retire(&t->reclaim, &old->retired, release_item);
}

/* ---- What it may and how ---- */

void tunnel_peer_set_preshared_key(struct tunnel *t, peer_id peer, const uint8_t key[MESSAGE_KEY_SIZE])
{
    struct peer *p = tunnel_peer(t, peer);
    if (p)
        memcpy(p->preshared_key, key, MESSAGE_KEY_SIZE);
}

void tunnel_peer_set_keepalive(struct tunnel *t, peer_id peer, uint16_t seconds, struct tunnel_time now,
                               struct tunnel_actions *actions)
{
    struct peer *p = tunnel_peer(t, peer);
    if (!p)
        return;
    bool turned_on = p->keepalive == 0 && seconds != 0;
    p->keepalive = seconds;
    p->persistent_at = seconds != 0 && t->up ? now.monotonic + seconds * SECOND : 0;
    timers_arm(p);
    if (turned_on && t->up)
        action_flush(actions, p, true);
}

void tunnel_peer_set_stays(struct tunnel *t, peer_id peer, bool stays)
{
    struct peer *p = tunnel_peer(t, peer);
    if (p)
        atomic_store_explicit(&p->stays, stays, memory_order_relaxed);
}

void tunnel_peer_set_steered(struct tunnel *t, peer_id peer, bool steered)
{
    struct peer *p = tunnel_peer(t, peer);
    if (p)
        atomic_store_explicit(&p->steered, steered, memory_order_relaxed);
}

void tunnel_peer_set_silent(struct tunnel *t, peer_id peer, bool silent)
{
    struct peer *p = tunnel_peer(t, peer);
    if (p)
        p->silent = silent;
}

void tunnel_peer_set_passive(struct tunnel *t, peer_id peer, bool passive)
{
    struct peer *p = tunnel_peer(t, peer);
    if (p)
        p->passive = passive;
}

void tunnel_peer_set_timestamp(struct tunnel *t, peer_id peer, const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE])
{
    struct peer *p = tunnel_peer(t, peer);
    if (p && memcmp(timestamp, p->greatest_timestamp, MESSAGE_TIMESTAMP_SIZE) > 0)
        memcpy(p->greatest_timestamp, timestamp, MESSAGE_TIMESTAMP_SIZE);
}

int tunnel_peer_allow(struct tunnel *t, peer_id peer, const uint8_t *address, unsigned address_len, unsigned cidr)
{
    struct peer *p = tunnel_peer(t, peer);
    return p ? allowed_ips_insert(&t->allowed_ips, &t->reclaim, address, address_len, cidr, p, &p->allowed)
             : ERROR_NOT_FOUND;
}

int tunnel_peer_disallow(struct tunnel *t, peer_id peer, const uint8_t *address, unsigned address_len, unsigned cidr)
{
    struct peer *p = tunnel_peer(t, peer);
    return p ? allowed_ips_remove(&t->allowed_ips, &t->reclaim, address, address_len, cidr, p, &p->allowed)
             : ERROR_NOT_FOUND;
}

void tunnel_peer_disallow_all(struct tunnel *t, peer_id peer)
{
    struct peer *p = tunnel_peer(t, peer);
    if (p)
        allowed_ips_remove_all(&t->allowed_ips, &t->reclaim, &p->allowed);
    reclaim_collect(&t->reclaim);
}

int tunnel_peer_each_allowed(const struct tunnel *t, peer_id peer,
                             int (*each)(void *context, const uint8_t *address, unsigned address_len, unsigned cidr),
                             void *context)
{
    const struct peer *p = tunnel_peer((struct tunnel *)t, peer);
    return p ? allowed_ips_each(&p->allowed, each, context) : ERROR_NOT_FOUND;
}

int tunnel_peer_info(const struct tunnel *t, peer_id peer, struct tunnel_peer_info *out)
{
    const struct peer *p = tunnel_peer((struct tunnel *)t, peer);
    if (!p)
        return ERROR_NOT_FOUND;
    memset(out, 0, sizeof(*out));
    memcpy(out->public_key, p->public_key, MESSAGE_KEY_SIZE);
    memcpy(out->preshared_key, p->preshared_key, MESSAGE_KEY_SIZE);
    (void)tunnel_peer_endpoint(p, &out->endpoint);
    out->last_handshake = p->last_handshake;
    out->rx_bytes = atomic_load_explicit(&p->rx_bytes, memory_order_relaxed);
    out->tx_bytes = atomic_load_explicit(&p->tx_bytes, memory_order_relaxed);
    out->keepalive = p->keepalive;
    if (p->session_current)
        out->native = atomic_load_explicit(&p->session_current->native, memory_order_relaxed);
    return 0;
}
