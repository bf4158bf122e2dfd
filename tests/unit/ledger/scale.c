/* Many devices: the fold stays quick and small, and a change costs a path, not the tree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../random.h"
#include "base/bytes.h"
#include "ledger/key_index.h"
#include "ledger/merkle.h"
#include "people.h"

#define DEVICES 10000u
#define OWNER 0
#define KEEPER 1
#define SEQUENCER 2
#define NOW 2000

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The tree of RFC 6962 section 2.1, as it is defined there. */
static void tree_hash(struct crypto *c, const uint8_t (*leaves)[SHA256_SIZE], uint32_t n, uint8_t out[SHA256_SIZE])
{
    uint8_t node[1 + 2 * SHA256_SIZE] = {1};
    uint32_t k = 1;
    if (n == 1) {
        memcpy(out, leaves[0], SHA256_SIZE);
        return;
    }
    while (k * 2 < n)
        k *= 2;
    tree_hash(c, leaves, k, node + 1);
    tree_hash(c, leaves + k, n - k, node + 1 + SHA256_SIZE);
    assert_int_equal(crypto_sha256(c, out, node, sizeof(node)), 0);
}

static void a_tree_that_grows_by_paths_is_the_tree_of_the_rfc(void **state)
{
    (void)state;
    struct people *p = people_new();
    struct merkle m = {0};
    static uint8_t leaves[300][SHA256_SIZE];
    uint8_t root[SHA256_SIZE], expected[SHA256_SIZE] = {0};
    uint64_t random = 7;
    merkle_root(&m, root);
    assert_memory_equal(root, expected, SHA256_SIZE);
    for (uint32_t n = 0; n < 300; n++) {
        for (int changes = 0; changes < 3; changes++) {
            uint8_t record[9] = {0};
            uint32_t i = changes == 0 ? n : random_below(&random, n + 1);
            put_be64(record + 1, random_next(&random));
            assert_int_equal(merkle_reserve(&m, n + 1), 0);
            assert_int_equal(merkle_set(&m, p->c, i, record, sizeof(record)), 0);
            assert_int_equal(crypto_sha256(p->c, leaves[i], record, sizeof(record)), 0);
        }
        tree_hash(p->c, (const uint8_t(*)[SHA256_SIZE])leaves, n + 1, expected);
        merkle_root(&m, root);
        assert_memory_equal(root, expected, SHA256_SIZE);
    }
    merkle_clear(&m);
    people_free(p);
}

static const uint8_t *key_at(const void *owner, uint32_t position)
{
    return (const uint8_t *)owner + (size_t)position * 8;
}

/* Keys whose spread is bad on purpose: few places, so that searches run into one another. */
static void an_index_finds_what_is_in_it_and_nothing_else(void **state)
{
    (void)state;
    static uint8_t keys[200][8];
    bool there[200] = {false};
    struct key_index x = {.key_of = key_at, .key_len = 8};
    uint64_t random = 11;
    for (uint32_t i = 0; i < 200; i++)
        put_be64(keys[i], (uint64_t)i << 40);
    assert_int_equal(key_index_find(&x, keys, keys[0]), KEY_INDEX_NONE);
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = random_below(&random, 200);
        assert_int_equal(key_index_reserve(&x, keys, 1), 0);
        if (there[i])
            key_index_remove(&x, keys, i);
        else
            key_index_put(&x, keys, i);
        there[i] = !there[i];
        for (uint32_t k = step % 16; k < 200; k += 16)
            assert_int_equal(key_index_find(&x, keys, keys[k]), there[k] ? k : KEY_INDEX_NONE);
    }
    key_index_clear(&x);
}

/* Judged before, so that no signature takes time: what is measured is the fold. */
static void apply(struct people *p, struct fold *f, struct statement *s, uint32_t number)
{
    uint8_t bytes[8];
    put_be32(bytes, s->kind);
    put_be32(bytes + 4, number);
    assert_int_equal(crypto_sha256(p->c, s->hash, bytes, sizeof(bytes)), 0);
    s->network = *fold_network(f);
    assert_int_equal(fold_apply_trusted(f, s, NOW, VERDICT_STANDS), 0);
}

static void key_for(uint8_t out[32], uint8_t of, uint32_t number)
{
    uint64_t random = ((uint64_t)of << 32 | number) * 2 + 1;
    for (int i = 0; i < 32; i += 8)
        put_be64(out + i, random_next(&random));
}

static void invite_and_join(struct people *p, struct fold *f, uint32_t i)
{
    uint8_t signing[32];
    struct statement s = {.kind = STATEMENT_INVITE, .signature_count = 1, .signatures = {{p->keys[KEEPER], NULL}}};
    key_for(s.invite.signing_public, 1, i);
    key_for(s.invite.static_public, 2, i);
    memcpy(signing, s.invite.signing_public, 32);
    s.invite.join_before = NOW;
    apply(p, f, &s, i);
    struct statement join = {.kind = STATEMENT_JOIN, .signature_count = 2};
    memcpy(join.join.invite, s.hash, SHA256_SIZE);
    key_for(join.join.signing_public, 3, i);
    key_for(join.join.static_public, 4, i);
    join.signatures[0].key = signing;
    join.signatures[1].key = join.join.signing_public;
    apply(p, f, &join, i);
}

static void ten_thousand_devices_fold_and_load_in_seconds(void **state)
{
    (void)state;
    struct people *p = people_new();
    struct fold *f, *again;
    struct said root;
    enum fold_verdict verdict;
    uint8_t a[SHA256_SIZE], b[SHA256_SIZE];
    struct statement s = simple_root(p, OWNER, KEEPER, SEQUENCER);
    SAY(p, &root, &s, OWNER);
    assert_int_equal(fold_new(&f, p->c), 0);
    assert_int_equal(fold_apply(f, &root.s, NOW, &verdict), 0);
    double begin = seconds();
    for (uint32_t i = 0; i < DEVICES; i++)
        invite_and_join(p, f, i);
    double folded = seconds();
    assert_int_equal(fold_device_count(f), DEVICES);
    int64_t size = fold_save(f, NULL, 0);
    uint8_t *bytes = malloc((size_t)size);
    assert_int_equal(fold_save(f, bytes, (size_t)size), size);
    assert_int_equal(fold_load(&again, p->c, bytes, (size_t)size), 0);
    double loaded = seconds();
    fold_root(f, a);
    fold_root(again, b);
    assert_memory_equal(a, b, SHA256_SIZE);
    print_message("# folded in %.2f s, saved and loaded in %.2f s, %ld bytes\n", folded - begin, loaded - folded,
                  (long)size);
    /* Generous, for sanitizers and busy machines: the square of this many would take minutes. */
    assert_true(loaded - begin < 20);
    assert_true(size < DEVICES * 512);
    free(bytes);
    fold_free(f);
    fold_free(again);
    people_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_that_grows_by_paths_is_the_tree_of_the_rfc),
        cmocka_unit_test(an_index_finds_what_is_in_it_and_nothing_else),
        cmocka_unit_test(ten_thousand_devices_fold_and_load_in_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
