#include "disk.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"

#define FILES_MAX 8
#define SECTOR 512
#define NAME_LEN 64

struct image {
    uint8_t *bytes;
    size_t len;
    int exists;
};

struct file {
    char name[NAME_LEN];
    struct image now, durable;
};

struct disk {
    sqlite3_vfs vfs;
    sqlite3_vfs *below; /* for time and randomness */
    struct file files[FILES_MAX];
    enum disk_trouble trouble;
    uint32_t steps_left;
    int failed;
};

struct handle {
    sqlite3_file base;
    struct disk *disk;
    struct file *file;
};

static void resize(struct image *i, size_t len)
{
    if (len > i->len) {
        i->bytes = realloc(i->bytes, len);
        if (!i->bytes)
            abort();
        memset(i->bytes + i->len, 0, len - i->len);
    }
    i->len = len;
}

static void copy_image(struct image *to, const struct image *from)
{
    resize(to, from->len);
    if (from->len)
        memcpy(to->bytes, from->bytes, from->len);
    to->exists = from->exists;
}

/* What a step comes to: 0, or the error that it shall have. */
static int step(struct disk *d, int grows, int error)
{
    if (d->trouble == DISK_GOOD || (d->trouble == DISK_FULL && !grows && !d->steps_left))
        return 0;
    if (d->steps_left > 0) {
        d->steps_left--;
        return 0;
    }
    d->failed = 1;
    if (d->trouble == DISK_ONE_ERROR)
        d->trouble = DISK_GOOD;
    return d->trouble == DISK_FULL ? SQLITE_FULL : error;
}

/* ---- Files ---- */

static struct handle *handle_of(sqlite3_file *f)
{
    return (struct handle *)f;
}

static int on_close(sqlite3_file *f)
{
    (void)f;
    return SQLITE_OK;
}

static int on_read(sqlite3_file *f, void *out, int len, sqlite3_int64 at)
{
    const struct image *i = &handle_of(f)->file->now;
    size_t from = (size_t)at, have = from < i->len ? i->len - from : 0;
    if (have >= (size_t)len) {
        memcpy(out, i->bytes + from, (size_t)len);
        return SQLITE_OK;
    }
    memset(out, 0, (size_t)len);
    if (have)
        memcpy(out, i->bytes + from, have);
    return SQLITE_IOERR_SHORT_READ;
}

static int on_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at)
{
    struct image *i = &handle_of(f)->file->now;
    size_t end = (size_t)at + (size_t)len;
    int error = step(handle_of(f)->disk, end > i->len, SQLITE_IOERR_WRITE);
    if (error)
        return error;
    if (end > i->len)
        resize(i, end);
    memcpy(i->bytes + at, bytes, (size_t)len);
    return SQLITE_OK;
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int error = step(handle_of(f)->disk, 0, SQLITE_IOERR_TRUNCATE);
    if (error)
        return error;
    resize(&handle_of(f)->file->now, (size_t)size);
    return SQLITE_OK;
}

static int on_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    int error = step(handle_of(f)->disk, 0, SQLITE_IOERR_FSYNC);
    if (error)
        return error;
    copy_image(&handle_of(f)->file->durable, &handle_of(f)->file->now);
    return SQLITE_OK;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *out)
{
    *out = (sqlite3_int64)handle_of(f)->file->now.len;
    return SQLITE_OK;
}

static int on_lock(sqlite3_file *f, int kind)
{
    (void)f;
    (void)kind;
    return SQLITE_OK;
}

static int on_reserved(sqlite3_file *f, int *out)
{
    (void)f;
    *out = 0;
    return SQLITE_OK;
}

