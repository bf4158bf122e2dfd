#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/staging.h"

/* A packet of `len` bytes that says which it is. */
static uint32_t put(struct staging *s, peer_id peer, uint32_t serial, uint32_t len)
{
    uint8_t bytes[2048] = {0};
    memcpy(bytes, &serial, sizeof(serial));
    return staging_put(s, peer, bytes, len);
}

static uint32_t serial_of(const struct staged_packet *packet)
{
    uint32_t serial;
    memcpy(&serial, packet->bytes, sizeof(serial));
    return serial;
}

/* Takes all of a peer and expects the serials from `first` on; returns how many there were. */
static uint32_t take(struct staging *s, peer_id peer, uint32_t first)
{
    uint32_t count = 0;
    struct staged_packet *packet = staging_take(s, peer);
    while (packet) {
        struct staged_packet *next = packet->next;
        assert_int_equal(serial_of(packet), first + count++);
        free(packet);
        packet = next;
    }
    return count;
}

static void expect_empty(struct staging *s)
{
    assert_int_equal(s->bytes, 0);
    assert_int_equal(s->queues, 0);
    for (int i = 0; i < STAGING_BUCKETS; i++)
        assert_null(s->buckets[i]);
}

static void what_was_put_is_taken_in_order_once(void **state)
{
    (void)state;
    struct staging s = {0};
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(put(&s, 7, i, 100 + i), 0);
    assert_true(staging_has(&s, 7));
    assert_int_equal(take(&s, 7, 0), 10);
    assert_false(staging_has(&s, 7));
    assert_null(staging_take(&s, 7));
    expect_empty(&s);
}

static void bytes_and_length_are_kept(void **state)
{
    (void)state;
    struct staging s = {0};
    uint8_t bytes[1500];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_int_equal(staging_put(&s, 1, bytes, sizeof(bytes)), 0);
    struct staged_packet *packet = staging_take(&s, 1);
    assert_int_equal(packet->len, sizeof(bytes));
    assert_memory_equal(packet->bytes, bytes, sizeof(bytes));
    assert_null(packet->next);
    free(packet);
}

static void the_oldest_gives_way_to_the_newest(void **state)
{
    (void)state;
    struct staging s = {0};
    for (uint32_t i = 0; i < STAGED_PACKETS_MAX; i++)
        assert_int_equal(put(&s, 1, i, 64), 0);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(put(&s, 1, STAGED_PACKETS_MAX + i, 64), 1);
    assert_int_equal(s.bytes, STAGED_PACKETS_MAX * 64);
    assert_int_equal(take(&s, 1, 5), STAGED_PACKETS_MAX);
    expect_empty(&s);
}

static void peers_of_one_bucket_are_told_apart(void **state)
{
    (void)state;
    struct staging s = {0};
    const peer_id peers[] = {3, 3 + STAGING_BUCKETS, 3 + 2 * STAGING_BUCKETS, (UINT64_C(1) << 32) + 3};
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(put(&s, peers[i % 4], i % 4 * 100 + i / 4, 64), 0);
    assert_int_equal(staging_discard(&s, peers[1]), 2);
    assert_false(staging_has(&s, peers[1]));
    assert_int_equal(take(&s, peers[3], 300), 2);
    assert_int_equal(take(&s, peers[0], 0), 2);
    assert_int_equal(take(&s, peers[2], 200), 2);
    expect_empty(&s);
}

static void no_more_waits_than_the_limit_for_all(void **state)
{
    (void)state;
    struct staging s = {0};
    uint32_t fit = STAGING_BYTES_MAX / 2048, dropped = 0;
    for (uint32_t i = 0; i < fit; i++)
        assert_int_equal(put(&s, i / STAGED_PACKETS_MAX, i, 2048), 0);
    for (peer_id peer = 0; peer < 5; peer++)
        dropped += put(&s, 1000 + peer, 0, 1);
    assert_int_equal(dropped, 5);
    assert_false(staging_has(&s, 1000));
    assert_int_equal(staging_discard(&s, 0), STAGED_PACKETS_MAX);
    assert_int_equal(put(&s, 1000, 0, 1), 0);
    assert_int_equal(staging_discard_all(&s), fit - STAGED_PACKETS_MAX + 1);
    expect_empty(&s);
}

static void discarding_nothing_counts_nothing(void **state)
{
    (void)state;
    struct staging s = {0};
    assert_int_equal(staging_discard(&s, 5), 0);
    assert_int_equal(staging_discard_all(&s), 0);
    assert_false(staging_has(&s, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_taken_in_order_once),  cmocka_unit_test(bytes_and_length_are_kept),
        cmocka_unit_test(the_oldest_gives_way_to_the_newest),   cmocka_unit_test(peers_of_one_bucket_are_told_apart),
        cmocka_unit_test(no_more_waits_than_the_limit_for_all), cmocka_unit_test(discarding_nothing_counts_nothing),
    };
    return cmocka_run_group_tests_name("engine/staging", tests, NULL, NULL);
}
