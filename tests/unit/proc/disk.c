#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct disk *disk_new(void)
{
    struct disk *d = calloc(1, sizeof(*d));
    if (!d)
        abort();
    return d;
}

/* Counts an operation: 0, or the errno that it fails with. *half: it is cut in the middle. */
static int operate(struct disk *d, bool *half)
{
    *half = false;
    if (d->dead)
        return EIO;
    d->operations++;
    if (d->cut_at != 0 && d->operations == d->cut_at) {
        d->dead = *half = true;
        return EIO;
    }
    if (d->fail_at != 0 && (d->operations == d->fail_at || (d->fail_on && d->operations > d->fail_at))) {
        *half = true;
        return d->failure;
    }
    return 0;
}

static int find(const struct disk *d, const char *name)
{
    for (int i = 0; i < d->inode_count; i++)
        if (strcmp(d->names_now[i], name) == 0)
            return i;
    return -1;
}

const struct disk_content *disk_find(const struct disk *d, const char *name)
{
    int inode = find(d, name);
    return inode < 0 ? NULL : &d->now[inode];
}

static int disk_open(void *context, int dir, const char *name, int flags)
{
    (void)dir;
    struct disk *d = context;
    bool half;
    int inode = find(d, name);
    if (inode < 0 && (flags & O_CREAT) == 0)
        return -ENOENT;
    if ((flags & (O_CREAT | O_TRUNC)) != 0) {
        int failure = operate(d, &half);
        if (failure != 0)
            return -failure;
    }
    if (inode < 0) {
        if (d->inode_count == DISK_FILES)
            abort();
        inode = d->inode_count++;
        snprintf(d->names_now[inode], sizeof(d->names_now[inode]), "%s", name);
    }
    if ((flags & O_TRUNC) != 0)
        d->now[inode].len = 0;
    d->inodes[d->fd_count % (DISK_FILES * 4)] = inode;
    d->places[d->fd_count % (DISK_FILES * 4)] = 0;
    return d->fd_count++ % (DISK_FILES * 4);
}

static ssize_t disk_read(void *context, int fd, void *out, size_t len)
{
    struct disk *d = context;
    const struct disk_content *file = &d->now[d->inodes[fd]];
    size_t left = d->places[fd] < file->len ? file->len - d->places[fd] : 0;
    len = len < left ? len : left;
    memcpy(out, file->bytes + d->places[fd], len);
    d->places[fd] += len;
    return (ssize_t)len;
}

static ssize_t disk_write(void *context, int fd, const void *bytes, size_t len)
{
    struct disk *d = context;
    struct disk_content *file = &d->now[d->inodes[fd]];
    bool half;
    int failure = operate(d, &half);
    if (failure != 0 && !half)
        return -failure;
    size_t done = half ? len / 2 : len;
    if (d->places[fd] + done > DISK_BYTES)
        abort();
    memcpy(file->bytes + d->places[fd], bytes, done);
    d->places[fd] += done;
    if (d->places[fd] > file->len)
        file->len = d->places[fd];
    return failure != 0 ? -failure : (ssize_t)done;
}

static int64_t disk_seek(void *context, int fd, int64_t offset, int whence)
{
    struct disk *d = context;
    d->places[fd] = whence == SEEK_END ? d->now[d->inodes[fd]].len : (size_t)offset;
    return (int64_t)d->places[fd];
}

static int disk_truncate(void *context, int fd, int64_t len)
{
    struct disk *d = context;
    bool half;
    int failure = operate(d, &half);
    if (failure == 0)
        d->now[d->inodes[fd]].len = (size_t)len;
    return -failure;
}

static int disk_sync(void *context, int fd)
{
    struct disk *d = context;
    bool half;
    int failure = operate(d, &half);
    d->syncs++;
    if (failure == 0)
        d->synced[d->inodes[fd]] = d->now[d->inodes[fd]];
    return -failure;
}

static int disk_sync_dir(void *context, int dir)
{
    (void)dir;
    struct disk *d = context;
    bool half;
    int failure = operate(d, &half);
    if (failure == 0)
        memcpy(d->names_synced, d->names_now, sizeof(d->names_synced));
    return -failure;
}

static int disk_rename(void *context, int dir, const char *from, const char *to)
{
    (void)dir;
    struct disk *d = context;
    bool half;
    int failure = operate(d, &half);
    if (failure != 0)
        return -failure;
    int source = find(d, from), target = find(d, to);
    if (source < 0)
        return -ENOENT;
    if (target >= 0)
        d->names_now[target][0] = '\0';
    snprintf(d->names_now[source], sizeof(d->names_now[source]), "%s", to);
    return 0;
}

static int disk_unlink(void *context, int dir, const char *name)
{
    (void)dir;
    struct disk *d = context;
    bool half;
    int failure = operate(d, &half);
    if (failure != 0)
        return -failure;
    int inode = find(d, name);
    if (inode < 0)
        return -ENOENT;
    d->names_now[inode][0] = '\0';
    return 0;
}

static int disk_close(void *context, int fd)
{
    (void)context;
    (void)fd;
    return 0;
}

static const struct files_calls calls = {
    .open = disk_open,
    .read = disk_read,
    .write = disk_write,
    .seek = disk_seek,
    .truncate = disk_truncate,
    .sync = disk_sync,
    .sync_dir = disk_sync_dir,
    .rename = disk_rename,
    .unlink = disk_unlink,
    .close = disk_close,
};

struct files disk_files(struct disk *d)
{
    return (struct files){.dir = -1, .calls = &calls, .context = d};
}

/* Inodes without a name are free again. */
static void compact(struct disk *d)
{
    int count = 0;
    for (int i = 0; i < d->inode_count; i++) {
        if (d->names_now[i][0] == '\0')
            continue;
        if (count != i) {
            d->now[count] = d->now[i];
            memcpy(d->names_now[count], d->names_now[i], sizeof(d->names_now[i]));
        }
        count++;
    }
    for (int i = count; i < DISK_FILES; i++) {
        d->names_now[i][0] = '\0';
        d->now[i].len = 0;
    }
    d->inode_count = count;
    memcpy(d->synced, d->now, sizeof(d->now));
    memcpy(d->names_synced, d->names_now, sizeof(d->names_now));
}

void disk_restart(struct disk *d, bool keep_contents, bool keep_names)
{
    if (!keep_contents)
        memcpy(d->now, d->synced, sizeof(d->now));
    if (!keep_names)
        memcpy(d->names_now, d->names_synced, sizeof(d->names_now));
    compact(d);
    d->dead = false;
    d->cut_at = d->fail_at = d->operations = d->syncs = 0;
    d->fd_count = 0;
}
