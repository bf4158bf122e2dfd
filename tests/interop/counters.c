#include "counters.h"

#include <inttypes.h>

struct field {
    const char *name;
    size_t offset;
};

#define TUNNEL(name) #name, offsetof(struct tunnel_counters, name)
#define ENGINE(name) #name, offsetof(struct engine_counters, name)

static const struct field tunnel_fields[] = {
    {TUNNEL(bad_mac1)},       {TUNNEL(repeated_initiation)},
    {TUNNEL(unknown_peer)},   {TUNNEL(bad_handshake)},
    {TUNNEL(old_timestamp)},  {TUNNEL(flooding)},
    {TUNNEL(cookie_replies)}, {TUNNEL(handshakes)},
    {TUNNEL(unknown_index)},  {TUNNEL(bad_packet)},
    {TUNNEL(replayed)},       {TUNNEL(bad_source)},
    {TUNNEL(no_route)},
};
static const struct field engine_fields[] = {
    {ENGINE(tun_dropped)}, {ENGINE(staged_dropped)}, {ENGINE(no_endpoint)},       {ENGINE(send_failed)},
    {ENGINE(malformed)},   {ENGINE(strange)},        {ENGINE(handshake_dropped)},
};
_Static_assert(sizeof(tunnel_fields) / sizeof(*tunnel_fields) == sizeof(struct tunnel_counters) / sizeof(uint64_t),
               "every counter of the tunnel is printed");
_Static_assert(sizeof(engine_fields) / sizeof(*engine_fields) == sizeof(struct engine_counters) / sizeof(uint64_t),
               "every counter of the engine is printed");

static void print_fields(FILE *out, const struct field *fields, size_t count, const void *counters)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value;
        memcpy(&value, (const uint8_t *)counters + fields[i].offset, sizeof(value));
        fprintf(out, "%s=%" PRIu64 "\n", fields[i].name, value);
    }
}

void counters_print(struct engine *engine, FILE *out)
{
    struct tunnel_counters tunnel;
    struct engine_counters own;
    tunnel_read_counters(engine_tunnel(engine), &tunnel);
    engine_read_counters(engine, &own);
    print_fields(out, tunnel_fields, sizeof(tunnel_fields) / sizeof(*tunnel_fields), &tunnel);
    print_fields(out, engine_fields, sizeof(engine_fields) / sizeof(*engine_fields), &own);
    fflush(out);
}
