#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ledger/sequencer_internal.h"

int sequencer_new(struct sequencer **out, struct crypto *c, const struct sequencer_ops *ops,
                  const uint8_t seed[ED25519_SEED_SIZE])
{
    struct sequencer *s = calloc(1, sizeof(*s));
    if (!s)
        return ERROR_MEMORY;
    s->crypto = c;
    s->ops = *ops;
    memcpy(s->seed, seed, sizeof(s->seed));
    int error = crypto_ed25519_public(c, s->key, seed);
    if (!error)
        error = fold_new(&s->fold, c);
    if (error) {
        sequencer_free(s);
        return error;
    }
    *out = s;
    return 0;
}

void sequencer_free(struct sequencer *s)
{
    if (!s)
        return;
    for (int i = 0; i < SEQUENCER_PULLS_MAX; i++)
        if (s->pulls[i].pull)
            pull_free(s->pulls[i].pull);
    for (int i = 0; i < SEQUENCER_BLOBS_MAX; i++)
        free(s->blobs[i].bytes);
    if (s->fold)
        fold_free(s->fold);
    archive_clear(&s->archive);
    free(s->claims);
    wipe(s->seed, sizeof(s->seed));
    free(s);
}

const struct fold *sequencer_fold(const struct sequencer *s)
{
    return s->fold;
}

bool sequencer_is_entitled(const struct sequencer *s)
{
    return s->archive.entry_count > 0 && !s->replaced && fold_sequences(s->fold, s->key);
}

/* ---- Entries ---- */

static void claim_of(struct sequencer *s, const struct fold_device *d, struct sequencer_claim *out)
{
    struct frame_view bytes;
    struct opening o;
    *out = (struct sequencer_claim){0};
    if (!archive_opening(&s->archive, d->terms.commitment, &bytes) || opening_decode(&o, bytes.bytes, bytes.len))
        return;
    if (o.kind == OPENING_INVITE) {
        memcpy(out->name, o.invite.name, sizeof(out->name));
        out->has_ipv4 = o.invite.has_ipv4;
        memcpy(out->ipv4, o.invite.ipv4, sizeof(out->ipv4));
    }
    opening_clear(&o);
}

/* Keeps the claims beside the fold's devices, which only ever become more. */
static int note_claims(struct sequencer *s)
{
    uint32_t count = fold_device_count(s->fold);
    if (count > s->claim_capacity) {
        uint32_t wider = s->claim_capacity * 2 > count ? s->claim_capacity * 2 : count + 16;
        void *claims = reallocarray(s->claims, wider, sizeof(*s->claims));
        if (!claims)
            return ERROR_MEMORY;
        s->claims = claims;
        s->claim_capacity = wider;
    }
    for (; s->claim_count < count; s->claim_count++)
        claim_of(s, fold_device_at(s->fold, s->claim_count), &s->claims[s->claim_count]);
    return 0;
}

/* Into memory, after it was kept. */
static int take_in(struct sequencer *s, const struct statement *st, const struct sequencer_entry *entry)
{
    for (uint32_t i = 0; i < entry->opening_count; i++)
        if (archive_add_opening(&s->archive, entry->index, entry->openings[i].commitment, entry->openings[i].bytes))
            return ERROR_MEMORY;
    if (archive_add(&s->archive, entry->time, st->hash, entry->statement))
        return ERROR_MEMORY;
    /* It was judged by this very program: no signature is verified again. */
    int error = fold_apply_trusted(s->fold, st, entry->time, VERDICT_STANDS);
    return error ? error : note_claims(s);
}

static int head_behind(struct sequencer *s, const struct statement *st, uint64_t time, uint8_t out[SHA256_SIZE])
{
    if (s->archive.entry_count == 0) {
        memcpy(out, st->hash, SHA256_SIZE);
        return 0;
    }
    struct head head = *fold_head(s->fold);
    int error = head_extend(s->crypto, &head, time, st->hash);
    memcpy(out, head.hash, SHA256_SIZE);
    return error;
}

