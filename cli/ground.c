#include "ground.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "say.h"

/* Before any Nightjar was: a clock that says so was never set. */
#define PLAUSIBLE_TIME UINT64_C(1750000000)

void random_draw(void *context, void *out, size_t len)
{
    (void)context;
    for (uint8_t *at = out; len > 0;) {
        ssize_t count = getrandom(at, len, 0);
        if (count < 0 && errno != EINTR)
            abort(); /* since Linux 3.17 there is no other failure */
        at += count > 0 ? count : 0;
        len -= count > 0 ? (size_t)count : 0;
    }
}

bool clock_is_plausible(uint64_t now)
{
    return now >= PLAUSIBLE_TIME;
}

uint64_t clock_wall(void)
{
    return (uint64_t)time(NULL);
}

uint64_t clock_now(void)
{
    uint64_t now = clock_wall();
    if (!clock_is_plausible(now))
        say_warning("This machine's clock is wrong; it works nevertheless, but dates in tickets will be off.");
    return now;
}

int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
