#include "world.h"

#include "tunnel/internal.h"

static void connect_to(struct world *w, enum who from, enum who to)
{
    struct tunnel_actions actions = {.count = 0};
    struct node *n = &w->nodes[from];
    tunnel_peer_connect(n->tunnel, w->peer[from][to], n->now, &actions);
    for (uint32_t i = 0; i < actions.count; i++) {
        assert_int_equal(actions.list[i].kind, TUNNEL_ACTION_STATIC_STEP);
        struct static_step step = actions.list[i].static_step;
        static_step_run(&step, n->crypto, n->private_key);
        n->held[n->held_count++] = step;
    }
    node_release_steps(n);
}

static uint32_t reconnect(struct world *w, enum who from, enum who to)
{
    struct tunnel_actions actions = {.count = 0};
    struct node *n = &w->nodes[from];
    tunnel_peer_reconnect(n->tunnel, w->peer[from][to], n->now, &actions);
    for (uint32_t i = 0; i < actions.count; i++) {
        struct static_step step = actions.list[i].static_step;
        static_step_run(&step, n->crypto, n->private_key);
        n->held[n->held_count++] = step;
    }
    return actions.count;
}

static void reconnect_begins_a_fresh_handshake_each_second(void **state)
{
    struct world *w = *state;
    world_connect(w);
    for (int i = 0; i < 5; i++) {
        world_skip(w, SECOND);
        assert_int_equal(reconnect(w, ALICE, BOB), 1);
        assert_int_equal(reconnect(w, ALICE, BOB), 0);
    }
}

static void a_session_lost_at_once_is_made_anew_within_a_second(void **state)
{
    struct world *w = *state;
    world_connect(w);
    uint64_t handshakes = w->nodes[ALICE].tally.links_up;
    assert_int_equal(reconnect(w, ALICE, BOB), 0); /* too soon after the last one; it is not forgotten */
    world_run(w, SECOND + SECOND / 2);
    assert_int_equal(w->nodes[ALICE].tally.links_up, handshakes + 1);
}

/* `from` answered a handshake a moment ago, but `to` has forgotten it. */
static void recover(struct world *w, enum who from, enum who to)
{
    world_run(w, 200 * SECOND);
    node_set_endpoint(&w->nodes[to], w->peer[to][from], &w->at[from]);
    assert_true(world_passes(w, to, from));
    peer_reset(tunnel_peer(w->nodes[to].tunnel, w->peer[to][from]));
    world_skip(w, SECOND);
    assert_int_equal(reconnect(w, from, to), 1);
    node_release_steps(&w->nodes[from]);
    world_settle(w);
    assert_true(world_passes(w, from, to));
}

static void who_reconnects_does_not_send_with_what_the_peer_lost(void **state)
{
    struct world *w = *state;
    world_connect(w);
    recover(w, ALICE, BOB);
    recover(w, BOB, ALICE);
}

static void both_sides_are_told_of_each_session(void **state)
{
    struct world *w = *state;
    world_connect(w);
    assert_int_equal(w->nodes[ALICE].tally.links_up, 1);
    assert_int_equal(w->nodes[BOB].tally.links_up, 1);
    world_run(w, 100 * SECOND);
    world_skip(w, 25 * SECOND);
    assert_true(world_passes(w, ALICE, BOB)); /* which renews it */
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(w->nodes[ALICE].tally.links_up, 2);
    assert_int_equal(w->nodes[BOB].tally.links_up, 2);
    assert_int_equal(w->nodes[ALICE].tally.links_down + w->nodes[BOB].tally.links_down, 0);
}

static void a_session_that_grew_too_old_is_told_once(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 170 * SECOND);
    assert_int_equal(w->nodes[BOB].tally.links_down, 0);
    world_run(w, 20 * SECOND);
    assert_int_equal(w->nodes[BOB].tally.links_down, 1);
    assert_int_equal(w->nodes[ALICE].tally.links_down, 1);
    world_run(w, 900 * SECOND);
    assert_int_equal(w->nodes[BOB].tally.links_down, 1);
}

