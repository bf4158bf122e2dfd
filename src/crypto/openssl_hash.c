#include <openssl/core_names.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/openssl.h"

#define BLAKE2S_BLOCK 64
#define KDF_OUTPUTS_MAX 3

struct span {
    const void *bytes;
    size_t len;
};

/* The context knows its digest: starting over looks nothing up. */
static int blake2s(struct crypto *c, uint8_t digest[BLAKE2S_SIZE], struct span a, struct span b)
{
    EVP_MD_CTX *ctx = c->blake2s_ctx;
    if (!EVP_DigestInit_ex2(ctx, NULL, NULL) || !EVP_DigestUpdate(ctx, a.bytes, a.len) ||
        !EVP_DigestUpdate(ctx, b.bytes, b.len) || !EVP_DigestFinal_ex(ctx, digest, NULL))
        return openssl_failed(ERROR_CRYPTO);
    return 0;
}

int crypto_blake2s(struct crypto *c, uint8_t digest[BLAKE2S_SIZE], const void *a, size_t a_len, const void *b,
                   size_t b_len)
{
    return blake2s(c, digest, (struct span){a, a_len}, (struct span){b, b_len});
}

int crypto_sha256(struct crypto *c, uint8_t digest[SHA256_SIZE], const void *data, size_t len)
{
    return EVP_Digest(data, len, digest, NULL, c->sha256, NULL) ? 0 : openssl_failed(ERROR_CRYPTO);
}

static int mac_start(EVP_MAC_CTX *ctx, const uint8_t *key, size_t key_len, size_t mac_len)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &mac_len), OSSL_PARAM_construct_end()};
    return EVP_MAC_init(ctx, key, key_len, params) ? 0 : ERROR_CRYPTO;
}

/* A MAC context holds its key until it gets another: give it one that is no secret. */
static int mac_forget_key(EVP_MAC_CTX *ctx)
{
    static const uint8_t zero[BLAKE2S_SIZE];
    return mac_start(ctx, zero, sizeof(zero), BLAKE2S_SIZE);
}

int crypto_blake2s_mac(struct crypto *c, uint8_t *mac, size_t mac_len, const uint8_t *key, size_t key_len,
                       const void *data, size_t len)
{
    if (key_len == 0 || key_len > BLAKE2S_SIZE || mac_len == 0 || mac_len > BLAKE2S_SIZE)
        return ERROR_INVALID;
    EVP_MAC_CTX *ctx = c->blake2s_mac_ctx;
    int error = mac_start(ctx, key, key_len, mac_len);
    if (!error && (!EVP_MAC_update(ctx, data, len) || !EVP_MAC_final(ctx, mac, NULL, mac_len)))
        error = ERROR_CRYPTO;
    if (mac_forget_key(ctx))
        error = ERROR_CRYPTO;
    return error ? openssl_failed(error) : 0;
}

static void pad_key(uint8_t pad[BLAKE2S_BLOCK], const uint8_t *key, size_t key_len, uint8_t filler)
{
    memset(pad, filler, BLAKE2S_BLOCK);
    for (size_t i = 0; i < key_len; i++)
        pad[i] ^= key[i];
}

int crypto_hmac_blake2s(struct crypto *c, uint8_t mac[BLAKE2S_SIZE], const uint8_t *key, size_t key_len,
                        const void *data, size_t len)
{
    if (key_len > BLAKE2S_BLOCK)
        return ERROR_INVALID;
    uint8_t pad[BLAKE2S_BLOCK], inner[BLAKE2S_SIZE];
    pad_key(pad, key, key_len, 0x36);
    int error = blake2s(c, inner, (struct span){pad, sizeof(pad)}, (struct span){data, len});
    pad_key(pad, key, key_len, 0x5c);
    if (!error)
        error = blake2s(c, mac, (struct span){pad, sizeof(pad)}, (struct span){inner, sizeof(inner)});
    wipe(pad, sizeof(pad));
    wipe(inner, sizeof(inner));
    return error;
}

/* RFC 5869 section 2.3 with empty info: T(i) = HMAC(PRK, T(i-1) || i), T(0) being empty. */
static int expand(struct crypto *c, uint8_t *const out[], unsigned count, const uint8_t prk[BLAKE2S_SIZE])
{
    uint8_t block[BLAKE2S_SIZE + 1] = {1};
    size_t len = 1;
    int error = 0;
    for (unsigned i = 0; i < count && !error; i++) {
        error = crypto_hmac_blake2s(c, block, prk, BLAKE2S_SIZE, block, len);
        memcpy(out[i], block, BLAKE2S_SIZE);
        block[BLAKE2S_SIZE] = (uint8_t)(i + 2);
        len = sizeof(block);
    }
    wipe(block, sizeof(block));
    return error;
}

int crypto_kdf(struct crypto *c, uint8_t *const out[], unsigned count, const uint8_t chaining_key[BLAKE2S_SIZE],
               const void *input, size_t input_len)
{
    if (count == 0 || count > KDF_OUTPUTS_MAX)
        return ERROR_INVALID;
    uint8_t prk[BLAKE2S_SIZE];
    int error = crypto_hmac_blake2s(c, prk, chaining_key, BLAKE2S_SIZE, input, input_len);
    if (!error)
        error = expand(c, out, count, prk);
    wipe(prk, sizeof(prk));
    return error;
}
