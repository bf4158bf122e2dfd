/* Grace periods: one writer replaces objects that readers may still be looking at, and frees the old ones once every
 * reader has passed a point where it held none. Readers never wait and never lock. (Quiescent-state-based reclamation,
 * as in McKenney's RCU.) */
#ifndef BASE_RECLAIM_H
#define BASE_RECLAIM_H

#include <stdatomic.h>
#include <stdint.h>

#define RECLAIM_READERS_MAX 8

/* One per reading thread. Odd while inside, even while outside. */
struct reclaim_reader {
    _Alignas(64) _Atomic uint64_t phase;
};

/* First field of every object that is retired. */
struct reclaim_item {
    struct reclaim_item *next;
    void (*release)(struct reclaim_item *item);
};

struct reclaim {
    struct reclaim_reader *readers[RECLAIM_READERS_MAX];
    uint64_t seen[RECLAIM_READERS_MAX]; /* phases at the time the waiting generation was closed */
    uint32_t reader_count;
    struct reclaim_item *open;    /* retired since the waiting generation was closed */
    struct reclaim_item *waiting; /* freed once every reader has moved on from `seen` */
};

void reclaim_init(struct reclaim *r);
/* Frees everything still retired; no reader may be inside. */
void reclaim_clear(struct reclaim *r);
/* Registers a reader before its thread starts. At most RECLAIM_READERS_MAX. */
void reclaim_add_reader(struct reclaim *r, struct reclaim_reader *reader);
/* Unregisters a reader whose thread has ended. */
void reclaim_remove_reader(struct reclaim *r, struct reclaim_reader *reader);

/* Around each batch. What was loaded inside must not be used outside. Read-modify-writes both, so that the writer's own
 * (see reclaim.c) is ordered against them without a fence, which TSan could not follow. */
static inline void reclaim_enter(struct reclaim_reader *reader)
{
    atomic_fetch_add_explicit(&reader->phase, 1, memory_order_acq_rel);
}
static inline void reclaim_leave(struct reclaim_reader *reader)
{
    atomic_fetch_add_explicit(&reader->phase, 1, memory_order_release);
}

/* Writer only: the object is unreachable for new readers; release(item) is called when no reader can hold it. */
void reclaim_retire(struct reclaim *r, struct reclaim_item *item, void (*release)(struct reclaim_item *item));
/* Writer only: frees what can be freed; never waits. Call now and then; with no readers it frees all at once. */
void reclaim_collect(struct reclaim *r);

#endif
