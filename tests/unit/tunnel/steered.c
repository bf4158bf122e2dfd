/* Peers whose path the caller decides. Alice steers Bob. */
#include "world.h"

#include "tunnel/internal.h"

static const uint8_t bob_name[ENDPOINT_NAME_SIZE] = "bob-name";

static struct endpoint relayed(void)
{
    return endpoint_relayed(bob_name, 7);
}

static struct endpoint elsewhere(const struct world *w, uint16_t by)
{
    struct endpoint e = w->at[BOB];
    e.port = (uint16_t)(e.port + by);
    return e;
}

static void steer(struct world *w)
{
    tunnel_peer_set_steered(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], true);
}

static bool bob_is_at(struct world *w, const struct endpoint *where)
{
    struct endpoint seen;
    return tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &seen) && endpoint_equal(&seen, where);
}

static uint64_t told(const struct world *w)
{
    return w->nodes[ALICE].tally.spoke;
}

/* The next message of that type from Bob to Alice comes from there. */
static void hear(struct world *w, enum message_type type, struct endpoint from)
{
    struct wire wire = world_take_type(w, type);
    wire.from = from;
    world_arrive(w, &wire);
}

static void hear_packet(struct world *w, struct endpoint from)
{
    world_packet(w, BOB, ALICE, 100);
    hear(w, MESSAGE_TRANSPORT, from);
}

static void speaking_from_elsewhere_is_told_and_moves_nothing(void **state)
{
    struct world *w = *state;
    world_connect(w);
    steer(w);
    hear_packet(w, elsewhere(w, 1));
    assert_true(bob_is_at(w, &w->at[BOB]));
    assert_int_equal(told(w), 1);
    world_skip(w, SECOND);
    hear_packet(w, relayed());
    assert_true(bob_is_at(w, &w->at[BOB]));
    assert_int_equal(told(w), 2);
    hear_packet(w, w->at[BOB]); /* where it is sent to: nothing to tell */
    assert_int_equal(told(w), 2);
}

static void it_is_told_a_bounded_number_of_times(void **state)
{
    struct world *w = *state;
    world_connect(w);
    steer(w);
    for (int i = 0; i < 50; i++)
        hear_packet(w, elsewhere(w, 1));
    assert_int_equal(told(w), 1);
    world_skip(w, 100 * ms);
    hear_packet(w, elsewhere(w, 1));
    assert_int_equal(told(w), 2);
    for (uint16_t i = 0; i < 50; i++) {
        world_skip(w, ms);
        hear_packet(w, elsewhere(w, (uint16_t)(2 + i)));
    }
    assert_in_range(told(w), 3, 7);
}

static void another_place_is_told_soon_after_one_that_goes_on(void **state)
{
    struct world *w = *state;
    world_connect(w);
    steer(w);
    hear_packet(w, elsewhere(w, 1));
    world_skip(w, 10 * ms);
    hear_packet(w, elsewhere(w, 2));
    assert_int_equal(told(w), 2);
}

static void from_nowhere_it_roams_to_where_it_speaks_from(void **state)
{
    struct world *w = *state;
    struct endpoint there = elsewhere(w, 1);
    world_connect(w);
    steer(w);
    tunnel_peer_forget_endpoint(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB]);
    hear_packet(w, there);
    assert_true(bob_is_at(w, &there));
    assert_int_equal(told(w), 0);
}

static void the_address_here_that_it_speaks_to_is_followed(void **state)
{
    struct world *w = *state;
    struct endpoint other_uplink = w->at[BOB];
    memset(other_uplink.local, 9, sizeof(other_uplink.local));
    world_connect(w);
    steer(w);
    hear_packet(w, other_uplink);
    assert_true(bob_is_at(w, &other_uplink));
    assert_int_equal(told(w), 0);
}

