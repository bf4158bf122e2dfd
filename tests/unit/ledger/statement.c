#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "people.h"
#include "wire/cbor.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static int set_up(void **state)
{
    *state = people_new();
    return 0;
}

static int tear_down(void **state)
{
    people_free(*state);
    return 0;
}

static const uint8_t two_changes[2 * POLICY_CHANGE_SIZE] = {
    [SUBJECT_SIZE] = 1, [SUBJECT_SIZE + 1] = 0xcc, [POLICY_CHANGE_SIZE] = 1};

/* One of each kind with everything in it, then ones without what may be absent. */
static struct statement examples(uint32_t i, const struct people *p)
{
    struct statement s = simple_root(p, 1, 2, 3);
    if (i == 0)
        return s;
    s.network.bytes[0] = 0xaa;
    s.root.version = 2;
    s.root.replaces = true;
    s.root.last.index = 500;
    s.root.roles[0].scoped = true;
    memset(s.root.roles[0].scope, 0x11, SHA256_SIZE);
    if (i == 1)
        return s;
    struct statement t = {.kind = (enum statement_kind)(i < 11 ? i : STATEMENT_INVITE), .network = s.network};
    if (t.kind == STATEMENT_INVITE)
        t.invite = (struct statement_invite){{1}, {2}, 3000, i < 11 ? 4000 : 0, {5}};
    else if (t.kind == STATEMENT_JOIN)
        t.join = (struct statement_join){{1}, {2}, {3}, true, {4}};
    else if (t.kind == STATEMENT_ROTATE)
        t.rotate = (struct statement_rotate){{1}, 70000, {3}};
    else if (t.kind == STATEMENT_POLICY)
        t.policy = (struct statement_policy){9, {1}, 2, two_changes};
    else if (t.kind == STATEMENT_RESTORE)
        t.restore = (struct statement_restore){2, {{1}, {2}}};
    else if (t.kind == STATEMENT_RELEASE)
        t.release = (struct statement_release){1, {2}};
    else
        t.about = (struct statement_about){{1}, {2}};
    return t;
}
#define EXAMPLES 12

static void what_is_signed_is_decoded_to_the_same(void **state)
{
    struct people *p = *state;
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        struct statement s = examples(i, p);
        struct said said;
        uint8_t again[4096];
        SAY(p, &said, &s, 7, 3, 5);
        assert_int_equal(said.s.kind, s.kind);
        assert_memory_equal(&said.s.network, &s.network, sizeof(s.network));
        if (s.kind == STATEMENT_POLICY)
            s.policy.changes = said.s.policy.changes;
        assert_memory_equal(&said.s.root, &s.root, sizeof(s.root));
        assert_int_equal(said.s.signature_count, 3);
        assert_int_equal(statement_body(&said.s, again, sizeof(again)), said.s.body_len);
        assert_memory_equal(again, said.s.body, said.s.body_len);
        assert_int_equal(statement_verify(p->c, &said.s, p->keys[5]), 0);
        assert_int_equal(statement_verify(p->c, &said.s, p->keys[6]), ERROR_NOT_FOUND);
    }
}

static void the_hash_is_that_of_all_bytes(void **state)
{
    struct people *p = *state;
    struct statement s = examples(2, p);
    struct said said;
    uint8_t hash[SHA256_SIZE];
    SAY(p, &said, &s, 1);
    assert_int_equal(crypto_sha256(p->c, hash, said.bytes, said.s.len), 0);
    assert_memory_equal(hash, said.s.hash, SHA256_SIZE);
}

