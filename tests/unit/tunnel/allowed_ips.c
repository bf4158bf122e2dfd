#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include <arpa/inet.h>

#include "linear_ips.h"
#include "tunnel/allowed_ips.h"

struct owner {
    struct allowed_list list;
};

#define OWNERS 8

struct fixture {
    struct allowed_ips table;
    struct reclaim reclaim;
    struct owner owners[OWNERS];
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    allowed_ips_init(&f.table);
    reclaim_init(&f.reclaim);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    allowed_ips_clear(&f->table);
    reclaim_clear(&f->reclaim);
    return 0;
}

/* An address as text, as bytes. */
struct parsed {
    uint8_t bytes[16];
    unsigned len;
};

static struct parsed parse(const char *text)
{
    struct parsed p = {.len = 4};
    if (inet_pton(AF_INET, text, p.bytes) != 1) {
        p.len = 16;
        assert_int_equal(inet_pton(AF_INET6, text, p.bytes), 1);
    }
    return p;
}

static void give(struct fixture *f, const char *address, unsigned cidr, size_t owner)
{
    struct parsed p = parse(address);
    struct owner *to = &f->owners[owner];
    assert_int_equal(allowed_ips_insert(&f->table, &f->reclaim, p.bytes, p.len, cidr, to, &to->list), 0);
}

static int take(struct fixture *f, const char *address, unsigned cidr, size_t owner)
{
    struct parsed p = parse(address);
    struct owner *from = &f->owners[owner];
    return allowed_ips_remove(&f->table, &f->reclaim, p.bytes, p.len, cidr, from, &from->list);
}

static void *lookup(const struct fixture *f, const uint8_t *address, unsigned address_len)
{
    return address_len == 4 ? allowed_ips_lookup4(&f->table, address) : allowed_ips_lookup6(&f->table, address);
}

/* The owner's number, or -1. */
static int owner_of(const struct fixture *f, const char *address)
{
    struct parsed p = parse(address);
    const struct owner *owner = lookup(f, p.bytes, p.len);
    return owner != NULL ? (int)(owner - f->owners) : -1;
}

static void an_empty_table_has_no_owner(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(owner_of(f, "0.0.0.0"), -1);
    assert_int_equal(owner_of(f, "::"), -1);
}

static void the_empty_prefix_covers_its_family_alone(void **state)
{
    struct fixture *f = *state;
    give(f, "0.0.0.0", 0, 1);
    assert_int_equal(owner_of(f, "0.0.0.0"), 1);
    assert_int_equal(owner_of(f, "255.255.255.255"), 1);
    assert_int_equal(owner_of(f, "::"), -1);
    give(f, "::", 0, 2);
    assert_int_equal(owner_of(f, "::"), 2);
    assert_int_equal(owner_of(f, "ffff::ffff"), 2);
    assert_int_equal(owner_of(f, "128.0.0.0"), 1);
}

static void a_full_prefix_covers_one_address(void **state)
{
    struct fixture *f = *state;
    give(f, "10.0.0.1", 32, 1);
    give(f, "2001:db8::1", 128, 2);
    assert_int_equal(owner_of(f, "10.0.0.1"), 1);
    assert_int_equal(owner_of(f, "10.0.0.0"), -1);
    assert_int_equal(owner_of(f, "10.0.0.2"), -1);
    assert_int_equal(owner_of(f, "2001:db8::1"), 2);
    assert_int_equal(owner_of(f, "2001:db8::"), -1);
    assert_int_equal(owner_of(f, "2001:db8::3"), -1);
}

static void the_longest_prefix_wins_in_any_order_of_insertion(void **state)
{
    struct fixture *f = *state;
    give(f, "10.1.2.0", 24, 3);
    give(f, "10.0.0.0", 8, 1);
    give(f, "10.1.2.3", 32, 4);
    give(f, "10.1.0.0", 16, 2);
    give(f, "0.0.0.0", 0, 0);
    assert_int_equal(owner_of(f, "10.1.2.3"), 4);
    assert_int_equal(owner_of(f, "10.1.2.4"), 3);
    assert_int_equal(owner_of(f, "10.1.3.3"), 2);
    assert_int_equal(owner_of(f, "10.2.2.3"), 1);
    assert_int_equal(owner_of(f, "11.1.2.3"), 0);
    assert_int_equal(take(f, "10.1.2.0", 24, 3), 0);
    assert_int_equal(owner_of(f, "10.1.2.4"), 2);
    assert_int_equal(owner_of(f, "10.1.2.3"), 4);
}

