#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "founding.h"
#include "ledger/sequencer.h"
#include "ledger/sync.h"

#define SECOND UINT64_C(1000000000)
#define KEPT_MAX 64
#define SENT_MAX 256

/* A sequencer whose store and sendings the test looks at. */
struct bench {
    struct crypto *crypto;
    struct founding founding;
    struct sequencer *sequencer;
    struct kept {
        struct sequencer_entry entry;
        struct sequencer_opening openings[64];
    } kept[KEPT_MAX];
    uint32_t kept_count;
    bool disk_full;
    uint8_t sent[SENT_MAX][FRAME_MAX];
    size_t sent_len[SENT_MAX];
    uint32_t sent_count;
    uint64_t wall, now;
};

static struct frame_view copy_of(struct frame_view v)
{
    uint8_t *copy = malloc(v.len + 1);
    assert_non_null(copy);
    if (v.len)
        memcpy(copy, v.bytes, v.len);
    return (struct frame_view){copy, v.len};
}

static int store(void *context, const struct sequencer_entry *entry)
{
    struct bench *b = context;
    if (b->disk_full)
        return ERROR_NO_SPACE;
    struct kept *k = &b->kept[b->kept_count];
    assert_int_equal(entry->index, b->kept_count++);
    assert_true(entry->opening_count <= 64);
    k->entry = *entry;
    k->entry.statement = copy_of(entry->statement);
    for (uint32_t i = 0; i < entry->opening_count; i++) {
        k->openings[i] = entry->openings[i];
        k->openings[i].bytes = copy_of(entry->openings[i].bytes);
    }
    k->entry.openings = k->openings;
    return 0;
}

static void sent(void *context, const uint8_t *frame, size_t len)
{
    struct bench *b = context;
    assert_true(b->sent_count < SENT_MAX);
    memcpy(b->sent[b->sent_count], frame, len);
    b->sent_len[b->sent_count++] = len;
}

static struct sequencer *new_sequencer(struct bench *b, uint8_t key)
{
    uint8_t seed[32];
    struct sequencer *s;
    struct sequencer_ops ops = {.send = sent, .store = store, .context = b};
    seed_of(seed, key);
    assert_int_equal(sequencer_new(&s, b->crypto, &ops, seed), 0);
    return s;
}

static enum fold_verdict found(struct bench *b, struct sequencer *s)
{
    struct blob_writer w;
    struct blob_reader entries, openings;
    enum fold_verdict verdict;
    founding_blob(&w, &b->founding);
    /* [entries, openings]: the second begins where the first ends, which its reader finds. */
    struct blob_writer only = {0};
    blob_begin(&only, FOUNDING_ENTRIES);
    for (int i = 0; i < FOUNDING_ENTRIES; i++)
        blob_put_entry(&only, FOUNDING_TIME,
                       (struct frame_view){b->founding.entries[i].bytes, b->founding.entries[i].len});
    assert_int_equal(blob_read_entries(&entries, w.bytes + 1, only.len), 0);
    assert_int_equal(blob_read_openings(&openings, w.bytes + 1 + only.len, w.len - 1 - only.len), 0);
    assert_int_equal(sequencer_found(s, entries, openings, &verdict), 0);
    free(w.bytes);
    free(only.bytes);
    return verdict;
}

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    assert_int_equal(crypto_new(&b->crypto, CRYPTO_BULK_OPENSSL), 0);
    founding_make(&b->founding, b->crypto);
    b->wall = FOUNDING_TIME + 60;
    b->now = SECOND;
    b->sequencer = new_sequencer(b, SEQUENCER);
    assert_int_equal(found(b, b->sequencer), VERDICT_STANDS);
    assert_int_equal(sequencer_timer(b->sequencer, b->wall, b->now), 0);
    b->sent_count = 0;
    *state = b;
    return 0;
}

/* But for the crypto. */
static void bench_clear(struct bench *b)
{
    sequencer_free(b->sequencer);
    for (uint32_t i = 0; i < b->kept_count; i++) {
        free((void *)(uintptr_t)b->kept[i].entry.statement.bytes);
        for (uint32_t n = 0; n < b->kept[i].entry.opening_count; n++)
            free((void *)(uintptr_t)b->kept[i].openings[n].bytes.bytes);
    }
    free(b);
}

static int teardown(void **state)
{
    struct bench *b = *state;
    struct crypto *crypto = b->crypto;
    bench_clear(b);
    crypto_free(crypto);
    return 0;
}

