/* Runs a whole network from a seed. Usage: plant [--seed N] [--rounds N] [--nodes N] [--flaw N] [--verbose]; without a
 * seed it is a TAP test over fixed ones, and over flaws put in on purpose, which must be found. */
#include "plant.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/random.h"

#define TICK (200 * PLANT_MS)
#define SETTLE_TIME (120 * SECOND)
#define TROUBLE_TIME (150 * SECOND)
#define HEAL_TIME (240 * SECOND)
#define INVITES_AT_ONCE 24u

void plant_must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "the simulation itself is broken: %s\n", what);
    abort();
}

void plant_fail(struct plant *p, const struct plant_node *n, const char *what)
{
    if (p->failure)
        return;
    p->failure = what;
    snprintf(p->failure_text, sizeof(p->failure_text), "%s (node %u, at %.3f s)", what, n ? (unsigned)n->number : 0,
             (double)p->now / 1e9);
}

uint32_t plant_below(struct plant *p, uint32_t limit)
{
    return random_below(&p->random, limit);
}

void plant_fill(struct plant *p, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)plant_below(p, 256);
}

uint64_t plant_monotonic(const struct plant *p)
{
    return PLANT_START + p->now;
}

uint64_t plant_wall(const struct plant_node *n)
{
    return (uint64_t)((int64_t)(PLANT_WALL + 10 + n->plant->now / SECOND) + n->clock_error);
}

uint32_t plant_number(const struct plant *p, const struct device_id *id)
{
    for (uint32_t i = 0; i < p->node_count; i++)
        if (memcmp(id->bytes, p->nodes[i].invite.id.bytes, DEVICE_ID_SIZE - 1) == 0 && p->nodes[i].invite.made)
            return i;
    return PLANT_NOBODY;
}

/* ---- Nodes ---- */

static void make_node(struct plant *p, uint32_t number)
{
    struct plant_node *n = &p->nodes[number];
    struct plant_invite *invite = &n->invite;
    n->plant = p;
    n->number = number;
    n->due = UINT64_MAX;
    n->jobs_end = &n->jobs;
    n->random = (uint64_t)plant_below(p, UINT32_MAX) << 32 | plant_below(p, UINT32_MAX) | 1;
    n->hostile = number >= PLANT_FIRST_MEMBER && (number % 8 == 2 || plant_chance(p, 20));
    n->has_seed = true;
    plant_fill(p, n->private_key, sizeof(n->private_key));
    plant_fill(p, n->signing_seed, sizeof(n->signing_seed));
    plant_fill(p, invite->seed, sizeof(invite->seed));
    plant_must(crypto_x25519_public(p->c, n->public_key, n->private_key) == 0 &&
                   crypto_ed25519_public(p->c, n->signing_public, n->signing_seed) == 0 &&
                   invite_keys_derive(p->c, invite->seed, &invite->keys) == 0,
               "keys are made");
    snprintf(invite->name, sizeof(invite->name), "device-%u", (unsigned)number);
    memcpy(invite->ipv4, (uint8_t[]){100, 64, (uint8_t)(number / 250), (uint8_t)(number % 250 + 1)}, 4);
    invite->groups =
        1u << plant_below(p, PLANT_GROUPS) | (plant_chance(p, 80) ? 1u << plant_below(p, PLANT_GROUPS) : 0);
    invite->relay = number >= PLANT_HUB && number < PLANT_FIRST_MEMBER;
    invite->controller = number == PLANT_HUB;
    plant_place(p, n);
}

