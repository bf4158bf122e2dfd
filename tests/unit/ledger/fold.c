#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "people.h"

/* Numbers of people. */
enum { OWNER, KEEPER, SEQUENCER, SECOND_OWNER, STRANGER, HUB_SEQUENCER, INVITES = 100, DEVICES = 200 };
#define NOW 2000

struct network {
    struct people *p;
    struct fold *f;
    struct said last;
    uint32_t nonce;
};

static enum fold_verdict apply_at(struct network *n, uint64_t time)
{
    enum fold_verdict verdict = VERDICT_COUNT, judged = fold_judge(n->f, &n->last.s, time);
    assert_int_equal(fold_apply(n->f, &n->last.s, time, &verdict), 0);
    assert_int_equal(verdict, judged);
    return verdict;
}

static enum fold_verdict apply_now(struct network *n)
{
    return apply_at(n, NOW);
}

static struct statement of(const struct network *n, enum statement_kind kind)
{
    return (struct statement){.kind = kind, .network = *fold_network(n->f)};
}

#define SAY_NOW(n, s, ...) (SAY((n)->p, &(n)->last, s, __VA_ARGS__), apply_now(n))

static int set_up(void **state)
{
    struct network *n = calloc(1, sizeof(*n));
    n->p = people_new();
    *state = n;
    return 0;
}

static int tear_down(void **state)
{
    struct network *n = *state;
    people_free(n->p);
    free(n);
    return 0;
}

/* A fold with its first root only. */
static int begin(void **state)
{
    struct network *n = *state;
    assert_int_equal(fold_new(&n->f, n->p->c), 0);
    struct statement s = simple_root(n->p, OWNER, KEEPER, SEQUENCER);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    return 0;
}

static int begin_empty(void **state)
{
    struct network *n = *state;
    return fold_new(&n->f, n->p->c);
}

/* Whatever a test made of the fold can be saved and loaded. */
static int end(void **state)
{
    struct network *n = *state;
    struct fold *again;
    if (fold_head(n->f)->index != UINT64_MAX) {
        int64_t size = fold_save(n->f, NULL, 0);
        assert_true(size > 0);
        uint8_t *bytes = malloc((size_t)size), *twice = malloc((size_t)size), a[SHA256_SIZE], b[SHA256_SIZE];
        assert_int_equal(fold_save(n->f, bytes, (size_t)size), size);
        assert_int_equal(fold_save(n->f, twice, (size_t)size - 1), ERROR_OVERFLOW);
        assert_int_equal(fold_load(&again, n->p->c, bytes, (size_t)size), 0);
        assert_int_equal(fold_save(again, twice, (size_t)size), size);
        assert_memory_equal(bytes, twice, size);
        fold_root(n->f, a);
        fold_root(again, b);
        assert_memory_equal(a, b, SHA256_SIZE);
        assert_int_equal(fold_head(again)->time, fold_head(n->f)->time);
        assert_memory_equal(fold_network(again), fold_network(n->f), sizeof(struct network_id));
        fold_free(again);
        free(bytes);
        free(twice);
    }
    fold_free(n->f);
    return 0;
}

static struct statement invite_of(const struct network *n, uint32_t number)
{
    struct statement s = of(n, STATEMENT_INVITE);
    memcpy(s.invite.signing_public, n->p->keys[INVITES + number], ED25519_PUBLIC_SIZE);
    static_key(s.invite.static_public, INVITES + number);
    s.invite.join_before = NOW + 100;
    s.invite.commitment[0] = (uint8_t)number;
    return s;
}

/* Invites, and says which device that is. */
static struct fold_device invite(struct network *n, uint32_t number)
{
    struct statement s = invite_of(n, number);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_STANDS);
    return *fold_device_by_invite(n->f, n->last.s.hash);
}

static struct statement join_of(const struct network *n, const struct fold_device *d, uint32_t number)
{
    struct statement s = of(n, STATEMENT_JOIN);
    memcpy(s.join.invite, d->invite, SHA256_SIZE);
    memcpy(s.join.signing_public, n->p->keys[DEVICES + number], ED25519_PUBLIC_SIZE);
    static_key(s.join.static_public, DEVICES + number);
    return s;
}

static enum fold_verdict join(struct network *n, const struct fold_device *d, uint32_t invite, uint32_t number)
{
    struct statement s = join_of(n, d, number);
    return SAY_NOW(n, &s, INVITES + invite, DEVICES + number);
}

static struct fold_device invite_and_join(struct network *n, uint32_t number)
{
    struct fold_device d = invite(n, number);
    assert_int_equal(join(n, &d, number, number), VERDICT_STANDS);
    return *fold_device_by_id(n->f, &d.id);
}

