/* An index from keys (at least 8 bytes, spread by hashing or randomness) to positions in an array of the owner's, who
 * says where the key of a position is. Open addressing; nothing but positions is stored. */
#ifndef LEDGER_KEY_INDEX_H
#define LEDGER_KEY_INDEX_H

#include <stdint.h>

#include "base/error.h"

#define KEY_INDEX_NONE UINT32_MAX

struct key_index {
    const uint8_t *(*key_of)(const void *owner, uint32_t position);
    uint32_t key_len;
    uint32_t count;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t *slots;   /* position + 1; 0: empty */
};

void key_index_clear(struct key_index *x);
/* Room for `more` positions beyond those in it. */
must_check int key_index_reserve(struct key_index *x, const void *owner, uint32_t more);
/* The position whose key this is, or KEY_INDEX_NONE. */
uint32_t key_index_find(const struct key_index *x, const void *owner, const uint8_t *key);
/* Puts a position whose key stands in its place already and is not in the index. Needs room reserved. */
void key_index_put(struct key_index *x, const void *owner, uint32_t position);
/* Takes out a position whose key still stands in its place. */
void key_index_remove(struct key_index *x, const void *owner, uint32_t position);

#endif