static void a_changed_bit_is_malformed_or_breaks_a_signature(void **state)
{
    struct people *p = *state;
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        struct statement s = examples(i, p), t;
        struct said said;
        SAY(p, &said, &s, 3);
        for (size_t bit = 0; bit < said.s.len * 8; bit += 7) {
            said.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (!statement_decode(p->c, &t, said.bytes, said.s.len))
                assert_int_not_equal(statement_verify(p->c, &t, p->keys[3]), 0);
            said.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void a_cut_statement_is_malformed(void **state)
{
    struct people *p = *state;
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        struct statement s = examples(i, p), t;
        struct said said;
        SAY(p, &said, &s, 3);
        for (size_t len = 0; len < said.s.len; len++) {
            uint8_t *cut = malloc(len + 1);
            memcpy(cut, said.bytes, len);
            assert_int_equal(statement_decode(p->c, &t, cut, len), ERROR_MALFORMED);
            free(cut);
        }
    }
}

static void nothing_is_signed_that_the_door_would_refuse(void **state)
{
    struct people *p = *state;
    uint8_t out[4096];
    struct signer signers[2] = {0};
    struct statement s = {0};
    assert_int_equal(statement_sign(p->c, &s, signers, 1, out, sizeof(out)), ERROR_INVALID);
    s = examples(1, p);
    assert_int_equal(statement_sign(p->c, &s, signers, 0, out, sizeof(out)), ERROR_INVALID);
    assert_int_equal(statement_sign(p->c, &s, signers, 2, out, sizeof(out)), ERROR_INVALID); /* one key twice */
    assert_int_equal(statement_sign(p->c, &s, signers, 1, out, 100), ERROR_OVERFLOW);
    s.root.threshold = 0;
    assert_int_equal(statement_sign(p->c, &s, signers, 1, out, sizeof(out)), ERROR_INVALID);
    s = examples(1, p);
    s.root.roles[0].roles = 16;
    assert_int_equal(statement_sign(p->c, &s, signers, 1, out, sizeof(out)), ERROR_INVALID);
    s = examples(1, p);
    s.root.owner_count = 2;
    memcpy(s.root.owners[1], s.root.owners[0], ED25519_PUBLIC_SIZE);
    assert_int_equal(statement_sign(p->c, &s, signers, 1, out, sizeof(out)), ERROR_INVALID);
    s = examples(STATEMENT_RESTORE, p);
    memcpy(s.restore.isolates[1], s.restore.isolates[0], SHA256_SIZE);
    assert_int_equal(statement_sign(p->c, &s, signers, 1, out, sizeof(out)), ERROR_INVALID);
    s = examples(STATEMENT_ROTATE, p);
    s.rotate.number = 0;
    assert_int_equal(statement_sign(p->c, &s, signers, 1, out, sizeof(out)), ERROR_INVALID);
}

static void changes_of_a_policy_ascend_and_are_canonical(void **state)
{
    struct people *p = *state;
    uint8_t out[4096], changes[sizeof(two_changes)];
    struct signer signer = {{1}};
    struct statement s = examples(STATEMENT_POLICY, p);
    struct policy_change change;
    s.policy.changes = changes;
    memcpy(changes, two_changes, sizeof(changes));
    statement_policy_change(&s.policy, 0, &change);
    assert_false(change.gone);
    assert_int_equal(change.commitment[0], 0xcc);
    statement_policy_change(&s.policy, 1, &change);
    assert_true(change.gone);
    assert_true(statement_sign(p->c, &s, &signer, 1, out, sizeof(out)) > 0);
    changes[POLICY_CHANGE_SIZE] = 0; /* the same subject */
    assert_int_equal(statement_sign(p->c, &s, &signer, 1, out, sizeof(out)), ERROR_INVALID);
    memcpy(changes, two_changes, sizeof(changes));
    changes[SUBJECT_SIZE] = 2;
    assert_int_equal(statement_sign(p->c, &s, &signer, 1, out, sizeof(out)), ERROR_INVALID);
    changes[SUBJECT_SIZE] = 0; /* gone, with a commitment */
    assert_int_equal(statement_sign(p->c, &s, &signer, 1, out, sizeof(out)), ERROR_INVALID);
}

/* Wraps any body into a statement with one signature, good or not. */
static int decode_body(struct people *p, const uint8_t *body, size_t len)
{
    uint8_t bytes[512];
    struct statement s;
    struct cursor c = cursor_writing(bytes, sizeof(bytes));
    cbor_put_array(&c, 2);
    cbor_put_bytes(&c, body, len);
    cbor_put_array(&c, 1);
    cbor_put_array(&c, 2);
    cbor_put_bytes(&c, p->keys[0], ED25519_PUBLIC_SIZE);
    cbor_put_bytes(&c, (const uint8_t[ED25519_SIGNATURE_SIZE]){0}, ED25519_SIGNATURE_SIZE);
    assert_int_equal(cursor_error(&c), 0);
    return statement_decode(p->c, &s, bytes, (size_t)(c.at - bytes));
}

/* A release: each key may be left out, or one added. */
static int decode_release(struct people *p, uint32_t without, uint32_t also, uint64_t kind)
{
    uint8_t body[256];
    struct cursor c = cursor_writing(body, sizeof(body));
    const uint8_t hash[SHA256_SIZE] = {0};
    cbor_put_map(&c, 4 - (without < 4) + (also > 3));
    for (uint32_t key = 0; key < 4; key++) {
        if (key == without)
            continue;
        cbor_put_unsigned(&c, key);
        if (key == 0)
            cbor_put_unsigned(&c, kind);
        else if (key == 2)
            cbor_put_unsigned(&c, 1);
        else
            cbor_put_bytes(&c, hash, sizeof(hash));
    }
    if (also > 3) {
        cbor_put_unsigned(&c, also);
        cbor_put_unsigned(&c, 1);
    }
    return decode_body(p, body, (size_t)(c.at - body));
}

static void missing_and_unknown_keys_and_kinds_are_malformed(void **state)
{
    struct people *p = *state;
    assert_int_equal(decode_release(p, 9, 0, STATEMENT_RELEASE), 0);
    for (uint32_t key = 0; key < 4; key++)
        assert_int_equal(decode_release(p, key, 0, STATEMENT_RELEASE), ERROR_MALFORMED);
    assert_int_equal(decode_release(p, 9, 4, STATEMENT_RELEASE), ERROR_MALFORMED);
    static const uint64_t kinds[] = {0, 2, 4, 11, UINT64_MAX};
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        assert_int_equal(decode_release(p, 9, 0, kinds[i]), ERROR_MALFORMED);
}

static void signatures_ascend_by_key(void **state)
{
    struct people *p = *state;
    struct statement s = examples(STATEMENT_RELEASE, p), t;
    struct said said;
    uint8_t pair[2 + ED25519_PUBLIC_SIZE + 2 + ED25519_SIGNATURE_SIZE + 1];
    SAY(p, &said, &s, 1, 2);
    uint8_t *second = said.bytes + said.s.len - sizeof(pair), *first = second - sizeof(pair);
    memcpy(pair, first, sizeof(pair));
    memcpy(first, second, sizeof(pair));
    memcpy(second, pair, sizeof(pair));
    assert_int_equal(statement_decode(p->c, &t, said.bytes, said.s.len), ERROR_MALFORMED);
    memcpy(first, second, sizeof(pair));
    assert_int_equal(statement_decode(p->c, &t, said.bytes, said.s.len), ERROR_MALFORMED);
}

static void only_a_first_root_names_no_network(void **state)
{
    struct people *p = *state;
    struct statement s = examples(0, p);
    struct said said;
    SAY(p, &said, &s, 1);
    assert_true(is_zero(said.s.network.bytes, NETWORK_ID_SIZE));
    assert_int_equal(decode_release(p, 1, 0, STATEMENT_RELEASE), ERROR_MALFORMED);
}

static void every_kind_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(statement_kind_name(STATEMENT_ROOT), "root");
    assert_string_equal(statement_kind_name(STATEMENT_RELEASE), "release");
    assert_string_equal(statement_kind_name((enum statement_kind)11), "unknown");
}

