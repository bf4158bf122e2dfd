#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "world.h"

static struct mesh_counters counters_of(struct world *w, uint32_t node)
{
    struct mesh_counters c;
    mesh_read_counters(w->nodes[node].mesh, &c);
    return c;
}

static struct frame an_ask(const struct device_id *target, uint64_t number)
{
    struct frame f = {.kind = FRAME_INTRODUCE,
                      .introduce = {.number = number, .stage = INTRODUCE_ASK, .has_device = true}};
    memcpy(f.introduce.device, target->bytes, sizeof(f.introduce.device));
    return f;
}

/* ---- Relays ---- */

static void a_node_keeps_sessions_with_the_two_relays_of_its_id(void **state)
{
    (void)state;
    struct world *w = world_new(4, 2);
    world_run(w, 2 * SECOND);
    for (uint32_t n = 4; n < 6; n++) {
        uint32_t kept = 0;
        for (uint32_t r = 0; r < 4; r++)
            kept += w->nodes[n].keepalive[r] == 25;
        assert_int_equal(kept, 2);
        for (uint32_t rank = 0; rank < 2; rank++) {
            uint32_t r = world_relay_of(w, n, rank);
            assert_int_equal(w->nodes[n].keepalive[r], 25);
            assert_true(w->nodes[n].link[r]);
            assert_true(w->nodes[r].link[n]);
        }
    }
    world_free(w);
}

static void everyone_computes_the_same_relays(void **state)
{
    (void)state;
    struct world *w = world_new(5, 3);
    struct device_id own[2], others[2];
    for (uint32_t of = 0; of < w->count; of++) {
        assert_int_equal(mesh_relays_of(w->nodes[of].mesh, &w->nodes[of].id, own), 2);
        for (uint32_t by = 0; by < w->count; by++) {
            assert_int_equal(mesh_relays_of(w->nodes[by].mesh, &w->nodes[of].id, others), 2);
            assert_memory_equal(own, others, sizeof(own));
        }
    }
    world_free(w);
}

/* The slow model: the greatest of all hashes, one at a time. */
static void rendezvous_is_the_greatest_hash(void **state)
{
    (void)state;
    struct world *w = world_new(6, 1);
    uint8_t both[32], best[32] = {0}, hash[32];
    struct device_id of = w->nodes[6].id, found[2], expected = {{0}};
    for (uint32_t r = 0; r < 6; r++) {
        memcpy(both, w->nodes[r].id.bytes, 16);
        memcpy(both + 16, of.bytes, 16);
        assert_int_equal(crypto_sha256(w->crypto, hash, both, sizeof(both)), 0);
        if (memcmp(hash, best, 32) > 0) {
            memcpy(best, hash, 32);
            expected = w->nodes[r].id;
        }
    }
    assert_int_equal(mesh_relays_of(w->nodes[6].mesh, &of, found), 2);
    assert_memory_equal(&found[0], &expected, sizeof(expected));
    world_free(w);
}

static void the_next_relay_takes_the_place_of_a_dead_one_until_it_is_back(void **state)
{
    (void)state;
    struct world *w = world_new(3, 1);
    world_run(w, 2 * SECOND);
    uint32_t first = world_relay_of(w, 3, 0), second = world_relay_of(w, 3, 1), third = 3 - first - second;
    assert_int_equal(w->nodes[3].keepalive[third], 0);
    world_kill(w, first);
    world_run(w, 20 * SECOND);
    assert_false(w->nodes[3].link[first]);
    assert_true(w->nodes[3].link[third]);
    assert_int_equal(w->nodes[3].keepalive[third], 25);
    world_revive(w, first);
    world_run(w, 40 * SECOND);
    assert_true(w->nodes[3].link[first]);
    assert_int_equal(w->nodes[3].keepalive[third], 0);
    world_free(w);
}

static void a_dead_relay_is_tried_ever_less_often(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1);
    world_run(w, 2 * SECOND);
    world_kill(w, 0);
    world_run(w, 20 * SECOND);
    uint32_t before = w->nodes[1].connects[0];
    world_run(w, 300 * SECOND);
    uint32_t tries = w->nodes[1].connects[0] - before;
    assert_true(tries >= 9 && tries <= 18);
    world_free(w);
}

