/* Nodes of a network: frames, sessions, relays. */
#include "nodes_world.h"

#include "base/bytes.h"
#include "tunnel/cookie.h"

/* ---- Tests ---- */

static void a_frame_makes_a_session_and_arrives(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    introduce(w, ALICE, BOB);
    send_frame(w, ALICE, BOB, 7, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    assert_int_equal(bob->last_from, bob->peer[ALICE]);
    assert_int_equal(bob->last[0], FRAME_PROBE);
    assert_int_equal(bob->last[1], 7);
    assert_in_range(bob->last_len, 100, 100 + MESSAGE_PADDING - 1);
    assert_int_equal(alice->links_up, 1);
    assert_true(comes(w, &bob->links_up, 1, PATIENCE));
    send_frame(w, BOB, ALICE, 8, FRAME_MAX);
    assert_true(comes(w, &alice->frames, 1, PATIENCE));
    assert_int_equal(alice->last[1], 8);
}

static void what_is_no_frame_is_not_sent(void **state)
{
    struct world *w = *state;
    const uint8_t packet[40] = {0x45};
    send_bytes(w, ALICE, BOB, packet, sizeof(packet));
    assert_int_equal(counters(w, ALICE).frames_dropped, 1);
}

static void steps_may_come_back_late_and_in_any_order(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    introduce(w, ALICE, BOB);
    introduce(w, CAROL, BOB);
    bob->hold_steps = true;
    engine_connect(w->nodes[ALICE].engine, w->nodes[ALICE].peer[BOB]);
    engine_connect(w->nodes[CAROL].engine, w->nodes[CAROL].peer[BOB]);
    assert_true(comes(w, &bob->held, 2, PATIENCE));
    pass_time(w, SHORT_WHILE);
    bob->hold_steps = false;
    assert_true(comes(w, &bob->links_up, 2, PATIENCE));
}

/* An initiation that carries Bob's mac1 and nothing else that holds. */
static void send_initiation(struct world *w, struct udp *from, uint32_t number)
{
    const struct node *bob = &w->nodes[BOB];
    struct message_initiation message = {.type = put_le32(MESSAGE_INITIATION),
                                         .ephemeral = {9, (uint8_t)number, (uint8_t)(number >> 8)}};
    struct cookie_known none = {.until = 0};
    assert_int_equal(cookie_seal_message(&none, bob->crypto, bob->public_key, (uint8_t *)&message, sizeof(message), 0),
                     0);
    struct udp_outgoing outgoing = {.data = (const uint8_t *)&message, .len = sizeof(message), .to = at(bob)};
    udp_send(from, &outgoing, 1);
}

static void strangers_steps_are_bounded_and_do_not_hold_up_ours(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    struct udp *stranger;
    assert_int_equal(udp_open(&stranger, &(struct udp_options){.port = 0}), 0);
    bob->hold_steps = true;
    for (int i = 0; i < 60; i++)
        send_initiation(w, stranger, (uint32_t)i);
    pass_time(w, SECOND / 10);
    assert_int_equal(bob->held, 16);
    introduce(w, BOB, ALICE);
    engine_connect(bob->engine, bob->peer[ALICE]);
    assert_int_equal(bob->held, 17);
    assert_int_equal(bob->steps[16].text_kind, STATIC_STEP_SEAL_TEXT);
    bob->hold_steps = false;
    assert_true(comes(w, &bob->links_up, 1, PATIENCE));
    assert_int_equal(bob->links_up, 1);
    introduce(w, CAROL, BOB); /* and there is room again */
    engine_connect(w->nodes[CAROL].engine, w->nodes[CAROL].peer[BOB]);
    assert_true(comes(w, &bob->links_up, 2, PATIENCE));
    udp_close(stranger);
}

static void a_peer_without_a_path_is_wanted_and_gets_what_waited(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    send_frame(w, ALICE, BOB, 1, 50);
    send_frame(w, ALICE, BOB, 2, 50);
    assert_true(comes(w, &alice->wanted, 1, PATIENCE));
    assert_int_equal(alice->last_wanted, alice->peer[BOB]);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(alice->wanted, 1);
    introduce(w, ALICE, BOB);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
}

static void a_silent_peer_is_told_of_and_not_answered(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    engine_set_silent(bob->engine, bob->peer[ALICE], true);
    introduce(w, ALICE, BOB);
    engine_connect(alice->engine, alice->peer[BOB]);
    assert_true(comes(w, &bob->intruders, 1, PATIENCE));
    pass_time(w, SHORT_WHILE);
    assert_int_equal(alice->links_up, 0);
}

static void the_second_key_is_answered_to_one_alone(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB], *carol = &w->nodes[CAROL];
    struct endpoint e = at(bob);
    peer_id founding[NODES];
    assert_int_equal(engine_set_second_key(bob->engine, bob->second_public_key, bob->peer[ALICE]), 0);
    for (int i = ALICE; i <= CAROL; i += CAROL - ALICE) {
        struct engine *engine = w->nodes[i].engine;
        assert_int_equal(tunnel_peer_add(engine_tunnel(engine), bob->second_public_key, &founding[i]), 0);
        assert_int_equal(engine_set_direct(engine, founding[i], &e), 0);
        engine_connect(engine, founding[i]);
    }
    assert_true(comes(w, &alice->links_up, 1, PATIENCE));
    assert_int_equal(alice->last_link, founding[ALICE]);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(carol->links_up, 0);
    introduce(w, CAROL, BOB); /* on the key of its own, it is */
    engine_connect(carol->engine, carol->peer[BOB]);
    assert_true(comes(w, &carol->links_up, 1, PATIENCE));
}

