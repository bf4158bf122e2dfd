#include <string.h>

#include "base/bytes.h"
#include "crypto/openssl.h"

#define CHACHA20_BLOCK 64

/* "expand 32-byte k" (RFC 8439 section 2.3). */
static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};

static uint32_t word(const uint8_t *bytes)
{
    struct le32 v;
    memcpy(v.b, bytes, sizeof(v.b));
    return get_le32(v);
}

static void put_word(uint8_t *bytes, uint32_t v)
{
    struct le32 w = put_le32(v);
    memcpy(bytes, w.b, sizeof(w.b));
}

/* OpenSSL's IV is words 12 to 15 of the state, the counter included: just where HChaCha20 has its nonce. */
static int chacha20_block(struct crypto *c, uint8_t block[CHACHA20_BLOCK], const uint8_t key[AEAD_KEY_SIZE],
                          const uint8_t iv[HCHACHA20_NONCE_SIZE])
{
    static const uint8_t zero[CHACHA20_BLOCK];
    int written;
    int ok = EVP_CipherInit_ex2(c->cipher_ctx, c->chacha20, key, iv, 1, NULL) == 1 &&
             EVP_CipherUpdate(c->cipher_ctx, block, &written, zero, CHACHA20_BLOCK) == 1;
    EVP_CIPHER_CTX_reset(c->cipher_ctx);
    return ok ? 0 : openssl_failed(ERROR_CRYPTO);
}

/* draft-irtf-cfrg-xchacha-03 section 2.2: words 0-3 and 12-15 of the state after the rounds. A ChaCha20 block is that
 * state plus the initial one, whose words 0-3 and 12-15 are the constants and the nonce. */
int openssl_hchacha20(struct crypto *c, uint8_t subkey[AEAD_KEY_SIZE], const uint8_t key[AEAD_KEY_SIZE],
                      const uint8_t nonce[HCHACHA20_NONCE_SIZE])
{
    uint8_t block[CHACHA20_BLOCK];
    int error = chacha20_block(c, block, key, nonce);
    for (size_t i = 0; i < 4; i++) {
        put_word(subkey + 4 * i, word(block + 4 * i) - constants[i]);
        put_word(subkey + 16 + 4 * i, word(block + 48 + 4 * i) - word(nonce + 4 * i));
    }
    wipe(block, sizeof(block));
    return error;
}

/* Section 2.3: the subkey from the first 16 bytes, and 4 zero bytes before the last 8. */
static int derive(struct crypto *c, uint8_t subkey[AEAD_KEY_SIZE], uint8_t short_nonce[AEAD_NONCE_SIZE],
                  const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[XAEAD_NONCE_SIZE])
{
    memset(short_nonce, 0, 4);
    memcpy(short_nonce + 4, nonce + HCHACHA20_NONCE_SIZE, 8);
    return openssl_hchacha20(c, subkey, key, nonce);
}

int crypto_xaead_seal(struct crypto *c, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                      const uint8_t nonce[XAEAD_NONCE_SIZE], const void *ad, size_t ad_len, const uint8_t *text,
                      size_t len)
{
    uint8_t subkey[AEAD_KEY_SIZE], short_nonce[AEAD_NONCE_SIZE];
    int error = derive(c, subkey, short_nonce, key, nonce);
    if (!error)
        error = crypto_aead_seal(c, AEAD_CHACHA20_POLY1305, out, subkey, short_nonce, ad, ad_len, text, len);
    wipe(subkey, sizeof(subkey));
    return error;
}

int crypto_xaead_open(struct crypto *c, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                      const uint8_t nonce[XAEAD_NONCE_SIZE], const void *ad, size_t ad_len, const uint8_t *sealed,
                      size_t len)
{
    uint8_t subkey[AEAD_KEY_SIZE], short_nonce[AEAD_NONCE_SIZE];
    int error = derive(c, subkey, short_nonce, key, nonce);
    if (!error)
        error = crypto_aead_open(c, AEAD_CHACHA20_POLY1305, out, subkey, short_nonce, ad, ad_len, sealed, len);
    wipe(subkey, sizeof(subkey));
    return error;
}
