#include "world.h"

#include <pthread.h>
#include <stdlib.h>

#include "tunnel/internal.h"

static void a_control_frame_arrives_marked_with_its_peer(void **state)
{
    struct world *w = *state;
    const uint8_t frame[] = {0x04, 1, 2, 3, 4};
    world_connect(w);
    uint32_t before = w->delivered[BOB];
    node_frame(&w->nodes[ALICE], w->peer[ALICE][BOB], frame, sizeof(frame));
    world_settle(w);
    assert_int_equal(w->nodes[BOB].tally.frames, 1);
    assert_int_equal(w->nodes[BOB].last_frame_from, w->peer[BOB][ALICE]);
    assert_int_equal(w->nodes[BOB].last_frame_len, MESSAGE_PADDING); /* its padding stays, and is zero */
    assert_memory_equal(w->nodes[BOB].last_frame, frame, sizeof(frame));
    assert_true(is_zero(w->nodes[BOB].last_frame + sizeof(frame), MESSAGE_PADDING - sizeof(frame)));
    assert_int_equal(w->delivered[BOB], before);
    assert_int_equal(world_counters(w, BOB).bad_source, 0);
}

static void a_frame_waits_for_a_session_as_packets_do(void **state)
{
    struct world *w = *state;
    node_frame(&w->nodes[ALICE], w->peer[ALICE][BOB], (const uint8_t[]){0x01, 7}, 2);
    assert_int_equal(node_staged_count(&w->nodes[ALICE], w->peer[ALICE][BOB]), 1);
    world_settle(w);
    assert_int_equal(w->nodes[BOB].tally.frames, 1);
}

static void what_is_neither_packet_nor_frame_is_refused(void **state)
{
    struct world *w = *state;
    world_connect(w);
    node_frame(&w->nodes[ALICE], w->peer[ALICE][BOB], (const uint8_t[]){0x10, 7}, 2);
    world_settle(w);
    assert_int_equal(w->nodes[BOB].tally.frames, 0);
    assert_int_equal(world_counters(w, BOB).bad_source, 1);
}

/* ---- Several threads seal ---- */

#define SEALERS 3
#define BATCHES 2000
#define BATCH 5

struct sealer {
    struct node *node;
    struct crypto *crypto;
    struct reclaim_reader reader;
    peer_id peer;
    uint32_t sealed;
    uint64_t counters[BATCHES * BATCH];
    pthread_t thread;
};

static bool seal_batch(struct sealer *s)
{
    uint8_t bytes[BATCH][NODE_DATAGRAM_MAX] = {{0}};
    struct sealing packets[BATCH];
    struct tunnel_notice notice;
    for (int i = 0; i < BATCH; i++)
        packets[i] = (struct sealing){.at = bytes[i], .len = 20};
    reclaim_enter(&s->reader);
    struct peer *peer = tunnel_peer(s->node->tunnel, s->peer);
    struct tunnel_way way = tunnel_find_way(peer, s->node->now.monotonic);
    int error =
        tunnel_seal_batch(s->node->tunnel, s->crypto, peer, &way, packets, BATCH, 0, s->node->now.monotonic, &notice);
    reclaim_leave(&s->reader);
    for (int i = 0; i < BATCH && error == 0; i++)
        s->counters[s->sealed++] = get_le64(((const struct message_transport *)packets[i].at)->counter);
    return error == 0;
}

