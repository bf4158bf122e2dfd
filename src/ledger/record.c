#include <string.h>

#include "base/bytes.h"
#include "ledger/fold_internal.h"
#include "ledger/statement_body.h"

/* The root in force: statement hash 32, entry 8, founded 1, [sequencer 32], body length 4, body. */
static void put_root(const struct fold *f, uint32_t item, struct cursor *c)
{
    (void)item;
    struct statement s = {.kind = STATEMENT_ROOT, .network = f->network, .root = f->root.root};
    cursor_put_bytes(c, f->root.hash, SHA256_SIZE);
    cursor_put_be64(c, f->root.at);
    cursor_put_u8(c, f->root.founded);
    if (f->root.founded)
        cursor_put_bytes(c, f->root.sequencer, ED25519_PUBLIC_SIZE);
    uint8_t *len = c->at;
    cursor_put_be32(c, 0);
    if (cursor_error(c))
        return;
    int written = statement_body(&s, c->at, cursor_left(c));
    if (written < 0) {
        cursor_fail(c, written);
        return;
    }
    put_be32(len, (uint32_t)written);
    c->at += written;
}

static void get_root(struct fold *f, struct cursor *c)
{
    struct statement s = {0};
    cursor_get_bytes(c, f->root.hash, SHA256_SIZE);
    f->root.at = cursor_get_be64(c);
    f->root.founded = cursor_get_u8(c) != 0;
    if (f->root.founded)
        cursor_get_bytes(c, f->root.sequencer, ED25519_PUBLIC_SIZE);
    uint32_t len = cursor_get_be32(c);
    const uint8_t *body = cursor_get_view(c, len);
    if (!body || statement_body_decode(&s, body, len) || s.kind != STATEMENT_ROOT || root_contradicts_itself(&s.root) ||
        (s.root.version == 1) != (f->root.at == 0) || f->root.at > f->head.index) {
        cursor_fail(c, ERROR_MALFORMED);
        return;
    }
    f->root.root = s.root;
    f->network = s.network;
    if (s.root.version == 1)
        memcpy(f->network.bytes, f->root.hash, NETWORK_ID_SIZE);
    fold_add_record(f, RECORD_ROOT, 0);
}

static bool has_joined(const struct fold_device *d)
{
    return !is_zero(d->join, SHA256_SIZE);
}

static void put_joined(const struct fold_device *d, struct cursor *c)
{
    cursor_put_bytes(c, d->join, SHA256_SIZE);
    cursor_put_bytes(c, d->signing_public, ED25519_PUBLIC_SIZE);
    cursor_put_bytes(c, d->static_public, X25519_SIZE);
    cursor_put_be64(c, d->joined_at);
    cursor_put_be64(c, d->rotate_number);
}

static void get_joined(struct fold_device *d, struct cursor *c)
{
    cursor_get_bytes(c, d->join, SHA256_SIZE);
    cursor_get_bytes(c, d->signing_public, ED25519_PUBLIC_SIZE);
    cursor_get_bytes(c, d->static_public, X25519_SIZE);
    d->joined_at = cursor_get_be64(c);
    d->rotate_number = cursor_get_be64(c);
}

/* Invite 32, its signing key 32, static key 32, join_before 8, member_until 8, commitment 32, admitted by 32, scope 32,
 * state 1, joined 1, [join 32, signing key 32, static key 32, joined at 8, rotate number 8], isolations 4, each: hash
 * 32, lifted 1. */
static void put_device(const struct fold *f, uint32_t item, struct cursor *c)
{
    const struct device *d = &f->devices[item];
    const struct statement_invite *terms = &d->is.terms;
    cursor_put_bytes(c, d->is.invite, SHA256_SIZE);
    cursor_put_bytes(c, terms->signing_public, ED25519_PUBLIC_SIZE);
    cursor_put_bytes(c, terms->static_public, X25519_SIZE);
    cursor_put_be64(c, terms->join_before);
    cursor_put_be64(c, terms->member_until);
    cursor_put_bytes(c, terms->commitment, SHA256_SIZE);
    cursor_put_bytes(c, d->is.admitted_by, ED25519_PUBLIC_SIZE);
    cursor_put_bytes(c, d->is.admitted_scope, SHA256_SIZE);
    cursor_put_u8(c, (uint8_t)d->is.state);
    cursor_put_u8(c, has_joined(&d->is));
    if (has_joined(&d->is))
        put_joined(&d->is, c);
    cursor_put_be32(c, d->isolation_total);
    for (uint32_t at = d->first_isolation; at != NOWHERE; at = f->isolations[at].next) {
        cursor_put_bytes(c, f->isolations[at].hash, SHA256_SIZE);
        cursor_put_u8(c, f->isolations[at].lifted);
    }
}

