/* What parent, keys and engine say. */
#include <string.h>

#include "base/bytes.h"
#include "state_internal.h"

#define MESSAGES_A_TURN 64

static struct device_id id_of(const uint8_t bytes[IPC_ID_SIZE])
{
    struct device_id id;
    memcpy(id.bytes, bytes, sizeof(id.bytes));
    return id;
}

/* ---- keys ---- */

static void on_public(struct state *s, const struct ipc_message *m)
{
    memcpy(&s->keys, m->bytes, sizeof(s->keys));
    if (s->has_keys)
        return; /* a change: the seed was erased */
    s->has_keys = true;
    state_begin(s);
}

static void on_join_built(struct state *s, const struct ipc_message *m)
{
    state_join(s, m->bytes, m->len);
}

static void on_seed_erased(struct state *s, const struct ipc_message *m)
{
    (void)m;
    s->erasing = false;
    state_finish_join(s);
}

static void on_keys_trouble(struct state *s, const struct ipc_message *m)
{
    struct ipc_number number;
    memcpy(&number, m->bytes, sizeof(number));
    s->keys_error = -(int)(number.number & 0xff);
}

/* ---- engine: those that need a replica are passed over before there is one ---- */

static void on_frame(struct state *s, const struct ipc_message *m)
{
    struct ipc_frame head;
    memcpy(&head, m->bytes, sizeof(head));
    struct device_id from = id_of(head.device);
    replica_frame(s->replica, &from, head.invite != 0, m->bytes + sizeof(head), m->len - sizeof(head),
                  loop_monotonic());
}

static void on_link(struct state *s, const struct ipc_message *m)
{
    struct ipc_link link;
    memcpy(&link, m->bytes, sizeof(link));
    struct device_id id = id_of(link.id);
    replica_link(s->replica, &id, link.up != 0, loop_monotonic());
}

/* Openings that no introduction could carry are as good as none. */
static bool may_meet(struct state *s, const struct ipc_message *m, struct replica_meeting *out)
{
    struct ipc_meet question;
    struct frame frame;
    memcpy(&question, m->bytes, sizeof(question));
    struct device_id asker = id_of(question.asker);
    if (frame_decode(&frame, m->bytes + sizeof(question), m->len - sizeof(question)) != 0 ||
        frame.kind != FRAME_INTRODUCE)
        return false;
    return replica_meet(s->replica, &asker, &frame.introduce, out) && out->asker_opening.len <= FRAME_MAX &&
           out->target_opening.len <= FRAME_MAX;
}

static void put_view(uint8_t *out, struct frame_view view)
{
    if (view.len > 0)
        memcpy(out, view.bytes, view.len);
}

static void on_meet(struct state *s, const struct ipc_message *m)
{
    uint8_t openings[2 * FRAME_MAX];
    struct replica_meeting meeting = {0};
    struct ipc_met answer = {0};
    memcpy(&answer.question, m->bytes, sizeof(answer.question)); /* the question's first field */
    answer.allowed = may_meet(s, m, &meeting);
    if (answer.allowed) {
        memcpy(answer.target, meeting.target.bytes, sizeof(answer.target));
        answer.asker_len = (uint32_t)meeting.asker_opening.len;
        answer.target_len = (uint32_t)meeting.target_opening.len;
        put_view(openings, meeting.asker_opening);
        put_view(openings + answer.asker_len, meeting.target_opening);
    }
    int error = ipc_send2(s->setup.engine, IPC_MET, &answer, sizeof(answer), openings,
                          (size_t)answer.asker_len + answer.target_len);
    if (error && error != ERROR_FULL) /* the asker asks again */
        state_end(s, error == ERROR_GONE ? 0 : error);
}

static void on_learn(struct state *s, const struct ipc_message *m)
{
    struct ipc_learn learn;
    memcpy(&learn, m->bytes, sizeof(learn));
    struct device_id from = id_of(learn.from);
    const uint8_t *at = m->bytes + sizeof(learn);
    const struct frame_view opening = {at, learn.opening_len}, head = {at + learn.opening_len, learn.head_len};
    replica_learn(s->replica, &from, opening, head, loop_monotonic());
}

static void on_intruder(struct state *s, const struct ipc_message *m)
{
    struct device_id id = id_of(m->bytes);
    replica_intruder(s->replica, &id, loop_monotonic());
}

