/* What the engine says to keys and state. */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "engine_node.h"

_Static_assert(sizeof(struct static_step) == IPC_STEP_SIZE, "a step is what IPC_STEP carries");

/* What finds the queue full is lost like a packet on a wire: all that is told to the state is told again, or asked for
 * again. */
static bool tell(struct engine_node *n, struct engine_link *link, uint16_t kind, const void *message, size_t len,
                 const void *tail, size_t tail_len)
{
    int error = ipc_send2(link->ipc, kind, message, len, tail, tail_len);
    if (error != 0 && error != ERROR_FULL)
        engine_node_end(n, error);
    return error == 0;
}

void tell_state(struct engine_node *n, uint16_t kind, const void *message, size_t len, const void *tail,
                size_t tail_len)
{
    (void)tell(n, &n->state, kind, message, len, tail, tail_len);
}

/* While joining the tunnel's one key may be the invite's. */
bool tell_step(struct engine_node *n, const struct static_step *step)
{
    struct static_step told = *step;
    if (n->slot == STATIC_KEY_INVITE)
        told.local = STATIC_KEY_INVITE;
    bool done = tell(n, &n->keys, IPC_STEP, &told, sizeof(told), NULL, 0);
    wipe(&told, sizeof(told));
    return done;
}

void tell_peer_gone(struct engine_node *n, const uint8_t static_key[IPC_PUBLIC_SIZE])
{
    struct ipc_key gone;
    memcpy(gone.key, static_key, sizeof(gone.key));
    (void)tell(n, &n->keys, IPC_PEER_GONE, &gone, sizeof(gone), NULL, 0);
}

void tell_gate(struct engine_node *n, const struct ipc_gate *gate)
{
    (void)tell(n, &n->keys, IPC_GATE, gate, sizeof(*gate), NULL, 0);
}

/* ---- Status ---- */

#define PEERS_A_MESSAGE ((IPC_MESSAGE_MAX - 4096) / sizeof(struct ipc_peer_status))

static uint32_t read_counters(const struct engine_node *n, uint64_t out[IPC_COUNTERS_MAX])
{
    struct mesh_counters mesh;
    const uint32_t mesh_count = sizeof(mesh) / sizeof(uint64_t);
    uint32_t count = engine_counter_values(n->engine, out, IPC_COUNTERS_MAX - mesh_count);
    mesh_read_counters(n->mesh, &mesh);
    memcpy(out + count, &mesh, sizeof(mesh));
    return count + mesh_count;
}

static void describe_path(struct engine_node *n, const struct engine_device *d, struct ipc_peer_status *out)
{
    struct endpoint endpoint;
    peer_id relay;
    out->path = (uint32_t)engine_path(n->engine, d->peer, &endpoint, &relay);
    const struct engine_device *by =
        out->path == IPC_PATH_RELAYED ? engine_devices_find_peer(&n->devices, relay) : NULL;
    if (by)
        memcpy(out->relay, by->id.bytes, sizeof(out->relay));
    if (out->path != IPC_PATH_DIRECT)
        return;
    memcpy(out->endpoint.address, endpoint.address, sizeof(out->endpoint.address));
    out->endpoint.port = endpoint.port;
    out->endpoint.family = endpoint.family;
}

static void describe(struct engine_node *n, const struct engine_device *d, struct ipc_peer_status *out)
{
    struct tunnel_peer_info info;
    memset(out, 0, sizeof(*out));
    memcpy(out->id, d->id.bytes, sizeof(out->id));
    describe_path(n, d, out);
    out->rtt = mesh_rtt(n->mesh, &d->id);
    out->why = mesh_why(n->mesh, &d->id);
    out->refused = engine_refused(n->engine, d->peer);
    if (tunnel_peer_info(engine_tunnel(n->engine), d->peer, &info) != 0)
        return;
    out->last_handshake = info.last_handshake;
    out->rx_bytes = info.rx_bytes;
    out->tx_bytes = info.tx_bytes;
    out->native = info.native;
    wipe(&info, sizeof(info));
}

void tell_status(struct engine_node *n, uint32_t number)
{
    struct ipc_status status = {.number = number};
    struct ipc_peer_status *peers = calloc(PEERS_A_MESSAGE, sizeof(*peers));
    status.counter_count = read_counters(n, status.counters);
    const struct engine_device *d = peers ? engine_devices_next(&n->devices, NULL) : NULL;
    do {
        for (status.peer_count = 0; d && status.peer_count < PEERS_A_MESSAGE; status.peer_count++) {
            describe(n, d, &peers[status.peer_count]);
            d = engine_devices_next(&n->devices, d);
        }
        status.more = d != NULL;
        tell_state(n, IPC_STATUS, &status, sizeof(status), peers, status.peer_count * sizeof(*peers));
    } while (d && n->error == 0);
    free(peers);
}

/* ---- Flows ---- */

#define FLOWS_TOLD 256u

static void describe_flow(struct engine_node *n, const struct engine_flow *flow, struct ipc_flow *out)
{
    const struct engine_device *with = flow->with != 0 ? engine_devices_find_peer(&n->devices, flow->with) : NULL;
    uint64_t idle = flow->idle / SECOND;
    *out = (struct ipc_flow){.outgoing = flow->outgoing,
                             .protocol = flow->protocol,
                             .port = flow->port,
                             .count = flow->count,
                             .idle = idle < UINT32_MAX ? (uint32_t)idle : UINT32_MAX};
    if (with)
        memcpy(out->peer, with->id.bytes, sizeof(out->peer));
}

void tell_flows(struct engine_node *n, uint32_t number, const struct engine_device *d)
{
    struct engine_flow flows[FLOWS_TOLD];
    struct ipc_flow told[FLOWS_TOLD];
    struct ipc_flows message = {.number = number};
    if (d)
        message.count = engine_flows(n->engine, d->peer, flows, FLOWS_TOLD, &message.more);
    for (uint32_t i = 0; i < message.count; i++)
        describe_flow(n, &flows[i], &told[i]);
    tell_state(n, IPC_FLOWS, &message, sizeof(message), told, message.count * sizeof(told[0]));
}
