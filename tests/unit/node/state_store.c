#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../../node/state_journal.h"
#include "../../../node/state_store.h"
#include "../proc/disk.h"
#include "ledger/kept.h"

/* What a log holds, each record as the number in its first bytes. */
struct content {
    uint32_t numbers[64];
    uint32_t count;
};

static int take(void *context, const uint8_t *bytes, size_t len)
{
    struct content *c = context;
    assert_int_equal(len, sizeof(uint32_t));
    memcpy(&c->numbers[c->count++], bytes, len);
    return 0;
}

static struct journal *open_journal(struct disk *disk, struct content *c)
{
    struct files files = disk_files(disk);
    struct journal *j;
    *c = (struct content){0};
    assert_int_equal(journal_open(&j, &files, "log", 64, take, c, NULL), 0);
    return j;
}

static void put(struct journal *j, uint32_t number)
{
    journal_put(j, &number, sizeof(number));
}

static void what_was_committed_is_there_again(void **state)
{
    (void)state;
    struct disk *disk = disk_new();
    struct content c;
    struct journal *j = open_journal(disk, &c);
    assert_int_equal(c.count, 0);
    assert_false(journal_is_waiting(j));
    for (uint32_t i = 0; i < 3; i++)
        put(j, i);
    assert_true(journal_is_waiting(j));
    assert_int_equal(journal_commit(j), 0);
    assert_false(journal_is_waiting(j));
    journal_close(j);
    disk_restart(disk, false, false);
    j = open_journal(disk, &c);
    assert_int_equal(c.count, 3);
    assert_int_equal(c.numbers[2], 2);
    journal_close(j);
    free(disk);
}

static void several_records_share_one_sync(void **state)
{
    (void)state;
    struct disk *disk = disk_new();
    struct content c;
    struct journal *j = open_journal(disk, &c);
    unsigned before = disk->syncs;
    for (uint32_t i = 0; i < 20; i++)
        put(j, i);
    assert_int_equal(journal_commit(j), 0);
    assert_int_equal(disk->syncs, before + 1);
    assert_int_equal(journal_commit(j), 0);
    assert_int_equal(disk->syncs, before + 1);
    journal_close(j);
    free(disk);
}

static void a_full_disk_holds_up_and_loses_nothing(void **state)
{
    (void)state;
    for (unsigned fail_at = 1; fail_at < 12; fail_at++) {
        struct disk *disk = disk_new();
        struct content c;
        struct journal *j = open_journal(disk, &c);
        disk->fail_at = disk->operations + fail_at;
        disk->failure = ENOSPC;
        disk->fail_on = true;
        int error = 0;
        for (uint32_t i = 0; i < 8; i++) {
            put(j, i);
            error = journal_commit(j);
        }
        assert_int_equal(error, ERROR_NO_SPACE);
        assert_true(journal_is_waiting(j));
        disk->fail_at = 0;
        put(j, 8);
        assert_int_equal(journal_commit(j), 0);
        journal_close(j);
        disk_restart(disk, false, false);
        j = open_journal(disk, &c);
        assert_int_equal(c.count, 9);
        for (uint32_t i = 0; i < 9; i++)
            assert_int_equal(c.numbers[i], i);
        journal_close(j);
        free(disk);
    }
}

/* One run of puts and commits, with a restart of the log in it. Returns how many commits were done. */
static uint32_t run(struct journal *j)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < 4; i++) {
        put(j, i);
        if (journal_commit(j) != 0)
            return done;
        done++;
    }
    journal_restart(j);
    for (uint32_t i = 100; i < 103; i++)
        put(j, i);
    return done + (journal_commit(j) == 0);
}

static void must_be_a_beginning(const struct content *c, uint32_t done)
{
    bool anew = c->count > 0 && c->numbers[0] == 100;
    assert_true(anew || done < 5);
    assert_true(anew ? c->count == 3 : c->count >= done && c->count <= 4);
    for (uint32_t i = 0; i < c->count; i++)
        assert_int_equal(c->numbers[i], (anew ? 100 : 0) + i);
}