static void give(struct bench *b, const struct frame *f)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(f, bytes, sizeof(bytes));
    assert_true(len > 0);
    b->sent_count = 0;
    assert_int_equal(sequencer_frame(b->sequencer, bytes, (size_t)len, b->wall, b->now), 0);
}

static struct frame sent_frame(struct bench *b, uint32_t i)
{
    struct frame f;
    assert_true(i < b->sent_count);
    assert_int_equal(frame_decode(&f, b->sent[i], b->sent_len[i]), 0);
    return f;
}

static struct frame_joined joined(struct bench *b, const struct made *m)
{
    struct frame f = sent_frame(b, 0);
    assert_int_equal(f.kind, FRAME_JOINED);
    assert_memory_equal(f.joined.statement, m->hash, SHA256_SIZE);
    assert_int_equal(f.joined.head.len, sequencer_is_entitled(b->sequencer) ? SIGNED_HEAD_SIZE : 0);
    return f.joined;
}

static struct frame_joined offer(struct bench *b, const struct made *m, bool bare)
{
    struct blob_writer w;
    submission_make(&w, m, bare);
    struct frame f = {.kind = FRAME_STATEMENT, .statement = {.total = w.len, .bytes = {w.bytes, w.len}}};
    assert_int_equal(crypto_sha256(b->crypto, f.statement.hash, w.bytes, w.len), 0);
    give(b, &f);
    free(w.bytes);
    return joined(b, m);
}

static struct frame_joined join(struct bench *b, const struct made *m)
{
    struct frame f = {.kind = FRAME_JOIN, .join.statement = {m->bytes, m->len}};
    give(b, &f);
    return joined(b, m);
}

/* Decodes and verifies. */
static struct signed_head head_of(struct bench *b, struct frame_view view)
{
    struct signed_head h;
    uint8_t root[SHA256_SIZE];
    signed_head_decode(&h, view.bytes);
    assert_int_equal(signed_head_verify(b->crypto, &h, &b->founding.network), 0);
    assert_true(fold_sequences(sequencer_fold(b->sequencer), h.sequencer));
    fold_root(sequencer_fold(b->sequencer), root);
    assert_memory_equal(h.fold_root, root, sizeof(root));
    assert_memory_equal(h.head.hash, fold_head(sequencer_fold(b->sequencer))->hash, SHA256_SIZE);
    return h;
}

static void invite_named(struct bench *b, struct made *out, const char *name, uint8_t seed)
{
    invite_make(out, &b->founding, &(struct invite_of){.name = name, .seed = seed});
}

static void the_join_that_founds_brings_the_sequencer(void **state)
{
    struct bench *b = *state;
    assert_true(sequencer_is_entitled(b->sequencer));
    assert_int_equal(b->kept_count, FOUNDING_ENTRIES);
    assert_int_equal(found(b, b->sequencer), VERDICT_STANDS); /* again: it is so already */
    assert_int_equal(b->kept_count, FOUNDING_ENTRIES);
}

static void a_key_that_the_founding_does_not_name_sequences_nothing(void **state)
{
    struct bench *b = *state, *other = calloc(1, sizeof(*other));
    struct made invite;
    assert_non_null(other);
    other->crypto = b->crypto;
    other->founding = b->founding;
    other->sequencer = new_sequencer(other, OWNER);
    assert_int_equal(found(other, other->sequencer), VERDICT_NOT_ENTITLED);
    join_make(&invite, &b->founding, &b->founding.entries[1], DEVICES, false);
    struct frame f = {.kind = FRAME_JOIN, .join.statement = {invite.bytes, invite.len}};
    give(other, &f);
    assert_int_equal(sent_frame(other, 0).joined.verdict, VERDICT_STORE);
    assert_int_equal(other->kept_count, FOUNDING_ENTRIES);
    bench_clear(other);
}

static void what_is_told_was_kept_first_and_stands_under_a_head(void **state)
{
    struct bench *b = *state;
    struct made invite, m;
    invite_named(b, &invite, "a", INVITES);
    struct frame_joined told = offer(b, &invite, false);
    assert_int_equal(told.verdict, VERDICT_STANDS);
    assert_int_equal(told.index, FOUNDING_ENTRIES);
    assert_int_equal(b->kept_count, FOUNDING_ENTRIES + 1);
    assert_int_equal(b->kept[FOUNDING_ENTRIES].entry.opening_count, 1);
    assert_int_equal(head_of(b, told.head).head.index, told.index);
    assert_int_equal(sent_frame(b, 1).kind, FRAME_NOTICE);
    join_make(&m, &b->founding, &invite, DEVICES, false);
    told = join(b, &m);
    assert_int_equal(told.verdict, VERDICT_STANDS);
    assert_int_equal(head_of(b, told.head).head.index, FOUNDING_ENTRIES + 1);
}

