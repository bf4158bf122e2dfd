#include "ledger/replica.h"

#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define HOUSEKEEPING (5 * SECOND)
#define HOUSEKEEPING_AT_REST (30 * SECOND) /* while nothing is missing and nothing happens */
#define CLOCK_SLACK 300u                   /* s that a clock may be behind */
#define CLOCK_AHEAD 86400u                 /* s; from there on, peers take our initiations for replays of the future */
#define FLOOR_KEPT_EVERY 3600u             /* s */
#define RELAY_AWAITED (15 * SECOND)

const struct device_id replica_controller = {
    {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

void replica_send_frame(struct replica *r, const struct device_id *to, const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(frame, bytes, sizeof(bytes));
    if (len > 0)
        r->ops->send(r->ops->context, to, bytes, (size_t)len);
}

int replica_new(struct replica **out, struct crypto *c, const struct replica_config *config,
                const struct replica_ops *ops)
{
    struct replica *r = calloc(1, sizeof(*r));
    if (!r)
        return ERROR_MEMORY;
    r->c = c;
    r->config = *config;
    r->ops = ops;
    r->floor = config->build_time;
    *out = r;
    return 0;
}

void replica_free(struct replica *r)
{
    if (!r)
        return;
    replica_known_clear(r);
    replica_policy_clear(&r->policy);
    replica_meetings_clear(r);
    replica_follow_clear(r);
    replica_serve_clear(r);
    replica_errand_clear(r);
    replica_submissions_clear(r);
    replica_take_aways_clear(r);
    replica_join_clear(r);
    replica_openings_clear(&r->openings);
    replica_history_clear(&r->history);
    for (uint32_t i = 0; i < WAITING_OPENINGS; i++)
        free(r->waiting[i].bytes);
    fold_free(r->fold);
    free(r);
}

/* ---- time ---- */

void replica_learn_time(struct replica *r, uint64_t seconds)
{
    if (seconds > r->floor)
        r->floor = seconds;
    if (r->floor < r->floor_kept + FLOOR_KEPT_EVERY)
        return;
    r->floor_kept = r->floor;
    r->ops->keep_floor(r->ops->context, r->floor);
}

void replica_restore_floor(struct replica *r, uint64_t seconds)
{
    if (seconds > r->floor)
        r->floor = seconds;
    r->floor_kept = seconds;
}

/* ---- restoring ---- */

int replica_restore_opening(struct replica *r, const uint8_t *bytes, size_t len)
{
    uint8_t commitment[SHA256_SIZE];
    int error = opening_commitment(r->c, commitment, bytes, len);
    if (!error)
        error = replica_openings_add(&r->openings, commitment, bytes, len);
    return error == ERROR_EXISTS ? 0 : error;
}

static bool is_of_network(const struct replica *r)
{
    return memcmp(fold_network(r->fold), &r->config.network, sizeof(r->config.network)) == 0;
}

int replica_restore_base(struct replica *r, const uint8_t *bytes, size_t len)
{
    if (r->fold)
        return ERROR_MALFORMED;
    uint8_t *base = malloc(len + 1);
    int error = base ? fold_load(&r->fold, r->c, bytes, len) : ERROR_MEMORY;
    if (error) {
        free(base);
        r->fold = NULL;
        return error;
    }
    memcpy(base, bytes, len);
    r->history = (struct history){.first = fold_head(r->fold)->index + 1, .base = base, .base_len = len};
    return is_of_network(r) ? 0 : ERROR_MALFORMED;
}

/* The policy that was complete last stays in force over a restart: so each one is looked at before the next. */
static void look_at_policy(struct replica *r, const uint8_t *bytes, size_t len)
{
    struct statement s;
    if (r->fold && statement_decode(r->c, &s, bytes, len) == 0 && s.kind == STATEMENT_POLICY &&
        replica_known_refresh(r) == 0)
        replica_policy_compile(r);
}

int replica_restore_entry(struct replica *r, uint64_t index, uint64_t time, enum fold_verdict verdict,
                          const uint8_t *bytes, size_t len)
{
    if (index != replica_history_end(&r->history) || verdict >= VERDICT_COUNT)
        return ERROR_MALFORMED;
    look_at_policy(r, bytes, len);
    int error = r->fold ? 0 : fold_new(&r->fold, r->c);
    if (!error)
        error = replica_apply_kept(r, time, verdict, (struct frame_view){bytes, len});
    return error ? error : is_of_network(r) ? 0 : ERROR_MALFORMED;
}

int replica_restore_take_away(struct replica *r, const uint8_t *bytes, size_t len)
{
    (void)replica_take_away_take(r, bytes, len, false, NULL); /* one that is sequenced meanwhile is not held again */
    return 0;
}

/* One that is ahead of the entries that were kept, or whose sequencer was replaced, is no harm: the next one comes. One
 * of another chain is not ours. */
int replica_restore_head(struct replica *r, const uint8_t bytes[SIGNED_HEAD_SIZE])
{
    struct signed_head head;
    signed_head_decode(&head, bytes);
    const struct entry *e = replica_history_at(&r->history, head.head.index);
    const struct head *ours = r->fold ? fold_head(r->fold) : NULL;
    if (!ours || !fold_sequences(r->fold, head.sequencer))
        return 0;
    const uint8_t *hash = ours->index == head.head.index ? ours->hash : e ? e->head : NULL;
    if (!hash)
        return 0;
    if (memcmp(hash, head.head.hash, SHA256_SIZE) != 0 || signed_head_verify(r->c, &head, &r->config.network))
        return ERROR_MALFORMED;
    r->has_signed = true;
    r->signed_head = head;
    memcpy(r->signed_bytes, bytes, SIGNED_HEAD_SIZE);
    r->head_kept = head.head.time;
    replica_learn_time(r, head.head.time);
    return 0;
}

int replica_begin(struct replica *r, uint64_t now, uint64_t wall)
{
    if (r->fold && replica_known_refresh(r))
        return ERROR_MEMORY;
    r->now = r->began = r->alone_since = now;
    r->wall = wall;
    r->begun = true;
    replica_learn_time(r, r->floor);
    if (r->has_signed)
        r->ops->head(r->ops->context, r->signed_bytes);
    replica_want_openings(r, 0);
    r->dirty = true;
    replica_settle(r);
    replica_timer(r, now, wall);
    return 0;
}

/* ---- consequences ---- */

static void take_waiting(struct replica *r)
{
    for (uint32_t i = 0; i < WAITING_OPENINGS; i++) {
        struct waiting_opening *w = &r->waiting[i];
        if (!w->bytes || !replica_take_opening(r, (struct frame_view){w->bytes, w->len}))
            continue;
        free(w->bytes);
        w->bytes = NULL;
    }
}

void replica_settle(struct replica *r)
{
    if (r->house_next > r->now + HOUSEKEEPING)
        r->house_next = r->now + HOUSEKEEPING;
    if (!r->dirty || !r->begun)
        return;
    if (r->fold)
        take_waiting(r);
    r->dirty = false;
    if (!r->fold) {
        replica_publish_self(r);
        return;
    }
    if (replica_known_refresh(r)) {
        r->dirty = true; /* the next event tries again */
        return;
    }
    replica_policy_compile(r);
    replica_publish(r);
    replica_meetings_look(r);
    replica_follow_better(r);
    replica_join_look(r);
}

/* ---- events ---- */

void replica_seen(struct replica *r, const struct device_id *id, uint64_t now)
{
    uint32_t i;
    r->now = now;
    if (!replica_known_position(r, id, &i) || r->known[i].seen || fold_device_at(r->fold, i)->state != DEVICE_JOINED)
        return;
    r->known[i].seen = true;
    replica_publish_invite(r, i); /* it alone: after a restart thousands come at once */
}

void replica_intruder(struct replica *r, const struct device_id *id, uint64_t now)
{
    struct device_id other = replica_invite_id(id);
    uint32_t i;
    r->now = now;
    if (replica_known_position(r, id, &i) || replica_known_position(r, &other, &i))
        replica_problem_set(r, REPLICA_PROBLEM_TICKET_REUSED, &fold_device_at(r->fold, i)->id, r->known[i].name, true);
}

static void wait_for_invite(struct replica *r, struct frame_view opening)
{
    struct waiting_opening *w = &r->waiting[r->waiting_next++ % WAITING_OPENINGS];
    uint8_t *bytes = opening.len <= WAITING_OPENING_MAX ? malloc(opening.len) : NULL;
    if (!bytes)
        return;
    memcpy(bytes, opening.bytes, opening.len);
    free(w->bytes);
    *w = (struct waiting_opening){bytes, opening.len};
}

/* The hub's founding key has done its work once the operator's node holds a head that covers our join. */
static void look_at_founder(struct replica *r, const struct device_id *from, struct frame_view bytes)
{
    struct signed_head head;
    if (!r->self.answer_invite_key || !device_id_equal(from, &r->self.invite_peer) || bytes.len != SIGNED_HEAD_SIZE)
        return;
    signed_head_decode(&head, bytes.bytes);
    const struct fold_device *self = fold_device_by_id(r->fold, &r->self.id);
    if (!self || head.head.index < self->joined_at || !fold_sequences(r->fold, head.sequencer) ||
        signed_head_verify(r->c, &head, &r->config.network))
        return;
    r->operator_knows = true;
    r->dirty = true;
    r->ops->erase_seed(r->ops->context);
}

void replica_learn(struct replica *r, const struct device_id *from, struct frame_view opening, struct frame_view head,
                   uint64_t now)
{
    r->now = now;
    if (!replica_within_limit(r, from, false))
        return;
    if (head.len) {
        replica_follow_head(r, from, head);
        look_at_founder(r, from, head);
    }
    if (opening.len && r->fold && !replica_take_opening(r, opening))
        wait_for_invite(r, opening);
    replica_settle(r);
}

/* Who speaks, and so what he may say. */
enum speaker { SPEAKER_INVITE = 1, SPEAKER_MEMBER = 2, SPEAKER_UPSTREAM = 4 };

static bool is_ticket_relay(const struct replica *r, const struct device_id *id)
{
    const struct ticket *t = r->joining.ticket;
    for (uint32_t i = 0; t && i < t->relay_count; i++)
        if (device_id_equal(&t->relays[i].device, id))
            return true;
    return false;
}

static unsigned who_speaks(const struct replica *r, const struct device_id *from, bool invite)
{
    uint32_t i, founding;
    if (invite)
        return SPEAKER_INVITE;
    if (device_id_equal(from, &replica_controller) || is_ticket_relay(r, from))
        return SPEAKER_MEMBER | SPEAKER_UPSTREAM;
    if (!replica_known_position(r, from, &i))
        return 0;
    const struct known *k = &r->known[i];
    if (replica_founding_device(r, &founding) && founding == i && fold_device_at(r->fold, i)->state == DEVICE_INVITED)
        return SPEAKER_MEMBER | SPEAKER_UPSTREAM;
    if (!replica_is_present(r, i))
        return 0;
    return SPEAKER_MEMBER | (k->relay || k->controller ? SPEAKER_UPSTREAM : 0u);
}

static void take_get(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame)
{
    replica_serve_get(r, from, invite, &frame->get);
}

static void take_part(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame)
{
    (void)invite;
    if (frame->part.what != SYNC_OFFER)
        replica_follow_part(r, from, &frame->part);
    else
        (void)replica_errand_part(r, from, &frame->part);
}

static void take_join(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame)
{
    replica_errand_join(r, from, invite, &frame->join);
}

static void take_joined(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame)
{
    (void)invite;
    if (frame->joined.head.len)
        replica_follow_head(r, from, frame->joined.head);
    replica_join_verdict(r, &frame->joined);
    replica_submissions_verdict(r, &frame->joined);
    replica_errand_verdict(r, from, &frame->joined);
}

static void take_statement(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame)
{
    (void)invite;
    replica_errand_offer(r, from, &frame->statement);
}

static void take_notice(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame)
{
    (void)invite;
    replica_follow_head(r, from, frame->notice.head);
    look_at_founder(r, from, frame->notice.head);
}

static const struct {
    enum frame_kind kind;
    unsigned speakers;
    void (*take)(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame);
} kinds[] = {
    {FRAME_GET, SPEAKER_INVITE | SPEAKER_MEMBER, take_get},   {FRAME_PART, SPEAKER_MEMBER, take_part},
    {FRAME_JOIN, SPEAKER_INVITE | SPEAKER_MEMBER, take_join}, {FRAME_JOINED, SPEAKER_UPSTREAM, take_joined},
    {FRAME_STATEMENT, SPEAKER_MEMBER, take_statement},        {FRAME_NOTICE, SPEAKER_MEMBER, take_notice},
};

static void dispatch(struct replica *r, const struct device_id *from, bool invite, const struct frame *frame)
{
    unsigned speaker = who_speaks(r, from, invite);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].kind == frame->kind && kinds[i].speakers & speaker) {
            kinds[i].take(r, from, invite, frame);
            return;
        }
    r->counters.strange++;
}

