#include "net/loop.h"
#include "base/time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 32
#define NO_DEADLINE UINT64_MAX

struct watch {
    loop_ready *ready; /* NULL: nobody watches this descriptor */
    void *context;
    uint32_t events;     /* of epoll */
    uint32_t generation; /* tells an event of an earlier watch of the same number from one of this */
};

struct loop {
    int epoll;
    int wake;
    int timer;             /* CLOCK_BOOTTIME, which epoll's own timeout does not count */
    uint64_t armed;        /* what the timer is set to */
    struct watch *watches; /* by descriptor */
    size_t count;
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

uint64_t loop_monotonic(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t loop_wall(void)
{
    return clock_ns(CLOCK_REALTIME);
}

static void drain(int fd)
{
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof(count));
    (void)ignored;
}

static void woken(void *context, int fd)
{
    (void)context;
    drain(fd);
}

static void timer_expired(void *context, int fd)
{
    struct loop *loop = context;
    drain(fd);
    loop->armed = NO_DEADLINE;
}

int loop_new(struct loop **out)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (loop == NULL)
        return ERROR_MEMORY;
    loop->armed = NO_DEADLINE;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    loop->timer = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    int error = ERROR_IO;
    if (loop->epoll >= 0 && loop->wake >= 0 && loop->timer >= 0)
        error = loop_add(loop, loop->wake, woken, loop);
    if (error == 0)
        error = loop_add(loop, loop->timer, timer_expired, loop);
    if (error != 0) {
        loop_free(loop);
        return error;
    }
    *out = loop;
    return 0;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    close_if_open(loop->timer);
    close_if_open(loop->wake);
    close_if_open(loop->epoll);
    free(loop->watches);
    free(loop);
}

static int make_room(struct loop *loop, size_t count)
{
    if (count <= loop->count)
        return 0;
    count = count < 16 ? 16 : count * 2;
    struct watch *watches = reallocarray(loop->watches, count, sizeof(*watches));
    if (watches == NULL)
        return ERROR_MEMORY;
    memset(watches + loop->count, 0, (count - loop->count) * sizeof(*watches));
    loop->watches = watches;
    loop->count = count;
    return 0;
}

int loop_add(struct loop *loop, int fd, loop_ready *ready, void *context)
{
    if (fd < 0)
        return ERROR_INVALID;
    int error = make_room(loop, (size_t)fd + 1);
    if (error != 0)
        return error;
    struct watch *watch = &loop->watches[fd];
    uint32_t generation = watch->generation + 1;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)generation << 32 | (uint32_t)fd};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return errno == EEXIST ? ERROR_EXISTS : ERROR_IO;
    *watch = (struct watch){.ready = ready, .context = context, .events = EPOLLIN, .generation = generation};
    return 0;
}

static int set_events(struct loop *loop, int fd, uint32_t wanted, bool on)
{
    if (fd < 0 || (size_t)fd >= loop->count || loop->watches[fd].ready == NULL)
        return ERROR_NOT_FOUND;
    struct watch *watch = &loop->watches[fd];
    uint32_t events = on ? watch->events | wanted : watch->events & ~wanted;
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)watch->generation << 32 | (uint32_t)fd};
    if (events != watch->events && epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) != 0)
        return ERROR_IO;
    watch->events = events;
    return 0;
}

int loop_want_write(struct loop *loop, int fd, bool want)
{
    return set_events(loop, fd, EPOLLOUT, want);
}

int loop_want_read(struct loop *loop, int fd, bool want)
{
    return set_events(loop, fd, EPOLLIN, want);
}

void loop_remove(struct loop *loop, int fd)
{
    if (fd < 0 || (size_t)fd >= loop->count)
        return;
    loop->watches[fd].ready = NULL;
    epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL); /* fails if it was closed before, and so left already */
}

static int arm(struct loop *loop, uint64_t deadline)
{
    if (deadline == loop->armed)
        return 0;
    struct itimerspec at = {0};
    if (deadline != NO_DEADLINE) {
        at.it_value.tv_sec = (time_t)(deadline / SECOND);
        at.it_value.tv_nsec = (long)(deadline % SECOND);
        if (deadline == 0) /* all zero would disarm it */
            at.it_value.tv_nsec = 1;
    }
    if (timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &at, NULL) != 0)
        return ERROR_IO;
    loop->armed = deadline;
    return 0;
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    struct watch watch = loop->watches[fd]; /* a copy: the callback may add more, which moves the table */
    if (watch.ready != NULL && watch.generation == event->data.u64 >> 32)
        watch.ready(watch.context, fd);
}

int loop_once(struct loop *loop, uint64_t deadline)
{
    int error = arm(loop, deadline);
    if (error != 0)
        return error;
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll, events, EVENTS_MAX, -1);
    if (count < 0)
        return errno == EINTR ? 0 : ERROR_IO;
    for (int i = 0; i < count; i++)
        dispatch(loop, &events[i]);
    return 0;
}

void loop_wake(struct loop *loop)
{
    uint64_t one = 1;
    ssize_t ignored = write(loop->wake, &one, sizeof(one)); /* fails only when a wake-up waits already */
    (void)ignored;
}
