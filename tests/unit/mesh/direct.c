/* Direct paths between members at sites of every kind, in virtual time. Relays come first; members talk from the start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "world.h"

#define RELAYS 2u
#define A RELAYS
#define B (RELAYS + 1)

static struct mesh_counters counters_of(struct world *w, uint32_t node)
{
    struct mesh_counters c;
    mesh_read_counters(w->nodes[node].mesh, &c);
    return c;
}

static enum mesh_path_kind path(struct world *w, uint32_t from, uint32_t to)
{
    struct device_id relay;
    return mesh_path(w->nodes[from].mesh, &w->nodes[to].id, &relay);
}

static bool both_direct(struct world *w, uint32_t a, uint32_t b)
{
    return path(w, a, b) == MESH_PATH_DIRECT && path(w, b, a) == MESH_PATH_DIRECT;
}

/* A behind one NAT and B behind another, up at their relays. */
static struct world *two_sites(enum nat of_a, enum nat of_b)
{
    struct world *w = world_new(RELAYS, 2);
    w->net.sites[0].kind = of_a;
    w->net.sites[1].kind = of_b;
    world_place(w, A, of_a == NAT_NONE ? NET_PUBLIC : 0);
    world_place(w, B, of_b == NAT_NONE ? NET_PUBLIC : 1);
    world_allow(w, A, B, true);
    world_run(w, 3 * SECOND);
    return w;
}

static struct world *two_that_talk_directly(enum nat kind)
{
    struct world *w = two_sites(kind, kind);
    world_talk(w, A, B);
    world_run(w, 3 * SECOND);
    assert_true(both_direct(w, A, B));
    return w;
}

/* ---- Which pairs meet ---- */

static const bool direct_expected[5][5] = {
    [NAT_NONE] = {true, true, true, true, true},
    [NAT_FULL_CONE] = {true, true, true, true, true},
    [NAT_ADDRESS_RESTRICTED] = {true, true, true, true, true},
    [NAT_PORT_RESTRICTED] = {true, true, true, true, false},
    [NAT_SYMMETRIC] = {true, true, true, false, false},
};

static void a_pair_meets_directly_within_two_seconds_if_their_nats_let_it(void **state)
{
    (void)state;
    for (enum nat a = NAT_NONE; a <= NAT_SYMMETRIC; a++)
        for (enum nat b = NAT_NONE; b <= NAT_SYMMETRIC; b++) {
            struct world *w = two_sites(a, b);
            world_talk(w, A, B);
            world_run(w, 2 * SECOND);
            if (both_direct(w, A, B) != direct_expected[a][b])
                fail_msg("%d and %d: %d %d", a, b, path(w, A, B), path(w, B, A));
            uint32_t before = w->nodes[A].said[B], arrived = w->nodes[B].arrived[A];
            world_run(w, 10 * SECOND);
            assert_in_range(w->nodes[B].arrived[A] - arrived, w->nodes[A].said[B] - before - 1,
                            w->nodes[A].said[B] - before + 1);
            world_free(w);
        }
}

static void why_a_pair_stays_relayed_is_told(void **state)
{
    (void)state;
    struct world *w = two_sites(NAT_SYMMETRIC, NAT_PORT_RESTRICTED);
    world_talk(w, A, B);
    world_run(w, SECOND / 2);
    assert_int_equal(mesh_why(w->nodes[B].mesh, &w->nodes[A].id), MESH_WHY_TRYING);
    world_run(w, 3 * SECOND);
    assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
    assert_int_equal(mesh_why(w->nodes[A].mesh, &w->nodes[B].id), MESH_WHY_NAT_HERE);
    assert_int_equal(mesh_why(w->nodes[B].mesh, &w->nodes[A].id), MESH_WHY_UNANSWERED);
    world_free(w);
    w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    assert_int_equal(mesh_why(w->nodes[A].mesh, &w->nodes[B].id), MESH_WHY_NONE);
    world_free(w);
}

