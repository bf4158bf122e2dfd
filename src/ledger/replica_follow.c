/* Following: heads that others show are verified, the entries up to them pulled from whoever has them, and openings
 * asked for when the ledger has moved. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define STALLED (5 * SECOND)   /* then another source is asked */
#define GIVEN_UP (60 * SECOND) /* then the next head begins anew */
#define OPENINGS_PAUSE (5 * SECOND)
#define OPENINGS_SOON (SECOND / 16) /* after an answer that was not all of it; twice as long each time */
#define COMPARED_BACK 1024u         /* entries */
#define SOURCES_TRIED 4u
#define GREETED_EVERY (5 * SECOND)

/* ---- links ---- */

bool replica_link_exists(const struct replica *r, const struct device_id *id)
{
    for (uint32_t i = 0; i < r->links.count; i++)
        if (device_id_equal(&r->links.ids[i], id))
            return true;
    return false;
}

static void link_add(struct links *l, const struct device_id *id)
{
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity ? 2 * l->capacity : LINKS_FREE;
        struct device_id *ids = realloc(l->ids, capacity * sizeof(*ids));
        if (!ids)
            return; /* it is not asked and not told; the next link may */
        l->ids = ids;
        l->capacity = capacity;
    }
    l->ids[l->count++] = *id;
}

static void link_remove(struct links *l, const struct device_id *id)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (device_id_equal(&l->ids[i], id))
            l->ids[i--] = l->ids[--l->count];
}

void replica_link_forget(struct replica *r, const struct device_id *id)
{
    link_remove(&r->links, id);
}

/* What went before the session was may be lost; and a relay of the ticket that is there takes the place of one that was
 * never reached. */
static void ask_from_now_on(struct replica *r, const struct device_id *id)
{
    struct follow *f = &r->follow;
    bool unreached = r->joining.ticket && !replica_link_exists(r, &f->source);
    if (!f->pull || (!unreached && !device_id_equal(id, &f->source)))
        return;
    f->source = *id;
    f->asked_since = r->now;
    pull_restart(f->pull);
}

void replica_link(struct replica *r, const struct device_id *id, bool up, uint64_t now)
{
    r->now = now;
    bool had = replica_link_exists(r, id);
    if (up && !had)
        link_add(&r->links, id);
    else if (!up && had)
        link_remove(&r->links, id);
    if (up) {
        replica_seen(r, id, now);
        ask_from_now_on(r, id);
        replica_take_aways_tell(r, id);
        r->follow.openings_next = now; /* there may be someone to ask now, */
        r->joining.next_send = now;    /* and to hand things in to: what went before the session was may be lost */
        replica_submissions_hasten(r);
    }
    replica_look_at_links(r);
    replica_follow_timer(r);
    replica_join_timer(r);
    replica_submissions_timer(r);
    replica_settle(r);
}

/* ---- whom to ask ---- */

enum upstream_kind { UPSTREAM_CONTROLLER, UPSTREAM_RELAY };

static bool is_upstream(const struct replica *r, const struct device_id *id, enum upstream_kind kind)
{
    uint32_t i;
    if (!replica_known_position(r, id, &i) || !replica_known_is_good(&r->known[i]))
        return false;
    return kind == UPSTREAM_CONTROLLER ? r->known[i].controller : r->known[i].relay;
}

static bool choose_linked(const struct replica *r, enum upstream_kind kind, uint32_t turn, struct device_id *out)
{
    uint32_t fitting = 0, seen = 0;
    for (uint32_t i = 0; i < r->links.count; i++)
        fitting += is_upstream(r, &r->links.ids[i], kind);
    for (uint32_t i = 0; i < r->links.count && fitting; i++) {
        if (!is_upstream(r, &r->links.ids[i], kind) || seen++ != turn % fitting)
            continue;
        *out = r->links.ids[i];
        return true;
    }
    return false;
}

static bool choose_of_ticket(const struct replica *r, uint32_t turn, struct device_id *out)
{
    const struct ticket *t = r->joining.ticket;
    uint32_t count = t->relay_count;
    for (uint32_t i = 0; i < count; i++) {
        *out = t->relays[(turn + i) % count].device;
        if (replica_link_exists(r, out))
            return true;
    }
    if (count)
        *out = t->relays[turn % count].device;
    return count > 0;
}

