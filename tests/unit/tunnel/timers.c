#include "world.h"

#include "tunnel/internal.h"

static uint64_t now(const struct world *w)
{
    return w->nodes[ALICE].now.monotonic;
}

/* Runs until `who` sends; returns after how long, or UINT64_MAX if not within `limit`. What is sent before is lost. */
static uint64_t until_sent(struct world *w, enum who who, uint64_t limit)
{
    uint64_t begun = now(w);
    uint32_t before = w->sent[who];
    world_drop_all(w);
    while (w->sent[who] == before) {
        uint64_t at = begun + limit, passed = now(w);
        for (int i = 0; i < WORLD_NODES; i++) {
            uint64_t deadline = tunnel_deadline(w->nodes[i].tunnel);
            at = deadline < at ? deadline : at;
        }
        if (at >= begun + limit)
            return UINT64_MAX;
        world_skip(w, at > passed ? at - passed : 0);
        world_timers(w);
    }
    return now(w) - begun;
}

static void assert_between(uint64_t value, uint64_t least, uint64_t most)
{
    assert_true(value >= least);
    assert_true(value <= most);
}

static void the_initiator_renews_after_120_seconds_when_it_sends(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, REKEY_AFTER_TIME - 1);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(world_counters(w, ALICE).handshakes, 1);
    world_run(w, 1);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(world_counters(w, ALICE).handshakes, 2);
}

static void the_responder_does_not_renew(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, REKEY_AFTER_TIME + SECOND);
    world_packet(w, BOB, ALICE, 100);
    assert_int_equal(w->type_sent[BOB], MESSAGE_TRANSPORT);
    world_settle(w);
    assert_int_equal(world_counters(w, ALICE).handshakes, 1);
}

static void an_initiator_that_only_receives_renews_in_time(void **state)
{
    struct world *w = *state;
    const uint64_t last_minute = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;
    world_connect(w);
    world_skip(w, last_minute - 1);
    world_packet(w, BOB, ALICE, 100);
    world_settle(w);
    assert_int_equal(world_counters(w, ALICE).handshakes, 1);
    world_skip(w, 1);
    world_packet(w, BOB, ALICE, 100);
    world_settle(w);
    assert_int_equal(world_counters(w, ALICE).handshakes, 2);
}

static void an_idle_session_is_not_renewed(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 30 * SECOND);
    uint32_t sent = w->sent[ALICE] + w->sent[BOB];
    world_run(w, 1000 * SECOND);
    assert_int_equal(w->sent[ALICE] + w->sent[BOB], sent);
}

static void a_session_is_not_sent_with_after_180_seconds(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_skip(w, REJECT_AFTER_TIME - 1);
    world_packet(w, BOB, ALICE, 100);
    assert_int_equal(w->type_sent[BOB], MESSAGE_TRANSPORT);
    world_skip(w, 1);
    world_packet(w, BOB, ALICE, 100);
    assert_int_equal(w->type_sent[BOB], MESSAGE_INITIATION);
}

static void a_session_is_not_received_with_after_180_seconds(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_skip(w, REJECT_AFTER_TIME - 1);
    world_packet(w, BOB, ALICE, 100);
    struct wire in_time = world_take_type(w, MESSAGE_TRANSPORT);
    world_packet(w, BOB, ALICE, 100);
    struct wire late = world_take_type(w, MESSAGE_TRANSPORT);
    uint32_t before = w->delivered[ALICE];
    world_arrive(w, &in_time);
    assert_int_equal(w->delivered[ALICE], before + 1);
    world_skip(w, 1);
    world_arrive(w, &late);
    assert_int_equal(w->delivered[ALICE], before + 1);
    assert_int_equal(world_counters(w, ALICE).bad_packet, 1);
}

static void initiations_repeat_each_5_seconds_and_jitter_then_end(void **state)
{
    struct world *w = *state;
    uint64_t begun = now(w), gap;
    uint32_t initiations = 1;
    world_packet(w, ALICE, BOB, 100);
    while ((gap = until_sent(w, ALICE, 1000 * SECOND)) != UINT64_MAX) {
        assert_between(gap, REKEY_TIMEOUT, REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER);
        assert_int_equal(w->type_sent[ALICE], MESSAGE_INITIATION);
        initiations++;
        assert_between(now(w) - begun, 0, REKEY_ATTEMPT_TIME + 20 * REKEY_TIMEOUT_JITTER);
    }
    assert_int_equal(initiations, 1 + HANDSHAKE_ATTEMPTS);
}

static void giving_up_drops_what_is_staged(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    world_run_cut_off(w, REKEY_ATTEMPT_TIME);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], w->peer[ALICE][BOB]), 1);
    world_run_cut_off(w, 12 * SECOND);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], w->peer[ALICE][BOB]), 0);
    assert_int_equal(w->nodes[ALICE].tunnel->indices.used, 0);
}

