#include <string.h>

#include "policy/rules.h"
#include "wire/cbor.h"

#include "fuzz.h"

/* What was understood wholly is written as it was read. */
static bool is_whole(const struct rule_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->rules[i].grant_count == 0)
            return false;
    return true;
}

static void must_be_written_the_same(const struct rule_set *set, const uint8_t *data, size_t size)
{
    uint8_t *again = malloc(size);
    must(again);
    struct cursor out = cursor_writing(again, size);
    rule_set_put(&out, set);
    must(cursor_finish(&out) == 0);
    must(memcmp(again, data, size) == 0);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_reading(data, size);
    struct rule_set *set = rule_set_get(&c);
    must(!set == (cursor_error(&c) != 0));
    if (!set)
        return 0;
    for (uint32_t i = 0; i < set->count; i++)
        must(set->rules[i].grant_count <= GRANTS_MAX);
    if (cbor_check(data, size) == 0 && is_whole(set))
        must_be_written_the_same(set, data, size);
    rule_set_free(set);
    return 0;
}
