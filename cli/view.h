/* The ledger, the openings and the outbox of STATE, as the command line sees them: the files that the daemon keeps,
 * read only. */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include "identity/ticket.h"
#include "ledger/fold.h"
#include "ledger/opening.h"
#include "state.h"

struct view_opening {
    uint8_t commitment[SHA256_SIZE];
    bool pending;            /* of a submission that waits in the outbox, */
    struct device_id device; /* whose statement, if it is an invite, makes this device */
    struct opening opening;  /* decoded */
};

/* A statement that waits in the outbox. */
struct view_pending {
    uint8_t *bytes; /* owned */
    size_t len;
};

struct view {
    struct fold *fold; /* take-aways that wait count in it, as they do everywhere */
    uint32_t pending_count;
    struct view_pending *pending;
    uint64_t time; /* the greatest that the ledger knows, s */
    uint32_t opening_count;
    struct view_opening **openings;      /* by commitment */
    char network_name[NAME_MAX_LEN + 1]; /* empty: not known */
};

/* A failure has been said. The caller clears. */
must_check int view_read(struct cli *cli, struct view *out, const struct state *s);
void view_clear(struct view *v);

const struct opening *view_opening(const struct view *v, const uint8_t commitment[SHA256_SIZE]);
/* What a device's invite says; NULL: not held. */
const struct opening_invite *view_invite(const struct view *v, const struct fold_device *d);
/* Neither taken back nor revoked. */
bool view_is_there(const struct fold_device *d);
/* The device of that name, invited or joined, or whose invite waits; else one whose invite ended unused. */
bool view_device(const struct view *v, const char *name, struct device_id *out);
/* Whether one of the former has that name: an invite that ended unused holds it no more. */
bool view_name_is_taken(const struct view *v, const char *name);
bool view_group(const struct view *v, const char *name, struct subject *out);
/* Whether a policy waits in the outbox. */
bool view_policy_waits(const struct view *v);
/* Whoever has or had that name last: rather one that is there than one that is not. NULL: the ledger holds nobody. */
const struct fold_device *view_device_ever(const struct view *v, const char *name);
/* Whether an open invite is one now, by the latest time that is known here. */
bool view_invite_is_open(const struct view *v, const struct fold_device *d);
/* Whether a restore that waits in the outbox lifts this isolation. */
bool view_restore_waits(const struct view *v, struct crypto *c, const uint8_t isolate[SHA256_SIZE]);
/* Calls `each` for what every device's invite says that is there or waits. */
struct view_device {
    struct device_id id;
    bool ended; /* an invite that nobody can use any more */
    const struct opening_invite *invite;
};
void view_each_device(const struct view *v, void (*each)(void *context, const struct view_device *device),
                      void *context);

#endif
