#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "founding.h"

void seed_of(uint8_t out[32], uint8_t number)
{
    memset(out, number, 32);
}

static void public_of(struct crypto *c, uint8_t out[ED25519_PUBLIC_SIZE], uint8_t number)
{
    uint8_t seed[32];
    seed_of(seed, number);
    assert_int_equal(crypto_ed25519_public(c, out, seed), 0);
}

static void sign(struct made *out, struct crypto *c, const struct statement *s, const struct signer *signers,
                 uint32_t count)
{
    int len = statement_sign(c, s, signers, count, out->bytes, sizeof(out->bytes));
    assert_true(len > 0);
    out->len = (size_t)len;
    assert_int_equal(crypto_sha256(c, out->hash, out->bytes, out->len), 0);
}

static void sign_by(struct made *out, struct crypto *c, const struct statement *s, uint8_t number)
{
    struct signer signer;
    seed_of(signer.seed, number);
    sign(out, c, s, &signer, 1);
}

static void open_to(struct made *out, struct crypto *c, const struct opening *o, uint8_t commitment[SHA256_SIZE])
{
    int len = opening_encode(o, out->opening, sizeof(out->opening));
    assert_true(len > 0);
    out->opening_len = (size_t)len;
    assert_int_equal(opening_commitment(c, commitment, out->opening, out->opening_len), 0);
}

static void make_scope(struct founding *f, uint8_t commitment[SHA256_SIZE])
{
    static struct opening scope;
    scope = (struct opening){.kind = OPENING_SCOPE, .salt = {9}};
    scope.scope.name_count = 1;
    strcpy(scope.scope.names[0], "site-*");
    open_to(&f->scope, f->crypto, &scope, commitment);
}

static void make_root(struct founding *f)
{
    struct crypto *c = f->crypto;
    uint8_t seed[32];
    struct invite_keys hub;
    static struct statement s;
    s = (struct statement){.kind = STATEMENT_ROOT};
    struct statement_root *root = &s.root;
    root->version = 1;
    root->time = FOUNDING_TIME;
    root->threshold = 1;
    root->owner_count = 1;
    public_of(c, root->owners[0], OWNER);
    root->role_count = 2;
    public_of(c, root->roles[0].key, ROLE);
    root->roles[0].roles = ROLE_ADMISSION | ROLE_POLICY | ROLE_SAFETY;
    public_of(c, root->roles[1].key, SCOPED_ROLE);
    root->roles[1].roles = ROLE_ADMISSION;
    root->roles[1].scoped = true;
    make_scope(f, root->roles[1].scope);
    root->founds = true;
    seed_of(seed, INVITES + HUB);
    assert_int_equal(invite_keys_derive(c, seed, &hub), 0);
    memcpy(root->founding_invite, hub.signing_public, ED25519_PUBLIC_SIZE);
    sign_by(&f->entries[0], c, &s, OWNER);
    memcpy(f->network.bytes, f->entries[0].hash, SHA256_SIZE);
}

void invite_make(struct made *out, const struct founding *f, const struct invite_of *what)
{
    uint8_t seed[32];
    struct invite_keys keys;
    static struct opening o;
    struct statement s = {.kind = STATEMENT_INVITE, .network = f->network};
    *out = (struct made){.invite_seed = what->seed};
    seed_of(seed, what->seed);
    assert_int_equal(invite_keys_derive(f->crypto, seed, &keys), 0);
    memcpy(s.invite.signing_public, keys.signing_public, ED25519_PUBLIC_SIZE);
    memcpy(s.invite.static_public, keys.static_public, X25519_SIZE);
    s.invite.join_before = what->join_before ? what->join_before : FOUNDING_TIME + 3600;
    o = (struct opening){.kind = OPENING_INVITE, .salt = {what->seed}};
    assert_true(strlen(what->name) <= NAME_MAX_LEN);
    memcpy(o.invite.name, what->name, strlen(what->name));
    o.invite.has_ipv4 = what->ipv4 != 0;
    memcpy(o.invite.ipv4, (uint8_t[]){100, 64, 0, what->ipv4}, 4);
    open_to(out, f->crypto, &o, s.invite.commitment);
    sign_by(out, f->crypto, &s, what->signer ? what->signer : ROLE);
}

