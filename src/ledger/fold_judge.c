#include <string.h>

#include "base/bytes.h"
#include "ledger/fold_internal.h"

struct judging {
    const struct fold *f;
    const struct statement *s;
    uint64_t time;
    bool verify;
    int error;
};

/* By enum statement_kind: any one of these roles may say it. */
static const uint8_t roles_for[] = {
    [STATEMENT_INVITE] = ROLE_ADMISSION,
    [STATEMENT_UNINVITE] = ROLE_ADMISSION,
    [STATEMENT_POLICY] = ROLE_POLICY,
    [STATEMENT_REVOKE] = ROLE_SAFETY | ROLE_POLICY,
    [STATEMENT_ISOLATE] = ROLE_SAFETY | ROLE_POLICY,
    [STATEMENT_RESTORE] = ROLE_SAFETY | ROLE_POLICY,
    [STATEMENT_RELEASE] = ROLE_RELEASE,
};

uint8_t fold_roles_for(enum statement_kind kind)
{
    return kind < sizeof(roles_for) ? roles_for[kind] : 0;
}

static bool same_hash(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, SHA256_SIZE) == 0;
}

static bool has_signature(const struct statement *s, const uint8_t key[ED25519_PUBLIC_SIZE])
{
    for (uint32_t i = 0; i < s->signature_count; i++)
        if (memcmp(s->signatures[i].key, key, ED25519_PUBLIC_SIZE) == 0)
            return true;
    return false;
}

/* Every signature that it carries must hold: else it could be made another statement by adding to it. */
static enum fold_verdict verify_all(struct judging *j)
{
    for (uint32_t i = 0; j->verify && i < j->s->signature_count; i++) {
        int error = statement_verify(j->f->c, j->s, j->s->signatures[i].key);
        if (error == ERROR_AUTHENTICATION)
            return VERDICT_BAD_SIGNATURE;
        if (error) {
            j->error = error;
            return VERDICT_STORE;
        }
    }
    return VERDICT_STANDS;
}

/* All of its signers, of whom there are `max` at most, hold a role that may say it. */
static enum fold_verdict check_roles(struct judging *j, uint32_t max)
{
    if (j->s->signature_count > max)
        return VERDICT_NOT_ENTITLED;
    for (uint32_t i = 0; i < j->s->signature_count; i++) {
        const struct root_role *role = fold_find_role(j->f, j->s->signatures[i].key);
        if (!role || !(role->roles & fold_roles_for(j->s->kind)))
            return VERDICT_NOT_ENTITLED;
    }
    return verify_all(j);
}

static bool is_owner(const struct statement_root *r, const uint8_t *key)
{
    for (uint32_t i = 0; i < r->owner_count; i++)
        if (memcmp(r->owners[i], key, ED25519_PUBLIC_SIZE) == 0)
            return true;
    return false;
}

/* Enough owners of `r` signed, going by the keys. */
static bool has_threshold(const struct statement_root *r, const struct statement *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->signature_count; i++)
        count += is_owner(r, s->signatures[i].key);
    return count >= r->threshold;
}

/* Signed by owners alone: enough of the old root's (NULL: there is none), and enough of its own. */
static enum fold_verdict check_owners(struct judging *j, const struct statement_root *old)
{
    const struct statement_root *own = &j->s->root;
    for (uint32_t i = 0; i < j->s->signature_count; i++) {
        const uint8_t *key = j->s->signatures[i].key;
        if (!is_owner(own, key) && !(old && is_owner(old, key)))
            return VERDICT_NOT_ENTITLED;
    }
    if (!has_threshold(own, j->s) || (old && !has_threshold(old, j->s)))
        return VERDICT_NOT_ENTITLED;
    return verify_all(j);
}

/* A first root lists sequencers or names the invite whose join brings one; a root that replaces them lists some. */
bool root_contradicts_itself(const struct statement_root *r)
{
    if (r->threshold == 0 || r->threshold > r->owner_count)
        return true;
    if (r->version == 1)
        return r->replaces || r->founds == (r->sequencer_count > 0);
    return r->founds || (r->replaces && r->sequencer_count == 0);
}

static bool continues_here(const struct fold *f, const struct statement_root *r)
{
    uint8_t root[SHA256_SIZE];
    fold_root(f, root);
    return r->last.index == f->head.index && same_hash(r->last.hash, f->head.hash) &&
           same_hash(r->last.fold_root, root) && r->time >= f->head.time;
}

