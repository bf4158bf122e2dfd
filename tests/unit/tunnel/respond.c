#include "world.h"

#include "tunnel/internal.h"

/* Alice's initiation, on the wire and not yet arrived. */
static struct wire initiation_of(struct world *w)
{
    world_packet(w, ALICE, BOB, 100);
    return world_take_type(w, MESSAGE_INITIATION);
}

static void remac(struct world *w, struct wire *wire)
{
    struct cookie_known none = {.until = 0};
    assert_int_equal(
        cookie_seal_message(&none, w->nodes[CAROL].crypto, w->nodes[BOB].public_key, wire->bytes, wire->len, 0), 0);
}

/* Whether Bob does anything at all about it. */
static bool stirs(struct world *w, const struct wire *wire)
{
    uint64_t actions = w->nodes[BOB].tally.actions;
    world_arrive(w, wire);
    return w->nodes[BOB].tally.actions != actions;
}

/* Whether it draws a byte or leaves something to keep. */
static bool answers(struct world *w, const struct wire *wire)
{
    const struct node_tally before = w->nodes[BOB].tally;
    world_arrive(w, wire);
    return w->nodes[BOB].tally.sends != before.sends || w->nodes[BOB].tally.persists != before.persists;
}

static void repeated_initiation_draws_no_action(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    assert_true(answers(w, &initiation));
    for (int i = 0; i < 10; i++) {
        assert_false(stirs(w, &initiation));
        world_skip(w, 30 * SECOND);
    }
    assert_int_equal(world_counters(w, BOB).repeated_initiation, 10);
}

static void repeated_initiation_from_elsewhere_does_not_move_the_peer(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    assert_true(answers(w, &initiation));
    initiation.from = w->at[CAROL];
    assert_false(stirs(w, &initiation));
    struct endpoint endpoint;
    assert_true(tunnel_peer_endpoint(world_peer(w, BOB, ALICE), &endpoint));
    assert_true(endpoint_equal(&endpoint, &w->at[ALICE]));
}

static void an_initiation_that_fell_out_of_the_cache_is_refused_by_its_timestamp(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    assert_true(answers(w, &initiation));
    world_settle(w);
    uint8_t mac1[MESSAGE_MAC_SIZE] = {0};
    for (uint16_t i = 0; i < REPEAT_CACHE_SIZE; i++) {
        put_be16(mac1, i);
        (void)repeat_cache_seen(w->nodes[BOB].tunnel->repeats, mac1);
    }
    assert_false(answers(w, &initiation));
    assert_int_equal(world_counters(w, BOB).old_timestamp, 1);
    assert_true(world_passes(w, ALICE, BOB));
}

static void persisted_timestamp_silences_a_replay_after_restart(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    assert_true(answers(w, &initiation));
    assert_int_equal(w->persists[BOB], 1);

    world_restart(w, BOB);
    tunnel_peer_set_timestamp(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], w->persisted[BOB]);
    assert_false(answers(w, &initiation));
    assert_int_equal(world_counters(w, BOB).old_timestamp, 1);
    world_run_cut_off(w, 6 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    world_run(w, 6 * SECOND);
    assert_true(world_passes(w, ALICE, BOB));
}

static void what_was_seen_decades_ahead_locks_nobody_out_for_good(void **state)
{
    struct world *w = *state;
    const uint64_t now = PLAUSIBLE_FROM + 100 * DAY;
    uint8_t poison[MESSAGE_TIMESTAMP_SIZE];
    for (int i = 0; i < WORLD_NODES; i++)
        w->nodes[i].now.wall = now;
    timestamp_make(poison, now + 20000 * DAY);
    tunnel_peer_set_timestamp(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], poison);
    struct wire initiation = initiation_of(w);
    assert_true(answers(w, &initiation));
    world_settle(w);
    assert_true(world_passes(w, ALICE, BOB));
}

static void a_clock_that_is_set_back_brings_no_replay_back(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < WORLD_NODES; i++)
        w->nodes[i].now.wall = PLAUSIBLE_FROM + 100 * DAY;
    struct wire first = initiation_of(w);
    world_run_cut_off(w, 6 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    world_skip(w, 6 * SECOND);
    world_timers(w);
    struct wire second = world_take_type(w, MESSAGE_INITIATION);
    assert_true(answers(w, &second));
    w->nodes[BOB].now.wall -= 2 * DAY;
    world_skip(w, SECOND);
    assert_false(answers(w, &first));
}

static void an_older_floor_does_not_lower_the_floor(void **state)
{
    struct world *w = *state;
    struct wire first = initiation_of(w);
    world_run_cut_off(w, 6 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    world_skip(w, 6 * SECOND);
    world_timers(w);
    struct wire second = world_take_type(w, MESSAGE_INITIATION);
    assert_true(answers(w, &second));
    const uint8_t zero[MESSAGE_TIMESTAMP_SIZE] = {0};
    tunnel_peer_set_timestamp(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], zero);
    world_skip(w, SECOND);
    assert_false(answers(w, &first));
}

static void the_timestamp_is_persisted_before_the_response_leaves(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    struct tunnel_actions actions = {.count = 0};
    w->nodes[BOB].hold_steps = true;
    world_arrive(w, &initiation);
    node_release_steps(&w->nodes[BOB]);
    assert_int_equal(w->nodes[BOB].held_count, 1);
    struct tunnel_event event = {.kind = TUNNEL_EVENT_STATIC_STEP, .static_step = &w->nodes[BOB].held[0]};
    tunnel_step(w->nodes[BOB].tunnel, &event, w->nodes[BOB].now, &actions);
    assert_int_equal(actions.count, 2);
    assert_int_equal(actions.list[0].kind, TUNNEL_ACTION_PERSIST);
    assert_memory_equal(actions.list[0].persist.public_key, w->nodes[ALICE].public_key, MESSAGE_KEY_SIZE);
    assert_int_equal(actions.list[1].kind, TUNNEL_ACTION_SEND);
    assert_int_equal(actions.list[1].send.bytes[0], MESSAGE_RESPONSE);
}

