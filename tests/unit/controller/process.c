/* The real program, over a socketpair as nightjard gives it one, killed at any moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../ledger/founding.h"
#include "../random.h"
#include "proc/messages.h"
#include "proc/permits.h"
#include "wire/frame.h"

#define PATIENCE_MS 10000
#define DEVICES_MAX 40

struct place {
    struct crypto *crypto;
    struct founding founding;
    char program[512], parent[32], dir[64];
    pid_t pid;
    struct ipc *ipc;
};

static void find_program(char *out, size_t size)
{
    char self[256];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(len > 0);
    self[len] = 0;
    for (int i = 0; i < 3; i++) /* build/tests/unit/test-... */
        *strrchr(self, '/') = 0;
    snprintf(out, size, "%s/nightjar-controller", self);
}

static int wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Runs it with an option and this as its input. */
static int run(struct place *p, const char *option, const struct blob_writer *input)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fds[0], 0);
        close(pipe_fds[1]);
        dup2(open("/dev/null", O_WRONLY), 1);
        execl(p->program, "nightjar-controller", option, p->dir, (char *)NULL);
        _exit(127);
    }
    close(pipe_fds[0]);
    if (input)
        assert_int_equal(write(pipe_fds[1], input->bytes, input->len), (ssize_t)input->len);
    close(pipe_fds[1]);
    return wait_for(pid);
}

/* The key that the example's founding names, in the place of the random one. */
static void put_key(struct place *p)
{
    char name[128];
    uint8_t seed[32];
    seed_of(seed, SEQUENCER);
    snprintf(name, sizeof(name), "%s/sequencer", p->dir);
    FILE *f = fopen(name, "r+");
    assert_non_null(f);
    assert_int_equal(fwrite(seed, 1, sizeof(seed), f), sizeof(seed));
    fclose(f);
}

/* What can't be traced can't be searched for leaks; the program is so on purpose. */
static void forbid_leak_search(void)
{
    char options[512];
    const char *given = getenv("ASAN_OPTIONS");
    snprintf(options, sizeof(options), "%s:detect_leaks=0", given ? given : "");
    setenv("ASAN_OPTIONS", options, 1);
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    struct blob_writer w;
    assert_non_null(p);
    assert_int_equal(crypto_new(&p->crypto, CRYPTO_BULK_OPENSSL), 0);
    founding_make(&p->founding, p->crypto);
    forbid_leak_search();
    find_program(p->program, sizeof(p->program));
    strcpy(p->parent, "/tmp/nj-controller-XXXXXX");
    assert_non_null(mkdtemp(p->parent));
    snprintf(p->dir, sizeof(p->dir), "%s/controller", p->parent);
    assert_int_equal(run(p, "--init", NULL), 0);
    put_key(p);
    founding_blob(&w, &p->founding);
    assert_int_equal(run(p, "--found", &w), 0);
    assert_int_equal(run(p, "--found", &w), 0); /* again is the same */
    free(w.bytes);
    *state = p;
    return 0;
}

static void start_limited(struct place *p, rlim_t file_size)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    p->pid = fork();
    if (p->pid == 0) {
        struct rlimit most = {file_size, file_size};
        if (file_size != RLIM_INFINITY)
            setrlimit(RLIMIT_FSIZE, &most);
        /* It may have that number already, and would then be closed. */
        if (dup2(fds[1], CONTROLLER_FD_ENGINE) >= 0 && fcntl(CONTROLLER_FD_ENGINE, F_SETFD, 0) == 0) {
            dup2(open("/dev/null", O_WRONLY), 2);
            execl(p->program, "nightjar-controller", "--serve", p->dir, (char *)NULL);
        }
        _exit(127);
    }
    close(fds[1]);
    assert_int_equal(permits_open(&p->ipc, fds[0], PROC_ENGINE, PROC_CONTROLLER), 0);
}

static void start(struct place *p)
{
    start_limited(p, RLIM_INFINITY);
}

