#include <stdlib.h>
#include <string.h>

#include "ledger/sequencer_internal.h"

void sequencer_send(struct sequencer *s, const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(frame, bytes, sizeof(bytes));
    if (len > 0)
        s->ops.send(s->ops.context, bytes, (size_t)len);
}

/* ---- Joins and offers ---- */

static void answer(struct sequencer *s, const struct sequencer_outcome *outcome)
{
    struct frame joined = {.kind = FRAME_JOINED};
    memcpy(joined.joined.statement, outcome->statement, SHA256_SIZE);
    joined.joined.verdict = outcome->verdict;
    joined.joined.index = outcome->index;
    if (s->has_head && sequencer_is_entitled(s))
        joined.joined.head = (struct frame_view){s->head, sizeof(s->head)};
    if (s->ops.judged)
        s->ops.judged(s->ops.context, outcome->statement, outcome->verdict, outcome->index);
    sequencer_send(s, &joined);
}

static int hand_in(struct sequencer *s, const struct sequencer_submission *what, uint64_t wall, uint64_t now)
{
    struct sequencer_outcome outcome;
    int error = sequencer_submit(s, what, wall, &outcome);
    if (error)
        return error;
    bool new_entry = outcome.verdict == VERDICT_STANDS;
    if (new_entry)
        error = sequencer_sign(s, wall, now);
    if (error)
        return error;
    answer(s, &outcome);
    if (new_entry)
        sequencer_notify(s);
    return 0;
}

static int take_submission(struct sequencer *s, const uint8_t *bytes, size_t len, uint64_t wall, uint64_t now)
{
    struct blob_reader reader;
    struct sequencer_submission what = {0};
    struct sequencer_opening *openings;
    if (blob_read_submission(&reader, &what.statement, bytes, len))
        return 0;
    int error = sequencer_read_openings(s->crypto, &reader, &openings, &what.opening_count);
    if (error)
        return error;
    what.openings = openings;
    error = hand_in(s, &what, wall, now);
    free(openings);
    return error;
}

static bool is_hash_of(struct sequencer *s, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    uint8_t computed[SHA256_SIZE];
    return crypto_sha256(s->crypto, computed, bytes, len) == 0 && memcmp(computed, hash, SHA256_SIZE) == 0;
}

static int take_join(struct sequencer *s, const struct frame *f, uint64_t wall, uint64_t now)
{
    struct sequencer_submission what = {.statement = f->join.statement};
    struct statement st;
    /* The door takes joins alone: whoever stands there holds an invite, no more. */
    if (statement_decode(s->crypto, &st, what.statement.bytes, what.statement.len) || st.kind != STATEMENT_JOIN)
        return 0;
    return hand_in(s, &what, wall, now);
}

/* ---- Offers that are pulled ---- */

static void end_pull(struct sequencer_pull *p)
{
    pull_free(p->pull);
    p->pull = NULL;
}

static struct sequencer_pull *free_slot(struct sequencer *s)
{
    for (int i = 0; i < SEQUENCER_PULLS_MAX; i++)
        if (!s->pulls[i].pull)
            return &s->pulls[i];
    return NULL;
}

static bool is_pulled(const struct sequencer *s, const uint8_t hash[SHA256_SIZE])
{
    for (int i = 0; i < SEQUENCER_PULLS_MAX; i++)
        if (s->pulls[i].pull && memcmp(s->pulls[i].hash, hash, SHA256_SIZE) == 0)
            return true;
    return false;
}

static int begin_pull(struct sequencer *s, const struct frame_statement *offer, uint64_t now)
{
    struct sequencer_pull *slot = free_slot(s);
    if (offer->total > SEQUENCER_OFFER_MAX || is_pulled(s, offer->hash) || !slot)
        return 0;
    if (pull_new(&slot->pull, SYNC_OFFER, 0, 0, offer->hash)) {
        slot->pull = NULL;
        return 0; /* it will be offered again */
    }
    memcpy(slot->hash, offer->hash, SHA256_SIZE);
    slot->began = now;
    sequencer_pull_on(s, now);
    return 0;
}

static int take_offer(struct sequencer *s, const struct frame *f, uint64_t wall, uint64_t now)
{
    const struct frame_statement *offer = &f->statement;
    if (offer->bytes.len == 0)
        return begin_pull(s, offer, now);
    if (offer->bytes.len != offer->total || !is_hash_of(s, offer->hash, offer->bytes.bytes, offer->bytes.len))
        return 0;
    return take_submission(s, offer->bytes.bytes, offer->bytes.len, wall, now);
}

static bool stands_still(const struct sequencer_pull *p, uint64_t now)
{
    uint64_t last = pull_last_progress(p->pull);
    return now - (last ? last : p->began) > SEQUENCER_PULL_PATIENCE;
}

void sequencer_pull_on(struct sequencer *s, uint64_t now)
{
    struct frame get = {.kind = FRAME_GET};
    for (int i = 0; i < SEQUENCER_PULLS_MAX; i++) {
        struct sequencer_pull *p = &s->pulls[i];
        while (p->pull && pull_next(p->pull, &get.get, now))
            sequencer_send(s, &get);
        if (p->pull && stands_still(p, now))
            end_pull(p);
    }
}

