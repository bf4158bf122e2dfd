/* Random histories, right and wrong statements mixed, told to the fold and to its slow model alike. More of them:
 * HISTORIES=5000 test-ledger-histories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "base/bytes.h"
#include "model.h"

#define HISTORIES 250
#define STEPS 70
#define TAKE_AWAYS 16
#define START UINT64_C(1000)

/* Numbers of people: few, so that they meet. */
enum { OWNERS = 0, ROLES = 4, SEQUENCERS = 9, INVITES = 12, DEVICES = 22, EVERYBODY = 30 };
#define STATIC_KEYS 20
#define SUBJECTS 6

struct history {
    struct people *p;
    uint64_t random;
    struct fold *f;
    struct model *m;
    uint64_t time;
    uint32_t count;
    struct said said[STEPS]; /* all entries */
    uint32_t aside_count;
    struct said aside[TAKE_AWAYS]; /* that came before they were sequenced, if ever */
    enum fold_verdict verdicts[STEPS];
    uint64_t times[STEPS];
};

static uint32_t below(struct history *h, uint32_t limit)
{
    return random_below(&h->random, limit);
}

static bool chance(struct history *h, uint32_t percent)
{
    return below(h, 100) < percent;
}

struct signers {
    uint32_t count;
    uint32_t who[STATEMENT_SIGNATURES_MAX];
};

static void add_signer(struct signers *signers, uint32_t who)
{
    for (uint32_t i = 0; i < signers->count; i++)
        if (signers->who[i] == who)
            return;
    if (signers->count < STATEMENT_SIGNATURES_MAX)
        signers->who[signers->count++] = who;
}

static uint32_t person(const struct history *h, const uint8_t *key)
{
    for (uint32_t i = 0; i < EVERYBODY; i++)
        if (memcmp(h->p->keys[i], key, ED25519_PUBLIC_SIZE) == 0)
            return i;
    return EVERYBODY - 1;
}

/* A role key of the root in force, that may say this more often than not. */
static void sign_by_role(struct history *h, struct signers *signers, uint8_t roles)
{
    const struct statement_root *root = model_root(h->m);
    for (uint32_t tries = 0; tries < 12; tries++) {
        const struct root_role *role = &root->roles[below(h, root->role_count)];
        if (role->roles & roles) {
            add_signer(signers, person(h, role->key));
            return;
        }
    }
    add_signer(signers, ROLES + below(h, 5));
}

static void key_of(const struct history *h, uint8_t *out, uint32_t who)
{
    memcpy(out, h->p->keys[who], ED25519_PUBLIC_SIZE);
}

/* Distinct people out of `among`, from `first` on. */
static uint32_t some_keys(struct history *h, uint8_t (*out)[ED25519_PUBLIC_SIZE], uint32_t first, uint32_t among,
                          uint32_t least)
{
    uint32_t count = 0, offset = below(h, among), wanted = least + below(h, among - least + 1);
    for (; count < wanted && count < among; count++)
        key_of(h, out[count], first + (offset + count) % among);
    return count;
}

static void some_roles(struct history *h, struct statement_root *r)
{
    uint32_t offset = below(h, 5);
    r->role_count = 1 + below(h, 5);
    memset(r->roles, 0, sizeof(r->roles));
    for (uint32_t i = 0; i < r->role_count; i++) {
        key_of(h, r->roles[i].key, ROLES + (offset + i) % 5);
        r->roles[i].roles = (uint8_t)(chance(h, 50) ? 15 : 1 + below(h, 15));
        r->roles[i].scoped = chance(h, 30);
        if (r->roles[i].scoped)
            memset(r->roles[i].scope, (int)below(h, 200), SHA256_SIZE);
    }
}

static void some_owners(struct history *h, struct statement_root *r)
{
    memset(r->owners, 0, sizeof(r->owners));
    r->owner_count = some_keys(h, r->owners, OWNERS, 4, 2);
    r->threshold = (uint8_t)(chance(h, 90) ? 1 + below(h, r->owner_count) : 1 + below(h, 5));
}

