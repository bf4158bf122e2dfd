#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/cbor.h"

#define ITEM_MAX 64u
#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

/* An item in hexadecimal, in memory of exactly its size so that ASan sees a byte too many. */
struct item {
    uint8_t *bytes;
    size_t len;
};

static struct item item_of(const char *hex)
{
    struct item item = {.len = strlen(hex) / 2};
    item.bytes = malloc(item.len + 1);
    assert_non_null(item.bytes);
    for (size_t i = 0; i < item.len; i++) {
        const char digits[] = {hex[2 * i], hex[2 * i + 1], 0};
        item.bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    item.bytes = realloc(item.bytes, item.len > 0 ? item.len : 1);
    assert_non_null(item.bytes);
    return item;
}

static int check_hex(const char *hex)
{
    struct item item = item_of(hex);
    int error = cbor_check(item.bytes, item.len);
    free(item.bytes);
    return error;
}

static void assert_all(const char *const *table, size_t count, int error)
{
    for (size_t i = 0; i < count; i++)
        if (check_hex(table[i]) != error)
            fail_msg("%s: %d, not %d", table[i], check_hex(table[i]), error);
}

/* RFC 8949 appendix A, all of it. */
static const char *const inside_the_subset[] = {
    "00",
    "01",
    "0a",
    "17",
    "1818",
    "1819",
    "1864",
    "1903e8",
    "1a000f4240",
    "1b000000e8d4a51000",
    "1bffffffffffffffff",
    "3bffffffffffffffff",
    "20",
    "29",
    "3863",
    "3903e7",
    "f4",
    "f5",
    "f6",
    "40",
    "4401020304",
    "60",
    "6161",
    "6449455446",
    "62225c",
    "62c3bc",
    "63e6b0b4",
    "64f0908591",
    "80",
    "83010203",
    "8301820203820405",
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    "a0",
    "a201020304",
    "a26161016162820203",
    "826161a161626163",
    "a56161614161626142616361436164614461656145",
};
static const char *const outside_the_subset[] = {
    "c249010000000000000000",
    "c349010000000000000000",
    "f90000",
    "f98000",
    "f93c00",
    "fb3ff199999999999a",
    "f93e00",
    "f97bff",
    "fa47c35000",
    "fa7f7fffff",
    "fb7e37e43c8800759c",
    "f90001",
    "f90400",
    "f9c400",
    "fbc010666666666666",
    "f97c00",
    "f97e00",
    "f9fc00",
    "fa7f800000",
    "fa7fc00000",
    "faff800000",
    "fb7ff0000000000000",
    "fb7ff8000000000000",
    "fbfff0000000000000",
    "f7",
    "f0",
    "f8ff",
    "c074323031332d30332d32315432303a30343a30305a",
    "c11a514b67b0",
    "c1fb41d452d9ec200000",
    "d74401020304",
    "d818456449455446",
    "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
    "5f42010243030405ff",
    "7f657374726561646d696e67ff",
    "9fff",
    "9f018202039f0405ffff",
    "9f01820203820405ff",
    "83018202039f0405ff",
    "83019f0203ff820405",
    "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
    "bf61610161629f0203ffff",
    "826161bf61626163ff",
    "bf6346756ef563416d7421ff",
};

static void examples_of_the_rfc_inside_the_subset_are_accepted(void **state)
{
    (void)state;
    assert_all(inside_the_subset, COUNT_OF(inside_the_subset), 0);
}

static void examples_of_the_rfc_outside_the_subset_are_refused(void **state)
{
    (void)state;
    assert_all(outside_the_subset, COUNT_OF(outside_the_subset), ERROR_MALFORMED);
}

static void an_item_cut_at_any_byte_is_truncated(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(inside_the_subset); i++)
        for (size_t len = 0; len < strlen(inside_the_subset[i]); len += 2) {
            char hex[2 * ITEM_MAX];
            memcpy(hex, inside_the_subset[i], len);
            hex[len] = 0;
            assert_int_equal(check_hex(hex), ERROR_TRUNCATED);
        }
}

