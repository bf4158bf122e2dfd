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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pair_meets_directly_within_two_seconds_if_their_nats_let_it),
    };
    (void)counters_of;
    (void)two_that_talk_directly;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
