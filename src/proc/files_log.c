#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "proc/files_internal.h"

#define HEADER_SIZE 8 /* be32 length, be32 CRC of length and bytes */
#define NAME_LEN_MAX 255

struct files_log {
    struct files files;
    int fd;
    uint64_t size;
    uint32_t record_max;
    uint8_t *record; /* header and record_max bytes */
    char name[NAME_LEN_MAX + 1];
};

uint32_t files_crc32(uint32_t crc, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0xedb88320) & -(crc & 1));
    }
    return ~crc;
}

/* The length is summed as well, so that a tail of zeroes, as a file system leaves one behind, is no record. */
static uint32_t sum(const uint8_t *record, uint32_t len)
{
    return files_crc32(files_crc32(0, record, 4), record + HEADER_SIZE, len);
}

/* Reads the record at the file's place: its length, -1 where whole records end, or an error below that. */
#define RECORD_NONE (-1000)
static int read_record(struct files_log *log)
{
    ssize_t got = files_read_some(&log->files, log->fd, log->record, HEADER_SIZE);
    if (got != HEADER_SIZE)
        return got < 0 ? (int)got : RECORD_NONE;
    uint32_t len = get_be32(log->record);
    if (len > log->record_max)
        return RECORD_NONE;
    got = files_read_some(&log->files, log->fd, log->record + HEADER_SIZE, len);
    if (got != (ssize_t)len)
        return got < 0 ? (int)got : RECORD_NONE;
    return get_be32(log->record + 4) == sum(log->record, len) ? (int)len : RECORD_NONE;
}

/* To the end of what is whole, where the next record goes. */
static int seek_end(struct files_log *log)
{
    return files_error(log->files.calls->seek(log->files.context, log->fd, (int64_t)log->size, SEEK_SET));
}

static int cut(struct files_log *log, uint64_t size)
{
    int error = files_error(log->files.calls->truncate(log->files.context, log->fd, (int64_t)size));
    log->size = error == 0 ? size : log->size;
    return error != 0 ? error : seek_end(log);
}

static int cut_tail(struct files_log *log, uint64_t *torn)
{
    int64_t end = log->files.calls->seek(log->files.context, log->fd, 0, SEEK_END);
    int error = files_error(end);
    if (error != 0)
        return error;
    *torn = (uint64_t)end - log->size;
    if (*torn == 0)
        return seek_end(log);
    error = cut(log, log->size);
    return error != 0 ? error : files_sync(&log->files, log->fd);
}

static int replay(struct files_log *log, int (*each)(void *context, const uint8_t *bytes, size_t len), void *context,
                  uint64_t *torn)
{
    int len;
    while ((len = read_record(log)) >= 0) {
        log->size += HEADER_SIZE + (uint32_t)len;
        int result = each(context, log->record + HEADER_SIZE, (size_t)len);
        if (result != 0)
            return result;
    }
    return len == RECORD_NONE ? cut_tail(log, torn) : len;
}

/* The new name must last as long as what is synced under it. */
static int open_file(struct files_log *log)
{
    const struct files *f = &log->files;
    log->fd = files_open(f, log->name, O_RDWR);
    if (log->fd >= 0)
        return 0;
    if (log->fd != -ENOENT)
        return files_error(log->fd);
    log->fd = files_open(f, log->name, O_RDWR | O_CREAT);
    return log->fd < 0 ? files_error(log->fd) : files_error(f->calls->sync_dir(f->context, f->dir));
}

int files_log_open(struct files_log **out, const struct files *f, const char *name, uint32_t record_max,
                   int (*each)(void *context, const uint8_t *bytes, size_t len), void *context, uint64_t *torn)
{
    uint64_t cut_off = 0;
    size_t name_len = strlen(name);
    if (name_len == 0 || name_len + sizeof(FILES_NEW) > NAME_LEN_MAX || strchr(name, '/'))
        return ERROR_INVALID;
    struct files_log *log = calloc(1, sizeof(*log));
    if (!log)
        return ERROR_MEMORY;
    log->files = *f;
    log->fd = -1;
    log->record_max = record_max;
    snprintf(log->name, sizeof(log->name), "%s", name);
    log->record = malloc(HEADER_SIZE + (size_t)record_max);
    int error = log->record ? open_file(log) : ERROR_MEMORY;
    if (error == 0)
        error = replay(log, each, context, &cut_off);
    if (error != 0) {
        files_log_close(log);
        return error;
    }
    if (torn)
        *torn = cut_off;
    *out = log;
    return 0;
}

void files_log_close(struct files_log *log)
{
    if (!log)
        return;
    if (log->fd >= 0)
        log->files.calls->close(log->files.context, log->fd);
    free(log->record);
    free(log);
}

/* Writes what stands in log->record. */
static int write_record(struct files_log *log, int fd, uint32_t len)
{
    put_be32(log->record, len);
    put_be32(log->record + 4, sum(log->record, len));
    return files_write_all(&log->files, fd, log->record, HEADER_SIZE + (size_t)len);
}

int files_log_append(struct files_log *log, const void *bytes, size_t len)
{
    if (len > log->record_max)
        return ERROR_OVERFLOW;
    if (len > 0)
        memcpy(log->record + HEADER_SIZE, bytes, len);
    int error = seek_end(log); /* a failed one may have left a piece behind that could not be cut off */
    if (error == 0)
        error = write_record(log, log->fd, (uint32_t)len);
    if (error == 0) {
        log->size += HEADER_SIZE + len;
        return 0;
    }
    int ignored = cut(log, log->size);
    (void)ignored;
    return error;
}

int files_log_sync(struct files_log *log)
{
    return files_sync(&log->files, log->fd);
}

uint64_t files_log_size(const struct files_log *log)
{
    return log->size;
}

int files_log_truncate(struct files_log *log, uint64_t size)
{
    if (size > log->size)
        return ERROR_INVALID;
    int error = cut(log, size);
    return error != 0 ? error : files_log_sync(log);
}

struct rewriting {
    struct files_log *log;
    int (*next)(void *context, uint8_t *out);
    void *context;
    uint64_t size;
};

static int fill_records(const struct files *f, int fd, void *context)
{
    (void)f;
    struct rewriting *r = context;
    int len, error = 0;
    while (error == 0 && (len = r->next(r->context, r->log->record + HEADER_SIZE)) >= 0) {
        error = (uint32_t)len > r->log->record_max ? ERROR_OVERFLOW : write_record(r->log, fd, (uint32_t)len);
        r->size += HEADER_SIZE + (uint32_t)len;
    }
    return error;
}

int files_log_rewrite(struct files_log *log, int (*next)(void *context, uint8_t *out), void *context)
{
    struct rewriting r = {.log = log, .next = next, .context = context};
    int fd = -1;
    int error = files_replace(&log->files, log->name, fill_records, &r, &fd);
    if (fd < 0)
        return error;
    log->files.calls->close(log->files.context, log->fd); /* the replaced file: nothing of it is needed */
    log->fd = fd;
    log->size = r.size;
    return error;
}
