/* Until there are flows to judge by. */
#include "engine/police.h"

bool police_lets_out(struct engine *e, const struct peer *peer, const uint8_t *packet, uint32_t len, uint32_t count,
                     uint64_t now)
{
    (void)e, (void)peer, (void)packet, (void)len, (void)count, (void)now;
    return true;
}

bool police_lets_in(struct engine *e, struct police_memory *memory, const struct peer *peer, const uint8_t *packet,
                    uint32_t len, uint64_t now)
{
    (void)e, (void)memory, (void)peer, (void)packet, (void)len, (void)now;
    return true;
}
