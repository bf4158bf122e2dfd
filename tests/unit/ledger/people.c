#include "people.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static void must(int error)
{
    if (error < 0)
        abort();
}

struct people *people_new(void)
{
    struct people *p = calloc(1, sizeof(*p));
    must(p ? 0 : ERROR_MEMORY);
    must(crypto_new(&p->c, CRYPTO_BULK_OPENSSL));
    for (uint32_t i = 0; i < PEOPLE_MAX; i++) {
        put_be32(p->seeds[i], i + 1);
        must(crypto_ed25519_public(p->c, p->keys[i], p->seeds[i]));
    }
    return p;
}

void people_free(struct people *p)
{
    crypto_free(p->c);
    free(p);
}

void static_key(uint8_t out[X25519_SIZE], uint32_t number)
{
    memset(out, 0x5a, X25519_SIZE);
    put_be32(out, number);
}

void say(struct people *p, struct said *out, const struct statement *s, const uint32_t *signers, uint32_t count)
{
    struct signer seeds[STATEMENT_SIGNATURES_MAX];
    for (uint32_t i = 0; i < count; i++)
        memcpy(seeds[i].seed, p->seeds[signers[i]], ED25519_SEED_SIZE);
    int len = statement_sign(p->c, s, seeds, count, out->bytes, sizeof(out->bytes));
    must(len);
    must(statement_decode(p->c, &out->s, out->bytes, (size_t)len));
}

struct statement simple_root(const struct people *p, uint32_t owner, uint32_t role_key, uint32_t sequencer)
{
    struct statement s = {.kind = STATEMENT_ROOT};
    s.root = (struct statement_root){.version = 1, .time = 1000, .threshold = 1, .owner_count = 1, .role_count = 1};
    memcpy(s.root.owners[0], p->keys[owner], ED25519_PUBLIC_SIZE);
    memcpy(s.root.roles[0].key, p->keys[role_key], ED25519_PUBLIC_SIZE);
    s.root.roles[0].roles = ROLE_ADMISSION | ROLE_POLICY | ROLE_SAFETY | ROLE_RELEASE;
    s.root.sequencer_count = 1;
    memcpy(s.root.sequencers[0], p->keys[sequencer], ED25519_PUBLIC_SIZE);
    return s;
}
