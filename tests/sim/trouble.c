#include <stdlib.h>

#include "sim.h"

#define WALL_AT_START (1700000000 * SECOND)
#define YEAR (INT64_C(31557600) * (int64_t)SECOND)

uint32_t sim_below(struct sim *s, uint32_t limit)
{
    sim_chance(s, 0);
    return (uint32_t)((s->random * UINT64_C(0x2545F4914F6CDD1D)) >> 32) % limit;
}

static uint64_t number(struct sim *s)
{
    return (uint64_t)sim_below(s, UINT32_MAX) << 32 | sim_below(s, UINT32_MAX) | 1;
}

bool sim_awake(const struct sim *s, uint32_t node)
{
    return s->now >= s->nodes[node].asleep_until;
}

/* What an initiator must never go behind is persisted with a margin: a node after a restart has a floor for its clock.
 */
static uint64_t wall_of(const struct sim *s, const struct sim_node *n)
{
    int64_t wall = (int64_t)(WALL_AT_START + s->now) + n->clock_error;
    return wall > (int64_t)n->clock_floor ? (uint64_t)wall : n->clock_floor;
}

void sim_clock(struct sim *s, uint32_t node)
{
    struct sim_node *n = &s->nodes[node];
    n->node.now = (struct tunnel_time){.monotonic = 1000 * SECOND + s->now, .wall = wall_of(s, n)};
    if (n->node.now.wall > n->clock_greatest)
        n->clock_greatest = n->node.now.wall;
}

/* ---- What nodes hand out ---- */

static void on_send(struct node *n, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
    struct sim *s = n->context;
    struct endpoint from = sim_endpoint(s, n->number);
    sim_send(s, &from, to, bytes, len);
}

static void on_deliver(struct node *n, peer_id from, const uint8_t *packet, size_t len)
{
    sim_packet_arrived(n->context, n, from, packet, len);
}

static void on_persist(struct node *n, const uint8_t *public_key, const uint8_t *timestamp)
{
    struct sim *s = n->context;
    for (int i = 0; i < SIM_NODES; i++)
        if (memcmp(s->nodes[i].public_key, public_key, X25519_SIZE) == 0)
            memcpy(s->nodes[n->number].persisted[i], timestamp, MESSAGE_TIMESTAMP_SIZE);
}

static const struct node_owner owner = {.send = on_send, .deliver = on_deliver, .persist = on_persist};

/* ---- Peers ---- */

static void set_preshared_key(struct sim *s, const struct sim_pair *pair, bool of_a)
{
    uint8_t key[MESSAGE_KEY_SIZE] = {of_a ? pair->key_a : pair->key_b};
    const struct sim_node *n = &s->nodes[of_a ? pair->a : pair->b];
    if (n->on)
        tunnel_peer_set_preshared_key(n->node.tunnel, n->peer[of_a ? pair->b : pair->a], key);
}

static void set_endpoint(struct sim *s, uint32_t whose, uint32_t whom)
{
    struct endpoint endpoint = sim_endpoint(s, whom);
    if (s->nodes[whom].fixed && s->nodes[whose].on)
        node_set_endpoint(&s->nodes[whose].node, s->nodes[whose].peer[whom], &endpoint);
}

static void add_peer(struct sim *s, const struct sim_pair *pair, bool of_a)
{
    uint32_t whose = of_a ? pair->a : pair->b, whom = of_a ? pair->b : pair->a;
    struct sim_node *n = &s->nodes[whose];
    const uint8_t address[4] = {10, 0, (uint8_t)(whom >> 8), (uint8_t)whom};
    if (!n->on || n->peer[whom] != 0 || (pair->one_sided && !of_a))
        return;
    if (node_add_peer(&n->node, s->nodes[whom].public_key, address, 32, &n->peer[whom]) != 0) {
        sim_fail(s, "a peer can be added");
        return;
    }
    if (n->remembers)
        tunnel_peer_set_timestamp(n->node.tunnel, n->peer[whom], n->persisted[whom]);
    set_preshared_key(s, pair, of_a);
    set_endpoint(s, whose, whom);
    if (sim_chance(s, 60))
        node_set_keepalive(&n->node, n->peer[whom], (uint16_t)(5 + sim_below(s, 60)));
}

