#include <stdlib.h>
#include <string.h>

#include "ledger/sequencer_internal.h"

/* ---- Openings: a statement stands only with all that it commits to. ---- */

/* One commitment of a statement, and what must be behind it. */
struct wanted {
    enum opening_kind kind;
    uint8_t commitment[SHA256_SIZE];
    struct subject subject; /* of rules */
    uint64_t version;
};

uint32_t sequencer_openings_max(const struct statement *st)
{
    switch (st->kind) {
    case STATEMENT_ROOT:
        return st->root.role_count;
    case STATEMENT_INVITE:
        return 1;
    case STATEMENT_POLICY:
        return st->policy.change_count;
    default:
        return 0;
    }
}

static bool want_scope(const struct root_role *role, struct wanted *out)
{
    out->kind = OPENING_SCOPE;
    memcpy(out->commitment, role->scope, SHA256_SIZE);
    return role->scoped;
}

static bool want_rules(const struct statement_policy *policy, uint32_t i, struct wanted *out)
{
    struct policy_change change;
    statement_policy_change(policy, i, &change);
    out->kind = OPENING_RULES;
    out->subject = change.subject;
    out->version = policy->version;
    memcpy(out->commitment, change.commitment, SHA256_SIZE);
    return !change.gone;
}

/* False: the i-th place commits to nothing. */
static bool wanted_at(const struct statement *st, uint32_t i, struct wanted *out)
{
    *out = (struct wanted){.kind = OPENING_INVITE};
    if (st->kind == STATEMENT_ROOT)
        return want_scope(&st->root.roles[i], out);
    if (st->kind == STATEMENT_POLICY)
        return want_rules(&st->policy, i, out);
    memcpy(out->commitment, st->invite.commitment, SHA256_SIZE);
    return true;
}

static const struct sequencer_opening *offered(const struct sequencer_submission *from, const uint8_t *commitment)
{
    for (uint32_t i = 0; i < from->opening_count; i++)
        if (memcmp(from->openings[i].commitment, commitment, SHA256_SIZE) == 0)
            return &from->openings[i];
    return NULL;
}

static bool is_what_was_wanted(const struct opening *o, const struct wanted *wanted)
{
    if (o->kind != wanted->kind)
        return false;
    return o->kind != OPENING_RULES || (memcmp(&o->rules.subject, &wanted->subject, sizeof(wanted->subject)) == 0 &&
                                        o->rules.version == wanted->version);
}

static enum fold_verdict check_form(struct frame_view bytes, const struct wanted *wanted)
{
    struct opening o;
    if (opening_decode(&o, bytes.bytes, bytes.len))
        return VERDICT_MALFORMED;
    bool good = is_what_was_wanted(&o, wanted);
    opening_clear(&o);
    return good ? VERDICT_STANDS : VERDICT_CONTRADICTS_ITSELF;
}

static bool is_among(const struct sequencer_opening *openings, uint32_t count, const uint8_t *commitment)
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(openings[i].commitment, commitment, SHA256_SIZE) == 0)
            return true;
    return false;
}

static enum fold_verdict gather(struct sequencer *s, const struct statement *st,
                                const struct sequencer_submission *from, struct sequencer_opening *kept,
                                uint32_t *kept_count)
{
    *kept_count = 0;
    for (uint32_t i = 0; i < sequencer_openings_max(st); i++) {
        struct wanted wanted;
        if (!wanted_at(st, i, &wanted))
            continue;
        struct frame_view bytes;
        bool held = archive_opening(&s->archive, wanted.commitment, &bytes);
        const struct sequencer_opening *found = held ? NULL : offered(from, wanted.commitment);
        if (!held && !found)
            return VERDICT_INCOMPLETE;
        enum fold_verdict verdict = check_form(held ? bytes : found->bytes, &wanted);
        if (verdict != VERDICT_STANDS)
            return verdict;
        if (!held && !is_among(kept, *kept_count, wanted.commitment))
            kept[(*kept_count)++] = *found;
    }
    return VERDICT_STANDS;
}

/* ---- Scope: what a signer may touch. Openings decide, so every node judges it too; here it is refused early. ---- */

/* The roles that may say each kind; others have no scope to break. */
static const uint8_t roles_of[] = {
    [STATEMENT_INVITE] = ROLE_ADMISSION,
    [STATEMENT_UNINVITE] = ROLE_ADMISSION,
    [STATEMENT_POLICY] = ROLE_POLICY,
    [STATEMENT_REVOKE] = ROLE_SAFETY | ROLE_POLICY,
    [STATEMENT_ISOLATE] = ROLE_SAFETY | ROLE_POLICY,
    [STATEMENT_RELEASE] = 0,
};

static bool invite_within(struct sequencer *s, const struct opening_scope *scope, const uint8_t commitment[SHA256_SIZE],
                          struct frame_view bytes)
{
    struct opening o;
    if (!bytes.len && !archive_opening(&s->archive, commitment, &bytes))
        return false;
    if (opening_decode(&o, bytes.bytes, bytes.len))
        return false;
    bool within = o.kind == OPENING_INVITE && scope_holds(scope, &o.invite);
    opening_clear(&o);
    return within;
}

static bool device_within(struct sequencer *s, const struct opening_scope *scope, const struct fold_device *d)
{
    return d && invite_within(s, scope, d->terms.commitment, (struct frame_view){0});
}

