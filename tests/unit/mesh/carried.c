/* Relayed paths through relays that answer for themselves and carry nothing, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

#define RELAYS 2u
#define A RELAYS
#define B (RELAYS + 1)

/* Two that can meet through relays alone. */
static struct world *two_hidden(void)
{
    struct world *w = world_new(RELAYS, 2);
    for (uint32_t site = 0; site < 2; site++) {
        w->net.sites[site].kind = NAT_SYMMETRIC;
        world_place(w, A + site, site);
    }
    world_allow(w, A, B, true);
    world_run(w, 3 * SECOND);
    return w;
}

static void a_relay_that_begins_to_drop_is_left_for_another(void **state)
{
    (void)state;
    struct world *w = two_hidden();
    world_talk(w, A, B);
    world_run(w, 5 * SECOND);
    struct node *a = &w->nodes[A], *b = &w->nodes[B];
    assert_int_equal(a->path[B], MESH_PATH_RELAYED);
    uint32_t dropping = a->via[B], arrived = b->arrived[A];
    w->nodes[dropping].drops = true;
    world_run(w, 10 * SECOND);
    assert_true(b->arrived[A] > arrived + 30);
    assert_true(a->via[B] != dropping && b->via[A] != dropping);
    arrived = b->arrived[A];
    world_run(w, 60 * SECOND);
    assert_in_range(b->arrived[A], arrived + 590, arrived + 601);
    world_free(w);
}

static void two_meet_though_the_relay_that_introduces_them_drops(void **state)
{
    (void)state;
    struct world *w = two_hidden();
    w->nodes[world_relay_of(w, B, 0)].drops = true;
    world_talk(w, A, B);
    world_run(w, 20 * SECOND);
    assert_true(w->session[A][B] && w->session[B][A]);
    uint32_t arrived = w->nodes[B].arrived[A];
    world_run(w, 5 * SECOND);
    assert_in_range(w->nodes[B].arrived[A], arrived + 45, arrived + 51);
    world_free(w);
}

static void one_that_is_silent_because_it_is_gone_costs_few_questions(void **state)
{
    (void)state;
    struct world *w = two_hidden();
    world_talk(w, A, B);
    world_run(w, 5 * SECOND);
    world_kill(w, B);
    uint32_t before = w->introduce_frames;
    world_run(w, 60 * SECOND);
    assert_true(w->introduce_frames - before < 300);
    world_free(w);
}

/* It was killed, so nobody was told; it has nothing to say of its own. */
static void one_that_started_anew_and_is_silent_is_met_anew(void **state)
{
    (void)state;
    struct world *w = two_hidden();
    world_want(w, A, B);
    w->nodes[A].talks[B] = true;
    world_run(w, 5 * SECOND);
    assert_true(w->nodes[B].arrived[A] > 0);
    world_kill(w, B);
    world_revive(w, B);
    world_device(w, B, A, MESH_MEMBER);
    uint32_t arrived = w->nodes[B].arrived[A];
    world_run(w, 12 * SECOND);
    assert_true(w->nodes[B].arrived[A] > arrived + 30);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relay_that_begins_to_drop_is_left_for_another),
        cmocka_unit_test(two_meet_though_the_relay_that_introduces_them_drops),
        cmocka_unit_test(one_that_started_anew_and_is_silent_is_met_anew),
        cmocka_unit_test(one_that_is_silent_because_it_is_gone_costs_few_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