static void start(struct plant *p, uint64_t seed, uint32_t nodes, enum plant_flaw flaw)
{
    p->seed = seed;
    p->random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    p->flaw = flaw;
    p->node_count = nodes;
    p->nodes = calloc(nodes, sizeof(*p->nodes));
    plant_must(p->nodes && crypto_new(&p->c, CRYPTO_BULK_OPENSSL) == 0, "memory");
    plant_fill(p, p->owner_seed, sizeof(p->owner_seed));
    plant_fill(p, p->role_seed, sizeof(p->role_seed));
    plant_fill(p, p->scoped_seed, sizeof(p->scoped_seed));
    plant_fill(p, p->sequencer_seed, sizeof(p->sequencer_seed));
    for (uint32_t g = 0; g < PLANT_GROUPS; g++)
        plant_fill(p, p->groups[g].bytes, SUBJECT_SIZE);
    plant_make_sites(p);
    for (uint32_t i = 0; i < nodes; i++)
        make_node(p, i);
    p->weather.delay = 20 * PLANT_MS;
    p->weather.jitter = 30 * PLANT_MS;
    plant_found(p);
    for (uint32_t i = 0; i < nodes; i++)
        plant_must(address_ipv6(p->c, p->nodes[i].ipv6, &p->network, p->nodes[i].signing_public) == 0, "an address");
}

static void stop(struct plant *p)
{
    for (uint32_t i = 0; i < p->node_count; i++)
        plant_node_free(&p->nodes[i]);
    plant_records_free(&p->store);
    for (uint32_t i = 0; i < p->outbox_count; i++)
        free(p->outbox[i].submission.bytes);
    plant_wire_free(p);
    for (uint32_t i = 0; i < PLANT_SITES; i++)
        plant_site_forget(&p->sites[i]);
    free(p->packets);
    free(p->nodes);
    crypto_free(p->c);
    free(p);
}

/* ---- Time ---- */

void plant_run_until(struct plant *p, uint64_t end)
{
    while (!p->failure) {
        uint64_t at = plant_next_flight(p) < end ? plant_next_flight(p) : end;
        for (uint32_t i = 0; i < p->node_count; i++)
            at = p->nodes[i].due < at ? p->nodes[i].due : at;
        p->now = at > p->now ? at : p->now;
        while (plant_next_flight(p) <= p->now && !p->failure)
            plant_arrive(p);
        for (uint32_t i = 0; i < p->node_count; i++)
            if (p->nodes[i].on && p->nodes[i].due <= p->now)
                plant_timers(&p->nodes[i]);
        if (at >= end)
            return;
    }
}

/* ---- Admission: invites, tickets, joins ---- */

static bool is_in_ledger(const struct plant *p, const struct plant_node *n)
{
    const struct plant_node *o = &p->nodes[PLANT_OPERATOR];
    const struct fold *fold = o->on ? replica_fold(o->replica) : NULL;
    return fold && fold_device_by_id(fold, &n->invite.id);
}

static void admit(struct plant *p, struct plant_node *n)
{
    if (n->on && n->join_ended) {
        plant_node_stop(n, false);
        if (n->member)
            plant_node_start(n);
    } else if (!n->on && !n->member && n->invite.made && !n->has_seed) {
        n->member = true; /* it had joined when it was stopped */
        plant_node_start(n);
    } else if (!n->on && !n->member && n->invite.made && !n->invite.revoked && is_in_ledger(p, n) &&
               plant_give_ticket(p, n)) {
        plant_node_join(n);
    }
}

static void admit_all(struct plant *p, uint32_t first, uint32_t end)
{
    uint32_t waiting = 0;
    for (uint32_t i = PLANT_FIRST_RELAY; i < end && !p->failure; i++) {
        struct plant_node *n = &p->nodes[i];
        waiting += n->invite.made && !n->member;
        if (i >= first && !n->invite.made && waiting < INVITES_AT_ONCE && p->nodes[PLANT_OPERATOR].on &&
            replica_signed_head(p->nodes[PLANT_OPERATOR].replica)) {
            plant_invite(p, n);
            waiting++;
        }
        if (n->invite.made && !p->failure)
            admit(p, n);
    }
}

static uint32_t members(const struct plant *p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->node_count; i++)
        count += p->nodes[i].member;
    return count;
}

static void say(const struct plant *p, const char *what)
{
    if (p->verbose)
        printf("# %7.1f s %s: %" PRIu32 " members, index %" PRIu64 ", policy %" PRIu64 ", %" PRIu64
               " datagrams, %" PRIu64 " delivered, %" PRIu64 " refused, %" PRIu64 " forwarded\n",
               (double)p->now / 1e9, what, members(p),
               p->sequencer ? fold_head(sequencer_fold(p->sequencer))->index : 0, p->policy_version, p->datagrams,
               p->delivered, p->refused, p->forwarded);
}

