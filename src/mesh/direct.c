/* Direct paths: found by probes that were answered, kept while they are used, and left for the relay when they die. */
#include <stdlib.h>
#include <string.h>

#include "mesh/internal.h"

bool direct_may_probe(const struct mesh *m, const struct direct *x)
{
    return m->has_self && !m->joining && x->device->linked && is_member(x->device);
}

/* The device's, made if need be; NULL: it has none (relays are where they are said to be), or there is no memory. */
static struct direct *direct_of(struct mesh *m, struct device *d)
{
    if (d->direct || d->has_endpoint || !is_member(d) || !m->ops.send_by)
        return d->has_endpoint ? NULL : d->direct;
    d->direct = calloc(1, sizeof(*d->direct));
    if (!d->direct)
        return NULL;
    alarm_init(&d->direct->alarm, ALARM_DIRECT);
    d->direct->device = d;
    return d->direct;
}

static void earliest(uint64_t *next, uint64_t due)
{
    if (due != 0 && (*next == 0 || due < *next))
        *next = due;
}

static void rearm(struct mesh *m, struct direct *x)
{
    uint64_t next = 0;
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++)
        earliest(&next, x->list[n].due);
    earliest(&next, x->look_due);
    earliest(&next, x->answer_due);
    earliest(&next, x->retry_due);
    earliest(&next, x->offer_end);
    if (next != 0)
        alarm_set(m, &x->alarm, next);
    else
        alarm_clear(m, &x->alarm);
}

static void retry_later(struct direct *x, uint64_t now)
{
    static const uint64_t after[] = {10 * SECOND, 30 * SECOND, 60 * SECOND, 300 * SECOND};
    uint32_t last = sizeof(after) / sizeof(after[0]) - 1;
    x->retry_due = now + after[x->retries < last ? x->retries : last];
    x->retries += x->retries < last;
}

/* ---- What passes ---- */

static uint64_t beyond_noise(uint64_t passed, uint64_t *noise)
{
    uint64_t own = passed < *noise ? passed : *noise;
    *noise -= own;
    return passed - own;
}

void direct_noise(struct device *d, size_t sent, size_t received)
{
    if (!d->direct)
        return;
    d->direct->noise_sent += DIRECT_NOISE + sent;
    d->direct->noise_look += DIRECT_NOISE + sent;
    d->direct->noise_received += DIRECT_NOISE + received;
}

struct passed {
    uint64_t sent, received; /* since the last look, but for what probing itself causes */
    bool spoke;              /* more than frames of these moments and a keepalive */
    bool heard;
};

static struct passed look_at_traffic(struct mesh *m, struct direct *x, uint64_t now)
{
    uint64_t sent, received;
    struct passed p;
    m->ops.traffic(m->ops.context, &x->device->id, &sent, &received);
    p.heard = received != x->received;
    p.spoke = sent - x->sent > x->noise_look + DIRECT_KEEPALIVE;
    x->noise_look = 0;
    p.sent = beyond_noise(sent - x->sent, &x->noise_sent);
    p.received = beyond_noise(received - x->received, &x->noise_received);
    if (now >= x->noise_time + DIRECT_NOISE_TIME) {
        x->noise_sent /= 2;
        x->noise_received /= 2;
        x->noise_time = now;
    }
    x->sent = sent;
    x->received = received;
    if (p.sent > 0 || p.received > 0)
        x->used = now;
    return p;
}

/* ---- Transitions ---- */

static void use(struct mesh *m, struct direct *x, struct candidate *c, uint64_t now)
{
    struct device *d = x->device;
    bool upgraded = d->path != MESH_PATH_DIRECT;
    if (upgraded) {
        m->counters.direct++;
        x->up_since = now;
        x->used = now;
    }
    (void)look_at_traffic(m, x, now);
    x->current = c;
    if (c->answered != 0)
        x->good = c; /* where nothing ever answered is nothing to remember */
    x->lost = 0;
    x->answer_due = x->retry_due = 0;
    x->look_due = now + DIRECT_LOOK_TIME;
    x->probe_due = now + DIRECT_KEEP_TIME;
    d->path = MESH_PATH_DIRECT;
    d->rtt = c->rtt > 0 ? c->rtt : d->rtt;
    m->ops.direct(m->ops.context, &d->id, &c->endpoint);
}

static void stop_using(struct direct *x)
{
    x->current = NULL;
    x->lost = 0;
    x->answer_due = x->look_due = 0;
}