static void heads_chain_time_and_statement(void **state)
{
    struct people *p = *state;
    struct head h = {.index = 4, .hash = {1}, .time = 9};
    uint8_t bytes[72] = {1}, expected[SHA256_SIZE], statement[SHA256_SIZE] = {2};
    bytes[39] = 10;
    bytes[40] = 2;
    assert_int_equal(crypto_sha256(p->c, expected, bytes, sizeof(bytes)), 0);
    assert_int_equal(head_extend(p->c, &h, 10, statement), 0);
    assert_memory_equal(h.hash, expected, SHA256_SIZE);
    assert_int_equal(h.index, 5);
    assert_int_equal(h.time, 10);
}

static void a_signed_head_is_its_sequencers_and_its_networks(void **state)
{
    struct people *p = *state;
    struct network_id network = {{7}}, other = {{8}};
    struct signed_head h = {.head = {UINT64_MAX - 1, {3}, 77}, .fold_root = {4}}, again;
    uint8_t bytes[SIGNED_HEAD_SIZE], twice[SIGNED_HEAD_SIZE];
    assert_int_equal(signed_head_sign(p->c, &h, &network, p->seeds[1]), 0);
    assert_memory_equal(h.sequencer, p->keys[1], ED25519_PUBLIC_SIZE);
    signed_head_encode(&h, bytes);
    signed_head_decode(&again, bytes);
    signed_head_encode(&again, twice);
    assert_memory_equal(bytes, twice, sizeof(bytes));
    assert_int_equal(signed_head_verify(p->c, &again, &network), 0);
    assert_int_equal(signed_head_verify(p->c, &again, &other), ERROR_AUTHENTICATION);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit += 3) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        signed_head_decode(&again, bytes);
        assert_int_not_equal(signed_head_verify(p->c, &again, &network), 0);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_is_decoded_to_the_same),
        cmocka_unit_test(the_hash_is_that_of_all_bytes),
        cmocka_unit_test(a_changed_bit_is_malformed_or_breaks_a_signature),
        cmocka_unit_test(a_cut_statement_is_malformed),
        cmocka_unit_test(nothing_is_signed_that_the_door_would_refuse),
        cmocka_unit_test(changes_of_a_policy_ascend_and_are_canonical),
        cmocka_unit_test(missing_and_unknown_keys_and_kinds_are_malformed),
        cmocka_unit_test(signatures_ascend_by_key),
        cmocka_unit_test(only_a_first_root_names_no_network),
        cmocka_unit_test(every_kind_has_a_name),
        cmocka_unit_test(heads_chain_time_and_statement),
        cmocka_unit_test(a_signed_head_is_its_sequencers_and_its_networks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
