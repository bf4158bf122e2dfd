/* Paths that the caller decides: several ways to one peer, of which one is in use. */
#include "nodes_world.h"

#include <unistd.h>

#include "base/bytes.h"

static const uint8_t bob_name[ENDPOINT_NAME_SIZE] = {'n', 'a', 'm', 'e', BOB};

/* Alice and Bob speak through the relay, and each steers the other. */
static void make_steered_world(struct world *w)
{
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    engine_set_steered(alice->engine, alice->peer[BOB], true);
    engine_set_steered(bob->engine, bob->peer[ALICE], true);
    make_relayed_world(w);
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    assert_true(comes(w, &bob->links_up, 2, PATIENCE));
}

static int path_of(struct world *w, enum who whose, enum who whom)
{
    struct endpoint endpoint;
    peer_id relay;
    return engine_path(w->nodes[whose].engine, w->nodes[whose].peer[whom], &endpoint, &relay);
}

static void send_by(struct world *w, enum who from, enum who to, const struct endpoint *path, uint8_t what)
{
    const uint8_t frame[64] = {FRAME_PROBE, what};
    engine_send_frame_by(w->nodes[from].engine, w->nodes[from].peer[to], path, frame, sizeof(frame));
}

static void a_frame_goes_by_a_path_while_another_is_in_use(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    struct endpoint direct = at(bob);
    make_steered_world(w);
    send_by(w, ALICE, BOB, &direct, 7);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
    assert_int_equal(bob->last[1], 7);
    assert_int_equal(bob->last_by.from.family, ENDPOINT_IPV4);
    assert_int_equal(bob->last_by.from.port, w->nodes[ALICE].port);
    assert_true(comes(w, &bob->spoke, 1, PATIENCE));
    assert_int_equal(bob->last_spoke, bob->peer[ALICE]);
    assert_int_equal(bob->spoke_from.port, w->nodes[ALICE].port);
    assert_int_equal(path_of(w, ALICE, BOB), 2); /* nobody moved */
    assert_int_equal(path_of(w, BOB, ALICE), 2);
}

static void a_frame_goes_by_a_relay_while_a_direct_path_is_in_use(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    struct endpoint relayed = endpoint_relayed(bob_name, alice->peer[RELAY]);
    make_steered_world(w);
    introduce(w, ALICE, BOB);
    introduce(w, BOB, ALICE);
    uint32_t session = bob->last_by.session;
    send_by(w, ALICE, BOB, &relayed, 8);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
    assert_int_equal(bob->last[1], 8);
    assert_int_equal(bob->last_by.from.family, ENDPOINT_RELAYED);
    assert_true(endpoint_relay(&bob->last_by.from) == bob->peer[RELAY]);
    assert_int_equal(bob->last_by.session, session);
    assert_int_equal(path_of(w, ALICE, BOB), 1);
    assert_int_equal(path_of(w, BOB, ALICE), 1);
}

static void a_frame_by_a_path_waits_for_no_session(void **state)
{
    struct world *w = *state;
    struct node *bob = &w->nodes[BOB];
    struct endpoint direct = at(bob), nowhere = {.family = ENDPOINT_NONE};
    struct endpoint unknown_relay = endpoint_relayed(bob_name, 99);
    send_by(w, ALICE, BOB, &direct, 1);
    send_by(w, ALICE, BOB, &nowhere, 2);
    send_by(w, ALICE, BOB, &unknown_relay, 3);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(counters(w, ALICE).frames_dropped, 3);
    assert_int_equal(bob->frames, 0);
    assert_int_equal(bob->links_up, 0);
}

static void initiations_go_to_all_candidates(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    struct endpoint list[3] = {at(&w->nodes[CAROL]), at(bob), at(&w->nodes[RELAY])};
    introduce(w, ALICE, CAROL); /* a place that answers nothing */
    struct endpoint nowhere = at(&w->nodes[CAROL]);
    assert_int_equal(engine_set_candidates(alice->engine, alice->peer[BOB], list, 3), 0);
    engine_set_steered(alice->engine, alice->peer[BOB], true);
    assert_int_equal(engine_set_direct(alice->engine, alice->peer[BOB], &nowhere), 0);
    send_frame(w, ALICE, BOB, 5, 100);
    assert_true(comes(w, &alice->spoke, 1, PATIENCE)); /* the answer came from elsewhere */
    assert_int_equal(alice->spoke_from.port, bob->port);
    assert_int_equal(alice->links_up, 1);
    send_by(w, ALICE, BOB, &alice->spoke_from, 6); /* there is a session to ask in */
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    assert_int_equal(bob->last[1], 6);
}

