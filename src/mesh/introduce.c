/* Introductions that we ask for: whoever is wanted is asked for at its relays, then at our own, until one of them
 * answers that it is there. */
#include <string.h>

#include "base/bytes.h"
#include "mesh/internal.h"

static bool target_is_known(const struct introduction *i)
{
    return !is_zero(i->target.bytes, sizeof(i->target.bytes));
}

static void release(struct mesh *m, struct introduction *i)
{
    alarm_clear(m, &i->alarm);
    i->state = INTRODUCTION_FREE;
}

/* ---- What is said of the other ---- */

void where_keep(struct where *w, const struct frame_introduce *f)
{
    *w = (struct where){.candidates_len = (uint8_t)f->candidates.len, .has_gate = f->gate.len > 0};
    if (f->candidates.len > 0)
        memcpy(w->candidates, f->candidates.bytes, f->candidates.len);
    if (f->gate.len > 0)
        memcpy(w->gate, f->gate.bytes, sizeof(w->gate));
}

void where_apply(struct mesh *m, const struct where *w, struct device *d, uint64_t now)
{
    if (w->has_gate)
        m->ops.heard(m->ops.context, &d->id, 0, 0, w->gate);
    direct_given(m, d, (struct frame_view){.bytes = w->candidates, .len = w->candidates_len}, true, now);
}

static void rest(struct mesh *m, struct introduction *i, uint64_t now)
{
    struct device *d = target_is_known(i) ? devices_find(&m->devices, &i->target) : NULL;
    if (d && !i->refused)
        direct_hope(m, d, now);
    i->state = INTRODUCTION_RESTING;
    m->counters.refused += i->refused;
    alarm_set(m, &i->alarm, now + (i->refused ? INTRODUCTION_REFUSED_TIME : INTRODUCTION_AGAIN_TIME));
}

/* ---- Whom to ask ---- */

static void plan_relay(struct introduction *i, const struct device_id *relay)
{
    for (uint32_t n = 0; n < i->relay_count; n++)
        if (device_id_equal(&i->relays[n], relay))
            return;
    if (i->relay_count < INTRODUCTION_RELAYS_MAX)
        i->relays[i->relay_count++] = *relay;
}

static void plan_best(struct mesh *m, struct introduction *i, const struct device_id *id, bool answering, uint32_t most)
{
    struct device_id best[INTRODUCTION_RELAYS_MAX];
    uint32_t count = rendezvous_best(m, id, answering, best, most);
    for (uint32_t n = 0; n < count; n++)
        plan_relay(i, &best[n]);
}

/* A relay that carried nothing to it comes last. */
static void put_off(struct mesh *m, struct introduction *i, uint64_t now)
{
    const struct device *d = devices_find(&m->devices, &i->target);
    uint32_t at = 0;
    while (d && at < i->relay_count && !carried_avoids(d, &i->relays[at], now))
        at++;
    if (!d || at == i->relay_count)
        return;
    struct device_id last = i->relays[at];
    memmove(&i->relays[at], &i->relays[at + 1], (i->relay_count - at - 1) * sizeof(last));
    i->relays[i->relay_count - 1] = last;
}

/* One more of its relays than it is said to keep, since one may have failed; then our own. */
static void plan(struct mesh *m, struct introduction *i, uint64_t now)
{
    for (int answering = 1; answering >= 0 && i->relay_count == 0; answering--) {
        if (target_is_known(i))
            plan_best(m, i, &i->target, answering, RELAYS_WANTED + 1);
        plan_best(m, i, &m->self, answering, RELAYS_WANTED);
    }
    put_off(m, i, now);
}

/* ---- Asking ---- */

static void ask(struct mesh *m, struct introduction *i, uint64_t now)
{
    struct frame f = {.kind = FRAME_INTRODUCE, .introduce = {.number = i->number, .stage = INTRODUCE_ASK}};
    f.introduce.has_device = target_is_known(i);
    const struct frame_view sought = {.bytes = i->sought, .len = i->sought_len};
    if (f.introduce.has_device)
        memcpy(f.introduce.device, i->target.bytes, FRAME_DEVICE_ID_SIZE);
    else if (i->by_name)
        f.introduce.name = sought;
    else
        f.introduce.address = sought;
    i->state = INTRODUCTION_ASKING;
    i->tries++;
    alarm_set(m, &i->alarm, now + INTRODUCTION_TIME);
    mesh_send_frame(m, &i->relays[i->at], &f);
}

