/* What an initiation's timestamp (TAI64N) is held against: the greatest that its sender was seen with, and our clock as
 * far as that can be believed. */
#ifndef TUNNEL_TIMESTAMP_H
#define TUNNEL_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/message.h"

#define DAY (UINT64_C(86400) * SECOND)
#define TAI64_EPOCH UINT64_C(0x400000000000000a)
#define PLAUSIBLE_FROM (UINT64_C(1793491200) * SECOND) /* 2026-11-01: this source is no older */

/* `wall` is in ns since 1970. */
void timestamp_make(uint8_t out[MESSAGE_TIMESTAMP_SIZE], uint64_t wall);
/* Whether a timestamp is more than a day ahead of `wall`, if that is a plausible time at all. */
bool timestamp_is_too_far_ahead(const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE], uint64_t wall);
/* Whether a timestamp may follow the greatest that was seen: it is greater; or that one is too far ahead, and this one
 * of the last day. What was seen while clocks were far ahead would lock its sender out for good. It cannot be replayed,
 * being too far ahead; what it hid can, so only a timestamp of this day takes its place. */
bool timestamp_may_follow(const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE],
                          const uint8_t greatest[MESSAGE_TIMESTAMP_SIZE], uint64_t wall);

/* The wall clock, if it does not go back; all zero at first. A clock that is set back by a little (an attacker of its
 * source, a dead battery) must neither lock out everybody who has the right time nor bring back replays. One that is
 * set back by more than CLOCK_MENDED was wrong before. */
#define CLOCK_MENDED (30 * DAY)
struct wall_clock {
    bool begun;
    uint64_t ahead; /* of the monotonic clock */
};
uint64_t wall_latest(struct wall_clock *c, uint64_t wall, uint64_t monotonic);

#endif
