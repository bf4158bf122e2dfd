/* What a node of a network wants of its peers: names, paths, frames, permissions. */
#include "engine/companion.h"
#include "engine/internal.h"
#include "wire/frame.h"

#define RELAY_RATE_MAX (UINT64_C(1) << 34)

/* ---- Frames and sessions ---- */

void engine_send_frame(struct engine *e, peer_id peer, const uint8_t *bytes, size_t len)
{
    if (len == 0 || len > FRAME_MAX || bytes[0] >> 4 != 0)
        engine_count(&e->counters.frames_dropped, 1);
    else
        sender_frame(e->sender, peer, bytes, (uint32_t)len);
}

void engine_send_frame_by(struct engine *e, peer_id peer, const struct endpoint *path, const uint8_t *bytes, size_t len)
{
    if (len == 0 || len > FRAME_MAX || bytes[0] >> 4 != 0 || path->family == ENDPOINT_NONE)
        engine_count(&e->counters.frames_dropped, 1);
    else
        sender_frame_by(e->sender, peer, path, bytes, (uint32_t)len);
}

void engine_connect(struct engine *e, peer_id peer)
{
    struct tunnel_actions actions;
    actions.count = 0;
    tunnel_peer_connect(e->tunnel, peer, engine_now(), &actions);
    engine_carry_out(e, &actions);
}

void engine_reconnect(struct engine *e, peer_id peer)
{
    struct tunnel_actions actions;
    actions.count = 0;
    tunnel_peer_reconnect(e->tunnel, peer, engine_now(), &actions);
    engine_carry_out(e, &actions);
}

void engine_set_silent(struct engine *e, peer_id peer, bool silent)
{
    tunnel_peer_set_silent(e->tunnel, peer, silent);
}

void engine_set_passive(struct engine *e, peer_id peer, bool passive)
{
    tunnel_peer_set_passive(e->tunnel, peer, passive);
}

int engine_set_second_key(struct engine *e, const uint8_t public_key[MESSAGE_KEY_SIZE], peer_id peer)
{
    return tunnel_set_second_key(e->tunnel, public_key, peer);
}

void engine_set_gate(struct engine *e, peer_id peer, const uint8_t *gate)
{
    tunnel_peer_set_gate(e->tunnel, peer, gate);
}

void engine_gate(const struct engine *e, uint8_t out[MESSAGE_COOKIE_SIZE])
{
    tunnel_gate(e->tunnel, out);
}

int engine_restore_gate(struct engine *e, const uint8_t gate[MESSAGE_COOKIE_SIZE])
{
    return tunnel_gate_restore(e->tunnel, gate);
}

/* ---- Native transport ---- */

_Static_assert(FRAME_AEAD_CHACHA20_POLY1305 == 1 << AEAD_CHACHA20_POLY1305 &&
                   FRAME_AEAD_AES_256_GCM == 1 << AEAD_AES_256_GCM,
               "hellos number AEADs as we do");

uint64_t engine_aeads(const struct engine *e)
{
    if (e->options.no_native)
        return 0;
    bool aes = !e->options.no_aes && crypto_is_fast(AEAD_AES_256_GCM);
    return FRAME_AEAD_CHACHA20_POLY1305 | (aes ? FRAME_AEAD_AES_256_GCM : 0);
}

void engine_set_native(struct engine *e, peer_id peer, uint32_t session, uint64_t aeads)
{
    tunnel_session_set_native(e->tunnel, peer, session, (uint32_t)aeads);
}

/* ---- Paths ---- */

int engine_set_name(struct engine *e, peer_id peer, const uint8_t name[8])
{
    int error;
    struct companion *c = companion_make(e->tunnel, peer, &error);
    if (!c)
        return error;
    memcpy(c->name, name, sizeof(c->name));
    c->named = true;
    return 0;
}

int engine_set_relay(struct engine *e, peer_id peer, bool yes)
{
    int error;
    struct companion *c = companion_make(e->tunnel, peer, &error);
    if (c)
        atomic_store_explicit(&c->relay, yes, memory_order_relaxed);
    tunnel_peer_set_stays(e->tunnel, peer, yes);
    return error;
}

/* NULL without a name. */
static const uint8_t *name_of(struct engine *e, peer_id peer)
{
    const struct peer *p = tunnel_peer(e->tunnel, peer);
    const struct companion *c = p ? companion_of(p) : NULL;
    return c && c->named ? c->name : NULL;
}