bool replica_has_controller(const struct replica *r)
{
    uint32_t i;
    if (replica_self_position(r, &i))
        return r->known[i].controller;
    return replica_founding_device(r, &i) && !is_zero(r->config.invite_static_public, X25519_SIZE) &&
           memcmp(fold_device_at(r->fold, i)->terms.static_public, r->config.invite_static_public, X25519_SIZE) == 0;
}

bool replica_choose_upstream(struct replica *r, uint32_t turn, struct device_id *out)
{
    if (r->joining.ticket)
        return choose_of_ticket(r, turn, out);
    if (replica_has_controller(r)) {
        *out = replica_controller;
        return true;
    }
    if (r->self.relay && choose_linked(r, UPSTREAM_CONTROLLER, turn, out))
        return true;
    return choose_linked(r, UPSTREAM_RELAY, turn, out);
}

/* ---- pulls ---- */

void replica_pull_pump(struct replica *r, struct pull *pull, const struct device_id *source)
{
    struct frame frame = {.kind = FRAME_GET};
    while (pull_next(pull, &frame.get, r->now))
        replica_send_frame(r, source, &frame);
}

static bool stalls(const struct replica *r, const struct pull *pull, uint64_t since, uint64_t limit)
{
    uint64_t last = pull_last_progress(pull);
    return r->now >= (last > since ? last : since) + limit;
}

static void drop_pull(struct follow *f)
{
    pull_free(f->pull);
    f->pull = NULL;
    f->widened = false;
}

static void begin_pull(struct replica *r, uint64_t from, const struct signed_head *target,
                       const struct device_id *source)
{
    struct follow *f = &r->follow;
    struct pull *pull;
    if (pull_new(&pull, SYNC_LEDGER, from, target->head.index, NULL))
        return;
    drop_pull(f);
    f->pull = pull;
    f->target = *target;
    f->source = *source;
    f->asked_since = f->began = r->now;
    f->from = from;
    replica_pull_pump(r, f->pull, source);
}

void replica_follow_drop(struct replica *r)
{
    if (r->follow.pull && !r->follow.bootstrap)
        drop_pull(&r->follow);
}

/* ---- heads ---- */

/* While a network is being founded, the key that may sign comes with the entries that it signed. */
static bool may_sign(const struct replica *r, const uint8_t *key)
{
    uint32_t i;
    return fold_sequences(r->fold, key) ||
           (replica_founding_device(r, &i) && fold_device_at(r->fold, i)->state == DEVICE_INVITED);
}

static bool is_newer(const struct signed_head *a, const struct signed_head *b)
{
    return a->head.index > b->head.index || (a->head.index == b->head.index && a->head.time > b->head.time);
}

void replica_notify_links(struct replica *r)
{
    if (r->self.relay)
        replica_notify_all(r);
}

void replica_notify_all(struct replica *r)
{
    struct frame frame = {.kind = FRAME_NOTICE, .notice = {{r->signed_bytes, SIGNED_HEAD_SIZE}}};
    if (!r->has_signed)
        return;
    for (uint32_t i = 0; i < r->links.count; i++)
        replica_send_frame(r, &r->links.ids[i], &frame);
}

void replica_adopt_head(struct replica *r, const struct signed_head *head)
{
    if (r->has_signed && !is_newer(head, &r->signed_head))
        return;
    bool moved = !r->has_signed || head->head.index != r->signed_head.head.index;
    r->has_signed = true;
    r->signed_head = *head;
    signed_head_encode(head, r->signed_bytes);
    replica_learn_time(r, head->head.time);
    r->ops->head(r->ops->context, r->signed_bytes);
    if (moved || head->head.time >= r->head_kept + 3600) {
        r->head_kept = head->head.time;
        r->ops->keep_head(r->ops->context, r->signed_bytes);
    }
    replica_notify_links(r);
    replica_submissions_look(r);
    r->dirty = true;
}

