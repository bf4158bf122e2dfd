/* What is inside the blobs that sync moves, all deterministic CBOR:
 *   SYNC_LEDGER    [[time, statement], ...]      entries in order
 *   SYNC_OPENINGS  [opening, ...]                always in the same order, none twice
 *   SYNC_OFFER     [statement, [opening, ...]]   a submission; also what the outbox holds
 *   SYNC_FOLD      is fold_save's.
 * Statements and openings are byte strings. */
#ifndef LEDGER_BLOB_H
#define LEDGER_BLOB_H

#include "base/error.h"
#include "ledger/sync.h"

#define SUBMISSION_OPENINGS_MAX 1024

/* Reads a blob from its front; borrows it. */
struct blob_reader {
    const uint8_t *at, *end;
    uint64_t left; /* items */
};
/* The door: ERROR_MALFORMED unless all of it has the form above. */
must_check int blob_read_entries(struct blob_reader *out, const uint8_t *blob, size_t len);
must_check int blob_read_openings(struct blob_reader *out, const uint8_t *blob, size_t len);
must_check int blob_read_submission(struct blob_reader *openings, struct frame_view *statement, const uint8_t *blob,
                                    size_t len);
/* False: there are no more. */
bool blob_next_entry(struct blob_reader *r, uint64_t *time, struct frame_view *statement);
bool blob_next_opening(struct blob_reader *r, struct frame_view *opening);

/* Grows as it is written; one writer makes one blob. ERROR_MEMORY sticks; beyond SYNC_BLOB_MAX: ERROR_OVERFLOW. */
struct blob_writer {
    uint8_t *bytes; /* owned: the caller frees */
    size_t len, capacity;
    int error;
};
void blob_begin(struct blob_writer *w, uint64_t items); /* entries or openings: how many will come */
void blob_put_entry(struct blob_writer *w, uint64_t time, struct frame_view statement);
void blob_put_opening(struct blob_writer *w, struct frame_view opening);
void blob_begin_submission(struct blob_writer *w, struct frame_view statement, uint64_t openings);

#endif
