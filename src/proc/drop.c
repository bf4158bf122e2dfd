#include "proc/drop.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc/landlock.h"
#include "proc/sandbox.h"

#define FD_LAST 63 /* of DROP_FD */
#define CAPABILITY_LAST 63
#define NOFILE_DEFAULT 64

/* Those who hold a private key, or what opens a session. */
static const bool locked[PROC_ROLES] = {[PROC_KEYS] = true, [PROC_ENGINE] = true, [PROC_CONTROLLER] = true};

static const uid_t fixed_ids[PROC_ROLES] = {
    [PROC_KEYS] = 61101, [PROC_ENGINE] = 61102, [PROC_STATE] = 61103, [PROC_CONTROLLER] = 61104};

void drop_ids(enum proc_role role, uid_t *uid, gid_t *gid)
{
    const struct passwd *user = role == PROC_PARENT ? NULL : getpwnam("_nightjar");
    *uid = user ? user->pw_uid : fixed_ids[role];
    *gid = user ? user->pw_gid : fixed_ids[role];
}

static int close_others(uint64_t kept)
{
    for (unsigned fd = 3; fd <= FD_LAST; fd++)
        if ((kept & DROP_FD(fd)) == 0)
            close((int)fd);
    return close_range(FD_LAST + 1, ~0u, 0) == 0 ? 0 : ERROR_IO;
}

static int limit(int resource, rlim_t most)
{
    struct rlimit both = {.rlim_cur = most, .rlim_max = most};
    return setrlimit(resource, &both) == 0 ? 0 : ERROR_PERMISSION;
}

static int limit_process(const struct drop *what)
{
    umask(077);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || limit(RLIMIT_CORE, 0) != 0)
        return ERROR_PERMISSION;
    return limit(RLIMIT_NOFILE, what->nofile ? what->nofile : NOFILE_DEFAULT);
}

/* So much of the heap is there before it is locked. */
#define HEAP_RESERVED (1 << 20)

/* On fault, so that nothing is brought in for it. Where the limit can't be lifted, what is mapped later stays unlocked,
 * since it would fail: the heap gets its room before. */
int drop_lock_memory(void)
{
    struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    if (geteuid() != 0)
        return 0;
    if (setrlimit(RLIMIT_MEMLOCK, &none) == 0)
        return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 ? 0 : ERROR_PERMISSION;
    mallopt(M_TOP_PAD, HEAP_RESERVED);
    mallopt(M_TRIM_THRESHOLD, 2 * HEAP_RESERVED);
    free(malloc(HEAP_RESERVED / 16));
    int ignored = mlockall(MCL_CURRENT | MCL_ONFAULT); /* without CAP_IPC_LOCK nothing is locked */
    (void)ignored;
    return 0;
}

static int confine(const char *root)
{
    if (chroot(root) != 0 || chdir("/") != 0)
        return errno == ENOENT ? ERROR_NOT_FOUND : ERROR_PERMISSION;
    return 0;
}

static int set_capabilities(uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
        {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, data) == 0 ? 0 : ERROR_PERMISSION;
}

/* Unknown to the kernel: EINVAL, which ends it. */
static void empty_bounding_set(void)
{
    for (unsigned long capability = 0; capability <= CAPABILITY_LAST; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
            return;
}

static int become(uid_t uid, gid_t gid)
{
    uid_t real, effective, saved;
    empty_bounding_set();
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return ERROR_PERMISSION;
    if (getresuid(&real, &effective, &saved) != 0 || real != uid || effective != uid || saved != uid || setuid(0) == 0)
        return ERROR_PERMISSION;
    return set_capabilities(0);
}

int drop_privileges(const struct drop *what)
{
    uid_t uid;
    gid_t gid;
    int error = close_others(what->fds | DROP_FD(0) | DROP_FD(1) | DROP_FD(2));
    if (error == 0)
        error = limit_process(what);
    if (error == 0 && locked[what->role])
        error = drop_lock_memory();
    if (error == 0 && geteuid() == 0) {
        drop_ids(what->role, &uid, &gid); /* before the files are out of reach */
        error = confine(what->root ? what->root : DROP_EMPTY);
        if (error == 0)
            error = become(uid, gid);
    }
    /* After the change of ids, which resets both: no dumps, no tracing, and no life without the parent. */
    if (error == 0 && (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0))
        error = ERROR_PERMISSION;
    if (error == 0)
        error = landlock_enter(what->role);
    return error == 0 ? sandbox_enter(what->role) : error; /* last: what is above is not among its calls */
}

int drop_in_parent(bool starts_others_later)
{
    if (limit(RLIMIT_CORE, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return ERROR_PERMISSION;
    if (!starts_others_later && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return ERROR_PERMISSION;
    return sandbox_deny();
}

int drop_capabilities(uint64_t kept)
{
    if (geteuid() != 0)
        return 0;
    return set_capabilities(kept);
}
