#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "engine/bucket.h"
#include "engine/permits.h"

#define PEERS 40

struct world {
    struct tunnel *tunnel;
    struct permits permits;
    peer_id peers[PEERS];
    bool model[PEERS][PEERS]; /* [origin][destination] */
    uint64_t random;
    struct reclaim_reader reader;
    _Atomic bool stop;
    _Atomic uint64_t looked;
};

static void fill(void *context, uint8_t *out, size_t len)
{
    struct world *w = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(random_next(&w->random) >> 56);
}

static void name_of(uint8_t name[8], uint32_t i)
{
    memset(name, 0, 8);
    name[7] = (uint8_t)i;
}

static void add_peer(struct world *w, uint32_t i)
{
    uint8_t key[MESSAGE_KEY_SIZE];
    fill(w, key, sizeof(key));
    assert_int_equal(tunnel_peer_add(w->tunnel, key, &w->peers[i]), 0);
}

static void remove_peer(struct world *w, uint32_t i)
{
    struct tunnel_actions actions = {.count = 0};
    tunnel_peer_remove(w->tunnel, w->peers[i], &actions);
}

static int open_world(void **state)
{
    struct world *w = *state = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->random = 3;
    struct tunnel_options options = {.entropy = {.fill = fill, .context = w}};
    assert_int_equal(tunnel_new(&w->tunnel, &options), 0);
    for (uint32_t i = 0; i < PEERS; i++)
        add_peer(w, i);
    permits_init(&w->permits, (uint64_t[4]){1, 2, 3, 4});
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    tunnel_free(w->tunnel);
    permits_clear(&w->permits);
    free(w);
    return 0;
}

static void permit(struct world *w, uint32_t a, uint32_t b)
{
    uint8_t name_a[8], name_b[8];
    name_of(name_a, a);
    name_of(name_b, b);
    assert_int_equal(permits_add(&w->permits, w->tunnel, w->peers[a], name_a, w->peers[b], name_b), 0);
}

static bool is_permitted(const struct world *w, uint32_t a, uint32_t b)
{
    struct permit permit;
    uint8_t name[8], origin[8];
    name_of(name, b);
    name_of(origin, a);
    if (!permits_find(&w->permits, w->peers[a], name, &permit))
        return false;
    assert_memory_equal(permit.origin_name, origin, 8);
    return permit.destination == w->peers[b];
}

static void nobody_is_permitted_at_first(void **state)
{
    assert_false(is_permitted(*state, 0, 1));
    permits_remove(&((struct world *)*state)->permits, 1, 2);
}

static void a_permit_holds_one_way(void **state)
{
    struct world *w = *state;
    permit(w, 0, 1);
    assert_true(is_permitted(w, 0, 1));
    assert_false(is_permitted(w, 1, 0));
    permits_remove(&w->permits, w->peers[0], w->peers[1]);
    assert_false(is_permitted(w, 0, 1));
}

static void it_agrees_with_a_matrix(void **state)
{
    struct world *w = *state;
    for (int round = 0; round < 20000; round++) {
        uint32_t a = random_below(&w->random, PEERS), b = random_below(&w->random, PEERS);
        bool add = random_below(&w->random, 2) != 0;
        if (add)
            permit(w, a, b);
        else
            permits_remove(&w->permits, w->peers[a], w->peers[b]);
        w->model[a][b] = add;
        uint32_t c = random_below(&w->random, PEERS), d = random_below(&w->random, PEERS);
        assert_int_equal(is_permitted(w, c, d), w->model[c][d]);
    }
    for (uint32_t a = 0; a < PEERS; a++)
        for (uint32_t b = 0; b < PEERS; b++)
            assert_int_equal(is_permitted(w, a, b), w->model[a][b]);
}

static void a_name_passes_to_its_new_peer(void **state)
{
    struct world *w = *state;
    permit(w, 0, 1);
    remove_peer(w, 1);
    add_peer(w, 1);
    assert_false(is_permitted(w, 0, 1));
    permit(w, 0, 1);
    assert_true(is_permitted(w, 0, 1));
}

static void what_names_peers_that_are_gone_takes_no_room_for_ever(void **state)
{
    struct world *w = *state;
    permit(w, 0, 2);
    for (int i = 0; i < 5000; i++) {
        permit(w, 0, 1);
        remove_peer(w, 1);
        add_peer(w, 1);
    }
    assert_true(is_permitted(w, 0, 2));
}

static void use(struct world *w, uint32_t a, uint32_t b, uint64_t now)
{
    struct permit permit;
    uint8_t name[8];
    name_of(name, b);
    assert_true(permits_find(&w->permits, w->peers[a], name, &permit));
    permit_serves(&permit, now);
}

