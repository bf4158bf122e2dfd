#include "crypto/openssl.h"

static EVP_PKEY *import_seed(const uint8_t seed[ED25519_SEED_SIZE])
{
    return EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, seed, ED25519_SEED_SIZE);
}

int crypto_ed25519_public(struct crypto *c, uint8_t public_key[ED25519_PUBLIC_SIZE],
                          const uint8_t seed[ED25519_SEED_SIZE])
{
    (void)c;
    size_t len = ED25519_PUBLIC_SIZE;
    EVP_PKEY *key = import_seed(seed);
    int ok = key && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : openssl_failed(ERROR_CRYPTO);
}

int crypto_ed25519_sign(struct crypto *c, uint8_t signature[ED25519_SIGNATURE_SIZE],
                        const uint8_t seed[ED25519_SEED_SIZE], const void *message, size_t len)
{
    (void)c;
    size_t signature_len = ED25519_SIGNATURE_SIZE;
    EVP_PKEY *key = import_seed(seed);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = key && ctx && EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1 &&
             EVP_DigestSign(ctx, signature, &signature_len, message, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok ? 0 : openssl_failed(ERROR_CRYPTO);
}

int crypto_ed25519_verify(struct crypto *c, const uint8_t signature[ED25519_SIGNATURE_SIZE],
                          const uint8_t public_key[ED25519_PUBLIC_SIZE], const void *message, size_t len)
{
    (void)c;
    int error = ERROR_CRYPTO;
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, public_key, ED25519_PUBLIC_SIZE);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (key && ctx && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) == 1) {
        int verdict = EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_SIZE, message, len);
        error = verdict == 1 ? 0 : ERROR_AUTHENTICATION;
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return error ? openssl_failed(error) : 0;
}
