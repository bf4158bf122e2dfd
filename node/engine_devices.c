#include "engine_devices.h"

#include <stdlib.h>

#include "base/bytes.h"

#define BUCKETS_FIRST 64u

static uint32_t id_bucket(const struct engine_devices *t, const struct device_id *id)
{
    return get_be32(id->bytes) & (t->bucket_count - 1);
}

static uint32_t peer_bucket(const struct engine_devices *t, peer_id peer)
{
    return (uint32_t)((peer * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->bucket_count - 1);
}

struct engine_device *engine_devices_find(const struct engine_devices *t, const struct device_id *id)
{
    struct engine_device *d = t->bucket_count > 0 ? t->by_id[id_bucket(t, id)] : NULL;
    while (d && !device_id_equal(&d->id, id))
        d = d->next_by_id;
    return d;
}

struct engine_device *engine_devices_find_peer(const struct engine_devices *t, peer_id peer)
{
    struct engine_device *d = t->bucket_count > 0 ? t->by_peer[peer_bucket(t, peer)] : NULL;
    while (d && d->peer != peer)
        d = d->next_by_peer;
    return d;
}

static void link_in(struct engine_devices *t, struct engine_device *d)
{
    struct engine_device **by_id = &t->by_id[id_bucket(t, &d->id)], **by_peer = &t->by_peer[peer_bucket(t, d->peer)];
    d->next_by_id = *by_id;
    *by_id = d;
    d->next_by_peer = *by_peer; /* NOLINT(clang-analyzer-unix.Malloc): it loses track of the larger table */
    *by_peer = d;
}

static void free_buckets(struct engine_devices *t)
{
    free(t->by_id);
    free(t->by_peer);
}

static int grow(struct engine_devices *t)
{
    struct engine_devices larger = {.bucket_count = t->bucket_count > 0 ? 2 * t->bucket_count : BUCKETS_FIRST,
                                    .count = t->count};
    larger.by_id = calloc(larger.bucket_count, sizeof(struct engine_device *));
    larger.by_peer = calloc(larger.bucket_count, sizeof(struct engine_device *));
    if (!larger.by_id || !larger.by_peer) {
        free_buckets(&larger);
        return ERROR_MEMORY;
    }
    for (uint32_t i = 0; i < t->bucket_count; i++)
        for (struct engine_device *d = t->by_id[i], *next; d; d = next) {
            next = d->next_by_id;
            link_in(&larger, d);
        }
    free_buckets(t);
    *t = larger;
    return 0;
}

int engine_devices_add(struct engine_devices *t, const struct device_id *id, peer_id peer, struct engine_device **out)
{
    if (t->count == t->bucket_count && grow(t) != 0)
        return ERROR_MEMORY;
    struct engine_device *d = calloc(1, sizeof(*d));
    if (!d)
        return ERROR_MEMORY;
    d->id = *id;
    d->peer = peer;
    link_in(t, d);
    t->count++;
    *out = d;
    return 0;
}

void engine_devices_remove(struct engine_devices *t, struct engine_device *d)
{
    struct engine_device **at = &t->by_id[id_bucket(t, &d->id)];
    while (*at != d)
        at = &(*at)->next_by_id;
    *at = d->next_by_id;
    at = &t->by_peer[peer_bucket(t, d->peer)];
    while (*at != d)
        at = &(*at)->next_by_peer;
    *at = d->next_by_peer;
    t->count--;
    free(d);
}

static struct engine_device *first_from(const struct engine_devices *t, uint32_t bucket)
{
    while (bucket < t->bucket_count && !t->by_id[bucket])
        bucket++;
    return bucket < t->bucket_count ? t->by_id[bucket] : NULL;
}

struct engine_device *engine_devices_next(const struct engine_devices *t, const struct engine_device *d)
{
    if (!d)
        return first_from(t, 0);
    return d->next_by_id ? d->next_by_id : first_from(t, id_bucket(t, &d->id) + 1);
}

void engine_devices_clear(struct engine_devices *t)
{
    for (uint32_t i = 0; i < t->bucket_count; i++)
        for (struct engine_device *d = t->by_id[i], *next; d; d = next) {
            next = d->next_by_id;
            free(d);
        }
    free_buckets(t);
    *t = (struct engine_devices){0};
}