static void found_split(struct replica *r, const struct signed_head *other)
{
    uint8_t bytes[SIGNED_HEAD_SIZE];
    signed_head_encode(other, bytes);
    if (r->has_signed)
        r->ops->keep_evidence(r->ops->context, r->signed_bytes, bytes);
    replica_problem_set(r, REPLICA_PROBLEM_LEDGER_SPLIT, NULL, NULL, true);
}

/* A head at or before ours, by a sequencer: it must be of our chain. */
static void compare(struct replica *r, const struct signed_head *head)
{
    const struct head *ours = fold_head(r->fold);
    const struct entry *e = replica_history_at(&r->history, head->head.index);
    const uint8_t *hash = head->head.index == ours->index ? ours->hash : e ? e->head : NULL;
    uint8_t root[SHA256_SIZE];
    if (!hash)
        return; /* older than what we keep */
    if (memcmp(hash, head->head.hash, SHA256_SIZE) != 0) {
        found_split(r, head);
        return;
    }
    if (head->head.index != ours->index)
        return;
    fold_root(r->fold, root);
    if (memcmp(root, head->fold_root, SHA256_SIZE) == 0) {
        replica_adopt_head(r, head);
        return;
    }
    r->follow.stuck = true;
    replica_problem_set(r, REPLICA_PROBLEM_FOLD_MISMATCH, NULL, NULL, true);
}

static void go_after(struct replica *r, const struct device_id *from, const struct signed_head *head)
{
    struct follow *f = &r->follow;
    if (f->stuck)
        return;
    if (!f->pull) {
        begin_pull(r, replica_history_end(&r->history), head, from);
        return;
    }
    if (is_newer(head, &f->target) && (!f->has_better || is_newer(head, &f->better))) {
        f->has_better = true;
        f->better = *head;
        f->better_source = *from;
    }
}

void replica_follow_head(struct replica *r, const struct device_id *from, struct frame_view bytes)
{
    struct signed_head head;
    if (bytes.len != SIGNED_HEAD_SIZE || (r->has_signed && memcmp(bytes.bytes, r->signed_bytes, bytes.len) == 0))
        return;
    signed_head_decode(&head, bytes.bytes);
    if (!r->fold) { /* joining: it is looked at once there is something to compare it with */
        r->follow.has_better = r->joining.ticket != NULL;
        r->follow.better = head;
        r->follow.better_source = *from;
        return;
    }
    if (!may_sign(r, head.sequencer) || signed_head_verify(r->c, &head, &r->config.network))
        return;
    if (head.head.index < replica_history_end(&r->history))
        compare(r, &head);
    else
        go_after(r, from, &head);
}

/* ---- what was pulled ---- */

void replica_follow_better(struct replica *r)
{
    struct follow *f = &r->follow;
    if (!f->has_better || f->pull)
        return;
    uint8_t bytes[SIGNED_HEAD_SIZE];
    signed_head_encode(&f->better, bytes);
    struct device_id from = f->better_source;
    f->has_better = false;
    replica_follow_head(r, &from, (struct frame_view){bytes, sizeof(bytes)});
}

/* Another history, or a server's lie: the same entries from an earlier place on tell. False: we keep nothing earlier.
 */
static bool widen(struct replica *r, const struct signed_head *target, const struct device_id *source)
{
    uint64_t end = replica_history_end(&r->history), kept = end - r->history.first;
    if (kept < 2)
        return false;
    begin_pull(r, end - (kept - 1 < COMPARED_BACK ? kept - 1 : COMPARED_BACK), target, source);
    r->follow.widened = r->follow.pull != NULL;
    return r->follow.widened;
}

/* The next source in turn is asked for what this one did not have. */
static void blame(struct replica *r, const struct signed_head *target, const struct device_id *source)
{
    struct follow *f = &r->follow;
    struct device_id next;
    r->counters.bad_parts++;
    replica_problem_set(r, REPLICA_PROBLEM_BAD_SERVER, source, NULL, true);
    if (++f->failures < SOURCES_TRIED && replica_choose_upstream(r, ++f->turn, &next) &&
        !device_id_equal(&next, source))
        begin_pull(r, replica_history_end(&r->history), target, &next);
}

