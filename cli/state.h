/* STATE: the folder that holds all that a node is. Made whole or not at all: built as STATE.new, then renamed. */
#ifndef CLI_STATE_H
#define CLI_STATE_H

#include <limits.h>

#include "command.h"
#include "proc/files.h"

#define STATE_FORMAT "1\n"

enum state_folder {
    STATE_KEYS,
    STATE_LEDGER,
    STATE_OPENINGS,
    STATE_OUTBOX,
    STATE_OWNER,
    STATE_POLICY,
    STATE_CONTROLLER,
    STATE_FOLDERS
};

struct state {
    char path[PATH_MAX];     /* while it is being made: STATE.new */
    int dir;                 /* of STATE; -1: not open */
    int dirs[STATE_FOLDERS]; /* -1: not there, or not for us */
};

/* Opens an existing one of our format. A failure has been said (and all is closed). */
must_check int state_open(struct cli *cli, struct state *out);
void state_close(struct state *s);
/* For whoever signs: what is written into the outbox was decided on all that was there. Waits for others; ends with
 * state_unlock or state_close. A failure has been said. */
must_check int state_lock(struct cli *cli, const struct state *s);
void state_unlock(const struct state *s);
struct files state_files(const struct state *s, enum state_folder folder); /* the folder must be open */
struct files state_top(const struct state *s);

/* Whether there is something at STATE: neither nothing nor an empty folder. */
bool state_exists(const struct cli *cli);

/* Says so if there is something at STATE already. */
must_check int state_check_free(struct cli *cli);
/* Begins to make one, with all folders but STATE_OWNER and STATE_CONTROLLER. A failure has been said. */
must_check int state_begin(struct cli *cli, struct state *out);
must_check int state_add_folder(struct cli *cli, struct state *s, enum state_folder folder);
/* Writes a file into it; a failure has been said. */
must_check int state_write(struct cli *cli, struct state *s, enum state_folder folder, const char *name,
                           const void *bytes, size_t len);
/* Puts it in place. A failure has been said; state_abandon is still to be called. */
must_check int state_finish(struct cli *cli, struct state *s);
/* Removes what was begun. */
void state_abandon(struct state *s);
/* Removes a STATE that was just made, whole. */
void state_remove(struct cli *cli);

#endif
