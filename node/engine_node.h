/* The engine process: the data path and the mesh, between the state, the keys and (on a hub) the controller. Holds no
 * long-term key and reads no file. */
#ifndef NODE_ENGINE_NODE_H
#define NODE_ENGINE_NODE_H

#include "engine/engine.h"
#include "engine_devices.h"
#include "engine_gates.h"
#include "mesh/mesh.h"
#include "proc/ipc.h"
#include "proc/messages.h"

struct engine_node;

/* One of the processes that we speak with. */
struct engine_link {
    struct engine_node *node;
    struct ipc *ipc; /* NULL: there is none */
    /* 0, or an error that ends the process. */
    int (*take)(struct engine_node *n, const struct ipc_message *message);
    bool wants_write;
};

struct engine_node {
    struct engine *engine;
    struct mesh *mesh;
    struct crypto *crypto;
    struct engine_link parent, keys, state, controller;
    struct engine_devices devices;
    struct engine_gates gates;
    struct ipc_self self;
    struct ipc_public keys_public;
    bool has_self, has_public;
    bool frames_said; /* the state's, since a device went */
    uint32_t slot;    /* enum static_key_slot: the key that we initiate under */
    int timer_fd;     /* for the mesh */
    bool no_aes;
    int error; /* why to end; 0: not yet */
};

uint64_t engine_node_now(void);
/* Remembers the first error that ends the process. */
void engine_node_end(struct engine_node *n, int error);

/* ---- engine_tell.c: what is said to the others ---- */

void tell_state(struct engine_node *n, uint16_t kind, const void *message, size_t len, const void *tail,
                size_t tail_len);
bool tell_step(struct engine_node *n, const struct static_step *step); /* false: it is lost */
void tell_peer_gone(struct engine_node *n, const uint8_t static_key[IPC_PUBLIC_SIZE]);
/* One for keys to keep. */
void tell_gate(struct engine_node *n, const struct ipc_gate *gate);
/* The whole status, in as many messages as it takes. */
void tell_status(struct engine_node *n, uint32_t number);
/* What lives with a device; NULL: nobody. */
void tell_flows(struct engine_node *n, uint32_t number, const struct engine_device *d);

/* ---- engine_hear.c: what they say ---- */

int hear_state(struct engine_node *n, const struct ipc_message *message);
int hear_keys(struct engine_node *n, const struct ipc_message *message);
int hear_controller(struct engine_node *n, const struct ipc_message *message);
int hear_parent(struct engine_node *n, const struct ipc_message *message);

/* ---- engine_peer.c: devices as peers of the tunnel ---- */

/* `grants` are out_count and then in_count of them. */
void peer_device(struct engine_node *n, const struct ipc_device *d, const struct ipc_grant *grants);
void peer_gone(struct engine_node *n, const struct device_id *id);
/* We became a relay, or are none any more: which paths we decide follows from it. */
void peer_steer_all(struct engine_node *n);
/* Applies which of our keys we initiate under, and answer on. */
void peer_apply_keys(struct engine_node *n);

/* ---- engine_mesh.c: between mesh and engine library ---- */

must_check int mesh_glue_new(struct engine_node *n);
void mesh_glue_options(struct engine_node *n, struct engine_options *options);
/* Once the engine is there: what our hellos say of it. */
void mesh_glue_offer(struct engine_node *n);

#endif
