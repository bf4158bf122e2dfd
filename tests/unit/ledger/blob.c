#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ledger/blob.h"

static const uint8_t bytes[600] = {1, 2, 3};

static void entries_come_back_as_they_were_put(void **state)
{
    (void)state;
    struct blob_writer w = {0};
    blob_begin(&w, 500);
    for (uint64_t i = 0; i < 500; i++)
        blob_put_entry(&w, i * i * i, (struct frame_view){bytes, i});
    assert_int_equal(w.error, 0);
    struct blob_reader r;
    assert_int_equal(blob_read_entries(&r, w.bytes, w.len), 0);
    uint64_t time, count = 0;
    struct frame_view statement;
    for (; blob_next_entry(&r, &time, &statement); count++) {
        assert_true(time == count * count * count);
        assert_int_equal(statement.len, count);
        assert_memory_equal(statement.bytes, bytes, statement.len);
    }
    assert_true(count == 500);
    assert_int_equal(blob_read_openings(&r, w.bytes, w.len), ERROR_MALFORMED);
    for (size_t len = 0; len < w.len; len += 97)
        assert_int_not_equal(blob_read_entries(&r, w.bytes, len), 0);
    free(w.bytes);
}

static void a_submission_is_a_statement_and_its_openings(void **state)
{
    (void)state;
    struct blob_writer w = {0};
    blob_begin_submission(&w, (struct frame_view){bytes, 300}, 2);
    blob_put_opening(&w, (struct frame_view){bytes, 3});
    blob_put_opening(&w, (struct frame_view){bytes, 0});
    assert_int_equal(w.error, 0);
    struct blob_reader r;
    struct frame_view statement, opening;
    assert_int_equal(blob_read_submission(&r, &statement, w.bytes, w.len), 0);
    assert_int_equal(statement.len, 300);
    assert_true(blob_next_opening(&r, &opening));
    assert_int_equal(opening.len, 3);
    assert_true(blob_next_opening(&r, &opening));
    assert_int_equal(opening.len, 0);
    assert_false(blob_next_opening(&r, &opening));
    free(w.bytes);
}

static void an_empty_blob_of_either_kind_is_good(void **state)
{
    (void)state;
    struct blob_writer w = {0};
    blob_begin(&w, 0);
    struct blob_reader r;
    assert_int_equal(blob_read_entries(&r, w.bytes, w.len), 0);
    assert_int_equal(blob_read_openings(&r, w.bytes, w.len), 0);
    assert_true(r.left == 0);
    free(w.bytes);
}

static void other_forms_are_malformed(void **state)
{
    (void)state;
    static const struct {
        uint8_t len;
        uint8_t bytes[8];
    } bad[] = {
        {0, {0}},
        {1, {0xa0}},                         /* a map */
        {2, {0x80, 0x80}},                   /* something behind */
        {2, {0x81, 0x01}},                   /* a number */
        {3, {0x81, 0x81, 0x01}},             /* an entry of one */
        {5, {0x81, 0x83, 0x01, 0x40, 0x40}}, /* an entry of three */
        {4, {0x81, 0x82, 0x40, 0x01}},       /* the wrong way round */
        {4, {0x81, 0x82, 0x20, 0x40}},       /* a negative time */
    };
    struct blob_reader r;
    struct frame_view statement;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_not_equal(blob_read_entries(&r, bad[i].bytes, bad[i].len), 0);
        assert_int_not_equal(blob_read_openings(&r, bad[i].bytes, bad[i].len), 0);
        assert_int_not_equal(blob_read_submission(&r, &statement, bad[i].bytes, bad[i].len), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back_as_they_were_put),
        cmocka_unit_test(a_submission_is_a_statement_and_its_openings),
        cmocka_unit_test(an_empty_blob_of_either_kind_is_good),
        cmocka_unit_test(other_forms_are_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
