#include <stdlib.h>

#include "sim.h"

#define HEADER 20
#define FILL_MAX 300

static void address_of(uint8_t out[4], uint32_t node)
{
    memcpy(out, (uint8_t[]){10, 0, (uint8_t)(node >> 8), (uint8_t)node}, 4);
}

/* An IPv4 packet that is all determined by its number. */
static void write_packet(uint8_t *out, uint32_t id, const struct sim_packet *packet)
{
    memset(out, 0, HEADER);
    out[0] = 0x45;
    put_be16(out + 2, packet->len);
    out[9] = 253;
    address_of(out + 12, packet->from);
    address_of(out + 16, packet->to);
    put_be32(out + HEADER, id);
    for (uint32_t i = HEADER + 4; i < packet->len; i++)
        out[i] = (uint8_t)(id * 31 + i);
}

void sim_packet_send(struct sim *s, const struct sim_pair *pair, bool from_a)
{
    uint16_t from = from_a ? pair->a : pair->b, to = from_a ? pair->b : pair->a;
    uint8_t bytes[HEADER + 4 + FILL_MAX];
    if (!s->nodes[from].on || !sim_awake(s, from))
        return;
    if (s->packet_count == s->packet_room) {
        s->packet_room = s->packet_room ? s->packet_room * 2 : 4096;
        s->packets = reallocarray(s->packets, s->packet_room, sizeof(struct sim_packet));
        if (!s->packets)
            abort();
    }
    struct sim_packet *packet = &s->packets[s->packet_count];
    *packet = (struct sim_packet){.from = from, .to = to, .len = (uint16_t)(HEADER + 4 + sim_below(s, FILL_MAX))};
    packet->when_healed = !pair->one_sided && s->now >= s->healed_at + SIM_HEAL_TIME;
    write_packet(bytes, s->packet_count++, packet);
    sim_clock(s, from);
    node_packet(&s->nodes[from].node, bytes, packet->len);
}

static struct sim_pair *pair_of(struct sim *s, uint32_t from, uint32_t to)
{
    for (int i = 0; i < SIM_PAIRS; i++)
        if ((s->pairs[i].a == from && s->pairs[i].b == to) || (s->pairs[i].a == to && s->pairs[i].b == from))
            return &s->pairs[i];
    return NULL;
}

void sim_packet_arrived(struct sim *s, struct node *n, peer_id from, const uint8_t *bytes, size_t len)
{
    uint32_t id = len >= HEADER + 4 ? get_be32(bytes + HEADER) : UINT32_MAX;
    uint8_t expected[HEADER + 4 + FILL_MAX];
    if (id >= s->packet_count || s->packets[id].len != len) {
        sim_fail(s, "no packet is delivered that was not sent");
        return;
    }
    struct sim_packet *packet = &s->packets[id];
    write_packet(expected, id, packet);
    struct sim_pair *pair = pair_of(s, packet->from, packet->to);
    if (memcmp(expected, bytes, len) != 0)
        sim_fail(s, "no packet is altered");
    if (packet->to != n->number || from == 0 || from != s->nodes[n->number].peer[packet->from])
        sim_fail(s, "no packet is delivered to whom it was not sent");
    if (packet->arrived)
        sim_fail(s, "no packet is accepted twice");
    if (!pair || pair->one_sided)
        sim_fail(s, "only allowed pairs exchange packets");
    packet->arrived = true;
    s->delivered++;
    if (pair && s->now >= s->healed_at + SIM_HEAL_TIME)
        (packet->to == pair->a ? &pair->arrived_a : &pair->arrived_b)[0]++;
}
