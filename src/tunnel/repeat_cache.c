#include "tunnel/repeat_cache.h"

#include <stdlib.h>
#include <string.h>

/* Whoever knows our public key can choose mac1s that share a bucket. That buys a walk of at most REPEAT_CACHE_SIZE
 * comparisons, which is far less than the Diffie-Hellman that a different initiation costs. */
#define BUCKETS (2 * REPEAT_CACHE_SIZE)

/* Positions in the ring are stored plus one, so that 0 is the end of a chain. */
struct entry {
    uint8_t mac1[MESSAGE_MAC_SIZE];
    uint16_t older; /* in the same bucket */
};

struct repeat_cache {
    uint32_t count;  /* entries in use */
    uint32_t oldest; /* where the next one goes once all are in use */
    uint16_t newest[BUCKETS];
    struct entry ring[REPEAT_CACHE_SIZE];
};
_Static_assert(REPEAT_CACHE_SIZE < UINT16_MAX, "a position plus one fits into 16 bits");

struct repeat_cache *repeat_cache_new(void)
{
    return calloc(1, sizeof(struct repeat_cache));
}

void repeat_cache_free(struct repeat_cache *cache)
{
    free(cache);
}

/* mac1 is a hash already. */
static uint16_t *bucket_of(struct repeat_cache *cache, const uint8_t *mac1)
{
    return &cache->newest[(uint32_t)(mac1[0] | mac1[1] << 8) % BUCKETS];
}

static bool holds(const struct repeat_cache *cache, uint16_t chain, const uint8_t *mac1)
{
    for (uint16_t at = chain; at != 0; at = cache->ring[at - 1].older)
        if (memcmp(cache->ring[at - 1].mac1, mac1, MESSAGE_MAC_SIZE) == 0)
            return true;
    return false;
}

/* A place for one more: a fresh one, or that of the oldest, which is the last of its chain. */
static uint32_t make_room(struct repeat_cache *cache)
{
    if (cache->count < REPEAT_CACHE_SIZE)
        return cache->count++;
    uint32_t place = cache->oldest;
    uint16_t *link = bucket_of(cache, cache->ring[place].mac1);
    while (*link != place + 1)
        link = &cache->ring[*link - 1].older;
    *link = 0;
    cache->oldest = (place + 1) % REPEAT_CACHE_SIZE;
    return place;
}

bool repeat_cache_seen(struct repeat_cache *cache, const uint8_t mac1[MESSAGE_MAC_SIZE])
{
    uint16_t *bucket = bucket_of(cache, mac1);
    if (holds(cache, *bucket, mac1))
        return true;
    uint32_t place = make_room(cache);
    memcpy(cache->ring[place].mac1, mac1, MESSAGE_MAC_SIZE);
    cache->ring[place].older = *bucket;
    *bucket = (uint16_t)(place + 1);
    return false;
}