static struct statement about(struct network *n, enum statement_kind kind, const struct fold_device *d)
{
    struct statement s = of(n, kind);
    memcpy(s.about.invite, d->invite, SHA256_SIZE);
    put_be32(s.about.nonce, ++n->nonce);
    return s;
}

static enum fold_verdict do_about(struct network *n, enum statement_kind kind, const struct fold_device *d)
{
    struct statement s = about(n, kind, d);
    return SAY_NOW(n, &s, KEEPER);
}

static bool is_live(const struct network *n, const struct fold_device *d)
{
    return fold_device_is_live(n->f, fold_device_by_id(n->f, &d->id));
}

static bool is_open(const struct network *n, const struct fold_device *d)
{
    return fold_invite_is_open(n->f, fold_device_by_id(n->f, &d->id), NOW);
}

static void the_first_entry_is_a_first_root_and_its_hash_the_network(void **state)
{
    struct network *n = *state;
    struct statement s = of(n, STATEMENT_RELEASE);
    enum fold_verdict verdict;
    s.release.version = 1;
    SAY(n->p, &n->last, &s, OWNER);
    assert_int_equal(fold_apply(n->f, &n->last.s, NOW, &verdict), ERROR_INVALID);
    s = simple_root(n->p, OWNER, KEEPER, SEQUENCER);
    SAY(n->p, &n->last, &s, STRANGER);
    assert_int_equal(fold_apply(n->f, &n->last.s, NOW, &verdict), ERROR_INVALID);
    assert_int_equal(verdict, VERDICT_NOT_ENTITLED);
    assert_int_equal(fold_head(n->f)->index, UINT64_MAX);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    assert_int_equal(fold_head(n->f)->index, 0);
    assert_int_equal(fold_head(n->f)->time, 1000);
    assert_memory_equal(fold_head(n->f)->hash, n->last.s.hash, SHA256_SIZE);
    assert_memory_equal(fold_network(n->f)->bytes, n->last.s.hash, SHA256_SIZE);
    assert_true(fold_sequences(n->f, n->p->keys[SEQUENCER]));
    assert_false(fold_sequences(n->f, n->p->keys[OWNER]));
    assert_int_equal(apply_now(n), VERDICT_ALREADY);
    s.root.time++;
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_WRONG_NETWORK);
}

static void a_first_root_founds_or_lists_sequencers_and_never_both(void **state)
{
    struct network *n = *state;
    struct statement s = simple_root(n->p, OWNER, KEEPER, SEQUENCER);
    enum fold_verdict verdict;
    s.root.founds = true;
    SAY(n->p, &n->last, &s, OWNER);
    assert_int_equal(fold_apply(n->f, &n->last.s, NOW, &verdict), ERROR_INVALID);
    assert_int_equal(verdict, VERDICT_CONTRADICTS_ITSELF);
    s.root.founds = false;
    s.root.sequencer_count = 0;
    SAY(n->p, &n->last, &s, OWNER);
    assert_int_equal(fold_judge(n->f, &n->last.s, NOW), VERDICT_CONTRADICTS_ITSELF);
    s.root.founds = true;
    s.root.threshold = 2;
    SAY(n->p, &n->last, &s, OWNER);
    assert_int_equal(fold_judge(n->f, &n->last.s, NOW), VERDICT_NOT_ENTITLED);
    s.root.threshold = 1;
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
}

static void time_never_decreases(void **state)
{
    struct network *n = *state;
    enum fold_verdict verdict;
    struct head before = *fold_head(n->f);
    struct statement s = invite_of(n, 1);
    SAY(n->p, &n->last, &s, KEEPER);
    assert_int_equal(fold_apply(n->f, &n->last.s, 999, &verdict), ERROR_INVALID);
    assert_memory_equal(fold_head(n->f), &before, sizeof(before));
    assert_int_equal(apply_at(n, 1000), VERDICT_STANDS);
}

static void a_void_entry_extends_the_chain_alone(void **state)
{
    struct network *n = *state;
    uint8_t before[SHA256_SIZE], after[SHA256_SIZE];
    fold_root(n->f, before);
    struct head head = *fold_head(n->f);
    struct statement s = invite_of(n, 1);
    assert_int_equal(SAY_NOW(n, &s, STRANGER), VERDICT_NOT_ENTITLED);
    fold_root(n->f, after);
    assert_memory_equal(before, after, SHA256_SIZE);
    assert_int_equal(head_extend(n->p->c, &head, NOW, n->last.s.hash), 0);
    assert_memory_equal(fold_head(n->f), &head, sizeof(head));
    assert_int_equal(fold_device_count(n->f), 0);
}