static void a_new_key_of_our_own_ends_links(void **state)
{
    struct world *w = *state;
    const uint8_t private_key[X25519_SIZE] = {8, 1};
    world_connect(w);
    assert_int_equal(node_set_key(&w->nodes[ALICE], private_key), 0);
    world_timers(w);
    assert_int_equal(w->nodes[ALICE].tally.links_down, 1);
    assert_int_equal(w->nodes[BOB].tally.links_down, 0);
}

static void a_handshake_that_is_given_up_is_told(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    world_run_cut_off(w, 80 * SECOND);
    assert_int_equal(w->nodes[ALICE].tally.links_down, 0);
    world_run_cut_off(w, 30 * SECOND);
    assert_int_equal(w->nodes[ALICE].tally.links_down, 1);
}

static void connect_makes_a_session_without_a_packet(void **state)
{
    struct world *w = *state;
    connect_to(w, ALICE, BOB);
    world_settle(w);
    assert_int_equal(w->nodes[ALICE].tally.links_up, 1);
    assert_int_equal(w->nodes[BOB].tally.links_up, 1);
    assert_int_equal(w->delivered[BOB], 0);
}

static void connect_does_nothing_while_a_session_is_fresh_or_a_handshake_under_way(void **state)
{
    struct world *w = *state;
    connect_to(w, ALICE, BOB);
    assert_int_equal(w->sent[ALICE], 1);
    world_skip(w, 4 * SECOND);
    connect_to(w, ALICE, BOB);
    assert_int_equal(w->sent[ALICE], 1);
    world_settle(w);
    uint32_t before = w->sent[ALICE];
    world_skip(w, 30 * SECOND);
    connect_to(w, ALICE, BOB);
    assert_int_equal(w->sent[ALICE], before);
    world_skip(w, 40 * SECOND);
    connect_to(w, ALICE, BOB);
    assert_int_equal(w->sent[ALICE], before + 1);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_INITIATION);
}

static void connect_while_down_is_made_good_when_up(void **state)
{
    struct world *w = *state;
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_DOWN);
    connect_to(w, ALICE, BOB);
    world_run(w, SECOND);
    assert_int_equal(w->sent[ALICE], 0);
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_UP);
    world_run(w, SECOND);
    assert_int_equal(w->nodes[ALICE].tally.links_up, 1);
}

static void hear_from(struct world *w, const struct endpoint *from)
{
    world_packet(w, BOB, ALICE, 100);
    struct wire wire = world_take_type(w, MESSAGE_TRANSPORT);
    wire.from = *from;
    world_arrive(w, &wire);
}

static void a_relay_stays_where_it_is_wherever_it_is_heard_from(void **state)
{
    struct world *w = *state;
    struct endpoint seen, elsewhere = w->at[BOB], relayed = endpoint_relayed((const uint8_t *)"bob-name", 7);
    elsewhere.port++;
    world_connect(w);
    tunnel_peer_set_stays(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], true);
    hear_from(w, &elsewhere);
    hear_from(w, &relayed);
    assert_true(tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &seen) && endpoint_equal(&seen, &w->at[BOB]));
    tunnel_peer_set_stays(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], false);
    hear_from(w, &relayed);
    assert_true(tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &seen) && endpoint_equal(&seen, &relayed));
    tunnel_peer_set_stays(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], true);
    hear_from(w, &w->at[BOB]); /* from a relayed path it may come back */
    assert_true(tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &seen) && endpoint_equal(&seen, &w->at[BOB]));
}