/* Through the relay that introduced us, where that stands; else another introduction is asked for. */
static void fall_back(struct mesh *m, struct direct *x, uint64_t now)
{
    struct device *d = x->device;
    stop_using(x);
    m->counters.fell_back++;
    if (d->via && d->via->state == RELAY_UP) {
        path_set_relayed(m, d, d->via, now);
        local_tell_peer(m, d);
        return;
    }
    path_detach(d);
    d->path = MESH_PATH_NONE;
    m->ops.forget(m->ops.context, &d->id, NULL);
    mesh_wanted(m, &d->id, now);
}

/* Another that answered just now, the quickest. */
static struct candidate *another(struct direct *x, uint64_t now)
{
    struct candidate *best = NULL;
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++) {
        struct candidate *c = &x->list[n];
        bool fresh = c != x->current && c->answered != 0 && now < c->answered + DIRECT_FRESH_TIME;
        if (fresh && (!best || c->rtt < best->rtt))
            best = c;
    }
    return best;
}

static void lose(struct mesh *m, struct direct *x, uint64_t now)
{
    struct candidate *other = another(x, now);
    if (other) {
        use(m, x, other, now);
        return;
    }
    if (now >= x->up_since + DIRECT_LASTING_TIME)
        x->retries = 0;
    fall_back(m, x, now);
    retry_later(x, now);
}

/* Nobody uses it: its NAT bindings are let go of, and the relay is there for what comes next. Without one they are
 * kept: nothing else would be left. */
static bool may_let_go(const struct direct *x, uint64_t now)
{
    return now - x->used >= DIRECT_IDLE_TIME && x->device->via && x->device->via->state == RELAY_UP;
}

static void let_go(struct mesh *m, struct direct *x, uint64_t now)
{
    stop_using(x);
    path_set_relayed(m, x->device, x->device->via, now);
    x->idle = true;
    x->look_due = now + DIRECT_IDLE_LOOK_TIME;
}

/* ---- Keeping ---- */

static uint64_t patience(const struct candidate *c)
{
    uint64_t usual = 4 * c->rtt, most = DIRECT_PATIENCE_MOST, least = DIRECT_PATIENCE_LEAST;
    if (usual > most)
        usual = most > 3 * c->rtt / 2 ? most : 3 * c->rtt / 2;
    return usual > least ? usual : least;
}

static void check(struct mesh *m, struct direct *x, uint64_t now)
{
    if (!x->current || x->answer_due != 0)
        return;
    x->answer_due = now + patience(x->current);
    if (x->current->answered != 0 || budget_take(&m->budget, &x->current->endpoint, 1, x->current->hearsay, now))
        candidate_probe(m, x, x->current, now);
}

/* In doubt: the next is sent, and whoever else answered meanwhile takes its place. */
static void unanswered(struct mesh *m, struct direct *x, uint64_t now)
{
    struct candidate *other = another(x, now);
    x->answer_due = 0;
    if (++x->lost >= DIRECT_PROBES_LOST || other) {
        lose(m, x, now);
        return;
    }
    check(m, x, now);
}

static void look_used(struct mesh *m, struct direct *x, uint64_t now)
{
    struct passed p = look_at_traffic(m, x, now);
    bool silent = p.spoke && !p.heard;
    uint64_t idle = now - x->used;
    x->look_due = now + (idle < DIRECT_BUSY_TIME ? DIRECT_LOOK_TIME : DIRECT_QUIET_LOOK_TIME);
    if (may_let_go(x, now))
        let_go(m, x, now);
    else if (silent || now >= x->probe_due)
        check(m, x, now);
}

/* What was let go of is tried again. */
static void wake(struct mesh *m, struct direct *x, uint64_t now)
{
    x->idle = false;
    x->look_due = 0;
    local_tell_peer(m, x->device);
    attempt_all(m, x, now);
}

static void look_idle(struct mesh *m, struct direct *x, uint64_t now)
{
    struct passed p = look_at_traffic(m, x, now);
    x->look_due = now + DIRECT_IDLE_LOOK_TIME;
    if (p.sent > 0 || p.received > 0)
        wake(m, x, now);
}

/* Where nothing was said since the last time, nothing is tried either. */
static void retry(struct mesh *m, struct direct *x, uint64_t now)
{
    struct passed p = look_at_traffic(m, x, now);
    retry_later(x, now);
    if (p.sent == 0 && p.received == 0)
        return;
    local_tell_peer(m, x->device); /* so that it tries at the same time */
    attempt_all(m, x, now);
}

