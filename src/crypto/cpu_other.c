#include "crypto/crypto.h"

bool crypto_is_fast(enum aead aead)
{
    return aead == AEAD_CHACHA20_POLY1305;
}