static bool subject_within(struct sequencer *s, const struct opening_scope *scope, const struct subject *subject)
{
    for (uint32_t i = 0; i < scope->group_count; i++)
        if (memcmp(&scope->groups[i], subject, sizeof(*subject)) == 0)
            return true;
    struct device_id id;
    _Static_assert(sizeof(id) == sizeof(*subject), "a device is a subject by its id");
    memcpy(&id, subject, sizeof(id));
    return device_within(s, scope, fold_device_by_id(s->fold, &id));
}

static bool policy_within(struct sequencer *s, const struct opening_scope *scope, const struct statement_policy *policy)
{
    for (uint32_t i = 0; i < policy->change_count; i++) {
        struct policy_change change;
        statement_policy_change(policy, i, &change);
        if (!subject_within(s, scope, &change.subject))
            return false;
    }
    return true;
}

static bool statement_within(struct sequencer *s, const struct opening_scope *scope, const struct statement *st,
                             const struct sequencer_submission *from)
{
    if (st->kind == STATEMENT_POLICY)
        return policy_within(s, scope, &st->policy);
    if (st->kind != STATEMENT_INVITE)
        return device_within(s, scope, fold_device_by_invite(s->fold, st->about.invite));
    const struct sequencer_opening *invite = offered(from, st->invite.commitment);
    return invite_within(s, scope, st->invite.commitment, invite ? invite->bytes : (struct frame_view){0});
}

static bool role_permits(struct sequencer *s, const struct root_role *role, const struct statement *st,
                         const struct sequencer_submission *from)
{
    struct frame_view bytes;
    struct opening o;
    if (!role->scoped)
        return true;
    if (!archive_opening(&s->archive, role->scope, &bytes) || opening_decode(&o, bytes.bytes, bytes.len))
        return false;
    bool within = o.kind == OPENING_SCOPE && statement_within(s, &o.scope, st, from);
    opening_clear(&o);
    return within;
}

static bool signed_by(const struct statement *st, const uint8_t key[ED25519_PUBLIC_SIZE])
{
    for (uint32_t i = 0; i < st->signature_count; i++)
        if (memcmp(st->signatures[i].key, key, ED25519_PUBLIC_SIZE) == 0)
            return true;
    return false;
}

/* Every key that signed in such a role must be allowed to: whichever of them a node holds to count, it agrees. */
static enum fold_verdict check_scope(struct sequencer *s, const struct statement *st,
                                     const struct sequencer_submission *from)
{
    const struct statement_root *root = fold_latest_root(s->fold);
    uint8_t roles = st->kind < sizeof(roles_of) ? roles_of[st->kind] : 0;
    for (uint32_t i = 0; roles && i < root->role_count; i++) {
        const struct root_role *role = &root->roles[i];
        if ((role->roles & roles) && signed_by(st, role->key) && !role_permits(s, role, st, from))
            return VERDICT_SCOPE;
    }
    return VERDICT_STANDS;
}

/* ---- Names and addresses: one holder each. ---- */

/* Revoked devices and invites that nobody can use any more hold nothing. */
static bool holds(const struct sequencer *s, const struct fold_device *d, uint64_t time)
{
    return d->state == DEVICE_JOINED || fold_invite_is_open(s->fold, d, time);
}

static enum fold_verdict check_claims(struct sequencer *s, const struct opening_invite *invite, uint64_t time)
{
    for (uint32_t i = 0; i < s->claim_count; i++) {
        const struct sequencer_claim *claim = &s->claims[i];
        if (!claim->name[0] || !holds(s, fold_device_at(s->fold, i), time))
            continue;
        if (strcmp(claim->name, invite->name) == 0)
            return VERDICT_NAME_TAKEN;
        if (claim->has_ipv4 && invite->has_ipv4 && memcmp(claim->ipv4, invite->ipv4, sizeof(claim->ipv4)) == 0)
            return VERDICT_ADDRESS_TAKEN;
    }
    return VERDICT_STANDS;
}

static enum fold_verdict check_unique(struct sequencer *s, const struct statement *st, uint64_t time,
                                      const struct sequencer_submission *from)
{
    if (st->kind != STATEMENT_INVITE)
        return VERDICT_STANDS;
    const struct sequencer_opening *given = offered(from, st->invite.commitment);
    struct frame_view bytes = given ? given->bytes : (struct frame_view){0};
    struct opening o;
    if ((!given && !archive_opening(&s->archive, st->invite.commitment, &bytes)) ||
        opening_decode(&o, bytes.bytes, bytes.len))
        return VERDICT_INCOMPLETE;
    enum fold_verdict verdict = check_claims(s, &o.invite, time);
    opening_clear(&o);
    return verdict;
}

enum fold_verdict sequencer_judge(struct sequencer *s, const struct statement *st, uint64_t time,
                                  const struct sequencer_submission *from, struct sequencer_opening *kept,
                                  uint32_t *kept_count)
{
    enum fold_verdict verdict = fold_judge(s->fold, st, time);
    if (verdict == VERDICT_STANDS)
        verdict = gather(s, st, from, kept, kept_count);
    if (verdict == VERDICT_STANDS && st->kind != STATEMENT_ROOT)
        verdict = check_scope(s, st, from);
    if (verdict == VERDICT_STANDS)
        verdict = check_unique(s, st, time, from);
    return verdict;
}