static void offer_over(struct mesh *m, struct direct *x)
{
    if (x->offer_end == 0)
        return;
    x->offer_end = 0;
    m->ops.candidates(m->ops.context, &x->device->id, NULL, 0);
}

static bool is_due(uint64_t due, uint64_t now)
{
    return due != 0 && due <= now;
}

static void go_on(struct mesh *m, struct direct *x, uint64_t now)
{
    struct device *d = x->device;
    bool tried = attempt_under_way(x);
    if (attempt_go_on(m, x, now) == 0 && tried && d->path != MESH_PATH_DIRECT && x->retry_due == 0)
        retry_later(x, now);
    if (is_due(x->answer_due, now))
        unanswered(m, x, now);
    if (is_due(x->look_due, now) && x->current)
        look_used(m, x, now);
    else if (is_due(x->look_due, now))
        look_idle(m, x, now);
    if (is_due(x->retry_due, now))
        retry(m, x, now);
}

static void rest(struct direct *x)
{
    attempt_end(x);
    x->look_due = x->answer_due = x->retry_due = 0;
}

void direct_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    struct direct *x = (struct direct *)alarm;
    if (is_due(x->offer_end, now))
        offer_over(m, x);
    if (direct_may_probe(m, x))
        go_on(m, x, now);
    else
        rest(x);
    rearm(m, x);
}

/* ---- What is heard ---- */

static bool is_better(const struct direct *x, const struct candidate *c)
{
    uint64_t rtt = x->current->rtt, margin = rtt / 4 > DIRECT_MARGIN ? rtt / 4 : DIRECT_MARGIN;
    return x->lost > 0 || x->current->rtt == 0 || c->rtt + margin < rtt;
}

bool direct_answered(struct mesh *m, struct device *d, const struct mesh_arrival *by, const struct frame_probe *answer,
                     uint64_t now)
{
    struct direct *x = d->direct;
    struct candidate *c = x && by->way.kind == MESH_PATH_DIRECT ? candidate_find(x, &by->way.endpoint) : NULL;
    if (!c || !direct_may_probe(m, x) || !candidate_answered(c, answer, now))
        return false;
    c->due = 0;
    budget_prove(&m->budget, &c->endpoint, now);
    if (c == x->current) {
        x->good = c;
        x->lost = 0;
        x->answer_due = 0;
        x->probe_due = now + DIRECT_KEEP_TIME;
        d->rtt = c->rtt;
    } else if (d->path != MESH_PATH_DIRECT || !x->current || is_better(x, c)) {
        use(m, x, c, now);
    }
    rearm(m, x);
    return true;
}

/* A peer that speaks from ever other places is not followed to all of them. */
static bool too_many_hints(struct direct *x, uint64_t now)
{
    if (now >= x->hints_since + DIRECT_HINTS_TIME) {
        x->hints_since = now;
        x->hints = 0;
    }
    return x->hints++ >= DIRECT_HINTS_MAX;
}

/* Who recorded a message on its way and delivers it first speaks from wherever that is. While there is another way to
 * the device, nothing is sent to a host that nobody named: whoever moved says so by that way. */
static bool is_strange(const struct direct *x, const struct underlay *where)
{
    const struct device *d = x->device;
    bool by_relay = d->via && d->via->state == RELAY_UP;
    bool lost = d->path == MESH_PATH_NONE || (x->current && x->lost > 0 && !by_relay);
    return !lost && !candidate_host_is_known(x, where);
}

/* It spoke from there: worth a try. Returns whether it may be answered there. */
static bool hint(struct mesh *m, struct direct *x, const struct underlay *where, uint64_t now)
{
    struct candidate *c = candidate_find(x, where);
    bool proven = c && c->answered != 0 && now < c->answered + BUDGET_TIME;
    if (proven && x->current)
        return true;
    if (is_strange(x, where))
        return false;
    if (!c && too_many_hints(x, now)) {
        m->counters.flooding++;
        return false;
    }
    c = c ? c : candidate_add(m, x, where, false);
    if (!c)
        return false;
    c->hearsay = false;
    bool answer = proven || budget_take(&m->budget, where, 1, false, now);
    if (c != x->current && (c->tries < DIRECT_TRIES || now >= c->sent_last + DIRECT_AGAIN_TIME))
        attempt_one(m, x, c, now);
    rearm(m, x);
    return answer;
}

