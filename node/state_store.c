#include "state_store.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/kept.h"
#include "ledger/sync.h"
#include "state_journal.h"

#define BASE_MAX (SYNC_BLOB_MAX + 64u)
#define STANDING_MAX 256u
#define EVIDENCE_MAX 16u  /* one proves a split; whoever signs ever more must not fill the disk */
#define CBOR_OVERHEAD 64u /* of any record, beside its bytes */

/* A copy of a record. */
struct record {
    uint8_t *bytes;
    size_t len;
};

struct records {
    struct record *list;
    uint32_t count, capacity;
};

struct state_store {
    struct crypto *c;
    struct journal *ledger, *openings;
    struct records kept_ledger, kept_openings; /* until they are restored */
    struct network_id network;
    bool has_network;

    /* What is to be said again when the log begins anew. */
    struct records standing; /* take-aways and evidence */
    uint8_t standing_hashes[STANDING_MAX][SHA256_SIZE];
    uint32_t evidence_count;
    uint64_t floor;
    bool has_head;
    uint8_t head[SIGNED_HEAD_SIZE];
};

/* ---- Copies ---- */

static void records_clear(struct records *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        free(r->list[i].bytes);
    free(r->list);
    *r = (struct records){0};
}

static int records_add(struct records *r, const uint8_t *bytes, size_t len)
{
    if (r->count == r->capacity) {
        uint32_t capacity = r->capacity ? 2 * r->capacity : 64;
        struct record *list = realloc(r->list, capacity * sizeof(*list));
        if (!list)
            return ERROR_MEMORY;
        r->list = list;
        r->capacity = capacity;
    }
    struct record *record = &r->list[r->count];
    record->bytes = malloc(len + 1);
    if (!record->bytes)
        return ERROR_MEMORY;
    memcpy(record->bytes, bytes, len);
    record->len = len;
    r->count++;
    return 0;
}

/* ---- Reading ---- */

static int network_of_base(struct state_store *s, const struct kept *k)
{
    struct fold *fold;
    if (k->len == 0)
        return 0; /* from entry 0 on */
    int error = fold_load(&fold, s->c, k->bytes, k->len);
    if (error)
        return error;
    s->network = *fold_network(fold);
    s->has_network = true;
    fold_free(fold);
    return 0;
}

/* The first root's hash. */
static int network_of_entry(struct state_store *s, const struct kept *k)
{
    if (k->index != 0 || s->has_network)
        return 0;
    s->has_network = true;
    return crypto_sha256(s->c, s->network.bytes, k->bytes, k->len);
}

static int stand_again(struct state_store *s, const struct kept *k, const uint8_t *bytes, size_t len);
static int forget_sequenced(struct state_store *s, const uint8_t *statement, size_t len);

static int take_kept(struct state_store *s, const struct kept *k, const uint8_t *bytes, size_t len)
{
    int error;
    switch (k->kind) {
    case KEPT_BASE:
        return network_of_base(s, k);
    case KEPT_ENTRY:
        error = network_of_entry(s, k);
        return error ? error : forget_sequenced(s, k->bytes, k->len);
    case KEPT_HEAD:
        memcpy(s->head, k->bytes, SIGNED_HEAD_SIZE);
        s->has_head = true;
        return 0;
    case KEPT_FLOOR:
        s->floor = k->time > s->floor ? k->time : s->floor;
        return 0;
    case KEPT_TAKE_AWAY:
    case KEPT_EVIDENCE:
        return stand_again(s, k, bytes, len);
    }
    return ERROR_MALFORMED;
}

static int read_ledger(void *context, const uint8_t *bytes, size_t len)
{
    struct state_store *s = context;
    struct kept k;
    int error = kept_decode(&k, bytes, len);
    if (!error)
        error = take_kept(s, &k, bytes, len);
    return error ? error : records_add(&s->kept_ledger, bytes, len);
}

static int read_opening(void *context, const uint8_t *bytes, size_t len)
{
    struct state_store *s = context;
    return records_add(&s->kept_openings, bytes, len);
}

int state_store_open(struct state_store **out, struct crypto *c, const struct files *ledger,
                     const struct files *openings, uint64_t *torn)
{
    uint64_t torn_ledger = 0, torn_openings = 0;
    struct state_store *s = calloc(1, sizeof(*s));
    if (!s)
        return ERROR_MEMORY;
    s->c = c;
    int error = journal_open(&s->ledger, ledger, KEPT_LOG, BASE_MAX, read_ledger, s, &torn_ledger);
    if (!error)
        error = journal_open(&s->openings, openings, KEPT_LOG, OPENING_MAX, read_opening, s, &torn_openings);
    if (error) {
        state_store_close(s);
        return error;
    }
    *torn = torn_ledger + torn_openings;
    *out = s;
    return 0;
}

