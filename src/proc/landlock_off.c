#include "proc/landlock.h"

bool landlock_exists(void)
{
    return false;
}

int landlock_enter(enum proc_role role)
{
    (void)role;
    return 0;
}
