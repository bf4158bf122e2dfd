#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/store.h"
#include "disk.h"

#define ENTRIES 12
#define STEPS_MAX 400
#define PATH "ledger"
#define VFS "disk"

/* Entry i: its bytes tell its number, and it has i % 3 openings. */
struct example {
    struct sequencer_entry entry;
    struct sequencer_opening openings[2];
    uint8_t statement[700];
    uint8_t contents[2][4000];
};

static void make_example(struct example *e, uint32_t i)
{
    *e = (struct example){.entry = {.index = i, .time = 1000 + i, .opening_count = i % 3}};
    memset(e->statement, (int)i, sizeof(e->statement));
    memset(e->entry.hash, (int)i + 1, SHA256_SIZE);
    memset(e->entry.head, (int)i + 2, SHA256_SIZE);
    e->entry.statement = (struct frame_view){e->statement, 100 + 50 * i};
    e->entry.openings = e->openings;
    for (uint32_t n = 0; n < 2; n++) {
        memset(e->contents[n], (int)(i * 2 + n), sizeof(e->contents[n]));
        memset(e->openings[n].commitment, (int)(i * 2 + n), SHA256_SIZE);
        e->openings[n].bytes = (struct frame_view){e->contents[n], 1000 + 200 * i};
    }
}

static void assert_same_view(struct frame_view a, struct frame_view b)
{
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.bytes, b.bytes, a.len);
}

static int check_and_count(void *context, const struct sequencer_entry *entry)
{
    uint32_t *count = context;
    struct example e;
    make_example(&e, (*count)++);
    assert_int_equal(entry->index, e.entry.index);
    assert_int_equal(entry->time, e.entry.time);
    assert_memory_equal(entry->hash, e.entry.hash, SHA256_SIZE);
    assert_memory_equal(entry->head, e.entry.head, SHA256_SIZE);
    assert_same_view(entry->statement, e.entry.statement);
    assert_int_equal(entry->opening_count, e.entry.opening_count);
    for (uint32_t n = 0; n < entry->opening_count; n++) {
        assert_memory_equal(entry->openings[n].commitment, e.openings[n].commitment, SHA256_SIZE);
        assert_same_view(entry->openings[n].bytes, e.openings[n].bytes);
    }
    return 0;
}

/* How many entries there are, each of them whole. */
static uint32_t count_whole(struct store *s)
{
    uint32_t count = 0;
    assert_int_equal(store_restore(s, check_and_count, &count), 0);
    return count;
}

static int append(struct store *s, uint32_t i)
{
    struct example e;
    make_example(&e, i);
    return store_append(s, &e.entry);
}

static void what_was_appended_is_there_again(void **state)
{
    (void)state;
    struct disk *d = disk_new(VFS);
    struct store *s;
    assert_int_equal(store_create(&s, PATH, VFS), 0);
    for (uint32_t i = 0; i < ENTRIES; i++)
        assert_int_equal(append(s, i), 0);
    assert_int_equal(count_whole(s), ENTRIES);
    store_close(s);
    assert_int_equal(store_open(&s, PATH, VFS), 0);
    assert_int_equal(count_whole(s), ENTRIES);
    store_close(s);
    disk_free(d);
}

/* Appends until something fails or all is there; returns how many were acknowledged. */
static uint32_t append_from(struct store *s, uint32_t first)
{
    uint32_t i = first;
    while (i < ENTRIES && append(s, i) == 0)
        i++;
    return i;
}

/* One run that loses power at `step`; true if it came to that. */
static bool run_and_cut(uint32_t step, uint64_t seed)
{
    struct disk *d = disk_new(VFS);
    struct store *s;
    assert_int_equal(store_create(&s, PATH, VFS), 0);
    disk_fail(d, DISK_NO_POWER, step);
    uint32_t acknowledged = append_from(s, 0);
    store_close(s);
    bool cut = disk_failed(d);
    disk_heal(d, seed);
    assert_int_equal(store_open(&s, PATH, VFS), 0);
    uint32_t count = count_whole(s);
    assert_true(count == acknowledged || count == acknowledged + 1);
    assert_int_equal(append_from(s, count), ENTRIES);
    assert_int_equal(count_whole(s), ENTRIES);
    store_close(s);
    disk_free(d);
    return cut;
}

static void a_power_cut_at_any_write_loses_nothing_acknowledged(void **state)
{
    (void)state;
    uint32_t step = 0;
    for (bool cut = true; cut && step < STEPS_MAX; step++)
        for (uint64_t seed = 1; seed < 8; seed++)
            cut = run_and_cut(step, seed);
    assert_in_range(step, ENTRIES, STEPS_MAX - 1);
}

