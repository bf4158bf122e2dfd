#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static void must(bool condition)
{
    if (!condition)
        abort();
}

static bool same(const void *a, const void *b)
{
    if (!a || !b)
        abort();
    return memcmp(a, b, 32) == 0;
}

const struct fact *model_latest(const struct model *m, enum statement_kind kind)
{
    const struct fact *latest = NULL;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->facts[i].s.kind == kind)
            latest = &m->facts[i];
    return latest;
}

const struct statement_root *model_root(const struct model *m)
{
    return &model_latest(m, STATEMENT_ROOT)->s.root;
}

/* The one fact of this kind that names an invite; NULL. The last, if there are several. */
static const struct fact *about_invite(const struct model *m, enum statement_kind kind, const uint8_t *invite)
{
    const struct fact *found = NULL;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct statement *s = &m->facts[i].s;
        const uint8_t *names = s->kind == STATEMENT_JOIN     ? s->join.invite
                               : s->kind == STATEMENT_ROTATE ? s->rotate.invite
                                                             : s->about.invite;
        if (s->kind == kind && same(names, invite))
            found = &m->facts[i];
    }
    return found;
}

static const struct fact *invite_fact(const struct model *m, const uint8_t *hash)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->facts[i].s.kind == STATEMENT_INVITE && same(m->facts[i].s.hash, hash))
            return &m->facts[i];
    return NULL;
}

static const uint8_t *static_key_now(const struct model *m, const struct fact *join)
{
    const struct fact *rotate = about_invite(m, STATEMENT_ROTATE, join->s.join.invite);
    return rotate ? rotate->s.rotate.static_public : join->s.join.static_public;
}

static const struct fact *founding_join(const struct model *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->facts[i].s.kind == STATEMENT_JOIN && m->facts[i].s.join.sequences)
            return &m->facts[i];
    return NULL;
}

bool model_sequences(const struct model *m, const uint8_t *key)
{
    const struct statement_root *root = model_root(m);
    for (uint32_t i = 0; i < root->sequencer_count; i++)
        if (same(root->sequencers[i], key))
            return true;
    return root->sequencer_count == 0 && founding_join(m) && same(founding_join(m)->s.join.sequencer, key);
}

/* Judging: the same questions in the same order as docs/PROTOCOL.md lists them. */

static uint8_t roles_of(const struct statement_root *root, const uint8_t *key)
{
    for (uint32_t i = 0; i < root->role_count; i++)
        if (same(root->roles[i].key, key))
            return root->roles[i].roles;
    return 0;
}

static bool owns(const struct statement_root *root, const uint8_t *key)
{
    for (uint32_t i = 0; i < root->owner_count; i++)
        if (same(root->owners[i], key))
            return true;
    return false;
}

static uint32_t owners_who_signed(const struct statement_root *root, const struct statement *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < root->owner_count; i++)
        for (uint32_t k = 0; k < s->signature_count; k++)
            count += same(root->owners[i], s->signatures[k].key);
    return count;
}

static bool signed_by(const struct statement *s, const uint8_t *key)
{
    for (uint32_t k = 0; k < s->signature_count; k++)
        if (same(s->signatures[k].key, key))
            return true;
    return false;
}

static bool all_signers_hold(const struct model *m, const struct statement *s, uint8_t roles)
{
    for (uint32_t k = 0; k < s->signature_count; k++)
        if (!(roles_of(model_root(m), s->signatures[k].key) & roles))
            return false;
    return true;
}

static bool root_is_entitled(const struct statement_root *old, const struct statement *s)
{
    for (uint32_t k = 0; k < s->signature_count; k++)
        if (!owns(&s->root, s->signatures[k].key) && !(old && owns(old, s->signatures[k].key)))
            return false;
    return owners_who_signed(&s->root, s) >= s->root.threshold && (!old || owners_who_signed(old, s) >= old->threshold);
}

static bool root_is_consistent(const struct model *m, const struct statement_root *r)
{
    if (r->threshold > r->owner_count)
        return false;
    if (r->version == 1)
        return !r->replaces && (r->founds ? r->sequencer_count == 0 : r->sequencer_count > 0);
    if (r->founds || (r->replaces && r->sequencer_count == 0))
        return false;
    return r->sequencer_count > 0 || founding_join(m);
}

