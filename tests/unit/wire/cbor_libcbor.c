#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cbor_model.h"
#include "random.h"
#include "wire/cbor.h"

#define ITEM_MAX CBOR_MODEL_ITEM_MAX
_Static_assert(CBOR_MODEL_DEPTH_MAX == CBOR_DEPTH_MAX, "the model stops at the same depth");

/* Counts what was accepted, so that a test can tell that it tried both kinds. */
static void assert_judged_alike(const uint8_t *bytes, size_t len, size_t *accepted)
{
    bool ours = cbor_check(bytes, len) == 0;
    if (ours != cbor_model_accepts(bytes, len)) {
        print_message("# %s here:", ours ? "accepted" : "refused");
        for (size_t i = 0; i < len; i++)
            print_message(" %02x", bytes[i]);
        fail_msg("libcbor judges otherwise");
    }
    *accepted += ours;
}

static void every_item_of_up_to_two_bytes_is_judged_alike(void **state)
{
    (void)state;
    size_t accepted = 0;
    for (unsigned i = 0; i < 0x10000; i++) {
        const uint8_t bytes[] = {(uint8_t)(i >> 8), (uint8_t)i};
        assert_judged_alike(bytes, 2, &accepted);
        assert_judged_alike(bytes, 1, &accepted);
    }
    assert_true(accepted > 0);
}

static uint64_t some_number(uint64_t *random)
{
    return random_next(random) >> random_below(random, 64);
}

static void put_some_scalar(struct cursor *c, uint64_t *random)
{
    static const char *const texts[] = {"", "a", "token", "\xc3\xbc", "\xe6\xb0\xb4", "\xf0\x90\x85\x91"};
    const char *text = texts[random_below(random, 6)];
    switch (random_below(random, 6)) {
    case 0:
        cbor_put_unsigned(c, some_number(random));
        break;
    case 1:
        cbor_put_negative(c, some_number(random));
        break;
    case 2:
        cbor_put_bytes(c, texts[5], random_below(random, 5));
        break;
    case 3:
        cbor_put_text(c, text, strlen(text));
        break;
    case 4:
        cbor_put_bool(c, random_below(random, 2) == 0);
        break;
    default:
        cbor_put_null(c);
    }
}

static void put_some_item(struct cursor *c, uint64_t *random, unsigned depth)
{
    uint32_t count = random_below(random, 5), choice = random_below(random, depth < CBOR_DEPTH_MAX ? 4 : 2);
    if (choice < 2) {
        put_some_scalar(c, random);
        return;
    }
    if (choice == 2)
        cbor_put_array(c, count);
    else
        cbor_put_map(c, count);
    for (uint32_t i = 0; i < count; i++) {
        if (choice == 3)
            cbor_put_unsigned(c, i * 20);
        put_some_item(c, random, depth + 1);
    }
}

/* The length of a random item that must be accepted, or 0 if it did not fit. */
static size_t some_item(uint8_t *bytes, size_t room, uint64_t *random)
{
    struct cursor c = cursor_writing(bytes, room);
    put_some_item(&c, random, 0);
    return cursor_error(&c) ? 0 : room - cursor_left(&c);
}

static void whatever_is_written_is_accepted_by_both(void **state)
{
    (void)state;
    uint64_t random = 11;
    uint8_t bytes[ITEM_MAX];
    for (int i = 0; i < 20000; i++) {
        size_t len = some_item(bytes, sizeof(bytes), &random), accepted = 0;
        if (len == 0)
            continue;
        assert_judged_alike(bytes, len, &accepted);
        assert_int_equal(accepted, 1);
    }
}

static void mutate(uint8_t *bytes, size_t *len, uint64_t *random)
{
    uint32_t at = random_below(random, (uint32_t)*len);
    switch (random_below(random, 4)) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << random_below(random, 8));
        break;
    case 1:
        bytes[at] = (uint8_t)random_next(random);
        break;
    case 2:
        memmove(bytes + at, bytes + at + 1, *len - at - 1);
        *len -= *len > 1;
        break;
    default:
        bytes[at] = bytes[random_below(random, (uint32_t)*len)];
    }
}

static void mutated_items_are_judged_alike(void **state)
{
    (void)state;
    uint64_t random = 13;
    uint8_t bytes[ITEM_MAX];
    size_t accepted = 0, tried = 0;
    for (int i = 0; i < 20000; i++) {
        size_t len = some_item(bytes, 60, &random);
        for (int j = 0; len > 0 && j < 8; j++, tried++) {
            mutate(bytes, &len, &random);
            assert_judged_alike(bytes, len, &accepted);
        }
    }
    assert_true(accepted > 100);
    assert_true(tried - accepted > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_of_up_to_two_bytes_is_judged_alike),
        cmocka_unit_test(whatever_is_written_is_accepted_by_both),
        cmocka_unit_test(mutated_items_are_judged_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
