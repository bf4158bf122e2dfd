#include "world.h"

#include <stdlib.h>

static void on_send(struct node *n, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
    enum who who = (enum who)n->number;
    struct world *w = n->context;
    assert_true(w->wire_count < WIRE_MAX);
    assert_true(len <= NODE_DATAGRAM_MAX);
    struct wire *wire = &w->wires[(w->wire_head + w->wire_count++) % WIRE_MAX];
    *wire = (struct wire){.from = w->at[who], .to = *to, .len = len};
    memcpy(wire->bytes, bytes, len);
    w->sent[who]++;
    w->type_sent[who] = bytes[0];
    if (bytes[0] == MESSAGE_RESPONSE && n->dark)
        assert_true(w->persisted_before_send[who]);
    w->persisted_before_send[who] = false;
}

static void on_deliver(struct node *n, peer_id from, const uint8_t *packet, size_t len)
{
    enum who who = (enum who)n->number;
    struct world *w = n->context;
    assert_true(from != 0);
    assert_true(len <= NODE_PACKET_MAX);
    w->delivered[who]++;
    memcpy(w->last_packet, packet, len);
}

static void on_persist(struct node *n, const uint8_t *public_key, const uint8_t *timestamp)
{
    enum who who = (enum who)n->number;
    struct world *w = n->context;
    assert_true(tunnel_peer_find(n->tunnel, public_key) != 0);
    memcpy(w->persisted[who], timestamp, MESSAGE_TIMESTAMP_SIZE);
    w->persists[who]++;
    w->persisted_before_send[who] = true;
}

static const struct node_owner owner = {.send = on_send, .deliver = on_deliver, .persist = on_persist};

static struct endpoint endpoint_of(uint8_t number)
{
    return (struct endpoint){.address = {192, 0, 2, number}, .port = 51820, .family = ENDPOINT_IPV4};
}

void world_befriend(struct world *w, enum who a, enum who b)
{
    assert_int_equal(
        node_add_peer(&w->nodes[a], w->nodes[b].public_key, (uint8_t[]){10, 0, 0, (uint8_t)b}, 32, &w->peer[a][b]), 0);
    assert_int_equal(
        node_add_peer(&w->nodes[b], w->nodes[a].public_key, (uint8_t[]){10, 0, 0, (uint8_t)a}, 32, &w->peer[b][a]), 0);
    node_set_endpoint(&w->nodes[a], w->peer[a][b], &w->at[b]);
}

static int setup(void **state, bool dark)
{
    struct world *w = *state = calloc(1, sizeof(*w));
    assert_non_null(w);
    for (uint8_t i = 0; i < WORLD_NODES; i++) {
        w->nodes[i].context = w;
        w->nodes[i].number = i;
        w->nodes[i].now = (struct tunnel_time){.monotonic = 1000 * SECOND, .wall = 1700000000 * SECOND};
        assert_int_equal(node_start(&w->nodes[i], &owner, 77 + i, dark && i == BOB), 0);
        w->at[i] = endpoint_of(i + 1);
    }
    world_befriend(w, ALICE, BOB);
    return 0;
}

int world_setup(void **state)
{
    return setup(state, false);
}

int world_setup_dark(void **state)
{
    return setup(state, true);
}

int world_teardown(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < WORLD_NODES; i++)
        node_stop(&w->nodes[i]);
    free(w);
    return 0;
}

/* ---- Time ---- */

void world_skip(struct world *w, uint64_t ns)
{
    for (int i = 0; i < WORLD_NODES; i++) {
        w->nodes[i].now.monotonic += ns;
        w->nodes[i].now.wall += ns;
    }
}

void world_timers(struct world *w)
{
    for (int i = 0; i < WORLD_NODES; i++)
        assert_true(node_timer(&w->nodes[i]));
}

static uint64_t next_deadline(const struct world *w, uint64_t end)
{
    uint64_t at = end;
    for (int i = 0; i < WORLD_NODES; i++) {
        uint64_t deadline = tunnel_deadline(w->nodes[i].tunnel);
        at = deadline < at ? deadline : at;
    }
    return at;
}