static void remove_peer(struct sim *s, uint32_t whose, uint32_t whom)
{
    struct sim_node *n = &s->nodes[whose];
    node_remove_peer(&n->node, n->peer[whom]);
    n->peer[whom] = 0;
}

/* ---- Life ---- */

static void turn_on(struct sim *s, uint32_t number_of)
{
    struct sim_node *n = &s->nodes[number_of];
    sim_clock(s, number_of);
    if (node_start_with_key(&n->node, &owner, number(s), n->dark, n->private_key) != 0) {
        sim_fail(s, "a node starts");
        return;
    }
    n->on = n->up = true;
    for (int i = 0; i < SIM_PAIRS; i++)
        if (s->pairs[i].a == number_of || s->pairs[i].b == number_of)
            add_peer(s, &s->pairs[i], s->pairs[i].a == number_of);
}

static void turn_off(struct sim *s, uint32_t number_of)
{
    struct sim_node *n = &s->nodes[number_of];
    n->clock_floor = n->clock_greatest + 60 * SECOND;
    node_stop(&n->node);
    n->on = false;
    memset(n->peer, 0, sizeof(n->peer));
    if (!n->remembers)
        memset(n->persisted, 0, sizeof(n->persisted));
}

static bool is_paired(const struct sim *s, uint32_t count, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < count; i++)
        if ((s->pairs[i].a == a && s->pairs[i].b == b) || (s->pairs[i].a == b && s->pairs[i].b == a))
            return true;
    return a == b;
}

static void choose_pairs(struct sim *s)
{
    for (uint32_t i = 0; i < SIM_PAIRS; i++) {
        uint32_t a, b;
        do {
            a = sim_below(s, SIM_NODES);
            b = sim_below(s, SIM_NODES);
        } while (!s->nodes[b].fixed || is_paired(s, i, a, b));
        s->pairs[i] = (struct sim_pair){
            .a = (uint16_t)a, .b = (uint16_t)b, .one_sided = sim_chance(s, 20), .activity = (uint8_t)sim_below(s, 8)};
    }
}

static int make_key(struct sim *s, struct sim_node *n, struct crypto *c)
{
    for (int i = 0; i < X25519_SIZE; i++)
        n->private_key[i] = (uint8_t)sim_below(s, 256);
    return crypto_x25519_public(c, n->public_key, n->private_key);
}

int sim_start(struct sim *s)
{
    struct crypto *c;
    int error = crypto_new(&c, CRYPTO_BULK_OPENSSL);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < SIM_NODES && error == 0; i++) {
        struct sim_node *n = &s->nodes[i];
        n->node.context = s;
        n->node.number = i;
        n->fixed = i % 2 == 0;
        n->dark = sim_chance(s, 170);
        n->remembers = sim_chance(s, 200);
        error = make_key(s, n, c);
    }
    crypto_free(c);
    choose_pairs(s);
    for (uint32_t i = 0; i < SIM_NODES && error == 0; i++)
        turn_on(s, i);
    return error;
}

void sim_stop(struct sim *s)
{
    for (uint32_t i = 0; i < SIM_NODES; i++)
        if (s->nodes[i].on)
            node_stop(&s->nodes[i].node);
    sim_network_free(s);
    free(s->packets);
}

/* ---- Trouble ---- */

static void change_weather(struct sim *s, uint32_t i)
{
    (void)i;
    s->weather.loss = sim_chance(s, 128) ? 0 : (uint8_t)sim_below(s, 120);
    s->weather.duplicate = (uint8_t)sim_below(s, 60);
    s->weather.misroute = sim_chance(s, 200) ? 0 : 5;
    s->weather.delay = sim_below(s, 200) * SIM_MS;
    s->weather.jitter = sim_below(s, sim_chance(s, 20) ? 8000 : 300) * SIM_MS;
}

