#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proc/messages.h"
#include "proc/permits.h"
#include "proc/spawn.h"

struct pair {
    struct ipc *state, *engine;
    int raw; /* the engine's end */
};

static int open_pair(struct pair *pair)
{
    int fds[2];
    if (spawn_pair(fds) != 0 || permits_open(&pair->state, fds[0], PROC_STATE, PROC_ENGINE) != 0 ||
        permits_open(&pair->engine, fds[1], PROC_ENGINE, PROC_STATE) != 0)
        return -1;
    pair->raw = fds[1];
    return 0;
}

static int setup(void **state)
{
    static struct pair pair;
    *state = &pair;
    return open_pair(&pair);
}

static int teardown(void **state)
{
    struct pair *p = *state;
    ipc_free(p->state);
    ipc_free(p->engine);
    return 0;
}

static void a_message_arrives_as_it_was_sent(void **state)
{
    struct pair *p = *state;
    struct ipc_link link = {.id = {1, 2, 3}, .up = 1};
    struct ipc_message m = {0};
    assert_int_equal(ipc_receive(p->state, &m), ERROR_AGAIN);
    assert_int_equal(ipc_send(p->engine, IPC_LINK, &link, sizeof(link)), 0);
    assert_int_equal(ipc_receive(p->state, &m), 0);
    assert_int_equal(m.kind, IPC_LINK);
    assert_int_equal(m.len, sizeof(link));
    assert_memory_equal(m.bytes, &link, sizeof(link));
    assert_int_equal((uintptr_t)m.bytes % 8, 0);
    assert_int_equal(m.fd_count, 0);
}

static void a_message_has_a_tail(void **state)
{
    struct pair *p = *state;
    struct ipc_frame frame = {.invite = 1};
    struct ipc_message m = {0};
    assert_int_equal(ipc_send2(p->engine, IPC_FRAME, &frame, sizeof(frame), "tail", 4), 0);
    assert_int_equal(ipc_receive(p->state, &m), 0);
    assert_int_equal(m.len, sizeof(frame) + 4);
    assert_memory_equal(m.bytes + sizeof(frame), "tail", 4);
}

static void assert_refused(struct pair *p, uint16_t kind, const void *bytes, size_t len)
{
    struct ipc_message m = {0};
    assert_int_equal(ipc_send(p->engine, kind, bytes, len), 0);
    assert_int_equal(ipc_receive(p->state, &m), ERROR_MALFORMED);
}

static void what_is_not_in_the_table_is_refused(void **state)
{
    struct pair *p = *state;
    static const uint8_t bytes[1024];
    assert_refused(p, IPC_SELF, bytes, sizeof(struct ipc_self));
    assert_refused(p, IPC_BUILD_JOIN, bytes, sizeof(struct ipc_build_join));
    assert_refused(p, 0, bytes, 0);
    assert_refused(p, 999, bytes, 8);
}

static void a_wrong_length_is_refused(void **state)
{
    struct pair *p = *state;
    static const uint8_t bytes[1024];
    assert_refused(p, IPC_LINK, bytes, sizeof(struct ipc_link) - 1);
    assert_refused(p, IPC_LINK, bytes, sizeof(struct ipc_link) + 1);
    assert_refused(p, IPC_FRAME, bytes, sizeof(struct ipc_frame) - 1);
}

static void counts_that_do_not_add_up_are_refused(void **state)
{
    struct pair *p = *state;
    struct ipc_learn learn = {.opening_len = 3, .head_len = UINT32_MAX - 2};
    assert_refused(p, IPC_LEARN, &learn, sizeof(learn));
    struct ipc_status status = {.peer_count = 1};
    assert_refused(p, IPC_STATUS, &status, sizeof(status));
    status = (struct ipc_status){.counter_count = IPC_COUNTERS_MAX + 1};
    assert_refused(p, IPC_STATUS, &status, sizeof(status));
    struct ipc_flows flows = {.count = 1};
    assert_refused(p, IPC_FLOWS, &flows, sizeof(flows));
    struct ipc_device device = {.out_count = UINT32_MAX, .in_count = 1};
    assert_false(permits_counts_hold(IPC_DEVICE, (const uint8_t *)&device, sizeof(device)));
    device.out_count = 0;
    uint8_t whole[sizeof(device) + sizeof(struct ipc_grant)] = {0};
    memcpy(whole, &device, sizeof(device));
    assert_true(permits_counts_hold(IPC_DEVICE, whole, sizeof(whole)));
    assert_false(permits_counts_hold(IPC_DEVICE, whole, sizeof(whole) - 1));
    assert_false(permits_counts_hold(IPC_DEVICE, whole, 3));
}

static void what_is_no_message_is_refused(void **state)
{
    struct pair *p = *state;
    struct ipc_message m = {0};
    const struct {
        struct ipc_header header;
        struct ipc_link link;
    } dirty = {.header = {.kind = IPC_LINK, .zero = 1}};
    assert_int_equal(send(p->raw, &dirty, sizeof(dirty), 0), sizeof(dirty));
    assert_int_equal(ipc_receive(p->state, &m), ERROR_MALFORMED);
    assert_int_equal(send(p->raw, "abc", 3, 0), 3);
    assert_int_equal(ipc_receive(p->state, &m), ERROR_MALFORMED);
    static uint8_t huge[IPC_MESSAGE_MAX + sizeof(struct ipc_header) + 1];
    huge[0] = IPC_FRAME;
    assert_int_equal(send(p->raw, huge, sizeof(huge), 0), sizeof(huge));
    assert_int_equal(ipc_receive(p->state, &m), ERROR_MALFORMED);
    assert_int_equal(ipc_send(p->engine, IPC_FRAME, huge, IPC_MESSAGE_MAX + 1), ERROR_OVERFLOW);
    assert_int_equal(ipc_send(p->engine, IPC_FRAME, huge, IPC_MESSAGE_MAX), 0);
    assert_int_equal(ipc_receive(p->state, &m), 0);
}