static void all_owners_sign(struct history *h, struct signers *signers, const struct statement_root *r)
{
    for (uint32_t i = 0; i < r->owner_count; i++)
        if (chance(h, 95))
            add_signer(signers, person(h, r->owners[i]));
}

static struct statement first_root(struct history *h, struct signers *signers)
{
    struct statement s = {.kind = STATEMENT_ROOT};
    s.root.version = 1;
    s.root.time = START;
    some_owners(h, &s.root);
    some_roles(h, &s.root);
    s.root.founds = chance(h, 70);
    if (s.root.founds)
        key_of(h, s.root.founding_invite, INVITES + below(h, 10));
    if (s.root.founds == chance(h, 5))
        s.root.sequencer_count = some_keys(h, s.root.sequencers, SEQUENCERS, 3, 1);
    all_owners_sign(h, signers, &s.root);
    return s;
}

static void make_root(struct history *h, struct statement *s, struct signers *signers)
{
    s->root = *model_root(h->m);
    s->root.version += chance(h, 92) ? 1 : below(h, 3);
    s->root.founds = chance(h, 3);
    s->root.replaces = chance(h, 25);
    memset(&s->root.last, 0, sizeof(s->root.last));
    memset(s->root.founding_invite, 0, sizeof(s->root.founding_invite));
    if (s->root.replaces) {
        s->root.last.index = h->m->head.index - chance(h, 10);
        memcpy(s->root.last.hash, h->m->head.hash, SHA256_SIZE);
        s->root.time = h->m->head.time + below(h, 4) - chance(h, 5);
        model_merkle_root(h->m, s->root.last.fold_root);
        s->root.last.fold_root[3] ^= chance(h, 10);
    }
    if (s->root.version == 1 && h->m->count > 0)
        memset(&s->network, 0, sizeof(s->network));
    if (chance(h, 50))
        some_owners(h, &s->root);
    if (chance(h, 50))
        some_roles(h, &s->root);
    if (chance(h, 60)) {
        memset(s->root.sequencers, 0, sizeof(s->root.sequencers));
        s->root.sequencer_count = some_keys(h, s->root.sequencers, SEQUENCERS, 3, chance(h, 90));
    }
    all_owners_sign(h, signers, model_root(h->m));
    all_owners_sign(h, signers, &s->root);
}

static void make_invite(struct history *h, struct statement *s, struct signers *signers)
{
    key_of(h, s->invite.signing_public, (chance(h, 95) ? INVITES : DEVICES) + below(h, 8));
    static_key(s->invite.static_public, below(h, STATIC_KEYS));
    s->invite.join_before = chance(h, 80) ? h->time + 20 : h->time - below(h, 3);
    s->invite.member_until = chance(h, 50) ? h->time + below(h, 1000) + 1 : 0;
    s->invite.commitment[0] = (uint8_t)below(h, 256);
    sign_by_role(h, signers, ROLE_ADMISSION);
}

/* An invite of the ledger's, mostly. */
static bool some_device(struct history *h, struct fold_device *out)
{
    uint32_t count = model_device_count(h->m);
    memset(out, 0, sizeof(*out));
    if (count == 0 || chance(h, 3))
        return false;
    model_device(h->m, below(h, count), out);
    return true;
}

static void make_join(struct history *h, struct statement *s, struct signers *signers)
{
    struct fold_device d;
    (void)some_device(h, &d);
    memcpy(s->join.invite, d.invite, SHA256_SIZE);
    uint32_t who = chance(h, 97) ? DEVICES + below(h, 8) : person(h, d.terms.signing_public);
    key_of(h, s->join.signing_public, who);
    static_key(s->join.static_public, below(h, STATIC_KEYS));
    if (d.state == DEVICE_JOINED && chance(h, 50)) {
        memcpy(s->join.signing_public, d.signing_public, ED25519_PUBLIC_SIZE);
        memcpy(s->join.static_public, d.static_public, X25519_SIZE);
    }
    const struct statement_root *root = model_root(h->m);
    bool founding = root->founds && memcmp(root->founding_invite, d.terms.signing_public, 32) == 0;
    s->join.sequences = founding != chance(h, 4);
    if (s->join.sequences)
        key_of(h, s->join.sequencer, SEQUENCERS + below(h, 3));
    add_signer(signers, person(h, s->join.signing_public));
    add_signer(signers, person(h, d.terms.signing_public));
}

