/* Which files a process may reach, by Landlock: below the directories that it was given and nowhere else. A directory's
 * descriptor leads out of a root, and a system call filter sees no paths. */
#ifndef PROC_LANDLOCK_H
#define PROC_LANDLOCK_H

#include <stdbool.h>

#include "base/error.h"
#include "proc/permits.h"

/* Whether the kernel has it; landlock_enter does nothing without. */
bool landlock_exists(void);

/* From now on, for good: files of the role's own directories alone (the controller's is its root), and, where the
 * kernel is new enough, no TCP, no abstract Unix sockets and no signals to others. After no-new-privs; needs no root.
 * ERROR_PERMISSION, ERROR_IO: the process must end. */
must_check int landlock_enter(enum proc_role role);

#endif