static void candidates_are_taken_back(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    struct endpoint there = at(bob), nowhere = at(&w->nodes[CAROL]);
    struct endpoint relayed = endpoint_relayed(bob_name, alice->peer[RELAY]), many[ENGINE_CANDIDATES_MAX + 1];
    for (uint32_t i = 0; i <= ENGINE_CANDIDATES_MAX; i++)
        many[i] = there;
    assert_int_equal(engine_set_candidates(alice->engine, alice->peer[BOB], many, ENGINE_CANDIDATES_MAX + 1),
                     ERROR_INVALID);
    assert_int_equal(engine_set_candidates(alice->engine, alice->peer[BOB], &relayed, 1), ERROR_INVALID);
    assert_int_equal(engine_set_candidates(alice->engine, 12345, &there, 1), ERROR_NOT_FOUND);
    assert_int_equal(engine_set_candidates(alice->engine, alice->peer[BOB], &there, 1), 0);
    assert_int_equal(engine_set_candidates(alice->engine, alice->peer[BOB], NULL, 0), 0);
    assert_int_equal(engine_set_direct(alice->engine, alice->peer[BOB], &nowhere), 0);
    send_frame(w, ALICE, BOB, 5, 100);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(bob->frames + bob->links_up, 0);
}

static void the_copy_of_an_initiation_is_answered_once(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    struct endpoint there = at(bob);
    engine_set_steered(alice->engine, alice->peer[BOB], true);
    engine_set_steered(bob->engine, bob->peer[ALICE], true);
    assert_int_equal(engine_set_candidates(alice->engine, alice->peer[BOB], &there, 1), 0);
    make_relayed_world(w);
    uint64_t relayed = counters(w, RELAY).relayed;
    send_frame(w, ALICE, BOB, 1, 100);
    assert_true(comes(w, &bob->frames, 1, PATIENCE));
    pass_time(w, SHORT_WHILE);
    assert_int_equal(bob->links_up, 2);          /* one session with each: the copy was answered once */
    assert_int_equal(path_of(w, ALICE, BOB), 2); /* it is told where the answer came from */
    assert_true(path_of(w, BOB, ALICE) != 0);    /* who knew of none takes the first */
    assert_true(counters(w, RELAY).relayed > relayed);
}

/* Numbered frames, paced so that no queue overflows, while each side changes its path under them. */
#define STREAM 600

static void a_stream_loses_nothing_when_its_path_changes(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    make_steered_world(w);
    uint32_t at_alice = alice->frames, at_bob = bob->frames, links = alice->links_up;
    for (uint32_t i = 0; i < STREAM; i++) {
        if (i == STREAM / 3)
            introduce(w, ALICE, BOB);
        if (i == STREAM / 2)
            introduce(w, BOB, ALICE);
        if (i == 2 * STREAM / 3) {
            assert_int_equal(engine_set_relayed(alice->engine, alice->peer[BOB], alice->peer[RELAY]), 0);
            assert_int_equal(engine_set_relayed(bob->engine, bob->peer[ALICE], bob->peer[RELAY]), 0);
        }
        send_frame(w, ALICE, BOB, (uint8_t)i, 200);
        send_frame(w, BOB, ALICE, (uint8_t)i, 200);
        turn(alice);
        turn(bob);
        usleep(200);
    }
    assert_true(comes(w, &bob->frames, at_bob + STREAM, PATIENCE));
    assert_true(comes(w, &alice->frames, at_alice + STREAM, PATIENCE));
    pass_time(w, SHORT_WHILE);
    assert_int_equal(bob->frames, at_bob + STREAM);
    assert_int_equal(alice->links_up, links); /* all in one session */
    assert_true(bob->spoke > 0);              /* between the two changes */
    assert_int_equal(path_of(w, ALICE, BOB), 2);
    assert_int_equal(path_of(w, BOB, ALICE), 2);
}

static void where_we_are_is_told_once(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE];
    pass_time(w, SECOND);
    assert_in_range(alice->local_told, 0, 1); /* a host without private addresses has nothing to tell */
    for (uint32_t i = 0; i < alice->local_count; i++)
        assert_int_equal(alice->local[i].port, alice->port);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_frame_goes_by_a_path_while_another_is_in_use),
        TEST(a_frame_goes_by_a_relay_while_a_direct_path_is_in_use),
        TEST(a_frame_by_a_path_waits_for_no_session),
        TEST(initiations_go_to_all_candidates),
        TEST(candidates_are_taken_back),
        TEST(the_copy_of_an_initiation_is_answered_once),
        TEST(a_stream_loses_nothing_when_its_path_changes),
        TEST(where_we_are_is_told_once),
    };
    return cmocka_run_group_tests_name("engine/paths", tests, NULL, NULL);
}
