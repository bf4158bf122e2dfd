#include "engine/permits.h"

#include <stdlib.h>

#include "base/bytes.h"

#define SLOTS_MIN 64u
#define REMOVED UINT64_MAX /* no peer's number; looking goes on behind it */

/* Written before `origin` is published; a slot is used once. */
struct permit_slot {
    _Atomic uint64_t origin; /* 0: free */
    uint64_t name;           /* destination's, as it is */
    _Atomic uint64_t used;   /* permit.used */
    struct permit permit;
};

struct permit_table {
    struct reclaim_item retired; /* first */
    uint32_t mask;
    uint32_t used; /* slots that are not free */
    struct permit_slot slots[];
};

static uint64_t name_as_number(const uint8_t name[8])
{
    return get_be64(name);
}

/* Multiply-shift over 32-bit halves with secret factors, whose upper half is universal. */
static uint32_t first_slot(const struct permits *p, uint32_t mask, uint64_t origin, uint64_t name)
{
    uint64_t hash = ((uint32_t)origin + p->key[0]) * ((origin >> 32) + p->key[1]) +
                    ((uint32_t)name + p->key[2]) * ((name >> 32) + p->key[3]);
    return (uint32_t)(hash >> 32) & mask;
}

void permits_init(struct permits *p, const uint64_t key[4])
{
    atomic_init(&p->table, NULL);
    memcpy(p->key, key, sizeof(p->key));
}

void permits_clear(struct permits *p)
{
    free(atomic_exchange(&p->table, NULL));
}

static void put(const struct permits *p, struct permit_table *table, uint64_t origin, uint64_t name,
                const struct permit *permit, uint64_t used)
{
    uint32_t i = first_slot(p, table->mask, origin, name);
    while (atomic_load_explicit(&table->slots[i].origin, memory_order_relaxed) != 0)
        i = (i + 1) & table->mask;
    table->slots[i].name = name;
    table->slots[i].permit = *permit;
    table->slots[i].permit.used = &table->slots[i].used;
    atomic_store_explicit(&table->slots[i].used, used, memory_order_relaxed);
    atomic_store_explicit(&table->slots[i].origin, origin, memory_order_release);
    table->used++;
}

static bool is_kept(struct tunnel *t, const struct permit_slot *slot)
{
    uint64_t origin = atomic_load_explicit(&slot->origin, memory_order_relaxed);
    return origin != 0 && origin != REMOVED && tunnel_peer(t, origin) && tunnel_peer(t, slot->permit.destination);
}

static struct permit_table *table_new(uint32_t slots)
{
    struct permit_table *table = calloc(1, sizeof(*table) + slots * sizeof(struct permit_slot));
    if (table)
        table->mask = slots - 1;
    return table;
}

static uint32_t slots_for(struct tunnel *t, const struct permit_table *old)
{
    uint32_t kept = 0, slots = SLOTS_MIN;
    for (uint32_t i = 0; old && i <= old->mask; i++)
        kept += is_kept(t, &old->slots[i]);
    while (slots < (kept + 1) * 4)
        slots *= 2;
    return slots;
}

static void release_table(struct reclaim_item *item)
{
    free(item);
}

static int rebuild(struct permits *p, struct tunnel *t)
{
    struct permit_table *old = atomic_load(&p->table), *table = table_new(slots_for(t, old));
    if (!table)
        return ERROR_MEMORY;
    for (uint32_t i = 0; old && i <= old->mask; i++)
        if (is_kept(t, &old->slots[i]))
            put(p, table, atomic_load(&old->slots[i].origin), old->slots[i].name, &old->slots[i].permit,
                atomic_load_explicit(&old->slots[i].used, memory_order_relaxed));
    atomic_store_explicit(&p->table, table, memory_order_release);
    if (old)
        tunnel_retire(t, &old->retired, release_table);
    return 0;
}

int permits_add(struct permits *p, struct tunnel *t, peer_id origin, const uint8_t origin_name[8], peer_id destination,
                const uint8_t destination_name[8])
{
    struct permit permit = {.destination = destination}, known;
    memcpy(permit.origin_name, origin_name, sizeof(permit.origin_name));
    if (permits_find(p, origin, destination_name, &known)) {
        if (known.destination == destination)
            return 0;
        permits_remove(p, origin, known.destination); /* the name's peer of before, under another key */
    }
    struct permit_table *table = atomic_load(&p->table);
    int error = !table || table->used > table->mask / 2 ? rebuild(p, t) : 0;
    if (error == 0)
        put(p, atomic_load(&p->table), origin, name_as_number(destination_name), &permit, 0);
    return error;
}

void permits_remove(struct permits *p, peer_id origin, peer_id destination)
{
    struct permit_table *table = atomic_load(&p->table);
    for (uint32_t i = 0; table && i <= table->mask; i++)
        if (atomic_load_explicit(&table->slots[i].origin, memory_order_relaxed) == origin &&
            table->slots[i].permit.destination == destination)
            atomic_store_explicit(&table->slots[i].origin, REMOVED, memory_order_release);
}

static void note_use(struct permit_use *out, uint32_t max, uint32_t *count, uint32_t *more,
                     const struct permit_use *use)
{
    uint32_t i = 0;
    while (i < *count && out[i].with != use->with)
        i++;
    if (i < *count && use->used > out[i].used)
        out[i].used = use->used;
    if (i < *count)
        return;
    if (i < max)
        out[(*count)++] = *use;
    else
        *more += 1;
}

uint32_t permits_list(const struct permits *p, peer_id peer, uint64_t since, struct permit_use *out, uint32_t max,
                      uint32_t *more)
{
    const struct permit_table *table = atomic_load(&p->table);
    uint32_t count = 0;
    *more = 0;
    for (uint32_t i = 0; table && i <= table->mask; i++) {
        const struct permit_slot *slot = &table->slots[i];
        uint64_t origin = atomic_load_explicit(&slot->origin, memory_order_relaxed);
        const struct permit_use use = {.with = origin == peer ? slot->permit.destination : origin,
                                       .used = atomic_load_explicit(&slot->used, memory_order_relaxed)};
        bool is_its = origin == peer || (origin != REMOVED && origin != 0 && slot->permit.destination == peer);
        if (is_its && use.used != 0 && use.used >= since)
            note_use(out, max, &count, more, &use);
    }
    return count;
}

bool permits_find(const struct permits *p, peer_id origin, const uint8_t name[8], struct permit *out)
{
    const struct permit_table *table = atomic_load_explicit(&p->table, memory_order_acquire);
    uint64_t wanted = name_as_number(name), found;
    if (!table)
        return false;
    /* Half the slots are free: it ends. */
    for (uint32_t i = first_slot(p, table->mask, origin, wanted);; i = (i + 1) & table->mask) {
        const struct permit_slot *slot = &table->slots[i];
        found = atomic_load_explicit(&slot->origin, memory_order_acquire);
        if (found == 0)
            return false;
        if (found != origin || slot->name != wanted)
            continue;
        *out = slot->permit;
        return true;
    }
}