static void peers_talk_through_a_relay(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB], *relay = &w->nodes[RELAY];
    struct endpoint endpoint;
    peer_id through;
    make_relayed_world(w);
    send_frame(w, ALICE, BOB, 1, 1000);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    assert_int_equal(bob->last_from, bob->peer[ALICE]);
    send_frame(w, BOB, ALICE, 2, 1000);
    assert_true(comes(w, &alice->frames, 1, PATIENCE));
    assert_int_equal(alice->last[1], 2);
    assert_int_equal(relay->frames, 0);
    assert_true(counters(w, RELAY).relayed >= 4); /* initiation, response, one each */
    assert_int_equal(engine_path(bob->engine, bob->peer[ALICE], &endpoint, &through), 2);
    assert_int_equal(through, bob->peer[RELAY]);
    assert_int_equal(engine_path(bob->engine, bob->peer[RELAY], &endpoint, &through), 1);
    assert_int_equal(engine_path(bob->engine, bob->peer[CAROL], &endpoint, &through), 0);
}

static void many_datagrams_pass_a_relay_in_bursts(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    make_relayed_world(w);
    for (uint8_t i = 0; i < 100; i++)
        send_frame(w, ALICE, BOB, i, 1200);
    assert_true(comes(w, &bob->frames, 100, PATIENCE));
    assert_int_equal(bob->last[1], 99);
    for (uint8_t i = 0; i < 100; i++)
        send_frame(w, ALICE, BOB, i, 200 + i * 10u);
    assert_true(comes(w, &bob->frames, 200, PATIENCE));
}

static void two_talk_to_one_through_a_relay_that_talks_itself(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB], *carol = &w->nodes[CAROL], *relay = &w->nodes[RELAY];
    make_relayed_world(w);
    introduce(w, CAROL, RELAY);
    assert_int_equal(engine_permit(relay->engine, relay->peer[CAROL], relay->peer[BOB], true), 0);
    assert_int_equal(engine_set_relayed(carol->engine, carol->peer[BOB], carol->peer[RELAY]), 0);
    send_frame(w, ALICE, BOB, 1, 100);
    send_frame(w, CAROL, BOB, 2, 100);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
    for (uint8_t i = 0; i < 50; i++) {
        send_frame(w, ALICE, BOB, i, 500);
        send_frame(w, CAROL, BOB, i, 500);
        send_frame(w, BOB, i % 2 ? ALICE : CAROL, i, 500);
        send_frame(w, RELAY, BOB, i, 500);
        send_frame(w, ALICE, RELAY, i, 500);
    }
    assert_true(comes(w, &bob->frames, 152, PATIENCE));
    assert_true(comes(w, &relay->frames, 50, PATIENCE));
    assert_true(comes(w, &alice->frames, 25, PATIENCE));
    assert_true(comes(w, &carol->frames, 25, PATIENCE));
    assert_int_equal(counters(w, RELAY).relay_refused, 0);
    send_frame(w, ALICE, CAROL, 1, 100); /* those two were not introduced */
    assert_true(comes(w, &alice->wanted, 1, PATIENCE));
    assert_int_equal(engine_set_relayed(alice->engine, alice->peer[CAROL], alice->peer[RELAY]), 0);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(carol->frames, 25);
    assert_true(counters(w, RELAY).relay_refused > 0);
}