static void make_rotate(struct history *h, struct statement *s, struct signers *signers)
{
    struct fold_device d;
    (void)some_device(h, &d);
    memcpy(s->rotate.invite, d.invite, SHA256_SIZE);
    s->rotate.number = d.rotate_number + below(h, 3);
    s->rotate.number += s->rotate.number == 0;
    static_key(s->rotate.static_public, below(h, STATIC_KEYS));
    if (chance(h, 20))
        memcpy(s->rotate.static_public, d.static_public, X25519_SIZE);
    add_signer(signers, person(h, d.signing_public));
}

static uint8_t changes[SUBJECTS * POLICY_CHANGE_SIZE];

static void make_policy(struct history *h, struct statement *s, struct signers *signers)
{
    const struct fact *latest = model_latest(h->m, STATEMENT_POLICY);
    s->policy.version = (latest ? latest->s.policy.version : 0) + 1 + chance(h, 5);
    if (latest && !chance(h, 5))
        memcpy(s->policy.against, latest->s.hash, SHA256_SIZE);
    s->policy.changes = changes;
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        struct policy_change change = {.subject = {{(uint8_t)(i * 40)}}, .gone = chance(h, 30)};
        if (!change.gone)
            change.commitment[0] = (uint8_t)below(h, 256);
        if (chance(h, 40))
            statement_policy_change_put(changes + (size_t)s->policy.change_count++ * POLICY_CHANGE_SIZE, &change);
    }
    sign_by_role(h, signers, ROLE_POLICY);
    if (chance(h, 30))
        sign_by_role(h, signers, ROLE_POLICY);
}

static void make_about(struct history *h, struct statement *s, struct signers *signers)
{
    struct fold_device d;
    (void)some_device(h, &d);
    memcpy(s->about.invite, d.invite, SHA256_SIZE);
    s->about.nonce[0] = (uint8_t)below(h, 4);
    sign_by_role(h, signers, s->kind == STATEMENT_UNINVITE ? ROLE_ADMISSION : ROLE_SAFETY | ROLE_POLICY);
}

/* Of one device's isolations, or of nothing. */
static void make_restore(struct history *h, struct statement *s, struct signers *signers)
{
    uint8_t hashes[FACTS_MAX][SHA256_SIZE];
    struct fold_device d;
    uint32_t count = some_device(h, &d) ? model_isolations(h->m, &d, hashes) : 0;
    s->restore.count = 1;
    if (count > 0)
        memcpy(s->restore.isolates[0], hashes[below(h, count)], SHA256_SIZE);
    if (chance(h, 30))
        memset(s->restore.isolates[s->restore.count++], 0xff, SHA256_SIZE);
    sign_by_role(h, signers, ROLE_SAFETY | ROLE_POLICY);
}

static void make_release(struct history *h, struct statement *s, struct signers *signers)
{
    const struct fact *latest = model_latest(h->m, STATEMENT_RELEASE);
    s->release.version = (latest ? latest->s.release.version : 0) + below(h, 3);
    s->release.version += s->release.version == 0;
    s->release.hash[0] = (uint8_t)below(h, 256);
    sign_by_role(h, signers, ROLE_RELEASE);
}

static void (*const makers[])(struct history *, struct statement *, struct signers *) = {
    [STATEMENT_ROOT] = make_root,      [STATEMENT_INVITE] = make_invite, [STATEMENT_UNINVITE] = make_about,
    [STATEMENT_JOIN] = make_join,      [STATEMENT_ROTATE] = make_rotate, [STATEMENT_POLICY] = make_policy,
    [STATEMENT_REVOKE] = make_about,   [STATEMENT_ISOLATE] = make_about, [STATEMENT_RESTORE] = make_restore,
    [STATEMENT_RELEASE] = make_release};