static void statements_of_another_network_are_void(void **state)
{
    struct network *n = *state;
    struct statement s = invite_of(n, 1);
    s.network.bytes[0] ^= 1;
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_WRONG_NETWORK);
}

static void each_signature_must_hold_and_be_of_one_who_may(void **state)
{
    struct network *n = *state;
    struct statement s = invite_of(n, 1);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, KEEPER, STRANGER), VERDICT_NOT_ENTITLED);
    SAY(n->p, &n->last, &s, KEEPER);
    n->last.bytes[n->last.s.len - 1] ^= 1;
    assert_int_equal(apply_now(n), VERDICT_BAD_SIGNATURE);
}

static void a_device_joins_once(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite(n, 1);
    assert_true(is_open(n, &d));
    assert_false(is_live(n, &d));
    assert_int_equal(d.state, DEVICE_INVITED);
    assert_int_equal(join(n, &d, 1, 1), VERDICT_STANDS);
    struct said first = n->last;
    assert_false(is_open(n, &d));
    assert_true(is_live(n, &d));
    assert_int_equal(join(n, &d, 1, 2), VERDICT_USED);
    assert_int_equal(join(n, &d, 1, 1), VERDICT_ALREADY);
    const struct fold_device *now = fold_device_by_signing_key(n->f, n->p->keys[DEVICES + 1]);
    assert_ptr_equal(now, fold_device_by_static_key(n->f, first.s.join.static_public));
    assert_ptr_equal(now, fold_device_by_invite_static_key(n->f, d.terms.static_public));
    assert_memory_equal(now->join, first.s.hash, SHA256_SIZE);
    assert_int_equal(now->joined_at, 2);
    assert_memory_equal(now->admitted_by, n->p->keys[KEEPER], ED25519_PUBLIC_SIZE);
}

static void a_join_needs_both_keys(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite(n, 1);
    struct statement s = join_of(n, &d, 1);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 1), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, DEVICES + 1), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 2, DEVICES + 1), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 1, DEVICES + 1, STRANGER), VERDICT_NOT_ENTITLED);
    s.join.invite[31] ^= 1;
    assert_int_equal(SAY_NOW(n, &s, INVITES + 1, DEVICES + 1), VERDICT_UNKNOWN_INVITE);
}

static void a_late_join_is_void(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite(n, 1), e = invite(n, 2);
    struct statement s = join_of(n, &d, 1);
    assert_true(fold_invite_is_open(n->f, fold_device_by_id(n->f, &d.id), NOW + 100));
    assert_false(fold_invite_is_open(n->f, fold_device_by_id(n->f, &d.id), NOW + 101));
    SAY(n->p, &n->last, &s, INVITES + 1, DEVICES + 1);
    assert_int_equal(apply_at(n, NOW + 100), VERDICT_STANDS);
    s = join_of(n, &e, 2);
    SAY(n->p, &n->last, &s, INVITES + 2, DEVICES + 2);
    assert_int_equal(apply_at(n, NOW + 101), VERDICT_LATE);
    s = join_of(n, &d, 1);
    SAY(n->p, &n->last, &s, INVITES + 1, DEVICES + 1);
    assert_int_equal(apply_at(n, NOW + 101), VERDICT_ALREADY);
}

static void no_key_is_ever_anothers(void **state)
{
    struct network *n = *state;
    struct fold_device a = invite_and_join(n, 1), b = invite(n, 2);
    struct statement s = join_of(n, &b, 2);
    memcpy(s.join.static_public, a.static_public, X25519_SIZE);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 2, DEVICES + 2), VERDICT_KEY_TAKEN);
    memcpy(s.join.static_public, a.terms.static_public, X25519_SIZE);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 2, DEVICES + 2), VERDICT_KEY_TAKEN);
    memcpy(s.join.static_public, b.terms.static_public, X25519_SIZE);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 2, DEVICES + 2), VERDICT_KEY_TAKEN);
    s = join_of(n, &b, 1);
    static_key(s.join.static_public, 7);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 2, DEVICES + 1), VERDICT_KEY_TAKEN);
    s = join_of(n, &b, 2);
    memcpy(s.join.signing_public, n->p->keys[INVITES + 1], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 2, INVITES + 1), VERDICT_KEY_TAKEN);
    s = invite_of(n, 3);
    memcpy(s.invite.static_public, a.static_public, X25519_SIZE);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_KEY_TAKEN);
    memcpy(s.invite.static_public, a.terms.static_public, X25519_SIZE);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_INVITE_EXISTS);
    s = invite_of(n, 3);
    memcpy(s.invite.signing_public, n->p->keys[INVITES + 1], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_INVITE_EXISTS);
    memcpy(s.invite.signing_public, n->p->keys[DEVICES + 1], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_KEY_TAKEN);
}

