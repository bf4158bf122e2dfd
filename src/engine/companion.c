#include "engine/companion.h"

#include <stdlib.h>

static void release_grants(struct reclaim_item *item)
{
    free(item);
}

/* Whoever could see the grants saw them through the companion. */
static void release_companion(struct reclaim_item *item)
{
    struct companion *c = (struct companion *)item;
    free(atomic_load(&c->granted));
    free(c->candidates);
    free(c);
}

struct companion *companion_make(struct tunnel *t, peer_id peer, int *error)
{
    const struct peer *p = tunnel_peer(t, peer);
    *error = p ? 0 : ERROR_NOT_FOUND;
    if (!p || companion_of(p))
        return p ? companion_of(p) : NULL;
    struct companion *c = calloc(1, sizeof(*c));
    if (c)
        tunnel_peer_attach(t, peer, &c->retired, release_companion);
    else
        *error = ERROR_MEMORY;
    return c;
}

int companion_grant(struct tunnel *t, peer_id peer, uint64_t version, const struct grant *out, uint32_t out_count,
                    const struct grant *in, uint32_t in_count)
{
    int error;
    struct companion *c = companion_make(t, peer, &error);
    if (!c)
        return error;
    struct published_grants *granted = calloc(1, sizeof(*granted) + (out_count + in_count) * sizeof(struct grant));
    if (!granted)
        return ERROR_MEMORY;
    if (out_count > 0)
        memcpy(granted->list, out, out_count * sizeof(struct grant));
    if (in_count > 0)
        memcpy(granted->list + out_count, in, in_count * sizeof(struct grant));
    granted->grants = (struct peer_grants){.version = version,
                                           .out_count = out_count,
                                           .in_count = in_count,
                                           .out = granted->list,
                                           .in = granted->list + out_count};
    struct published_grants *old = atomic_exchange(&c->granted, granted);
    if (old)
        tunnel_retire(t, &old->retired, release_grants);
    return 0;
}

int companion_set_candidates(struct companion *c, const struct endpoint *list, uint32_t count)
{
    free(c->candidates);
    c->candidates = count > 0 ? calloc(count, sizeof(*list)) : NULL;
    c->candidate_count = c->candidates ? count : 0;
    if (c->candidates)
        memcpy(c->candidates, list, count * sizeof(*list));
    return c->candidate_count == count ? 0 : ERROR_MEMORY;
}