/* Each key is nobody else's, neither an invite's nor a device's. */
static bool signing_key_is_free(const struct fold *f, const uint8_t *key)
{
    return fold_find(f, BY_SIGNING, key) == NOWHERE && fold_find(f, BY_INVITE_SIGNING, key) == NOWHERE;
}
static bool static_key_is_free(const struct fold *f, const uint8_t *key)
{
    return fold_find(f, BY_STATIC, key) == NOWHERE && fold_find(f, BY_INVITE_STATIC, key) == NOWHERE;
}

static bool keys_are_free(const struct fold *f, const struct fold_device *d)
{
    if (fold_find(f, BY_INVITE, d->invite) != NOWHERE || !signing_key_is_free(f, d->terms.signing_public) ||
        !static_key_is_free(f, d->terms.static_public))
        return false;
    if (!has_joined(d))
        return true;
    return signing_key_is_free(f, d->signing_public) && static_key_is_free(f, d->static_public) &&
           memcmp(d->signing_public, d->terms.signing_public, ED25519_PUBLIC_SIZE) != 0 &&
           memcmp(d->static_public, d->terms.static_public, X25519_SIZE) != 0;
}

static bool state_fits(const struct fold *f, const struct fold_device *d, bool joined)
{
    if (joined != has_joined(d) || d->joined_at > f->head.index)
        return false;
    switch (d->state) {
    case DEVICE_INVITED:
    case DEVICE_UNINVITED:
        return !joined;
    case DEVICE_JOINED:
        return joined;
    case DEVICE_REVOKED:
        return true;
    }
    return false;
}

static void get_isolations(struct fold *f, struct device *d, struct cursor *c)
{
    uint32_t count = cursor_get_be32(c);
    if (count > FOLD_ISOLATIONS_MAX)
        cursor_fail(c, ERROR_MALFORMED);
    for (uint32_t i = 0; i < count && !cursor_error(c); i++) {
        const uint8_t *hash = cursor_get_view(c, SHA256_SIZE);
        bool lifted = cursor_get_u8(c) != 0;
        if (cursor_error(c) || fold_find(f, BY_ISOLATION, hash) != NOWHERE)
            cursor_fail(c, ERROR_MALFORMED);
        else
            fold_add_isolation(f, d, hash, lifted);
    }
}

static void get_device(struct fold *f, struct cursor *c)
{
    struct fold_device d = {0};
    cursor_get_bytes(c, d.invite, SHA256_SIZE);
    memcpy(d.id.bytes, d.invite, DEVICE_ID_SIZE);
    cursor_get_bytes(c, d.terms.signing_public, ED25519_PUBLIC_SIZE);
    cursor_get_bytes(c, d.terms.static_public, X25519_SIZE);
    d.terms.join_before = cursor_get_be64(c);
    d.terms.member_until = cursor_get_be64(c);
    cursor_get_bytes(c, d.terms.commitment, SHA256_SIZE);
    cursor_get_bytes(c, d.admitted_by, ED25519_PUBLIC_SIZE);
    cursor_get_bytes(c, d.admitted_scope, SHA256_SIZE);
    uint8_t state = cursor_get_u8(c);
    bool joined = cursor_get_u8(c) != 0;
    if (joined)
        get_joined(&d, c);
    d.state = (enum device_state)state;
    if (cursor_error(c) || state > DEVICE_REVOKED || !state_fits(f, &d, joined) || !keys_are_free(f, &d) ||
        f->device_count >= FOLD_DEVICES_MAX) {
        cursor_fail(c, ERROR_MALFORMED);
        return;
    }
    struct device *added = fold_add_device(f, &d);
    if (joined)
        fold_add_joined(f, added);
    get_isolations(f, added, c);
}

