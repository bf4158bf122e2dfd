#include "world.h"

#include "tunnel/internal.h"

static void give_gate(struct world *w, enum who whose, enum who to)
{
    uint8_t gate[MESSAGE_COOKIE_SIZE];
    tunnel_gate(w->nodes[whose].tunnel, gate);
    tunnel_peer_set_gate(w->nodes[to].tunnel, w->peer[to][whose], gate);
}

static struct wire initiation_of(struct world *w)
{
    world_packet(w, ALICE, BOB, 100);
    return world_take_type(w, MESSAGE_INITIATION);
}

static enum tunnel_gate_verdict judge(struct world *w, const struct wire *wire)
{
    struct node *bob = &w->nodes[BOB];
    return tunnel_gate_judge(bob->tunnel, bob->crypto, wire->bytes, wire->len);
}

static bool holds(struct world *w, const struct wire *wire)
{
    struct node *bob = &w->nodes[BOB];
    return tunnel_gate_holds(bob->tunnel, bob->crypto, wire->bytes, wire->len);
}

static bool answers(struct world *w, const struct wire *wire)
{
    uint64_t sends = w->nodes[BOB].tally.sends;
    world_arrive(w, wire);
    return w->nodes[BOB].tally.sends != sends;
}

static void who_was_given_the_key_proves_it_and_others_do_not(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    assert_false(holds(w, &initiation));
    world_drop_all(w);
    world_run_cut_off(w, 6 * SECOND);
    give_gate(w, BOB, ALICE);
    world_packet(w, ALICE, BOB, 100);
    world_skip(w, 6 * SECOND);
    world_timers(w);
    initiation = world_take_type(w, MESSAGE_INITIATION);
    assert_true(holds(w, &initiation));
    for (size_t bit = 0; bit < initiation.len * 8; bit += 7) {
        struct wire forged = initiation;
        forged.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(holds(w, &forged));
    }
    assert_true(answers(w, &initiation));
}

static void the_key_taken_back_from_a_peer_proves_nothing_more(void **state)
{
    struct world *w = *state;
    give_gate(w, BOB, ALICE);
    tunnel_peer_set_gate(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], NULL);
    struct wire initiation = initiation_of(w);
    assert_false(holds(w, &initiation));
}

static void a_gated_initiation_counts_once(void **state)
{
    struct world *w = *state;
    give_gate(w, BOB, ALICE);
    struct wire initiation = initiation_of(w);
    assert_int_equal(judge(w, &initiation), TUNNEL_GATE_HELD);
    for (int i = 0; i < 3; i++)
        assert_int_equal(judge(w, &initiation), TUNNEL_GATE_REPEATED);
    assert_int_equal(world_counters(w, BOB).repeated_initiation, 3);
}

/* Messages under the key that Bob has, as many as one wants. */
static void seal_some(struct world *w, struct wire *wire, uint32_t number)
{
    uint8_t gate[MESSAGE_COOKIE_SIZE];
    tunnel_gate(w->nodes[BOB].tunnel, gate);
    put_be32(wire->bytes + 8, number);
    assert_int_equal(gate_seal(w->nodes[CAROL].crypto, gate, wire->bytes, wire->len), 0);
}

static void many_gated_initiations_in_a_cycle_count_once_each(void **state)
{
    struct world *w = *state;
    struct wire wire = {.len = sizeof(struct message_initiation)};
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 4000; i++) {
            seal_some(w, &wire, i);
            assert_int_equal(judge(w, &wire), round == 0 ? TUNNEL_GATE_HELD : TUNNEL_GATE_REPEATED);
        }
}

