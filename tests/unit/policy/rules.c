#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "policy/rules.h"
#include "wire/cbor.h"

#define ROOM 65536u

/* A seed's own sequence (xorshift64), so that a failure comes again. */
static uint64_t dice;

static int draw(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (int)(dice >> 33);
}

static struct subject subject(uint8_t n)
{
    struct subject s;
    memset(s.bytes, n, sizeof(s.bytes));
    return s;
}

static struct rule rule_of(uint8_t from, uint8_t to, struct grant *grants, uint32_t count)
{
    return (struct rule){.from = subject(from),
                         .to = subject(to),
                         .from_name = "sensors",
                         .to_name = "broker-1",
                         .line = 7,
                         .grant_count = count,
                         .grants = grants};
}

static struct rule_set *again(const struct rule_set *set, int *error)
{
    static uint8_t bytes[ROOM];
    struct cursor out = cursor_writing(bytes, sizeof(bytes));
    rule_set_put(&out, set);
    assert_int_equal(cursor_error(&out), 0);
    size_t len = sizeof(bytes) - cursor_left(&out);
    assert_int_equal(cbor_check(bytes, len), 0);
    struct cursor in = cursor_reading(bytes, len);
    struct rule_set *read = rule_set_get(&in);
    *error = cursor_finish(&in);
    return read;
}

static void a_set_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct grant grants[] = {{GRANT_ICMP, 0, 0}, {GRANT_TCP, 502, 502}, {GRANT_TCP, 9000, 9010}, {GRANT_UDP, 0, 65535}};
    struct rule rules[] = {rule_of(1, 2, grants, 4), rule_of(0, 3, grants + 1, 2)};
    struct rule_set set = {.count = 2, .rules = rules};
    int error;
    struct rule_set *read = again(&set, &error);
    assert_int_equal(error, 0);
    assert_int_equal(read->count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_memory_equal(&read->rules[i].from, &rules[i].from, SUBJECT_SIZE);
        assert_memory_equal(&read->rules[i].to, &rules[i].to, SUBJECT_SIZE);
        assert_string_equal(read->rules[i].from_name, "sensors");
        assert_string_equal(read->rules[i].to_name, "broker-1");
        assert_int_equal(read->rules[i].line, 7);
        assert_int_equal(read->rules[i].grant_count, rules[i].grant_count);
    }
    assert_int_equal(read->rules[0].grants[2].high, 9010);
    rule_set_free(read);
}

static void an_empty_set_is_a_set(void **state)
{
    (void)state;
    struct rule_set set = {0};
    int error;
    struct rule_set *read = again(&set, &error);
    assert_non_null(read);
    assert_int_equal(error, 0);
    assert_int_equal(read->count, 0);
    rule_set_free(read);
    rule_set_free(NULL);
}

static void refuse(struct grant *grants, uint32_t count)
{
    struct rule rule = rule_of(1, 2, grants, count);
    struct rule_set set = {.count = 1, .rules = &rule};
    int error;
    assert_null(again(&set, &error));
    assert_int_equal(error, ERROR_MALFORMED);
}

static void grants_that_are_not_in_their_one_form_are_refused(void **state)
{
    (void)state;
    refuse((struct grant[]){{GRANT_UDP, 1, 1}, {GRANT_TCP, 1, 1}}, 2);
    refuse((struct grant[]){{GRANT_TCP, 5, 6}, {GRANT_TCP, 1, 2}}, 2);
    refuse((struct grant[]){{GRANT_TCP, 5, 6}, {GRANT_TCP, 6, 9}}, 2);
    refuse((struct grant[]){{GRANT_TCP, 5, 6}, {GRANT_TCP, 7, 9}}, 2);
    refuse((struct grant[]){{GRANT_TCP, 6, 5}}, 1);
    refuse((struct grant[]){{GRANT_ICMP, 0, 8}}, 1);
}

/* One rule with a field more than this version knows. */
static struct rule_set *with_field(uint64_t key, bool all)
{
    static uint8_t bytes[512];
    struct cursor c = cursor_writing(bytes, sizeof(bytes));
    struct subject s = subject(1);
    cbor_put_array(&c, 1);
    cbor_put_map(&c, all ? 7 : 6);
    for (unsigned side = 0; side < 2; side++) {
        cbor_put_unsigned(&c, side);
        cbor_put_bytes(&c, s.bytes, sizeof(s.bytes));
    }
    for (unsigned side = 2; side < 4; side++) {
        cbor_put_unsigned(&c, side);
        cbor_put_text(&c, "all", 3);
    }
    if (all) {
        cbor_put_unsigned(&c, 4);
        cbor_put_unsigned(&c, 1);
    }
    cbor_put_unsigned(&c, 5);
    cbor_put_array(&c, 1);
    cbor_put_array(&c, 3);
    cbor_put_unsigned(&c, GRANT_TCP);
    cbor_put_unsigned(&c, 80);
    cbor_put_unsigned(&c, 80);
    cbor_put_unsigned(&c, key);
    cbor_put_text(&c, "site/#", 6);
    size_t len = sizeof(bytes) - cursor_left(&c);
    assert_int_equal(cbor_check(bytes, len), 0);
    struct cursor in = cursor_reading(bytes, len);
    return rule_set_get(&in);
}

static void a_rule_with_an_unknown_key_allows_nothing_and_joins_nobody(void **state)
{
    (void)state;
    struct rule_set *set = with_field(6, true);
    assert_non_null(set);
    assert_int_equal(set->rules[0].grant_count, 0);
    struct subject s = subject(1);
    assert_false(rules_join((const struct rule_set *const *)&set, 1, &s, 1, &s, 1));
    rule_set_free(set);
}

