#include <openssl/evp.h>

#include "crypto/openssl.h"

/* RFC 7914 section 2: 128 N r bytes, and some for the blocks. */
#define SCRYPT_R 8
#define SCRYPT_P 1
#define SCRYPT_ROOM (1u << 20)

int crypto_scrypt(struct crypto *c, uint8_t key[AEAD_KEY_SIZE], const char *passphrase, size_t len, const uint8_t *salt,
                  size_t salt_len, unsigned log2_n)
{
    (void)c;
    if (log2_n < SCRYPT_LOG2_N_MIN || log2_n > SCRYPT_LOG2_N_MAX)
        return ERROR_INVALID;
    uint64_t n = UINT64_C(1) << log2_n;
    uint64_t memory = 128 * n * SCRYPT_R + SCRYPT_ROOM;
    if (!EVP_PBE_scrypt(passphrase, len, salt, salt_len, n, SCRYPT_R, SCRYPT_P, memory, key, AEAD_KEY_SIZE))
        return openssl_failed(ERROR_MEMORY);
    return 0;
}
