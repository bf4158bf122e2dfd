#include "engine/staging.h"

#include <stdlib.h>
#include <string.h>

static struct staged_queue **link_of(struct staging *s, peer_id peer)
{
    struct staged_queue **link = &s->buckets[peer % STAGING_BUCKETS];
    while (*link && (*link)->peer != peer)
        link = &(*link)->next;
    return link;
}

static struct staged_queue *queue_of(struct staging *s, peer_id peer)
{
    struct staged_queue **link = link_of(s, peer), *queue = *link;
    if (queue)
        return queue;
    queue = calloc(1, sizeof(*queue));
    if (!queue)
        return NULL;
    queue->peer = peer;
    queue->last = &queue->first;
    s->queues++;
    return *link = queue;
}

static void drop_first(struct staging *s, struct staged_queue *queue)
{
    struct staged_packet *packet = queue->first;
    queue->first = packet->next;
    if (!queue->first)
        queue->last = &queue->first;
    queue->count--;
    s->bytes -= packet->len;
    free(packet);
}

uint32_t staging_put(struct staging *s, peer_id peer, const uint8_t *bytes, uint32_t len)
{
    if (len > STAGING_BYTES_MAX - s->bytes)
        return 1;
    struct staged_packet *packet = malloc(sizeof(*packet) + len);
    struct staged_queue *queue = packet ? queue_of(s, peer) : NULL; /* none is ever empty */
    if (!queue) {
        free(packet);
        return 1;
    }
    packet->next = NULL;
    packet->len = len;
    memcpy(packet->bytes, bytes, len);
    *queue->last = packet;
    queue->last = &packet->next;
    queue->count++;
    s->bytes += len;
    if (queue->count <= STAGED_PACKETS_MAX)
        return 0;
    drop_first(s, queue);
    return 1;
}

struct staged_packet *staging_take(struct staging *s, peer_id peer)
{
    struct staged_queue **link = link_of(s, peer), *queue = *link;
    if (!queue)
        return NULL;
    struct staged_packet *first = queue->first;
    for (struct staged_packet *packet = first; packet; packet = packet->next)
        s->bytes -= packet->len;
    *link = queue->next;
    free(queue);
    s->queues--;
    return first;
}

bool staging_ask(struct staging *s, peer_id peer, uint64_t now)
{
    struct staged_queue *queue = *link_of(s, peer);
    if (!queue || (queue->asked != 0 && now < queue->asked + SECOND))
        return false;
    queue->asked = now;
    return true;
}

uint32_t staging_age(struct staging *s, peer_id peer)
{
    struct staged_queue *queue = *link_of(s, peer);
    return queue ? ++queue->age : 0;
}

uint32_t staging_peers(const struct staging *s, peer_id *out, uint32_t max)
{
    uint32_t count = 0;
    for (int i = 0; i < STAGING_BUCKETS && s->queues > 0; i++)
        for (const struct staged_queue *queue = s->buckets[i]; queue && count < max; queue = queue->next)
            out[count++] = queue->peer;
    return count;
}

bool staging_has(const struct staging *s, peer_id peer)
{
    return s->queues > 0 && *link_of((struct staging *)s, peer) != NULL;
}

static uint32_t free_all(struct staged_packet *packet)
{
    uint32_t count = 0;
    while (packet) {
        struct staged_packet *next = packet->next;
        free(packet);
        packet = next;
        count++;
    }
    return count;
}

uint32_t staging_discard(struct staging *s, peer_id peer)
{
    return free_all(staging_take(s, peer));
}

uint32_t staging_discard_all(struct staging *s)
{
    uint32_t count = 0;
    for (int i = 0; i < STAGING_BUCKETS; i++)
        while (s->buckets[i])
            count += staging_discard(s, s->buckets[i]->peer);
    return count;
}