static void a_packet_after_giving_up_begins_anew(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    world_run_cut_off(w, 200 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_INITIATION);
    world_settle(w);
    assert_int_equal(w->delivered[BOB], 1);
}

static void packets_do_not_hasten_the_repetition(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 300; i++) {
        world_packet(w, ALICE, BOB, 100);
        world_run_cut_off(w, 100 * ms);
    }
    assert_between(w->sent[ALICE], 5, 6);
}

static void a_receiver_that_has_nothing_to_send_answers_after_10_seconds(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(until_sent(w, BOB, 100 * SECOND), KEEPALIVE_TIMEOUT);
    assert_int_equal(w->wires[w->wire_head].len, MESSAGE_TRANSPORT_MIN);
    assert_int_equal(until_sent(w, BOB, 100 * SECOND), UINT64_MAX);
}

static void a_keepalive_is_not_answered(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 50 * SECOND);
    uint32_t sent = w->sent[ALICE] + w->sent[BOB];
    world_run(w, 50 * SECOND);
    assert_int_equal(w->sent[ALICE] + w->sent[BOB], sent);
}

static void whoever_sends_owes_no_keepalive(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    world_run(w, KEEPALIVE_TIMEOUT - SECOND);
    assert_true(world_passes(w, BOB, ALICE));
    assert_int_equal(until_sent(w, BOB, KEEPALIVE_TIMEOUT), UINT64_MAX);
}

static void one_keepalive_answers_all_that_came_before(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    world_run(w, SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    assert_int_equal(until_sent(w, BOB, 100 * SECOND), KEEPALIVE_TIMEOUT - SECOND);
    world_timers(w);
    assert_true(atomic_load(&world_peer(w, BOB, ALICE)->keepalive_at) == 0);
    assert_int_equal(until_sent(w, BOB, 100 * SECOND), UINT64_MAX);
}

static void silence_after_sending_begins_a_handshake_after_15_seconds(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    uint64_t after = until_sent(w, ALICE, 100 * SECOND);
    assert_between(after, KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_INITIATION);
}

static void the_responder_too_begins_a_handshake_after_silence(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    world_packet(w, BOB, ALICE, 100);
    assert_between(until_sent(w, BOB, 100 * SECOND), KEEPALIVE_TIMEOUT + REKEY_TIMEOUT,
                   KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER);
    assert_int_equal(w->type_sent[BOB], MESSAGE_INITIATION);
}

static void silence_counts_from_the_first_unanswered_packet(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    world_run_cut_off(w, 14 * SECOND);
    world_packet(w, ALICE, BOB, 100);
    assert_between(until_sent(w, ALICE, 100 * SECOND), SECOND, SECOND + REKEY_TIMEOUT_JITTER);
}

static void an_answer_of_any_kind_ends_the_wait(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    world_run(w, 100 * SECOND); /* Bob's keepalive came after ten seconds */
    assert_int_equal(world_counters(w, ALICE).handshakes, 1);
}

static void a_keepalive_expects_no_answer(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 100);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_TRANSPORT);
    assert_int_equal(until_sent(w, ALICE, 50 * SECOND), UINT64_MAX);
}

static void persistent_keepalive_comes_at_its_interval(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 20 * SECOND);
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 25);
    assert_int_equal(w->wires[w->wire_head].len, MESSAGE_TRANSPORT_MIN);
    assert_int_equal(until_sent(w, ALICE, 100 * SECOND), 25 * SECOND);
    assert_int_equal(until_sent(w, ALICE, 100 * SECOND), 25 * SECOND);
}

static void persistent_keepalive_waits_while_packets_go_either_way(void **state)
{
    struct world *w = *state;
    world_connect(w);
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 25);
    world_run(w, 15 * SECOND);
    uint32_t sent = w->sent[ALICE];
    for (int i = 0; i < 4; i++) {
        assert_true(world_passes(w, BOB, ALICE));
        world_run(w, 5 * SECOND);
        assert_true(world_passes(w, ALICE, BOB));
        world_run(w, 5 * SECOND);
    }
    /* Bob's keepalive comes five seconds from now. */
    world_run(w, 30 * SECOND - 1);
    assert_int_equal(w->sent[ALICE], sent + 4);
    world_run(w, 1);
    assert_int_equal(w->sent[ALICE], sent + 5);
}

static void persistent_keepalive_keeps_a_session_for_good(void **state)
{
    struct world *w = *state;
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 25);
    world_run(w, 2000 * SECOND);
    assert_true(world_counters(w, ALICE).handshakes >= 2000 / 145);
    assert_true(world_passes(w, BOB, ALICE));
}