static enum fold_verdict judge_root(struct judging *j)
{
    const struct fold *f = j->f;
    const struct statement_root *r = &j->s->root;
    if (same_hash(j->s->hash, f->root.hash))
        return VERDICT_ALREADY;
    enum fold_verdict verdict = check_owners(j, &f->root.root);
    if (verdict != VERDICT_STANDS)
        return verdict;
    /* A network without a sequencer would be at its end. */
    if (root_contradicts_itself(r) || (r->sequencer_count == 0 && !f->root.founded))
        return VERDICT_CONTRADICTS_ITSELF;
    if (f->root.root.version == UINT64_MAX || r->version != f->root.root.version + 1)
        return VERDICT_OLD_ROOT;
    return r->replaces && !continues_here(f, r) ? VERDICT_WRONG_PLACE : VERDICT_STANDS;
}

/* Keys of invites and of devices are each nobody else's, whichever of the two they are. */
static bool signing_key_is_taken(const struct fold *f, const uint8_t *key)
{
    return fold_find(f, BY_SIGNING, key) != NOWHERE || fold_find(f, BY_INVITE_SIGNING, key) != NOWHERE;
}
static bool static_key_is_taken(const struct fold *f, const uint8_t *key)
{
    return fold_find(f, BY_STATIC, key) != NOWHERE || fold_find(f, BY_INVITE_STATIC, key) != NOWHERE;
}

static enum fold_verdict judge_invite(struct judging *j)
{
    const struct fold *f = j->f;
    const struct statement_invite *i = &j->s->invite;
    if (fold_find_invite(f, j->s->hash) != NOWHERE)
        return VERDICT_ALREADY;
    enum fold_verdict verdict = check_roles(j, 1);
    if (verdict != VERDICT_STANDS)
        return verdict;
    if (fold_find(f, BY_INVITE, j->s->hash) != NOWHERE ||
        fold_find(f, BY_INVITE_SIGNING, i->signing_public) != NOWHERE ||
        fold_find(f, BY_INVITE_STATIC, i->static_public) != NOWHERE)
        return VERDICT_INVITE_EXISTS;
    if (signing_key_is_taken(f, i->signing_public) || static_key_is_taken(f, i->static_public))
        return VERDICT_KEY_TAKEN;
    return f->device_count >= FOLD_DEVICES_MAX ? VERDICT_FULL : VERDICT_STANDS;
}

static enum fold_verdict judge_uninvite(struct judging *j)
{
    enum fold_verdict verdict = check_roles(j, 1);
    if (verdict != VERDICT_STANDS)
        return verdict;
    static const enum fold_verdict by_state[] = {
        [DEVICE_INVITED] = VERDICT_STANDS,
        [DEVICE_JOINED] = VERDICT_USED,
        [DEVICE_UNINVITED] = VERDICT_ALREADY,
        [DEVICE_REVOKED] = VERDICT_REVOKED,
    };
    uint32_t d = fold_find_invite(j->f, j->s->about.invite);
    return d == NOWHERE ? VERDICT_UNKNOWN_INVITE : by_state[j->f->devices[d].is.state];
}

static enum fold_verdict judge_joined(const struct fold_device *d, const struct statement_join *join)
{
    bool same = memcmp(d->signing_public, join->signing_public, ED25519_PUBLIC_SIZE) == 0 &&
                memcmp(d->static_public, join->static_public, X25519_SIZE) == 0;
    return same ? VERDICT_ALREADY : VERDICT_USED;
}

static bool is_founding(const struct statement_root *r, const struct fold_device *d)
{
    return r->version == 1 && r->founds &&
           memcmp(r->founding_invite, d->terms.signing_public, ED25519_PUBLIC_SIZE) == 0;
}

static enum fold_verdict judge_first_join(struct judging *j, const struct fold_device *d)
{
    const struct statement_join *join = &j->s->join;
    if (j->time > d->terms.join_before)
        return VERDICT_LATE;
    if (join->sequences != is_founding(&j->f->root.root, d))
        return VERDICT_CONTRADICTS_ITSELF;
    if (signing_key_is_taken(j->f, join->signing_public) || static_key_is_taken(j->f, join->static_public))
        return VERDICT_KEY_TAKEN;
    return VERDICT_STANDS;
}