static void a_truncated_or_overlong_initiation_draws_no_action(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    for (size_t len = 0; len <= 200; len++) {
        struct wire cut = initiation;
        cut.len = len;
        if (len != initiation.len)
            assert_false(stirs(w, &cut));
    }
    assert_true(stirs(w, &initiation));
}

static void every_flipped_bit_is_noticed(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    for (size_t bit = 0; bit < (initiation.len - MESSAGE_MAC_SIZE) * 8; bit++) {
        struct wire forged = initiation;
        forged.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(stirs(w, &forged));
    }
    assert_true(answers(w, &initiation));
}

/* The sender's index is not covered: it only decides which of the sender's handshakes the response reaches. */
static void a_flipped_bit_under_a_valid_mac_is_noticed(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    for (size_t byte = 8; byte < initiation.len - sizeof(struct message_macs); byte += 3) {
        struct wire forged = initiation;
        forged.bytes[byte] ^= 0x10;
        remac(w, &forged);
        assert_false(answers(w, &forged));
    }
    assert_true(answers(w, &initiation));
}

static void a_stranger_draws_no_byte(void **state)
{
    struct world *w = *state;
    assert_int_equal(
        node_add_peer(&w->nodes[CAROL], w->nodes[BOB].public_key, (uint8_t[]){10, 0, 0, BOB}, 32, &w->peer[CAROL][BOB]),
        0);
    node_set_endpoint(&w->nodes[CAROL], w->peer[CAROL][BOB], &w->at[BOB]);
    world_packet(w, CAROL, BOB, 100);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION);
    assert_false(answers(w, &initiation));
    assert_int_equal(world_counters(w, BOB).unknown_peer, 1);
}

static void under_load_the_dark_send_no_cookie(void **state)
{
    struct world *w = *state;
    w->nodes[BOB].under_load = true;
    world_packet(w, ALICE, BOB, 100);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION), forged = initiation;
    forged.bytes[20] ^= 1;
    remac(w, &forged);
    assert_false(answers(w, &forged));
    assert_true(answers(w, &initiation));
    assert_int_equal(world_counters(w, BOB).cookie_replies, 0);
    world_settle(w);
    assert_int_equal(w->delivered[BOB], 1);
}

static void initiations_closer_than_the_interval_are_refused(void **state)
{
    struct world *w = *state;
    struct wire first = initiation_of(w), second;
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_DOWN);
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_UP);
    world_packet(w, ALICE, BOB, 100);
    second = world_take_type(w, MESSAGE_INITIATION);
    assert_true(answers(w, &first));
    world_skip(w, INITIATION_INTERVAL_MIN - 1);
    assert_false(answers(w, &second));
    assert_int_equal(world_counters(w, BOB).flooding, 1);
}

static void an_initiator_removed_while_its_step_runs_is_not_answered(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    w->nodes[BOB].hold_steps = true;
    world_arrive(w, &initiation);
    node_release_steps(&w->nodes[BOB]);
    node_remove_peer(&w->nodes[BOB], w->peer[BOB][ALICE]);
    w->nodes[BOB].hold_steps = false;
    node_release_steps(&w->nodes[BOB]);
    assert_int_equal(w->sent[BOB], 0);
}

static void an_initiation_to_the_old_key_is_not_answered_under_the_new(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    const uint8_t fresh[X25519_SIZE] = {9, 9, 9};
    w->nodes[BOB].hold_steps = true;
    world_arrive(w, &initiation);
    node_release_steps(&w->nodes[BOB]);
    assert_int_equal(w->nodes[BOB].held_count, 1);
    assert_int_equal(node_set_key(&w->nodes[BOB], fresh), 0);
    w->nodes[BOB].hold_steps = false;
    node_release_steps(&w->nodes[BOB]);
    assert_int_equal(w->sent[BOB], 0);
    assert_int_equal(w->nodes[BOB].tunnel->indices.used, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup_dark, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(repeated_initiation_draws_no_action),
        TEST(repeated_initiation_from_elsewhere_does_not_move_the_peer),
        TEST(an_initiation_that_fell_out_of_the_cache_is_refused_by_its_timestamp),
        TEST(persisted_timestamp_silences_a_replay_after_restart),
        TEST(what_was_seen_decades_ahead_locks_nobody_out_for_good),
        TEST(a_clock_that_is_set_back_brings_no_replay_back),
        TEST(an_older_floor_does_not_lower_the_floor),
        TEST(the_timestamp_is_persisted_before_the_response_leaves),
        TEST(a_truncated_or_overlong_initiation_draws_no_action),
        TEST(every_flipped_bit_is_noticed),
        TEST(a_flipped_bit_under_a_valid_mac_is_noticed),
        TEST(a_stranger_draws_no_byte),
        TEST(under_load_the_dark_send_no_cookie),
        TEST(initiations_closer_than_the_interval_are_refused),
        TEST(an_initiator_removed_while_its_step_runs_is_not_answered),
        TEST(an_initiation_to_the_old_key_is_not_answered_under_the_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