bool direct_probed(struct mesh *m, struct device *d, const struct mesh_arrival *by, uint64_t now)
{
    bool relays = d->has_endpoint || (m->is_relay && d->path == MESH_PATH_NONE);
    if (by->way.kind != MESH_PATH_DIRECT || relays)
        return true;
    struct direct *x = direct_of(m, d);
    if (!x || !direct_may_probe(m, x))
        return false;
    return hint(m, x, &by->way.endpoint, now);
}

/* Through another relay than ours, or none while ours is direct: the other end may have lost what we still use. */
static void spoke_relayed(struct mesh *m, struct device *d, const struct mesh_way *way, uint64_t now)
{
    struct device *by = devices_find(&m->devices, &way->relay);
    if (!by || !by->relay || d->has_endpoint)
        return;
    bool dead = !d->via || d->via->state != RELAY_UP;
    if (d->path == MESH_PATH_DIRECT && d->direct) {
        if (dead)
            path_attach(m, d, by->relay, now);
        struct candidate *c = d->direct->current;
        if (c && now >= c->answered + DIRECT_LOOK_TIME)
            check(m, d->direct, now);
        rearm(m, d->direct);
    } else if (dead || now >= d->followed + FOLLOW_TIME) {
        d->followed = now;
        path_set_relayed(m, d, by->relay, now);
    }
}

static void spoke_direct(struct mesh *m, struct device *d, const struct mesh_way *way, uint64_t now)
{
    bool relays = m->is_relay && d->path == MESH_PATH_NONE;
    if (d->has_endpoint)
        return;
    if (relays) {
        m->ops.direct(m->ops.context, &d->id, &way->endpoint);
        return;
    }
    struct direct *x = direct_of(m, d);
    if (!x || !direct_may_probe(m, x))
        return;
    bool may_follow = hint(m, x, &way->endpoint, now); /* what it would draw there is bounded, too */
    struct candidate *c = candidate_find(x, &way->endpoint);
    if (c && may_follow && (d->path == MESH_PATH_NONE || (x->current && x->lost > 0)))
        use(m, x, c, now);
    else if (x->current && c != x->current && now >= x->current->answered + DIRECT_LOOK_TIME)
        check(m, x, now);
    rearm(m, x);
}

void mesh_spoke(struct mesh *m, const struct device_id *from, const struct mesh_way *way, uint64_t now)
{
    struct device *d = devices_find(&m->devices, from);
    if (!m->has_self || !d || !is_member(d))
        return;
    path_heard(m, d, way, now);
    if (way->kind == MESH_PATH_RELAYED)
        spoke_relayed(m, d, way, now);
    else if (way->kind == MESH_PATH_DIRECT)
        spoke_direct(m, d, way, now);
    hello_observed(m, d, now);
}

/* Who has no path yet is followed to where it speaks from. */
void path_heard(struct mesh *m, struct device *d, const struct mesh_way *way, uint64_t now)
{
    static const struct underlay nowhere;
    if (way->kind == MESH_PATH_NONE)
        return;
    d->heard = way->kind == MESH_PATH_DIRECT ? way->endpoint : nowhere;
    if (d->path != MESH_PATH_NONE || !d->linked || !is_member(d) || m->is_relay || m->joining)
        return;
    if (way->kind == MESH_PATH_DIRECT)
        spoke_direct(m, d, way, now);
    else
        spoke_relayed(m, d, way, now);
}

/* ---- From the rest of the mesh ---- */

/* New places are hints, too. */
static void take_given(struct mesh *m, struct direct *x, const struct underlay *where, bool hearsay, uint64_t now)
{
    struct candidate *c = candidate_find(x, where);
    if (c) {
        c->hearsay = c->hearsay && hearsay;
        return;
    }
    if (too_many_hints(x, now)) {
        m->counters.flooding++;
        return;
    }
    c = candidate_add(m, x, where, true);
    if (c)
        c->hearsay = hearsay;
}

void direct_given(struct mesh *m, struct device *d, struct frame_view list, bool hearsay, uint64_t now)
{
    struct underlay all[FRAME_CANDIDATES_MAX];
    uint32_t count = frame_candidates_get(list, all);
    struct direct *x = count > 0 || d->direct ? direct_of(m, d) : NULL;
    if (!x)
        return;
    candidates_keep_given(x, all, count);
    for (uint32_t n = 0; n < count; n++)
        take_given(m, x, &all[n], hearsay, now);
    if (d->linked && d->path != MESH_PATH_DIRECT)
        attempt_all(m, x, now);
    rearm(m, x);
}

