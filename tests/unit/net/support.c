#include "support.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

bool support_enter_namespace(void)
{
    if (unshare(CLONE_NEWNET) != 0) {
        puts("1..0 # SKIP needs root for a network namespace of its own");
        return false;
    }
    if (system("ip link set lo up") != 0)
        abort();
    return true;
}

void support_run(const char *command)
{
    assert_int_equal(system(command), 0);
}

bool support_readable(int fd, int timeout_ms)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    return poll(&waiting, 1, timeout_ms) == 1;
}