static enum fold_verdict judge_join(struct judging *j)
{
    const struct statement_join *join = &j->s->join;
    uint32_t at = fold_find_invite(j->f, join->invite);
    if (at == NOWHERE)
        return VERDICT_UNKNOWN_INVITE;
    const struct fold_device *d = &j->f->devices[at].is;
    if (same_hash(j->s->hash, d->join) && d->state == DEVICE_JOINED)
        return VERDICT_ALREADY;
    if (j->s->signature_count != 2 || !has_signature(j->s, d->terms.signing_public) ||
        !has_signature(j->s, join->signing_public))
        return VERDICT_NOT_ENTITLED;
    enum fold_verdict verdict = verify_all(j);
    if (verdict != VERDICT_STANDS)
        return verdict;
    switch (d->state) {
    case DEVICE_INVITED:
        return judge_first_join(j, d);
    case DEVICE_JOINED:
        return judge_joined(d, join);
    case DEVICE_UNINVITED:
        return VERDICT_UNINVITED;
    case DEVICE_REVOKED:
        break;
    }
    return VERDICT_REVOKED;
}

static enum fold_verdict judge_new_static_key(struct judging *j, const struct fold_device *d)
{
    const struct statement_rotate *r = &j->s->rotate;
    bool same = memcmp(d->static_public, r->static_public, X25519_SIZE) == 0;
    if (r->number == d->rotate_number && same)
        return VERDICT_ALREADY;
    if (r->number <= d->rotate_number)
        return VERDICT_OLD_NUMBER;
    return !same && static_key_is_taken(j->f, r->static_public) ? VERDICT_KEY_TAKEN : VERDICT_STANDS;
}

static enum fold_verdict judge_rotate(struct judging *j)
{
    uint32_t at = fold_find_invite(j->f, j->s->rotate.invite);
    if (at == NOWHERE)
        return VERDICT_UNKNOWN_INVITE;
    const struct fold_device *d = &j->f->devices[at].is;
    if (d->state != DEVICE_JOINED)
        return d->state == DEVICE_REVOKED ? VERDICT_REVOKED : VERDICT_NOT_JOINED;
    if (j->s->signature_count != 1 || !has_signature(j->s, d->signing_public))
        return VERDICT_NOT_ENTITLED;
    enum fold_verdict verdict = verify_all(j);
    return verdict == VERDICT_STANDS ? judge_new_static_key(j, d) : verdict;
}

static enum fold_verdict judge_policy(struct judging *j)
{
    const struct fold *f = j->f;
    const struct statement_policy *p = &j->s->policy;
    if (f->policy_record != NOWHERE && same_hash(j->s->hash, f->policy.hash))
        return VERDICT_ALREADY;
    enum fold_verdict verdict = check_roles(j, STATEMENT_SIGNATURES_MAX);
    if (verdict != VERDICT_STANDS)
        return verdict;
    if (f->policy.version == UINT64_MAX || p->version != f->policy.version + 1 ||
        !same_hash(p->against, f->policy.hash))
        return VERDICT_OLD_POLICY;
    return p->change_count > FOLD_SUBJECTS_MAX - f->subject_count ? VERDICT_FULL : VERDICT_STANDS;
}

static enum fold_verdict judge_revoke(struct judging *j)
{
    enum fold_verdict verdict = check_roles(j, 1);
    if (verdict != VERDICT_STANDS)
        return verdict;
    uint32_t d = fold_find_invite(j->f, j->s->about.invite);
    if (d == NOWHERE)
        return VERDICT_UNKNOWN_INVITE;
    return j->f->devices[d].is.state == DEVICE_REVOKED ? VERDICT_ALREADY : VERDICT_STANDS;
}

