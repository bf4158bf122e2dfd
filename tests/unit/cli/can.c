#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "can.h"

/* Devices s1 and s2 of group sensors, b of brokers; rules are made up by each test. */
enum { ALL, S1, S2, B, SENSORS, BROKERS, NOBODIES };

static struct subject subject(uint8_t i)
{
    return (struct subject){{i}};
}

static struct who device(const char *name, uint8_t id, uint8_t group)
{
    return (struct who){.name = name, .count = 3, .subjects = {{{ALL}}, {{id}}, {{group}}}};
}

static struct who group(const char *name, uint8_t id)
{
    return (struct who){.name = name, .is_group = true, .count = id == ALL ? 1 : 2, .subjects = {{{ALL}}, {{id}}}};
}

static bool can(const struct who *from, const struct who *to, bool any, struct rule *rules, uint32_t count)
{
    struct who all[] = {device("b", B, BROKERS), device("s1", S1, SENSORS), device("s2", S2, SENSORS)};
    uint64_t versions[4] = {7, 7, 7, 7};
    const struct who_list list = {3, all};
    const struct policy_known policy = {{count, rules}, versions};
    const struct can_world world = {.who = &list, .policy = &policy, .policy_only = true, .any = any};
    const struct can_what what = {GRANT_TCP, 1883, NULL};
    struct can_answer answer;
    can_decide(&answer, &world, from, to, &what);
    assert_true(answer.yes ? answer.rule && answer.version == 7 : answer.reason_count > 0);
    return answer.yes;
}

static void a_group_can_if_each_member_can_and_any_if_one_can(void **state)
{
    (void)state;
    struct grant mqtt = {GRANT_TCP, 1883, 1883};
    struct rule rules[] = {{.from = subject(S1), .to = subject(BROKERS), .grant_count = 1, .grants = &mqtt},
                           {.from = subject(S2), .to = subject(B), .grant_count = 1, .grants = &mqtt}};
    const struct who sensors = group("sensors", SENSORS), brokers = group("brokers", BROKERS), all = group("all", ALL);
    const struct who s2 = device("s2", S2, SENSORS), b = device("b", B, BROKERS);
    assert_true(can(&sensors, &brokers, false, rules, 2));
    assert_true(can(&sensors, &b, false, rules, 2));
    assert_false(can(&sensors, &brokers, false, rules, 1));
    assert_true(can(&sensors, &brokers, true, rules, 1));
    assert_false(can(&s2, &brokers, true, rules, 1));
    assert_true(can(&all, &brokers, false, rules, 2)); /* nobody is asked about itself */
    assert_false(can(&brokers, &sensors, true, rules, 2));
}

static void a_rule_between_groups_is_for_members_to_come_too(void **state)
{
    (void)state;
    struct grant mqtt = {GRANT_TCP, 1883, 1883};
    struct rule rules[] = {{.from = subject(NOBODIES), .to = subject(BROKERS), .grant_count = 1, .grants = &mqtt}};
    const struct who nobodies = group("nobodies", NOBODIES), brokers = group("brokers", BROKERS);
    const struct who sensors = group("sensors", SENSORS);
    assert_true(can(&nobodies, &brokers, false, rules, 1));
    assert_false(can(&nobodies, &sensors, false, rules, 1));
    assert_false(can(&nobodies, &sensors, true, rules, 1));
}

static void what_is_asked_is_read_or_complained_of(void **state)
{
    (void)state;
    struct can_what what;
    assert_null(can_what_read(&what, "tcp", "502"));
    assert_int_equal(what.protocol, GRANT_TCP);
    assert_int_equal(what.port, 502);
    assert_null(can_what_read(&what, "icmp", NULL));
    assert_int_equal(what.protocol, GRANT_ICMP);
    assert_null(can_what_read(&what, "coap", "/log"));
    assert_int_equal(what.protocol, GRANT_UDP);
    assert_int_equal(what.port, 5683);
    assert_non_null(what.note);
    assert_null(can_what_read(&what, "publish", "a/b"));
    assert_int_equal(what.port, 1883);
    static const char *const wrong[][2] = {{"tcp", "0"},  {"tcp", "65536"}, {"udp", "x"},  {"tcp", NULL},
                                           {"icmp", "8"}, {"publish", ""},  {"sctp", "1"}, {"publish", NULL}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_non_null(can_what_read(&what, wrong[i][0], wrong[i][1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_can_if_each_member_can_and_any_if_one_can),
        cmocka_unit_test(a_rule_between_groups_is_for_members_to_come_too),
        cmocka_unit_test(what_is_asked_is_read_or_complained_of),
    };
    return cmocka_run_group_tests_name("cli-can", tests, NULL, NULL);
}
