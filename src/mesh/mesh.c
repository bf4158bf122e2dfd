#include "mesh/mesh.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "mesh/internal.h"

/* ---- Small things for all files ---- */

void alarm_init(struct alarm *alarm, enum alarm_kind kind)
{
    timer_init(&alarm->timer);
    alarm->kind = kind;
}

void alarm_set(struct mesh *m, struct alarm *alarm, uint64_t deadline)
{
    timer_arm(&m->timers, &alarm->timer, deadline);
}

void alarm_clear(struct mesh *m, struct alarm *alarm)
{
    timer_disarm(&m->timers, &alarm->timer);
}

void mesh_send_frame(struct mesh *m, const struct device_id *to, const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(frame, bytes, sizeof(bytes));
    if (len <= 0)
        return;
    struct device *d = devices_find(&m->devices, to);
    if (d)
        direct_noise(d, (size_t)len, 0);
    m->ops.send(m->ops.context, to, bytes, (size_t)len);
}

void mesh_send_by(struct mesh *m, struct device *to, const struct mesh_way *way, const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(frame, bytes, sizeof(bytes));
    if (len <= 0)
        return;
    direct_noise(to, (size_t)len, 0);
    if (m->ops.send_by && way->kind != MESH_PATH_NONE)
        m->ops.send_by(m->ops.context, &to->id, way, bytes, (size_t)len);
    else
        m->ops.send(m->ops.context, &to->id, bytes, (size_t)len);
}

uint64_t random_number(struct mesh *m)
{
    uint8_t bytes[8];
    m->ops.entropy(m->ops.context, bytes, sizeof(bytes));
    return get_be64(bytes);
}

struct frame_view own_head(const struct mesh *m)
{
    return (struct frame_view){.bytes = m->head, .len = m->has_head ? sizeof(m->head) : 0};
}

/* ---- Beginning and end ---- */

static void init_alarms(struct mesh *m)
{
    for (uint32_t n = 0; n < INTRODUCTIONS_MAX; n++)
        alarm_init(&m->introductions[n].alarm, ALARM_INTRODUCTION);
    for (uint32_t n = 0; n < TELLS_MAX; n++)
        alarm_init(&m->tells[n].alarm, ALARM_TELL);
    for (uint32_t n = 0; n < PINGS_MAX; n++)
        alarm_init(&m->pings[n].alarm, ALARM_PING);
}

/* What need not be there. Without send_by nothing is tried but what relays say. */
static void ignore_candidates(void *context, const struct device_id *to, const struct underlay *list, uint32_t count)
{
    (void)context;
    (void)to;
    (void)list;
    (void)count;
}

static void ignore_heard(void *context, const struct device_id *from, uint32_t session, uint64_t aeads,
                         const uint8_t *gate)
{
    (void)context;
    (void)from;
    (void)session;
    (void)aeads;
    (void)gate;
}

/* Room for the timers of so many devices, each of which may be a relay. */
static int reserve_timers(struct mesh *m, uint32_t devices)
{
    return timer_heap_reserve(&m->timers, INTRODUCTIONS_MAX + TELLS_MAX + PINGS_MAX + QUESTIONS_MAX + 4 * devices);
}

int mesh_new(struct mesh **out, struct crypto *c, const struct mesh_ops *ops)
{
    struct mesh *m = calloc(1, sizeof(*m));
    if (!m)
        return ERROR_MEMORY;
    m->crypto = c;
    m->ops = *ops;
    if (!m->ops.candidates)
        m->ops.candidates = ignore_candidates;
    if (!m->ops.heard)
        m->ops.heard = ignore_heard;
    timer_heap_init(&m->timers);
    m->run = random_number(m);
    init_alarms(m);
    if (reserve_timers(m, 0) != 0) {
        mesh_free(m);
        return ERROR_MEMORY;
    }
    *out = m;
    return 0;
}

static void ignore_permit(void *context, const struct device_id *a, const struct device_id *b, bool yes)
{
    (void)context;
    (void)a;
    (void)b;
    (void)yes;
}

static void free_permissions(struct mesh *m)
{
    m->ops.permit = ignore_permit;
    for (struct device *d = devices_next(&m->devices, NULL); d; d = devices_next(&m->devices, d))
        permissions_end(m, d);
}

