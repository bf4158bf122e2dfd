/* Probes inside a session: pings for people, and answers. */
#include <string.h>

#include "mesh/internal.h"

/* By the way that it came. */
void probe_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                    uint64_t now)
{
    struct frame answer = {.kind = FRAME_ANSWER, .probe = f->probe};
    if (direct_probed(m, from, by, now))
        mesh_send_by(m, from, &by->way, &answer);
}

static void finish(struct mesh *m, struct ping *p, uint64_t rtt)
{
    p->used = false;
    alarm_clear(m, &p->alarm);
    m->ops.pong(m->ops.context, &p->id, p->number, rtt);
}

static bool was_sent_at(const struct ping *p, uint64_t time)
{
    for (uint32_t n = 0; n < p->tries; n++)
        if (p->sent[n] == time)
            return true;
    return false;
}

static bool ping_answered(struct mesh *m, struct device *from, const struct frame_probe *answer, uint64_t now)
{
    for (uint32_t n = 0; n < PINGS_MAX; n++) {
        struct ping *p = &m->pings[n];
        if (!p->used || p->probe_number != answer->number || !device_id_equal(&p->id, &from->id) ||
            !was_sent_at(p, answer->time))
            continue;
        from->rtt = now > answer->time ? now - answer->time : 1;
        finish(m, p, from->rtt);
        return true;
    }
    return false;
}

void answer_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                     uint64_t now)
{
    if (from->relay && relay_answered(m, from->relay, &f->probe, now))
        return;
    if (direct_answered(m, from, by, &f->probe, now))
        return;
    (void)ping_answered(m, from, &f->probe, now); /* else late or repeated, which is nothing to count */
}

static void send_probe(struct mesh *m, struct ping *p, uint64_t now)
{
    struct frame f = {.kind = FRAME_PROBE, .probe = {.number = p->probe_number, .time = now}};
    uint64_t end = p->begun + PING_TIME, next = now + PING_INTERVAL;
    p->sent[p->tries++] = now;
    alarm_set(m, &p->alarm, p->tries < PING_TRIES && next < end ? next : end);
    mesh_send_frame(m, &p->id, &f);
}

void mesh_ping(struct mesh *m, const struct device_id *id, uint32_t number, uint64_t now)
{
    struct device *d = devices_find(&m->devices, id);
    struct ping *p = NULL;
    for (uint32_t n = 0; n < PINGS_MAX; n++)
        if (!m->pings[n].used)
            p = &m->pings[n];
    if (!m->has_self || !d || !is_member(d) || !p) {
        m->ops.pong(m->ops.context, id, number, 0);
        return;
    }
    p->used = true;
    p->id = *id;
    p->number = number;
    p->tries = 0;
    p->begun = now;
    p->probe_number = random_number(m);
    if (!d->linked && d->path == MESH_PATH_NONE)
        mesh_wanted(m, id, now);
    direct_pinged(m, d, now);
    send_probe(m, p, now);
}

void ping_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    struct ping *p = (struct ping *)alarm;
    if (p->tries < PING_TRIES && now < p->begun + PING_TIME)
        send_probe(m, p, now);
    else
        finish(m, p, 0);
}

void pings_device_gone(struct mesh *m, const struct device *d)
{
    for (uint32_t n = 0; n < PINGS_MAX; n++)
        if (m->pings[n].used && device_id_equal(&m->pings[n].id, &d->id))
            finish(m, &m->pings[n], 0);
}
