#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "ledger/sync.h"

#define MILLISECOND UINT64_C(1000000)
#define SECONDS (1000 * MILLISECOND)
#define FLIGHTS 512

static const uint8_t no_hash[FRAME_HASH_SIZE];

/* A get or a part on its way. */
struct flight {
    bool used, is_part;
    uint64_t arrives;
    struct frame_get get;
    struct frame_part part;
};

/* A server, a puller and the channel between them, in virtual time. */
struct channel {
    uint64_t now, random, delay, jitter; /* one way */
    unsigned lose_percent, repeat_percent;
    uint8_t *blob;
    size_t len;
    uint64_t to;
    struct pull *pull;
    struct flight flights[FLIGHTS];
    uint32_t in_flight, in_flight_most, gets;
    bool dead;
    void (*spoil)(struct channel *c, struct frame_part *part);
};

static uint64_t draw(struct channel *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

static void launch_once(struct channel *c, const struct flight *what)
{
    if (draw(c) % 100 < c->lose_percent)
        return;
    for (uint32_t i = 0; i < FLIGHTS; i++)
        if (!c->flights[i].used) {
            c->flights[i] = *what;
            c->flights[i].used = true;
            c->flights[i].arrives = c->now + c->delay + (c->jitter ? draw(c) % c->jitter : 0);
            return;
        }
}

static void launch(struct channel *c, const struct flight *what)
{
    launch_once(c, what);
    if (draw(c) % 100 < c->repeat_percent)
        launch_once(c, what);
}

static struct flight *first_flight(struct channel *c)
{
    struct flight *first = NULL;
    for (uint32_t i = 0; i < FLIGHTS; i++)
        if (c->flights[i].used && (!first || c->flights[i].arrives < first->arrives))
            first = &c->flights[i];
    return first;
}

static void serve(struct channel *c, const struct frame_get *get)
{
    struct flight answer = {.is_part = true};
    if (c->dead || !serve_part(get, get->to == UINT64_MAX ? c->to : get->to, c->blob, c->len, &answer.part))
        return;
    if (c->spoil)
        c->spoil(c, &answer.part);
    launch(c, &answer);
}

static void ask(struct channel *c)
{
    struct flight question = {0};
    while (pull_next(c->pull, &question.get, c->now)) {
        c->gets++;
        launch(c, &question);
    }
}

/* Runs until the blob is there or the time is over; returns whether it is. */
static bool run(struct channel *c, uint64_t until)
{
    size_t len;
    while (c->now < until && !pull_complete(c->pull, &len)) {
        ask(c);
        struct flight *first = first_flight(c);
        uint64_t deadline = pull_deadline(c->pull);
        assert_true(deadline > c->now);
        if (!first || deadline < first->arrives) {
            c->now = deadline;
            continue;
        }
        struct flight flight = *first;
        first->used = false;
        c->now = flight.arrives > c->now ? flight.arrives : c->now;
        if (flight.is_part)
            (void)!pull_take(c->pull, &flight.part, c->now);
        else
            serve(c, &flight.get);
    }
    return pull_complete(c->pull, &len) != NULL;
}

static void open_channel(struct channel *c, enum sync_what what, uint64_t to, size_t len)
{
    *c = (struct channel){.random = 88172645463325252u, .delay = 50 * MILLISECOND, .to = 7, .len = len, .now = 1};
    c->blob = malloc(len + 1);
    assert_non_null(c->blob);
    for (size_t i = 0; i < len; i++)
        c->blob[i] = (uint8_t)draw(c);
    assert_int_equal(pull_new(&c->pull, what, 3, to, no_hash), 0);
}

static void close_channel(struct channel *c)
{
    pull_free(c->pull);
    free(c->blob);
}

static void assert_whole(struct channel *c)
{
    size_t len;
    const uint8_t *blob = pull_complete(c->pull, &len);
    assert_non_null(blob);
    assert_int_equal(len, c->len);
    assert_memory_equal(blob, c->blob, len);
    assert_true(pull_deadline(c->pull) == UINT64_MAX);
}

static void a_megabyte_comes_within_ten_seconds_over_a_bad_path(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct channel c;
        open_channel(&c, SYNC_LEDGER, 7, 1 << 20);
        c.random += seed * 0x9e3779b97f4a7c15u;
        c.lose_percent = 1;
        assert_true(run(&c, 10 * SECONDS));
        assert_whole(&c);
        close_channel(&c);
    }
}

static void loss_repeats_and_disorder_change_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct channel c;
        open_channel(&c, SYNC_FOLD, 7, 100000 + seed);
        c.random += seed * 0x9e3779b97f4a7c15u;
        c.lose_percent = 20;
        c.repeat_percent = 20;
        c.jitter = 300 * MILLISECOND;
        assert_true(run(&c, 600 * SECONDS));
        assert_whole(&c);
        close_channel(&c);
    }
}

