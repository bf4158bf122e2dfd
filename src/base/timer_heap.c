#include "base/timer_heap.h"

#include <stdlib.h>

void timer_init(struct timer *timer)
{
    *timer = (struct timer){.deadline = TIMER_NEVER, .position = TIMER_DISARMED};
}

void timer_heap_init(struct timer_heap *heap)
{
    *heap = (struct timer_heap){0};
}

void timer_heap_clear(struct timer_heap *heap)
{
    free(heap->entries);
    timer_heap_init(heap);
}

int timer_heap_reserve(struct timer_heap *heap, uint32_t count)
{
    if (count <= heap->capacity)
        return 0;
    /* Half as much again, so that reserving one by one costs a constant each. */
    uint64_t wanted = heap->capacity + (uint64_t)heap->capacity / 2;
    if (wanted < count)
        wanted = count;
    if (wanted > TIMER_DISARMED)
        wanted = TIMER_DISARMED;
    struct timer **entries = reallocarray(heap->entries, wanted, sizeof(*entries));
    if (!entries)
        return ERROR_MEMORY;
    heap->entries = entries;
    heap->capacity = (uint32_t)wanted;
    return 0;
}

static void place(struct timer_heap *heap, struct timer *timer, uint32_t position)
{
    heap->entries[position] = timer;
    timer->position = position;
}

/* Puts the timer at the hole or above it, wherever its deadline belongs. */
static void sift_up(struct timer_heap *heap, struct timer *timer, uint32_t hole)
{
    while (hole > 0) {
        uint32_t parent = (hole - 1) / 2;
        if (heap->entries[parent]->deadline <= timer->deadline)
            break;
        place(heap, heap->entries[parent], hole);
        hole = parent;
    }
    place(heap, timer, hole);
}

/* The position of the earlier child; `count` or beyond if there is none. */
static uint64_t earlier_child(const struct timer_heap *heap, uint32_t parent)
{
    uint64_t left = 2 * (uint64_t)parent + 1;
    if (left + 1 < heap->count && heap->entries[left + 1]->deadline < heap->entries[left]->deadline)
        return left + 1;
    return left;
}

/* Puts the timer at the hole or below it. */
static void sift_down(struct timer_heap *heap, struct timer *timer, uint32_t hole)
{
    for (;;) {
        uint64_t child = earlier_child(heap, hole);
        if (child >= heap->count || heap->entries[child]->deadline >= timer->deadline)
            break;
        place(heap, heap->entries[child], hole);
        hole = (uint32_t)child;
    }
    place(heap, timer, hole);
}

static void settle(struct timer_heap *heap, struct timer *timer, uint32_t hole)
{
    if (hole > 0 && timer->deadline < heap->entries[(hole - 1) / 2]->deadline)
        sift_up(heap, timer, hole);
    else
        sift_down(heap, timer, hole);
}

void timer_arm(struct timer_heap *heap, struct timer *timer, uint64_t deadline)
{
    if (timer->position == TIMER_DISARMED) {
        if (heap->count == heap->capacity)
            abort();
        timer->position = heap->count++;
    }
    timer->deadline = deadline;
    settle(heap, timer, timer->position);
}

void timer_disarm(struct timer_heap *heap, struct timer *timer)
{
    uint32_t hole = timer->position;
    if (hole == TIMER_DISARMED)
        return;
    timer->position = TIMER_DISARMED;
    struct timer *last = heap->entries[--heap->count];
    if (last != timer)
        settle(heap, last, hole);
}

uint64_t timer_heap_deadline(const struct timer_heap *heap)
{
    return heap->count > 0 ? heap->entries[0]->deadline : TIMER_NEVER;
}

struct timer *timer_heap_expire(struct timer_heap *heap, uint64_t now)
{
    if (heap->count == 0 || heap->entries[0]->deadline > now)
        return NULL;
    struct timer *timer = heap->entries[0];
    timer_disarm(heap, timer);
    return timer;
}