void join_make(struct made *out, const struct founding *f, const struct made *invite, uint8_t device, bool sequences)
{
    uint8_t seed[32], private[32];
    struct invite_keys keys;
    struct signer signers[2];
    struct statement s = {.kind = STATEMENT_JOIN, .network = f->network};
    *out = (struct made){0};
    seed_of(seed, invite->invite_seed);
    assert_int_equal(invite_keys_derive(f->crypto, seed, &keys), 0);
    memcpy(s.join.invite, invite->hash, SHA256_SIZE);
    public_of(f->crypto, s.join.signing_public, device);
    seed_of(private, device);
    assert_int_equal(crypto_x25519_public(f->crypto, s.join.static_public, private), 0);
    s.join.sequences = sequences;
    if (sequences)
        public_of(f->crypto, s.join.sequencer, SEQUENCER);
    memcpy(signers[0].seed, keys.signing_seed, ED25519_SEED_SIZE);
    seed_of(signers[1].seed, device);
    sign(out, f->crypto, &s, signers, 2);
}

void about_make(struct made *out, const struct founding *f, enum statement_kind kind, const struct made *invite)
{
    struct statement s = {.kind = kind, .network = f->network};
    *out = (struct made){0};
    memcpy(s.about.invite, invite->hash, SHA256_SIZE);
    sign_by(out, f->crypto, &s, ROLE);
}

void replace_make(struct made *out, const struct founding *f, uint8_t sequencer, const struct ledger_place *last,
                  uint64_t time)
{
    static struct statement s;
    assert_int_equal(statement_decode(f->crypto, &s, f->entries[0].bytes, f->entries[0].len), 0);
    s.network = f->network;
    s.signature_count = 0;
    s.root.version++;
    s.root.time = time;
    s.root.founds = false;
    memset(s.root.founding_invite, 0, ED25519_PUBLIC_SIZE);
    s.root.role_count = 1; /* without the scoped role */
    s.root.sequencer_count = 1;
    public_of(f->crypto, s.root.sequencers[0], sequencer);
    s.root.replaces = true;
    s.root.last = *last;
    *out = (struct made){0};
    sign_by(out, f->crypto, &s, OWNER);
}

void root_make(struct made *out, const struct founding *f, const struct fold *fold, uint8_t sequencer)
{
    static struct statement s;
    s = (struct statement){.kind = STATEMENT_ROOT, .network = f->network, .root = *fold_latest_root(fold)};
    s.root.version++;
    s.root.time = fold_head(fold)->time + 1;
    s.root.founds = false;
    memset(s.root.founding_invite, 0, sizeof(s.root.founding_invite));
    s.root.sequencer_count = 1;
    public_of(f->crypto, s.root.sequencers[0], sequencer);
    s.root.replaces = true;
    s.root.last.index = fold_head(fold)->index;
    memcpy(s.root.last.hash, fold_head(fold)->hash, SHA256_SIZE);
    fold_root(fold, s.root.last.fold_root);
    *out = (struct made){0};
    sign_by(out, f->crypto, &s, OWNER);
}

void founding_make(struct founding *f, struct crypto *c)
{
    *f = (struct founding){.crypto = c};
    make_root(f);
    invite_make(&f->entries[1], f, &(struct invite_of){.name = "operator", .seed = INVITES + OPERATOR, .ipv4 = 1});
    join_make(&f->entries[2], f, &f->entries[1], OPERATOR, false);
    invite_make(&f->entries[3], f, &(struct invite_of){.name = "hub", .seed = INVITES + HUB, .ipv4 = 2});
    struct statement policy = {.kind = STATEMENT_POLICY, .network = f->network, .policy.version = 1};
    sign_by(&f->entries[4], c, &policy, ROLE);
    join_make(&f->entries[5], f, &f->entries[3], HUB, true);
}

void submission_make(struct blob_writer *out, const struct made *m, bool bare)
{
    bool opens = m->opening_len && !bare;
    *out = (struct blob_writer){0};
    blob_begin_submission(out, (struct frame_view){m->bytes, m->len}, opens);
    if (opens)
        blob_put_opening(out, (struct frame_view){m->opening, m->opening_len});
    assert_int_equal(out->error, 0);
}

void founding_blob(struct blob_writer *out, const struct founding *f)
{
    const struct made *openings[FOUNDING_OPENINGS] = {&f->scope, &f->entries[1], &f->entries[3]};
    *out = (struct blob_writer){0};
    blob_begin(out, 2);
    blob_begin(out, FOUNDING_ENTRIES);
    for (int i = 0; i < FOUNDING_ENTRIES; i++)
        blob_put_entry(out, FOUNDING_TIME, (struct frame_view){f->entries[i].bytes, f->entries[i].len});
    blob_begin(out, FOUNDING_OPENINGS);
    for (int i = 0; i < FOUNDING_OPENINGS; i++)
        blob_put_opening(out, (struct frame_view){openings[i]->opening, openings[i]->opening_len});
    assert_int_equal(out->error, 0);
}
