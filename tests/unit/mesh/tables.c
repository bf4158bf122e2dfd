/* The tables of devices and permissions beside their slow models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mesh/internal.h"

#include "../random.h"

#define DEVICES 500u
#define STEPS 20000

static struct device_id id_of(uint32_t n)
{
    struct device_id id = {{0}};
    put_be32(id.bytes, n % 7); /* many of one bucket */
    put_be32(id.bytes + 12, n + 1);
    return id;
}

static void the_table_holds_what_was_added_and_not_removed(void **state)
{
    (void)state;
    struct device_table table = {0};
    struct device *model[DEVICES] = {0};
    uint64_t random = 1;
    uint32_t count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t n = random_below(&random, DEVICES);
        struct device_id id = id_of(n);
        assert_ptr_equal(devices_find(&table, &id), model[n]);
        if (model[n]) {
            devices_remove(&table, model[n]);
            model[n] = NULL;
            count--;
        } else {
            assert_int_equal(devices_add(&table, &id, &model[n]), 0);
            count++;
        }
        assert_int_equal(table.count, count);
    }
    uint32_t seen = 0;
    for (struct device *d = devices_next(&table, NULL); d; d = devices_next(&table, d))
        seen++;
    assert_int_equal(seen, count);
    devices_clear(&table);
}

/* The matrix of who may send to whom, as the engine is told. */
#define PEERS 20u
static bool permitted[PEERS][PEERS];

static uint32_t number_of(const struct device_id *id)
{
    return get_be32(id->bytes + 12) - 1;
}

static void on_permit(void *context, const struct device_id *a, const struct device_id *b, bool yes)
{
    (void)context;
    permitted[number_of(a)][number_of(b)] = permitted[number_of(b)][number_of(a)] = yes;
}

static void permissions_end_with_either_device_and_no_sooner(void **state)
{
    (void)state;
    struct mesh *m = calloc(1, sizeof(*m));
    struct device devices[PEERS] = {0};
    bool model[PEERS][PEERS] = {0};
    uint64_t random = 5;
    assert_non_null(m);
    m->ops.permit = on_permit;
    for (uint32_t i = 0; i < PEERS; i++)
        devices[i].id = id_of(i);
    for (int step = 0; step < STEPS; step++) {
        uint32_t a = random_below(&random, PEERS), b = random_below(&random, PEERS);
        if (step % 5 == 0 && a != b) {
            permission_end(m, &devices[a], &devices[b]);
            model[a][b] = model[b][a] = false;
        } else if (a == b) {
            permissions_end(m, &devices[a]);
            for (uint32_t i = 0; i < PEERS; i++)
                model[a][i] = model[i][a] = false;
        } else {
            assert_int_equal(permission_add(m, &devices[a], &devices[b]), 0);
            model[a][b] = model[b][a] = true;
        }
        assert_memory_equal(model, permitted, sizeof(model));
    }
    for (uint32_t i = 0; i < PEERS; i++)
        permissions_end(m, &devices[i]);
    assert_int_equal(m->permission_count, 0);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_holds_what_was_added_and_not_removed),
        cmocka_unit_test(permissions_end_with_either_device_and_no_sooner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