static void an_invite_is_taken_back_before_it_is_used(void **state)
{
    struct network *n = *state;
    struct fold_device a = invite(n, 1), b = invite_and_join(n, 2);
    assert_int_equal(do_about(n, STATEMENT_UNINVITE, &a), VERDICT_STANDS);
    assert_false(is_open(n, &a));
    assert_int_equal(do_about(n, STATEMENT_UNINVITE, &a), VERDICT_ALREADY);
    assert_int_equal(join(n, &a, 1, 1), VERDICT_UNINVITED);
    assert_int_equal(do_about(n, STATEMENT_UNINVITE, &b), VERDICT_USED);
    assert_true(is_live(n, &b));
}

static void revocation_is_for_good_before_and_after_the_join(void **state)
{
    struct network *n = *state;
    struct fold_device a = invite(n, 1), b = invite_and_join(n, 2);
    assert_int_equal(do_about(n, STATEMENT_REVOKE, &a), VERDICT_STANDS);
    assert_int_equal(join(n, &a, 1, 1), VERDICT_REVOKED);
    assert_int_equal(do_about(n, STATEMENT_REVOKE, &b), VERDICT_STANDS);
    assert_int_equal(do_about(n, STATEMENT_REVOKE, &b), VERDICT_ALREADY);
    assert_false(is_live(n, &b));
    assert_int_equal(join(n, &b, 2, 2), VERDICT_REVOKED);
    assert_int_equal(do_about(n, STATEMENT_ISOLATE, &b), VERDICT_REVOKED);
    assert_int_equal(do_about(n, STATEMENT_UNINVITE, &b), VERDICT_REVOKED);
    struct fold_device c = invite(n, 3);
    assert_int_equal(join(n, &c, 3, 2), VERDICT_KEY_TAKEN);
}

static void isolations_are_lifted_by_name_and_never_come_back(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite_and_join(n, 1);
    uint8_t hashes[2][SHA256_SIZE], found[2][SHA256_SIZE];
    struct said first;
    assert_int_equal(do_about(n, STATEMENT_ISOLATE, &d), VERDICT_STANDS);
    first = n->last;
    memcpy(hashes[0], first.s.hash, SHA256_SIZE);
    assert_int_equal(do_about(n, STATEMENT_ISOLATE, &d), VERDICT_STANDS);
    memcpy(hashes[1], n->last.s.hash, SHA256_SIZE);
    assert_false(is_live(n, &d));
    assert_int_equal(fold_isolations(n->f, &d.id, found, 2), 2);
    assert_memory_equal(found, hashes, sizeof(found));
    struct statement s = of(n, STATEMENT_RESTORE);
    s.restore.count = 1;
    memcpy(s.restore.isolates[0], hashes[0], SHA256_SIZE);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_STANDS);
    assert_false(is_live(n, &d));
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_NOTHING_TO_RESTORE);
    memcpy(s.restore.isolates[0], hashes[1], SHA256_SIZE);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_STANDS);
    assert_true(is_live(n, &d));
    n->last = first;
    assert_int_equal(statement_decode(n->p->c, &n->last.s, n->last.bytes, first.s.len), 0);
    assert_int_equal(apply_now(n), VERDICT_ALREADY);
    enum fold_verdict verdict;
    assert_int_equal(fold_take_away(n->f, &n->last.s, &verdict), 0);
    assert_int_equal(verdict, VERDICT_ALREADY);
    assert_true(is_live(n, &d));
    assert_int_equal(fold_isolations(n->f, &d.id, found, 2), 0);
}

static enum fold_verdict rotate(struct network *n, const struct fold_device *d, uint64_t number, uint32_t key,
                                uint32_t signer)
{
    struct statement s = of(n, STATEMENT_ROTATE);
    memcpy(s.rotate.invite, d->invite, SHA256_SIZE);
    s.rotate.number = number;
    static_key(s.rotate.static_public, key);
    return SAY_NOW(n, &s, signer);
}

