#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/files.h"
#include "proc/landlock.h"
#include "proc/messages.h"

#define NOBODY 65534

typedef bool act(void);

static bool is_skipped(void)
{
    if (!landlock_exists())
        print_message("# skipped: no Landlock\n");
    return !landlock_exists();
}

static int make_place(void **state)
{
    static char place[] = "/tmp/nj-landlock-XXXXXX";
    *state = place;
    return mkdtemp(place) && chmod(place, 0777) == 0 && chdir(place) == 0 ? 0 : -1;
}

static int remove_place(void **state)
{
    return rmdir(*state);
}

/* In a process of its own, as a role whose every directory is this one. */
static bool holds(enum proc_role role, act *what)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int dir = open(".", O_RDONLY | O_DIRECTORY);
        for (int fd = KEYS_FD_DIR; fd <= STATE_FD_OUTBOX; fd++)
            dup2(dir, fd);
        bool entered = (geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0) &&
                       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && landlock_enter(role) == 0;
        _exit(entered && what() ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status == 0;
}

static bool reads(int dir, const char *path)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool a_way_out_is_closed(void)
{
    return !reads(KEYS_FD_DIR, "../../etc/passwd") && errno == EACCES && !reads(AT_FDCWD, "/etc/passwd") &&
           !reads(KEYS_FD_DIR, "..");
}

static bool own_files_are_kept(void)
{
    struct files f = files_in(KEYS_FD_DIR);
    uint8_t bytes[5];
    size_t len = 0;
    return files_write(&f, "landlock-test", "first", 5) == 0 && files_write(&f, "landlock-test", "bytes", 5) == 0 &&
           files_read(&f, "landlock-test", bytes, 5, &len) == 0 && memcmp(bytes, "bytes", 5) == 0 &&
           files_remove(&f, "landlock-test") == 0;
}

static bool nothing_but_plain_files_is_made(void)
{
    return mkdirat(KEYS_FD_DIR, "landlock-dir", 0700) != 0 && symlinkat("/", KEYS_FD_DIR, "landlock-link") != 0 &&
           mknodat(KEYS_FD_DIR, "landlock-pipe", S_IFIFO | 0600, 0) != 0;
}

static bool no_file_is_reached(void)
{
    return a_way_out_is_closed() && !reads(KEYS_FD_DIR, ".");
}

static void a_directory_leads_nowhere_else(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    assert_true(reads(AT_FDCWD, "../../etc/passwd")); /* the control */
    assert_true(holds(PROC_KEYS, a_way_out_is_closed));
    assert_true(holds(PROC_STATE, a_way_out_is_closed));
    assert_true(holds(PROC_CONTROLLER, a_way_out_is_closed));
}

static void files_below_it_are_kept(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    assert_true(holds(PROC_KEYS, own_files_are_kept));
    assert_true(holds(PROC_STATE, own_files_are_kept));
    assert_true(holds(PROC_KEYS, nothing_but_plain_files_is_made));
    assert_true(holds(PROC_CONTROLLER, nothing_but_plain_files_is_made));
}

static void the_engine_reaches_no_file(void **state)
{
    (void)state;
    if (is_skipped())
        return;
    assert_true(holds(PROC_ENGINE, no_file_is_reached));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_leads_nowhere_else),
        cmocka_unit_test(files_below_it_are_kept),
        cmocka_unit_test(the_engine_reaches_no_file),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