void mesh_free(struct mesh *m)
{
    if (!m)
        return;
    questions_close(m);
    free_permissions(m);
    devices_clear(&m->devices);
    free(m->relays);
    timer_heap_clear(&m->timers);
    free(m);
}

void mesh_self(struct mesh *m, const struct device_id *id, bool relay, bool joining, uint64_t now)
{
    m->has_self = joining || !is_zero(id->bytes, sizeof(id->bytes));
    m->self = *id;
    m->is_relay = relay;
    bool joined = m->joining && !joining;
    m->joining = joining;
    if (relay)
        questions_open(m);
    if (joined)
        relays_watch(m, now);
    relays_rescore(m, now);
}

void mesh_head(struct mesh *m, const uint8_t head[FRAME_SIGNED_HEAD_SIZE])
{
    memcpy(m->head, head, FRAME_SIGNED_HEAD_SIZE);
    m->has_head = true;
}

/* ---- Paths ---- */

void path_detach(struct device *d)
{
    if (d->via)
        d->via->paths--;
    d->via = NULL;
}

void path_attach(struct mesh *m, struct device *d, struct relay *via, uint64_t now)
{
    path_detach(d);
    d->via = via;
    via->paths++;
    relay_use(m, via, now);
}

void path_set_relayed(struct mesh *m, struct device *d, struct relay *via, uint64_t now)
{
    path_attach(m, d, via, now);
    d->path = MESH_PATH_RELAYED;
    m->ops.relayed(m->ops.context, &d->id, &via->device->id);
    carried_watch(m, d, now);
}

/* A direct path stays. */
void path_forget(struct mesh *m, struct device *d)
{
    struct device_id relay = d->via->device->id;
    path_detach(d);
    if (d->path == MESH_PATH_DIRECT)
        return;
    d->path = MESH_PATH_NONE;
    m->counters.forgotten++;
    m->ops.forget(m->ops.context, &d->id, &relay);
}

/* A device that called us may be sent to through the relay without a path from here. */
void path_forget_all(struct mesh *m, const struct relay *via)
{
    for (struct device *d = devices_next(&m->devices, NULL); d; d = devices_next(&m->devices, d))
        if (d->via == via)
            path_forget(m, d);
        else if (d->path == MESH_PATH_NONE && d != via->device)
            m->ops.forget(m->ops.context, &d->id, &via->device->id);
}

static void path_set_direct(struct mesh *m, struct device *d)
{
    direct_free(m, d);
    path_detach(d);
    d->path = MESH_PATH_DIRECT;
    m->ops.direct(m->ops.context, &d->id, &d->endpoint);
}

/* ---- Devices ---- */

static bool same_endpoint(const struct device *d, const struct mesh_device *as)
{
    return d->has_endpoint == as->has_endpoint && (!as->has_endpoint || underlay_equal(&d->endpoint, &as->endpoint));
}

/* A relay that is none any more loses its paths, one that moved gets another chance. */
static int update(struct mesh *m, struct device *d, const struct mesh_device *as, uint64_t now)
{
    bool moved = !same_endpoint(d, as), other_use = ((d->flags ^ as->flags) & MESH_CONTROLLER) != 0;
    d->flags = as->flags;
    d->has_endpoint = as->has_endpoint;
    d->endpoint = as->endpoint;
    if (moved && d->has_endpoint)
        path_set_direct(m, d);
    else if (moved)
        d->path = MESH_PATH_NONE;
    if (is_relay(d) && !d->relay)
        return relay_add(m, d, now);
    if (!is_relay(d) || moved)
        relay_remove(m, d, now);
    else if (other_use)
        relays_choose(m, now);
    return is_relay(d) && !d->relay ? relay_add(m, d, now) : 0;
}

int mesh_device(struct mesh *m, const struct mesh_device *device, uint64_t now)
{
    struct device *d = devices_find(&m->devices, &device->id);
    if (!d) {
        if (reserve_timers(m, m->devices.count + 1) != 0 || devices_add(&m->devices, &device->id, &d) != 0)
            return ERROR_MEMORY;
        hello_init(d);
        carried_init(d);
    }
    int error = update(m, d, device, now);
    introduction_device(m, d, now);
    tell_device(m, d, now);
    return error;
}