/* ---- Phases ---- */

static void settle(struct plant *p)
{
    uint32_t end = p->node_count - p->node_count / 10; /* the others join in times of trouble */
    for (uint64_t until = p->now + SETTLE_TIME; p->now < until && members(p) < end && !p->failure;) {
        plant_run_until(p, p->now + TICK);
        admit_all(p, PLANT_FIRST_RELAY, members(p) < PLANT_FIRST_MEMBER ? PLANT_FIRST_MEMBER : end);
        plant_check(p);
    }
    if (members(p) < end)
        plant_fail(p, NULL, "all have joined in time");
    if (!p->failure)
        plant_publish(p);
    say(p, "settled");
}

/* For whoever looks into a failure. */
static void say_node(const struct plant_node *n)
{
    struct replica_problem problem;
    struct device_id relays[2];
    if (!n->on) {
        printf("# node %u is off, %s\n", (unsigned)n->number, n->member ? "a member" : "no member");
        return;
    }
    const struct fold *fold = replica_fold(n->replica);
    printf("# node %u: index %" PRIu64 ", ledger's policy %" PRIu64 ", in force %" PRIu64 ", %u peers, %s%s%s%s\n",
           (unsigned)n->number, fold ? fold_head(fold)->index : 0, fold ? fold_policy_version(fold) : 0,
           replica_policy_version(n->replica), (unsigned)n->peer_count, n->member ? "member" : "no member",
           n->joining ? ", joining" : "", n->invite.isolated ? ", isolated" : "", n->invite.revoked ? ", revoked" : "");
    for (uint32_t i = 0; replica_problem_at(n->replica, i, &problem); i++)
        printf("#   problem %s %s\n", problem.code, problem.name);
    uint32_t count = mesh_relays_of(n->mesh, &n->invite.id, relays);
    for (uint32_t i = 0; i < count; i++)
        printf("#   relay %u\n", (unsigned)plant_number(n->plant, &relays[i]));
}

static void say_side(struct plant_node *n, const struct plant_node *other)
{
    struct device_id relay = {{0}};
    const struct plant_peer *known = n->on ? plant_peer_by_id(n, &other->invite.id) : NULL;
    if (!known) {
        printf("#   %u does not know %u\n", (unsigned)n->number, (unsigned)other->number);
        return;
    }
    const struct peer *peer = tunnel_peer(n->tunnel, known->peer);
    struct endpoint e = {0};
    bool has = tunnel_peer_endpoint(peer, &e);
    enum mesh_path_kind path = mesh_path(n->mesh, &known->id, &relay);
    printf("#   %u to %u: flags %u, %u out, %u in, mesh's path %d by %d, endpoint %d family %d, session %d\n",
           (unsigned)n->number, (unsigned)other->number, (unsigned)known->flags, (unsigned)known->grants.out_count,
           (unsigned)known->grants.in_count, (int)path, (int)plant_number(n->plant, &relay), (int)has, (int)e.family,
           (int)tunnel_has_session(peer, plant_monotonic(n->plant)));
}

static void say_pairs(struct plant *p)
{
    for (uint32_t i = 0; i < p->pair_count; i++) {
        const struct plant_pair *pair = &p->pairs[i];
        if (!pair->allowed || (pair->there && pair->back))
            continue;
        printf("# pair %u to %u port %u: there %d, back %d\n", pair->from, pair->to, pair->port, (int)pair->there,
               (int)pair->back);
        say_side(&p->nodes[pair->from], &p->nodes[pair->to]);
        say_side(&p->nodes[pair->to], &p->nodes[pair->from]);
        for (uint32_t r = PLANT_HUB; r < PLANT_FIRST_MEMBER; r++) {
            say_side(&p->nodes[pair->from], &p->nodes[r]);
            say_side(&p->nodes[r], &p->nodes[pair->from]);
        }
    }
}