static void a_power_cut_leaves_the_old_or_the_new_log(void **state)
{
    (void)state;
    for (unsigned cut_at = 1; cut_at < 40; cut_at++)
        for (int kept = 0; kept < 4; kept++) {
            struct disk *disk = disk_new();
            struct content c;
            struct journal *j = open_journal(disk, &c);
            disk->cut_at = disk->operations + cut_at;
            uint32_t done = run(j);
            journal_close(j);
            disk_restart(disk, kept & 1, kept & 2);
            disk->cut_at = 0;
            j = open_journal(disk, &c);
            must_be_a_beginning(&c, done);
            journal_close(j);
            free(disk);
        }
}

/* ---- The store ---- */

struct kept_log {
    struct kept list[64];
    uint8_t bytes[64][512];
    uint32_t count;
};

static int take_kept(void *context, const uint8_t *bytes, size_t len)
{
    struct kept_log *log = context;
    assert_true(len <= 512 && log->count < 64);
    memcpy(log->bytes[log->count], bytes, len);
    assert_int_equal(kept_decode(&log->list[log->count], log->bytes[log->count], len), 0);
    log->count++;
    return 0;
}

static void read_log(struct disk *disk, struct kept_log *out)
{
    struct files files = disk_files(disk);
    struct files_log *log;
    out->count = 0;
    assert_int_equal(files_log_open(&log, &files, KEPT_LOG, KEPT_RECORD_MAX, take_kept, out, NULL), 0);
    files_log_close(log);
}

struct store_bench {
    struct crypto *c;
    struct disk *ledger, *openings;
    struct state_store *store;
};

static void open_store(struct store_bench *b)
{
    struct files ledger = disk_files(b->ledger), openings = disk_files(b->openings);
    uint64_t torn;
    assert_int_equal(state_store_open(&b->store, b->c, &ledger, &openings, &torn), 0);
}

static int set_up(void **state)
{
    static struct store_bench b;
    b.ledger = disk_new();
    b.openings = disk_new();
    *state = &b;
    if (crypto_new(&b.c, CRYPTO_BULK_OPENSSL) != 0)
        return -1;
    open_store(&b);
    return 0;
}

static int tear_down(void **state)
{
    struct store_bench *b = *state;
    state_store_close(b->store);
    free(b->ledger);
    free(b->openings);
    crypto_free(b->c);
    return 0;
}

static void a_store_knows_its_network_by_its_first_entry(void **state)
{
    struct store_bench *b = *state;
    uint8_t hash[SHA256_SIZE];
    assert_true(state_store_is_empty(b->store));
    state_store_keep_entry(b->store, 0, 7, VERDICT_STANDS, (const uint8_t *)"root", 4);
    state_store_keep_entry(b->store, 1, 8, VERDICT_LATE, (const uint8_t *)"next", 4);
    state_store_keep_opening(b->store, (const uint8_t *)"opening", 7);
    assert_true(state_store_is_dirty(b->store));
    assert_int_equal(state_store_commit(b->store), 0);
    assert_false(state_store_is_dirty(b->store));
    state_store_close(b->store);
    open_store(b);
    assert_false(state_store_is_empty(b->store));
    assert_int_equal(crypto_sha256(b->c, hash, "root", 4), 0);
    assert_memory_equal(state_store_network(b->store)->bytes, hash, SHA256_SIZE);
}

