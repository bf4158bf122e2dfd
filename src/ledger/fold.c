#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ledger/fold_internal.h"

static const uint8_t *invite_of(const void *f, uint32_t i)
{
    return ((const struct fold *)f)->devices[i].is.invite;
}
static const uint8_t *invite_signing_of(const void *f, uint32_t i)
{
    return ((const struct fold *)f)->devices[i].is.terms.signing_public;
}
static const uint8_t *invite_static_of(const void *f, uint32_t i)
{
    return ((const struct fold *)f)->devices[i].is.terms.static_public;
}
static const uint8_t *signing_of(const void *f, uint32_t i)
{
    return ((const struct fold *)f)->devices[i].is.signing_public;
}
static const uint8_t *static_of(const void *f, uint32_t i)
{
    return ((const struct fold *)f)->devices[i].is.static_public;
}
static const uint8_t *subject_of(const void *f, uint32_t i)
{
    return ((const struct fold *)f)->subjects[i].id.bytes;
}
static const uint8_t *isolation_of(const void *f, uint32_t i)
{
    return ((const struct fold *)f)->isolations[i].hash;
}

static const struct key_index empty_indices[FOLD_INDICES] = {
    [BY_INVITE] = {.key_of = invite_of, .key_len = DEVICE_ID_SIZE},
    [BY_INVITE_SIGNING] = {.key_of = invite_signing_of, .key_len = ED25519_PUBLIC_SIZE},
    [BY_INVITE_STATIC] = {.key_of = invite_static_of, .key_len = X25519_SIZE},
    [BY_SIGNING] = {.key_of = signing_of, .key_len = ED25519_PUBLIC_SIZE},
    [BY_STATIC] = {.key_of = static_of, .key_len = X25519_SIZE},
    [BY_SUBJECT] = {.key_of = subject_of, .key_len = SUBJECT_SIZE},
    [BY_ISOLATION] = {.key_of = isolation_of, .key_len = SHA256_SIZE},
};

int fold_new(struct fold **out, struct crypto *c)
{
    struct fold *f = calloc(1, sizeof(*f));
    if (!f)
        return ERROR_MEMORY;
    f->scratch = malloc(1 + RECORD_MAX);
    if (!f->scratch) {
        free(f);
        return ERROR_MEMORY;
    }
    f->c = c;
    f->head.index = UINT64_MAX;
    f->policy_record = f->release_record = NOWHERE;
    memcpy(f->indices, empty_indices, sizeof(f->indices));
    *out = f;
    return 0;
}

void fold_free(struct fold *f)
{
    if (!f)
        return;
    for (int i = 0; i < FOLD_INDICES; i++)
        key_index_clear(&f->indices[i]);
    merkle_clear(&f->tree);
    free(f->records);
    free(f->devices);
    free(f->subjects);
    free(f->isolations);
    free(f->take_aways);
    free(f->scratch);
    free(f);
}

const char *fold_verdict_sentence(enum fold_verdict v)
{
    static const char *const sentences[] = {
#define FOLD_VERDICT_SENTENCE(name, sentence) sentence,
        FOLD_VERDICTS(FOLD_VERDICT_SENTENCE)
#undef FOLD_VERDICT_SENTENCE
    };
    return (unsigned)v < VERDICT_COUNT ? sentences[v] : "The verdict is unknown to this version.";
}

bool fold_is_empty(const struct fold *f)
{
    return f->head.index == UINT64_MAX;
}

void fold_root(const struct fold *f, uint8_t out[SHA256_SIZE])
{
    merkle_root(&f->tree, out);
}

const struct head *fold_head(const struct fold *f)
{
    return &f->head;
}

const struct network_id *fold_network(const struct fold *f)
{
    return &f->network;
}

const struct statement_root *fold_latest_root(const struct fold *f)
{
    return &f->root.root;
}

bool fold_sequences(const struct fold *f, const uint8_t key[ED25519_PUBLIC_SIZE])
{
    const struct statement_root *r = &f->root.root;
    for (uint32_t i = 0; i < r->sequencer_count; i++)
        if (memcmp(r->sequencers[i], key, ED25519_PUBLIC_SIZE) == 0)
            return true;
    return r->sequencer_count == 0 && f->root.founded && memcmp(f->root.sequencer, key, ED25519_PUBLIC_SIZE) == 0;
}

uint32_t fold_find(const struct fold *f, enum fold_index by, const uint8_t *key)
{
    return key_index_find(&f->indices[by], f, key);
}

uint32_t fold_find_invite(const struct fold *f, const uint8_t hash[SHA256_SIZE])
{
    uint32_t i = fold_find(f, BY_INVITE, hash);
    return i != NOWHERE && memcmp(f->devices[i].is.invite, hash, SHA256_SIZE) == 0 ? i : NOWHERE;
}