static void the_same_again_is_the_same_entry(void **state)
{
    struct bench *b = *state;
    struct made invite, m;
    invite_named(b, &invite, "a", INVITES);
    join_make(&m, &b->founding, &invite, DEVICES, false);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
    assert_int_equal(join(b, &m).verdict, VERDICT_STANDS);
    uint32_t kept = b->kept_count;
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_ALREADY);
    assert_int_equal(join(b, &m).verdict, VERDICT_ALREADY);
    assert_int_equal(join(b, &m).index, FOUNDING_ENTRIES + 1);
    assert_int_equal(b->kept_count, kept);
}

static void a_ticket_serves_one_device(void **state)
{
    struct bench *b = *state;
    struct made invite, first, second;
    invite_named(b, &invite, "a", INVITES);
    join_make(&first, &b->founding, &invite, DEVICES, false);
    join_make(&second, &b->founding, &invite, DEVICES + 1, false);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
    assert_int_equal(join(b, &first).verdict, VERDICT_STANDS);
    assert_int_equal(join(b, &second).verdict, VERDICT_USED);
}

static void a_join_too_late_is_refused(void **state)
{
    struct bench *b = *state;
    struct made invite, m;
    invite_named(b, &invite, "a", INVITES);
    join_make(&m, &b->founding, &invite, DEVICES, false);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
    b->wall = FOUNDING_TIME + 3601;
    assert_int_equal(join(b, &m).verdict, VERDICT_LATE);
}

static void a_statement_without_its_opening_does_not_stand(void **state)
{
    struct bench *b = *state;
    struct made invite, other;
    invite_named(b, &invite, "a", INVITES);
    invite_named(b, &other, "b", INVITES + 1);
    assert_int_equal(offer(b, &invite, true).verdict, VERDICT_INCOMPLETE);
    memcpy(invite.opening, other.opening, other.opening_len);
    invite.opening_len = other.opening_len;
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_INCOMPLETE);
    assert_int_equal(b->kept_count, FOUNDING_ENTRIES);
}

static void a_name_and_an_address_have_one_holder(void **state)
{
    struct bench *b = *state;
    struct made m, revoke;
    invite_make(&m, &b->founding, &(struct invite_of){.name = "hub", .seed = INVITES});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_NAME_TAKEN);
    invite_make(&m, &b->founding, &(struct invite_of){.name = "b", .seed = INVITES, .ipv4 = 2});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_ADDRESS_TAKEN);
    invite_make(&m, &b->founding, &(struct invite_of){.name = "b", .seed = INVITES, .ipv4 = 3});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_STANDS);
    about_make(&revoke, &b->founding, STATEMENT_REVOKE, &m);
    assert_int_equal(offer(b, &revoke, false).verdict, VERDICT_STANDS);
    invite_make(&m, &b->founding, &(struct invite_of){.name = "b", .seed = INVITES + 1, .ipv4 = 3});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_STANDS);
    invite_make(&m, &b->founding,
                &(struct invite_of){.name = "b", .seed = INVITES + 2, .join_before = FOUNDING_TIME + 9000});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_NAME_TAKEN);
    b->wall = FOUNDING_TIME + 3601; /* nobody can use the other one any more */
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_STANDS);
}

static void a_scoped_key_admits_what_its_scope_lists(void **state)
{
    struct bench *b = *state;
    struct made m;
    invite_make(&m, &b->founding, &(struct invite_of){.name = "pump", .seed = INVITES, .signer = SCOPED_ROLE});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_SCOPE);
    invite_make(&m, &b->founding, &(struct invite_of){.name = "site-7", .seed = INVITES, .signer = SCOPED_ROLE});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_STANDS);
}

static void on_a_full_disk_nothing_stands_and_later_it_does(void **state)
{
    struct bench *b = *state;
    struct made invite;
    invite_named(b, &invite, "a", INVITES);
    b->disk_full = true;
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STORE);
    assert_int_equal(b->sent_count, 1);
    assert_int_equal(fold_head(sequencer_fold(b->sequencer))->index, FOUNDING_ENTRIES - 1);
    b->disk_full = false;
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
}

