/* Direct paths of a healed network: how soon they come, what they lose, what is left when they break, and that a
 * take-away goes along them when there is nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plant.h"

#define STEP (100 * PLANT_MS)
#define DIRECT_WITHIN (2 * SECOND)        /* of the first session */
#define DIRECT_AGAIN_WITHIN (13 * SECOND) /* of the first packet after a long silence */
#define CROSSING_TIME (SECOND / 2)
#define ARRIVES_WITHIN (3 * SECOND)
#define RELAYED_WITHIN (5 * SECOND) /* of the direct way's end */
#define TAKEN_WITHIN (5 * SECOND)   /* among those who have sessions with each other */
#define TAKEN_BY_ALL_WITHIN (10 * SECOND)
#define TAKEN_AFTER_RELAYS_WITHIN (60 * SECOND)

static bool speaks(const struct plant_node *n)
{
    return n->member && n->on && !n->was_ahead && !n->invite.revoked && !n->invite.isolated && !n->invite.relay;
}

static struct plant_node *node(struct plant *p, uint32_t number)
{
    return &p->nodes[number];
}

static bool has_session(struct plant_node *n, const struct plant_node *with)
{
    const struct plant_peer *known = plant_peer_by_id(n, &with->invite.id);
    const struct peer *peer = known ? tunnel_peer(n->tunnel, known->peer) : NULL;
    return peer && tunnel_has_session(peer, plant_monotonic(n->plant));
}

static bool is_direct(struct plant_node *n, const struct plant_node *to)
{
    struct device_id relay;
    return n->on && mesh_path(n->mesh, &to->invite.id, &relay) == MESH_PATH_DIRECT;
}

static bool both_direct(struct plant *p, const struct plant_road *r)
{
    return is_direct(node(p, r->from), node(p, r->to)) && is_direct(node(p, r->to), node(p, r->from));
}

static bool is_limited(struct plant_node *n, const struct plant_node *other)
{
    return mesh_why(n->mesh, &other->invite.id) == MESH_WHY_LIMITED;
}

/* ---- Choosing ---- */

static bool is_taken(const struct plant *p, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < p->road_count; i++)
        if ((p->roads[i].from == a && p->roads[i].to == b) || (p->roads[i].from == b && p->roads[i].to == a))
            return true;
    return false;
}

static void choose(struct plant *p)
{
    p->road_count = 0;
    for (uint32_t tries = 0; tries < 30000 && p->road_count < PLANT_ROADS; tries++) {
        uint32_t from = plant_below(p, p->node_count), to = plant_below(p, p->node_count);
        uint16_t port = (uint16_t)(1000 + plant_below(p, 10));
        struct plant_node *a = node(p, from), *b = node(p, to);
        if (from == to || !speaks(a) || !speaks(b) || is_taken(p, from, to) ||
            !plant_allows(p, p->policy_version, from, to, GRANT_UDP, port))
            continue;
        p->roads[p->road_count++] =
            (struct plant_road){.from = (uint16_t)from,
                                .to = (uint16_t)to,
                                .port = port,
                                .fresh = !has_session(a, b) && !has_session(b, a) && a->peer_count > 0};
    }
}

/* ---- Streams ---- */

static void say_something(struct plant *p, uint32_t i)
{
    const struct plant_road *r = &p->roads[i];
    struct plant_node *n = node(p, r->from);
    plant_packet_send(n,
                      &(struct plant_packet){.from = r->from,
                                             .to = r->to,
                                             .claimed = r->from,
                                             .sport = (uint16_t)(PLANT_PORT_OF_ROADS + i),
                                             .dport = r->port,
                                             .ipv6 = plant_chance(p, 128),
                                             .answer = true},
                      true);
    if (n->on)
        plant_drain(n);
}

static void note_sessions(struct plant *p)
{
    for (uint32_t i = 0; i < p->road_count; i++) {
        struct plant_road *r = &p->roads[i];
        struct plant_node *a = node(p, r->from), *b = node(p, r->to);
        if (r->met == 0 && a->on && b->on && has_session(a, b) && has_session(b, a))
            r->met = p->now;
        r->limited |= a->on && b->on && (is_limited(a, b) || is_limited(b, a));
        if (r->met != 0 && r->direct == 0 && both_direct(p, r))
            r->direct = p->now;
    }
}