void state_store_close(struct state_store *s)
{
    if (!s)
        return;
    journal_close(s->ledger);
    journal_close(s->openings);
    records_clear(&s->kept_ledger);
    records_clear(&s->kept_openings);
    records_clear(&s->standing);
    free(s);
}

bool state_store_is_empty(const struct state_store *s)
{
    return !s->has_network;
}

const struct network_id *state_store_network(const struct state_store *s)
{
    return &s->network;
}

/* ---- Restoring ---- */

static int restore_base(struct replica *r, const struct kept *k)
{
    return k->len > 0 ? replica_restore_base(r, k->bytes, k->len) : 0;
}

static int restore_entry(struct replica *r, const struct kept *k)
{
    return replica_restore_entry(r, k->index, k->time, k->verdict, k->bytes, k->len);
}

static int restore_take_away(struct replica *r, const struct kept *k)
{
    return replica_restore_take_away(r, k->bytes, k->len);
}

static int restore_kind(const struct state_store *s, struct replica *r, enum kept_kind kind,
                        int (*restore)(struct replica *r, const struct kept *k))
{
    for (uint32_t i = 0; i < s->kept_ledger.count; i++) {
        struct kept k;
        int error = kept_decode(&k, s->kept_ledger.list[i].bytes, s->kept_ledger.list[i].len);
        if (!error && k.kind == kind)
            error = restore(r, &k);
        if (error)
            return error;
    }
    return 0;
}

static int restore_openings(const struct state_store *s, struct replica *r)
{
    int error = 0;
    for (uint32_t i = 0; i < s->kept_openings.count && !error; i++)
        error = replica_restore_opening(r, s->kept_openings.list[i].bytes, s->kept_openings.list[i].len);
    return error;
}

int state_store_restore(struct state_store *s, struct replica *r)
{
    int error = restore_openings(s, r);
    if (!error)
        error = restore_kind(s, r, KEPT_BASE, restore_base);
    if (!error)
        error = restore_kind(s, r, KEPT_ENTRY, restore_entry);
    if (!error)
        error = restore_kind(s, r, KEPT_TAKE_AWAY, restore_take_away);
    if (!error && s->has_head)
        error = replica_restore_head(r, s->head);
    if (!error && s->floor > 0)
        replica_restore_floor(r, s->floor);
    records_clear(&s->kept_ledger);
    records_clear(&s->kept_openings);
    return error;
}

void state_store_reset(struct state_store *s)
{
    records_clear(&s->kept_ledger);
    records_clear(&s->kept_openings);
    records_clear(&s->standing);
    s->has_network = s->has_head = false;
    s->floor = 0;
    s->evidence_count = 0;
    journal_restart(s->ledger);
    journal_restart(s->openings);
}

/* ---- Keeping ---- */

static void put(struct state_store *s, const struct kept *k)
{
    size_t capacity = k->len + 2 * SIGNED_HEAD_SIZE + CBOR_OVERHEAD;
    uint8_t *bytes = malloc(capacity);
    int64_t len = bytes ? kept_encode(k, bytes, capacity) : ERROR_MEMORY;
    if (len > 0)
        journal_put(s->ledger, bytes, (size_t)len);
    else
        journal_put(s->ledger, NULL, SIZE_MAX); /* breaks it off: nothing may follow a gap */
    free(bytes);
}

void state_store_keep_entry(struct state_store *s, uint64_t index, uint64_t time, enum fold_verdict verdict,
                            const uint8_t *bytes, size_t len)
{
    const struct kept k = {
        .kind = KEPT_ENTRY, .index = index, .time = time, .verdict = verdict, .bytes = bytes, .len = len};
    put(s, &k);
    (void)!forget_sequenced(s, bytes, len); /* at worst it is kept once more */
}

void state_store_keep_opening(struct state_store *s, const uint8_t *bytes, size_t len)
{
    journal_put(s->openings, bytes, len);
}

void state_store_keep_head(struct state_store *s, const uint8_t head[SIGNED_HEAD_SIZE])
{
    const struct kept k = {.kind = KEPT_HEAD, .bytes = head, .len = SIGNED_HEAD_SIZE};
    memcpy(s->head, head, SIGNED_HEAD_SIZE);
    s->has_head = true;
    put(s, &k);
}

void state_store_keep_floor(struct state_store *s, uint64_t seconds)
{
    const struct kept k = {.kind = KEPT_FLOOR, .time = seconds};
    s->floor = seconds > s->floor ? seconds : s->floor;
    put(s, &k);
}

static bool stands(const struct state_store *s, const uint8_t hash[SHA256_SIZE])
{
    for (uint32_t i = 0; i < s->standing.count; i++)
        if (memcmp(s->standing_hashes[i], hash, SHA256_SIZE) == 0)
            return true;
    return false;
}

