#include "tunnel/gate.h"

#include <stdlib.h>

#include "tunnel/internal.h"

_Static_assert((GATE_SEEN_SLOTS & (GATE_SEEN_SLOTS - 1)) == 0, "slots are masked");

/* ---- One key ---- */

static void release_key(struct reclaim_item *item)
{
    struct gate_key *k = (struct gate_key *)item;
    wipe(k->key, sizeof(k->key));
    free(k);
}

static int mac2_of(struct crypto *c, const uint8_t key[MESSAGE_COOKIE_SIZE], const uint8_t *message, size_t len,
                   uint8_t mac[MESSAGE_MAC_SIZE])
{
    return crypto_blake2s_mac(c, mac, MESSAGE_MAC_SIZE, key, MESSAGE_COOKIE_SIZE, message, len - MESSAGE_MAC_SIZE);
}

int gate_seal(struct crypto *c, const uint8_t key[MESSAGE_COOKIE_SIZE], uint8_t *message, size_t len)
{
    return mac2_of(c, key, message, len, message + len - MESSAGE_MAC_SIZE);
}

static bool made(const struct gate_key *k, struct crypto *c, const uint8_t *message, size_t len)
{
    uint8_t mac[MESSAGE_MAC_SIZE];
    return k && mac2_of(c, k->key, message, len, mac) == 0 &&
           equal_constant_time(mac, message + len - MESSAGE_MAC_SIZE, sizeof(mac));
}

/* Most who know no key say so: zeros cost no hash. */
struct gate_key *gate_key_of(const struct gate *g, struct crypto *c, const uint8_t *message, size_t len)
{
    if (is_zero(message + len - MESSAGE_MAC_SIZE, MESSAGE_MAC_SIZE))
        return NULL;
    struct gate_key *current = atomic_load_explicit(&g->current, memory_order_acquire);
    if (made(current, c, message, len))
        return current;
    struct gate_key *previous = atomic_load_explicit(&g->previous, memory_order_acquire);
    return made(previous, c, message, len) ? previous : NULL;
}

bool gate_key_has_seen(struct gate_key *k, const uint8_t *message, size_t len)
{
    uint64_t print;
    memcpy(&print, message + len - MESSAGE_MAC_SIZE, sizeof(print));
    print += print == 0; /* 0 is a free slot */
    for (uint32_t i = 0; i < GATE_PROBES_MAX; i++) {
        uint64_t *slot = &k->seen[(print + i) & (GATE_SEEN_SLOTS - 1)];
        if (*slot == print)
            return true;
        if (*slot == 0 && k->seen_count < GATE_SEEN_MAX) {
            *slot = print;
            k->seen_count++;
            return false;
        }
        if (*slot == 0)
            return false;
    }
    return false;
}

/* ---- Both ---- */

static void publish(_Atomic(struct gate_key *) *place, struct gate_key *k, struct reclaim *reclaim)
{
    struct gate_key *old = atomic_exchange(place, k);
    if (old)
        reclaim_retire(reclaim, &old->retired, release_key);
}

int gate_replace(struct gate *g, struct reclaim *reclaim, const uint8_t fresh[MESSAGE_COOKIE_SIZE], bool keep)
{
    struct gate_key *k = calloc(1, sizeof(*k));
    if (!k)
        return ERROR_MEMORY;
    memcpy(k->key, fresh, sizeof(k->key));
    struct gate_key *before = atomic_exchange(&g->current, k);
    publish(&g->previous, keep ? before : NULL, reclaim);
    if (before && !keep)
        reclaim_retire(reclaim, &before->retired, release_key);
    atomic_store(&g->full, false);
    return 0;
}

void gate_clear(struct gate *g, struct reclaim *reclaim)
{
    publish(&g->current, NULL, reclaim);
    publish(&g->previous, NULL, reclaim);
}

/* ---- The tunnel's ---- */

