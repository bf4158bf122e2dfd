#include "world.h"

#include <pthread.h>
#include <sched.h>

#include "tunnel/internal.h"

static void our_own_key_is_not_a_peer(void **state)
{
    struct world *w = *state;
    peer_id id = 0;
    assert_int_equal(tunnel_peer_add(w->nodes[ALICE].tunnel, w->nodes[ALICE].public_key, &id), ERROR_INVALID);
    assert_int_equal(id, 0);
}

static void a_peer_whose_key_becomes_ours_is_removed(void **state)
{
    struct world *w = *state;
    world_connect(w);
    peer_id bob = w->peer[ALICE][BOB];
    assert_int_equal(node_set_key(&w->nodes[ALICE], w->nodes[BOB].private_key), 0);
    assert_int_equal(tunnel_peer_find(w->nodes[ALICE].tunnel, w->nodes[BOB].public_key), 0);
    assert_null(tunnel_peer(w->nodes[ALICE].tunnel, bob));
    assert_int_equal(w->nodes[ALICE].tally.discards, 1);
    world_packet(w, ALICE, BOB, 100);
    assert_int_equal(w->wire_count, 0);
}

static void a_peer_is_there_once(void **state)
{
    struct world *w = *state;
    peer_id id;
    assert_int_equal(tunnel_peer_add(w->nodes[ALICE].tunnel, w->nodes[BOB].public_key, &id), ERROR_EXISTS);
    assert_true(tunnel_peer_find(w->nodes[ALICE].tunnel, w->nodes[BOB].public_key) == w->peer[ALICE][BOB]);
}

static void with_a_new_key_nothing_is_sent_under_the_old_one(void **state)
{
    struct world *w = *state;
    const uint8_t fresh[X25519_SIZE] = {5, 6, 7};
    world_connect(w);
    assert_int_equal(node_set_key(&w->nodes[ALICE], fresh), 0);
    world_packet(w, ALICE, BOB, 100);
    struct wire wire = world_take_type(w, MESSAGE_INITIATION);
    world_arrive(w, &wire);
    assert_false(world_passes(w, ALICE, BOB));
    assert_int_equal(world_counters(w, BOB).unknown_peer, 1);
}

static void what_was_sent_under_the_old_key_still_arrives(void **state)
{
    struct world *w = *state;
    const uint8_t fresh[X25519_SIZE] = {5, 6, 7};
    world_connect(w);
    world_packet(w, BOB, ALICE, 100);
    struct wire late = world_take_type(w, MESSAGE_TRANSPORT);
    assert_int_equal(node_set_key(&w->nodes[ALICE], fresh), 0);
    uint32_t before = w->delivered[ALICE];
    world_arrive(w, &late);
    assert_int_equal(w->delivered[ALICE], before + 1);
}

/* Bob's session, confirmed a moment before, has the precedence over one that crosses it: not once it is expired. */
static void a_key_set_there_and_back_costs_one_handshake(void **state)
{
    struct world *w = *state;
    const uint8_t fresh[X25519_SIZE] = {5, 6, 7};
    uint8_t own[X25519_SIZE];
    for (int who = ALICE; who <= BOB; who++) {
        enum who other = who == ALICE ? BOB : ALICE;
        world_connect(w);
        memcpy(own, w->nodes[who].private_key, sizeof(own));
        assert_int_equal(node_set_key(&w->nodes[who], fresh), 0);
        assert_int_equal(node_set_key(&w->nodes[who], own), 0);
        world_skip(w, SECOND);
        assert_true(world_passes(w, (enum who)who, other));
        assert_true(world_passes(w, other, (enum who)who));
        assert_non_null(atomic_load(&world_peer(w, (enum who)who, other)->sending));
        world_skip(w, REKEY_TIMEOUT);
    }
}

