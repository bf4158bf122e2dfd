#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../interop/uapi.h"
#include "fake_engine.h"

#define DIRECTORY "/var/run/wireguard"
#define PATH DIRECTORY "/unit.sock"
#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DONE "errno=0\n\n"
#define TURNS_MAX 100000

struct fixture {
    struct engine engine;
    struct device device;
    struct uapi_server *server;
};

static const char setting[] = "set=1\nlisten_port=7\npublic_key=" KEY_A "\nallowed_ip=10.0.0.0/8\n\n";
static bool able;

/* A directory of our own over the one where sockets are, in a mount namespace of our own. */
static int hide_directory(void **state)
{
    (void)state;
    able = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           (mkdir(DIRECTORY, 0755) == 0 || errno == EEXIST) && mount("unit", DIRECTORY, "tmpfs", 0, NULL) == 0;
    if (!able)
        print_message("# skipped: needs root\n");
    return 0;
}

static int open_server(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    if (!able)
        return 0;
    assert_int_equal(fake_engine_init(&f->engine), 0);
    f->device.engine = &f->engine;
    assert_int_equal(uapi_server_new(&f->server, &f->device, "unit"), 0);
    return 0;
}

static int close_server(void **state)
{
    struct fixture *f = *state;
    if (able) {
        uapi_server_free(f->server);
        fake_engine_clear(&f->engine);
    }
    free(f);
    return 0;
}

/* Serves all that is ready now, and waits for nothing. */
static void turn(struct fixture *f)
{
    assert_int_equal(loop_once(f->engine.loop, loop_monotonic()), 0);
}

static int client(struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PATH};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    turn(f);
    return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
    assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static void say_text(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

/* Turns until `expected` has been received. */
static void expect(struct fixture *f, int fd, const char *expected)
{
    char bytes[1024];
    size_t got = 0, len = strlen(expected);
    for (int i = 0; i < TURNS_MAX && got < len; i++) {
        turn(f);
        ssize_t more = recv(fd, bytes + got, sizeof(bytes) - got, 0);
        got += more > 0 ? (size_t)more : 0;
    }
    assert_int_equal(got, len);
    assert_memory_equal(bytes, expected, len);
}

static bool is_closed(struct fixture *f, int fd)
{
    char byte;
    for (int i = 0; i < 3; i++)
        turn(f);
    ssize_t len = recv(fd, &byte, 1, 0);
    return len == 0 || (len < 0 && errno == ECONNRESET);
}

/* Reads to the end of the connection; returns how much there was, and its last bytes. */
static size_t read_to_end(struct fixture *f, int fd, char *last, size_t last_len)
{
    static char bytes[1 << 16];
    size_t total = 0;
    for (int i = 0; i < TURNS_MAX; i++) {
        turn(f);
        ssize_t len = recv(fd, bytes, sizeof(bytes), 0);
        if (len == 0 || (len < 0 && errno != EAGAIN))
            return total;
        total += len > 0 ? (size_t)len : 0;
        if (len >= (ssize_t)last_len)
            memcpy(last, bytes + (size_t)len - last_len, last_len);
    }
    return SIZE_MAX; /* it has no end */
}

/* So that the reply to get is larger than any socket buffer. */
static size_t add_peers(struct fixture *f, uint32_t count)
{
    struct uapi_text text = {0};
    uint8_t key[MESSAGE_KEY_SIZE] = {1};
    for (uint32_t i = 0; i < count; i++) {
        peer_id peer;
        memcpy(key + 4, &i, sizeof(i));
        assert_int_equal(tunnel_peer_add(f->engine.tunnel, key, &peer), 0);
    }
    uapi_write_state(&f->device, &text);
    size_t len = text.len + strlen(DONE);
    uapi_text_free(&text);
    return len;
}

/* ---- Requests ---- */

static void a_request_split_anywhere_is_the_same_request(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    for (size_t at = 1; at < strlen(setting); at++) {
        int fd = client(f);
        f->engine.port = 0;
        say(fd, setting, at);
        turn(f);
        say(fd, setting + at, strlen(setting) - at);
        expect(f, fd, DONE);
        assert_int_equal(f->engine.port, 7);
        close(fd);
    }
    turn(f);
}

static void a_request_may_come_byte_by_byte(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    int fd = client(f);
    for (size_t at = 0; at < strlen(setting); at++) {
        say(fd, setting + at, 1);
        turn(f);
    }
    expect(f, fd, DONE);
    assert_int_equal(f->engine.port, 7);
    close(fd);
}

static void several_requests_on_one_connection_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    int fd = client(f);
    say_text(fd, "set=1\nlisten_port=7\n\nget=1\n\nset=1\njunk=1\n\n");
    expect(f, fd, DONE "listen_port=7\n" DONE "errno=-22\n\n");
    say_text(fd, "set=1\nlisten_port=8\n\n");
    expect(f, fd, DONE);
    say_text(fd, "get=1\n\n");
    expect(f, fd, "listen_port=8\n" DONE);
    close(fd);
}