static void jump_clock(struct sim *s, uint32_t i)
{
    const int64_t errors[] = {0, -53 * YEAR, 77 * YEAR, -3600 * (int64_t)SECOND, 3600 * (int64_t)SECOND};
    s->nodes[i].clock_error = errors[sim_below(s, 5)];
}

static void fall_asleep(struct sim *s, uint32_t i)
{
    s->nodes[i].asleep_until = s->now + sim_below(s, sim_chance(s, 30) ? 700 : 100) * SECOND;
}

static void switch_power(struct sim *s, uint32_t i)
{
    if (s->nodes[i].on)
        turn_off(s, i);
    else
        turn_on(s, i);
}

static void restart(struct sim *s, uint32_t i)
{
    if (s->nodes[i].on)
        turn_off(s, i);
    turn_on(s, i);
}

static void switch_interface(struct sim *s, uint32_t i)
{
    struct sim_node *n = &s->nodes[i];
    n->up = !n->up;
    if (n->on)
        node_event(&n->node, n->up ? TUNNEL_EVENT_UP : TUNNEL_EVENT_DOWN);
}

static void move(struct sim *s, uint32_t i)
{
    if (!s->nodes[i].fixed)
        s->nodes[i].moves++;
}

static void toggle_peer(struct sim *s, uint32_t i)
{
    const struct sim_pair *pair = &s->pairs[sim_below(s, SIM_PAIRS)];
    bool of_a = sim_chance(s, 128);
    uint32_t whose = of_a ? pair->a : pair->b, whom = of_a ? pair->b : pair->a;
    (void)i;
    if (!s->nodes[whose].on)
        return;
    sim_clock(s, whose);
    if (s->nodes[whose].peer[whom] != 0)
        remove_peer(s, whose, whom);
    else
        add_peer(s, pair, of_a);
}

static void change_preshared_key(struct sim *s, uint32_t i)
{
    struct sim_pair *pair = &s->pairs[sim_below(s, SIM_PAIRS)];
    bool of_a = sim_chance(s, 128);
    (void)i;
    (of_a ? &pair->key_a : &pair->key_b)[0] = (uint8_t)sim_below(s, 3);
    set_preshared_key(s, pair, of_a);
}

static void change_load(struct sim *s, uint32_t i)
{
    s->nodes[i].node.under_load = !s->nodes[i].node.under_load;
}

static void change_slowness(struct sim *s, uint32_t i)
{
    s->nodes[i].node.hold_steps = !s->nodes[i].node.hold_steps;
}

static void set_key_again(struct sim *s, uint32_t i)
{
    if (s->nodes[i].on && node_set_key(&s->nodes[i].node, s->nodes[i].private_key) != 0)
        sim_fail(s, "a key can be set");
}

static void change_activity(struct sim *s, uint32_t i)
{
    (void)i;
    s->pairs[sim_below(s, SIM_PAIRS)].activity = (uint8_t)(sim_chance(s, 100) ? 0 : sim_below(s, 10));
}

/* ---- Strangers ---- */

static void replay(struct sim *s, uint32_t i)
{
    uint32_t count = s->captured_count < SIM_CAPTURED ? s->captured_count : SIM_CAPTURED;
    (void)i;
    if (count == 0)
        return;
    const struct sim_captured *captured = &s->captured[sim_below(s, count)];
    /* A handshake message that drew nothing is as good as new (an initiation lost in a flood; a response under a
     * preshared key that was put right since): whoever holds it gets one answer. */
    if (captured->bytes[0] > MESSAGE_RESPONSE || captured->answered)
        sim_send_hostile(s, captured->to, captured->bytes, captured->len);
}

