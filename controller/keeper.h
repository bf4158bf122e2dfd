/* A sequencer over a store: what is sequenced is kept, and is there again at the next start. */
#ifndef CONTROLLER_KEEPER_H
#define CONTROLLER_KEEPER_H

#include "ledger/sequencer.h"

struct keeper;

/* Frames go to `send`, what became of statements to `judged` (may be NULL). */
struct keeper_ops {
    void (*send)(void *context, const uint8_t *frame, size_t len);
    void (*judged)(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index);
    void *context;
};

/* Opens the store at `path` (store.h; `vfs` as there) and restores. Errors as store_open, and ERROR_MALFORMED for a
 * store whose entries do not follow from each other. `c` is borrowed. */
must_check int keeper_open(struct keeper **out, struct crypto *c, const struct keeper_ops *ops,
                           const uint8_t seed[ED25519_SEED_SIZE], const char *path, const char *vfs);
void keeper_close(struct keeper *k);
struct sequencer *keeper_sequencer(struct keeper *k);

/* Founds from what `nightjar join` hands over: the CBOR array [entries, openings], each as in ledger/blob.h. */
must_check int keeper_found(struct keeper *k, const uint8_t *bytes, size_t len, enum fold_verdict *verdict);

#endif