static void a_rule_without_one_of_its_fields_is_refused(void **state)
{
    (void)state;
    assert_null(with_field(6, false));
}

static void a_rule_with_an_unknown_protocol_allows_nothing(void **state)
{
    (void)state;
    struct grant grants[] = {{GRANT_TCP, 1, 1}, {132, 1, 1}};
    struct rule rule = rule_of(1, 2, grants, 2);
    struct rule_set set = {.count = 1, .rules = &rule};
    int error;
    struct rule_set *read = again(&set, &error);
    assert_non_null(read);
    assert_int_equal(read->rules[0].grant_count, 0);
    rule_set_free(read);
}

/* The slow model: a bit for each port. */
static void grants_are_the_union_of_what_was_added(void **state)
{
    (void)state;
    dice = 1;
    for (int round = 0; round < 2000; round++) {
        bool model[2][64] = {0};
        struct grant grants[64];
        uint32_t count = 0;
        for (int i = 0; i < draw() % 24; i++) {
            uint16_t low = (uint16_t)(draw() % 60), high = (uint16_t)(low + draw() % 4);
            bool udp = draw() % 2;
            struct grant g = {udp ? GRANT_UDP : GRANT_TCP, low, high};
            assert_true(grants_add(grants, &count, 64, &g));
            for (unsigned port = low; port <= high; port++)
                model[udp][port] = true;
        }
        for (uint16_t port = 0; port < 64; port++) {
            assert_int_equal(grants_hold(grants, count, GRANT_TCP, port), model[0][port]);
            assert_int_equal(grants_hold(grants, count, GRANT_UDP, port), model[1][port]);
            assert_false(grants_hold(grants, count, GRANT_ICMP, port));
        }
        for (uint32_t i = 1; i < count; i++)
            assert_true(grants[i - 1].protocol < grants[i].protocol || grants[i - 1].high + 1 < grants[i].low);
    }
}

static void the_last_port_merges_with_all_before_it(void **state)
{
    (void)state;
    struct grant grants[2];
    uint32_t count = 0;
    assert_true(grants_add(grants, &count, 2, &(struct grant){GRANT_TCP, 65535, 65535}));
    assert_true(grants_add(grants, &count, 2, &(struct grant){GRANT_TCP, 0, 65534}));
    assert_int_equal(count, 1);
    assert_int_equal(grants[0].low, 0);
    assert_int_equal(grants[0].high, 65535);
}

static void what_does_not_fit_is_left_out(void **state)
{
    (void)state;
    struct grant many[GRANTS_MAX], out[GRANTS_MAX], extra[] = {{GRANT_TCP, 1, 1}, {GRANT_UDP, 9, 9}};
    for (uint32_t i = 0; i < GRANTS_MAX; i++)
        many[i] = (struct grant){GRANT_TCP, (uint16_t)(2 * i + 2), (uint16_t)(2 * i + 2)};
    struct rule rules[] = {rule_of(1, 2, many, GRANTS_MAX), rule_of(1, 2, extra, 2)};
    struct rule_set set = {.count = 2, .rules = rules};
    const struct rule_set *sets[] = {&set};
    struct subject from = subject(1), to = subject(2);
    uint32_t count = rules_grants(sets, 1, &from, 1, &to, 1, out);
    assert_int_equal(count, GRANTS_MAX);
    assert_true(grants_hold(out, count, GRANT_TCP, 1)); /* merged with port 2 */
    assert_false(grants_hold(out, count, GRANT_UDP, 9));
}

static void a_rule_counts_from_each_of_ones_subjects_in_its_own_direction(void **state)
{
    (void)state;
    struct grant tcp[] = {{GRANT_TCP, 80, 80}}, udp[] = {{GRANT_UDP, 53, 53}};
    struct rule rules[] = {rule_of(1, 2, tcp, 1), rule_of(0, 3, udp, 1)};
    struct rule_set first = {.count = 1, .rules = rules}, second = {.count = 1, .rules = rules + 1};
    const struct rule_set *sets[] = {&first, &second};
    struct subject from[] = {subject(0), subject(1), subject(9)}, to[] = {subject(0), subject(2), subject(3)};
    struct grant out[GRANTS_MAX];
    assert_int_equal(rules_grants(sets, 2, from, 3, to, 3, out), 2);
    assert_int_equal(rules_grants(sets, 2, to, 3, from, 3, out), 0);
    assert_int_equal(rules_grants(sets, 2, from + 1, 1, to, 3, out), 1);
    assert_true(rules_join(sets, 2, from, 3, to, 3));
    assert_true(rules_join(sets, 2, to, 3, from, 3));
    assert_false(rules_join(sets, 2, to + 1, 1, from + 2, 1));
    assert_false(rules_join(sets, 0, from, 3, to, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_read_as_it_was_written),
        cmocka_unit_test(an_empty_set_is_a_set),
        cmocka_unit_test(grants_that_are_not_in_their_one_form_are_refused),
        cmocka_unit_test(a_rule_with_an_unknown_key_allows_nothing_and_joins_nobody),
        cmocka_unit_test(a_rule_without_one_of_its_fields_is_refused),
        cmocka_unit_test(a_rule_with_an_unknown_protocol_allows_nothing),
        cmocka_unit_test(grants_are_the_union_of_what_was_added),
        cmocka_unit_test(the_last_port_merges_with_all_before_it),
        cmocka_unit_test(what_does_not_fit_is_left_out),
        cmocka_unit_test(a_rule_counts_from_each_of_ones_subjects_in_its_own_direction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
