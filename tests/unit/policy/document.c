#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/document.h"

#define ERRORS_MAX 8u

static const char *const groups[] = {"sensors", "brokers", "operators", "twin", NULL};
static const char *const devices[] = {"hub", "plc-1", "plc-2", "twin", NULL};

static bool find_in(const char *const *list, uint8_t kind, const char *name, struct subject *out)
{
    for (uint8_t i = 0; list[i]; i++)
        if (strcmp(list[i], name) == 0) {
            memset(out->bytes, 0, sizeof(out->bytes));
            out->bytes[0] = kind;
            out->bytes[1] = i;
            return true;
        }
    return false;
}

static bool find_group(void *context, const char *name, struct subject *out)
{
    (void)context;
    return find_in(groups, 1, name, out);
}

static bool find_device(void *context, const char *name, struct subject *out)
{
    (void)context;
    return find_in(devices, 2, name, out);
}

static const char *known(void *context, uint32_t i)
{
    (void)context;
    return i < 4 ? groups[i] : devices[i - 4];
}

static const struct policy_names names = {.group = find_group, .device = find_device, .known = known};

struct outcome {
    int error;
    struct rule_set *set;
    struct policy_error errors[ERRORS_MAX];
    uint32_t error_count;
};

static struct outcome read_len(const char *text, size_t len)
{
    struct outcome o = {0};
    o.error = policy_read(&o.set, text, len, &names, o.errors, ERRORS_MAX, &o.error_count);
    return o;
}

static struct outcome read_document(const char *text)
{
    return read_len(text, strlen(text));
}

/* What the rules are when printed. */
static void must_mean(const char *text, const char *printed)
{
    char out[4096];
    struct outcome o = read_document(text);
    if (o.error)
        fail_msg("%u:%u %s", o.errors[0].line, o.errors[0].column, o.errors[0].text);
    assert_int_equal(policy_print(o.set, out, sizeof(out)), strlen(printed));
    assert_string_equal(out, printed);
    rule_set_free(o.set);
}

static void must_fail(const char *text, uint32_t line, uint32_t column, const char *piece)
{
    struct outcome o = read_document(text);
    assert_int_equal(o.error, ERROR_MALFORMED);
    assert_null(o.set);
    assert_true(o.error_count >= 1);
    if (o.errors[0].line != line || o.errors[0].column != column || !strstr(o.errors[0].text, piece))
        fail_msg("%s\n%u:%u %s", text, o.errors[0].line, o.errors[0].column, o.errors[0].text);
}

static void an_empty_document_allows_nothing(void **state)
{
    (void)state;
    must_mean("", "");
    must_mean("# nothing yet\n", "");
    must_mean("---\n", "");
    must_mean("allow:\n", "");
    must_mean("allow: []\n", "");
    must_mean("{}", "");
}

static void rules_mean_what_they_say(void **state)
{
    (void)state;
    must_mean("allow:\n"
              "  - from: sensors\n"
              "    to: brokers\n"
              "    tcp: [1883, 8883]\n"
              "  - {from: operators, to: [plc-1, plc-2], tcp: [502, 4840, \"9000-9010\"], udp: any, icmp: any}\n"
              "  - {from: all, to: hub, udp: 5683}\n",
              "sensors -> brokers: tcp 1883, 8883 (line 2)\n"
              "operators -> plc-1: icmp any; tcp 502, 4840, 9000-9010; udp any (line 5)\n"
              "operators -> plc-2: icmp any; tcp 502, 4840, 9000-9010; udp any (line 5)\n"
              "all -> hub: udp 5683 (line 6)\n");
    must_mean("allow: [{from: hub, to: hub, tcp: [3, 1, 2-5, 4]}]", "hub -> hub: tcp 1-5 (line 1)\n");
}

static void names_become_their_subjects(void **state)
{
    (void)state;
    struct outcome o = read_document("allow: [{from: all, to: [brokers, plc-1], icmp: any}]");
    assert_int_equal(o.error, 0);
    assert_int_equal(o.set->count, 2);
    assert_memory_equal(o.set->rules[0].from.bytes, (uint8_t[16]){0}, 16);
    assert_memory_equal(o.set->rules[0].to.bytes, ((uint8_t[16]){1, 1}), 16);
    assert_memory_equal(o.set->rules[1].to.bytes, ((uint8_t[16]){2, 1}), 16);
    rule_set_free(o.set);
}

