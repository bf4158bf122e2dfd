/* Taking entries in: first the chain, which the sequencer's signature stands for, then each statement's own right. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define COMPACT_BYTES (4u << 20)

/* Where the chain stands before entry `from`; false: not known here. */
static bool chain_before(const struct replica *r, uint64_t from, struct head *out)
{
    const struct head *now = fold_head(r->fold);
    *out = (struct head){.index = from - 1};
    if (from == 0)
        return true;
    if (now->index == from - 1) {
        *out = *now;
        return true;
    }
    const struct entry *e = replica_history_at(&r->history, from - 1);
    if (e)
        memcpy(out->hash, e->head, SHA256_SIZE);
    return e != NULL;
}

/* head(0) is the first root's hash. */
static int extend(struct crypto *c, struct head *head, uint64_t time, struct frame_view statement)
{
    uint8_t hash[SHA256_SIZE];
    int error = crypto_sha256(c, hash, statement.bytes, statement.len);
    if (error || head->index != UINT64_MAX)
        return error ? error : head_extend(c, head, time, hash);
    *head = (struct head){.time = time};
    memcpy(head->hash, hash, SHA256_SIZE);
    return 0;
}

/* Whether the entries lead from `start` to the target's hash. */
static bool is_chained(struct crypto *c, struct blob_reader reader, struct head start, const struct head *target)
{
    uint64_t time, last = 0;
    struct frame_view statement;
    if (reader.left != target->index - start.index)
        return false;
    while (blob_next_entry(&reader, &time, &statement)) {
        if (time < last || extend(c, &start, time, statement))
            return false;
        last = time;
    }
    return memcmp(start.hash, target->hash, SHA256_SIZE) == 0;
}

/* Bytes that are no statement take their place and change nothing. */
static int read_entry(struct crypto *c, struct statement *s, struct frame_view bytes, bool *is_statement)
{
    *is_statement = statement_decode(c, s, bytes.bytes, bytes.len) == 0;
    if (*is_statement)
        return 0;
    *s = (struct statement){.bytes = bytes.bytes, .len = bytes.len};
    return crypto_sha256(c, s->hash, bytes.bytes, bytes.len);
}

int replica_apply_entry(struct replica *r, uint64_t time, struct frame_view bytes)
{
    struct statement s;
    bool is_statement;
    enum fold_verdict verdict = VERDICT_MALFORMED;
    int error = read_entry(r->c, &s, bytes, &is_statement);
    if (!error)
        error = is_statement ? fold_apply(r->fold, &s, time, &verdict)
                             : fold_apply_trusted(r->fold, &s, time, VERDICT_MALFORMED);
    return error ? error : replica_history_append(&r->history, &s, fold_head(r->fold), verdict);
}

int replica_apply_kept(struct replica *r, uint64_t time, enum fold_verdict verdict, struct frame_view bytes)
{
    struct statement s;
    bool is_statement;
    int error = read_entry(r->c, &s, bytes, &is_statement);
    if (error || (!is_statement && verdict == VERDICT_STANDS))
        return error ? error : ERROR_MALFORMED;
    error = fold_apply_trusted(r->fold, &s, time, verdict);
    return error ? error : replica_history_append(&r->history, &s, fold_head(r->fold), verdict);
}

void replica_fold_replaced(struct replica *r, struct fold *fold)
{
    uint32_t count = fold_device_count(fold);
    for (uint32_t i = count; i < r->known_count; i++) {
        struct device_id id = fold_device_at(r->fold, i)->id, invite = replica_invite_id(&id);
        if (r->known[i].published & 1)
            r->ops->gone(r->ops->context, &id);
        if (r->known[i].published & 2)
            r->ops->gone(r->ops->context, &invite);
        free(r->known[i].subjects);
    }
    fold_free(r->fold);
    r->fold = fold;
    if (r->known_count > count)
        r->known_count = count;
    /* Joins may be others now. */
    for (uint32_t i = 0; i < r->known_count; i++) {
        r->known[i].has_ipv6 = r->known[i].seen = false;
        r->known[i].joined_since = 0;
    }
    free(r->places);
    r->places = NULL;
    r->place_count = 0;
    replica_take_aways_again(r);
    r->dirty = true;
}

/* Back to where we were: the fold of the entries that stood before. */
static void go_back(struct replica *r, uint64_t end)
{
    struct fold *fold;
    if (replica_history_fold(&r->history, r->c, end - 1, &fold))
        return; /* without memory for it, what is here stays; the next root will differ again */
    replica_history_cut(&r->history, end);
    replica_fold_replaced(r, fold);
}