/* Remembers a record for a log that begins anew. ERROR_EXISTS: it need not be written into this one. */
static int remember(struct state_store *s, enum kept_kind kind, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes,
                    size_t len)
{
    bool is_evidence = kind == KEPT_EVIDENCE;
    if (stands(s, hash) || (is_evidence && s->evidence_count == EVIDENCE_MAX))
        return ERROR_EXISTS;
    if (s->standing.count == STANDING_MAX)
        return ERROR_FULL;
    int error = records_add(&s->standing, bytes, len);
    if (error)
        return error;
    s->evidence_count += is_evidence;
    memcpy(s->standing_hashes[s->standing.count - 1], hash, SHA256_SIZE);
    return 0;
}

/* Of take-aways the hash is their statement's, of evidence the record's. */
static int stand_again(struct state_store *s, const struct kept *k, const uint8_t *bytes, size_t len)
{
    uint8_t hash[SHA256_SIZE];
    bool statement = k->kind == KEPT_TAKE_AWAY;
    int error = crypto_sha256(s->c, hash, statement ? k->bytes : bytes, statement ? k->len : len);
    if (error)
        return error;
    error = remember(s, k->kind, hash, bytes, len);
    return error == ERROR_MEMORY ? error : 0;
}

/* A take-away that came into the ledger follows from it. */
static int forget_sequenced(struct state_store *s, const uint8_t *statement, size_t len)
{
    uint8_t hash[SHA256_SIZE];
    if (s->standing.count == 0)
        return 0;
    int error = crypto_sha256(s->c, hash, statement, len);
    if (error)
        return error;
    for (uint32_t i = s->standing.count; i-- > 0;) {
        if (memcmp(s->standing_hashes[i], hash, SHA256_SIZE) != 0)
            continue;
        uint32_t last = --s->standing.count;
        free(s->standing.list[i].bytes);
        s->standing.list[i] = s->standing.list[last];
        memmove(s->standing_hashes[i], s->standing_hashes[last], SHA256_SIZE);
    }
    return 0;
}

static void keep_standing(struct state_store *s, const struct kept *k)
{
    uint8_t hash[SHA256_SIZE], *bytes = malloc(k->len + 2 * SIGNED_HEAD_SIZE + CBOR_OVERHEAD);
    int64_t len = bytes ? kept_encode(k, bytes, k->len + 2 * SIGNED_HEAD_SIZE + CBOR_OVERHEAD) : ERROR_MEMORY;
    bool statement = k->kind == KEPT_TAKE_AWAY;
    int error =
        len < 0 ? (int)len : crypto_sha256(s->c, hash, statement ? k->bytes : bytes, statement ? k->len : (size_t)len);
    if (!error)
        error = remember(s, k->kind, hash, bytes, (size_t)len);
    if (error != ERROR_EXISTS)
        put(s, k);
    free(bytes);
}

void state_store_keep_take_away(struct state_store *s, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes,
                                size_t len)
{
    (void)hash;
    const struct kept k = {.kind = KEPT_TAKE_AWAY, .bytes = bytes, .len = len};
    keep_standing(s, &k);
}

void state_store_keep_evidence(struct state_store *s, const uint8_t a[SIGNED_HEAD_SIZE],
                               const uint8_t b[SIGNED_HEAD_SIZE])
{
    const struct kept k = {.kind = KEPT_EVIDENCE, .bytes = a, .len = SIGNED_HEAD_SIZE, .other = b};
    keep_standing(s, &k);
}

/* The log begins anew: with the fold, and with what does not follow from it. */
void state_store_keep_base(struct state_store *s, const uint8_t *fold, size_t len)
{
    const struct kept base = {.kind = KEPT_BASE, .bytes = len > 0 ? fold : (const uint8_t *)"", .len = len};
    const struct kept head = {.kind = KEPT_HEAD, .bytes = s->head, .len = SIGNED_HEAD_SIZE};
    const struct kept floor = {.kind = KEPT_FLOOR, .time = s->floor};
    journal_restart(s->ledger);
    put(s, &base);
    for (uint32_t i = 0; i < s->standing.count; i++)
        journal_put(s->ledger, s->standing.list[i].bytes, s->standing.list[i].len);
    if (s->floor > 0)
        put(s, &floor);
    if (s->has_head)
        put(s, &head);
}

bool state_store_is_dirty(const struct state_store *s)
{
    return journal_is_waiting(s->ledger) || journal_is_waiting(s->openings);
}

int state_store_commit(struct state_store *s)
{
    int error = journal_commit(s->openings);
    return error ? error : journal_commit(s->ledger);
}
