#include "proc/sandbox.h"

bool sandbox_exists(void)
{
    return false;
}

int sandbox_enter(enum proc_role role)
{
    (void)role;
    return 0;
}

int sandbox_deny(void)
{
    return 0;
}