static void a_byte_after_the_item_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(inside_the_subset); i++) {
        char hex[2 * ITEM_MAX + 3];
        snprintf(hex, sizeof(hex), "%s00", inside_the_subset[i]);
        assert_int_equal(check_hex(hex), ERROR_MALFORMED);
    }
}

static void longer_forms_than_the_shortest_are_refused(void **state)
{
    (void)state;
    static const char *const table[] = {
        "1800",
        "1817",
        "190000",
        "1900ff",
        "1a00000000",
        "1a0000ffff",
        "1b0000000000000000",
        "1b00000000ffffffff",
        "3817",
        "3900ff",
        "3a0000ffff",
        "5800",
        "580161",
        "59000161",
        "5a0000000161",
        "5b0000000000000001ff",
        "780161",
        "79000161",
        "9800",
        "980100",
        "99000100",
        "b800",
        "b8010000",
        "f8f4",
        "f814",
        "f815",
        "f816",
    };
    assert_all(table, COUNT_OF(table), ERROR_MALFORMED);
}

static void the_least_of_each_length_is_accepted(void **state)
{
    (void)state;
    static const char *const table[] = {"1818", "190100", "1a00010000", "1b0000000100000000", "3818", "390100"};
    assert_all(table, COUNT_OF(table), 0);
}

static void reserved_and_indefinite_heads_are_refused(void **state)
{
    (void)state;
    for (unsigned major = 0; major < 8; major++)
        for (unsigned info = 28; info < 32; info++) {
            char hex[24];
            snprintf(hex, sizeof(hex), "%02x0000000000000000", major << 5 | info);
            assert_int_equal(check_hex(hex), ERROR_MALFORMED);
        }
}

static void tags_and_other_simple_values_are_refused(void **state)
{
    (void)state;
    for (unsigned first = 0xc0; first < 0x100; first++) {
        char hex[24];
        snprintf(hex, sizeof(hex), "%02x", first);
        if (first >= 0xf4 && first <= 0xf6)
            assert_int_equal(check_hex(hex), 0);
        else
            assert_int_equal(check_hex(hex), ERROR_MALFORMED);
    }
}

/* The order that RFC 8949 section 4.2.1 gives as its example. */
static const char *const ascending_keys[] = {"0a", "1864", "20", "617a", "626161", "811864", "8120", "f4"};

static int check_map_of(const char *first, const char *second)
{
    char hex[ITEM_MAX];
    snprintf(hex, sizeof(hex), "a2%s00%s00", first, second);
    return check_hex(hex);
}

static void keys_ascend_bytewise_and_never_repeat(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(ascending_keys); i++)
        for (size_t j = 0; j < COUNT_OF(ascending_keys); j++)
            assert_int_equal(check_map_of(ascending_keys[i], ascending_keys[j]), i < j ? 0 : ERROR_MALFORMED);
}

static void keys_of_a_map_are_compared_with_none_but_their_own(void **state)
{
    (void)state;
    static const char *const accepted[] = {
        "a201a2000001000200", /* {1: {0: 0, 1: 0}, 2: 0} */
        "a2a1010000a1020000", /* {{1: 0}: 0, {2: 0}: 0} */
        "82a10500a10400",     /* [{5: 0}, {4: 0}] */
        "a20182050403820504", /* values descend */
    };
    static const char *const refused[] = {
        "a201a2010000000200", /* {1: {1: 0, 0: 0}, 2: 0} */
        "a2a1020000a1010000", /* {{2: 0}: 0, {1: 0}: 0} */
        "a2a1010000a1010000", /* {{1: 0}: 0, {1: 0}: 0} */
        "a1a20000000000",     /* {{0: 0, 0: 0}: 0} */
        "a3000001000100",     /* the last repeats */
    };
    assert_all(accepted, COUNT_OF(accepted), 0);
    assert_all(refused, COUNT_OF(refused), ERROR_MALFORMED);
}

