#include "keys_server.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "proc/log.h"
#include "tunnel/static_step.h"

_Static_assert(sizeof(struct static_step) == IPC_STEP_SIZE, "a step as IPC carries it");

#define JOIN_MAX 2048 /* a join statement; permits.c has it as well */

struct step_queue {
    struct static_step *steps; /* a ring */
    uint32_t first, count;
};

struct keys_server {
    struct keys_setup setup;
    struct key_material material;
    struct seen *seen;
    struct gates *gates;
    struct own_time own_time;
    struct wall_clock clock; /* what others' timestamps are held against */
    struct step_queue queues[KEYS_QUEUES];
    int trouble; /* the error that keeps timestamps from being made durable */
};

/* What a step is, by what it asks for alone: nothing that the engine says about it is believed. */
enum step_purpose { STEP_OWN_TIMESTAMP, STEP_THEIR_KEY, STEP_THEIR_TIMESTAMP, STEP_RESPONSE, STEP_PURPOSES };
static const struct {
    uint8_t text_kind, text_len;
} purposes[STEP_PURPOSES] = {
    [STEP_OWN_TIMESTAMP] = {STATIC_STEP_SEAL_TEXT, MESSAGE_TIMESTAMP_SIZE},
    [STEP_THEIR_KEY] = {STATIC_STEP_OPEN_TEXT, X25519_SIZE},
    [STEP_THEIR_TIMESTAMP] = {STATIC_STEP_OPEN_TEXT, MESSAGE_TIMESTAMP_SIZE},
    [STEP_RESPONSE] = {STATIC_STEP_NO_TEXT, 0},
};

/* STEP_PURPOSES: none that a handshake has. */
static enum step_purpose purpose_of(const struct static_step *step)
{
    unsigned p = 0;
    while (p < STEP_PURPOSES && (purposes[p].text_kind != step->text_kind || purposes[p].text_len != step->text_len))
        p++;
    return p;
}

static bool queue_put(struct step_queue *q, const struct static_step *step)
{
    if (q->count == KEYS_QUEUE_MAX)
        return false;
    q->steps[(q->first + q->count++) % KEYS_QUEUE_MAX] = *step;
    return true;
}

/* The i-th that waits. */
static struct static_step *queue_at(const struct step_queue *q, uint32_t i)
{
    return &q->steps[(q->first + i) % KEYS_QUEUE_MAX];
}

static void queue_drop(struct step_queue *q, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        wipe(queue_at(q, i), sizeof(struct static_step));
    q->first = (q->first + count) % KEYS_QUEUE_MAX;
    q->count -= count;
}

static int queues_init(struct step_queue queues[KEYS_QUEUES])
{
    for (int i = 0; i < KEYS_QUEUES; i++) {
        queues[i].steps = calloc(KEYS_QUEUE_MAX, sizeof(*queues[i].steps));
        if (!queues[i].steps)
            return ERROR_MEMORY;
    }
    return 0;
}

static void queue_clear(struct step_queue *q)
{
    if (q->steps)
        wipe(q->steps, KEYS_QUEUE_MAX * sizeof(*q->steps));
    free(q->steps);
}

/* What a full disk means is told once, and once that it is over. */
static void tell_trouble(struct keys_server *k, int error)
{
    if (error == k->trouble)
        return;
    k->trouble = error;
    if (error != 0)
        log_line("error", "keys-disk", "what=\"timestamps cannot be kept\" why=\"%s\"", error_sentence(error));
    else
        log_line("info", "keys-disk", "what=\"timestamps are kept again\"");
    struct ipc_number number = {.number = (uint32_t)-error};
    int ignored = ipc_send(k->setup.state, IPC_KEYS_TROUBLE, &number, sizeof(number));
    (void)ignored; /* it stands in the log */
}

static int reply(struct keys_server *k, const struct static_step *step)
{
    int error = ipc_send(k->setup.engine, IPC_STEPPED, step, sizeof(*step));
    return error == ERROR_GONE ? error : 0; /* an engine that does not read has given the handshake up */
}

static void run(struct keys_server *k, struct static_step *step)
{
    const uint8_t *private_key = key_material_static(&k->material, step->local);
    if (private_key)
        static_step_run(step, k->setup.crypto, private_key);
    else
        step->result = ERROR_INVALID;
}

/* A timestamp that is refused leaves nothing to go on with. */
static void refuse(struct static_step *step, int error)
{
    wipe(step->chaining_key, sizeof(step->chaining_key));
    wipe(step->hash, sizeof(step->hash));
    step->result = error;
}

