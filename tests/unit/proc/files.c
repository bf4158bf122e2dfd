#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

static const char OLD[] = "the old content", NEW[] = "what is to stand there from now on";

static bool holds(const struct files *f, const char *name, const char *content)
{
    char bytes[128];
    size_t len;
    return files_read(f, name, bytes, sizeof(bytes), &len) == 0 && len == strlen(content) &&
           memcmp(bytes, content, len) == 0;
}

static void a_cut_at_any_write_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    bool done = false;
    for (unsigned at = 1; !done; at++)
        for (unsigned kept = 0; kept < 4; kept++) {
            memset(d, 0, sizeof(*d));
            assert_int_equal(files_write(&f, "name", OLD, strlen(OLD)), 0);
            d->cut_at = d->operations + at;
            int error = files_write(&f, "name", NEW, strlen(NEW));
            done = !d->dead;
            disk_restart(d, kept & 1, kept & 2);
            assert_true(holds(&f, "name", NEW) || (error != 0 && holds(&f, "name", OLD)));
        }
    free(d);
}

static void a_failure_at_any_write_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    for (unsigned at = 1; at < 16; at++) {
        memset(d, 0, sizeof(*d));
        assert_int_equal(files_write(&f, "name", OLD, strlen(OLD)), 0);
        d->fail_at = d->operations + at;
        d->failure = ENOSPC;
        int error = files_write(&f, "name", NEW, strlen(NEW));
        assert_true(error == 0 || error == ERROR_NO_SPACE);
        assert_true(holds(&f, "name", NEW) || (error != 0 && holds(&f, "name", OLD)));
        assert_null(disk_find(d, "name.new"));
    }
    free(d);
}

static void what_was_written_lasts(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    assert_int_equal(files_write(&f, "name", NEW, strlen(NEW)), 0);
    disk_restart(d, false, false);
    assert_true(holds(&f, "name", NEW));
    free(d);
}

static void an_erased_secret_is_overwritten_before_it_goes(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    assert_int_equal(files_write(&f, "seed", "secret", 6), 0);
    assert_int_equal(files_erase(&f, "seed"), 0);
    assert_memory_equal(d->synced[0].bytes, "\0\0\0\0\0\0", 6);
    disk_restart(d, false, false);
    assert_null(disk_find(d, "seed"));
    assert_int_equal(files_erase(&f, "seed"), ERROR_NOT_FOUND);
    free(d);
}

static void a_longer_file_than_asked_for_is_refused(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    uint8_t out[4], *bytes;
    size_t len;
    assert_int_equal(files_write(&f, "name", "12345", 5), 0);
    assert_int_equal(files_read(&f, "name", out, 4, &len), ERROR_OVERFLOW);
    assert_int_equal(files_read_new(&f, "name", 4, &bytes, &len), ERROR_OVERFLOW);
    assert_int_equal(files_read_new(&f, "name", 5, &bytes, &len), 0);
    assert_int_equal(len, 5);
    free(bytes);
    assert_int_equal(files_read(&f, "other", out, 4, &len), ERROR_NOT_FOUND);
    free(d);
}

/* ---- The log ---- */

struct seen {
    char all[256]; /* records, each followed by a comma */
    size_t len;
};

static int note(void *context, const uint8_t *bytes, size_t len)
{
    struct seen *seen = context;
    memcpy(seen->all + seen->len, bytes, len);
    seen->all[seen->len + len] = ',';
    seen->len += len + 1;
    return 0;
}

static struct files_log *open_log(struct files *f, const char *expected)
{
    struct files_log *log = NULL;
    struct seen seen = {0};
    assert_int_equal(files_log_open(&log, f, "log", 64, note, &seen, NULL), 0);
    if (expected)
        assert_string_equal(seen.all, expected);
    return log;
}

static void append(struct files_log *log, const char *text)
{
    assert_int_equal(files_log_append(log, text, strlen(text)), 0);
}

static void records_come_back_in_order(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    struct files_log *log = open_log(&f, "");
    append(log, "one");
    append(log, "");
    append(log, "three");
    assert_int_equal(files_log_sync(log), 0);
    files_log_close(log);
    disk_restart(d, false, false);
    log = open_log(&f, "one,,three,");
    append(log, "four");
    files_log_close(log);
    files_log_close(open_log(&f, "one,,three,four,"));
    free(d);
}

