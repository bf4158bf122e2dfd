#include "ledger/digest_map.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 64u

struct digest_slot {
    uint8_t digest[SHA256_SIZE];
    uint32_t number; /* DIGEST_MAP_NONE: free */
};

void digest_map_clear(struct digest_map *m)
{
    free(m->slots);
    *m = (struct digest_map){0};
}

/* The digest's slot, or the free one where it would go. */
static struct digest_slot *find(const struct digest_map *m, const uint8_t digest[SHA256_SIZE])
{
    uint32_t at;
    memcpy(&at, digest, sizeof(at));
    for (;; at++) {
        struct digest_slot *slot = &m->slots[at & (m->capacity - 1)];
        if (slot->number == DIGEST_MAP_NONE || memcmp(slot->digest, digest, SHA256_SIZE) == 0)
            return slot;
    }
}

static int grow(struct digest_map *m)
{
    struct digest_map wider = {.capacity = m->capacity ? m->capacity * 2 : CAPACITY_MIN, .count = m->count};
    wider.slots = malloc((size_t)wider.capacity * sizeof(*wider.slots));
    if (!wider.slots)
        return ERROR_MEMORY;
    for (uint32_t i = 0; i < wider.capacity; i++)
        wider.slots[i].number = DIGEST_MAP_NONE;
    for (uint32_t i = 0; i < m->capacity; i++)
        if (m->slots[i].number != DIGEST_MAP_NONE)
            *find(&wider, m->slots[i].digest) = m->slots[i];
    free(m->slots);
    *m = wider;
    return 0;
}

int digest_map_reserve(struct digest_map *m)
{
    /* Half full at most, so that searches stay short. */
    return m->count < m->capacity / 2 ? 0 : grow(m);
}

void digest_map_put(struct digest_map *m, const uint8_t digest[SHA256_SIZE], uint32_t number)
{
    struct digest_slot *slot = find(m, digest);
    if (slot->number == DIGEST_MAP_NONE)
        m->count++;
    memcpy(slot->digest, digest, SHA256_SIZE);
    slot->number = number;
}

uint32_t digest_map_get(const struct digest_map *m, const uint8_t digest[SHA256_SIZE])
{
    return m->capacity ? find(m, digest)->number : DIGEST_MAP_NONE;
}
