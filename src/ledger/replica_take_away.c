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
    return history_find(&r->history, hash, &index) != NULL;
}

static bool hold(struct replica *r, const struct statement *s)
{
    if (r->take_away_count == TAKE_AWAYS_MAX)
        return false;
    struct take_away *t = calloc(1, sizeof(*t));
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

bool take_away_take(struct replica *r, const uint8_t *bytes, size_t len, bool keep)
{
    struct statement s;
    enum fold_verdict verdict;
    if (!r->fold || statement_decode(r->c, &s, bytes, len) || !takes_away(s.kind) || is_held(r, s.hash))
        return false;
    if (r->take_away_count == TAKE_AWAYS_MAX || fold_take_away(r->fold, &s, &verdict) || verdict != VERDICT_STANDS)
        return false;
    if (hold(r, &s) && keep)
        r->ops->keep_take_away(r->ops->context, s.hash, bytes, len);
    r->dirty = true;
    return true;
}

static void forget(struct replica *r, uint32_t i)
{
    free(r->take_aways[i]->bytes);
    free(r->take_aways[i]);
    r->take_aways[i] = r->take_aways[--r->take_away_count];
}

void take_aways_look(struct replica *r)
{
    uint64_t index;
    for (uint32_t i = r->take_away_count; i-- > 0;)
        if (history_find(&r->history, r->take_aways[i]->hash, &index))
            forget(r, i);
}

void take_aways_again(struct replica *r)
{
    struct statement s;
    enum fold_verdict verdict;
    for (uint32_t i = 0; i < r->take_away_count; i++)
        if (!statement_decode(r->c, &s, r->take_aways[i]->bytes, r->take_aways[i]->len))
            (void)!fold_take_away(r->fold, &s, &verdict);
}

void take_aways_clear(struct replica *r)
{
    while (r->take_away_count > 0)
        forget(r, 0);
}
