#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/files.h"
#include "proc/messages.h"
#include "proc/sandbox.h"

#define REFUSED 43 /* a permitted one that did not work */

/* What a test does in a process of its own; 0: it worked. */
typedef int act(void);

static bool is_skipped(void)
{
    if (!sandbox_exists())
        print_message("# skipped: built without system call filters\n");
    return !sandbox_exists();
}

#define NOBODY 65534

/* Where roles keep files in these tests: every directory that a role has is this one. */
static int make_place(void **state)
{
    static char place[] = "/tmp/nj-sandbox-XXXXXX";
    *state = place;
    return mkdtemp(place) && chmod(place, 0777) == 0 && chdir(place) == 0 ? 0 : -1;
}

static int remove_place(void **state)
{
    return rmdir(*state);
}

/* No role is root. */
static int become_nobody(void)
{
    return geteuid() != 0 || (setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0) ? 0
                                                                                                                : -1;
}

/* The status of a process that enters the sandbox and acts. */
static int status_of(enum proc_role role, act *what)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int dir = open(".", O_RDONLY | O_DIRECTORY);
        for (int fd = KEYS_FD_DIR; fd <= STATE_FD_OUTBOX; fd++)
            dup2(dir, fd);
        int error = become_nobody() != 0 ? -1 : prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (error == 0)
            error = role == PROC_PARENT ? sandbox_deny() : sandbox_enter(role);
        _exit(error != 0 ? error : what() == 0 ? 0 : REFUSED);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static const enum proc_role roles[] = {PROC_KEYS, PROC_ENGINE, PROC_STATE, PROC_CONTROLLER};
#define ROLES (sizeof(roles) / sizeof(roles[0]))

static void dies(enum proc_role role, const char *name, act *what)
{
    int status = status_of(role, what);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        fail_msg("%s: %s: status %#x", proc_role_name(role), name, (unsigned)status);
}

static void works(enum proc_role role, const char *name, act *what)
{
    int status = status_of(role, what);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: %s: status %#x", proc_role_name(role), name, (unsigned)status);
}

/* ---- What nobody may ---- */

static int executes(void)
{
    char name[] = "true";
    char *argv[] = {name, NULL};
    return execve("/bin/true", argv, NULL);
}

static int forks(void)
{
    return fork() < 0 ? -1 : 0;
}

static int makes_a_thread_in_a_namespace(void)
{
    return (int)syscall(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWNET,
                        NULL, NULL, NULL, 0);
}

static int traces(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int maps_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int makes_code(void)
{
    static _Alignas(4096) uint8_t page[4096];
    return mprotect(page, sizeof(page), PROT_READ | PROT_EXEC);
}

static int opens_a_tcp_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? -1 : 0;
}

static int opens_a_udp_socket(void)
{
    return socket(AF_INET6, SOCK_DGRAM, 0) < 0 ? -1 : 0;
}

static int opens_a_packet_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) < 0 ? -1 : 0;
}

static int connects(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    return connect(1, (struct sockaddr *)&to, sizeof(to));
}

static int types_into_a_terminal(void)
{
    return ioctl(0, TIOCSTI, "x");
}

static int signals_its_parent(void)
{
    return kill(getppid(), 0);
}

static int signals_a_thread_of_its_parent(void)
{
    return (int)syscall(SYS_tgkill, getpid() - 1, getpid() - 1, SIGABRT);
}

static int becomes_root(void)
{
    return setuid(0);
}

static int changes_its_root(void)
{
    return chroot("/");
}

