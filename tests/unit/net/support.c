#include "support.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>

static bool in_namespace;

int support_enter_namespace(void **state)
{
    (void)state;
    in_namespace = unshare(CLONE_NEWNET) == 0 && system("ip link set lo up") == 0;
    return 0;
}

void support_needs_namespace(void)
{
    if (!in_namespace)
        skip();
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