static uint64_t latest(struct keys_server *k)
{
    return wall_latest(&k->clock, k->setup.wall(), k->setup.monotonic());
}

static void judge_timestamp(struct keys_server *k, struct static_step *step)
{
    if (step->result != 0)
        return;
    int error = ERROR_REPLAYED;
    uint64_t wall = latest(k);
    if (!timestamp_is_too_far_ahead(step->text, wall))
        error = seen_note(k->seen, step->remote, step->text, wall);
    if (error != 0)
        refuse(step, error);
}

static int serve_own(struct keys_server *k)
{
    struct step_queue *own = &k->queues[KEYS_OWN];
    int error = 0;
    while (own->count > 0 && error == 0) {
        struct static_step *step = queue_at(own, 0);
        tell_trouble(k, own_time_next(&k->own_time, k->setup.wall(), step->local_index, step->text));
        run(k, step);
        error = reply(k, step);
        queue_drop(own, 1);
    }
    return error;
}

/* How many of each queue make a batch, the first ones first. */
static void plan_batch(const struct keys_server *k, uint32_t counts[KEYS_QUEUES])
{
    uint32_t room = KEYS_BATCH_MAX;
    counts[KEYS_OWN] = 0;
    for (int i = KEYS_ANSWERS; i < KEYS_QUEUES; i++) {
        uint32_t most = i == KEYS_STRANGERS && room > KEYS_STRANGERS_MAX ? KEYS_STRANGERS_MAX : room;
        counts[i] = k->queues[i].count < most ? k->queues[i].count : most;
        room -= counts[i];
    }
}

/* Whether a timestamp was noted. */
static bool run_other(struct keys_server *k, struct static_step *step)
{
    run(k, step);
    if (purpose_of(step) == STEP_THEIR_TIMESTAMP)
        judge_timestamp(k, step);
    else
        own_time_answered(&k->own_time, step->local_index);
    return purpose_of(step) == STEP_THEIR_TIMESTAMP;
}

/* All of a batch are run, then made durable at once, then answered. */
static int serve_others(struct keys_server *k)
{
    uint32_t counts[KEYS_QUEUES];
    bool noted = false;
    int error = 0;
    plan_batch(k, counts);
    for (int q = 0; q < KEYS_QUEUES; q++)
        for (uint32_t i = 0; i < counts[q]; i++)
            noted |= run_other(k, queue_at(&k->queues[q], i));
    if (noted)
        tell_trouble(k, seen_commit(k->seen));
    for (int q = 0; q < KEYS_QUEUES; q++) {
        for (uint32_t i = 0; i < counts[q] && error == 0; i++)
            error = reply(k, queue_at(&k->queues[q], i));
        queue_drop(&k->queues[q], counts[q]);
    }
    return error;
}

static enum keys_queue queue_for(const struct static_step *step, enum step_purpose purpose)
{
    if (purpose == STEP_OWN_TIMESTAMP)
        return KEYS_OWN;
    if (purpose == STEP_RESPONSE)
        return KEYS_ANSWERS;
    return step->gated ? KEYS_GATED : KEYS_STRANGERS;
}

static int take_step(struct keys_server *k, const struct ipc_message *m)
{
    struct static_step step;
    memcpy(&step, m->bytes, sizeof(step));
    enum step_purpose purpose = purpose_of(&step);
    int error = purpose == STEP_PURPOSES ? ERROR_MALFORMED : 0;
    if (error == 0 && !queue_put(&k->queues[queue_for(&step, purpose)], &step)) {
        refuse(&step, ERROR_FULL);
        error = reply(k, &step);
    }
    wipe(&step, sizeof(step));
    return error;
}

static int build_join(struct keys_server *k, const struct ipc_message *m)
{
    struct ipc_build_join what;
    uint8_t join[JOIN_MAX];
    memcpy(&what, m->bytes, sizeof(what));
    int len = key_material_join(&k->material, k->setup.crypto, &what, join, sizeof(join));
    if (len < 0 && len != ERROR_NOT_FOUND)
        return len;
    return ipc_send(k->setup.state, IPC_JOIN_BUILT, join, len < 0 ? 0 : (size_t)len);
}

static int tell_public(struct keys_server *k)
{
    const struct ipc_public *p = &k->material.public_halves;
    int error = ipc_send(k->setup.engine, IPC_PUBLIC, p, sizeof(*p));
    return error != 0 ? error : ipc_send(k->setup.state, IPC_PUBLIC, p, sizeof(*p));
}

