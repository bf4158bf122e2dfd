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
    uint32_t first, count, capacity;
};

struct keys_server {
    struct keys_setup setup;
    struct key_material material;
    struct seen *seen;
    struct own_time own_time;
    struct step_queue own, other;
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
    if (q->count == q->capacity)
        return false;
    q->steps[(q->first + q->count++) % q->capacity] = *step;
    return true;
}

/* The i-th that waits. */
static struct static_step *queue_at(const struct step_queue *q, uint32_t i)
{
    return &q->steps[(q->first + i) % q->capacity];
}

static void queue_drop(struct step_queue *q, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        wipe(queue_at(q, i), sizeof(struct static_step));
    q->first = (q->first + count) % q->capacity;
    q->count -= count;
}

static int queue_init(struct step_queue *q, uint32_t capacity)
{
    q->capacity = capacity;
    q->steps = calloc(capacity, sizeof(*q->steps));
    return q->steps ? 0 : ERROR_MEMORY;
}

static void queue_clear(struct step_queue *q)
{
    if (q->steps)
        wipe(q->steps, q->capacity * sizeof(*q->steps));
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

static void judge_timestamp(struct keys_server *k, struct static_step *step)
{
    if (step->result != 0)
        return;
    int error = ERROR_REPLAYED;
    uint64_t wall = k->setup.wall();
    if (!timestamp_is_too_far_ahead(step->text, wall))
        error = seen_note(k->seen, step->remote, step->text, wall);
    if (error != 0)
        refuse(step, error);
}

static int serve_own(struct keys_server *k)
{
    int error = 0;
    while (k->own.count > 0 && error == 0) {
        struct static_step *step = queue_at(&k->own, 0);
        tell_trouble(k, own_time_next(&k->own_time, k->setup.wall(), step->local_index, step->text));
        run(k, step);
        error = reply(k, step);
        queue_drop(&k->own, 1);
    }
    return error;
}

/* All of a batch are run, then made durable at once, then answered. */
static int serve_others(struct keys_server *k)
{
    uint32_t count = k->other.count < KEYS_BATCH_MAX ? k->other.count : KEYS_BATCH_MAX;
    bool noted = false;
    int error = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct static_step *step = queue_at(&k->other, i);
        run(k, step);
        if (purpose_of(step) != STEP_THEIR_TIMESTAMP) {
            own_time_answered(&k->own_time, step->local_index);
            continue;
        }
        judge_timestamp(k, step);
        noted = true;
    }
    if (noted)
        tell_trouble(k, seen_commit(k->seen));
    for (uint32_t i = 0; i < count && error == 0; i++)
        error = reply(k, queue_at(&k->other, i));
    queue_drop(&k->other, count);
    return error;
}

static int take_step(struct keys_server *k, const struct ipc_message *m)
{
    struct static_step step;
    memcpy(&step, m->bytes, sizeof(step));
    enum step_purpose purpose = purpose_of(&step);
    int error = purpose == STEP_PURPOSES ? ERROR_MALFORMED : 0;
    if (error == 0 && !queue_put(purpose == STEP_OWN_TIMESTAMP ? &k->own : &k->other, &step)) {
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

static const struct {
    uint16_t kind;
    int (*take)(struct keys_server *k, const struct ipc_message *m);
} takers[] = {
    {IPC_STEP, take_step},
    {IPC_BUILD_JOIN, build_join},
    {IPC_ERASE_SEED, erase_seed},
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
    for (uint32_t i = 0; i < KEYS_OTHER_MAX && error == 0; i++) {
        error = ipc_receive(from, &m);
        if (error == 0)
            error = take(k, &m);
    }
    return error == ERROR_AGAIN ? 0 : error;
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
    return error == 0 && k->other.count > 0 ? ERROR_AGAIN : error;
}

static int start(struct keys_server *k)
{
    int error = key_material_open(&k->material, k->setup.crypto, &k->setup.files, k->setup.random);
    if (error == 0)
        error = seen_open(&k->seen, &k->setup.files);
    if (error == 0)
        error = own_time_open(&k->own_time, &k->setup.files);
    if (error == 0)
        error = queue_init(&k->own, KEYS_OWN_MAX);
    if (error == 0)
        error = queue_init(&k->other, KEYS_OTHER_MAX);
    if (error == 0)
        error = tell_public(k);
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
    queue_clear(&k->own);
    queue_clear(&k->other);
    wipe(k, sizeof(*k));
    free(k);
}
