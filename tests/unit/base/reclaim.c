#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/reclaim.h"
#include "random.h"

struct object {
    struct reclaim_item item;
    struct reclaim *reclaim; /* where release_another retires `another` */
    struct object *another;
    uint64_t visits[RECLAIM_READERS_MAX]; /* per reader: of the batch it was in when this was retired, 0 if in none */
    bool released;
};

static void release(struct reclaim_item *item)
{
    struct object *object = (struct object *)item;
    assert_false(object->released);
    object->released = true;
}

static void with_no_readers_all_is_released_at_once(void **state)
{
    (void)state;
    struct object objects[3] = {0};
    struct reclaim r;
    reclaim_init(&r);
    for (size_t i = 0; i < 3; i++) {
        reclaim_retire(&r, &objects[i].item, release);
        assert_false(objects[i].released);
    }
    reclaim_collect(&r);
    for (size_t i = 0; i < 3; i++)
        assert_true(objects[i].released);
    reclaim_clear(&r);
}

static void a_reader_inside_holds_back_what_was_retired_meanwhile(void **state)
{
    (void)state;
    struct object object = {0};
    struct reclaim_reader reader;
    struct reclaim r;
    reclaim_init(&r);
    reclaim_add_reader(&r, &reader);
    reclaim_enter(&reader);
    reclaim_retire(&r, &object.item, release);
    reclaim_collect(&r);
    reclaim_collect(&r);
    assert_false(object.released);
    reclaim_leave(&reader);
    reclaim_collect(&r);
    assert_true(object.released);
    reclaim_clear(&r);
}

static void a_reader_that_is_always_busy_still_lets_go(void **state)
{
    (void)state;
    struct object object = {0};
    struct reclaim_reader reader;
    struct reclaim r;
    reclaim_init(&r);
    reclaim_add_reader(&r, &reader);
    reclaim_enter(&reader);
    reclaim_retire(&r, &object.item, release);
    reclaim_collect(&r);
    reclaim_leave(&reader);
    reclaim_enter(&reader);
    reclaim_collect(&r);
    assert_true(object.released);
    reclaim_leave(&reader);
    reclaim_clear(&r);
}

static void a_removed_reader_holds_nothing_back(void **state)
{
    (void)state;
    struct object first = {0}, second = {0};
    struct reclaim_reader gone, stays;
    struct reclaim r;
    reclaim_init(&r);
    reclaim_add_reader(&r, &gone);
    reclaim_add_reader(&r, &stays);
    reclaim_enter(&gone);
    reclaim_enter(&stays);
    reclaim_retire(&r, &first.item, release);
    reclaim_collect(&r);
    reclaim_retire(&r, &second.item, release);
    reclaim_remove_reader(&r, &gone);
    reclaim_collect(&r);
    assert_false(first.released);
    reclaim_leave(&stays);
    reclaim_collect(&r);
    assert_true(first.released);
    assert_true(second.released);
    reclaim_clear(&r);
}

static void a_reader_added_later_does_not_hold_back_what_was_retired_before(void **state)
{
    (void)state;
    struct object object = {0};
    struct reclaim_reader early, late;
    struct reclaim r;
    reclaim_init(&r);
    reclaim_add_reader(&r, &early);
    reclaim_enter(&early);
    reclaim_retire(&r, &object.item, release);
    reclaim_collect(&r);
    reclaim_add_reader(&r, &late);
    reclaim_enter(&late);
    reclaim_leave(&early);
    reclaim_collect(&r);
    assert_true(object.released);
    reclaim_leave(&late);
    reclaim_clear(&r);
}

static void release_another(struct reclaim_item *item)
{
    struct object *object = (struct object *)item;
    object->released = true;
    reclaim_retire(object->reclaim, &object->another->item, release);
}

static void a_release_may_retire_more(void **state)
{
    (void)state;
    struct object objects[4] = {0};
    struct reclaim r;
    reclaim_init(&r);
    objects[0].reclaim = objects[2].reclaim = &r;
    objects[0].another = &objects[1];
    objects[2].another = &objects[3];
    reclaim_retire(&r, &objects[0].item, release_another);
    reclaim_collect(&r);
    assert_true(objects[0].released && objects[1].released);
    reclaim_retire(&r, &objects[2].item, release_another);
    reclaim_clear(&r);
    assert_true(objects[2].released && objects[3].released);
}

/* The slow twin: each reader's batches are numbered, and each object knows which were under way when it was retired. */
static bool still_held(const struct object *object, const uint64_t *visits)
{
    for (size_t i = 0; i < RECLAIM_READERS_MAX; i++)
        if (object->visits[i] != 0 && object->visits[i] == visits[i])
            return true;
    return false;
}

static void assert_none_released_while_held(const struct object *objects, size_t count, const uint64_t *visits)
{
    for (size_t i = 0; i < count; i++)
        if (objects[i].released)
            assert_false(still_held(&objects[i], visits));
}

static void toggle(struct reclaim_reader *reader, uint64_t *visit, uint64_t number)
{
    if (*visit)
        reclaim_leave(reader);
    else
        reclaim_enter(reader);
    *visit = *visit ? 0 : number;
}

