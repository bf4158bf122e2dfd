#include "world.h"

#include "tunnel/internal.h"

static struct session *sending(struct world *w, enum who whose, enum who whom)
{
    return atomic_load(&world_peer(w, whose, whom)->sending);
}

static void a_session_used_2_to_the_60_times_is_renewed_by_either_side(void **state)
{
    struct world *w = *state;
    for (int who = BOB; who >= ALICE; who--) {
        enum who other = who == BOB ? ALICE : BOB;
        world_run(w, 600 * SECOND);
        world_connect(w);
        uint64_t before = world_counters(w, who).handshakes;
        world_skip(w, 10 * SECOND);
        atomic_store(&sending(w, who, other)->send_counter, REKEY_AFTER_MESSAGES - 1);
        assert_true(world_passes(w, who, other));
        assert_int_equal(world_counters(w, who).handshakes, before);
        assert_true(world_passes(w, who, other));
        assert_true(world_passes(w, other, who));
        assert_int_equal(world_counters(w, who).handshakes, before + 1);
    }
}

static void a_session_is_not_used_beyond_its_last_counter(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_skip(w, 10 * SECOND);
    atomic_store(&sending(w, ALICE, BOB)->send_counter, REJECT_AFTER_MESSAGES - 2);
    const struct session *worn = sending(w, ALICE, BOB);
    world_packet(w, ALICE, BOB, 100);
    struct wire last = world_take_type(w, MESSAGE_TRANSPORT);
    world_run_cut_off(w, SECOND); /* the renewal is lost */
    world_arrive(w, &last);
    world_packet(w, ALICE, BOB, 100);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], w->peer[ALICE][BOB]), 1);
    world_run(w, 6 * SECOND);
    assert_ptr_not_equal(sending(w, ALICE, BOB), worn);
    assert_int_equal(w->delivered[BOB], 3);
}

static void a_counter_beyond_the_last_is_refused(void **state)
{
    struct world *w = *state;
    uint8_t buffer[MESSAGE_TRANSPORT_MIN];
    world_connect(w);
    const struct session *s = sending(w, ALICE, BOB);
    struct message_transport header = {.type = put_le32(MESSAGE_TRANSPORT),
                                       .receiver = put_le32(s->remote_index),
                                       .counter = put_le64(REJECT_AFTER_MESSAGES)};
    memcpy(buffer, &header, sizeof(header));
    struct aead_op op = {.key = s->send_key, .text = buffer + sizeof(header), .counter = REJECT_AFTER_MESSAGES};
    crypto_seal_batch(w->nodes[ALICE].crypto, AEAD_CHACHA20_POLY1305, &op, 1);
    node_datagram(&w->nodes[BOB], &w->at[ALICE], buffer, sizeof(buffer));
    assert_int_equal(world_counters(w, BOB).bad_packet, 1);
}

static void a_replayed_packet_is_not_delivered(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_packet(w, ALICE, BOB, 100);
    struct wire wire = world_take_type(w, MESSAGE_TRANSPORT);
    world_arrive(w, &wire);
    world_arrive(w, &wire);
    assert_int_equal(w->delivered[BOB], 2);
    assert_int_equal(world_counters(w, BOB).replayed, 1);
}

static void one_batch_holds_a_packet_and_its_replay(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_packet(w, ALICE, BOB, 100);
    struct wire first = world_take_type(w, MESSAGE_TRANSPORT), second = first;
    struct opening openings[] = {{.at = first.bytes, .len = (uint32_t)first.len, .from = &first.from},
                                 {.at = second.bytes, .len = (uint32_t)second.len, .from = &second.from}};
    struct tunnel_notice notices[2];
    size_t notice_count;
    struct node *bob = &w->nodes[BOB];
    tunnel_open_batch(bob->tunnel, bob->crypto, openings, 2, bob->now.monotonic, notices, &notice_count);
    assert_non_null(openings[0].packet);
    assert_int_equal(openings[0].packet_len, 100);
    assert_null(openings[1].packet);
}

static void a_packet_whose_source_is_not_the_peers_is_not_delivered(void **state)
{
    struct world *w = *state;
    world_befriend(w, CAROL, BOB);
    world_connect(w);
    assert_true(world_passes(w, CAROL, BOB));
    uint8_t packet[40] = {0x45, [3] = 40, [8] = 64, [12] = 10, [15] = CAROL, [16] = 10, [19] = BOB};
    uint32_t before = w->delivered[BOB];
    node_packet(&w->nodes[ALICE], packet, sizeof(packet));
    world_settle(w);
    assert_int_equal(w->delivered[BOB], before);
    assert_int_equal(world_counters(w, BOB).bad_source, 1);
}

static void padding_is_cut_off(void **state)
{
    struct world *w = *state;
    world_connect(w);
    for (size_t len = 20; len < 70; len++) {
        world_packet(w, ALICE, BOB, len);
        assert_int_equal((w->wires[w->wire_head].len) % MESSAGE_PADDING, 0);
        world_settle(w);
        assert_int_equal(get_be16(w->last_packet + 2), len);
    }
}

static void a_packet_that_no_peer_has_goes_nowhere(void **state)
{
    struct world *w = *state;
    world_packet(w, ALICE, CAROL, 100);
    assert_int_equal(w->sent[ALICE], 0);
    assert_int_equal(world_counters(w, ALICE).no_route, 1);
    node_packet(&w->nodes[ALICE], (const uint8_t *)"not a packet", 12);
    assert_int_equal(world_counters(w, ALICE).no_route, 2);
}

static void an_unknown_index_draws_nothing(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_packet(w, ALICE, BOB, 100);
    struct wire wire = world_take_type(w, MESSAGE_TRANSPORT);
    wire.bytes[4] ^= 1;
    uint64_t actions = w->nodes[BOB].tally.actions;
    world_arrive(w, &wire);
    assert_int_equal(world_counters(w, BOB).unknown_index, 1);
    assert_int_equal(w->nodes[BOB].tally.actions, actions);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_used_2_to_the_60_times_is_renewed_by_either_side),
        TEST(a_session_is_not_used_beyond_its_last_counter),
        TEST(a_counter_beyond_the_last_is_refused),
        TEST(a_replayed_packet_is_not_delivered),
        TEST(one_batch_holds_a_packet_and_its_replay),
        TEST(a_packet_whose_source_is_not_the_peers_is_not_delivered),
        TEST(padding_is_cut_off),
        TEST(a_packet_that_no_peer_has_goes_nowhere),
        TEST(an_unknown_index_draws_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