static int erase_seed(struct keys_server *k, const struct ipc_message *m)
{
    (void)m;
    int error = key_material_erase_invite(&k->material, &k->setup.files);
    if (error == 0)
        error = tell_public(k);
    return error != 0 ? error : ipc_send(k->setup.state, IPC_SEED_ERASED, NULL, 0);
}

static int excuse(struct keys_server *k, const struct ipc_message *m)
{
    struct ipc_key gone;
    memcpy(&gone, m->bytes, sizeof(gone));
    seen_excuse(k->seen, gone.key, latest(k));
    gates_forget(k->gates, gone.key);
    return 0;
}

static int keep_gate(struct keys_server *k, const struct ipc_message *m)
{
    struct ipc_gate gate;
    memcpy(&gate, m->bytes, sizeof(gate));
    gates_note(k->gates, &gate);
    wipe(&gate, sizeof(gate));
    return 0;
}

static int tell_gates(struct keys_server *k)
{
    int error = 0;
    for (uint32_t i = 0; i < gates_count(k->gates) && error == 0; i++)
        error = ipc_send(k->setup.engine, IPC_GATE, gates_at(k->gates, i), sizeof(struct ipc_gate));
    return error;
}

static const struct {
    uint16_t kind;
    int (*take)(struct keys_server *k, const struct ipc_message *m);
} takers[] = {
    {IPC_STEP, take_step},   {IPC_BUILD_JOIN, build_join}, {IPC_ERASE_SEED, erase_seed},
    {IPC_PEER_GONE, excuse}, {IPC_GATE, keep_gate},
};

static int take(struct keys_server *k, const struct ipc_message *m)
{
    for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++)
        if (takers[i].kind == m->kind)
            return takers[i].take(k, m);
    return ERROR_MALFORMED;
}

/* At most one queue's worth, so that a flood does not keep what waits from being served. */
static int take_all(struct keys_server *k, struct ipc *from)
{
    struct ipc_message m;
    int error = 0;
    for (uint32_t i = 0; i < KEYS_QUEUE_MAX && error == 0; i++) {
        error = ipc_receive(from, &m);
        if (error == 0)
            error = take(k, &m);
    }
    return error == ERROR_AGAIN ? 0 : error;
}

static bool is_left(const struct keys_server *k)
{
    uint32_t waiting = 0;
    for (int i = 0; i < KEYS_QUEUES; i++)
        waiting += k->queues[i].count;
    return waiting > 0;
}

int keys_server_turn(struct keys_server *k)
{
    int error = take_all(k, k->setup.state);
    if (error == 0)
        error = take_all(k, k->setup.engine);
    if (error == 0)
        error = serve_own(k);
    if (error == 0)
        error = serve_others(k);
    gates_commit(k->gates, k->setup.monotonic());
    return error == 0 && is_left(k) ? ERROR_AGAIN : error;
}

static int start(struct keys_server *k)
{
    int error = key_material_open(&k->material, k->setup.crypto, &k->setup.files, k->setup.random);
    if (error == 0)
        error = seen_open(&k->seen, &k->setup.files);
    if (error == 0)
        error = gates_open(&k->gates, &k->setup.files);
    if (error == 0)
        error = own_time_open(&k->own_time, &k->setup.files);
    if (error == 0)
        error = queues_init(k->queues);
    if (error == 0)
        error = tell_public(k);
    if (error == 0)
        error = tell_gates(k);
    if (error != 0)
        return error;
    ipc_set_phase(k->setup.engine, IPC_RUNNING);
    ipc_set_phase(k->setup.state, IPC_RUNNING);
    return 0;
}

int keys_server_new(struct keys_server **out, const struct keys_setup *setup)
{
    struct keys_server *k = calloc(1, sizeof(*k));
    if (!k)
        return ERROR_MEMORY;
    int ignored = mlock(k, sizeof(*k)); /* against swapping; a limit may forbid it */
    (void)ignored;
    k->setup = *setup;
    int error = start(k);
    if (error != 0)
        keys_server_free(k);
    else
        *out = k;
    return error;
}

void keys_server_free(struct keys_server *k)
{
    if (!k)
        return;
    seen_close(k->seen);
    if (k->gates)
        gates_commit(k->gates, UINT64_MAX);
    gates_close(k->gates);
    for (int i = 0; i < KEYS_QUEUES; i++)
        queue_clear(&k->queues[i]);
    wipe(k, sizeof(*k));
    free(k);
}
