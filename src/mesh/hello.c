/* Hellos: said by both ends of every new keypair, asked for again by who did not hear one, and said anew by whoever has
 * something new to say. */
#include <string.h>

#include "mesh/internal.h"

void hello_init(struct device *d)
{
    alarm_init(&d->hello.alarm, ALARM_HELLO);
    d->hello.device = d;
}

void hello_send(struct mesh *m, struct device *d, uint64_t now)
{
    uint8_t observed[FRAME_CANDIDATES_SIZE];
    struct frame f = {.kind = FRAME_HELLO,
                      .hello = {.version_min = FRAME_VERSION,
                                .version_max = FRAME_VERSION,
                                .aeads = m->aeads,
                                .head = own_head(m),
                                .run = m->run}};
    bool gate = m->has_gate && (d->flags & MESH_MEMBER); /* an invite has been proved by nobody yet */
    f.hello.gate = (struct frame_view){.bytes = m->gate, .len = gate ? sizeof(m->gate) : 0};
    f.hello.observed = (struct frame_view){.bytes = observed, .len = frame_candidates_put(&d->heard, 1, observed)};
    d->hello.told = d->heard;
    d->hello.sent = now;
    mesh_send_frame(m, &d->id, &f);
}

/* A new keypair: ours is on its way, and theirs is waited for. */
void hello_linked(struct mesh *m, struct device *d, uint64_t now)
{
    d->hello.heard = false;
    d->hello.fresh = true;
    d->hello.tries = 0;
    d->hello.answers = 0;
    alarm_set(m, &d->hello.alarm, now + HELLO_TIME);
    hello_send(m, d, now);
}

void hello_unlinked(struct mesh *m, struct device *d)
{
    alarm_clear(m, &d->hello.alarm);
}

void hello_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    struct device *d = ((struct hello_wait *)alarm)->device;
    if (d->hello.heard || !d->linked || !m->has_self || d->hello.tries == HELLO_TRIES)
        return;
    d->hello.tries++;
    alarm_set(m, alarm, now + (HELLO_TIME << d->hello.tries));
    hello_send(m, d, now);
}

static bool says_the_same(const struct hello_wait *before, const struct frame_hello *f)
{
    bool gate = f->gate.len > 0 && memcmp(before->gate, f->gate.bytes, FRAME_GATE_SIZE) == 0;
    return before->aeads == f->aeads && before->has_gate == (f->gate.len > 0) && (gate || !before->has_gate);
}

/* Whoever says the same again in the same session has not heard us there; each session draws few answers. */
static bool wants_answer(struct hello_wait *h, const struct frame_hello *f, uint32_t session, uint64_t now)
{
    bool again = h->heard && h->session == session;
    if (!again && h->fresh) {
        h->fresh = false; /* what was said when the keypair was made answers it */
        return false;
    }
    return (!again || says_the_same(h, f)) && h->answers < HELLO_ANSWERS && now >= h->sent + HELLO_ANSWER_TIME;
}

static void remember(struct hello_wait *h, const struct frame_hello *f, uint32_t session)
{
    h->heard = true;
    h->session = session;
    h->aeads = f->aeads;
    h->has_gate = f->gate.len > 0;
    if (h->has_gate)
        memcpy(h->gate, f->gate.bytes, sizeof(h->gate));
}

static void observed(struct mesh *m, struct device *from, const struct frame_hello *f, uint64_t now)
{
    struct underlay seen[FRAME_CANDIDATES_MAX];
    if (!from->relay || f->observed.len == 0)
        return;
    (void)frame_candidates_get(f->observed, seen);
    struct relay *r = from->relay;
    r->moved |= r->observed.family != 0 && !underlay_equal(&r->observed, &seen[0]);
    r->observed = seen[0];
    hello_moved(m, r, now);
}

/* A relay that says so all the time is listened to now and then. */
void hello_moved(struct mesh *m, struct relay *r, uint64_t now)
{
    if (!r->moved || now < r->moved_told + HELLO_MOVED_TIME)
        return;
    r->moved = false;
    r->moved_told = now;
    local_changed(m, now);
}

/* A device that draws answers says where it is seen whenever that is somewhere else. */
void hello_observed(struct mesh *m, struct device *d, uint64_t now)
{
    bool moved = d->heard.family != 0 && !underlay_equal(&d->heard, &d->hello.told);
    if (m->is_relay && moved && d->linked && is_member(d) && now >= d->hello.sent + HELLO_OBSERVED_TIME)
        hello_send(m, d, now);
}

static void version_seen(struct mesh *m, struct device *from, bool unusable, uint64_t now)
{
    m->counters.versions += unusable;
    if (unusable == from->unusable)
        return;
    from->unusable = unusable;
    if (unusable && from->relay)
        path_forget_all(m, from->relay);
    relays_choose(m, now);
}

/* A relay that started anew permits nothing that it permitted before; a device that did has none of its sessions. */
static void run_seen(struct mesh *m, struct device *d, uint64_t run)
{
    bool anew = d->run != 0 && d->run != run;
    d->run = run;
    if (anew && d->relay)
        path_forget_all(m, d->relay);
    if (anew)
        permissions_tell_restart(m, d);
}

void hello_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                    uint64_t now)
{
    bool unusable = f->hello.version_min > FRAME_VERSION || f->hello.version_max < FRAME_VERSION;
    bool answer = wants_answer(&from->hello, &f->hello, by->session, now) && !unusable;
    version_seen(m, from, unusable, now);
    run_seen(m, from, f->hello.run);
    remember(&from->hello, &f->hello, by->session);
    if (answer) {
        from->hello.answers++;
        hello_send(m, from, now);
    }
    if (unusable)
        return;
    const uint8_t *gate = f->hello.gate.len > 0 ? f->hello.gate.bytes : NULL;
    m->ops.heard(m->ops.context, &from->id, by->session, f->hello.aeads, gate);
    observed(m, from, &f->hello, now);
    if (f->hello.head.len > 0)
        m->ops.learn(m->ops.context, &from->id, (struct frame_view){0}, f->hello.head);
}

void mesh_offer(struct mesh *m, uint64_t aeads, const uint8_t gate[FRAME_GATE_SIZE], uint64_t now)
{
    bool changed = !m->has_gate || memcmp(m->gate, gate, sizeof(m->gate)) != 0;
    m->aeads = aeads;
    m->has_gate = true;
    memcpy(m->gate, gate, sizeof(m->gate));
    for (struct device *d = devices_next(&m->devices, NULL); changed && d; d = devices_next(&m->devices, d))
        if (d->linked)
            hello_send(m, d, now);
}