static void a_key_that_has_seen_its_fill_is_replaced_and_serves_on_beside_the_new_one(void **state)
{
    struct world *w = *state;
    struct wire wire = {.len = sizeof(struct message_initiation)}, first;
    world_skip(w, 2 * GATE_EARLY_MIN);
    world_timers(w);
    seal_some(w, &wire, 0);
    first = wire;
    for (uint32_t i = 0; i < GATE_SEEN_MAX + 100; i++) {
        seal_some(w, &wire, i);
        assert_int_equal(judge(w, &wire), TUNNEL_GATE_HELD);
    }
    assert_true(tunnel_deadline(w->nodes[BOB].tunnel) <= w->nodes[BOB].now.monotonic);
    world_timers(w);
    assert_int_equal(judge(w, &first), TUNNEL_GATE_REPEATED);
    seal_some(w, &wire, 1);
    assert_int_equal(judge(w, &wire), TUNNEL_GATE_HELD);
    assert_true(tunnel_deadline(w->nodes[BOB].tunnel) > w->nodes[BOB].now.monotonic);
}

/* Advances so far; what is replaced is told. */
static void pass(struct world *w, uint64_t time)
{
    world_skip(w, time);
    world_timers(w);
}

static void the_key_before_is_taken_for_another_lifetime(void **state)
{
    struct world *w = *state;
    give_gate(w, BOB, ALICE);
    struct wire initiation = initiation_of(w);
    world_timers(w);
    pass(w, GATE_LIFETIME - 1);
    assert_int_equal(w->nodes[BOB].tally.gates, 0);
    pass(w, 1);
    assert_int_equal(w->nodes[BOB].tally.gates, 1);
    assert_true(holds(w, &initiation));
    pass(w, GATE_LIFETIME - 1);
    assert_true(holds(w, &initiation));
    pass(w, 1);
    assert_int_equal(w->nodes[BOB].tally.gates, 2);
    assert_false(holds(w, &initiation));
}

static void who_is_no_peer_any_more_has_no_priority_left(void **state)
{
    struct world *w = *state;
    struct tunnel_actions actions = {.count = 0};
    give_gate(w, BOB, ALICE);
    struct wire initiation = initiation_of(w);
    world_befriend(w, CAROL, BOB);
    tunnel_peer_remove(w->nodes[BOB].tunnel, w->peer[BOB][CAROL], &actions);
    assert_true(tunnel_deadline(w->nodes[BOB].tunnel) <= w->nodes[BOB].now.monotonic);
    world_timers(w);
    assert_int_equal(w->nodes[BOB].tally.gates, 1);
    assert_false(holds(w, &initiation));
    pass(w, GATE_LIFETIME - 1); /* and a whole lifetime begins */
    assert_int_equal(w->nodes[BOB].tally.gates, 1);
}

static void many_who_go_at_once_replace_the_key_once_a_second(void **state)
{
    struct world *w = *state;
    uint8_t key[MESSAGE_KEY_SIZE] = {1};
    world_timers(w);
    for (uint8_t i = 0; i < 100; i++) {
        struct tunnel_actions actions = {.count = 0};
        peer_id peer;
        key[1] = i;
        assert_int_equal(tunnel_peer_add(w->nodes[BOB].tunnel, key, &peer), 0);
        tunnel_peer_remove(w->nodes[BOB].tunnel, peer, &actions);
        pass(w, SECOND / 100);
    }
    assert_int_equal(w->nodes[BOB].tally.gates, 1);
    pass(w, SECOND);
    assert_int_equal(w->nodes[BOB].tally.gates, 2);
    pass(w, 10 * SECOND);
    assert_int_equal(w->nodes[BOB].tally.gates, 2);
}

static void a_key_is_restored_after_a_restart(void **state)
{
    struct world *w = *state;
    uint8_t gate[MESSAGE_COOKIE_SIZE];
    give_gate(w, BOB, ALICE);
    tunnel_gate(w->nodes[BOB].tunnel, gate);
    struct wire initiation = initiation_of(w);
    world_restart(w, BOB);
    assert_false(holds(w, &initiation));
    assert_int_equal(tunnel_gate_restore(w->nodes[BOB].tunnel, gate), 0);
    assert_true(holds(w, &initiation));
}

