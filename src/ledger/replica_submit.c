/* What this node hands in: offered upstream until a signed head covers it, or the network says no. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define OFFER_AGAIN (5 * REPLICA_SECOND)

void offer_send(struct replica *r, const struct device_id *to, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes,
                size_t len)
{
    struct frame frame = {.kind = FRAME_STATEMENT, .statement = {.total = len}};
    memcpy(frame.statement.hash, hash, SHA256_SIZE);
    if (len <= FRAME_INLINE_MAX)
        frame.statement.bytes = (struct frame_view){bytes, len};
    send_frame(r, to, &frame);
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

static int keep(struct replica *r, const uint8_t statement[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
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

int replica_submit(struct replica *r, const uint8_t *bytes, size_t len, uint64_t now)
{
    struct blob_reader openings;
    struct frame_view view;
    struct statement s;
    r->now = now;
    if (blob_read_submission(&openings, &view, bytes, len) || statement_decode(r->c, &s, view.bytes, view.len))
        return ERROR_MALFORMED;
    int error = find(r, s.hash) ? 0 : keep(r, s.hash, bytes, len);
    if (error)
        return error;
    (void)take_away_take(r, view.bytes, view.len, true);
    submissions_look(r);
    submissions_timer(r);
    settle(r);
    return 0;
}

static void end(struct replica *r, struct submission *s, enum fold_verdict verdict, uint64_t index)
{
    uint8_t statement[SHA256_SIZE];
    memcpy(statement, s->statement, sizeof(statement));
    free(s->bytes);
    *s = (struct submission){0};
    r->ops->outcome(r->ops->context, statement, verdict, index);
}

static void take_own_openings(struct replica *r, const struct submission *s)
{
    struct blob_reader openings;
    struct frame_view view;
    if (blob_read_submission(&openings, &view, s->bytes, s->len))
        return;
    while (blob_next_opening(&openings, &view))
        (void)take_opening(r, view);
}

void submissions_look(struct replica *r)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++) {
        struct submission *s = &r->submissions[i];
        uint64_t index;
        const struct entry *e = s->used ? history_find(&r->history, s->statement, &index) : NULL;
        if (!e || !r->has_signed || r->signed_head.head.index < index)
            continue;
        take_own_openings(r, s);
        end(r, s, e->verdict, index);
    }
}

/* That it stands is seen in the ledger alone; a no has nothing to be seen in, and STORE only asks for patience. */
void submissions_verdict(struct replica *r, const struct frame_joined *joined)
{
    struct submission *s = find(r, joined->statement);
    if (!s || joined->verdict == VERDICT_STANDS || joined->verdict == VERDICT_STORE || joined->verdict >= VERDICT_COUNT)
        return;
    if (joined->verdict == VERDICT_ALREADY && joined->index >= history_end(&r->history))
        return;
    end(r, s, (enum fold_verdict)joined->verdict, joined->index);
}

void submissions_hasten(struct replica *r)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++)
        r->submissions[i].next = r->now;
}

void submissions_timer(struct replica *r)
{
    struct device_id to;
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++) {
        struct submission *s = &r->submissions[i];
        if (!s->used || r->now < s->next || !choose_upstream(r, r->follow.turn, &to))
            continue;
        s->next = r->now + OFFER_AGAIN;
        offer_send(r, &to, s->offer, s->bytes, s->len);
        if (++s->tries % 2 == 0)
            r->follow.turn++;
    }
}

uint64_t submissions_deadline(const struct replica *r)
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

bool submissions_blob(const struct replica *r, const uint8_t hash[SHA256_SIZE], struct frame_view *out)
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

void submissions_clear(struct replica *r)
{
    for (uint32_t i = 0; i < REPLICA_SUBMISSIONS_MAX; i++)
        free(r->submissions[i].bytes);
}
