#include "tunnel/rate_limit.h"

#include "base/bytes.h"
#include "wire/message.h"

#define TOKEN (SECOND / 20)
#define BURST 5

static void source_of(uint8_t source[9], const struct endpoint *from)
{
    memset(source, 0, 9);
    source[0] = from->family;
    memcpy(source + 1, from->address, from->family == ENDPOINT_IPV4 ? 4 : 8);
}

/* Multiply-shift with secret factors: a universal hash, which is all that an unguessable set needs. */
static uint32_t set_of(const struct rate_limit *limit, const uint8_t source[9])
{
    uint64_t high = get_be32(source + 1), low = get_be32(source + 5);
    uint64_t hash = (high + limit->seed[0]) * (limit->seed[1] | 1) + low * (limit->seed[2] | 1);
    return (uint32_t)(hash >> 32) % RATE_LIMIT_SETS;
}

bool rate_limit_allow(struct rate_limit *limit, const struct endpoint *from, uint64_t now)
{
    uint8_t source[9];
    source_of(source, from);
    struct rate_limit_bucket *set = limit->buckets[set_of(limit, source)], *bucket = NULL;
    for (int i = 0; i < RATE_LIMIT_WAYS && !bucket; i++)
        if (memcmp(set[i].source, source, sizeof(source)) == 0)
            bucket = &set[i];
    for (int i = 0; i < RATE_LIMIT_WAYS && !bucket; i++)
        if (set[i].full_at <= now)
            bucket = &set[i];
    if (!bucket)
        return false;
    memcpy(bucket->source, source, sizeof(source));
    if (bucket->full_at < now)
        bucket->full_at = now;
    if (bucket->full_at + TOKEN > now + BURST * TOKEN)
        return false;
    bucket->full_at += TOKEN;
    return true;
}