static void connections_do_not_mix(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    int one = client(f), other = client(f);
    say_text(one, "set=1\nlisten_port=7\n");
    say_text(other, "set=1\nfwmark=9\njunk=1\n\n");
    expect(f, other, "errno=-22\n\n");
    say_text(one, "\n");
    expect(f, one, DONE);
    close(one);
    say_text(other, "get=1\n\n");
    expect(f, other, "listen_port=7\nfwmark=9\n" DONE);
    close(other);
}

static void the_longest_line_passes_and_a_longer_one_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    char line[UAPI_LINE_MAX + 1];
    if (!able)
        return;
    memset(line, 'x', sizeof(line));
    line[UAPI_LINE_MAX - 1] = '\n';
    line[UAPI_LINE_MAX] = '\n';
    int fd = client(f);
    say_text(fd, "set=1\n");
    say(fd, line, sizeof(line));
    expect(f, fd, "errno=-71\n\n");
    line[UAPI_LINE_MAX - 1] = 'x';
    say_text(fd, "set=1\n");
    say(fd, line, sizeof(line));
    assert_true(is_closed(f, fd));
    close(fd);
}

static void a_zero_byte_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    int fd = client(f), other = client(f);
    say(fd, "set=1\nlisten\0_port=7\n\n", 22);
    assert_true(is_closed(f, fd));
    assert_int_equal(f->engine.port, 0);
    say_text(other, "get=1\n\n");
    expect(f, other, DONE);
    close(fd);
    close(other);
}

static void a_request_that_is_broken_off_leaves_the_others_alone(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    int fd = client(f), other = client(f);
    say_text(fd, "set=1\nlisten_port=7\nfwm");
    close(fd);
    turn(f);
    say_text(other, "get=1\n\n");
    expect(f, other, "listen_port=7\n" DONE);
    close(other);
}

/* ---- Clients that read late, or never ---- */

static void a_large_reply_arrives_whole_after_the_client_has_said_all(void **state)
{
    struct fixture *f = *state;
    char last[9];
    if (!able)
        return;
    size_t len = add_peers(f, 10000);
    int fd = client(f);
    say_text(fd, "get=1\n\n");
    shutdown(fd, SHUT_WR);
    assert_int_equal(read_to_end(f, fd, last, sizeof(last)), len);
    assert_memory_equal(last, DONE, sizeof(last));
    close(fd);
}

static void a_client_that_does_not_read_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    add_peers(f, 10000);
    int lazy = client(f), other = client(f);
    say_text(lazy, "get=1\n\n");
    turn(f);
    say_text(other, "set=1\nlisten_port=7\n\n");
    expect(f, other, DONE);
    close(lazy);
    close(other);
}

/* The loop must find nothing to do for it, or it would go round and round. */
static void a_client_that_has_said_all_and_does_not_read_costs_no_turns(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    add_peers(f, 10000);
    int fd = client(f);
    say_text(fd, "get=1\n\n");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 3; i++)
        turn(f);
    uint64_t deadline = loop_monotonic() + UINT64_C(10000000);
    assert_int_equal(loop_once(f->engine.loop, deadline), 0);
    assert_true(loop_monotonic() >= deadline);
    close(fd);
}

