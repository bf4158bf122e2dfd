#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/timer_heap.h"
#include "random.h"

#define TIMERS 64u

/* The slow twin: timers in ascending order of deadline, kept by insertion. */
struct model {
    const struct timer *timers[TIMERS];
    uint64_t deadlines[TIMERS];
    uint32_t count;
};

static void model_disarm(struct model *model, const struct timer *timer)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->timers[i] == timer)
            continue;
        model->timers[kept] = model->timers[i];
        model->deadlines[kept++] = model->deadlines[i];
    }
    model->count = kept;
}

static void model_arm(struct model *model, const struct timer *timer, uint64_t deadline)
{
    model_disarm(model, timer);
    uint32_t at = model->count++;
    for (; at > 0 && model->deadlines[at - 1] > deadline; at--) {
        model->timers[at] = model->timers[at - 1];
        model->deadlines[at] = model->deadlines[at - 1];
    }
    model->timers[at] = timer;
    model->deadlines[at] = deadline;
}

static uint64_t model_deadline(const struct model *model)
{
    return model->count > 0 ? model->deadlines[0] : TIMER_NEVER;
}

static void assert_expires_as_in_the_model(struct timer_heap *heap, struct model *model, uint64_t now)
{
    uint64_t deadline = model_deadline(model);
    struct timer *expired = timer_heap_expire(heap, now);
    if (model->count == 0 || deadline > now) {
        assert_null(expired);
        return;
    }
    assert_non_null(expired);
    assert_int_equal(expired->deadline, deadline);
    assert_int_equal(expired->position, TIMER_DISARMED);
    model_disarm(model, expired);
}

/* Few distinct deadlines, so that many are equal; now and then the greatest there is. */
static uint64_t some_deadline(uint64_t *random)
{
    return random_below(random, 50) == 0 ? TIMER_NEVER : random_below(random, 100);
}

static void the_heap_does_what_a_sorted_array_does(void **state)
{
    (void)state;
    uint64_t random = 7;
    struct timer timers[TIMERS];
    struct model model = {.count = 0};
    struct timer_heap heap;
    timer_heap_init(&heap);
    assert_int_equal(timer_heap_reserve(&heap, TIMERS), 0);
    for (uint32_t i = 0; i < TIMERS; i++)
        timer_init(&timers[i]);
    for (int step = 0; step < 200000; step++) {
        struct timer *timer = &timers[random_below(&random, TIMERS)];
        uint64_t when = some_deadline(&random);
        switch (random_below(&random, 4)) {
        case 0:
        case 1:
            timer_arm(&heap, timer, when);
            model_arm(&model, timer, when);
            break;
        case 2:
            timer_disarm(&heap, timer);
            model_disarm(&model, timer);
            break;
        default:
            assert_expires_as_in_the_model(&heap, &model, when);
        }
        assert_int_equal(heap.count, model.count);
        assert_int_equal(timer_heap_deadline(&heap), model_deadline(&model));
    }
    timer_heap_clear(&heap);
}

static void an_empty_heap_never_expires(void **state)
{
    (void)state;
    struct timer_heap heap;
    timer_heap_init(&heap);
    assert_int_equal(timer_heap_deadline(&heap), TIMER_NEVER);
    assert_null(timer_heap_expire(&heap, TIMER_NEVER));
    timer_heap_clear(&heap);
}

static void a_timer_expires_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    struct timer timer;
    struct timer_heap heap;
    timer_heap_init(&heap);
    timer_init(&timer);
    assert_int_equal(timer_heap_reserve(&heap, 1), 0);
    timer_arm(&heap, &timer, 1000);
    assert_null(timer_heap_expire(&heap, 999));
    assert_ptr_equal(timer_heap_expire(&heap, 1000), &timer);
    assert_null(timer_heap_expire(&heap, 1000));
    timer_heap_clear(&heap);
}

static void disarming_a_disarmed_timer_does_nothing(void **state)
{
    (void)state;
    struct timer timer;
    struct timer_heap heap;
    timer_heap_init(&heap);
    timer_init(&timer);
    timer_disarm(&heap, &timer);
    assert_int_equal(timer.position, TIMER_DISARMED);
    assert_int_equal(heap.count, 0);
    timer_heap_clear(&heap);
}

static void reserving_more_keeps_what_is_armed(void **state)
{
    (void)state;
    static struct timer timers[1000];
    struct timer_heap heap;
    timer_heap_init(&heap);
    for (uint32_t i = 0; i < 1000; i++) {
        timer_init(&timers[i]);
        assert_int_equal(timer_heap_reserve(&heap, i + 1), 0);
        timer_arm(&heap, &timers[i], 1000 - i);
    }
    for (uint32_t i = 1000; i-- > 0;)
        assert_ptr_equal(timer_heap_expire(&heap, TIMER_NEVER), &timers[i]);
    timer_heap_clear(&heap);
}

/* Without a core file, and without what a sanitizer would say of it. */
static void arm_without_room(void)
{
    const struct rlimit none = {0, 0};
    struct timer timer;
    struct timer_heap heap;
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGABRT, SIG_DFL);
    timer_heap_init(&heap);
    timer_init(&timer);
    timer_arm(&heap, &timer, 1);
    _exit(0);
}

static void arming_without_room_aborts(void **state)
{
    (void)state;
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        arm_without_room();
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_does_what_a_sorted_array_does),
        cmocka_unit_test(an_empty_heap_never_expires),
        cmocka_unit_test(a_timer_expires_at_its_deadline_and_not_before),
        cmocka_unit_test(disarming_a_disarmed_timer_does_nothing),
        cmocka_unit_test(reserving_more_keeps_what_is_armed),
        cmocka_unit_test(arming_without_room_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