static void a_device_changes_its_own_static_key_and_no_earlier_one_comes_later(void **state)
{
    struct network *n = *state;
    struct fold_device a = invite_and_join(n, 1), b = invite_and_join(n, 2), c = invite(n, 3);
    assert_int_equal(rotate(n, &c, 1, 50, DEVICES + 3), VERDICT_NOT_JOINED);
    assert_int_equal(rotate(n, &a, 1, 50, DEVICES + 2), VERDICT_NOT_ENTITLED);
    assert_int_equal(rotate(n, &a, 1, 50, INVITES + 1), VERDICT_NOT_ENTITLED);
    assert_int_equal(rotate(n, &a, 2, 50, DEVICES + 1), VERDICT_STANDS);
    assert_int_equal(rotate(n, &a, 2, 50, DEVICES + 1), VERDICT_ALREADY);
    assert_int_equal(rotate(n, &a, 2, 51, DEVICES + 1), VERDICT_OLD_NUMBER);
    assert_int_equal(rotate(n, &a, 1, 51, DEVICES + 1), VERDICT_OLD_NUMBER);
    assert_int_equal(rotate(n, &b, 1, 50, DEVICES + 2), VERDICT_KEY_TAKEN);
    assert_int_equal(rotate(n, &b, 1, INVITES + 3, DEVICES + 2), VERDICT_KEY_TAKEN);
    uint8_t key[X25519_SIZE];
    static_key(key, 50);
    assert_memory_equal(&fold_device_by_static_key(n->f, key)->id, &a.id, sizeof(a.id));
    assert_null(fold_device_by_static_key(n->f, a.static_public));
    assert_int_equal(rotate(n, &b, 1, DEVICES + 1, DEVICES + 2), VERDICT_STANDS);
    assert_int_equal(join(n, &a, 1, 1), VERDICT_ALREADY);
}

static enum fold_verdict publish(struct network *n, uint64_t version, const uint8_t against[SHA256_SIZE],
                                 const struct policy_change *changes, uint32_t count)
{
    uint8_t bytes[8 * POLICY_CHANGE_SIZE];
    struct statement s = of(n, STATEMENT_POLICY);
    s.policy.version = version;
    memcpy(s.policy.against, against, SHA256_SIZE);
    s.policy.change_count = count;
    s.policy.changes = bytes;
    for (uint32_t i = 0; i < count; i++)
        statement_policy_change_put(bytes + (size_t)i * POLICY_CHANGE_SIZE, &changes[i]);
    return SAY_NOW(n, &s, KEEPER);
}

static void a_policy_is_written_against_the_latest(void **state)
{
    struct network *n = *state;
    uint8_t none[SHA256_SIZE] = {0}, first[SHA256_SIZE], commitment[SHA256_SIZE];
    struct policy_change changes[] = {{{{0}}, false, {1}}, {{{7}}, false, {2}}};
    assert_int_equal(publish(n, 2, none, changes, 2), VERDICT_OLD_POLICY);
    assert_int_equal(publish(n, 1, none, changes, 2), VERDICT_STANDS);
    assert_int_equal(apply_now(n), VERDICT_ALREADY);
    fold_policy_hash(n->f, first);
    assert_memory_equal(first, n->last.s.hash, SHA256_SIZE);
    assert_int_equal(fold_policy_version(n->f), 1);
    assert_int_equal(fold_policy_time(n->f), NOW);
    assert_true(fold_subject(n->f, &changes[1].subject, commitment));
    assert_int_equal(commitment[0], 2);
    assert_int_equal(publish(n, 2, none, changes, 1), VERDICT_OLD_POLICY);
    changes[1].gone = true;
    assert_int_equal(publish(n, 2, first, changes + 1, 1), VERDICT_STANDS);
    assert_false(fold_subject(n->f, &changes[1].subject, commitment));
    assert_true(fold_subject(n->f, &changes[0].subject, commitment));
    assert_int_equal(fold_subject_count(n->f), 2);
}

static void releases_only_advance(void **state)
{
    struct network *n = *state;
    struct statement s = of(n, STATEMENT_RELEASE);
    struct statement_release release;
    assert_false(fold_release(n->f, &release));
    s.release.version = 2;
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_STANDS);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_ALREADY);
    s.release.hash[0] = 1;
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_OLD_NUMBER);
    s.release.version = 3;
    assert_int_equal(SAY_NOW(n, &s, STRANGER), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_STANDS);
    assert_true(fold_release(n->f, &release));
    assert_int_equal(release.version, 3);
}

/* The root in force with one more version. */
static struct statement next_root(const struct network *n)
{
    struct statement s = of(n, STATEMENT_ROOT);
    s.root = *fold_latest_root(n->f);
    s.root.version++;
    s.root.founds = s.root.replaces = false;
    return s;
}

