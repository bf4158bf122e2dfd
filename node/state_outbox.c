/* STATE/outbox: what the command line signed, handed in until its outcome is known. */
#include <stdlib.h>
#include <string.h>

#include "ledger/blob.h"
#include "ledger/kept.h"
#include "ledger/sync.h"
#include "state_internal.h"

#define SUBMISSION_MAX (16u << 20)

struct outcome *state_outcome(struct state *s, const uint8_t statement[SHA256_SIZE])
{
    for (uint32_t i = 0; i < OUTCOMES_MAX; i++)
        if (s->outcomes[i].known && memcmp(s->outcomes[i].statement, statement, SHA256_SIZE) == 0)
            return &s->outcomes[i];
    return NULL;
}

/* The file goes once what became of it is durable: else the next start asks again, which changes nothing. */
void state_note_outcome(struct state *s, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict,
                        uint64_t index)
{
    char name[KEPT_NAME_SIZE];
    struct outcome *o = &s->outcomes[s->outcome_next];
    s->outcome_next = (s->outcome_next + 1) % OUTCOMES_MAX;
    *o = (struct outcome){.known = true, .verdict = verdict, .index = index};
    memcpy(o->statement, statement, SHA256_SIZE);
    s->outbox_due |= s->outbox_full;
    kept_name(name, statement);
    int error = state_commit(s) ? files_remove(&s->setup.outbox, name) : 0;
    if (error && error != ERROR_NOT_FOUND)
        state_log("warning", "not-removed", "file", name);
    if (verdict != VERDICT_STANDS && verdict != VERDICT_ALREADY)
        state_log("warning", "refused", "why", fold_verdict_sentence(verdict));
}

static bool is_restore(struct state *s, const uint8_t *bytes, size_t len)
{
    struct blob_reader openings;
    struct frame_view view;
    struct statement statement;
    return blob_read_submission(&openings, &view, bytes, len) == 0 &&
           statement_decode(s->setup.crypto, &statement, view.bytes, view.len) == 0 &&
           statement.kind == STATEMENT_RESTORE;
}

/* What lifts an isolation comes behind it. */
static int submit(struct state *s, const char *name, const uint8_t statement[SHA256_SIZE])
{
    uint8_t *bytes;
    size_t len;
    int error = files_read_new(&s->setup.outbox, name, SUBMISSION_MAX, &bytes, &len);
    if (error == ERROR_OVERFLOW)
        error = ERROR_MALFORMED;
    else if (!error) {
        if (is_restore(s, bytes, len) == s->outbox_restores)
            error = replica_submit(s->replica, bytes, len, loop_monotonic());
        free(bytes);
    }
    if (error == ERROR_MALFORMED)
        state_note_outcome(s, statement, VERDICT_MALFORMED, 0);
    return error;
}

static int look_at(void *context, const char *name)
{
    struct state *s = context;
    uint8_t statement[SHA256_SIZE];
    if (!kept_name_parse(statement, name))
        return 0; /* not ours */
    int error = submit(s, name, statement);
    if (error == ERROR_FULL)
        s->outbox_full = true;
    else if (error && error != ERROR_MALFORMED)
        state_log("warning", "outbox", "why", error_sentence(error));
    return error == ERROR_FULL ? error : 0;
}

void state_knock(struct state *s)
{
    s->outbox_full = s->outbox_due = false;
    s->outbox_restores = false;
    int error = files_each(&s->setup.outbox, look_at, s);
    s->outbox_restores = true;
    if (!error)
        error = files_each(&s->setup.outbox, look_at, s);
    if (error && error != ERROR_FULL)
        state_log("warning", "outbox", "why", error_sentence(error));
}
