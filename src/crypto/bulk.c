#include "crypto/bulk.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void bulk_nonce(uint8_t nonce[AEAD_NONCE_SIZE], uint64_t counter)
{
    struct le64 v = put_le64(counter);
    memset(nonce, 0, 4);
    memcpy(nonce + 4, v.b, sizeof(v.b));
}

static void free_nothing(struct crypto_ready_key *key)
{
    free(key);
}

int bulk_nothing_to_make_ready(struct crypto_ready_key **out, const char *kind)
{
    struct crypto_ready_key *key = malloc(sizeof(*key));
    if (!key)
        return ERROR_MEMORY;
    *key = (struct crypto_ready_key){.kind = kind, .free = free_nothing};
    *out = key;
    return 0;
}