static enum fold_verdict judge_root(const struct model *m, const struct statement *s, bool forged)
{
    uint8_t root[SHA256_SIZE];
    if (m->count > 0 && same(model_latest(m, STATEMENT_ROOT)->s.hash, s->hash))
        return VERDICT_ALREADY;
    if (!root_is_entitled(m->count ? model_root(m) : NULL, s))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    if (!root_is_consistent(m, &s->root))
        return VERDICT_CONTRADICTS_ITSELF;
    if (m->count == 0)
        return VERDICT_STANDS;
    if (s->root.version != model_root(m)->version + 1)
        return VERDICT_OLD_ROOT;
    model_merkle_root(m, root);
    if (s->root.replaces && (s->root.last.index != m->head.index || !same(s->root.last.hash, m->head.hash) ||
                             !same(s->root.last.fold_root, root) || s->root.time < m->head.time))
        return VERDICT_WRONG_PLACE;
    return VERDICT_STANDS;
}

static bool an_invite_has(const struct model *m, const uint8_t *signing, const uint8_t *fixed)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct statement *s = &m->facts[i].s;
        if (s->kind == STATEMENT_INVITE &&
            ((signing && same(s->invite.signing_public, signing)) || (fixed && same(s->invite.static_public, fixed))))
            return true;
    }
    return false;
}

static bool a_device_has(const struct model *m, const uint8_t *signing, const uint8_t *fixed)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct statement *s = &m->facts[i].s;
        if (s->kind == STATEMENT_JOIN && ((signing && same(s->join.signing_public, signing)) ||
                                          (fixed && same(static_key_now(m, &m->facts[i]), fixed))))
            return true;
    }
    return false;
}

static enum fold_verdict judge_invite(const struct model *m, const struct statement *s, bool forged)
{
    if (invite_fact(m, s->hash))
        return VERDICT_ALREADY;
    if (s->signature_count != 1 || !all_signers_hold(m, s, ROLE_ADMISSION))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    if (an_invite_has(m, s->invite.signing_public, s->invite.static_public))
        return VERDICT_INVITE_EXISTS;
    return a_device_has(m, s->invite.signing_public, s->invite.static_public) ? VERDICT_KEY_TAKEN : VERDICT_STANDS;
}

static enum fold_verdict judge_join(const struct model *m, const struct statement *s, uint64_t time, bool forged)
{
    const struct statement_join *j = &s->join;
    const struct fact *invite = invite_fact(m, j->invite), *joined = about_invite(m, STATEMENT_JOIN, j->invite);
    if (!invite)
        return VERDICT_UNKNOWN_INVITE;
    bool revoked = about_invite(m, STATEMENT_REVOKE, j->invite);
    if (joined && !revoked && same(joined->s.hash, s->hash))
        return VERDICT_ALREADY;
    if (s->signature_count != 2 || !signed_by(s, invite->s.invite.signing_public) || !signed_by(s, j->signing_public))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    if (revoked)
        return VERDICT_REVOKED;
    if (about_invite(m, STATEMENT_UNINVITE, j->invite))
        return VERDICT_UNINVITED;
    if (joined)
        return same(joined->s.join.signing_public, j->signing_public) &&
                       same(static_key_now(m, joined), j->static_public)
                   ? VERDICT_ALREADY
                   : VERDICT_USED;
    if (time > invite->s.invite.join_before)
        return VERDICT_LATE;
    bool founding = model_root(m)->version == 1 && model_root(m)->founds &&
                    same(model_root(m)->founding_invite, invite->s.invite.signing_public);
    if (founding != j->sequences)
        return VERDICT_CONTRADICTS_ITSELF;
    return an_invite_has(m, j->signing_public, j->static_public) || a_device_has(m, j->signing_public, j->static_public)
               ? VERDICT_KEY_TAKEN
               : VERDICT_STANDS;
}

static enum fold_verdict judge_rotate(const struct model *m, const struct statement *s, bool forged)
{
    const struct statement_rotate *r = &s->rotate;
    const struct fact *joined = about_invite(m, STATEMENT_JOIN, r->invite);
    const struct fact *before = about_invite(m, STATEMENT_ROTATE, r->invite);
    uint64_t last = before ? before->s.rotate.number : 0;
    if (!invite_fact(m, r->invite))
        return VERDICT_UNKNOWN_INVITE;
    if (about_invite(m, STATEMENT_REVOKE, r->invite))
        return VERDICT_REVOKED;
    if (!joined)
        return VERDICT_NOT_JOINED;
    if (s->signature_count != 1 || !signed_by(s, joined->s.join.signing_public))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    bool own = same(static_key_now(m, joined), r->static_public);
    if (r->number == last && own)
        return VERDICT_ALREADY;
    if (r->number <= last)
        return VERDICT_OLD_NUMBER;
    return !own && (an_invite_has(m, NULL, r->static_public) || a_device_has(m, NULL, r->static_public))
               ? VERDICT_KEY_TAKEN
               : VERDICT_STANDS;
}

