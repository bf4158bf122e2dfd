#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/difference.h"

#include "../random.h"

static uint32_t draw(uint64_t *seed, struct grant out[GRANTS_MAX])
{
    static const uint8_t protocols[] = {GRANT_ICMP, GRANT_TCP, GRANT_UDP};
    uint32_t count = 0;
    for (uint32_t n = random_below(seed, 12); n > 0; n--) {
        struct grant g = {.protocol = protocols[random_below(seed, 3)]};
        g.low = g.protocol == GRANT_ICMP ? 0 : (uint16_t)random_below(seed, 40);
        g.high = g.protocol == GRANT_ICMP ? 0 : (uint16_t)(g.low + random_below(seed, 6));
        grants_add(out, &count, GRANTS_MAX, &g);
    }
    return count;
}

/* Port by port. */
static void a_port_is_left_if_only_the_first_holds_it(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < 5000; round++) {
        struct grant a[GRANTS_MAX], b[GRANTS_MAX], out[DIFFERENCE_MAX];
        uint32_t a_count = draw(&seed, a), b_count = draw(&seed, b);
        uint32_t count = grants_minus(a, a_count, b, b_count, out);
        for (int protocol = 1; protocol <= 17; protocol++)
            for (uint16_t port = 0; port < 50; port++)
                assert_int_equal(grants_hold(out, count, (uint8_t)protocol, port),
                                 grants_hold(a, a_count, (uint8_t)protocol, port) &&
                                     !grants_hold(b, b_count, (uint8_t)protocol, port));
    }
}

static void the_most_pieces_have_room(void **state)
{
    (void)state;
    struct grant b[GRANTS_MAX], out[DIFFERENCE_MAX];
    const struct grant all = {GRANT_TCP, 0, UINT16_MAX};
    for (uint16_t i = 0; i < GRANTS_MAX; i++)
        b[i] = (struct grant){GRANT_TCP, (uint16_t)(2 * i + 1), (uint16_t)(2 * i + 1)};
    assert_int_equal(grants_minus(&all, 1, b, GRANTS_MAX, out), GRANTS_MAX + 1);
    assert_int_equal(out[GRANTS_MAX].high, UINT16_MAX);
    assert_int_equal(grants_minus(b, GRANTS_MAX, &all, 1, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_is_left_if_only_the_first_holds_it),
        cmocka_unit_test(the_most_pieces_have_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
