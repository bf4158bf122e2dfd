/* Introductions that a relay tells us of: acknowledged as soon as the state knows who asks, and lets it. */
#include <string.h>

#include "mesh/internal.h"

static void acknowledge(struct mesh *m, const struct device_id *relay, struct device *asker, uint64_t number,
                        uint64_t now)
{
    struct frame f = {.kind = FRAME_INTRODUCE,
                      .introduce = {.number = number, .stage = INTRODUCE_ACKNOWLEDGE, .has_device = true}};
    memcpy(f.introduce.device, asker->id.bytes, FRAME_DEVICE_ID_SIZE);
    struct device *r = devices_find(&m->devices, relay);
    if (!r || !r->relay)
        return;
    /* A path with a session stays: packets that come by another move it. */
    bool in_use = asker->path == MESH_PATH_RELAYED && asker->linked && asker->via->state == RELAY_UP;
    if (!asker->has_endpoint && asker->path == MESH_PATH_DIRECT)
        path_attach(m, asker, r->relay, now);
    else if (!asker->has_endpoint && !in_use)
        path_set_relayed(m, asker, r->relay, now);
    mesh_send_frame(m, relay, &f);
}

/* Its session with us is of before: what we have to say waits for another, and is not said into the old one. */
static void started_anew(struct mesh *m, struct device *d, uint64_t now)
{
    if (!d || !d->linked || !is_member(d) || d->has_endpoint)
        return;
    direct_offer(m, d, now);
    m->ops.connect(m->ops.context, &d->id, 0, true);
}

/* More strangers than a relay can mean honestly are not looked at. */
static bool too_many(struct mesh *m, uint64_t now)
{
    uint64_t second = now / SECOND;
    if (second != m->tells_second)
        m->tells_seen = 0;
    m->tells_second = second;
    return ++m->tells_seen > TELLS_A_SECOND;
}

static struct tell *wait_for(struct mesh *m, const struct device_id *relay, const struct device_id *asker,
                             uint64_t number, uint64_t now)
{
    struct tell *slot = NULL;
    for (uint32_t n = 0; n < TELLS_MAX; n++) {
        struct tell *t = &m->tells[n];
        bool same = t->used && device_id_equal(&t->asker, asker) && device_id_equal(&t->relay, relay);
        if (same || (!t->used && !slot))
            slot = t;
    }
    if (!slot)
        return NULL;
    slot->used = true;
    slot->relay = *relay;
    slot->asker = *asker;
    slot->number = number;
    alarm_set(m, &slot->alarm, now + INTRODUCTION_KNOWN_TIME);
    return slot;
}

void tell_received(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now)
{
    struct device_id asker, relay = from->id;
    memcpy(asker.bytes, f->device, DEVICE_ID_SIZE);
    if (!from->relay || device_id_equal(&asker, &m->self) || device_id_equal(&asker, &relay)) {
        m->counters.strange++;
        return;
    }
    struct device *known = devices_find(&m->devices, &asker);
    if (f->number == 0) {
        started_anew(m, known, now);
        return;
    }
    if (known && is_member(known)) {
        struct where where;
        where_keep(&where, f);
        where_apply(m, &where, known, now);
        acknowledge(m, &relay, known, f->number, now);
        return;
    }
    struct tell *t = too_many(m, now) ? NULL : wait_for(m, &relay, &asker, f->number, now);
    if (!t) {
        m->counters.flooding++;
        return;
    }
    where_keep(&t->where, f);
    m->ops.learn(m->ops.context, &relay, f->opening, f->head);
}

void tell_device(struct mesh *m, struct device *d, uint64_t now)
{
    for (uint32_t n = 0; n < TELLS_MAX && is_member(d); n++) {
        struct tell *t = &m->tells[n];
        if (!t->used || !device_id_equal(&t->asker, &d->id))
            continue;
        t->used = false;
        alarm_clear(m, &t->alarm);
        where_apply(m, &t->where, d, now);
        acknowledge(m, &t->relay, d, t->number, now);
    }
}

void tell_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    (void)m;
    (void)now;
    ((struct tell *)alarm)->used = false;
}
