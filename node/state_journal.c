#include "state_journal.h"

#include <stdlib.h>
#include <string.h>

struct waiting {
    struct waiting *next;
    uint32_t len;
    uint8_t bytes[];
};

struct journal {
    struct files_log *log;
    struct waiting *first, **last;
    size_t queued;
    bool restarting; /* the queue begins the log anew */
    bool unsynced;   /* appended, and not durable yet */
    int broken;      /* something could not be queued: what follows it must not be kept either */
};

int journal_open(struct journal **out, const struct files *f, const char *name, uint32_t record_max,
                 int (*each)(void *context, const uint8_t *bytes, size_t len), void *context, uint64_t *torn)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (!j)
        return ERROR_MEMORY;
    j->last = &j->first;
    int error = files_log_open(&j->log, f, name, record_max, each, context, torn);
    if (error) {
        free(j);
        return error;
    }
    *out = j;
    return 0;
}

static void drop_first(struct journal *j)
{
    struct waiting *w = j->first;
    j->first = w->next;
    if (!j->first)
        j->last = &j->first;
    j->queued -= w->len;
    free(w);
}

static void drop_all(struct journal *j)
{
    while (j->first)
        drop_first(j);
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    drop_all(j);
    files_log_close(j->log);
    free(j);
}

void journal_put(struct journal *j, const void *bytes, size_t len)
{
    if (j->broken)
        return;
    struct waiting *w = len <= JOURNAL_QUEUE_MAX - j->queued ? malloc(sizeof(*w) + len) : NULL;
    if (!w) {
        j->broken = ERROR_MEMORY;
        return;
    }
    w->next = NULL;
    w->len = (uint32_t)len;
    memcpy(w->bytes, bytes, len);
    *j->last = w;
    j->last = &w->next;
    j->queued += len;
}

/* A log that is whole again needs nothing of what was lost. */
void journal_restart(struct journal *j)
{
    drop_all(j);
    j->restarting = true;
    j->broken = 0;
}

bool journal_is_waiting(const struct journal *j)
{
    return j->first || j->restarting || j->unsynced || j->broken;
}

/* The queue is read from its front and left as it is: rewriting may fail. */
static int next_record(void *context, uint8_t *out)
{
    struct waiting **at = context;
    const struct waiting *w = *at;
    if (!w)
        return -1;
    memcpy(out, w->bytes, w->len);
    *at = w->next;
    return (int)w->len;
}

static int restart_log(struct journal *j)
{
    struct waiting *at = j->first;
    int error = files_log_rewrite(j->log, next_record, &at);
    if (error)
        return error;
    drop_all(j);
    j->restarting = false;
    return 0;
}

static int append_all(struct journal *j)
{
    while (j->first) {
        int error = files_log_append(j->log, j->first->bytes, j->first->len);
        if (error)
            return error;
        j->unsynced = true;
        drop_first(j);
    }
    return 0;
}

int journal_commit(struct journal *j)
{
    int error = j->restarting ? restart_log(j) : append_all(j);
    if (!error && j->unsynced)
        error = files_log_sync(j->log);
    if (error)
        return error;
    j->unsynced = false;
    return j->broken;
}
