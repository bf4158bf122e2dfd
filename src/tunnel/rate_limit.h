/* Token buckets for sources that proved with a cookie that they are where they say: 20 handshake messages a second with
 * bursts of 5, for an IPv4 address or an IPv6 /64 (paper section 5.3). Bounded; all zero is empty. */
#ifndef TUNNEL_RATE_LIMIT_H
#define TUNNEL_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/endpoint.h"

#define RATE_LIMIT_SETS 512
#define RATE_LIMIT_WAYS 4

struct rate_limit {
    uint64_t seed[3]; /* random, so that nobody can aim at a set */
    struct rate_limit_bucket {
        uint8_t source[9]; /* family and prefix */
        uint64_t full_at;  /* when the bucket is full again; in the past: free for another source */
    } buckets[RATE_LIMIT_SETS][RATE_LIMIT_WAYS];
};

/* Takes a token of the source's bucket; false when it has none, or when every bucket of its set is busy. */
bool rate_limit_allow(struct rate_limit *limit, const struct endpoint *from, uint64_t now);

#endif
