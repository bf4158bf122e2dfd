/* Files in a directory that is known by its descriptor: read whole, replaced whole or not at all, appended to in
 * records. Every call to the kernel goes through a table, so that a test can fail or cut off each. */
#ifndef PROC_FILES_H
#define PROC_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* As the system calls of these names, but each returns a negative errno on failure. `open` gives files mode 0600, and
 * (as root) the owner of the directory; it follows no link, and refuses (EPERM) what is no regular file and, as root,
 * to write to what has another name as well. */
struct files_calls {
    int (*open)(void *context, int dir, const char *name, int flags);
    ssize_t (*read)(void *context, int fd, void *out, size_t len);
    ssize_t (*write)(void *context, int fd, const void *bytes, size_t len);
    int64_t (*seek)(void *context, int fd, int64_t offset, int whence);
    int (*truncate)(void *context, int fd, int64_t len);
    int (*sync)(void *context, int fd);
    int (*sync_dir)(void *context, int dir);
    int (*rename)(void *context, int dir, const char *from, const char *to);
    int (*unlink)(void *context, int dir, const char *name);
    int (*close)(void *context, int fd);
};
extern const struct files_calls files_kernel;

/* Copied freely; `dir` stays the caller's. Names hold no slash; ".new" behind a name is this layer's own. */
struct files {
    int dir;
    const struct files_calls *calls;
    void *context; /* of the calls */
};
struct files files_in(int dir); /* with files_kernel */

/* Errors of all: ERROR_NOT_FOUND, ERROR_NO_SPACE (full disk or quota), ERROR_PERMISSION, ERROR_IO. */

/* Reads a whole file into `out`, at most `capacity` bytes (else ERROR_OVERFLOW). */
must_check int files_read(const struct files *f, const char *name, void *out, size_t capacity, size_t *len);
/* The same into memory that the caller frees. ERROR_OVERFLOW beyond `limit`. */
must_check int files_read_new(const struct files *f, const char *name, size_t limit, uint8_t **out, size_t *len);
/* Replaces or makes a file; on return it is durable. After a failure or a power cut, it is wholly old or wholly new. */
must_check int files_write(const struct files *f, const char *name, const void *bytes, size_t len);
/* Removes a file durably. ERROR_NOT_FOUND. */
must_check int files_remove(const struct files *f, const char *name);
/* Overwrites a small secret in place, syncs, and removes it durably. ERROR_NOT_FOUND. */
must_check int files_erase(const struct files *f, const char *name);
/* Calls `each` for every regular name in the directory (not "." and "..", not this layer's leftovers), in no order,
 * until one returns non-zero, which is returned. Of the kernel alone. */
must_check int files_each(const struct files *f, int (*each)(void *context, const char *name), void *context);

/* ---- A log: records {be32 length, be32 CRC-32 of length and bytes, bytes}, only ever appended. ---- */

struct files_log;

/* Opens or makes it and hands every whole record to `each` (non-zero ends it and is returned). From the first record
 * that is cut or altered on, what follows is cut off the file; `torn` (may be NULL) says how many bytes that were. */
must_check int files_log_open(struct files_log **out, const struct files *f, const char *name, uint32_t record_max,
                              int (*each)(void *context, const uint8_t *bytes, size_t len), void *context,
                              uint64_t *torn);
void files_log_close(struct files_log *log);
/* Written, but durable only after files_log_sync. After a failure the log is as it was before. */
must_check int files_log_append(struct files_log *log, const void *bytes, size_t len);
must_check int files_log_sync(struct files_log *log);
/* Bytes on disk; a place to go back to. */
uint64_t files_log_size(const struct files_log *log);
/* Forgets what was appended after the log had that size; durable on return. */
must_check int files_log_truncate(struct files_log *log, uint64_t size);
/* Replaces the whole log, durably or not at all: `next` writes a record to `out` (record_max bytes of room) and returns
 * its length, or a negative number at the end. */
must_check int files_log_rewrite(struct files_log *log, int (*next)(void *context, uint8_t *out), void *context);

/* CRC-32 (ISO 3309), `crc` 0 at first. */
uint32_t files_crc32(uint32_t crc, const void *bytes, size_t len);

#endif
