/* Native transport between nodes, directly and through a relay. */
#include "nodes_world.h"

#include "base/bytes.h"

/* Of a frame that says its number and length, and whose every byte follows from them; padding may follow. */
#define PATTERN_FROM 4
static uint8_t pattern(uint8_t number, size_t at)
{
    return (uint8_t)(number + at * 7);
}

static bool holds(const uint8_t *bytes, size_t len)
{
    if (bytes[0] != FRAME_ANSWER)
        return true;
    if (get_be16(bytes + 2) > len)
        return false;
    for (size_t i = PATTERN_FROM; i < get_be16(bytes + 2); i++)
        if (bytes[i] != pattern(bytes[1], i))
            return false;
    return true;
}

static int set_up(void **state)
{
    int error = open_world(state);
    struct world *w = *state;
    for (int i = 0; i < NODES; i++)
        w->nodes[i].holds = holds;
    return error;
}

/* `who` has a frame from `from`, which is its hello if `hello`. */
static void reach(struct world *w, enum who from, enum who who, bool hello)
{
    struct node *n = &w->nodes[who];
    send_frame(w, from, who, 1, 20);
    assert_true(comes(w, &n->frames, n->frames + 1, PATIENCE));
    assert_int_equal(n->last_from, n->peer[from]);
    if (hello)
        engine_set_native(n->engine, n->peer[from], n->last_by.session, engine_aeads(w->nodes[from].engine));
}

static void send_pattern(struct world *w, enum who from, enum who to, uint8_t number, size_t len)
{
    uint8_t frame[FRAME_MAX] = {FRAME_ANSWER, number};
    put_be16(frame + 2, (uint16_t)len);
    for (size_t i = PATTERN_FROM; i < len; i++)
        frame[i] = pattern(number, i);
    send_bytes(w, from, to, frame, len);
}

static void frames_go_unpadded_once_a_hello_was_heard(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    introduce(w, ALICE, BOB);
    reach(w, ALICE, BOB, false);
    reach(w, BOB, ALICE, true);
    assert_int_equal(alice->last_len % MESSAGE_PADDING, 0);
    send_pattern(w, ALICE, BOB, 5, 101);
    assert_true(comes(w, &bob->frames, 2, PATIENCE));
    assert_int_equal(bob->last_len, 101);
    send_pattern(w, BOB, ALICE, 6, 103); /* it has seen that Alice does it */
    assert_true(comes(w, &alice->frames, 2, PATIENCE));
    assert_int_equal(alice->last_len, 103);
    assert_false(alice->spoiled || bob->spoiled);
}

/* Some of equal length, as a burst, and some of any. */
static void exchange_bursts(struct world *w)
{
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    uint32_t of_alice = alice->frames, of_bob = bob->frames;
    for (uint8_t i = 0; i < 100; i++)
        send_pattern(w, ALICE, BOB, i, i < 70 ? 1200 : 200 + i * 10u);
    assert_true(comes(w, &bob->frames, of_bob + 100, PATIENCE));
    for (uint8_t i = 0; i < 100; i++)
        send_pattern(w, BOB, ALICE, i, i < 70 ? 1199 : 1200 - i * 10u);
    assert_true(comes(w, &alice->frames, of_alice + 100, PATIENCE));
    assert_false(alice->spoiled || bob->spoiled);
}

/* Each of the three sessions that a relayed path has may be without native transport, or not know of it yet. */
static void a_relay_joins_any_two_transports(void **state)
{
    struct world *w = *state;
    for (unsigned heard = 0; heard < 16; heard++) {
        if (heard != 0) {
            close_world(state);
            set_up(state);
            w = *state;
        }
        make_relayed_world(w);
        reach(w, ALICE, BOB, false);
        reach(w, BOB, ALICE, heard & 1);
        reach(w, RELAY, ALICE, heard & 2);
        reach(w, BOB, RELAY, heard & 4);
        reach(w, RELAY, BOB, heard & 8);
        exchange_bursts(w);
        assert_int_equal(counters(w, RELAY).relay_refused, 0);
    }
}

/* The sender's group and the receiver's batch see the hello at any moment. */
static void native_transport_begins_while_frames_flow(void **state)
{
    struct world *w = *state;
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    make_relayed_world(w);
    reach(w, ALICE, BOB, false);
    reach(w, BOB, ALICE, false);
    uint32_t of_bob = alice->last_by.session;
    reach(w, RELAY, ALICE, false);
    uint32_t of_relay = alice->last_by.session, before = bob->frames;
    for (uint8_t i = 0; i < 200; i++) {
        send_pattern(w, ALICE, BOB, i, 600);
        if (i == 60)
            engine_set_native(alice->engine, alice->peer[BOB], of_bob, FRAME_AEAD_CHACHA20_POLY1305);
        if (i == 120)
            engine_set_native(alice->engine, alice->peer[RELAY], of_relay, engine_aeads(alice->engine));
    }
    assert_true(comes(w, &bob->frames, before + 200, PATIENCE));
    assert_false(bob->spoiled);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_go_unpadded_once_a_hello_was_heard),
        TEST(a_relay_joins_any_two_transports),
        TEST(native_transport_begins_while_frames_flow),
    };
    return cmocka_run_group_tests_name("engine/native", tests, NULL, NULL);
}
