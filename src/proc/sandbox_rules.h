/* The tables of sandbox.c. */
#ifndef PROC_SANDBOX_RULES_H
#define PROC_SANDBOX_RULES_H

#include <seccomp.h>
#include <stddef.h>

#include "proc/permits.h"

#define SANDBOX_CONDITIONS 3
#define SANDBOX_TABLES 6

/* A call whose conditions hold, all of them, is allowed (or, to the parent, denied). */
struct sandbox_rule {
    int call;
    unsigned count;
    struct scmp_arg_cmp conditions[SANDBOX_CONDITIONS];
};

struct sandbox_table {
    const struct sandbox_rule *rules;
    size_t count;
};

/* The tables of a role, as many as are not NULL; of the parent, what is denied. */
extern const struct sandbox_table *const sandbox_tables[PROC_ROLES][SANDBOX_TABLES];

#endif