static void a_new_root_is_signed_by_enough_of_both(void **state)
{
    struct network *n = *state;
    struct statement s = next_root(n);
    s.root.owner_count = s.root.threshold = 2;
    memcpy(s.root.owners[1], n->p->keys[SECOND_OWNER], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, OWNER, SECOND_OWNER, STRANGER), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, OWNER, SECOND_OWNER), VERDICT_STANDS);
    assert_int_equal(apply_now(n), VERDICT_ALREADY);
    s = next_root(n);
    s.root.owner_count = s.root.threshold = 1;
    memcpy(s.root.owners[0], n->p->keys[STRANGER], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, STRANGER), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, OWNER, SECOND_OWNER), VERDICT_NOT_ENTITLED);
    s.root.version++;
    assert_int_equal(SAY_NOW(n, &s, OWNER, SECOND_OWNER, STRANGER), VERDICT_OLD_ROOT);
    s.root.version--;
    assert_int_equal(SAY_NOW(n, &s, OWNER, SECOND_OWNER, STRANGER), VERDICT_STANDS);
    assert_int_equal(fold_latest_root(n->f)->version, 3);
}

static void what_a_key_signed_stands_after_it_is_removed(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite(n, 1);
    struct statement s = next_root(n);
    memcpy(s.root.roles[0].key, n->p->keys[STRANGER], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    assert_int_equal(join(n, &d, 1, 1), VERDICT_STANDS);
    s = invite_of(n, 2);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_NOT_ENTITLED);
    assert_int_equal(SAY_NOW(n, &s, STRANGER), VERDICT_STANDS);
}

static void the_founding_join_alone_brings_the_first_sequencer(void **state)
{
    struct network *n = *state;
    struct statement s = simple_root(n->p, OWNER, KEEPER, SEQUENCER);
    s.root.sequencer_count = 0;
    s.root.founds = true;
    memcpy(s.root.founding_invite, n->p->keys[INVITES + 1], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    s = next_root(n);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_CONTRADICTS_ITSELF);
    struct fold_device hub = invite(n, 1), other = invite(n, 2);
    assert_int_equal(join(n, &hub, 1, 1), VERDICT_CONTRADICTS_ITSELF);
    s = join_of(n, &other, 2);
    s.join.sequences = true;
    memcpy(s.join.sequencer, n->p->keys[HUB_SEQUENCER], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, INVITES + 2, DEVICES + 2), VERDICT_CONTRADICTS_ITSELF);
    memcpy(s.join.invite, hub.invite, SHA256_SIZE);
    assert_false(fold_sequences(n->f, n->p->keys[HUB_SEQUENCER]));
    assert_int_equal(SAY_NOW(n, &s, INVITES + 1, DEVICES + 2), VERDICT_STANDS);
    assert_true(fold_sequences(n->f, n->p->keys[HUB_SEQUENCER]));
    s = next_root(n);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    assert_true(fold_sequences(n->f, n->p->keys[HUB_SEQUENCER]));
    s = next_root(n);
    s.root.sequencer_count = 1;
    memcpy(s.root.sequencers[0], n->p->keys[SEQUENCER], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    assert_false(fold_sequences(n->f, n->p->keys[HUB_SEQUENCER]));
}

static void a_root_that_replaces_sequencers_takes_the_place_after_the_entry_it_names(void **state)
{
    struct network *n = *state;
    (void)invite(n, 1);
    struct statement s = next_root(n);
    s.root.replaces = true;
    s.root.last.index = fold_head(n->f)->index;
    memcpy(s.root.last.hash, fold_head(n->f)->hash, SHA256_SIZE);
    fold_root(n->f, s.root.last.fold_root);
    s.root.time = NOW + 7;
    memcpy(s.root.sequencers[0], n->p->keys[HUB_SEQUENCER], ED25519_PUBLIC_SIZE);
    struct said replacing;
    SAY(n->p, &replacing, &s, OWNER);
    struct fold *rebuilt;
    int64_t size = fold_save(n->f, NULL, 0);
    uint8_t *bytes = malloc((size_t)size);
    assert_int_equal(fold_save(n->f, bytes, (size_t)size), size);
    assert_int_equal(fold_load(&rebuilt, n->p->c, bytes, (size_t)size), 0);
    free(bytes);
    (void)invite(n, 2);
    assert_true(fold_replaces(n->f, &replacing.s));
    assert_int_equal(fold_judge(n->f, &replacing.s, NOW), VERDICT_WRONG_PLACE);
    enum fold_verdict verdict;
    assert_int_equal(fold_apply(rebuilt, &replacing.s, NOW, &verdict), 0);
    assert_int_equal(verdict, VERDICT_STANDS);
    assert_int_equal(fold_head(rebuilt)->time, NOW + 7); /* no sequencer chose it */
    assert_true(fold_sequences(rebuilt, n->p->keys[HUB_SEQUENCER]));
    assert_false(fold_sequences(rebuilt, n->p->keys[SEQUENCER]));
    assert_false(fold_replaces(rebuilt, &replacing.s));
    fold_free(rebuilt);
    SAY(n->p, &replacing, &s, STRANGER);
    assert_false(fold_replaces(n->f, &replacing.s));
}

