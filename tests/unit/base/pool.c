#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/pool.h"
#include "random.h"

#define COUNT 16u
#define HEADROOM 70u
#define CAPACITY 101u

static struct pool *new_pool(void)
{
    struct pool *pool;
    assert_int_equal(pool_new(&pool, COUNT, HEADROOM, CAPACITY), 0);
    return pool;
}

static void a_taken_packet_is_empty_with_its_full_headroom(void **state)
{
    (void)state;
    struct pool *pool = new_pool();
    struct packet *packet = pool_take(pool);
    assert_int_equal(packet->len, 0);
    assert_int_equal(packet->capacity, CAPACITY);
    assert_null(packet_push(pool, packet, HEADROOM + 1));
    assert_non_null(packet_push(pool, packet, HEADROOM));
    assert_int_equal((uintptr_t)packet->data % 64, 0);
    pool_free(pool);
}

static void a_given_packet_comes_back_as_new(void **state)
{
    (void)state;
    struct pool *pool = new_pool();
    struct packet *packet = pool_take(pool);
    uint8_t *data = packet->data;
    packet_push(pool, packet, 10);
    packet->next = packet;
    pool_give(pool, packet);
    assert_ptr_equal(pool_take(pool), packet);
    assert_ptr_equal(packet->data, data);
    assert_int_equal(packet->len, 0);
    assert_int_equal(packet->capacity, CAPACITY);
    assert_null(packet->next);
    pool_free(pool);
}

static void push_and_pull_move_the_start_within_the_block(void **state)
{
    (void)state;
    struct pool *pool = new_pool();
    struct packet *packet = pool_take(pool);
    uint8_t *data = packet->data;
    packet->len = 20;
    assert_null(packet_pull(packet, 21));
    assert_ptr_equal(packet_pull(packet, 20), data + 20);
    assert_int_equal(packet->len, 0);
    assert_int_equal(packet->capacity, CAPACITY - 20);
    assert_null(packet_push(pool, packet, HEADROOM + 21));
    assert_ptr_equal(packet_push(pool, packet, HEADROOM + 20), data - HEADROOM);
    assert_int_equal(packet->len, HEADROOM + 20);
    assert_int_equal(packet->capacity, CAPACITY + HEADROOM);
    pool_free(pool);
}

static void an_empty_pool_yields_null_until_one_is_given(void **state)
{
    (void)state;
    struct pool *pool = new_pool();
    struct packet *last = NULL;
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(pool_available(pool), COUNT - i);
        last = pool_take(pool);
        assert_non_null(last);
    }
    assert_int_equal(pool_available(pool), 0);
    assert_null(pool_take(pool));
    pool_give(pool, last);
    assert_ptr_equal(pool_take(pool), last);
    pool_free(pool);
}

/* Every byte of a held packet's block is its holder's mark. */
static void fill(struct pool *pool, struct packet *packet, uint8_t mark)
{
    packet_push(pool, packet, HEADROOM);
    packet->len = packet->capacity;
    memset(packet->data, mark, packet->len);
}

static void assert_filled(const struct packet *packet, uint8_t mark)
{
    assert_int_equal(packet->len, HEADROOM + CAPACITY);
    for (uint32_t i = 0; i < packet->len; i++)
        assert_int_equal(packet->data[i], mark);
}

static void held_packets_never_share_a_byte(void **state)
{
    (void)state;
    uint64_t random = 1;
    struct pool *pool = new_pool();
    struct packet *held[COUNT] = {0};
    uint32_t count = 0;
    for (int step = 0; step < 5000; step++) {
        uint32_t i = random_below(&random, COUNT);
        if (held[i]) {
            assert_filled(held[i], (uint8_t)i);
            pool_give(pool, held[i]);
            held[i] = NULL;
            count--;
        } else {
            held[i] = pool_take(pool);
            fill(pool, held[i], (uint8_t)i);
            count++;
        }
        assert_int_equal(pool_available(pool), COUNT - count);
    }
    pool_free(pool);
}

static void nothing_and_too_much_are_refused(void **state)
{
    (void)state;
    struct pool *pool;
    assert_int_equal(pool_new(&pool, 0, HEADROOM, CAPACITY), ERROR_INVALID);
    assert_int_equal(pool_new(&pool, COUNT, HEADROOM, 0), ERROR_INVALID);
    assert_int_equal(pool_new(&pool, UINT32_MAX, UINT32_MAX, UINT32_MAX), ERROR_MEMORY);
    assert_null(pool);
    pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_taken_packet_is_empty_with_its_full_headroom),
        cmocka_unit_test(a_given_packet_comes_back_as_new),
        cmocka_unit_test(push_and_pull_move_the_start_within_the_block),
        cmocka_unit_test(an_empty_pool_yields_null_until_one_is_given),
        cmocka_unit_test(held_packets_never_share_a_byte),
        cmocka_unit_test(nothing_and_too_much_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
