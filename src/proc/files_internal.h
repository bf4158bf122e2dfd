/* What files.c, files_log.c and files_kernel.c share. */
#ifndef PROC_FILES_INTERNAL_H
#define PROC_FILES_INTERNAL_H

#include <stdbool.h>

#include "proc/files.h"

#define FILES_NEW ".new" /* behind the name of a file that is being written */

/* The error of a call's result: 0 unless it is a negative errno. */
must_check int files_error(int64_t result);

/* A descriptor or a negative errno. */
must_check int files_open(const struct files *f, const char *name, int flags);
must_check int files_close(const struct files *f, int fd);
must_check int files_sync(const struct files *f, int fd);
must_check int files_write_all(const struct files *f, int fd, const void *bytes, size_t len);
/* Bytes read, fewer than `len` at the end of the file alone; or an error. */
must_check ssize_t files_read_some(const struct files *f, int fd, void *out, size_t len);

/* Writes a new file's content. */
typedef int files_fill(const struct files *f, int fd, void *context);
/* Write, sync, rename, sync. With `out_fd` the descriptor stays open at the end of what was written, and is given also
 * when only the last sync failed (it is -1 or unset otherwise: set it to -1 before). */
must_check int files_replace(const struct files *f, const char *name, files_fill *fill, void *context, int *out_fd);

#endif
