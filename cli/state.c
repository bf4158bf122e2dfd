#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc/drop.h"
#include "say.h"

#define DEPTH_MAX 4

/* `role`: who works in it when the daemon runs; PROC_PARENT: root alone. */
static const struct {
    const char *name;
    enum proc_role role;
    bool always;
} folders[STATE_FOLDERS] = {
    [STATE_KEYS] = {"keys", PROC_KEYS, true},
    [STATE_LEDGER] = {"ledger", PROC_STATE, true},
    [STATE_OPENINGS] = {"openings", PROC_STATE, true},
    [STATE_OUTBOX] = {"outbox", PROC_STATE, true},
    [STATE_POLICY] = {"policy", PROC_PARENT, true},
    [STATE_OWNER] = {"owner", PROC_PARENT, false},
    [STATE_CONTROLLER] = {"controller", PROC_CONTROLLER, false},
};

static void forget(struct state *s)
{
    s->dir = -1;
    for (unsigned i = 0; i < STATE_FOLDERS; i++)
        s->dirs[i] = -1;
}

void state_close(struct state *s)
{
    for (unsigned i = 0; i < STATE_FOLDERS; i++)
        if (s->dirs[i] >= 0)
            close(s->dirs[i]);
    if (s->dir >= 0)
        close(s->dir);
    forget(s);
}

struct files state_files(const struct state *s, enum state_folder folder)
{
    return files_in(s->dirs[folder]);
}

struct files state_top(const struct state *s)
{
    return files_in(s->dir);
}

/* ---- An existing one ---- */

static int open_folder(int dir, const char *name)
{
    return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int check_format(struct cli *cli, const struct state *s)
{
    struct files top = state_top(s);
    char format[16];
    size_t len;
    int error = files_read(&top, "format", format, sizeof(format), &len);
    if (error == ERROR_NOT_FOUND)
        return say_no(
            cli, "Give the folder of a node with --state, or make one with \"nightjar join\" or \"nightjar init\".",
            "%s is not the state of a node: it holds no file \"format\".", s->path);
    if (error && error != ERROR_OVERFLOW)
        return say_failed(cli, error, "%s/format cannot be read", s->path);
    if (error || len != strlen(STATE_FORMAT) || memcmp(format, STATE_FORMAT, len) != 0)
        return say_no(cli, "Use the version of nightjar that made it; nothing was touched.",
                      "%s has a format that this version does not know.", s->path);
    return 0;
}

static int cannot_open(struct cli *cli, int error)
{
    if (error != ENOENT)
        return say_failed(cli, error, "%s cannot be opened", cli->state);
    return say_no(
        cli,
        "Become a member with \"nightjar join TICKET\", make a network with \"nightjar init\", or name another "
        "folder with --state.",
        "There is no node here: %s does not exist.", cli->state);
}

int state_open(struct cli *cli, struct state *out)
{
    forget(out);
    if ((size_t)snprintf(out->path, sizeof(out->path), "%s", cli->state) >= sizeof(out->path))
        return cannot_open(cli, ENAMETOOLONG);
    out->dir = open(out->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->dir < 0)
        return cannot_open(cli, errno);
    int result = check_format(cli, out);
    for (unsigned i = 0; i < STATE_FOLDERS && !result; i++)
        out->dirs[i] = open_folder(out->dir, folders[i].name);
    for (unsigned i = 0; i < STATE_FOLDERS && !result; i++)
        if (folders[i].always && out->dirs[i] < 0)
            result = say_failed(cli, errno ? errno : ENOENT, "%s/%s cannot be opened", out->path, folders[i].name);
    if (result)
        state_close(out);
    return result;
}

int state_lock(struct cli *cli, const struct state *s)
{
    int fd = s->dirs[STATE_OUTBOX];
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        say_progress(cli, "Another nightjar is signing in %s; this one waits for it.", s->path);
    while (flock(fd, LOCK_EX))
        if (errno != EINTR)
            return say_failed(cli, errno, "%s/outbox cannot be locked", s->path);
    return 0;
}

void state_unlock(const struct state *s)
{
    flock(s->dirs[STATE_OUTBOX], LOCK_UN);
}

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return dir && count == 2;
}

bool state_exists(const struct cli *cli)
{
    struct stat info;
    return lstat(cli->state, &info) == 0 && !(S_ISDIR(info.st_mode) && is_empty(cli->state));
}

/* ---- Removing ---- */

