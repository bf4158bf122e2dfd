#include "ledger/archive.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64u

void archive_clear(struct archive *a)
{
    for (uint32_t i = 0; i < a->entry_count; i++)
        free(a->entries[i].bytes);
    for (uint32_t i = 0; i < a->opening_count; i++)
        free(a->openings[i].bytes);
    free(a->entries);
    free(a->openings);
    digest_map_clear(&a->by_hash);
    digest_map_clear(&a->by_commitment);
    *a = (struct archive){0};
}

/* Room for one more in an array of `capacity` items; returns the array, or NULL (the old one stays). */
static void *with_room(void *items, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    uint32_t wider = *capacity ? *capacity * 2 : CAPACITY_MIN;
    void *moved = reallocarray(items, wider, size);
    if (moved)
        *capacity = wider;
    return moved;
}

static uint8_t *copy_of(struct frame_view view)
{
    uint8_t *copy = malloc(view.len ? view.len : 1);
    if (copy && view.len)
        memcpy(copy, view.bytes, view.len);
    return copy;
}

int archive_add(struct archive *a, uint64_t time, const uint8_t hash[SHA256_SIZE], struct frame_view statement)
{
    void *entries = with_room(a->entries, a->entry_count, &a->entry_capacity, sizeof(*a->entries));
    if (!entries)
        return ERROR_MEMORY;
    a->entries = entries;
    if (digest_map_reserve(&a->by_hash))
        return ERROR_MEMORY;
    uint8_t *bytes = copy_of(statement);
    if (!bytes)
        return ERROR_MEMORY;
    a->entries[a->entry_count] = (struct archive_entry){time, bytes, statement.len};
    digest_map_put(&a->by_hash, hash, a->entry_count++);
    return 0;
}

int archive_add_opening(struct archive *a, uint64_t index, const uint8_t commitment[SHA256_SIZE],
                        struct frame_view bytes)
{
    if (digest_map_get(&a->by_commitment, commitment) != DIGEST_MAP_NONE)
        return 0;
    void *openings = with_room(a->openings, a->opening_count, &a->opening_capacity, sizeof(*a->openings));
    if (!openings)
        return ERROR_MEMORY;
    a->openings = openings;
    if (digest_map_reserve(&a->by_commitment))
        return ERROR_MEMORY;
    uint8_t *copy = copy_of(bytes);
    if (!copy)
        return ERROR_MEMORY;
    a->openings[a->opening_count] = (struct archive_opening){index, copy, bytes.len};
    digest_map_put(&a->by_commitment, commitment, a->opening_count++);
    return 0;
}

uint64_t archive_find(const struct archive *a, const uint8_t statement[SHA256_SIZE])
{
    uint32_t found = digest_map_get(&a->by_hash, statement);
    return found == DIGEST_MAP_NONE ? ARCHIVE_NONE : found;
}

bool archive_opening(const struct archive *a, const uint8_t commitment[SHA256_SIZE], struct frame_view *out)
{
    uint32_t found = digest_map_get(&a->by_commitment, commitment);
    if (found == DIGEST_MAP_NONE)
        return false;
    *out = (struct frame_view){a->openings[found].bytes, a->openings[found].len};
    return true;
}

static int end_blob(struct blob_writer *w, uint8_t **out, size_t *len)
{
    if (w->error) {
        free(w->bytes);
        return w->error;
    }
    *out = w->bytes;
    *len = w->len;
    return 0;
}

int archive_ledger_blob(const struct archive *a, uint64_t from, uint64_t to, uint8_t **out, size_t *len)
{
    struct blob_writer w = {0};
    blob_begin(&w, to - from + 1);
    for (uint64_t i = from; i <= to; i++)
        blob_put_entry(&w, a->entries[i].time, (struct frame_view){a->entries[i].bytes, a->entries[i].len});
    return end_blob(&w, out, len);
}

static bool within(const struct archive_opening *o, uint64_t from, uint64_t to)
{
    return o->index >= from && o->index <= to;
}

int archive_openings_blob(const struct archive *a, uint64_t from, uint64_t to, uint8_t **out, size_t *len)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < a->opening_count; i++)
        count += within(&a->openings[i], from, to);
    struct blob_writer w = {0};
    blob_begin(&w, count);
    for (uint32_t i = 0; i < a->opening_count; i++)
        if (within(&a->openings[i], from, to))
            blob_put_opening(&w, (struct frame_view){a->openings[i].bytes, a->openings[i].len});
    return end_blob(&w, out, len);
}