static void every_length_of_one_ipv6_address_nests(void **state)
{
    struct fixture *f = *state;
    struct parsed ones = parse("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    static struct owner owners[129];
    for (unsigned cidr = 0; cidr <= 128; cidr++) {
        struct owner *owner = &owners[cidr];
        assert_int_equal(allowed_ips_insert(&f->table, &f->reclaim, ones.bytes, 16, cidr, owner, &owner->list), 0);
    }
    for (unsigned same = 0; same < 128; same++) {
        struct parsed p = ones;
        p.bytes[same / 8] ^= (uint8_t)(0x80 >> same % 8);
        assert_ptr_equal(lookup(f, p.bytes, 16), &owners[same]);
    }
    assert_ptr_equal(lookup(f, ones.bytes, 16), &owners[128]);
}

static void siblings_do_not_cover_each_other(void **state)
{
    struct fixture *f = *state;
    give(f, "192.168.0.0", 25, 1);
    give(f, "192.168.0.128", 25, 2);
    assert_int_equal(owner_of(f, "192.168.0.127"), 1);
    assert_int_equal(owner_of(f, "192.168.0.128"), 2);
    assert_int_equal(owner_of(f, "192.168.1.0"), -1);
    assert_int_equal(take(f, "192.168.0.0", 25, 1), 0);
    assert_int_equal(owner_of(f, "192.168.0.127"), -1);
    assert_int_equal(owner_of(f, "192.168.0.128"), 2);
}

static void host_bits_behind_the_prefix_are_ignored(void **state)
{
    struct fixture *f = *state;
    give(f, "10.255.255.255", 9, 1);
    assert_int_equal(owner_of(f, "10.128.0.1"), 1);
    assert_int_equal(owner_of(f, "10.127.0.1"), -1);
    give(f, "10.129.0.0", 9, 2);
    assert_int_equal(f->owners[1].list.count, 0);
    assert_int_equal(owner_of(f, "10.128.0.1"), 2);
    assert_int_equal(take(f, "10.200.0.0", 9, 2), 0);
    assert_int_equal(owner_of(f, "10.128.0.1"), -1);
}

static void a_prefix_beyond_its_address_is_invalid(void **state)
{
    struct fixture *f = *state;
    const uint8_t address[16] = {10};
    struct allowed_list *list = &f->owners[0].list;
    static const unsigned invalid[][2] = {{4, 33}, {4, 128}, {16, 129}, {16, 256}, {0, 0}, {6, 8}, {4, ~0u}};
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        unsigned len = invalid[i][0], cidr = invalid[i][1];
        assert_int_equal(allowed_ips_insert(&f->table, &f->reclaim, address, len, cidr, list, list), ERROR_INVALID);
        assert_int_equal(allowed_ips_remove(&f->table, &f->reclaim, address, len, cidr, list, list), ERROR_INVALID);
    }
    assert_int_equal(list->count, 0);
}

static void an_inserted_prefix_moves_to_its_new_owner(void **state)
{
    struct fixture *f = *state;
    give(f, "10.0.0.0", 8, 1);
    give(f, "10.0.0.0", 16, 1);
    give(f, "10.0.0.0", 8, 2);
    give(f, "10.0.0.0", 8, 2);
    assert_int_equal(f->owners[1].list.count, 1);
    assert_int_equal(f->owners[2].list.count, 1);
    assert_int_equal(owner_of(f, "10.1.0.0"), 2);
    allowed_ips_remove_all(&f->table, &f->reclaim, &f->owners[1].list);
    assert_int_equal(owner_of(f, "10.0.0.0"), 2);
}

