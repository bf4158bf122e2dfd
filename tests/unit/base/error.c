#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"

static void every_error_is_negative_and_has_its_own_sentence(void **state)
{
    (void)state;
    static const struct {
        int error;
        const char *sentence;
    } table[] = {
#define ROW(name, sentence) {ERROR_##name, sentence},
        ERROR_TABLE(ROW)
#undef ROW
    };
    const size_t count = sizeof(table) / sizeof(table[0]);
    assert_int_equal(count, ERROR_COUNT - 1);
    for (size_t i = 0; i < count; i++) {
        assert_true(table[i].error < 0);
        assert_string_equal(error_sentence(table[i].error), table[i].sentence);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(table[i].sentence, table[j].sentence);
    }
}

static void success_has_a_sentence(void **state)
{
    (void)state;
    assert_string_equal(error_sentence(0), "It succeeded.");
}

static void numbers_outside_the_table_have_a_sentence_too(void **state)
{
    (void)state;
    static const int outside[] = {1, INT32_MAX, -ERROR_COUNT, INT32_MIN};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        assert_string_equal(error_sentence(outside[i]), "An unknown error happened.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_is_negative_and_has_its_own_sentence),
        cmocka_unit_test(success_has_a_sentence),
        cmocka_unit_test(numbers_outside_the_table_have_a_sentence_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
