/* What lies on this machine's disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "doctor.h"
#include "ground.h"
#include "values.h"

#define ROOM_LITTLE (64u << 20) /* bytes */
#define ROOM_NONE (4u << 20)
#define WAITS_LONG 600 /* s */
#define DAY 86400u     /* s */

/* ---- STATE ---- */

static void explain_state(struct doctor *d)
{
    char path[PATH_MAX], format[16];
    const char *state = d->cli->state;
    struct stat status;
    snprintf(path, sizeof(path), "%s/format", state);
    if (stat(state, &status) != 0 && errno != EACCES)
        doctor_find(d, "state", DOCTOR_FAIL, "Become a member with \"nightjar join TICKET\", or name another --state.",
                    "There is no node here: %.200s does not exist.", state);
    else if (access(state, R_OK | X_OK) != 0)
        doctor_find(d, "state", DOCTOR_FAIL, "Run it as root.", "%.200s is closed to this user.", state);
    else if (!doctor_read(path, format, sizeof(format)))
        doctor_find(d, "state", DOCTOR_FAIL, "Name the folder of a node with --state.",
                    "%.200s is not the state of a node: its file format is missing or unreadable.", state);
    else if (strcmp(format, "1") != 0)
        doctor_find(d, "state", DOCTOR_FAIL, "Use the version of nightjar that made it.",
                    "%.200s has a format that this version does not know.", state);
    else
        doctor_find(d, "state", DOCTOR_FAIL, "Run it as root; if a folder is missing, bring it back from a backup.",
                    "A folder of %.200s is missing or cannot be opened.", state);
}

void doctor_state(struct doctor *d)
{
    if (d->has_state)
        doctor_find(d, "state", DOCTOR_OK, NULL, "%.200s, format 1.", d->cli->state);
    else
        explain_state(d);
}

static bool has_state(struct doctor *d, const char *check)
{
    if (!d->has_state)
        doctor_find(d, check, DOCTOR_SKIPPED, NULL, "There is no STATE that can be opened.");
    return d->has_state;
}

/* ---- Permissions ---- */