static void an_initiation_is_answered_where_it_came_from_and_does_not_move_a_path_with_a_session(void **state)
{
    struct world *w = *state;
    struct endpoint there = elsewhere(w, 1);
    world_connect(w);
    steer(w);
    world_skip(w, 121 * SECOND);
    struct tunnel_actions actions = {.count = 0};
    struct node *bob = &w->nodes[BOB];
    node_set_endpoint(bob, w->peer[BOB][ALICE], &w->at[ALICE]);
    tunnel_peer_reconnect(bob->tunnel, w->peer[BOB][ALICE], bob->now, &actions);
    assert_int_equal(actions.count, 1);
    struct static_step step = actions.list[0].static_step;
    static_step_run(&step, bob->crypto, bob->private_key);
    bob->held[bob->held_count++] = step;
    node_release_steps(bob);
    hear(w, MESSAGE_INITIATION, there);
    assert_true(bob_is_at(w, &w->at[BOB]));
    assert_int_equal(told(w), 1);
    struct wire response = world_take_type(w, MESSAGE_RESPONSE);
    assert_true(endpoint_equal(&response.to, &there));
}

static void a_first_answer_from_elsewhere_is_told_when_there_is_a_session(void **state)
{
    struct world *w = *state;
    struct endpoint there = elsewhere(w, 1);
    struct node *alice = &w->nodes[ALICE];
    steer(w);
    world_packet(w, ALICE, BOB, 100);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &initiation);
    hear(w, MESSAGE_RESPONSE, there); /* say, to a copy that went there */
    assert_int_equal(told(w), 1);
    assert_true(bob_is_at(w, &w->at[BOB]));
    node_set_endpoint(alice, w->peer[ALICE][BOB], &there); /* as whoever was told may choose to */
    assert_true(world_passes(w, ALICE, BOB));
}

static void an_answer_from_elsewhere_does_not_move_a_path_with_a_session(void **state)
{
    struct world *w = *state;
    world_connect(w);
    steer(w);
    world_skip(w, 121 * SECOND);
    world_packet(w, ALICE, BOB, 100); /* asks for a new session */
    struct wire wire;
    do
        assert_true(world_take(w, &wire));
    while (wire.bytes[0] != MESSAGE_INITIATION);
    world_arrive(w, &wire);
    hear(w, MESSAGE_RESPONSE, elsewhere(w, 1));
    assert_true(bob_is_at(w, &w->at[BOB]));
    assert_int_equal(told(w), 1);
    assert_true(world_passes(w, ALICE, BOB)); /* in the new session */
}

static void a_path_that_answers_nothing_is_given_up(void **state)
{
    struct world *w = *state;
    struct endpoint seen;
    steer(w);
    for (uint32_t second = 0; second < 30; second++) {
        world_packet(w, ALICE, BOB, 100);
        world_run_cut_off(w, SECOND);
    }
    assert_int_equal(w->nodes[ALICE].tally.links_down, 1);
    assert_false(tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &seen));
}

static void without_steering_it_roams(void **state)
{
    struct world *w = *state;
    struct endpoint there = elsewhere(w, 1);
    world_connect(w);
    steer(w);
    tunnel_peer_set_steered(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], false);
    hear_packet(w, there);
    assert_true(bob_is_at(w, &there));
    assert_int_equal(told(w), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(speaking_from_elsewhere_is_told_and_moves_nothing),
        TEST(it_is_told_a_bounded_number_of_times),
        TEST(another_place_is_told_soon_after_one_that_goes_on),
        TEST(from_nowhere_it_roams_to_where_it_speaks_from),
        TEST(the_address_here_that_it_speaks_to_is_followed),
        TEST(an_initiation_is_answered_where_it_came_from_and_does_not_move_a_path_with_a_session),
        TEST(a_first_answer_from_elsewhere_is_told_when_there_is_a_session),
        TEST(an_answer_from_elsewhere_does_not_move_a_path_with_a_session),
        TEST(a_path_that_answers_nothing_is_given_up),
        TEST(without_steering_it_roams),
    };
    return cmocka_run_group_tests_name("tunnel/steered", tests, NULL, NULL);
}
