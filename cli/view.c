#include "view.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ground.h"
#include "ledger/kept.h"
#include "say.h"
#include "wire/cbor.h"

#define LOG_MAX (256u << 20)
#define DAY 86400u /* s */
#define RECORD_HEADER 8
#define SUBMISSION_MAX (64u << 20)

struct reading {
    struct cli *cli;
    struct view *out;
    bool seen;               /* a record */
    bool pending;            /* what is read now comes from the outbox, */
    struct device_id device; /* as part of this statement */
};

/* ---- Openings ---- */

/* Room for one more pointer; it doubles at powers of two. */
static int make_room(struct view *v)
{
    uint32_t count = v->opening_count;
    if ((count & (count - 1)) != 0)
        return 0;
    struct view_opening **more = realloc(v->openings, (count ? 2 * (size_t)count : 1) * sizeof(struct view_opening *));
    if (!more)
        return ERROR_MEMORY;
    v->openings = more;
    return 0;
}

static int take_opening(void *context, const uint8_t *bytes, size_t len)
{
    struct reading *r = context;
    struct view *v = r->out;
    struct view_opening *o = calloc(1, sizeof(*o));
    int error = o ? make_room(v) : ERROR_MEMORY;
    if (!error)
        error = opening_commitment(r->cli->crypto, o->commitment, bytes, len);
    if (!error)
        error = opening_decode(&o->opening, bytes, len);
    if (error) {
        free(o);
        return error;
    }
    o->pending = r->pending;
    o->device = r->device;
    v->openings[v->opening_count++] = o;
    return 0;
}

static int compare_commitments(const void *a, const void *b)
{
    const struct view_opening *const *x = a, *const *y = b;
    return memcmp((*x)->commitment, (*y)->commitment, SHA256_SIZE);
}

static void sort_openings(struct view *v)
{
    if (v->opening_count > 0)
        qsort(v->openings, v->opening_count, sizeof(struct view_opening *), compare_commitments);
}

