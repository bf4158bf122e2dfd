/* Between the mesh, which knows devices, and the engine library, which knows peers. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine_node.h"
#include "net/netlink_local.h"

static peer_id peer_of(struct engine_node *n, const struct device_id *id)
{
    const struct engine_device *d = engine_devices_find(&n->devices, id);
    return d ? d->peer : 0;
}

/* ---- What the mesh wants ---- */

static void on_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    struct engine_node *n = context;
    engine_send_frame(n->engine, peer_of(n, to), frame, len);
}

static struct endpoint endpoint_of(const struct underlay *where)
{
    struct endpoint endpoint = {.port = where->port, .family = where->family};
    memcpy(endpoint.address, where->address, sizeof(endpoint.address));
    return endpoint;
}

static void on_send_by(void *context, const struct device_id *to, const struct mesh_way *way, const uint8_t *frame,
                       size_t len)
{
    struct engine_node *n = context;
    struct endpoint by = way->kind == MESH_PATH_RELAYED ? endpoint_relayed(to->bytes, peer_of(n, &way->relay))
                                                        : endpoint_of(&way->endpoint);
    engine_send_frame_by(n->engine, peer_of(n, to), &by, frame, len);
}

/* Without memory for them initiations go by the path in use alone. */
static void on_candidates(void *context, const struct device_id *to, const struct underlay *list, uint32_t count)
{
    struct engine_node *n = context;
    struct endpoint endpoints[ENGINE_CANDIDATES_MAX];
    uint32_t most = count < ENGINE_CANDIDATES_MAX ? count : ENGINE_CANDIDATES_MAX;
    for (uint32_t i = 0; i < most; i++)
        endpoints[i] = endpoint_of(&list[i]);
    (void)!engine_set_candidates(n->engine, peer_of(n, to), endpoints, most);
}

static void on_heard(void *context, const struct device_id *from, uint32_t session, uint64_t aeads, const uint8_t *gate)
{
    struct engine_node *n = context;
    peer_id peer = peer_of(n, from);
    if (session != 0)
        engine_set_native(n->engine, peer, session, aeads);
    struct engine_device *d = gate ? engine_devices_find(&n->devices, from) : NULL;
    if (d)
        gates_heard(n, d, gate);
}

static void on_direct(void *context, const struct device_id *to, const struct underlay *where)
{
    struct engine_node *n = context;
    struct endpoint endpoint = endpoint_of(where);
    int error = engine_set_direct(n->engine, peer_of(n, to), &endpoint);
    if (error == ERROR_MEMORY)
        engine_node_end(n, error);
}

static void on_relayed(void *context, const struct device_id *to, const struct device_id *relay)
{
    struct engine_node *n = context;
    int error = engine_set_relayed(n->engine, peer_of(n, to), peer_of(n, relay));
    if (error == ERROR_MEMORY)
        engine_node_end(n, error);
}

static void on_forget(void *context, const struct device_id *to, const struct device_id *relay)
{
    struct engine_node *n = context;
    if (relay)
        engine_forget_relayed(n->engine, peer_of(n, to), peer_of(n, relay));
    else
        tunnel_peer_forget_endpoint(engine_tunnel(n->engine), peer_of(n, to));
}

static void on_connect(void *context, const struct device_id *to, uint16_t keepalive, bool anew)
{
    struct engine_node *n = context;
    struct tunnel_actions actions;
    peer_id peer = peer_of(n, to);
    actions.count = 0;
    tunnel_peer_set_keepalive(engine_tunnel(n->engine), peer, keepalive, engine_now(), &actions);
    engine_carry_out(n->engine, &actions);
    if (anew)
        engine_reconnect(n->engine, peer);
    else if (keepalive > 0)
        engine_connect(n->engine, peer);
}

/* Without memory for it the two do not meet, and ask again. */
static void on_permit(void *context, const struct device_id *a, const struct device_id *b, bool yes)
{
    struct engine_node *n = context;
    (void)!engine_permit(n->engine, peer_of(n, a), peer_of(n, b), yes);
}

