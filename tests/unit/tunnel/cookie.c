#include "world.h"

#include "tunnel/internal.h"

/* Bob is under load. */
static int setup_load(void **state)
{
    int error = world_setup(state);
    ((struct world *)*state)->nodes[BOB].under_load = true;
    return error;
}

static struct wire initiation_of(struct world *w)
{
    world_packet(w, ALICE, BOB, 100);
    return world_take_type(w, MESSAGE_INITIATION);
}

/* Alice gets a cookie; her next initiation, on the wire. */
static struct wire initiation_with_cookie(struct world *w)
{
    struct wire wire = initiation_of(w);
    world_arrive(w, &wire);
    wire = world_take_type(w, MESSAGE_COOKIE_REPLY);
    world_arrive(w, &wire);
    world_skip(w, 6 * SECOND);
    world_timers(w);
    return world_take_type(w, MESSAGE_INITIATION);
}

static bool has_mac2(const struct wire *wire)
{
    return !is_zero(wire->bytes + wire->len - MESSAGE_MAC_SIZE, MESSAGE_MAC_SIZE);
}

static void under_load_an_initiation_draws_a_cookie_and_no_work(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_of(w);
    assert_false(has_mac2(&wire));
    world_arrive(w, &wire);
    assert_int_equal(w->nodes[BOB].tally.static_steps, 0);
    wire = world_take_type(w, MESSAGE_COOKIE_REPLY);
    assert_true(endpoint_equal(&wire.to, &w->at[ALICE]));
    assert_int_equal(world_counters(w, BOB).cookie_replies, 1);
}

static void a_cookie_reply_draws_nothing_at_once(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_of(w);
    world_arrive(w, &wire);
    wire = world_take_type(w, MESSAGE_COOKIE_REPLY);
    world_arrive(w, &wire);
    assert_int_equal(w->wire_count, 0);
}

static void the_next_initiation_carries_mac2_and_is_served(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_with_cookie(w);
    assert_true(has_mac2(&wire));
    world_arrive(w, &wire);
    world_settle(w);
    assert_int_equal(w->delivered[BOB], 1);
}

static void a_cookie_is_bound_to_address_and_port(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_with_cookie(w);
    for (int i = 0; i < 2; i++) {
        struct wire elsewhere = wire;
        *(i == 0 ? &elsewhere.from.address[3] : (uint8_t *)&elsewhere.from.port) ^= 1;
        world_arrive(w, &elsewhere);
        (void)world_take_type(w, MESSAGE_COOKIE_REPLY);
    }
    world_arrive(w, &wire);
    (void)world_take_type(w, MESSAGE_RESPONSE);
}

static void a_cookie_lasts_until_the_secret_changes(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_with_cookie(w);
    world_skip(w, COOKIE_SECRET_LIFETIME - 6 * SECOND - 1);
    world_arrive(w, &wire);
    (void)world_take_type(w, MESSAGE_RESPONSE);
    world_skip(w, 1);
    world_arrive(w, &wire);
    (void)world_take_type(w, MESSAGE_COOKIE_REPLY);
}

static void an_initiator_forgets_a_cookie_before_the_secret_changes(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_with_cookie(w);
    uint64_t passed = 6 * SECOND;
    while (has_mac2(&wire)) {
        world_skip(w, REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER);
        passed += REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER;
        world_packet(w, ALICE, BOB, 100);
        world_timers(w);
        wire = world_take_type(w, MESSAGE_INITIATION);
    }
    assert_true(passed >= COOKIE_SECRET_LIFETIME - COOKIE_SECRET_LATENCY);
    assert_true(passed <= COOKIE_SECRET_LIFETIME + COOKIE_SECRET_LATENCY);
}

static void a_response_draws_a_cookie_too(void **state)
{
    struct world *w = *state;
    w->nodes[BOB].under_load = false;
    w->nodes[ALICE].under_load = true;
    struct wire wire = initiation_of(w);
    world_arrive(w, &wire);
    wire = world_take_type(w, MESSAGE_RESPONSE);
    world_arrive(w, &wire);
    wire = world_take_type(w, MESSAGE_COOKIE_REPLY);
    world_arrive(w, &wire);
    world_run(w, 6 * SECOND);
    assert_int_equal(w->delivered[BOB], 1);
}

static void a_forged_cookie_reply_is_not_taken(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    world_arrive(w, &initiation);
    struct wire genuine = world_take_type(w, MESSAGE_COOKIE_REPLY);
    for (size_t byte = 4; byte < genuine.len; byte++) {
        struct wire forged = genuine;
        forged.bytes[byte] ^= 1;
        world_arrive(w, &forged);
        assert_int_equal(world_peer(w, ALICE, BOB)->cookie.until, 0);
    }
    world_arrive(w, &genuine);
    assert_int_not_equal(world_peer(w, ALICE, BOB)->cookie.until, 0);
}

static void a_cookie_reply_counts_once(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    world_arrive(w, &initiation);
    struct wire reply = world_take_type(w, MESSAGE_COOKIE_REPLY);
    world_arrive(w, &reply);
    uint64_t until = world_peer(w, ALICE, BOB)->cookie.until;
    world_skip(w, SECOND);
    world_arrive(w, &reply);
    assert_int_equal(world_peer(w, ALICE, BOB)->cookie.until, until);
}

static void garbage_draws_no_cookie(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_of(w);
    wire.bytes[30] ^= 1;
    world_arrive(w, &wire);
    assert_int_equal(w->sent[BOB], 0);
    assert_int_equal(world_counters(w, BOB).bad_mac1, 1);
}

static void a_source_with_a_cookie_is_held_to_its_rate(void **state)
{
    struct world *w = *state;
    struct wire wire = initiation_with_cookie(w);
    uint64_t steps = w->nodes[BOB].tally.static_steps;
    for (int i = 0; i < 100; i++) {
        struct cookie_known known = world_peer(w, ALICE, BOB)->cookie;
        wire.bytes[20] = (uint8_t)i;
        assert_int_equal(cookie_seal_message(&known, w->nodes[ALICE].crypto, w->nodes[BOB].public_key, wire.bytes,
                                             wire.len, w->nodes[ALICE].now.monotonic),
                         0);
        world_arrive(w, &wire);
    }
    assert_in_range(w->nodes[BOB].tally.static_steps - steps, 5, 6);
    assert_int_equal(world_counters(w, BOB).flooding, 95);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_load, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(under_load_an_initiation_draws_a_cookie_and_no_work),
        TEST(a_cookie_reply_draws_nothing_at_once),
        TEST(the_next_initiation_carries_mac2_and_is_served),
        TEST(a_cookie_is_bound_to_address_and_port),
        TEST(a_cookie_lasts_until_the_secret_changes),
        TEST(an_initiator_forgets_a_cookie_before_the_secret_changes),
        TEST(a_response_draws_a_cookie_too),
        TEST(a_forged_cookie_reply_is_not_taken),
        TEST(a_cookie_reply_counts_once),
        TEST(garbage_draws_no_cookie),
        TEST(a_source_with_a_cookie_is_held_to_its_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
