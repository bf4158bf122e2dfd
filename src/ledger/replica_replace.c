/* A root that replaces the sequencers counts unsequenced, from whoever brings it: it names the last entry that stands
 * and takes the next place, at the time that it states. What the old sequencer added later is void and handed in again;
 * what was taken away stays so. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

/* The fold at the place that the root continues, with the root in it; NULL: it does not follow. */
static struct fold *fold_with(const struct replica *r, const struct statement *s)
{
    const struct ledger_place *last = &s->root.last;
    struct fold *fold;
    uint8_t root[SHA256_SIZE];
    enum fold_verdict verdict = VERDICT_MALFORMED;
    if (replica_history_fold(&r->history, r->c, last->index, &fold))
        return NULL;
    fold_root(fold, root);
    bool good = memcmp(fold_head(fold)->hash, last->hash, SHA256_SIZE) == 0 &&
                memcmp(root, last->fold_root, SHA256_SIZE) == 0 && fold_apply(fold, s, s->root.time, &verdict) == 0 &&
                verdict == VERDICT_STANDS;
    if (good)
        return fold;
    fold_free(fold);
    return NULL;
}

/* What is cut off, as it was, until the new fold is in place. */
struct cut {
    struct cut_entry {
        uint8_t *bytes; /* owned */
        size_t len;
    } * entries;
    uint32_t count;
};

static bool remember_cut(const struct replica *r, uint64_t from, struct cut *out)
{
    *out = (struct cut){calloc(replica_history_end(&r->history) - from + 1, sizeof(*out->entries)), 0};
    for (uint64_t i = from; out->entries && i < replica_history_end(&r->history); i++) {
        const struct entry *e = replica_history_at(&r->history, i);
        uint8_t *copy = malloc(e->len + 1);
        if (!copy)
            break;
        memcpy(copy, e->bytes, e->len);
        out->entries[out->count++] = (struct cut_entry){copy, e->len};
    }
    return out->entries != NULL;
}

/* With its openings, which only those hold who may know everything. */
static void hand_in_again(struct replica *r, const uint8_t *bytes, size_t len, const uint8_t *root)
{
    struct statement s;
    if (statement_decode(r->c, &s, bytes, len) || memcmp(s.hash, root, SHA256_SIZE) == 0)
        return;
    (void)replica_take_away_take(r, bytes, len, true, NULL);
    struct blob_writer w = {0};
    if (replica_self_is_full(r) && replica_submission_of(r, &s, &w))
        (void)!replica_submission_keep(r, s.hash, w.bytes, w.len);
    free(w.bytes);
}

static void put_in_place(struct replica *r, struct fold *fold, const struct statement *s)
{
    replica_history_cut(&r->history, s->root.last.index + 1);
    replica_fold_replaced(r, fold);
    bool good = replica_history_append(&r->history, s, fold_head(fold), VERDICT_STANDS) == 0;
    r->follow.stuck = replica_known_refresh(r) || !good; /* without memory for it: no step further */
    r->has_signed = r->follow.has_better = false;
    replica_follow_drop(r);
    r->ops->keep_base(r->ops->context, r->history.base, r->history.base_len);
    replica_keep_entries(r, r->history.first);
    replica_want_openings(r, 0);
}

bool replica_replace_take(struct replica *r, const uint8_t *bytes, size_t len, const struct device_id *from)
{
    struct statement s;
    struct cut cut;
    if (!r->fold || statement_decode(r->c, &s, bytes, len) || !fold_replaces(r->fold, &s))
        return false;
    struct fold *fold = fold_with(r, &s);
    if (!fold)
        return false;
    if (!remember_cut(r, s.root.last.index + 1, &cut)) {
        fold_free(fold);
        return false;
    }
    put_in_place(r, fold, &s);
    for (uint32_t i = 0; i < cut.count; i++) {
        hand_in_again(r, cut.entries[i].bytes, cut.entries[i].len, s.hash);
        free(cut.entries[i].bytes);
    }
    free(cut.entries);
    replica_spread(r, bytes, len, from);
    r->dirty = true;
    return true;
}
