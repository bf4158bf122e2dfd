#include "engine_gates.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/time.h"
#include "engine_node.h"

/* What keys is told of one device: so often, and so many at once. */
#define KEEP_INTERVAL (10 * SECOND)
#define KEEP_BURST 4

void engine_gates_clear(struct engine_gates *g)
{
    if (g->list)
        wipe(g->list, sizeof(*g->list));
    free(g->list);
    *g = (struct engine_gates){.list = NULL};
}

static bool is_new(const struct engine_gates *g, const struct ipc_gate *gate)
{
    return !g->list || !gate_list_has(g->list, gate);
}

/* Without memory for it, it is not remembered. */
static void note(struct engine_gates *g, const struct ipc_gate *gate)
{
    if (!g->list)
        g->list = calloc(1, sizeof(*g->list));
    if (g->list)
        gate_list_put(g->list, gate);
}

static void restore(struct engine_node *n, const struct ipc_gate *gate)
{
    if (engine_restore_gate(n->engine, gate->gate) != 0)
        return;
    mesh_glue_offer(n);
    gates_ours(n, gate->gate);
}

void gates_kept(struct engine_node *n, const struct ipc_gate *gate)
{
    if (n->has_public && memcmp(gate->static_key, n->keys_public.own, sizeof(gate->static_key)) == 0) {
        restore(n, gate);
        return;
    }
    note(&n->gates, gate);
    peer_id peer = tunnel_peer_find(engine_tunnel(n->engine), gate->static_key);
    if (peer != 0)
        engine_set_gate(n->engine, peer, gate->gate);
}

static struct ipc_gate gate_of(const uint8_t static_key[IPC_PUBLIC_SIZE], const uint8_t gate[IPC_GATE_SIZE])
{
    struct ipc_gate made;
    memcpy(made.static_key, static_key, sizeof(made.static_key));
    memcpy(made.gate, gate, sizeof(made.gate));
    return made;
}

/* Whoever tells another each time fills no queue: what comes too soon is kept when it is told again. */
static bool may_be_kept(struct engine_device *d)
{
    uint64_t now = engine_node_now(), from = d->gates_full_at > now ? d->gates_full_at : now;
    if (from - now > (KEEP_BURST - 1) * KEEP_INTERVAL)
        return false;
    d->gates_full_at = from + KEEP_INTERVAL;
    return true;
}

void gates_heard(struct engine_node *n, struct engine_device *d, const uint8_t gate[IPC_GATE_SIZE])
{
    struct ipc_gate made = gate_of(d->static_key, gate);
    engine_set_gate(n->engine, d->peer, gate);
    if (is_new(&n->gates, &made) && may_be_kept(d)) {
        note(&n->gates, &made);
        tell_gate(n, &made);
    }
}

void gates_apply(struct engine_node *n, const struct engine_device *d)
{
    const struct ipc_gate *known = n->gates.list ? gate_list_find(n->gates.list, d->static_key) : NULL;
    if (known)
        engine_set_gate(n->engine, d->peer, known->gate);
}

void gates_ours(struct engine_node *n, const uint8_t gate[IPC_GATE_SIZE])
{
    struct ipc_gate made = gate_of(n->keys_public.own, gate);
    if (n->has_public)
        tell_gate(n, &made);
    wipe(&made, sizeof(made));
}