static void stream(struct plant *p, uint64_t time)
{
    for (uint64_t end = p->now + time; p->now < end && !p->failure;) {
        for (uint32_t i = 0; i < p->road_count; i++)
            say_something(p, i);
        plant_run_until(p, p->now + STEP);
        note_sessions(p);
    }
}

/* Whether a packet had a session to go in, on a path that works. Two who begin handshakes at once lose what is under
 * way in the session before, as WireGuard has it: that is when they begin to speak. */
static bool should_arrive(struct plant *p, const struct plant_road *r, const struct plant_packet *packet,
                          uint64_t since)
{
    return packet->at >= since + CROSSING_TIME && r->met != 0 && packet->at >= r->met + CROSSING_TIME &&
           speaks(node(p, packet->from)) && speaks(node(p, packet->to));
}

/* Nothing was lost of what was said from `since` on, and not in the last moments. */
static void check_streams(struct plant *p, uint64_t since)
{
    uint64_t end = p->now;
    plant_run_until(p, p->now + ARRIVES_WITHIN);
    for (uint32_t id = 0; id < p->packet_count; id++) {
        const struct plant_packet *packet = &p->packets[id];
        uint32_t port = packet->reply ? packet->dport : packet->sport;
        uint32_t i = port - PLANT_PORT_OF_ROADS;
        if (port < PLANT_PORT_OF_ROADS || i >= p->road_count || packet->at > end || packet->arrived == 1 ||
            !should_arrive(p, &p->roads[i], packet, since))
            continue;
        if (p->verbose)
            printf("# lost: %u to %u at %.3f, reply %d, arrived %u, road met %.3f direct %.3f fresh %d\n", packet->from,
                   packet->to, (double)packet->at / 1e9, packet->reply, packet->arrived, (double)p->roads[i].met / 1e9,
                   (double)p->roads[i].direct / 1e9, p->roads[i].fresh);
        plant_fail(p, node(p, packet->from), "a stream loses nothing that the network does not lose");
    }
}

/* ---- How soon ---- */

static bool has_reason(struct plant_node *n, const struct plant_node *other)
{
    return is_direct(n, other) || mesh_why(n->mesh, &other->invite.id) != MESH_WHY_NONE;
}

static void check_road(struct plant *p, const struct plant_road *r)
{
    struct plant_node *a = node(p, r->from), *b = node(p, r->to);
    if (r->met == 0) {
        plant_fail(p, a, "healed for long enough, allowed pairs speak both ways");
        return;
    }
    if (!has_reason(a, b) || !has_reason(b, a))
        plant_fail(p, a, "who is not reached directly is so for a reason");
    if (!r->fresh || r->limited)
        return;
    if (plant_may_meet(p, a, b) && (r->direct == 0 || r->direct > r->met + DIRECT_WITHIN + STEP))
        plant_fail(p, a, "who may be reached directly is, within 2 s of the first session");
}

static void check_roads(struct plant *p)
{
    for (uint32_t i = 0; i < p->road_count && !p->failure; i++) {
        check_road(p, &p->roads[i]);
        p->direct_roads += p->roads[i].direct != 0;
        p->all_roads++;
    }
}

static void check_direct_again(struct plant *p)
{
    for (uint32_t i = 0; i < p->road_count && !p->failure; i++) {
        const struct plant_road *r = &p->roads[i];
        struct plant_node *a = node(p, r->from);
        if (r->direct != 0 && !r->limited && !both_direct(p, r))
            plant_fail(p, a, "who was reached directly is again, when there is something to say");
    }
}

static void say_road(struct plant *p, const struct plant_road *r, const char *when)
{
    struct plant_node *a = node(p, r->from), *b = node(p, r->to);
    struct device_id relay;
    if (p->verbose && a->on && b->on)
        printf("# %.3f %s: road %u (site %u, kind %d) to %u (site %u, kind %d): session %d %d, path %d %d, why %d %d, "
               "met %.3f, direct %.3f, may %d\n",
               (double)p->now / 1e9, when, r->from, a->site, (int)p->sites[a->site].kind, r->to, b->site,
               (int)p->sites[b->site].kind, has_session(a, b), has_session(b, a),
               (int)mesh_path(a->mesh, &b->invite.id, &relay), (int)mesh_path(b->mesh, &a->invite.id, &relay),
               (int)mesh_why(a->mesh, &b->invite.id), (int)mesh_why(b->mesh, &a->invite.id), (double)r->met / 1e9,
               (double)r->direct / 1e9, plant_may_meet(p, a, b));
}

