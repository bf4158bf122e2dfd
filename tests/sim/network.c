#include <stdlib.h>

#include "sim.h"

struct endpoint sim_endpoint(const struct sim *s, uint32_t node)
{
    uint8_t moves = s->nodes[node].moves;
    return (struct endpoint){.address = {172, moves, (uint8_t)(node >> 8), (uint8_t)node},
                             .port = (uint16_t)(1024 + moves),
                             .family = ENDPOINT_IPV4};
}

/* ---- The heap ---- */

static bool before(const struct sim_flight *a, const struct sim_flight *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct sim *s, uint32_t i, uint32_t j)
{
    struct sim_flight *kept = s->flights[i];
    s->flights[i] = s->flights[j];
    s->flights[j] = kept;
}

static void push(struct sim *s, struct sim_flight *flight)
{
    if (s->flight_count == s->flight_room) {
        s->flight_room = s->flight_room ? s->flight_room * 2 : 256;
        s->flights = reallocarray(s->flights, s->flight_room, sizeof(struct sim_flight *));
        if (!s->flights)
            abort();
    }
    uint32_t i = s->flight_count++;
    s->flights[i] = flight;
    for (; i > 0 && before(s->flights[i], s->flights[(i - 1) / 2]); i = (i - 1) / 2)
        swap(s, i, (i - 1) / 2);
}

static struct sim_flight *pop(struct sim *s)
{
    struct sim_flight *first = s->flights[0];
    s->flights[0] = s->flights[--s->flight_count];
    for (uint32_t i = 0, child; (child = 2 * i + 1) < s->flight_count; i = child) {
        if (child + 1 < s->flight_count && before(s->flights[child + 1], s->flights[child]))
            child++;
        if (!before(s->flights[child], s->flights[i]))
            break;
        swap(s, i, child);
    }
    return first;
}

uint64_t sim_next_flight(const struct sim *s)
{
    return s->flight_count > 0 ? s->flights[0]->at : UINT64_MAX;
}

void sim_network_free(struct sim *s)
{
    while (s->flight_count > 0)
        free(pop(s));
    free(s->flights);
}

/* ---- Sending ---- */

static struct sim_flight *launch(struct sim *s, const struct endpoint *from, const struct endpoint *to,
                                 const uint8_t *bytes, size_t len)
{
    struct sim_flight *flight = malloc(sizeof(*flight) + len);
    if (!flight)
        abort();
    uint64_t jitter = s->weather.jitter ? sim_below(s, (uint32_t)(s->weather.jitter / SIM_MS)) * SIM_MS : 0;
    *flight = (struct sim_flight){
        .at = s->now + s->weather.delay + jitter, .order = s->flight_order++, .from = *from, .to = *to, .len = len};
    memcpy(flight->bytes, bytes, len);
    push(s, flight);
    return flight;
}

/* A misrouted datagram arrives from elsewhere, as behind an address translator that lost its table. */
void sim_send(struct sim *s, const struct endpoint *from, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
    struct endpoint seen = *from;
    s->datagrams++;
    if (sim_chance(s, s->weather.misroute))
        seen.port = (uint16_t)(40000 + sim_below(s, 1000));
    if (sim_chance(s, s->weather.loss))
        return;
    launch(s, &seen, to, bytes, len);
    while (sim_chance(s, s->weather.duplicate))
        launch(s, &seen, to, bytes, len);
}

void sim_send_hostile(struct sim *s, uint32_t to, const uint8_t *bytes, size_t len)
{
    struct endpoint from = {.address = {203, 0, 113, (uint8_t)sim_below(s, 250)}, .port = 666, .family = ENDPOINT_IPV4};
    struct endpoint target = sim_endpoint(s, to);
    launch(s, &from, &target, bytes, len)->hostile = true;
}

/* ---- Arriving ---- */

static bool node_at(const struct sim *s, const struct endpoint *to, uint32_t *out)
{
    uint32_t node = (uint32_t)to->address[2] << 8 | to->address[3];
    if (to->address[0] != 172 || node >= SIM_NODES || to->address[1] != s->nodes[node].moves)
        return false;
    struct endpoint now = sim_endpoint(s, node);
    *out = node;
    return to->port == now.port;
}

static void capture(struct sim *s, const struct sim_flight *flight, uint32_t to, bool drew)
{
    struct sim_captured *kept = &s->captured[s->captured_count++ % SIM_CAPTURED];
    *kept = (struct sim_captured){
        .len = flight->len, .to = (uint16_t)to, .answered = drew && flight->bytes[0] <= MESSAGE_RESPONSE};
    memcpy(kept->bytes, flight->bytes, flight->len);
}

void sim_arrive(struct sim *s)
{
    struct sim_flight *flight = pop(s);
    uint32_t to;
    if (node_at(s, &flight->to, &to) && s->nodes[to].on && sim_awake(s, to)) {
        struct sim_node *n = &s->nodes[to];
        uint64_t sends = n->node.tally.sends;
        sim_clock(s, to);
        node_datagram(&n->node, &flight->from, flight->bytes, flight->len);
        bool drew = n->node.tally.sends != sends;
        if (flight->hostile && drew && n->dark && n->remembers)
            sim_fail(s, "a dark node emits nothing in response to a stranger's datagram");
        if (!flight->hostile)
            capture(s, flight, to, drew);
    }
    free(flight);
}
