/* At a relay: may two devices meet? Whoever asks learns no difference between unknown and forbidden. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

static bool find_by_address(const struct replica *r, struct frame_view address, uint32_t *out)
{
    for (uint32_t i = 0; i < r->known_count; i++) {
        const struct known *k = &r->known[i];
        bool has = address.len == 16 ? k->has_ipv6 : address.len == 4 && k->has_ipv4;
        *out = i;
        if (has && memcmp(address.len == 16 ? k->ipv6 : k->ipv4, address.bytes, address.len) == 0 &&
            replica_is_present(r, i))
            return true;
    }
    return false;
}

static bool find_target(const struct replica *r, const struct frame_introduce *what, uint32_t *out)
{
    struct device_id id;
    if (what->has_device)
        memcpy(id.bytes, what->device, DEVICE_ID_SIZE);
    else if (what->address.len)
        return find_by_address(r, what->address, out);
    else if (!replica_device_by_name(r, (const char *)what->name.bytes, what->name.len, &id))
        return false;
    return replica_known_position(r, &id, out) && replica_is_present(r, *out);
}

/* Everybody may speak with a relay; others need a rule, in whichever direction. */
static bool may_meet(const struct replica *r, const struct known *a, const struct known *b)
{
    return a->relay || b->relay || replica_policy_joins(r, a, b);
}

static struct frame_view opening_of(const struct replica *r, uint32_t i)
{
    const struct kept_opening *kept = replica_openings_find(&r->openings, fold_device_at(r->fold, i)->terms.commitment);
    return kept ? (struct frame_view){kept->bytes, kept->len} : (struct frame_view){0};
}

/* ---- Those who were let meet ---- */

static int by_ids(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct meeting));
}

static void sort_meetings(struct meetings *m)
{
    uint32_t kept = 0;
    qsort(m->list, m->count, sizeof(*m->list), by_ids);
    for (uint32_t i = 0; i < m->count; i++)
        if (i == 0 || by_ids(&m->list[i], &m->list[kept - 1]) != 0)
            m->list[kept++] = m->list[i];
    m->count = kept;
}

/* Room for one more, doubles aside. */
static bool make_room(struct meetings *m)
{
    if (m->count < m->capacity)
        return true;
    if (m->count > 0)
        sort_meetings(m);
    if (m->count <= m->capacity / 2 && m->capacity > 0)
        return true;
    uint32_t capacity = m->capacity ? 2 * m->capacity : 64;
    struct meeting *list = capacity <= MEETINGS_MAX ? reallocarray(m->list, capacity, sizeof(*list)) : NULL;
    if (!list)
        return m->count < m->capacity;
    m->list = list;
    m->capacity = capacity;
    return true;
}

static bool remember(struct replica *r, const struct device_id *a, const struct device_id *b)
{
    struct meetings *m = &r->meetings;
    if (!make_room(m))
        return false;
    bool ordered = memcmp(a, b, sizeof(*a)) < 0;
    m->list[m->count++] = (struct meeting){{ordered ? *a : *b, ordered ? *b : *a}};
    return true;
}

static bool may_still_meet(const struct replica *r, const struct meeting *m)
{
    uint32_t a, b;
    return r->self.relay && replica_known_position(r, &m->of[0], &a) && replica_known_position(r, &m->of[1], &b) &&
           replica_is_present(r, a) && replica_is_present(r, b) && may_meet(r, &r->known[a], &r->known[b]);
}

void replica_meetings_look(struct replica *r)
{
    struct meetings *m = &r->meetings;
    uint32_t kept = 0;
    if (m->count == 0)
        return;
    sort_meetings(m);
    for (uint32_t i = 0; i < m->count; i++)
        if (may_still_meet(r, &m->list[i]))
            m->list[kept++] = m->list[i];
        else
            r->ops->part(r->ops->context, &m->list[i].of[0], &m->list[i].of[1]);
    m->count = kept;
}

void replica_meetings_clear(struct replica *r)
{
    free(r->meetings.list);
    r->meetings = (struct meetings){0};
}

/* ---- The question ---- */

bool replica_meet(struct replica *r, const struct device_id *asker, const struct frame_introduce *what,
                  struct replica_meeting *out)
{
    uint32_t from, target;
    if (!r->self.relay || !replica_known_position(r, asker, &from) || !replica_is_present(r, from))
        return false;
    if (!find_target(r, what, &target) || target == from || !may_meet(r, &r->known[from], &r->known[target]))
        return false;
    if (!remember(r, asker, &fold_device_at(r->fold, target)->id))
        return false;
    *out = (struct replica_meeting){.target = fold_device_at(r->fold, target)->id,
                                    .asker_opening = opening_of(r, from),
                                    .target_opening = opening_of(r, target)};
    return true;
}
