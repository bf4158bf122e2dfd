#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tunnel/rate_limit.h"
#include "wire/message.h"

/* As random as the tunnel has it. */
#define SEED                                                       \
    {                                                              \
        0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb \
    }

static struct endpoint ipv4(uint32_t number)
{
    struct endpoint e = {.family = ENDPOINT_IPV4, .port = 1};
    put_be32(e.address, number);
    return e;
}

static struct endpoint ipv6(uint64_t high, uint64_t low)
{
    struct endpoint e = {.family = ENDPOINT_IPV6, .port = 1};
    put_be64(e.address, high);
    put_be64(e.address + 8, low);
    return e;
}

static uint32_t allowed(struct rate_limit *limit, const struct endpoint *from, uint64_t now, int attempts)
{
    uint32_t count = 0;
    for (int i = 0; i < attempts; i++)
        count += rate_limit_allow(limit, from, now);
    return count;
}

static void a_burst_is_five(void **state)
{
    struct rate_limit limit = {.seed = SEED};
    struct endpoint from = ipv4(7);
    (void)state;
    assert_int_equal(allowed(&limit, &from, SECOND, 100), 5);
}

static void a_second_brings_twenty(void **state)
{
    struct rate_limit limit = {.seed = SEED};
    struct endpoint from = ipv4(7);
    uint32_t count = 0;
    (void)state;
    assert_int_equal(allowed(&limit, &from, SECOND, 100), 5);
    for (int ms = 1; ms <= 1000; ms++)
        count += allowed(&limit, &from, SECOND + ms * (SECOND / 1000), 3);
    assert_int_equal(count, 20);
}

static void a_pause_refills_the_burst_and_no_more(void **state)
{
    struct rate_limit limit = {.seed = SEED};
    struct endpoint from = ipv4(7);
    (void)state;
    assert_int_equal(allowed(&limit, &from, SECOND, 100), 5);
    assert_int_equal(allowed(&limit, &from, 1000 * SECOND, 100), 5);
}

static void sources_do_not_share(void **state)
{
    struct rate_limit limit = {.seed = SEED};
    (void)state;
    for (uint32_t i = 1; i < 50; i++) {
        struct endpoint from = ipv4(i);
        assert_int_equal(allowed(&limit, &from, SECOND, 10), 5);
    }
}

static void a_port_is_no_other_source(void **state)
{
    struct rate_limit limit = {.seed = SEED};
    struct endpoint a = ipv4(7), b = a;
    (void)state;
    b.port = 2;
    assert_int_equal(allowed(&limit, &a, SECOND, 10), 5);
    assert_int_equal(allowed(&limit, &b, SECOND, 10), 0);
}

static void an_ipv6_source_is_its_64_bit_prefix(void **state)
{
    struct rate_limit limit = {.seed = SEED};
    struct endpoint a = ipv6(0x20010db800000001, 1), same = ipv6(0x20010db800000001, 2),
                    other = ipv6(0x20010db800000002, 1);
    (void)state;
    assert_int_equal(allowed(&limit, &a, SECOND, 10), 5);
    assert_int_equal(allowed(&limit, &same, SECOND, 10), 0);
    assert_int_equal(allowed(&limit, &other, SECOND, 10), 5);
}

static void a_flood_of_sources_is_bounded_and_passes(void **state)
{
    struct rate_limit limit = {.seed = SEED};
    uint32_t served = 0;
    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        struct endpoint from = ipv4(i);
        served += rate_limit_allow(&limit, &from, SECOND);
    }
    assert_in_range(served, 1000, RATE_LIMIT_SETS * RATE_LIMIT_WAYS);
    struct endpoint from = ipv4(123456);
    assert_true(rate_limit_allow(&limit, &from, 2 * SECOND));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_is_five),
        cmocka_unit_test(a_second_brings_twenty),
        cmocka_unit_test(a_pause_refills_the_burst_and_no_more),
        cmocka_unit_test(sources_do_not_share),
        cmocka_unit_test(a_port_is_no_other_source),
        cmocka_unit_test(an_ipv6_source_is_its_64_bit_prefix),
        cmocka_unit_test(a_flood_of_sources_is_bounded_and_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
