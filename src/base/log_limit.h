/* Which lines a log takes, so that nobody can make it grow: a bucket of tokens for each event. Pure. */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

#define LOG_BURST 16              /* lines of one event at once, */
#define LOG_EVERY (60 * SECOND)   /* and then one in this time */
#define LOG_EVENTS_MAX 48         /* told apart by name; those beyond share one bucket */
#define LOG_EVENT_NAME_MAX_LEN 31 /* longer names are told apart by their beginnings */

/* All zero is empty. */
struct log_limit {
    uint32_t count;
    struct log_event {
        char name[LOG_EVENT_NAME_MAX_LEN + 1];
        uint64_t full_at;    /* when its bucket is full again */
        uint64_t suppressed; /* lines, since one passed */
    } events[LOG_EVENTS_MAX];
};

/* Takes a token of the event's bucket. True: the line is to be written, and `*suppressed` lines of the event were not
 * since the one before. `now` never decreases. */
bool log_limit_passes(struct log_limit *limit, const char *event, uint64_t now, uint64_t *suppressed);

#endif