static void a_relayed_path_that_answers_nothing_is_given_up_while_packets_ask(void **state)
{
    struct world *w = *state;
    struct endpoint seen, relayed = endpoint_relayed((const uint8_t *)"bob-name", 7);
    node_set_endpoint(&w->nodes[ALICE], w->peer[ALICE][BOB], &relayed);
    for (uint32_t second = 0; second < 30; second++) {
        world_packet(w, ALICE, BOB, 100);
        world_run_cut_off(w, SECOND);
    }
    assert_int_equal(w->nodes[ALICE].tally.links_down, 1);
    assert_false(tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &seen));
    node_set_endpoint(&w->nodes[ALICE], w->peer[ALICE][BOB], &w->at[BOB]);
    for (uint32_t second = 0; second < 30; second++) {
        world_packet(w, ALICE, BOB, 100);
        world_run_cut_off(w, SECOND);
    }
    assert_int_equal(w->nodes[ALICE].tally.links_down, 1); /* a direct one has all its time */
    assert_true(tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &seen));
}

static void a_silent_peers_initiation_is_told_and_draws_no_byte(void **state)
{
    struct world *w = *state;
    tunnel_peer_set_silent(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], true);
    connect_to(w, ALICE, BOB);
    struct wire wire = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &wire);
    assert_int_equal(w->nodes[BOB].tally.intruders, 1);
    assert_int_equal(w->sent[BOB], 0);
    world_arrive(w, &wire); /* a replay alarms nobody */
    assert_int_equal(w->nodes[BOB].tally.intruders, 1);
    tunnel_peer_set_silent(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], false);
    world_run(w, 10 * SECOND);
    assert_int_equal(w->nodes[ALICE].tally.links_up, 1);
}

static void a_silent_peers_session_goes_on(void **state)
{
    struct world *w = *state;
    world_connect(w);
    tunnel_peer_set_silent(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], true);
    assert_true(world_passes(w, ALICE, BOB));
    assert_true(world_passes(w, BOB, ALICE));
}

static void a_silent_peers_timestamp_is_persisted(void **state)
{
    struct world *w = *state;
    tunnel_peer_set_silent(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], true);
    connect_to(w, ALICE, BOB);
    world_settle(w);
    assert_int_equal(w->persists[BOB], 1);
}

static void a_passive_peer_that_went_away_is_not_called(void **state)
{
    struct world *w = *state;
    world_connect(w);
    tunnel_peer_set_passive(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], true);
    assert_true(world_passes(w, BOB, ALICE));
    world_packet(w, BOB, ALICE, 100); /* its session is used as long as it lasts */
    world_packet(w, ALICE, BOB, 100); /* what it says last draws no sign of life 10 s later, either */
    world_run(w, SECOND);
    uint64_t sent = w->sent[BOB];
    world_run_cut_off(w, 300 * SECOND);
    assert_int_equal(w->sent[BOB], sent);
    connect_to(w, BOB, ALICE);
    world_packet(w, BOB, ALICE, 100);
    world_run_cut_off(w, 10 * SECOND);
    assert_int_equal(w->sent[BOB], sent);
    connect_to(w, ALICE, BOB); /* it comes to us */
    world_run(w, 10 * SECOND);
    assert_int_equal(w->nodes[ALICE].tally.links_up, 2);
}

/* ---- The second key ---- */

static void give_second_key(struct world *w, enum who to)
{
    struct node *bob = &w->nodes[BOB];
    uint8_t public_key[X25519_SIZE];
    memset(bob->second_private_key, 42, X25519_SIZE);
    assert_int_equal(crypto_x25519_public(bob->crypto, public_key, bob->second_private_key), 0);
    assert_int_equal(tunnel_set_second_key(bob->tunnel, public_key, w->peer[BOB][to]), 0);
}

/* Whoever knows Bob by his second key alone. */
static void forget_own_key(struct world *w, enum who whose)
{
    const struct node *bob = &w->nodes[BOB];
    uint8_t public_key[X25519_SIZE];
    assert_int_equal(crypto_x25519_public(bob->crypto, public_key, bob->second_private_key), 0);
    node_remove_peer(&w->nodes[whose], w->peer[whose][BOB]);
    assert_int_equal(node_add_peer(&w->nodes[whose], public_key, (uint8_t[]){10, 0, 0, BOB}, 32, &w->peer[whose][BOB]),
                     0);
    node_set_endpoint(&w->nodes[whose], w->peer[whose][BOB], &w->at[BOB]);
}