static enum fold_verdict judge_policy(const struct model *m, const struct statement *s, bool forged)
{
    const struct fact *latest = model_latest(m, STATEMENT_POLICY);
    const uint8_t none[SHA256_SIZE] = {0};
    if (latest && same(latest->s.hash, s->hash))
        return VERDICT_ALREADY;
    if (!all_signers_hold(m, s, ROLE_POLICY))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    return s->policy.version == (latest ? latest->s.policy.version : 0) + 1 &&
                   same(s->policy.against, latest ? latest->s.hash : none)
               ? VERDICT_STANDS
               : VERDICT_OLD_POLICY;
}

static bool is_isolation(const struct model *m, const uint8_t *hash)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->facts[i].s.kind == STATEMENT_ISOLATE && same(m->facts[i].s.hash, hash))
            return true;
    return false;
}

static bool is_lifted(const struct model *m, const uint8_t *isolation)
{
    for (uint32_t i = 0; i < m->count; i++)
        for (uint32_t k = 0; m->facts[i].s.kind == STATEMENT_RESTORE && k < m->facts[i].s.restore.count; k++)
            if (same(m->facts[i].s.restore.isolates[k], isolation))
                return true;
    return false;
}

static enum fold_verdict judge_take_away(const struct model *m, const struct statement *s, bool forged)
{
    const uint8_t *invite = s->about.invite;
    uint8_t roles = s->kind == STATEMENT_UNINVITE ? ROLE_ADMISSION : ROLE_SAFETY | ROLE_POLICY;
    if (s->kind == STATEMENT_ISOLATE && is_isolation(m, s->hash))
        return VERDICT_ALREADY;
    if (s->signature_count != 1 || !all_signers_hold(m, s, roles))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    if (!invite_fact(m, invite))
        return VERDICT_UNKNOWN_INVITE;
    if (about_invite(m, STATEMENT_REVOKE, invite))
        return s->kind == STATEMENT_REVOKE ? VERDICT_ALREADY : VERDICT_REVOKED;
    if (s->kind == STATEMENT_REVOKE)
        return VERDICT_STANDS;
    if (about_invite(m, STATEMENT_UNINVITE, invite))
        return s->kind == STATEMENT_UNINVITE ? VERDICT_ALREADY : VERDICT_UNINVITED;
    return s->kind == STATEMENT_UNINVITE && about_invite(m, STATEMENT_JOIN, invite) ? VERDICT_USED : VERDICT_STANDS;
}

static enum fold_verdict judge_restore(const struct model *m, const struct statement *s, bool forged)
{
    if (s->signature_count != 1 || !all_signers_hold(m, s, ROLE_SAFETY | ROLE_POLICY))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    for (uint32_t k = 0; k < s->restore.count; k++)
        if (is_isolation(m, s->restore.isolates[k]) && !is_lifted(m, s->restore.isolates[k]))
            return VERDICT_STANDS;
    return VERDICT_NOTHING_TO_RESTORE;
}

static enum fold_verdict judge_release(const struct model *m, const struct statement *s, bool forged)
{
    const struct fact *latest = model_latest(m, STATEMENT_RELEASE);
    if (latest && same(latest->s.hash, s->hash))
        return VERDICT_ALREADY;
    if (!all_signers_hold(m, s, ROLE_RELEASE))
        return VERDICT_NOT_ENTITLED;
    if (forged)
        return VERDICT_BAD_SIGNATURE;
    return latest && s->release.version <= latest->s.release.version ? VERDICT_OLD_NUMBER : VERDICT_STANDS;
}