static void time_never_goes_back(void **state)
{
    struct bench *b = *state;
    struct made invite;
    uint64_t before = b->wall;
    b->wall = 1000; /* a clock in 1970 */
    invite_named(b, &invite, "a", INVITES);
    struct frame_joined told = offer(b, &invite, false);
    assert_int_equal(told.verdict, VERDICT_STANDS);
    assert_int_equal(b->kept[FOUNDING_ENTRIES].entry.time, before);
    assert_int_equal(head_of(b, told.head).head.time, before);
}

static void the_head_is_signed_anew_each_minute(void **state)
{
    struct bench *b = *state;
    b->now += 59 * SECOND;
    b->wall += 59;
    b->sent_count = 0;
    assert_int_equal(sequencer_timer(b->sequencer, b->wall, b->now), 0);
    assert_int_equal(b->sent_count, 0);
    b->now = sequencer_deadline(b->sequencer);
    b->wall += 1;
    assert_int_equal(sequencer_timer(b->sequencer, b->wall, b->now), 0);
    assert_int_equal(b->sent_count, 1);
    assert_int_equal(head_of(b, sent_frame(b, 0).notice.head).head.time, b->wall);
}

static void the_door_takes_joins_alone(void **state)
{
    struct bench *b = *state;
    struct made revoke;
    about_make(&revoke, &b->founding, STATEMENT_REVOKE, &b->founding.entries[3]);
    struct frame f = {.kind = FRAME_JOIN, .join.statement = {revoke.bytes, revoke.len}};
    give(b, &f);
    assert_int_equal(b->sent_count, 0);
    assert_int_equal(b->kept_count, FOUNDING_ENTRIES);
}

static void a_root_that_replaces_sequencers_has_a_time_of_its_own(void **state)
{
    struct bench *b = *state;
    struct made root, invite;
    root_make(&root, &b->founding, sequencer_fold(b->sequencer), SEQUENCER);
    assert_int_equal(offer(b, &root, false).verdict, VERDICT_STANDS);
    assert_int_equal(b->kept[FOUNDING_ENTRIES].entry.time, FOUNDING_TIME + 1);
    invite_named(b, &invite, "a", INVITES);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
}

static void who_was_replaced_sequences_nothing_more(void **state)
{
    struct bench *b = *state;
    struct made root, invite;
    root_make(&root, &b->founding, sequencer_fold(b->sequencer), OPERATOR);
    assert_int_equal(offer(b, &root, false).verdict, VERDICT_STANDS);
    assert_false(sequencer_is_entitled(b->sequencer));
    invite_named(b, &invite, "a", INVITES);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STORE);
    b->sent_count = 0;
    b->now += 100 * SECOND;
    assert_int_equal(sequencer_timer(b->sequencer, b->wall, b->now), 0);
    assert_int_equal(b->sent_count, 0);
}

/* Pulls a blob, as the node's state does. */
static struct pull *pull_all(struct bench *b, enum sync_what what, uint64_t from, uint64_t to)
{
    struct pull *p;
    uint8_t none[FRAME_HASH_SIZE] = {0};
    size_t len;
    assert_int_equal(pull_new(&p, what, from, to, none), 0);
    for (int i = 0; i < 1000 && !pull_complete(p, &len); i++) {
        struct frame get = {.kind = FRAME_GET};
        while (pull_next(p, &get.get, b->now)) {
            give(b, &get);
            struct frame part = sent_frame(b, 0);
            assert_int_equal(part.kind, FRAME_PART);
            pull_take(p, &part.part, b->now);
        }
        b->now += SECOND / 100;
    }
    return p;
}

static struct frame_view whole(const struct pull *p)
{
    struct frame_view v;
    v.bytes = pull_complete(p, &v.len);
    assert_non_null(v.bytes);
    return v;
}