static void a_relay_seeks_no_relays(void **state)
{
    (void)state;
    struct world *w = world_new(3, 0);
    world_run(w, 10 * SECOND);
    for (uint32_t r = 0; r < 3; r++)
        for (uint32_t other = 0; other < 3; other++)
            assert_int_equal(w->nodes[r].connects[other], 0);
    world_free(w);
}

static void a_relay_without_a_version_in_common_is_left(void **state)
{
    (void)state;
    struct world *w = world_new(3, 1);
    world_run(w, 2 * SECOND);
    uint32_t first = world_relay_of(w, 3, 0);
    struct frame hello = {.kind = FRAME_HELLO, .hello = {.version_min = 2, .version_max = 9}};
    world_frame(w, first, 3, &hello);
    world_run(w, 5 * SECOND);
    assert_int_equal(counters_of(w, 3).versions, 1);
    assert_int_equal(w->nodes[3].keepalive[first], 0);
    uint32_t kept = 0;
    for (uint32_t r = 0; r < 3; r++)
        kept += w->nodes[3].keepalive[r] > 0;
    assert_int_equal(kept, 2);
    world_free(w);
}

static void who_signs_off_is_down_at_once(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1);
    world_run(w, 2 * SECOND);
    mesh_sign_off(w->nodes[0].mesh);
    world_run(w, SECOND / 10);
    assert_false(w->nodes[2].link[0]);
    assert_true(w->nodes[2].link[1]);
    world_free(w);
}

/* What was begun while few relays were known is not gone on with. */
static void relays_that_come_to_be_known_later_are_weighed_alike(void **state)
{
    (void)state;
    struct world *w = world_new(8, 1);
    uint32_t kept = 0;
    for (uint32_t r = 0; r < 8; r++)
        kept += w->nodes[8].keepalive[r] > 0;
    assert_int_equal(kept, 2);
    world_free(w);
}

/* A relay that spoke to us through another one took its path there; a member that did is found anew. */
static void a_lost_link_frees_the_path_that_was_roamed_to(void **state)
{
    (void)state;
    struct world *w = world_new(2, 2);
    world_run(w, 2 * SECOND);
    struct node *n = &w->nodes[2];
    world_device(w, 2, 3, MESH_MEMBER);
    mesh_link(n->mesh, &w->nodes[3].id, true, w->now);
    n->path[3] = n->path[0] = MESH_PATH_RELAYED;
    n->via[3] = n->via[0] = 1;
    mesh_link(n->mesh, &w->nodes[3].id, false, w->now);
    mesh_link(n->mesh, &w->nodes[0].id, false, w->now);
    assert_int_equal(n->path[3], MESH_PATH_NONE);
    assert_int_equal(n->path[0], MESH_PATH_DIRECT);
    world_free(w);
}

static void a_relay_is_called_where_it_is(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1);
    world_run(w, 2 * SECOND);
    struct node *n = &w->nodes[1];
    world_kill(w, 0);
    world_run(w, 20 * SECOND);
    n->path[0] = MESH_PATH_RELAYED;
    world_run(w, 60 * SECOND);
    assert_int_equal(n->path[0], MESH_PATH_DIRECT);
    world_free(w);
}

static void who_is_given_back_probes_its_relays_again(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1);
    struct node *n = &w->nodes[1];
    mesh_self(n->mesh, &n->id, false, true, w->now);
    world_run(w, 5 * SECOND);
    assert_true(n->link[0]);
    mesh_self(n->mesh, &n->id, false, false, w->now);
    world_run(w, 2 * SECOND);
    w->session[0][1] = false; /* the relay forgot, and says nothing of it */
    world_kill(w, 0);
    world_run(w, 20 * SECOND);
    assert_false(n->link[0]);
    world_free(w);
}

/* ---- Introductions ---- */

static void two_members_meet_on_demand(void **state)
{
    (void)state;
    struct world *w = world_new(2, 2);
    world_allow(w, 2, 3, true);
    world_run(w, 2 * SECOND);
    world_want(w, 2, 3);
    world_run(w, SECOND);
    assert_true(world_reaches(w, 2, 3));
    assert_true(world_reaches(w, 3, 2));
    struct device_id relay;
    assert_int_equal(mesh_path(w->nodes[2].mesh, &w->nodes[3].id, &relay), MESH_PATH_RELAYED);
    assert_int_equal(counters_of(w, 2).introductions, 1);
    assert_true(w->nodes[2].link[3] &&
                w->nodes[3].link[2]); /* the state hears of it: take-aways go from one to another */
    world_free(w);
}

