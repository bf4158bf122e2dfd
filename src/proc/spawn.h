/* Starts a program as a child with exactly the descriptors that it is meant to have. */
#ifndef PROC_SPAWN_H
#define PROC_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define SPAWN_FDS_MAX 16

/* `from` here is `to` in the child. */
struct spawn_fd {
    int from;
    int to;
};

struct spawn {
    const char *path;
    char *const *argv;          /* ends with NULL */
    const char *directory;      /* to run in; NULL: / */
    const struct spawn_fd *fds; /* besides 0 (/dev/null), 1 and 2 (the caller's 2) */
    size_t fd_count;
};

/* fork and exec. All other descriptors are closed in the child, signals are as at the start of a program, the
 * environment is empty but for PATH and LANG. ERROR_MEMORY, ERROR_IO, ERROR_NOT_FOUND (nothing to exec). */
must_check int spawn_start(pid_t *out, const struct spawn *what);

/* Two connected SOCK_SEQPACKET sockets, close-on-exec. */
must_check int spawn_pair(int out[2]);

#endif