static void have_trouble(struct plant *p)
{
    p->healed = false;
    uint32_t ticks = 0;
    for (uint64_t until = p->now + TROUBLE_TIME; p->now < until && !p->failure; ticks++) {
        plant_trouble(p);
        plant_run_until(p, p->now + TICK);
        admit_all(p, PLANT_FIRST_RELAY, p->node_count);
        if (ticks % 5 == 0)
            plant_check(p);
    }
    say(p, "trouble");
}

static void be_healed(struct plant *p)
{
    plant_heal(p);
    p->healed = true;
    uint64_t begun = p->now;
    uint32_t ticks = 0;
    p->pair_count = 0;
    for (; p->now < begun + HEAL_TIME && !p->failure; ticks++) {
        if (p->now >= begun + HEAL_TIME / 3 && p->pair_count == 0)
            plant_choose_pairs(p);
        if (ticks % 5 == 0)
            plant_talk(p);
        plant_run_until(p, p->now + TICK);
        admit_all(p, PLANT_FIRST_RELAY, p->node_count);
        if (ticks % 5 == 0)
            plant_check(p);
    }
    if (!p->failure)
        plant_check_healed(p);
    if (!p->failure)
        plant_roads(p);
    plant_check(p);
    say(p, "healed");
}

/* ---- Runs ---- */

struct options {
    uint64_t seed;
    uint32_t rounds, nodes;
    enum plant_flaw flaw;
    bool one, verbose;
};

/* Whether an invariant failed; how is in `text`. */
static bool run(const struct options *o, char text[300])
{
    struct plant *p = calloc(1, sizeof(*p));
    plant_must(p, "memory");
    p->verbose = o->verbose;
    start(p, o->seed, o->nodes, o->flaw);
    settle(p);
    for (uint32_t round = 0; round < o->rounds && !p->failure; round++) {
        have_trouble(p);
        if (!p->failure)
            be_healed(p);
    }
    bool failed = p->failure != NULL;
    for (uint32_t i = 0; i < p->node_count && failed && p->verbose; i++)
        say_node(&p->nodes[i]);
    if (failed && p->verbose)
        say_pairs(p);
    printf("# seed %" PRIu64 ": %" PRIu32 " nodes, %" PRIu64 " s, %" PRIu64 " datagrams, %" PRIu64 " hostile, %" PRIu64
           " restarts, %" PRIu32 " packets, %" PRIu64 " delivered, %" PRIu64 " refused, %" PRIu64 " forwarded, %" PRIu64
           " sealed natively, %" PRIu64 " of %" PRIu64 " pairs direct, %" PRIu64 " datagrams to victims, %" PRIu64
           " gated%s\n",
           o->seed, p->node_count, p->now / SECOND, p->datagrams, p->hostile_datagrams, p->restarts, p->packet_count,
           p->delivered, p->refused, p->forwarded, p->native, p->direct_roads, p->all_roads, p->victim_datagrams,
           p->gated, failed ? ", failed" : "");
    memcpy(text, p->failure_text, 300);
    stop(p);
    return failed;
}

/* What failed, and how it is seen again. */
static void say_again(const struct options *o, const char *text)
{
    printf("# seed %" PRIu64 " failed: %s\n# again: build/tests/sim/plant --seed %" PRIu64 " --nodes %" PRIu32
           " --rounds %" PRIu32 " --flaw %u --verbose\n",
           o->seed, text, o->seed, o->nodes, o->rounds, (unsigned)o->flaw);
}

static int run_one(const struct options *o)
{
    char text[300];
    bool failed = run(o, text);
    if (failed)
        say_again(o, text);
    return failed != (o->flaw != PLANT_SOUND);
}

static void tap(bool good, uint32_t number, const char *what, uint64_t which, const char *text)
{
    printf("%sok %u - %s %" PRIu64 "%s%s\n", good ? "" : "not ", (unsigned)number, what, which, *text ? ": " : "",
           text);
    fflush(stdout);
}

#define FLAW_SEEDS 10