static void a_log_that_begins_anew_keeps_what_does_not_follow_from_the_fold(void **state)
{
    struct store_bench *b = *state;
    struct kept_log log;
    uint8_t head[SIGNED_HEAD_SIZE] = {1}, other[SIGNED_HEAD_SIZE] = {2}, hash[SHA256_SIZE] = {0};
    state_store_keep_entry(b->store, 0, 7, VERDICT_STANDS, (const uint8_t *)"root", 4);
    state_store_keep_take_away(b->store, hash, (const uint8_t *)"revoke", 6);
    state_store_keep_take_away(b->store, hash, (const uint8_t *)"revoke", 6);
    state_store_keep_evidence(b->store, head, other);
    state_store_keep_floor(b->store, 1000);
    state_store_keep_head(b->store, head);
    assert_int_equal(state_store_commit(b->store), 0);
    read_log(b->ledger, &log);
    assert_int_equal(log.count, 5);
    state_store_keep_base(b->store, NULL, 0);
    state_store_keep_entry(b->store, 0, 9, VERDICT_STANDS, (const uint8_t *)"other", 5);
    assert_int_equal(state_store_commit(b->store), 0);
    read_log(b->ledger, &log);
    static const enum kept_kind kinds[] = {KEPT_BASE, KEPT_TAKE_AWAY, KEPT_EVIDENCE, KEPT_FLOOR, KEPT_HEAD, KEPT_ENTRY};
    assert_int_equal(log.count, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(log.list[i].kind, kinds[i]);
    state_store_close(b->store);
    open_store(b); /* knows them still: */
    state_store_keep_take_away(b->store, hash, (const uint8_t *)"revoke", 6);
    assert_false(state_store_is_dirty(b->store));
}

static void a_take_away_is_kept_until_it_is_in_the_ledger(void **state)
{
    struct store_bench *b = *state;
    struct kept_log log;
    uint8_t hash[SHA256_SIZE] = {0};
    state_store_keep_take_away(b->store, hash, (const uint8_t *)"revoke", 6);
    state_store_keep_take_away(b->store, hash, (const uint8_t *)"isolate", 7);
    state_store_keep_entry(b->store, 0, 7, VERDICT_STANDS, (const uint8_t *)"revoke", 6);
    assert_int_equal(state_store_commit(b->store), 0);
    state_store_close(b->store);
    open_store(b);
    state_store_keep_base(b->store, NULL, 0);
    assert_int_equal(state_store_commit(b->store), 0);
    read_log(b->ledger, &log);
    assert_int_equal(log.count, 2);
    assert_int_equal(log.list[1].kind, KEPT_TAKE_AWAY);
    assert_memory_equal(log.list[1].bytes, "isolate", 7);
}

/* A sequencer that signs ever other heads at one place. */
static void evidence_without_end_fills_no_disk(void **state)
{
    struct store_bench *b = *state;
    struct kept_log log;
    uint8_t head[SIGNED_HEAD_SIZE] = {1}, other[SIGNED_HEAD_SIZE] = {2}, hash[SHA256_SIZE] = {0};
    for (unsigned i = 0; i < 300; i++) {
        other[1] = (uint8_t)i;
        other[2] = (uint8_t)(i >> 8);
        state_store_keep_evidence(b->store, head, other);
    }
    state_store_keep_take_away(b->store, hash, (const uint8_t *)"revoke", 6);
    assert_int_equal(state_store_commit(b->store), 0);
    read_log(b->ledger, &log);
    assert_in_range(log.count, 2, 20);
    assert_int_equal(log.list[0].kind, KEPT_EVIDENCE);
    state_store_keep_base(b->store, NULL, 0);
    assert_int_equal(state_store_commit(b->store), 0);
    read_log(b->ledger, &log);
    assert_int_equal(log.list[log.count - 1].kind, KEPT_TAKE_AWAY);
}

static void what_is_no_record_is_refused(void **state)
{
    struct store_bench *b = *state;
    struct files files = disk_files(b->ledger), openings = disk_files(b->openings);
    struct files_log *log;
    struct kept_log unused = {0};
    state_store_close(b->store);
    b->store = NULL;
    assert_int_equal(files_log_open(&log, &files, KEPT_LOG, 64, take_kept, &unused, NULL), 0);
    assert_int_equal(files_log_append(log, "\x82\x09\x00", 3), 0);
    files_log_close(log);
    uint64_t torn;
    assert_int_equal(state_store_open(&b->store, b->c, &files, &openings, &torn), ERROR_MALFORMED);
    b->store = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_committed_is_there_again),
        cmocka_unit_test_setup_teardown(a_take_away_is_kept_until_it_is_in_the_ledger, set_up, tear_down),
        cmocka_unit_test(several_records_share_one_sync),
        cmocka_unit_test(a_full_disk_holds_up_and_loses_nothing),
        cmocka_unit_test(a_power_cut_leaves_the_old_or_the_new_log),
        cmocka_unit_test_setup_teardown(a_store_knows_its_network_by_its_first_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_log_that_begins_anew_keeps_what_does_not_follow_from_the_fold, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(evidence_without_end_fills_no_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_record_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