static void a_take_away_counts_before_it_is_sequenced(void **state)
{
    struct network *n = *state;
    struct fold_device a = invite_and_join(n, 1), b = invite(n, 2);
    uint8_t before[SHA256_SIZE], after[SHA256_SIZE];
    enum fold_verdict verdict;
    fold_root(n->f, before);
    struct statement s = about(n, STATEMENT_ISOLATE, &a);
    SAY(n->p, &n->last, &s, STRANGER);
    assert_int_equal(fold_take_away(n->f, &n->last.s, &verdict), 0);
    assert_int_equal(verdict, VERDICT_NOT_ENTITLED);
    SAY(n->p, &n->last, &s, KEEPER);
    assert_int_equal(fold_take_away(n->f, &n->last.s, &verdict), 0);
    assert_int_equal(verdict, VERDICT_STANDS);
    assert_int_equal(fold_take_away(n->f, &n->last.s, &verdict), 0);
    assert_int_equal(verdict, VERDICT_ALREADY);
    assert_false(is_live(n, &a));
    fold_root(n->f, after);
    assert_memory_equal(before, after, SHA256_SIZE);
    assert_int_equal(apply_now(n), VERDICT_STANDS);
    assert_false(is_live(n, &a));
    s = of(n, STATEMENT_RESTORE);
    s.restore.count = 1;
    memcpy(s.restore.isolates[0], n->last.s.hash, SHA256_SIZE);
    assert_int_equal(SAY_NOW(n, &s, KEEPER), VERDICT_STANDS);
    assert_true(is_live(n, &a));
    s = about(n, STATEMENT_UNINVITE, &b);
    SAY(n->p, &n->last, &s, KEEPER);
    assert_int_equal(fold_take_away(n->f, &n->last.s, &verdict), 0);
    assert_int_equal(verdict, VERDICT_STANDS);
    assert_false(is_open(n, &b));
    assert_int_equal(fold_device_by_id(n->f, &b.id)->state, DEVICE_INVITED);
    assert_int_equal(join(n, &b, 2, 2), VERDICT_STANDS);
    assert_true(is_live(n, &b));
}

static void a_take_away_that_waits_falls_with_its_signer(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite_and_join(n, 1);
    enum fold_verdict verdict;
    struct statement s = about(n, STATEMENT_REVOKE, &d);
    SAY(n->p, &n->last, &s, KEEPER);
    struct said revoke = n->last;
    assert_int_equal(statement_decode(n->p->c, &revoke.s, revoke.bytes, n->last.s.len), 0);
    assert_int_equal(fold_take_away(n->f, &revoke.s, &verdict), 0);
    assert_false(is_live(n, &d));
    s = next_root(n);
    memcpy(s.root.roles[0].key, n->p->keys[STRANGER], ED25519_PUBLIC_SIZE);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    assert_true(is_live(n, &d));
    assert_int_equal(fold_take_away(n->f, &revoke.s, &verdict), 0);
    assert_int_equal(verdict, VERDICT_NOT_ENTITLED);
}

static void entries_judged_before_are_trusted_but_must_be_possible(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite_and_join(n, 1);
    struct statement s = about(n, STATEMENT_REVOKE, &d);
    uint8_t before[SHA256_SIZE], after[SHA256_SIZE];
    fold_root(n->f, before);
    SAY(n->p, &n->last, &s, KEEPER);
    n->last.bytes[n->last.s.len - 1] ^= 1; /* nobody looks */
    assert_int_equal(fold_apply_trusted(n->f, &n->last.s, NOW, VERDICT_REVOKED), 0);
    fold_root(n->f, after);
    assert_memory_equal(before, after, SHA256_SIZE);
    assert_int_equal(fold_apply_trusted(n->f, &n->last.s, NOW, VERDICT_STANDS), 0);
    assert_int_equal(fold_device_by_id(n->f, &d.id)->state, DEVICE_REVOKED);
    assert_int_equal(fold_apply_trusted(n->f, &n->last.s, NOW, VERDICT_STANDS), ERROR_INVALID);
}

