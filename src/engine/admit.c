/* Which handshake messages are served, and when: answers to our own initiations, then initiations of those who know our
 * gate key, then the rest. Nothing here looks at where a message says that it comes from. */
#include "engine/internal.h"

#define LOAD_HOLD SECOND            /* load is taken to last at least so long */
#define STALE (2 * SECOND)          /* by then an initiator tries anew */
#define SERVED_A_TURN 64            /* of each class, so that timers and configuration get their turn */
#define UNGATED_TOKEN (SECOND / 50) /* dark and under load: one each so often, */
#define UNGATED_BURST 64            /* and so many at once */

/* Static steps that are begun and not come back. */
static const uint32_t steps_max[HANDSHAKE_CLASSES] = {
    [HANDSHAKE_ANSWER] = 1024, /* and our own initiations */
    [HANDSHAKE_GATED] = 64,
    [HANDSHAKE_UNGATED] = 16,
};

static bool under_load(struct engine *e, uint64_t now)
{
    if (mailbox_waiting(&e->inbox, HANDSHAKE_UNGATED) > MAILBOX_UNDER_LOAD)
        e->under_load_until = now + LOAD_HOLD;
    return now < e->under_load_until;
}

static uint64_t next_token(const struct engine *e)
{
    return e->ungated_full_at + UNGATED_TOKEN - UNGATED_BURST * UNGATED_TOKEN;
}

static void take_token(struct engine *e, uint64_t now)
{
    if (e->ungated_full_at < now)
        e->ungated_full_at = now;
    e->ungated_full_at += UNGATED_TOKEN;
}

/* Whether one more of the class is to be served now. */
static bool has_turn(struct engine *e, enum handshake_class class, uint64_t now)
{
    if (mailbox_waiting(&e->inbox, class) == 0 || (class != HANDSHAKE_ANSWER && e->steps[class] >= steps_max[class]))
        return false;
    return class != HANDSHAKE_UNGATED || !e->options.dark || !under_load(e, now) ||
           e->ungated_full_at < UNGATED_BURST * UNGATED_TOKEN || now >= next_token(e);
}

static void serve(struct engine *e, enum handshake_class class, const struct mail_handshake *m, uint64_t now)
{
    bool loaded = under_load(e, now);
    if (class == HANDSHAKE_UNGATED && now > m->at + STALE) {
        engine_count(&e->counters.handshake_dropped, 1);
        return;
    }
    if (class == HANDSHAKE_UNGATED && loaded)
        take_token(e, now);
    actions_step(e, &(struct tunnel_event){.kind = TUNNEL_EVENT_DATAGRAM,
                                           .datagram = {.bytes = m->bytes,
                                                        .len = m->len,
                                                        .from = m->from,
                                                        .under_load = loaded,
                                                        .gated = class == HANDSHAKE_GATED}});
}

bool admit_serve(struct engine *e)
{
    struct mail_handshake m;
    uint64_t now = loop_monotonic();
    bool more = false;
    for (int class = 0; class < HANDSHAKE_CLASSES; class ++) {
        for (int i = 0; i < SERVED_A_TURN && has_turn(e, class, now); i++)
            if (mailbox_take_handshake(&e->inbox, class, &m))
                serve(e, class, &m, now);
        more |= has_turn(e, class, now);
    }
    return more;
}

uint64_t admit_deadline(const struct engine *e)
{
    bool waits =
        mailbox_waiting(&e->inbox, HANDSHAKE_UNGATED) > 0 && e->steps[HANDSHAKE_UNGATED] < steps_max[HANDSHAKE_UNGATED];
    return waits ? next_token(e) : UINT64_MAX;
}

/* ---- Static steps ---- */

static enum handshake_class class_of(const struct static_step *step)
{
    if (step->text_kind != STATIC_STEP_OPEN_TEXT)
        return HANDSHAKE_ANSWER;
    return step->gated ? HANDSHAKE_GATED : HANDSHAKE_UNGATED;
}

bool admit_step(struct engine *e, const struct static_step *step)
{
    enum handshake_class class = class_of(step);
    if (e->steps[class] >= steps_max[class]) {
        engine_count(&e->counters.steps_dropped, 1);
        return false;
    }
    e->steps[class]++;
    return true;
}

void admit_stepped(struct engine *e, const struct static_step *step)
{
    uint32_t *steps = &e->steps[class_of(step)];
    if (*steps > 0)
        --*steps;
}