static void a_power_cut_while_it_is_made_leaves_none_or_a_whole_one(void **state)
{
    (void)state;
    for (uint32_t step = 0; step < 60; step++) {
        struct disk *d = disk_new(VFS);
        struct store *s;
        disk_fail(d, DISK_NO_POWER, step);
        int error = store_create(&s, PATH, VFS);
        if (!error)
            store_close(s);
        disk_heal(d, step);
        assert_int_equal(store_create(&s, PATH, VFS), 0);
        assert_int_equal(append_from(s, 0), ENTRIES);
        store_close(s);
        disk_free(d);
    }
}

static bool run_and_fail(enum disk_trouble trouble, uint32_t step)
{
    struct disk *d = disk_new(VFS);
    struct store *s;
    assert_int_equal(store_create(&s, PATH, VFS), 0);
    disk_fail(d, trouble, step);
    uint32_t acknowledged = append_from(s, 0);
    bool failed = disk_failed(d);
    if (failed && acknowledged < ENTRIES && trouble == DISK_FULL)
        assert_int_equal(append(s, acknowledged), ERROR_NO_SPACE);
    disk_heal(d, 1);
    /* The very same store goes on, once it can. */
    assert_int_equal(count_whole(s), acknowledged);
    assert_int_equal(append_from(s, acknowledged), ENTRIES);
    store_close(s);
    assert_int_equal(store_open(&s, PATH, VFS), 0);
    assert_int_equal(count_whole(s), ENTRIES);
    store_close(s);
    disk_free(d);
    return failed;
}

static void a_disk_that_is_full_for_a_while_loses_nothing(void **state)
{
    (void)state;
    uint32_t step = 0;
    while (step < STEPS_MAX && run_and_fail(DISK_FULL, step))
        step++;
    assert_in_range(step, ENTRIES, STEPS_MAX - 1);
}

static void one_error_at_any_write_loses_nothing(void **state)
{
    (void)state;
    uint32_t step = 0;
    while (step < STEPS_MAX && run_and_fail(DISK_ONE_ERROR, step))
        step++;
    assert_in_range(step, ENTRIES, STEPS_MAX - 1);
}

/* ---- On a real disk ---- */

static char directory[] = "/tmp/nj-store-XXXXXX";
static char path[64];

static int make_directory(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/nj-store-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/ledger", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char name[80];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    return rmdir(directory);
}

static void change(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void there_is_none_until_it_is_made(void **state)
{
    (void)state;
    struct store *s;
    assert_int_equal(store_open(&s, path, NULL), ERROR_NOT_FOUND);
    assert_int_equal(store_create(&s, path, NULL), 0);
    store_close(s);
    assert_int_equal(store_open(&s, path, NULL), 0);
    store_close(s);
}

static void it_has_one_controller(void **state)
{
    (void)state;
    struct store *s, *second;
    assert_int_equal(store_create(&s, path, NULL), 0);
    assert_int_equal(append(s, 0), 0);
    assert_int_equal(store_open(&second, path, NULL), ERROR_IN_USE);
    store_close(s);
}

static void another_version_is_left_untouched(void **state)
{
    (void)state;
    struct store *s;
    assert_int_equal(store_create(&s, path, NULL), 0);
    store_close(s);
    change("PRAGMA user_version = 2");
    assert_int_equal(store_open(&s, path, NULL), ERROR_UNSUPPORTED);
    assert_int_equal(store_create(&s, path, NULL), ERROR_UNSUPPORTED);
}

static void what_is_not_a_store_of_ours_is_left_untouched(void **state)
{
    (void)state;
    struct store *s;
    change("CREATE TABLE other (x)");
    assert_int_equal(store_open(&s, path, NULL), ERROR_MALFORMED);
    assert_int_equal(store_create(&s, path, NULL), ERROR_MALFORMED);
    change("DROP TABLE other");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 2000; i++)
        fputs("no database", f);
    fclose(f);
    assert_int_equal(store_open(&s, path, NULL), ERROR_MALFORMED);
}

#define ON_DISK(name) cmocka_unit_test_setup_teardown(name, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_is_there_again),
        cmocka_unit_test(a_power_cut_at_any_write_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_while_it_is_made_leaves_none_or_a_whole_one),
        cmocka_unit_test(a_disk_that_is_full_for_a_while_loses_nothing),
        cmocka_unit_test(one_error_at_any_write_loses_nothing),
        ON_DISK(there_is_none_until_it_is_made),
        ON_DISK(it_has_one_controller),
        ON_DISK(another_version_is_left_untouched),
        ON_DISK(what_is_not_a_store_of_ours_is_left_untouched),
    };
    return cmocka_run_group_tests_name("controller-store", tests, NULL, NULL);
}