enum fold_verdict model_judge(const struct model *m, const struct statement *s, uint64_t time, bool forged)
{
    bool first = s->kind == STATEMENT_ROOT && s->root.version == 1;
    if (m->count == 0)
        return first ? judge_root(m, s, forged) : VERDICT_WRONG_NETWORK;
    if (!same(first ? s->hash : s->network.bytes, m->facts[0].s.hash))
        return VERDICT_WRONG_NETWORK;
    if (first)
        return VERDICT_ALREADY;
    switch (s->kind) {
    case STATEMENT_ROOT:
        return judge_root(m, s, forged);
    case STATEMENT_INVITE:
        return judge_invite(m, s, forged);
    case STATEMENT_JOIN:
        return judge_join(m, s, time, forged);
    case STATEMENT_ROTATE:
        return judge_rotate(m, s, forged);
    case STATEMENT_POLICY:
        return judge_policy(m, s, forged);
    case STATEMENT_UNINVITE:
    case STATEMENT_REVOKE:
    case STATEMENT_ISOLATE:
        return judge_take_away(m, s, forged);
    case STATEMENT_RESTORE:
        return judge_restore(m, s, forged);
    case STATEMENT_RELEASE:
        return judge_release(m, s, forged);
    }
    abort();
}

static void stop_waiting(struct model *m, uint32_t i)
{
    memmove(&m->waiting[i], &m->waiting[i + 1], (m->waiting_count - i - 1) * sizeof(m->waiting[0]));
    m->waiting_count--;
}

void model_apply(struct model *m, const struct statement *s, uint64_t time, enum fold_verdict verdict)
{
    uint8_t chained[72];
    if (verdict == VERDICT_STANDS && s->kind == STATEMENT_ROOT && s->root.replaces)
        time = s->root.time;
    if (m->count == 0) {
        m->head.index = 0;
        m->head.time = s->root.time;
        memcpy(m->head.hash, s->hash, SHA256_SIZE);
    } else {
        memcpy(chained, m->head.hash, 32);
        for (int i = 0; i < 8; i++)
            chained[32 + i] = (uint8_t)(time >> (56 - 8 * i));
        memcpy(chained + 40, s->hash, 32);
        must(!crypto_sha256(m->c, m->head.hash, chained, sizeof(chained)));
        m->head.index++;
        m->head.time = time;
    }
    for (uint32_t i = 0; i < m->waiting_count; i++)
        if (same(m->waiting[i].hash, s->hash))
            stop_waiting(m, i--);
    if (verdict != VERDICT_STANDS)
        return;
    must(m->count < FACTS_MAX);
    m->facts[m->count++] = (struct fact){*s, m->head.time, m->head.index};
    for (uint32_t i = 0; s->kind == STATEMENT_ROOT && i < m->waiting_count; i++)
        if (!all_signers_hold(m, &m->waiting[i],
                              m->waiting[i].kind == STATEMENT_UNINVITE ? ROLE_ADMISSION : ROLE_SAFETY | ROLE_POLICY))
            stop_waiting(m, i--);
}

enum fold_verdict model_take_away(struct model *m, const struct statement *s, bool forged)
{
    for (uint32_t i = 0; i < m->waiting_count; i++)
        if (same(m->waiting[i].hash, s->hash))
            return VERDICT_ALREADY;
    enum fold_verdict verdict = model_judge(m, s, m->head.time, forged);
    if (verdict == VERDICT_STANDS) {
        must(m->waiting_count < MODEL_WAITING_MAX);
        m->waiting[m->waiting_count++] = *s;
    }
    return verdict;
}

uint32_t model_device_count(const struct model *m)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->count; i++)
        count += m->facts[i].s.kind == STATEMENT_INVITE;
    return count;
}

static const struct fact *nth_invite(const struct model *m, uint32_t n)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->facts[i].s.kind == STATEMENT_INVITE && n-- == 0)
            return &m->facts[i];
    abort();
}

/* The root that was in force when an entry came. */
static const struct statement_root *root_at(const struct model *m, uint64_t index)
{
    const struct statement_root *root = NULL;
    for (uint32_t i = 0; i < m->count && m->facts[i].index <= index; i++)
        if (m->facts[i].s.kind == STATEMENT_ROOT)
            root = &m->facts[i].s.root;
    return root;
}

static void fill_admission(const struct model *m, const struct fact *invite, struct fold_device *out)
{
    const struct statement_root *root = root_at(m, invite->index);
    memcpy(out->admitted_by, invite->s.signatures[0].key, 32);
    for (uint32_t i = 0; i < root->role_count; i++)
        if (same(root->roles[i].key, out->admitted_by) && root->roles[i].scoped)
            memcpy(out->admitted_scope, root->roles[i].scope, 32);
}

