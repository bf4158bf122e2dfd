/* What this node hands in: offered upstream until a signed head covers it, or the network says no. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define OFFER_AGAIN (5 * SECOND)

void replica_offer_send(struct replica *r, const struct device_id *to, const uint8_t hash[SHA256_SIZE],
                        const uint8_t *bytes, size_t len)
{
    struct frame frame = {.kind = FRAME_STATEMENT, .statement = {.total = len}};
    memcpy(frame.statement.hash, hash, SHA256_SIZE);
    if (len <= FRAME_INLINE_MAX)
        frame.statement.bytes = (struct frame_view){bytes, len};
    replica_send_frame(r, to, &frame);
}

static struct submission *find(struct replica *r, const uint8_t statement[SHA256_SIZE])
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++)
        if (r->submissions[i].used && memcmp(r->submissions[i].statement, statement, SHA256_SIZE) == 0)
            return &r->submissions[i];
    return NULL;
}

static struct submission *find_free(struct replica *r)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++)
        if (!r->submissions[i].used)
            return &r->submissions[i];
    return NULL;
}

int replica_submission_keep(struct replica *r, const uint8_t statement[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    if (find(r, statement))
        return 0;
    struct submission *s = find_free(r);
    uint8_t *copy = s ? malloc(len) : NULL;
    if (!copy)
        return s ? ERROR_MEMORY : ERROR_FULL;
    memcpy(copy, bytes, len);
    *s = (struct submission){.used = true, .bytes = copy, .len = len, .next = r->now};
    memcpy(s->statement, statement, SHA256_SIZE);
    int error = crypto_sha256(r->c, s->offer, bytes, len);
    if (error) {
        free(copy);
        s->used = false;
    }
    return error;
}

static void put_held(const struct replica *r, const uint8_t *commitment, struct blob_writer *w, uint32_t *missing,
                     uint32_t *count)
{
    const struct kept_opening *kept = replica_openings_find(&r->openings, commitment);
    *missing += !kept;
    *count += 1;
    if (kept && w)
        blob_put_opening(w, (struct frame_view){kept->bytes, kept->len});
}

/* The openings that a statement commits to: counted, or written. */
static void put_committed(const struct replica *r, const struct statement *s, struct blob_writer *w, uint32_t *missing,
                          uint32_t *count)
{
    *missing = *count = 0;
    if (s->kind == STATEMENT_INVITE)
        put_held(r, s->invite.commitment, w, missing, count);
    for (uint32_t i = 0; s->kind == STATEMENT_ROOT && i < s->root.role_count; i++)
        if (s->root.roles[i].scoped)
            put_held(r, s->root.roles[i].scope, w, missing, count);
    struct policy_change change;
    for (uint32_t i = 0; s->kind == STATEMENT_POLICY && i < s->policy.change_count; i++) {
        statement_policy_change(&s->policy, i, &change);
        if (!change.gone)
            put_held(r, change.commitment, w, missing, count);
    }
}

bool replica_submission_of(const struct replica *r, const struct statement *s, struct blob_writer *out)
{
    uint32_t missing, count;
    put_committed(r, s, NULL, &missing, &count);
    if (missing)
        return false;
    blob_begin_submission(out, (struct frame_view){s->bytes, s->len}, count);
    put_committed(r, s, out, &missing, &count);
    return !out->error;
}

int replica_submit(struct replica *r, const uint8_t *bytes, size_t len, uint64_t now)
{
    struct blob_reader openings;
    struct frame_view view;
    struct statement s;
    r->now = now;
    if (blob_read_submission(&openings, &view, bytes, len) || statement_decode(r->c, &s, view.bytes, view.len))
        return ERROR_MALFORMED;
    int error = replica_submission_keep(r, s.hash, bytes, len);
    if (error)
        return error;
    if (!replica_take_away_take(r, view.bytes, view.len, true, NULL))
        (void)replica_replace_take(r, view.bytes, view.len, NULL);
    replica_submissions_look(r);
    replica_submissions_timer(r);
    replica_settle(r);
    return 0;
}