static void a_relayed_peer_waits_for_the_relays_session(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB], *relay = &w->nodes[RELAY];
    introduce(w, BOB, RELAY);
    engine_connect(bob->engine, bob->peer[RELAY]);
    assert_true(comes(w, &relay->links_up, 1, PATIENCE));
    assert_int_equal(engine_permit(relay->engine, relay->peer[ALICE], relay->peer[BOB], true), 0);
    assert_int_equal(engine_set_relay(bob->engine, bob->peer[RELAY], true), 0);
    assert_int_equal(engine_set_relayed(alice->engine, alice->peer[BOB], alice->peer[RELAY]), 0);
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &alice->wanted, 1, PATIENCE)); /* nobody said where the relay is */
    introduce(w, ALICE, RELAY);
    send_frame(w, ALICE, BOB, 2, 100);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
}

static void a_path_changes_under_a_live_session(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    struct endpoint endpoint;
    peer_id through;
    make_relayed_world(w);
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    introduce(w, ALICE, BOB);
    send_frame(w, ALICE, BOB, 2, 100);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
    assert_int_equal(alice->links_up, 2); /* the relay's and Bob's: no new one */
    pass_time(w, SHORT_WHILE);
    assert_int_equal(engine_path(bob->engine, bob->peer[ALICE], &endpoint, &through), 1);
    assert_int_equal(engine_set_relayed(alice->engine, alice->peer[BOB], alice->peer[RELAY]), 0);
    send_frame(w, ALICE, BOB, 3, 100);
    assert_true(comes(w, &bob->frames, 3, PATIENCE));
    pass_time(w, SHORT_WHILE);
    assert_int_equal(engine_path(bob->engine, bob->peer[ALICE], &endpoint, &through), 2);
}

static void a_relayed_path_that_is_forgotten_is_wanted_anew(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    struct endpoint endpoint;
    peer_id through;
    make_relayed_world(w);
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    engine_forget_relayed(alice->engine, alice->peer[BOB], alice->peer[CAROL]); /* not the one in use */
    assert_int_equal(engine_path(alice->engine, alice->peer[BOB], &endpoint, &through), 2);
    engine_forget_relayed(alice->engine, alice->peer[BOB], alice->peer[RELAY]);
    assert_int_equal(engine_path(alice->engine, alice->peer[BOB], &endpoint, &through), 0);
    send_frame(w, ALICE, BOB, 2, 100);
    assert_true(comes(w, &alice->wanted, 1, PATIENCE));
    assert_int_equal(engine_set_relayed(alice->engine, alice->peer[BOB], alice->peer[RELAY]), 0);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
}

static void who_is_not_permitted_is_not_relayed(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB], *relay = &w->nodes[RELAY];
    make_relayed_world(w);
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    assert_int_equal(engine_permit(relay->engine, relay->peer[BOB], relay->peer[ALICE], false), 0);
    send_frame(w, ALICE, BOB, 2, 100);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(bob->frames, 1);
    assert_int_equal(counters(w, RELAY).relay_refused, 1);
    assert_int_equal(engine_permit(relay->engine, relay->peer[BOB], relay->peer[ALICE], true), 0);
    send_frame(w, ALICE, BOB, 3, 100);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
    (void)alice;
}

static void only_a_relay_is_believed(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    make_relayed_world(w);
    assert_int_equal(engine_set_relay(bob->engine, bob->peer[RELAY], false), 0);
    send_frame(w, ALICE, BOB, 1, 100);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(bob->frames, 0);
    assert_int_equal(bob->links_up, 1); /* the relay's alone */
    assert_true(counters(w, BOB).relay_refused > 0);
}

static void nothing_relayed_travels_inside_something_relayed(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    uint8_t frame[sizeof(struct frame_relayed) + sizeof(struct message_initiation)] = {FRAME_RELAYED};
    put_be32(frame + 4, sizeof(struct message_initiation));
    frame[sizeof(struct frame_relayed)] = MESSAGE_INITIATION;
    make_relayed_world(w);
    assert_int_equal(engine_set_relay(bob->engine, bob->peer[ALICE], true), 0);
    send_bytes(w, ALICE, BOB, frame, sizeof(frame));
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    assert_int_equal(counters(w, BOB).relay_nested, 1);
    assert_int_equal(engine_set_relayed(alice->engine, alice->peer[CAROL], alice->peer[BOB]), ERROR_INVALID);
}

