#include "engine_gates.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/time.h"
#include "engine_node.h"

#define KEEP_INTERVAL (10 * SECOND)

void engine_gates_clear(struct engine_gates *g)
{
    if (g->list)
        wipe(g->list, ENGINE_GATES_MAX * sizeof(*g->list));
    free(g->list);
    *g = (struct engine_gates){.list = NULL};
}

static struct ipc_gate *find(const struct engine_gates *g, const uint8_t static_key[IPC_PUBLIC_SIZE])
{
    for (uint32_t i = 0; i < g->count; i++)
        if (memcmp(g->list[i].static_key, static_key, IPC_PUBLIC_SIZE) == 0)
            return &g->list[i];
    return NULL;
}

static struct ipc_gate *make_room(struct engine_gates *g)
{
    if (g->count < ENGINE_GATES_MAX)
        return &g->list[g->count++];
    uint32_t place = g->next;
    g->next = (g->next + 1) % ENGINE_GATES_MAX;
    return &g->list[place];
}

/* Whether it says something new. Without memory for it, it is not remembered. */
static bool note(struct engine_gates *g, const struct ipc_gate *gate)
{
    if (!g->list)
        g->list = calloc(ENGINE_GATES_MAX, sizeof(*g->list));
    if (!g->list)
        return true;
    struct ipc_gate *known = find(g, gate->static_key);
    if (known && memcmp(known, gate, sizeof(*gate)) == 0)
        return false;
    *(known ? known : make_room(g)) = *gate;
    return true;
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
    (void)note(&n->gates, gate);
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
void gates_heard(struct engine_node *n, struct engine_device *d, const uint8_t gate[IPC_GATE_SIZE])
{
    struct ipc_gate made = gate_of(d->static_key, gate);
    uint64_t now = engine_node_now();
    engine_set_gate(n->engine, d->peer, gate);
    if ((d->gate_kept != 0 && now < d->gate_kept + KEEP_INTERVAL) || !note(&n->gates, &made))
        return;
    d->gate_kept = now;
    tell_gate(n, &made);
}

void gates_apply(struct engine_node *n, const struct engine_device *d)
{
    const struct ipc_gate *known = find(&n->gates, d->static_key);
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
