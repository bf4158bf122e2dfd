/* Serving the ledger, folds and openings to whoever may have them. A few blobs are kept while they are being pulled;
 * making one costs its asker from a small budget. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define FRAMES_MEMBER 4096u /* a second */
#define FRAMES_INVITE 512u
#define BUILDS_MEMBER 16u /* blobs made for one asker a second */
#define BUILDS_INVITE 4u
#define VOIDS_MEMBER 16u /* take-aways of one sender a second that turned out void */

static struct limit *limit_of(struct replica *r, const struct device_id *id)
{
    struct limit *l = &r->serve.limits[get_be32(id->bytes) % LIMITS];
    if (!device_id_equal(&l->id, id) || r->now >= l->since + SECOND)
        *l = (struct limit){.id = *id, .since = r->now};
    return l;
}

bool replica_within_limit(struct replica *r, const struct device_id *from, bool invite)
{
    if (device_id_equal(from, &replica_controller))
        return true;
    bool within = ++limit_of(r, from)->frames <= (invite ? FRAMES_INVITE : FRAMES_MEMBER);
    r->counters.limited += !within;
    return within;
}

bool replica_within_voids(struct replica *r, const struct device_id *from)
{
    if (device_id_equal(from, &replica_controller))
        return true;
    bool within = limit_of(r, from)->voids < VOIDS_MEMBER;
    r->counters.limited += !within;
    return within;
}

void replica_count_void(struct replica *r, const struct device_id *from)
{
    limit_of(r, from)->voids++;
    r->counters.voids++;
}

/* ---- the cache ---- */

static void drop_blob(struct serve *s, struct cached_blob *b)
{
    s->bytes -= b->len;
    free(b->bytes);
    *b = (struct cached_blob){0};
}

void replica_serve_clear(struct replica *r)
{
    for (uint32_t i = 0; i < CACHE_BLOBS; i++)
        if (r->serve.blobs[i].bytes)
            drop_blob(&r->serve, &r->serve.blobs[i]);
}

void replica_serve_forget_openings(struct replica *r)
{
    for (uint32_t i = 0; i < CACHE_BLOBS; i++)
        if (r->serve.blobs[i].bytes && r->serve.blobs[i].what == SYNC_OPENINGS)
            drop_blob(&r->serve, &r->serve.blobs[i]);
}

static struct cached_blob *find_blob(struct serve *s, const struct frame_get *get, uint64_t to,
                                     const struct device_id *asker)
{
    for (uint32_t i = 0; i < CACHE_BLOBS; i++) {
        struct cached_blob *b = &s->blobs[i];
        if (b->bytes && b->what == get->what && b->from == get->from && b->to == to &&
            device_id_equal(&b->asker, asker))
            return b;
    }
    return NULL;
}

static struct cached_blob *oldest_blob(struct serve *s, bool or_free)
{
    struct cached_blob *oldest = NULL;
    for (uint32_t i = 0; i < CACHE_BLOBS; i++) {
        struct cached_blob *b = &s->blobs[i];
        if (!b->bytes && or_free)
            return b;
        if (b->bytes && (!oldest || b->used < oldest->used))
            oldest = b;
    }
    return oldest;
}

static struct cached_blob *cache(struct serve *s, const struct cached_blob *blob)
{
    struct cached_blob *b;
    while (s->bytes + blob->len > CACHE_BYTES && (b = oldest_blob(s, false)))
        drop_blob(s, b);
    b = oldest_blob(s, true);
    struct cached_blob old = *b;
    *b = *blob;
    s->bytes += b->len - old.len;
    free(old.bytes);
    return b;
}

/* ---- what an asker may know ---- */

/* Openings are put twice through the same rules: counted, then written. */
struct collector {
    struct replica *r;
    uint64_t count;
    struct blob_writer *writer; /* NULL: counting */
};

static void collect(struct collector *c, const uint8_t commitment[SHA256_SIZE])
{
    const struct kept_opening *kept = replica_openings_find(&c->r->openings, commitment);
    if (!kept)
        return;
    c->count++;
    if (c->writer)
        blob_put_opening(c->writer, (struct frame_view){kept->bytes, kept->len});
}

static void collect_scopes(struct collector *c)
{
    const struct statement_root *root = fold_latest_root(c->r->fold);
    for (uint32_t i = 0; root && i < root->role_count; i++)
        if (root->roles[i].scoped)
            collect(c, root->roles[i].scope);
}

/* A key that is scoped no more, or otherwise, may have admitted devices under an earlier root. */
static void collect_admitted(struct collector *c, const struct fold_device *d)
{
    const struct statement_root *root = fold_latest_root(c->r->fold);
    bool latest = is_zero(d->admitted_scope, SHA256_SIZE);
    for (uint32_t i = 0; root && i < root->role_count && !latest; i++)
        latest = root->roles[i].scoped && memcmp(root->roles[i].scope, d->admitted_scope, SHA256_SIZE) == 0;
    if (!latest)
        collect(c, d->admitted_scope);
    collect(c, d->terms.commitment);
}

