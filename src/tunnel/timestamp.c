#include "tunnel/timestamp.h"

#include "base/bytes.h"

void timestamp_make(uint8_t out[MESSAGE_TIMESTAMP_SIZE], uint64_t wall)
{
    put_be64(out, TAI64_EPOCH + wall / SECOND);
    put_be32(out + 8, (uint32_t)(wall % SECOND));
}

bool timestamp_is_too_far_ahead(const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE], uint64_t wall)
{
    return wall >= PLAUSIBLE_FROM && get_be64(timestamp) > TAI64_EPOCH + (wall + DAY) / SECOND;
}

bool timestamp_may_follow(const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE],
                          const uint8_t greatest[MESSAGE_TIMESTAMP_SIZE], uint64_t wall)
{
    return memcmp(timestamp, greatest, MESSAGE_TIMESTAMP_SIZE) > 0 ||
           (timestamp_is_too_far_ahead(greatest, wall) && get_be64(timestamp) >= TAI64_EPOCH + (wall - DAY) / SECOND);
}

uint64_t wall_latest(struct wall_clock *c, uint64_t wall, uint64_t monotonic)
{
    uint64_t latest = monotonic + c->ahead;
    if (!c->begun || wall > latest || latest - wall > CLOCK_MENDED) {
        c->begun = true;
        c->ahead = wall - monotonic; /* wraps, and back, if the wall clock began anew */
        return wall;
    }
    return latest;
}