int sequencer_append(struct sequencer *s, const struct statement *st, uint64_t time,
                     const struct sequencer_opening *kept, uint32_t kept_count)
{
    struct sequencer_entry entry = {
        .index = s->archive.entry_count,
        .time = time,
        .statement = {st->bytes, st->len},
        .openings = kept,
        .opening_count = kept_count,
    };
    memcpy(entry.hash, st->hash, SHA256_SIZE);
    if (head_behind(s, st, time, entry.head) || s->ops.store(s->ops.context, &entry))
        return ERROR_IO;
    return take_in(s, st, &entry) ? ERROR_MEMORY : 0;
}

int sequencer_restore(struct sequencer *s, const struct sequencer_entry *entry)
{
    struct statement st;
    uint8_t head[SHA256_SIZE];
    if (entry->index != s->archive.entry_count ||
        statement_decode(s->crypto, &st, entry->statement.bytes, entry->statement.len) ||
        memcmp(st.hash, entry->hash, SHA256_SIZE) != 0 || head_behind(s, &st, entry->time, head) ||
        memcmp(head, entry->head, SHA256_SIZE) != 0)
        return ERROR_MALFORMED;
    return take_in(s, &st, entry);
}

/* ---- Founding ---- */

int sequencer_read_openings(struct crypto *c, struct blob_reader *from, struct sequencer_opening **out, uint32_t *count)
{
    struct frame_view view;
    *count = 0;
    *out = calloc(from->left ? from->left : 1, sizeof(**out));
    if (!*out)
        return ERROR_MEMORY;
    while (blob_next_opening(from, &view)) {
        struct sequencer_opening *o = &(*out)[(*count)++];
        o->bytes = view;
        if (opening_commitment(c, o->commitment, view.bytes, view.len)) {
            free(*out);
            return ERROR_CRYPTO;
        }
    }
    return 0;
}

/* A root that replaces sequencers has its own time, so that its place is the same whoever brings it. */
static int judge_and_append(struct sequencer *s, const struct statement *st, uint64_t time,
                            const struct sequencer_submission *from, enum fold_verdict *verdict)
{
    if (st->kind == STATEMENT_ROOT && st->root.replaces)
        time = st->root.time;
    uint32_t max = sequencer_openings_max(st), count = 0;
    struct sequencer_opening *kept = calloc(max ? max : 1, sizeof(*kept));
    if (!kept)
        return ERROR_MEMORY;
    *verdict = sequencer_judge(s, st, time, from, kept, &count);
    int error = *verdict == VERDICT_STANDS ? sequencer_append(s, st, time, kept, count) : 0;
    free(kept);
    return error;
}

static int found_one(struct sequencer *s, uint64_t index, uint64_t time, const struct sequencer_submission *from,
                     enum fold_verdict *verdict)
{
    struct statement st;
    *verdict = VERDICT_MALFORMED;
    if (statement_decode(s->crypto, &st, from->statement.bytes, from->statement.len))
        return 0;
    if (index >= s->archive.entry_count)
        return judge_and_append(s, &st, time, from, verdict);
    *verdict = archive_find(&s->archive, st.hash) == index ? VERDICT_STANDS : VERDICT_WRONG_PLACE;
    return 0;
}

int sequencer_found(struct sequencer *s, struct blob_reader entries, struct blob_reader openings,
                    enum fold_verdict *verdict)
{
    struct sequencer_opening *held;
    struct sequencer_submission from = {0};
    uint64_t index = 0, time;
    int error = sequencer_read_openings(s->crypto, &openings, &held, &from.opening_count);
    if (error)
        return error;
    from.openings = held;
    *verdict = VERDICT_STANDS;
    while (!error && *verdict == VERDICT_STANDS && blob_next_entry(&entries, &time, &from.statement))
        error = found_one(s, index++, time, &from, verdict);
    free(held);
    if (!error && *verdict == VERDICT_STANDS && !sequencer_is_entitled(s))
        *verdict = VERDICT_NOT_ENTITLED;
    return error;
}

