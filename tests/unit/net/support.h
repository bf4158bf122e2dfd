/* For tests that touch the kernel: a network namespace of their own, and waiting with a deadline. */
#ifndef TESTS_NET_SUPPORT_H
#define TESTS_NET_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SUPPORT_DEADLINE_MS 5000

/* Moves the process to an empty namespace with `lo` up. False, with a TAP plan that skips the whole program, where that
 * is not permitted. (meson takes a single test skipped by cmocka as failed.) */
bool support_enter_namespace(void);
/* Runs a shell command and requires that it succeeds. */
void support_run(const char *command);
/* Waits until fd is readable; false after `timeout_ms`. */
bool support_readable(int fd, int timeout_ms);

#endif