static void *seal_many(void *context)
{
    for (int i = 0; i < BATCHES; i++)
        if (!seal_batch(context))
            break;
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* All counters that the sealers took, ascending; the caller frees. */
static uint64_t *run_sealers(struct world *w, uint32_t *total)
{
    struct sealer *sealers = calloc(SEALERS, sizeof(*sealers));
    uint64_t *all = calloc(SEALERS * BATCHES * BATCH, sizeof(*all));
    assert_non_null(sealers);
    assert_non_null(all);
    *total = 0;
    for (int i = 0; i < SEALERS; i++) {
        sealers[i].node = &w->nodes[ALICE];
        sealers[i].peer = w->peer[ALICE][BOB];
        assert_int_equal(crypto_new(&sealers[i].crypto, CRYPTO_BULK_BEST), 0);
        tunnel_add_reader(w->nodes[ALICE].tunnel, &sealers[i].reader);
        assert_int_equal(pthread_create(&sealers[i].thread, NULL, seal_many, &sealers[i]), 0);
    }
    for (int i = 0; i < SEALERS; i++) {
        pthread_join(sealers[i].thread, NULL);
        tunnel_remove_reader(w->nodes[ALICE].tunnel, &sealers[i].reader);
        crypto_free(sealers[i].crypto);
        memcpy(all + *total, sealers[i].counters, sealers[i].sealed * sizeof(*all));
        *total += sealers[i].sealed;
    }
    free(sealers);
    qsort(all, *total, sizeof(*all), compare);
    return all;
}

static void threads_that_seal_for_one_session_never_share_a_counter(void **state)
{
    struct world *w = *state;
    uint32_t total;
    world_connect(w);
    uint64_t first = atomic_load(&atomic_load(&world_peer(w, ALICE, BOB)->sending)->send_counter);
    uint64_t *all = run_sealers(w, &total);
    assert_int_equal(total, SEALERS * BATCHES * BATCH);
    for (uint32_t i = 0; i < total; i++)
        assert_true(all[i] == first + i);
    free(all);
}

static void threads_that_seal_stop_at_the_last_counter(void **state)
{
    struct world *w = *state;
    uint32_t total;
    world_connect(w);
    atomic_store(&atomic_load(&world_peer(w, ALICE, BOB)->sending)->send_counter, REJECT_AFTER_MESSAGES - 1000);
    uint64_t *all = run_sealers(w, &total);
    assert_in_range(total, 1000 - 2 * BATCH, 1000);
    for (uint32_t i = 0; i < total; i++)
        assert_true(all[i] == REJECT_AFTER_MESSAGES - 1000 + i);
    free(all);
}

/* All at once find that the key is not expanded yet. */
static void threads_that_seal_natively_do_neither(void **state)
{
    struct world *w = *state;
    uint32_t total;
    for (int who = ALICE; who <= BOB; who++) {
        w->nodes[who].aeads = 1u << AEAD_AES_256_GCM;
        world_restart(w, (enum who)who);
    }
    node_set_endpoint(&w->nodes[ALICE], w->peer[ALICE][BOB], &w->at[BOB]);
    world_connect(w);
    struct session *s = atomic_load(&world_peer(w, ALICE, BOB)->sending);
    tunnel_session_set_native(w->nodes[ALICE].tunnel, w->peer[ALICE][BOB], s->indexed.index, ~0u);
    const uint64_t blocks = (20 + MESSAGE_NATIVE_MIN) * BATCH / 16 + BATCH;
    atomic_store(&s->send_blocks, REJECT_AFTER_BLOCKS - 100 * blocks - 1);
    uint64_t first = atomic_load(&s->send_counter);
    uint64_t *all = run_sealers(w, &total);
    assert_int_equal(total, 100 * BATCH);
    for (uint32_t i = 1; i < total; i++)
        assert_true(all[i - 1] >= first && all[i] > all[i - 1]);
    free(all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_control_frame_arrives_marked_with_its_peer),
        TEST(a_frame_waits_for_a_session_as_packets_do),
        TEST(what_is_neither_packet_nor_frame_is_refused),
        TEST(threads_that_seal_for_one_session_never_share_a_counter),
        TEST(threads_that_seal_stop_at_the_last_counter),
        TEST(threads_that_seal_natively_do_neither),
    };
    return cmocka_run_group_tests_name("tunnel/frames", tests, NULL, NULL);
}
