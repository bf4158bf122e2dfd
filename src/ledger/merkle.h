/* A Merkle tree over records (RFC 6962 section 2.1): leaf SHA-256(0x00 || record), node SHA-256(0x01 || left || right).
 * A changed or added leaf costs one hash a level. */
#ifndef LEDGER_MERKLE_H
#define LEDGER_MERKLE_H

#include "crypto/crypto.h"

#define MERKLE_LEVELS 33

/* levels[0] holds the leaves; each level above, the pairs of the one below; a last one without a partner is carried up
 * as it is, which gives the tree of RFC 6962 for any number of leaves. */
struct merkle {
    uint8_t (*levels[MERKLE_LEVELS])[SHA256_SIZE];
    uint32_t capacity[MERKLE_LEVELS];
    uint32_t count; /* leaves */
};

void merkle_clear(struct merkle *m);
/* Room for `count` leaves, so that merkle_set allocates nothing. ERROR_MEMORY leaves the tree as it was. */
must_check int merkle_reserve(struct merkle *m, uint32_t count);
/* Sets leaf `i`, which is there or is the next one, from a record. `bytes` has the record from its second byte on; the
 * first one is overwritten. ERROR_CRYPTO leaves a tree that is good for nothing but merkle_clear. */
must_check int merkle_set(struct merkle *m, struct crypto *c, uint32_t i, uint8_t *bytes, size_t len);
/* Zero for a tree without leaves. */
void merkle_root(const struct merkle *m, uint8_t out[SHA256_SIZE]);

#endif
