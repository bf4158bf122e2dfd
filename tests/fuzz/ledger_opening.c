#include <string.h>

#include "ledger/opening.h"

#include "fuzz.h"

/* Invites and scopes are what writing them gives; rules may hold keys that this version does not know, and what is
 * written of them is read to the same again. */
static void must_be_written_the_same(const struct opening *o, const uint8_t *data, size_t size)
{
    uint8_t *again = malloc(OPENING_MAX), *twice = malloc(OPENING_MAX);
    struct opening other;
    must(again && twice);
    int len = opening_encode(o, again, OPENING_MAX);
    must(len > 0);
    if (o->kind != OPENING_RULES)
        must((size_t)len == size && memcmp(again, data, size) == 0);
    must(opening_decode(&other, again, (size_t)len) == 0);
    must(opening_encode(&other, twice, OPENING_MAX) == len);
    must(memcmp(again, twice, (size_t)len) == 0);
    opening_clear(&other);
    free(again);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct opening o;
    if (opening_decode(&o, data, size))
        return 0;
    must_be_written_the_same(&o, data, size);
    opening_clear(&o);
    return 0;
}