static int stop(struct place *p, int signal_number)
{
    if (signal_number)
        kill(p->pid, signal_number);
    ipc_free(p->ipc);
    p->ipc = NULL;
    int status = wait_for(p->pid);
    p->pid = 0;
    return status;
}

static int teardown(void **state)
{
    struct place *p = *state;
    static const char *const files[] = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-journal", "sequencer"};
    if (p->pid)
        stop(p, SIGKILL);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s/%s", p->dir, files[i]);
        unlink(name);
    }
    rmdir(p->dir);
    rmdir(p->parent);
    crypto_free(p->crypto);
    free(p);
    return 0;
}

static void give(struct place *p, const struct frame *f)
{
    struct ipc_frame head = {0};
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(f, bytes, sizeof(bytes));
    assert_true(len > 0);
    memset(head.device, 0xff, sizeof(head.device));
    int error = ipc_send2(p->ipc, IPC_FRAME, &head, sizeof(head), bytes, (size_t)len);
    assert_true(error == 0 || error == ERROR_GONE);
    ipc_flush(p->ipc);
}

/* The next frame of that kind; false: it ended, or nothing came in time. */
static bool next(struct place *p, enum frame_kind kind, int patience, struct frame *out)
{
    struct pollfd waits = {.fd = ipc_fd(p->ipc), .events = POLLIN};
    for (;;) {
        struct ipc_message m;
        int error = ipc_receive(p->ipc, &m);
        if (error == ERROR_AGAIN && poll(&waits, 1, patience) <= 0)
            return false;
        if (error && error != ERROR_AGAIN)
            return false;
        if (error)
            continue;
        assert_int_equal(m.kind, IPC_FRAME);
        assert_int_equal(m.bytes[0], 0xff);
        assert_int_equal(frame_decode(out, m.bytes + sizeof(struct ipc_frame), m.len - sizeof(struct ipc_frame)), 0);
        if (out->kind == kind)
            return true;
    }
}

static void hand_in(struct place *p, const struct made *m, bool is_join)
{
    struct frame f = {.kind = FRAME_JOIN, .join.statement = {m->bytes, m->len}};
    struct blob_writer w = {0};
    if (!is_join) {
        submission_make(&w, m, false);
        f = (struct frame){.kind = FRAME_STATEMENT, .statement = {.total = w.len, .bytes = {w.bytes, w.len}}};
        assert_int_equal(crypto_sha256(p->crypto, f.statement.hash, w.bytes, w.len), 0);
    }
    give(p, &f);
    free(w.bytes);
}

static struct frame_joined outcome(struct place *p, const struct made *m, bool is_join)
{
    struct frame f;
    hand_in(p, m, is_join);
    do
        assert_true(next(p, FRAME_JOINED, PATIENCE_MS, &f));
    while (memcmp(f.joined.statement, m->hash, SHA256_SIZE) != 0);
    return f.joined;
}

static void it_says_its_head_at_once(void **state)
{
    struct place *p = *state;
    struct frame f;
    struct signed_head h;
    start(p);
    assert_true(next(p, FRAME_NOTICE, PATIENCE_MS, &f));
    signed_head_decode(&h, f.notice.head.bytes);
    assert_int_equal(signed_head_verify(p->crypto, &h, &p->founding.network), 0);
    assert_int_equal(h.head.index, FOUNDING_ENTRIES - 1);
}

static void it_ends_with_the_engine(void **state)
{
    struct place *p = *state;
    struct frame f;
    start(p);
    assert_true(next(p, FRAME_NOTICE, PATIENCE_MS, &f));
    assert_int_equal(stop(p, 0), 0);
}

static void what_it_does_not_know_ends_it(void **state)
{
    struct place *p = *state;
    start(p);
    int error = ipc_send(p->ipc, IPC_STOP, NULL, 0);
    assert_int_equal(error, 0);
    assert_int_equal(wait_for(p->pid), 1);
    ipc_free(p->ipc);
    p->pid = 0;
}