static int on_control(sqlite3_file *f, int op, void *argument)
{
    (void)f;
    (void)op;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int on_sector(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}

static int on_characteristics(sqlite3_file *f)
{
    (void)f;
    return 0;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_lock,
    .xCheckReservedLock = on_reserved,
    .xFileControl = on_control,
    .xSectorSize = on_sector,
    .xDeviceCharacteristics = on_characteristics,
};

/* ---- The directory ---- */

static struct file *find(struct disk *d, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (strcmp(d->files[i].name, name) == 0)
            return &d->files[i];
    return NULL;
}

static struct file *add(struct disk *d, const char *name)
{
    struct file *f = find(d, "");
    if (!f || strlen(name) >= NAME_LEN)
        abort();
    memcpy(f->name, name, strlen(name) + 1);
    return f;
}

static int on_open(sqlite3_vfs *v, const char *name, sqlite3_file *out, int flags, int *out_flags)
{
    struct disk *d = v->pAppData;
    struct handle *h = handle_of(out);
    h->base.pMethods = NULL;
    struct file *f = find(d, name ? name : "temporary");
    if (!f || !f->now.exists) {
        if (!(flags & SQLITE_OPEN_CREATE) || step(d, 1, SQLITE_IOERR_WRITE))
            return SQLITE_CANTOPEN;
        f = f ? f : add(d, name ? name : "temporary");
        f->now.exists = 1;
        f->now.len = 0;
    }
    *h = (struct handle){.base.pMethods = &methods, .disk = d, .file = f};
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *v, const char *name, int sync_directory)
{
    struct disk *d = v->pAppData;
    struct file *f = find(d, name);
    if (!f || !f->now.exists)
        return SQLITE_IOERR_DELETE_NOENT;
    int error = step(d, 0, SQLITE_IOERR_DELETE);
    if (error)
        return error;
    f->now.exists = 0;
    f->now.len = 0;
    if (sync_directory)
        copy_image(&f->durable, &f->now);
    return SQLITE_OK;
}

static int on_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
    (void)flags;
    struct file *f = find(v->pAppData, name);
    *out = f && f->now.exists;
    return SQLITE_OK;
}

static int on_full_path(sqlite3_vfs *v, const char *name, int capacity, char *out)
{
    (void)v;
    sqlite3_snprintf(capacity, out, "%s", name);
    return SQLITE_OK;
}

static int on_randomness(sqlite3_vfs *v, int len, char *out)
{
    sqlite3_vfs *below = ((struct disk *)v->pAppData)->below;
    return below->xRandomness(below, len, out);
}

static int on_sleep(sqlite3_vfs *v, int microseconds)
{
    (void)v;
    return microseconds;
}

static int on_time(sqlite3_vfs *v, double *out)
{
    sqlite3_vfs *below = ((struct disk *)v->pAppData)->below;
    return below->xCurrentTime(below, out);
}

static int on_last_error(sqlite3_vfs *v, int len, char *out)
{
    (void)v;
    (void)len;
    (void)out;
    return 0;
}

struct disk *disk_new(const char *vfs)
{
    struct disk *d = calloc(1, sizeof(*d));
    if (!d)
        abort();
    d->below = sqlite3_vfs_find(NULL);
    d->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = sizeof(struct handle),
        .mxPathname = NAME_LEN,
        .zName = vfs,
        .pAppData = d,
        .xOpen = on_open,
        .xDelete = on_delete,
        .xAccess = on_access,
        .xFullPathname = on_full_path,
        .xRandomness = on_randomness,
        .xSleep = on_sleep,
        .xCurrentTime = on_time,
        .xGetLastError = on_last_error,
    };
    if (sqlite3_vfs_register(&d->vfs, 0) != SQLITE_OK)
        abort();
    return d;
}

void disk_free(struct disk *d)
{
    sqlite3_vfs_unregister(&d->vfs);
    for (int i = 0; i < FILES_MAX; i++) {
        free(d->files[i].now.bytes);
        free(d->files[i].durable.bytes);
    }
    free(d);
}

void disk_fail(struct disk *d, enum disk_trouble trouble, uint32_t steps)
{
    d->trouble = trouble;
    d->steps_left = steps;
    d->failed = 0;
}

int disk_failed(const struct disk *d)
{
    return d->failed;
}

/* Each sector that was not synced reached the disk, or not. */
static void mix(struct file *f, uint64_t *random)
{
    struct image *now = &f->now, *durable = &f->durable;
    if (!durable->exists && now->exists && (random_next(random) >> 40 & 1)) {
        now->exists = 0;
        now->len = 0;
    }
    if (durable->exists && !now->exists && (random_next(random) >> 40 & 1))
        copy_image(now, durable);
    if (!now->exists)
        return;
    if (durable->len != now->len && (random_next(random) >> 40 & 1))
        resize(now, durable->len);
    for (size_t at = 0; at < now->len; at += SECTOR) {
        size_t len = now->len - at < SECTOR ? now->len - at : SECTOR;
        size_t held = at >= durable->len ? 0 : durable->len - at < len ? durable->len - at : len;
        if (random_next(random) >> 40 & 1)
            continue;
        memset(now->bytes + at, 0, len);
        if (held)
            memcpy(now->bytes + at, durable->bytes + at, held);
    }
}

void disk_heal(struct disk *d, uint64_t seed)
{
    uint64_t random = seed * 2 + 1;
    for (int i = 0; d->trouble == DISK_NO_POWER && i < FILES_MAX; i++) {
        mix(&d->files[i], &random);
        copy_image(&d->files[i].durable, &d->files[i].now);
    }
    d->trouble = DISK_GOOD;
    d->failed = 0;
}