/* Whatever is changed in front of the macs, mac1 included or made right again. */
static void mutate(struct sim *s, uint32_t i)
{
    uint32_t count = s->captured_count < SIM_CAPTURED ? s->captured_count : SIM_CAPTURED;
    uint8_t bytes[NODE_DATAGRAM_MAX];
    (void)i;
    if (count == 0)
        return;
    const struct sim_captured *captured = &s->captured[sim_below(s, count)];
    bool handshake = captured->bytes[0] == MESSAGE_INITIATION || captured->bytes[0] == MESSAGE_RESPONSE;
    size_t end = captured->len - (handshake ? sizeof(struct message_macs) : 0);
    memcpy(bytes, captured->bytes, captured->len);
    for (uint32_t flips = 1 + sim_below(s, 3); flips > 0; flips--)
        bytes[8 + sim_below(s, (uint32_t)end - 8)] ^= (uint8_t)(1 << sim_below(s, 8));
    struct cookie_known none = {.until = 0};
    const struct sim_node *target = &s->nodes[captured->to];
    if (handshake && target->on && sim_chance(s, 200) &&
        cookie_seal_message(&none, target->node.crypto, target->public_key, bytes, captured->len, 0) != 0)
        sim_fail(s, "mac1 can be made");
    if (memcmp(bytes, captured->bytes, end) != 0)
        sim_send_hostile(s, captured->to, bytes, captured->len);
}

static void throw_garbage(struct sim *s, uint32_t i)
{
    uint8_t bytes[256];
    const size_t lengths[] = {0, 1, 4, 32, 64, 92, 148, 200};
    for (int turn = 0; turn < 20; turn++) {
        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (uint8_t)sim_below(s, 256);
        memcpy(bytes, (uint8_t[]){(uint8_t)(1 + sim_below(s, 5)), 0, 0, 0}, 4);
        sim_send_hostile(s, i, bytes, lengths[sim_below(s, 8)]);
    }
}

/* How often, of 10000 a tick, to a random node. */
static const struct {
    uint32_t chance;
    void (*happen)(struct sim *s, uint32_t node);
} troubles[] = {
    {50, change_weather},
    {200, jump_clock},
    {80, fall_asleep},
    {40, switch_power},
    {100, restart},
    {60, switch_interface},
    {300, move},
    {100, toggle_peer},
    {100, change_preshared_key},
    {100, change_load},
    {200, change_slowness},
    {20, set_key_again},
    {200, change_activity},
    {9000, replay},
    {9000, mutate},
    {2000, throw_garbage},
};

void sim_trouble(struct sim *s)
{
    for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
        uint32_t node = sim_below(s, SIM_NODES);
        if (sim_below(s, 10000) >= troubles[i].chance)
            continue;
        if (s->nodes[node].on)
            sim_clock(s, node);
        troubles[i].happen(s, node);
    }
}

/* ---- Healing ---- */

static void heal_node(struct sim *s, uint32_t i)
{
    struct sim_node *n = &s->nodes[i];
    n->asleep_until = 0;
    if (!n->on)
        turn_on(s, i);
    sim_clock(s, i);
    if (!n->up)
        switch_interface(s, i);
    n->up = true;
    n->node.under_load = false;
    n->timers_run = 0;
}

static void heal_pair(struct sim *s, struct sim_pair *pair)
{
    pair->key_b = pair->key_a;
    pair->arrived_a = pair->arrived_b = 0;
    for (int of_a = 0; of_a < 2; of_a++) {
        uint32_t whose = of_a ? pair->a : pair->b, whom = of_a ? pair->b : pair->a;
        add_peer(s, pair, of_a);
        set_preshared_key(s, pair, of_a);
        set_endpoint(s, whose, whom);
    }
}

void sim_heal(struct sim *s)
{
    memset(&s->weather, 0, sizeof(s->weather));
    s->weather.delay = 20 * SIM_MS;
    s->weather.jitter = 30 * SIM_MS;
    for (uint32_t i = 0; i < SIM_NODES; i++)
        heal_node(s, i);
    for (uint32_t i = 0; i < SIM_PAIRS; i++)
        heal_pair(s, &s->pairs[i]);
    s->healed_at = s->now;
}
