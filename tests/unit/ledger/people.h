/* Keys and signed statements for tests: whoever has a number has a key. */
#ifndef TESTS_UNIT_LEDGER_PEOPLE_H
#define TESTS_UNIT_LEDGER_PEOPLE_H

#include "ledger/fold.h"

#define PEOPLE_MAX 512

/* Public keys are computed once. */
struct people {
    struct crypto *c;
    uint8_t seeds[PEOPLE_MAX][ED25519_SEED_SIZE];
    uint8_t keys[PEOPLE_MAX][ED25519_PUBLIC_SIZE];
};

/* A signed statement with its bytes. */
struct said {
    uint8_t bytes[4096];
    struct statement s;
};

struct people *people_new(void);
void people_free(struct people *p);

/* A static key that is nobody's in particular. */
void static_key(uint8_t out[X25519_SIZE], uint32_t number);

/* Signs `s` by each of `signers` (numbers, `count` of them) and decodes it; aborts if that fails. */
void say(struct people *p, struct said *out, const struct statement *s, const uint32_t *signers, uint32_t count);
#define SAY(p, out, s, ...) \
    say(p, out, s, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* A first root: owner, and one key for all roles. */
struct statement simple_root(const struct people *p, uint32_t owner, uint32_t role_key, uint32_t sequencer);

#endif