static void after_advance(struct replica *r, enum advance_result result, const struct signed_head *target,
                          const struct device_id *source)
{
    switch (result) {
    case ADVANCE_DONE:
        r->follow.failures = 0;
        replica_problem_set(r, REPLICA_PROBLEM_BAD_SERVER, source, NULL, false);
        break;
    case ADVANCE_PARTED:
        if (!widen(r, target, source))
            blame(r, target, source);
        break;
    case ADVANCE_BAD:
        blame(r, target, source);
        break;
    case ADVANCE_SPLIT:
        found_split(r, target);
        break;
    case ADVANCE_STUCK:
        r->follow.stuck = true;
        replica_problem_set(r, REPLICA_PROBLEM_FOLD_MISMATCH, NULL, NULL, true);
        break;
    }
}

static void ledger_came(struct replica *r)
{
    struct follow *f = &r->follow;
    struct pull *pull = f->pull;
    struct signed_head target = f->target;
    struct device_id source = f->source;
    bool widened = f->widened, bootstrap = f->bootstrap;
    size_t len;
    const uint8_t *blob = pull_complete(pull, &len);
    f->pull = NULL;
    f->widened = f->bootstrap = false;
    if (bootstrap)
        replica_join_part(r, blob, len);
    else
        after_advance(r, replica_advance(r, blob, len, f->from, widened, &target), &target, &source);
    pull_free(pull);
    replica_follow_better(r);
}

/* Who serves them is mostly a moment behind: it follows the same head as we do. */
static uint64_t soon(struct follow *f)
{
    f->openings_soon = f->openings_soon ? 2 * f->openings_soon : OPENINGS_SOON;
    if (f->openings_soon > SECOND)
        f->openings_soon = SECOND;
    return f->openings_soon;
}

static void openings_came(struct replica *r)
{
    struct follow *f = &r->follow;
    struct blob_reader reader;
    struct frame_view opening;
    size_t len;
    const uint8_t *blob = pull_complete(f->openings, &len);
    uint64_t to = pull_to(f->openings), ours = fold_head(r->fold)->index;
    bool good = len && blob_read_openings(&reader, blob, len) == 0;
    while (good && blob_next_opening(&reader, &opening))
        if (!replica_take_opening(r, opening))
            r->counters.bad_parts++;
    pull_free(f->openings);
    f->openings = NULL;
    f->turn++;
    if (good && !f->openings_anew) {
        f->openings_at = to < ours ? to : ours;
        f->openings_told = true;
    }
    f->openings_wanted = !good || f->openings_anew || to < ours;
    f->openings_anew = false;
    f->openings_next = r->now + (f->openings_wanted && good ? soon(f) : OPENINGS_PAUSE);
    if (!f->openings_wanted)
        f->openings_soon = 0;
    if (good && !f->openings_wanted)
        f->openings_from = f->openings_at + 1;
    r->dirty = true;
}

void replica_follow_part(struct replica *r, const struct device_id *from, const struct frame_part *part)
{
    struct follow *f = &r->follow;
    size_t len;
    if (f->pull && device_id_equal(from, &f->source) && pull_take(f->pull, part, r->now)) {
        if (pull_complete(f->pull, &len))
            ledger_came(r);
        else
            replica_pull_pump(r, f->pull, &f->source);
        return;
    }
    if (f->openings && device_id_equal(from, &f->openings_source) && pull_take(f->openings, part, r->now)) {
        if (pull_complete(f->openings, &len))
            openings_came(r);
        else
            replica_pull_pump(r, f->openings, &f->openings_source);
    }
}

/* ---- openings ---- */

void replica_want_openings(struct replica *r, uint64_t from)
{
    struct follow *f = &r->follow;
    if (from < f->openings_from || !f->openings_told)
        f->openings_from = f->openings_told ? from : 0;
    f->openings_anew = f->openings_anew || f->openings;
    if (!f->openings_wanted)
        f->openings_next = r->now;
    f->openings_wanted = true;
}