static enum fold_verdict judge_isolate(struct judging *j)
{
    /* One that was lifted stays lifted: whoever kept it may not say it again. */
    if (fold_find(j->f, BY_ISOLATION, j->s->hash) != NOWHERE)
        return VERDICT_ALREADY;
    enum fold_verdict verdict = check_roles(j, 1);
    if (verdict != VERDICT_STANDS)
        return verdict;
    uint32_t at = fold_find_invite(j->f, j->s->about.invite);
    if (at == NOWHERE)
        return VERDICT_UNKNOWN_INVITE;
    const struct device *d = &j->f->devices[at];
    if (d->is.state == DEVICE_UNINVITED || d->is.state == DEVICE_REVOKED)
        return d->is.state == DEVICE_REVOKED ? VERDICT_REVOKED : VERDICT_UNINVITED;
    return d->isolation_total >= FOLD_ISOLATIONS_MAX ? VERDICT_FULL : VERDICT_STANDS;
}

static enum fold_verdict judge_restore(struct judging *j)
{
    enum fold_verdict verdict = check_roles(j, 1);
    if (verdict != VERDICT_STANDS)
        return verdict;
    for (uint32_t i = 0; i < j->s->restore.count; i++) {
        uint32_t at = fold_find(j->f, BY_ISOLATION, j->s->restore.isolates[i]);
        if (at != NOWHERE && !j->f->isolations[at].lifted)
            return VERDICT_STANDS;
    }
    return VERDICT_NOTHING_TO_RESTORE;
}

static enum fold_verdict judge_release(struct judging *j)
{
    const struct fold *f = j->f;
    if (f->release_record != NOWHERE && same_hash(j->s->hash, f->release.statement))
        return VERDICT_ALREADY;
    enum fold_verdict verdict = check_roles(j, STATEMENT_SIGNATURES_MAX);
    if (verdict != VERDICT_STANDS)
        return verdict;
    return j->s->release.version <= f->release.version ? VERDICT_OLD_NUMBER : VERDICT_STANDS;
}

static enum fold_verdict (*const judges[])(struct judging *) = {
    [STATEMENT_ROOT] = judge_root,       [STATEMENT_INVITE] = judge_invite,   [STATEMENT_UNINVITE] = judge_uninvite,
    [STATEMENT_JOIN] = judge_join,       [STATEMENT_ROTATE] = judge_rotate,   [STATEMENT_POLICY] = judge_policy,
    [STATEMENT_REVOKE] = judge_revoke,   [STATEMENT_ISOLATE] = judge_isolate, [STATEMENT_RESTORE] = judge_restore,
    [STATEMENT_RELEASE] = judge_release,
};

static bool is_first_root(const struct statement *s)
{
    return s->kind == STATEMENT_ROOT && s->root.version == 1;
}

static enum fold_verdict judge_first_root(struct judging *j)
{
    if (!is_first_root(j->s))
        return VERDICT_WRONG_NETWORK;
    enum fold_verdict verdict = check_owners(j, NULL);
    if (verdict != VERDICT_STANDS)
        return verdict;
    return root_contradicts_itself(&j->s->root) ? VERDICT_CONTRADICTS_ITSELF : VERDICT_STANDS;
}

enum fold_verdict fold_judge_as(const struct fold *f, const struct statement *s, uint64_t time, bool verify, int *error)
{
    struct judging j = {.f = f, .s = s, .time = time, .verify = verify};
    const uint8_t *network = is_first_root(s) ? s->hash : s->network.bytes;
    enum fold_verdict verdict;
    if (fold_is_empty(f))
        verdict = judge_first_root(&j);
    else if (memcmp(network, f->network.bytes, NETWORK_ID_SIZE) != 0)
        verdict = VERDICT_WRONG_NETWORK;
    else
        verdict = is_first_root(s) ? VERDICT_ALREADY : judges[s->kind](&j);
    *error = j.error;
    return verdict;
}

enum fold_verdict fold_judge(const struct fold *f, const struct statement *s, uint64_t time)
{
    int error;
    return fold_judge_as(f, s, time, true, &error);
}

bool fold_replaces(const struct fold *f, const struct statement *s)
{
    const struct statement_root *r = &s->root, *old = &f->root.root;
    if (fold_is_empty(f) || s->kind != STATEMENT_ROOT || !r->replaces || root_contradicts_itself(r))
        return false;
    if (memcmp(s->network.bytes, f->network.bytes, NETWORK_ID_SIZE) != 0 || old->version == UINT64_MAX ||
        r->version != old->version + 1 || r->last.index > f->head.index || r->last.index < f->root.at)
        return false;
    struct judging j = {.f = f, .s = s, .verify = true};
    return check_owners(&j, old) == VERDICT_STANDS;
}
