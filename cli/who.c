#include "who.h"

#include <stdlib.h>
#include <string.h>

struct explain_side who_side(const struct who *w)
{
    return (struct explain_side){w->subjects, w->count};
}

bool who_is(const struct who *w, const struct subject *subject)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (memcmp(&w->subjects[i], subject, sizeof(*subject)) == 0)
            return true;
    return false;
}

/* ---- Devices ---- */

static void add(struct who_list *l, const struct device_id *id, const struct fold_device *device,
                const struct opening_invite *invite)
{
    struct who *w = &l->all[l->count++];
    _Static_assert(sizeof(*id) == sizeof(struct subject), "a device is a subject by its id");
    *w = (struct who){.name = invite->name, .device = device, .is_gone = device && !view_is_there(device), .count = 2};
    memcpy(&w->subjects[1], id, sizeof(*id));
    for (uint32_t i = 0; i < invite->group_count; i++)
        w->subjects[w->count++] = invite->groups[i].id;
}

static void add_known(struct who_list *l, const struct view *v)
{
    for (uint32_t i = 0; i < fold_device_count(v->fold); i++) {
        const struct fold_device *d = fold_device_at(v->fold, i);
        const struct opening_invite *invite = view_invite(v, d);
        if (invite)
            add(l, &d->id, d, invite);
    }
}

static bool waits(const struct view_opening *o)
{
    return o->pending && o->opening.kind == OPENING_INVITE;
}

static int compare(const void *a, const void *b)
{
    const struct who *x = a, *y = b;
    if (x->is_gone != y->is_gone)
        return x->is_gone ? 1 : -1;
    return strcmp(x->name, y->name);
}

int who_read(struct who_list *out, const struct view *v)
{
    size_t most = (size_t)fold_device_count(v->fold) + v->opening_count;
    *out = (struct who_list){0, calloc(most + 1, sizeof(struct who))};
    if (!out->all)
        return ERROR_MEMORY;
    add_known(out, v);
    for (uint32_t i = 0; i < v->opening_count; i++)
        if (waits(v->openings[i]))
            add(out, &v->openings[i]->device, NULL, &v->openings[i]->opening.invite);
    qsort(out->all, out->count, sizeof(struct who), compare);
    return 0;
}

void who_clear(struct who_list *l)
{
    free(l->all);
    *l = (struct who_list){0};
}

/* ---- By name ---- */

static const struct who *find_device(const struct who_list *l, const char *name)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (strcmp(l->all[i].name, name) == 0)
            return &l->all[i];
    return NULL;
}

bool who_find(const struct who_list *l, const struct view *v, const char *name, struct who *out)
{
    const struct who *device = find_device(l, name);
    struct subject group = {0};
    if (device) {
        *out = *device;
        return true;
    }
    bool all = strcmp(name, "all") == 0;
    if (!all && !view_group(v, name, &group))
        return false;
    *out = (struct who){.name = name, .is_group = true, .count = all ? 1 : 2, .subjects = {{{0}}, group}};
    return true;
}

/* ---- Who cannot talk ---- */

static bool membership_has_ended(const struct view *v, const struct fold_device *d)
{
    return d->terms.member_until > 0 && v->time > d->terms.member_until;
}

bool who_is_absent(const struct view *v, const struct who *w, struct who_absence *out)
{
    static const struct who_absence waits_still = {"not-joined",
                                                   "has not joined: its invite still waits in the outbox"},
                                    invited = {"not-joined", "was invited and has not joined yet"},
                                    uninvited = {"uninvited", "was uninvited before it joined"},
                                    revoked = {"revoked", "was revoked"}, isolated = {"isolated", "is isolated"},
                                    ended = {"ended", "is a member no more: its membership has ended"};
    const struct fold_device *d = w->device;
    const struct who_absence *found = NULL;
    if (w->is_group)
        return false;
    if (!d)
        found = &waits_still;
    else if (fold_device_state(v->fold, d) == DEVICE_UNINVITED)
        found = &uninvited;
    else if (fold_device_state(v->fold, d) == DEVICE_REVOKED)
        found = &revoked;
    else if (fold_device_state(v->fold, d) == DEVICE_INVITED)
        found = &invited;
    else if (!fold_device_is_live(v->fold, d))
        found = &isolated;
    else if (membership_has_ended(v, d))
        found = &ended;
    if (found)
        *out = *found;
    return found;
}