/* Their NAT sends nothing back in; the relay sees that it is one, and names their private addresses. */
static void two_at_one_site_meet_there(void **state)
{
    (void)state;
    struct world *w = world_new(RELAYS, 2);
    w->net.sites[0].kind = NAT_SYMMETRIC;
    world_place(w, A, 0);
    world_place(w, B, 0);
    world_allow(w, A, B, true);
    world_run(w, 3 * SECOND);
    world_talk(w, A, B);
    world_run(w, 2 * SECOND);
    assert_true(both_direct(w, A, B));
    assert_int_equal(w->nodes[A].endpoint[B].address[0], 10);
    world_free(w);
}

/* What is private is nobody else's business. */
static bool no_private(struct world *w, uint32_t from, uint32_t to, struct frame *f)
{
    (void)w, (void)from, (void)to;
    struct underlay all[FRAME_CANDIDATES_MAX];
    uint32_t count = f->kind == FRAME_INTRODUCE ? frame_candidates_get(f->introduce.candidates, all) : 0;
    for (uint32_t n = 0; n < count; n++)
        assert_int_not_equal(all[n].address[0], 10);
    return true;
}

static void private_addresses_are_told_only_to_who_shares_the_public_one(void **state)
{
    (void)state;
    struct world *w = two_sites(NAT_FULL_CONE, NAT_FULL_CONE);
    w->tamper = no_private;
    world_talk(w, A, B);
    world_run(w, 2 * SECOND);
    assert_true(both_direct(w, A, B));
    world_free(w);
}

/* ---- What happens to a path ---- */

static void cut(struct world *w, bool yes)
{
    w->net.cut[A][B] = w->net.cut[B][A] = yes;
}

static void a_direct_path_that_dies_is_left_within_two_and_a_half_seconds(void **state)
{
    (void)state;
    for (uint32_t late = 0; late < 10; late++) {
        struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
        world_run(w, 5 * SECOND + late * SECOND / 10);
        cut(w, true);
        world_run(w, 5 * SECOND / 2);
        assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
        assert_int_equal(path(w, B, A), MESH_PATH_RELAYED);
        uint32_t arrived = w->nodes[B].arrived[A];
        world_run(w, SECOND);
        assert_in_range(w->nodes[B].arrived[A] - arrived, 9, 11);
        cut(w, false);
        world_run(w, 12 * SECOND);
        assert_true(both_direct(w, A, B));
        assert_int_equal(counters_of(w, A).fell_back, 1);
        world_free(w);
    }
}

/* One short packet after much control: what is a frame's noise must not hide it. */
static void a_single_packet_shows_that_a_path_is_dead(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    w->nodes[A].talks[B] = w->nodes[B].talks[A] = false;
    world_run(w, 3 * SECOND / 2);
    mesh_ping(w->nodes[A].mesh, &w->nodes[B].id, 7, w->now);
    world_run(w, SECOND / 2);
    cut(w, true);
    w->nodes[A].sent[B] += 100;
    world_run(w, 3 * SECOND);
    assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
    world_free(w);
}

/* One direction alone: whoever is heard falls back as well, since nothing comes of what it sends. */
static void a_path_that_dies_in_one_direction_is_left(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    w->net.cut[A][B] = true;
    world_run(w, 5 * SECOND);
    uint32_t arrived = w->nodes[B].arrived[A];
    world_run(w, SECOND);
    assert_in_range(w->nodes[B].arrived[A] - arrived, 9, 11);
    world_free(w);
}

static void a_path_that_keeps_dying_is_tried_ever_less_often(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    for (uint32_t minute = 0; minute < 40; minute++) {
        cut(w, minute % 2 == 0);
        world_run(w, both_direct(w, A, B) ? 5 * SECOND : 30 * SECOND);
    }
    assert_true(counters_of(w, A).fell_back < 12);
    world_free(w);
}

static void a_direct_path_outlives_every_relay(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    world_kill(w, 0);
    world_kill(w, 1);
    uint32_t arrived = w->nodes[B].arrived[A];
    world_run(w, 120 * SECOND);
    assert_true(both_direct(w, A, B));
    assert_in_range(w->nodes[B].arrived[A] - arrived, 1198, 1201);
    world_free(w);
}

