#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/cursor.h"

static const uint8_t counting[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void integers_are_read_big_endian(void **state)
{
    (void)state;
    struct cursor c = cursor_reading(counting, sizeof(counting));
    assert_int_equal(cursor_get_u8(&c), 0x01);
    assert_int_equal(cursor_get_be16(&c), 0x0203);
    assert_int_equal(cursor_get_be32(&c), 0x04050607);
    assert_int_equal(cursor_get_be64(&c), 0x08090a0b0c0d0e0f);
    assert_int_equal(cursor_finish(&c), 0);
}

static void integers_are_written_as_they_are_read(void **state)
{
    (void)state;
    uint8_t bytes[sizeof(counting)];
    struct cursor c = cursor_writing(bytes, sizeof(bytes));
    cursor_put_u8(&c, 0x01);
    cursor_put_be16(&c, 0x0203);
    cursor_put_be32(&c, 0x04050607);
    cursor_put_be64(&c, 0x08090a0b0c0d0e0f);
    assert_int_equal(cursor_finish(&c), 0);
    assert_memory_equal(bytes, counting, sizeof(counting));
}

static void bytes_are_copied_viewed_skipped_and_put(void **state)
{
    (void)state;
    uint8_t out[4] = {0};
    struct cursor c = cursor_reading(counting, sizeof(counting));
    cursor_skip(&c, 3);
    assert_ptr_equal(cursor_get_view(&c, 2), counting + 3);
    cursor_get_bytes(&c, out, sizeof(out));
    assert_memory_equal(out, counting + 5, sizeof(out));
    assert_int_equal(cursor_left(&c), 6);
    c = cursor_writing(out, sizeof(out));
    cursor_put_bytes(&c, counting, sizeof(out));
    assert_int_equal(cursor_finish(&c), 0);
    assert_memory_equal(out, counting, sizeof(out));
}

static void reads_after_the_end_yield_zero_and_say_truncated(void **state)
{
    (void)state;
    uint8_t out[2] = {0xff, 0xff};
    struct cursor c = cursor_reading(counting, 3);
    assert_int_equal(cursor_get_be32(&c), 0);
    assert_int_equal(cursor_error(&c), ERROR_TRUNCATED);
    assert_int_equal(cursor_get_u8(&c), 0);
    assert_int_equal(cursor_get_be16(&c), 0);
    assert_int_equal(cursor_get_be64(&c), 0);
    assert_null(cursor_get_view(&c, 1));
    assert_null(cursor_get_view(&c, 0));
    cursor_get_bytes(&c, out, sizeof(out));
    assert_memory_equal(out, "\0\0", sizeof(out));
    assert_int_equal(cursor_left(&c), 0);
    assert_int_equal(cursor_finish(&c), ERROR_TRUNCATED);
}

typedef void (*put)(struct cursor *c);

static void put_u8(struct cursor *c)
{
    cursor_put_u8(c, 0xff);
}
static void put_be16(struct cursor *c)
{
    cursor_put_be16(c, 0xffff);
}
static void put_be32(struct cursor *c)
{
    cursor_put_be32(c, 0xffffffff);
}
static void put_be64(struct cursor *c)
{
    cursor_put_be64(c, UINT64_MAX);
}
static void put_three(struct cursor *c)
{
    cursor_put_bytes(c, "\xff\xff\xff", 3);
}

static const struct {
    put put;
    size_t size;
} puts_of[] = {{put_u8, 1}, {put_be16, 2}, {put_be32, 4}, {put_be64, 8}, {put_three, 3}};

static void writes_that_do_not_fit_change_nothing_and_say_overflow(void **state)
{
    (void)state;
    const uint8_t untouched[8] = {0};
    for (size_t i = 0; i < sizeof(puts_of) / sizeof(puts_of[0]); i++) {
        uint8_t bytes[8] = {0};
        struct cursor c = cursor_writing(bytes, puts_of[i].size - 1);
        puts_of[i].put(&c);
        put_u8(&c);
        assert_int_equal(cursor_error(&c), ERROR_OVERFLOW);
        assert_memory_equal(bytes, untouched, sizeof(bytes));
    }
}

static void the_first_failure_stays(void **state)
{
    (void)state;
    struct cursor c = cursor_reading(counting, sizeof(counting));
    cursor_fail(&c, ERROR_REPLAYED);
    cursor_fail(&c, ERROR_FULL);
    cursor_skip(&c, SIZE_MAX);
    assert_int_equal(cursor_error(&c), ERROR_REPLAYED);
    assert_int_equal(cursor_finish(&c), ERROR_REPLAYED);
}

static void bytes_left_over_are_malformed(void **state)
{
    (void)state;
    struct cursor c = cursor_reading(counting, 2);
    cursor_skip(&c, 1);
    assert_int_equal(cursor_error(&c), 0);
    assert_int_equal(cursor_finish(&c), ERROR_MALFORMED);
}

static void a_length_beyond_all_memory_is_truncated(void **state)
{
    (void)state;
    struct cursor c = cursor_reading(counting, sizeof(counting));
    cursor_skip(&c, 1);
    assert_null(cursor_get_view(&c, SIZE_MAX));
    assert_int_equal(cursor_error(&c), ERROR_TRUNCATED);
}

static void nothing_can_be_read_and_written(void **state)
{
    (void)state;
    struct cursor c = cursor_reading(NULL, 0);
    cursor_get_bytes(&c, NULL, 0);
    cursor_skip(&c, 0);
    assert_int_equal(cursor_finish(&c), 0);
    c = cursor_writing(NULL, 0);
    cursor_put_bytes(&c, NULL, 0);
    assert_int_equal(cursor_finish(&c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_read_big_endian),
        cmocka_unit_test(integers_are_written_as_they_are_read),
        cmocka_unit_test(bytes_are_copied_viewed_skipped_and_put),
        cmocka_unit_test(reads_after_the_end_yield_zero_and_say_truncated),
        cmocka_unit_test(writes_that_do_not_fit_change_nothing_and_say_overflow),
        cmocka_unit_test(the_first_failure_stays),
        cmocka_unit_test(bytes_left_over_are_malformed),
        cmocka_unit_test(a_length_beyond_all_memory_is_truncated),
        cmocka_unit_test(nothing_can_be_read_and_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