static void phases_tell_what_may_come(void **state)
{
    (void)state;
    int fds[2];
    struct ipc *keys, *engine;
    struct ipc_message m = {0};
    static const uint8_t step[IPC_STEP_SIZE];
    assert_int_equal(spawn_pair(fds), 0);
    assert_int_equal(permits_open(&keys, fds[0], PROC_KEYS, PROC_ENGINE), 0);
    assert_int_equal(permits_open(&engine, fds[1], PROC_ENGINE, PROC_KEYS), 0);
    assert_int_equal(ipc_send(engine, IPC_STEP, step, sizeof(step)), 0);
    assert_int_equal(ipc_receive(keys, &m), ERROR_MALFORMED);
    ipc_set_phase(keys, IPC_RUNNING);
    assert_int_equal(ipc_send(engine, IPC_STEP, step, sizeof(step)), 0);
    assert_int_equal(ipc_receive(keys, &m), 0);
    ipc_free(keys);
    ipc_free(engine);
}

static void what_a_slow_receiver_does_not_take_waits_in_order(void **state)
{
    struct pair *p = *state;
    struct ipc_link link = {0};
    struct ipc_message m = {0};
    uint32_t sent = 0, got = 0;
    for (; sent < 20000; sent++) {
        link.up = sent;
        assert_int_equal(ipc_send(p->engine, IPC_LINK, &link, sizeof(link)), 0);
    }
    assert_true(ipc_flush(p->engine));
    while (got < sent) {
        int error = ipc_receive(p->state, &m);
        if (error == ERROR_AGAIN) {
            ipc_flush(p->engine);
            continue;
        }
        assert_int_equal(error, 0);
        memcpy(&link, m.bytes, sizeof(link));
        assert_int_equal(link.up, got++);
    }
    assert_false(ipc_flush(p->engine));
}

static void the_queue_is_bounded(void **state)
{
    struct pair *p = *state;
    static uint8_t frame[60000];
    int error = 0;
    for (int i = 0; i < 1000 && error == 0; i++)
        error = ipc_send(p->engine, IPC_FRAME, frame, sizeof(frame));
    assert_int_equal(error, ERROR_FULL);
}

static void the_end_of_the_other_side_is_told(void **state)
{
    (void)state;
    struct pair own = {0}, *p = &own;
    struct ipc_message m = {0};
    assert_int_equal(open_pair(p), 0);
    assert_int_equal(ipc_send(p->engine, IPC_LINK, &(struct ipc_link){0}, sizeof(struct ipc_link)), 0);
    ipc_free(p->engine);
    assert_int_equal(ipc_receive(p->state, &m), 0);
    assert_int_equal(ipc_receive(p->state, &m), ERROR_GONE);
    assert_int_equal(ipc_send(p->state, IPC_HEAD, "", 0), ERROR_GONE);
    ipc_free(p->state);
}

static const struct ipc_permit with_descriptor[] = {{1, 1, 0, 8, 1}};

static void descriptors_go_along_where_they_may(void **state)
{
    (void)state;
    int fds[2], pipe_fds[2];
    struct ipc *a, *b;
    struct ipc_message m = {0};
    char byte;
    assert_int_equal(spawn_pair(fds), 0);
    assert_int_equal(ipc_new(&a, fds[0], with_descriptor, 1), 0);
    assert_int_equal(ipc_new(&b, fds[1], with_descriptor, 1), 0);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_int_equal(ipc_send_fds(a, 1, "", 0, &pipe_fds[1], 1), 0);
    assert_int_equal(ipc_receive(b, &m), 0);
    assert_int_equal(m.fd_count, 1);
    assert_int_equal(write(m.fds[0], "x", 1), 1);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    close(m.fds[0]);
    assert_int_equal(ipc_send_fds(a, 1, "", 0, pipe_fds, 2), 0);
    assert_int_equal(ipc_receive(b, &m), ERROR_MALFORMED);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    ipc_free(a);
    ipc_free(b);
}

static void no_table_permits_a_message_longer_than_the_limit(void **state)
{
    (void)state;
    for (unsigned self = 0; self < PROC_ROLES; self++)
        for (unsigned from = 0; from < PROC_ROLES; from++) {
            size_t count;
            const struct ipc_permit *permits = permits_of(self, from, &count);
            for (size_t i = 0; i < count; i++) {
                assert_true(permits[i].len_min <= permits[i].len_max);
                assert_true(permits[i].len_max <= IPC_MESSAGE_MAX);
                assert_int_not_equal(permits[i].phases, 0);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_arrives_as_it_was_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_has_a_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_in_the_table_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_length_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_that_do_not_add_up_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_message_is_refused, setup, teardown),
        cmocka_unit_test(phases_tell_what_may_come),
        cmocka_unit_test_setup_teardown(what_a_slow_receiver_does_not_take_waits_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(the_queue_is_bounded, setup, teardown),
        cmocka_unit_test(the_end_of_the_other_side_is_told),
        cmocka_unit_test(descriptors_go_along_where_they_may),
        cmocka_unit_test(no_table_permits_a_message_longer_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
