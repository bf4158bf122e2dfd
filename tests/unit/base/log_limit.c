#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/log_limit.h"

static uint64_t passed(struct log_limit *limit, const char *event, uint64_t now, uint64_t lines)
{
    uint64_t count = 0, suppressed;
    for (uint64_t i = 0; i < lines; i++)
        count += log_limit_passes(limit, event, now, &suppressed);
    return count;
}

static void a_burst_passes_and_then_one_in_a_while(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    assert_int_equal(passed(&limit, "refused", 5, 1000), LOG_BURST);
    assert_int_equal(passed(&limit, "refused", 5 + LOG_EVERY - 1, 1000), 0);
    assert_int_equal(passed(&limit, "refused", 5 + LOG_EVERY, 1000), 1);
    assert_int_equal(passed(&limit, "refused", 5 + 4 * LOG_EVERY, 1000), 3);
    assert_int_equal(passed(&limit, "refused", 5 + 4000 * LOG_EVERY, 1000), LOG_BURST);
}

static void the_line_that_passes_tells_how_many_did_not(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    uint64_t suppressed = 7;
    assert_true(log_limit_passes(&limit, "disk", 0, &suppressed));
    assert_int_equal(suppressed, 0);
    passed(&limit, "disk", 0, LOG_BURST - 1 + 41);
    assert_true(log_limit_passes(&limit, "disk", LOG_EVERY, &suppressed));
    assert_int_equal(suppressed, 41);
    assert_true(log_limit_passes(&limit, "disk", 2 * LOG_EVERY, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void one_event_does_not_silence_another(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    passed(&limit, "refused", 0, 1000);
    assert_int_equal(passed(&limit, "down", 0, 1), 1);
}

static void endless_names_are_bounded_together(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    uint64_t count = 0;
    for (int i = 0; i < 100000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "event-%d", i);
        count += passed(&limit, name, 0, 1);
    }
    assert_int_equal(limit.count, LOG_EVENTS_MAX);
    assert_in_range(count, LOG_EVENTS_MAX, LOG_EVENTS_MAX + LOG_BURST);
}

/* A day of a flood that never stops, of everything at once. */
static void a_day_of_flood_is_bounded(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    uint64_t count = 0;
    for (uint64_t now = 0; now < 86400 * SECOND; now += SECOND)
        count += passed(&limit, "flood", now, 20);
    assert_in_range(count, 86400 / 60, 86400 / 60 + LOG_BURST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_and_then_one_in_a_while),
        cmocka_unit_test(the_line_that_passes_tells_how_many_did_not),
        cmocka_unit_test(one_event_does_not_silence_another),
        cmocka_unit_test(endless_names_are_bounded_together),
        cmocka_unit_test(a_day_of_flood_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