static void when_both_die_and_return_the_path_returns(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    world_kill(w, 0);
    world_kill(w, 1);
    cut(w, true);
    world_run(w, 30 * SECOND);
    world_revive(w, 0);
    world_revive(w, 1);
    cut(w, false);
    world_run(w, 120 * SECOND);
    assert_true(both_direct(w, A, B));
    uint32_t arrived = w->nodes[B].arrived[A];
    world_run(w, SECOND);
    assert_in_range(w->nodes[B].arrived[A] - arrived, 9, 11);
    world_free(w);
}

static void the_fallback_is_another_relay_when_the_first_is_gone(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    world_kill(w, 0);
    world_run(w, 30 * SECOND);
    cut(w, true);
    world_run(w, 10 * SECOND);
    uint32_t arrived = w->nodes[B].arrived[A];
    world_run(w, SECOND);
    assert_in_range(w->nodes[B].arrived[A] - arrived, 9, 11);
    world_free(w);
}

/* Whatever happened, both hear each other again in 3 s, and are direct in the end. */
static void assert_comes_through(struct world *w)
{
    world_run(w, 3 * SECOND);
    uint32_t arrived = w->nodes[B].arrived[A], back = w->nodes[A].arrived[B];
    world_run(w, SECOND);
    assert_in_range(w->nodes[B].arrived[A] - arrived, 9, 11);
    assert_in_range(w->nodes[A].arrived[B] - back, 9, 11);
    world_run(w, 40 * SECOND);
    assert_true(both_direct(w, A, B));
}

static void who_moves_is_found_again_at_once(void **state)
{
    (void)state;
    const enum nat kinds[] = {NAT_PORT_RESTRICTED, NAT_FULL_CONE, NAT_ADDRESS_RESTRICTED};
    for (uint32_t n = 0; n < 3; n++) {
        struct world *w = two_that_talk_directly(kinds[n]);
        w->net.sites[5].kind = NAT_PORT_RESTRICTED;
        world_place(w, A, 5);
        assert_comes_through(w);
        world_free(w);
    }
}

static void a_nat_that_forgets_is_survived(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    net_forget(&w->net, 0);
    assert_comes_through(w);
    world_free(w);
}

static void bindings_are_kept_while_little_is_said(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    w->net.timeout = 30 * SECOND;
    for (uint32_t minute = 0; minute < 8; minute++) {
        w->nodes[A].talks[B] = w->nodes[B].talks[A] = false;
        world_run(w, 40 * SECOND);
        w->nodes[A].talks[B] = w->nodes[B].talks[A] = true;
        uint32_t arrived = w->nodes[B].arrived[A];
        world_run(w, SECOND);
        assert_in_range(w->nodes[B].arrived[A] - arrived, 9, 11);
        assert_true(both_direct(w, A, B));
    }
    world_free(w);
}

static void an_idle_pair_is_direct_again_when_somebody_pings(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    w->nodes[A].talks[B] = w->nodes[B].talks[A] = false;
    world_run(w, 150 * SECOND);
    assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
    assert_int_equal(mesh_why(w->nodes[A].mesh, &w->nodes[B].id), MESH_WHY_IDLE);
    mesh_ping(w->nodes[A].mesh, &w->nodes[B].id, 7, w->now);
    world_run(w, 2 * SECOND);
    assert_true(both_direct(w, A, B));
    world_free(w);
}

static void an_idle_pair_lets_go_and_is_direct_again_when_it_talks(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    w->nodes[A].talks[B] = w->nodes[B].talks[A] = false;
    world_run(w, 150 * SECOND);
    assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
    uint64_t sent = w->nodes[A].sent[B];
    world_run(w, 300 * SECOND);
    assert_int_equal(w->nodes[A].sent[B], sent);
    w->nodes[A].talks[B] = w->nodes[B].talks[A] = true;
    world_run(w, 13 * SECOND);
    assert_true(both_direct(w, A, B));
    assert_int_equal(counters_of(w, A).fell_back, 0);
    world_free(w);
}

static void an_idle_pair_without_relays_keeps_its_path(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    w->net.timeout = 30 * SECOND;
    world_kill(w, 0);
    world_kill(w, 1);
    world_run(w, 20 * SECOND);
    w->nodes[A].talks[B] = w->nodes[B].talks[A] = false;
    world_run(w, 200 * SECOND);
    w->nodes[A].talks[B] = w->nodes[B].talks[A] = true;
    uint32_t arrived = w->nodes[B].arrived[A];
    world_run(w, SECOND);
    assert_in_range(w->nodes[B].arrived[A] - arrived, 9, 11);
    assert_true(both_direct(w, A, B));
    world_free(w);
}