static void ask_next(struct mesh *m, struct introduction *i, uint64_t now)
{
    i->at++;
    i->tries = 0;
    if (i->at < i->relay_count)
        ask(m, i, now);
    else
        rest(m, i, now);
}

/* Who is wanted: an id, or (len > 0) an address or a name. */
struct wanted {
    const struct device_id *id;
    const void *sought;
    size_t len;
    bool by_name;
};

static bool is_for(const struct introduction *i, const struct wanted *w)
{
    if (w->len == 0)
        return device_id_equal(&i->target, w->id);
    return i->by_name == w->by_name && i->sought_len == w->len && memcmp(i->sought, w->sought, w->len) == 0;
}

static struct introduction *find_wanted(struct mesh *m, const struct wanted *w)
{
    for (uint32_t n = 0; n < INTRODUCTIONS_MAX; n++)
        if (m->introductions[n].state != INTRODUCTION_FREE && is_for(&m->introductions[n], w))
            return &m->introductions[n];
    return NULL;
}

/* A free one, else the one that rests and will be first to have rested. */
static struct introduction *take_slot(struct mesh *m)
{
    struct introduction *resting = NULL;
    for (uint32_t n = 0; n < INTRODUCTIONS_MAX; n++) {
        struct introduction *i = &m->introductions[n];
        if (i->state == INTRODUCTION_FREE)
            return i;
        if (i->state == INTRODUCTION_RESTING && (!resting || i->alarm.timer.deadline < resting->alarm.timer.deadline))
            resting = i;
    }
    return resting;
}

static bool any_relay_up(const struct mesh *m)
{
    for (uint32_t n = 0; n < m->relay_count; n++)
        if (m->relays[n]->state == RELAY_UP)
            return true;
    return false;
}

static void begin(struct mesh *m, const struct wanted *w, uint64_t now)
{
    if (find_wanted(m, w))
        return;
    struct introduction *i = take_slot(m);
    if (!i) {
        m->counters.flooding++;
        return;
    }
    release(m, i);
    *i = (struct introduction){
        .alarm = i->alarm, .sought_len = w->len, .by_name = w->by_name, .number = random_number(m) | 1};
    if (w->len > 0)
        memcpy(i->sought, w->sought, w->len);
    else
        i->target = *w->id;
    plan(m, i, now);
    if (i->relay_count > 0)
        ask(m, i, now);
    struct device *d = w->len == 0 && !any_relay_up(m) ? devices_find(&m->devices, w->id) : NULL;
    if (d)
        direct_hope(m, d, now);
}

void mesh_wanted(struct mesh *m, const struct device_id *id, uint64_t now)
{
    struct device *d = devices_find(&m->devices, id);
    if (!m->has_self || !d)
        return;
    if (d->has_endpoint)
        m->ops.direct(m->ops.context, &d->id, &d->endpoint);
    else if (d->path == MESH_PATH_RELAYED)
        m->ops.relayed(m->ops.context, &d->id, &d->via->device->id);
    else if (d->direct && d->direct->current)
        m->ops.direct(m->ops.context, &d->id, &d->direct->current->endpoint);
    else if (!m->joining && is_member(d))
        begin(m, &(struct wanted){.id = id}, now);
}

void mesh_wanted_address(struct mesh *m, const uint8_t *address, size_t len, uint64_t now)
{
    if (m->has_self && !m->joining && (len == 4 || len == 16))
        begin(m, &(struct wanted){.sought = address, .len = len}, now);
}

void mesh_wanted_name(struct mesh *m, const char *name, size_t len, uint64_t now)
{
    if (m->has_self && !m->joining && len > 0 && len <= NAME_MAX_LEN)
        begin(m, &(struct wanted){.sought = name, .len = len, .by_name = true}, now);
}

/* ---- Answers ---- */

/* The introduction that an answer is to: from a relay that was asked. */
static struct introduction *find_asked(struct mesh *m, const struct device *from, const struct frame_introduce *f)
{
    for (uint32_t n = 0; n < INTRODUCTIONS_MAX; n++) {
        struct introduction *i = &m->introductions[n];
        if (i->state != INTRODUCTION_ASKING || i->number != f->number)
            continue;
        for (uint32_t asked = 0; asked <= i->at; asked++)
            if (device_id_equal(&i->relays[asked], &from->id))
                return i;
    }
    return NULL;
}

static bool is_for_another(const struct introduction *i, const struct frame_introduce *f)
{
    return target_is_known(i) && f->has_device && memcmp(f->device, i->target.bytes, FRAME_DEVICE_ID_SIZE) != 0;
}

