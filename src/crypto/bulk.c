#include "crypto/bulk.h"

#include <string.h>

#include "base/bytes.h"

void bulk_nonce(uint8_t nonce[AEAD_NONCE_SIZE], uint64_t counter)
{
    struct le64 v = put_le64(counter);
    memset(nonce, 0, 4);
    memcpy(nonce + 4, v.b, sizeof(v.b));
}
