/* A peer's candidates, and the probes that find out which of them lead to it. */
#include <string.h>

#include "mesh/internal.h"

struct candidate *candidate_find(struct direct *x, const struct underlay *where)
{
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++)
        if (x->list[n].endpoint.family != 0 && underlay_equal(&x->list[n].endpoint, where))
            return &x->list[n];
    return NULL;
}

static bool may_be_replaced(const struct direct *x, const struct candidate *c)
{
    return c != x->current && c != x->good && c->due == 0;
}

/* A free place, else that of the one that answered least lately; NULL: all are in use, or being tried. */
static struct candidate *place_for(struct direct *x)
{
    struct candidate *place = NULL;
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++) {
        struct candidate *c = &x->list[n];
        if (c->endpoint.family == 0)
            return c;
        if (may_be_replaced(x, c) && (!place || c->answered < place->answered))
            place = c;
    }
    return place;
}

struct candidate *candidate_add(struct mesh *m, struct direct *x, const struct underlay *where, bool given)
{
    struct candidate *c = candidate_find(x, where);
    if (c || !candidate_is_allowed(m, where))
        return c;
    c = place_for(x);
    if (c)
        *c = (struct candidate){.endpoint = *where, .given = given};
    return c;
}

static bool is_among(const struct underlay *list, uint32_t count, const struct underlay *u)
{
    for (uint32_t n = 0; n < count; n++)
        if (underlay_equal(&list[n], u))
            return true;
    return false;
}

void candidates_keep_given(struct direct *x, const struct underlay *given, uint32_t count)
{
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++) {
        struct candidate *c = &x->list[n];
        if (c->given && c->answered == 0 && may_be_replaced(x, c) && !is_among(given, count, &c->endpoint))
            *c = (struct candidate){0};
    }
}

/* ---- Probing ---- */

void candidate_probe(struct mesh *m, struct direct *x, struct candidate *c, uint64_t now)
{
    const struct mesh_way way = {.kind = MESH_PATH_DIRECT, .endpoint = c->endpoint};
    struct sent_probe *s = &c->sent[c->next++ % DIRECT_TRIES];
    *s = (struct sent_probe){.number = random_number(m), .time = now};
    struct frame f = {.kind = FRAME_PROBE, .probe = {.number = s->number, .time = s->time}};
    c->sent_last = now;
    mesh_send_by(m, x->device, &way, &f);
}

/* Whether it is the answer to a probe that went there; each is taken once. */
bool candidate_answered(struct candidate *c, const struct frame_probe *answer, uint64_t now)
{
    for (uint32_t n = 0; n < DIRECT_TRIES; n++) {
        struct sent_probe *s = &c->sent[n];
        if (s->time == 0 || s->number != answer->number || s->time != answer->time)
            continue;
        c->rtt = now > s->time ? now - s->time : 1;
        c->answered = now;
        *s = (struct sent_probe){0};
        return true;
    }
    return false;
}

/* When the next goes out; after the last, how long its answer is waited for. */
static const uint64_t spacing[DIRECT_TRIES] = {200 * SECOND / 1000, 300 * SECOND / 1000, SECOND};

static void try_one(struct mesh *m, struct direct *x, struct candidate *c, uint64_t now)
{
    c->due = 0;
    if (c->tries == DIRECT_TRIES)
        return;
    c->limited = !budget_take(&m->budget, &c->endpoint, 1, c->hearsay, now);
    if (c->limited) {
        m->counters.limited++;
        return;
    }
    c->due = now + spacing[c->tries++];
    candidate_probe(m, x, c, now);
}

void attempt_one(struct mesh *m, struct direct *x, struct candidate *c, uint64_t now)
{
    if (c->due != 0 || !direct_may_probe(m, x))
        return;
    c->tries = 0;
    try_one(m, x, c, now);
}

void attempt_all(struct mesh *m, struct direct *x, uint64_t now)
{
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++)
        if (x->list[n].endpoint.family != 0 && &x->list[n] != x->current)
            attempt_one(m, x, &x->list[n], now);
}

bool attempt_under_way(const struct direct *x)
{
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++)
        if (x->list[n].due != 0)
            return true;
    return false;
}

void attempt_end(struct direct *x)
{
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++)
        x->list[n].due = 0;
}

/* What is due is sent. Returns when the next is, 0: nothing is under way. */
uint64_t attempt_go_on(struct mesh *m, struct direct *x, uint64_t now)
{
    uint64_t next = 0;
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++) {
        struct candidate *c = &x->list[n];
        if (c->due != 0 && c->due <= now)
            try_one(m, x, c, now);
        if (c->due != 0 && (next == 0 || c->due < next))
            next = c->due;
    }
    return next;
}
