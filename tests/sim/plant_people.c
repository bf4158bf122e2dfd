/* What the operator does: founds the network, invites, publishes policies, takes away and gives back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ledger/blob.h"
#include "plant.h"
#include "policy/document.h"

#define FOUNDING 6u

static size_t sign_by(struct plant *p, const struct statement *s, const uint8_t *seed, uint8_t *out, size_t capacity)
{
    struct signer signer;
    memcpy(signer.seed, seed, ED25519_SEED_SIZE);
    int len = statement_sign(p->c, s, &signer, 1, out, capacity);
    plant_must(len > 0, "a statement is signed");
    return (size_t)len;
}

static struct plant_bytes submission_of(const uint8_t *statement, size_t len, const struct plant_bytes *openings,
                                        uint32_t count)
{
    struct blob_writer w = {0};
    blob_begin_submission(&w, (struct frame_view){statement, len}, count);
    for (uint32_t i = 0; i < count; i++)
        blob_put_opening(&w, (struct frame_view){openings[i].bytes, openings[i].len});
    plant_must(w.error == 0, "memory");
    return (struct plant_bytes){w.bytes, w.len};
}

void plant_submit(struct plant_node *n, struct plant_bytes submission)
{
    if (n->on && !n->joining)
        (void)!replica_submit(n->replica, submission.bytes, submission.len, plant_monotonic(n->plant));
    free(submission.bytes);
    if (n->on)
        plant_drain(n);
}

/* ---- The outbox ---- */

void plant_knock(struct plant *p)
{
    struct plant_node *o = &p->nodes[PLANT_OPERATOR];
    for (uint32_t i = 0; i < p->outbox_count && o->on; i++) {
        const struct plant_bytes *waits = &p->outbox[i].submission;
        plant_must(replica_submit(o->replica, waits->bytes, waits->len, plant_monotonic(p)) == 0,
                   "the operator's statements are handed in");
    }
    if (o->on)
        plant_drain(o);
}

static void say(struct plant *p, const uint8_t *statement, size_t len, struct plant_bytes submission)
{
    struct plant_outbox *waits = &p->outbox[p->outbox_count++];
    plant_must(p->outbox_count < PLANT_OUTBOX_MAX, "there is room in the outbox");
    waits->submission = submission;
    plant_must(crypto_sha256(p->c, waits->statement, statement, len) == 0, "hashed");
    plant_knock(p);
}

void plant_outcome(struct plant *p, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict)
{
    for (uint32_t i = 0; i < p->outbox_count; i++) {
        if (memcmp(p->outbox[i].statement, statement, SHA256_SIZE) != 0)
            continue;
        if (verdict != VERDICT_STANDS && verdict != VERDICT_ALREADY)
            plant_fail(p, &p->nodes[PLANT_OPERATOR], fold_verdict_sentence(verdict));
        free(p->outbox[i].submission.bytes);
        p->outbox[i] = p->outbox[--p->outbox_count];
        return;
    }
}

/* ---- Invites ---- */

static void fill_opening(struct plant *p, const struct plant_node *n, struct opening *o)
{
    const struct plant_invite *what = &n->invite;
    *o = (struct opening){.kind = OPENING_INVITE};
    plant_fill(p, o->salt, sizeof(o->salt));
    memcpy(o->invite.name, what->name, sizeof(o->invite.name));
    o->invite.has_ipv4 = true;
    memcpy(o->invite.ipv4, what->ipv4, 4);
    o->invite.relay = what->relay;
    o->invite.controller = what->controller;
    if (what->relay) {
        struct endpoint e = plant_endpoint(n);
        o->invite.endpoint = (struct underlay){.port = e.port, .family = 4};
        memcpy(o->invite.endpoint.address, e.address, 4);
    }
    for (uint32_t g = 0; g < PLANT_GROUPS; g++)
        if (what->groups >> g & 1) {
            struct opening_group *group = &o->invite.groups[o->invite.group_count++];
            group->id = p->groups[g];
            snprintf(group->name, sizeof(group->name), "group-%u", (unsigned)g);
        }
    if (n->number == PLANT_OPERATOR) {
        struct opening_group *group = &o->invite.groups[o->invite.group_count++];
        memset(group->id.bytes, 0x0e, SUBJECT_SIZE);
        strcpy(group->name, "operators");
    }
}

