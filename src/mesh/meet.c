/* As a relay: who asks for whom, whether they may meet, and that the one asked for knows before the asker does. */
#include <stdlib.h>
#include <string.h>

#include "mesh/internal.h"

#define QUESTION_INDEX(id) ((id) % QUESTIONS_MAX)

void questions_open(struct mesh *m)
{
    if (m->questions)
        return;
    m->questions = calloc(QUESTIONS_MAX, sizeof(*m->questions));
    for (uint32_t n = m->questions ? QUESTIONS_MAX : 0; n-- > 0;) {
        struct question *q = &m->questions[n];
        alarm_init(&q->alarm, ALARM_QUESTION);
        q->id = n;
        q->next = m->free_questions;
        m->free_questions = q;
    }
}

/* The next use of the place has another id, so that a late answer of the state finds nothing. */
static void end(struct mesh *m, struct question *q)
{
    struct question **at = &q->asker->questions;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    q->asker->question_count--;
    alarm_clear(m, &q->alarm);
    free(q->frames);
    struct alarm alarm = q->alarm;
    *q = (struct question){.alarm = alarm, .id = q->id + QUESTIONS_MAX, .next = m->free_questions};
    m->free_questions = q;
}

void questions_close(struct mesh *m)
{
    for (uint32_t n = 0; m->questions && n < QUESTIONS_MAX; n++)
        if (m->questions[n].state != QUESTION_FREE)
            end(m, &m->questions[n]);
    free(m->questions);
    m->questions = NULL;
    m->free_questions = NULL;
}

void questions_device_gone(struct mesh *m, struct device *d)
{
    while (d->questions)
        end(m, d->questions);
    for (uint32_t n = 0; m->questions && n < QUESTIONS_MAX; n++)
        if (m->questions[n].state == QUESTION_TELLING && m->questions[n].target == d)
            end(m, &m->questions[n]);
}

/* ---- ASK ---- */

static struct question *find_number(const struct device *asker, uint64_t number)
{
    struct question *q = asker->questions;
    while (q && q->number != number)
        q = q->next;
    return q;
}

void question_asked(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now)
{
    if (find_number(from, f->number))
        return; /* asked again before there was an answer */
    struct question *q = m->free_questions;
    if (!q || from->question_count == QUESTIONS_OF_ONE_MAX) {
        m->counters.flooding++;
        return;
    }
    m->free_questions = q->next;
    q->state = QUESTION_MEETING;
    q->number = f->number;
    q->asker = from;
    q->next = from->questions;
    from->questions = q;
    from->question_count++;
    alarm_set(m, &q->alarm, now + QUESTION_MEET_TIME);
    m->ops.meet(m->ops.context, q->id, &from->id, f);
}

/* ---- The state's answer ---- */

/* What does not fit is left out, first what can be had otherwise. */
static int encode_fitting(const struct frame *f, uint8_t out[FRAME_MAX])
{
    enum { HEAD = 1, EXTRAS = 2, OPENING = 4 };
    static const unsigned without[] = {0, HEAD, HEAD | EXTRAS, OPENING, OPENING | HEAD, OPENING | HEAD | EXTRAS};
    int len = ERROR_OVERFLOW;
    for (size_t n = 0; n < sizeof(without) / sizeof(without[0]) && len < 0; n++) {
        struct frame less = *f;
        if (without[n] & HEAD)
            less.introduce.head.len = 0;
        if (without[n] & OPENING)
            less.introduce.opening.len = 0;
        if (without[n] & EXTRAS)
            less.introduce.candidates.len = less.introduce.gate.len = 0;
        len = frame_encode(&less, out, FRAME_MAX);
    }
    return len;
}

static int encode_about(struct mesh *m, struct frame_introduce what, const struct device_id *other,
                        struct frame_view opening, uint8_t out[FRAME_MAX])
{
    struct frame f = {.kind = FRAME_INTRODUCE, .introduce = what};
    f.introduce.has_device = true;
    memcpy(f.introduce.device, other->bytes, FRAME_DEVICE_ID_SIZE);
    f.introduce.opening = opening;
    f.introduce.head = own_head(m);
    return encode_fitting(&f, out);
}

/* For somebody who is to meet it: with where it is, and what to make mac2 toward it with. */
static int encode_meeting(struct mesh *m, struct frame_introduce what, const struct device *other,
                          const struct device *whom, struct frame_view opening, uint8_t out[FRAME_MAX])
{
    uint8_t candidates[FRAME_CANDIDATES_SIZE];
    size_t len = candidates_about(m, other, whom, candidates);
    what.candidates = (struct frame_view){.bytes = candidates, .len = len};
    what.gate = (struct frame_view){.bytes = other->hello.gate, .len = other->hello.has_gate ? FRAME_GATE_SIZE : 0};
    return encode_about(m, what, &other->id, opening, out);
}