void replica_frame(struct replica *r, const struct device_id *from, bool invite, const uint8_t *frame, size_t len,
                   uint64_t now)
{
    struct frame decoded;
    r->now = now;
    if (!replica_within_limit(r, from, invite))
        return;
    int error = frame_decode(&decoded, frame, len);
    if (error) {
        r->counters.malformed += error != ERROR_UNSUPPORTED;
        return;
    }
    if (r->joining.ticket && is_ticket_relay(r, from))
        r->joining.heard = now;
    dispatch(r, from, invite, &decoded);
    replica_settle(r);
}

void replica_look_at_links(struct replica *r)
{
    struct device_id any;
    bool alone = !r->self.relay && !r->joining.ticket && !replica_choose_upstream(r, 0, &any);
    if (!alone)
        r->alone_since = r->now;
    replica_problem_set(r, REPLICA_PROBLEM_NO_UPSTREAM, NULL, NULL, alone && r->now >= r->alone_since + RELAY_AWAITED);
}

/* An idle node should not wake up to find that there is nothing to do. */
static bool is_at_rest(struct replica *r)
{
    struct device_id any;
    return r->fold && !r->joining.ticket && !r->dirty && !replica_has_controller(r) &&
           replica_choose_upstream(r, 0, &any) && !replica_needs_more(r);
}