static void only_the_owner_can_remove_exactly_its_prefix(void **state)
{
    struct fixture *f = *state;
    give(f, "10.0.0.0", 8, 1);
    give(f, "10.0.0.0", 24, 2);
    give(f, "10.0.1.0", 24, 2); /* the branch between the two has no owner */
    assert_int_equal(take(f, "10.0.0.0", 8, 2), ERROR_NOT_FOUND);
    assert_int_equal(take(f, "10.0.0.0", 9, 1), ERROR_NOT_FOUND);
    assert_int_equal(take(f, "10.0.0.0", 7, 1), ERROR_NOT_FOUND);
    assert_int_equal(take(f, "10.0.0.0", 23, 2), ERROR_NOT_FOUND);
    assert_int_equal(take(f, "10.0.0.0", 32, 2), ERROR_NOT_FOUND);
    assert_int_equal(take(f, "a00::", 8, 1), ERROR_NOT_FOUND);
    assert_int_equal(take(f, "10.0.0.0", 8, 1), 0);
    assert_int_equal(take(f, "10.0.0.0", 8, 1), ERROR_NOT_FOUND);
    assert_int_equal(owner_of(f, "10.0.0.1"), 2);
}

static void a_branch_can_become_a_prefix_and_a_branch_again(void **state)
{
    struct fixture *f = *state;
    give(f, "10.0.0.0", 24, 1);
    give(f, "10.0.1.0", 24, 2);
    give(f, "10.0.0.0", 23, 3);
    assert_int_equal(owner_of(f, "10.0.0.1"), 1);
    assert_int_equal(take(f, "10.0.0.0", 24, 1), 0);
    assert_int_equal(owner_of(f, "10.0.0.1"), 3);
    give(f, "10.0.0.0", 24, 1);
    assert_int_equal(take(f, "10.0.0.0", 23, 3), 0);
    assert_int_equal(owner_of(f, "10.0.0.1"), 1);
    assert_int_equal(owner_of(f, "10.0.1.1"), 2);
}

static void an_emptied_table_keeps_no_node(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 3; round++) {
        for (uint8_t i = 0; i < 250; i++) {
            uint8_t address[16] = {(uint8_t)(i * 167), i, (uint8_t)(i * 3)};
            struct owner *owner = &f->owners[i % OWNERS];
            unsigned len = i % 3 == 0 ? 4 : 16;
            assert_int_equal(allowed_ips_insert(&f->table, &f->reclaim, address, len, i % 24u, owner, &owner->list), 0);
        }
        for (size_t i = 0; i < OWNERS; i++)
            allowed_ips_remove_all(&f->table, &f->reclaim, &f->owners[i].list);
        assert_null(f->table.root4);
        assert_null(f->table.root6);
    }
}

struct expected {
    struct linear_ips *linear;
    const struct owner *owner;
    uint32_t seen;
    int stop_with;
};

static int check_listed(void *context, const uint8_t *address, unsigned address_len, unsigned cidr)
{
    struct expected *e = context;
    assert_true(linear_has(e->linear, address, address_len, cidr, e->owner));
    e->seen++;
    return e->stop_with;
}

static void listing_stops_with_what_the_callback_returned(void **state)
{
    struct fixture *f = *state;
    static struct linear_ips linear;
    linear.count = 0;
    for (uint8_t i = 0; i < 5; i++) {
        uint8_t address[4] = {10, i, 0, 0};
        assert_int_equal(allowed_ips_insert(&f->table, &f->reclaim, address, 4, 16, &f->owners[0], &f->owners[0].list),
                         0);
        assert_true(linear_insert(&linear, address, 4, 16, &f->owners[0]));
    }
    struct expected all = {&linear, &f->owners[0], 0, 0}, one = {&linear, &f->owners[0], 0, -7};
    assert_int_equal(allowed_ips_each(&f->owners[0].list, check_listed, &all), 0);
    assert_int_equal(all.seen, 5);
    assert_int_equal(allowed_ips_each(&f->owners[0].list, check_listed, &one), -7);
    assert_int_equal(one.seen, 1);
}

