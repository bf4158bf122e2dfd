#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ledger/fold_internal.h"

static int grow(void *array, uint32_t *capacity, uint64_t wanted, size_t size)
{
    void **at = array;
    if (wanted <= *capacity)
        return 0;
    uint64_t grown = *capacity ? *capacity : 8;
    while (grown < wanted)
        grown += grown / 2;
    void *bytes = grown > UINT32_MAX ? NULL : realloc(*at, (size_t)grown * size);
    if (!bytes)
        return ERROR_MEMORY;
    *at = bytes;
    *capacity = (uint32_t)grown;
    return 0;
}

#define GROW(f, what, more) \
    grow(&(f)->what##s, &(f)->what##_capacity, (uint64_t)(f)->what##_count + (more), sizeof(*(f)->what##s))

static int reserve_indices(struct fold *f, uint32_t devices, uint32_t subjects, uint32_t isolations)
{
    const uint32_t more[FOLD_INDICES] = {
        [BY_INVITE] = devices, [BY_INVITE_SIGNING] = devices, [BY_INVITE_STATIC] = devices, [BY_SIGNING] = devices,
        [BY_STATIC] = devices, [BY_SUBJECT] = subjects,       [BY_ISOLATION] = isolations,
    };
    int error = 0;
    for (int i = 0; i < FOLD_INDICES && !error; i++)
        error = key_index_reserve(&f->indices[i], f, more[i]);
    return error;
}

int fold_reserve(struct fold *f, uint32_t devices, uint32_t subjects, uint32_t isolations)
{
    uint32_t records = devices + subjects + 1;
    int error = GROW(f, device, devices);
    if (!error)
        error = GROW(f, subject, subjects);
    if (!error)
        error = GROW(f, isolation, isolations);
    if (!error)
        error = GROW(f, record, records);
    if (!error)
        error = merkle_reserve(&f->tree, f->record_count + records);
    return error ? error : reserve_indices(f, devices, subjects, isolations);
}

uint32_t fold_add_record(struct fold *f, enum record_kind kind, uint32_t item)
{
    f->records[f->record_count] = (struct record){kind, item};
    return f->record_count++;
}

struct device *fold_add_device(struct fold *f, const struct fold_device *is)
{
    uint32_t i = f->device_count++;
    struct device *d = &f->devices[i];
    *d = (struct device){.is = *is, .first_isolation = NOWHERE, .last_isolation = NOWHERE};
    d->record = fold_add_record(f, RECORD_DEVICE, i);
    key_index_put(&f->indices[BY_INVITE], f, i);
    key_index_put(&f->indices[BY_INVITE_SIGNING], f, i);
    key_index_put(&f->indices[BY_INVITE_STATIC], f, i);
    return d;
}

void fold_add_joined(struct fold *f, struct device *d)
{
    uint32_t i = (uint32_t)(d - f->devices);
    key_index_put(&f->indices[BY_SIGNING], f, i);
    key_index_put(&f->indices[BY_STATIC], f, i);
}

struct subject_record *fold_add_subject(struct fold *f, const struct subject *id)
{
    uint32_t i = f->subject_count++;
    struct subject_record *s = &f->subjects[i];
    *s = (struct subject_record){.id = *id, .record = fold_add_record(f, RECORD_SUBJECT, i)};
    key_index_put(&f->indices[BY_SUBJECT], f, i);
    return s;
}

void fold_add_isolation(struct fold *f, struct device *d, const uint8_t hash[SHA256_SIZE], bool lifted)
{
    uint32_t i = f->isolation_count++;
    f->isolations[i] = (struct isolation){.device = (uint32_t)(d - f->devices), .next = NOWHERE, .lifted = lifted};
    memcpy(f->isolations[i].hash, hash, SHA256_SIZE);
    if (d->last_isolation == NOWHERE)
        d->first_isolation = i;
    else
        f->isolations[d->last_isolation].next = i;
    d->last_isolation = i;
    d->isolation_total++;
    d->is.isolate_count += !lifted;
    key_index_put(&f->indices[BY_ISOLATION], f, i);
}

void fold_touch(struct fold *f, uint32_t record)
{
    struct cursor c = cursor_writing(f->scratch + 1, RECORD_MAX);
    record_put(f, record, &c);
    int error = cursor_error(&c);
    if (!error)
        error = merkle_set(&f->tree, f->c, record, f->scratch, (size_t)(c.at - f->scratch));
    if (error)
        f->broken = error == ERROR_MEMORY ? ERROR_CRYPTO : error;
}

struct entry {
    const struct statement *s;
    uint64_t time, index;
};

static void apply_root(struct fold *f, const struct entry *e)
{
    if (f->record_count == 0) {
        memcpy(f->network.bytes, e->s->hash, NETWORK_ID_SIZE);
        fold_add_record(f, RECORD_ROOT, 0);
    }
    f->root.root = e->s->root;
    memcpy(f->root.hash, e->s->hash, SHA256_SIZE);
    f->root.at = e->index;
    fold_touch(f, 0);
}

static void apply_invite(struct fold *f, const struct entry *e)
{
    struct fold_device d = {.terms = e->s->invite, .state = DEVICE_INVITED};
    const struct root_role *role = fold_find_role(f, e->s->signatures[0].key);
    memcpy(d.invite, e->s->hash, SHA256_SIZE);
    memcpy(d.id.bytes, e->s->hash, DEVICE_ID_SIZE);
    memcpy(d.admitted_by, e->s->signatures[0].key, ED25519_PUBLIC_SIZE);
    if (role && role->scoped)
        memcpy(d.admitted_scope, role->scope, SHA256_SIZE);
    fold_touch(f, fold_add_device(f, &d)->record);
}

static struct device *device_of(struct fold *f, const uint8_t invite[SHA256_SIZE])
{
    return &f->devices[fold_find_invite(f, invite)];
}

static void apply_uninvite(struct fold *f, const struct entry *e)
{
    struct device *d = device_of(f, e->s->about.invite);
    d->is.state = DEVICE_UNINVITED;
    fold_touch(f, d->record);
}

static void apply_join(struct fold *f, const struct entry *e)
{
    const struct statement_join *join = &e->s->join;
    struct device *d = device_of(f, join->invite);
    d->is.state = DEVICE_JOINED;
    d->is.joined_at = e->index;
    memcpy(d->is.join, e->s->hash, SHA256_SIZE);
    memcpy(d->is.signing_public, join->signing_public, ED25519_PUBLIC_SIZE);
    memcpy(d->is.static_public, join->static_public, X25519_SIZE);
    fold_add_joined(f, d);
    fold_touch(f, d->record);
    if (join->sequences) {
        f->root.founded = true;
        memcpy(f->root.sequencer, join->sequencer, ED25519_PUBLIC_SIZE);
        fold_touch(f, 0);
    }
}

static void apply_rotate(struct fold *f, const struct entry *e)
{
    struct device *d = device_of(f, e->s->rotate.invite);
    uint32_t i = (uint32_t)(d - f->devices);
    key_index_remove(&f->indices[BY_STATIC], f, i);
    memcpy(d->is.static_public, e->s->rotate.static_public, X25519_SIZE);
    key_index_put(&f->indices[BY_STATIC], f, i);
    d->is.rotate_number = e->s->rotate.number;
    fold_touch(f, d->record);
}

static void apply_change(struct fold *f, const struct policy_change *change)
{
    uint32_t i = fold_find(f, BY_SUBJECT, change->subject.bytes);
    struct subject_record *s = i == NOWHERE ? fold_add_subject(f, &change->subject) : &f->subjects[i];
    s->gone = change->gone;
    memcpy(s->commitment, change->commitment, SHA256_SIZE);
    fold_touch(f, s->record);
}

static void apply_policy(struct fold *f, const struct entry *e)
{
    struct policy_change change;
    if (f->policy_record == NOWHERE)
        f->policy_record = fold_add_record(f, RECORD_POLICY, 0);
    f->policy.version = e->s->policy.version;
    f->policy.time = e->time;
    memcpy(f->policy.hash, e->s->hash, SHA256_SIZE);
    fold_touch(f, f->policy_record);
    for (uint32_t i = 0; i < e->s->policy.change_count; i++) {
        statement_policy_change(&e->s->policy, i, &change);
        apply_change(f, &change);
    }
}

static void apply_revoke(struct fold *f, const struct entry *e)
{
    struct device *d = device_of(f, e->s->about.invite);
    d->is.state = DEVICE_REVOKED;
    fold_touch(f, d->record);
}

static void apply_isolate(struct fold *f, const struct entry *e)
{
    struct device *d = device_of(f, e->s->about.invite);
    fold_add_isolation(f, d, e->s->hash, false);
    fold_touch(f, d->record);
}

static void apply_restore(struct fold *f, const struct entry *e)
{
    for (uint32_t i = 0; i < e->s->restore.count; i++) {
        uint32_t at = fold_find(f, BY_ISOLATION, e->s->restore.isolates[i]);
        if (at == NOWHERE || f->isolations[at].lifted)
            continue;
        struct device *d = &f->devices[f->isolations[at].device];
        f->isolations[at].lifted = true;
        d->is.isolate_count--;
        fold_touch(f, d->record);
    }
}

static void apply_release(struct fold *f, const struct entry *e)
{
    if (f->release_record == NOWHERE)
        f->release_record = fold_add_record(f, RECORD_RELEASE, 0);
    f->release.version = e->s->release.version;
    memcpy(f->release.hash, e->s->release.hash, SHA256_SIZE);
    memcpy(f->release.statement, e->s->hash, SHA256_SIZE);
    fold_touch(f, f->release_record);
}

static void (*const appliers[])(struct fold *, const struct entry *) = {
    [STATEMENT_ROOT] = apply_root,       [STATEMENT_INVITE] = apply_invite,   [STATEMENT_UNINVITE] = apply_uninvite,
    [STATEMENT_JOIN] = apply_join,       [STATEMENT_ROTATE] = apply_rotate,   [STATEMENT_POLICY] = apply_policy,
    [STATEMENT_REVOKE] = apply_revoke,   [STATEMENT_ISOLATE] = apply_isolate, [STATEMENT_RESTORE] = apply_restore,
    [STATEMENT_RELEASE] = apply_release,
};

/* The first entry's head is its hash. A root that no sequencer gives a time, the first or one that replaces sequencers,
 * has the one in it, so that the head is the same for everyone. */
static int next_head(const struct fold *f, const struct statement *s, uint64_t time, bool stands, struct head *out)
{
    *out = f->head;
    if (fold_is_empty(f)) {
        *out = (struct head){.index = 0, .time = s->root.time};
        memcpy(out->hash, s->hash, SHA256_SIZE);
        return 0;
    }
    if (stands && s->kind == STATEMENT_ROOT && s->root.replaces)
        time = s->root.time;
    return time < f->head.time ? ERROR_INVALID : head_extend(f->c, out, time, s->hash);
}

static int apply(struct fold *f, const struct statement *s, uint64_t time, enum fold_verdict verdict)
{
    struct head head;
    bool stands = verdict == VERDICT_STANDS;
    if (fold_is_empty(f) && !stands)
        return ERROR_INVALID;
    int error = next_head(f, s, time, stands, &head);
    if (!error && stands)
        error = fold_reserve(f, 1, s->kind == STATEMENT_POLICY ? s->policy.change_count : 0, 1);
    if (error)
        return error;
    if (stands)
        appliers[s->kind](f, &(struct entry){s, head.time, head.index});
    f->head = head;
    fold_settle_take_aways(f, s, stands);
    return f->broken;
}

int fold_apply(struct fold *f, const struct statement *s, uint64_t time, enum fold_verdict *verdict)
{
    if (f->broken)
        return f->broken;
    int error;
    *verdict = fold_judge_as(f, s, time, true, &error);
    return error ? error : apply(f, s, time, *verdict);
}

int fold_apply_trusted(struct fold *f, const struct statement *s, uint64_t time, enum fold_verdict verdict)
{
    if (f->broken)
        return f->broken;
    int error;
    if (verdict == VERDICT_STANDS && fold_judge_as(f, s, time, false, &error) != VERDICT_STANDS)
        return ERROR_INVALID;
    return apply(f, s, time, verdict);
}