static void the_target_is_found_at_another_relay_than_ours(void **state)
{
    (void)state;
    struct world *w = world_new(6, 6);
    world_run(w, 2 * SECOND);
    for (uint32_t a = 6; a < w->count; a++)
        for (uint32_t b = a + 1; b < w->count; b++) {
            world_allow(w, a, b, true);
            world_want(w, a, b);
            world_run(w, 2 * SECOND);
            assert_true(world_reaches(w, a, b));
        }
    world_free(w);
}

/* They know each other already: a frame that is too small for an opening must not keep them apart. */
static void openings_that_fit_no_frame_are_left_out(void **state)
{
    (void)state;
    const size_t lens[] = {900, 1100, 1199, 1201, 60000};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        struct world *w = world_new(1, 2);
        world_allow(w, 1, 2, true);
        world_device(w, 2, 1, MESH_MEMBER);
        world_run(w, 2 * SECOND);
        w->nodes[0].opening_len = lens[i];
        world_want(w, 1, 2);
        world_run(w, SECOND);
        assert_true(world_reaches(w, 1, 2));
        world_free(w);
    }
}

static void an_address_is_introduced_as_well(void **state)
{
    (void)state;
    struct world *w = world_new(2, 2);
    const uint8_t address[4] = {100, 64, 0, 3};
    world_allow(w, 2, 3, true);
    world_run(w, 2 * SECOND);
    mesh_wanted_address(w->nodes[2].mesh, address, 4, w->now);
    world_run(w, SECOND);
    struct device_id relay;
    assert_int_equal(mesh_path(w->nodes[2].mesh, &w->nodes[3].id, &relay), MESH_PATH_RELAYED);
    world_want(w, 2, 3);
    world_run(w, SECOND);
    assert_true(world_reaches(w, 2, 3));
    world_free(w);
}

static void a_name_is_introduced_as_well(void **state)
{
    (void)state;
    struct world *w = world_new(2, 2);
    world_allow(w, 2, 3, true);
    world_run(w, 2 * SECOND);
    mesh_wanted_name(w->nodes[2].mesh, "d", 1, w->now);
    mesh_wanted_name(w->nodes[2].mesh, "c", 1, w->now); /* itself: no */
    world_run(w, SECOND);
    struct device_id relay;
    assert_int_equal(mesh_path(w->nodes[2].mesh, &w->nodes[3].id, &relay), MESH_PATH_RELAYED);
    world_free(w);
}

/* What the asker sees of an address that nobody has, and of one that it may not reach. */
static struct frame seen_answer;
static uint64_t seen_after;
static bool see_answers(struct world *w, uint32_t from, uint32_t to, struct frame *f)
{
    (void)from;
    (void)to;
    if (f->kind == FRAME_INTRODUCE && f->introduce.stage == INTRODUCE_ANSWER) {
        seen_answer = *f;
        seen_after = w->now - seen_after;
    }
    return true;
}

static void forbidden_looks_like_unknown(void **state)
{
    (void)state;
    struct frame answers[2];
    uint64_t times[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct world *w = world_new(1, 2);
        world_run(w, 2 * SECOND);
        struct device_id nobody;
        memset(nobody.bytes, 0xee, sizeof(nobody.bytes));
        struct frame ask = an_ask(i == 0 ? &w->nodes[2].id : &nobody, 99);
        w->tamper = see_answers;
        seen_after = w->now;
        world_frame(w, 1, 0, &ask);
        world_run(w, 5 * SECOND);
        answers[i] = seen_answer;
        times[i] = seen_after;
        world_free(w);
    }
    assert_int_equal(answers[0].introduce.result, INTRODUCE_NO);
    assert_memory_equal(&answers[0], &answers[1], sizeof(answers[0]));
    assert_int_equal(times[0], times[1]);
}

static void a_refusal_is_not_asked_again_at_once(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_run(w, 2 * SECOND);
    world_want(w, 1, 2);
    world_run(w, 9 * SECOND);
    assert_int_equal(w->nodes[0].meets, 1);
    world_run(w, 5 * SECOND);
    assert_int_equal(w->nodes[0].meets, 2);
    world_free(w);
}

