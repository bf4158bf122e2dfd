/* Moving blobs (ledger ranges, folds, openings, submissions) over a channel that loses, repeats and reorders: a window
 * of gets at the puller, nothing kept at the server. Pure. */
#ifndef LEDGER_SYNC_H
#define LEDGER_SYNC_H

#include "base/error.h"
#include "wire/frame.h"

#define SYNC_BLOB_MAX (64u << 20)
#define SYNC_WINDOW_MAX 64 /* gets under way */

/* One blob being pulled. What has come stays in it: it goes on after a pause, and from another server if the blob is
 * the same everywhere. */
struct pull;

must_check int pull_new(struct pull **out, enum sync_what what, uint64_t from, uint64_t to,
                        const uint8_t hash[FRAME_HASH_SIZE]);
void pull_free(struct pull *p);

/* Takes a part; parts of other blobs are ignored (false). The window grows with each part that comes and halves when
 * one is lost (a get unanswered for twice the smoothed round trip, 200 ms at least). */
bool pull_take(struct pull *p, const struct frame_part *part, uint64_t now);
/* The next get to send now; false: none until pull_deadline. */
must_check bool pull_next(struct pull *p, struct frame_get *out, uint64_t now);
uint64_t pull_deadline(const struct pull *p); /* monotonic ns; UINT64_MAX when complete */
/* The whole blob, borrowed; NULL while incomplete. An empty one (total 0) is complete with *len 0 and non-NULL. */
const uint8_t *pull_complete(const struct pull *p, size_t *len);
uint64_t pull_to(const struct pull *p); /* what UINT64_MAX turned out to be */
/* When the last part came; 0: none yet. */
uint64_t pull_last_progress(const struct pull *p);
/* Another server is asked from now on: what is under way is asked anew. */
void pull_restart(struct pull *p);

/* Answers a get from a blob. False: the offset is beyond it. */
must_check bool serve_part(const struct frame_get *get, uint64_t to, const uint8_t *blob, size_t len,
                           struct frame_part *out);

#endif
