/* A token bucket: how many bytes somebody may have sent on. For one thread. */
#ifndef ENGINE_BUCKET_H
#define ENGINE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/message.h"

#define BUCKET_BURST_MIN (256u * 1024)
#define BUCKET_PASSED_MAX (1000 * SECOND) /* with the greatest rate, no sum overflows */

/* All zero is full. */
struct bucket {
    uint64_t level;  /* bytes that are left */
    uint64_t filled; /* monotonic, ns; 0 never */
};

/* Takes `len` bytes out of a bucket that fills at `rate` bytes/s (at most 2^34) and holds what comes in 100 ms, or
 * BUCKET_BURST_MIN; false, with nothing taken, when it holds less. */
static inline bool bucket_take(struct bucket *b, uint64_t rate, uint32_t len, uint64_t now)
{
    uint64_t burst = rate / 10 > BUCKET_BURST_MIN ? rate / 10 : BUCKET_BURST_MIN;
    uint64_t passed = now - b->filled < BUCKET_PASSED_MAX ? now - b->filled : BUCKET_PASSED_MAX;
    uint64_t gained = b->filled != 0 ? rate * (passed / 1000) / 1000000 : burst;
    if (gained > 0) /* what is less than a byte goes on growing */
        b->filled = now;
    b->level = b->level + gained < burst ? b->level + gained : burst;
    if (b->level < len)
        return false;
    b->level -= len;
    return true;
}

#endif