static void on_meet(void *context, uint32_t question, const struct device_id *asker, const struct frame_introduce *what)
{
    struct engine_node *n = context;
    uint8_t bytes[FRAME_MAX];
    struct frame ask = {.kind = FRAME_INTRODUCE, .introduce = *what};
    struct ipc_meet meet = {.question = question};
    memcpy(meet.asker, asker->bytes, sizeof(meet.asker));
    int len = frame_encode(&ask, bytes, sizeof(bytes));
    if (len > 0)
        tell_state(n, IPC_MEET, &meet, sizeof(meet), bytes, (size_t)len);
}

static void on_deliver(void *context, const struct device_id *from, bool invite, const uint8_t *frame, size_t len)
{
    struct ipc_frame message = {.invite = invite};
    memcpy(message.device, from->bytes, sizeof(message.device));
    tell_state(context, IPC_FRAME, &message, sizeof(message), frame, len);
}

static void on_learn(void *context, const struct device_id *from, struct frame_view opening, struct frame_view head)
{
    uint8_t both[2 * FRAME_MAX];
    struct ipc_learn message = {.opening_len = (uint32_t)opening.len, .head_len = (uint32_t)head.len};
    if (opening.len + head.len > sizeof(both))
        return;
    memcpy(message.from, from->bytes, sizeof(message.from));
    if (opening.len > 0)
        memcpy(both, opening.bytes, opening.len);
    if (head.len > 0)
        memcpy(both + opening.len, head.bytes, head.len);
    tell_state(context, IPC_LEARN, &message, sizeof(message), both, opening.len + head.len);
}

static void on_traffic(void *context, const struct device_id *id, uint64_t *sent, uint64_t *received)
{
    struct engine_node *n = context;
    struct tunnel_peer_info info;
    *sent = *received = 0;
    if (tunnel_peer_info(engine_tunnel(n->engine), peer_of(n, id), &info) != 0)
        return;
    *sent = info.tx_bytes;
    *received = info.rx_bytes;
    wipe(&info, sizeof(info));
}

static void on_pong(void *context, const struct device_id *id, uint32_t number, uint64_t rtt)
{
    struct engine_node *n = context;
    struct endpoint endpoint;
    peer_id relay;
    struct ipc_pong pong = {.number = number, .rtt = rtt};
    pong.path = (uint32_t)engine_path(n->engine, peer_of(n, id), &endpoint, &relay);
    const struct engine_device *by =
        pong.path == IPC_PATH_RELAYED ? engine_devices_find_peer(&n->devices, relay) : NULL;
    if (by)
        memcpy(pong.relay, by->id.bytes, sizeof(pong.relay));
    tell_state(n, IPC_PONG, &pong, sizeof(pong), NULL, 0);
}

static void on_mesh_link(void *context, const struct device_id *device, bool up)
{
    struct ipc_link message = {.up = up};
    memcpy(message.id, device->bytes, sizeof(message.id));
    tell_state(context, IPC_LINK, &message, sizeof(message), NULL, 0);
}

static void on_entropy(void *context, uint8_t *out, size_t len)
{
    (void)context;
    if (getrandom(out, len, 0) != (ssize_t)len)
        abort(); /* without randomness nothing may go on */
}

int mesh_glue_new(struct engine_node *n)
{
    const struct mesh_ops ops = {.send = on_send,
                                 .send_by = on_send_by,
                                 .candidates = on_candidates,
                                 .heard = on_heard,
                                 .direct = on_direct,
                                 .relayed = on_relayed,
                                 .forget = on_forget,
                                 .connect = on_connect,
                                 .permit = on_permit,
                                 .meet = on_meet,
                                 .deliver = on_deliver,
                                 .learn = on_learn,
                                 .traffic = on_traffic,
                                 .pong = on_pong,
                                 .link = on_mesh_link,
                                 .entropy = on_entropy,
                                 .context = n};
    return mesh_new(&n->mesh, n->crypto, &ops);
}

/* ---- What the engine reports ---- */

static bool on_step(void *context, const struct static_step *step)
{
    return tell_step(context, step);
}

static struct underlay underlay_of(const struct endpoint *endpoint)
{
    struct underlay where = {.port = endpoint->port, .family = endpoint->family};
    memcpy(where.address, endpoint->address, sizeof(where.address));
    return where;
}

