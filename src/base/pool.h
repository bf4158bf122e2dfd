/* A fixed pool of packet buffers with headroom. Nothing is allocated after pool_new. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct pool;

/* One buffer: `data` starts `headroom` bytes into the block and `len` bytes of it are in use. `data` and `len` may be
 * moved within the block by pool_push and pool_pull. */
struct packet {
    uint8_t *data;
    uint32_t len;
    uint32_t capacity;   /* bytes from `data` to the block's end, so push and pull move it too */
    struct packet *next; /* free for the holder's use while it holds the packet */
};

/* `count` buffers of `capacity` bytes behind `headroom` bytes each; every headroom starts on a cache line. Not for
 * several threads. ERROR_INVALID for a count or capacity of 0. */
must_check int pool_new(struct pool **out, uint32_t count, uint32_t headroom, uint32_t capacity);
void pool_free(struct pool *pool);

/* A packet with len 0 and its full headroom; NULL when all are taken. Owned by the caller until pool_give. */
struct packet *pool_take(struct pool *pool);
void pool_give(struct pool *pool, struct packet *packet);
uint32_t pool_available(const struct pool *pool);

/* Extends the packet downward by n bytes of headroom and returns the new start; NULL if there is not that much. */
uint8_t *packet_push(const struct pool *pool, struct packet *packet, uint32_t n);
/* Drops n bytes from the front; NULL if there are not that many. */
uint8_t *packet_pull(struct packet *packet, uint32_t n);

#endif
