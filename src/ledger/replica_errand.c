/* What others hand in here: joins at the door and offers of statements, passed on to the controller, and what became of
 * them passed back. Bounded: whoever is not remembered asks again. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define PASSED_AGAIN SECOND        /* an errand is passed on no more often */
#define REMEMBERED (60 * SECOND)   /* without being asked again */
#define PULL_STALLED (10 * SECOND) /* then an offer's rest is given up */

static void drop(struct replica *r, struct errand *e)
{
    r->errand_bytes -= e->len;
    free(e->bytes);
    pull_free(e->pull);
    *e = (struct errand){0};
}

void replica_errand_clear(struct replica *r)
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++)
        if (r->errands[i].used)
            drop(r, &r->errands[i]);
}

static struct errand *find(struct replica *r, const struct device_id *asker, const uint8_t offer[SHA256_SIZE])
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        struct errand *e = &r->errands[i];
        if (e->used && memcmp(e->offer, offer, SHA256_SIZE) == 0 && device_id_equal(&e->asker, asker))
            return e;
    }
    return NULL;
}

/* The oldest errand of whoever has most of them makes room, so that nobody is crowded out by another. */
static struct errand *victim(struct replica *r)
{
    struct errand *worst = NULL;
    uint32_t most = 0;
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        uint32_t count = 0;
        for (uint32_t j = 0; j < ERRANDS_MAX; j++)
            count += r->errands[j].used && device_id_equal(&r->errands[j].asker, &r->errands[i].asker);
        bool older = worst && count == most && r->errands[i].since < worst->since;
        if (r->errands[i].used && (count > most || older)) {
            most = count;
            worst = &r->errands[i];
        }
    }
    return worst;
}

static struct errand *take_place(struct replica *r)
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++)
        if (!r->errands[i].used)
            return &r->errands[i];
    struct errand *e = victim(r);
    drop(r, e);
    return e;
}

static struct errand *remember(struct replica *r, const struct device_id *asker, const uint8_t offer[SHA256_SIZE])
{
    struct errand *e = take_place(r);
    *e = (struct errand){.used = true, .asker = *asker, .since = r->now};
    memcpy(e->offer, offer, SHA256_SIZE);
    return e;
}

static bool hold(struct replica *r, struct errand *e, const uint8_t *bytes, size_t len)
{
    while (r->errand_bytes + len > ERRANDS_BYTES) {
        struct errand *other = victim(r);
        if (!other || other == e)
            return false;
        drop(r, other);
    }
    e->bytes = malloc(len + 1);
    if (!e->bytes)
        return false;
    memcpy(e->bytes, bytes, len);
    e->len = len;
    r->errand_bytes += len;
    return true;
}

/* Many may bring the same take-away; what becomes of it is told to all of them. */
static bool another_was_passed_on(const struct replica *r, const struct errand *e)
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        const struct errand *other = &r->errands[i];
        if (other != e && other->used && other->passed && r->now < other->passed + PASSED_AGAIN &&
            memcmp(other->offer, e->offer, SHA256_SIZE) == 0)
            return true;
    }
    return false;
}

/* Not back to where it came from. */
static void pass_on(struct replica *r, struct errand *e)
{
    struct device_id to;
    if (another_was_passed_on(r, e))
        return;
    if ((e->passed && r->now < e->passed + PASSED_AGAIN) || !replica_choose_upstream(r, r->follow.turn, &to) ||
        device_id_equal(&to, &e->asker))
        return;
    e->passed = r->now;
    struct frame frame = {.kind = FRAME_JOIN, .join = {{e->bytes, e->len}}};
    if (e->is_join)
        replica_send_frame(r, &to, &frame);
    else
        replica_offer_send(r, &to, e->offer, e->bytes, e->len);
}

/* ---- joins ---- */

/* An invite hands in its own join; another relay what was handed to it. */
static bool may_hand_in(const struct replica *r, const struct device_id *from, bool invite, const struct statement *s)
{
    uint32_t i;
    if (!invite)
        return replica_known_position(r, from, &i) && replica_is_present(r, i) && r->known[i].relay;
    const struct fold_device *d = fold_device_by_invite(r->fold, s->join.invite);
    struct device_id other = d ? replica_invite_id(&d->id) : (struct device_id){0};
    return d && (device_id_equal(&d->id, from) || device_id_equal(&other, from));
}

static void tell_verdict(struct replica *r, const struct device_id *to, const uint8_t *statement,
                         enum fold_verdict verdict, uint64_t index)
{
    struct frame frame = {.kind = FRAME_JOINED, .joined = {.verdict = verdict, .index = index}};
    memcpy(frame.joined.statement, statement, SHA256_SIZE);
    if (r->has_signed)
        frame.joined.head = (struct frame_view){r->signed_bytes, SIGNED_HEAD_SIZE};
    replica_send_frame(r, to, &frame);
}

/* What the ledger says already needs no errand. */
static bool answer_known(struct replica *r, const struct device_id *to, const uint8_t *statement)
{
    uint64_t index;
    const struct entry *e = replica_history_find(&r->history, statement, &index);
    if (!e)
        return false;
    tell_verdict(r, to, statement, e->verdict, index);
    return true;
}

