/* Which system calls a process may make: what each role may is in sandbox_rules.c, with a reason beside each call. Any
 * other ends the process at once (SIGSYS). */
#ifndef PROC_SANDBOX_H
#define PROC_SANDBOX_H

#include <stdbool.h>

#include "base/error.h"
#include "proc/permits.h"

/* False: built without (-Dsandbox=false, or with a sanitizer, which makes calls of its own); sandbox_enter and
 * sandbox_deny then do nothing, and `nightjar status` and the log say so. */
bool sandbox_exists(void);

/* From now on, for good, for threads that start later and for what is executed: the calls of the role alone. After
 * no-new-privs. Not for PROC_PARENT. ERROR_UNSUPPORTED: the kernel has no filters; the process must end. */
must_check int sandbox_enter(enum proc_role role);

/* For the parent, whose children and nft need much: what none of them ever needs gives EPERM. With no-new-privs, or as
 * root with CAP_SYS_ADMIN; `ERROR_PERMISSION` otherwise. */
must_check int sandbox_deny(void);

#endif
