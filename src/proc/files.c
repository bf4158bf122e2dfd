#include "proc/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc/files_internal.h"

#define NAME_LEN_MAX 255
#define ERASE_MAX 4096

int files_error(int64_t result)
{
    if (result >= 0)
        return 0;
    switch (-result) {
    case ENOENT:
        return ERROR_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERROR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERROR_PERMISSION;
    case ENOMEM:
        return ERROR_MEMORY;
    default:
        return ERROR_IO;
    }
}

struct files files_in(int dir)
{
    return (struct files){.dir = dir, .calls = &files_kernel};
}

int files_open(const struct files *f, const char *name, int flags)
{
    return f->calls->open(f->context, f->dir, name, flags);
}

int files_close(const struct files *f, int fd)
{
    return files_error(f->calls->close(f->context, fd));
}

int files_sync(const struct files *f, int fd)
{
    return files_error(f->calls->sync(f->context, fd));
}

int files_write_all(const struct files *f, int fd, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        ssize_t written = f->calls->write(f->context, fd, at, len);
        if (written == -EINTR)
            continue;
        if (written <= 0)
            return written == 0 ? ERROR_IO : files_error(written);
        at += written;
        len -= (size_t)written;
    }
    return 0;
}

ssize_t files_read_some(const struct files *f, int fd, void *out, size_t len)
{
    uint8_t *at = out;
    size_t done = 0;
    while (done < len) {
        ssize_t got = f->calls->read(f->context, fd, at + done, len - done);
        if (got == -EINTR)
            continue;
        if (got < 0)
            return files_error(got);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* One byte past the capacity is asked for, to know that the file ends. */
static int read_fd(const struct files *f, int fd, uint8_t *out, size_t capacity, size_t *len)
{
    uint8_t more;
    ssize_t got = files_read_some(f, fd, out, capacity);
    if (got < 0)
        return (int)got;
    *len = (size_t)got;
    if (*len < capacity)
        return 0;
    got = files_read_some(f, fd, &more, 1);
    if (got < 0)
        return (int)got;
    return got == 0 ? 0 : ERROR_OVERFLOW;
}

int files_read(const struct files *f, const char *name, void *out, size_t capacity, size_t *len)
{
    int fd = files_open(f, name, O_RDONLY);
    if (fd < 0)
        return files_error(fd);
    int error = read_fd(f, fd, out, capacity, len);
    int ignored = files_close(f, fd);
    (void)ignored;
    return error;
}

int files_read_new(const struct files *f, const char *name, size_t limit, uint8_t **out, size_t *len)
{
    int fd = files_open(f, name, O_RDONLY);
    if (fd < 0)
        return files_error(fd);
    int64_t size = f->calls->seek(f->context, fd, 0, SEEK_END);
    int64_t start = size < 0 ? size : f->calls->seek(f->context, fd, 0, SEEK_SET);
    int error = files_error(start);
    if (error == 0 && (uint64_t)size > limit)
        error = ERROR_OVERFLOW;
    uint8_t *bytes = error == 0 ? malloc((size_t)size + 1) : NULL;
    if (error == 0)
        error = bytes ? read_fd(f, fd, bytes, (size_t)size, len) : ERROR_MEMORY;
    int ignored = files_close(f, fd);
    (void)ignored;
    if (error != 0)
        free(bytes);
    else
        *out = bytes;
    return error;
}

/* `new_name` has room for NAME_LEN_MAX + 1. */
static bool name_new(char *new_name, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len + sizeof(FILES_NEW) > NAME_LEN_MAX || strchr(name, '/'))
        return false;
    snprintf(new_name, NAME_LEN_MAX + 1, "%s" FILES_NEW, name);
    return true;
}

int files_replace(const struct files *f, const char *name, files_fill *fill, void *context, int *out_fd)
{
    char new_name[NAME_LEN_MAX + 1];
    if (!name_new(new_name, name))
        return ERROR_INVALID;
    int fd = files_open(f, new_name, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0)
        return files_error(fd);
    int error = fill(f, fd, context);
    if (error == 0)
        error = files_sync(f, fd);
    if (error == 0)
        error = files_error(f->calls->rename(f->context, f->dir, new_name, name));
    if (error != 0) {
        f->calls->close(f->context, fd);
        f->calls->unlink(f->context, f->dir, new_name);
        return error;
    }
    error = files_error(f->calls->sync_dir(f->context, f->dir));
    if (out_fd) { /* it is the file now, durable or not */
        *out_fd = fd;
        return error;
    }
    int close_error = files_close(f, fd);
    return error != 0 ? error : close_error;
}

struct content {
    const void *bytes;
    size_t len;
};

static int fill_content(const struct files *f, int fd, void *context)
{
    const struct content *content = context;
    return files_write_all(f, fd, content->bytes, content->len);
}

int files_write(const struct files *f, const char *name, const void *bytes, size_t len)
{
    struct content content = {bytes, len};
    return files_replace(f, name, fill_content, &content, NULL);
}

int files_remove(const struct files *f, const char *name)
{
    int error = files_error(f->calls->unlink(f->context, f->dir, name));
    return error != 0 ? error : files_error(f->calls->sync_dir(f->context, f->dir));
}

static int overwrite(const struct files *f, int fd)
{
    static const uint8_t zeroes[ERASE_MAX];
    int64_t size = f->calls->seek(f->context, fd, 0, SEEK_END);
    int64_t start = size < 0 ? size : f->calls->seek(f->context, fd, 0, SEEK_SET);
    int error = files_error(start);
    for (int64_t at = 0; error == 0 && at < size; at += ERASE_MAX)
        error = files_write_all(f, fd, zeroes, size - at < ERASE_MAX ? (size_t)(size - at) : ERASE_MAX);
    return error != 0 ? error : files_sync(f, fd);
}

int files_erase(const struct files *f, const char *name)
{
    int fd = files_open(f, name, O_WRONLY);
    if (fd < 0)
        return files_error(fd);
    int error = overwrite(f, fd);
    int close_error = files_close(f, fd);
    if (error != 0 || close_error != 0)
        return error != 0 ? error : close_error;
    return files_remove(f, name);
}