/* Whichever frame is lost, they meet. */
static void one_lost_frame_delays_and_does_not_prevent(void **state)
{
    (void)state;
    for (uint32_t lost = 1; lost <= 8; lost++) {
        struct world *w = world_new(2, 2);
        world_allow(w, 2, 3, true);
        world_run(w, 2 * SECOND);
        w->drop_introduce = lost;
        world_want(w, 2, 3);
        world_run(w, 8 * SECOND);
        if (!world_reaches(w, 2, 3))
            fail_msg("frame %u", lost);
        world_free(w);
    }
}

static bool lose_a_third(struct world *w, uint32_t from, uint32_t to, struct frame *f)
{
    (void)from;
    (void)to;
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return f->kind != FRAME_INTRODUCE || (w->random >> 40) % 3 != 0;
}

static void with_a_third_of_frames_lost_they_still_meet(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 10; seed++) {
        struct world *w = world_new(3, 3);
        w->random += seed;
        world_allow(w, 3, 4, true);
        world_allow(w, 3, 5, true);
        world_run(w, 2 * SECOND);
        w->tamper = lose_a_third;
        world_want(w, 3, 4);
        world_want(w, 5, 3);
        world_run(w, 60 * SECOND);
        assert_true(world_reaches(w, 3, 4));
        assert_true(world_reaches(w, 5, 3));
        world_free(w);
    }
}

static void when_the_relay_of_a_path_dies_another_is_found(void **state)
{
    (void)state;
    struct world *w = world_new(3, 2);
    world_allow(w, 3, 4, true);
    world_run(w, 2 * SECOND);
    world_want(w, 3, 4);
    world_run(w, 2 * SECOND);
    assert_true(world_reaches(w, 3, 4));
    w->nodes[4].wants[3] = true;
    world_kill(w, w->nodes[3].via[4]);
    assert_false(world_reaches(w, 3, 4));
    world_run(w, 30 * SECOND);
    assert_true(world_reaches(w, 3, 4));
    assert_true(world_reaches(w, 4, 3));
    world_free(w);
}

static void when_both_relays_die_and_return_the_path_returns(void **state)
{
    (void)state;
    struct world *w = world_new(2, 2);
    world_allow(w, 2, 3, true);
    world_run(w, 2 * SECOND);
    world_want(w, 2, 3);
    world_run(w, 2 * SECOND);
    world_kill(w, 0);
    world_kill(w, 1);
    world_run(w, 60 * SECOND);
    assert_false(world_reaches(w, 2, 3));
    world_revive(w, 0);
    world_revive(w, 1);
    world_run(w, 60 * SECOND);
    assert_true(world_reaches(w, 2, 3));
    world_free(w);
}

static void a_relay_that_restarts_is_introduced_to_anew(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_allow(w, 1, 2, true);
    world_run(w, 2 * SECOND);
    world_want(w, 1, 2);
    w->nodes[2].wants[1] = true;
    world_run(w, 2 * SECOND);
    assert_true(world_reaches(w, 1, 2));
    world_kill(w, 0);
    world_revive(w, 0);
    world_run(w, 45 * SECOND);
    assert_true(world_reaches(w, 1, 2));
    world_free(w);
}

static void a_relay_that_restarts_is_noticed_within_three_seconds_of_traffic(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_allow(w, 1, 2, true);
    world_run(w, 2 * SECOND);
    world_want(w, 1, 2);
    world_run(w, 15 * SECOND); /* just probed */
    assert_true(world_reaches(w, 1, 2));
    world_kill(w, 0);
    world_revive(w, 0);
    for (int i = 0; i < 30; i++) {
        w->nodes[1].sent[0]++;
        w->nodes[2].received[0] += i == 0; /* it got something until then */
        world_run(w, SECOND / 10);
    }
    assert_true(world_reaches(w, 1, 2));
    world_free(w);
}

static void an_idle_relay_is_probed_no_more_often_than_each_ten_seconds(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1);
    world_run(w, 5 * SECOND);
    uint32_t before = w->frames;
    world_run(w, 100 * SECOND);
    assert_in_range(w->frames - before, 16, 22); /* probes and answers */
    world_free(w);
}