const struct opening *view_opening(const struct view *v, const uint8_t commitment[SHA256_SIZE])
{
    uint32_t low = 0, high = v->opening_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = memcmp(v->openings[middle]->commitment, commitment, SHA256_SIZE);
        if (order == 0)
            return &v->openings[middle]->opening;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- The ledger ---- */

static int take_entry(struct reading *r, const struct kept *k)
{
    struct statement s;
    struct view *v = r->out;
    const struct head *head = fold_head(v->fold);
    /* Entries from before the base, or that a new base replaced. */
    if (head->index != UINT64_MAX && k->index <= head->index)
        return 0;
    int error = statement_decode(r->cli->crypto, &s, k->bytes, k->len);
    if (!error)
        error = fold_apply_trusted(v->fold, &s, k->time, k->verdict);
    if (k->time > v->time)
        v->time = k->time;
    return error;
}

static int take_base(struct reading *r, const struct kept *k)
{
    struct fold *fold;
    int error = k->len ? fold_load(&fold, r->cli->crypto, k->bytes, k->len) : fold_new(&fold, r->cli->crypto);
    if (error)
        return error;
    fold_free(r->out->fold);
    r->out->fold = fold;
    return 0;
}

static int take_take_away(struct reading *r, const struct kept *k)
{
    struct statement s;
    enum fold_verdict verdict;
    int error = statement_decode(r->cli->crypto, &s, k->bytes, k->len);
    return error ? error : fold_take_away(r->out->fold, &s, &verdict);
}

static int take_head(struct reading *r, const struct kept *k)
{
    struct signed_head h;
    signed_head_decode(&h, k->bytes);
    if (h.head.time > r->out->time)
        r->out->time = h.head.time;
    return 0;
}

static int take_record(void *context, const uint8_t *bytes, size_t len)
{
    static int (*const takers[])(struct reading *, const struct kept *) = {
        [KEPT_ENTRY] = take_entry, [KEPT_BASE] = take_base, [KEPT_TAKE_AWAY] = take_take_away, [KEPT_HEAD] = take_head};
    struct reading *r = context;
    struct kept k;
    int error = kept_decode(&k, bytes, len);
    if (error)
        return error;
    r->seen = true;
    bool known = k.kind < sizeof(takers) / sizeof(takers[0]) && takers[k.kind];
    return known ? takers[k.kind](r, &k) : 0;
}

/* ---- Logs ---- */

/* As files_log_open, but leaves the file alone, since the daemon may be writing it: what is not yet whole at its end is
 * not there yet. */
static int read_log(const struct files *f, int (*each)(void *, const uint8_t *, size_t), void *context)
{
    uint8_t *bytes;
    size_t len, at = 0;
    int error = files_read_new(f, KEPT_LOG, LOG_MAX, &bytes, &len);
    if (error)
        return error == ERROR_NOT_FOUND ? 0 : error;
    while (!error && len - at >= RECORD_HEADER) {
        uint32_t record = get_be32(bytes + at), crc = get_be32(bytes + at + 4);
        const uint8_t *content = bytes + at + RECORD_HEADER;
        if (record > len - at - RECORD_HEADER || files_crc32(files_crc32(0, bytes + at, 4), content, record) != crc)
            break;
        error = each(context, content, record);
        at += RECORD_HEADER + record;
    }
    free(bytes);
    return error;
}

static int found(struct reading *r, const struct ticket *t)
{
    int error = 0;
    for (uint32_t i = 0; i < t->statement_count && !error; i++) {
        struct statement s;
        enum fold_verdict verdict;
        error = statement_decode(r->cli->crypto, &s, t->statements[i].bytes, t->statements[i].len);
        if (!error)
            error = fold_apply(r->out->fold, &s, t->times[i], &verdict);
        r->out->time = t->times[i];
    }
    for (uint32_t i = 0; i < t->opening_count && !error; i++)
        error = take_opening(r, t->openings[i].bytes, t->openings[i].len);
    return error;
}

static int read_name(struct reading *r, const struct files *f)
{
    size_t len;
    char *name = r->out->network_name;
    int error = files_read(f, KEPT_NETWORK, name, NAME_MAX_LEN, &len);
    if (error)
        return error == ERROR_NOT_FOUND ? 0 : error;
    return name_is_valid(name, len) ? 0 : ERROR_MALFORMED; /* it is shown, and printed into tickets */
}

/* The ticket that this node began with founds the network while there is no log. */
static int read_founding(struct reading *r, const struct files *f)
{
    uint8_t *text, *buffer;
    size_t len;
    struct ticket t;
    int error = files_read_new(f, KEPT_FOUNDING, TICKET_TEXT_MAX, &text, &len);
    if (error)
        return error == ERROR_NOT_FOUND ? 0 : error;
    buffer = malloc(len + 1);
    if (!buffer)
        error = ERROR_MEMORY;
    else if (ticket_parse(r->cli->crypto, &t, (const char *)text, len, buffer) != TICKET_GOOD)
        error = ERROR_MALFORMED;
    if (!error)
        error = found(r, &t);
    free(buffer);
    free(text);
    return error;
}

/* ---- The outbox ---- */

static int keep_pending(struct view *v, const uint8_t *bytes, size_t len)
{
    struct view_pending *more = reallocarray(v->pending, v->pending_count + 1, sizeof(*more));
    if (!more)
        return ERROR_MEMORY;
    v->pending = more;
    struct view_pending *next = &more[v->pending_count];
    next->len = len;
    next->bytes = malloc(len + 1);
    if (!next->bytes)
        return ERROR_MEMORY;
    memcpy(next->bytes, bytes, len);
    v->pending_count++;
    return 0;
}

/* A take-away counts before the network has it; what is not of that form is the daemon's to complain about. */
static int count_pending(struct reading *r)
{
    struct view *v = r->out;
    struct statement s;
    enum fold_verdict verdict;
    int error = 0;
    for (uint32_t i = 0; i < v->pending_count && !error; i++)
        if (!statement_decode(r->cli->crypto, &s, v->pending[i].bytes, v->pending[i].len))
            error = fold_take_away(v->fold, &s, &verdict);
    return error == ERROR_INVALID ? 0 : error;
}

/* [statement, [opening, ...]]; what is not of that form is the daemon's to complain about. */
static int take_submission(struct reading *r, const uint8_t *bytes, size_t len)
{
    size_t item;
    int error = 0;
    if (cbor_check(bytes, len))
        return 0;
    struct cursor c = cursor_reading(bytes, len);
    (void)cbor_get_array(&c);
    const uint8_t *statement = cbor_get_bytes(&c, &item);
    if (statement)
        error = keep_pending(r->out, statement, item);
    for (uint64_t left = cbor_get_array(&c); left > 0 && !cursor_error(&c) && !error; left--) {
        const uint8_t *opening = cbor_get_bytes(&c, &item);
        error = opening ? take_opening(r, opening, item) : 0;
    }
    return error == ERROR_MALFORMED ? 0 : error;
}

struct outbox_reading {
    struct reading *reading;
    struct files files;
};

static int read_submission(void *context, const char *name)
{
    struct outbox_reading *o = context;
    uint8_t hash[SHA256_SIZE], *bytes;
    size_t len;
    if (!kept_name_parse(hash, name))
        return 0;
    int error = files_read_new(&o->files, name, SUBMISSION_MAX, &bytes, &len);
    if (error) /* the daemon may just have sent it */
        return error == ERROR_NOT_FOUND ? 0 : error;
    memcpy(o->reading->device.bytes, hash, DEVICE_ID_SIZE);
    error = take_submission(o->reading, bytes, len);
    free(bytes);
    return error;
}

static int read_outbox(struct reading *r, const struct state *s)
{
    struct outbox_reading o = {r, state_files(s, STATE_OUTBOX)};
    r->pending = true;
    int error = files_each(&o.files, read_submission, &o);
    r->pending = false;
    return error;
}

int view_read(struct cli *cli, struct view *out, const struct state *s)
{
    struct reading r = {.cli = cli, .out = out};
    struct files ledger = state_files(s, STATE_LEDGER), openings = state_files(s, STATE_OPENINGS);
    memset(out, 0, sizeof(*out));
    int error = fold_new(&out->fold, cli->crypto);
    /* What leaves the outbox stands in the ledger by then: read in this order, it is seen in one of them at least. */
    if (!error)
        error = read_outbox(&r, s);
    if (!error)
        error = read_log(&ledger, take_record, &r);
    if (!error)
        error = read_log(&openings, take_opening, &r);
    if (!error && !r.seen)
        error = read_founding(&r, &ledger);
    if (!error)
        error = count_pending(&r);
    if (!error)
        error = read_name(&r, &ledger);
    sort_openings(out);
    if (error == ERROR_MALFORMED)
        say_no(cli, "Bring it back from a backup, or have the device invited again.", "The ledger in %s is damaged.",
               s->path);
    else if (error)
        say_failed(cli, error, "The ledger in %s cannot be read", s->path);
    if (error)
        view_clear(out);
    return error;
}

void view_clear(struct view *v)
{
    for (uint32_t i = 0; i < v->opening_count; i++) {
        opening_clear(&v->openings[i]->opening);
        free(v->openings[i]);
    }
    free(v->openings);
    for (uint32_t i = 0; i < v->pending_count; i++)
        free(v->pending[i].bytes);
    free(v->pending);
    if (v->fold)
        fold_free(v->fold);
    memset(v, 0, sizeof(*v));
}

/* ---- Questions ---- */

bool view_is_there(const struct fold_device *d)
{
    return d->state == DEVICE_INVITED || d->state == DEVICE_JOINED;
}

const struct opening_invite *view_invite(const struct view *v, const struct fold_device *d)
{
    const struct opening *o = view_opening(v, d->terms.commitment);
    return o && o->kind == OPENING_INVITE ? &o->invite : NULL;
}

/* Signed times come once a minute: in between, a clock that agrees with them to the day is as good. */
static uint64_t time_by_now(const struct view *v)
{
    uint64_t now = clock_now();
    return now > v->time && now - v->time < DAY ? now : v->time;
}

void view_each_device(const struct view *v, void (*each)(void *, const struct view_device *), void *context)
{
    for (uint32_t i = 0; i < fold_device_count(v->fold); i++) {
        const struct fold_device *d = fold_device_at(v->fold, i);
        bool ended = d->state == DEVICE_INVITED && !fold_invite_is_open(v->fold, d, time_by_now(v));
        const struct view_device device = {d->id, ended, view_is_there(d) ? view_invite(v, d) : NULL};
        if (device.invite)
            each(context, &device);
    }
    for (uint32_t i = 0; i < v->opening_count; i++) {
        const struct view_opening *o = v->openings[i];
        const struct view_device device = {o->device, false, &o->opening.invite};
        if (o->pending && o->opening.kind == OPENING_INVITE)
            each(context, &device);
    }
}

struct name_question {
    const char *name;
    bool known, taken;
    struct device_id id;
};

static void compare_name(void *context, const struct view_device *device)
{
    struct name_question *q = context;
    if (q->taken || strcmp(device->invite->name, q->name) != 0)
        return;
    q->known = true;
    q->taken = !device->ended;
    q->id = device->id;
}

bool view_device(const struct view *v, const char *name, struct device_id *out)
{
    struct name_question q = {.name = name};
    view_each_device(v, compare_name, &q);
    *out = q.id;
    return q.known;
}

bool view_name_is_taken(const struct view *v, const char *name)
{
    struct name_question q = {.name = name};
    view_each_device(v, compare_name, &q);
    return q.taken;
}

bool view_policy_waits(const struct view *v)
{
    bool waits = false;
    for (uint32_t i = 0; i < v->opening_count; i++)
        waits |= v->openings[i]->pending && v->openings[i]->opening.kind == OPENING_RULES;
    return waits;
}

bool view_group(const struct view *v, const char *name, struct subject *out)
{
    for (uint32_t i = 0; i < v->opening_count; i++) {
        const struct opening *o = &v->openings[i]->opening;
        for (uint32_t g = 0; o->kind == OPENING_INVITE && g < o->invite.group_count; g++)
            if (strcmp(o->invite.groups[g].name, name) == 0) {
                *out = o->invite.groups[g].id;
                return true;
            }
    }
    return false;
}

bool view_invite_is_open(const struct view *v, const struct fold_device *d)
{
    return fold_invite_is_open(v->fold, d, time_by_now(v));
}

/* The greater, the rather it is who is meant by its name. */
static int presence(const struct view *v, const struct fold_device *d)
{
    enum device_state state = fold_device_state(v->fold, d);
    if (state == DEVICE_JOINED)
        return 3;
    return state != DEVICE_INVITED ? 1 : view_invite_is_open(v, d) ? 3 : 2;
}

const struct fold_device *view_device_ever(const struct view *v, const char *name)
{
    const struct fold_device *best = NULL;
    for (uint32_t i = 0; i < fold_device_count(v->fold); i++) {
        const struct fold_device *d = fold_device_at(v->fold, i);
        const struct opening_invite *o = view_invite(v, d);
        if (o && strcmp(o->name, name) == 0 && (!best || presence(v, d) >= presence(v, best)))
            best = d;
    }
    return best;
}

bool view_restore_waits(const struct view *v, struct crypto *c, const uint8_t isolate[SHA256_SIZE])
{
    struct statement s;
    for (uint32_t i = 0; i < v->pending_count; i++) {
        if (statement_decode(c, &s, v->pending[i].bytes, v->pending[i].len) || s.kind != STATEMENT_RESTORE)
            continue;
        for (uint32_t n = 0; n < s.restore.count; n++)
            if (memcmp(s.restore.isolates[n], isolate, SHA256_SIZE) == 0)
                return true;
    }
    return false;
}
