/* revoke, isolate and uninvite count the moment that a node holds them, from whoever brings them. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

static bool takes_away(enum statement_kind kind)
{
    return kind == STATEMENT_REVOKE || kind == STATEMENT_ISOLATE || kind == STATEMENT_UNINVITE;
}

static bool is_held(const struct replica *r, const uint8_t hash[SHA256_SIZE])
{
    uint64_t index;
    for (uint32_t i = 0; i < r->take_away_count; i++)
        if (memcmp(r->take_aways[i]->hash, hash, SHA256_SIZE) == 0)
            return true;
    return replica_history_find(&r->history, hash, &index) != NULL;
}

static bool hold(struct replica *r, const struct statement *s)
{
    if (r->take_away_count == HELD_TAKE_AWAYS_MAX)
        return false;
    struct held_take_away *t = calloc(1, sizeof(*t));
    uint8_t *bytes = malloc(s->len);
    if (!t || !bytes) {
        free(t);
        free(bytes);
        return false;
    }
    memcpy(bytes, s->bytes, s->len);
    memcpy(t->hash, s->hash, SHA256_SIZE);
    t->bytes = bytes;
    t->len = s->len;
    r->take_aways[r->take_away_count++] = t;
    return true;
}

/* As the submission that it is, to one device. */
static void tell(struct replica *r, const uint8_t *bytes, size_t len, const struct device_id *to)
{
    struct blob_writer w = {0};
    uint8_t hash[SHA256_SIZE];
    blob_begin_submission(&w, (struct frame_view){bytes, len}, 0);
    if (!w.error && w.len <= FRAME_INLINE_MAX && crypto_sha256(r->c, hash, w.bytes, w.len) == 0)
        replica_offer_send(r, to, hash, w.bytes, w.len);
    free(w.bytes);
}

void replica_spread(struct replica *r, const uint8_t *bytes, size_t len, const struct device_id *from)
{
    for (uint32_t i = 0; i < r->links.count; i++)
        if (!from || !device_id_equal(&r->links.ids[i], from))
            tell(r, bytes, len, &r->links.ids[i]);
}

void replica_take_aways_tell(struct replica *r, const struct device_id *to)
{
    for (uint32_t i = 0; i < r->take_away_count; i++)
        tell(r, r->take_aways[i]->bytes, r->take_aways[i]->len, to);
}

/* Whether it counts. What is void costs its sender, and no more than a few signatures a second are looked at. */
static bool counts(struct replica *r, const struct statement *s, const struct device_id *from)
{
    enum fold_verdict verdict;
    if (r->take_away_count == HELD_TAKE_AWAYS_MAX || (from && !replica_within_voids(r, from)))
        return false;
    if (fold_take_away(r->fold, s, &verdict))
        return false;
    if (from && verdict != VERDICT_STANDS)
        replica_count_void(r, from);
    return verdict == VERDICT_STANDS;
}

bool replica_take_away_take(struct replica *r, const uint8_t *bytes, size_t len, bool keep,
                            const struct device_id *from)
{
    struct statement s;
    if (!r->fold || statement_decode(r->c, &s, bytes, len) || !takes_away(s.kind) || is_held(r, s.hash) ||
        !counts(r, &s, from))
        return false;
    if (hold(r, &s) && keep)
        r->ops->keep_take_away(r->ops->context, s.hash, bytes, len);
    if (keep)
        replica_spread(r, bytes, len, from);
    r->dirty = true;
    return true;
}

bool replica_take_away_came(const struct replica *r, uint64_t begin)
{
    for (uint64_t i = begin; i < replica_history_end(&r->history); i++) {
        const struct entry *e = replica_history_at(&r->history, i);
        if (e->verdict == VERDICT_STANDS && takes_away(e->kind))
            return true;
    }
    return false;
}

static bool isolates(struct replica *r, const struct entry *e, const struct fold_device *d)
{
    struct statement s;
    return e->kind == STATEMENT_ISOLATE && e->verdict == VERDICT_STANDS &&
           statement_decode(r->c, &s, e->bytes, e->len) == 0 && memcmp(s.about.invite, d->invite, SHA256_SIZE) == 0;
}

bool replica_isolation_came(struct replica *r, uint64_t begin)
{
    uint32_t self;
    if (!replica_self_position(r, &self))
        return false;
    for (uint64_t i = begin; i < replica_history_end(&r->history); i++)
        if (isolates(r, replica_history_at(&r->history, i), fold_device_at(r->fold, self)))
            return true;
    return false;
}

static void forget(struct replica *r, uint32_t i)
{
    free(r->take_aways[i]->bytes);
    free(r->take_aways[i]);
    r->take_aways[i] = r->take_aways[--r->take_away_count];
}

void replica_take_aways_look(struct replica *r)
{
    uint64_t index;
    for (uint32_t i = r->take_away_count; i-- > 0;)
        if (replica_history_find(&r->history, r->take_aways[i]->hash, &index))
            forget(r, i);
}

void replica_take_aways_again(struct replica *r)
{
    struct statement s;
    enum fold_verdict verdict;
    for (uint32_t i = 0; i < r->take_away_count; i++)
        if (!statement_decode(r->c, &s, r->take_aways[i]->bytes, r->take_aways[i]->len))
            (void)!fold_take_away(r->fold, &s, &verdict);
}

void replica_take_aways_clear(struct replica *r)
{
    while (r->take_away_count > 0)
        forget(r, 0);
}
