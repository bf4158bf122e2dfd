#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "crypto/crypto.h"
#include "proc/drop.h"

#define FORMAT "1\n"
#define CONF_NAME "node.conf"

struct opening {
    struct place *place;
    char *complaint;
};

int complain(char complaint[PLACE_COMPLAINT], int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(complaint, PLACE_COMPLAINT, format, arguments);
    va_end(arguments);
    return error;
}

static int open_state(struct opening *o, const char *state)
{
    struct place *p = o->place;
    if (!realpath(state, p->path))
        return complain(o->complaint, ERROR_NOT_FOUND,
                        "There is no node in %.200s: %s. Use nightjar init or nightjar join first, or name another "
                        "directory with --state.",
                        state, strerror(errno));
    p->dir = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->dir < 0)
        return complain(o->complaint, ERROR_IO, "%.200s cannot be opened: %s.", p->path, strerror(errno));
    return 0;
}

/* The file with the format is what is locked: whoever makes or changes STATE locks the directory itself. */
static int check_format(struct opening *o)
{
    struct place *p = o->place;
    char format[8];
    size_t len;
    struct files f = files_in(p->dir);
    int error = files_read(&f, "format", format, sizeof(format), &len);
    if (error == ERROR_NOT_FOUND)
        return complain(o->complaint, error,
                        "There is no node in %.200s: it has no file named format. Use nightjar init or nightjar join "
                        "first, or name another directory with --state.",
                        p->path);
    if (error != 0 && error != ERROR_OVERFLOW)
        return complain(o->complaint, error, "%.200s/format cannot be read: %s", p->path, error_sentence(error));
    if (error != 0 || len != strlen(FORMAT) || memcmp(format, FORMAT, len) != 0)
        return complain(o->complaint, ERROR_UNSUPPORTED,
                        "%.200s has a format that this version does not know. It was left as it is; use the version "
                        "that made it, or a newer one.",
                        p->path);
    return 0;
}

static int lock(struct opening *o)
{
    struct place *p = o->place;
    p->lock = openat(p->dir, "format", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (p->lock < 0 || flock(p->lock, LOCK_EX | LOCK_NB) != 0)
        return complain(o->complaint, ERROR_IN_USE,
                        "A nightjard runs on %.200s already. See nightjar status, or end it with nightjar down.",
                        p->path);
    return 0;
}

static int make_hash(struct opening *o)
{
    struct place *p = o->place;
    struct crypto *c;
    uint8_t digest[SHA256_SIZE];
    int error = crypto_new(&c, CRYPTO_BULK_OPENSSL);
    if (error != 0)
        return complain(o->complaint, error, "%s", error_sentence(error));
    error = crypto_sha256(c, digest, p->path, strlen(p->path));
    crypto_free(c);
    if (error != 0)
        return complain(o->complaint, error, "%s", error_sentence(error));
    hex_print(p->hash, digest, PLACE_HASH_LEN / 2);
    return 0;
}

struct owner {
    int dir;
    uid_t uid;
    gid_t gid;
};

/* What root wrote there is for the role to read, replace and remove. Nothing that is linked elsewhere as well. */
static int give_file(void *context, const char *name)
{
    const struct owner *owner = context;
    struct stat status;
    int fd = openat(owner->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC); /* what is looked at is what is given */
    if (fd < 0)
        return 0;
    bool given = fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_nlink != 1 ||
                 status.st_uid == owner->uid || fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) == 0;
    close(fd);
    return given ? 0 : ERROR_PERMISSION;
}

static int give_to_role(int dir, enum proc_role role)
{
    struct owner owner = {.dir = dir};
    struct files f = files_in(dir);
    if (geteuid() != 0)
        return 0;
    drop_ids(role, &owner.uid, &owner.gid);
    if (fchown(dir, owner.uid, owner.gid) != 0)
        return ERROR_PERMISSION;
    return files_each(&f, give_file, &owner);
}

static int open_dir(struct opening *o, const char *name, enum proc_role role, int *out)
{
    struct place *p = o->place;
    if (mkdirat(p->dir, name, 0700) != 0 && errno != EEXIST)
        return complain(o->complaint, ERROR_IO, "%.200s/%s cannot be made: %s.", p->path, name, strerror(errno));
    *out = openat(p->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*out < 0)
        return complain(o->complaint, ERROR_IO, "%.200s/%s cannot be opened: %s.", p->path, name, strerror(errno));
    int error = give_to_role(*out, role);
    return error == 0 ? 0 : complain(o->complaint, error, "%.200s/%s cannot be given to its role.", p->path, name);
}

static int open_dirs(struct opening *o)
{
    struct place *p = o->place;
    int error = open_dir(o, "keys", PROC_KEYS, &p->keys);
    if (error == 0)
        error = open_dir(o, "ledger", PROC_STATE, &p->ledger);
    if (error == 0)
        error = open_dir(o, "openings", PROC_STATE, &p->openings);
    if (error == 0)
        error = open_dir(o, "outbox", PROC_STATE, &p->outbox);
    struct stat status;
    p->has_controller = fstatat(p->dir, "controller", &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
    if (error != 0 || !p->has_controller)
        return error;
    int controller = -1;
    error = open_dir(o, "controller", PROC_CONTROLLER, &controller);
    if (controller >= 0)
        close(controller);
    return error;
}

/* Its length, 0 if there is none. */
static int read_conf(const struct place *p, char text[CONF_MAX], size_t *len)
{
    struct files f = files_in(p->dir);
    int error = files_read(&f, CONF_NAME, text, CONF_MAX, len);
    if (error == ERROR_NOT_FOUND)
        *len = 0;
    return error == ERROR_NOT_FOUND ? 0 : error;
}

static int load_conf(struct opening *o)
{
    struct place *p = o->place;
    char text[CONF_MAX];
    size_t len = 0;
    unsigned line;
    const char *why;
    int error = read_conf(p, text, &len);
    if (error != 0)
        return complain(o->complaint, error, "%.200s/" CONF_NAME " cannot be read: %s", p->path, error_sentence(error));
    error = conf_parse(&p->conf, text, len, &line, &why);
    return error == 0 ? 0
                      : complain(o->complaint, error, "%.200s/" CONF_NAME ", line %u: %s Put it right and start again.",
                                 p->path, line, why);
}

int place_open(struct place *out, const char *state, char complaint[PLACE_COMPLAINT])
{
    struct opening o = {out, complaint};
    memset(out, 0, sizeof(*out));
    out->dir = out->lock = out->keys = out->ledger = out->openings = out->outbox = -1;
    int error = open_state(&o, state);
    if (error == 0)
        error = check_format(&o);
    if (error == 0)
        error = lock(&o);
    if (error == 0)
        error = make_hash(&o);
    if (error == 0)
        error = load_conf(&o);
    if (error == 0)
        error = open_dirs(&o);
    if (error != 0)
        place_close(out);
    return error;
}

void place_close(struct place *p)
{
    int *const fds[] = {&p->keys, &p->ledger, &p->openings, &p->outbox, &p->lock, &p->dir};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

int place_keep_port(struct place *p, uint16_t port)
{
    char text[CONF_MAX], with_port[CONF_MAX + 16];
    size_t len = 0;
    struct files f = files_in(p->dir);
    if (p->conf.port == port)
        return 0;
    int error = read_conf(p, text, &len);
    if (error != 0)
        return error;
    int new_len = conf_with_port(text, len, port, with_port, sizeof(with_port));
    if (new_len < 0)
        return new_len;
    p->conf.port = port;
    return files_write(&f, CONF_NAME, with_port, (size_t)new_len);
}
