/* The state process: what the node knows of its network and decides, on disk and toward the other processes. It holds
 * no key and has no network of its own. */
#ifndef NODE_STATE_SERVER_H
#define NODE_STATE_SERVER_H

#include "control.h"
#include "crypto/crypto.h"
#include "proc/files.h"
#include "proc/ipc.h"

struct state_setup {
    struct loop *loop;
    struct crypto *crypto;
    struct ipc *parent, *keys, *engine; /* the caller's */
    struct files ledger, openings, outbox;
    int control_fd; /* listening; -1: joining */
    uid_t uid;      /* may ask over the control socket, as root may */
    gid_t gid;
    bool unconfined;     /* built without system call filters */
    uint64_t build_time; /* s since 1970: the clock's first floor */
    const char *(*counter_name)(uint32_t i);
};

struct state;

must_check int state_new(struct state **out, const struct state_setup *setup);
void state_free(struct state *s);
/* One turn of the loop. ERROR_AGAIN: there are more; 0 or another error: the process has to end. */
must_check int state_turn(struct state *s);

#endif