/* The joiner's floor is in the middle of what it pulled. */
bool replica_passes_floor(const struct replica *r)
{
    const struct ticket *t = r->joining.ticket;
    const struct head *head = fold_head(r->fold);
    uint8_t root[SHA256_SIZE];
    if (!t || t->founding || head->index != t->head_index)
        return true;
    fold_root(r->fold, root);
    return memcmp(head->hash, t->head_hash, SHA256_SIZE) == 0 && memcmp(root, t->fold_root, SHA256_SIZE) == 0;
}

static bool apply_all(struct replica *r, struct blob_reader reader, const struct signed_head *target)
{
    uint64_t time;
    struct frame_view statement;
    uint8_t root[SHA256_SIZE];
    while (blob_next_entry(&reader, &time, &statement))
        if (replica_apply_entry(r, time, statement) || !replica_passes_floor(r))
            return false;
    fold_root(r->fold, root);
    return fold_sequences(r->fold, target->sequencer) && memcmp(root, target->fold_root, SHA256_SIZE) == 0;
}

/* What of the openings is to be asked for anew. A plain member may learn from a policy, a root or a restoration about
 * devices that were there long before; who may know everything has all that came earlier. */
static void want_what_changed(struct replica *r, uint64_t begin)
{
    bool devices = false, views = false;
    for (uint64_t i = begin; i < replica_history_end(&r->history); i++) {
        const struct entry *e = replica_history_at(&r->history, i);
        if (e->verdict != VERDICT_STANDS)
            continue;
        devices = devices || e->kind == STATEMENT_INVITE || e->kind == STATEMENT_JOIN;
        views = views || e->kind == STATEMENT_POLICY || e->kind == STATEMENT_ROOT || e->kind == STATEMENT_RESTORE;
    }
    if (replica_self_is_full(r) ? devices || views : devices && !views)
        replica_want_openings(r, r->follow.openings_at + 1);
    else if (views)
        replica_want_openings(r, 0);
}

/* An honest sequencer refuses what would be void. */
static void alarm_of_void_entries(struct replica *r, uint64_t begin)
{
    for (uint64_t i = begin; i < replica_history_end(&r->history); i++)
        if (replica_history_at(&r->history, i)->verdict != VERDICT_STANDS)
            replica_problem_set(r, REPLICA_PROBLEM_VOID_ENTRIES, NULL, NULL, true);
}

void replica_keep_entries(struct replica *r, uint64_t begin)
{
    for (uint64_t i = begin; i < replica_history_end(&r->history); i++) {
        const struct entry *e = replica_history_at(&r->history, i);
        r->ops->keep_entry(r->ops->context, i, e->time, e->verdict, e->bytes, e->len);
    }
}

/* A plain member's log ends where a fold says the same in half the space. */
static void compact(struct replica *r)
{
    if (r->history.bytes < COMPACT_BYTES || replica_self_is_full(r) || r->joining.ticket)
        return;
    int64_t len = fold_save(r->fold, NULL, 0);
    if (len < 0 || 2 * (uint64_t)len > r->history.bytes)
        return;
    uint8_t *base = malloc((size_t)len);
    if (!base)
        return;
    if (fold_save(r->fold, base, (size_t)len) != len) {
        free(base);
        return;
    }
    uint64_t end = replica_history_end(&r->history);
    replica_history_clear(&r->history);
    r->history = (struct history){.first = end, .base = base, .base_len = (size_t)len};
    r->ops->keep_base(r->ops->context, base, (size_t)len);
}

static enum advance_result take_in(struct replica *r, struct blob_reader reader, const struct signed_head *target)
{
    uint64_t begin = replica_history_end(&r->history);
    if (!apply_all(r, reader, target)) {
        go_back(r, begin);
        return ADVANCE_STUCK;
    }
    replica_keep_entries(r, begin);
    alarm_of_void_entries(r, begin);
    replica_adopt_head(r, target);
    replica_take_aways_look(r);
    if (!r->self.relay && replica_take_away_came(r, begin)) /* somebody here may have no relay that tells it */
        replica_notify_all(r);
    if (replica_isolation_came(r, begin))
        replica_publish_anew(r);
    want_what_changed(r, begin);
    compact(r);
    r->dirty = true;
    return ADVANCE_DONE;
}

enum advance_result replica_advance(struct replica *r, const uint8_t *blob, size_t len, uint64_t from, bool widened,
                                    const struct signed_head *target)
{
    struct blob_reader reader;
    struct head start;
    if (len == 0 || blob_read_entries(&reader, blob, len))
        return ADVANCE_BAD;
    if (!widened && from != replica_history_end(&r->history))
        return ADVANCE_DONE; /* something else has moved us meanwhile: the next head tells */
    if (!chain_before(r, from, &start))
        return ADVANCE_BAD;
    bool chained = is_chained(r->c, reader, start, &target->head);
    if (widened)
        return chained ? ADVANCE_SPLIT : ADVANCE_BAD;
    return chained ? take_in(r, reader, target) : ADVANCE_PARTED;
}