static void run(struct world *w, uint64_t ns, void (*handle_wires)(struct world *w))
{
    uint64_t end = w->nodes[ALICE].now.monotonic + ns;
    handle_wires(w);
    while (w->nodes[ALICE].now.monotonic < end) {
        uint64_t at = next_deadline(w, end), now = w->nodes[ALICE].now.monotonic;
        world_skip(w, at > now ? at - now : 0);
        world_timers(w);
        handle_wires(w);
    }
}

void world_run(struct world *w, uint64_t ns)
{
    run(w, ns, world_settle);
}

void world_run_cut_off(struct world *w, uint64_t ns)
{
    run(w, ns, world_drop_all);
}

/* ---- The wire ---- */

bool world_take(struct world *w, struct wire *out)
{
    if (w->wire_count == 0)
        return false;
    *out = w->wires[w->wire_head];
    w->wire_head = (w->wire_head + 1) % WIRE_MAX;
    w->wire_count--;
    return true;
}

void world_put_back(struct world *w, const struct wire *wire)
{
    assert_true(w->wire_count < WIRE_MAX);
    w->wires[(w->wire_head + w->wire_count++) % WIRE_MAX] = *wire;
}

struct wire world_take_type(struct world *w, enum message_type type)
{
    struct wire wire;
    assert_true(world_take(w, &wire));
    assert_int_equal(message_classify(wire.bytes, wire.len), type);
    return wire;
}

void world_arrive(struct world *w, const struct wire *wire)
{
    for (int i = 0; i < WORLD_NODES; i++)
        if (memcmp(w->at[i].address, wire->to.address, 16) == 0 && w->at[i].port == wire->to.port)
            node_datagram(&w->nodes[i], &wire->from, wire->bytes, wire->len);
}

void world_settle(struct world *w)
{
    struct wire wire;
    while (world_take(w, &wire))
        world_arrive(w, &wire);
}

void world_drop_all(struct world *w)
{
    w->wire_count = 0;
}

/* ---- Packets ---- */

void world_packet(struct world *w, enum who from, enum who to, size_t len)
{
    uint8_t packet[NODE_PACKET_MAX] = {0x45, [8] = 64, [9] = 253};
    assert_true(len >= 20 && len <= sizeof(packet));
    put_be16(packet + 2, (uint16_t)len);
    memcpy(packet + 12, (uint8_t[]){10, 0, 0, (uint8_t)from}, 4);
    memcpy(packet + 16, (uint8_t[]){10, 0, 0, (uint8_t)to}, 4);
    for (size_t i = 20; i < len; i++)
        packet[i] = (uint8_t)i;
    node_packet(&w->nodes[from], packet, len);
}

bool world_passes(struct world *w, enum who from, enum who to)
{
    uint32_t before = w->delivered[to];
    world_packet(w, from, to, 100);
    world_settle(w);
    return w->delivered[to] == before + 1;
}

void world_connect(struct world *w)
{
    assert_true(world_passes(w, ALICE, BOB));
    assert_true(world_passes(w, BOB, ALICE));
}

void world_restart(struct world *w, enum who who)
{
    struct node *n = &w->nodes[who];
    uint8_t private_key[X25519_SIZE];
    memcpy(private_key, n->private_key, X25519_SIZE);
    node_stop(n);
    assert_int_equal(node_start_with_key(n, &owner, n->random, n->dark, private_key), 0);
    for (int i = 0; i < WORLD_NODES; i++)
        if (w->peer[who][i] != 0)
            assert_int_equal(
                node_add_peer(n, w->nodes[i].public_key, (uint8_t[]){10, 0, 0, (uint8_t)i}, 32, &w->peer[who][i]), 0);
}

struct tunnel_counters world_counters(const struct world *w, enum who who)
{
    struct tunnel_counters counters;
    tunnel_read_counters(w->nodes[who].tunnel, &counters);
    return counters;
}

struct peer *world_peer(struct world *w, enum who whose, enum who whom)
{
    return tunnel_peer(w->nodes[whose].tunnel, w->peer[whose][whom]);
}
