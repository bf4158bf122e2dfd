/* At a relay: who was introduced to whom, and may send through us. Ends with either. */
#include <stdlib.h>
#include <string.h>

#include "mesh/internal.h"

static int side(const struct permission *p, const struct device *d)
{
    return p->of[1] == d;
}

static struct permission *find(const struct device *a, const struct device *b)
{
    struct permission *p = a->permissions;
    while (p && p->of[0] != b && p->of[1] != b)
        p = p->next[side(p, a)];
    return p;
}

int permission_add(struct mesh *m, struct device *a, struct device *b)
{
    if (find(a, b)) {
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

void permissions_tell_restart(struct mesh *m, const struct device *d)
{
    struct frame f = {.kind = FRAME_INTRODUCE, .introduce = {.stage = INTRODUCE_TELL, .has_device = true}};
    memcpy(f.introduce.device, d->id.bytes, FRAME_DEVICE_ID_SIZE);
    for (const struct permission *p = d->permissions; p; p = p->next[side(p, d)]) {
        const struct device *other = p->of[!side(p, d)];
        if (other->linked)
            mesh_send_frame(m, &other->id, &f);
    }
}

static void unlink_from(struct device *d, struct permission *gone)
{
    struct permission **at = &d->permissions;
    while (*at != gone)
        at = &(*at)->next[side(*at, d)];
    *at = gone->next[side(gone, d)];
}

static void end(struct mesh *m, struct permission *p)
{
    m->ops.permit(m->ops.context, &p->of[0]->id, &p->of[1]->id, false);
    unlink_from(p->of[0], p);
    unlink_from(p->of[1], p);
    m->permission_count--;
    free(p);
}

void permission_end(struct mesh *m, struct device *a, struct device *b)
{
    struct permission *p = find(a, b);
    if (p)
        end(m, p);
}

void permissions_end(struct mesh *m, struct device *d)
{
    while (d->permissions)
        end(m, d->permissions);
}
