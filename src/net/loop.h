/* An event loop over epoll for one thread: descriptors, one deadline, and other threads' wake-ups. */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct loop;

/* Called when fd is readable (or in error); `context` as given. May add and remove descriptors, itself included. */
typedef void loop_ready(void *context, int fd);

must_check int loop_new(struct loop **out);
void loop_free(struct loop *loop); /* closes none of the added descriptors */

must_check int loop_add(struct loop *loop, int fd, loop_ready *ready, void *context);
/* Whether `ready` is called for an added descriptor also while it is writable. */
must_check int loop_want_write(struct loop *loop, int fd, bool want);
/* Whether it is called while it is readable, as it is at first. Errors are told in any case. */
must_check int loop_want_read(struct loop *loop, int fd, bool want);
void loop_remove(struct loop *loop, int fd);

/* Waits until a descriptor is ready, `deadline` (as loop_monotonic counts; UINT64_MAX: none) has come, or loop_wake was
 * called, and calls what is ready. */
must_check int loop_once(struct loop *loop, uint64_t deadline);
/* From any thread: ends the current or next wait. */
void loop_wake(struct loop *loop);

uint64_t loop_monotonic(void); /* CLOCK_BOOTTIME, ns: goes on while the machine sleeps */
uint64_t loop_wall(void);      /* CLOCK_REALTIME, ns since 1970 */

#endif