static void nothing_is_released_while_any_reader_that_could_see_it_is_inside(void **state)
{
    (void)state;
    static struct object objects[2000];
    const size_t count = sizeof(objects) / sizeof(objects[0]);
    uint64_t random = 3, visits[RECLAIM_READERS_MAX] = {0};
    struct reclaim_reader readers[RECLAIM_READERS_MAX];
    struct reclaim r;
    reclaim_init(&r);
    for (size_t i = 0; i < RECLAIM_READERS_MAX; i++)
        reclaim_add_reader(&r, &readers[i]);
    for (size_t i = 0; i < count; i++) {
        for (uint64_t j = 0; j < 4; j++) {
            uint32_t who = random_below(&random, RECLAIM_READERS_MAX);
            toggle(&readers[who], &visits[who], 4 * i + j + 1);
        }
        memcpy(objects[i].visits, visits, sizeof(visits));
        reclaim_retire(&r, &objects[i].item, release);
        reclaim_collect(&r);
        assert_none_released_while_held(objects, i + 1, visits);
    }
    for (size_t i = 0; i < RECLAIM_READERS_MAX; i++)
        if (visits[i])
            toggle(&readers[i], &visits[i], 0);
    reclaim_collect(&r);
    for (size_t i = 0; i < count; i++)
        assert_true(objects[i].released);
    reclaim_clear(&r);
}

/* Real threads. An object's second number is the complement of its first, until it is overwritten and freed. */
#define BATCHES 20000
#define LOOKS 4

struct shared_object {
    struct reclaim_item item;
    uint64_t number;
    uint64_t complement;
};

struct world {
    _Atomic(struct shared_object *) current;
    pthread_barrier_t start;
};

struct reading_thread {
    struct reclaim_reader reader;
    struct world *world;
    pthread_t thread;
    uint64_t torn; /* looks at an object that was freed */
};

static struct shared_object *new_shared(uint64_t number)
{
    struct shared_object *object = malloc(sizeof(*object));
    assert_non_null(object);
    *object = (struct shared_object){.number = number, .complement = ~number};
    return object;
}

static void overwrite_and_free(struct reclaim_item *item)
{
    struct shared_object *object = (struct shared_object *)item;
    object->number = object->complement = 0;
    free(object);
}

static void *read_batches(void *argument)
{
    struct reading_thread *self = argument;
    pthread_barrier_wait(&self->world->start);
    for (int batch = 0; batch < BATCHES; batch++) {
        reclaim_enter(&self->reader);
        struct shared_object *object = atomic_load_explicit(&self->world->current, memory_order_acquire);
        for (int look = 0; look < LOOKS; look++) {
            volatile const struct shared_object *seen = object;
            if (seen->number != ~seen->complement)
                self->torn++;
        }
        reclaim_leave(&self->reader);
    }
    return NULL;
}

static void replace(struct world *world, struct reclaim *r, uint64_t number)
{
    struct shared_object *fresh = new_shared(number);
    struct shared_object *old = atomic_exchange_explicit(&world->current, fresh, memory_order_acq_rel);
    reclaim_retire(r, &old->item, overwrite_and_free);
    reclaim_collect(r);
}

static void eight_threads_never_look_at_a_freed_object(void **state)
{
    (void)state;
    static struct reading_thread threads[RECLAIM_READERS_MAX];
    static struct world world;
    struct reclaim r;
    reclaim_init(&r);
    atomic_init(&world.current, new_shared(0));
    pthread_barrier_init(&world.start, NULL, RECLAIM_READERS_MAX + 1);
    for (size_t i = 0; i < RECLAIM_READERS_MAX; i++) {
        threads[i].world = &world;
        reclaim_add_reader(&r, &threads[i].reader);
        assert_int_equal(pthread_create(&threads[i].thread, NULL, read_batches, &threads[i]), 0);
    }
    pthread_barrier_wait(&world.start);
    for (uint64_t i = 1; i <= BATCHES; i++)
        replace(&world, &r, i);
    for (size_t i = 0; i < RECLAIM_READERS_MAX; i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        assert_int_equal(threads[i].torn, 0);
        reclaim_remove_reader(&r, &threads[i].reader);
    }
    reclaim_collect(&r);
    assert_null(r.open);
    assert_null(r.waiting);
    free(atomic_load(&world.current));
    pthread_barrier_destroy(&world.start);
    reclaim_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_no_readers_all_is_released_at_once),
        cmocka_unit_test(a_reader_inside_holds_back_what_was_retired_meanwhile),
        cmocka_unit_test(a_reader_that_is_always_busy_still_lets_go),
        cmocka_unit_test(a_removed_reader_holds_nothing_back),
        cmocka_unit_test(a_reader_added_later_does_not_hold_back_what_was_retired_before),
        cmocka_unit_test(a_release_may_retire_more),
        cmocka_unit_test(nothing_is_released_while_any_reader_that_could_see_it_is_inside),
        cmocka_unit_test(eight_threads_never_look_at_a_freed_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