/* Only one talks, and what it says is not answered. */
static void a_flow_in_one_direction_stays_direct(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_PORT_RESTRICTED);
    w->nodes[B].talks[A] = false;
    world_run(w, 300 * SECOND);
    assert_true(both_direct(w, A, B));
    assert_int_equal(counters_of(w, A).fell_back, 0);
    assert_int_equal(counters_of(w, B).fell_back, 0);
    world_free(w);
}

static void lose_sessions(struct world *w, uint32_t a, uint32_t b)
{
    w->session[a][b] = w->session[b][a] = false;
    mesh_link(w->nodes[a].mesh, &w->nodes[b].id, false, w->now);
    mesh_link(w->nodes[b].mesh, &w->nodes[a].id, false, w->now);
}

static void known_peers_meet_again_without_any_relay(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_FULL_CONE);
    world_kill(w, 0);
    world_kill(w, 1);
    world_run(w, 20 * SECOND);
    lose_sessions(w, A, B);
    w->nodes[B].talks[A] = false;
    world_run(w, 20 * SECOND);
    assert_true(both_direct(w, A, B));
    world_free(w);
}

static void the_first_initiation_goes_to_candidates_too(void **state)
{
    (void)state;
    struct world *w = two_sites(NAT_PORT_RESTRICTED, NAT_NONE);
    world_want(w, A, B);
    for (uint32_t n = 0; n < 200 && !w->session[A][B]; n++)
        world_run(w, FRAME_DELAY);
    assert_int_equal(w->nodes[A].candidate_count[B], 0); /* taken back */
    struct underlay there = {.address = {198, 51, 100, B + 1}, .port = 7, .family = 4};
    assert_true(underlay_equal(&w->nodes[A].endpoint[B], &there) || path(w, A, B) != MESH_PATH_DIRECT);
    world_run(w, SECOND / 10);
    assert_true(both_direct(w, A, B));
    world_free(w);
}

/* ---- Hellos ---- */

static void offer(struct world *w, uint32_t node, uint8_t gate)
{
    uint8_t bytes[FRAME_GATE_SIZE];
    memset(bytes, gate, sizeof(bytes));
    mesh_offer(w->nodes[node].mesh, 3, bytes, w->now);
}

static void hellos_carry_aeads_and_gates_and_introductions_gates(void **state)
{
    (void)state;
    struct world *w = world_new(RELAYS, 2);
    world_place(w, A, NET_PUBLIC);
    world_place(w, B, NET_PUBLIC);
    world_allow(w, A, B, true);
    for (uint32_t n = 0; n < w->count; n++)
        offer(w, n, (uint8_t)(n + 1));
    world_run(w, 3 * SECOND);
    assert_int_equal(w->nodes[A].gate[0][0], 1);
    assert_int_equal(w->nodes[0].gate[A][0], A + 1);
    w->tamper = NULL;
    world_want(w, A, B);
    for (uint32_t n = 0; n < 100 && w->nodes[A].gate[B][0] == 0; n++)
        world_run(w, FRAME_DELAY);
    assert_false(w->session[A][B]); /* by the introduction */
    assert_int_equal(w->nodes[A].gate[B][0], B + 1);
    assert_int_equal(w->nodes[B].gate[A][0], A + 1);
    world_run(w, SECOND);
    assert_int_equal(w->nodes[A].heard_aeads[B], 3);
    assert_int_equal(w->nodes[A].heard_session[B], w->session_number[A][B]);
    offer(w, B, 99);
    world_run(w, SECOND / 10);
    assert_int_equal(w->nodes[A].gate[B][0], 99);
    uint32_t frames = w->frames;
    offer(w, B, 99); /* nothing new */
    assert_int_equal(w->frames, frames);
    world_free(w);
}

static uint32_t hellos_lost, hellos_seen;
static bool lose_hellos(struct world *w, uint32_t from, uint32_t to, struct frame *f)
{
    (void)w;
    if (f->kind != FRAME_HELLO || from + to != A + B)
        return true;
    return ++hellos_seen > hellos_lost;
}