static void persistent_keepalive_turned_off_is_silent(void **state)
{
    struct world *w = *state;
    world_connect(w);
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 25);
    world_run(w, 20 * SECOND);
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 0);
    assert_int_equal(until_sent(w, ALICE, 300 * SECOND), UINT64_MAX);
}

static void persistent_keepalive_speaks_when_the_interface_comes_up(void **state)
{
    struct world *w = *state;
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_DOWN);
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 25);
    assert_int_equal(until_sent(w, ALICE, 300 * SECOND), UINT64_MAX);
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_UP);
    world_timers(w);
    assert_int_equal(w->type_sent[ALICE], MESSAGE_INITIATION);
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_DOWN);
    assert_int_equal(until_sent(w, ALICE, 300 * SECOND), UINT64_MAX);
}

static void keys_are_gone_after_540_seconds(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run(w, 3 * REJECT_AFTER_TIME - 1);
    assert_non_null(world_peer(w, ALICE, BOB)->session_current);
    assert_non_null(world_peer(w, BOB, ALICE)->session_current);
    world_run(w, 1);
    assert_null(world_peer(w, ALICE, BOB)->session_current);
    assert_null(world_peer(w, BOB, ALICE)->session_current);
    assert_int_equal(w->nodes[ALICE].tunnel->indices.used, 0);
    assert_int_equal(w->nodes[BOB].tunnel->indices.used, 0);
    assert_true(tunnel_deadline(w->nodes[ALICE].tunnel) == UINT64_MAX);
}

static void a_session_nobody_confirmed_is_gone_after_540_seconds(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    struct wire initiation = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &initiation);
    world_run_cut_off(w, 3 * REJECT_AFTER_TIME);
    assert_int_equal(w->nodes[BOB].tunnel->indices.used, 0);
}

static void a_handshake_given_up_leaves_no_key_after_540_seconds(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_run_cut_off(w, REJECT_AFTER_TIME);
    world_packet(w, ALICE, BOB, 100);
    world_run_cut_off(w, 3 * REJECT_AFTER_TIME + 2 * REKEY_ATTEMPT_TIME);
    assert_int_equal(w->nodes[ALICE].tunnel->indices.used, 0);
    assert_true(tunnel_deadline(w->nodes[ALICE].tunnel) == UINT64_MAX);
}

static void a_long_suspend_is_got_over(void **state)
{
    struct world *w = *state;
    node_set_keepalive(&w->nodes[ALICE], w->peer[ALICE][BOB], 25);
    world_connect(w);
    for (uint64_t hours = 1; hours < 1000; hours *= 7) {
        world_skip(w, hours * 3600 * SECOND);
        world_timers(w);
        world_run(w, SECOND);
        assert_true(world_passes(w, ALICE, BOB));
        assert_true(world_passes(w, BOB, ALICE));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_initiator_renews_after_120_seconds_when_it_sends),
        TEST(the_responder_does_not_renew),
        TEST(an_initiator_that_only_receives_renews_in_time),
        TEST(an_idle_session_is_not_renewed),
        TEST(a_session_is_not_sent_with_after_180_seconds),
        TEST(a_session_is_not_received_with_after_180_seconds),
        TEST(initiations_repeat_each_5_seconds_and_jitter_then_end),
        TEST(giving_up_drops_what_is_staged),
        TEST(a_packet_after_giving_up_begins_anew),
        TEST(packets_do_not_hasten_the_repetition),
        TEST(a_receiver_that_has_nothing_to_send_answers_after_10_seconds),
        TEST(a_keepalive_is_not_answered),
        TEST(whoever_sends_owes_no_keepalive),
        TEST(one_keepalive_answers_all_that_came_before),
        TEST(silence_after_sending_begins_a_handshake_after_15_seconds),
        TEST(the_responder_too_begins_a_handshake_after_silence),
        TEST(silence_counts_from_the_first_unanswered_packet),
        TEST(an_answer_of_any_kind_ends_the_wait),
        TEST(a_keepalive_expects_no_answer),
        TEST(persistent_keepalive_comes_at_its_interval),
        TEST(persistent_keepalive_waits_while_packets_go_either_way),
        TEST(persistent_keepalive_keeps_a_session_for_good),
        TEST(persistent_keepalive_turned_off_is_silent),
        TEST(persistent_keepalive_speaks_when_the_interface_comes_up),
        TEST(keys_are_gone_after_540_seconds),
        TEST(a_session_nobody_confirmed_is_gone_after_540_seconds),
        TEST(a_handshake_given_up_leaves_no_key_after_540_seconds),
        TEST(a_long_suspend_is_got_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