static enum statement_kind some_kind(struct history *h)
{
    static const uint8_t weights[] = {0, 8, 22, 3, 30, 10, 8, 3, 8, 6, 3};
    uint32_t at = below(h, 101), kind = 1;
    while (kind < STATEMENT_RELEASE && at >= weights[kind])
        at -= weights[kind++];
    return (enum statement_kind)kind;
}

/* Signs it, or has somebody else sign; returns whether a signature was spoiled. */
static bool sign(struct history *h, struct said *out, const struct statement *s, struct signers *signers)
{
    if (chance(h, 3))
        add_signer(signers, below(h, EVERYBODY));
    if (chance(h, 3) || signers->count == 0)
        *signers = (struct signers){1, {below(h, EVERYBODY)}};
    say(h->p, out, s, signers->who, signers->count);
    bool forged = chance(h, 3);
    if (forged) /* of one of its signatures */
        ((uint8_t *)out->s.signatures[below(h, out->s.signature_count)].signature)[below(h, 64)] ^= 1;
    assert_int_equal(statement_decode(h->p->c, &out->s, out->bytes, out->s.len), 0);
    return forged;
}

/* The next statement, into its place; returns whether it is forged. */
static bool make(struct history *h, struct said *out)
{
    struct signers signers = {0};
    struct statement s = {.kind = some_kind(h)};
    if (h->m->count == 0) {
        s = first_root(h, &signers);
    } else {
        memcpy(s.network.bytes, h->m->facts[0].s.hash, SHA256_SIZE);
        s.network.bytes[5] ^= chance(h, 2);
        makers[s.kind](h, &s, &signers);
    }
    return sign(h, out, &s, &signers);
}

/* What was said before is said again, byte for byte. */
static bool repeat(struct history *h, struct said *out)
{
    const struct said *old =
        h->aside_count > 0 && chance(h, 50) ? &h->aside[below(h, h->aside_count)] : &h->said[below(h, h->count)];
    memcpy(out->bytes, old->bytes, old->s.len);
    assert_int_equal(statement_decode(h->p->c, &out->s, out->bytes, old->s.len), 0);
    for (uint32_t i = 0; i < out->s.signature_count; i++)
        if (statement_verify(h->p->c, &out->s, out->s.signatures[i].key))
            return true;
    return false;
}

static void compare_device(const struct history *h, uint32_t i)
{
    struct fold_device d;
    uint8_t expected[FACTS_MAX][SHA256_SIZE], found[FACTS_MAX][SHA256_SIZE];
    model_device(h->m, i, &d);
    const struct fold_device *is = fold_device_at(h->f, i);
    assert_memory_equal(&is->id, &d.id, sizeof(d.id));
    assert_memory_equal(is->invite, d.invite, SHA256_SIZE);
    assert_memory_equal(&is->terms, &d.terms, sizeof(d.terms));
    assert_memory_equal(is->admitted_by, d.admitted_by, ED25519_PUBLIC_SIZE);
    assert_memory_equal(is->admitted_scope, d.admitted_scope, SHA256_SIZE);
    assert_int_equal(is->state, d.state);
    assert_memory_equal(is->join, d.join, SHA256_SIZE);
    assert_memory_equal(is->signing_public, d.signing_public, ED25519_PUBLIC_SIZE);
    assert_memory_equal(is->static_public, d.static_public, X25519_SIZE);
    assert_int_equal(is->joined_at, d.joined_at);
    assert_int_equal(is->rotate_number, d.rotate_number);
    assert_int_equal(is->isolate_count, d.isolate_count);
    assert_ptr_equal(is, fold_device_by_id(h->f, &d.id));
    assert_ptr_equal(is, fold_device_by_invite(h->f, d.invite));
    assert_ptr_equal(is, fold_device_by_invite_static_key(h->f, d.terms.static_public));
    assert_int_equal(fold_device_is_live(h->f, is), model_is_live(h->m, &d));
    assert_int_equal(fold_invite_is_open(h->f, is, h->time), model_is_open(h->m, &d, h->time));
    uint32_t count = model_isolations(h->m, &d, expected);
    assert_int_equal(fold_isolations(h->f, &d.id, found, FACTS_MAX), count);
    if (count > 0)
        assert_memory_equal(found, expected, (size_t)count * SHA256_SIZE);
}

