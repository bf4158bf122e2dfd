/* A log whose writer never waits for the disk to have room: records queue up in order, and go to it together. What is
 * on the disk is always the beginning of what was put. */
#ifndef NODE_STATE_JOURNAL_H
#define NODE_STATE_JOURNAL_H

#include <stdbool.h>

#include "proc/files.h"

#define JOURNAL_QUEUE_MAX (64u << 20) /* bytes that may wait; beyond, nothing more is kept until the next start */

struct journal;

/* As files_log_open. */
must_check int journal_open(struct journal **out, const struct files *f, const char *name, uint32_t record_max,
                            int (*each)(void *context, const uint8_t *bytes, size_t len), void *context,
                            uint64_t *torn);
void journal_close(struct journal *j);

/* Queues a copy. What cannot be queued is an error of every commit from then on. */
void journal_put(struct journal *j, const void *bytes, size_t len);
/* What is put from now on replaces all before it, in one step. */
void journal_restart(struct journal *j);
bool journal_is_waiting(const struct journal *j);
/* Makes all that was put durable; ERROR_NO_SPACE, ERROR_IO...: it still waits, and the next commit tries again. */
must_check int journal_commit(struct journal *j);

#endif
