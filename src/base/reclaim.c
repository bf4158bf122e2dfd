#include "base/reclaim.h"

#include <stdbool.h>
#include <stdlib.h>

void reclaim_init(struct reclaim *r)
{
    *r = (struct reclaim){0};
}

/* The list is detached first: a release may retire more. */
static void release_all(struct reclaim_item **list)
{
    struct reclaim_item *item = *list;
    *list = NULL;
    while (item) {
        struct reclaim_item *next = item->next;
        item->release(item);
        item = next;
    }
}

void reclaim_clear(struct reclaim *r)
{
    while (r->waiting || r->open) {
        release_all(&r->waiting);
        release_all(&r->open);
    }
    reclaim_init(r);
}

/* What was retired before was unreachable before the reader's thread started: `seen` counts it as outside. */
void reclaim_add_reader(struct reclaim *r, struct reclaim_reader *reader)
{
    if (r->reader_count == RECLAIM_READERS_MAX)
        abort();
    atomic_init(&reader->phase, 0);
    r->seen[r->reader_count] = 0;
    r->readers[r->reader_count++] = reader;
}

void reclaim_remove_reader(struct reclaim *r, struct reclaim_reader *reader)
{
    for (uint32_t i = 0; i < r->reader_count; i++) {
        if (r->readers[i] != reader)
            continue;
        r->reader_count--;
        r->readers[i] = r->readers[r->reader_count];
        r->seen[i] = r->seen[r->reader_count];
        return;
    }
}

void reclaim_retire(struct reclaim *r, struct reclaim_item *item, void (*release)(struct reclaim_item *item))
{
    item->release = release;
    item->next = r->open;
    r->open = item;
}

/* A read-modify-write that changes nothing takes its place in the order of all changes to the phase. An enter before
 * it is seen here; an enter after it acquires what the writer did before it, so that reader finds the object gone. */
static uint64_t phase_of(struct reclaim_reader *reader)
{
    return atomic_fetch_add_explicit(&reader->phase, 0, memory_order_acq_rel);
}

static void close_generation(struct reclaim *r)
{
    r->waiting = r->open;
    r->open = NULL;
    for (uint32_t i = 0; i < r->reader_count; i++)
        r->seen[i] = phase_of(r->readers[i]);
}

static bool moved_on(const struct reclaim *r, uint32_t i)
{
    bool was_inside = r->seen[i] & 1;
    return !was_inside || phase_of(r->readers[i]) != r->seen[i];
}

static bool all_moved_on(const struct reclaim *r)
{
    for (uint32_t i = 0; i < r->reader_count; i++)
        if (!moved_on(r, i))
            return false;
    return true;
}

void reclaim_collect(struct reclaim *r)
{
    while (r->waiting || r->open) {
        if (!r->waiting)
            close_generation(r);
        if (!all_moved_on(r))
            return;
        release_all(&r->waiting);
    }
}