void plant_make_invite(struct plant *p, struct plant_node *n)
{
    static struct opening o;
    struct plant_invite *invite = &n->invite;
    struct statement s = {.kind = STATEMENT_INVITE, .network = p->network};
    memcpy(s.invite.signing_public, invite->keys.signing_public, ED25519_PUBLIC_SIZE);
    memcpy(s.invite.static_public, invite->keys.static_public, X25519_SIZE);
    s.invite.join_before = PLANT_WALL + 7 * UINT64_C(86400);
    fill_opening(p, n, &o);
    int len = opening_encode(&o, invite->opening, sizeof(invite->opening));
    plant_must(len > 0, "an opening is written");
    invite->opening_len = (size_t)len;
    plant_must(opening_commitment(p->c, s.invite.commitment, invite->opening, invite->opening_len) == 0, "committed");
    invite->statement_len = sign_by(p, &s, p->role_seed, invite->statement, sizeof(invite->statement));
    plant_must(crypto_sha256(p->c, invite->hash, invite->statement, invite->statement_len) == 0, "hashed");
    memcpy(invite->id.bytes, invite->hash, DEVICE_ID_SIZE);
    invite->made = true;
}

void plant_invite(struct plant *p, struct plant_node *n)
{
    plant_make_invite(p, n);
    struct plant_bytes opening = {n->invite.opening, n->invite.opening_len};
    say(p, n->invite.statement, n->invite.statement_len,
        submission_of(n->invite.statement, n->invite.statement_len, &opening, 1));
}

size_t plant_join_statement(struct plant *p, const struct plant_node *n, const uint8_t invite[SHA256_SIZE],
                            const struct invite_keys *keys, bool sequences, uint8_t *out, size_t capacity)
{
    struct signer signers[2];
    struct statement s = {.kind = STATEMENT_JOIN, .network = p->network};
    memcpy(s.join.invite, invite, SHA256_SIZE);
    memcpy(s.join.signing_public, n->signing_public, ED25519_PUBLIC_SIZE);
    memcpy(s.join.static_public, n->public_key, X25519_SIZE);
    s.join.sequences = sequences;
    if (sequences)
        plant_must(crypto_ed25519_public(p->c, s.join.sequencer, p->sequencer_seed) == 0, "a key");
    memcpy(signers[0].seed, keys->signing_seed, ED25519_SEED_SIZE);
    memcpy(signers[1].seed, n->signing_seed, ED25519_SEED_SIZE);
    int len = statement_sign(p->c, &s, signers, 2, out, capacity);
    plant_must(len > 0, "a join is signed");
    return (size_t)len;
}

/* Which relays the operator's node knows: the hub, and others at random. */
static void put_relays(struct plant *p, struct ticket *t)
{
    struct plant_node *o = &p->nodes[PLANT_OPERATOR];
    uint32_t skip = plant_below(p, PLANT_FIRST_MEMBER - PLANT_HUB);
    for (uint32_t i = PLANT_HUB; i < PLANT_FIRST_MEMBER; i++) {
        uint32_t number = PLANT_HUB + (i - PLANT_HUB + skip) % (PLANT_FIRST_MEMBER - PLANT_HUB);
        const struct plant_node *r = &p->nodes[number];
        const struct plant_peer *known = r->invite.made ? plant_peer_by_id(o, &r->invite.id) : NULL;
        if (!known || !(known->flags & MESH_RELAY) || !(known->flags & MESH_MEMBER))
            continue;
        struct endpoint e = plant_endpoint(r);
        struct ticket_relay *out = &t->relays[t->relay_count++];
        *out = (struct ticket_relay){.device = r->invite.id, .endpoint = {.port = e.port, .family = 4}};
        memcpy(out->endpoint.address, e.address, 4);
        memcpy(out->static_key, r->public_key, X25519_SIZE);
    }
}

bool plant_give_ticket(struct plant *p, struct plant_node *n)
{
    struct plant_node *o = &p->nodes[PLANT_OPERATOR];
    const struct signed_head *head = o->on ? replica_signed_head(o->replica) : NULL;
    struct ticket *t = &n->ticket;
    if (!head)
        return false;
    *t = (struct ticket){.network = p->network, .head_index = head->head.index, .time = head->head.time};
    memcpy(t->seed, n->invite.seed, SEED_SIZE);
    memcpy(t->head_hash, head->head.hash, SHA256_SIZE);
    memcpy(t->fold_root, head->fold_root, SHA256_SIZE);
    t->invite = (struct ticket_bytes){n->invite.statement, n->invite.statement_len};
    t->opening = (struct ticket_bytes){n->invite.opening, n->invite.opening_len};
    put_relays(p, t);
    return t->relay_count > 0;
}

/* ---- Policy ---- */