void mesh_device_gone(struct mesh *m, const struct device_id *id, uint64_t now)
{
    struct device *d = devices_find(&m->devices, id);
    if (!d)
        return;
    pings_device_gone(m, d);
    questions_device_gone(m, d);
    permissions_end(m, d);
    relay_remove(m, d, now);
    path_detach(d);
    direct_free(m, d);
    carried_end(m, d);
    hello_unlinked(m, d);
    devices_remove(&m->devices, d);
}

/* ---- Links ---- */

void link_changed(struct mesh *m, struct device *d, bool up, uint64_t now)
{
    bool changed = d->linked != up;
    d->linked = up;
    if (!up) {
        hello_unlinked(m, d);
        direct_unlinked(m, d);
        d->heard.family = 0;
    }
    if (d->relay && up)
        relay_linked(m, d->relay, now);
    else if (d->relay)
        relay_failed(m, d->relay, now);
    if (up)
        introduction_linked(m, d);
    if (!up && d->path == MESH_PATH_DIRECT && d->has_endpoint)
        m->ops.direct(m->ops.context, &d->id, &d->endpoint); /* what it spoke from last may lead nowhere */
    if (!up && d->path == MESH_PATH_NONE)
        m->ops.forget(m->ops.context, &d->id, NULL);
    if (!up && d->path == MESH_PATH_RELAYED) {
        path_forget(m, d);
        relays_choose(m, now);
    }
    if (changed && (is_relay(d) || is_member(d)))
        m->ops.link(m->ops.context, &d->id, up);
}

void mesh_link(struct mesh *m, const struct device_id *id, bool up, uint64_t now)
{
    struct device *d = devices_find(&m->devices, id);
    if (!m->has_self || !d)
        return;
    bool first = !d->linked;
    if (up)
        hello_linked(m, d, now);
    link_changed(m, d, up, now);
    if (up)
        direct_linked(m, d, first, now);
    carried_watch(m, d, now);
}

void mesh_part(struct mesh *m, const struct device_id *a, const struct device_id *b)
{
    struct device *x = devices_find(&m->devices, a), *y = devices_find(&m->devices, b);
    if (x && y)
        permission_end(m, x, y);
}

void mesh_sign_off(struct mesh *m)
{
    struct frame f = {.kind = FRAME_SIGN_OFF};
    for (struct device *d = devices_next(&m->devices, NULL); d; d = devices_next(&m->devices, d))
        if (d->linked && is_member(d))
            mesh_send_frame(m, &d->id, &f);
}

/* ---- Frames ---- */

enum { FROM_INVITE = 1, FROM_MEMBER = 2, FROM_UNUSABLE = 4 };

static void introduce_received(struct mesh *m, struct device *from, const struct mesh_arrival *by,
                               const struct frame *f, uint64_t now)
{
    (void)by;
    static void (*const as_relay[])(struct mesh *, struct device *, const struct frame_introduce *, uint64_t) = {
        [INTRODUCE_ASK] = question_asked,
        [INTRODUCE_ACKNOWLEDGE] = question_acknowledged,
    };
    if (f->introduce.stage == INTRODUCE_TELL)
        tell_received(m, from, &f->introduce, now);
    else if (f->introduce.stage == INTRODUCE_ANSWER)
        introduction_answered(m, from, &f->introduce, now);
    else if (m->is_relay)
        as_relay[f->introduce.stage](m, from, &f->introduce, now);
    else
        m->counters.strange++;
}

static void sign_off_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                              uint64_t now)
{
    (void)by;
    (void)f;
    link_changed(m, from, false, now);
}

/* Who may send what. Without a handler: the state's. */
static const struct {
    uint8_t senders;
    void (*handle)(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                   uint64_t now);
} permits[] = {
    [FRAME_HELLO] = {FROM_INVITE | FROM_MEMBER | FROM_UNUSABLE, hello_received},
    [FRAME_INTRODUCE] = {FROM_MEMBER, introduce_received},
    [FRAME_CANDIDATES] = {FROM_MEMBER, candidates_received},
    [FRAME_PROBE] = {FROM_MEMBER, probe_received},
    [FRAME_ANSWER] = {FROM_MEMBER, answer_received},
    [FRAME_GET] = {FROM_INVITE | FROM_MEMBER, NULL},
    [FRAME_PART] = {FROM_MEMBER, NULL},
    /* From members: a relay without a controller hands joins on, and who joined may not know it yet. */
    [FRAME_JOIN] = {FROM_INVITE | FROM_MEMBER, NULL},
    [FRAME_JOINED] = {FROM_MEMBER, NULL},
    [FRAME_STATEMENT] = {FROM_MEMBER, NULL},
    [FRAME_NOTICE] = {FROM_MEMBER, NULL},
    [FRAME_SIGN_OFF] = {FROM_MEMBER, sign_off_received},
};

