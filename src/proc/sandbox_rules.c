#include "proc/sandbox_rules.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "proc/messages.h"

/* A call, why, and what its arguments must be. Reasons are for readers, and not part of the program. */
#define RULE(name, why)        \
    {                          \
        .call = SCMP_SYS(name) \
    }
#define RULE1(name, why, a)                                     \
    {                                                           \
        .call = SCMP_SYS(name), .count = 1, .conditions = { a } \
    }
#define RULE2(name, why, a, b)                                     \
    {                                                              \
        .call = SCMP_SYS(name), .count = 2, .conditions = { a, b } \
    }
#define RULE3(name, why, a, b, c)                                     \
    {                                                                 \
        .call = SCMP_SYS(name), .count = 3, .conditions = { a, b, c } \
    }

/* Arguments count from 0; the kernel takes ints, whatever the upper half of a register holds. */
#define IS(argument, value)                                           \
    {                                                                 \
        (argument), SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint32_t)(value) \
    }
#define HAS(argument, bits)                                                \
    {                                                                      \
        (argument), SCMP_CMP_MASKED_EQ, (uint32_t)(bits), (uint32_t)(bits) \
    }
#define EXACTLY(argument, bits, of)                                      \
    {                                                                    \
        (argument), SCMP_CMP_MASKED_EQ, (uint32_t)(of), (uint32_t)(bits) \
    }
#define LACKS(argument, bits)                               \
    {                                                       \
        (argument), SCMP_CMP_MASKED_EQ, (uint32_t)(bits), 0 \
    }

#define TABLE(rules)                            \
    {                                           \
        rules, sizeof(rules) / sizeof(rules[0]) \
    }

/* ---- Every role ---- */

static const struct sandbox_rule common_rules[] = {
    RULE(read, "wake-ups and timers; files; packets of the TUN"),
    RULE(write, "the log, wake-ups; files"),
    RULE(close, "what it opened"),
    RULE(recvmsg, "links to the other processes"),
    RULE(sendmsg, "the same"),
    RULE(poll, "waiting for links"),
    RULE(ppoll, "poll, where there is no other"),
    RULE(ppoll_time64, "the same, 32-bit"),
    RULE1(fcntl, "links", IS(1, F_GETFL)),
    RULE1(fcntl, "links do not block", IS(1, F_SETFL)),
    RULE1(fcntl, "which descriptors there are", IS(1, F_GETFD)),
    RULE1(fcntl, "close-on-exec", IS(1, F_SETFD)),
    RULE1(fcntl, "descriptors that wait to be passed on", IS(1, F_DUPFD_CLOEXEC)),
    RULE1(fcntl64, "as fcntl, 32-bit", IS(1, F_GETFL)),
    RULE1(fcntl64, "as fcntl, 32-bit", IS(1, F_SETFL)),
    RULE1(fcntl64, "as fcntl, 32-bit", IS(1, F_GETFD)),
    RULE1(fcntl64, "as fcntl, 32-bit", IS(1, F_SETFD)),
    RULE1(fcntl64, "as fcntl, 32-bit", IS(1, F_DUPFD_CLOEXEC)),
    RULE(brk, "malloc"),
    RULE1(mmap, "malloc, stacks; never code", LACKS(2, PROT_EXEC)),
    RULE1(mmap2, "as mmap, 32-bit", LACKS(2, PROT_EXEC)),
    RULE1(mprotect, "malloc's arenas, guard pages; never code", LACKS(2, PROT_EXEC)),
    RULE(mremap, "tables that grow"),
    RULE(munmap, "free"),
    RULE(munlock, "before code is given back"),
    RULE(madvise, "malloc, stacks and code give memory back"),
    RULE(futex, "locks: malloc, OpenSSL, threads"),
    RULE(futex_time64, "the same, 32-bit"),
    RULE(getrandom, "keys, nonces, OpenSSL's seed"),
    RULE(clock_gettime, "time, where the vDSO has none"),
    RULE(clock_gettime64, "the same, 32-bit"),
    RULE(gettimeofday, "the same"),
    RULE(time, "the same"),
    RULE(clock_nanosleep, "waits of libraries: OpenSSL for entropy, SQLite for a lock"),
    RULE(clock_nanosleep_time64, "the same, 32-bit"),
    RULE(nanosleep, "the same"),
    RULE(sched_yield, "the same"),
    RULE(getpid, "OpenSSL tells a fork by it; abort"),
    RULE(gettid, "abort"),
    RULE(rt_sigaction, "abort"),
    RULE(rt_sigprocmask, "abort; threads"),
    RULE(rt_sigreturn, "end of a signal's handler, of which there is none but in the C library"),
    RULE(restart_syscall, "a wait goes on after a stop"),
    RULE(sysinfo, "qsort asks how much memory there is"),
    RULE(exit, "a thread's end"),
    RULE(exit_group, "the end"),
};
static const struct sandbox_table common = TABLE(common_rules);

