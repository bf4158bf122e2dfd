#include "proc/permits.h"

#include <string.h>

#include "proc/messages.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define AT_START (1u << IPC_STARTING)
#define RUNNING (1u << IPC_RUNNING)
#define JOINING (1u << IPC_JOINING)
#define ALWAYS (AT_START | RUNNING | JOINING)

#define EXACTLY(type) sizeof(struct type), sizeof(struct type)
#define FOLLOWED(type) sizeof(struct type), IPC_MESSAGE_MAX
#define NOTHING 0, 0

static const struct ipc_permit keys_from_engine[] = {
    {IPC_STEP, RUNNING, IPC_STEP_SIZE, IPC_STEP_SIZE, 0},
    {IPC_PEER_GONE, RUNNING, EXACTLY(ipc_key), 0},
    {IPC_GATE, RUNNING, EXACTLY(ipc_gate), 0},
};
static const struct ipc_permit keys_from_state[] = {
    {IPC_BUILD_JOIN, RUNNING, EXACTLY(ipc_build_join), 0},
    {IPC_ERASE_SEED, RUNNING, NOTHING, 0},
};

static const struct ipc_permit engine_from_keys[] = {
    {IPC_GATE, ALWAYS, EXACTLY(ipc_gate), 0},
    {IPC_STEPPED, ALWAYS, IPC_STEP_SIZE, IPC_STEP_SIZE, 0},
    {IPC_PUBLIC, ALWAYS, EXACTLY(ipc_public), 0},
};
static const struct ipc_permit engine_from_state[] = {
    {IPC_SELF, ALWAYS, EXACTLY(ipc_self), 0},         {IPC_DEVICE, ALWAYS, FOLLOWED(ipc_device), 0},
    {IPC_DEVICE_GONE, ALWAYS, EXACTLY(ipc_id), 0},    {IPC_HEAD, ALWAYS, IPC_HEAD_SIZE, IPC_HEAD_SIZE, 0},
    {IPC_MET, ALWAYS, FOLLOWED(ipc_met), 0},          {IPC_PING, ALWAYS, EXACTLY(ipc_ping), 0},
    {IPC_ASK_STATUS, ALWAYS, EXACTLY(ipc_number), 0}, {IPC_USE_KEY, ALWAYS, EXACTLY(ipc_number), 0},
    {IPC_FRAME, ALWAYS, FOLLOWED(ipc_frame), 0},      {IPC_PART, ALWAYS, EXACTLY(ipc_part), 0},
    {IPC_SEEK, ALWAYS, 1, IPC_NAME_MAX, 0},           {IPC_ASK_FLOWS, ALWAYS, EXACTLY(ipc_ask_flows), 0},
};
static const struct ipc_permit engine_from_controller[] = {
    {IPC_FRAME, ALWAYS, FOLLOWED(ipc_frame), 0},
};

static const struct ipc_permit state_from_keys[] = {
    {IPC_PUBLIC, ALWAYS, EXACTLY(ipc_public), 0},
    {IPC_JOIN_BUILT, ALWAYS, 0, 2048, 0},
    {IPC_SEED_ERASED, ALWAYS, NOTHING, 0},
    {IPC_KEYS_TROUBLE, ALWAYS, EXACTLY(ipc_number), 0},
};
static const struct ipc_permit state_from_engine[] = {
    {IPC_FRAME, ALWAYS, FOLLOWED(ipc_frame), 0}, {IPC_LINK, ALWAYS, EXACTLY(ipc_link), 0},
    {IPC_MEET, ALWAYS, FOLLOWED(ipc_meet), 0},   {IPC_LEARN, ALWAYS, FOLLOWED(ipc_learn), 0},
    {IPC_PONG, ALWAYS, EXACTLY(ipc_pong), 0},    {IPC_STATUS, ALWAYS, FOLLOWED(ipc_status), 0},
    {IPC_INTRUDER, ALWAYS, EXACTLY(ipc_id), 0},  {IPC_SEEN, ALWAYS, EXACTLY(ipc_id), 0},
    {IPC_FLOWS, ALWAYS, FOLLOWED(ipc_flows), 0},
};
static const struct ipc_permit state_from_parent[] = {
    {IPC_CONFIGURED, ALWAYS, EXACTLY(ipc_configured), 0},
    {IPC_PARENT_NOTE, ALWAYS, EXACTLY(ipc_note), 0},
};