/* Whose a key is, by reading all devices. */
static const struct fold_device *holder(const struct history *h, const uint8_t *signing, const uint8_t *fixed)
{
    for (uint32_t i = 0; i < fold_device_count(h->f); i++) {
        struct fold_device d;
        model_device(h->m, i, &d);
        if (!is_zero(d.join, SHA256_SIZE) && ((signing && memcmp(d.signing_public, signing, 32) == 0) ||
                                              (fixed && memcmp(d.static_public, fixed, 32) == 0)))
            return fold_device_at(h->f, i);
    }
    return NULL;
}

static void compare_keys(const struct history *h)
{
    uint8_t key[X25519_SIZE];
    for (uint32_t i = 0; i < STATIC_KEYS; i++) {
        static_key(key, i);
        assert_ptr_equal(fold_device_by_static_key(h->f, key), holder(h, NULL, key));
    }
    for (uint32_t i = 0; i < EVERYBODY; i++) {
        assert_ptr_equal(fold_device_by_signing_key(h->f, h->p->keys[i]), holder(h, h->p->keys[i], NULL));
        assert_int_equal(fold_sequences(h->f, h->p->keys[i]), model_sequences(h->m, h->p->keys[i]));
    }
}

static void compare_policy(const struct history *h)
{
    const struct fact *latest = model_latest(h->m, STATEMENT_POLICY), *release = model_latest(h->m, STATEMENT_RELEASE);
    const uint8_t none[SHA256_SIZE] = {0};
    uint8_t hash[SHA256_SIZE], found[SHA256_SIZE], expected[SHA256_SIZE];
    struct statement_release in_force;
    fold_policy_hash(h->f, hash);
    assert_int_equal(fold_policy_version(h->f), latest ? latest->s.policy.version : 0);
    assert_int_equal(fold_policy_time(h->f), latest ? latest->time : 0);
    assert_memory_equal(hash, latest ? latest->s.hash : none, SHA256_SIZE);
    for (uint32_t i = 0; i < SUBJECTS + 1; i++) {
        struct subject s = {{(uint8_t)(i * 40)}};
        bool there = model_subject(h->m, &s, expected);
        assert_int_equal(fold_subject(h->f, &s, found), there);
        if (there)
            assert_memory_equal(found, expected, SHA256_SIZE);
    }
    assert_int_equal(fold_release(h->f, &in_force), release != NULL);
    if (release)
        assert_memory_equal(&in_force, &release->s.release, sizeof(in_force));
}

static void compare(const struct history *h)
{
    uint8_t root[SHA256_SIZE], expected[SHA256_SIZE];
    if (h->m->count == 0)
        return;
    fold_root(h->f, root);
    model_merkle_root(h->m, expected);
    assert_memory_equal(root, expected, SHA256_SIZE);
    assert_memory_equal(fold_head(h->f), &h->m->head, sizeof(h->m->head));
    assert_memory_equal(fold_network(h->f)->bytes, h->m->facts[0].s.hash, SHA256_SIZE);
    assert_memory_equal(fold_latest_root(h->f), model_root(h->m), sizeof(struct statement_root));
    assert_int_equal(fold_device_count(h->f), model_device_count(h->m));
    for (uint32_t i = 0; i < fold_device_count(h->f); i++)
        compare_device(h, i);
    compare_keys(h);
    compare_policy(h);
}

/* Goes on with what was saved and loaded; take-aways that wait are not part of that. */
static void save_and_load(struct history *h)
{
    int64_t size = fold_save(h->f, NULL, 0);
    assert_true(size > 0);
    uint8_t *bytes = malloc((size_t)size), *again = malloc((size_t)size);
    assert_int_equal(fold_save(h->f, bytes, (size_t)size), size);
    fold_free(h->f);
    assert_int_equal(fold_load(&h->f, h->p->c, bytes, (size_t)size), 0);
    assert_int_equal(fold_save(h->f, again, (size_t)size), size);
    assert_memory_equal(bytes, again, size);
    free(bytes);
    free(again);
    h->m->waiting_count = 0;
}