static void collect_rules(struct collector *c, const struct subject *subject)
{
    uint8_t commitment[SHA256_SIZE];
    if (fold_subject(c->r->fold, subject, commitment))
        collect(c, commitment);
}

static void collect_policy_changes(struct collector *c, const struct entry *e)
{
    struct statement s;
    struct policy_change change;
    uint8_t commitment[SHA256_SIZE];
    if (statement_decode(c->r->c, &s, e->bytes, e->len))
        return;
    for (uint32_t i = 0; i < s.policy.change_count; i++) {
        statement_policy_change(&s.policy, i, &change);
        /* What was changed again later is written there. */
        if (!change.gone && fold_subject(c->r->fold, &change.subject, commitment) &&
            memcmp(commitment, change.commitment, SHA256_SIZE) == 0)
            collect(c, commitment);
    }
}

static void collect_invite(struct collector *c, const struct entry *e)
{
    const struct fold_device *d = fold_device_by_invite(c->r->fold, e->hash);
    if (d)
        collect_admitted(c, d);
}

static void collect_all(struct collector *c)
{
    struct subject subject;
    uint8_t commitment[SHA256_SIZE];
    collect_scopes(c);
    for (uint32_t i = 0; i < c->r->known_count; i++)
        collect_admitted(c, fold_device_at(c->r->fold, i));
    for (uint32_t i = 0; i < fold_subject_count(c->r->fold); i++)
        if (fold_subject_at(c->r->fold, i, &subject, commitment))
            collect(c, commitment);
}

/* Who may know everything is told what entries from `from` on commit to. */
static void collect_since(struct collector *c, uint64_t from)
{
    if (from == 0 || from < c->r->history.first) {
        collect_all(c);
        return;
    }
    for (uint64_t i = from; i < replica_history_end(&c->r->history); i++) {
        const struct entry *e = replica_history_at(&c->r->history, i);
        if (e->verdict != VERDICT_STANDS)
            continue;
        if (e->kind == STATEMENT_INVITE)
            collect_invite(c, e);
        else if (e->kind == STATEMENT_POLICY)
            collect_policy_changes(c, e);
        else if (e->kind == STATEMENT_ROOT)
            collect_scopes(c);
    }
}

static void collect_relays(struct collector *c)
{
    for (uint32_t i = 0; i < c->r->known_count; i++)
        if ((c->r->known[i].relay || c->r->known[i].controller) && replica_is_present(c->r, i))
            collect_admitted(c, fold_device_at(c->r->fold, i));
}

/* A member: scopes, relays and controllers, itself, its rules, and the live devices that a rule joins it to. */
static void collect_for_member(struct collector *c, uint32_t asker, uint64_t from)
{
    const struct replica *r = c->r;
    const struct known *k = &r->known[asker];
    collect_scopes(c);
    for (uint32_t i = 0; i < k->subject_count; i++)
        collect_rules(c, &k->subjects[i]);
    for (uint32_t i = 0; i < r->known_count; i++) {
        const struct fold_device *d = fold_device_at(r->fold, i);
        const struct known *other = &r->known[i];
        bool new = from == 0 || d->joined_at >= from;
        if (i == asker || (new &&replica_is_present(r, i) &&
                           (other->relay || other->controller || replica_policy_joins(r, k, other))))
            collect_admitted(c, d);
    }
}

static void collect_for(struct collector *c, const struct device_id *asker, bool invite, uint64_t from)
{
    uint32_t i;
    c->count = 0;
    if (device_id_equal(asker, &replica_controller))
        collect_since(c, from);
    else if (invite)
        collect_relays(c);
    else if (replica_known_position(c->r, asker, &i) && replica_is_present(c->r, i))
        replica_is_full(&c->r->known[i]) ? collect_since(c, from) : collect_for_member(c, i, from);
}

static bool build_openings(struct replica *r, const struct frame_get *get, const struct device_id *asker, bool invite,
                           struct blob_writer *w)
{
    struct collector c = {.r = r};
    collect_for(&c, asker, invite, get->from);
    blob_begin(w, c.count);
    c.writer = w;
    collect_for(&c, asker, invite, get->from);
    return true;
}

/* ---- making blobs ---- */

static bool build_ledger(struct replica *r, const struct frame_get *get, uint64_t to, struct blob_writer *w)
{
    if (get->from < r->history.first || get->from > to || to >= replica_history_end(&r->history))
        return false;
    blob_begin(w, to - get->from + 1);
    for (uint64_t i = get->from; i <= to; i++) {
        const struct entry *e = replica_history_at(&r->history, i);
        blob_put_entry(w, e->time, (struct frame_view){e->bytes, e->len});
    }
    return true;
}