static const struct ipc_permit parent_from_keys[] = {
    {IPC_READY, AT_START, NOTHING, 0},
};
static const struct ipc_permit parent_from_engine[] = {
    {IPC_READY, AT_START, NOTHING, 0},
};
static const struct ipc_permit parent_from_state[] = {
    {IPC_CONFIGURE, AT_START | RUNNING, EXACTLY(ipc_configure), 0},
    {IPC_STATE_READY, AT_START | JOINING, NOTHING, 0},
    {IPC_STOP, RUNNING, NOTHING, 0},
    {IPC_JOIN_RESULT, JOINING, EXACTLY(ipc_join_result), 0},
};

static const struct ipc_permit controller_from_engine[] = {
    {IPC_FRAME, ALWAYS, FOLLOWED(ipc_frame), 0},
};

#define TABLE(name)       \
    {                     \
        name, COUNT(name) \
    }
static const struct {
    const struct ipc_permit *permits;
    size_t count;
} tables[PROC_ROLES][PROC_ROLES] = {
    [PROC_PARENT] = {[PROC_KEYS] = TABLE(parent_from_keys),
                     [PROC_ENGINE] = TABLE(parent_from_engine),
                     [PROC_STATE] = TABLE(parent_from_state)},
    [PROC_KEYS] = {[PROC_ENGINE] = TABLE(keys_from_engine), [PROC_STATE] = TABLE(keys_from_state)},
    [PROC_ENGINE] = {[PROC_KEYS] = TABLE(engine_from_keys),
                     [PROC_STATE] = TABLE(engine_from_state),
                     [PROC_CONTROLLER] = TABLE(engine_from_controller)},
    [PROC_STATE] = {[PROC_PARENT] = TABLE(state_from_parent),
                    [PROC_KEYS] = TABLE(state_from_keys),
                    [PROC_ENGINE] = TABLE(state_from_engine)},
    [PROC_CONTROLLER] = {[PROC_ENGINE] = TABLE(controller_from_engine)},
};

const struct ipc_permit *permits_of(enum proc_role self, enum proc_role from, size_t *count)
{
    *count = tables[self][from].count;
    return tables[self][from].permits;
}

int permits_open(struct ipc **out, int fd, enum proc_role self, enum proc_role from)
{
    size_t count;
    const struct ipc_permit *permits = permits_of(self, from, &count);
    return ipc_new(out, fd, permits, count);
}

static bool device_holds(const uint8_t *bytes, size_t len)
{
    struct ipc_device d;
    memcpy(&d, bytes, sizeof(d));
    return (uint64_t)d.out_count + d.in_count == (len - sizeof(d)) / sizeof(struct ipc_grant) &&
           (len - sizeof(d)) % sizeof(struct ipc_grant) == 0;
}

static bool met_holds(const uint8_t *bytes, size_t len)
{
    struct ipc_met m;
    memcpy(&m, bytes, sizeof(m));
    return (uint64_t)m.asker_len + m.target_len == len - sizeof(m);
}

static bool learn_holds(const uint8_t *bytes, size_t len)
{
    struct ipc_learn l;
    memcpy(&l, bytes, sizeof(l));
    return (uint64_t)l.opening_len + l.head_len == len - sizeof(l);
}

static bool status_holds(const uint8_t *bytes, size_t len)
{
    struct ipc_status s;
    memcpy(&s, bytes, sizeof(s));
    return s.counter_count <= IPC_COUNTERS_MAX &&
           (uint64_t)s.peer_count * sizeof(struct ipc_peer_status) == len - sizeof(s);
}

static bool flows_hold(const uint8_t *bytes, size_t len)
{
    struct ipc_flows f;
    memcpy(&f, bytes, sizeof(f));
    return (uint64_t)f.count * sizeof(struct ipc_flow) == len - sizeof(f);
}

static const struct {
    uint16_t kind;
    uint32_t len_min;
    bool (*holds)(const uint8_t *bytes, size_t len);
} counted[] = {
    {IPC_DEVICE, sizeof(struct ipc_device), device_holds}, {IPC_MET, sizeof(struct ipc_met), met_holds},
    {IPC_LEARN, sizeof(struct ipc_learn), learn_holds},    {IPC_STATUS, sizeof(struct ipc_status), status_holds},
    {IPC_FLOWS, sizeof(struct ipc_flows), flows_hold},
};

bool permits_counts_hold(uint16_t kind, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < COUNT(counted); i++)
        if (counted[i].kind == kind)
            return len >= counted[i].len_min && counted[i].holds(bytes, len);
    return true;
}

const char *proc_role_name(enum proc_role role)
{
    static const char *const names[PROC_ROLES] = {"parent", "keys", "engine", "state", "controller"};
    return names[role];
}