/* The first name in a folder, or the folder, that others than its owner may read or write. */
static bool find_open(int folder, char *out, size_t size)
{
    struct stat status;
    bool open = fstat(folder, &status) == 0 && (status.st_mode & 077) != 0;
    snprintf(out, size, ".");
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *names = copy < 0 ? NULL : fdopendir(copy);
    if (!names && copy >= 0)
        close(copy);
    for (struct dirent *e; !open && names && (e = readdir(names));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        open = fstatat(folder, e->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && (status.st_mode & 077) != 0;
        snprintf(out, size, "%.63s", e->d_name);
    }
    if (names)
        closedir(names);
    return open;
}

static bool check_closed(struct doctor *d, enum state_folder folder, const char *name)
{
    char open_name[64], todo[DOCTOR_TEXT_MAX];
    if (d->state.dirs[folder] < 0 || !find_open(d->state.dirs[folder], open_name, sizeof(open_name)))
        return true;
    snprintf(todo, sizeof(todo), "chmod -R go= %.200s/%s; if others had access to this machine, replace what it holds.",
             d->cli->state, name);
    doctor_find(d, "permissions", DOCTOR_FAIL, todo, "Secrets are open to other users: %.200s/%s/%s.", d->cli->state,
                name, open_name);
    return false;
}

void doctor_permissions(struct doctor *d)
{
    if (!has_state(d, "permissions"))
        return;
    bool closed = check_closed(d, STATE_KEYS, "keys");
    closed &= check_closed(d, STATE_OWNER, "owner");
    closed &= check_closed(d, STATE_CONTROLLER, "controller");
    if (closed)
        doctor_find(d, "permissions", DOCTOR_OK, NULL, "Keys are closed to other users.");
}

/* ---- The ledger ---- */

void doctor_ledger(struct doctor *d)
{
    if (!has_state(d, "ledger"))
        return;
    if (!d->has_view) {
        doctor_find(d, "ledger", DOCTOR_FAIL, "Bring STATE back from a backup, or have the device invited again.",
                    "The ledger in %.200s is damaged or cannot be read.", d->cli->state);
        return;
    }
    uint64_t index = fold_head(d->view.fold)->index;
    if (index == UINT64_MAX)
        doctor_find(d, "ledger", DOCTOR_WARN, "Let it reach a relay once: nightjar join TICKET, nightjar up.",
                    "The ledger is empty.");
    else
        doctor_find(d, "ledger", DOCTOR_OK, NULL, "Readable, up to entry %llu.", (unsigned long long)index);
}

/* ---- Room ---- */

void doctor_disk(struct doctor *d)
{
    struct statvfs disk;
    char free_text[AMOUNT_MAX];
    if (!has_state(d, "disk"))
        return;
    if (fstatvfs(d->state.dir, &disk) != 0) {
        doctor_find(d, "disk", DOCTOR_SKIPPED, NULL, "The disk does not tell its size.");
        return;
    }
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    bool no_names = disk.f_files > 0 && disk.f_favail < 16;
    bytes_print(free_text, room);
    if ((disk.f_flag & ST_RDONLY) != 0)
        doctor_find(d, "disk", DOCTOR_FAIL, "Mount it for writing.", "The disk under STATE is mounted read-only.");
    else if (room < ROOM_NONE || no_names)
        doctor_find(d, "disk", DOCTOR_FAIL, "Make room: nothing new can be kept.",
                    "The disk under STATE is full: %s%s.", free_text, no_names ? ", and no file more" : "");
    else if (room < ROOM_LITTLE)
        doctor_find(d, "disk", DOCTOR_WARN, "Make room before it is full.", "Only %s are left on the disk under STATE.",
                    free_text);
    else
        doctor_find(d, "disk", DOCTOR_OK, NULL, "%s free.", free_text);
}

struct waiting {
    int dir;
    uint32_t count;
    uint64_t oldest;
};

static int count_waiting(void *context, const char *name)
{
    struct waiting *w = context;
    struct stat status;
    if (fstatat(w->dir, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    w->count++;
    if (w->oldest == 0 || (uint64_t)status.st_mtime < w->oldest)
        w->oldest = (uint64_t)status.st_mtime;
    return 0;
}

void doctor_outbox(struct doctor *d)
{
    if (!has_state(d, "outbox"))
        return;
    struct files files = state_files(&d->state, STATE_OUTBOX);
    struct waiting w = {.dir = d->state.dirs[STATE_OUTBOX]};
    if (files_each(&files, count_waiting, &w))
        doctor_find(d, "outbox", DOCTOR_SKIPPED, NULL, "It cannot be read.");
    else if (w.count == 0)
        doctor_find(d, "outbox", DOCTOR_OK, NULL, "Nothing waits.");
    else if (d->now > w.oldest + WAITS_LONG)
        doctor_find(d, "outbox", DOCTOR_WARN, "Start the node, and see that it reaches a relay.",
                    "%u signed here, and not in the ledger for more than 10 minutes.", w.count);
    else
        doctor_find(d, "outbox", DOCTOR_OK, NULL, "%u on the way.", w.count);
}

/* ---- The clock ---- */

static uint64_t proved_time(const struct doctor *d)
{
    json_int_t told = json_integer_value(json_object_get(json_object_get(d->status, "head"), "signed_time"));
    uint64_t kept = d->has_view ? d->view.time : 0;
    return told > 0 && (uint64_t)told > kept ? (uint64_t)told : kept;
}

void doctor_clock(struct doctor *d)
{
    uint64_t proved = proved_time(d);
    char amount[AMOUNT_MAX];
    seconds_print(amount, proved > d->now ? proved - d->now : d->now - proved);
    if (!clock_is_plausible(d->now))
        doctor_find(d, "clock", DOCTOR_FAIL, "Set the clock.", "This machine's clock was never set.");
    else if (proved > d->now + 60)
        doctor_find(d, "clock", DOCTOR_FAIL, "Set the clock; until then nothing ends by it.",
                    "This machine's clock is %s behind what the network proves.", amount);
    else if (proved > 0 && d->now - proved > DAY && d->now > proved)
        doctor_find(d, "clock", DOCTOR_WARN, "If the clock is right, see why nothing was heard of the controller.",
                    "The latest time that the network proves is %s ago.", amount);
    else
        doctor_find(d, "clock", DOCTOR_OK, NULL, "It agrees with what the network proves.");
}
