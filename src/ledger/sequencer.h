/* The sequencer: puts statements in order, keeps them with their openings, and says so under its key. It grants
 * nothing: what it takes in was signed by those who may say it, and every node judges that for itself.
 *
 * A pure state machine that speaks to one party, the state of its own node (DESIGN: the door), in frames: joins and
 * offers in; joined, notices and parts out. What is acknowledged was made durable first, through `store`. Time is the
 * caller's: `wall` in seconds since 1970, `now` monotonic in ns. */
#ifndef LEDGER_SEQUENCER_H
#define LEDGER_SEQUENCER_H

#include "ledger/blob.h"
#include "ledger/fold.h"
#include "wire/frame.h"

struct sequencer;

#define SEQUENCER_PULLS_MAX 8 /* offers that are being pulled at once; more are dropped, and offered again */
#define SEQUENCER_HEAD_INTERVAL UINT64_C(60000000000)

/* An entry as it is kept: with the openings that were not held before. */
struct sequencer_entry {
    uint64_t index, time; /* s since 1970 */
    struct frame_view statement;
    uint8_t hash[SHA256_SIZE]; /* of the statement */
    uint8_t head[SHA256_SIZE]; /* the ledger's, once it is the last entry */
    uint32_t opening_count;
    const struct sequencer_opening {
        uint8_t commitment[SHA256_SIZE];
        struct frame_view bytes;
    } * openings;
};

struct sequencer_ops {
    /* To our node's state. */
    void (*send)(void *context, const uint8_t *frame, size_t len);
    /* Durable, all of it, when 0 comes back; nothing of it, now or after a restart, otherwise. */
    int (*store)(void *context, const struct sequencer_entry *entry);
    /* What became of a statement; for a log. */
    void (*judged)(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index);
    void *context;
};

/* `c` is borrowed. `seed`: of the sequencer's signing key; copied, and wiped by sequencer_free. */
must_check int sequencer_new(struct sequencer **out, struct crypto *c, const struct sequencer_ops *ops,
                             const uint8_t seed[ED25519_SEED_SIZE]);
void sequencer_free(struct sequencer *s);

/* Before anything else, what was kept: entries in order, each with its openings. ERROR_MALFORMED: it does not follow
 * from what came before (the store was altered or cut); ERROR_MEMORY. */
must_check int sequencer_restore(struct sequencer *s, const struct sequencer_entry *entry);

/* Founding: the first entries, which came with a ticket, in order, and the openings that they commit to; the last is
 * the join that brings this very key. All or nothing is for the caller: on failure, start anew with an empty store.
 * Entries that are held already, the same, are passed over. */
must_check int sequencer_found(struct sequencer *s, struct blob_reader entries, struct blob_reader openings,
                               enum fold_verdict *verdict);

/* Whether this key is one that the network's root, or its founding, made a sequencer, and no root was handed in that
 * cuts off what was sequenced here. Otherwise nothing is sequenced, and no head signed. A root that replaces sequencers
 * becomes an entry at its own time. */
bool sequencer_is_entitled(const struct sequencer *s);
const struct fold *sequencer_fold(const struct sequencer *s);

/* A frame from our node's state. ERROR_MEMORY after a `store` that held: what is in memory is behind what is kept, and
 * the caller starts anew. What is malformed is dropped. */
must_check int sequencer_frame(struct sequencer *s, const uint8_t *frame, size_t len, uint64_t wall, uint64_t now);
/* Signs the head anew each minute, and tells it; goes on with pulls. */
must_check int sequencer_timer(struct sequencer *s, uint64_t wall, uint64_t now);
uint64_t sequencer_deadline(const struct sequencer *s); /* monotonic ns */

#endif