static void who_sends_no_cookies_has_no_key(void **state)
{
    struct world *w = *state;
    uint8_t gate[MESSAGE_COOKIE_SIZE];
    struct tunnel *alice = w->nodes[ALICE].tunnel;
    tunnel_gate(alice, gate);
    assert_true(is_zero(gate, sizeof(gate)));
    struct wire wire = {.len = sizeof(struct message_initiation)};
    assert_int_equal(gate_seal(w->nodes[ALICE].crypto, gate, wire.bytes, wire.len), 0);
    assert_false(tunnel_gate_holds(alice, w->nodes[ALICE].crypto, wire.bytes, wire.len));
}

/* Somebody on the path can make a cookie reply that opens, knowing no secret. */
static void a_cookie_does_not_take_the_gate_keys_place(void **state)
{
    struct world *w = *state;
    struct peer *bob = world_peer(w, ALICE, BOB);
    give_gate(w, BOB, ALICE);
    memset(bob->cookie.cookie, 7, sizeof(bob->cookie.cookie));
    bob->cookie.until = UINT64_MAX;
    struct wire initiation = initiation_of(w);
    assert_true(holds(w, &initiation));
}

static void a_response_carries_it_too(void **state)
{
    struct world *w = *state;
    uint8_t gate[MESSAGE_COOKIE_SIZE] = {9};
    tunnel_peer_set_gate(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], gate);
    struct wire initiation = initiation_of(w);
    world_arrive(w, &initiation);
    struct wire response = world_take_type(w, MESSAGE_RESPONSE), sealed = response;
    assert_int_equal(gate_seal(w->nodes[ALICE].crypto, gate, sealed.bytes, sealed.len), 0);
    assert_memory_equal(sealed.bytes, response.bytes, sealed.len);
}

/* A session goes on under the index of the handshake that made it. */
static void a_response_to_a_finished_handshake_is_not_awaited(void **state)
{
    struct world *w = *state;
    struct wire initiation = initiation_of(w);
    world_arrive(w, &initiation);
    struct wire response = world_take_type(w, MESSAGE_RESPONSE);
    assert_true(tunnel_awaits(w->nodes[ALICE].tunnel, response.bytes, response.len));
    world_arrive(w, &response);
    assert_false(tunnel_awaits(w->nodes[ALICE].tunnel, response.bytes, response.len));
}

static void slots_that_are_taken_are_walked_no_further_than_bounded(void **state)
{
    (void)state;
    static struct gate_key k;
    uint8_t message[sizeof(struct message_initiation)] = {0};
    uint64_t print;
    for (uint32_t i = 1; i <= 2 * GATE_PROBES_MAX; i++) { /* all of them want one slot */
        print = 5 + (uint64_t)i * GATE_SEEN_SLOTS;
        memcpy(message + sizeof(message) - MESSAGE_MAC_SIZE, &print, sizeof(print));
        assert_false(gate_key_has_seen(&k, message, sizeof(message)));
        assert_int_equal(gate_key_has_seen(&k, message, sizeof(message)), i <= GATE_PROBES_MAX);
    }
    assert_int_equal(k.seen_count, GATE_PROBES_MAX);
}

#define DARK(name) cmocka_unit_test_setup_teardown(name, world_setup_dark, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DARK(who_was_given_the_key_proves_it_and_others_do_not),
        DARK(the_key_taken_back_from_a_peer_proves_nothing_more),
        DARK(a_gated_initiation_counts_once),
        DARK(many_gated_initiations_in_a_cycle_count_once_each),
        DARK(a_key_that_has_seen_its_fill_is_replaced_and_serves_on_beside_the_new_one),
        DARK(the_key_before_is_taken_for_another_lifetime),
        DARK(who_is_no_peer_any_more_has_no_priority_left),
        DARK(many_who_go_at_once_replace_the_key_once_a_second),
        DARK(a_key_is_restored_after_a_restart),
        DARK(who_sends_no_cookies_has_no_key),
        DARK(a_cookie_does_not_take_the_gate_keys_place),
        DARK(a_response_carries_it_too),
        DARK(a_response_to_a_finished_handshake_is_not_awaited),
        cmocka_unit_test(slots_that_are_taken_are_walked_no_further_than_bounded),
    };
    return cmocka_run_group_tests_name("tunnel/gate", tests, NULL, NULL);
}