static void on_seen(struct state *s, const struct ipc_message *m)
{
    struct device_id id = id_of(m->bytes);
    replica_seen(s->replica, &id, loop_monotonic());
}

static void on_pong(struct state *s, const struct ipc_message *m)
{
    struct ipc_pong pong;
    memcpy(&pong, m->bytes, sizeof(pong));
    state_pong(s, &pong);
}

/* The struct's 8-byte fields are aligned, as the message is. */
static void on_status(struct state *s, const struct ipc_message *m)
{
    struct ipc_status status;
    memcpy(&status, m->bytes, sizeof(status));
    _Static_assert(sizeof(status) % 8 == 0, "peers follow aligned");
    state_engine_status(s, &status, (const struct ipc_peer_status *)(const void *)(m->bytes + sizeof(status)));
}

static void on_flows(struct state *s, const struct ipc_message *m)
{
    struct ipc_flows flows;
    memcpy(&flows, m->bytes, sizeof(flows));
    _Static_assert(sizeof(flows) % 4 == 0, "flows follow aligned");
    state_engine_flows(s, &flows, (const struct ipc_flow *)(const void *)(m->bytes + sizeof(flows)));
}

/* ---- parent ---- */

static void on_configured(struct state *s, const struct ipc_message *m)
{
    struct ipc_configured configured;
    memcpy(&configured, m->bytes, sizeof(configured));
    s->configure_error = configured.error;
    s->ipv4_left_out = configured.ipv4_left_out != 0;
    s->overlay_open = configured.overlay_open != 0;
}

static void keep_port(struct state *s, uint32_t value)
{
    if (s->keep_count < KEEP_PORTS_MAX)
        s->keep[s->keep_count++] = value;
}

/* The engine hears of it with what else it is told of us, which it may have been already. */
static void set_relay_rate(struct state *s, uint32_t value)
{
    s->relay_rate = value;
    if (s->has_configure)
        s->ops.self(s, replica_self(s->replica));
}

static void on_note(struct state *s, const struct ipc_message *m)
{
    struct ipc_note note;
    memcpy(&note, m->bytes, sizeof(note));
    switch ((enum ipc_note_kind)note.kind) {
    case NOTE_DARKENED:
    case NOTE_NOT_DARKENED:
        s->darkened = note.kind == NOTE_DARKENED;
        return;
    case NOTE_CONTROLLER_UP:
    case NOTE_CONTROLLER_DOWN:
        s->controller_down = note.kind == NOTE_CONTROLLER_DOWN;
        return;
    case NOTE_KEEP_PORT:
        keep_port(s, note.value);
        return;
    case NOTE_LISTEN_PORT:
        s->listen_port = note.value;
        return;
    case NOTE_RELAY_RATE:
        set_relay_rate(s, note.value);
        return;
    }
}

/* The permit tables say who may send which. */
static const struct {
    uint16_t kind;
    bool needs_replica;
    void (*on)(struct state *s, const struct ipc_message *m);
} handlers[] = {
    {IPC_PUBLIC, false, on_public},
    {IPC_JOIN_BUILT, false, on_join_built},
    {IPC_SEED_ERASED, false, on_seed_erased},
    {IPC_KEYS_TROUBLE, false, on_keys_trouble},
    {IPC_FRAME, true, on_frame},
    {IPC_LINK, true, on_link},
    {IPC_MEET, true, on_meet},
    {IPC_LEARN, true, on_learn},
    {IPC_PONG, false, on_pong},
    {IPC_STATUS, false, on_status},
    {IPC_INTRUDER, true, on_intruder},
    {IPC_SEEN, true, on_seen},
    {IPC_FLOWS, false, on_flows},
    {IPC_CONFIGURED, false, on_configured},
    {IPC_PARENT_NOTE, false, on_note},
};

static void receive(struct state *s, const struct ipc_message *m)
{
    for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
        if (handlers[i].kind == m->kind && (s->replica || !handlers[i].needs_replica))
            handlers[i].on(s, m);
}

void state_receive_all(struct state *s, struct ipc *from)
{
    struct ipc_message m;
    int error = 0;
    for (int i = 0; i < MESSAGES_A_TURN && !s->ended && !error; i++) {
        error = ipc_receive(from, &m);
        if (!error)
            receive(s, &m);
    }
    if (error && error != ERROR_AGAIN)
        state_end(s, error == ERROR_GONE ? 0 : error);
}