void replica_errand_join(struct replica *r, const struct device_id *from, bool invite, const struct frame_join *join)
{
    struct statement s;
    if (!r->self.relay || !r->fold || statement_decode(r->c, &s, join->statement.bytes, join->statement.len) ||
        s.kind != STATEMENT_JOIN || !may_hand_in(r, from, invite, &s)) {
        r->counters.strange++;
        return;
    }
    if (answer_known(r, from, s.hash))
        return;
    struct errand *e = find(r, from, s.hash);
    if (!e) {
        e = remember(r, from, s.hash);
        e->is_join = true;
        memcpy(e->statement, s.hash, SHA256_SIZE);
        if (!hold(r, e, join->statement.bytes, join->statement.len)) {
            drop(r, e);
            return;
        }
    }
    e->since = r->now;
    pass_on(r, e);
}

/* ---- offers ---- */

/* The submission is here: false: it is none. */
static bool look_into(struct replica *r, struct errand *e)
{
    struct blob_reader openings;
    struct frame_view view;
    struct statement s;
    if (blob_read_submission(&openings, &view, e->bytes, e->len) || statement_decode(r->c, &s, view.bytes, view.len))
        return false;
    memcpy(e->statement, s.hash, SHA256_SIZE);
    /* What takes away, or replaces the sequencers, counts at once. */
    if (!replica_take_away_take(r, view.bytes, view.len, true, &e->asker))
        (void)replica_replace_take(r, view.bytes, view.len, &e->asker);
    return true;
}

static void offer_came(struct replica *r, struct errand *e, const uint8_t *bytes, size_t len)
{
    uint8_t hash[SHA256_SIZE];
    bool good = crypto_sha256(r->c, hash, bytes, len) == 0 && memcmp(hash, e->offer, SHA256_SIZE) == 0 &&
                hold(r, e, bytes, len) && look_into(r, e);
    if (!good || !r->self.relay || answer_known(r, &e->asker, e->statement)) {
        drop(r, e); /* a member that is no relay has taken away what was to be, and carries nothing */
        return;
    }
    pass_on(r, e);
}

static uint32_t pulled(const struct replica *r)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < ERRANDS_MAX; i++)
        count += r->errands[i].pull != NULL;
    return count;
}

static void pull_rest(struct replica *r, struct errand *e)
{
    if (pulled(r) >= ERRANDS_PULLED || pull_new(&e->pull, SYNC_OFFER, 0, 0, e->offer)) {
        drop(r, e);
        return;
    }
    replica_pull_pump(r, e->pull, &e->asker);
}

void replica_errand_offer(struct replica *r, const struct device_id *from, const struct frame_statement *offer)
{
    if (!r->fold || offer->total > ERRANDS_BYTES / 4) {
        r->counters.strange++;
        return;
    }
    struct errand *e = find(r, from, offer->hash);
    if (e) {
        e->since = r->now;
        if (e->bytes)
            pass_on(r, e);
        return;
    }
    bool here = offer->bytes.len == offer->total;
    if (!here && !r->self.relay)
        return; /* take-aways fit into an offer */
    e = remember(r, from, offer->hash);
    if (here)
        offer_came(r, e, offer->bytes.bytes, offer->bytes.len);
    else
        pull_rest(r, e);
}

bool replica_errand_part(struct replica *r, const struct device_id *from, const struct frame_part *part)
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        struct errand *e = &r->errands[i];
        size_t len;
        if (!e->pull || !device_id_equal(&e->asker, from) || !pull_take(e->pull, part, r->now))
            continue;
        const uint8_t *bytes = pull_complete(e->pull, &len);
        if (!bytes) {
            replica_pull_pump(r, e->pull, from);
            return true;
        }
        struct pull *pull = e->pull;
        e->pull = NULL;
        offer_came(r, e, bytes, len);
        pull_free(pull);
        return true;
    }
    return false;
}

bool replica_errand_blob(const struct replica *r, const uint8_t hash[SHA256_SIZE], struct frame_view *out)
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        const struct errand *e = &r->errands[i];
        if (!e->used || !e->bytes || e->is_join || memcmp(e->offer, hash, SHA256_SIZE) != 0)
            continue;
        *out = (struct frame_view){e->bytes, e->len};
        return true;
    }
    return false;
}

/* ---- what became of them ---- */

void replica_errand_verdict(struct replica *r, const struct device_id *from, const struct frame_joined *joined)
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        struct errand *e = &r->errands[i];
        if (!e->used || !e->bytes || memcmp(e->statement, joined->statement, SHA256_SIZE) != 0 ||
            device_id_equal(&e->asker, from))
            continue;
        struct frame frame = {.kind = FRAME_JOINED, .joined = *joined};
        replica_send_frame(r, &e->asker, &frame);
        if (joined->verdict != VERDICT_STORE)
            drop(r, e);
    }
}

void replica_errand_timer(struct replica *r)
{
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        struct errand *e = &r->errands[i];
        if (!e->used)
            continue;
        uint64_t last = e->pull ? pull_last_progress(e->pull) : 0;
        if (r->now >= (last > e->since ? last : e->since) + (e->pull ? PULL_STALLED : REMEMBERED))
            drop(r, e);
        else if (e->pull)
            replica_pull_pump(r, e->pull, &e->asker);
    }
}

uint64_t replica_errand_deadline(const struct replica *r)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < ERRANDS_MAX; i++) {
        const struct errand *e = &r->errands[i];
        uint64_t at = e->pull ? pull_deadline(e->pull) : e->since + REMEMBERED;
        if (e->used && at < first)
            first = at;
    }
    return first;
}
