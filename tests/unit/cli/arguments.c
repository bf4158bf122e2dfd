#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "arguments.h"

static const struct option options[] = {
    {"--group", "G", true, ""}, {"--site", "S", false, ""}, {"--qr", NULL, false, ""}, {"-c", "N", false, ""}, {0}};
static const struct option also[] = {{"--json", NULL, false, ""}, {0}};

static char complaint[128];

#define READ(out, ...)                                                                      \
    arguments_read(out, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), \
                   (char *const *)(const char *const[]){__VA_ARGS__}, options, also, complaint, sizeof(complaint))

static void options_stand_anywhere_and_in_both_forms(void **state)
{
    (void)state;
    struct arguments a;
    assert_true(READ(&a, "--group", "a", "pump", "--site=north", "--group=b", "--qr", "--json", "-c", "3"));
    assert_int_equal(a.operand_count, 1);
    assert_string_equal(a.operands[0], "pump");
    assert_string_equal(argument_value(&a, "--group", 0), "a");
    assert_string_equal(argument_value(&a, "--group", 1), "b");
    assert_null(argument_value(&a, "--group", 2));
    assert_string_equal(argument_value(&a, "--site", 0), "north");
    assert_string_equal(argument_value(&a, "-c", 0), "3");
    assert_true(argument_given(&a, "--qr"));
    assert_true(argument_given(&a, "--json"));
    assert_false(argument_given(&a, "--relay"));
}

static void a_dash_is_an_operand_and_two_end_the_options(void **state)
{
    (void)state;
    struct arguments a;
    assert_true(READ(&a, "-", "--", "--qr"));
    assert_int_equal(a.operand_count, 2);
    assert_string_equal(a.operands[0], "-");
    assert_string_equal(a.operands[1], "--qr");
    assert_false(argument_given(&a, "--qr"));
}

static void an_empty_value_is_a_value(void **state)
{
    (void)state;
    struct arguments a;
    assert_true(READ(&a, "--site=", "-c3"));
    assert_string_equal(argument_value(&a, "--site", 0), "");
    assert_string_equal(argument_value(&a, "-c", 0), "3");
}

static void what_is_not_of_the_form_is_complained_of(void **state)
{
    (void)state;
    struct arguments a;
    assert_false(READ(&a, "--frob"));
    assert_string_equal(complaint, "There is no option --frob.");
    assert_false(READ(&a, "-x"));
    assert_string_equal(complaint, "There is no option -x.");
    assert_false(READ(&a, "--sit", "x"));
    assert_string_equal(complaint, "There is no option --sit.");
    assert_false(READ(&a, "--site"));
    assert_string_equal(complaint, "--site needs a value behind it.");
    assert_false(READ(&a, "--qr=yes"));
    assert_string_equal(complaint, "--qr takes no value.");
    assert_false(READ(&a, "--site", "a", "--site", "b"));
    assert_string_equal(complaint, "--site is given twice.");
    assert_false(READ(&a, "a", "b", "c", "d", "e"));
    assert_string_equal(complaint, "\"e\" is one word too many.");
}

static void too_many_options_are_refused(void **state)
{
    (void)state;
    struct arguments a;
    char *line[2 * OPTIONS_GIVEN_MAX + 2];
    for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i += 2) {
        line[i] = (char *)"--group";
        line[i + 1] = (char *)"g";
    }
    assert_true(arguments_read(&a, 2 * OPTIONS_GIVEN_MAX, line, options, NULL, complaint, sizeof(complaint)));
    assert_false(arguments_read(&a, 2 * OPTIONS_GIVEN_MAX + 2, line, options, NULL, complaint, sizeof(complaint)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_anywhere_and_in_both_forms),
        cmocka_unit_test(a_dash_is_an_operand_and_two_end_the_options),
        cmocka_unit_test(an_empty_value_is_a_value),
        cmocka_unit_test(what_is_not_of_the_form_is_complained_of),
        cmocka_unit_test(too_many_options_are_refused),
    };
    return cmocka_run_group_tests_name("cli-arguments", tests, NULL, NULL);
}
