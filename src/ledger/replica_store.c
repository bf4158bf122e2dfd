/* Openings by their commitment: an open-addressing table. Commitments are hashes that were verified, so their first
 * bytes are as good as random to whoever did not choose the salt; whoever did may crowd a few places, no more. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

void replica_openings_clear(struct opening_store *s)
{
    for (uint32_t i = 0; i < s->capacity; i++)
        free(s->places[i].bytes);
    free(s->places);
    *s = (struct opening_store){0};
}

static struct kept_opening *place_of(struct kept_opening *places, uint32_t capacity, const uint8_t *commitment)
{
    uint32_t at = get_be32(commitment) & (capacity - 1);
    while (places[at].bytes && memcmp(places[at].commitment, commitment, SHA256_SIZE) != 0)
        at = (at + 1) & (capacity - 1);
    return &places[at];
}

const struct kept_opening *replica_openings_find(const struct opening_store *s, const uint8_t commitment[SHA256_SIZE])
{
    if (s->capacity == 0)
        return NULL;
    const struct kept_opening *place = place_of(s->places, s->capacity, commitment);
    return place->bytes ? place : NULL;
}

static int grow(struct opening_store *s)
{
    if (2 * (s->count + 1) <= s->capacity)
        return 0;
    uint32_t capacity = s->capacity ? 2 * s->capacity : 64;
    struct kept_opening *places = calloc(capacity, sizeof(*places));
    if (!places)
        return ERROR_MEMORY;
    for (uint32_t i = 0; i < s->capacity; i++)
        if (s->places[i].bytes)
            *place_of(places, capacity, s->places[i].commitment) = s->places[i];
    free(s->places);
    s->places = places;
    s->capacity = capacity;
    return 0;
}

int replica_openings_add(struct opening_store *s, const uint8_t commitment[SHA256_SIZE], const uint8_t *bytes,
                         size_t len)
{
    int error = grow(s);
    if (error)
        return error;
    struct kept_opening *place = place_of(s->places, s->capacity, commitment);
    if (place->bytes)
        return ERROR_EXISTS;
    uint8_t *copy = malloc(len + 1);
    if (!copy)
        return ERROR_MEMORY;
    memcpy(copy, bytes, len);
    memcpy(place->commitment, commitment, SHA256_SIZE);
    place->bytes = copy;
    place->len = len;
    s->count++;
    return 0;
}