static int lets_itself_be_dumped(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int reads_anothers_memory(void)
{
    return (int)syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}

static int loads_into_the_kernel(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int has_calls_made_for_it(void)
{
    return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

static int lists_a_directory_by_name(void)
{
    return open("/", O_RDONLY | O_DIRECTORY) < 0 ? -1 : 0;
}

static int reads_a_file_by_name(void)
{
    return open("/etc/passwd", O_RDONLY | O_NOFOLLOW | O_CLOEXEC) < 0 ? -1 : 0;
}

static const struct {
    const char *name;
    act *what;
    bool controller_may; /* which has a root of its own */
} forbidden[] = {
    {"executes", executes, false},
    {"forks", forks, false},
    {"makes a thread in a namespace", makes_a_thread_in_a_namespace, false},
    {"traces", traces, false},
    {"maps code", maps_code, false},
    {"makes code", makes_code, false},
    {"opens a TCP socket", opens_a_tcp_socket, false},
    {"opens a UDP socket", opens_a_udp_socket, false},
    {"opens a packet socket", opens_a_packet_socket, false},
    {"connects", connects, false},
    {"types into a terminal", types_into_a_terminal, false},
    {"signals its parent", signals_its_parent, false},
    {"signals a thread of its parent", signals_a_thread_of_its_parent, false},
    {"becomes root", becomes_root, false},
    {"changes its root", changes_its_root, false},
    {"lets itself be dumped", lets_itself_be_dumped, false},
    {"reads another's memory", reads_anothers_memory, false},
    {"loads into the kernel", loads_into_the_kernel, false},
    {"has calls made for it", has_calls_made_for_it, false},
    {"lists a directory by name", lists_a_directory_by_name, true},
    {"reads a file by name", reads_a_file_by_name, true},
};

static void a_forbidden_call_ends_every_role(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    for (size_t r = 0; r < ROLES; r++)
        for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
            if (roles[r] != PROC_CONTROLLER || !forbidden[i].controller_may)
                dies(roles[r], forbidden[i].name, forbidden[i].what);
}

/* ---- What all may ---- */

static int uses_memory(void)
{
    for (size_t size = 16; size < (64u << 20); size *= 4) {
        uint8_t *p = malloc(size);
        uint8_t *more = p ? realloc(p, 2 * size) : NULL;
        if (!more)
            return -1;
        more[0] = more[2 * size - 1] = 1;
        free(more);
    }
    return 0;
}

static int asks_the_time_and_for_randomness(void)
{
    struct timespec now;
    uint8_t bytes[16];
    return (int)syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &now) == 0 && getentropy(bytes, sizeof(bytes)) == 0 ? 0 : -1;
}

static int logs(void)
{
    return fprintf(stderr, "# a line\n") > 0 ? 0 : -1;
}

static int is_told_that_there_is_no_clone3(void)
{
    return syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS ? 0 : -1;
}

static void every_role_may_use_memory_time_randomness_and_the_log(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    for (size_t r = 0; r < ROLES; r++) {
        works(roles[r], "memory", uses_memory);
        works(roles[r], "time", asks_the_time_and_for_randomness);
        works(roles[r], "log", logs);
        works(roles[r], "clone3", is_told_that_there_is_no_clone3);
    }
}

static int aborts(void)
{
    abort();
}

static void abort_is_seen_as_what_it_is(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    for (size_t r = 0; r < ROLES; r++) {
        int status = status_of(roles[r], aborts);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

/* ---- What some may ---- */

static void *thread(void *argument)
{
    return malloc(1000) ? argument : NULL;
}

static int runs_a_thread(void)
{
    pthread_t t;
    void *result = NULL;
    static int here;
    return pthread_create(&t, NULL, thread, &here) == 0 && pthread_join(t, &result) == 0 && result == &here ? 0 : -1;
}

static int asks_for_interfaces(void)
{
    return if_nametoindex("lo") == 0 || socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) < 0 ? -1 : 0;
}

static int asks_another_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 9 /* NETLINK_AUDIT */) < 0 ? -1 : 0;
}

static void the_engine_alone_has_threads_and_asks_for_interfaces(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    works(PROC_ENGINE, "thread", runs_a_thread);
    works(PROC_ENGINE, "interfaces", asks_for_interfaces);
    dies(PROC_ENGINE, "another netlink", asks_another_netlink);
    for (size_t r = 0; r < ROLES; r++)
        if (roles[r] != PROC_ENGINE) {
            dies(roles[r], "thread", runs_a_thread);
            dies(roles[r], "interfaces", asks_for_interfaces);
        }
}

static int keeps_files_in(int dir)
{
    struct files f = files_in(dir);
    uint8_t bytes[5];
    size_t len = 0;
    if (files_write(&f, "sandbox-test", "bytes", 5) != 0 || files_read(&f, "sandbox-test", bytes, 5, &len) != 0 ||
        len != 5)
        return -1;
    return files_remove(&f, "sandbox-test");
}

static int keeps_keys(void)
{
    return keeps_files_in(KEYS_FD_DIR);
}

static int keeps_openings(void)
{
    return keeps_files_in(STATE_FD_OPENINGS);
}

static int keeps_an_outbox(void)
{
    return keeps_files_in(STATE_FD_OUTBOX);
}

static int skip_name(void *context, const char *name)
{
    (void)context;
    (void)name;
    return 0;
}

static int lists_its_outbox(void)
{
    struct files f = files_in(STATE_FD_OUTBOX);
    return files_each(&f, skip_name, NULL);
}

static void files_are_those_below_a_roles_own_directories(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    works(PROC_KEYS, "keys", keeps_keys);
    works(PROC_STATE, "openings", keeps_openings);
    works(PROC_STATE, "outbox", keeps_an_outbox);
    works(PROC_STATE, "list", lists_its_outbox);
    dies(PROC_KEYS, "another directory", keeps_openings);
    dies(PROC_KEYS, "list", lists_its_outbox);
    dies(PROC_ENGINE, "keys", keeps_keys);
}

static int follows_a_link(void)
{
    return openat(KEYS_FD_DIR, "sandbox-link", O_RDONLY | O_CLOEXEC) < 0 ? -1 : 0;
}

static int follows_no_link(void)
{
    return openat(KEYS_FD_DIR, "sandbox-link", O_RDONLY | O_CLOEXEC | O_NOFOLLOW) < 0 && errno == ENOENT ? 0 : -1;
}

static int accepts_there(void)
{
    return accept4(STATE_FD_CONTROL, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EBADF ? 0 : -1;
}

static int accepts_elsewhere(void)
{
    return accept4(STATE_FD_CONTROL + 1, NULL, NULL, SOCK_CLOEXEC);
}

static int sends_to_an_address(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    return (int)sendto(1, "x", 1, 0, (struct sockaddr *)&to, sizeof(to));
}

static void descriptors_and_flags_are_looked_at(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    works(PROC_KEYS, "no link", follows_no_link);
    dies(PROC_KEYS, "link", follows_a_link);
    works(PROC_STATE, "accepts", accepts_there);
    dies(PROC_STATE, "accepts elsewhere", accepts_elsewhere);
    dies(PROC_STATE, "sends to an address", sends_to_an_address);
    dies(PROC_KEYS, "accepts", accepts_there);
    dies(PROC_ENGINE, "accepts", accepts_there);
}

static int asks_whether_it_is_a_terminal(void)
{
    isatty(1);
    return 0;
}

static void the_controller_may_print_to_a_terminal(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    works(PROC_CONTROLLER, "isatty", asks_whether_it_is_a_terminal);
    dies(PROC_KEYS, "isatty", asks_whether_it_is_a_terminal);
}

/* ---- The parent ---- */

static int is_denied_what_it_never_needs(void)
{
    return traces() < 0 && errno == EPERM && unshare(CLONE_NEWUSER) < 0 && errno == EPERM &&
                   loads_into_the_kernel() < 0 && errno == EPERM && has_calls_made_for_it() < 0 && errno == EPERM
               ? 0
               : -1;
}

static int starts_a_program(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(executes());
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static int has_a_child_that_enters(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(sandbox_enter(PROC_KEYS) == 0 && asks_the_time_and_for_randomness() == 0 ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static void the_parent_is_denied_some_and_goes_on(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    works(PROC_PARENT, "denied", is_denied_what_it_never_needs);
    works(PROC_PARENT, "program", starts_a_program);
    works(PROC_PARENT, "child", has_a_child_that_enters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forbidden_call_ends_every_role),
        cmocka_unit_test(every_role_may_use_memory_time_randomness_and_the_log),
        cmocka_unit_test(abort_is_seen_as_what_it_is),
        cmocka_unit_test(the_engine_alone_has_threads_and_asks_for_interfaces),
        cmocka_unit_test(files_are_those_below_a_roles_own_directories),
        cmocka_unit_test(descriptors_and_flags_are_looked_at),
        cmocka_unit_test(the_controller_may_print_to_a_terminal),
        cmocka_unit_test(the_parent_is_denied_some_and_goes_on),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
