#include "world.h"

#include "tunnel/internal.h"

static bool sends_with(struct world *w, enum who whose, enum who whom, const struct session *s)
{
    return atomic_load(&world_peer(w, whose, whom)->sending) == s;
}

/* Both know where the other is. */
static void introduce(struct world *w)
{
    node_set_endpoint(&w->nodes[BOB], w->peer[BOB][ALICE], &w->at[ALICE]);
}

/* Initiations cross; each answers the other's. */
static void cross(struct world *w)
{
    introduce(w);
    world_packet(w, ALICE, BOB, 100);
    world_packet(w, BOB, ALICE, 100);
    world_settle(w);
}

static void the_responder_does_not_send_before_the_session_is_confirmed(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    struct wire wire = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &wire);
    const struct peer *alice = world_peer(w, BOB, ALICE);
    assert_non_null(alice->session_next);
    assert_null(alice->session_current);
    world_packet(w, BOB, ALICE, 100);
    wire = world_take_type(w, MESSAGE_RESPONSE);
    assert_int_equal(w->wire_count, 0);
    world_arrive(w, &wire);
    wire = world_take_type(w, MESSAGE_TRANSPORT);
    world_arrive(w, &wire);
    assert_null(alice->session_next);
    assert_non_null(alice->session_current);
    world_settle(w);
    assert_int_equal(w->delivered[ALICE], 1);
}

static void a_new_session_keeps_the_current_one_as_previous(void **state)
{
    struct world *w = *state;
    world_connect(w);
    const struct session *old[2] = {world_peer(w, ALICE, BOB)->session_current,
                                    world_peer(w, BOB, ALICE)->session_current};
    world_skip(w, REKEY_AFTER_TIME);
    world_connect(w);
    assert_ptr_equal(world_peer(w, ALICE, BOB)->session_previous, old[0]);
    assert_ptr_equal(world_peer(w, BOB, ALICE)->session_previous, old[1]);
    assert_int_equal(world_counters(w, ALICE).handshakes, 2);
}

static void a_packet_of_the_previous_session_still_arrives(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_packet(w, BOB, ALICE, 100);
    struct wire late = world_take_type(w, MESSAGE_TRANSPORT);
    world_skip(w, REKEY_AFTER_TIME);
    world_connect(w);
    uint32_t before = w->delivered[ALICE];
    world_arrive(w, &late);
    assert_int_equal(w->delivered[ALICE], before + 1);
    world_arrive(w, &late);
    assert_int_equal(w->delivered[ALICE], before + 1);
}

static void the_responder_sends_on_the_old_session_until_the_new_one_is_confirmed(void **state)
{
    struct world *w = *state;
    world_connect(w);
    const struct session *old = world_peer(w, BOB, ALICE)->session_current;
    world_skip(w, REKEY_AFTER_TIME);
    world_packet(w, ALICE, BOB, 100);
    struct wire data = world_take_type(w, MESSAGE_TRANSPORT), initiation = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &data);
    world_arrive(w, &initiation);
    assert_true(sends_with(w, BOB, ALICE, old));
    assert_non_null(world_peer(w, BOB, ALICE)->session_next);
    struct wire response = world_take_type(w, MESSAGE_RESPONSE);
    world_packet(w, BOB, ALICE, 100);
    data = world_take_type(w, MESSAGE_TRANSPORT);
    world_arrive(w, &response);
    uint32_t before = w->delivered[ALICE];
    world_arrive(w, &data); /* overtaken by the response: sealed under what is now Alice's previous session */
    assert_int_equal(w->delivered[ALICE], before + 1);
    world_settle(w);
    assert_false(sends_with(w, BOB, ALICE, old));
}

static void crossing_initiations_leave_each_side_with_a_session_that_the_other_opens(void **state)
{
    struct world *w = *state;
    cross(w);
    for (int i = 0; i < 10; i++) {
        assert_true(world_passes(w, ALICE, BOB));
        assert_true(world_passes(w, BOB, ALICE));
    }
}

static bool agree(struct world *w)
{
    const struct session *a = world_peer(w, ALICE, BOB)->session_current,
                         *b = world_peer(w, BOB, ALICE)->session_current;
    return a->remote_index == b->indexed.index && b->remote_index == a->indexed.index && a->initiator != b->initiator;
}

/* Delivers the oldest of what `from` sent, before all that others sent. */
static void deliver_from(struct world *w, enum who from)
{
    struct wire first = {.len = 0}, wire;
    for (uint32_t i = w->wire_count; i > 0; i--) {
        assert_true(world_take(w, &wire));
        if (first.len == 0 && endpoint_equal(&wire.from, &w->at[from]))
            first = wire;
        else
            world_put_back(w, &wire);
    }
    world_arrive(w, &first);
}

static void after_crossing_initiations_one_session_is_used_by_both(void **state)
{
    struct world *w = *state;
    cross(w);
    assert_true(agree(w));
}

