#include <stdlib.h>

#include "base/bytes.h"
#include "mesh/internal.h"

#define BUCKETS_FIRST 64u

/* Ids are hashes already. */
static uint32_t bucket_of(const struct device_table *table, const struct device_id *id)
{
    return get_be32(id->bytes) & (table->bucket_count - 1);
}

struct device *devices_find(const struct device_table *table, const struct device_id *id)
{
    struct device *d = table->bucket_count > 0 ? table->buckets[bucket_of(table, id)] : NULL;
    while (d && !device_id_equal(&d->id, id))
        d = d->next;
    return d;
}

static void link_in(struct device_table *table, struct device *d)
{
    struct device **bucket = &table->buckets[bucket_of(table, &d->id)];
    d->next = *bucket;
    *bucket = d;
}

static int grow(struct device_table *table)
{
    struct device_table larger = {.bucket_count = table->bucket_count > 0 ? 2 * table->bucket_count : BUCKETS_FIRST,
                                  .count = table->count};
    larger.buckets = calloc(larger.bucket_count, sizeof(*larger.buckets));
    if (!larger.buckets)
        return ERROR_MEMORY;
    for (uint32_t i = 0; i < table->bucket_count; i++)
        for (struct device *d = table->buckets[i], *next; d; d = next) {
            next = d->next;
            link_in(&larger, d);
        }
    free(table->buckets);
    *table = larger;
    return 0;
}

int devices_add(struct device_table *table, const struct device_id *id, struct device **out)
{
    if (table->count == table->bucket_count && grow(table) != 0)
        return ERROR_MEMORY;
    struct device *d = calloc(1, sizeof(*d));
    if (!d)
        return ERROR_MEMORY;
    d->id = *id;
    link_in(table, d);
    table->count++;
    *out = d;
    return 0;
}

void devices_remove(struct device_table *table, struct device *device)
{
    struct device **at = &table->buckets[bucket_of(table, &device->id)];
    while (*at != device)
        at = &(*at)->next;
    *at = device->next;
    table->count--;
    free(device->local);
    free(device);
}

static struct device *first_from(const struct device_table *table, uint32_t bucket)
{
    while (bucket < table->bucket_count && !table->buckets[bucket])
        bucket++;
    return bucket < table->bucket_count ? table->buckets[bucket] : NULL;
}

struct device *devices_next(const struct device_table *table, const struct device *device)
{
    if (!device)
        return first_from(table, 0);
    return device->next ? device->next : first_from(table, bucket_of(table, &device->id) + 1);
}

void devices_clear(struct device_table *table)
{
    for (uint32_t i = 0; i < table->bucket_count; i++)
        for (struct device *d = table->buckets[i], *next; d; d = next) {
            next = d->next;
            free(d->relay);
            free(d->direct);
            free(d->local);
            free(d);
        }
    free(table->buckets);
    *table = (struct device_table){0};
}