static void make_rules(const struct plant_policy *policy, struct rule_set *set, struct rule *rules,
                       struct grant *grants)
{
    *set = (struct rule_set){.count = policy->count, .rules = rules};
    for (uint32_t i = 0; i < policy->count; i++) {
        const struct plant_rule *r = &policy->rules[i];
        grants[i] = (struct grant){r->protocol, r->low, r->high};
        rules[i] = (struct rule){.from = r->from,
                                 .to = r->to,
                                 .from_name = "a",
                                 .to_name = "b",
                                 .line = i + 1,
                                 .grant_count = 1,
                                 .grants = &grants[i]};
    }
}

static struct subject any_subject(struct plant *p)
{
    struct subject s = {{0}};
    uint32_t which = plant_below(p, 20),
             number = PLANT_FIRST_MEMBER + plant_below(p, p->node_count - PLANT_FIRST_MEMBER);
    if (which == 0)
        return s; /* all */
    if (which < 4 && p->nodes[number].invite.made)
        memcpy(s.bytes, p->nodes[number].invite.id.bytes, SUBJECT_SIZE);
    else
        s = p->groups[plant_below(p, PLANT_GROUPS)];
    return s;
}

static struct plant_rule any_rule(struct plant *p)
{
    static const uint8_t protocols[] = {GRANT_UDP, GRANT_UDP, GRANT_TCP, GRANT_ICMP};
    uint16_t low = (uint16_t)(1000 + plant_below(p, 8));
    struct plant_rule r = {.from = any_subject(p), .to = any_subject(p), .protocol = protocols[plant_below(p, 4)]};
    if (r.protocol != GRANT_ICMP) {
        r.low = low;
        r.high = (uint16_t)(low + plant_below(p, 3));
    }
    return r;
}

static void change_rules(struct plant *p, struct plant_policy *policy)
{
    for (uint32_t changes = 1 + plant_below(p, 3); changes > 0; changes--) {
        if (policy->count > 6 && plant_chance(p, 140)) {
            uint32_t gone = plant_below(p, policy->count--);
            policy->rules[gone] = policy->rules[policy->count];
        }
        if (policy->count < PLANT_RULES_MAX)
            policy->rules[policy->count++] = any_rule(p);
    }
}

static uint32_t add_subjects(const struct plant_policy *policy, struct subject *out, uint32_t count)
{
    for (uint32_t i = 0; i < 2 * policy->count; i++) {
        const struct subject *s = i % 2 ? &policy->rules[i / 2].to : &policy->rules[i / 2].from;
        uint32_t at = 0;
        while (at < count && memcmp(&out[at], s, sizeof(*s)) < 0)
            at++;
        if (at < count && memcmp(&out[at], s, sizeof(*s)) == 0)
            continue;
        memmove(&out[at + 1], &out[at], (count++ - at) * sizeof(*s));
        out[at] = *s;
    }
    return count;
}

/* The opening of one subject's rules; length 0: none name it. */
static struct plant_bytes rules_of(struct plant *p, const struct rule_set *all, const struct subject *subject)
{
    int error = 0;
    struct opening o = {.kind = OPENING_RULES};
    struct plant_bytes out = {malloc(OPENING_MAX), 0};
    plant_fill(p, o.salt, sizeof(o.salt));
    o.rules.subject = *subject;
    o.rules.version = p->policy_version;
    o.rules.set = policy_of_subject(all, subject, &error);
    plant_must(error == 0 && out.bytes, "memory");
    if (o.rules.set) {
        int len = opening_encode(&o, out.bytes, OPENING_MAX);
        plant_must(len > 0, "rules are written");
        out.len = (size_t)len;
        rule_set_free(o.rules.set);
    }
    return out;
}

#define SUBJECTS (4 * PLANT_RULES_MAX + 4)

