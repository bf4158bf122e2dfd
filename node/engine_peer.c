/* Devices of the network as peers of the tunnel: their key, addresses, name and grants. */
#include <string.h>

#include "engine_node.h"
#include "policy/rules.h"

static bool carries_packets(const struct ipc_device *d)
{
    return (d->flags & MESH_MEMBER) && !(d->flags & (MESH_INVITE | MESH_USED_INVITE | MESH_FOUNDING));
}

/* ---- Addresses ---- */

static bool same_addresses(const struct engine_device *known, const struct ipc_device *d)
{
    return memcmp(known->ipv6, d->ipv6, sizeof(known->ipv6)) == 0 && known->has_ipv4 == (d->has_ipv4 != 0) &&
           memcmp(known->ipv4, d->ipv4, sizeof(known->ipv4)) == 0;
}

/* Those of an invite and while joining: none, so that no inner packet passes. Without memory for an address, nothing
 * passes under it. */
static void set_addresses(struct engine_node *n, struct engine_device *known, const struct ipc_device *d)
{
    struct tunnel *t = engine_tunnel(n->engine);
    if (same_addresses(known, d) && carries_packets(d) == ((known->flags & MESH_MEMBER) != 0))
        return;
    memcpy(known->ipv6, d->ipv6, sizeof(known->ipv6));
    memcpy(known->ipv4, d->ipv4, sizeof(known->ipv4));
    known->has_ipv4 = d->has_ipv4;
    tunnel_peer_disallow_all(t, known->peer);
    if (!carries_packets(d))
        return;
    int error = 0;
    if (!is_zero(d->ipv6, sizeof(d->ipv6)))
        error = tunnel_peer_allow(t, known->peer, d->ipv6, 16, 128);
    if (error == 0 && d->has_ipv4)
        error = tunnel_peer_allow(t, known->peer, d->ipv4, 4, 32);
    if (error != 0)
        engine_node_end(n, error);
}

/* ---- Grants ---- */

static uint32_t copy_grants(struct grant *out, const struct ipc_grant *in, uint32_t count)
{
    uint32_t kept = count < GRANTS_MAX ? count : GRANTS_MAX;
    for (uint32_t i = 0; i < kept; i++)
        out[i] = (struct grant){.protocol = in[i].protocol, .low = in[i].low, .high = in[i].high};
    return kept;
}

static int set_grants(struct engine_node *n, peer_id peer, const struct ipc_device *d, const struct ipc_grant *grants)
{
    struct grant out[GRANTS_MAX], in[GRANTS_MAX];
    uint32_t out_count = copy_grants(out, grants, d->out_count);
    uint32_t in_count = copy_grants(in, grants + d->out_count, d->in_count);
    return engine_set_grants(n->engine, peer, out, out_count, in, in_count);
}

/* ---- Peers ---- */

static struct engine_device *add_peer(struct engine_node *n, const struct ipc_device *d)
{
    struct engine_device *known;
    struct device_id id;
    peer_id peer;
    memcpy(id.bytes, d->id, sizeof(id.bytes));
    if (tunnel_peer_add(engine_tunnel(n->engine), d->static_key, &peer) != 0)
        return NULL; /* our own key, or that of another device: nothing to speak with */
    if (engine_devices_add(&n->devices, &id, peer, &known) != 0) {
        engine_node_end(n, ERROR_MEMORY);
        return NULL;
    }
    memcpy(known->static_key, d->static_key, sizeof(known->static_key));
    gates_apply(n, known);
    return known;
}

/* An invite has its device's name, which it must not answer to on a relayed path. */
static int name_peer(struct engine_node *n, const struct engine_device *known, uint32_t flags)
{
    return flags & (MESH_INVITE | MESH_USED_INVITE) ? 0 : engine_set_name(n->engine, known->peer, known->id.bytes);
}

static void remove_peer(struct engine_node *n, struct engine_device *known)
{
    struct tunnel_actions actions;
    peer_id peer = known->peer;
    actions.count = 0;
    tell_peer_gone(n, known->static_key);
    engine_devices_remove(&n->devices, known);
    tunnel_peer_remove(engine_tunnel(n->engine), peer, &actions);
    engine_carry_out(n->engine, &actions);
    engine_forget_flows(n->engine, peer);
}

