/* Runs a network of nodes from a seed. Usage: sim [SEED [SECONDS]]; without a seed it is a TAP test over fixed ones. */
#include "sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK (100 * SIM_MS)
#define TROUBLE_TIME (240 * SECOND)
#define HEALED_TIME (60 * SECOND) /* longer than SIM_HEAL_TIME */
#define TIMERS_PER_SECOND 50      /* more than this of one node, all the time, is a busy loop */
#define SECONDS_DEFAULT 600

static uint64_t node_due(const struct sim *s, uint32_t i)
{
    const struct sim_node *n = &s->nodes[i];
    if (!n->on)
        return UINT64_MAX;
    uint64_t deadline = tunnel_deadline(n->node.tunnel), start = 1000 * SECOND;
    if (deadline == UINT64_MAX)
        return UINT64_MAX;
    deadline = deadline > start ? deadline - start : 0;
    return deadline > n->asleep_until ? deadline : n->asleep_until;
}

static void run_timers(struct sim *s)
{
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        struct sim_node *n = &s->nodes[i];
        if (node_due(s, i) > s->now)
            continue;
        sim_clock(s, i);
        n->timers_run++;
        if (!node_timer(&n->node))
            sim_fail(s, "the deadline does not stay in the past");
    }
}

static uint64_t next_event(const struct sim *s, uint64_t tick)
{
    uint64_t at = sim_next_flight(s) < tick ? sim_next_flight(s) : tick;
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        uint64_t due = node_due(s, i);
        at = due < at ? due : at;
    }
    return at;
}

/* Until the tick, and what is due at it. */
static void run_until(struct sim *s, uint64_t tick)
{
    while (!s->failure) {
        uint64_t at = next_event(s, tick);
        s->now = at > s->now ? at : s->now;
        while (sim_next_flight(s) <= s->now)
            sim_arrive(s);
        run_timers(s);
        if (at >= tick)
            return;
    }
}

static void release_steps(struct sim *s)
{
    for (uint32_t i = 0; i < SIM_NODES; i++)
        if (s->nodes[i].on && sim_awake(s, i) && s->nodes[i].node.held_count > 0) {
            sim_clock(s, i);
            node_release_steps(&s->nodes[i].node);
        }
}

static void talk_a_little(struct sim *s)
{
    for (int i = 0; i < SIM_PAIRS; i++)
        if (sim_chance(s, s->pairs[i].activity))
            sim_packet_send(s, &s->pairs[i], sim_chance(s, 128));
}

static void talk_all(struct sim *s)
{
    for (int i = 0; i < SIM_PAIRS; i++) {
        sim_packet_send(s, &s->pairs[i], true);
        sim_packet_send(s, &s->pairs[i], false);
    }
}

static void check_healed(struct sim *s)
{
    for (int i = 0; i < SIM_PAIRS; i++)
        if (!s->pairs[i].one_sided && (s->pairs[i].arrived_a == 0 || s->pairs[i].arrived_b == 0))
            sim_fail(s, "healed for long enough, every allowed pair exchanges packets both ways");
}

static void check_timers(struct sim *s, uint64_t time)
{
    for (uint32_t i = 0; i < SIM_NODES; i++) {
        if (s->nodes[i].timers_run > TIMERS_PER_SECOND * (time / SECOND))
            sim_fail(s, "no node's timers run all the time");
        s->nodes[i].timers_run = 0;
    }
}

static void have_trouble(struct sim *s, uint64_t time)
{
    s->healed_at = UINT64_MAX - SIM_HEAL_TIME;
    for (uint64_t end = s->now + time; s->now < end && !s->failure;) {
        sim_trouble(s);
        talk_a_little(s);
        run_until(s, s->now + TICK);
        release_steps(s);
    }
    check_timers(s, time);
}

static void be_healed(struct sim *s, uint64_t time)
{
    sim_heal(s);
    uint64_t begun = s->now;
    for (uint64_t end = s->now + time; s->now < end && !s->failure;) {
        if ((s->now - begun) % SECOND == 0)
            talk_all(s);
        run_until(s, s->now + TICK);
        release_steps(s);
    }
    check_healed(s);
    check_timers(s, time);
}

/* The invariant that did not hold, or NULL. */
static const char *run(uint64_t seed, uint64_t seconds)
{
    struct sim *s = calloc(1, sizeof(*s));
    if (!s)
        return "there is enough memory";
    s->seed = seed;
    s->random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    if (sim_start(s) != 0)
        sim_fail(s, "the nodes start");
    while (!s->failure && s->now < seconds * SECOND) {
        have_trouble(s, TROUBLE_TIME);
        be_healed(s, HEALED_TIME);
    }
    const char *failure = s->failure;
    printf("# seed %" PRIu64 ": %" PRIu64 " s, %" PRIu64 " datagrams, %" PRIu32 " packets sent, %" PRIu64
           " delivered%s\n",
           seed, s->now / SECOND, s->datagrams, s->packet_count, s->delivered, failure ? ", failed" : "");
    sim_stop(s);
    free(s);
    return failure;
}

static int run_one(uint64_t seed, uint64_t seconds)
{
    const char *failure = run(seed, seconds);
    if (failure)
        printf("seed %" PRIu64 " failed: %s\n", seed, failure);
    return failure != NULL;
}

static int run_fixed(uint64_t seeds)
{
    int failed = 0;
    printf("1..%" PRIu64 "\n", seeds);
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        const char *failure = run(seed, SECONDS_DEFAULT);
        failed |= failure != NULL;
        printf("%sok %" PRIu64 " - seed %" PRIu64, failure ? "not " : "", seed, seed);
        printf(failure ? " failed: %s\n" : "%s\n", failure ? failure : "");
        fflush(stdout);
    }
    return failed;
}

int main(int argc, char **argv)
{
    const char *seeds = getenv("SIM_SEEDS");
    if (argc > 3) {
        fprintf(stderr, "usage: %s [SEED [SECONDS]]\n", argv[0]);
        return 2;
    }
    if (argc > 1)
        return run_one(strtoull(argv[1], NULL, 10), argc > 2 ? strtoull(argv[2], NULL, 10) : SECONDS_DEFAULT);
    return run_fixed(seeds ? strtoull(seeds, NULL, 10) : 12);
}
