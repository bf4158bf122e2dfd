/* At a relay: who was introduced to whom, and may send through us. Ends with either. */
#include <stdlib.h>

#include "mesh/internal.h"

static int side(const struct permission *p, const struct device *d)
{
    return p->of[1] == d;
}

static bool exists(const struct device *a, const struct device *b)
{
    for (const struct permission *p = a->permissions; p; p = p->next[side(p, a)])
        if (p->of[0] == b || p->of[1] == b)
            return true;
    return false;
}

int permission_add(struct mesh *m, struct device *a, struct device *b)
{
    if (exists(a, b)) {
        m->ops.permit(m->ops.context, &a->id, &b->id, true);
        return 0;
    }
    if (m->permission_count == PERMISSIONS_MAX)
        return ERROR_FULL;
    struct permission *p = malloc(sizeof(*p));
    if (!p)
        return ERROR_MEMORY;
    *p = (struct permission){.of = {a, b}, .next = {a->permissions, b->permissions}};
    a->permissions = b->permissions = p;
    m->permission_count++;
    m->ops.permit(m->ops.context, &a->id, &b->id, true);
    return 0;
}

static void unlink_from(struct device *d, struct permission *gone)
{
    struct permission **at = &d->permissions;
    while (*at != gone)
        at = &(*at)->next[side(*at, d)];
    *at = gone->next[side(gone, d)];
}

void permissions_end(struct mesh *m, struct device *d)
{
    for (struct permission *p = d->permissions, *next; p; p = next) {
        next = p->next[side(p, d)];
        m->ops.permit(m->ops.context, &p->of[0]->id, &p->of[1]->id, false);
        unlink_from(p->of[1 - side(p, d)], p);
        m->permission_count--;
        free(p);
    }
    d->permissions = NULL;
}