static void who_used_a_permit_lately_is_listed_once(void **state)
{
    struct world *w = *state;
    struct permit_use uses[4];
    uint32_t more;
    for (uint32_t b = 1; b < 5; b++) {
        permit(w, 0, b);
        permit(w, b, 0);
    }
    assert_int_equal(permits_list(&w->permits, w->peers[0], 0, uses, 4, &more), 0); /* none was used */
    use(w, 0, 1, 100);
    use(w, 1, 0, 120);
    use(w, 2, 0, 50);
    assert_int_equal(permits_list(&w->permits, w->peers[0], 60, uses, 4, &more), 1);
    assert_true(uses[0].with == w->peers[1] && uses[0].used == 120 && more == 0);
    assert_int_equal(permits_list(&w->permits, w->peers[0], 0, uses, 4, &more), 2);
    assert_int_equal(permits_list(&w->permits, w->peers[0], 0, uses, 1, &more), 1);
    assert_true(more >= 1);
    assert_int_equal(permits_list(&w->permits, w->peers[1], 0, uses, 4, &more), 1);
    assert_true(uses[0].with == w->peers[0]);
    for (uint32_t b = 5; b < PEERS; b++) /* the table grows, and remembers */
        permit(w, 0, b);
    assert_int_equal(permits_list(&w->permits, w->peers[0], 60, uses, 4, &more), 1);
    permits_remove(&w->permits, w->peers[0], w->peers[1]);
    permits_remove(&w->permits, w->peers[1], w->peers[0]);
    assert_int_equal(permits_list(&w->permits, w->peers[0], 60, uses, 4, &more), 0);
}

static void *look(void *context)
{
    struct world *w = context;
    while (!atomic_load(&w->stop)) {
        reclaim_enter(&w->reader);
        for (uint32_t b = 1; b < PEERS; b++) {
            bool found = is_permitted(w, 0, b);
            if (b == 1 && !found)
                abort(); /* it stays permitted all the time */
        }
        reclaim_leave(&w->reader);
        atomic_fetch_add(&w->looked, 1);
    }
    return NULL;
}

static void readers_see_a_whole_permit_or_none(void **state)
{
    struct world *w = *state;
    pthread_t thread;
    permit(w, 0, 1);
    tunnel_add_reader(w->tunnel, &w->reader);
    assert_int_equal(pthread_create(&thread, NULL, look, w), 0);
    for (int i = 0; i < 20000 || atomic_load(&w->looked) < 100; i++) {
        uint32_t b = 2 + random_below(&w->random, PEERS - 2);
        if (i % 2)
            permit(w, 0, b);
        else
            permits_remove(&w->permits, w->peers[0], w->peers[b]);
    }
    atomic_store(&w->stop, true);
    pthread_join(thread, NULL);
    tunnel_remove_reader(w->tunnel, &w->reader);
}

/* ---- The bucket ---- */

static void a_bucket_begins_full_and_fills_at_its_rate(void **state)
{
    struct bucket b = {0};
    uint64_t now = 1000 * SECOND;
    (void)state;
    assert_true(bucket_take(&b, 1000, BUCKET_BURST_MIN, now));
    assert_false(bucket_take(&b, 1000, 1, now));
    assert_false(bucket_take(&b, 1000, 501, now + SECOND / 2));
    assert_true(bucket_take(&b, 1000, 500, now + SECOND / 2));
    assert_false(bucket_take(&b, 1000, 1, now + SECOND / 2));
    assert_true(bucket_take(&b, 1000, 100000, now + 101 * SECOND));
    assert_false(bucket_take(&b, 1000, 1000, now + 101 * SECOND));
    assert_true(bucket_take(&b, 1000, BUCKET_BURST_MIN, now + 10000 * SECOND));
    assert_false(bucket_take(&b, 1000, 1, now + 10000 * SECOND));
}

static void a_bucket_that_is_asked_often_loses_nothing(void **state)
{
    struct bucket b = {0};
    uint64_t now = 1000 * SECOND, taken = 0;
    (void)state;
    assert_true(bucket_take(&b, 100, BUCKET_BURST_MIN, now));
    for (int i = 0; i < 10000; i++) { /* 10 s, a millisecond each: a tenth of a byte */
        now += SECOND / 1000;
        taken += bucket_take(&b, 100, 1, now);
    }
    assert_in_range(taken, 990, 1000);
}

static void a_fast_bucket_holds_a_tenth_of_a_second(void **state)
{
    struct bucket b = {0};
    const uint64_t rate = UINT64_C(1) << 34;
    (void)state;
    assert_true(bucket_take(&b, rate, (uint32_t)(rate / 10), SECOND));
    assert_false(bucket_take(&b, rate, UINT32_MAX, 2 * SECOND));
    assert_true(bucket_take(&b, rate, (uint32_t)(rate / 10), 100000 * SECOND));
    assert_false(bucket_take(&b, rate, 1, 100000 * SECOND));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_is_permitted_at_first),
        TEST(a_permit_holds_one_way),
        TEST(it_agrees_with_a_matrix),
        TEST(a_name_passes_to_its_new_peer),
        TEST(what_names_peers_that_are_gone_takes_no_room_for_ever),
        TEST(readers_see_a_whole_permit_or_none),
        TEST(who_used_a_permit_lately_is_listed_once),
        cmocka_unit_test(a_bucket_begins_full_and_fills_at_its_rate),
        cmocka_unit_test(a_bucket_that_is_asked_often_loses_nothing),
        cmocka_unit_test(a_fast_bucket_holds_a_tenth_of_a_second),
    };
    return cmocka_run_group_tests_name("engine/permits", tests, NULL, NULL);
}
