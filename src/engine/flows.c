/* What lives with a peer, for people; and its end. */
#include "base/time.h"
#include "engine/internal.h"

#define LISTED_MAX 256u
#define LATELY (300 * SECOND)

static uint32_t own_flows(struct engine *e, peer_id peer, uint64_t now, struct engine_flow *out, uint32_t max,
                          uint32_t *more)
{
    struct flow_service services[LISTED_MAX];
    uint32_t count = 0;
    if (e->flows)
        count = flow_list(e->flows, peer, now, services, max < LISTED_MAX ? max : LISTED_MAX, more);
    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct engine_flow){.outgoing = services[i].outgoing,
                                      .protocol = services[i].protocol,
                                      .port = services[i].port,
                                      .count = services[i].count,
                                      .idle = now > services[i].seen ? now - services[i].seen : 0};
    return count;
}

static uint32_t relayed_flows(struct engine *e, peer_id peer, uint64_t now, struct engine_flow *out, uint32_t max,
                              uint32_t *more)
{
    struct permit_use uses[LISTED_MAX];
    uint64_t since = now > LATELY ? now - LATELY : 0;
    uint32_t count = permits_list(&e->permits, peer, since, uses, max < LISTED_MAX ? max : LISTED_MAX, more);
    for (uint32_t i = 0; i < count; i++)
        out[i] =
            (struct engine_flow){.with = uses[i].with, .count = 1, .idle = now > uses[i].used ? now - uses[i].used : 0};
    return count;
}

uint32_t engine_flows(struct engine *e, peer_id peer, struct engine_flow *out, uint32_t max, uint32_t *more)
{
    uint64_t now = engine_now().monotonic;
    uint32_t more_own = 0, more_relayed = 0;
    uint32_t count = own_flows(e, peer, now, out, max, &more_own);
    count += relayed_flows(e, peer, now, out + count, max - count, &more_relayed);
    *more = more_own + more_relayed;
    return count;
}

void engine_forget_flows(struct engine *e, peer_id peer)
{
    if (e->flows)
        flow_forget(e->flows, peer);
}

void engine_settle_frames(struct engine *e)
{
    sender_settle(e->sender);
}