/* ---- Random histories, beside the linear table ---- */

#define HISTORIES 30
#define STEPS 1500

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Few distinct bits, spread over the whole address, so that prefixes often nest, meet and part. */
static struct parsed random_address(uint64_t *seed)
{
    struct parsed p = {.len = next_random(seed) % 2 == 0 ? 4 : 16};
    uint64_t dense = next_random(seed) % 3;
    for (unsigned i = 0; i < p.len; i++) {
        uint64_t draw = next_random(seed);
        p.bytes[i] = (uint8_t)(dense == 0 ? draw >> 8 : draw >> 8 & draw >> 16 & 0x81);
    }
    return p;
}

static bool owners_agree(struct fixture *f, struct linear_ips *linear)
{
    for (size_t i = 0; i < OWNERS; i++) {
        struct expected e = {linear, &f->owners[i], 0, 0};
        allowed_ips_each(&f->owners[i].list, check_listed, &e);
        uint32_t count = linear_count_of(linear, &f->owners[i]);
        if (e.seen != count || f->owners[i].list.count != count)
            return false;
    }
    return true;
}

static bool step_agrees(struct fixture *f, struct linear_ips *linear, uint64_t *seed)
{
    struct parsed p = random_address(seed);
    unsigned cidr = (unsigned)(next_random(seed) % (p.len * 8 + 1));
    struct owner *owner = &f->owners[next_random(seed) % OWNERS];
    uint64_t kind = next_random(seed) % 256;
    if (kind == 0) {
        allowed_ips_remove_all(&f->table, &f->reclaim, &owner->list);
        linear_remove_all(linear, owner);
    } else if (kind < 100) {
        int error = allowed_ips_insert(&f->table, &f->reclaim, p.bytes, p.len, cidr, owner, &owner->list);
        return (error == 0) == linear_insert(linear, p.bytes, p.len, cidr, owner);
    } else if (kind < 180 && linear->count > 0) {
        const struct linear_prefix *victim = &linear->prefix[next_random(seed) % linear->count];
        struct linear_prefix old = *victim;
        if (kind < 150)
            owner = old.owner;
        int error =
            allowed_ips_remove(&f->table, &f->reclaim, old.address, old.address_len, old.cidr, owner, &owner->list);
        return (error == 0) == linear_remove(linear, old.address, old.address_len, old.cidr, owner);
    }
    return lookup(f, p.bytes, p.len) == linear_lookup(linear, p.bytes, p.len);
}

static void random_histories_agree_with_the_linear_table(void **state)
{
    static struct linear_ips linear;
    for (uint64_t history = 1; history <= HISTORIES; history++) {
        struct fixture *f = *state;
        uint64_t seed = history * UINT64_C(0x9e3779b97f4a7c15);
        linear.count = 0;
        for (unsigned step = 0; step < STEPS; step++) {
            if (!step_agrees(f, &linear, &seed) || (step % 100 == 0 && !owners_agree(f, &linear)))
                fail_msg("history %u step %u", (unsigned)history, step);
            reclaim_collect(&f->reclaim);
        }
        assert_true(owners_agree(f, &linear));
        teardown(state);
        setup(state);
    }
}

/* ---- Readers beside the writer ---- */

#define RACE_STEPS 60000

/* 10.0.0.0/16 always belongs to owner 0 or 1; everything around it, below and above, comes and goes. */
struct race {
    struct fixture *f;
    struct reclaim_reader reader[2];
    _Atomic bool done;
    _Atomic uint32_t wrong;
};

struct race_reader {
    struct race *race;
    struct reclaim_reader *reader;
};

static bool is_steady_owner(const struct fixture *f, const void *owner)
{
    return owner == &f->owners[0] || owner == &f->owners[1];
}

static bool is_any_owner(const struct fixture *f, const struct owner *owner)
{
    return owner >= f->owners && owner < f->owners + OWNERS;
}

