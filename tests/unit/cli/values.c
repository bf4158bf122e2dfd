#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "values.h"

static void durations_are_a_number_and_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {{"90s", 90}, {"30m", 1800}, {"24h", 86400}, {"7d", 604800}, {"999999999d", UINT64_C(86399999913600)}};
    static const char *const bad[] = {"", "h", "24", "0h", "-1h", "1.5h", "24H", "24 h", "h24", "1000000000d", "1h30m"};
    uint64_t seconds;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(duration_parse(&seconds, good[i].text));
        assert_int_equal(seconds, good[i].seconds);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(duration_parse(&seconds, bad[i]));
}

/* By date -d "DATE UTC +1 day" +%s. */
static void a_date_is_the_end_of_its_day(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {{"1970-01-01", 86400},
                {"2000-02-29", 951868800},
                {"2026-11-22", 1795392000},
                {"2027-12-31", 1830297600},
                {"2100-02-28", UINT64_C(4107542400)}};
    static const char *const bad[] = {"",           "2027-13-01",  "2027-00-01", "2027-02-29",
                                      "2100-02-29", "1969-12-31",  "2027-1-01",  "27-12-31",
                                      "2027/12/31", "2027-12-31 ", "2027-12-00", "2027-04-31"};
    uint64_t seconds;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(date_parse(&seconds, good[i].text));
        assert_int_equal(seconds, good[i].seconds);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(date_parse(&seconds, bad[i]));
}

static void numbers_have_no_sign_and_no_more_than_their_range(void **state)
{
    (void)state;
    uint64_t value;
    assert_true(number_parse(&value, "65535", 1, 65535));
    assert_int_equal(value, 65535);
    assert_false(number_parse(&value, "65536", 1, 65535));
    assert_false(number_parse(&value, "0", 1, 65535));
    assert_false(number_parse(&value, "", 0, 9));
    assert_false(number_parse(&value, "+1", 0, 9));
    assert_false(number_parse(&value, " 1", 0, 9));
    assert_false(number_parse(&value, "18446744073709551617", 0, UINT64_MAX));
}

static void amounts_are_short(void **state)
{
    (void)state;
    char text[AMOUNT_MAX];
    bytes_print(text, 999);
    assert_string_equal(text, "999 B");
    bytes_print(text, 1000);
    assert_string_equal(text, "1.0 kB");
    bytes_print(text, 999950);
    assert_string_equal(text, "1.0 MB");
    bytes_print(text, UINT64_MAX);
    assert_string_equal(text, "18446.7 PB");
    seconds_print(text, 119);
    assert_string_equal(text, "119 s");
    seconds_print(text, 7199);
    assert_string_equal(text, "119 min");
    seconds_print(text, UINT64_MAX);
    assert_string_equal(text, "213503982334601 d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_a_number_and_a_unit),
        cmocka_unit_test(a_date_is_the_end_of_its_day),
        cmocka_unit_test(numbers_have_no_sign_and_no_more_than_their_range),
        cmocka_unit_test(amounts_are_short),
    };
    return cmocka_run_group_tests_name("cli-values", tests, NULL, NULL);
}