static void a_lost_hello_is_asked_for_again(void **state)
{
    (void)state;
    for (hellos_lost = 0; hellos_lost < 5; hellos_lost++) {
        struct world *w = two_sites(NAT_NONE, NAT_NONE);
        hellos_seen = 0;
        offer(w, A, 1);
        offer(w, B, 2);
        w->tamper = lose_hellos;
        world_talk(w, A, B);
        world_run(w, 10 * SECOND);
        assert_int_equal(w->nodes[A].heard_session[B], w->session_number[A][B]);
        assert_int_equal(w->nodes[B].heard_session[A], w->session_number[B][A]);
        uint32_t settled = hellos_seen;
        assert_true(settled <= hellos_lost + 4);
        world_run(w, 60 * SECOND);
        assert_int_equal(hellos_seen, settled);
        world_free(w);
    }
}

static void whoever_repeats_its_hello_draws_few(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_NONE);
    struct frame hello = {.kind = FRAME_HELLO, .hello = {.version_min = 1, .version_max = 1, .run = 5}};
    world_run(w, 5 * SECOND);
    hellos_seen = hellos_lost = 0;
    w->tamper = lose_hellos;
    for (uint32_t n = 0; n < 1000; n++) {
        world_frame(w, B, A, &hello);
        world_run(w, SECOND / 20);
    }
    assert_true(hellos_seen <= 8);
    world_free(w);
}

/* ---- Hostile ---- */

static enum { OTHER_WAY, OTHER_NUMBER, OTHER_TIME } spoil;
static bool spoil_answers(struct world *w, uint32_t from, uint32_t to, struct frame *f)
{
    (void)w, (void)from, (void)to;
    if (f->kind != FRAME_ANSWER || from + to != A + B)
        return true;
    f->probe.number += spoil == OTHER_NUMBER;
    f->probe.time += spoil == OTHER_TIME;
    if (spoil == OTHER_WAY) {
        uint8_t bytes[FRAME_MAX];
        int len = frame_encode(f, bytes, sizeof(bytes));
        struct mesh_arrival by = {
            .way = {.kind = MESH_PATH_DIRECT, .endpoint = {.address = {192, 0, 2, 200}, .port = 7, .family = 4}}};
        mesh_frame(w->nodes[to].mesh, &w->nodes[from].id, &by, bytes, (size_t)len, w->now);
        return false;
    }
    return true;
}

static void an_answer_counts_only_as_it_was_asked_for(void **state)
{
    (void)state;
    for (spoil = OTHER_WAY; spoil <= OTHER_TIME; spoil++) {
        struct world *w = two_sites(NAT_PORT_RESTRICTED, NAT_PORT_RESTRICTED);
        w->tamper = spoil_answers;
        world_talk(w, A, B);
        world_run(w, 5 * SECOND);
        assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
        assert_int_equal(path(w, B, A), MESH_PATH_RELAYED);
        world_free(w);
    }
}

/* A peer that seems to speak from everywhere: what it makes us send elsewhere is bounded. */
static void a_peer_that_flaps_draws_little(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_NONE);
    struct frame probe = {.kind = FRAME_PROBE, .probe = {1, 2}};
    uint8_t bytes[FRAME_MAX];
    size_t len = (size_t)frame_encode(&probe, bytes, sizeof(bytes));
    w->net.strays = 0;
    for (uint32_t n = 0; n < 6000; n++) {
        struct mesh_arrival by = {.way = {.kind = MESH_PATH_DIRECT}};
        by.way.endpoint = (struct underlay){
            .address = {45, 0, (uint8_t)(n >> 8), (uint8_t)n}, .port = (uint16_t)(1 + n % 7), .family = 4};
        mesh_frame(w->nodes[A].mesh, &w->nodes[B].id, &by, bytes, len, w->now);
        mesh_spoke(w->nodes[A].mesh, &w->nodes[B].id, &by.way, w->now);
        if (n % 100 == 99)
            world_run(w, SECOND);
    }
    assert_int_equal(w->net.strays, 0); /* nobody named any of those hosts */
    assert_true(both_direct(w, A, B));
    world_free(w);
}

