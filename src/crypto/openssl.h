/* The OpenSSL objects behind struct crypto. Internal to src/crypto. */
#ifndef CRYPTO_OPENSSL_H
#define CRYPTO_OPENSSL_H

#include <openssl/evp.h>

#include "crypto/bulk.h"

#define AEAD_COUNT 2
#define HCHACHA20_NONCE_SIZE 16

/* Fetching an algorithm by name costs more than using it, hence once. The contexts are used again and again, but keep
 * no key: whoever gives one a key takes it away before returning. */
struct crypto {
    EVP_MD *sha256;
    EVP_MD *blake2s;
    EVP_MD_CTX *blake2s_ctx; /* initialised with blake2s; wiped by every final */
    EVP_MAC_CTX *blake2s_mac_ctx;
    EVP_PKEY_CTX *x25519_import;
    EVP_PKEY *x25519_peer;        /* takes the public key of each exchange */
    EVP_CIPHER *aead[AEAD_COUNT]; /* by enum aead */
    EVP_CIPHER *chacha20;
    EVP_CIPHER_CTX *cipher_ctx; /* reset, which wipes and frees its key, after every call */
    struct bulk bulk;
};

/* Empties OpenSSL's queue of errors, which nobody reads, and returns `error`. */
int openssl_failed(int error);

/* draft-irtf-cfrg-xchacha-03 section 2.2. */
must_check int openssl_hchacha20(struct crypto *c, uint8_t subkey[AEAD_KEY_SIZE], const uint8_t key[AEAD_KEY_SIZE],
                                 const uint8_t nonce[HCHACHA20_NONCE_SIZE]);

#endif