static unsigned sender_class(const struct mesh *m, const struct device *d)
{
    if (d->unusable)
        return FROM_UNUSABLE;
    if (d->flags & (MESH_MEMBER | MESH_FOUNDING))
        return FROM_MEMBER;
    if (d->flags & (MESH_INVITE | MESH_USED_INVITE))
        return d->flags & MESH_INVITE ? FROM_INVITE : 0;
    return m->joining && is_relay(d) ? FROM_MEMBER : 0;
}

void mesh_frame(struct mesh *m, const struct device_id *from, const struct mesh_arrival *by, const uint8_t *bytes,
                size_t len, uint64_t now)
{
    struct frame f;
    struct device *d = devices_find(&m->devices, from);
    if (!m->has_self || !d)
        return;
    direct_noise(d, 0, len);
    path_heard(m, d, &by->way, now);
    int error = frame_decode(&f, bytes, len);
    if (error != 0) {
        m->counters.malformed += error == ERROR_MALFORMED;
        return;
    }
    unsigned class = sender_class(m, d);
    if (!(permits[f.kind].senders & class))
        m->counters.strange++;
    else if (permits[f.kind].handle)
        permits[f.kind].handle(m, d, by, &f, now);
    else
        m->ops.deliver(m->ops.context, from, class == FROM_INVITE, bytes, len);
    hello_observed(m, d, now);
}

/* ---- Time ---- */

void mesh_timer(struct mesh *m, uint64_t now)
{
    static void (*const due[ALARM_KINDS])(struct mesh *, struct alarm *, uint64_t) = {
        [ALARM_RELAY] = relay_alarm,   [ALARM_INTRODUCTION] = introduction_alarm,
        [ALARM_TELL] = tell_alarm,     [ALARM_QUESTION] = question_alarm,
        [ALARM_PING] = ping_alarm,     [ALARM_HELLO] = hello_alarm,
        [ALARM_DIRECT] = direct_alarm, [ALARM_CARRIED] = carried_alarm,
    };
    for (struct timer *t; (t = timer_heap_expire(&m->timers, now));) {
        struct alarm *alarm = (struct alarm *)t;
        due[alarm->kind](m, alarm, now);
    }
}

uint64_t mesh_deadline(const struct mesh *m)
{
    return timer_heap_deadline(&m->timers);
}

/* ---- For people ---- */

enum mesh_path_kind mesh_path(const struct mesh *m, const struct device_id *id, struct device_id *relay)
{
    const struct device *d = devices_find(&m->devices, id);
    if (d && d->path == MESH_PATH_RELAYED)
        *relay = d->via->device->id;
    return d ? d->path : MESH_PATH_NONE;
}

enum mesh_why mesh_why(const struct mesh *m, const struct device_id *id)
{
    const struct device *d = devices_find(&m->devices, id);
    return d ? direct_why(m, d) : MESH_WHY_NONE;
}

uint64_t mesh_rtt(const struct mesh *m, const struct device_id *id)
{
    const struct device *d = devices_find(&m->devices, id);
    return d ? d->rtt : 0;
}

const char *mesh_counter_name(uint32_t i)
{
    static const char *const names[] = {"mesh_malformed",  "mesh_strange",    "introductions", "introductions_refused",
                                        "mesh_flooding",   "paths_forgotten", "mesh_versions", "paths_direct",
                                        "paths_fell_back", "paths_limited"};
    _Static_assert(sizeof(names) / sizeof(names[0]) == sizeof(struct mesh_counters) / sizeof(uint64_t), "each a name");
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

void mesh_read_counters(const struct mesh *m, struct mesh_counters *out)
{
    *out = m->counters;
}
