#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../../node/control.h"
#include "../../../node/control_request.h"

#define SECOND UINT64_C(1000000000)

struct bench {
    struct loop *loop;
    struct control *control;
    int listening;
    struct sockaddr_un address;
    uint32_t clients[64]; /* of each line that came */
    char lines[64][64];
    uint32_t line_count;
    bool answer_at_once;
};

static void on_line(void *context, uint32_t client, const char *line, size_t len)
{
    struct bench *b = context;
    assert_true(b->line_count < 64);
    b->clients[b->line_count] = client;
    snprintf(b->lines[b->line_count++], 64, "%.*s", (int)len, line);
    if (b->answer_at_once)
        control_answer(b->control, client, "yes", 3);
}

static int set_up(void **state)
{
    static struct bench b;
    b = (struct bench){.answer_at_once = true};
    *state = &b;
    b.listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    b.address.sun_family = AF_UNIX; /* an empty abstract name: the kernel picks one */
    socklen_t len = sizeof(b.address);
    if (bind(b.listening, (struct sockaddr *)&b.address, sizeof(sa_family_t)) != 0 || listen(b.listening, 64) != 0 ||
        getsockname(b.listening, (struct sockaddr *)&b.address, &len) != 0 || loop_new(&b.loop) != 0)
        return -1;
    const struct control_setup setup = {
        .loop = b.loop, .fd = b.listening, .uid = getuid(), .gid = (gid_t)-1, .line = on_line, .context = &b};
    return control_new(&b.control, &setup);
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    control_free(b->control);
    loop_free(b->loop);
    close(b->listening);
    return 0;
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 20; i++) {
        loop_wake(b->loop); /* so that nothing is waited for */
        assert_int_equal(loop_once(b->loop, UINT64_MAX), 0);
    }
}

static int dial(struct bench *b)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof(sa_family_t) + 6; /* NUL and five digits */
    assert_int_equal(connect(fd, (struct sockaddr *)&b->address, len), 0);
    turn(b);
    return fd;
}

static void say(struct bench *b, int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turn(b);
}

/* "" when nothing is there, NULL when the other side has closed. */
static const char *hear(int fd)
{
    static char text[256];
    ssize_t count = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno == ECONNRESET))
        return NULL;
    text[count > 0 ? count : 0] = 0;
    return text;
}

static void each_line_gets_its_answer(void **state)
{
    struct bench *b = *state;
    int fd = dial(b);
    say(b, fd, "one");
    assert_int_equal(b->line_count, 0);
    say(b, fd, "\ntwo\nthree\n");
    assert_int_equal(b->line_count, 3);
    assert_string_equal(b->lines[0], "one");
    assert_string_equal(b->lines[2], "three");
    assert_string_equal(hear(fd), "yes\nyes\nyes\n");
    close(fd);
    turn(b);
}

static void a_client_has_one_question_at_a_time(void **state)
{
    struct bench *b = *state;
    b->answer_at_once = false;
    int fd = dial(b);
    say(b, fd, "one\ntwo\n");
    assert_int_equal(b->line_count, 1);
    control_answer(b->control, b->clients[0], "1", 1);
    turn(b);
    say(b, fd, "three\n");
    assert_int_equal(b->line_count, 2);
    assert_string_equal(b->lines[1], "two");
    assert_string_equal(hear(fd), "1\n");
    close(fd);
    turn(b);
}

static void an_answer_to_who_has_gone_goes_nowhere(void **state)
{
    struct bench *b = *state;
    b->answer_at_once = false;
    int fd = dial(b);
    say(b, fd, "one\n");
    close(fd);
    turn(b);
    int other = dial(b);
    control_answer(b->control, b->clients[0], "1", 1);
    turn(b);
    assert_string_equal(hear(other), "");
    close(other);
    turn(b);
}

static void a_client_too_many_is_turned_away(void **state)
{
    struct bench *b = *state;
    int fds[CONTROL_CLIENTS + 1];
    for (int i = 0; i <= CONTROL_CLIENTS; i++)
        fds[i] = dial(b);
    for (int i = 0; i < CONTROL_CLIENTS; i++)
        assert_string_equal(hear(fds[i]), "");
    assert_null(hear(fds[CONTROL_CLIENTS]));
    close(fds[0]);
    turn(b);
    int again = dial(b);
    say(b, again, "one\n");
    assert_string_equal(hear(again), "yes\n");
    close(again);
    for (int i = 1; i <= CONTROL_CLIENTS; i++)
        close(fds[i]);
    turn(b);
}

static void a_line_without_an_end_is_not_heard(void **state)
{
    struct bench *b = *state;
    int fd = dial(b);
    char *piece = calloc(1, CONTROL_LINE_MAX);
    assert_non_null(piece);
    memset(piece, 'x', CONTROL_LINE_MAX - 1);
    say(b, fd, piece);
    turn(b);
    assert_string_equal(hear(fd), "");
    say(b, fd, "x");
    turn(b);
    assert_null(hear(fd));
    assert_int_equal(b->line_count, 0);
    free(piece);
    close(fd);
}

static void lines_that_came_together_are_answered_one_by_one(void **state)
{
    struct bench *b = *state;
    b->answer_at_once = false;
    int fd = dial(b);
    say(b, fd, "one\ntwo\n");
    turn(b);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_int_equal(b->line_count, 1);
    control_answer(b->control, b->clients[0], "first", 5);
    assert_true(control_deadline(b->control) == 0);
    control_timer(b->control, loop_monotonic());
    assert_int_equal(b->line_count, 2);
    control_answer(b->control, b->clients[1], "second", 6);
    assert_string_equal(hear(fd), "first\nsecond\n");
    close(fd);
    turn(b);
}