/* Returns how many of `text` fit before the server took no more. */
static uint32_t say_until_refused(struct fixture *f, int fd, const char *text, uint32_t max)
{
    for (uint32_t i = 0; i < max; i++) {
        ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return i;
        assert_true(sent > 0);
        turn(f);
    }
    return max;
}

static void requests_wait_while_their_sender_reads_no_replies(void **state)
{
    struct fixture *f = *state;
    if (!able)
        return;
    add_peers(f, 1000);
    int fd = client(f);
    assert_true(say_until_refused(f, fd, "get=1\n\n", 20000) < 20000);
    close(fd);
}

/* ---- The server ---- */

static void without_descriptors_new_clients_are_turned_away_and_old_ones_served(void **state)
{
    struct fixture *f = *state;
    struct rlimit limit, old;
    if (!able)
        return;
    int served = client(f);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PATH};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    getrlimit(RLIMIT_NOFILE, &old);
    limit = old;
    limit.rlim_cur = (rlim_t)fd + 1;
    setrlimit(RLIMIT_NOFILE, &limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    bool closed = is_closed(f, fd);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_true(closed);
    say_text(served, "get=1\n\n");
    expect(f, served, DONE);
    int later = client(f);
    say_text(later, "get=1\n\n");
    expect(f, later, DONE);
    close(served);
    close(fd);
    close(later);
}

static void a_name_that_somebody_answers_at_is_refused_and_one_that_nobody_does_is_taken(void **state)
{
    struct fixture *f = *state;
    struct uapi_server *another;
    struct stat status;
    if (!able)
        return;
    assert_int_equal(uapi_server_new(&another, &f->device, "unit"), ERROR_IN_USE);
    assert_int_equal(stat(PATH, &status), 0);
    int stale = open(DIRECTORY "/stale.sock", O_CREAT | O_WRONLY, 0600);
    close(stale);
    assert_int_equal(uapi_server_new(&another, &f->device, "stale"), 0);
    uapi_server_free(another);
    assert_int_equal(stat(DIRECTORY "/stale.sock", &status), -1);
}

static void only_the_owner_may_connect(void **state)
{
    struct stat status;
    (void)state;
    if (!able)
        return;
    assert_int_equal(stat(PATH, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
}

static void removing_or_moving_the_socket_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct uapi_server *another;
    if (!able)
        return;
    assert_int_equal(uapi_server_new(&another, &f->device, "moved"), 0);
    turn(f);
    assert_false(uapi_server_is_removed(f->server));
    assert_int_equal(chmod(PATH, 0600), 0);
    turn(f);
    assert_false(uapi_server_is_removed(f->server));
    assert_int_equal(unlink(PATH), 0);
    assert_int_equal(rename(DIRECTORY "/moved.sock", DIRECTORY "/elsewhere.sock"), 0);
    turn(f);
    assert_true(uapi_server_is_removed(f->server));
    assert_true(uapi_server_is_removed(another));
    uapi_server_free(another);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_server, close_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_split_anywhere_is_the_same_request),
        TEST(a_request_may_come_byte_by_byte),
        TEST(several_requests_on_one_connection_are_answered_in_order),
        TEST(connections_do_not_mix),
        TEST(the_longest_line_passes_and_a_longer_one_ends_the_connection),
        TEST(a_zero_byte_ends_the_connection),
        TEST(a_request_that_is_broken_off_leaves_the_others_alone),
        TEST(a_large_reply_arrives_whole_after_the_client_has_said_all),
        TEST(a_client_that_does_not_read_holds_up_nobody),
        TEST(a_client_that_has_said_all_and_does_not_read_costs_no_turns),
        TEST(requests_wait_while_their_sender_reads_no_replies),
        TEST(without_descriptors_new_clients_are_turned_away_and_old_ones_served),
        TEST(a_name_that_somebody_answers_at_is_refused_and_one_that_nobody_does_is_taken),
        TEST(only_the_owner_may_connect),
        TEST(removing_or_moving_the_socket_is_noticed),
    };
    return cmocka_run_group_tests_name("interop/uapi-server", tests, hide_directory, NULL);
}
