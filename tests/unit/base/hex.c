#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hex.h"

static void digits_come_back_as_the_bytes_they_were(void **state)
{
    (void)state;
    uint8_t bytes[256], back[256];
    char text[HEX_SIZE(256)];
    for (int i = 0; i < 256; i++)
        bytes[i] = (uint8_t)i;
    assert_ptr_equal(hex_print(text, bytes, sizeof(bytes)), text);
    assert_memory_equal(text, "000102", 6);
    assert_string_equal(text + 506, "fdfeff");
    assert_true(hex_parse(back, sizeof(back), text));
    assert_memory_equal(back, bytes, sizeof(bytes));
}

static void only_that_many_lowercase_digits_are_read(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "a", "abc", "abcde", "ABCD", "ab g", "abc\n", "0x12"};
    uint8_t out[2];
    assert_true(hex_parse(out, sizeof(out), "ab0f"));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(hex_parse(out, sizeof(out), wrong[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_come_back_as_the_bytes_they_were),
        cmocka_unit_test(only_that_many_lowercase_digits_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
