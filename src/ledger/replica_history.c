#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

void replica_history_cut(struct history *h, uint64_t index)
{
    while (h->count > 0 && h->first + h->count > index) {
        struct entry *last = &h->entries[--h->count];
        h->bytes -= last->len;
        free(last->bytes);
    }
}

void replica_history_clear(struct history *h)
{
    replica_history_cut(h, 0);
    free(h->entries);
    free(h->base);
    *h = (struct history){0};
}

uint64_t replica_history_end(const struct history *h)
{
    return h->first + h->count;
}

const struct entry *replica_history_at(const struct history *h, uint64_t index)
{
    return index >= h->first && index < replica_history_end(h) ? &h->entries[index - h->first] : NULL;
}

/* From the latest on: what is looked for has come lately. */
const struct entry *replica_history_find(const struct history *h, const uint8_t statement[SHA256_SIZE], uint64_t *index)
{
    for (uint32_t i = h->count; i-- > 0;)
        if (memcmp(h->entries[i].hash, statement, SHA256_SIZE) == 0) {
            *index = h->first + i;
            return &h->entries[i];
        }
    return NULL;
}

static int make_room(struct history *h)
{
    if (h->count < h->capacity)
        return 0;
    uint32_t capacity = h->capacity ? 2 * h->capacity : 64;
    struct entry *entries = realloc(h->entries, capacity * sizeof(*entries));
    if (!entries)
        return ERROR_MEMORY;
    h->entries = entries;
    h->capacity = capacity;
    return 0;
}

int replica_history_append(struct history *h, const struct statement *s, const struct head *head,
                           enum fold_verdict verdict)
{
    uint8_t *bytes = malloc(s->len);
    if (!bytes || make_room(h)) {
        free(bytes);
        return ERROR_MEMORY;
    }
    memcpy(bytes, s->bytes, s->len);
    struct entry *e = &h->entries[h->count++];
    *e = (struct entry){.time = head->time, .verdict = verdict, .kind = s->kind, .bytes = bytes, .len = s->len};
    memcpy(e->head, head->hash, SHA256_SIZE);
    memcpy(e->hash, s->hash, SHA256_SIZE);
    h->bytes += s->len;
    return 0;
}

static int apply_kept(struct fold *f, struct crypto *c, const struct entry *e)
{
    struct statement s = {0};
    if (e->verdict == VERDICT_STANDS) {
        int error = statement_decode(c, &s, e->bytes, e->len);
        if (error)
            return error;
    }
    memcpy(s.hash, e->hash, SHA256_SIZE); /* of a void entry it is all that counts */
    return fold_apply_trusted(f, &s, e->time, e->verdict);
}

int replica_history_fold(const struct history *h, struct crypto *c, uint64_t index, struct fold **out)
{
    if (index >= replica_history_end(h) || index + 1 < h->first)
        return ERROR_NOT_FOUND;
    struct fold *f;
    int error = h->base ? fold_load(&f, c, h->base, h->base_len) : fold_new(&f, c);
    if (error)
        return error;
    for (uint64_t i = h->first; !error && i <= index; i++)
        error = apply_kept(f, c, &h->entries[i - h->first]);
    if (error)
        fold_free(f);
    else
        *out = f;
    return error;
}