void model_device(const struct model *m, uint32_t i, struct fold_device *out)
{
    const struct fact *invite = nth_invite(m, i);
    const struct fact *join = about_invite(m, STATEMENT_JOIN, invite->s.hash);
    const struct fact *rotate = about_invite(m, STATEMENT_ROTATE, invite->s.hash);
    uint8_t isolations[FACTS_MAX][SHA256_SIZE];
    memset(out, 0, sizeof(*out));
    memcpy(out->id.bytes, invite->s.hash, DEVICE_ID_SIZE);
    memcpy(out->invite, invite->s.hash, SHA256_SIZE);
    out->terms = invite->s.invite;
    fill_admission(m, invite, out);
    if (join) {
        memcpy(out->join, join->s.hash, SHA256_SIZE);
        memcpy(out->signing_public, join->s.join.signing_public, 32);
        memcpy(out->static_public, static_key_now(m, join), 32);
        out->joined_at = join->index;
        out->rotate_number = rotate ? rotate->s.rotate.number : 0;
    }
    out->state = about_invite(m, STATEMENT_REVOKE, out->invite)     ? DEVICE_REVOKED
                 : about_invite(m, STATEMENT_UNINVITE, out->invite) ? DEVICE_UNINVITED
                 : join                                             ? DEVICE_JOINED
                                                                    : DEVICE_INVITED;
    out->isolate_count = model_isolations(m, out, isolations);
}

static bool is_waiting(const struct model *m, enum statement_kind kind, const struct fold_device *d)
{
    for (uint32_t i = 0; i < m->waiting_count; i++)
        if (m->waiting[i].kind == kind && same(m->waiting[i].about.invite, d->invite))
            return true;
    return false;
}

bool model_is_live(const struct model *m, const struct fold_device *d)
{
    return d->state == DEVICE_JOINED && d->isolate_count == 0 && !is_waiting(m, STATEMENT_REVOKE, d) &&
           !is_waiting(m, STATEMENT_ISOLATE, d);
}

bool model_is_open(const struct model *m, const struct fold_device *d, uint64_t time)
{
    return d->state == DEVICE_INVITED && time <= d->terms.join_before && !is_waiting(m, STATEMENT_REVOKE, d) &&
           !is_waiting(m, STATEMENT_UNINVITE, d);
}

uint32_t model_isolations(const struct model *m, const struct fold_device *d, uint8_t (*out)[SHA256_SIZE])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct statement *s = &m->facts[i].s;
        if (s->kind == STATEMENT_ISOLATE && same(s->about.invite, d->invite) && !is_lifted(m, s->hash))
            memcpy(out[count++], s->hash, SHA256_SIZE);
    }
    return count;
}

/* The last change of a subject among the first `facts`; false: it was never named. */
static bool last_change(const struct model *m, uint32_t facts, const struct subject *subject, struct policy_change *out)
{
    bool found = false;
    for (uint32_t i = 0; i < facts; i++)
        for (uint32_t k = 0; m->facts[i].s.kind == STATEMENT_POLICY && k < m->facts[i].s.policy.change_count; k++) {
            struct policy_change change;
            statement_policy_change(&m->facts[i].s.policy, k, &change);
            if (memcmp(&change.subject, subject, sizeof(*subject)) != 0)
                continue;
            *out = change;
            found = true;
        }
    return found;
}

bool model_subject(const struct model *m, const struct subject *s, uint8_t commitment[SHA256_SIZE])
{
    struct policy_change change;
    if (!last_change(m, m->count, s, &change) || change.gone)
        return false;
    memcpy(commitment, change.commitment, SHA256_SIZE);
    return true;
}

/* Records, and the tree of RFC 6962 section 2.1 as it is defined there. */

#define MODEL_RECORDS_MAX 256
struct model_records {
    struct crypto *c;
    uint32_t count;
    uint8_t leaves[MODEL_RECORDS_MAX][SHA256_SIZE];
    uint8_t bytes[8192];
    size_t len;
};

static void add(struct model_records *r, const void *bytes, size_t len)
{
    must(r->len + len <= sizeof(r->bytes));
    memcpy(r->bytes + r->len, bytes, len);
    r->len += len;
}

static void add_number(struct model_records *r, uint64_t value, int bytes)
{
    while (bytes-- > 0)
        add(r, &(uint8_t){(uint8_t)(value >> (8 * bytes))}, 1);
}

static void begin_record(struct model_records *r, uint8_t kind)
{
    r->len = 0;
    add_number(r, 0, 1);
    add_number(r, kind, 1);
}

static void end_record(struct model_records *r)
{
    must(r->count < MODEL_RECORDS_MAX);
    must(!crypto_sha256(r->c, r->leaves[r->count++], r->bytes, r->len));
}