static void without_a_key_nothing_is_said(void **state)
{
    struct world *w = *state;
    struct tunnel_actions actions = {.count = 0};
    world_connect(w);
    world_packet(w, ALICE, BOB, 100);
    world_drop_all(w);
    assert_int_equal(tunnel_set_public_key(w->nodes[BOB].tunnel, NULL, &actions), 0);
    uint32_t sent = w->sent[BOB];
    world_run(w, 60 * SECOND);
    world_packet(w, BOB, ALICE, 100);
    world_run(w, 60 * SECOND);
    assert_int_equal(w->sent[BOB], sent);
}

static void a_removed_peer_is_not_heard(void **state)
{
    struct world *w = *state;
    world_connect(w);
    world_packet(w, ALICE, BOB, 100);
    struct wire late = world_take_type(w, MESSAGE_TRANSPORT);
    node_remove_peer(&w->nodes[BOB], w->peer[BOB][ALICE]);
    uint32_t before = w->delivered[BOB], sent = w->sent[BOB];
    world_arrive(w, &late);
    world_run(w, 60 * SECOND);
    assert_int_equal(w->delivered[BOB], before);
    assert_int_equal(w->sent[BOB], sent);
    assert_int_equal(w->nodes[BOB].tunnel->indices.used, 0);
    assert_int_equal(w->nodes[BOB].tunnel->peers.used, 0);
}

static void a_removed_peer_that_comes_back_is_another(void **state)
{
    struct world *w = *state;
    world_connect(w);
    peer_id old = w->peer[BOB][ALICE];
    node_remove_peer(&w->nodes[BOB], old);
    assert_int_equal(node_add_peer(&w->nodes[BOB], w->nodes[ALICE].public_key, (uint8_t[]){10, 0, 0, ALICE}, 32,
                                   &w->peer[BOB][ALICE]),
                     0);
    assert_true(w->peer[BOB][ALICE] != old);
    assert_null(tunnel_peer(w->nodes[BOB].tunnel, old));
    world_packet(w, ALICE, BOB, 100);
    world_run(w, 30 * SECOND);
    assert_true(world_passes(w, ALICE, BOB));
    assert_true(world_passes(w, BOB, ALICE));
}

static void removal_while_a_step_runs_is_safe(void **state)
{
    struct world *w = *state;
    w->nodes[ALICE].hold_steps = true;
    world_packet(w, ALICE, BOB, 100);
    assert_int_equal(w->nodes[ALICE].held_count, 1);
    node_remove_peer(&w->nodes[ALICE], w->peer[ALICE][BOB]);
    w->nodes[ALICE].hold_steps = false;
    node_release_steps(&w->nodes[ALICE]);
    assert_int_equal(w->sent[ALICE], 0);
    assert_null(w->nodes[ALICE].staged);
}

static void going_down_while_a_step_runs_is_safe(void **state)
{
    struct world *w = *state;
    w->nodes[ALICE].hold_steps = true;
    world_packet(w, ALICE, BOB, 100);
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_DOWN);
    node_event(&w->nodes[ALICE], TUNNEL_EVENT_UP);
    w->nodes[ALICE].hold_steps = false;
    node_release_steps(&w->nodes[ALICE]);
    assert_int_equal(w->sent[ALICE], 0);
    world_skip(w, SECOND);
    assert_true(world_passes(w, ALICE, BOB) || w->delivered[BOB] == 2);
}

