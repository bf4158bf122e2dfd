/* Devices and groups by name, as policy sees them: each device is all of its subjects. */
#ifndef CLI_WHO_H
#define CLI_WHO_H

#include "policy/explain.h"
#include "view.h"

#define WHO_SUBJECTS_MAX (OPENING_GROUPS_MAX + 2)

/* Borrows from the view. */
struct who {
    const char *name;
    const struct fold_device *device; /* NULL: its invite still waits in the outbox; or it is a group */
    bool is_group, is_gone;           /* uninvited or revoked */
    uint32_t count;
    struct subject subjects[WHO_SUBJECTS_MAX]; /* `all`, then itself, then its groups */
};
struct explain_side who_side(const struct who *w);
bool who_is(const struct who *w, const struct subject *subject);

/* Every device whose name is known here, by name: those that are gone come last. */
struct who_list {
    uint32_t count;
    struct who *all;
};
/* ERROR_MEMORY. */
must_check int who_read(struct who_list *out, const struct view *v);
void who_clear(struct who_list *l);

/* A device or a group (`all`: everyone) of that name; of devices that had one name, the one that is there. */
bool who_find(const struct who_list *l, const struct view *v, const char *name, struct who *out);

/* Why a device can talk to nobody, whatever rules say: a code and a sentence without the name; false: nothing of that
 * kind. */
struct who_absence {
    const char *code, *what;
};
bool who_is_absent(const struct view *v, const struct who *w, struct who_absence *out);

#endif