/* The direct path is cut, and somebody repeats all that the peer says, from elsewhere and first. */
static void who_repeats_while_a_path_dies_is_found_out_soon(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_NONE);
    const struct mesh_way by = {.kind = MESH_PATH_DIRECT,
                                .endpoint = {.address = {45, 0, 0, 1}, .port = 9, .family = 4}};
    uint32_t astray = 0;
    cut(w, true);
    for (uint32_t n = 0; n < 50; n++) {
        world_run(w, TICK);
        w->nodes[A].received[B] += 1000;
        mesh_spoke(w->nodes[A].mesh, &w->nodes[B].id, &by, w->now);
        astray += underlay_equal(&w->nodes[A].endpoint[B], &by.endpoint) && path(w, A, B) == MESH_PATH_DIRECT;
    }
    assert_true(astray <= 20);
    assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
    assert_true(world_reaches(w, A, B));
    world_free(w);
}

/* The same from one host, at any port. */
static void one_host_is_sent_twelve_datagrams_at_most(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_NONE);
    struct frame f = {.kind = FRAME_CANDIDATES};
    cut(w, true); /* so that it looks for another path */
    world_run(w, 3 * SECOND);
    w->net.strays = 0;
    for (uint32_t n = 0; n < 50; n++) {
        struct underlay all[FRAME_CANDIDATES_MAX];
        uint8_t list[FRAME_CANDIDATES_SIZE];
        for (uint32_t i = 0; i < FRAME_CANDIDATES_MAX; i++)
            all[i] = (struct underlay){.address = {45, 0, 0, 1}, .port = (uint16_t)(1 + 8 * n + i), .family = 4};
        f.candidates.list = (struct frame_view){list, frame_candidates_put(all, FRAME_CANDIDATES_MAX, list)};
        world_frame(w, B, A, &f);
        world_run(w, SECOND / 2);
    }
    assert_in_range(w->net.strays, 1, 12);
    assert_int_equal(w->net.stray.address[0], 45);
    world_free(w);
}

static void candidates_of_relays_and_of_ourselves_are_left_out(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_NONE);
    struct underlay bad[] = {
        {.address = {192, 0, 2, 1}, .port = 7, .family = 4},
        {.address = {192, 0, 2, 2}, .port = 7, .family = 4},
        {.address = {198, 51, 100, A + 1}, .port = 7, .family = 4},
    };
    uint8_t list[FRAME_CANDIDATES_SIZE];
    struct frame f = {.kind = FRAME_CANDIDATES};
    f.candidates.list = (struct frame_view){list, frame_candidates_put(bad, 3, list)};
    cut(w, true);
    world_run(w, 3 * SECOND);
    assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
    world_frame(w, B, A, &f);
    world_run(w, 3 * SECOND);
    assert_int_equal(path(w, A, B), MESH_PATH_RELAYED);
    world_free(w);
}

/* Too much of one address was tried; once it was left alone, they meet. */
static void who_was_limited_is_told_so_and_meets_later(void **state)
{
    (void)state;
    struct world *w = two_sites(NAT_NONE, NAT_NONE);
    struct frame f = {.kind = FRAME_INTRODUCE, .introduce = {.number = 1, .stage = INTRODUCE_TELL, .has_device = true}};
    struct underlay all[FRAME_CANDIDATES_MAX];
    uint8_t list[FRAME_CANDIDATES_SIZE];
    cut(w, true);
    world_talk(w, A, B);
    world_run(w, 3 * SECOND);
    for (uint32_t i = 0; i < FRAME_CANDIDATES_MAX; i++)
        all[i] = (struct underlay){.address = {198, 51, 100, B + 1}, .port = (uint16_t)(100 + i), .family = 4};
    f.introduce.candidates = (struct frame_view){list, frame_candidates_put(all, FRAME_CANDIDATES_MAX, list)};
    memcpy(f.introduce.device, w->nodes[B].id.bytes, FRAME_DEVICE_ID_SIZE);
    world_frame(w, 0, A, &f);
    world_run(w, 3 * SECOND);
    assert_int_equal(mesh_why(w->nodes[A].mesh, &w->nodes[B].id), MESH_WHY_LIMITED);
    assert_true(counters_of(w, A).limited > 0);
    cut(w, false);
    world_run(w, 120 * SECOND);
    assert_true(both_direct(w, A, B));
    world_free(w);
}