static int save(const struct fold *f, struct blob_writer *w)
{
    int64_t len = fold_save(f, NULL, 0);
    if (len < 0 || len > SYNC_BLOB_MAX)
        return len < 0 ? (int)len : ERROR_OVERFLOW;
    w->bytes = malloc((size_t)len + 1);
    if (!w->bytes)
        return ERROR_MEMORY;
    w->len = w->capacity = (size_t)len;
    return fold_save(f, w->bytes, w->len) == len ? 0 : ERROR_INVALID;
}

static bool build_fold(struct replica *r, uint64_t to, struct blob_writer *w)
{
    if (to == fold_head(r->fold)->index) {
        w->error = save(r->fold, w);
        return true;
    }
    struct fold *fold;
    if (replica_history_fold(&r->history, r->c, to, &fold))
        return false;
    w->error = save(fold, w);
    fold_free(fold);
    return true;
}

static bool build(struct replica *r, const struct frame_get *get, uint64_t to, const struct device_id *asker,
                  bool invite, struct blob_writer *w)
{
    switch (get->what) {
    case SYNC_LEDGER:
        return build_ledger(r, get, to, w);
    case SYNC_FOLD:
        return build_fold(r, to, w);
    case SYNC_OPENINGS:
        return build_openings(r, get, asker, invite, w);
    case SYNC_OFFER:
        break;
    }
    return false;
}

/* NULL: not there, or too much asked. */
static struct cached_blob *make_blob(struct replica *r, const struct frame_get *get, uint64_t to,
                                     const struct device_id *from, bool invite, const struct device_id *asker)
{
    struct limit *limit = limit_of(r, from);
    if (++limit->builds > (invite ? BUILDS_INVITE : BUILDS_MEMBER)) {
        r->counters.limited++;
        return NULL;
    }
    struct blob_writer w = {0};
    if (!build(r, get, to, from, invite, &w) || w.error) {
        free(w.bytes);
        return NULL;
    }
    const struct cached_blob blob = {get->what, get->from, to, *asker, w.bytes, w.len, 0};
    return cache(&r->serve, &blob);
}

static void answer(struct replica *r, const struct device_id *to, const struct frame_part *part)
{
    struct frame frame = {.kind = FRAME_PART, .part = *part};
    replica_send_frame(r, to, &frame);
}

static void serve_offer(struct replica *r, const struct device_id *from, const struct frame_get *get)
{
    struct frame_view blob;
    struct frame_part part;
    if (!replica_submissions_blob(r, get->hash, &blob) && !replica_errand_blob(r, get->hash, &blob))
        return;
    if (serve_part(get, get->to, blob.bytes, blob.len, &part))
        answer(r, from, &part);
}

/* Up to which entry we have everything that an asker may ask for; false: nothing is served. Openings may lag behind the
 * ledger, and whoever asks must not believe that there are no more. */
static bool served_to(const struct replica *r, enum sync_what what, uint64_t *to)
{
    *to = fold_head(r->fold)->index;
    if (what != SYNC_OPENINGS)
        return true;
    if (!replica_self_is_full(r))
        return false;
    if (!replica_needs_more(r))
        return true;
    if (r->follow.openings_at < *to)
        *to = r->follow.openings_at;
    return r->follow.openings_told;
}

static const struct cached_blob *find_or_make(struct replica *r, const struct device_id *from, bool invite,
                                              const struct frame_get *get, uint64_t *to)
{
    struct device_id asker = {0};
    struct frame_get key = *get;
    uint64_t latest;
    if (get->what == SYNC_OPENINGS)
        asker = *from;
    if (get->what == SYNC_FOLD)
        key.from = 0; /* a fold has no beginning */
    struct cached_blob *blob = get->to != UINT64_MAX ? find_blob(&r->serve, &key, get->to, &asker) : NULL;
    *to = get->to;
    if (!blob && served_to(r, get->what, &latest)) {
        *to = get->to == UINT64_MAX ? latest : get->to;
        blob = find_blob(&r->serve, &key, *to, &asker);
        /* Openings are made for what is so now: an asker in the middle of an older view begins anew. */
        if (!blob && *to <= latest && (get->what != SYNC_OPENINGS || *to == latest))
            blob = make_blob(r, &key, *to, from, invite, &asker);
    }
    if (blob)
        blob->used = ++r->serve.uses;
    return blob;
}

void replica_serve_get(struct replica *r, const struct device_id *from, bool invite, const struct frame_get *get)
{
    struct frame_part part;
    uint64_t to;
    if (get->what == SYNC_OFFER) {
        if (!invite)
            serve_offer(r, from, get);
        return;
    }
    if (!r->fold || !r->has_signed)
        return;
    const struct cached_blob *blob = find_or_make(r, from, invite, get, &to);
    if (blob && serve_part(get, to, blob->bytes, blob->len, &part))
        answer(r, from, &part);
}
