/* What goes wrong, and how it is put right. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "plant.h"

#define YEAR INT64_C(31557600)

static struct plant_node *any_node(struct plant *p)
{
    return &p->nodes[plant_below(p, p->node_count)];
}

static struct plant_node *any_member(struct plant *p)
{
    return &p->nodes[PLANT_FIRST_MEMBER + plant_below(p, p->node_count - PLANT_FIRST_MEMBER)];
}

/* ---- Weather, clocks and power ---- */

static void change_weather(struct plant *p)
{
    p->weather.loss = plant_chance(p, 128) ? 0 : (uint8_t)plant_below(p, 100);
    p->weather.duplicate = (uint8_t)plant_below(p, 60);
    p->weather.misroute = plant_chance(p, 200) ? 0 : 5;
    p->weather.races = plant_chance(p, 128) ? 0 : 10;
    p->weather.delay = plant_below(p, 200) * PLANT_MS;
    p->weather.jitter = plant_below(p, plant_chance(p, 20) ? 4000 : 300) * PLANT_MS;
}

static void part(struct plant *p)
{
    p->weather.parted = !p->weather.parted;
    uint32_t sides = 2 + plant_below(p, 3);
    for (uint32_t i = 0; i < p->node_count; i++)
        p->nodes[i].side = (uint8_t)plant_below(p, sides);
}

static void jump_clock(struct plant *p)
{
    const int64_t errors[] = {0, -57 * YEAR, -3600, 3600, 73 * YEAR};
    struct plant_node *n = any_node(p);
    int64_t error = errors[plant_below(p, 5)];
    if (n->number != PLANT_HUB && (error <= 3600 || n->number >= PLANT_FIRST_MEMBER))
        n->clock_error = error;
}

static void power(struct plant *p)
{
    struct plant_node *n = any_node(p);
    if (n->on)
        plant_node_stop(n, plant_chance(p, 170));
    else if (n->member)
        plant_node_start(n);
}

static void restart(struct plant *p)
{
    struct plant_node *n = plant_chance(p, 25) ? &p->nodes[PLANT_HUB] : any_node(p);
    if (n->on)
        plant_node_stop(n, plant_chance(p, 170));
    if (n->member) {
        plant_node_start(n);
        plant_replay_all(n);
    }
}

/* Another address on its network, another network; or its NAT has another address, which nobody tells it. */
static void move(struct plant *p)
{
    struct plant_node *n = any_node(p);
    struct plant_site *site = &p->sites[n->site];
    if (n->invite.relay)
        return;
    if (n->site != 0 && plant_chance(p, 100)) {
        site->moves++;
        plant_site_forget(site);
        return;
    }
    if (plant_chance(p, 128))
        plant_place(p, n);
    n->moves = (uint8_t)(n->moves + 1);
    if (!n->on)
        return;
    plant_tell_local(n);
    plant_drain(n);
}

/* A site keeps its inside, and loses the world. */
static void cut_site(struct plant *p)
{
    struct plant_site *site = &p->sites[1 + plant_below(p, PLANT_SITES - 1)];
    site->cut = !site->cut;
}

static void cut_hub(struct plant *p)
{
    p->weather.hub_is_cut = !p->weather.hub_is_cut;
}

static void change_relay(struct plant *p)
{
    p->relay_is_hostile = !p->relay_is_hostile;
    p->relay_is_quiet = p->relay_is_hostile && plant_chance(p, 60);
}

static void change_store(struct plant *p)
{
    p->store_fails = !p->store_fails;
}

/* ---- The operator ---- */

/* And has nothing else to say: what is said next may build on it. */
static bool operator_is_there(const struct plant *p)
{
    const struct plant_node *o = &p->nodes[PLANT_OPERATOR];
    return o->on && replica_signed_head(o->replica) && p->outbox_count == 0;
}

static void publish(struct plant *p)
{
    if (operator_is_there(p))
        plant_publish(p);
}

static void isolate(struct plant *p)
{
    struct plant_node *n = any_member(p);
    if (!operator_is_there(p) || !n->invite.made || n->invite.revoked)
        return;
    if (n->invite.isolated)
        plant_restore(p, n);
    else
        plant_take_away(p, n, STATEMENT_ISOLATE);
}

static void revoke(struct plant *p)
{
    struct plant_node *n = any_member(p);
    if (operator_is_there(p) && n->invite.made && n->member && !n->invite.revoked)
        plant_take_away(p, n, STATEMENT_REVOKE);
}

/* ---- Traffic ---- */

static void talk(struct plant *p)
{
    struct plant_node *n = any_node(p);
    struct plant_node *to = any_node(p);
    uint16_t port = (uint16_t)(1000 + plant_below(p, 10));
    for (uint32_t tries = plant_below(p, 60); tries > 0; tries--) { /* mostly who may */
        if (plant_allows(p, p->policy_version, n->number, to->number, GRANT_UDP, port))
            break;
        to = any_node(p);
    }
    plant_packet_send(n,
                      &(struct plant_packet){.from = (uint16_t)n->number,
                                             .to = (uint16_t)to->number,
                                             .claimed = (uint16_t)n->number,
                                             .sport = (uint16_t)(1500 + plant_below(p, 3)),
                                             .dport = port,
                                             .ipv6 = plant_chance(p, 128),
                                             .answer = plant_chance(p, 128)},
                      !n->hostile);
    if (n->on)
        plant_drain(n);
}

/* How often, of 10000 a tick. */
static const struct {
    uint32_t chance;
    void (*happen)(struct plant *p);
} troubles[] = {
    {60, change_weather}, {20, part},    {100, jump_clock},  {60, power},        {60, restart}, {100, move},
    {300, cut_site},      {20, cut_hub}, {30, change_relay}, {30, change_store}, {40, publish}, {40, isolate},
    {5, revoke},          {9000, talk},  {9000, talk},       {9000, talk},
};

void plant_trouble(struct plant *p)
{
    for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]) && !p->failure; i++)
        if (plant_below(p, 10000) < troubles[i].chance)
            troubles[i].happen(p);
    plant_hostilities(p);
}

/* ---- Healing ---- */

void plant_heal(struct plant *p)
{
    memset(&p->weather, 0, sizeof(p->weather));
    p->weather.delay = 20 * PLANT_MS;
    p->weather.jitter = 30 * PLANT_MS;
    p->relay_is_hostile = p->relay_is_quiet = p->store_fails = false;
    for (uint32_t i = 0; i < PLANT_SITES; i++)
        p->sites[i].cut = false;
    for (uint32_t i = 0; i < p->node_count; i++) {
        struct plant_node *n = &p->nodes[i];
        n->clock_error = 0;
        if (!n->on && n->member)
            plant_node_start(n);
    }
}