void plant_publish(struct plant *p)
{
    static uint8_t bytes[SUBJECTS * POLICY_CHANGE_SIZE + 1024];
    struct subject subjects[SUBJECTS + 1];
    struct plant_bytes openings[SUBJECTS], kept[SUBJECTS];
    struct rule rules[PLANT_RULES_MAX];
    struct grant grants[PLANT_RULES_MAX];
    struct rule_set all;
    uint8_t changes[SUBJECTS * POLICY_CHANGE_SIZE];
    uint32_t kept_count = 0;
    if (p->policy_version + 1 >= PLANT_POLICIES_MAX)
        return;
    struct plant_policy *old = &p->policies[p->policy_version], *new = &p->policies[++p->policy_version];
    struct statement s = {.kind = STATEMENT_POLICY, .network = p->network};
    *new = *old;
    for (uint32_t first = p->policy_version == 2 ? 8 : 1; first > 0; first--)
        change_rules(p, new);
    make_rules(new, &all, rules, grants);
    uint32_t count = add_subjects(new, subjects, add_subjects(old, subjects, 0));
    for (uint32_t i = 0; i < count; i++) {
        struct policy_change change = {.subject = subjects[i]};
        openings[i] = rules_of(p, &all, &subjects[i]);
        change.gone = openings[i].len == 0;
        if (!change.gone) {
            kept[kept_count++] = openings[i];
            plant_must(opening_commitment(p->c, change.commitment, openings[i].bytes, openings[i].len) == 0,
                       "committed");
        }
        statement_policy_change_put(changes + s.policy.change_count++ * POLICY_CHANGE_SIZE, &change);
    }
    s.policy.version = p->policy_version;
    memcpy(s.policy.against, old->hash, SHA256_SIZE);
    s.policy.changes = changes;
    size_t len = sign_by(p, &s, p->role_seed, bytes, sizeof(bytes));
    plant_must(crypto_sha256(p->c, new->hash, bytes, len) == 0, "hashed");
    struct plant_bytes submission = submission_of(bytes, len, kept, kept_count);
    for (uint32_t i = 0; i < count; i++)
        free(openings[i].bytes);
    say(p, bytes, len, submission);
}

/* ---- Taking away ---- */

struct plant_bytes plant_signed_submission(struct plant *p, const struct statement *s, const uint8_t *seed)
{
    uint8_t bytes[2048];
    size_t len = sign_by(p, s, seed, bytes, sizeof(bytes));
    return submission_of(bytes, len, NULL, 0);
}

void plant_take_away(struct plant *p, struct plant_node *n, enum statement_kind kind)
{
    struct statement s = {.kind = kind, .network = p->network};
    uint8_t bytes[512];
    memcpy(s.about.invite, n->invite.hash, SHA256_SIZE);
    put_be64(s.about.nonce, ++p->nonce);
    size_t len = sign_by(p, &s, p->role_seed, bytes, sizeof(bytes));
    if (kind == STATEMENT_ISOLATE) {
        plant_must(crypto_sha256(p->c, n->invite.isolate, bytes, len) == 0, "hashed");
        n->invite.isolated = n->invite.said_isolate = true;
    } else {
        n->invite.revoked = n->invite.said_revoke = true;
    }
    say(p, bytes, len, submission_of(bytes, len, NULL, 0));
}

void plant_take_away_at(struct plant *p, struct plant_node *at, struct plant_node *n, enum statement_kind kind)
{
    plant_take_away(p, n, kind);
    const struct plant_bytes *said = &p->outbox[p->outbox_count - 1].submission;
    struct plant_bytes copy = {malloc(said->len), said->len};
    plant_must(copy.bytes != NULL && p->outbox_count > 0, "memory");
    memcpy(copy.bytes, said->bytes, said->len);
    plant_submit(at, copy);
}

void plant_restore(struct plant *p, struct plant_node *n)
{
    struct statement s = {.kind = STATEMENT_RESTORE, .network = p->network, .restore.count = 1};
    memcpy(s.restore.isolates[0], n->invite.isolate, SHA256_SIZE);
    n->invite.isolated = false;
    uint8_t bytes[2048];
    size_t len = sign_by(p, &s, p->role_seed, bytes, sizeof(bytes));
    say(p, bytes, len, submission_of(bytes, len, NULL, 0));
}

/* ---- Founding ---- */

struct founding {
    uint8_t bytes[FOUNDING][2048];
    size_t len[FOUNDING];
    uint8_t scope[1024];
    size_t scope_len;
};

static void put_founding(struct founding *f, uint32_t i, const uint8_t *bytes, size_t len)
{
    memcpy(f->bytes[i], bytes, len);
    f->len[i] = len;
}