static void who_does_not_read_is_dropped(void **state)
{
    struct bench *b = *state;
    b->answer_at_once = false;
    int fd = dial(b);
    say(b, fd, "one\n");
    size_t len = 4u << 20;
    char *much = calloc(1, len);
    assert_non_null(much);
    control_answer(b->control, b->clients[0], much, len);
    free(much);
    turn(b);
    uint64_t deadline = control_deadline(b->control);
    assert_true(deadline < UINT64_MAX);
    control_timer(b->control, deadline - 1);
    assert_true(control_deadline(b->control) < UINT64_MAX);
    control_timer(b->control, deadline);
    assert_true(control_deadline(b->control) == UINT64_MAX);
    close(fd);
}

static void a_long_answer_arrives_whole(void **state)
{
    struct bench *b = *state;
    b->answer_at_once = false;
    int fd = dial(b);
    say(b, fd, "one\n");
    size_t len = 3u << 20, got = 0;
    char *much = malloc(len), piece[65536];
    assert_non_null(much);
    memset(much, 'm', len);
    control_answer(b->control, b->clients[0], much, len);
    free(much);
    ssize_t count;
    while ((count = recv(fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0) {
        got += (size_t)count;
        turn(b);
    }
    assert_int_equal(got, len + 1);
    say(b, fd, "two\n");
    assert_int_equal(b->line_count, 2);
    close(fd);
    turn(b);
}

static void others_may_not_ask(void **state)
{
    struct bench *b = *state;
    if (getuid() != 0) {
        print_message("# skipped: needs root\n");
        return;
    }
    int fd = -1;
    assert_int_equal(seteuid(65534), 0); /* the credentials of a connection are those of connect */
    fd = dial(b);
    assert_int_equal(seteuid(0), 0);
    turn(b);
    assert_null(hear(fd));
    close(fd);
}

static void questions_are_read_by_their_names(void **state)
{
    (void)state;
    struct control_request r;
    const char *ping = "{\"v\":1,\"cmd\":\"ping\",\"device\":\"plc-1\",\"later\":[1]}";
    assert_null(control_request_parse(&r, ping, strlen(ping)));
    assert_int_equal(r.command, COMMAND_PING);
    assert_string_equal(r.device, "plc-1");
    const char *outcome = "{\"v\":1,\"cmd\":\"outcome\",\"statement\":"
                          "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}";
    assert_null(control_request_parse(&r, outcome, strlen(outcome)));
    assert_int_equal(r.command, COMMAND_OUTCOME);
    assert_int_equal(r.statement[1], 0x11);
    const char *flows = "{\"v\":1,\"cmd\":\"flows\",\"device\":\"plc-1\"}";
    assert_null(control_request_parse(&r, flows, strlen(flows)));
    assert_int_equal(r.command, COMMAND_FLOWS);
    const char *others[] = {"status", "devices", "down", "knock"};
    const enum control_command commands[] = {COMMAND_STATUS, COMMAND_DEVICES, COMMAND_DOWN, COMMAND_KNOCK};
    for (int i = 0; i < 4; i++) {
        char line[64];
        snprintf(line, sizeof(line), "{\"cmd\":\"%s\",\"v\":1}", others[i]);
        assert_null(control_request_parse(&r, line, strlen(line)));
        assert_int_equal(r.command, commands[i]);
    }
}

static void what_is_no_question_is_refused_with_a_sentence(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "status",
        "[]",
        "{",
        "{\"v\":1}",
        "{\"cmd\":\"status\"}",
        "{\"v\":2,\"cmd\":\"status\"}",
        "{\"v\":\"1\",\"cmd\":\"status\"}",
        "{\"v\":1,\"v\":1,\"cmd\":\"status\"}",
        "{\"v\":1,\"cmd\":\"reboot\"}",
        "{\"v\":1,\"cmd\":7}",
        "{\"v\":1,\"cmd\":\"ping\"}",
        "{\"v\":1,\"cmd\":\"flows\"}",
        "{\"v\":1,\"cmd\":\"ping\",\"device\":\"PLC\"}",
        "{\"v\":1,\"cmd\":\"ping\",\"device\":\"a\\u0000b\"}",
        "{\"v\":1,\"cmd\":\"outcome\",\"statement\":\"00\"}",
        "{\"v\":1,\"cmd\":\"status\"} x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct control_request r;
        if (!control_request_parse(&r, bad[i], strlen(bad[i])))
            fail_msg("accepted %s", bad[i]);
    }
}

#define control_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        control_test(each_line_gets_its_answer),
        control_test(a_client_has_one_question_at_a_time),
        control_test(an_answer_to_who_has_gone_goes_nowhere),
        control_test(a_client_too_many_is_turned_away),
        control_test(a_line_without_an_end_is_not_heard),
        control_test(lines_that_came_together_are_answered_one_by_one),
        control_test(who_does_not_read_is_dropped),
        control_test(a_long_answer_arrives_whole),
        control_test(others_may_not_ask),
        cmocka_unit_test(questions_are_read_by_their_names),
        cmocka_unit_test(what_is_no_question_is_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