/* ---- What waits in an event loop ---- */

static const struct sandbox_rule loop_rules[] = {
    RULE(epoll_create1, "the loop"),   RULE(epoll_ctl, "the loop"),
    RULE(epoll_wait, "the loop"),      RULE(epoll_pwait, "the same, on newer architectures"),
    RULE(eventfd2, "wake-ups"),        RULE(timerfd_create, "deadlines that count a suspend"),
    RULE(timerfd_settime, "the same"), RULE(timerfd_settime64, "the same, 32-bit"),
};
static const struct sandbox_table loop = TABLE(loop_rules);

/* ---- What keeps files ---- */

static const struct sandbox_rule file_rules[] = {
    RULE(lseek, "the size of a file"),
    RULE(_llseek, "the same, 32-bit"),
    RULE(fstat, "plain files alone are read"),
    RULE(fstat64, "the same, 32-bit"),
    RULE1(newfstatat, "fstat, as glibc calls it", HAS(3, AT_EMPTY_PATH)),
    RULE1(fstatat64, "the same, 32-bit", HAS(3, AT_EMPTY_PATH)),
    RULE1(statx, "the same, 32-bit", HAS(2, AT_EMPTY_PATH)),
    RULE(ftruncate, "what a loss of power cut off a log"),
    RULE(ftruncate64, "the same, 32-bit"),
    RULE(fdatasync, "durable before it is told"),
    RULE(fsync, "directories"),
    RULE(geteuid, "root gives what it writes to the role; here: it is not root"),
    RULE(geteuid32, "the same, 32-bit"),
};
static const struct sandbox_table files = TABLE(file_rules);

/* Names below a directory's descriptor, whose last part is no link. */
#define BELOW(directory)                                                                                 \
    RULE2(openat, "files by name", IS(0, directory), HAS(2, O_NOFOLLOW | O_CLOEXEC)),                    \
        RULE2(renameat, "a new file takes an old one's place", IS(0, directory), IS(2, directory)),      \
        RULE3(renameat2, "the same, newer architectures", IS(0, directory), IS(2, directory), IS(4, 0)), \
        RULE2(unlinkat, "what is no longer needed", IS(0, directory), IS(2, 0))

static const struct sandbox_rule keys_rules[] = {
    BELOW(KEYS_FD_DIR),
    RULE(mlock, "the private keys, where not all is locked"),
};
static const struct sandbox_table keys = TABLE(keys_rules);

static const struct sandbox_rule state_rules[] = {
    BELOW(STATE_FD_LEDGER),
    BELOW(STATE_FD_OPENINGS),
    BELOW(STATE_FD_OUTBOX),
    RULE(getdents64, "what the owner left in the outbox"),
    RULE1(accept4, "who speaks to the control socket", IS(0, STATE_FD_CONTROL)),
    RULE2(getsockopt, "who that is", IS(1, SOL_SOCKET), IS(2, SO_PEERCRED)),
    RULE2(getsockopt, "and its groups", IS(1, SOL_SOCKET), IS(2, SO_PEERGROUPS)),
    RULE1(recvfrom, "what it says; from a connection, so without an address", IS(4, 0)),
    RULE1(sendto, "what it is answered", IS(4, 0)),
};
static const struct sandbox_table state = TABLE(state_rules);

