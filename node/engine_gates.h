/* The gate keys of others, as far as they are known: also of those who are no peers yet. */
#ifndef NODE_ENGINE_GATES_H
#define NODE_ENGINE_GATES_H

#include "gate_list.h"
#include "proc/messages.h"
#include "tunnel/tunnel.h"

struct engine_node;
struct engine_device;

struct engine_gates {
    struct gate_list *list; /* its own; NULL: nothing is known */
};
void engine_gates_clear(struct engine_gates *g);

/* What keys kept before a restart. */
void gates_kept(struct engine_node *n, const struct ipc_gate *gate);
/* A device told its gate key: used from now on, and kept. */
void gates_heard(struct engine_node *n, struct engine_device *d, const uint8_t gate[IPC_GATE_SIZE]);
/* A device is a peer from now on. */
void gates_apply(struct engine_node *n, const struct engine_device *d);
/* Ours was replaced: it is kept. */
void gates_ours(struct engine_node *n, const uint8_t gate[IPC_GATE_SIZE]);

#endif
