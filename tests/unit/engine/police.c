/* The way in, where packets of the flow that passed last pass without being looked up: compared with a judge that looks
 * each of them up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../random.h"
#include "base/bytes.h"
#include "engine/companion.h"
#include "engine/police.h"
#include "wire/ip.h"

#define NOW (1000 * SECOND)

struct world {
    struct engine engine;
    struct tunnel *tunnel;
    struct flow_table *other; /* the judge's */
    peer_id ids[2];
    struct peer *peers[2];
    uint64_t random;
    struct police_memory memory;
};

static void fill(void *context, uint8_t *out, size_t len)
{
    struct world *w = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(random_next(&w->random) >> 56);
}

static const struct grant grants[] = {{GRANT_TCP, 80, 80}, {GRANT_UDP, 53, 53}};

static int open_world(void **state)
{
    const uint8_t key[16] = {1};
    struct world *w = *state = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->random = 5;
    struct tunnel_options options = {.entropy = {.fill = fill, .context = w}};
    assert_int_equal(tunnel_new(&w->tunnel, &options), 0);
    w->engine.tunnel = w->tunnel;
    assert_int_equal(flow_table_new(&w->engine.flows, 64, key), 0);
    assert_int_equal(flow_table_new(&w->other, 64, key), 0);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t public_key[MESSAGE_KEY_SIZE] = {i, 1};
        assert_int_equal(tunnel_peer_add(w->tunnel, public_key, &w->ids[i]), 0);
        w->peers[i] = tunnel_peer(w->tunnel, w->ids[i]);
    }
    assert_int_equal(engine_set_grants(&w->engine, w->ids[0], NULL, 0, grants, 2), 0);
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    flow_table_free(w->engine.flows);
    flow_table_free(w->other);
    tunnel_free(w->tunnel);
    free(w);
    return 0;
}

/* TCP or UDP over IPv4 or IPv6 to a port. */
static uint32_t make_packet(uint8_t out[128], int version, uint8_t protocol, uint16_t port, uint8_t flags)
{
    uint32_t at = version == 4 ? 20 : 40, len = at + 30;
    memset(out, 0, 128);
    if (version == 4) {
        out[0] = 0x45;
        put_be16(out + 2, (uint16_t)len);
        out[8] = 64;
        out[9] = protocol;
        memcpy(out + 12, (uint8_t[]){10, 0, 0, 1, 10, 0, 0, 2}, 8);
    } else {
        out[0] = 0x60;
        put_be16(out + 4, 30);
        out[6] = protocol;
        out[7] = 64;
        out[8] = out[24] = 0xfd;
        out[23] = 1;
        out[39] = 2;
    }
    put_be16(out + at, 4000);
    put_be16(out + at + 2, port);
    if (protocol == 17) {
        put_be16(out + at + 4, 30);
    } else {
        out[at + 12] = 0x50;
        out[at + 13] = flags;
    }
    return len;
}

static bool lets_in(struct world *w, int peer, const uint8_t *packet, uint32_t len)
{
    return police_lets_in(&w->engine, &w->memory, w->peers[peer], packet, len, NOW);
}

static bool lets_out(struct world *w, int peer, const uint8_t *packet, uint32_t len)
{
    return police_lets_out(&w->engine, &w->memory, w->peers[peer], packet, len, 1, NOW);
}

static void what_no_rule_allows_is_refused_and_counted(void **state)
{
    struct world *w = *state;
    uint8_t packet[128];
    uint32_t len = make_packet(packet, 4, 6, 81, 0x02);
    assert_false(lets_in(w, 0, packet, len));
    assert_int_equal(engine_refused(&w->engine, w->ids[0]), 1);
    len = make_packet(packet, 4, 6, 80, 0x02);
    assert_true(lets_in(w, 0, packet, len));
    assert_int_equal(engine_refused(&w->engine, w->ids[0]), 1);
    struct engine_counters counters;
    engine_read_counters(&w->engine, &counters);
    assert_int_equal(counters.policy_refused, 1);
}

