#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD_HIGH 64 /* above every number that a child is given */

int spawn_pair(int out[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) != 0)
        return errno == ENOMEM ? ERROR_MEMORY : ERROR_IO;
    return 0;
}

/* By way of high numbers, so that no descriptor is overwritten before it was moved. */
static int place_fds(const struct spawn *what)
{
    int high[SPAWN_FDS_MAX];
    for (size_t i = 0; i < what->fd_count; i++) {
        high[i] = fcntl(what->fds[i].from, F_DUPFD, FD_HIGH);
        if (high[i] < 0)
            return -1;
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(2, 1) < 0 || close_range(3, FD_HIGH - 1, 0) != 0)
        return -1;
    for (size_t i = 0; i < what->fd_count; i++)
        if (dup2(high[i], what->fds[i].to) < 0)
            return -1;
    return close_range(FD_HIGH, ~0u, CLOSE_RANGE_CLOEXEC) == 0 ? 0 : -1;
}

static void reset_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. `told` (in the parent's copy it is the other end) closes when exec succeeds. */
static _Noreturn void become(const struct spawn *what, int told)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", lang[] = "LANG=C";
    char *environment[] = {path, lang, NULL};
    int failed;
    struct spawn_fd fds[SPAWN_FDS_MAX];
    struct spawn with = *what;

    /* The report's descriptor is moved like the others, to just below the high ones. */
    for (size_t i = 0; i < what->fd_count; i++)
        fds[i] = what->fds[i];
    fds[with.fd_count++] = (struct spawn_fd){told, FD_HIGH - 1};
    with.fds = fds;
    reset_signals();
    if (place_fds(&with) == 0 && fcntl(FD_HIGH - 1, F_SETFD, FD_CLOEXEC) == 0 &&
        chdir(what->directory ? what->directory : "/") == 0)
        execve(what->path, what->argv, environment);
    failed = errno;
    ssize_t ignored = write(FD_HIGH - 1, &failed, sizeof(failed));
    (void)ignored;
    _exit(127);
}

/* Zero bytes: exec closed it. */
static int wait_for_exec(int told)
{
    int number = 0;
    ssize_t got;
    do
        got = read(told, &number, sizeof(number));
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return 0;
    return number == ENOENT || number == EACCES ? ERROR_NOT_FOUND : ERROR_IO;
}

int spawn_start(pid_t *out, const struct spawn *what)
{
    int report[2];
    if (what->fd_count >= SPAWN_FDS_MAX)
        return ERROR_INVALID;
    if (pipe2(report, O_CLOEXEC) != 0)
        return ERROR_IO;
    pid_t pid = fork();
    if (pid == 0)
        become(what, report[1]);
    close(report[1]);
    int error = pid < 0 ? ERROR_MEMORY : wait_for_exec(report[0]);
    close(report[0]);
    if (error == 0)
        *out = pid;
    else if (pid > 0)
        waitpid(pid, NULL, 0);
    return error;
}