/* Without memory for it the old key serves on, and it is tried again. */
static void replace(struct tunnel *t, bool keep, uint64_t now, struct tunnel_actions *actions)
{
    uint8_t fresh[MESSAGE_COOKIE_SIZE];
    entropy(t, fresh, sizeof(fresh));
    t->gate.replaced = now;
    t->gate.until = now + GATE_REPLACE_MIN;
    if (gate_replace(&t->gate, &t->reclaim, fresh, keep) == 0) {
        t->gate.until = now + GATE_LIFETIME;
        t->gate.forgotten &= keep;
        (void)!action_add(actions, TUNNEL_ACTION_GATE);
    }
    wipe(fresh, sizeof(fresh));
}

int gate_begin(struct tunnel *t)
{
    uint8_t fresh[MESSAGE_COOKIE_SIZE];
    if (!t->options.dark)
        return 0;
    entropy(t, fresh, sizeof(fresh));
    int error = gate_replace(&t->gate, &t->reclaim, fresh, false);
    wipe(fresh, sizeof(fresh));
    return error;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t gate_deadline(const struct tunnel *t)
{
    const struct gate *g = &t->gate;
    uint64_t at = g->until != 0 ? g->until : UINT64_MAX;
    if (!t->options.dark)
        return UINT64_MAX;
    if (g->forgotten) /* at once, but no more often than once a second */
        return g->replaced != 0 ? g->replaced + GATE_REPLACE_MIN : 1;
    if (atomic_load(&g->full) && g->replaced + GATE_EARLY_MIN < at)
        return later(g->replaced + GATE_EARLY_MIN, 1);
    return at;
}

void gate_up(struct tunnel *t, uint64_t now)
{
    if (t->options.dark && t->gate.until == 0)
        t->gate.until = now + GATE_LIFETIME;
}

void gate_expire(struct tunnel *t, uint64_t now, struct tunnel_actions *actions)
{
    if (t->options.dark && now >= gate_deadline(t))
        replace(t, !t->gate.forgotten, now, actions);
}

void tunnel_gate(const struct tunnel *t, uint8_t out[MESSAGE_COOKIE_SIZE])
{
    const struct gate_key *k = atomic_load(&t->gate.current);
    memset(out, 0, MESSAGE_COOKIE_SIZE);
    if (k)
        memcpy(out, k->key, MESSAGE_COOKIE_SIZE);
}

int tunnel_gate_restore(struct tunnel *t, const uint8_t gate[MESSAGE_COOKIE_SIZE])
{
    return t->options.dark ? gate_replace(&t->gate, &t->reclaim, gate, false) : 0;
}

void tunnel_peer_set_gate(struct tunnel *t, peer_id peer, const uint8_t *gate)
{
    struct peer *p = tunnel_peer(t, peer);
    if (!p)
        return;
    p->has_gate = gate != NULL;
    if (gate)
        memcpy(p->gate, gate, sizeof(p->gate));
    else
        wipe(p->gate, sizeof(p->gate));
}

/* A peer that has a gate key is dark and sends no cookies: one that came is not the peer's. */
int peer_seal_macs(struct peer *p, void *message, size_t len, uint64_t now)
{
    struct crypto *c = p->tunnel->crypto;
    int error = cookie_seal_message(&p->cookie, c, p->public_key, message, len, now);
    return error == 0 && p->has_gate ? gate_seal(c, p->gate, message, len) : error;
}

/* ---- Data threads ---- */

bool tunnel_gate_holds(struct tunnel *t, struct crypto *c, const uint8_t *message, size_t len)
{
    return gate_key_of(&t->gate, c, message, len) != NULL;
}

enum tunnel_gate_verdict tunnel_gate_judge(struct tunnel *t, struct crypto *c, const uint8_t *message, size_t len)
{
    struct gate_key *k = gate_key_of(&t->gate, c, message, len);
    if (!k)
        return TUNNEL_GATE_NONE;
    if (gate_key_has_seen(k, message, len)) {
        count(&t->counters.repeated_initiation);
        return TUNNEL_GATE_REPEATED;
    }
    if (k->seen_count >= GATE_SEEN_MAX)
        atomic_store_explicit(&t->gate.full, true, memory_order_relaxed);
    return TUNNEL_GATE_HELD;
}
