/* What the data path asks of a library. Internal to src/crypto. */
#ifndef CRYPTO_BULK_H
#define CRYPTO_BULK_H

#include "crypto/crypto.h"

/* The beginning of each kind's own. */
struct crypto_ready_key {
    const char *kind; /* the name of the bulk that made it */
    void (*free)(struct crypto_ready_key *key);
};

struct bulk {
    const char *name; /* static storage */
    void *state;
    void (*seal)(void *state, enum aead aead, struct aead_op *ops, size_t count);
    void (*open)(void *state, enum aead aead, struct aead_op *ops, size_t count);
    int (*make_ready)(void *state, struct crypto_ready_key **out, enum aead aead, const uint8_t key[AEAD_KEY_SIZE]);
    void (*free)(void *state);
};

/* Fills `out`, which borrows `c`; cannot fail. */
void bulk_openssl(struct bulk *out, struct crypto *c);
/* ERROR_UNSUPPORTED where libipsec-mb was not built in or the CPU lacks what it needs. */
must_check int bulk_ipsec_mb(struct bulk *out);

/* The nonce of a transport message: 32 zero bits, then the counter, little-endian. */
void bulk_nonce(uint8_t nonce[AEAD_NONCE_SIZE], uint64_t counter);

#endif
