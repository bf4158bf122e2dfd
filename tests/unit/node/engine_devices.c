#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../../node/engine_devices.h"
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

/* The model is an array. */
static void devices_are_found_by_id_and_by_peer_until_they_are_removed(void **state)
{
    (void)state;
    struct engine_devices table = {0};
    struct engine_device *model[DEVICES] = {0};
    uint64_t random = 3;
    uint32_t count = 0, seen = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t n = random_below(&random, DEVICES);
        struct device_id id = id_of(n);
        assert_ptr_equal(engine_devices_find(&table, &id), model[n]);
        assert_ptr_equal(engine_devices_find_peer(&table, n + 1), model[n]);
        if (model[n]) {
            engine_devices_remove(&table, model[n]);
            model[n] = NULL;
            count--;
        } else {
            assert_int_equal(engine_devices_add(&table, &id, n + 1, &model[n]), 0);
            count++;
        }
        assert_int_equal(table.count, count);
    }
    for (struct engine_device *d = engine_devices_next(&table, NULL); d; d = engine_devices_next(&table, d))
        seen++;
    assert_int_equal(seen, count);
    engine_devices_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_found_by_id_and_by_peer_until_they_are_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