static void say_roads(struct plant *p, const char *when)
{
    for (uint32_t i = 0; i < p->road_count; i++)
        say_road(p, &p->roads[i], when);
}

/* ---- Breaking ---- */

bool plant_is_blocked(const struct plant *p, const struct plant_node *a, const struct plant_node *b)
{
    for (uint32_t i = 0; p->roads_broken && i < p->road_count; i++) {
        const struct plant_road *r = &p->roads[i];
        if (r->broken && ((r->from == a->number && r->to == b->number) || (r->from == b->number && r->to == a->number)))
            return true;
    }
    return false;
}

static void break_some(struct plant *p)
{
    p->roads_broken = true;
    for (uint32_t i = 0; i < p->road_count; i++)
        p->roads[i].broken = both_direct(p, &p->roads[i]) && plant_chance(p, 128);
    stream(p, RELAYED_WITHIN);
    uint64_t since = p->now;
    stream(p, 3 * SECOND);
    check_streams(p, since);
    p->roads_broken = false;
}

/* ---- Taking away ---- */

static bool holds(struct plant_node *a, struct plant_node *b)
{
    return a->on && b->on && has_session(a, b) && has_session(b, a) && is_direct(a, b) && is_direct(b, a);
}

/* Who hears of it without relays: over sessions on direct paths. Returns how many of them know who it is about. */
static uint32_t spread(struct plant *p, struct plant_node *from, const struct plant_node *gone)
{
    uint32_t count = from->had_taken;
    from->heard_of = true;
    for (uint32_t i = 0; i < p->node_count; i++) {
        struct plant_node *n = node(p, i);
        if (n->on && !n->heard_of && n != gone && holds(n, from))
            count += spread(p, n, gone);
    }
    return count;
}

static void forget_spread(struct plant *p, const struct plant_node *gone)
{
    for (uint32_t i = 0; i < p->node_count; i++) {
        struct plant_node *n = node(p, i);
        n->heard_of = false;
        n->had_taken = n->on && plant_peer_by_id(n, &gone->invite.id);
    }
}

/* From whom the most hear who know it. */
static struct plant_node *best_teller(struct plant *p, const struct plant_node *gone)
{
    struct plant_node *best = NULL;
    uint32_t most = 0;
    for (uint32_t i = 0; i < 2 * p->road_count; i++) {
        const struct plant_road *r = &p->roads[i / 2];
        struct plant_node *n = node(p, i % 2 ? r->from : r->to);
        forget_spread(p, gone);
        uint32_t count = n == gone || !speaks(n) ? 0 : spread(p, n, gone);
        if (count > most) {
            most = count;
            best = n;
        }
    }
    return best;
}

static void stop_relays(struct plant *p)
{
    for (uint32_t i = PLANT_HUB; i < PLANT_FIRST_MEMBER; i++)
        plant_node_stop(node(p, i), true);
}

static void start_relays(struct plant *p)
{
    for (uint32_t i = PLANT_HUB; i < PLANT_FIRST_MEMBER; i++)
        if (node(p, i)->member && !node(p, i)->on)
            plant_node_start(node(p, i));
}

static struct plant_node *any_direct(struct plant *p)
{
    struct plant_node *best = NULL;
    uint32_t most = 0;
    for (uint32_t i = PLANT_FIRST_MEMBER; i < p->node_count; i++) {
        uint32_t count = 0;
        for (uint32_t r = 0; r < p->road_count; r++)
            count += (p->roads[r].from == i || p->roads[r].to == i) && both_direct(p, &p->roads[r]);
        if (count > most) {
            most = count;
            best = node(p, i);
        }
    }
    return best;
}

/* Whom it was no peer of, a hostile relay may have told it about. */
static void check_gate(struct plant *p, const struct plant_node *n, const struct plant_node *gone)
{
    for (uint32_t i = 0; n->had_taken && i < gone->gate_count; i++)
        if (memcmp(gone->gates[i].static_key, n->public_key, X25519_SIZE) == 0 &&
            memcmp(gone->gates[i].gate, n->gate, sizeof(n->gate)) == 0)
            plant_fail(p, n, "nobody's gate key is known to who was taken away");
}