/* `depth` containers one in the other, by repeating what opens one. */
static int check_nested(const uint8_t *opening, size_t opening_len, uint8_t innermost, size_t closing_len, size_t depth)
{
    uint8_t bytes[128] = {0};
    size_t len = 0;
    for (size_t i = 0; i + 1 < depth; i++) {
        memcpy(bytes + len, opening, opening_len);
        len += opening_len;
    }
    bytes[len++] = innermost;
    return cbor_check(bytes, len + (depth - 1) * closing_len);
}

static void nesting_stops_at_the_greatest_depth(void **state)
{
    (void)state;
    for (size_t depth = 1; depth <= CBOR_DEPTH_MAX + 2; depth++) {
        int expected = depth <= CBOR_DEPTH_MAX ? 0 : ERROR_MALFORMED;
        assert_int_equal(check_nested((const uint8_t[]){0x81}, 1, 0x80, 0, depth), expected);
        assert_int_equal(check_nested((const uint8_t[]){0x81}, 1, 0xa0, 0, depth), expected);
        assert_int_equal(check_nested((const uint8_t[]){0xa1, 0x00}, 2, 0xa0, 0, depth), expected);
        assert_int_equal(check_nested((const uint8_t[]){0xa1}, 1, 0x80, 1, depth), expected); /* as keys */
    }
}

static void neighbours_do_not_add_to_the_depth(void **state)
{
    (void)state;
    uint8_t bytes[2 + 200] = {0x98, 200};
    memset(bytes + 2, 0x80, 200);
    assert_int_equal(cbor_check(bytes, sizeof(bytes)), 0);
}

static void counts_beyond_the_bytes_left_are_truncated(void **state)
{
    (void)state;
    static const char *const table[] = {
        "9bffffffffffffffff", "bb8000000000000000", "bbffffffffffffffff", "5bffffffffffffffff",
        "7bffffffffffffffff", "5b7fffffffffffffff", "a2000000",           "8200",
    };
    assert_all(table, COUNT_OF(table), ERROR_TRUNCATED);
}

/* The slow twin of the UTF-8 rule: decode without any rule, and see whether encoding that again gives the same. */
static size_t encode_utf8(uint8_t *out, uint32_t point)
{
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)(marks[len] | point);
    return len;
}

static bool is_one_character(const uint8_t *bytes, size_t len)
{
    static const uint8_t payload[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint8_t again[4];
    uint32_t point = bytes[0] & payload[len];
    for (size_t i = 1; i < len; i++)
        point = point << 6 | (bytes[i] & 0x3f);
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return false;
    return encode_utf8(again, point) == len && memcmp(again, bytes, len) == 0;
}

static void assert_text_judged_alike(const uint8_t *text, size_t len, bool valid)
{
    uint8_t item[8] = {(uint8_t)(0x60 | len)};
    memcpy(item + 1, text, len);
    assert_int_equal(cbor_check(item, len + 1), valid ? 0 : ERROR_MALFORMED);
}

static void every_character_is_valid_text(void **state)
{
    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++) {
        uint8_t text[4] = {0};
        size_t len = encode_utf8(text, point);
        assert_text_judged_alike(text, len, point < 0xd800 || point > 0xdfff);
    }
}

