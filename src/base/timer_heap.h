/* Timers as a binary heap over intrusive entries. Time is the caller's, in nanoseconds. */
#ifndef BASE_TIMER_HEAP_H
#define BASE_TIMER_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TIMER_NEVER UINT64_MAX
#define TIMER_DISARMED UINT32_MAX

/* Lives inside what it times. Initialise with timer_init; owned by the holder, who disarms it before freeing. */
struct timer {
    uint64_t deadline;
    uint32_t position; /* in the heap; TIMER_DISARMED when not in it */
};

struct timer_heap {
    struct timer **entries;
    uint32_t count;
    uint32_t capacity;
};

void timer_init(struct timer *timer);
void timer_heap_init(struct timer_heap *heap);
/* Frees the heap's array, not the timers. */
void timer_heap_clear(struct timer_heap *heap);

/* Room for `count` timers, so that timer_arm cannot fail for that many. */
must_check int timer_heap_reserve(struct timer_heap *heap, uint32_t count);
/* Arms, or moves, a timer. Needs room reserved: aborts otherwise, since that is the caller's error. */
void timer_arm(struct timer_heap *heap, struct timer *timer, uint64_t deadline);
void timer_disarm(struct timer_heap *heap, struct timer *timer);
/* The earliest deadline, or TIMER_NEVER. */
uint64_t timer_heap_deadline(const struct timer_heap *heap);
/* Takes out and returns the earliest timer whose deadline is <= now, or NULL. */
struct timer *timer_heap_expire(struct timer_heap *heap, uint64_t now);

#endif