static void the_second_key_serves_its_peer(void **state)
{
    struct world *w = *state;
    give_second_key(w, ALICE);
    forget_own_key(w, ALICE);
    assert_true(world_passes(w, ALICE, BOB));
    assert_true(world_passes(w, BOB, ALICE));
}

static void the_second_key_serves_nobody_else(void **state)
{
    struct world *w = *state;
    world_befriend(w, CAROL, BOB);
    give_second_key(w, ALICE);
    forget_own_key(w, CAROL);
    assert_false(world_passes(w, CAROL, BOB));
    assert_int_equal(w->sent[BOB], 0);
    assert_int_equal(world_counters(w, BOB).unknown_peer, 1);
}

static void the_own_key_serves_on_beside_the_second(void **state)
{
    struct world *w = *state;
    world_befriend(w, CAROL, BOB);
    give_second_key(w, ALICE);
    assert_true(world_passes(w, CAROL, BOB));
    assert_true(world_passes(w, ALICE, BOB));
}

static void a_second_key_taken_away_serves_nobody(void **state)
{
    struct world *w = *state;
    give_second_key(w, ALICE);
    forget_own_key(w, ALICE);
    w->nodes[BOB].hold_steps = true; /* taken away while a step runs */
    world_packet(w, ALICE, BOB, 100);
    world_settle(w);
    assert_int_equal(tunnel_set_second_key(w->nodes[BOB].tunnel, NULL, 0), 0);
    w->nodes[BOB].hold_steps = false;
    node_release_steps(&w->nodes[BOB]);
    assert_int_equal(w->sent[BOB], 0);
    world_run(w, 10 * SECOND);
    assert_int_equal(w->sent[BOB], 0);
    assert_true(world_counters(w, BOB).bad_mac1 > 0);
}

static void a_second_key_needs_one_of_our_own(void **state)
{
    struct world *w = *state;
    struct tunnel_actions actions = {.count = 0};
    struct tunnel *t = w->nodes[CAROL].tunnel;
    assert_int_equal(tunnel_set_public_key(t, NULL, &actions), 0);
    assert_int_equal(tunnel_set_second_key(t, w->nodes[BOB].public_key, 1), ERROR_INVALID);
    assert_int_equal(tunnel_set_second_key(t, NULL, 0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_sides_are_told_of_each_session),
        TEST(reconnect_begins_a_fresh_handshake_each_second),
        TEST(a_session_lost_at_once_is_made_anew_within_a_second),
        TEST(who_reconnects_does_not_send_with_what_the_peer_lost),
        TEST(a_session_that_grew_too_old_is_told_once),
        TEST(a_new_key_of_our_own_ends_links),
        TEST(a_handshake_that_is_given_up_is_told),
        TEST(connect_makes_a_session_without_a_packet),
        TEST(connect_does_nothing_while_a_session_is_fresh_or_a_handshake_under_way),
        TEST(connect_while_down_is_made_good_when_up),
        TEST(a_relay_stays_where_it_is_wherever_it_is_heard_from),
        TEST(a_relayed_path_that_answers_nothing_is_given_up_while_packets_ask),
        TEST(a_silent_peers_initiation_is_told_and_draws_no_byte),
        TEST(a_silent_peers_session_goes_on),
        cmocka_unit_test_setup_teardown(a_silent_peers_timestamp_is_persisted, world_setup_dark, world_teardown),
        TEST(a_passive_peer_that_went_away_is_not_called),
        TEST(the_second_key_serves_its_peer),
        TEST(the_second_key_serves_nobody_else),
        TEST(the_own_key_serves_on_beside_the_second),
        TEST(a_second_key_taken_away_serves_nobody),
        TEST(a_second_key_needs_one_of_our_own),
    };
    return cmocka_run_group_tests_name("tunnel/links", tests, NULL, NULL);
}