static void make_root(struct plant *p, struct founding *f)
{
    static struct statement s;
    static struct opening o;
    struct statement_root *root = &s.root;
    s = (struct statement){.kind = STATEMENT_ROOT};
    o = (struct opening){.kind = OPENING_SCOPE, .salt = {1}};
    o.scope.name_count = 1;
    strcpy(o.scope.names[0], "site-*");
    int len = opening_encode(&o, f->scope, sizeof(f->scope));
    plant_must(len > 0, "a scope is written");
    f->scope_len = (size_t)len;
    root->version = root->threshold = 1;
    root->time = PLANT_WALL;
    root->owner_count = 1;
    root->role_count = 2;
    root->roles[0].roles = ROLE_ADMISSION | ROLE_POLICY | ROLE_SAFETY;
    root->roles[1].roles = ROLE_ADMISSION;
    root->roles[1].scoped = true;
    plant_must(crypto_ed25519_public(p->c, root->owners[0], p->owner_seed) == 0 &&
                   crypto_ed25519_public(p->c, root->roles[0].key, p->role_seed) == 0 &&
                   crypto_ed25519_public(p->c, root->roles[1].key, p->scoped_seed) == 0 &&
                   opening_commitment(p->c, root->roles[1].scope, f->scope, f->scope_len) == 0,
               "keys are made");
    root->founds = true;
    memcpy(root->founding_invite, p->nodes[PLANT_HUB].invite.keys.signing_public, ED25519_PUBLIC_SIZE);
    f->len[0] = sign_by(p, &s, p->owner_seed, f->bytes[0], sizeof(f->bytes[0]));
    plant_must(crypto_sha256(p->c, p->network.bytes, f->bytes[0], f->len[0]) == 0, "hashed");
}

static void found_sequencer(struct plant *p, const struct founding *f, const struct ticket *t)
{
    struct blob_writer entries = {0}, openings = {0};
    struct blob_reader entry_reader, opening_reader;
    enum fold_verdict verdict;
    plant_sequencer_start(p);
    blob_begin(&entries, FOUNDING);
    for (uint32_t i = 0; i < FOUNDING; i++)
        blob_put_entry(&entries, PLANT_WALL, (struct frame_view){f->bytes[i], f->len[i]});
    blob_begin(&openings, t->opening_count);
    for (uint32_t i = 0; i < t->opening_count; i++)
        blob_put_opening(&openings, (struct frame_view){t->openings[i].bytes, t->openings[i].len});
    plant_must(blob_read_entries(&entry_reader, entries.bytes, entries.len) == 0 &&
                   blob_read_openings(&opening_reader, openings.bytes, openings.len) == 0 &&
                   sequencer_found(p->sequencer, entry_reader, opening_reader, &verdict) == 0 &&
                   verdict == VERDICT_STANDS,
               "a network is founded");
    free(entries.bytes);
    free(openings.bytes);
    plant_sequencer_stop(p);
}

static void fill_ticket(struct plant *p, const struct founding *f, struct ticket *t)
{
    *t = (struct ticket){.founding = true, .network = p->network, .statement_count = 5, .opening_count = 3};
    for (uint32_t i = 0; i < 5; i++) {
        t->statements[i] = (struct ticket_bytes){f->bytes[i], f->len[i]};
        t->times[i] = PLANT_WALL;
    }
    const struct plant_invite *o = &p->nodes[PLANT_OPERATOR].invite, *h = &p->nodes[PLANT_HUB].invite;
    t->openings[0] = (struct ticket_bytes){f->scope, f->scope_len};
    t->openings[1] = (struct ticket_bytes){o->opening, o->opening_len};
    t->openings[2] = (struct ticket_bytes){h->opening, h->opening_len};
}

void plant_found(struct plant *p)
{
    static struct founding f;
    uint8_t join[2048] = {0};
    struct plant_node *operator_node = &p->nodes[PLANT_OPERATOR], *hub = &p->nodes[PLANT_HUB];
    make_root(p, &f);
    plant_make_invite(p, operator_node);
    plant_make_invite(p, hub);
    put_founding(&f, 1, operator_node->invite.statement, operator_node->invite.statement_len);
    put_founding(&f, 2, join,
                 plant_join_statement(p, operator_node, operator_node->invite.hash, &operator_node->invite.keys, false,
                                      join, sizeof(join)));
    put_founding(&f, 3, hub->invite.statement, hub->invite.statement_len);
    struct statement s = {.kind = STATEMENT_POLICY, .network = p->network, .policy.version = ++p->policy_version};
    put_founding(&f, 4, join, sign_by(p, &s, p->role_seed, join, sizeof(join)));
    plant_must(crypto_sha256(p->c, p->policies[1].hash, f.bytes[4], f.len[4]) == 0, "hashed");
    put_founding(&f, 5, join,
                 plant_join_statement(p, hub, hub->invite.hash, &hub->invite.keys, true, join, sizeof(join)));
    fill_ticket(p, &f, &hub->ticket);
    operator_node->ticket = hub->ticket;
    found_sequencer(p, &f, &hub->ticket);
    operator_node->member = hub->member = true;
    operator_node->has_seed = false;
    hub->has_seed = true;
    plant_node_start(hub);
    plant_node_start(operator_node);
    plant_sync(hub);
    plant_sync(operator_node);
}