static void everything_is_served(void **state)
{
    struct bench *b = *state;
    struct blob_reader r;
    struct frame_view view;
    uint64_t time;
    struct pull *p = pull_all(b, SYNC_LEDGER, 1, UINT64_MAX);
    assert_int_equal(pull_to(p), FOUNDING_ENTRIES - 1);
    assert_int_equal(blob_read_entries(&r, whole(p).bytes, whole(p).len), 0);
    for (int i = 1; i < FOUNDING_ENTRIES; i++) {
        assert_true(blob_next_entry(&r, &time, &view));
        assert_int_equal(view.len, b->founding.entries[i].len);
        assert_memory_equal(view.bytes, b->founding.entries[i].bytes, view.len);
    }
    assert_false(blob_next_entry(&r, &time, &view));
    pull_free(p);
    p = pull_all(b, SYNC_OPENINGS, 1, UINT64_MAX);
    assert_int_equal(blob_read_openings(&r, whole(p).bytes, whole(p).len), 0);
    assert_int_equal(r.left, FOUNDING_OPENINGS - 1);
    pull_free(p);
    p = pull_all(b, SYNC_FOLD, 0, 3);
    struct fold *fold;
    assert_int_equal(fold_load(&fold, b->crypto, whole(p).bytes, whole(p).len), 0);
    assert_int_equal(fold_head(fold)->index, 3);
    fold_free(fold);
    pull_free(p);
}

static void what_is_not_there_has_no_bytes(void **state)
{
    struct bench *b = *state;
    const struct frame_get gets[] = {
        {.what = SYNC_LEDGER, .from = FOUNDING_ENTRIES, .to = UINT64_MAX},
        {.what = SYNC_LEDGER, .from = 0, .to = FOUNDING_ENTRIES},
        {.what = SYNC_LEDGER, .from = UINT64_MAX, .to = UINT64_MAX},
        {.what = SYNC_OFFER, .from = 0, .to = 0, .hash = {1}},
        {.what = SYNC_FOLD, .from = 0, .to = UINT64_MAX - 1},
    };
    for (size_t i = 0; i < sizeof(gets) / sizeof(gets[0]); i++) {
        struct frame f = {.kind = FRAME_GET, .get = gets[i]};
        give(b, &f);
        assert_int_equal(sent_frame(b, 0).part.total, 0);
    }
}

/* A policy with rules openings for `count` subjects: too long for one frame. */
static void policy_of(struct bench *b, uint32_t count, struct made *m, struct blob_writer *w)
{
    static uint8_t changes[16 * POLICY_CHANGE_SIZE], openings[16][2048];
    int lens[16];
    struct rule_set none = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct opening o = {.kind = OPENING_RULES, .salt = {(uint8_t)i}};
        struct policy_change change = {.subject.bytes = {(uint8_t)(i + 1)}};
        o.rules.subject = change.subject;
        o.rules.version = 2;
        o.rules.set = &none;
        lens[i] = opening_encode(&o, openings[i], sizeof(openings[i]));
        assert_true(lens[i] > 0);
        assert_int_equal(opening_commitment(b->crypto, change.commitment, openings[i], (size_t)lens[i]), 0);
        statement_policy_change_put(changes + i * POLICY_CHANGE_SIZE, &change);
    }
    struct statement s = {.kind = STATEMENT_POLICY, .network = b->founding.network};
    s.policy = (struct statement_policy){.version = 2, .change_count = count, .changes = changes};
    memcpy(s.policy.against, b->founding.entries[4].hash, SHA256_SIZE);
    struct signer signer;
    seed_of(signer.seed, ROLE);
    int len = statement_sign(b->crypto, &s, &signer, 1, m->bytes, sizeof(m->bytes));
    assert_true(len > 0);
    m->len = (size_t)len;
    assert_int_equal(crypto_sha256(b->crypto, m->hash, m->bytes, m->len), 0);
    *w = (struct blob_writer){0};
    blob_begin_submission(w, (struct frame_view){m->bytes, m->len}, count);
    for (uint32_t i = 0; i < count; i++)
        blob_put_opening(w, (struct frame_view){openings[i], (size_t)lens[i]});
}