/* The mesh first: it takes back what was permitted to the peer. What the state said to it just before is to arrive: so
 * a device hears that it was isolated. */
void peer_gone(struct engine_node *n, const struct device_id *id)
{
    struct engine_device *known = engine_devices_find(&n->devices, id);
    mesh_device_gone(n->mesh, id, engine_node_now());
    if (known && n->frames_said)
        engine_settle_frames(n->engine);
    n->frames_said = false;
    if (known)
        remove_peer(n, known);
}

/* A device with another key is another peer. */
static struct engine_device *peer_with_key(struct engine_node *n, const struct device_id *id,
                                           const struct ipc_device *d)
{
    struct engine_device *known = engine_devices_find(&n->devices, id);
    if (known && memcmp(known->static_key, d->static_key, sizeof(known->static_key)) == 0)
        return known;
    if (known)
        peer_gone(n, id);
    return is_zero(d->static_key, sizeof(d->static_key)) ? NULL : add_peer(n, d);
}

static int tell_mesh(struct engine_node *n, const struct engine_device *known, const struct ipc_device *d)
{
    struct mesh_device out = {.id = known->id, .flags = d->flags, .has_endpoint = d->endpoint.family != 0};
    memcpy(out.endpoint.address, d->endpoint.address, sizeof(out.endpoint.address));
    out.endpoint.port = d->endpoint.port;
    out.endpoint.family = d->endpoint.family;
    return mesh_device(n->mesh, &out, engine_node_now());
}

/* Between a relay and its members nothing is to be decided: it is where it was said to be, and they are where they
 * speak from. */
static void steer(struct engine_node *n, const struct engine_device *known)
{
    bool member = (known->flags & MESH_MEMBER) && !(known->flags & (MESH_RELAY | MESH_INVITE | MESH_USED_INVITE));
    engine_set_steered(n->engine, known->peer, member && n->has_self && !n->self.relay);
}

void peer_steer_all(struct engine_node *n)
{
    const struct engine_device *d = engine_devices_next(&n->devices, NULL);
    for (; d; d = engine_devices_next(&n->devices, d))
        steer(n, d);
}

void peer_device(struct engine_node *n, const struct ipc_device *d, const struct ipc_grant *grants)
{
    struct device_id id;
    memcpy(id.bytes, d->id, sizeof(id.bytes));
    struct engine_device *known = peer_with_key(n, &id, d);
    if (!known)
        return;
    engine_set_silent(n->engine, known->peer, (d->flags & MESH_USED_INVITE) != 0);
    engine_set_passive(n->engine, known->peer, (d->flags & (MESH_INVITE | MESH_USED_INVITE)) != 0);
    int error = name_peer(n, known, d->flags);
    if (error == 0)
        error = engine_set_relay(n->engine, known->peer, (d->flags & MESH_RELAY) != 0);
    if (error == 0)
        error = set_grants(n, known->peer, d, grants);
    set_addresses(n, known, d);
    known->flags = d->flags;
    steer(n, known);
    if (error == 0)
        error = tell_mesh(n, known, d);
    if (error != 0)
        engine_node_end(n, error);
    if (n->has_self && n->self.answer_invite_key)
        peer_apply_keys(n);
}

/* ---- Our own keys ---- */

static int apply_second_key(struct engine_node *n)
{
    struct device_id id;
    memcpy(id.bytes, n->self.invite_peer, sizeof(id.bytes));
    const struct engine_device *founder = engine_devices_find(&n->devices, &id);
    bool yes = n->has_self && n->self.answer_invite_key && founder;
    return engine_set_second_key(n->engine, yes ? n->keys_public.invite : NULL, yes ? founder->peer : 0);
}

void peer_apply_keys(struct engine_node *n)
{
    struct tunnel_actions actions;
    if (!n->has_public)
        return;
    const uint8_t *key = n->slot == STATIC_KEY_INVITE ? n->keys_public.invite : n->keys_public.own;
    actions.count = 0;
    int error = tunnel_set_public_key(engine_tunnel(n->engine), key, &actions);
    engine_carry_out(n->engine, &actions);
    if (error == 0)
        error = apply_second_key(n);
    if (error != 0)
        engine_node_end(n, error);
}