const struct root_role *fold_find_role(const struct fold *f, const uint8_t key[ED25519_PUBLIC_SIZE])
{
    const struct statement_root *r = &f->root.root;
    for (uint32_t i = 0; i < r->role_count; i++)
        if (memcmp(r->roles[i].key, key, ED25519_PUBLIC_SIZE) == 0)
            return &r->roles[i];
    return NULL;
}

uint32_t fold_device_count(const struct fold *f)
{
    return f->device_count;
}

const struct fold_device *fold_device_at(const struct fold *f, uint32_t i)
{
    return i < f->device_count ? &f->devices[i].is : NULL;
}

const struct fold_device *fold_device_by_id(const struct fold *f, const struct device_id *id)
{
    return fold_device_at(f, fold_find(f, BY_INVITE, id->bytes));
}

const struct fold_device *fold_device_by_invite(const struct fold *f, const uint8_t hash[SHA256_SIZE])
{
    return fold_device_at(f, fold_find_invite(f, hash));
}

const struct fold_device *fold_device_by_signing_key(const struct fold *f, const uint8_t key[ED25519_PUBLIC_SIZE])
{
    return fold_device_at(f, fold_find(f, BY_SIGNING, key));
}

const struct fold_device *fold_device_by_static_key(const struct fold *f, const uint8_t key[X25519_SIZE])
{
    return fold_device_at(f, fold_find(f, BY_STATIC, key));
}

const struct fold_device *fold_device_by_invite_static_key(const struct fold *f, const uint8_t key[X25519_SIZE])
{
    return fold_device_at(f, fold_find(f, BY_INVITE_STATIC, key));
}

/* The kinds of take-away that wait for a device, which is one of this fold's: see fold_waiting_bit. */
static uint8_t waiting(const struct fold *f, const struct fold_device *d)
{
    return f->devices[fold_find(f, BY_INVITE, d->id.bytes)].waiting;
}

bool fold_device_is_live(const struct fold *f, const struct fold_device *d)
{
    uint8_t ends = fold_waiting_bit(STATEMENT_REVOKE) | fold_waiting_bit(STATEMENT_ISOLATE);
    return d->state == DEVICE_JOINED && d->isolate_count == 0 && !(waiting(f, d) & ends);
}

bool fold_invite_is_open(const struct fold *f, const struct fold_device *d, uint64_t time)
{
    uint8_t ends = fold_waiting_bit(STATEMENT_REVOKE) | fold_waiting_bit(STATEMENT_UNINVITE);
    return d->state == DEVICE_INVITED && time <= d->terms.join_before && !(waiting(f, d) & ends);
}

enum device_state fold_device_state(const struct fold *f, const struct fold_device *d)
{
    if (waiting(f, d) & fold_waiting_bit(STATEMENT_REVOKE))
        return DEVICE_REVOKED;
    bool taken_back = d->state == DEVICE_INVITED && waiting(f, d) & fold_waiting_bit(STATEMENT_UNINVITE);
    return taken_back ? DEVICE_UNINVITED : d->state;
}

uint32_t fold_isolations(const struct fold *f, const struct device_id *id, uint8_t (*out)[SHA256_SIZE], uint32_t max)
{
    uint32_t device = fold_find(f, BY_INVITE, id->bytes), count = 0;
    uint32_t at = device == NOWHERE ? NOWHERE : f->devices[device].first_isolation;
    for (; at != NOWHERE; at = f->isolations[at].next) {
        if (f->isolations[at].lifted)
            continue;
        if (count < max)
            memcpy(out[count], f->isolations[at].hash, SHA256_SIZE);
        count++;
    }
    return count;
}

uint64_t fold_policy_version(const struct fold *f)
{
    return f->policy.version;
}

void fold_policy_hash(const struct fold *f, uint8_t out[SHA256_SIZE])
{
    memcpy(out, f->policy.hash, SHA256_SIZE);
}

uint64_t fold_policy_time(const struct fold *f)
{
    return f->policy.time;
}

uint32_t fold_subject_count(const struct fold *f)
{
    return f->subject_count;
}

bool fold_subject_at(const struct fold *f, uint32_t i, struct subject *out, uint8_t commitment[SHA256_SIZE])
{
    if (i >= f->subject_count || f->subjects[i].gone)
        return false;
    *out = f->subjects[i].id;
    memcpy(commitment, f->subjects[i].commitment, SHA256_SIZE);
    return true;
}

bool fold_subject(const struct fold *f, const struct subject *s, uint8_t commitment[SHA256_SIZE])
{
    struct subject same;
    return fold_subject_at(f, fold_find(f, BY_SUBJECT, s->bytes), &same, commitment);
}

bool fold_release(const struct fold *f, struct statement_release *out)
{
    if (f->release_record == NOWHERE)
        return false;
    out->version = f->release.version;
    memcpy(out->hash, f->release.hash, SHA256_SIZE);
    return true;
}
