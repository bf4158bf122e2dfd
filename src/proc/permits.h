/* Who may say what to whom: for each ordered pair of processes a table of the kinds that the first accepts from the
 * second, in which phase, and how long they are. docs/PRIVSEP.md shows the tables. */
#ifndef PROC_PERMITS_H
#define PROC_PERMITS_H

#include "proc/ipc.h"

enum proc_role { PROC_PARENT, PROC_KEYS, PROC_ENGINE, PROC_STATE, PROC_CONTROLLER, PROC_ROLES };

/* Phases of a receiver (ipc_set_phase). Only parent and keys tell them apart; the others accept theirs in any. */
enum ipc_phase {
    IPC_STARTING = 0, /* until the other has said that it is ready (parent), or was told the public keys (keys) */
    IPC_RUNNING = 1,
    IPC_JOINING = 2, /* parent: as running, while becoming a member */
};

/* ipc_new with the table for messages from `from` to `self`. Owns `fd`, also on failure. */
must_check int permits_open(struct ipc **out, int fd, enum proc_role self, enum proc_role from);

/* NULL and 0 for a pair that has nothing to say to each other. */
const struct ipc_permit *permits_of(enum proc_role self, enum proc_role from, size_t *count);

/* Whether the counts inside a message add up to its length. Kinds without counts: true. */
bool permits_counts_hold(uint16_t kind, const uint8_t *bytes, size_t len);

/* "keys", "engine", ... as in --role=. */
const char *proc_role_name(enum proc_role role);

#endif
