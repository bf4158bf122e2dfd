/* What a process gives up before it looks at anything that came from outside. Called once, before any thread. */
#ifndef PROC_DROP_H
#define PROC_DROP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "proc/permits.h"

/* The ids of a role: those of the user _nightjar if there is one, else numbers of its own. */
void drop_ids(enum proc_role role, uid_t *uid, gid_t *gid);

#define DROP_FD(number) (UINT64_C(1) << (number))

struct drop {
    enum proc_role role;
    const char *root; /* directory to be confined to; NULL: the empty one that the parent made */
    uint64_t fds;     /* DROP_FD bits of what stays open besides 0, 1, 2; all others are closed */
    uint32_t nofile;  /* descriptors that may ever be open; 0: 64 */
};

/* Closes descriptors; core files, dumps and tracing off, no-new-privs; as root also: memory of those who hold keys
 * locked, chroot, groups, ids, every capability; then the role's files (landlock.h) and system calls (sandbox.h) alone.
 * Without root what needs it is skipped. Libraries that read files must have read them before. ERROR_PERMISSION,
 * ERROR_IO, ERROR_UNSUPPORTED (no system call filters): the process must end. */
must_check int drop_privileges(const struct drop *what);

/* What the process touches from now on stays in memory, and so off a swap device. Only as root who may lift the limit
 * on it; 0 without. For private keys and sessions; drop_privileges does it for the roles that have any. */
must_check int drop_lock_memory(void);

/* For a parent, before it starts anything: core files, dumps and tracing off, and the calls that it never needs denied,
 * to all that it starts as well. `starts_others_later`: it will execute a program that becomes another user once this
 * process has no right to; so without no-new-privs, which takes CAP_SYS_ADMIN. Errors as drop_privileges. */
must_check int drop_in_parent(bool starts_others_later);

/* As root: keeps those capabilities alone (bits of CAP_*), for a parent. Its bounding set loses nothing, since what it
 * executes needs its own. */
must_check int drop_capabilities(uint64_t kept);

/* Where a process without files is confined to; made by the parent. */
#define DROP_EMPTY "/run/nightjar/empty"

#endif