static void whoever_was_introduced_hears_that_a_device_started_anew(void **state)
{
    (void)state;
    struct world *w = world_new(1, 3);
    world_allow(w, 1, 2, true);
    world_run(w, 2 * SECOND);
    world_want(w, 1, 2);
    world_run(w, 2 * SECOND);
    assert_true(world_reaches(w, 1, 2));
    world_kill(w, 2);
    world_revive(w, 2);
    world_device(w, 2, 1, MESH_MEMBER);
    world_run(w, 2 * SECOND);
    assert_true(world_reaches(w, 1, 2));
    assert_false(w->session[1][3]);
    world_free(w);
}

static void a_device_that_is_gone_loses_its_permissions(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_allow(w, 1, 2, true);
    world_run(w, 2 * SECOND);
    world_want(w, 1, 2);
    world_run(w, 2 * SECOND);
    assert_true(w->nodes[0].permit[1][2]);
    mesh_device_gone(w->nodes[0].mesh, &w->nodes[2].id, w->now);
    assert_false(w->nodes[0].permit[1][2]);
    assert_false(world_reaches(w, 1, 2));
    world_free(w);
}

static void a_responder_that_may_not_know_the_asker_stays_silent(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_allow(w, 1, 2, true);
    w->allowed[2][1] = false; /* the relay says yes, the responder's policy no */
    world_run(w, 2 * SECOND);
    world_want(w, 1, 2);
    world_run(w, 10 * SECOND);
    assert_false(w->nodes[0].permit[1][2]);
    assert_false(world_reaches(w, 1, 2));
    world_free(w);
}

/* ---- Hostile ---- */

static bool wrong_number(struct world *w, uint32_t from, uint32_t to, struct frame *f)
{
    (void)w;
    (void)from;
    (void)to;
    if (f->kind == FRAME_INTRODUCE && f->introduce.stage == INTRODUCE_ANSWER)
        f->introduce.number++;
    return true;
}

static bool wrong_device(struct world *w, uint32_t from, uint32_t to, struct frame *f)
{
    (void)from;
    (void)to;
    if (f->kind == FRAME_INTRODUCE && f->introduce.stage == INTRODUCE_ANSWER && f->introduce.has_device)
        memcpy(f->introduce.device, w->nodes[3].id.bytes, sizeof(f->introduce.device));
    return true;
}

static void answers_with_wrong_numbers_or_devices_do_nothing(void **state)
{
    (void)state;
    bool (*const tampers[])(struct world *, uint32_t, uint32_t, struct frame *) = {wrong_number, wrong_device};
    for (uint32_t i = 0; i < 2; i++) {
        struct world *w = world_new(1, 3);
        struct device_id relay;
        world_allow(w, 1, 2, true);
        world_run(w, 2 * SECOND);
        world_device(w, 1, 3, MESH_MEMBER);
        w->tamper = tampers[i];
        world_want(w, 1, 2);
        world_run(w, 3 * SECOND);
        assert_int_equal(mesh_path(w->nodes[1].mesh, &w->nodes[2].id, &relay), MESH_PATH_NONE);
        assert_int_equal(mesh_path(w->nodes[1].mesh, &w->nodes[3].id, &relay), MESH_PATH_NONE);
        assert_true(counters_of(w, 1).strange > 0);
        world_free(w);
    }
}

static void an_answer_from_whom_nobody_asked_does_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(3, 2);
    struct device_id relay;
    world_run(w, 2 * SECOND);
    world_device(w, 3, 4, MESH_MEMBER);
    for (uint64_t number = 0; number < 100; number++) {
        struct frame f = an_ask(&w->nodes[4].id, number);
        f.introduce.stage = INTRODUCE_ANSWER;
        f.introduce.result = INTRODUCE_HERE;
        world_frame(w, (uint32_t)number % 3, 3, &f);
    }
    assert_int_equal(mesh_path(w->nodes[3].mesh, &w->nodes[4].id, &relay), MESH_PATH_NONE);
    assert_int_equal(counters_of(w, 3).strange, 100);
    world_free(w);
}

