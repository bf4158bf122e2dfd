#include "world.h"

#include "tunnel/internal.h"

static void a_packet_begins_a_handshake_and_then_arrives(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    assert_int_equal(w->wire_count, 1);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &initiation);
    struct wire response = world_take_type(w, MESSAGE_RESPONSE);
    world_arrive(w, &response);
    struct wire data = world_take_type(w, MESSAGE_TRANSPORT);
    assert_int_equal(data.len, tunnel_sealed_len(100, 0));
    world_arrive(w, &data);
    assert_int_equal(w->delivered[BOB], 1);
    assert_int_equal(w->wire_count, 0);
    assert_true(world_passes(w, BOB, ALICE));
}

static void packets_wait_for_the_session_in_order(void **state)
{
    struct world *w = *state;
    for (size_t len = 20; len < 30; len++)
        world_packet(w, ALICE, BOB, len);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], w->peer[ALICE][BOB]), 10);
    world_settle(w);
    assert_int_equal(w->delivered[BOB], 10);
    assert_int_equal(get_be16(w->last_packet + 2), 29);
}

static void the_response_is_confirmed_by_a_keepalive_if_nothing_waits(void **state)
{
    struct world *w = *state;
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 25);
    struct wire wire = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &wire);
    wire = world_take_type(w, MESSAGE_RESPONSE);
    world_arrive(w, &wire);
    wire = world_take_type(w, MESSAGE_TRANSPORT);
    assert_int_equal(wire.len, MESSAGE_TRANSPORT_MIN);
    world_arrive(w, &wire);
    assert_int_equal(world_counters(w, BOB).handshakes, 1);
}

static void no_initiation_leaves_without_an_endpoint(void **state)
{
    struct world *w = *state;
    world_packet(w, BOB, ALICE, 100);
    world_run_cut_off(w, 200 * SECOND);
    assert_int_equal(w->sent[BOB], 0);
}

static void what_is_staged_goes_out_once_the_endpoint_is_known(void **state)
{
    struct world *w = *state;
    world_packet(w, BOB, ALICE, 100);
    world_skip(w, 10 * ms);
    node_set_endpoint(&w->nodes[BOB], w->peer[BOB][ALICE], &w->at[ALICE]);
    world_settle(w);
    assert_int_equal(w->delivered[ALICE], 1);
}

static void a_forged_response_does_not_harm_the_handshake_in_flight(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    world_settle(w); /* learn what a response looks like */
    world_run_cut_off(w, 200 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &initiation);
    struct wire genuine = world_take_type(w, MESSAGE_RESPONSE), forged = genuine;

    struct message_response *response = (struct message_response *)forged.bytes;
    for (int i = 0; i < 3; i++) {
        struct cookie_known none = {.until = 0};
        forged = genuine;
        (i == 0 ? response->ephemeral : i == 1 ? response->sealed_nothing : response->sender.b)[0] ^= 1;
        if (i == 2)
            response->ephemeral[5] ^= 1;
        assert_int_equal(
            cookie_seal_message(&none, w->nodes[BOB].crypto, w->nodes[ALICE].public_key, forged.bytes, forged.len, 0),
            0);
        uint64_t sends = w->nodes[ALICE].tally.sends, bad = world_counters(w, ALICE).bad_handshake;
        world_arrive(w, &forged);
        assert_int_equal(w->nodes[ALICE].tally.sends, sends);
        assert_int_equal(world_counters(w, ALICE).bad_handshake, bad + 1);
    }
    world_arrive(w, &genuine);
    uint32_t before = w->delivered[BOB];
    world_settle(w);
    assert_int_equal(w->delivered[BOB], before + 1);
}

static void a_response_with_an_ephemeral_of_low_order_is_refused(void **state)
{
    struct world *w = *state;
    struct cookie_known none = {.until = 0};
    world_packet(w, ALICE, BOB, 100);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &initiation);
    struct wire genuine = world_take_type(w, MESSAGE_RESPONSE), forged = genuine;
    memset(((struct message_response *)forged.bytes)->ephemeral, 0, X25519_SIZE);
    assert_int_equal(
        cookie_seal_message(&none, w->nodes[BOB].crypto, w->nodes[ALICE].public_key, forged.bytes, forged.len, 0), 0);
    uint64_t steps = w->nodes[ALICE].tally.static_steps;
    world_arrive(w, &forged);
    assert_int_equal(w->nodes[ALICE].tally.static_steps, steps);
    world_arrive(w, &genuine);
    world_settle(w);
    assert_int_equal(w->delivered[BOB], 1);
}

static void a_response_counts_once(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &initiation);
    struct wire response = world_take_type(w, MESSAGE_RESPONSE);
    w->nodes[ALICE].hold_steps = true;
    world_arrive(w, &response);
    world_arrive(w, &response);
    assert_int_equal(w->nodes[ALICE].held_count, 2);
    w->nodes[ALICE].hold_steps = false;
    node_release_steps(&w->nodes[ALICE]);
    world_arrive(w, &response);
    world_settle(w);
    assert_int_equal(world_counters(w, ALICE).handshakes, 1);
    assert_int_equal(w->delivered[BOB], 1);
    assert_true(world_passes(w, BOB, ALICE));
}

static void only_the_last_initiation_can_be_answered(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    struct wire first = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &first);
    struct wire late = world_take_type(w, MESSAGE_RESPONSE);
    world_skip(w, 6 * SECOND);
    world_timers(w);
    struct wire second = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &late);
    assert_int_equal(world_counters(w, ALICE).handshakes, 0);
    world_arrive(w, &second);
    world_settle(w);
    assert_int_equal(world_counters(w, ALICE).handshakes, 1);
    assert_int_equal(w->delivered[BOB], 1);
}