/* 10.0.255.x has no prefix longer than the /16; 10.0.0.x may have any. */
static void race_look(struct race *race, uint8_t host)
{
    const struct fixture *f = race->f;
    uint8_t steady4[4] = {10, 0, 255, host}, any4[4] = {10, 0, 0, host};
    uint8_t steady6[16] = {10, 0, 255, host}, any6[16] = {10, 0, 0, host};
    if (!is_steady_owner(f, allowed_ips_lookup4(&f->table, steady4)) ||
        !is_steady_owner(f, allowed_ips_lookup6(&f->table, steady6)) ||
        !is_any_owner(f, allowed_ips_lookup4(&f->table, any4)) ||
        !is_any_owner(f, allowed_ips_lookup6(&f->table, any6)))
        race->wrong++;
}

static void *race_read(void *argument)
{
    struct race_reader *me = argument;
    for (unsigned i = 0; !me->race->done; i++) {
        reclaim_enter(me->reader);
        race_look(me->race, (uint8_t)i);
        reclaim_leave(me->reader);
    }
    return NULL;
}

static void race_insert(struct fixture *f, const uint8_t *address, unsigned cidr, struct owner *owner)
{
    assert_int_equal(allowed_ips_insert(&f->table, &f->reclaim, address, 4, cidr, owner, &owner->list), 0);
    assert_int_equal(allowed_ips_insert(&f->table, &f->reclaim, address, 16, cidr, owner, &owner->list), 0);
}

static void race_write(struct fixture *f, uint64_t *seed)
{
    static const unsigned above_or_below[] = {0, 8, 15, 17, 20, 24, 25, 30, 31, 32};
    const uint8_t steady[16] = {10};
    uint64_t draw = next_random(seed);
    uint8_t address[16] = {10, 0, 0, (uint8_t)(draw >> 8)};
    unsigned cidr = above_or_below[(draw >> 16) % (sizeof(above_or_below) / sizeof(above_or_below[0]))];
    struct owner *owner = &f->owners[2 + (draw >> 32) % (OWNERS - 2)];
    if (draw % 16 == 0)
        allowed_ips_remove_all(&f->table, &f->reclaim, &owner->list);
    else
        race_insert(f, address, cidr, owner);
    race_insert(f, steady, 16, &f->owners[draw >> 40 & 1]);
    reclaim_collect(&f->reclaim);
}

static void readers_see_the_old_owner_or_the_new_one(void **state)
{
    struct race race = {.f = *state};
    struct race_reader readers[2];
    pthread_t threads[2];
    const uint8_t steady[16] = {10};
    uint64_t seed = 1;
    race_insert(race.f, steady, 16, &race.f->owners[0]);
    for (size_t i = 0; i < 2; i++) {
        readers[i] = (struct race_reader){&race, &race.reader[i]};
        reclaim_add_reader(&race.f->reclaim, &race.reader[i]);
        assert_int_equal(pthread_create(&threads[i], NULL, race_read, &readers[i]), 0);
    }
    for (unsigned step = 0; step < RACE_STEPS; step++)
        race_write(race.f, &seed);
    race.done = true;
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        reclaim_remove_reader(&race.f->reclaim, &race.reader[i]);
    }
    assert_int_equal(race.wrong, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_table_has_no_owner),
        TEST(the_empty_prefix_covers_its_family_alone),
        TEST(a_full_prefix_covers_one_address),
        TEST(the_longest_prefix_wins_in_any_order_of_insertion),
        TEST(every_length_of_one_ipv6_address_nests),
        TEST(siblings_do_not_cover_each_other),
        TEST(host_bits_behind_the_prefix_are_ignored),
        TEST(a_prefix_beyond_its_address_is_invalid),
        TEST(an_inserted_prefix_moves_to_its_new_owner),
        TEST(only_the_owner_can_remove_exactly_its_prefix),
        TEST(a_branch_can_become_a_prefix_and_a_branch_again),
        TEST(an_emptied_table_keeps_no_node),
        TEST(listing_stops_with_what_the_callback_returned),
        TEST(random_histories_agree_with_the_linear_table),
        TEST(readers_see_the_old_owner_or_the_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
