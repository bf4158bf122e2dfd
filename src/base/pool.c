#include "base/pool.h"

#include <stdlib.h>

#define CACHE_LINE 64u

struct pool {
    uint8_t *blocks; /* count blocks, `stride` bytes apart */
    size_t stride;
    uint32_t headroom;
    uint32_t capacity;
    uint32_t available;
    struct packet *free;
    struct packet packets[]; /* the i-th owns the i-th block */
};

static uint8_t *block_of(const struct pool *pool, const struct packet *packet)
{
    return pool->blocks + (size_t)(packet - pool->packets) * pool->stride;
}

int pool_new(struct pool **out, uint32_t count, uint32_t headroom, uint32_t capacity)
{
    size_t stride, size;
    *out = NULL;
    if (count == 0 || capacity == 0)
        return ERROR_INVALID;
    if (__builtin_add_overflow((size_t)headroom + (CACHE_LINE - 1), capacity, &stride))
        return ERROR_MEMORY;
    stride &= ~(size_t)(CACHE_LINE - 1);
    if (__builtin_mul_overflow(stride, count, &size))
        return ERROR_MEMORY;
    struct pool *pool = malloc(sizeof(*pool) + count * sizeof(pool->packets[0]));
    if (!pool)
        return ERROR_MEMORY;
    *pool = (struct pool){.stride = stride, .headroom = headroom, .capacity = capacity};
    pool->blocks = aligned_alloc(CACHE_LINE, size);
    if (!pool->blocks) {
        free(pool);
        return ERROR_MEMORY;
    }
    for (uint32_t i = count; i-- > 0;)
        pool_give(pool, &pool->packets[i]);
    *out = pool;
    return 0;
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    free(pool->blocks);
    free(pool);
}

struct packet *pool_take(struct pool *pool)
{
    struct packet *packet = pool->free;
    if (!packet)
        return NULL;
    pool->free = packet->next;
    pool->available--;
    *packet = (struct packet){.data = block_of(pool, packet) + pool->headroom, .capacity = pool->capacity};
    return packet;
}

/* Last in, first out: the block given last is the likeliest to be in the cache. */
void pool_give(struct pool *pool, struct packet *packet)
{
    packet->next = pool->free;
    pool->free = packet;
    pool->available++;
}

uint32_t pool_available(const struct pool *pool)
{
    return pool->available;
}

uint8_t *packet_push(const struct pool *pool, struct packet *packet, uint32_t n)
{
    if (n > (size_t)(packet->data - block_of(pool, packet)))
        return NULL;
    packet->data -= n;
    packet->len += n;
    packet->capacity += n;
    return packet->data;
}

uint8_t *packet_pull(struct packet *packet, uint32_t n)
{
    if (n > packet->len)
        return NULL;
    packet->data += n;
    packet->len -= n;
    packet->capacity -= n;
    return packet->data;
}
