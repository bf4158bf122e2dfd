#include "net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define MILLISECOND UINT64_C(1000000)
#define SOON (loop_monotonic() + 20 * MILLISECOND)

struct seen {
    struct loop *loop;
    int calls;
    int fd;
    int remove; /* a descriptor to remove when called; -1 none */
    int add;    /* one to add; -1 none */
};

static struct seen nothing_seen(struct loop *loop)
{
    return (struct seen){.loop = loop, .fd = -1, .remove = -1, .add = -1};
}

static void note(void *context, int fd)
{
    struct seen *seen = context;
    seen->calls++;
    seen->fd = fd;
    if (seen->remove >= 0)
        loop_remove(seen->loop, seen->remove);
    if (seen->add >= 0)
        assert_int_equal(loop_add(seen->loop, seen->add, note, seen), 0);
    seen->add = -1;
}

static struct loop *new_loop(void)
{
    struct loop *loop;
    assert_int_equal(loop_new(&loop), 0);
    return loop;
}

static void readable_descriptor_is_called_with_its_context(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    struct seen seen = nothing_seen(loop);
    int ready = eventfd(1, 0), idle = eventfd(0, 0);
    assert_int_equal(loop_add(loop, ready, note, &seen), 0);
    assert_int_equal(loop_add(loop, idle, note, &seen), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.fd, ready);
    loop_free(loop);
    close(ready);
    close(idle);
}

static void descriptor_is_added_only_once(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    struct seen seen = nothing_seen(loop);
    int fd = eventfd(1, 0);
    assert_int_equal(loop_add(loop, fd, note, &seen), 0);
    assert_int_equal(loop_add(loop, fd, note, NULL), ERROR_EXISTS);
    assert_int_equal(loop_add(loop, -1, note, NULL), ERROR_INVALID);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(seen.calls, 1);
    loop_free(loop);
    close(fd);
}

static void descriptor_removed_by_another_callback_is_not_called(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    int a = eventfd(1, 0), b = eventfd(1, 0);
    struct seen seen_a = nothing_seen(loop), seen_b = nothing_seen(loop);
    seen_a.remove = b;
    seen_b.remove = a;
    assert_int_equal(loop_add(loop, a, note, &seen_a), 0);
    assert_int_equal(loop_add(loop, b, note, &seen_b), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(seen_a.calls + seen_b.calls, 1);
    loop_free(loop);
    close(a);
    close(b);
}

/* The number of a closed descriptor comes back at once; an event of the old one must not reach the new watch. */
static void event_of_a_removed_watch_does_not_reach_its_successor(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    int a = eventfd(1, 0), b = eventfd(1, 0);
    struct seen first = nothing_seen(loop);
    first.remove = first.add = b;
    struct seen second = nothing_seen(loop);
    second.remove = second.add = a;
    assert_int_equal(loop_add(loop, a, note, &first), 0);
    assert_int_equal(loop_add(loop, b, note, &second), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(first.calls + second.calls, 1);
    loop_free(loop);
    close(a);
    close(b);
}

static void callback_may_add_a_descriptor_with_a_high_number(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    int low = eventfd(1, 0), high = dup2(low, 900);
    assert_int_equal(high, 900);
    struct seen seen = nothing_seen(loop);
    seen.remove = low;
    seen.add = high;
    assert_int_equal(loop_add(loop, low, note, &seen), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(seen.calls, 2);
    assert_int_equal(seen.fd, high);
    loop_free(loop);
    close(low);
    close(high);
}

static void only_what_is_wanted_of_a_descriptor_is_told(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    struct seen seen = nothing_seen(loop);
    int fd = eventfd(1, 0); /* readable and writable */
    assert_int_equal(loop_want_read(loop, fd, false), ERROR_NOT_FOUND);
    assert_int_equal(loop_add(loop, fd, note, &seen), 0);
    assert_int_equal(loop_want_read(loop, fd, false), 0);
    assert_int_equal(loop_once(loop, SOON), 0);
    assert_int_equal(seen.calls, 0);
    assert_int_equal(loop_want_write(loop, fd, true), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(loop_want_write(loop, fd, false), 0);
    assert_int_equal(loop_once(loop, SOON), 0);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(loop_want_read(loop, fd, true), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    assert_int_equal(seen.calls, 2);
    loop_free(loop);
    close(fd);
}

static void wait_ends_at_the_deadline_and_not_before(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    for (int i = 0; i < 3; i++) {
        uint64_t deadline = SOON;
        assert_int_equal(loop_once(loop, deadline), 0);
        assert_true(loop_monotonic() >= deadline);
    }
    loop_free(loop);
}

static void deadline_in_the_past_does_not_wait(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    for (int i = 0; i < 3; i++) { /* an alarm hangs the test if one of these blocks */
        assert_int_equal(loop_once(loop, 0), 0);
        assert_int_equal(loop_once(loop, 1), 0);
    }
    loop_free(loop);
}

static void later_deadline_replaces_the_earlier_one(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    struct seen seen = nothing_seen(loop);
    int ready = eventfd(1, 0);
    assert_int_equal(loop_add(loop, ready, note, &seen), 0);
    assert_int_equal(loop_once(loop, loop_monotonic() + 5 * MILLISECOND), 0);
    loop_remove(loop, ready);
    uint64_t deadline = loop_monotonic() + 40 * MILLISECOND;
    assert_int_equal(loop_once(loop, deadline), 0);
    assert_true(loop_monotonic() >= deadline);
    loop_free(loop);
    close(ready);
}

static void *wake(void *loop)
{
    loop_wake(loop);
    return NULL;
}

static void wake_up_from_another_thread_ends_the_wait(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wake, loop), 0);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    pthread_join(thread, NULL);
    loop_free(loop);
}

static void wake_ups_before_the_wait_end_one_wait(void **state)
{
    (void)state;
    struct loop *loop = new_loop();
    loop_wake(loop);
    loop_wake(loop);
    assert_int_equal(loop_once(loop, UINT64_MAX), 0);
    uint64_t deadline = SOON;
    assert_int_equal(loop_once(loop, deadline), 0);
    assert_true(loop_monotonic() >= deadline);
    loop_free(loop);
}

static void wall_clock_counts_from_1970(void **state)
{
    (void)state;
    assert_true(loop_wall() > UINT64_C(1700000000) * 1000 * MILLISECOND);
}

int main(void)
{
    alarm(30);
    struct rlimit files = {1024, 1024};
    setrlimit(RLIMIT_NOFILE, &files);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readable_descriptor_is_called_with_its_context),
        cmocka_unit_test(descriptor_is_added_only_once),
        cmocka_unit_test(descriptor_removed_by_another_callback_is_not_called),
        cmocka_unit_test(event_of_a_removed_watch_does_not_reach_its_successor),
        cmocka_unit_test(callback_may_add_a_descriptor_with_a_high_number),
        cmocka_unit_test(only_what_is_wanted_of_a_descriptor_is_told),
        cmocka_unit_test(wait_ends_at_the_deadline_and_not_before),
        cmocka_unit_test(deadline_in_the_past_does_not_wait),
        cmocka_unit_test(later_deadline_replaces_the_earlier_one),
        cmocka_unit_test(wake_up_from_another_thread_ends_the_wait),
        cmocka_unit_test(wake_ups_before_the_wait_end_one_wait),
        cmocka_unit_test(wall_clock_counts_from_1970),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
