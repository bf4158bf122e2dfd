#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "tunnel/index_table.h"

struct fixture {
    struct index_table table;
    struct reclaim reclaim;
};

static void fixture_init(struct fixture *f)
{
    reclaim_init(&f->reclaim);
    assert_int_equal(index_table_init(&f->table), 0);
}

static void fixture_clear(struct fixture *f)
{
    index_table_clear(&f->table);
    reclaim_clear(&f->reclaim);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static void zero_is_no_index(void **state)
{
    (void)state;
    struct fixture f;
    int value;
    fixture_init(&f);
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 0, &value), ERROR_EXISTS);
    assert_null(index_table_lookup(&f.table, 0));
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 0x80000000, &value), 0);
    assert_null(index_table_lookup(&f.table, 0));
    fixture_clear(&f);
}

static void an_index_whose_low_bits_are_taken_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    int first, second;
    fixture_init(&f);
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 0x10000001, &first), 0);
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 0x10000001, &second), ERROR_EXISTS);
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 0x20000001, &second), ERROR_EXISTS);
    assert_ptr_equal(index_table_lookup(&f.table, 0x10000001), &first);
    assert_null(index_table_lookup(&f.table, 0x20000001));
    fixture_clear(&f);
}

static void a_released_index_means_nothing_and_can_be_claimed(void **state)
{
    (void)state;
    struct fixture f;
    int first, second;
    fixture_init(&f);
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 0x10000001, &first), 0);
    index_table_release(&f.table, 0x20000001);
    assert_ptr_equal(index_table_lookup(&f.table, 0x10000001), &first);
    index_table_release(&f.table, 0x10000001);
    index_table_release(&f.table, 0x10000001);
    assert_null(index_table_lookup(&f.table, 0x10000001));
    assert_int_equal(f.table.used, 0);
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 0x20000001, &second), 0);
    assert_null(index_table_lookup(&f.table, 0x10000001));
    assert_ptr_equal(index_table_lookup(&f.table, 0x20000001), &second);
    fixture_clear(&f);
}

static void only_a_claimed_index_is_replaced(void **state)
{
    (void)state;
    struct fixture f;
    int first, second;
    fixture_init(&f);
    assert_int_equal(index_table_claim(&f.table, &f.reclaim, 7, &first), 0);
    index_table_replace(&f.table, 7, &second);
    assert_ptr_equal(index_table_lookup(&f.table, 7), &second);
    index_table_replace(&f.table, 0x10000007, &first);
    index_table_replace(&f.table, 8, &first);
    index_table_replace(&f.table, 0, &first);
    assert_ptr_equal(index_table_lookup(&f.table, 7), &second);
    assert_null(index_table_lookup(&f.table, 8));
    assert_null(index_table_lookup(&f.table, 0x10000007));
    fixture_clear(&f);
}

/* The twin: a list of pairs. */
#define PAIRS 3000

struct pair {
    uint32_t index;
    void *value;
};

static size_t claim_all(struct fixture *f, struct pair *pairs, uint32_t *random)
{
    size_t tries = 0;
    for (size_t i = 0; i < PAIRS; tries++) {
        pairs[i] = (struct pair){next_random(random), &pairs[i]};
        int error = index_table_claim(&f->table, &f->reclaim, pairs[i].index, pairs[i].value);
        if (error == 0)
            i++;
        else
            assert_int_equal(error, ERROR_EXISTS);
    }
    return tries;
}

static void check_pairs(const struct fixture *f, const struct pair *pairs)
{
    for (size_t i = 0; i < PAIRS; i++)
        assert_ptr_equal(index_table_lookup(&f->table, pairs[i].index), pairs[i].value);
}

static void growth_keeps_every_index(void **state)
{
    (void)state;
    static struct pair pairs[PAIRS];
    struct fixture f;
    uint32_t random = 1;
    fixture_init(&f);
    size_t tries = claim_all(&f, pairs, &random);
    assert_in_range(tries, PAIRS, 2 * PAIRS);
    assert_int_equal(f.table.used, PAIRS);
    check_pairs(&f, pairs);
    fixture_clear(&f);
}