static void without_its_key_it_does_not_begin(void **state)
{
    struct place *p = *state;
    char name[128];
    snprintf(name, sizeof(name), "%s/sequencer", p->dir);
    assert_int_equal(unlink(name), 0);
    start(p);
    assert_int_equal(stop(p, 0), 1);
}

static uint64_t now_for_invites(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec;
}

static void make_pair(struct place *p, uint8_t i, struct made *invite, struct made *join)
{
    char name[16];
    snprintf(name, sizeof(name), "device-%u", i);
    uint64_t late = now_for_invites() > FOUNDING_TIME ? now_for_invites() : FOUNDING_TIME;
    invite_make(invite, &p->founding,
                &(struct invite_of){.name = name, .seed = (uint8_t)(INVITES + 10 + i), .join_before = late + 7200});
    join_make(join, &p->founding, invite, (uint8_t)(DEVICES + i), false);
}

static void on_a_full_disk_it_refuses_and_goes_on_when_there_is_room(void **state)
{
    struct place *p = *state;
    struct made invite, join;
    make_pair(p, 1, &invite, &join);
    start_limited(p, 4096); /* less than one commit to the WAL */
    assert_int_equal(outcome(p, &invite, false).verdict, VERDICT_STORE);
    assert_int_equal(outcome(p, &invite, false).verdict, VERDICT_STORE);
    stop(p, SIGKILL);
    start(p);
    assert_int_equal(outcome(p, &invite, false).verdict, VERDICT_STANDS);
    assert_int_equal(outcome(p, &join, true).verdict, VERDICT_STANDS);
}

/* Everything that was acknowledged, by statement. */
struct record {
    struct made made;
    bool is_join, acknowledged;
    uint64_t index;
};

static void note(struct record *records, uint32_t count, const struct frame_joined *joined)
{
    for (uint32_t i = 0; i < count; i++) {
        struct record *r = &records[i];
        if (memcmp(r->made.hash, joined->statement, SHA256_SIZE) != 0)
            continue;
        assert_true(joined->verdict == VERDICT_STANDS || joined->verdict == VERDICT_ALREADY ||
                    joined->verdict == VERDICT_UNKNOWN_INVITE);
        if (joined->verdict == VERDICT_UNKNOWN_INVITE)
            continue;
        if (r->acknowledged)
            assert_int_equal(r->index, joined->index);
        r->acknowledged = true;
        r->index = joined->index;
    }
}

static void killed_at_any_moment_it_loses_nothing_acknowledged(void **state)
{
    struct place *p = *state;
    static struct record records[2 * DEVICES_MAX];
    uint64_t random = 11;
    uint32_t count = 0;
    memset(records, 0, sizeof(records));
    for (uint8_t round = 0; round < DEVICES_MAX; round++) {
        struct frame f;
        make_pair(p, round, &records[count].made, &records[count + 1].made);
        records[count + 1].is_join = true;
        count += 2;
        start(p);
        for (uint32_t i = 0; i < count; i++)
            hand_in(p, &records[i].made, records[i].is_join);
        usleep(random_below(&random, 40000));
        kill(p->pid, SIGKILL);
        while (next(p, FRAME_JOINED, 200, &f))
            note(records, count, &f.joined);
        stop(p, 0);
    }
    start(p);
    for (uint32_t i = 0; i < count; i++) {
        struct frame_joined again = outcome(p, &records[i].made, records[i].is_join);
        if (records[i].acknowledged)
            assert_int_equal(again.verdict, VERDICT_ALREADY);
        note(records, count, &again);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_says_its_head_at_once),
        TEST(it_ends_with_the_engine),
        TEST(what_it_does_not_know_ends_it),
        TEST(without_its_key_it_does_not_begin),
        TEST(on_a_full_disk_it_refuses_and_goes_on_when_there_is_room),
        TEST(killed_at_any_moment_it_loses_nothing_acknowledged),
    };
    signal(SIGPIPE, SIG_IGN);
    /* Confined and not to be traced, the program cannot be searched for leaks. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
    return cmocka_run_group_tests_name("controller-process", tests, NULL, NULL);
}