/* ---- What is handed in ---- */

/* Never before the last entry, nor before a time that was signed. */
static uint64_t time_of_next(const struct sequencer *s, uint64_t wall)
{
    uint64_t last = fold_head(s->fold)->time;
    uint64_t floor = last > s->signed_time ? last : s->signed_time;
    return wall > floor ? wall : floor;
}

static int submit_new(struct sequencer *s, const struct statement *st, const struct sequencer_submission *what,
                      uint64_t wall, struct sequencer_outcome *out)
{
    int error = judge_and_append(s, st, time_of_next(s, wall), what, &out->verdict);
    /* It counts without us, and what we signed behind the place where it continues is void. */
    if (out->verdict == VERDICT_WRONG_PLACE && fold_replaces(s->fold, st))
        s->replaced = true;
    if (error == ERROR_IO)
        out->verdict = VERDICT_STORE;
    const struct fold_device *joined =
        st->kind == STATEMENT_JOIN ? fold_device_by_invite(s->fold, st->join.invite) : NULL;
    if (out->verdict == VERDICT_STANDS)
        out->index = s->archive.entry_count - 1;
    else if (out->verdict == VERDICT_ALREADY && joined)
        out->index = joined->joined_at;
    return error == ERROR_IO ? 0 : error;
}

int sequencer_submit(struct sequencer *s, const struct sequencer_submission *what, uint64_t wall,
                     struct sequencer_outcome *out)
{
    struct statement st;
    *out = (struct sequencer_outcome){.verdict = VERDICT_MALFORMED};
    if (statement_decode(s->crypto, &st, what->statement.bytes, what->statement.len))
        return crypto_sha256(s->crypto, out->statement, what->statement.bytes, what->statement.len);
    memcpy(out->statement, st.hash, SHA256_SIZE);
    uint64_t found = archive_find(&s->archive, st.hash);
    if (found == ARCHIVE_NONE && !sequencer_is_entitled(s)) {
        out->verdict = VERDICT_STORE;
        return 0;
    }
    if (found == ARCHIVE_NONE)
        return submit_new(s, &st, what, wall, out);
    out->verdict = VERDICT_ALREADY;
    out->index = found;
    return 0;
}

/* ---- Heads ---- */

int sequencer_sign(struct sequencer *s, uint64_t wall, uint64_t now)
{
    s->next_head = now + SEQUENCER_HEAD_INTERVAL;
    s->has_head = sequencer_is_entitled(s);
    if (!s->has_head)
        return 0;
    struct signed_head head = {.head = *fold_head(s->fold)};
    head.head.time = time_of_next(s, wall);
    fold_root(s->fold, head.fold_root);
    int error = signed_head_sign(s->crypto, &head, fold_network(s->fold), s->seed);
    if (error)
        return error;
    signed_head_encode(&head, s->head);
    s->signed_time = head.head.time;
    return 0;
}

void sequencer_notify(struct sequencer *s)
{
    if (!s->has_head || !sequencer_is_entitled(s))
        return;
    struct frame notice = {.kind = FRAME_NOTICE, .notice.head = {s->head, sizeof(s->head)}};
    sequencer_send(s, &notice);
}

int sequencer_timer(struct sequencer *s, uint64_t wall, uint64_t now)
{
    sequencer_pull_on(s, now);
    if (now < s->next_head)
        return 0;
    int error = sequencer_sign(s, wall, now);
    if (!error)
        sequencer_notify(s);
    return error;
}

uint64_t sequencer_deadline(const struct sequencer *s)
{
    uint64_t pulls = sequencer_pull_deadline(s);
    return pulls < s->next_head ? pulls : s->next_head;
}