static void endpoint_follows_the_authenticated_packet(void **state)
{
    struct world *w = *state;
    struct endpoint endpoint;
    world_connect(w);
    struct endpoint old = w->at[ALICE];
    w->at[ALICE].port = 4242;
    world_packet(w, ALICE, BOB, 100);
    struct wire moved = world_take_type(w, MESSAGE_TRANSPORT), forged = moved;
    forged.bytes[20] ^= 1;
    world_arrive(w, &forged);
    assert_true(tunnel_peer_endpoint(world_peer(w, BOB, ALICE), &endpoint));
    assert_true(endpoint_equal(&endpoint, &old));
    world_arrive(w, &moved);
    assert_true(tunnel_peer_endpoint(world_peer(w, BOB, ALICE), &endpoint));
    assert_true(endpoint_equal(&endpoint, &w->at[ALICE]));
    assert_true(world_passes(w, BOB, ALICE));

    moved.from.port = 1; /* a copy, from elsewhere */
    world_arrive(w, &moved);
    assert_true(tunnel_peer_endpoint(world_peer(w, BOB, ALICE), &endpoint));
    assert_true(endpoint_equal(&endpoint, &w->at[ALICE]));
    assert_int_equal(world_counters(w, BOB).replayed, 1);
}

static void a_forgotten_local_address_is_zero(void **state)
{
    struct world *w = *state;
    struct endpoint endpoint = w->at[BOB];
    endpoint.local[0] = 10;
    endpoint.interface = 3;
    node_set_endpoint(&w->nodes[ALICE], w->peer[ALICE][BOB], &endpoint);
    tunnel_peer_forget_local(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB]);
    assert_true(tunnel_peer_endpoint(world_peer(w, ALICE, BOB), &endpoint));
    assert_true(endpoint_equal(&endpoint, &w->at[BOB]));
}

static void many_peers_are_found_and_listed_in_order(void **state)
{
    struct world *w = *state;
    struct tunnel *t = w->nodes[CAROL].tunnel;
    peer_id ids[500], at = 0;
    for (uint16_t i = 0; i < 500; i++) {
        uint8_t key[MESSAGE_KEY_SIZE] = {1};
        put_be16(key + 9, i);
        assert_int_equal(tunnel_peer_add(t, key, &ids[i]), 0);
    }
    for (uint16_t i = 0; i < 500; i++) {
        uint8_t key[MESSAGE_KEY_SIZE] = {1};
        put_be16(key + 9, i);
        assert_true(tunnel_peer_find(t, key) == ids[i]);
        at = tunnel_peer_next(t, at);
        assert_true(at == ids[i]);
    }
    assert_true(tunnel_peer_next(t, at) == 0);
    for (int i = 0; i < 500; i += 2)
        node_remove_peer(&w->nodes[CAROL], ids[i]);
    at = 0;
    for (int i = 1; i < 500; i += 2) {
        at = tunnel_peer_next(t, at);
        assert_true(at == ids[i]);
    }
}

static void bytes_are_counted_as_datagrams(void **state)
{
    struct world *w = *state;
    struct tunnel_peer_info alice, bob;
    world_connect(w);
    assert_int_equal(tunnel_peer_info(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], &bob), 0);
    assert_int_equal(tunnel_peer_info(w->nodes[BOB].tunnel, w->peer[BOB][ALICE], &alice), 0);
    const uint64_t data = tunnel_sealed_len(100, 0);
    assert_int_equal(bob.tx_bytes, sizeof(struct message_initiation) + data);
    assert_int_equal(bob.rx_bytes, sizeof(struct message_response) + data);
    assert_int_equal(alice.tx_bytes, bob.rx_bytes);
    assert_int_equal(alice.rx_bytes, bob.tx_bytes);
    assert_int_equal(bob.last_handshake, w->nodes[ALICE].now.wall);
    assert_int_equal(alice.last_handshake, w->nodes[BOB].now.wall);
    assert_true(endpoint_equal(&alice.endpoint, &w->at[ALICE]));
}

static uint32_t longest_chain(const struct tunnel *t)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < t->bucket_count; i++) {
        uint32_t len = 0;
        for (const struct peer *p = t->buckets[i]; p; p = p->hash_next)
            len++;
        longest = len > longest ? len : longest;
    }
    return longest;
}