/* What crosses, in every order that can be: bit by bit, whose oldest datagram arrives next. */
static void the_order_of_crossing_messages_does_not_matter(void **state)
{
    struct world *w = *state;
    for (uint32_t order = 0; order < 256; order++) {
        world_skip(w, SECOND);
        for (int i = ALICE; i <= BOB; i++) {
            node_event(&w->nodes[i], TUNNEL_EVENT_DOWN);
            node_event(&w->nodes[i], TUNNEL_EVENT_UP);
        }
        introduce(w);
        world_packet(w, ALICE, BOB, 100);
        world_packet(w, BOB, ALICE, 100);
        for (int i = 0; i < 8; i++)
            deliver_from(w, order >> i & 1 ? ALICE : BOB);
        world_settle(w);
        assert_true(world_passes(w, ALICE, BOB));
        assert_true(world_passes(w, BOB, ALICE));
        assert_true(agree(w));
    }
}

static void crossing_initiations_cost_no_packet_when_sessions_are_renewed(void **state)
{
    struct world *w = *state;
    cross(w);
    for (int i = 0; i < 1000; i++) {
        for (int j = 0; j < 2; j++) {
            world_packet(w, ALICE, BOB, 100);
            world_packet(w, BOB, ALICE, 100);
        }
        for (int j = 0; j < 6; j++) { /* both directions at once */
            deliver_from(w, ALICE);
            deliver_from(w, BOB);
        }
        world_run(w, 500 * ms);
    }
    assert_int_equal(w->delivered[ALICE], 2001);
    assert_int_equal(w->delivered[BOB], 2001);
}

static void a_superseded_session_that_is_used_asks_for_attention_once(void **state)
{
    struct world *w = *state;
    cross(w);
    world_connect(w);
    uint64_t before[2] = {w->nodes[ALICE].tally.notices, w->nodes[BOB].tally.notices};
    for (int i = 0; i < 10; i++)
        world_connect(w);
    assert_int_equal(w->nodes[ALICE].tally.notices, before[0]);
    assert_int_equal(w->nodes[BOB].tally.notices, before[1]);
}

static void an_unanswered_initiation_replaces_the_session_that_waited(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, BOB, 100);
    struct wire wire = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &wire);
    uint32_t index = world_peer(w, BOB, ALICE)->session_next->indexed.index;
    world_drop_all(w);
    world_skip(w, 6 * SECOND);
    world_timers(w);
    wire = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &wire);
    assert_int_not_equal(world_peer(w, BOB, ALICE)->session_next->indexed.index, index);
    assert_null(index_table_lookup(&w->nodes[BOB].tunnel->indices, index));
    world_settle(w);
    assert_int_equal(w->delivered[BOB], 1);
}

static void a_confirmation_of_a_session_that_is_gone_changes_nothing(void **state)
{
    struct world *w = *state;
    world_connect(w);
    const struct session *current = world_peer(w, BOB, ALICE)->session_current;
    struct tunnel_notice stale = {.peer = w->peer[BOB][ALICE], .bits = TUNNEL_NOTICE_CONFIRMED, .session = 12345};
    node_notice(&w->nodes[BOB], &stale);
    assert_ptr_equal(world_peer(w, BOB, ALICE)->session_current, current);
    assert_int_equal(world_counters(w, BOB).handshakes, 1);
}

static void sessions_end_when_the_interface_goes_down(void **state)
{
    struct world *w = *state;
    world_connect(w);
    node_event(&w->nodes[BOB], TUNNEL_EVENT_DOWN);
    assert_int_equal(w->nodes[BOB].tunnel->indices.used, 0);
    assert_true(tunnel_deadline(w->nodes[BOB].tunnel) == UINT64_MAX);
    uint32_t sent = w->sent[BOB];
    assert_false(world_passes(w, ALICE, BOB));
    world_run(w, 20 * SECOND);
    assert_int_equal(w->sent[BOB], sent);
    node_event(&w->nodes[BOB], TUNNEL_EVENT_UP);
    world_run(w, 10 * SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    assert_true(world_passes(w, BOB, ALICE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_responder_does_not_send_before_the_session_is_confirmed),
        TEST(a_new_session_keeps_the_current_one_as_previous),
        TEST(a_packet_of_the_previous_session_still_arrives),
        TEST(the_responder_sends_on_the_old_session_until_the_new_one_is_confirmed),
        TEST(crossing_initiations_leave_each_side_with_a_session_that_the_other_opens),
        TEST(after_crossing_initiations_one_session_is_used_by_both),
        TEST(the_order_of_crossing_messages_does_not_matter),
        TEST(crossing_initiations_cost_no_packet_when_sessions_are_renewed),
        TEST(a_superseded_session_that_is_used_asks_for_attention_once),
        TEST(an_unanswered_initiation_replaces_the_session_that_waited),
        TEST(a_confirmation_of_a_session_that_is_gone_changes_nothing),
        TEST(sessions_end_when_the_interface_goes_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
