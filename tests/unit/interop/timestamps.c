#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../interop/timestamps.h"

#define NAME "wg7"
#define FILE_MAX 4096
#define HEAD 16
#define RECORD (MESSAGE_KEY_SIZE + MESSAGE_TIMESTAMP_SIZE)

struct fixture {
    char dir[64], file[128], fresh[128];
};

static int make_dir(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/timestamps-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->file, sizeof(f->file), "%s/" NAME ".timestamps", f->dir);
    snprintf(f->fresh, sizeof(f->fresh), "%s/" NAME ".timestamps.new", f->dir);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

static int remove_dir(void **state)
{
    struct fixture *f = *state;
    nftw(f->dir, remove_one, 4, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static struct timestamps *reopen(const struct fixture *f)
{
    struct timestamps *t;
    assert_int_equal(timestamps_open(&t, f->dir, NAME), 0);
    return t;
}

/* The key and the timestamp of a number: greater ones for greater numbers. */
static void make_key(uint8_t key[MESSAGE_KEY_SIZE], uint32_t number)
{
    memset(key, 0x5a, MESSAGE_KEY_SIZE);
    memcpy(key + 7, &number, sizeof(number));
}

static void make_timestamp(uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE], uint32_t number)
{
    memset(timestamp, 0x40, MESSAGE_TIMESTAMP_SIZE);
    for (int i = 0; i < 4; i++)
        timestamp[4 + i] = (uint8_t)(number >> (24 - 8 * i));
}

static void note(struct timestamps *t, uint32_t key_number, uint32_t number)
{
    uint8_t key[MESSAGE_KEY_SIZE], timestamp[MESSAGE_TIMESTAMP_SIZE];
    make_key(key, key_number);
    make_timestamp(timestamp, number);
    assert_int_equal(timestamps_note(t, key, timestamp), 0);
}

static bool kept(const struct timestamps *t, uint32_t key_number, uint32_t number)
{
    uint8_t key[MESSAGE_KEY_SIZE], timestamp[MESSAGE_TIMESTAMP_SIZE];
    make_key(key, key_number);
    make_timestamp(timestamp, number);
    const uint8_t *found = timestamps_find(t, key);
    return found && memcmp(found, timestamp, sizeof(timestamp)) == 0;
}

static bool unknown(const struct timestamps *t, uint32_t key_number)
{
    uint8_t key[MESSAGE_KEY_SIZE];
    make_key(key, key_number);
    return timestamps_find(t, key) == NULL;
}

static size_t read_file(const char *path, uint8_t bytes[FILE_MAX])
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t len = read(fd, bytes, FILE_MAX);
    close(fd);
    assert_true(len >= 0);
    return (size_t)len;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

/* ---- What is kept ---- */

static void what_was_committed_is_there_after_opening_again(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t = reopen(f);
    assert_true(unknown(t, 1));
    for (uint32_t i = 0; i < 100; i++)
        note(t, i * 37 % 100, i + 1);
    assert_int_equal(timestamps_commit(t), 0);
    timestamps_close(t);
    t = reopen(f);
    for (uint32_t i = 0; i < 100; i++)
        assert_true(kept(t, i * 37 % 100, i + 1));
    assert_true(unknown(t, 100));
    timestamps_close(t);
}

static void what_was_noted_and_not_committed_is_forgotten(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t = reopen(f);
    note(t, 1, 5);
    assert_int_equal(timestamps_commit(t), 0);
    note(t, 1, 6);
    note(t, 2, 6);
    assert_true(kept(t, 1, 6));
    timestamps_close(t);
    t = reopen(f);
    assert_true(kept(t, 1, 5));
    assert_true(unknown(t, 2));
    timestamps_close(t);
}

static void a_lesser_timestamp_changes_nothing(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t = reopen(f);
    note(t, 1, 0x100);
    note(t, 1, 0xff); /* greater in its last byte, but not as a number */
    note(t, 1, 0x100);
    assert_true(kept(t, 1, 0x100));
    note(t, 1, 0x101);
    assert_true(kept(t, 1, 0x101));
    timestamps_close(t);
}

static void of_several_records_of_a_key_the_greatest_counts(void **state)
{
    const struct fixture *f = *state;
    uint8_t bytes[HEAD + 3 * RECORD] = "wg-timestamps 1\n";
    const uint32_t numbers[] = {5, 9, 7};
    for (size_t i = 0; i < 3; i++) {
        make_key(bytes + HEAD + i * RECORD, 1);
        make_timestamp(bytes + HEAD + i * RECORD + MESSAGE_KEY_SIZE, numbers[i]);
    }
    write_file(f->file, bytes, sizeof(bytes));
    struct timestamps *t = reopen(f);
    assert_true(kept(t, 1, 9));
    timestamps_close(t);
}

/* A search through all of them for each would take minutes. */
static void thirty_thousand_keys_are_no_burden(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t = reopen(f);
    for (uint32_t i = 0; i < 30000; i++)
        note(t, i, i);
    assert_int_equal(timestamps_commit(t), 0);
    timestamps_close(t);
    t = reopen(f);
    for (uint32_t i = 0; i < 30000; i++)
        assert_true(kept(t, i, i));
    timestamps_close(t);
}

static void only_the_owner_may_read(void **state)
{
    struct fixture *f = *state;
    struct stat status;
    size_t parent_len = strlen(f->dir), room = sizeof(f->dir) - parent_len;
    snprintf(f->dir + parent_len, room, "/made");
    struct timestamps *t = reopen(f);
    assert_int_equal(timestamps_commit(t), 0);
    timestamps_close(t);
    assert_int_equal(stat(f->dir, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    snprintf(f->dir + parent_len, room, "/made/" NAME ".timestamps");
    assert_int_equal(stat(f->dir, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    f->dir[parent_len] = '\0';
}

/* ---- What is refused ---- */

static void expect_refused_and_untouched(const struct fixture *f, const uint8_t *bytes, size_t len)
{
    struct timestamps *t;
    uint8_t after[FILE_MAX];
    write_file(f->file, bytes, len);
    assert_int_equal(timestamps_open(&t, f->dir, NAME), ERROR_MALFORMED);
    assert_int_equal(read_file(f->file, after), len);
    assert_memory_equal(after, bytes, len);
}

static void another_format_is_refused_and_left_as_it_is(void **state)
{
    const struct fixture *f = *state;
    uint8_t bytes[HEAD + 2 * RECORD] = "wg-timestamps 2\n";
    expect_refused_and_untouched(f, bytes, sizeof(bytes));
    bytes[14] = '1';
    bytes[0] = 'W';
    expect_refused_and_untouched(f, bytes, sizeof(bytes));
}

static void a_file_cut_off_anywhere_is_refused_unless_between_records(void **state)
{
    const struct fixture *f = *state;
    uint8_t bytes[HEAD + 2 * RECORD] = "wg-timestamps 1\n";
    for (size_t len = 0; len < sizeof(bytes); len++)
        if (len != HEAD && len != HEAD + RECORD)
            expect_refused_and_untouched(f, bytes, len);
    write_file(f->file, bytes, HEAD + RECORD);
    timestamps_close(reopen(f));
}

static void a_directory_that_cannot_be_made_is_an_error(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t;
    char below[96];
    write_file(f->file, (const uint8_t *)"x", 1);
    assert_int_equal(timestamps_open(&t, f->file, NAME), ERROR_IO);
    snprintf(below, sizeof(below), "%s/none/below", f->dir);
    assert_int_equal(timestamps_open(&t, below, NAME), ERROR_IO);
}

/* ---- When writing fails ---- */

static void limit_files_to(rlim_t len)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = len;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static struct timestamps *with_one_committed_and_two_noted(const struct fixture *f)
{
    struct timestamps *t = reopen(f);
    note(t, 1, 5);
    assert_int_equal(timestamps_commit(t), 0);
    note(t, 1, 6);
    note(t, 2, 6);
    return t;
}

static void expect_only_the_committed(const struct fixture *f)
{
    struct timestamps *t = reopen(f);
    assert_true(kept(t, 1, 5));
    assert_true(unknown(t, 2));
    timestamps_close(t);
}

static void a_disk_that_is_full_at_any_byte_leaves_the_old_file(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t = with_one_committed_and_two_noted(f);
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 0; room < HEAD + 2 * RECORD; room++) {
        limit_files_to(room);
        int error = timestamps_commit(t);
        limit_files_to(RLIM_INFINITY);
        assert_int_equal(error, ERROR_IO);
        expect_only_the_committed(f);
    }
    signal(SIGXFSZ, old);
    assert_int_equal(timestamps_commit(t), 0);
    timestamps_close(t);
    t = reopen(f);
    assert_true(kept(t, 1, 6) && kept(t, 2, 6));
    timestamps_close(t);
}

/* The kernel kills a child that writes beyond the limit, whose SIGXFSZ is not caught. */
static void commit_and_crash_at(struct timestamps *t, rlim_t at)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGXFSZ, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        limit_files_to(at);
        _exit(timestamps_commit(t) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGXFSZ);
}

static void a_crash_at_any_byte_leaves_the_old_file_and_does_not_hinder_the_next(void **state)
{
    const struct fixture *f = *state;
    uint8_t bytes[FILE_MAX];
    struct timestamps *t = with_one_committed_and_two_noted(f);
    for (rlim_t at = 0; at < HEAD + 2 * RECORD; at++) {
        commit_and_crash_at(t, at);
        assert_int_equal(read_file(f->fresh, bytes), at);
        expect_only_the_committed(f);
    }
    assert_int_equal(timestamps_commit(t), 0);
    timestamps_close(t);
    t = reopen(f);
    assert_true(kept(t, 1, 6) && kept(t, 2, 6));
    timestamps_close(t);
}

static void a_failed_commit_is_made_good_by_the_next(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t = with_one_committed_and_two_noted(f);
    assert_int_equal(mkdir(f->fresh, 0700), 0);
    assert_int_equal(timestamps_commit(t), ERROR_IO);
    expect_only_the_committed(f);
    assert_int_equal(rmdir(f->fresh), 0);
    assert_int_equal(timestamps_commit(t), 0);
    timestamps_close(t);
    t = reopen(f);
    assert_true(kept(t, 1, 6) && kept(t, 2, 6));
    timestamps_close(t);
}

static void a_directory_that_was_removed_is_an_error_and_no_crash(void **state)
{
    const struct fixture *f = *state;
    struct timestamps *t = reopen(f);
    note(t, 1, 5);
    assert_int_equal(rmdir(f->dir), 0);
    assert_int_equal(timestamps_commit(t), ERROR_IO);
    assert_true(kept(t, 1, 5));
    timestamps_close(t);
}

/* Whoever holds the old file open reads it whole: it is replaced, never written to. */
static void a_reader_of_the_old_file_sees_none_of_the_new(void **state)
{
    const struct fixture *f = *state;
    uint8_t before[FILE_MAX], after[FILE_MAX];
    struct timestamps *t = with_one_committed_and_two_noted(f);
    size_t len = read_file(f->file, before);
    int fd = open(f->file, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(timestamps_commit(t), 0);
    assert_int_equal(read(fd, after, sizeof(after)), len);
    assert_memory_equal(after, before, len);
    close(fd);
    assert_int_equal(access(f->fresh, F_OK), -1);
    timestamps_close(t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_committed_is_there_after_opening_again),
        TEST(what_was_noted_and_not_committed_is_forgotten),
        TEST(a_lesser_timestamp_changes_nothing),
        TEST(of_several_records_of_a_key_the_greatest_counts),
        TEST(thirty_thousand_keys_are_no_burden),
        TEST(only_the_owner_may_read),
        TEST(another_format_is_refused_and_left_as_it_is),
        TEST(a_file_cut_off_anywhere_is_refused_unless_between_records),
        TEST(a_directory_that_cannot_be_made_is_an_error),
        TEST(a_disk_that_is_full_at_any_byte_leaves_the_old_file),
        TEST(a_crash_at_any_byte_leaves_the_old_file_and_does_not_hinder_the_next),
        TEST(a_failed_commit_is_made_good_by_the_next),
        TEST(a_directory_that_was_removed_is_an_error_and_no_crash),
        TEST(a_reader_of_the_old_file_sees_none_of_the_new),
    };
    return cmocka_run_group_tests_name("interop/timestamps", tests, NULL, NULL);
}
