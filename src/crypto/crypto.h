/* All cryptography that Nightjar uses, behind one header; one file per library behind it. */
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define X25519_SIZE 32
#define ED25519_PUBLIC_SIZE 32
#define ED25519_SEED_SIZE 32
#define ED25519_SIGNATURE_SIZE 64
#define SHA256_SIZE 32
#define BLAKE2S_SIZE 32
#define AEAD_KEY_SIZE 32
#define AEAD_TAG_SIZE 16
#define AEAD_NONCE_SIZE 12
#define XAEAD_NONCE_SIZE 24

/* Library handles, fetched once. One per thread; keeps no secret between calls. */
struct crypto;

enum crypto_bulk {
    CRYPTO_BULK_BEST,    /* libipsec-mb where it was built in and the CPU has what it needs, else OpenSSL */
    CRYPTO_BULK_OPENSSL, /* OpenSSL for everything */
};

must_check int crypto_new(struct crypto **out, enum crypto_bulk bulk);
void crypto_free(struct crypto *c);
/* "openssl", or "ipsec-mb" and the instruction set in use. Static storage. */
const char *crypto_bulk_name(const struct crypto *c);

/* RFC 7748. The private key need not be clamped. */
must_check int crypto_x25519_public(struct crypto *c, uint8_t public_key[X25519_SIZE],
                                    const uint8_t private_key[X25519_SIZE]);
/* ERROR_LOW_ORDER, and zeroes in `shared`, when the result is all zero (RFC 7748 section 6.1). */
must_check int crypto_x25519(struct crypto *c, uint8_t shared[X25519_SIZE], const uint8_t private_key[X25519_SIZE],
                             const uint8_t public_key[X25519_SIZE]);

/* RFC 8032, pure Ed25519. The seed is the private key. */
must_check int crypto_ed25519_public(struct crypto *c, uint8_t public_key[ED25519_PUBLIC_SIZE],
                                     const uint8_t seed[ED25519_SEED_SIZE]);
must_check int crypto_ed25519_sign(struct crypto *c, uint8_t signature[ED25519_SIGNATURE_SIZE],
                                   const uint8_t seed[ED25519_SEED_SIZE], const void *message, size_t len);
/* ERROR_AUTHENTICATION when the signature is not the key's. */
must_check int crypto_ed25519_verify(struct crypto *c, const uint8_t signature[ED25519_SIGNATURE_SIZE],
                                     const uint8_t public_key[ED25519_PUBLIC_SIZE], const void *message, size_t len);

/* FIPS 180-4. */
must_check int crypto_sha256(struct crypto *c, uint8_t digest[SHA256_SIZE], const void *data, size_t len);

/* RFC 7693, unkeyed, 32 bytes, of a || b. Either may be NULL with length 0. */
must_check int crypto_blake2s(struct crypto *c, uint8_t digest[BLAKE2S_SIZE], const void *a, size_t a_len,
                              const void *b, size_t b_len);
/* RFC 7693, keyed (1 to 32 bytes of key), mac_len 1 to 32. */
must_check int crypto_blake2s_mac(struct crypto *c, uint8_t *mac, size_t mac_len, const uint8_t *key, size_t key_len,
                                  const void *data, size_t len);
/* RFC 2104 over BLAKE2s. key_len at most 64. */
must_check int crypto_hmac_blake2s(struct crypto *c, uint8_t mac[BLAKE2S_SIZE], const uint8_t *key, size_t key_len,
                                   const void *data, size_t len);
/* WireGuard's KDF_n (paper section 5.4; HKDF of RFC 5869 over HMAC-BLAKE2s with empty info): writes `count` (1 to 3)
 * outputs of 32 bytes each. `out` entries may alias `chaining_key`. */
must_check int crypto_kdf(struct crypto *c, uint8_t *const out[], unsigned count,
                          const uint8_t chaining_key[BLAKE2S_SIZE], const void *input, size_t input_len);

/* A key from a passphrase: scrypt (RFC 7914) with N = 2^log2_n, r = 8, p = 1; takes 2^(log2_n + 10) bytes of memory.
 * ERROR_INVALID for a log2_n out of range, ERROR_MEMORY. */
#define SCRYPT_LOG2_N_MIN 10
#define SCRYPT_LOG2_N_MAX 20
must_check int crypto_scrypt(struct crypto *c, uint8_t key[AEAD_KEY_SIZE], const char *passphrase, size_t len,
                             const uint8_t *salt, size_t salt_len, unsigned log2_n);

enum aead { AEAD_CHACHA20_POLY1305, AEAD_AES_256_GCM };

/* RFC 8439 and NIST SP 800-38D. `out` may be `text`; sealed text is len + AEAD_TAG_SIZE bytes long. */
must_check int crypto_aead_seal(struct crypto *c, enum aead aead, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                                const uint8_t nonce[AEAD_NONCE_SIZE], const void *ad, size_t ad_len,
                                const uint8_t *text, size_t len);
/* `len` counts the tag. ERROR_AUTHENTICATION leaves nothing of the text in `out`. */
must_check int crypto_aead_open(struct crypto *c, enum aead aead, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                                const uint8_t nonce[AEAD_NONCE_SIZE], const void *ad, size_t ad_len,
                                const uint8_t *sealed, size_t len);

/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), for cookie replies. */
must_check int crypto_xaead_seal(struct crypto *c, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                                 const uint8_t nonce[XAEAD_NONCE_SIZE], const void *ad, size_t ad_len,
                                 const uint8_t *text, size_t len);
must_check int crypto_xaead_open(struct crypto *c, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                                 const uint8_t nonce[XAEAD_NONCE_SIZE], const void *ad, size_t ad_len,
                                 const uint8_t *sealed, size_t len);

/* A key made ready for the data path: expanded once, used for many batches by any thread (one whose `crypto` is of
 * another kind goes by the key alone). NULL for an AEAD that gains nothing from it here. Holds secrets; freed with a
 * wipe. ERROR_MEMORY. */
struct crypto_ready_key;
must_check int crypto_ready_key_new(struct crypto *c, struct crypto_ready_key **out, enum aead aead,
                                    const uint8_t key[AEAD_KEY_SIZE]);
void crypto_ready_key_free(struct crypto_ready_key *key);
/* Whether this AEAD is fast on this machine: AES where the CPU has instructions for it and for carry-less products. */
bool crypto_is_fast(enum aead aead);

/* One packet of a batch, worked on in place. The nonce is 32 zero bits and the counter, little-endian (ChaCha20-
 * Poly1305), which is how transport messages use it. */
struct aead_op {
    const uint8_t *key;                   /* AEAD_KEY_SIZE bytes, borrowed */
    const struct crypto_ready_key *ready; /* the same key made ready, borrowed; NULL: it is expanded for this batch */
    uint8_t *text; /* sealing: len bytes, with AEAD_TAG_SIZE bytes of room behind; opening: len bytes, tag included */
    const uint8_t *ad; /* borrowed; NULL with ad_len 0 */
    uint32_t len;
    uint32_t ad_len;
    uint64_t counter;
    int result; /* out: 0, ERROR_AUTHENTICATION or ERROR_CRYPTO */
};

/* The data path: `count` packets, any mix of keys and lengths (0 and up), each with a result of its own. A packet that
 * fails to open has unspecified text; the caller must not look at it. */
void crypto_seal_batch(struct crypto *c, enum aead aead, struct aead_op *ops, size_t count);
void crypto_open_batch(struct crypto *c, enum aead aead, struct aead_op *ops, size_t count);

#endif