static void random_histories_agree_with_the_list(void **state)
{
    (void)state;
    static struct pair pairs[PAIRS];
    struct fixture f;
    uint32_t random = 2;
    fixture_init(&f);
    claim_all(&f, pairs, &random);
    for (unsigned step = 0; step < 20000; step++) {
        struct pair *pair = &pairs[next_random(&random) % PAIRS];
        if (step % 3 == 0) {
            pair->value = &pairs[next_random(&random) % PAIRS];
            index_table_replace(&f.table, pair->index, pair->value);
            continue;
        }
        uint32_t released = pair->index;
        index_table_release(&f.table, released);
        assert_null(index_table_lookup(&f.table, released));
        do
            pair->index = next_random(&random);
        while (index_table_claim(&f.table, &f.reclaim, pair->index, pair->value) != 0);
    }
    assert_int_equal(f.table.used, PAIRS);
    check_pairs(&f, pairs);
    fixture_clear(&f);
}

/* What stands behind an index in the race below says so itself. */
struct named {
    _Atomic uint32_t index;
};

/* All race for the slot 0, which is also where the index 0 would be. */
#define RACE_NAMES 3
#define RACE_STEADY 1 /* never released */
#define RACE_STEPS 400000
#define RACE_GROWTH (RACE_STEPS / 128) /* steps between claims that only make the table grow */

struct race {
    struct fixture f;
    struct reclaim_reader readers[2];
    struct named names[RACE_NAMES];
    struct named steady[2]; /* in turn behind RACE_STEADY */
    _Atomic bool done;
    _Atomic uint32_t wrong;
};

static uint32_t race_index(size_t name)
{
    return (uint32_t)(name + 1) << 28;
}

static void race_look(struct race *race, size_t name)
{
    const struct index_table *table = &race->f.table;
    const struct named *found = index_table_lookup(table, race_index(name));
    if (found != NULL && found->index != race_index(name))
        race->wrong++;
    const struct named *steady = index_table_lookup(table, RACE_STEADY);
    if (steady == NULL || steady->index != RACE_STEADY || index_table_lookup(table, 0) != NULL)
        race->wrong++;
}

struct race_reader {
    struct race *race;
    struct reclaim_reader *reader;
};

static void *race_read(void *argument)
{
    struct race_reader *me = argument;
    while (!me->race->done) {
        reclaim_enter(me->reader);
        for (size_t i = 0; i < 64; i++)
            race_look(me->race, i % RACE_NAMES);
        reclaim_leave(me->reader);
    }
    return NULL;
}

static void race_write(struct race *race)
{
    struct index_table *table = &race->f.table;
    for (uint32_t step = 0; step < RACE_STEPS; step++) {
        size_t name = step % RACE_NAMES;
        assert_int_equal(index_table_claim(table, &race->f.reclaim, race_index(name), &race->names[name]), 0);
        index_table_release(table, race_index(name));
        if (step % RACE_GROWTH != 0)
            continue;
        index_table_replace(table, RACE_STEADY, &race->steady[step / RACE_GROWTH % 2]);
        uint32_t extra = RACE_STEADY + 1 + step / RACE_GROWTH;
        assert_int_equal(index_table_claim(table, &race->f.reclaim, extra, race), 0);
        reclaim_collect(&race->f.reclaim);
    }
}

static void a_racing_reader_never_sees_the_value_of_another_index(void **state)
{
    (void)state;
    static struct race race;
    fixture_init(&race.f);
    for (size_t i = 0; i < RACE_NAMES; i++)
        race.names[i].index = race_index(i);
    race.steady[0].index = race.steady[1].index = RACE_STEADY;
    assert_int_equal(index_table_claim(&race.f.table, &race.f.reclaim, RACE_STEADY, &race.steady[0]), 0);
    pthread_t threads[2];
    struct race_reader readers[2];
    for (size_t i = 0; i < 2; i++) {
        readers[i] = (struct race_reader){&race, &race.readers[i]};
        reclaim_add_reader(&race.f.reclaim, &race.readers[i]);
        assert_int_equal(pthread_create(&threads[i], NULL, race_read, &readers[i]), 0);
    }
    race_write(&race);
    race.done = true;
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(race.wrong, 0);
    fixture_clear(&race.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_no_index),
        cmocka_unit_test(an_index_whose_low_bits_are_taken_is_refused),
        cmocka_unit_test(a_released_index_means_nothing_and_can_be_claimed),
        cmocka_unit_test(only_a_claimed_index_is_replaced),
        cmocka_unit_test(growth_keeps_every_index),
        cmocka_unit_test(random_histories_agree_with_the_list),
        cmocka_unit_test(a_racing_reader_never_sees_the_value_of_another_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