/* The first initiation goes to all of them, too; what is sent so is taken from the budget ahead. */
void direct_offer(struct mesh *m, struct device *d, uint64_t now)
{
    struct direct *x = d->direct;
    struct underlay list[FRAME_CANDIDATES_MAX];
    uint32_t count = 0;
    for (uint32_t n = 0; x && n < FRAME_CANDIDATES_MAX; n++) {
        struct candidate *c = &x->list[n];
        if (c->endpoint.family == 0)
            continue;
        c->limited = !budget_take(&m->budget, &c->endpoint, DIRECT_TRIES, c->hearsay, now);
        m->counters.limited += c->limited;
        if (c->limited)
            continue;
        budget_reserve(&m->budget, &c->endpoint, now + DIRECT_OFFER_TIME);
        list[count++] = c->endpoint;
    }
    if (count == 0)
        return;
    m->ops.candidates(m->ops.context, &d->id, list, count);
    x->offer_end = now + DIRECT_OFFER_TIME;
    rearm(m, x);
}

/* No relay answered: where it was last, it may still be. */
void direct_hope(struct mesh *m, struct device *d, uint64_t now)
{
    struct direct *x = d->direct;
    if (!x || !x->good || d->path != MESH_PATH_NONE)
        return;
    if (!d->linked) {
        m->ops.direct(m->ops.context, &d->id, &x->good->endpoint);
        return;
    }
    attempt_all(m, x, now);
    rearm(m, x);
}

void direct_linked(struct mesh *m, struct device *d, bool first, uint64_t now)
{
    struct direct *x = d->direct;
    if (first && m->ops.send_by && d->path == MESH_PATH_RELAYED && is_member(d) && !d->has_endpoint)
        local_tell_peer(m, d); /* what an introduction said of us may be old */
    if (!x)
        return;
    offer_over(m, x);
    direct_noise(d, sizeof(struct message_initiation), sizeof(struct message_initiation));
    if (first) {
        x->retries = 0;
        x->retry_due = 0;
        x->idle = false;
        (void)look_at_traffic(m, x, now);
    }
    if (first && d->path != MESH_PATH_DIRECT)
        attempt_all(m, x, now);
    rearm(m, x);
}

/* What it was reached by last stays remembered. */
void direct_unlinked(struct mesh *m, struct device *d)
{
    struct direct *x = d->direct;
    if (!x)
        return;
    offer_over(m, x);
    attempt_end(x);
    stop_using(x);
    x->retry_due = 0;
    rearm(m, x);
    if (d->path != MESH_PATH_DIRECT || d->has_endpoint)
        return;
    path_detach(d);
    d->path = MESH_PATH_NONE;
    m->ops.forget(m->ops.context, &d->id, NULL);
}

/* Our own place changed. */
void direct_moved(struct mesh *m, struct device *d, uint64_t now)
{
    struct direct *x = d->direct;
    check(m, x, now);
    if (!too_many_hints(x, now))
        attempt_all(m, x, now);
    rearm(m, x);
}

void direct_free(struct mesh *m, struct device *d)
{
    if (!d->direct)
        return;
    offer_over(m, d->direct);
    alarm_clear(m, &d->direct->alarm);
    free(d->direct);
    d->direct = NULL;
}

/* A ping is no traffic, and yet somebody who asks how it is reached. */
void direct_pinged(struct mesh *m, struct device *d, uint64_t now)
{
    struct direct *x = d->direct;
    if (!x || !x->idle || !direct_may_probe(m, x))
        return;
    wake(m, x, now);
    rearm(m, x);
}

enum mesh_why direct_why(const struct mesh *m, const struct device *d)
{
    const struct direct *x = d->direct;
    bool any = false, limited = false;
    if (!d->linked || d->path == MESH_PATH_DIRECT || d->has_endpoint || (m->is_relay && d->path == MESH_PATH_NONE))
        return MESH_WHY_NONE;
    for (uint32_t n = 0; x && n < FRAME_CANDIDATES_MAX; n++) {
        any = any || x->list[n].endpoint.family != 0;
        limited = limited || x->list[n].limited;
    }
    if (!any)
        return MESH_WHY_NO_CANDIDATES;
    if (attempt_under_way(x))
        return MESH_WHY_TRYING;
    if (x->idle)
        return MESH_WHY_IDLE;
    if (limited)
        return MESH_WHY_LIMITED;
    return nat_here(m) ? MESH_WHY_NAT_HERE : MESH_WHY_UNANSWERED;
}