static void check_permits(struct plant *p, struct plant_node *n, const struct plant_node *gone)
{
    for (uint32_t i = 0; n->permit && i < p->node_count; i++)
        if (n->permit[gone->number][i] || n->permit[i][gone->number])
            plant_fail(p, n, "no relay passes on what is of who was taken away");
}

void plant_check_taken_away(struct plant_node *to, const struct device_id *id)
{
    struct plant *p = to->plant;
    uint32_t number = p->taken == to && p->now >= p->taken_at ? plant_number(p, id) : PLANT_NOBODY;
    if (number == PLANT_NOBODY)
        return;
    const struct plant_node *from = node(p, number);
    bool is_member = !from->invite.isolated && !from->invite.revoked && !from->was_ahead;
    if (is_member && (from->heard_of || p->now >= p->taken_by_all_at))
        plant_fail(p, from, "no byte goes to who was taken away");
}

static void check_taken(struct plant *p)
{
    for (uint32_t i = 0; i < p->node_count && !p->failure; i++) {
        struct plant_node *n = node(p, i);
        if (!n->on || n->invite.isolated || n->invite.revoked || n->was_ahead || !n->member ||
            !(n->heard_of || p->now >= p->taken_by_all_at))
            continue;
        if (plant_peer_by_id(n, &p->taken->invite.id))
            plant_fail(p, n, "no byte goes to who was taken away, who is nobody's peer");
        if (p->verbose)
            printf("# taken %u: node %u heard %d had %d, gates %u\n", p->taken->number, n->number, n->heard_of,
                   n->had_taken, p->taken->gate_count);
        check_gate(p, n, p->taken);
        check_permits(p, n, p->taken);
    }
}

static void begin_taking(struct plant *p, const struct plant_node *gone, uint64_t all)
{
    p->taken = gone;
    p->taken_at = p->now + TAKEN_WITHIN;
    p->taken_by_all_at = all;
}

/* Controller and relays are down; a member is handed the statement. */
static void take_away_in_the_dark(struct plant *p)
{
    struct plant_node *gone = any_direct(p);
    if (!gone)
        return;
    stop_relays(p);
    struct plant_node *teller = best_teller(p, gone);
    forget_spread(p, gone);
    if (teller)
        (void)spread(p, teller, gone);
    begin_taking(p, gone, UINT64_MAX);
    plant_take_away_at(p, teller ? teller : node(p, PLANT_OPERATOR), gone, STATEMENT_REVOKE);
    stream(p, 2 * TAKEN_WITHIN);
    check_taken(p);
    start_relays(p);
    p->taken_by_all_at = p->now + TAKEN_AFTER_RELAYS_WITHIN;
    stream(p, TAKEN_AFTER_RELAYS_WITHIN / 4);
    plant_run_until(p, p->taken_by_all_at + SECOND);
    check_taken(p);
    p->taken = NULL;
}

static void take_away(struct plant *p)
{
    struct plant_node *gone = any_direct(p);
    if (!gone)
        return;
    forget_spread(p, gone);
    begin_taking(p, gone, p->now + TAKEN_BY_ALL_WITHIN);
    plant_take_away(p, gone, STATEMENT_REVOKE);
    stream(p, TAKEN_BY_ALL_WITHIN + 2 * SECOND);
    check_taken(p);
    p->taken = NULL;
}

/* ---- All of it ---- */

void plant_roads(struct plant *p)
{
    choose(p);
    say_roads(p, "chosen");
    uint64_t since = p->now;
    stream(p, 12 * SECOND);
    check_streams(p, since);
    say_roads(p, "met");
    check_roads(p);
    plant_run_until(p, p->now + 75 * SECOND); /* long enough to let go of it */
    since = p->now;
    stream(p, DIRECT_AGAIN_WITHIN);
    check_direct_again(p);
    check_streams(p, since);
    if (!p->failure)
        take_away(p);
    if (!p->failure)
        take_away_in_the_dark(p);
    if (!p->failure)
        break_some(p);
    p->road_count = 0;
}
