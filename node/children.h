/* The parent's children: the roles, which live and die together, and the controller, which is started again alone. */
#ifndef NODE_CHILDREN_H
#define NODE_CHILDREN_H

#include "place.h"
#include "proc/permits.h"
#include "ways.h"

struct child {
    pid_t pid; /* 0: not running */
    struct ipc *link;
    bool ready;
};

struct controller {
    bool wanted;
    pid_t pid;        /* 0: not running */
    int end;          /* its end of the pair with the engine: what was sent waits for the next one; -1: none */
    uint64_t started; /* monotonic, ns */
    uint64_t due;     /* when it is started again */
    uint64_t backoff; /* ns; 0 at first */
};

struct children {
    struct child roles[PROC_ROLES]; /* PROC_KEYS, PROC_ENGINE, PROC_STATE */
    struct controller controller;
};

/* Starts the roles. The descriptors that they were given stay the caller's. */
must_check int children_start(struct children *c, const struct place *place, const struct ways *ways);

/* Starts the controller, as it was wanted; on failure its backoff grows. */
must_check int children_start_controller(struct children *c, const struct place *place, uint64_t now);
/* It has ended: when it is started again. */
void children_controller_ended(struct children *c, uint64_t now);

/* Whose process that was; PROC_ROLES: none of ours. Forgets it. */
enum proc_role children_forget(struct children *c, pid_t pid);

/* Closes the links, which ends every child; waits, and kills what has not ended by then. */
void children_stop(struct children *c);

#endif
