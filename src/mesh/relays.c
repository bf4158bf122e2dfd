/* Sessions with relays: the best two that answer, and those that a path goes through. */
#include <stdlib.h>
#include <string.h>

#include "mesh/internal.h"

static void probe(struct mesh *m, struct relay *r, uint64_t now)
{
    r->awaiting = true;
    r->probe_number = random_number(m);
    r->probe_time = now;
    struct frame f = {.kind = FRAME_PROBE, .probe = {.number = r->probe_number, .time = now}};
    mesh_send_frame(m, &r->device->id, &f);
}

/* A probe's answer is late after this. The first of several is waited for no longer than it should take. */
static uint64_t patience(const struct relay *r)
{
    uint64_t usual = 4 * r->device->rtt;
    if (r->lost > 0 || usual == 0 || usual > RELAY_PROBE_TIME)
        return RELAY_PROBE_TIME;
    return usual > RELAY_PROBE_TIME_LEAST ? usual : RELAY_PROBE_TIME_LEAST;
}

/* Whether we sent and nothing came, or much came and then nothing more: it may have started anew, or what is between us
 * may have forgotten us. Looks again at what passed since the last time. */
static bool fell_silent(struct mesh *m, struct relay *r)
{
    uint64_t sent, received;
    m->ops.traffic(m->ops.context, &r->device->id, &sent, &received);
    bool heard = received != r->received, silent = !heard && (sent != r->sent || r->busy);
    r->busy = heard;
    r->sent = sent;
    r->received = received;
    return silent;
}

/* A relay may have spoken to us through another one, which moved its path there; it is sought where it is. */
static void connect(struct mesh *m, struct relay *r, bool anew)
{
    m->ops.direct(m->ops.context, &r->device->id, &r->device->endpoint);
    m->ops.connect(m->ops.context, &r->device->id, RELAY_KEEPALIVE, anew);
}

/* ---- Transitions ---- */

static void become_idle(struct mesh *m, struct relay *r)
{
    r->state = RELAY_IDLE;
    alarm_clear(m, &r->alarm);
    m->ops.connect(m->ops.context, &r->device->id, 0, false);
}

/* The first probe comes soon, so that a session which is only remembered is found out. A relay that we join through
 * answers no probes yet. */
static void become_up(struct mesh *m, struct relay *r, uint64_t now)
{
    r->state = RELAY_UP;
    r->retries = 0;
    r->lost = 0;
    r->probe_due = now + RELAY_PROBE_TIME;
    r->awaiting = false;
    r->local_tells = RELAY_LOCAL_TELLS;
    local_tell_relay(m, r);
    if (m->joining)
        alarm_clear(m, &r->alarm);
    else
        alarm_set(m, &r->alarm, r->probe_due);
}

static void become_connecting(struct mesh *m, struct relay *r, uint64_t now)
{
    r->state = RELAY_CONNECTING;
    connect(m, r, false);
    if (r->device->linked)
        become_up(m, r, now);
    else
        alarm_set(m, &r->alarm, now + RELAY_CONNECT_TIME);
}

/* At first often, since most are back soon; never all members of a relay at one time. */
static void retry_later(struct mesh *m, struct relay *r, uint64_t now)
{
    uint32_t doublings = r->retries < RELAY_RETRIES_QUICK ? 0 : r->retries - RELAY_RETRIES_QUICK + 1;
    uint64_t time = doublings < 5 ? RELAY_RETRY_TIME << doublings : RELAY_RETRY_MOST;
    alarm_set(m, &r->alarm, now + time - random_number(m) % (time / 4));
}

static void become_failed(struct mesh *m, struct relay *r, uint64_t now)
{
    r->state = RELAY_FAILED;
    r->retries = 0;
    r->awaiting = false;
    retry_later(m, r, now);
    path_forget_all(m, r);
}

/* What looks like a session may be one: besides asking for another, it is probed. */
static void retry(struct mesh *m, struct relay *r, uint64_t now)
{
    connect(m, r, true);
    if (!m->joining)
        probe(m, r, now);
    r->retries++;
    retry_later(m, r, now);
}

/* ---- Choosing ---- */

/* A relay gets the ledger, and passes on what was handed to it, where there is a controller. */
static bool is_of_use(const struct mesh *m, const struct relay *r)
{
    return !r->device->unusable && (!m->is_relay || (r->device->flags & MESH_CONTROLLER));
}

/* Whether it is not needed, when enough before it are chosen, or even up. */
static bool may_go(const struct relay *r, bool enough_chosen, bool enough_up)
{
    if (r->device->unusable)
        return r->state != RELAY_IDLE && r->paths == 0;
    if (r->state == RELAY_CONNECTING)
        return enough_chosen && r->paths == 0;
    if (r->state == RELAY_UP)
        return enough_up && r->paths == 0;
    return r->state == RELAY_FAILED && enough_up;
}

/* What is chosen: the first two by score that are up or being connected to. One that failed is tried on while fewer
 * than two before it are up; one that took its place is let go only when two before it are up. The others are none. */