static void take_away(struct history *h)
{
    struct said *out = &h->aside[h->aside_count++];
    struct signers signers = {0};
    static const enum statement_kind kinds[] = {STATEMENT_REVOKE, STATEMENT_ISOLATE, STATEMENT_ISOLATE,
                                                STATEMENT_UNINVITE};
    struct statement s = {.kind = kinds[below(h, 4)]};
    enum fold_verdict verdict;
    memcpy(s.network.bytes, h->m->facts[0].s.hash, SHA256_SIZE);
    make_about(h, &s, &signers);
    bool forged = sign(h, out, &s, &signers);
    assert_int_equal(fold_take_away(h->f, &out->s, &verdict), 0);
    assert_int_equal(verdict, model_take_away(h->m, &out->s, forged));
}

static void apply(struct history *h, struct said *said, bool forged)
{
    enum fold_verdict verdict = VERDICT_COUNT, expected = model_judge(h->m, &said->s, h->time, forged);
    if (chance(h, 10))
        assert_int_equal(fold_judge(h->f, &said->s, h->time), expected);
    int error = fold_apply(h->f, &said->s, h->time, &verdict);
    assert_int_equal(verdict, expected);
    if (h->m->count == 0 && expected != VERDICT_STANDS) {
        assert_int_equal(error, ERROR_INVALID);
        return;
    }
    assert_int_equal(error, 0);
    model_apply(h->m, &said->s, h->time, verdict);
    h->time = fold_head(h->f)->time;
    h->verdicts[h->count] = verdict;
    h->times[h->count++] = h->time;
}

static void step(struct history *h)
{
    struct said *said = &h->said[h->count];
    h->time += below(h, 4);
    bool forged = h->count > 0 && chance(h, 8) ? repeat(h, said) : make(h, said);
    apply(h, said, forged);
    if (h->m->count > 0 && h->aside_count < TAKE_AWAYS && chance(h, 15))
        take_away(h);
    if (chance(h, 3) && h->m->count > 0)
        save_and_load(h);
    compare(h);
}

/* As a node does that kept its entries and verdicts. */
static void replay_trusted(struct history *h)
{
    struct fold *again;
    uint8_t a[SHA256_SIZE], b[SHA256_SIZE];
    assert_int_equal(fold_new(&again, h->p->c), 0);
    for (uint32_t i = 0; i < h->count; i++)
        assert_int_equal(fold_apply_trusted(again, &h->said[i].s, h->times[i], h->verdicts[i]), 0);
    fold_root(h->f, a);
    fold_root(again, b);
    assert_memory_equal(a, b, SHA256_SIZE);
    assert_memory_equal(fold_head(h->f), fold_head(again), sizeof(struct head));
    fold_free(again);
}

static void live(struct people *p, uint64_t seed, uint32_t *tally)
{
    struct history *h = calloc(1, sizeof(*h));
    h->p = p;
    h->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    h->time = START;
    h->m = calloc(1, sizeof(*h->m));
    h->m->c = p->c;
    assert_int_equal(fold_new(&h->f, p->c), 0);
    while (h->count < STEPS)
        step(h);
    replay_trusted(h);
    for (uint32_t i = 0; i < h->count; i++)
        tally[h->verdicts[i]]++;
    fold_free(h->f);
    free(h->m);
    free(h);
}

static void every_history_folds_as_its_slow_model_says(void **state)
{
    (void)state;
    struct people *p = people_new();
    uint32_t tally[VERDICT_COUNT] = {0};
    const char *more = getenv("HISTORIES");
    uint64_t count = more ? strtoull(more, NULL, 10) : HISTORIES;
    for (uint64_t seed = 1; seed <= count; seed++)
        live(p, seed, tally);
    /* All that a ledger can hold did happen. */
    for (int v = 0; v <= VERDICT_CONTRADICTS_ITSELF; v++) {
        print_message("# %u: %s\n", tally[v], fold_verdict_sentence((enum fold_verdict)v));
        assert_true(tally[v] > 0);
    }
    people_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_history_folds_as_its_slow_model_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
