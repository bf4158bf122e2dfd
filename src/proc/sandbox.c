#include "proc/sandbox.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "proc/sandbox_rules.h"

#define OPTIMIZE_BINARY_TREE 2

bool sandbox_exists(void)
{
    return true;
}

static int error_of(int result)
{
    switch (-result) {
    case 0:
        return 0;
    case ENOMEM:
        return ERROR_MEMORY;
    case EACCES:
    case EPERM:
        return ERROR_PERMISSION;
    default:
        return ERROR_UNSUPPORTED;
    }
}

/* A call that this architecture does not have is left out by libseccomp. */
static int add_table(scmp_filter_ctx filter, uint32_t action, const struct sandbox_table *table)
{
    int result = 0;
    for (size_t i = 0; i < table->count && result == 0; i++) {
        const struct sandbox_rule *rule = &table->rules[i];
        if (rule->call == __NR_SCMP_ERROR) /* unknown to the libseccomp that this was built with */
            continue;
        result = seccomp_rule_add_array(filter, action, rule->call, rule->count, rule->conditions);
    }
    return result;
}

static int add_tables(scmp_filter_ctx filter, uint32_t action, enum proc_role role)
{
    int result = 0;
    for (size_t i = 0; i < SANDBOX_TABLES && sandbox_tables[role][i] && result == 0; i++)
        result = add_table(filter, action, sandbox_tables[role][i]);
    return result;
}

/* abort(), and what a failed assertion ends in: itself alone, with no other signal. */
static int add_abort(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp self[] = {{0, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)getpid()},
                                        {2, SCMP_CMP_MASKED_EQ, UINT32_MAX, SIGABRT}};
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2, self);
}

/* glibc makes threads by clone3, whose flags no filter can see, or else by clone, whose flags it can. */
static int add_clone3(scmp_filter_ctx filter)
{
    return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);
}

/* No code from elsewhere runs here, so the processor may speculate as everywhere; it costs the data path much if not.
 * No-new-privs is the caller's to set: the parent may be better off without. */
static int set_attributes(scmp_filter_ctx filter)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, OPTIMIZE_BINARY_TREE);
    return result;
}

int sandbox_enter(enum proc_role role)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return ERROR_MEMORY;
    int result = set_attributes(filter);
    if (result == 0)
        result = add_tables(filter, SCMP_ACT_ALLOW, role);
    if (result == 0)
        result = add_abort(filter);
    if (result == 0)
        result = add_clone3(filter);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return error_of(result);
}

/* What is not of this architecture's calls is denied to what the parent executes as well. */
int sandbox_deny(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        return ERROR_MEMORY;
    int result = set_attributes(filter);
    if (result == 0)
        result = add_tables(filter, SCMP_ACT_ERRNO(EPERM), PROC_PARENT);
    if (result == 0)
        result = seccomp_load(filter);
    seccomp_release(filter);
    return error_of(result);
}
