#include "tunnel/index_table.h"

#include <stdlib.h>

#define SLOTS_MIN 64u

/* A slot is one of these at a time, and `tag` says which: its low half is the index (0: free), its high half counts
 * the releases, so that no two claims of a slot ever have the same tag. */
struct index_slot {
    _Atomic uint64_t tag;
    _Atomic(void *) value;
};

struct index_slots {
    struct reclaim_item retired;
    uint32_t mask;
    struct index_slot slot[];
};

static struct index_slots *slots_new(uint32_t count)
{
    struct index_slots *slots = calloc(1, sizeof(*slots) + count * sizeof(slots->slot[0]));
    if (slots != NULL)
        slots->mask = count - 1;
    return slots;
}

static void slots_release(struct reclaim_item *item)
{
    free(item);
}

/* The writer's own view; readers load it with acquire. */
static struct index_slots *slots_of(struct index_table *table)
{
    return atomic_load_explicit(&table->slots, memory_order_relaxed);
}

static uint64_t tag_of(const struct index_slot *slot)
{
    return atomic_load_explicit(&slot->tag, memory_order_relaxed);
}

/* The slot that holds `index`, or NULL. */
static struct index_slot *claimed(struct index_table *table, uint32_t index)
{
    struct index_slots *slots = slots_of(table);
    struct index_slot *slot = &slots->slot[index & slots->mask];
    return index != 0 && (uint32_t)tag_of(slot) == index ? slot : NULL;
}

static void fill(struct index_slot *slot, uint32_t index, void *value)
{
    /* Release: a reader that sees this value has to see that the tag of the slot's previous claim is gone. */
    atomic_store_explicit(&slot->value, value, memory_order_release);
    atomic_store_explicit(&slot->tag, tag_of(slot) | index, memory_order_release);
}

int index_table_init(struct index_table *table)
{
    table->used = 0;
    struct index_slots *slots = slots_new(SLOTS_MIN);
    atomic_init(&table->slots, slots);
    return slots != NULL ? 0 : ERROR_MEMORY;
}

void index_table_clear(struct index_table *table)
{
    free(slots_of(table));
    atomic_store_explicit(&table->slots, NULL, memory_order_relaxed);
    table->used = 0;
}

/* Low bits that differ still differ under a wider mask, so every index finds its slot free. */
static int grow(struct index_table *table, struct reclaim *reclaim)
{
    struct index_slots *old = slots_of(table);
    struct index_slots *slots = slots_new((old->mask + 1) * 2);
    if (slots == NULL)
        return ERROR_MEMORY;
    for (size_t i = 0; i <= old->mask; i++) {
        uint32_t index = (uint32_t)tag_of(&old->slot[i]);
        if (index != 0)
            fill(&slots->slot[index & slots->mask], index,
                 atomic_load_explicit(&old->slot[i].value, memory_order_relaxed));
    }
    atomic_store_explicit(&table->slots, slots, memory_order_release);
    reclaim_retire(reclaim, &old->retired, slots_release);
    return 0;
}

int index_table_claim(struct index_table *table, struct reclaim *reclaim, uint32_t index, void *value)
{
    if (index == 0)
        return ERROR_EXISTS;
    if (table->used > slots_of(table)->mask / 2) {
        int error = grow(table, reclaim);
        if (error < 0)
            return error;
    }
    struct index_slots *slots = slots_of(table);
    struct index_slot *slot = &slots->slot[index & slots->mask];
    if ((uint32_t)tag_of(slot) != 0)
        return ERROR_EXISTS;
    fill(slot, index, value);
    table->used++;
    return 0;
}

void index_table_replace(struct index_table *table, uint32_t index, void *value)
{
    struct index_slot *slot = claimed(table, index);
    if (slot != NULL)
        atomic_store_explicit(&slot->value, value, memory_order_release);
}

void index_table_release(struct index_table *table, uint32_t index)
{
    struct index_slot *slot = claimed(table, index);
    if (slot == NULL)
        return;
    uint64_t free_tag = ((tag_of(slot) >> 32) + 1) << 32;
    atomic_store_explicit(&slot->tag, free_tag, memory_order_relaxed);
    atomic_store_explicit(&slot->value, NULL, memory_order_release);
    table->used--;
}

void *index_table_lookup(const struct index_table *table, uint32_t index)
{
    const struct index_slots *slots = atomic_load_explicit(&table->slots, memory_order_acquire);
    const struct index_slot *slot = &slots->slot[index & slots->mask];
    uint64_t tag = atomic_load_explicit(&slot->tag, memory_order_acquire);
    if ((uint32_t)tag != index || index == 0)
        return NULL;
    void *value = atomic_load_explicit(&slot->value, memory_order_acquire);
    /* Another tag by now: the value may be the next claim's. */
    return tag_of(slot) == tag ? value : NULL;
}