static void the_admitting_scope_is_remembered(void **state)
{
    struct network *n = *state;
    struct statement s = next_root(n);
    s.root.roles[0].scoped = true;
    memset(s.root.roles[0].scope, 9, SHA256_SIZE);
    assert_int_equal(SAY_NOW(n, &s, OWNER), VERDICT_STANDS);
    struct fold_device d = invite(n, 1);
    assert_memory_equal(d.admitted_scope, s.root.roles[0].scope, SHA256_SIZE);
}

/* Every byte of a saved fold matters: none can be changed without the load or the root telling. */
static void a_saved_fold_that_was_altered_is_refused_or_has_another_root(void **state)
{
    struct network *n = *state;
    struct fold_device d = invite_and_join(n, 1);
    struct policy_change change = {{{7}}, false, {2}};
    uint8_t none[SHA256_SIZE] = {0}, right[SHA256_SIZE], root[SHA256_SIZE];
    assert_int_equal(do_about(n, STATEMENT_ISOLATE, &d), VERDICT_STANDS);
    assert_int_equal(publish(n, 1, none, &change, 1), VERDICT_STANDS);
    size_t size = (size_t)fold_save(n->f, NULL, 0);
    uint8_t *bytes = malloc(size + 1);
    assert_int_equal(fold_save(n->f, bytes, size), size);
    fold_root(n->f, right);
    for (size_t i = 0; i < size * 8; i++) {
        struct fold *again = NULL;
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        if (!fold_load(&again, n->p->c, bytes, size)) {
            fold_root(again, root);
            assert_true(memcmp(root, right, SHA256_SIZE) != 0 ||
                        memcmp(fold_head(again), fold_head(n->f), sizeof(struct head)) != 0);
            fold_free(again);
        }
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t len = 0; len < size; len++) {
        struct fold *again;
        uint8_t *cut = malloc(len + 1);
        memcpy(cut, bytes, len);
        assert_int_equal(fold_load(&again, n->p->c, cut, len), ERROR_MALFORMED);
        free(cut);
    }
    struct fold *again;
    bytes[size] = 0;
    assert_int_equal(fold_load(&again, n->p->c, bytes, size + 1), ERROR_MALFORMED);
    free(bytes);
}

static void every_verdict_has_a_sentence(void **state)
{
    (void)state;
    for (int v = 0; v < VERDICT_COUNT; v++)
        assert_true(strlen(fold_verdict_sentence((enum fold_verdict)v)) > 0);
    assert_non_null(fold_verdict_sentence(VERDICT_COUNT));
}

#define FOLD_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_entry_is_a_first_root_and_its_hash_the_network, begin_empty, end),
        cmocka_unit_test_setup_teardown(a_first_root_founds_or_lists_sequencers_and_never_both, begin_empty, end),
        cmocka_unit_test_setup_teardown(the_founding_join_alone_brings_the_first_sequencer, begin_empty, end),
        FOLD_TEST(time_never_decreases),
        FOLD_TEST(a_void_entry_extends_the_chain_alone),
        FOLD_TEST(statements_of_another_network_are_void),
        FOLD_TEST(each_signature_must_hold_and_be_of_one_who_may),
        FOLD_TEST(a_device_joins_once),
        FOLD_TEST(a_join_needs_both_keys),
        FOLD_TEST(a_late_join_is_void),
        FOLD_TEST(no_key_is_ever_anothers),
        FOLD_TEST(an_invite_is_taken_back_before_it_is_used),
        FOLD_TEST(revocation_is_for_good_before_and_after_the_join),
        FOLD_TEST(isolations_are_lifted_by_name_and_never_come_back),
        FOLD_TEST(a_device_changes_its_own_static_key_and_no_earlier_one_comes_later),
        FOLD_TEST(a_policy_is_written_against_the_latest),
        FOLD_TEST(releases_only_advance),
        FOLD_TEST(a_new_root_is_signed_by_enough_of_both),
        FOLD_TEST(what_a_key_signed_stands_after_it_is_removed),
        FOLD_TEST(a_root_that_replaces_sequencers_takes_the_place_after_the_entry_it_names),
        FOLD_TEST(a_take_away_counts_before_it_is_sequenced),
        FOLD_TEST(a_take_away_that_waits_falls_with_its_signer),
        FOLD_TEST(entries_judged_before_are_trusted_but_must_be_possible),
        FOLD_TEST(the_admitting_scope_is_remembered),
        FOLD_TEST(a_saved_fold_that_was_altered_is_refused_or_has_another_root),
        cmocka_unit_test(every_verdict_has_a_sentence),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
