#include <stdlib.h>

#include "tunnel/internal.h"

struct session *session_new(struct peer *p, bool initiator, uint32_t remote_index, uint64_t now)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->indexed.kind = INDEXED_SESSION;
    s->indexed.peer = p;
    s->initiator = initiator;
    s->confirmed = s->used = initiator;
    s->remote_index = remote_index;
    s->born = now;
    return s;
}

static const char *const labels[AEADS] = {
    [AEAD_CHACHA20_POLY1305] = "nightjar 1 chacha20-poly1305",
    [AEAD_AES_256_GCM] = "nightjar 1 aes-256-gcm",
};

int session_take_keys(struct session *s, struct noise *n)
{
    struct tunnel *t = s->indexed.peer->tunnel;
    for (unsigned aead = 0; aead < AEADS; aead++) {
        struct native_keys *keys = &s->native_keys[aead];
        if (t->options.aeads & 1u << aead)
            noise_derive(n, t->crypto, labels[aead], s->initiator ? keys->send : keys->receive,
                         s->initiator ? keys->receive : keys->send);
    }
    return noise_split(n, t->crypto, s->initiator ? s->send_key : s->receive_key,
                       s->initiator ? s->receive_key : s->send_key);
}

void session_learn_native(struct session *s, enum aead aead)
{
    uint32_t unknown = 0;
    atomic_compare_exchange_strong(&s->native, &unknown, 1 + (uint32_t)aead);
}

void tunnel_session_set_native(struct tunnel *t, peer_id peer, uint32_t session, uint32_t aeads)
{
    const struct peer *p = tunnel_peer(t, peer);
    struct indexed *found = index_table_lookup(&t->indices, session);
    uint32_t common = aeads & t->options.aeads;
    if (!p || !found || found->kind != INDEXED_SESSION || found->peer != p)
        return;
    if (common & 1u << AEAD_AES_256_GCM)
        session_learn_native((struct session *)found, AEAD_AES_256_GCM);
    else if (common & 1u << AEAD_CHACHA20_POLY1305)
        session_learn_native((struct session *)found, AEAD_CHACHA20_POLY1305);
}

const struct crypto_ready_key *session_ready_key(_Atomic(struct crypto_ready_key *) *place, struct crypto *c,
                                                 enum aead aead, const uint8_t key[AEAD_KEY_SIZE])
{
    struct crypto_ready_key *made, *there = atomic_load_explicit(place, memory_order_acquire);
    if (there || crypto_ready_key_new(c, &made, aead, key) != 0 || !made)
        return there;
    if (atomic_compare_exchange_strong(place, &there, made))
        return made;
    crypto_ready_key_free(made); /* somebody else was first */
    return there;
}

void session_discard(struct session *s)
{
    crypto_ready_key_free(atomic_load(&s->send_ready));
    crypto_ready_key_free(atomic_load(&s->receive_ready));
    wipe(s, sizeof(*s));
    free(s);
}

static void release_session(struct reclaim_item *item)
{
    session_discard((struct session *)item);
}

void session_retire(struct session *s)
{
    struct tunnel *t = s->indexed.peer->tunnel;
    index_table_release(&t->indices, s->indexed.index);
    reclaim_retire(&t->reclaim, &s->indexed.retired, release_session);
}

static void set_next(struct peer *p, struct session *s)
{
    p->session_next = s;
    atomic_store_explicit(&p->waiting, s, memory_order_release);
}

static void end(struct session **place)
{
    struct session *s = *place;
    if (!s)
        return;
    *place = NULL;
    session_retire(s);
}

/* Whichever session is current is the one to send with, unless it has expired. */
static void make_current(struct peer *p, struct session *s)
{
    p->session_current = s;
    atomic_store_explicit(&p->sending, s->expired ? NULL : s, memory_order_release);
}

/* Initiations that cross make two sessions. Left alone, each side would send with its own and both would renew, which
 * ends sessions that the other still sends with. So whoever has the greater public key sends with the other's session
 * once it is in use. Nobody begins a handshake within REKEY_TIMEOUT of having answered one: two so close crossed.
 * But for who knows that the peer has lost its sessions: those from before cross nothing. */
static bool yields(const struct peer *p, const struct session *theirs, const struct session *ours)
{
    const struct identity *own = atomic_load(&p->tunnel->identity);
    uint64_t apart = theirs->born > ours->born ? theirs->born - ours->born : ours->born - theirs->born;
    return !theirs->expired && theirs->born > p->lost_at && !theirs->initiator && ours->initiator &&
           apart < REKEY_TIMEOUT && own && memcmp(own->public_key, p->public_key, X25519_SIZE) > 0;
}

void session_begin_as_initiator(struct session *s, struct handshake *h)
{
    struct peer *p = s->indexed.peer;
    s->indexed.index = h->indexed.index;
    index_table_replace(&p->tunnel->indices, s->indexed.index, s);
    end(&p->session_previous);
    if (!p->session_next && p->session_current && yields(p, p->session_current, s)) {
        p->session_previous = s;
        return;
    }
    if (p->session_next) {
        /* The peer may be about to use the one that it began: keep that rather than what is older. */
        p->session_previous = p->session_next;
        set_next(p, NULL);
        struct session *replaced = p->session_current;
        make_current(p, s);
        end(&replaced);
        return;
    }
    p->session_previous = p->session_current;
    make_current(p, s);
}

void session_begin_as_responder(struct session *s)
{
    struct peer *p = s->indexed.peer;
    struct session *superseded = p->session_next;
    set_next(p, s);
    end(&superseded);
    end(&p->session_previous);
}

/* The peer used the one that it began, after we completed ours. */
static void confirm_superseded(struct peer *p)
{
    struct session *theirs = p->session_previous, *ours = p->session_current;
    atomic_store_explicit(&theirs->confirmed, true, memory_order_relaxed);
    if (p->session_next || !ours || !yields(p, theirs, ours))
        return;
    p->session_previous = ours;
    make_current(p, theirs);
}

bool session_confirm(struct peer *p, uint32_t local_index)
{
    struct session *s = p->session_next;
    if (p->session_previous && p->session_previous->indexed.index == local_index)
        confirm_superseded(p);
    if (!s || s->indexed.index != local_index)
        return false;
    end(&p->session_previous);
    p->session_previous = p->session_current;
    atomic_store_explicit(&s->confirmed, true, memory_order_relaxed);
    make_current(p, s);
    set_next(p, NULL);
    return true;
}

static bool lives(const struct session *s, uint64_t now)
{
    return s && !s->expired && now < s->born + REJECT_AFTER_TIME;
}

bool session_lives(const struct peer *p, uint64_t now)
{
    return lives(p->session_current, now) || lives(p->session_next, now) || lives(p->session_previous, now);
}

void session_end_all(struct peer *p)
{
    struct session *next = p->session_next;
    atomic_store_explicit(&p->sending, NULL, memory_order_release);
    set_next(p, NULL);
    end(&p->session_previous);
    end(&p->session_current);
    end(&next);
}

void session_expire_all(struct peer *p)
{
    struct session *all[] = {p->session_previous, p->session_current, p->session_next};
    atomic_store_explicit(&p->sending, NULL, memory_order_release);
    atomic_store_explicit(&p->waiting, NULL, memory_order_release);
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (all[i])
            all[i]->expired = true;
}