static int set_endpoint(struct engine *e, peer_id peer, const struct endpoint *endpoint)
{
    struct tunnel_actions actions;
    actions.count = 0;
    int error = tunnel_peer_set_endpoint(e->tunnel, peer, endpoint, &actions);
    engine_carry_out(e, &actions);
    return error;
}

int engine_set_relayed(struct engine *e, peer_id peer, peer_id relay)
{
    struct endpoint to;
    const struct peer *p = tunnel_peer(e->tunnel, relay);
    const uint8_t *name = name_of(e, peer);
    if (!p)
        return ERROR_NOT_FOUND;
    if (!name || peer == relay || (tunnel_peer_endpoint(p, &to) && to.family == ENDPOINT_RELAYED))
        return ERROR_INVALID;
    int error = engine_set_relay(e, relay, true);
    if (error != 0)
        return error;
    to = endpoint_relayed(name, relay);
    return set_endpoint(e, peer, &to);
}

int engine_set_direct(struct engine *e, peer_id peer, const struct endpoint *endpoint)
{
    if (endpoint->family != ENDPOINT_IPV4 && endpoint->family != ENDPOINT_IPV6)
        return ERROR_INVALID;
    return set_endpoint(e, peer, endpoint);
}

int engine_set_candidates(struct engine *e, peer_id peer, const struct endpoint *list, uint32_t count)
{
    int error;
    if (count > ENGINE_CANDIDATES_MAX)
        return ERROR_INVALID;
    for (uint32_t i = 0; i < count; i++)
        if (list[i].family != ENDPOINT_IPV4 && list[i].family != ENDPOINT_IPV6)
            return ERROR_INVALID;
    struct companion *c = companion_make(e->tunnel, peer, &error);
    return c ? companion_set_candidates(c, list, count) : error;
}

void engine_set_steered(struct engine *e, peer_id peer, bool yes)
{
    tunnel_peer_set_steered(e->tunnel, peer, yes);
}

int engine_path(const struct engine *e, peer_id peer, struct endpoint *endpoint, peer_id *relay)
{
    const struct peer *p = tunnel_peer(e->tunnel, peer);
    *endpoint = (struct endpoint){.family = ENDPOINT_NONE};
    *relay = 0;
    if (!p || !tunnel_peer_endpoint(p, endpoint))
        return 0;
    if (endpoint->family != ENDPOINT_RELAYED)
        return 1;
    *relay = endpoint_relay(endpoint);
    return 2;
}

void engine_forget_relayed(struct engine *e, peer_id peer, peer_id relay)
{
    struct endpoint endpoint;
    peer_id used;
    if (engine_path(e, peer, &endpoint, &used) == 2 && used == relay)
        tunnel_peer_forget_endpoint(e->tunnel, peer);
}

/* ---- As a relay ---- */

int engine_permit(struct engine *e, peer_id a, peer_id b, bool yes)
{
    if (!yes) {
        permits_remove(&e->permits, a, b);
        permits_remove(&e->permits, b, a);
        return 0;
    }
    const uint8_t *name_a = name_of(e, a), *name_b = name_of(e, b);
    if (!name_a || !name_b)
        return ERROR_NOT_FOUND;
    int error = permits_add(&e->permits, e->tunnel, a, name_a, b, name_b);
    return error == 0 ? permits_add(&e->permits, e->tunnel, b, name_b, a, name_a) : error;
}

void engine_set_relay_rate(struct engine *e, uint64_t bytes_per_second)
{
    uint64_t rate = bytes_per_second != 0 ? bytes_per_second : RELAY_RATE_DEFAULT;
    atomic_store_explicit(&e->relay_rate, rate < RELAY_RATE_MAX ? rate : RELAY_RATE_MAX, memory_order_relaxed);
}

/* ---- Policy ---- */

int engine_set_grants(struct engine *e, peer_id peer, const struct grant *out, uint32_t out_count,
                      const struct grant *in, uint32_t in_count)
{
    return companion_grant(e->tunnel, peer, ++e->grants_version, out, out_count, in, in_count);
}

uint64_t engine_refused(const struct engine *e, peer_id peer)
{
    const struct peer *p = tunnel_peer(e->tunnel, peer);
    struct companion *c = p ? companion_of(p) : NULL;
    return c ? atomic_load_explicit(&c->refused, memory_order_relaxed) : 0;
}
