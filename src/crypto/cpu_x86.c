#include "crypto/crypto.h"

bool crypto_is_fast(enum aead aead)
{
    return aead == AEAD_CHACHA20_POLY1305 || (__builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul"));
}
