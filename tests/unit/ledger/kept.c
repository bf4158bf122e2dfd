#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "ledger/kept.h"

static const uint8_t heads[2][SIGNED_HEAD_SIZE] = {{1}, {2}};
static const uint8_t statement[] = "a statement";

static const struct kept kinds[] = {
    {.kind = KEPT_ENTRY, .index = 7, .time = 1800000000, .verdict = VERDICT_USED, .bytes = statement, .len = 11},
    {.kind = KEPT_HEAD, .bytes = heads[0], .len = SIGNED_HEAD_SIZE},
    {.kind = KEPT_TAKE_AWAY, .bytes = statement, .len = 11},
    {.kind = KEPT_FLOOR, .time = 1800000000},
    {.kind = KEPT_EVIDENCE, .bytes = heads[0], .len = SIGNED_HEAD_SIZE, .other = heads[1]},
    {.kind = KEPT_BASE, .bytes = statement, .len = 0},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void every_kind_comes_back_as_it_went(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        uint8_t bytes[512];
        struct kept out;
        int64_t len = kept_encode(&kinds[i], bytes, sizeof(bytes));
        assert_true(len > 0);
        assert_int_equal(kept_decode(&out, bytes, (size_t)len), 0);
        assert_int_equal(out.kind, kinds[i].kind);
        assert_int_equal(out.index, kinds[i].index);
        assert_int_equal(out.time, kinds[i].time);
        assert_int_equal(out.verdict, kinds[i].verdict);
        assert_int_equal(out.len, kinds[i].len);
        assert_memory_equal(out.bytes ? out.bytes : statement, kinds[i].bytes ? kinds[i].bytes : statement, out.len);
        if (kinds[i].other)
            assert_memory_equal(out.other, kinds[i].other, SIGNED_HEAD_SIZE);
    }
}

static void a_record_that_is_cut_or_longer_is_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        uint8_t bytes[512];
        struct kept out;
        int64_t len = kept_encode(&kinds[i], bytes, sizeof(bytes) - 1);
        for (int64_t cut = 0; cut < len; cut++)
            assert_int_equal(kept_decode(&out, bytes, (size_t)cut), ERROR_MALFORMED);
        bytes[len] = 0;
        assert_int_equal(kept_decode(&out, bytes, (size_t)len + 1), ERROR_MALFORMED);
        for (int64_t room = 0; room < len; room++)
            assert_int_equal(kept_encode(&kinds[i], bytes, (size_t)room), ERROR_OVERFLOW);
    }
}

static void what_has_no_meaning_is_malformed(void **state)
{
    (void)state;
    struct kept out;
    static const uint8_t kind_zero[] = {0x82, 0, 0}, kind_seven[] = {0x82, 7, 0}, short_head[] = {0x82, 2, 0x41, 1},
                         verdict[] = {0x85, 1, 0, 0, 0x18, 200, 0x40}, array[] = {0x80};
    assert_int_equal(kept_decode(&out, kind_zero, sizeof(kind_zero)), ERROR_MALFORMED);
    assert_int_equal(kept_decode(&out, kind_seven, sizeof(kind_seven)), ERROR_MALFORMED);
    assert_int_equal(kept_decode(&out, short_head, sizeof(short_head)), ERROR_MALFORMED);
    assert_int_equal(kept_decode(&out, verdict, sizeof(verdict)), ERROR_MALFORMED);
    assert_int_equal(kept_decode(&out, array, sizeof(array)), ERROR_MALFORMED);
}

static void a_submissions_name_is_its_statements_hash(void **state)
{
    (void)state;
    uint8_t hash[SHA256_SIZE] = {0x01, 0xab}, again[SHA256_SIZE];
    char name[KEPT_NAME_SIZE];
    kept_name(name, hash);
    assert_string_equal(name, "01ab000000000000000000000000000000000000000000000000000000000000");
    assert_true(kept_name_parse(again, name));
    assert_memory_equal(hash, again, SHA256_SIZE);
    name[1] = 'A';
    assert_false(kept_name_parse(again, name));
    assert_false(kept_name_parse(again, name + 2));
    assert_false(kept_name_parse(again, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_as_it_went),
        cmocka_unit_test(a_record_that_is_cut_or_longer_is_malformed),
        cmocka_unit_test(what_has_no_meaning_is_malformed),
        cmocka_unit_test(a_submissions_name_is_its_statements_hash),
    };
    return cmocka_run_group_tests_name("ledger-kept", tests, NULL, NULL);
}