/* Version 8, statement hash 32, time 8. */
static void put_policy(const struct fold *f, uint32_t item, struct cursor *c)
{
    (void)item;
    cursor_put_be64(c, f->policy.version);
    cursor_put_bytes(c, f->policy.hash, SHA256_SIZE);
    cursor_put_be64(c, f->policy.time);
}

static void get_policy(struct fold *f, struct cursor *c)
{
    f->policy.version = cursor_get_be64(c);
    cursor_get_bytes(c, f->policy.hash, SHA256_SIZE);
    f->policy.time = cursor_get_be64(c);
    if (f->policy_record != NOWHERE || f->policy.version == 0 || f->policy.time > f->head.time)
        cursor_fail(c, ERROR_MALFORMED);
    else
        f->policy_record = fold_add_record(f, RECORD_POLICY, 0);
}

/* Subject 16, stays 1, [commitment 32]. */
static void put_subject(const struct fold *f, uint32_t item, struct cursor *c)
{
    const struct subject_record *s = &f->subjects[item];
    cursor_put_bytes(c, s->id.bytes, SUBJECT_SIZE);
    cursor_put_u8(c, !s->gone);
    if (!s->gone)
        cursor_put_bytes(c, s->commitment, SHA256_SIZE);
}

static void get_subject(struct fold *f, struct cursor *c)
{
    struct subject id;
    uint8_t commitment[SHA256_SIZE] = {0};
    cursor_get_bytes(c, id.bytes, SUBJECT_SIZE);
    bool gone = cursor_get_u8(c) == 0;
    if (!gone)
        cursor_get_bytes(c, commitment, SHA256_SIZE);
    if (cursor_error(c) || f->policy_record == NOWHERE || fold_find(f, BY_SUBJECT, id.bytes) != NOWHERE ||
        f->subject_count >= FOLD_SUBJECTS_MAX) {
        cursor_fail(c, ERROR_MALFORMED);
        return;
    }
    struct subject_record *s = fold_add_subject(f, &id);
    s->gone = gone;
    memcpy(s->commitment, commitment, SHA256_SIZE);
}

/* Version 8, hash 32, statement hash 32. */
static void put_release(const struct fold *f, uint32_t item, struct cursor *c)
{
    (void)item;
    cursor_put_be64(c, f->release.version);
    cursor_put_bytes(c, f->release.hash, SHA256_SIZE);
    cursor_put_bytes(c, f->release.statement, SHA256_SIZE);
}

static void get_release(struct fold *f, struct cursor *c)
{
    f->release.version = cursor_get_be64(c);
    cursor_get_bytes(c, f->release.hash, SHA256_SIZE);
    cursor_get_bytes(c, f->release.statement, SHA256_SIZE);
    if (f->release_record != NOWHERE || f->release.version == 0)
        cursor_fail(c, ERROR_MALFORMED);
    else
        f->release_record = fold_add_record(f, RECORD_RELEASE, 0);
}

/* By enum record_kind. */
static const struct {
    void (*put)(const struct fold *f, uint32_t item, struct cursor *c);
    void (*get)(struct fold *f, struct cursor *c);
} records[] = {
    [RECORD_ROOT] = {put_root, get_root},          [RECORD_DEVICE] = {put_device, get_device},
    [RECORD_POLICY] = {put_policy, get_policy},    [RECORD_SUBJECT] = {put_subject, get_subject},
    [RECORD_RELEASE] = {put_release, get_release},
};

void record_put(const struct fold *f, uint32_t record, struct cursor *c)
{
    const struct record *r = &f->records[record];
    cursor_put_u8(c, (uint8_t)r->kind);
    records[r->kind].put(f, r->item, c);
}

/* The root is the first, and the only one of its kind. */
int record_get(struct fold *f, struct cursor *c)
{
    uint8_t kind = cursor_get_u8(c);
    if (kind < RECORD_ROOT || kind > RECORD_RELEASE || (kind == RECORD_ROOT) != (f->record_count == 0))
        return ERROR_MALFORMED;
    int error = fold_reserve(f, 1, 1, FOLD_ISOLATIONS_MAX);
    if (error)
        return error;
    records[kind].get(f, c);
    return cursor_error(c) ? ERROR_MALFORMED : 0;
}