static void an_offer_too_long_for_a_frame_is_pulled(void **state)
{
    struct bench *b = *state;
    struct made m = {0};
    struct blob_writer w;
    policy_of(b, 16, &m, &w);
    assert_true(w.len > FRAME_INLINE_MAX);
    struct frame f = {.kind = FRAME_STATEMENT, .statement = {.total = w.len}};
    assert_int_equal(crypto_sha256(b->crypto, f.statement.hash, w.bytes, w.len), 0);
    give(b, &f);
    for (int i = 0; i < 100 && b->kept_count == FOUNDING_ENTRIES; i++) {
        uint8_t gets[SENT_MAX][FRAME_MAX];
        size_t lens[SENT_MAX];
        uint32_t count = b->sent_count;
        memcpy(gets, b->sent, sizeof(gets));
        memcpy(lens, b->sent_len, sizeof(lens));
        b->sent_count = 0;
        for (uint32_t n = 0; n < count; n++) {
            struct frame get, part = {.kind = FRAME_PART};
            uint8_t bytes[FRAME_MAX];
            assert_int_equal(frame_decode(&get, gets[n], lens[n]), 0);
            if (get.kind != FRAME_GET)
                continue;
            assert_true(serve_part(&get.get, 0, w.bytes, w.len, &part.part));
            int len = frame_encode(&part, bytes, sizeof(bytes));
            assert_true(len > 0);
            assert_int_equal(sequencer_frame(b->sequencer, bytes, (size_t)len, b->wall, b->now), 0);
        }
        b->now += SECOND / 4;
        assert_int_equal(sequencer_timer(b->sequencer, b->wall, b->now), 0);
    }
    free(w.bytes);
    assert_int_equal(b->kept_count, FOUNDING_ENTRIES + 1);
    assert_int_equal(b->kept[FOUNDING_ENTRIES].entry.opening_count, 16);
    assert_int_equal(fold_policy_version(sequencer_fold(b->sequencer)), 2);
}

static void what_was_kept_is_there_again(void **state)
{
    struct bench *b = *state;
    struct made invite, m;
    invite_named(b, &invite, "a", INVITES);
    join_make(&m, &b->founding, &invite, DEVICES, false);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
    assert_int_equal(join(b, &m).verdict, VERDICT_STANDS);
    struct sequencer *again = new_sequencer(b, SEQUENCER);
    for (uint32_t i = 0; i < b->kept_count; i++)
        assert_int_equal(sequencer_restore(again, &b->kept[i].entry), 0);
    uint8_t root[2][SHA256_SIZE];
    fold_root(sequencer_fold(b->sequencer), root[0]);
    fold_root(sequencer_fold(again), root[1]);
    assert_memory_equal(root[0], root[1], SHA256_SIZE);
    sequencer_free(b->sequencer);
    b->sequencer = again;
    assert_int_equal(sequencer_timer(again, b->wall, b->now), 0);
    assert_int_equal(join(b, &m).verdict, VERDICT_ALREADY);
    invite_make(&m, &b->founding, &(struct invite_of){.name = "a", .seed = INVITES + 1});
    assert_int_equal(offer(b, &m, false).verdict, VERDICT_NAME_TAKEN);
}

static struct ledger_place place_of(struct bench *b)
{
    struct ledger_place last = {.index = fold_head(sequencer_fold(b->sequencer))->index};
    memcpy(last.hash, fold_head(sequencer_fold(b->sequencer))->hash, SHA256_SIZE);
    fold_root(sequencer_fold(b->sequencer), last.fold_root);
    return last;
}

#define SUCCESSOR 7

static struct sequencer *restored(struct bench *b, uint8_t key)
{
    struct sequencer *again = new_sequencer(b, key);
    for (uint32_t i = 0; i < b->kept_count; i++)
        assert_int_equal(sequencer_restore(again, &b->kept[i].entry), 0);
    return again;
}

static bool tells_a_head(struct bench *b, struct sequencer *s)
{
    b->sent_count = 0;
    b->now += 2 * SEQUENCER_HEAD_INTERVAL;
    assert_int_equal(sequencer_timer(s, b->wall, b->now), 0);
    return b->sent_count > 0;
}

static void a_root_that_replaces_us_is_our_last_entry_and_its_successors_first(void **state)
{
    struct bench *b = *state;
    struct made root, invite;
    struct ledger_place last = place_of(b);
    replace_make(&root, &b->founding, SUCCESSOR, &last, FOUNDING_TIME + 30); /* before now */
    assert_int_equal(offer(b, &root, true).verdict, VERDICT_STANDS);
    assert_int_equal(b->kept[b->kept_count - 1].entry.time, FOUNDING_TIME + 30);
    assert_memory_equal(b->kept[b->kept_count - 1].entry.head, fold_head(sequencer_fold(b->sequencer))->hash,
                        SHA256_SIZE);
    assert_false(sequencer_is_entitled(b->sequencer));
    invite_named(b, &invite, "a", INVITES);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STORE);
    struct sequencer *old = restored(b, SEQUENCER), *next = restored(b, SUCCESSOR);
    assert_false(tells_a_head(b, old));
    assert_true(tells_a_head(b, next));
    sequencer_free(old);
    sequencer_free(b->sequencer);
    b->sequencer = next;
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
}