static void end(struct replica *r, struct submission *s, enum fold_verdict verdict, uint64_t index)
{
    uint8_t statement[SHA256_SIZE];
    memcpy(statement, s->statement, sizeof(statement));
    free(s->bytes);
    *s = (struct submission){0};
    replica_problem_set(r, REPLICA_PROBLEM_NOT_STORED, NULL, NULL, false); /* the next one that waits says it again */
    r->ops->outcome(r->ops->context, statement, verdict, index);
}

static void take_own_openings(struct replica *r, const struct submission *s)
{
    struct blob_reader openings;
    struct frame_view view;
    if (blob_read_submission(&openings, &view, s->bytes, s->len))
        return;
    while (blob_next_opening(&openings, &view))
        (void)replica_take_opening(r, view);
}

/* Another may have waited for one that ended. */
static void go_on(struct replica *r)
{
    replica_submissions_hasten(r);
    replica_submissions_timer(r);
}

void replica_submissions_look(struct replica *r)
{
    bool ended = false;
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++) {
        struct submission *s = &r->submissions[i];
        uint64_t index;
        const struct entry *e = s->used ? replica_history_find(&r->history, s->statement, &index) : NULL;
        if (!e || !r->has_signed || r->signed_head.head.index < index)
            continue;
        take_own_openings(r, s);
        end(r, s, e->verdict, index);
        ended = true;
    }
    if (ended)
        go_on(r);
}

/* That it stands is seen in the ledger alone; a no has nothing to be seen in, and STORE only asks for patience. */
void replica_submissions_verdict(struct replica *r, const struct frame_joined *joined)
{
    struct submission *s = find(r, joined->statement);
    if (s && joined->verdict == VERDICT_STORE)
        replica_problem_set(r, REPLICA_PROBLEM_NOT_STORED, NULL, NULL, true);
    if (!s || joined->verdict == VERDICT_STANDS || joined->verdict == VERDICT_STORE || joined->verdict >= VERDICT_COUNT)
        return;
    if (joined->verdict == VERDICT_ALREADY && joined->index >= replica_history_end(&r->history))
        return;
    end(r, s, (enum fold_verdict)joined->verdict, joined->index);
    go_on(r);
}

void replica_submissions_hasten(struct replica *r)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++)
        r->submissions[i].next = r->now;
}

/* A restore that comes before the isolation that it lifts would be refused, and that isolation stand for good. */
static bool waits_for_another(struct replica *r, const struct submission *s)
{
    struct blob_reader openings;
    struct frame_view view;
    struct statement restore;
    if (blob_read_submission(&openings, &view, s->bytes, s->len) ||
        statement_decode(r->c, &restore, view.bytes, view.len) || restore.kind != STATEMENT_RESTORE)
        return false;
    for (uint32_t i = 0; i < restore.restore.count; i++)
        if (find(r, restore.restore.isolates[i]))
            return true;
    return false;
}

void replica_submissions_timer(struct replica *r)
{
    struct device_id to;
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++) {
        struct submission *s = &r->submissions[i];
        if (!s->used || r->now < s->next || !replica_choose_upstream(r, r->follow.turn, &to))
            continue;
        if (waits_for_another(r, s))
            continue;
        s->next = r->now + OFFER_AGAIN;
        replica_offer_send(r, &to, s->offer, s->bytes, s->len);
        if (++s->tries % 2 == 0)
            r->follow.turn++;
    }
}

uint64_t replica_submissions_deadline(const struct replica *r)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++) {
        const struct submission *s = &r->submissions[i];
        /* Without an upstream a link wakes us, not the clock. */
        if (s->used && s->next > r->now && s->next < first)
            first = s->next;
    }
    return first;
}

bool replica_submissions_blob(const struct replica *r, const uint8_t hash[SHA256_SIZE], struct frame_view *out)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++) {
        const struct submission *s = &r->submissions[i];
        if (!s->used || memcmp(s->offer, hash, SHA256_SIZE) != 0)
            continue;
        *out = (struct frame_view){s->bytes, s->len};
        return true;
    }
    return false;
}

bool replica_has_submissions(const struct replica *r)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++)
        if (r->submissions[i].used)
            return true;
    return false;
}

void replica_submissions_clear(struct replica *r)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++)
        free(r->submissions[i].bytes);
}