static void only_relays_tell(void **state)
{
    (void)state;
    struct world *w = world_new(1, 3);
    world_run(w, 2 * SECOND);
    world_device(w, 1, 2, MESH_MEMBER);
    uint32_t before = w->nodes[1].learns;
    struct frame f = an_ask(&w->nodes[3].id, 1);
    f.introduce.stage = INTRODUCE_TELL;
    world_frame(w, 2, 1, &f);
    assert_int_equal(w->nodes[1].learns, before);
    assert_int_equal(counters_of(w, 1).strange, 1);
    world_free(w);
}

static void a_flood_of_questions_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_new(1, 3);
    world_allow(w, 2, 3, true);
    world_run(w, 2 * SECOND);
    w->nodes[0].state_is_silent = true;
    for (uint64_t number = 0; number < 5000; number++) {
        struct frame f = an_ask(&w->nodes[2].id, number);
        world_frame(w, 1, 0, &f);
    }
    assert_int_equal(w->nodes[0].meets, 64);
    assert_int_equal(counters_of(w, 0).flooding, 5000 - 64);
    w->nodes[0].state_is_silent = false;
    world_want(w, 2, 3);
    world_run(w, SECOND);
    assert_true(world_reaches(w, 2, 3));
    world_free(w);
}

static void a_flood_of_tells_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1);
    world_run(w, 2 * SECOND);
    uint32_t before = w->nodes[1].learns;
    for (uint32_t i = 0; i < 5000; i++) {
        struct frame f = {.kind = FRAME_INTRODUCE,
                          .introduce = {.number = i, .stage = INTRODUCE_TELL, .has_device = true, .device = {1}}};
        f.introduce.device[1] = (uint8_t)i;
        f.introduce.device[2] = (uint8_t)(i >> 8);
        world_frame(w, 0, 1, &f);
    }
    assert_true(w->nodes[1].learns - before <= 128);
    world_free(w);
}

static void a_flood_of_wishes_is_bounded_and_passes(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_allow(w, 1, 2, true);
    world_run(w, 2 * SECOND);
    uint32_t before = w->frames;
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t address[4] = {100, 64, (uint8_t)(i >> 8), (uint8_t)(i | 0x80)};
        mesh_wanted_address(w->nodes[1].mesh, address, 4, w->now);
    }
    assert_int_equal(w->frames - before, 64);
    world_run(w, SECOND);
    world_want(w, 1, 2);
    world_run(w, SECOND);
    assert_true(world_reaches(w, 1, 2));
    world_free(w);
}

