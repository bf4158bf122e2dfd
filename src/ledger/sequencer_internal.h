/* What the files of the sequencer share: sequencer.c (its life, heads and timer), sequencer_admit.c (what may stand),
 * sequencer_frame.c (what it is asked). */
#ifndef LEDGER_SEQUENCER_INTERNAL_H
#define LEDGER_SEQUENCER_INTERNAL_H

#include "ledger/archive.h"
#include "ledger/opening.h"
#include "ledger/sequencer.h"
#include "ledger/sync.h"

#define SEQUENCER_OFFER_MAX (8u << 20)                /* bytes of a submission */
#define SEQUENCER_PULL_PATIENCE UINT64_C(30000000000) /* ns without a part; then the slot may go to another */
#define SEQUENCER_BLOBS_MAX 4                         /* kept for the gets that follow */

/* What a device's invite claims for it; beside fold_device_at of the same number. */
struct sequencer_claim {
    char name[NAME_MAX_LEN + 1]; /* empty: its opening is not held */
    bool has_ipv4;
    uint8_t ipv4[4];
};

struct sequencer_pull {
    struct pull *pull; /* NULL: free */
    uint8_t hash[SHA256_SIZE];
    uint64_t began;
};

struct sequencer_blob {
    enum sync_what what;
    uint64_t from, to;
    uint8_t *bytes; /* owned; NULL: free */
    size_t len;
};

struct sequencer {
    struct crypto *crypto;
    struct sequencer_ops ops;
    uint8_t seed[ED25519_SEED_SIZE];
    uint8_t key[ED25519_PUBLIC_SIZE];
    struct fold *fold;
    struct archive archive;
    struct sequencer_claim *claims;
    uint32_t claim_count, claim_capacity;
    struct sequencer_pull pulls[SEQUENCER_PULLS_MAX];
    struct sequencer_blob blobs[SEQUENCER_BLOBS_MAX];
    uint32_t next_blob; /* the one that makes room */
    bool replaced;      /* a root that the owners signed cuts off what was sequenced here: nothing more is */
    bool has_head;
    uint8_t head[SIGNED_HEAD_SIZE];
    uint64_t signed_time; /* the head's; s since 1970 */
    uint64_t next_head;   /* when to sign anew; monotonic */
};

/* What somebody wants to stand. Openings beyond those that the statement commits to are passed over. */
struct sequencer_submission {
    struct frame_view statement;
    const struct sequencer_opening *openings;
    uint32_t opening_count;
};

/* Whether the statement may be the next entry. STANDS: `kept` (room for sequencer_openings_max) are the openings to
 * keep with it that are not held yet. */
must_check enum fold_verdict sequencer_judge(struct sequencer *s, const struct statement *st, uint64_t time,
                                             const struct sequencer_submission *from, struct sequencer_opening *kept,
                                             uint32_t *kept_count);
uint32_t sequencer_openings_max(const struct statement *st);

/* Keeps a statement that was judged to stand as the next entry, and makes it one. ERROR_IO: it could not be kept, and
 * nothing has changed; any other: memory is behind what is kept, and nothing can go on. */
must_check int sequencer_append(struct sequencer *s, const struct statement *st, uint64_t time,
                                const struct sequencer_opening *kept, uint32_t kept_count);

/* What became of a submission, as it was found or as it is now. Negative: nothing can go on (sequencer_frame). */
struct sequencer_outcome {
    uint8_t statement[SHA256_SIZE];
    enum fold_verdict verdict;
    uint64_t index;
};
must_check int sequencer_submit(struct sequencer *s, const struct sequencer_submission *what, uint64_t wall,
                                struct sequencer_outcome *out);

/* The openings of a blob with their commitments, to be freed by the caller; views are borrowed from the blob. */
must_check int sequencer_read_openings(struct crypto *c, struct blob_reader *from, struct sequencer_opening **out,
                                       uint32_t *count);

/* Signs the head as of `wall` and tells it. */
must_check int sequencer_sign(struct sequencer *s, uint64_t wall, uint64_t now);
void sequencer_notify(struct sequencer *s);
void sequencer_send(struct sequencer *s, const struct frame *frame);
/* Sends the gets that are due; gives up pulls that stand still. */
void sequencer_pull_on(struct sequencer *s, uint64_t now);
uint64_t sequencer_pull_deadline(const struct sequencer *s);

#endif