static void add_root(const struct model *m, struct model_records *r)
{
    const struct fact *root = model_latest(m, STATEMENT_ROOT), *founding = founding_join(m);
    begin_record(r, 1);
    add(r, root->s.hash, 32);
    add_number(r, root->index, 8);
    add_number(r, founding != NULL, 1);
    if (founding)
        add(r, founding->s.join.sequencer, 32);
    add_number(r, root->s.body_len, 4);
    add(r, root->s.body, root->s.body_len);
    end_record(r);
}

static void add_isolations(const struct model *m, const struct fold_device *d, struct model_records *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->count; i++)
        count += m->facts[i].s.kind == STATEMENT_ISOLATE && same(m->facts[i].s.about.invite, d->invite);
    add_number(r, count, 4);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct statement *s = &m->facts[i].s;
        if (s->kind != STATEMENT_ISOLATE || !same(s->about.invite, d->invite))
            continue;
        add(r, s->hash, 32);
        add_number(r, is_lifted(m, s->hash), 1);
    }
}

static void add_device(const struct model *m, uint32_t i, struct model_records *r)
{
    struct fold_device d;
    model_device(m, i, &d);
    bool joined = about_invite(m, STATEMENT_JOIN, d.invite);
    begin_record(r, 2);
    add(r, d.invite, 32);
    add(r, d.terms.signing_public, 32);
    add(r, d.terms.static_public, 32);
    add_number(r, d.terms.join_before, 8);
    add_number(r, d.terms.member_until, 8);
    add(r, d.terms.commitment, 32);
    add(r, d.admitted_by, 32);
    add(r, d.admitted_scope, 32);
    add_number(r, d.state, 1);
    add_number(r, joined, 1);
    if (joined) {
        add(r, d.join, 32);
        add(r, d.signing_public, 32);
        add(r, d.static_public, 32);
        add_number(r, d.joined_at, 8);
        add_number(r, d.rotate_number, 8);
    }
    add_isolations(m, &d, r);
    end_record(r);
}

static void add_policy(const struct model *m, struct model_records *r)
{
    const struct fact *policy = model_latest(m, STATEMENT_POLICY);
    begin_record(r, 3);
    add_number(r, policy->s.policy.version, 8);
    add(r, policy->s.hash, 32);
    add_number(r, policy->time, 8);
    end_record(r);
}

static void add_subject(const struct model *m, const struct subject *subject, struct model_records *r)
{
    struct policy_change change;
    must(last_change(m, m->count, subject, &change));
    begin_record(r, 4);
    add(r, subject, 16);
    add_number(r, !change.gone, 1);
    if (!change.gone)
        add(r, change.commitment, 32);
    end_record(r);
}

static void add_new_subjects(const struct model *m, uint32_t fact, struct model_records *r)
{
    const struct statement_policy *p = &m->facts[fact].s.policy;
    for (uint32_t k = 0; k < p->change_count; k++) {
        struct policy_change change, before;
        statement_policy_change(p, k, &change);
        if (!last_change(m, fact, &change.subject, &before))
            add_subject(m, &change.subject, r);
    }
}

static void add_release(const struct model *m, struct model_records *r)
{
    const struct fact *release = model_latest(m, STATEMENT_RELEASE);
    begin_record(r, 5);
    add_number(r, release->s.release.version, 8);
    add(r, release->s.release.hash, 32);
    add(r, release->s.hash, 32);
    end_record(r);
}

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
    must(!crypto_sha256(c, out, node, sizeof(node)));
}

void model_merkle_root(const struct model *m, uint8_t out[SHA256_SIZE])
{
    struct model_records r = {.c = m->c};
    uint32_t devices = 0;
    bool policy = false, release = false;
    add_root(m, &r);
    for (uint32_t i = 0; i < m->count; i++) {
        enum statement_kind kind = m->facts[i].s.kind;
        if (kind == STATEMENT_INVITE)
            add_device(m, devices++, &r);
        if (kind == STATEMENT_POLICY && !policy)
            add_policy(m, &r);
        if (kind == STATEMENT_POLICY)
            add_new_subjects(m, i, &r);
        if (kind == STATEMENT_RELEASE && !release)
            add_release(m, &r);
        policy |= kind == STATEMENT_POLICY;
        release |= kind == STATEMENT_RELEASE;
    }
    tree_hash(m->c, (const uint8_t(*)[SHA256_SIZE])r.leaves, r.count, out);
}