/* A relay between them is called where it is. */
static void a_relay_and_a_member_need_no_candidates(void **state)
{
    (void)state;
    struct world *w = two_sites(NAT_SYMMETRIC, NAT_NONE);
    world_talk(w, A, 0);
    world_run(w, 60 * SECOND);
    assert_int_equal(path(w, A, 0), MESH_PATH_DIRECT);
    assert_int_equal(mesh_why(w->nodes[A].mesh, &w->nodes[0].id), MESH_WHY_NONE);
    assert_int_equal(mesh_why(w->nodes[0].mesh, &w->nodes[A].id), MESH_WHY_NONE);
    assert_in_range(w->nodes[0].arrived[A], w->nodes[A].said[0] - 2, w->nodes[A].said[0]);
    world_free(w);
}

/* Whoever is no relay says nothing about others, and relays only in introductions. */
static void only_who_is_asked_names_candidates(void **state)
{
    (void)state;
    struct world *w = two_that_talk_directly(NAT_NONE);
    struct underlay one = {.address = {45, 0, 0, 1}, .port = 7, .family = 4};
    uint8_t list[FRAME_CANDIDATES_SIZE];
    struct frame f = {.kind = FRAME_CANDIDATES};
    f.candidates.list = (struct frame_view){list, frame_candidates_put(&one, 1, list)};
    uint64_t strange = counters_of(w, A).strange;
    w->net.strays = 0;
    world_frame(w, 0, A, &f);
    world_run(w, 3 * SECOND);
    assert_int_equal(w->net.strays, 0);
    assert_int_equal(counters_of(w, A).strange, strange + 1);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_meets_directly_within_two_seconds_if_their_nats_let_it),
        cmocka_unit_test(why_a_pair_stays_relayed_is_told),
        cmocka_unit_test(two_at_one_site_meet_there),
        cmocka_unit_test(private_addresses_are_told_only_to_who_shares_the_public_one),
        cmocka_unit_test(a_direct_path_that_dies_is_left_within_two_and_a_half_seconds),
        cmocka_unit_test(a_single_packet_shows_that_a_path_is_dead),
        cmocka_unit_test(a_path_that_dies_in_one_direction_is_left),
        cmocka_unit_test(a_path_that_keeps_dying_is_tried_ever_less_often),
        cmocka_unit_test(a_direct_path_outlives_every_relay),
        cmocka_unit_test(when_both_die_and_return_the_path_returns),
        cmocka_unit_test(the_fallback_is_another_relay_when_the_first_is_gone),
        cmocka_unit_test(who_moves_is_found_again_at_once),
        cmocka_unit_test(a_nat_that_forgets_is_survived),
        cmocka_unit_test(bindings_are_kept_while_little_is_said),
        cmocka_unit_test(an_idle_pair_lets_go_and_is_direct_again_when_it_talks),
        cmocka_unit_test(an_idle_pair_without_relays_keeps_its_path),
        cmocka_unit_test(an_idle_pair_is_direct_again_when_somebody_pings),
        cmocka_unit_test(a_flow_in_one_direction_stays_direct),
        cmocka_unit_test(known_peers_meet_again_without_any_relay),
        cmocka_unit_test(the_first_initiation_goes_to_candidates_too),
        cmocka_unit_test(hellos_carry_aeads_and_gates_and_introductions_gates),
        cmocka_unit_test(a_lost_hello_is_asked_for_again),
        cmocka_unit_test(whoever_repeats_its_hello_draws_few),
        cmocka_unit_test(an_answer_counts_only_as_it_was_asked_for),
        cmocka_unit_test(a_peer_that_flaps_draws_little),
        cmocka_unit_test(who_repeats_while_a_path_dies_is_found_out_soon),
        cmocka_unit_test(one_host_is_sent_twelve_datagrams_at_most),
        cmocka_unit_test(candidates_of_relays_and_of_ourselves_are_left_out),
        cmocka_unit_test(who_was_limited_is_told_so_and_meets_later),
        cmocka_unit_test(a_relay_and_a_member_need_no_candidates),
        cmocka_unit_test(only_who_is_asked_names_candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
