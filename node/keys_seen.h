/* The timestamps of initiations: the greatest that each static key was seen with, and our own. Both outlive a restart,
 * so that a replay after it is refused, and so that peers do not take our next one for a replay. */
#ifndef NODE_KEYS_SEEN_H
#define NODE_KEYS_SEEN_H

#include <stdbool.h>

#include "proc/files.h"
#include "tunnel/timestamp.h"
#include "wire/message.h"

#define SEEN_MAX 65536u /* static keys */

/* ---- Others' ---- */

struct seen;

/* The log "seen" of that directory. ERROR_MALFORMED: it is not one. */
must_check int seen_open(struct seen **out, const struct files *f);
void seen_close(struct seen *s);
/* 0 and remembered from now on (durably after seen_commit), ERROR_REPLAYED when not greater than what was seen
 * (except what is too far ahead of `wall`, for a timestamp of its last day), ERROR_FULL, ERROR_MEMORY. */
must_check int seen_note(struct seen *s, const uint8_t key[MESSAGE_KEY_SIZE],
                         const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE], uint64_t wall);
/* The key's holder is no peer any more: should it become one again, what somebody else sent under its key with a time
 * ahead of ours does not lock it out. All that it sent so far stays refused. */
void seen_excuse(struct seen *s, const uint8_t key[MESSAGE_KEY_SIZE], uint64_t wall);
/* Makes all that was noted durable. On failure it is remembered, and written with the next commit. */
must_check int seen_commit(struct seen *s);
uint32_t seen_count(const struct seen *s);

/* ---- Our own ---- */

struct own_time {
    struct files files;
    uint64_t last;     /* wall, ns: of the last timestamp */
    uint64_t durable;  /* what the file "floor" says: a restart begins there */
    uint64_t by_clock; /* the last of those that went by a clock in doubt */
    unsigned doubts;
    uint32_t doubted; /* the index of the handshake that the last of those was for */
};
must_check int own_time_open(struct own_time *t, const struct files *f);
/* A timestamp greater than any before, close to `wall` (ns since 1970). While the two are far apart, one that counts on
 * and one by the clock take turns, since peers may accept only the one or only the other: a clock that was years ahead
 * for a while must lock nobody out, nor must one that is. `index` is the handshake's. It is good also when the error
 * says that the floor could not be kept; the next call tries again. */
must_check int own_time_next(struct own_time *t, uint64_t wall, uint32_t index, uint8_t out[MESSAGE_TIMESTAMP_SIZE]);
/* The handshake of ours with that index was answered: if it went by a clock in doubt, that clock is right. */
void own_time_answered(struct own_time *t, uint32_t index);

#endif