static void remove_tree_at(int parent, const char *name, unsigned depth)
{
    if (unlinkat(parent, name, 0) == 0 || depth == 0)
        return;
    int fd = open_folder(parent, name);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_tree_at(fd, entry->d_name, depth - 1);
    closedir(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void state_abandon(struct state *s)
{
    if (s->dir < 0)
        return;
    state_close(s);
    remove_tree_at(AT_FDCWD, s->path, DEPTH_MAX);
}

void state_remove(struct cli *cli)
{
    remove_tree_at(AT_FDCWD, cli->state, DEPTH_MAX);
}

/* ---- A new one ---- */

/* As root, a folder belongs to the role that works in it. */
static int give_away(int fd, enum proc_role role)
{
    uid_t uid;
    gid_t gid;
    if (geteuid() != 0 || role == PROC_PARENT)
        return 0;
    drop_ids(role, &uid, &gid);
    return fchown(fd, uid, gid);
}

int state_add_folder(struct cli *cli, struct state *s, enum state_folder folder)
{
    const char *name = folders[folder].name;
    if (mkdirat(s->dir, name, 0700))
        return say_failed(cli, errno, "%s/%s cannot be made", s->path, name);
    s->dirs[folder] = open_folder(s->dir, name);
    if (s->dirs[folder] < 0 || give_away(s->dirs[folder], folders[folder].role))
        return say_failed(cli, errno, "%s/%s cannot be made", s->path, name);
    return 0;
}

/* What an earlier attempt left behind is removed, unless that attempt still runs: it holds a lock on the folder. */
static int make_folder(struct cli *cli, struct state *s)
{
    if (mkdir(s->path, 0700) && errno != EEXIST)
        return say_failed(cli, errno, "%s cannot be made", s->path);
    s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->dir < 0)
        return say_failed(cli, errno, "%s cannot be made", s->path);
    if (flock(s->dir, LOCK_EX | LOCK_NB) == 0)
        return 0;
    close(s->dir);
    s->dir = -1;
    return say_no(cli, "Wait for it to end.", "Another nightjar is making %s at this moment.", cli->state);
}

static void empty_folder(int dir)
{
    int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    if (!list)
        return;
    for (struct dirent *entry; (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_tree_at(dir, entry->d_name, DEPTH_MAX);
    closedir(list);
}

int state_check_free(struct cli *cli)
{
    if (!state_exists(cli))
        return 0;
    return say_no(cli,
                  "Name another folder with --state; or, if that node is no longer wanted, remove the folder first.",
                  "%s exists already.", cli->state);
}

int state_begin(struct cli *cli, struct state *out)
{
    forget(out);
    size_t len = strlen(cli->state);
    while (len > 1 && cli->state[len - 1] == '/')
        len--;
    if ((size_t)snprintf(out->path, sizeof(out->path), "%.*s.new", (int)len, cli->state) >= sizeof(out->path))
        return say_failed(cli, ENAMETOOLONG, "%s cannot be made", cli->state);
    int result = state_check_free(cli);
    if (!result)
        result = make_folder(cli, out);
    if (result)
        return result;
    empty_folder(out->dir);
    for (unsigned i = 0; i < STATE_FOLDERS && !result; i++)
        if (folders[i].always)
            result = state_add_folder(cli, out, (enum state_folder)i);
    if (result)
        state_abandon(out);
    return result;
}

int state_write(struct cli *cli, struct state *s, enum state_folder folder, const char *name, const void *bytes,
                size_t len)
{
    struct files files = folder == STATE_FOLDERS ? state_top(s) : state_files(s, folder);
    int error = files_write(&files, name, bytes, len);
    const char *in = folder == STATE_FOLDERS ? "" : folders[folder].name;
    return error ? say_failed(cli, error, "%s/%s%s%s cannot be written", s->path, in, *in ? "/" : "", name) : 0;
}

static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == parent)
        slash++;
    if (slash)
        *slash = 0;
    int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    return result;
}

int state_finish(struct cli *cli, struct state *s)
{
    char target[PATH_MAX];
    snprintf(target, sizeof(target), "%.*s", (int)(strlen(s->path) - strlen(".new")), s->path);
    int result = state_write(cli, s, STATE_FOLDERS, "format", STATE_FORMAT, strlen(STATE_FORMAT));
    if (result)
        return result;
    if (fsync(s->dir) || rename(s->path, target) || sync_parent(target))
        return say_failed(cli, errno, "%s cannot be put in place", target);
    memcpy(s->path, target, strlen(target) + 1);
    return 0;
}