static void expect_keys_that_differ_at(struct world *w, size_t at)
{
    struct tunnel_actions actions;
    uint8_t key[MESSAGE_KEY_SIZE] = {0};
    peer_id ids[1024];
    struct tunnel *t = w->nodes[CAROL].tunnel;
    for (uint32_t i = 0; i < 1024; i++) {
        key[at] = (uint8_t)i;
        key[at + 1] = (uint8_t)(i >> 8 | 0x40);
        assert_int_equal(tunnel_peer_add(t, key, &ids[i]), 0);
    }
    assert_in_range(longest_chain(t), 1, 16);
    for (uint32_t i = 0; i < 1024; i++) {
        actions.count = 0;
        tunnel_peer_remove(t, ids[i], &actions);
    }
}

static void keys_that_differ_in_two_bytes_only_do_not_collide(void **state)
{
    for (size_t at = 0; at + 1 < MESSAGE_KEY_SIZE; at++)
        expect_keys_that_differ_at(*state, at);
}

struct busy {
    struct tunnel *tunnel;
    struct reclaim_reader reader;
    _Atomic peer_id peer;
    _Atomic bool seen, stop;
};

/* As a data thread does for each packet of the peer. */
static void *set_its_times(void *context)
{
    struct busy *b = context;
    while (!atomic_load(&b->stop)) {
        reclaim_enter(&b->reader);
        struct peer *p = tunnel_peer(b->tunnel, atomic_load(&b->peer));
        for (int i = 0; p && i < 100; i++) {
            atomic_store(&p->keepalive_at, SECOND);
            atomic_store(&b->seen, true);
        }
        reclaim_leave(&b->reader);
    }
    return NULL;
}

static void add_and_remove(struct busy *b)
{
    const uint8_t key[MESSAGE_KEY_SIZE] = {1, 2, 3};
    struct tunnel_actions actions = {.count = 0};
    peer_id peer;
    assert_int_equal(tunnel_peer_add(b->tunnel, key, &peer), 0);
    atomic_store(&b->seen, false);
    atomic_store(&b->peer, peer);
    while (!atomic_load(&b->seen))
        sched_yield();
    tunnel_peer_remove(b->tunnel, peer, &actions);
}

static void a_removed_peer_has_no_timer_though_a_data_thread_still_sets_its_times(void **state)
{
    struct world *w = *state;
    struct busy b = {.tunnel = w->nodes[CAROL].tunnel};
    pthread_t thread;
    uint32_t left = 0;
    tunnel_add_reader(b.tunnel, &b.reader);
    assert_int_equal(pthread_create(&thread, NULL, set_its_times, &b), 0);
    for (int i = 0; i < 2000 && left == 0; i++) {
        add_and_remove(&b);
        left = tunnel_deadline(b.tunnel) != UINT64_MAX;
    }
    atomic_store(&b.stop, true);
    pthread_join(thread, NULL);
    tunnel_remove_reader(b.tunnel, &b.reader);
    assert_int_equal(left, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(our_own_key_is_not_a_peer),
        TEST(a_peer_whose_key_becomes_ours_is_removed),
        TEST(a_peer_is_there_once),
        TEST(with_a_new_key_nothing_is_sent_under_the_old_one),
        TEST(what_was_sent_under_the_old_key_still_arrives),
        TEST(a_key_set_there_and_back_costs_one_handshake),
        TEST(without_a_key_nothing_is_said),
        TEST(a_removed_peer_is_not_heard),
        TEST(a_removed_peer_that_comes_back_is_another),
        TEST(removal_while_a_step_runs_is_safe),
        TEST(going_down_while_a_step_runs_is_safe),
        TEST(endpoint_follows_the_authenticated_packet),
        TEST(a_forgotten_local_address_is_zero),
        TEST(many_peers_are_found_and_listed_in_order),
        TEST(bytes_are_counted_as_datagrams),
        TEST(keys_that_differ_in_two_bytes_only_do_not_collide),
        TEST(a_removed_peer_has_no_timer_though_a_data_thread_still_sets_its_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
