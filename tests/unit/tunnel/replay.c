#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tunnel/replay.h"

#define LAST (REJECT_AFTER_MESSAGES - 1)

/* The twin: every counter that was accepted, and the rule. */
#define MODEL_MAX 20000

struct model {
    uint64_t accepted[MODEL_MAX];
    size_t count;
    uint64_t greatest;
};

static bool model_accept(struct model *m, uint64_t counter)
{
    if (counter >= REJECT_AFTER_MESSAGES || (m->greatest > REPLAY_WINDOW && counter < m->greatest - REPLAY_WINDOW))
        return false;
    for (size_t i = 0; i < m->count; i++)
        if (m->accepted[i] == counter)
            return false;
    assert_true(m->count < MODEL_MAX);
    m->accepted[m->count++] = counter;
    if (counter > m->greatest)
        m->greatest = counter;
    return true;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void zero_is_accepted_once(void **state)
{
    (void)state;
    struct replay window = {0};
    assert_true(replay_accept(&window, 0));
    assert_false(replay_accept(&window, 0));
    assert_true(replay_accept(&window, 1));
    assert_false(replay_accept(&window, 0));
}

static void each_counter_in_order_is_accepted_once(void **state)
{
    (void)state;
    struct replay window = {0};
    for (uint64_t counter = 0; counter < 4 * REPLAY_WINDOW; counter++) {
        assert_true(replay_accept(&window, counter));
        assert_false(replay_accept(&window, counter));
    }
}

static void the_whole_window_behind_the_greatest_is_accepted_once(void **state)
{
    (void)state;
    for (uint64_t offset = 0; offset < 130; offset++) {
        struct replay window = {0};
        uint64_t greatest = 5 * REPLAY_WINDOW + offset;
        assert_true(replay_accept(&window, greatest));
        for (uint64_t behind = 1; behind <= REPLAY_WINDOW; behind++)
            assert_true(replay_accept(&window, greatest - behind));
        for (uint64_t behind = 0; behind <= REPLAY_WINDOW + 200; behind++)
            assert_false(replay_accept(&window, greatest - behind));
    }
}

static void counters_behind_the_window_are_refused(void **state)
{
    (void)state;
    struct replay window = {0};
    assert_true(replay_accept(&window, REPLAY_WINDOW + 1));
    assert_false(replay_accept(&window, 0));
    assert_true(replay_accept(&window, 1));
}

/* Jumps of about a word, the window and the ring, from every position within a word. */
static void no_jump_leaves_a_stale_bit(void **state)
{
    (void)state;
    static const uint64_t around[] = {64, REPLAY_WINDOW, REPLAY_WORDS * 64, 2 * REPLAY_WORDS * 64};
    for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++)
        for (uint64_t start = REPLAY_WINDOW; start < REPLAY_WINDOW + 64; start += 7)
            for (uint64_t jump = around[i] - 65; jump <= around[i] + 65; jump += 5) {
                struct replay window = {0};
                for (uint64_t counter = start - REPLAY_WINDOW; counter <= start; counter++)
                    assert_true(replay_accept(&window, counter));
                uint64_t greatest = start + jump;
                if (jump > 0)
                    assert_true(replay_accept(&window, greatest));
                for (uint64_t counter = greatest - REPLAY_WINDOW; counter < greatest; counter++)
                    assert_int_equal(replay_accept(&window, counter), counter > start);
            }
}

static void nothing_at_the_limit_or_beyond_is_accepted(void **state)
{
    (void)state;
    struct replay window = {0};
    assert_false(replay_accept(&window, REJECT_AFTER_MESSAGES));
    assert_false(replay_accept(&window, UINT64_MAX));
    assert_true(replay_accept(&window, 0));
    assert_true(replay_accept(&window, LAST));
    assert_false(replay_accept(&window, LAST));
    assert_false(replay_accept(&window, REJECT_AFTER_MESSAGES));
    assert_false(replay_accept(&window, UINT64_MAX));
    assert_true(replay_accept(&window, LAST - REPLAY_WINDOW));
    assert_false(replay_accept(&window, LAST - REPLAY_WINDOW - 1));
    assert_false(replay_accept(&window, 1));
}

/* Mostly forward by little, at times far back or far ahead. */
static uint64_t wander(uint64_t greatest, uint64_t *seed)
{
    uint64_t draw = next_random(seed);
    uint64_t back = (draw >> 8) % (REPLAY_WINDOW + 100);
    switch (draw % 8) {
    case 0:
        return greatest + (draw >> 8) % (2 * REPLAY_WINDOW);
    case 1:
    case 2:
        return greatest > back ? greatest - back : 0;
    case 3:
        return greatest > back % 70 ? greatest - back % 70 : 0;
    default:
        return greatest + (draw >> 8) % 40;
    }
}

static void random_walks_agree_with_the_set(void **state)
{
    (void)state;
    static struct model model;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct replay window = {0};
        model = (struct model){0};
        uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
        for (unsigned step = 0; step < 4000; step++) {
            uint64_t counter = wander(model.greatest, &random);
            bool expected = model_accept(&model, counter);
            if (replay_accept(&window, counter) != expected)
                fail_msg("seed %lu step %u counter %lu", (unsigned long)seed, step, (unsigned long)counter);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_accepted_once),
        cmocka_unit_test(each_counter_in_order_is_accepted_once),
        cmocka_unit_test(the_whole_window_behind_the_greatest_is_accepted_once),
        cmocka_unit_test(counters_behind_the_window_are_refused),
        cmocka_unit_test(no_jump_leaves_a_stale_bit),
        cmocka_unit_test(nothing_at_the_limit_or_beyond_is_accepted),
        cmocka_unit_test(random_walks_agree_with_the_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
