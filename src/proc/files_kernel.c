#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/files_internal.h"

#define UNUSED(context) (void)(context)

static int result_of(int result)
{
    return result < 0 ? -errno : result;
}

/* A role may have put anything into its directory under this name. Root writes through no second name of a file that is
 * another's. */
static int check_plain(int fd, int flags)
{
    struct stat status;
    bool changes = (flags & O_ACCMODE) != O_RDONLY;
    if (fstat(fd, &status) != 0)
        return -errno;
    return S_ISREG(status.st_mode) && (!changes || geteuid() != 0 || status.st_nlink <= 1) ? 0 : -EPERM;
}

/* What root writes into a role's directory is for the role to read and remove. */
static int give_to_owner_of(int dir, int fd)
{
    struct stat owner;
    if (fstat(dir, &owner) != 0 || fchown(fd, owner.st_uid, owner.st_gid) != 0)
        return -errno;
    return 0;
}

/* O_TRUNC waits until it is known what would be cut off. */
static int kernel_open(void *context, int dir, const char *name, int flags)
{
    UNUSED(context);
    int fd = openat(dir, name, (flags & ~O_TRUNC) | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0)
        return -errno;
    int error = check_plain(fd, flags);
    if (error == 0 && (flags & O_CREAT) != 0 && geteuid() == 0)
        error = give_to_owner_of(dir, fd);
    if (error == 0 && (flags & O_TRUNC) != 0)
        error = result_of(ftruncate(fd, 0));
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static ssize_t kernel_read(void *context, int fd, void *out, size_t len)
{
    UNUSED(context);
    ssize_t got = read(fd, out, len);
    return got < 0 ? -errno : got;
}

static ssize_t kernel_write(void *context, int fd, const void *bytes, size_t len)
{
    UNUSED(context);
    ssize_t written = write(fd, bytes, len);
    return written < 0 ? -errno : written;
}

static int64_t kernel_seek(void *context, int fd, int64_t offset, int whence)
{
    UNUSED(context);
    off_t at = lseek(fd, offset, whence);
    return at < 0 ? -errno : at;
}

static int kernel_truncate(void *context, int fd, int64_t len)
{
    UNUSED(context);
    return result_of(ftruncate(fd, len));
}

static int kernel_sync(void *context, int fd)
{
    UNUSED(context);
    return result_of(fdatasync(fd)); /* what it takes to read the file back, its length included */
}

static int kernel_sync_dir(void *context, int dir)
{
    UNUSED(context);
    return result_of(fsync(dir));
}

static int kernel_rename(void *context, int dir, const char *from, const char *to)
{
    UNUSED(context);
    return result_of(renameat(dir, from, dir, to));
}

static int kernel_unlink(void *context, int dir, const char *name)
{
    UNUSED(context);
    return result_of(unlinkat(dir, name, 0));
}

static int kernel_close(void *context, int fd)
{
    UNUSED(context);
    return result_of(close(fd));
}

const struct files_calls files_kernel = {
    .open = kernel_open,
    .read = kernel_read,
    .write = kernel_write,
    .seek = kernel_seek,
    .truncate = kernel_truncate,
    .sync = kernel_sync,
    .sync_dir = kernel_sync_dir,
    .rename = kernel_rename,
    .unlink = kernel_unlink,
    .close = kernel_close,
};

static bool is_leftover(const char *name)
{
    size_t len = strlen(name), new_len = strlen(FILES_NEW);
    return len > new_len && strcmp(name + len - new_len, FILES_NEW) == 0;
}

int files_each(const struct files *f, int (*each)(void *context, const char *name), void *context)
{
    /* Of its own, so that the caller's place in the directory is not moved. */
    int own = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir) {
        int error = files_error(-errno);
        if (own >= 0)
            close(own);
        return error;
    }
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && !is_leftover(entry->d_name))
            result = each(context, entry->d_name);
    closedir(dir);
    return result;
}