static void openings_begin(struct replica *r)
{
    struct follow *f = &r->follow;
    if (!f->openings_wanted || f->openings || !r->fold || r->now < f->openings_next)
        return;
    f->openings_next = r->now + OPENINGS_PAUSE;
    if (!replica_choose_upstream(r, f->turn, &f->openings_source))
        return;
    if (pull_new(&f->openings, SYNC_OPENINGS, f->openings_from, UINT64_MAX, NULL))
        return;
    f->openings_since = r->now;
    f->openings_anew = false;
}

static void openings_timer(struct replica *r)
{
    struct follow *f = &r->follow;
    openings_begin(r);
    if (!f->openings)
        return;
    if (stalls(r, f->openings, f->openings_since, STALLED)) {
        pull_free(f->openings);
        f->openings = NULL;
        f->turn++;
        openings_begin(r);
    }
    if (f->openings)
        replica_pull_pump(r, f->openings, &f->openings_source);
}

static void ledger_timer(struct replica *r)
{
    struct follow *f = &r->follow;
    if (!f->pull)
        return;
    if (stalls(r, f->pull, f->began, GIVEN_UP) && !f->bootstrap) {
        drop_pull(f);
        replica_follow_better(r);
        return;
    }
    if (stalls(r, f->pull, f->asked_since, STALLED)) {
        struct device_id next;
        f->asked_since = r->now;
        if (replica_choose_upstream(r, ++f->turn, &next))
            f->source = next;
        pull_restart(f->pull);
    }
    replica_pull_pump(r, f->pull, &f->source);
}

/* What must be here and is not: it is asked for every few seconds, of each relay in turn. */
bool replica_needs_more(const struct replica *r)
{
    uint32_t self;
    if (!replica_self_position(r, &self))
        return false;
    if (r->known[self].state == KNOWN_MISSING || r->policy.version != fold_policy_version(r->fold))
        return true;
    for (uint32_t i = 0; i < r->known_count && replica_is_full(&r->known[self]); i++)
        if (r->known[i].state == KNOWN_MISSING && fold_device_at(r->fold, i)->state <= DEVICE_JOINED)
            return true;
    return false;
}

/* A controller's process beside us is told that we are here, and answers with its head. */
static void greet_controller(struct replica *r)
{
    struct follow *f = &r->follow;
    struct frame hello = {.kind = FRAME_HELLO, .hello = {.version_min = FRAME_VERSION, .version_max = FRAME_VERSION}};
    if (r->now < f->greet_next || r->joining.ticket || !r->fold || !replica_has_controller(r))
        return;
    f->greet_next = r->now + GREETED_EVERY;
    if (r->has_signed)
        hello.hello.head = (struct frame_view){r->signed_bytes, SIGNED_HEAD_SIZE};
    replica_send_frame(r, &replica_controller, &hello);
}

void replica_follow_timer(struct replica *r)
{
    struct follow *f = &r->follow;
    greet_controller(r);
    if (r->fold && !f->openings_wanted && r->now >= f->openings_next && replica_needs_more(r)) {
        replica_want_openings(r, 0);
        f->openings_next = r->now;
    }
    ledger_timer(r);
    openings_timer(r);
}

/* A pull is looked after at its own deadlines, which come at least every few seconds. */
uint64_t replica_follow_deadline(const struct replica *r)
{
    const struct follow *f = &r->follow;
    uint64_t first = f->pull ? pull_deadline(f->pull) : UINT64_MAX;
    if (f->openings)
        first = earlier(first, pull_deadline(f->openings));
    else if (f->openings_wanted && r->fold)
        first = earlier(first, f->openings_next);
    return first;
}

void replica_bootstrap_begin(struct replica *r, enum sync_what what, uint64_t to)
{
    struct follow *f = &r->follow;
    drop_pull(f);
    if (!replica_choose_upstream(r, f->turn++, &f->source) || pull_new(&f->pull, what, 0, to, NULL))
        return;
    f->bootstrap = true;
    f->began = f->asked_since = r->now;
    replica_pull_pump(r, f->pull, &f->source);
}

void replica_follow_clear(struct replica *r)
{
    pull_free(r->follow.pull);
    pull_free(r->follow.openings);
    free(r->links.ids);
}