static void after_a_root_that_cuts_off_what_we_sequenced_we_sign_nothing(void **state)
{
    struct bench *b = *state;
    struct made root, forged, invite;
    struct ledger_place last = place_of(b);
    invite_named(b, &invite, "a", INVITES);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STANDS);
    replace_make(&root, &b->founding, SUCCESSOR, &last, b->wall);
    forged = root;
    forged.bytes[forged.len - 1] ^= 1;
    assert_int_equal(crypto_sha256(b->crypto, forged.hash, forged.bytes, forged.len), 0);
    assert_int_equal(offer(b, &forged, true).verdict, VERDICT_BAD_SIGNATURE);
    assert_true(tells_a_head(b, b->sequencer));
    assert_int_equal(offer(b, &root, true).verdict, VERDICT_WRONG_PLACE);
    assert_false(sequencer_is_entitled(b->sequencer));
    assert_false(tells_a_head(b, b->sequencer));
    invite_named(b, &invite, "b", INVITES + 1);
    assert_int_equal(offer(b, &invite, false).verdict, VERDICT_STORE);
}

static void an_altered_store_is_not_believed(void **state)
{
    struct bench *b = *state;
    for (int what = 0; what < 5; what++) {
        struct sequencer *again = new_sequencer(b, SEQUENCER);
        struct sequencer_entry altered = b->kept[2].entry;
        altered.index += what == 0;
        altered.time += what == 1;
        altered.hash[5] ^= what == 2;
        altered.head[5] ^= what == 3;
        if (what == 4)
            altered.statement = b->kept[3].entry.statement;
        assert_int_equal(sequencer_restore(again, &b->kept[0].entry), 0);
        assert_int_equal(sequencer_restore(again, &b->kept[1].entry), 0);
        assert_int_equal(sequencer_restore(again, &altered), ERROR_MALFORMED);
        sequencer_free(again);
    }
}

static void noise_changes_nothing(void **state)
{
    struct bench *b = *state;
    struct frame f = {.kind = FRAME_JOIN, .join.statement = {b->founding.entries[2].bytes, b->founding.entries[2].len}};
    uint8_t good[FRAME_MAX], bytes[FRAME_MAX];
    int len = frame_encode(&f, good, sizeof(good));
    uint64_t random = 7;
    assert_true(len > 0);
    for (int i = 0; i < 3000; i++) {
        memcpy(bytes, good, sizeof(bytes));
        for (int n = 0; n < 3; n++)
            bytes[random_next(&random) % (uint64_t)len] = (uint8_t)random_next(&random);
        b->sent_count = 0;
        assert_int_equal(sequencer_frame(b->sequencer, bytes, (size_t)len, b->wall, b->now), 0);
    }
    assert_int_equal(b->kept_count, FOUNDING_ENTRIES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_join_that_founds_brings_the_sequencer),
        TEST(a_key_that_the_founding_does_not_name_sequences_nothing),
        TEST(what_is_told_was_kept_first_and_stands_under_a_head),
        TEST(the_same_again_is_the_same_entry),
        TEST(a_ticket_serves_one_device),
        TEST(a_join_too_late_is_refused),
        TEST(a_statement_without_its_opening_does_not_stand),
        TEST(a_name_and_an_address_have_one_holder),
        TEST(a_scoped_key_admits_what_its_scope_lists),
        TEST(on_a_full_disk_nothing_stands_and_later_it_does),
        TEST(time_never_goes_back),
        TEST(the_head_is_signed_anew_each_minute),
        TEST(the_door_takes_joins_alone),
        TEST(a_root_that_replaces_sequencers_has_a_time_of_its_own),
        TEST(who_was_replaced_sequences_nothing_more),
        TEST(everything_is_served),
        TEST(what_is_not_there_has_no_bytes),
        TEST(an_offer_too_long_for_a_frame_is_pulled),
        TEST(what_was_kept_is_there_again),
        TEST(a_root_that_replaces_us_is_our_last_entry_and_its_successors_first),
        TEST(after_a_root_that_cuts_off_what_we_sequenced_we_sign_nothing),
        TEST(an_altered_store_is_not_believed),
        TEST(noise_changes_nothing),
    };
    return cmocka_run_group_tests_name("ledger-sequencer", tests, NULL, NULL);
}
