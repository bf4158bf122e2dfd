#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "proc/drop.h"
#include "proc/files.h"

static int error_of_errno(void)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return ERROR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERROR_PERMISSION;
    case ENOSPC:
    case EDQUOT:
        return ERROR_NO_SPACE;
    default:
        return ERROR_IO;
    }
}

int place_make(const char *dir)
{
    uid_t uid;
    gid_t gid;
    if (mkdir(dir, 0700) != 0)
        return errno == EEXIST ? 0 : error_of_errno();
    drop_ids(PROC_CONTROLLER, &uid, &gid);
    if (geteuid() == 0 && chown(dir, uid, gid) != 0)
        return error_of_errno();
    return 0;
}

int place_enter(const char *dir, uint64_t fds)
{
    if (chdir(dir) != 0)
        return error_of_errno();
    struct drop what = {.role = PROC_CONTROLLER, .root = ".", .fds = fds};
    return drop_privileges(&what);
}

/* With a directory's descriptor, does one thing to the key's file. */
static int with_files(int (*act)(const struct files *f, uint8_t *seed), uint8_t *seed)
{
    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_of_errno();
    struct files f = files_in(dir);
    int error = act(&f, seed);
    close(dir);
    return error;
}

static int read_key(const struct files *f, uint8_t *seed)
{
    uint8_t bytes[ED25519_SEED_SIZE + 1];
    size_t len;
    int error = files_read(f, PLACE_KEY_FILE, bytes, sizeof(bytes), &len);
    if (!error && len != ED25519_SEED_SIZE)
        error = ERROR_MALFORMED;
    if (!error)
        memcpy(seed, bytes, ED25519_SEED_SIZE);
    wipe(bytes, sizeof(bytes));
    return error == ERROR_OVERFLOW ? ERROR_MALFORMED : error;
}

static int make_key(const struct files *f, uint8_t *seed)
{
    int error = read_key(f, seed);
    if (error != ERROR_NOT_FOUND)
        return error;
    if (getrandom(seed, ED25519_SEED_SIZE, 0) != ED25519_SEED_SIZE)
        return ERROR_IO;
    return files_write(f, PLACE_KEY_FILE, seed, ED25519_SEED_SIZE);
}

int place_read_key(uint8_t seed[ED25519_SEED_SIZE])
{
    return with_files(read_key, seed);
}

int place_make_key(uint8_t seed[ED25519_SEED_SIZE])
{
    return with_files(make_key, seed);
}

int place_sync(void)
{
    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_of_errno();
    int error = fsync(dir) == 0 ? 0 : error_of_errno();
    close(dir);
    return error;
}
