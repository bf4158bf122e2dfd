#include "timestamps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[16] = "wg-timestamps 1\n";

struct record {
    uint8_t key[MESSAGE_KEY_SIZE];
    uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE];
} __attribute__((packed));

struct timestamps {
    int dir;
    char name[64], fresh_name[64];
    struct record *records; /* by key */
    size_t count, capacity;
};

static bool is_of(const struct record *record, const uint8_t key[MESSAGE_KEY_SIZE])
{
    return memcmp(record->key, key, MESSAGE_KEY_SIZE) == 0;
}

/* Where the record of a key is or belongs. */
static size_t place_of(const struct timestamps *t, const uint8_t key[MESSAGE_KEY_SIZE])
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(t->records[middle].key, key, MESSAGE_KEY_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const uint8_t *timestamps_find(const struct timestamps *t, const uint8_t key[MESSAGE_KEY_SIZE])
{
    size_t at = place_of(t, key);
    return at < t->count && is_of(&t->records[at], key) ? t->records[at].timestamp : NULL;
}

static bool make_room(struct timestamps *t)
{
    if (t->count < t->capacity)
        return true;
    size_t capacity = t->capacity ? t->capacity * 2 : 16;
    struct record *records = reallocarray(t->records, capacity, sizeof(*records));
    if (!records)
        return false;
    t->records = records;
    t->capacity = capacity;
    return true;
}

int timestamps_note(struct timestamps *t, const uint8_t key[MESSAGE_KEY_SIZE],
                    const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE])
{
    size_t at = place_of(t, key);
    bool known = at < t->count && is_of(&t->records[at], key);
    if (known && memcmp(timestamp, t->records[at].timestamp, MESSAGE_TIMESTAMP_SIZE) <= 0)
        return 0;
    if (!known) {
        if (!make_room(t))
            return ERROR_MEMORY;
        memmove(&t->records[at + 1], &t->records[at], (t->count++ - at) * sizeof(*t->records));
    }
    memcpy(t->records[at].key, key, MESSAGE_KEY_SIZE);
    memcpy(t->records[at].timestamp, timestamp, MESSAGE_TIMESTAMP_SIZE);
    return 0;
}

/* By key, and of one key by timestamp. */
static int compare_records(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct record));
}

/* Of several records of a key, the greatest stays. */
static void sort(struct timestamps *t)
{
    size_t count = 0;
    if (t->count > 0)
        qsort(t->records, t->count, sizeof(*t->records), compare_records);
    for (size_t i = 0; i < t->count; i++) {
        if (count > 0 && is_of(&t->records[count - 1], t->records[i].key))
            count--;
        t->records[count++] = t->records[i];
    }
    t->count = count;
}

static int read_all(struct timestamps *t, FILE *file)
{
    char magic[sizeof(MAGIC)];
    struct record record;
    size_t len;
    if (fread(magic, sizeof(magic), 1, file) != 1 || memcmp(magic, MAGIC, sizeof(MAGIC)) != 0)
        return ERROR_MALFORMED;
    while ((len = fread(&record, 1, sizeof(record), file)) == sizeof(record)) {
        if (!make_room(t))
            return ERROR_MEMORY;
        t->records[t->count++] = record;
    }
    sort(t);
    return len == 0 && !ferror(file) ? 0 : ERROR_MALFORMED;
}

static int load(struct timestamps *t)
{
    int fd = openat(t->dir, t->name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : ERROR_IO;
    FILE *file = fdopen(fd, "re");
    if (!file) {
        close(fd);
        return ERROR_MEMORY;
    }
    int error = read_all(t, file);
    fclose(file);
    return error;
}

int timestamps_open(struct timestamps **out, const char *dir, const char *name)
{
    struct timestamps *t = calloc(1, sizeof(*t));
    if (!t)
        return ERROR_MEMORY;
    snprintf(t->name, sizeof(t->name), "%s.timestamps", name);
    snprintf(t->fresh_name, sizeof(t->fresh_name), "%s.timestamps.new", name);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        t->dir = -1;
    else
        t->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = t->dir < 0 ? ERROR_IO : load(t);
    if (error != 0)
        timestamps_close(t);
    else
        *out = t;
    return error;
}

void timestamps_close(struct timestamps *t)
{
    if (!t)
        return;
    if (t->dir >= 0)
        close(t->dir);
    free(t->records);
    free(t);
}

static bool write_fully(int fd, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        len -= (size_t)written;
    }
    return true;
}

int timestamps_commit(struct timestamps *t)
{
    int fd = openat(t->dir, t->fresh_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return ERROR_IO;
    bool written = write_fully(fd, MAGIC, sizeof(MAGIC)) &&
                   write_fully(fd, t->records, t->count * sizeof(*t->records)) && fsync(fd) == 0;
    if (close(fd) != 0 || !written || renameat(t->dir, t->fresh_name, t->dir, t->name) != 0 || fsync(t->dir) != 0)
        return ERROR_IO;
    return 0;
}
