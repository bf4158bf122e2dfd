#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tunnel/repeat_cache.h"

/* The twin: the last mac1s noted, in order, compared one by one. */
struct model {
    uint8_t noted[REPEAT_CACHE_SIZE][MESSAGE_MAC_SIZE];
    size_t total;
};

static bool model_seen(struct model *m, const uint8_t *mac1)
{
    size_t count = m->total < REPEAT_CACHE_SIZE ? m->total : REPEAT_CACHE_SIZE;
    for (size_t i = 0; i < count; i++)
        if (memcmp(m->noted[i], mac1, MESSAGE_MAC_SIZE) == 0)
            return true;
    memcpy(m->noted[m->total++ % REPEAT_CACHE_SIZE], mac1, MESSAGE_MAC_SIZE);
    return false;
}

/* The mac1 of a number; numbers alike modulo `spread` share their first bytes, and so a bucket. */
static void mac1_of(uint8_t out[MESSAGE_MAC_SIZE], uint32_t number, uint32_t spread)
{
    memset(out, 0, MESSAGE_MAC_SIZE);
    uint32_t first = number % spread * 2654435761u >> 16;
    out[0] = (uint8_t)first;
    out[1] = (uint8_t)(first >> 8);
    memcpy(out + 12, &number, sizeof(number));
}

static bool seen(struct repeat_cache *cache, uint32_t number)
{
    uint8_t mac1[MESSAGE_MAC_SIZE];
    mac1_of(mac1, number, 100000);
    return repeat_cache_seen(cache, mac1);
}

static int setup(void **state)
{
    *state = repeat_cache_new();
    return *state == NULL;
}

static int teardown(void **state)
{
    repeat_cache_free(*state);
    return 0;
}

static void only_a_repeat_was_seen(void **state)
{
    assert_false(seen(*state, 1));
    assert_true(seen(*state, 1));
    assert_false(seen(*state, 2));
    assert_true(seen(*state, 1));
    assert_true(seen(*state, 2));
}

static void a_mac1_of_zeros_is_like_any_other(void **state)
{
    const uint8_t zeros[MESSAGE_MAC_SIZE] = {0};
    assert_false(repeat_cache_seen(*state, zeros));
    assert_true(repeat_cache_seen(*state, zeros));
}

static void one_differing_byte_makes_another_mac1(void **state)
{
    for (size_t i = 0; i < MESSAGE_MAC_SIZE; i++) {
        uint8_t mac1[MESSAGE_MAC_SIZE] = {0};
        mac1[i] = 1;
        assert_false(repeat_cache_seen(*state, mac1));
    }
}

static void the_last_ones_are_remembered_and_the_oldest_is_forgotten(void **state)
{
    for (uint32_t i = 0; i < REPEAT_CACHE_SIZE; i++)
        assert_false(seen(*state, i));
    for (uint32_t i = 0; i < REPEAT_CACHE_SIZE; i++)
        assert_true(seen(*state, i));
    assert_false(seen(*state, REPEAT_CACHE_SIZE));
    assert_true(seen(*state, 1));
    assert_false(seen(*state, 0));
    assert_false(seen(*state, 1));
}

/* With one bucket for all, with some, and with a bucket each. */
static void random_histories_agree_with_the_list(void **state)
{
    static struct model model;
    static const uint32_t spreads[] = {1, 7, 100000};
    for (size_t i = 0; i < sizeof(spreads) / sizeof(spreads[0]); i++) {
        uint32_t random = 1 + (uint32_t)i;
        model.total = 0;
        for (unsigned step = 0; step < 8000; step++) {
            uint8_t mac1[MESSAGE_MAC_SIZE];
            random = random * 1664525u + 1013904223u;
            mac1_of(mac1, random >> 8 & 2047, spreads[i]);
            bool expected = model_seen(&model, mac1);
            if (repeat_cache_seen(*state, mac1) != expected)
                fail_msg("spread %u step %u", (unsigned)spreads[i], step);
        }
        teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_a_repeat_was_seen),
        TEST(a_mac1_of_zeros_is_like_any_other),
        TEST(one_differing_byte_makes_another_mac1),
        TEST(the_last_ones_are_remembered_and_the_oldest_is_forgotten),
        TEST(random_histories_agree_with_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