static void a_tail_that_was_cut_anywhere_is_dropped_and_written_over(void **state)
{
    (void)state;
    for (size_t cut = 1; cut < 8 + 5; cut++) {
        struct disk *d = disk_new();
        struct files f = disk_files(d);
        struct files_log *log = open_log(&f, "");
        append(log, "one");
        append(log, "three");
        files_log_close(log);
        d->now[0].len -= cut;
        log = open_log(&f, "one,");
        append(log, "x");
        files_log_close(log);
        files_log_close(open_log(&f, "one,x,"));
        free(d);
    }
}

static void a_tail_of_zeroes_is_no_record(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    struct files_log *log = open_log(&f, "");
    append(log, "one");
    files_log_close(log);
    d->now[0].len += 100;
    files_log_close(open_log(&f, "one,"));
    assert_int_equal(d->now[0].len, 8 + 3);
    free(d);
}

static void a_flipped_bit_ends_the_log_there(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    struct files_log *log = open_log(&f, "");
    append(log, "one");
    append(log, "two");
    files_log_close(log);
    for (size_t bit = 0; bit < 11 * 8; bit++) {
        struct disk *copy = disk_new();
        struct files g = disk_files(copy);
        memcpy(copy, d, sizeof(*d));
        copy->now[0].bytes[11 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        files_log_close(open_log(&g, "one,"));
        free(copy);
    }
    free(d);
}

static void a_failed_append_leaves_the_log_as_it_was(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    struct files_log *log = open_log(&f, "");
    append(log, "one");
    d->fail_at = d->operations + 1;
    d->failure = ENOSPC;
    assert_int_equal(files_log_append(log, "lost", 4), ERROR_NO_SPACE);
    append(log, "two");
    files_log_close(log);
    files_log_close(open_log(&f, "one,two,"));
    free(d);
}

static void what_was_synced_survives_a_cut_at_any_operation(void **state)
{
    (void)state;
    bool done = false;
    for (unsigned at = 1; !done; at++)
        for (unsigned kept = 0; kept < 4; kept++) {
            struct disk *d = disk_new();
            struct files f = disk_files(d);
            struct files_log *log = open_log(&f, "");
            append(log, "one");
            assert_int_equal(files_log_sync(log), 0);
            d->cut_at = d->operations + at;
            bool synced = files_log_append(log, "two", 3) == 0 && files_log_sync(log) == 0;
            files_log_close(log);
            done = !d->dead;
            disk_restart(d, kept & 1, kept & 2);
            struct seen seen = {0};
            assert_int_equal(files_log_open(&log, &f, "log", 64, note, &seen, NULL), 0);
            assert_true(strcmp(seen.all, "one,two,") == 0 || (!synced && strcmp(seen.all, "one,") == 0));
            files_log_close(log);
            free(d);
        }
}

static int next_record(void *context, uint8_t *out)
{
    int *left = context;
    if (*left == 0)
        return -1;
    out[0] = (uint8_t)('0' + *left);
    --*left;
    return 1;
}

static void a_rewrite_cut_anywhere_is_whole_or_never_was(void **state)
{
    (void)state;
    bool done = false;
    for (unsigned at = 1; !done; at++)
        for (unsigned kept = 0; kept < 4; kept++) {
            struct disk *d = disk_new();
            struct files f = disk_files(d);
            struct files_log *log = open_log(&f, "");
            append(log, "one");
            assert_int_equal(files_log_sync(log), 0);
            d->cut_at = d->operations + at;
            int left = 2;
            bool rewritten = files_log_rewrite(log, next_record, &left) == 0;
            files_log_close(log);
            done = !d->dead;
            disk_restart(d, kept & 1, kept & 2);
            struct seen seen = {0};
            assert_int_equal(files_log_open(&log, &f, "log", 64, note, &seen, NULL), 0);
            assert_true(strcmp(seen.all, "2,1,") == 0 || (!rewritten && strcmp(seen.all, "one,") == 0));
            append(log, "more");
            files_log_close(log);
            free(d);
        }
}

static void a_log_goes_on_after_a_rewrite_and_a_truncation(void **state)
{
    (void)state;
    struct disk *d = disk_new();
    struct files f = disk_files(d);
    struct files_log *log = open_log(&f, "");
    int left = 2;
    append(log, "one");
    assert_int_equal(files_log_rewrite(log, next_record, &left), 0);
    append(log, "kept");
    uint64_t size = files_log_size(log);
    append(log, "forgotten");
    assert_int_equal(files_log_truncate(log, size), 0);
    append(log, "last");
    files_log_close(log);
    files_log_close(open_log(&f, "2,1,kept,last,"));
    free(d);
}

/* ---- The kernel's ---- */

static int count_name(void *context, const char *name)
{
    assert_string_equal(name, "file");
    ++*(int *)context;
    return 0;
}

static void the_kernels_files_are_private_and_listed(void **state)
{
    (void)state;
    char path[] = "/tmp/nightjar-files-XXXXXX";
    assert_non_null(mkdtemp(path));
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    struct files f = files_in(dir);
    struct stat status;
    int count = 0;
    assert_int_equal(files_write(&f, "file", NEW, strlen(NEW)), 0);
    assert_true(holds(&f, "file", NEW));
    assert_int_equal(fstatat(dir, "file", &status, 0), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(symlinkat("/etc/hostname", dir, "link"), 0);
    size_t len;
    char byte[1];
    assert_int_not_equal(files_read(&f, "link", byte, 1, &len), 0);
    assert_int_equal(unlinkat(dir, "link", 0), 0);
    assert_int_equal(files_each(&f, count_name, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(files_write(&f, "a/b", "", 0), ERROR_INVALID);
    assert_int_equal(files_erase(&f, "file"), 0);
    close(dir);
    assert_int_equal(rmdir(path), 0);
}

/* A role that owns the directory plants another's file where root is about to write. */
static void root_writes_through_no_planted_link(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        printf("# skipped: not root\n");
        return;
    }
    char path[] = "/tmp/nightjar-files-XXXXXX";
    assert_non_null(mkdtemp(path));
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    struct files f = files_in(dir);
    assert_int_equal(files_write(&f, "theirs", OLD, strlen(OLD)), 0);
    assert_int_equal(linkat(dir, "theirs", dir, "ours.new", 0), 0);
    assert_int_equal(files_write(&f, "ours", NEW, strlen(NEW)), ERROR_PERMISSION);
    assert_true(holds(&f, "theirs", OLD));
    assert_int_equal(unlinkat(dir, "ours.new", 0), 0);
    assert_int_equal(symlinkat("theirs", dir, "ours.new"), 0);
    assert_int_not_equal(files_write(&f, "ours", NEW, strlen(NEW)), 0);
    assert_true(holds(&f, "theirs", OLD));
    unlinkat(dir, "ours.new", 0);
    unlinkat(dir, "theirs", 0);
    close(dir);
    rmdir(path);
}

static void the_sum_is_the_common_crc(void **state)
{
    (void)state;
    assert_int_equal(files_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(files_crc32(files_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_at_any_write_leaves_the_old_or_the_new),
        cmocka_unit_test(a_failure_at_any_write_leaves_the_old_or_the_new),
        cmocka_unit_test(what_was_written_lasts),
        cmocka_unit_test(an_erased_secret_is_overwritten_before_it_goes),
        cmocka_unit_test(a_longer_file_than_asked_for_is_refused),
        cmocka_unit_test(records_come_back_in_order),
        cmocka_unit_test(a_tail_that_was_cut_anywhere_is_dropped_and_written_over),
        cmocka_unit_test(a_tail_of_zeroes_is_no_record),
        cmocka_unit_test(a_flipped_bit_ends_the_log_there),
        cmocka_unit_test(a_failed_append_leaves_the_log_as_it_was),
        cmocka_unit_test(what_was_synced_survives_a_cut_at_any_operation),
        cmocka_unit_test(a_rewrite_cut_anywhere_is_whole_or_never_was),
        cmocka_unit_test(a_log_goes_on_after_a_rewrite_and_a_truncation),
        cmocka_unit_test(the_kernels_files_are_private_and_listed),
        cmocka_unit_test(root_writes_through_no_planted_link),
        cmocka_unit_test(the_sum_is_the_common_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
