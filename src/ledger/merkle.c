#include "ledger/merkle.h"

#include <stdlib.h>
#include <string.h>

#define LEAF 0x00
#define NODE 0x01

void merkle_clear(struct merkle *m)
{
    for (uint32_t level = 0; level < MERKLE_LEVELS; level++)
        free(m->levels[level]);
    memset(m, 0, sizeof(*m));
}

static int reserve_level(struct merkle *m, uint32_t level, uint32_t count)
{
    if (count <= m->capacity[level])
        return 0;
    uint32_t capacity = m->capacity[level] ? m->capacity[level] : 16;
    while (capacity < count)
        capacity *= 2;
    void *grown = realloc(m->levels[level], (size_t)capacity * SHA256_SIZE);
    if (!grown)
        return ERROR_MEMORY;
    m->levels[level] = grown;
    m->capacity[level] = capacity;
    return 0;
}

int merkle_reserve(struct merkle *m, uint32_t count)
{
    int error = 0;
    for (uint32_t level = 0; count > 0 && !error; level++, count = count == 1 ? 0 : count / 2 + count % 2)
        error = reserve_level(m, level, count);
    return error;
}

/* Node i of `level` from the one or two below it; `below`: how many there are. */
static int set_node(struct merkle *m, struct crypto *c, uint32_t level, uint32_t i, uint32_t below)
{
    uint8_t bytes[1 + 2 * SHA256_SIZE];
    const uint8_t(*pair)[SHA256_SIZE] = (const uint8_t(*)[SHA256_SIZE])m->levels[level - 1] + (size_t)i * 2;
    if (i * 2 + 1 == below) {
        memcpy(m->levels[level][i], pair[0], SHA256_SIZE);
        return 0;
    }
    bytes[0] = NODE;
    memcpy(bytes + 1, pair, 2 * (size_t)SHA256_SIZE);
    return crypto_sha256(c, m->levels[level][i], bytes, sizeof(bytes));
}

int merkle_set(struct merkle *m, struct crypto *c, uint32_t i, uint8_t *bytes, size_t len)
{
    bytes[0] = LEAF;
    if (i == m->count)
        m->count++;
    int error = crypto_sha256(c, m->levels[0][i], bytes, len);
    uint32_t level = 1;
    for (uint32_t count = m->count; count > 1 && !error; count = count / 2 + count % 2, level++) {
        i /= 2;
        error = set_node(m, c, level, i, count);
    }
    return error;
}

void merkle_root(const struct merkle *m, uint8_t out[SHA256_SIZE])
{
    uint32_t level = 0;
    for (uint32_t count = m->count; count > 1; count = count / 2 + count % 2)
        level++;
    if (m->count == 0)
        memset(out, 0, SHA256_SIZE);
    else
        memcpy(out, m->levels[level][0], SHA256_SIZE);
}