void replica_timer(struct replica *r, uint64_t now, uint64_t wall)
{
    r->now = now;
    r->wall = wall;
    replica_problem_set(r, REPLICA_PROBLEM_CLOCK_WRONG, NULL, NULL, wall + CLOCK_SLACK < r->floor);
    replica_problem_set(r, REPLICA_PROBLEM_CLOCK_AHEAD, NULL, NULL,
                        now >= r->began + RELAY_AWAITED && wall > r->floor + CLOCK_AHEAD);
    replica_look_at_links(r);
    replica_follow_timer(r);
    replica_submissions_timer(r);
    replica_errand_timer(r);
    replica_join_timer(r);
    replica_settle(r);
    r->house_next = now + (is_at_rest(r) ? HOUSEKEEPING_AT_REST : HOUSEKEEPING);
}

uint64_t replica_deadline(const struct replica *r)
{
    const uint64_t deadlines[] = {replica_follow_deadline(r), replica_submissions_deadline(r),
                                  replica_errand_deadline(r), replica_join_deadline(r)};
    uint64_t first = r->house_next;
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++)
        first = deadlines[i] < first ? deadlines[i] : first;
    return first > r->now ? first : r->now + 1;
}

/* ---- for people ---- */

const struct fold *replica_fold(const struct replica *r)
{
    return r->fold;
}

const struct replica_self *replica_self(const struct replica *r)
{
    return &r->self;
}

bool replica_sequenced(const struct replica *r, const uint8_t statement[SHA256_SIZE], enum fold_verdict *verdict,
                       uint64_t *index)
{
    const struct entry *e = replica_history_find(&r->history, statement, index);
    if (e)
        *verdict = e->verdict;
    return e != NULL;
}

const struct signed_head *replica_signed_head(const struct replica *r)
{
    return r->has_signed ? &r->signed_head : NULL;
}

void replica_read_counters(const struct replica *r, struct replica_counters *out)
{
    *out = r->counters;
}
