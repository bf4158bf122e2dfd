/* Gate keys by static key, each the last that was told. A new one takes the place of the oldest once all are in use. */
#ifndef NODE_GATE_LIST_H
#define NODE_GATE_LIST_H

#include <stdbool.h>
#include <string.h>

#include "proc/messages.h"

#define GATES_MAX 1024u /* static keys */

/* All zero is empty. */
struct gate_list {
    uint32_t count, next; /* `next`: whose place a new one takes once all are in use */
    struct ipc_gate list[GATES_MAX];
};

/* NULL: none is known. */
static inline struct ipc_gate *gate_list_find(struct gate_list *g, const uint8_t static_key[IPC_PUBLIC_SIZE])
{
    for (uint32_t i = 0; i < g->count; i++)
        if (memcmp(g->list[i].static_key, static_key, IPC_PUBLIC_SIZE) == 0)
            return &g->list[i];
    return NULL;
}

static inline bool gate_list_has(struct gate_list *g, const struct ipc_gate *gate)
{
    const struct ipc_gate *known = gate_list_find(g, gate->static_key);
    return known && memcmp(known, gate, sizeof(*gate)) == 0;
}

/* Returns its place. */
static inline uint32_t gate_list_put(struct gate_list *g, const struct ipc_gate *gate)
{
    struct ipc_gate *place = gate_list_find(g, gate->static_key);
    if (!place && g->count < GATES_MAX) {
        place = &g->list[g->count++];
    } else if (!place) {
        place = &g->list[g->next];
        g->next = (g->next + 1) % GATES_MAX;
    }
    *place = *gate;
    return (uint32_t)(place - g->list);
}

#endif