static void a_peer_without_grants_passes_nothing(void **state)
{
    struct world *w = *state;
    uint8_t packet[128];
    assert_false(lets_in(w, 1, packet, make_packet(packet, 4, 17, 53, 0)));
    assert_false(lets_in(w, 1, packet, make_packet(packet, 6, 6, 80, 0x02)));
}

static void grants_taken_back_end_live_flows(void **state)
{
    struct world *w = *state;
    uint8_t packet[128];
    uint32_t len = make_packet(packet, 6, 17, 53, 0);
    assert_true(lets_in(w, 0, packet, len));
    assert_int_equal(engine_set_grants(&w->engine, w->ids[0], NULL, 0, NULL, 0), 0);
    w->memory.peer = NULL; /* as in the next batch */
    assert_false(lets_in(w, 0, packet, len));
}

static void one_peers_flow_lets_no_other_peer_in(void **state)
{
    struct world *w = *state;
    uint8_t packet[128];
    uint32_t len = make_packet(packet, 4, 17, 53, 0);
    assert_true(lets_in(w, 0, packet, len));
    assert_false(lets_in(w, 1, packet, len));
}

static void a_flow_that_went_out_to_one_peer_goes_to_no_other(void **state)
{
    struct world *w = *state;
    uint8_t packet[128];
    uint32_t len = make_packet(packet, 4, 17, 53, 0);
    assert_int_equal(engine_set_grants(&w->engine, w->ids[0], grants, 2, NULL, 0), 0);
    assert_true(lets_out(w, 0, packet, len) && lets_out(w, 0, packet, len));
    assert_false(lets_out(w, 1, packet, len));
    assert_int_equal(engine_set_grants(&w->engine, w->ids[0], NULL, 0, NULL, 0), 0);
    w->memory.peer = NULL; /* as in the next batch */
    assert_false(lets_out(w, 0, packet, len));
}

/* Packets of few flows, some of them damaged. */
static uint32_t random_packet(struct world *w, uint8_t packet[128])
{
    static const uint16_t ports[] = {80, 53, 81};
    static const uint8_t flags[] = {0x02, 0x10, 0x18, 0x11, 0x04, 0x10, 0x10};
    uint32_t len = make_packet(packet, random_below(&w->random, 2) ? 4 : 6, random_below(&w->random, 2) ? 6 : 17,
                               ports[random_below(&w->random, 3)], flags[random_below(&w->random, 7)]);
    if (random_below(&w->random, 8) == 0)
        packet[random_below(&w->random, len)] ^= (uint8_t)(1 << random_below(&w->random, 8));
    return len;
}

static void agree(struct world *w, bool outgoing)
{
    const struct peer_grants all = {
        .version = 9, .in_count = outgoing ? 0 : 2, .in = grants, .out_count = outgoing ? 2 : 0, .out = grants};
    uint8_t packet[128];
    for (int i = 0; i < 50000; i++) {
        struct ip_header ip;
        uint32_t len = random_packet(w, packet);
        if (ip_parse(&ip, packet, len) != 0 || ip.total_len != len)
            continue; /* as after opening */
        bool passes = flow_judge(w->other, &all, w->ids[0], outgoing, packet, len, NOW) == FLOW_PASS;
        assert_int_equal(outgoing ? lets_out(w, 0, packet, len) : lets_in(w, 0, packet, len), passes);
    }
}

static void it_agrees_with_a_judge_that_remembers_nothing(void **state)
{
    agree(*state, false);
}

static void so_it_does_about_what_goes_out(void **state)
{
    struct world *w = *state;
    assert_int_equal(engine_set_grants(&w->engine, w->ids[0], grants, 2, NULL, 0), 0);
    agree(w, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_no_rule_allows_is_refused_and_counted),
        TEST(a_peer_without_grants_passes_nothing),
        TEST(grants_taken_back_end_live_flows),
        TEST(one_peers_flow_lets_no_other_peer_in),
        TEST(a_flow_that_went_out_to_one_peer_goes_to_no_other),
        TEST(it_agrees_with_a_judge_that_remembers_nothing),
        TEST(so_it_does_about_what_goes_out),
    };
    return cmocka_run_group_tests_name("engine/police", tests, NULL, NULL);
}