/* ---- The engine ---- */

/* A thread of its own, not a process, nor a namespace. s390 has the flags in the second place. */
#if defined(__s390__)
#define CLONE_FLAGS_ARGUMENT 1
#else
#define CLONE_FLAGS_ARGUMENT 0
#endif
#define NAMESPACES \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define OF_A_THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

static const struct sandbox_rule engine_rules[] = {
    RULE(recvmmsg, "datagrams"),
    RULE(recvmmsg_time64, "the same, 32-bit"),
    RULE(sendmmsg, "the same"),
    RULE(writev, "packets to the TUN"),
    RULE1(ioctl, "whether the TUN is still there, and its name", IS(1, TUNGETIFF)),
    RULE1(ioctl, "where the TUN is; refused without CAP_NET_ADMIN", IS(1, TUNGETDEVNETNS)),
    RULE1(ioctl, "the index of the TUN", IS(1, SIOCGIFINDEX)),
    RULE2(socket, "routes and addresses of the host", IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE)),
    RULE2(socket, "if_nametoindex asks through one", IS(0, AF_UNIX), HAS(1, SOCK_DGRAM)),
    RULE(bind, "netlink sockets to their groups; the port again, when it has moved"),
    RULE(getsockname, "a netlink socket's own number; the port"),
    RULE(setsockopt, "buffers and offloads of UDP sockets"),
    RULE(getsockopt, "the same"),
    RULE(sendto, "netlink"),
    RULE(recvfrom, "netlink"),
    RULE1(clone, "data threads, which end and start with the link",
          EXACTLY(CLONE_FLAGS_ARGUMENT, OF_A_THREAD, OF_A_THREAD | NAMESPACES)),
    RULE(set_robust_list, "a thread's start"),
    RULE(rseq, "the same"),
    RULE(sched_getaffinity, "how many processors there are, for malloc's arenas"),
};
static const struct sandbox_table engine = TABLE(engine_rules);

/* ---- The controller: SQLite, in a root that is its own directory ---- */

#define F2FS_FEATURES _IOR(0xf5, 12, uint32_t) /* linux/f2fs.h */

static const struct sandbox_rule controller_rules[] = {
    RULE(openat, "its store and key; there is nothing else below its root"),
    RULE(open, "the same, as SQLite may call it"),
    RULE(pread64, "the store"),
    RULE(pwrite64, "the same"),
    RULE(newfstatat, "the store's names"),
    RULE(fstatat64, "the same, 32-bit"),
    RULE(statx, "the same, 32-bit"),
    RULE(stat, "the same"),
    RULE(lstat, "the same"),
    RULE(access, "whether a journal is there"),
    RULE(faccessat, "the same"),
    RULE(faccessat2, "the same"),
    RULE(readlink, "the store's real name"),
    RULE(readlinkat, "the same"),
    RULE(getcwd, "the same"),
    RULE(unlink, "journals"),
    RULE(unlinkat, "the same"),
    RULE(renameat, "the key's file"),
    RULE(renameat2, "the same"),
    RULE1(fcntl, "the store's lock", IS(1, F_SETLK)),
    RULE1(fcntl, "the same", IS(1, F_GETLK)),
    RULE1(fcntl64, "the same, 32-bit", IS(1, F_SETLK)),
    RULE1(fcntl64, "the same, 32-bit", IS(1, F_GETLK)),
    RULE1(ioctl, "stdio: whether --init prints to a terminal", IS(1, TCGETS)),
    RULE1(ioctl, "SQLite: whether the file system is F2FS, where it is built so", IS(1, F2FS_FEATURES)),
    RULE(fchmod, "journals have the store's mode"),
    RULE(getuid, "SQLite"),
};
static const struct sandbox_table controller = TABLE(controller_rules);

