#include "keys_gates.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/time.h"

#define GATES_NAME "gates"
#define COMMIT_INTERVAL (10 * SECOND)
#define COMPACT_SLACK 1024 /* records; a short log is not worth it */

struct gates {
    struct files_log *log;
    struct gate_list keys;
    bool noted[GATES_MAX]; /* not in the log yet */
    bool dirty;            /* something is noted, or the log is to be written anew */
    bool rewrite;
    uint64_t logged; /* records in the log */
    uint64_t due;    /* monotonic: before, nothing is written */
};

static int load(void *context, const uint8_t *bytes, size_t len)
{
    struct gates *g = context;
    struct ipc_gate gate;
    g->logged++;
    if (len != sizeof(gate))
        return 0;
    memcpy(&gate, bytes, sizeof(gate));
    gate_list_put(&g->keys, &gate);
    return 0;
}

int gates_open(struct gates **out, const struct files *f)
{
    struct gates *g = calloc(1, sizeof(*g));
    if (!g)
        return ERROR_MEMORY;
    int error = files_log_open(&g->log, f, GATES_NAME, sizeof(struct ipc_gate), load, g, NULL);
    if (error != 0)
        gates_close(g);
    else
        *out = g;
    return error;
}

void gates_close(struct gates *g)
{
    if (!g)
        return;
    files_log_close(g->log);
    wipe(g, sizeof(*g));
    free(g);
}

void gates_note(struct gates *g, const struct ipc_gate *gate)
{
    if (gate_list_has(&g->keys, gate))
        return;
    g->noted[gate_list_put(&g->keys, gate)] = true;
    g->dirty = true;
}

void gates_forget(struct gates *g, const uint8_t static_key[IPC_PUBLIC_SIZE])
{
    struct ipc_gate *gone = gate_list_find(&g->keys, static_key);
    if (!gone)
        return;
    *gone = g->keys.list[--g->keys.count];
    g->keys.next = 0;
    g->rewrite = g->dirty = true;
}

struct rewriting {
    const struct gates *gates;
    uint32_t at;
};

static int next_record(void *context, uint8_t *out)
{
    struct rewriting *r = context;
    if (r->at == r->gates->keys.count)
        return -1;
    memcpy(out, &r->gates->keys.list[r->at++], sizeof(struct ipc_gate));
    return (int)sizeof(struct ipc_gate);
}

static int append_noted(struct gates *g)
{
    int error = 0;
    for (uint32_t i = 0; i < g->keys.count && error == 0; i++) {
        if (!g->noted[i])
            continue;
        error = files_log_append(g->log, &g->keys.list[i], sizeof(g->keys.list[i]));
        g->logged++;
    }
    return error == 0 ? files_log_sync(g->log) : error;
}

void gates_commit(struct gates *g, uint64_t now)
{
    struct rewriting r = {.gates = g};
    if (!g->dirty || now < g->due)
        return;
    g->due = now + COMMIT_INTERVAL;
    bool anew = g->rewrite || g->logged > 2 * (uint64_t)g->keys.count + COMPACT_SLACK;
    int error = anew ? files_log_rewrite(g->log, next_record, &r) : append_noted(g);
    g->dirty = g->rewrite = error != 0;
    if (error != 0)
        return;
    if (anew)
        g->logged = g->keys.count;
    memset(g->noted, 0, sizeof(g->noted));
}

uint32_t gates_count(const struct gates *g)
{
    return g->keys.count;
}

const struct ipc_gate *gates_at(const struct gates *g, uint32_t i)
{
    return &g->keys.list[i];
}
