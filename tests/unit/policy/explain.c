#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "policy/explain.h"

#include "../random.h"

static struct subject subject(uint8_t i)
{
    struct subject s = {{i}};
    return s;
}

static struct grant tcp(uint16_t low, uint16_t high)
{
    return (struct grant){GRANT_TCP, low, high};
}

enum { ALL, SENSOR, SENSORS, BROKER, BROKERS };
static const struct subject sensor[] = {{{ALL}}, {{SENSOR}}, {{SENSORS}}},
                            broker[] = {{{ALL}}, {{BROKER}}, {{BROKERS}}};
static const struct explain_side sensor_side = {sensor, 3}, broker_side = {broker, 3};

static void must_be(struct rule *rules, uint32_t count, uint16_t port, enum explain_answer answer, int rule)
{
    const struct rule_set set = {count, rules};
    const struct rule *found;
    assert_int_equal(policy_explain(&set, &sensor_side, &broker_side, GRANT_TCP, port, &found), answer);
    assert_ptr_equal(found, rule < 0 ? NULL : &rules[rule]);
}

static void the_first_rule_that_allows_it_is_named(void **state)
{
    (void)state;
    struct grant mqtt = tcp(1883, 1883), all = tcp(0, 65535);
    struct rule rules[] = {{.from = subject(BROKERS), .to = subject(SENSORS), .grant_count = 1, .grants = &all},
                           {.from = subject(SENSORS), .to = subject(BROKER), .grant_count = 1, .grants = &mqtt},
                           {.from = subject(ALL), .to = subject(ALL), .grant_count = 1, .grants = &all}};
    must_be(rules, 3, 1883, EXPLAIN_ALLOWED, 1);
    must_be(rules, 3, 22, EXPLAIN_ALLOWED, 2);
    must_be(rules, 2, 22, EXPLAIN_OTHER_PORTS, 1);
    must_be(rules, 1, 22, EXPLAIN_OTHER_WAY, 0);
    must_be(rules, 0, 22, EXPLAIN_NO_RULE, -1);
}

static void a_rule_of_a_later_version_joins_but_allows_nothing(void **state)
{
    (void)state;
    struct rule rules[] = {{.from = subject(SENSORS), .to = subject(BROKERS)}};
    must_be(rules, 1, 1883, EXPLAIN_OTHER_PORTS, 0);
}

static void what_lies_beyond_the_limit_is_not_allowed(void **state)
{
    (void)state;
    static struct grant many[GRANTS_MAX];
    struct grant one_more = tcp(50000, 50000);
    for (uint16_t i = 0; i < GRANTS_MAX; i++)
        many[i] = tcp((uint16_t)(2 * i + 1), (uint16_t)(2 * i + 1));
    struct rule rules[] = {
        {.from = subject(SENSORS), .to = subject(BROKERS), .grant_count = GRANTS_MAX, .grants = many},
        {.from = subject(SENSOR), .to = subject(ALL), .grant_count = 1, .grants = &one_more}};
    must_be(rules, 2, 50000, EXPLAIN_CUT_OFF, 1);
    must_be(rules, 2, 3, EXPLAIN_ALLOWED, 0);
}

/* Beside what decides. */
static void a_yes_is_what_the_nodes_would_decide(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 5000; round++) {
        struct grant grants[6];
        struct rule rules[6];
        const struct rule_set set = {6, rules}, *sets = &set;
        struct grant decided[GRANTS_MAX];
        const struct rule *rule;
        for (int i = 0; i < 6; i++) {
            uint16_t low = (uint16_t)(random_below(&seed, 8));
            grants[i] = tcp(low, (uint16_t)(low + random_below(&seed, 3)));
            rules[i] = (struct rule){.from = subject((uint8_t)(random_below(&seed, 5))),
                                     .to = subject((uint8_t)(random_below(&seed, 5))),
                                     .grant_count = 1,
                                     .grants = &grants[i]};
        }
        uint32_t count = rules_grants(&sets, 1, sensor, 3, broker, 3, decided);
        for (uint16_t port = 0; port < 10; port++) {
            enum explain_answer answer = policy_explain(&set, &sensor_side, &broker_side, GRANT_TCP, port, &rule);
            assert_int_equal(answer == EXPLAIN_ALLOWED, grants_hold(decided, count, GRANT_TCP, port));
            assert_int_equal(answer == EXPLAIN_NO_RULE, rule == NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_that_allows_it_is_named),
        cmocka_unit_test(a_rule_of_a_later_version_joins_but_allows_nothing),
        cmocka_unit_test(what_lies_beyond_the_limit_is_not_allowed),
        cmocka_unit_test(a_yes_is_what_the_nodes_would_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
