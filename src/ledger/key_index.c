#include "ledger/key_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define SPREAD UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio: Knuth's multiplicative hashing */

static uint32_t first_slot(const struct key_index *x, const uint8_t *key)
{
    return (uint32_t)((get_be64(key) * SPREAD) >> 32) & (x->capacity - 1);
}

static uint32_t next_slot(const struct key_index *x, uint32_t slot)
{
    return (slot + 1) & (x->capacity - 1);
}

void key_index_clear(struct key_index *x)
{
    free(x->slots);
    x->slots = NULL;
    x->capacity = x->count = 0;
}

static void insert(struct key_index *x, const void *owner, uint32_t position)
{
    uint32_t slot = first_slot(x, x->key_of(owner, position));
    while (x->slots[slot] != 0)
        slot = next_slot(x, slot);
    x->slots[slot] = position + 1;
}

/* At most half of the slots are in use. */
int key_index_reserve(struct key_index *x, const void *owner, uint32_t more)
{
    uint64_t wanted = ((uint64_t)x->count + more) * 2;
    if (wanted <= x->capacity)
        return 0;
    struct key_index grown = *x;
    grown.capacity = x->capacity ? x->capacity : 16;
    while (grown.capacity < wanted && grown.capacity < UINT32_C(1) << 31)
        grown.capacity *= 2;
    grown.slots = grown.capacity < wanted ? NULL : calloc(grown.capacity, sizeof(*grown.slots));
    if (!grown.slots)
        return ERROR_MEMORY;
    for (uint32_t slot = 0; slot < x->capacity; slot++)
        if (x->slots[slot] != 0)
            insert(&grown, owner, x->slots[slot] - 1);
    free(x->slots);
    *x = grown;
    return 0;
}

/* The slot of a key, or of the gap where its search ends. */
static uint32_t slot_of(const struct key_index *x, const void *owner, const uint8_t *key)
{
    uint32_t slot = first_slot(x, key);
    while (x->slots[slot] != 0 && memcmp(x->key_of(owner, x->slots[slot] - 1), key, x->key_len) != 0)
        slot = next_slot(x, slot);
    return slot;
}

uint32_t key_index_find(const struct key_index *x, const void *owner, const uint8_t *key)
{
    if (x->capacity == 0)
        return KEY_INDEX_NONE;
    uint32_t found = x->slots[slot_of(x, owner, key)];
    return found == 0 ? KEY_INDEX_NONE : found - 1;
}

void key_index_put(struct key_index *x, const void *owner, uint32_t position)
{
    insert(x, owner, position);
    x->count++;
}

/* Whether a search that begins at `home` and reaches `slot` has passed `gap`. */
static bool passes(const struct key_index *x, uint32_t home, uint32_t gap, uint32_t slot)
{
    uint32_t mask = x->capacity - 1;
    return ((slot - home) & mask) >= ((slot - gap) & mask);
}

/* Closes the gap, so that no search ends too early (Knuth, volume 3, section 6.4, algorithm R). */
void key_index_remove(struct key_index *x, const void *owner, uint32_t position)
{
    uint32_t gap = slot_of(x, owner, x->key_of(owner, position));
    for (uint32_t slot = next_slot(x, gap); x->slots[slot] != 0; slot = next_slot(x, slot)) {
        uint32_t home = first_slot(x, x->key_of(owner, x->slots[slot] - 1));
        if (passes(x, home, gap, slot)) {
            x->slots[gap] = x->slots[slot];
            gap = slot;
        }
    }
    x->slots[gap] = 0;
    x->count--;
}