/* Bob may send to Alice through us, and is a relay that brings us what Alice sends. */
static void between_two_relays_a_datagram_says_which_way_it_goes(void **state)
{
    struct world *w = *state;
    uint8_t frame[sizeof(struct frame_relayed) + sizeof(struct message_initiation)] = {FRAME_RELAYED, RELAYED_FROM};
    make_relayed_world(w);
    struct node *relay = &w->nodes[RELAY];
    assert_int_equal(engine_set_relay(relay->engine, relay->peer[BOB], true), 0);
    put_be32(frame + 4, sizeof(struct message_initiation));
    memcpy(frame + 8, (const uint8_t[8]){'n', 'a', 'm', 'e', ALICE}, 8);
    frame[sizeof(struct frame_relayed)] = MESSAGE_INITIATION;
    send_bytes(w, BOB, RELAY, frame, sizeof(frame));
    send_frame(w, BOB, RELAY, 1, 20);
    assert_true(comes(w, &relay->frames, 1, PATIENCE));
    assert_int_equal(counters(w, RELAY).relayed + counters(w, RELAY).relay_refused, 0);
    frame[1] = RELAYED_FROM + 1;
    send_bytes(w, BOB, RELAY, frame, sizeof(frame));
    send_frame(w, BOB, RELAY, 2, 20);
    assert_true(comes(w, &relay->frames, 2, PATIENCE));
    assert_int_equal(counters(w, RELAY).relay_refused, 1);
}

static void malformed_relayed_datagrams_are_counted(void **state)
{
    struct world *w = *state;
    uint8_t frame[100] = {FRAME_RELAYED};
    make_relayed_world(w);
    struct node *relay = &w->nodes[RELAY];
    put_be32(frame + 4, 1000); /* longer than it is */
    send_bytes(w, ALICE, RELAY, frame, sizeof(frame));
    send_bytes(w, ALICE, RELAY, frame, 1);
    put_be32(frame + 4, 60); /* no message of the protocol */
    send_bytes(w, ALICE, RELAY, frame, sizeof(frame));
    send_frame(w, ALICE, RELAY, 1, 20);
    assert_true(comes(w, &relay->frames, 1, PATIENCE));
    assert_int_equal(counters(w, RELAY).relay_refused, 3);
}

static void an_origin_is_held_to_its_rate(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    make_relayed_world(w);
    send_frame(w, ALICE, BOB, 0, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    engine_set_relay_rate(w->nodes[RELAY].engine, 1000);
    for (int i = 0; i < 6; i++) { /* 600 datagrams of 1200 and more bytes; 256 KiB pass */
        for (int k = 0; k < 100; k++)
            send_frame(w, ALICE, BOB, 1, 1200);
        pass_time(w, SHORT_WHILE / 4);
    }
    pass_time(w, SHORT_WHILE);
    assert_in_range(bob->frames, 150, 256 * 1024 / 1248 + 2);
    assert_true(counters(w, RELAY).relay_limited > 300);
}

static void a_session_lost_on_the_relayed_path_is_told(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE];
    struct tunnel_actions actions;
    make_relayed_world(w);
    actions.count = 0;
    tunnel_peer_remove(engine_tunnel(alice->engine), alice->peer[RELAY], &actions);
    engine_carry_out(alice->engine, &actions);
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &alice->wanted, 1, PATIENCE));
    assert_int_equal(alice->last_wanted, alice->peer[BOB]);
}

static void counters_have_names(void **state)
{
    struct world *w = *state;
    uint64_t values[48];
    uint32_t count = engine_counter_values(w->nodes[ALICE].engine, values, 48);
    assert_true(count < 48);
    assert_string_equal(engine_counter_name(0), "tun_dropped");
    assert_non_null(engine_counter_name(count - 1));
    assert_null(engine_counter_name(count));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_frame_makes_a_session_and_arrives),
        TEST(what_is_no_frame_is_not_sent),
        TEST(steps_may_come_back_late_and_in_any_order),
        TEST(strangers_steps_are_bounded_and_do_not_hold_up_ours),
        TEST(a_peer_without_a_path_is_wanted_and_gets_what_waited),
        TEST(a_silent_peer_is_told_of_and_not_answered),
        TEST(the_second_key_is_answered_to_one_alone),
        TEST(peers_talk_through_a_relay),
        TEST(many_datagrams_pass_a_relay_in_bursts),
        TEST(two_talk_to_one_through_a_relay_that_talks_itself),
        TEST(a_relayed_peer_waits_for_the_relays_session),
        TEST(a_path_changes_under_a_live_session),
        TEST(a_relayed_path_that_is_forgotten_is_wanted_anew),
        TEST(who_is_not_permitted_is_not_relayed),
        TEST(only_a_relay_is_believed),
        TEST(nothing_relayed_travels_inside_something_relayed),
        TEST(between_two_relays_a_datagram_says_which_way_it_goes),
        TEST(malformed_relayed_datagrams_are_counted),
        TEST(an_origin_is_held_to_its_rate),
        TEST(a_session_lost_on_the_relayed_path_is_told),
        TEST(counters_have_names),
    };
    return cmocka_run_group_tests_name("engine/nodes", tests, NULL, NULL);
}