static void every_length_around_a_part_comes_whole(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, FRAME_PART_MAX - 1, FRAME_PART_MAX, FRAME_PART_MAX + 1, 2 * FRAME_PART_MAX};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct channel c;
        open_channel(&c, SYNC_LEDGER, 7, lengths[i]);
        assert_true(run(&c, 10 * SECONDS));
        assert_whole(&c);
        close_channel(&c);
    }
}

static void the_latest_is_what_the_first_part_says(void **state)
{
    (void)state;
    struct channel c;
    open_channel(&c, SYNC_OPENINGS, UINT64_MAX, 50000);
    assert_true(run(&c, 10 * SECONDS));
    assert_true(pull_to(c.pull) == 7);
    assert_whole(&c);
    close_channel(&c);
}

static void a_dead_server_is_asked_ever_more_rarely(void **state)
{
    (void)state;
    struct channel c;
    open_channel(&c, SYNC_LEDGER, 7, 50000);
    c.dead = true;
    assert_false(run(&c, 100 * SECONDS));
    assert_true(c.gets < 30);
    assert_true(pull_last_progress(c.pull) == 0);
    close_channel(&c);
}

static void what_came_stays_when_another_server_goes_on(void **state)
{
    (void)state;
    struct channel c;
    open_channel(&c, SYNC_LEDGER, 7, 1 << 20);
    assert_false(run(&c, 1 * SECONDS));
    uint64_t stopped = pull_last_progress(c.pull);
    assert_true(stopped != 0);
    uint32_t gets = c.gets;
    c.dead = true;
    (void)run(&c, 60 * SECONDS);
    c.dead = false;
    memset(c.flights, 0, sizeof(c.flights));
    pull_restart(c.pull);
    assert_true(run(&c, 70 * SECONDS));
    assert_whole(&c);
    assert_true(c.gets < (1 << 20) / FRAME_PART_MAX + gets);
    close_channel(&c);
}

static void openings_of_two_servers_do_not_mix(void **state)
{
    (void)state;
    struct channel c;
    open_channel(&c, SYNC_OPENINGS, UINT64_MAX, 300000);
    assert_false(run(&c, 700 * MILLISECOND));
    assert_true(pull_last_progress(c.pull) != 0);
    for (size_t i = 0; i < c.len; i++)
        c.blob[i] ^= 0x5a;
    c.to = 8;
    memset(c.flights, 0, sizeof(c.flights));
    pull_restart(c.pull);
    assert_true(run(&c, 30 * SECONDS));
    assert_true(pull_to(c.pull) == 8);
    assert_whole(&c);
    close_channel(&c);
}

static void lie_about_total(struct channel *c, struct frame_part *part)
{
    part->total += FRAME_PART_MAX * (draw(c) % 5);
    uint64_t rest = part->total - part->offset;
    part->bytes.len = rest < FRAME_PART_MAX ? rest : part->bytes.len;
}

static void a_server_whose_totals_change_only_wastes_its_own_time(void **state)
{
    (void)state;
    struct channel c;
    open_channel(&c, SYNC_LEDGER, 7, 200 * FRAME_PART_MAX);
    c.spoil = lie_about_total;
    (void)run(&c, 60 * SECONDS);
    assert_true(c.gets < 60 * 10 * SYNC_WINDOW_MAX);
    close_channel(&c);
}

static struct frame_part part_of(uint64_t offset, uint64_t total, const uint8_t *bytes, size_t len)
{
    return (struct frame_part){SYNC_LEDGER, 3, 7, {0}, offset, total, {bytes, len}};
}

