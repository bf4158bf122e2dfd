#include "engine/internal.h"

void engine_read_counters(const struct engine *e, struct engine_counters *out)
{
#define ENGINE_COUNTER_READ(name) out->name = atomic_load_explicit(&e->counters.name, memory_order_relaxed);
    ENGINE_COUNTERS(ENGINE_COUNTER_READ)
#undef ENGINE_COUNTER_READ
}

struct counter {
    const char *name;
    size_t offset; /* in struct all */
};

struct all {
    struct engine_counters engine;
    struct tunnel_counters tunnel;
};

#define ENGINE(name) #name, offsetof(struct all, engine.name)
#define TUNNEL(name) #name, offsetof(struct all, tunnel.name)

static const struct counter counters[] = {
#define ENGINE_COUNTER_ROW(name) {ENGINE(name)},
    ENGINE_COUNTERS(ENGINE_COUNTER_ROW)
#undef ENGINE_COUNTER_ROW
        {TUNNEL(bad_mac1)},
    {TUNNEL(repeated_initiation)},
    {TUNNEL(unknown_peer)},
    {TUNNEL(bad_handshake)},
    {TUNNEL(old_timestamp)},
    {TUNNEL(flooding)},
    {TUNNEL(cookie_replies)},
    {TUNNEL(handshakes)},
    {TUNNEL(unknown_index)},
    {TUNNEL(bad_packet)},
    {TUNNEL(bad_native)},
    {TUNNEL(replayed)},
    {TUNNEL(bad_source)},
    {TUNNEL(no_route)},
};
#define COUNT (sizeof(counters) / sizeof(*counters))
_Static_assert(COUNT == sizeof(struct all) / sizeof(uint64_t), "every counter has a name");

const char *engine_counter_name(uint32_t i)
{
    return i < COUNT ? counters[i].name : NULL;
}

uint32_t engine_counter_values(const struct engine *e, uint64_t *out, uint32_t max)
{
    struct all all;
    uint32_t count = max < COUNT ? max : (uint32_t)COUNT;
    engine_read_counters(e, &all.engine);
    tunnel_read_counters(e->tunnel, &all.tunnel);
    for (uint32_t i = 0; i < count; i++)
        memcpy(&out[i], (const uint8_t *)&all + counters[i].offset, sizeof(out[i]));
    return count;
}