static void no_other_bytes_are_one_character(void **state)
{
    (void)state;
    static const uint8_t tails[] = {0x00, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (unsigned first = 0x80; first < 0x100; first++) {
        assert_text_judged_alike((const uint8_t[]){(uint8_t)first}, 1, false);
        for (unsigned second = 0; second < 0x100; second++) {
            uint8_t text[4] = {(uint8_t)first, (uint8_t)second};
            if (second >= 0x80)
                assert_text_judged_alike(text, 2, is_one_character(text, 2));
            for (size_t i = 0; second >= 0x80 && i < sizeof(tails) * sizeof(tails); i++) {
                text[2] = tails[i / sizeof(tails)] | 0x80;
                text[3] = tails[i % sizeof(tails)] | 0x80;
                assert_text_judged_alike(text, 3, is_one_character(text, 3));
                assert_text_judged_alike(text, 4, is_one_character(text, 4));
            }
        }
    }
}

static void a_character_cut_by_the_end_of_its_text_is_malformed(void **state)
{
    (void)state;
    static const char *const table[] = {"61c3", "62e6b0", "63f09085", "8262e6b000", "8261c3a0", "62c361", "63e66161"};
    assert_all(table, COUNT_OF(table), ERROR_MALFORMED);
}

static void integers_are_written_in_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        size_t len;
    } table[] = {{0, 1},         {23, 1},         {24, 2},
                 {255, 2},       {256, 3},        {65535, 3},
                 {65536, 5},     {UINT32_MAX, 5}, {UINT32_MAX + UINT64_C(1), 9},
                 {UINT64_MAX, 9}};
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        uint8_t bytes[18];
        struct cursor c = cursor_writing(bytes, 2 * table[i].len);
        cbor_put_unsigned(&c, table[i].value);
        cbor_put_negative(&c, table[i].value);
        assert_int_equal(cursor_finish(&c), 0);
        assert_int_equal(cbor_check(bytes, table[i].len), 0);
        c = cursor_reading(bytes, 2 * table[i].len);
        assert_int_equal(cbor_peek(&c), CBOR_UNSIGNED);
        assert_int_equal(cbor_get_unsigned(&c), table[i].value);
        assert_int_equal(cbor_peek(&c), CBOR_NEGATIVE);
        assert_int_equal(cbor_get_negative(&c), table[i].value);
        assert_int_equal(cursor_finish(&c), 0);
    }
}

static size_t write_frame(uint8_t *out, size_t len)
{
    struct cursor c = cursor_writing(out, len);
    cbor_put_map(&c, 2);
    cbor_put_unsigned(&c, 1);
    cbor_put_array(&c, 4);
    cbor_put_bool(&c, false);
    cbor_put_bool(&c, true);
    cbor_put_null(&c);
    cbor_put_bytes(&c, "\0\xff", 2);
    cbor_put_negative(&c, 0);
    cbor_put_text(&c, "\xc3\xbc", 2);
    assert_int_equal(cursor_error(&c), 0);
    return len - cursor_left(&c);
}

static void what_is_written_is_checked_and_read_back(void **state)
{
    (void)state;
    uint8_t bytes[ITEM_MAX];
    size_t len = write_frame(bytes, sizeof(bytes)), n;
    assert_int_equal(cbor_check(bytes, len), 0);
    struct cursor c = cursor_reading(bytes, len);
    assert_int_equal(cbor_peek(&c), CBOR_MAP);
    assert_int_equal(cbor_get_map(&c), 2);
    assert_int_equal(cbor_get_unsigned(&c), 1);
    assert_int_equal(cbor_get_array(&c), 4);
    assert_int_equal(cbor_peek(&c), CBOR_SIMPLE);
    assert_false(cbor_get_bool(&c));
    assert_true(cbor_get_bool(&c));
    cbor_get_null(&c);
    assert_memory_equal(cbor_get_bytes(&c, &n), "\0\xff", 2);
    assert_int_equal(n, 2);
    assert_int_equal(cbor_get_negative(&c), 0);
    assert_memory_equal(cbor_get_text(&c, &n), "\xc3\xbc", 2);
    assert_int_equal(n, 2);
    assert_int_equal(cursor_finish(&c), 0);
}

static void writing_into_too_little_room_is_an_overflow(void **state)
{
    (void)state;
    uint8_t bytes[ITEM_MAX];
    size_t whole = write_frame(bytes, sizeof(bytes));
    for (size_t len = 0; len < whole; len++) {
        struct cursor c = cursor_writing(bytes, len);
        cbor_put_map(&c, 1);
        cbor_put_bytes(&c, bytes, whole - 2);
        assert_int_equal(cursor_error(&c), ERROR_OVERFLOW);
    }
}

static void text_that_is_not_utf8_is_not_written(void **state)
{
    (void)state;
    uint8_t bytes[4];
    struct cursor c = cursor_writing(bytes, sizeof(bytes));
    cbor_put_text(&c, "\xff", 1);
    assert_int_equal(cursor_error(&c), ERROR_MALFORMED);
}