static void an_invite_reaches_the_door_and_nothing_else(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    uint8_t head[FRAME_SIGNED_HEAD_SIZE] = {0};
    world_device(w, 0, 1, MESH_INVITE);
    w->session[0][1] = w->session[1][0] = true;
    struct frame_view bytes = {.bytes = head, .len = sizeof(head)};
    const struct frame allowed[] = {
        {.kind = FRAME_HELLO, .hello = {.version_min = 1, .version_max = 1}},
        {.kind = FRAME_GET, .get = {.what = SYNC_FOLD}},
        {.kind = FRAME_JOIN, .join = {bytes}},
    };
    const struct frame refused[] = {
        an_ask(&w->nodes[2].id, 1),
        {.kind = FRAME_PROBE},
        {.kind = FRAME_PART, .part = {.what = SYNC_FOLD}},
        {.kind = FRAME_STATEMENT, .statement = {.total = 5}},
        {.kind = FRAME_NOTICE, .notice = {bytes}},
        {.kind = FRAME_JOINED},
        {.kind = FRAME_SIGN_OFF},
    };
    for (uint32_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        world_frame(w, 1, 0, &allowed[i]);
    assert_int_equal(w->nodes[0].delivers, 2);
    assert_int_equal(w->nodes[0].invites_delivered, 2);
    uint32_t frames = w->frames;
    for (uint32_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        world_frame(w, 1, 0, &refused[i]);
    assert_int_equal(w->nodes[0].delivers, 2);
    assert_int_equal(w->nodes[0].meets, 0);
    assert_int_equal(w->frames, frames);
    assert_int_equal(counters_of(w, 0).strange, sizeof(refused) / sizeof(refused[0]));
    world_device(w, 0, 1, MESH_USED_INVITE);
    world_frame(w, 1, 0, &allowed[2]);
    assert_int_equal(w->nodes[0].delivers, 2);
    world_free(w);
}

static void broken_frames_are_counted(void **state)
{
    (void)state;
    struct world *w = world_new(1, 1);
    world_run(w, SECOND);
    mesh_frame(w->nodes[0].mesh, &w->nodes[1].id, &(struct mesh_arrival){0}, (const uint8_t *)"\x04\xff", 2, w->now);
    mesh_frame(w->nodes[0].mesh, &w->nodes[1].id, &(struct mesh_arrival){0}, (const uint8_t *)"\x0f\xa0", 2, w->now);
    assert_int_equal(counters_of(w, 0).malformed, 1);
    assert_int_equal(counters_of(w, 0).strange, 0);
    world_free(w);
}

/* ---- Joining ---- */

static void who_joins_connects_to_the_relays_of_its_ticket_and_asks_nobody(void **state)
{
    (void)state;
    struct world *w = world_new(2, 1);
    struct node *n = &w->nodes[2];
    mesh_self(n->mesh, &n->id, false, true, w->now);
    world_device(w, 2, 0, MESH_RELAY);
    world_device(w, 2, 1, MESH_RELAY);
    world_run(w, 2 * SECOND);
    assert_true(n->link[0] && n->link[1]);
    struct frame f = {.kind = FRAME_JOINED};
    world_frame(w, 0, 2, &f);
    assert_int_equal(n->delivers, 1);
    mesh_wanted_address(n->mesh, (const uint8_t *)"\x64\x40\0\1", 4, w->now);
    world_run(w, 40 * SECOND);
    assert_int_equal(w->nodes[0].meets + w->nodes[1].meets, 0);
    assert_true(n->link[0] && n->link[1]);
    world_free(w);
}

/* ---- Relays ---- */

static void a_relay_keeps_a_session_with_one_that_has_a_controller_and_with_no_other(void **state)
{
    (void)state;
    struct world *w = world_new(3, 0);
    world_run(w, 5 * SECOND);
    assert_false(w->nodes[0].link[1] || w->nodes[0].link[2] || w->nodes[1].link[2]);
    world_device(w, 0, 1, MESH_MEMBER | MESH_RELAY | MESH_CONTROLLER);
    world_run(w, 2 * SECOND);
    assert_true(w->nodes[0].link[1] && w->nodes[1].link[0]);
    assert_false(w->nodes[0].link[2]);
    world_run(w, 60 * SECOND);
    assert_true(w->nodes[0].link[1]);
    world_device(w, 0, 1, MESH_MEMBER | MESH_RELAY);
    assert_int_equal(w->nodes[0].keepalive[1], 0);
    world_free(w);
}

static void a_relay_finds_its_controller_again(void **state)
{
    (void)state;
    struct world *w = world_new(2, 0);
    world_device(w, 0, 1, MESH_MEMBER | MESH_RELAY | MESH_CONTROLLER);
    world_run(w, 2 * SECOND);
    world_kill(w, 1);
    world_run(w, 60 * SECOND);
    assert_false(w->nodes[0].link[1]);
    world_revive(w, 1);
    world_run(w, 60 * SECOND);
    assert_true(w->nodes[0].link[1] && w->nodes[1].link[0]);
    world_free(w);
}

/* ---- Pings ---- */

static void a_ping_tells_the_round_trip(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_allow(w, 1, 2, true);
    world_run(w, 2 * SECOND);
    world_want(w, 1, 2);
    world_run(w, 2 * SECOND);
    mesh_ping(w->nodes[1].mesh, &w->nodes[2].id, 5, w->now);
    world_run(w, SECOND);
    assert_int_equal(w->nodes[1].pongs, 1);
    assert_int_equal(w->nodes[1].last_rtt, 2 * FRAME_DELAY);
    assert_int_equal(mesh_rtt(w->nodes[1].mesh, &w->nodes[2].id), 2 * FRAME_DELAY);
    world_free(w);
}

static void a_ping_wants_a_path_first(void **state)
{
    (void)state;
    struct world *w = world_new(2, 2);
    world_allow(w, 2, 3, true);
    world_run(w, 2 * SECOND);
    world_device(w, 2, 3, MESH_MEMBER);
    mesh_ping(w->nodes[2].mesh, &w->nodes[3].id, 5, w->now);
    world_run(w, 2 * SECOND + FRAME_DELAY);
    assert_int_equal(w->nodes[2].pongs, 1);
    assert_true(w->nodes[2].last_rtt > 0);
    world_free(w);
}

static void a_ping_ends_within_two_seconds_whatever_happens(void **state)
{
    (void)state;
    struct world *w = world_new(1, 2);
    world_run(w, 2 * SECOND);
    world_device(w, 1, 2, MESH_MEMBER);
    for (uint32_t i = 0; i < 40; i++)
        mesh_ping(w->nodes[1].mesh, &w->nodes[2].id, i, w->now);
    mesh_ping(w->nodes[1].mesh, &(struct device_id){{9}}, 7, w->now);
    world_run(w, 2 * SECOND + FRAME_DELAY);
    assert_int_equal(w->nodes[1].pongs, 41);
    assert_int_equal(w->nodes[1].last_rtt, 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_keeps_sessions_with_the_two_relays_of_its_id),
        cmocka_unit_test(everyone_computes_the_same_relays),
        cmocka_unit_test(rendezvous_is_the_greatest_hash),
        cmocka_unit_test(the_next_relay_takes_the_place_of_a_dead_one_until_it_is_back),
        cmocka_unit_test(a_dead_relay_is_tried_ever_less_often),
        cmocka_unit_test(a_relay_seeks_no_relays),
        cmocka_unit_test(a_relay_without_a_version_in_common_is_left),
        cmocka_unit_test(who_signs_off_is_down_at_once),
        cmocka_unit_test(relays_that_come_to_be_known_later_are_weighed_alike),
        cmocka_unit_test(a_lost_link_frees_the_path_that_was_roamed_to),
        cmocka_unit_test(a_relay_is_called_where_it_is),
        cmocka_unit_test(who_is_given_back_probes_its_relays_again),
        cmocka_unit_test(two_members_meet_on_demand),
        cmocka_unit_test(the_target_is_found_at_another_relay_than_ours),
        cmocka_unit_test(openings_that_fit_no_frame_are_left_out),
        cmocka_unit_test(an_address_is_introduced_as_well),
        cmocka_unit_test(a_name_is_introduced_as_well),
        cmocka_unit_test(forbidden_looks_like_unknown),
        cmocka_unit_test(a_refusal_is_not_asked_again_at_once),
        cmocka_unit_test(one_lost_frame_delays_and_does_not_prevent),
        cmocka_unit_test(with_a_third_of_frames_lost_they_still_meet),
        cmocka_unit_test(when_the_relay_of_a_path_dies_another_is_found),
        cmocka_unit_test(when_both_relays_die_and_return_the_path_returns),
        cmocka_unit_test(a_relay_that_restarts_is_introduced_to_anew),
        cmocka_unit_test(a_relay_that_restarts_is_noticed_within_three_seconds_of_traffic),
        cmocka_unit_test(an_idle_relay_is_probed_no_more_often_than_each_ten_seconds),
        cmocka_unit_test(whoever_was_introduced_hears_that_a_device_started_anew),
        cmocka_unit_test(a_device_that_is_gone_loses_its_permissions),
        cmocka_unit_test(a_responder_that_may_not_know_the_asker_stays_silent),
        cmocka_unit_test(answers_with_wrong_numbers_or_devices_do_nothing),
        cmocka_unit_test(an_answer_from_whom_nobody_asked_does_nothing),
        cmocka_unit_test(only_relays_tell),
        cmocka_unit_test(a_flood_of_questions_is_bounded),
        cmocka_unit_test(a_flood_of_tells_is_bounded),
        cmocka_unit_test(a_flood_of_wishes_is_bounded_and_passes),
        cmocka_unit_test(an_invite_reaches_the_door_and_nothing_else),
        cmocka_unit_test(broken_frames_are_counted),
        cmocka_unit_test(who_joins_connects_to_the_relays_of_its_ticket_and_asks_nobody),
        cmocka_unit_test(a_relay_keeps_a_session_with_one_that_has_a_controller_and_with_no_other),
        cmocka_unit_test(a_relay_finds_its_controller_again),
        cmocka_unit_test(a_ping_tells_the_round_trip),
        cmocka_unit_test(a_ping_wants_a_path_first),
        cmocka_unit_test(a_ping_ends_within_two_seconds_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
