#include "proc/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/messages.h"

#define DIRECTORIES 3
#define NO_DIRECTORY 0

/* linux/landlock.h of Debian 12 ends at version 2. */
struct ruleset {
    uint64_t files, tcp, scopes;
};
#define TRUNCATE (UINT64_C(1) << 14)
#define IOCTL_DEVICE (UINT64_C(1) << 15)
#define TCP (UINT64_C(3))    /* bind, connect */
#define SCOPES (UINT64_C(3)) /* abstract Unix sockets, signals */

/* What each version of the interface added; an older kernel refuses what it does not know. */
static const struct {
    int since;
    struct ruleset more;
} versions[] = {
    {1, {.files = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1}},
    {2, {.files = LANDLOCK_ACCESS_FS_REFER}},
    {3, {.files = TRUNCATE}},
    {4, {.tcp = TCP}},
    {5, {.files = IOCTL_DEVICE}},
    {6, {.scopes = SCOPES}},
};

/* To read, replace and remove plain files. */
#define OWN_FILES                                                                                 \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | TRUNCATE)

static const int directories[PROC_ROLES][DIRECTORIES] = {
    [PROC_KEYS] = {KEYS_FD_DIR},
    [PROC_STATE] = {STATE_FD_LEDGER, STATE_FD_OPENINGS, STATE_FD_OUTBOX},
};

static int version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

bool landlock_exists(void)
{
    return version() >= 1;
}

static struct ruleset all_of(int supported)
{
    struct ruleset all = {0};
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]) && versions[i].since <= supported; i++) {
        all.files |= versions[i].more.files;
        all.tcp |= versions[i].more.tcp;
        all.scopes |= versions[i].more.scopes;
    }
    return all;
}

static int allow_below(int ruleset, int directory, uint64_t files)
{
    const struct landlock_path_beneath_attr below = {.allowed_access = files, .parent_fd = directory};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &below, 0) == 0 ? 0 : ERROR_IO;
}

static int allow_root(int ruleset, uint64_t files)
{
    int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return ERROR_IO;
    int error = allow_below(ruleset, root, files);
    close(root);
    return error;
}

static int allow_own(int ruleset, enum proc_role role, uint64_t known)
{
    int error = role == PROC_CONTROLLER ? allow_root(ruleset, OWN_FILES & known) : 0;
    for (size_t i = 0; i < DIRECTORIES && directories[role][i] != NO_DIRECTORY && error == 0; i++)
        error = allow_below(ruleset, directories[role][i], OWN_FILES & known);
    return error;
}

int landlock_enter(enum proc_role role)
{
    const struct ruleset all = all_of(version());
    if (all.files == 0)
        return 0;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    if (ruleset < 0)
        return ERROR_PERMISSION;
    int error = allow_own(ruleset, role, all.files);
    if (error == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        error = ERROR_PERMISSION;
    close(ruleset);
    return error;
}