static void parts_that_do_not_fit_are_not_taken(void **state)
{
    (void)state;
    static const uint8_t bytes[2048];
    struct pull *p;
    struct frame_get get;
    assert_int_equal(pull_new(&p, SYNC_LEDGER, 3, 7, no_hash), 0);
    assert_true(pull_next(p, &get, 1));
    const struct frame_part bad[] = {
        part_of(0, (uint64_t)SYNC_BLOB_MAX + 1, bytes, FRAME_PART_MAX),
        part_of(0, UINT64_MAX, bytes, FRAME_PART_MAX),
        part_of(0, 5000, bytes, FRAME_PART_MAX - 1),
        part_of(0, 5000, bytes, FRAME_PART_MAX + 1),
        part_of(0, 100, bytes, 99),
        part_of(1, 5000, bytes, FRAME_PART_MAX),
        part_of(FRAME_PART_MAX, 5000, bytes, FRAME_PART_MAX), /* not asked for */
        part_of(5 * FRAME_PART_MAX, 5000, bytes, 0),
        part_of(0, 0, bytes, 1),
        part_of(UINT64_MAX - 1023, 5000, bytes, FRAME_PART_MAX),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(pull_take(p, &bad[i], 2));
    struct frame_part other = part_of(0, 5000, bytes, FRAME_PART_MAX);
    other.from = 4;
    assert_false(pull_take(p, &other, 2));
    other = part_of(0, 5000, bytes, FRAME_PART_MAX);
    other.hash[5] = 1;
    assert_false(pull_take(p, &other, 2));
    other = part_of(0, 5000, bytes, FRAME_PART_MAX);
    other.to = 8;
    assert_false(pull_take(p, &other, 2));
    other = part_of(0, 5000, bytes, FRAME_PART_MAX);
    assert_true(pull_take(p, &other, 2));
    assert_false(pull_take(p, &other, 2)); /* again */
    pull_free(p);
}

static void a_blob_that_becomes_another_one_is_pulled_anew(void **state)
{
    (void)state;
    static const uint8_t bytes[FRAME_PART_MAX];
    struct pull *p;
    struct frame_get get;
    assert_int_equal(pull_new(&p, SYNC_LEDGER, 3, 7, no_hash), 0);
    assert_true(pull_next(p, &get, 1));
    struct frame_part old = part_of(0, 5000, bytes, FRAME_PART_MAX);
    assert_true(pull_take(p, &old, 2));
    while (pull_next(p, &get, 3))
        ;
    for (int i = 0; i < 16; i++) {
        struct frame_part now_longer = part_of(FRAME_PART_MAX, 6000, bytes, FRAME_PART_MAX);
        assert_false(pull_take(p, &now_longer, 4));
    }
    assert_true(pull_next(p, &get, 5));
    assert_true(get.offset == 0);
    struct frame_part longer = part_of(0, 6000, bytes, FRAME_PART_MAX);
    assert_true(pull_take(p, &longer, 6));
    pull_free(p);
}

static void never_more_gets_are_under_way_than_the_window_holds(void **state)
{
    (void)state;
    static const uint8_t bytes[FRAME_PART_MAX];
    struct pull *p;
    struct frame_get get;
    assert_int_equal(pull_new(&p, SYNC_LEDGER, 3, 7, no_hash), 0);
    assert_true(pull_next(p, &get, 1));
    assert_false(pull_next(p, &get, 1)); /* one until the total is known */
    uint32_t under_way = 1;
    for (uint64_t part = 0; part < 1000; part++) {
        struct frame_part taken = part_of(part * FRAME_PART_MAX, SYNC_BLOB_MAX, bytes, FRAME_PART_MAX);
        assert_true(pull_take(p, &taken, 2));
        under_way--;
        while (pull_next(p, &get, 2))
            under_way++;
        assert_in_range(under_way, 1, SYNC_WINDOW_MAX);
    }
    assert_int_equal(under_way, SYNC_WINDOW_MAX);
    pull_free(p);
}

static void a_get_beyond_the_end_is_not_answered(void **state)
{
    (void)state;
    static const uint8_t blob[1500];
    struct frame_part part;
    struct frame_get get = {.what = SYNC_LEDGER, .from = 3, .to = UINT64_MAX};
    get.offset = 1024;
    assert_true(serve_part(&get, 7, blob, sizeof(blob), &part));
    assert_int_equal(part.bytes.len, 1500 - 1024);
    assert_true(part.to == 7);
    get.offset = 1500;
    assert_false(serve_part(&get, 7, blob, sizeof(blob), &part));
    get.offset = UINT64_MAX;
    assert_false(serve_part(&get, 7, blob, sizeof(blob), &part));
    get.offset = 0;
    assert_true(serve_part(&get, 7, blob, 0, &part));
    assert_true(part.total == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_megabyte_comes_within_ten_seconds_over_a_bad_path),
        cmocka_unit_test(loss_repeats_and_disorder_change_nothing),
        cmocka_unit_test(every_length_around_a_part_comes_whole),
        cmocka_unit_test(the_latest_is_what_the_first_part_says),
        cmocka_unit_test(a_dead_server_is_asked_ever_more_rarely),
        cmocka_unit_test(what_came_stays_when_another_server_goes_on),
        cmocka_unit_test(openings_of_two_servers_do_not_mix),
        cmocka_unit_test(a_server_whose_totals_change_only_wastes_its_own_time),
        cmocka_unit_test(parts_that_do_not_fit_are_not_taken),
        cmocka_unit_test(a_blob_that_becomes_another_one_is_pulled_anew),
        cmocka_unit_test(never_more_gets_are_under_way_than_the_window_holds),
        cmocka_unit_test(a_get_beyond_the_end_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