/* False: through a relay that is not known any more. */
static bool way_of(struct engine_node *n, const struct endpoint *from, struct mesh_way *out)
{
    *out = (struct mesh_way){.kind = MESH_PATH_DIRECT};
    if (from->family == ENDPOINT_RELAYED) {
        const struct engine_device *relay = engine_devices_find_peer(&n->devices, endpoint_relay(from));
        out->kind = MESH_PATH_RELAYED;
        if (relay)
            out->relay = relay->id;
        return relay;
    }
    out->endpoint = underlay_of(from);
    return true;
}

static void on_frame(void *context, peer_id from, const struct engine_arrival *by, const uint8_t *bytes, size_t len)
{
    struct engine_node *n = context;
    struct mesh_arrival arrival = {.session = by->session};
    const struct engine_device *d = engine_devices_find_peer(&n->devices, from);
    if (d && way_of(n, &by->from, &arrival.way))
        mesh_frame(n->mesh, &d->id, &arrival, bytes, len, engine_node_now());
}

static void on_spoke(void *context, peer_id peer, const struct endpoint *from)
{
    struct engine_node *n = context;
    struct mesh_way way;
    const struct engine_device *d = engine_devices_find_peer(&n->devices, peer);
    if (d && way_of(n, from, &way))
        mesh_spoke(n->mesh, &d->id, &way, engine_node_now());
}

static void on_local(void *context, const struct endpoint *list, uint32_t count)
{
    struct engine_node *n = context;
    struct underlay where[NETLINK_LOCAL_MAX];
    uint32_t most = count < NETLINK_LOCAL_MAX ? count : NETLINK_LOCAL_MAX;
    for (uint32_t i = 0; i < most; i++)
        where[i] = underlay_of(&list[i]);
    mesh_local(n->mesh, where, most, engine_node_now());
}

static void on_gate(void *context, const uint8_t gate[MESSAGE_COOKIE_SIZE])
{
    struct engine_node *n = context;
    if (!n->engine) /* while it begins, there is nobody to tell yet: mesh_glue_offer */
        return;
    mesh_offer(n->mesh, engine_aeads(n->engine), gate, engine_node_now());
    gates_ours(n, gate);
}

void mesh_glue_offer(struct engine_node *n)
{
    uint8_t gate[MESSAGE_COOKIE_SIZE];
    engine_gate(n->engine, gate);
    mesh_offer(n->mesh, engine_aeads(n->engine), gate, engine_node_now());
}

static void on_wanted(void *context, peer_id peer, const uint8_t *address, size_t len)
{
    struct engine_node *n = context;
    const struct engine_device *d = peer != 0 ? engine_devices_find_peer(&n->devices, peer) : NULL;
    if (d)
        mesh_wanted(n->mesh, &d->id, engine_node_now());
    else if (peer == 0)
        mesh_wanted_address(n->mesh, address, len, engine_node_now());
}

static void tell_id(struct engine_node *n, uint16_t kind, const struct engine_device *d)
{
    struct ipc_id message;
    memcpy(message.id, d->id.bytes, sizeof(message.id));
    tell_state(n, kind, &message, sizeof(message), NULL, 0);
}

static void on_link(void *context, peer_id peer, bool up)
{
    struct engine_node *n = context;
    struct engine_device *d = engine_devices_find_peer(&n->devices, peer);
    if (!d)
        return;
    if (up && !d->seen && (d->flags & MESH_MEMBER)) {
        d->seen = true;
        tell_id(n, IPC_SEEN, d);
    }
    mesh_link(n->mesh, &d->id, up, engine_node_now());
}

static void on_intruder(void *context, peer_id peer)
{
    struct engine_node *n = context;
    const struct engine_device *d = engine_devices_find_peer(&n->devices, peer);
    if (d)
        tell_id(n, IPC_INTRUDER, d);
}

void mesh_glue_options(struct engine_node *n, struct engine_options *options)
{
    options->begin_step = on_step;
    options->frame = on_frame;
    options->spoke = on_spoke;
    options->local = on_local;
    options->gate = on_gate;
    options->wanted = on_wanted;
    options->link = on_link;
    options->intruder = on_intruder;
    options->context = n;
}
