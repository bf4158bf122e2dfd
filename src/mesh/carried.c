/* Whether a relay carries what it is given. One that answers for itself, and lets nothing through, shows by the other
 * end's silence; another is asked for then. */
#include <string.h>

#include "mesh/internal.h"

void carried_init(struct device *d)
{
    alarm_init(&d->carried.alarm, ALARM_CARRIED);
    d->carried.device = d;
}

static void begin(struct mesh *m, struct carried *c, uint64_t now)
{
    c->lost = 0;
    c->used = now;
    c->silent = false;
    m->ops.traffic(m->ops.context, &c->device->id, &c->sent, &c->received);
    alarm_set(m, &c->alarm, now + CARRIED_LOOK_TIME);
}

void carried_watch(struct mesh *m, struct device *d, uint64_t now)
{
    if (d->linked && d->path == MESH_PATH_RELAYED && !d->relay && d->carried.alarm.timer.position == TIMER_DISARMED)
        begin(m, &d->carried, now);
}

void carried_end(struct mesh *m, struct device *d)
{
    alarm_clear(m, &d->carried.alarm);
}

void carried_not(struct mesh *m, struct device *d, uint64_t now)
{
    d->avoided = d->via->device->id;
    d->avoided_until = now + CARRIED_AVOID_TIME;
    path_forget(m, d);
}

bool carried_avoids(const struct device *d, const struct device_id *relay, uint64_t now)
{
    return now < d->avoided_until && device_id_equal(&d->avoided, relay);
}

static void probe(struct mesh *m, struct carried *c, uint64_t now)
{
    struct frame f = {.kind = FRAME_PROBE, .probe = {.number = random_number(m), .time = now}};
    mesh_send_frame(m, &c->device->id, &f);
    alarm_set(m, &c->alarm, now + CARRIED_PROBE_TIME);
}

static void give_up(struct mesh *m, struct device *d, uint64_t now)
{
    d->carried.silent = true;
    carried_not(m, d, now);
    mesh_wanted(m, &d->id, now);
}

/* Whatever comes in the session is an answer. */
static void look(struct mesh *m, struct carried *c, uint64_t now)
{
    uint64_t sent = c->sent, received = c->received;
    bool asked = c->lost > 0;
    m->ops.traffic(m->ops.context, &c->device->id, &c->sent, &c->received);
    bool heard = c->received != received, silent = !heard && (asked || c->sent != sent);
    if ((heard || silent) && !asked)
        c->used = now;
    if (!silent)
        c->lost = 0;
    if (silent && c->lost++ < CARRIED_PROBES_LOST)
        probe(m, c, now);
    else if (silent)
        give_up(m, c->device, now);
    else
        alarm_set(m, &c->alarm, now + (now < c->used + DIRECT_BUSY_TIME ? CARRIED_LOOK_TIME : CARRIED_QUIET_LOOK_TIME));
}

void carried_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    struct carried *c = (struct carried *)alarm;
    if (c->device->linked && c->device->path == MESH_PATH_RELAYED && c->device->via->state == RELAY_UP)
        look(m, c, now);
}
