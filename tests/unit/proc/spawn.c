#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/spawn.h"

/* Runs a shell command whose descriptor 5 is a pipe; returns its exit status, and what it wrote there. */
static int run(const char *script, const char *directory, char out[256])
{
    char name[] = "sh", option[] = "-c", text[256];
    char *argv[] = {name, option, text, NULL};
    int ends[2], status;
    pid_t pid;
    snprintf(text, sizeof(text), "%s", script);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const struct spawn_fd fds[] = {{ends[1], 5}};
    const struct spawn what = {.path = "/bin/sh", .argv = argv, .directory = directory, .fds = fds, .fd_count = 1};
    assert_int_equal(spawn_start(&pid, &what), 0);
    close(ends[1]);
    size_t len = 0;
    ssize_t got;
    while (len < 255 && (got = read(ends[0], out + len, 255 - len)) > 0)
        len += (size_t)got;
    out[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_child_has_the_descriptors_it_is_given_and_no_others(void **state)
{
    (void)state;
    char out[256];
    int leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
    assert_int_equal(run("fd=0; while [ $fd -lt 200 ]; do [ ! -e /proc/$$/fd/$fd ] || printf \"$fd \" >&5; "
                         "fd=$((fd + 1)); done",
                         NULL, out),
                     0);
    assert_string_equal(out, "0 1 2 5 ");
    close(leak);
}

static void descriptors_may_trade_places(void **state)
{
    (void)state;
    char name[] = "sh", option[] = "-c", text[64];
    char *argv[] = {name, option, text, NULL};
    int a[2], b[2], status;
    char byte;
    pid_t pid;
    assert_int_equal(pipe2(a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    snprintf(text, sizeof(text), "printf a >&%d; printf b >&%d", b[1], a[1]);
    /* Each where the other is. */
    const struct spawn_fd fds[] = {{a[1], b[1]}, {b[1], a[1]}};
    const struct spawn what = {.path = "/bin/sh", .argv = argv, .fds = fds, .fd_count = 2};
    assert_int_equal(spawn_start(&pid, &what), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(read(a[0], &byte, 1), 1);
    assert_int_equal(byte, 'a');
    assert_int_equal(read(b[0], &byte, 1), 1);
    assert_int_equal(byte, 'b');
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void environment_directory_and_signals_are_plain(void **state)
{
    (void)state;
    char out[256];
    assert_int_equal(setenv("SECRET", "x", 1), 0);
    assert_int_equal(run("printf \"$SECRET$PWD\" >&5", NULL, out), 0);
    assert_string_equal(out, "/");
    assert_int_equal(run("printf \"$PWD\" >&5; exit 7", "/usr", out), 7);
    assert_string_equal(out, "/usr");
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &set, &old), 0);
    assert_int_equal(run("kill -TERM $$; sleep 1; exit 0", NULL, out), -1);
    assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

static void what_cannot_be_executed_is_told_at_once(void **state)
{
    (void)state;
    char name[] = "nothing";
    char *argv[] = {name, NULL};
    pid_t pid = 0;
    struct spawn what = {.path = "/nonexistent", .argv = argv};
    assert_int_equal(spawn_start(&pid, &what), ERROR_NOT_FOUND);
    what.path = "/bin/true";
    what.directory = "/nonexistent";
    assert_int_not_equal(spawn_start(&pid, &what), 0);
    assert_int_equal(pid, 0);
    assert_int_equal(waitpid(-1, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_the_descriptors_it_is_given_and_no_others),
        cmocka_unit_test(descriptors_may_trade_places),
        cmocka_unit_test(environment_directory_and_signals_are_plain),
        cmocka_unit_test(what_cannot_be_executed_is_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
