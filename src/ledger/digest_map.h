/* Numbers by SHA-256 digest. Digests are spread evenly already, so their first bytes are the hash. */
#ifndef LEDGER_DIGEST_MAP_H
#define LEDGER_DIGEST_MAP_H

#include <stdint.h>

#include "base/error.h"
#include "crypto/crypto.h"

#define DIGEST_MAP_NONE UINT32_MAX

struct digest_map {
    struct digest_slot *slots; /* owned; NULL while empty */
    uint32_t capacity;         /* a power of two */
    uint32_t count;
};

/* Starts from all zero. */
void digest_map_clear(struct digest_map *m);
/* Room for one more, so that the next digest_map_put cannot fail. */
must_check int digest_map_reserve(struct digest_map *m);
/* Needs room reserved. A digest that is there already gets the new number. */
void digest_map_put(struct digest_map *m, const uint8_t digest[SHA256_SIZE], uint32_t number);
/* DIGEST_MAP_NONE when there is none. */
uint32_t digest_map_get(const struct digest_map *m, const uint8_t digest[SHA256_SIZE]);

#endif