uint64_t sequencer_pull_deadline(const struct sequencer *s)
{
    uint64_t first = UINT64_MAX;
    for (int i = 0; i < SEQUENCER_PULLS_MAX; i++) {
        uint64_t deadline = s->pulls[i].pull ? pull_deadline(s->pulls[i].pull) : UINT64_MAX;
        if (deadline < first)
            first = deadline;
    }
    return first;
}

static int end_offer(struct sequencer *s, struct sequencer_pull *p, const uint8_t *bytes, size_t len, uint64_t wall,
                     uint64_t now)
{
    int error = is_hash_of(s, p->hash, bytes, len) ? take_submission(s, bytes, len, wall, now) : 0;
    end_pull(p);
    return error;
}

static int take_part(struct sequencer *s, const struct frame *f, uint64_t wall, uint64_t now)
{
    if (f->part.what != SYNC_OFFER || f->part.total > SEQUENCER_OFFER_MAX)
        return 0;
    for (int i = 0; i < SEQUENCER_PULLS_MAX; i++) {
        struct sequencer_pull *p = &s->pulls[i];
        if (!p->pull || !pull_take(p->pull, &f->part, now))
            continue;
        size_t len;
        const uint8_t *whole = pull_complete(p->pull, &len);
        if (whole)
            return end_offer(s, p, whole, len, wall, now);
        sequencer_pull_on(s, now);
        return 0;
    }
    return 0;
}

/* ---- Serving: all of it, since our node's state serves everybody else by what policy entitles them to. ---- */

static int fold_blob(struct sequencer *s, uint64_t to, uint8_t **out, size_t *len)
{
    struct fold *fold = NULL;
    int error = fold_new(&fold, s->crypto);
    for (uint64_t i = 0; !error && i <= to; i++) {
        const struct archive_entry *entry = &s->archive.entries[i];
        struct statement st;
        error = statement_decode(s->crypto, &st, entry->bytes, entry->len);
        if (!error)
            error = fold_apply_trusted(fold, &st, entry->time, VERDICT_STANDS);
    }
    int64_t size = error ? error : fold_save(fold, NULL, 0);
    *out = size > 0 ? malloc((size_t)size) : NULL;
    if (*out && fold_save(fold, *out, (size_t)size) == size)
        *len = (size_t)size;
    else
        error = ERROR_MEMORY;
    fold_free(fold);
    return error;
}

static int make_blob(struct sequencer *s, struct sequencer_blob *b)
{
    switch (b->what) {
    case SYNC_LEDGER:
        return archive_ledger_blob(&s->archive, b->from, b->to, &b->bytes, &b->len);
    case SYNC_OPENINGS:
        return archive_openings_blob(&s->archive, b->from, b->to, &b->bytes, &b->len);
    case SYNC_FOLD:
        return fold_blob(s, b->to, &b->bytes, &b->len);
    default:
        return ERROR_NOT_FOUND;
    }
}

/* What is asked for, kept for the gets that follow; NULL: it can't be had. */
static const struct sequencer_blob *blob_for(struct sequencer *s, const struct frame_get *get, uint64_t to)
{
    for (int i = 0; i < SEQUENCER_BLOBS_MAX; i++) {
        const struct sequencer_blob *b = &s->blobs[i];
        if (b->bytes && b->what == get->what && b->from == get->from && b->to == to)
            return b;
    }
    struct sequencer_blob *b = &s->blobs[s->next_blob];
    free(b->bytes);
    *b = (struct sequencer_blob){.what = get->what, .from = get->from, .to = to};
    if (make_blob(s, b)) {
        *b = (struct sequencer_blob){0};
        return NULL;
    }
    s->next_blob = (s->next_blob + 1) % SEQUENCER_BLOBS_MAX;
    return b;
}

static int serve(struct sequencer *s, const struct frame *f, uint64_t wall, uint64_t now)
{
    (void)wall;
    (void)now;
    uint64_t count = s->archive.entry_count;
    uint64_t to = f->get.to == UINT64_MAX && count ? count - 1 : f->get.to;
    const struct sequencer_blob *blob = to < count && f->get.from <= to ? blob_for(s, &f->get, to) : NULL;
    struct frame part = {.kind = FRAME_PART};
    bool served = blob ? serve_part(&f->get, to, blob->bytes, blob->len, &part.part)
                       : serve_part(&f->get, f->get.to, (const uint8_t *)"", 0, &part.part);
    if (served)
        sequencer_send(s, &part);
    return 0;
}

static int greet(struct sequencer *s, const struct frame *f, uint64_t wall, uint64_t now)
{
    (void)f;
    int error = s->has_head ? 0 : sequencer_sign(s, wall, now);
    sequencer_notify(s);
    return error;
}

typedef int take_frame(struct sequencer *s, const struct frame *f, uint64_t wall, uint64_t now);

static take_frame *const takers[] = {
    [FRAME_HELLO] = greet,          [FRAME_GET] = serve, [FRAME_PART] = take_part, [FRAME_JOIN] = take_join,
    [FRAME_STATEMENT] = take_offer,
};

int sequencer_frame(struct sequencer *s, const uint8_t *frame, size_t len, uint64_t wall, uint64_t now)
{
    struct frame f;
    if (frame_decode(&f, frame, len))
        return 0;
    take_frame *take = f.kind < sizeof(takers) / sizeof(takers[0]) ? takers[f.kind] : NULL;
    return take ? take(s, &f, wall, now) : 0;
}
