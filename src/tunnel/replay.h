/* The replay window: a ring of bitmap words, after RFC 6479. */
#ifndef TUNNEL_REPLAY_H
#define TUNNEL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/message.h"

/* One word more than the window, so that a partly filled newest word never narrows it below REPLAY_WINDOW. */
#define REPLAY_WORDS (REPLAY_WINDOW / 64 + 1)

/* For one reader of packets; all zero is a fresh window. */
struct replay {
    uint64_t next; /* one more than the greatest counter accepted; 0 when none was */
    uint64_t words[REPLAY_WORDS];
};

/* Whether `counter` is new, and records it. Call only after the packet was authenticated: a forged counter must not
 * move the window. Refuses counters >= REJECT_AFTER_MESSAGES. */
bool replay_accept(struct replay *window, uint64_t counter);

#endif