void relays_choose(struct mesh *m, uint64_t now)
{
    uint32_t chosen = 0, up = 0;
    for (uint32_t i = 0; i < m->relay_count && m->has_self; i++) {
        struct relay *r = m->relays[i];
        bool of_use = is_of_use(m, r);
        if (r->state == RELAY_IDLE && of_use && chosen < RELAYS_WANTED)
            become_connecting(m, r, now);
        else if (may_go(r, !of_use || chosen >= RELAYS_WANTED, !of_use || up >= RELAYS_WANTED))
            become_idle(m, r);
        up += of_use && r->state == RELAY_UP;
        chosen += of_use && (r->state == RELAY_UP || r->state == RELAY_CONNECTING);
    }
}

void relays_watch(struct mesh *m, uint64_t now)
{
    for (uint32_t i = 0; i < m->relay_count; i++)
        if (m->relays[i]->state == RELAY_UP)
            become_up(m, m->relays[i], now);
}

void relay_use(struct mesh *m, struct relay *r, uint64_t now)
{
    if (r->state == RELAY_IDLE)
        become_connecting(m, r, now);
}

/* A handshake that a connecting or failed relay answered; in an idle one's session something else is going on. */
void relay_linked(struct mesh *m, struct relay *r, uint64_t now)
{
    if (r->state != RELAY_CONNECTING && r->state != RELAY_FAILED)
        return;
    become_up(m, r, now);
    relays_choose(m, now);
}

void relay_failed(struct mesh *m, struct relay *r, uint64_t now)
{
    if (r->state == RELAY_CONNECTING || r->state == RELAY_UP)
        become_failed(m, r, now);
    else
        path_forget_all(m, r);
    relays_choose(m, now);
}

static void probe_and_wait(struct mesh *m, struct relay *r, uint64_t now)
{
    probe(m, r, now);
    alarm_set(m, &r->alarm, now + patience(r));
}

/* The session may be one that only we remember: another is asked for at once. */
static void probe_lost(struct mesh *m, struct relay *r, uint64_t now)
{
    if (++r->lost >= RELAY_PROBES_LOST) {
        link_changed(m, r->device, false, now);
        return;
    }
    connect(m, r, true);
    probe_and_wait(m, r, now);
}

static void up_alarm(struct mesh *m, struct relay *r, uint64_t now)
{
    hello_moved(m, r, now);
    if (r->awaiting)
        probe_lost(m, r, now);
    else if (fell_silent(m, r) || now >= r->probe_due)
        probe_and_wait(m, r, now);
    else
        alarm_set(m, &r->alarm, now + RELAY_LOOK_INTERVAL);
}

void relay_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    struct relay *r = (struct relay *)alarm;
    if (r->state == RELAY_CONNECTING)
        relay_failed(m, r, now);
    else if (r->state == RELAY_FAILED)
        retry(m, r, now);
    else if (r->state == RELAY_UP)
        up_alarm(m, r, now);
}

bool relay_answered(struct mesh *m, struct relay *r, const struct frame_probe *answer, uint64_t now)
{
    if (!r->awaiting || answer->number != r->probe_number || answer->time != r->probe_time)
        return false;
    r->awaiting = false;
    r->lost = 0;
    r->device->rtt = now - r->probe_time;
    (void)fell_silent(m, r); /* the answer itself is no traffic */
    r->busy = false;
    if (r->state != RELAY_UP)
        link_changed(m, r->device, true, now);
    r->probe_due = now + RELAY_PROBE_INTERVAL;
    if (r->local_tells > 0) {
        r->local_tells--;
        local_tell_relay(m, r);
    }
    if (r->state == RELAY_UP)
        alarm_set(m, &r->alarm, now + RELAY_LOOK_INTERVAL);
    return true;
}

/* ---- The list ---- */

static int by_score(const void *a, const void *b)
{
    const struct relay *const *x = a, *const *y = b;
    return memcmp((*y)->score, (*x)->score, SHA256_SIZE);
}

void relays_rescore(struct mesh *m, uint64_t now)
{
    for (uint32_t i = 0; i < m->relay_count; i++)
        rendezvous_score(m, &m->relays[i]->device->id, &m->self, m->relays[i]->score);
    if (m->relay_count > 0)
        qsort(m->relays, m->relay_count, sizeof(*m->relays), by_score);
    relays_choose(m, now);
}

int relay_add(struct mesh *m, struct device *d, uint64_t now)
{
    struct relay **list = reallocarray(m->relays, m->relay_count + 1, sizeof(*list));
    if (!list)
        return ERROR_MEMORY;
    m->relays = list;
    struct relay *r = calloc(1, sizeof(*r));
    if (!r)
        return ERROR_MEMORY;
    alarm_init(&r->alarm, ALARM_RELAY);
    r->device = d;
    d->relay = r;
    m->relays[m->relay_count++] = r;
    relays_rescore(m, now);
    return 0;
}

void relay_remove(struct mesh *m, struct device *d, uint64_t now)
{
    struct relay *r = d->relay;
    if (!r)
        return;
    path_forget_all(m, r);
    alarm_clear(m, &r->alarm);
    uint32_t at = 0;
    while (m->relays[at] != r)
        at++;
    memmove(&m->relays[at], &m->relays[at + 1], (m->relay_count - at - 1) * sizeof(struct relay *));
    m->relay_count--;
    d->relay = NULL;
    free(r);
    relays_choose(m, now);
}
