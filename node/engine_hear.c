/* What state, keys and controller say to the engine; permits.c has seen to kinds, lengths and counts. */
#include <string.h>

#include "engine_node.h"

static const uint8_t controller_id[IPC_ID_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                   0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct device_id id_from(const uint8_t bytes[IPC_ID_SIZE])
{
    struct device_id id;
    memcpy(id.bytes, bytes, sizeof(id.bytes));
    return id;
}

/* ---- The state ---- */

static void hear_self(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    memcpy(&n->self, bytes, sizeof(n->self));
    n->has_self = true;
    struct device_id id = id_from(n->self.id);
    engine_set_relay_rate(n->engine, n->self.relay_rate);
    mesh_self(n->mesh, &id, n->self.relay, n->self.joining, engine_node_now());
    peer_apply_keys(n);
    peer_steer_all(n);
}

static void hear_device(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    peer_device(n, (const void *)bytes, (const void *)(bytes + sizeof(struct ipc_device)));
}

static void hear_device_gone(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    struct device_id id = id_from(bytes);
    peer_gone(n, &id);
}

static void hear_head(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    mesh_head(n->mesh, bytes);
}

static void hear_met(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    const struct ipc_met *met = (const void *)bytes;
    struct device_id target = id_from(met->target);
    const uint8_t *openings = bytes + sizeof(*met);
    const struct mesh_meeting meeting = {.target = met->allowed ? &target : NULL,
                                         .asker_opening = {openings, met->asker_len},
                                         .target_opening = {openings + met->asker_len, met->target_len}};
    mesh_met(n->mesh, met->question, &meeting, engine_node_now());
}

static void hear_part(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    const struct ipc_part *part = (const void *)bytes;
    struct device_id a = id_from(part->a), b = id_from(part->b);
    mesh_part(n->mesh, &a, &b);
}

static void hear_seek(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    mesh_wanted_name(n->mesh, (const char *)bytes, len, engine_node_now());
}

static void hear_ping(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    const struct ipc_ping *ping = (const void *)bytes;
    struct device_id id = id_from(ping->id);
    mesh_ping(n->mesh, &id, ping->number, engine_node_now());
}

static void hear_ask_status(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    const struct ipc_number *number = (const void *)bytes;
    tell_status(n, number->number);
}

static void hear_ask_flows(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    const struct ipc_ask_flows *ask = (const void *)bytes;
    struct device_id id = id_from(ask->id);
    tell_flows(n, ask->number, engine_devices_find(&n->devices, &id));
}

/* Sessions under the other key are no more; the relays are called under this one at once. */
static void hear_use_key(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    (void)len;
    const struct ipc_number *number = (const void *)bytes;
    uint32_t slot = number->number;
    bool held = n->has_public && !is_zero(n->keys_public.invite, sizeof(n->keys_public.invite));
    if (slot > STATIC_KEY_INVITE || slot == n->slot || (slot == STATIC_KEY_INVITE && n->has_public && !held))
        return;
    n->slot = slot;
    peer_apply_keys(n);
    const struct engine_device *d = engine_devices_next(&n->devices, NULL);
    for (; d; d = engine_devices_next(&n->devices, d)) {
        mesh_link(n->mesh, &d->id, false, engine_node_now());
        engine_connect(n->engine, d->peer);
    }
}

/* Nothing is forged into the relayed path, which has frames of another form. */
static void hear_frame(struct engine_node *n, const uint8_t *bytes, size_t len)
{
    const struct ipc_frame *frame = (const void *)bytes;
    const uint8_t *body = bytes + sizeof(*frame);
    size_t body_len = len - sizeof(*frame);
    if (memcmp(frame->device, controller_id, sizeof(controller_id)) == 0) {
        if (n->controller.ipc)
            (void)!ipc_send(n->controller.ipc, IPC_FRAME, bytes, len); /* its end is seen when reading */
        return;
    }
    struct device_id id = id_from(frame->device);
    const struct engine_device *d = engine_devices_find(&n->devices, &id);
    if (!d || body_len == 0 || body[0] == FRAME_RELAYED)
        return;
    engine_send_frame(n->engine, d->peer, body, body_len);
    n->frames_said = true;
}

static void (*const state_says[])(struct engine_node *n, const uint8_t *bytes, size_t len) = {
    [IPC_SELF] = hear_self,       [IPC_DEVICE] = hear_device, [IPC_DEVICE_GONE] = hear_device_gone,
    [IPC_HEAD] = hear_head,       [IPC_MET] = hear_met,       [IPC_PART] = hear_part,
    [IPC_PING] = hear_ping,       [IPC_SEEK] = hear_seek,     [IPC_ASK_STATUS] = hear_ask_status,
    [IPC_USE_KEY] = hear_use_key, [IPC_FRAME] = hear_frame,   [IPC_ASK_FLOWS] = hear_ask_flows,
};

int hear_state(struct engine_node *n, const struct ipc_message *message)
{
    if (message->kind >= sizeof(state_says) / sizeof(state_says[0]) || !state_says[message->kind])
        return ERROR_MALFORMED;
    state_says[message->kind](n, message->bytes, message->len);
    return 0;
}

/* ---- Keys ---- */

/* The tunnel knows its one key as its own, whichever it is. */
static void hear_stepped(struct engine_node *n, const uint8_t *bytes)
{
    struct static_step step;
    memcpy(&step, bytes, sizeof(step));
    if (!n->has_self || n->self.joining)
        step.local = STATIC_KEY_OWN;
    engine_stepped(n->engine, &step);
    wipe(&step, sizeof(step));
}

/* What was kept before a restart, if anything, is told next, and takes its place. */
static void keep_our_gate(struct engine_node *n)
{
    uint8_t gate[IPC_GATE_SIZE];
    engine_gate(n->engine, gate);
    gates_ours(n, gate);
    wipe(gate, sizeof(gate));
}

int hear_keys(struct engine_node *n, const struct ipc_message *message)
{
    if (message->kind == IPC_STEPPED) {
        hear_stepped(n, message->bytes);
        return 0;
    }
    if (message->kind == IPC_GATE) {
        gates_kept(n, (const void *)message->bytes);
        return 0;
    }
    if (message->kind != IPC_PUBLIC)
        return ERROR_MALFORMED;
    memcpy(&n->keys_public, message->bytes, sizeof(n->keys_public));
    n->has_public = true;
    int error = loop_want_read(engine_loop(n->engine), ipc_fd(n->state.ipc), true);
    if (error != 0)
        return error;
    keep_our_gate(n);
    peer_apply_keys(n);
    return 0;
}

/* ---- The controller, which speaks with our state alone; and the parent, which has nothing to say but its end ---- */

int hear_controller(struct engine_node *n, const struct ipc_message *message)
{
    struct ipc_frame frame = {.invite = 0};
    memcpy(frame.device, controller_id, sizeof(frame.device));
    tell_state(n, IPC_FRAME, &frame, sizeof(frame), message->bytes + sizeof(frame), message->len - sizeof(frame));
    return 0;
}

int hear_parent(struct engine_node *n, const struct ipc_message *message)
{
    (void)n;
    (void)message;
    return ERROR_MALFORMED;
}