static void every_error_says_where_and_what_would_be_right(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t line, column;
        const char *piece;
    } cases[] = {
        {"alow: []", 1, 1, "did you mean \"allow\""},
        {"deny: []", 1, 1, "what may stand here: allow"},
        {"- from: hub", 1, 1, "a policy is a map"},
        {"hello", 1, 1, "a policy is a map"},
        {"allow: hub", 1, 8, "list of rules"},
        {"allow: {from: hub}", 1, 8, "list of rules"},
        {"allow: []\nallow: []", 2, 1, "twice"},
        {"allow: [hub]", 1, 9, "a rule is a map"},
        {"allow: [{from: hub, to: hub, tcp: 1, tcp: 2}]", 1, 38, "twice"},
        {"allow: [{from: hub, to: hub, mqtt: {}}]", 1, 9, "allows nothing"},
        {"allow: [{from: hub, to: hub, upd: 53}]", 1, 9, "allows nothing"},
        {"allow: [{from: hub, tcp: 1}]", 1, 9, "lacks \"to\""},
        {"allow: [{to: hub, tcp: 1}]", 1, 9, "lacks \"from\""},
        {"allow: [{from: hub, to: hub}]", 1, 9, "add tcp, udp or icmp"},
        {"allow: [{from: sensor, to: hub, tcp: 1}]", 1, 16, "did you mean \"sensors\""},
        {"allow: [{from: nobody, to: hub, tcp: 1}]", 1, 16, "invite a device"},
        {"allow: [{from: twin, to: hub, tcp: 1}]", 1, 16, "both a group and a device"},
        {"allow: [{from: \"plc-*\", to: hub, tcp: 1}]", 1, 16, "is no name"},
        {"allow: [{from: , to: hub, tcp: 1}]", 1, 16, "is no name"},
        {"allow: [{from: [], to: hub, tcp: 1}]", 1, 16, "list is empty"},
        {"allow: [{from: [hub, hub], to: hub, tcp: 1}]", 1, 22, "already"},
        {"allow: [{from: [[hub]], to: hub, tcp: 1}]", 1, 17, "name of a group"},
        {"allow: [{from: {a: b}, to: hub, tcp: 1}]", 1, 16, "name of a group"},
        {"allow: [{from: hub, to: hub, tcp: 0}]", 1, 35, "is no port"},
        {"allow: [{from: hub, to: hub, tcp: 65536}]", 1, 35, "is no port"},
        {"allow: [{from: hub, to: hub, tcp: 080}]", 1, 35, "is no port"},
        {"allow: [{from: hub, to: hub, tcp: 9-8}]", 1, 35, "is no port"},
        {"allow: [{from: hub, to: hub, tcp: -1}]", 1, 35, "is no port"},
        {"allow: [{from: hub, to: hub, tcp: http}]", 1, 35, "is no port"},
        {"allow: [{from: hub, to: hub, tcp: [any]}]", 1, 36, "is no port"},
        {"allow: [{from: hub, to: hub, tcp: []}]", 1, 35, "list is empty"},
        {"allow: [{from: hub, to: hub, tcp: {a: 1}}]", 1, 35, "is no port"},
        {"allow: [{from: hub, to: hub, icmp: echo}]", 1, 36, "\"any\""},
        {"allow: [{from: &a hub, to: hub, tcp: 1}]", 1, 16, "anchors"},
        {"allow: [{from: !!str hub, to: hub, tcp: 1}]", 1, 16, "tags"},
        {"allow: [{from: &a hub, to: *a, tcp: 1}]", 1, 16, "anchors"},
        {"allow: [{from: hub, to: *a, tcp: 1}]", 1, 25, "aliases"},
        {"allow: []\n---\nallow: []\n", 2, 1, "second document"},
        {"allow: [[[[[[[[[[]]]]]]]]]]", 1, 15, "deeply"},
        {"allow:\n  - from: hub\n   to: hub\n", 3, 4, "not YAML"},
        {"allow: [", 2, 1, "not YAML"},
        {"? [a]\n: b\n", 1, 3, "a key must be a word"},
        {"allow: [{<<: {from: hub}, to: hub, tcp: 1}]", 1, 9, "lacks \"from\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        must_fail(cases[i].text, cases[i].line, cases[i].column, cases[i].piece);
}

static void all_errors_are_told_in_order_up_to_the_limit(void **state)
{
    (void)state;
    struct outcome o = read_document("allow:\n"
                                     "  - {from: hub, to: nobody, tcp: 0, icmp: no}\n"
                                     "  - {from: &a hub, to: hub, udp: 1}\n"
                                     "  - {from: hub, to: hub, udp: x}\n");
    assert_int_equal(o.error, ERROR_MALFORMED);
    assert_int_equal(o.error_count, 5);
    for (uint32_t i = 1; i < o.error_count; i++)
        assert_true(o.errors[i].line > o.errors[i - 1].line ||
                    (o.errors[i].line == o.errors[i - 1].line && o.errors[i].column > o.errors[i - 1].column));
    assert_int_equal(o.errors[4].line, 4);
    o = read_document("allow: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]");
    assert_int_equal(o.error_count, ERRORS_MAX);
    struct rule_set *set = NULL;
    uint32_t count;
    assert_int_equal(policy_read(&set, "x: 1", 4, &names, NULL, 0, &count), ERROR_MALFORMED);
    assert_int_equal(count, 0);
}

static void what_cannot_be_shown_is_not(void **state)
{
    (void)state;
    struct outcome o = read_document("allow: [{from: \"a\\e[31mb\\n\", to: hub, tcp: 1}]");
    assert_int_equal(o.error, ERROR_MALFORMED);
    assert_non_null(strstr(o.errors[0].text, "\"a?[31mb?\""));
    char text[600];
    memset(text, 'k', sizeof(text));
    memcpy(text + 500, ": 1", 4);
    o = read_document(text);
    assert_int_equal(strlen(o.errors[0].text), sizeof(o.errors[0].text) - 1);
}

static void a_file_of_more_than_a_mebibyte_is_refused(void **state)
{
    (void)state;
    char *text = malloc(POLICY_TEXT_MAX + 1);
    assert_non_null(text);
    memset(text, '\n', POLICY_TEXT_MAX + 1);
    struct outcome o = read_len(text, POLICY_TEXT_MAX);
    assert_int_equal(o.error, 0);
    rule_set_free(o.set);
    assert_int_equal(read_len(text, POLICY_TEXT_MAX + 1).error, ERROR_MALFORMED);
    free(text);
}

static void a_rule_may_have_256_separate_ranges_and_no_more(void **state)
{
    (void)state;
    for (uint32_t ports = 256; ports <= 257; ports++) {
        char text[4096];
        size_t len = (size_t)snprintf(text, sizeof(text), "allow: [{from: hub, to: hub, tcp: [");
        for (uint32_t i = 0; i < ports; i++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%u,", 2 * i + 1);
        snprintf(text + len, sizeof(text) - len, "]}]");
        struct outcome o = read_document(text);
        assert_int_equal(o.error, ports == 256 ? 0 : ERROR_MALFORMED);
        rule_set_free(o.set);
    }
}

static void a_subject_gets_the_rules_that_name_it_on_either_side(void **state)
{
    (void)state;
    struct outcome o = read_document("allow:\n"
                                     "  - {from: sensors, to: brokers, tcp: 1883}\n"
                                     "  - {from: brokers, to: hub, tcp: 1}\n"
                                     "  - {from: operators, to: hub, udp: 1}\n");
    assert_int_equal(o.error, 0);
    struct subject subjects[8], brokers, sensors = {.bytes = {9}};
    assert_int_equal(policy_subjects(o.set, subjects, 2), 4);
    assert_int_equal(policy_subjects(o.set, subjects, 8), 4);
    for (int i = 1; i < 4; i++)
        assert_true(memcmp(&subjects[i - 1], &subjects[i], sizeof(subjects[0])) < 0);
    find_group(NULL, "brokers", &brokers);
    int error;
    struct rule_set *own = policy_of_subject(o.set, &brokers, &error);
    assert_int_equal(error, 0);
    assert_int_equal(own->count, 2);
    assert_string_equal(own->rules[0].from_name, "sensors");
    assert_int_equal(own->rules[1].grants[0].low, 1);
    rule_set_free(own);
    assert_null(policy_of_subject(o.set, &sensors, &error));
    assert_int_equal(error, 0);
    rule_set_free(o.set);
}

static void printing_counts_what_does_not_fit(void **state)
{
    (void)state;
    struct outcome o = read_document("allow: [{from: hub, to: hub, icmp: any}]");
    char out[10];
    assert_int_equal(policy_print(o.set, out, sizeof(out)), strlen("hub -> hub: icmp any (line 1)\n"));
    assert_string_equal(out, "hub -> hu");
    assert_int_equal(policy_print(o.set, NULL, 0), strlen("hub -> hub: icmp any (line 1)\n"));
    rule_set_free(o.set);
}

static void tests_mean_what_they_say(void **state)
{
    (void)state;
    static const char text[] = "tests:\n"
                               "  - {can: sensors, tcp: 1883, to: brokers}\n"
                               "  - {cannot: plc-1, icmp: any, to: all}\n"
                               "allow: [{from: all, to: all, udp: 1}]\n";
    struct rule_set *set;
    struct policy_tests tests;
    struct policy_error error;
    uint32_t count;
    assert_int_equal(policy_read_tested(&set, &tests, text, strlen(text), &names, &error, 1, &count), 0);
    assert_int_equal(set->count, 1);
    assert_int_equal(tests.count, 2);
    assert_true(tests.all[0].can);
    assert_string_equal(tests.all[0].from, "sensors");
    assert_string_equal(tests.all[0].to, "brokers");
    assert_int_equal(tests.all[0].protocol, GRANT_TCP);
    assert_int_equal(tests.all[0].port, 1883);
    assert_int_equal(tests.all[0].line, 2);
    assert_false(tests.all[1].can);
    assert_int_equal(tests.all[1].protocol, GRANT_ICMP);
    assert_string_equal(tests.all[1].to, "all");
    policy_tests_free(&tests);
    rule_set_free(set);
}

static void a_test_that_is_wrong_is_told_like_a_rule(void **state)
{
    (void)state;
    must_fail("tests: 1", 1, 8, "is a list");
    must_fail("tests: [1]", 1, 9, "a test is a map");
    must_fail("tests: [{can: hub, to: hub}]", 1, 9, "about one thing");
    must_fail("tests: [{can: hub, to: hub, tcp: 1, udp: 1}]", 1, 9, "about one thing");
    must_fail("tests: [{tcp: 1, to: hub}]", 1, 9, "either \"can\" or \"cannot\"");
    must_fail("tests: [{can: hub, cannot: hub, tcp: 1, to: hub}]", 1, 9, "either");
    must_fail("tests: [{can: hub, tcp: 1}]", 1, 9, "lacks \"to\"");
    must_fail("tests: [{can: nobody, tcp: 1, to: hub}]", 1, 15, "no group or device");
    must_fail("tests: [{can: [hub], tcp: 1, to: hub}]", 1, 15, "here must stand the name");
    must_fail("tests: [{can: hub, tcp: any, to: hub}]", 1, 25, "one port");
    must_fail("tests: [{can: hub, tcp: 1-2, to: hub}]", 1, 25, "one port");
    must_fail("tests: [{can: hub, publish: a/b, to: hub}]", 1, 29, "not supported yet");
    must_fail("tests: [{can: hub, coap: a/b, to: hub}]", 1, 26, "not supported yet");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_document_allows_nothing),
        cmocka_unit_test(rules_mean_what_they_say),
        cmocka_unit_test(names_become_their_subjects),
        cmocka_unit_test(every_error_says_where_and_what_would_be_right),
        cmocka_unit_test(all_errors_are_told_in_order_up_to_the_limit),
        cmocka_unit_test(what_cannot_be_shown_is_not),
        cmocka_unit_test(a_file_of_more_than_a_mebibyte_is_refused),
        cmocka_unit_test(a_rule_may_have_256_separate_ranges_and_no_more),
        cmocka_unit_test(a_subject_gets_the_rules_that_name_it_on_either_side),
        cmocka_unit_test(tests_mean_what_they_say),
        cmocka_unit_test(a_test_that_is_wrong_is_told_like_a_rule),
        cmocka_unit_test(printing_counts_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