/* Unknown or forbidden: they look alike. */
static void answer_no(struct mesh *m, struct question *q)
{
    struct frame f = {.kind = FRAME_INTRODUCE, .introduce = {.number = q->number, .stage = INTRODUCE_ANSWER}};
    m->counters.refused++;
    mesh_send_frame(m, &q->asker->id, &f);
    end(m, q);
}

static void answer_elsewhere(struct mesh *m, struct question *q, const struct device_id *target,
                             struct frame_view opening)
{
    uint8_t bytes[FRAME_MAX];
    struct frame_introduce what = {.number = q->number, .stage = INTRODUCE_ANSWER, .result = INTRODUCE_ELSEWHERE};
    int len = encode_about(m, what, target, opening, bytes);
    if (len > 0)
        m->ops.send(m->ops.context, &q->asker->id, bytes, (size_t)len);
    end(m, q);
}

static void tell(struct mesh *m, struct question *q, uint64_t now)
{
    q->tries++;
    alarm_set(m, &q->alarm, now + QUESTION_TELL_TIME);
    m->ops.send(m->ops.context, &q->target->id, q->frames, q->tell_len);
}

/* Keeps both frames, so that the openings need not be. */
static int keep_frames(struct mesh *m, struct question *q, const struct mesh_meeting *answer)
{
    uint8_t told[FRAME_MAX], answered[FRAME_MAX];
    struct frame_introduce tell = {.number = q->number, .stage = INTRODUCE_TELL};
    struct frame_introduce here = {.number = q->number, .stage = INTRODUCE_ANSWER, .result = INTRODUCE_HERE};
    int tell_len = encode_meeting(m, tell, q->asker, q->target, answer->asker_opening, told);
    int here_len = encode_meeting(m, here, q->target, q->asker, answer->target_opening, answered);
    if (tell_len <= 0 || here_len <= 0)
        return ERROR_INVALID;
    q->frames = malloc((size_t)tell_len + (size_t)here_len);
    if (!q->frames)
        return ERROR_MEMORY;
    q->tell_len = (size_t)tell_len;
    q->answer_len = (size_t)here_len;
    memcpy(q->frames, told, q->tell_len);
    memcpy(q->frames + q->tell_len, answered, q->answer_len);
    return 0;
}

void mesh_met(struct mesh *m, uint32_t question, const struct mesh_meeting *answer, uint64_t now)
{
    struct question *q = m->questions ? &m->questions[QUESTION_INDEX(question)] : NULL;
    if (!q || q->id != question || q->state != QUESTION_MEETING)
        return;
    if (!answer->target || device_id_equal(answer->target, &q->asker->id)) {
        answer_no(m, q);
        return;
    }
    q->target = devices_find(&m->devices, answer->target);
    bool here = q->target && q->target->linked && is_member(q->target);
    if (!here || keep_frames(m, q, answer) != 0) {
        answer_elsewhere(m, q, answer->target, answer->target_opening);
        return;
    }
    q->state = QUESTION_TELLING;
    tell(m, q, now);
}

/* ---- ACKNOWLEDGE ---- */

static void answer_here(struct mesh *m, struct question *q)
{
    if (permission_add(m, q->asker, q->target) != 0) {
        answer_elsewhere(m, q, &q->target->id, (struct frame_view){0});
        return;
    }
    m->counters.introductions++;
    m->ops.send(m->ops.context, &q->asker->id, q->frames + q->tell_len, q->answer_len);
    end(m, q);
}

void question_acknowledged(struct mesh *m, struct device *from, const struct frame_introduce *f, uint64_t now)
{
    struct device_id id;
    (void)now;
    memcpy(id.bytes, f->device, DEVICE_ID_SIZE);
    struct device *asker = devices_find(&m->devices, &id);
    struct question *q = asker ? find_number(asker, f->number) : NULL;
    if (q && q->state == QUESTION_TELLING && q->target == from)
        answer_here(m, q);
    else
        m->counters.strange++;
}

void question_alarm(struct mesh *m, struct alarm *alarm, uint64_t now)
{
    struct question *q = (struct question *)alarm;
    if (q->state == QUESTION_MEETING)
        end(m, q);
    else if (q->tries < QUESTION_TELL_TRIES)
        tell(m, q, now);
    else
        answer_elsewhere(m, q, &q->target->id, (struct frame_view){0});
}