static uint64_t nanoseconds_of(struct world *w, uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE])
{
    struct peer *p = world_peer(w, BOB, ALICE);
    memcpy(timestamp, p->greatest_timestamp, MESSAGE_TIMESTAMP_SIZE);
    return get_be32(timestamp + 8);
}

static void timestamps_rise_though_the_clock_falls(void **state)
{
    struct world *w = *state;
    uint8_t before[MESSAGE_TIMESTAMP_SIZE], after[MESSAGE_TIMESTAMP_SIZE];
    const uint64_t walls[] = {1700000000 * SECOND, 0, 4102444800 * SECOND, 1700000000 * SECOND, 1};
    memset(before, 0, sizeof(before));
    for (size_t i = 0; i < sizeof(walls) / sizeof(walls[0]); i++) {
        w->nodes[ALICE].now.wall = walls[i];
        assert_true(world_passes(w, ALICE, BOB));
        assert_int_equal(nanoseconds_of(w, after) % (1 << 24), 0);
        assert_true(memcmp(after, before, sizeof(after)) > 0);
        memcpy(before, after, sizeof(before));
        world_run_cut_off(w, 600 * SECOND);
    }
}

static void timestamps_rise_for_a_peer_that_was_removed_and_came_back(void **state)
{
    struct world *w = *state;
    w->nodes[ALICE].now.wall -= 3600 * SECOND;
    for (int i = 0; i < 10; i++) {
        assert_true(world_passes(w, ALICE, BOB));
        w->nodes[ALICE].now.wall -= 600 * SECOND;
        world_run_cut_off(w, 600 * SECOND);
    }
    node_remove_peer(&w->nodes[ALICE], w->peer[ALICE][BOB]);
    assert_int_equal(
        node_add_peer(&w->nodes[ALICE], w->nodes[BOB].public_key, (uint8_t[]){10, 0, 0, BOB}, 32, &w->peer[ALICE][BOB]),
        0);
    node_set_endpoint(&w->nodes[ALICE], w->peer[ALICE][BOB], &w->at[BOB]);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(world_counters(w, BOB).old_timestamp, 0);
}

static void a_peer_with_a_key_of_low_order_draws_no_byte(void **state)
{
    struct world *w = *state;
    const uint8_t zero[X25519_SIZE] = {0};
    peer_id id;
    assert_int_equal(node_add_peer(&w->nodes[ALICE], zero, (uint8_t[]){10, 0, 0, CAROL}, 32, &id), 0);
    node_set_endpoint(&w->nodes[ALICE], id, &w->at[CAROL]);
    world_packet(w, ALICE, CAROL, 100);
    world_run(w, 300 * SECOND);
    assert_int_equal(w->sent[ALICE], 0);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], id), 0);
}

static void simultaneous_initiation_converges(void **state)
{
    struct world *w = *state;
    node_set_endpoint(&w->nodes[BOB], w->peer[BOB][ALICE], &w->at[ALICE]);
    world_packet(w, ALICE, BOB, 100);
    world_packet(w, BOB, ALICE, 100);
    world_settle(w);
    world_run(w, 6 * SECOND);
    assert_int_equal(w->delivered[ALICE], 1);
    assert_int_equal(w->delivered[BOB], 1);
    for (int i = 0; i < 1000; i++) {
        assert_true(world_passes(w, ALICE, BOB));
        assert_true(world_passes(w, BOB, ALICE));
        world_run(w, SECOND);
    }
    assert_true(world_counters(w, ALICE).handshakes < 40);
}

static void a_wish_that_comes_after_the_handshake_brings_no_second_one(void **state)
{
    struct world *w = *state;
    world_connect(w);
    struct tunnel_notice stale = {.peer = w->peer[ALICE][BOB], .bits = TUNNEL_NOTICE_HANDSHAKE};
    world_skip(w, 20 * ms);
    node_notice(&w->nodes[ALICE], &stale);
    world_run(w, 100 * SECOND);
    assert_int_equal(world_counters(w, ALICE).handshakes, 1);
}

static void a_wrong_preshared_key_never_makes_a_session(void **state)
{
    struct world *w = *state;
    const uint8_t key[MESSAGE_KEY_SIZE] = {1};
    tunnel_peer_set_preshared_key(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], key);
    world_packet(w, ALICE, BOB, 100);
    world_run(w, 60 * SECOND);
    assert_int_equal(w->delivered[BOB], 0);
    assert_int_equal(world_counters(w, ALICE).handshakes, 0);
    assert_int_equal(world_counters(w, BOB).handshakes, 0);
    tunnel_peer_set_preshared_key(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], key);
    world_run(w, 6 * SECOND);
    assert_int_equal(w->delivered[BOB], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_packet_begins_a_handshake_and_then_arrives),
        TEST(packets_wait_for_the_session_in_order),
        TEST(the_response_is_confirmed_by_a_keepalive_if_nothing_waits),
        TEST(no_initiation_leaves_without_an_endpoint),
        TEST(what_is_staged_goes_out_once_the_endpoint_is_known),
        TEST(a_forged_response_does_not_harm_the_handshake_in_flight),
        TEST(a_response_with_an_ephemeral_of_low_order_is_refused),
        TEST(a_response_counts_once),
        TEST(only_the_last_initiation_can_be_answered),
        TEST(timestamps_rise_though_the_clock_falls),
        TEST(timestamps_rise_for_a_peer_that_was_removed_and_came_back),
        TEST(a_peer_with_a_key_of_low_order_draws_no_byte),
        TEST(simultaneous_initiation_converges),
        TEST(a_wish_that_comes_after_the_handshake_brings_no_second_one),
        TEST(a_wrong_preshared_key_never_makes_a_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