/* ---- The parent: what neither it, nor a child before it has dropped, nor nft ever needs ---- */

static const struct sandbox_rule denied_rules[] = {
    RULE(ptrace, "other processes' memory"),
    RULE(process_vm_readv, "the same"),
    RULE(process_vm_writev, "the same"),
    RULE(process_madvise, "the same"),
    RULE(pidfd_getfd, "other processes' descriptors"),
    RULE(kcmp, "other processes' secrets"),
    RULE(init_module, "the kernel's code"),
    RULE(finit_module, "the same"),
    RULE(delete_module, "the same"),
    RULE(create_module, "the same"),
    RULE(kexec_load, "another kernel"),
    RULE(kexec_file_load, "the same"),
    RULE(reboot, "the host's end"),
    RULE(bpf, "code in the kernel"),
    RULE(perf_event_open, "measuring others; a large surface"),
    RULE(userfaultfd, "makes races of the kernel easy"),
    RULE(io_uring_setup, "calls that no filter sees"),
    RULE(io_uring_enter, "the same"),
    RULE(io_uring_register, "the same"),
    RULE(add_key, "the kernel's keyrings"),
    RULE(keyctl, "the same"),
    RULE(request_key, "the same"),
    RULE(mount, "file systems"),
    RULE(umount, "the same"),
    RULE(umount2, "the same"),
    RULE(pivot_root, "the same"),
    RULE(open_tree, "the same"),
    RULE(move_mount, "the same"),
    RULE(fsopen, "the same"),
    RULE(fsconfig, "the same"),
    RULE(fsmount, "the same"),
    RULE(fspick, "the same"),
    RULE(mount_setattr, "the same"),
    RULE(open_by_handle_at, "files past their directories, a way out of a root"),
    RULE(mknod, "devices"),
    RULE(mknodat, "the same"),
    RULE(unshare, "namespaces"),
    RULE(setns, "the same"),
    RULE(swapon, "memory to a disk"),
    RULE(swapoff, "the same"),
    RULE(acct, "accounting"),
    RULE(quotactl, "quotas"),
    RULE(fanotify_init, "watching everybody's files"),
    RULE(lookup_dcookie, "profiling"),
    RULE(nfsservctl, "a server in the kernel"),
    RULE(settimeofday, "the host's clock"),
    RULE(clock_settime, "the same"),
    RULE(clock_settime64, "the same, 32-bit"),
    RULE(clock_adjtime, "the same"),
    RULE(clock_adjtime64, "the same, 32-bit"),
    RULE(adjtimex, "the same"),
    RULE(stime, "the same"),
    RULE(sethostname, "the host's name"),
    RULE(setdomainname, "the same"),
    RULE(syslog, "the kernel's log, with its addresses"),
    RULE(personality, "executable memory by default"),
    RULE(modify_ldt, "segments, a source of old flaws"),
    RULE(iopl, "the machine's ports"),
    RULE(ioperm, "the same"),
    RULE(vm86, "16-bit code"),
    RULE(vm86old, "the same"),
    RULE(vhangup, "others' terminals"),
    RULE1(ioctl, "typing into a terminal", IS(1, TIOCSTI)),
};
static const struct sandbox_table denied = TABLE(denied_rules);

const struct sandbox_table *const sandbox_tables[PROC_ROLES][SANDBOX_TABLES] = {
    [PROC_PARENT] = {&denied},
    [PROC_KEYS] = {&common, &files, &keys},
    [PROC_ENGINE] = {&common, &loop, &engine},
    [PROC_STATE] = {&common, &loop, &files, &state},
    [PROC_CONTROLLER] = {&common, &loop, &files, &controller},
};