/* One reader for each row of what it accepts. */
static void read_unsigned(struct cursor *c)
{
    (void)cbor_get_unsigned(c);
}
static void read_negative(struct cursor *c)
{
    (void)cbor_get_negative(c);
}
static void read_bytes(struct cursor *c)
{
    size_t len;
    (void)cbor_get_bytes(c, &len);
    assert_int_equal(len, 0);
}
static void read_text(struct cursor *c)
{
    size_t len;
    (void)cbor_get_text(c, &len);
    assert_int_equal(len, 0);
}
static void read_array(struct cursor *c)
{
    (void)cbor_get_array(c);
}
static void read_map(struct cursor *c)
{
    (void)cbor_get_map(c);
}
static void read_bool(struct cursor *c)
{
    (void)cbor_get_bool(c);
}

static void a_kind_other_than_the_wanted_one_sticks(void **state)
{
    (void)state;
    static const struct {
        void (*read)(struct cursor *c);
        uint8_t accepted;
    } readers[] = {{read_unsigned, 0x00}, {read_negative, 0x20}, {read_bytes, 0x40}, {read_text, 0x60},
                   {read_array, 0x80},    {read_map, 0xa0},      {read_bool, 0xf4},  {cbor_get_null, 0xf6}};
    for (size_t i = 0; i < COUNT_OF(readers); i++)
        for (size_t j = 0; j < COUNT_OF(readers); j++) {
            struct cursor c = cursor_reading(&readers[j].accepted, 1);
            readers[i].read(&c);
            assert_int_equal(cursor_error(&c), i == j ? 0 : ERROR_MALFORMED);
        }
}

static void reading_past_the_end_is_truncated(void **state)
{
    (void)state;
    struct cursor c = cursor_reading(NULL, 0);
    assert_int_equal(cbor_peek(&c), CBOR_SIMPLE);
    cbor_get_null(&c);
    assert_int_equal(cursor_error(&c), ERROR_TRUNCATED);
}

static void skipping_passes_over_one_item_with_all_inside(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(inside_the_subset); i++) {
        char hex[2 * ITEM_MAX + 3];
        snprintf(hex, sizeof(hex), "%s05", inside_the_subset[i]);
        struct item item = item_of(hex);
        struct cursor c = cursor_reading(item.bytes, item.len);
        cbor_skip(&c);
        assert_int_equal(cbor_get_unsigned(&c), 5);
        assert_int_equal(cursor_finish(&c), 0);
        free(item.bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc_inside_the_subset_are_accepted),
        cmocka_unit_test(examples_of_the_rfc_outside_the_subset_are_refused),
        cmocka_unit_test(an_item_cut_at_any_byte_is_truncated),
        cmocka_unit_test(a_byte_after_the_item_is_malformed),
        cmocka_unit_test(longer_forms_than_the_shortest_are_refused),
        cmocka_unit_test(the_least_of_each_length_is_accepted),
        cmocka_unit_test(reserved_and_indefinite_heads_are_refused),
        cmocka_unit_test(tags_and_other_simple_values_are_refused),
        cmocka_unit_test(keys_ascend_bytewise_and_never_repeat),
        cmocka_unit_test(keys_of_a_map_are_compared_with_none_but_their_own),
        cmocka_unit_test(nesting_stops_at_the_greatest_depth),
        cmocka_unit_test(neighbours_do_not_add_to_the_depth),
        cmocka_unit_test(counts_beyond_the_bytes_left_are_truncated),
        cmocka_unit_test(every_character_is_valid_text),
        cmocka_unit_test(no_other_bytes_are_one_character),
        cmocka_unit_test(a_character_cut_by_the_end_of_its_text_is_malformed),
        cmocka_unit_test(integers_are_written_in_their_shortest_form),
        cmocka_unit_test(what_is_written_is_checked_and_read_back),
        cmocka_unit_test(writing_into_too_little_room_is_an_overflow),
        cmocka_unit_test(text_that_is_not_utf8_is_not_written),
        cmocka_unit_test(a_kind_other_than_the_wanted_one_sticks),
        cmocka_unit_test(reading_past_the_end_is_truncated),
        cmocka_unit_test(skipping_passes_over_one_item_with_all_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