/* How the failure begins that each must lead to, or the other. */
static const char *const found_as[PLANT_FLAWS][2] = {
    [PLANT_NO_POLICY] = {"no packet is delivered that the receiver's policy", NULL},
    [PLANT_PLAINTEXT] = {"no plaintext", NULL},
    [PLANT_DEAF] = {"healed for long enough, all heads", NULL},
    [PLANT_FORGETFUL] = {"no byte goes to a stranger", NULL},
    [PLANT_ANY_SIGNER] = {"nobody is", NULL},
    [PLANT_NO_BUDGET] = {"no node can be aimed at", NULL},
    [PLANT_FOLLOWS] = {"no node can be aimed at", "a stream loses nothing"},
    [PLANT_KEEPS_TO_ITSELF] = {"no byte goes to who was taken away", NULL},
    [PLANT_SAME_GATE] = {"nobody's gate key", NULL},
    [PLANT_KEEPS_PERMITS] = {"no relay passes on", NULL},
    [PLANT_ANY_WAY] = {"no node can be aimed at", NULL},
};

static bool is_found_as(enum plant_flaw flaw, const char *text)
{
    for (uint32_t i = 0; i < 2; i++)
        if (found_as[flaw][i] && strncmp(text, found_as[flaw][i], strlen(found_as[flaw][i])) == 0)
            return true;
    return false;
}

/* Within a few seeds: a flaw does not show in every life. */
static bool is_found(struct options *o, char text[300])
{
    bool found = false;
    for (o->seed = 1; o->seed <= FLAW_SEEDS && !found; o->seed++)
        found = run(o, text) && is_found_as(o->flaw, text);
    return found;
}

/* Small ones; each must be found. */
static bool run_flaws(struct options *o, uint32_t number)
{
    char text[300];
    bool good = true;
    o->nodes = 24;
    for (uint32_t flaw = PLANT_SOUND + 1; flaw < PLANT_FLAWS; flaw++) {
        o->flaw = (enum plant_flaw)flaw;
        bool found = is_found(o, text);
        good = good && found;
        tap(found, ++number, "a flaw is found: flaw", flaw, text);
    }
    return good;
}

/* The first is the largest. */
static int run_fixed(struct options *o, uint32_t seeds)
{
    uint32_t most = o->nodes;
    bool good = true;
    char text[300];
    printf("1..%u\n", (unsigned)seeds + PLANT_FLAWS - 1);
    for (uint32_t seed = 1; seed <= seeds; seed++) {
        o->seed = seed;
        o->nodes = seed == 1 ? most : 40;
        bool broke = run(o, text);
        good = good && !broke;
        if (broke)
            say_again(o, text);
        tap(!broke, seed, "all holds: seed", seed, text);
    }
    return run_flaws(o, seeds) && good ? 0 : 1;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"seed", required_argument, NULL, 's'},  {"rounds", required_argument, NULL, 'r'},
        {"nodes", required_argument, NULL, 'n'}, {"flaw", required_argument, NULL, 'f'},
        {"verbose", no_argument, NULL, 'v'},     {0}};
    struct options o = {.rounds = 1, .nodes = PLANT_NODES_USUAL};
    const char *seeds = getenv("SIM_SEEDS"), *nodes = getenv("SIM_NODES");
    if (nodes && strtoul(nodes, NULL, 10) > 2u * PLANT_FIRST_MEMBER && strtoul(nodes, NULL, 10) <= PLANT_NODES)
        o.nodes = (uint32_t)strtoul(nodes, NULL, 10);
    for (int which; (which = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (which == 's') {
            o.seed = value;
            o.one = true;
        } else if (which == 'r') {
            o.rounds = (uint32_t)value;
        } else if (which == 'n' && value > 2u * PLANT_FIRST_MEMBER && value <= PLANT_NODES) {
            o.nodes = (uint32_t)value;
        } else if (which == 'f' && value < PLANT_FLAWS) {
            o.flaw = (enum plant_flaw)value;
        } else if (which == 'v') {
            o.verbose = true;
        } else {
            fprintf(stderr, "usage: %s [--seed N] [--rounds N] [--nodes N] [--flaw N] [--verbose]\n", argv[0]);
            return 2;
        }
    }
    return o.one ? run_one(&o) : run_fixed(&o, seeds ? (uint32_t)strtoul(seeds, NULL, 10) : 3);
}