/* A path that is in use stays: who answers about an address could name anybody. */
static void settle(struct mesh *m, struct introduction *i, struct device *d, struct relay *via, uint64_t now)
{
    bool anew = !d->linked || d->carried.silent;
    m->counters.introductions++;
    i->state = INTRODUCTION_MEETING;
    alarm_set(m, &i->alarm, now + INTRODUCTION_MEET_TIME);
    if (d->path == MESH_PATH_NONE)
        path_set_relayed(m, d, via, now);
    else if (d->path == MESH_PATH_DIRECT)
        path_attach(m, d, via, now);
    where_apply(m, &i->where, d, now);
    if (!d->linked)
        direct_offer(m, d, now);
    if (anew)
        m->ops.connect(m->ops.context, &d->id, 0, true); /* it may have ended a session that is fresh here */
}

/* The relays of the one who is elsewhere come next, now that its id is known. */
static void elsewhere(struct mesh *m, struct introduction *i, const struct frame_introduce *f, uint64_t now)
{
    if (!target_is_known(i)) {
        memcpy(i->target.bytes, f->device, DEVICE_ID_SIZE);
        plan_best(m, i, &i->target, true, RELAYS_WANTED + 1);
    }
    ask_next(m, i, now);
}

/* Waits for the state to hand over who it is; learning may do so at once. */
static void here(struct mesh *m, struct introduction *i, struct device *from, const struct frame_introduce *f,
                 uint64_t now)
{
    for (uint32_t at = 0; at <= i->at; at++)
        if (device_id_equal(&i->relays[at], &from->id))
            i->at = at;
    memcpy(i->target.bytes, f->device, DEVICE_ID_SIZE);
    where_keep(&i->where, f);
    i->state = INTRODUCTION_LEARNING;
    alarm_set(m, &i->alarm, now + INTRODUCTION_KNOWN_TIME);
    m->ops.learn(m->ops.context, &from->id, f->opening, f->head);
    struct device *d = devices_find(&m->devices, &i->target);
    if (d)
        introduction_device(m, d, now);
}

void introduction_answered(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now)
{
    struct introduction *i = from->relay ? find_asked(m, from, f) : NULL;
    if (!i || is_for_another(i, f)) {
        m->counters.strange++;
        return;
    }
    bool current = device_id_equal(&i->relays[i->at], &from->id);
    if (f->result == INTRODUCE_HERE) {
        here(m, i, from, f, now);
    } else if (current && f->result == INTRODUCE_ELSEWHERE) {
        if (f->opening.len > 0)
            m->ops.learn(m->ops.context, &from->id, f->opening, f->head);
        elsewhere(m, i, f, now);
    } else if (current) {
        i->refused = true;
        ask_next(m, i, now);
    }
}

void introduction_device(struct mesh *m, struct device *d, uint64_t now)
{
    for (uint32_t n = 0; n < INTRODUCTIONS_MAX && is_member(d); n++) {
        struct introduction *i = &m->introductions[n];
        if (i->state != INTRODUCTION_LEARNING || !device_id_equal(&i->target, &d->id))
            continue;
        struct device *relay = devices_find(&m->devices, &i->relays[i->at]);
        if (relay && relay->relay && !d->has_endpoint)
            settle(m, i, d, relay->relay, now);
        else
            release(m, i);
    }
}

void introduction_linked(struct mesh *m, const struct device *d)
{
    for (uint32_t n = 0; n < INTRODUCTIONS_MAX; n++)
        if (m->introductions[n].state == INTRODUCTION_MEETING && device_id_equal(&m->introductions[n].target, &d->id))
            release(m, &m->introductions[n]);
}

/* The path led nowhere: whoever wants it asks anew. */
static void meeting_alarm(struct mesh *m, struct introduction *i, uint64_t now)
{
    struct device *d = devices_find(&m->devices, &i->target);
    release(m, i);
    if (d && !d->linked && d->path == MESH_PATH_RELAYED)
        carried_not(m, d, now);
}

void introduction_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    struct introduction *i = (struct introduction *)alarm;
    if (i->state == INTRODUCTION_ASKING && i->tries < INTRODUCTION_TRIES)
        ask(m, i, now);
    else if (i->state == INTRODUCTION_ASKING)
        ask_next(m, i, now);
    else if (i->state == INTRODUCTION_LEARNING)
        rest(m, i, now);
    else if (i->state == INTRODUCTION_MEETING)
        meeting_alarm(m, i, now);
    else
        release(m, i);
}
