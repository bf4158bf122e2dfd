#include "state_server.h"

#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "proc/log.h"
#include "state_internal.h"

#define COMMIT_AGAIN SECOND /* after the disk refused */

void state_end(struct state *s, int error)
{
    if (!s->ended)
        s->error = error;
    s->ended = true;
}

void state_log(const char *level, const char *event, const char *key, const char *value)
{
    char shown[200];
    size_t len = 0;
    for (; value[len] && len + 1 < sizeof(shown); len++)
        shown[len] = value[len] >= ' ' && value[len] <= '~' && value[len] != '"' ? value[len] : '?';
    shown[len] = 0;
    log_line(level, event, "%s=\"%s\"", key, shown);
}

bool state_commit(struct state *s)
{
    if (!state_store_is_dirty(s->store))
        return true;
    uint64_t now = loop_monotonic();
    if (s->disk_error && now < s->commit_again)
        return false;
    int error = state_store_commit(s->store);
    if (error && error != s->disk_error)
        state_log("error", "not-kept", "why", error_sentence(error));
    s->disk_error = error;
    s->commit_again = now + COMMIT_AGAIN;
    return error == 0;
}

/* ---- The others' sockets ---- */

static void ready(void *context, int fd)
{
    struct state *s = context;
    struct ipc *all[] = {s->setup.parent, s->setup.keys, s->setup.engine};
    for (size_t i = 0; i < 3; i++)
        if (ipc_fd(all[i]) == fd)
            state_receive_all(s, all[i]);
}

static int watch_all(struct state *s)
{
    struct ipc *all[] = {s->setup.parent, s->setup.keys, s->setup.engine};
    int error = 0;
    for (size_t i = 0; i < 3 && !error; i++)
        error = loop_add(s->setup.loop, ipc_fd(all[i]), ready, s);
    return error;
}

static void unwatch_all(struct state *s)
{
    struct ipc *all[] = {s->setup.parent, s->setup.keys, s->setup.engine};
    for (size_t i = 0; i < 3; i++)
        loop_remove(s->setup.loop, ipc_fd(all[i]));
}

static void flush_all(struct state *s)
{
    struct ipc *all[] = {s->setup.parent, s->setup.keys, s->setup.engine};
    for (size_t i = 0; i < 3; i++) {
        int error = loop_want_write(s->setup.loop, ipc_fd(all[i]), ipc_flush(all[i]));
        if (error)
            state_end(s, error);
    }
}

/* ---- Life ---- */

static int begin_control(struct state *s)
{
    const struct control_setup setup = {.loop = s->setup.loop,
                                        .fd = s->setup.control_fd,
                                        .uid = s->setup.uid,
                                        .gid = s->setup.gid,
                                        .line = state_line,
                                        .context = s};
    return s->setup.control_fd < 0 ? 0 : control_new(&s->control, &setup);
}

static int open_store(struct state *s)
{
    uint64_t torn = 0;
    int error = state_store_open(&s->store, s->setup.crypto, &s->setup.ledger, &s->setup.openings, &torn);
    if (torn > 0)
        state_log("warning", "torn-log", "todo", "nothing: what was cut off is asked for again");
    if (error)
        state_log("error", "ledger-unreadable", "why", error_sentence(error));
    return error;
}

int state_new(struct state **out, const struct state_setup *setup)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s)
        return ERROR_MEMORY;
    s->setup = *setup;
    int error = open_store(s);
    if (!error)
        error = watch_all(s);
    if (!error)
        error = begin_control(s);
    if (error) {
        state_free(s);
        return error;
    }
    *out = s;
    return 0;
}

void state_free(struct state *s)
{
    if (!s)
        return;
    control_free(s->control);
    unwatch_all(s);
    replica_free(s->replica);
    int ignored = s->store ? state_store_commit(s->store) : 0; /* the last chance; asked for again otherwise */
    (void)ignored;
    state_store_close(s->store);
    for (uint32_t i = 0; i < QUESTIONS_MAX; i++)
        json_decref(s->questions[i].peers);
    free(s->published);
    free(s->published_places);
    free(s->ticket_buffer);
    free(s);
}

static uint64_t deadline(const struct state *s)
{
    uint64_t first = state_answer_deadline(s);
    if (s->replica)
        first = earlier(first, replica_deadline(s->replica));
    if (s->control)
        first = earlier(first, control_deadline(s->control));
    return state_store_is_dirty(s->store) ? earlier(first, s->commit_again) : first;
}

static void run_timers(struct state *s)
{
    uint64_t now = loop_monotonic();
    if (s->replica && now >= replica_deadline(s->replica))
        replica_timer(s->replica, now, loop_wall() / SECOND);
    if (s->control)
        control_timer(s->control, now);
    state_answer_timer(s, now);
    if (s->outbox_due && s->replica)
        state_knock(s);
}

int state_turn(struct state *s)
{
    (void)state_commit(s);
    flush_all(s);
    if (!s->ended) {
        int error = loop_once(s->setup.loop, deadline(s));
        if (error)
            state_end(s, error);
    }
    run_timers(s);
    return s->ended ? s->error : ERROR_AGAIN;
}
