/* Datagrams in flight, the weather, and who listens in. */
#include <stdlib.h>
#include <string.h>

#include "plant.h"

struct endpoint plant_endpoint(const struct plant_node *n)
{
    return (struct endpoint){.address = {172, n->moves, (uint8_t)(n->number >> 8), (uint8_t)n->number},
                             .port = (uint16_t)(1024 + n->moves),
                             .family = ENDPOINT_IPV4};
}

/* ---- The heap ---- */

static bool before(const struct plant_flight *a, const struct plant_flight *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct plant *p, uint32_t i, uint32_t j)
{
    struct plant_flight *kept = p->flights[i];
    p->flights[i] = p->flights[j];
    p->flights[j] = kept;
}

static void push(struct plant *p, struct plant_flight *flight)
{
    if (p->flight_count == p->flight_room) {
        p->flight_room = p->flight_room ? p->flight_room * 2 : 256;
        p->flights = reallocarray(p->flights, p->flight_room, sizeof(struct plant_flight *));
        plant_must(p->flights, "memory");
    }
    uint32_t i = p->flight_count++;
    p->flights[i] = flight;
    for (; i > 0 && before(p->flights[i], p->flights[(i - 1) / 2]); i = (i - 1) / 2)
        swap(p, i, (i - 1) / 2);
}

static struct plant_flight *pop(struct plant *p)
{
    struct plant_flight *first = p->flights[0];
    p->flights[0] = p->flights[--p->flight_count];
    for (uint32_t i = 0, child; (child = 2 * i + 1) < p->flight_count; i = child) {
        if (child + 1 < p->flight_count && before(p->flights[child + 1], p->flights[child]))
            child++;
        if (!before(p->flights[child], p->flights[i]))
            break;
        swap(p, i, child);
    }
    return first;
}

uint64_t plant_next_flight(const struct plant *p)
{
    return p->flight_count > 0 ? p->flights[0]->at : UINT64_MAX;
}

void plant_wire_free(struct plant *p)
{
    while (p->flight_count > 0)
        free(pop(p));
    free(p->flights);
}

/* ---- Sending ---- */

static struct plant_flight *launch(struct plant *p, const struct endpoint *from, const struct endpoint *to,
                                   const uint8_t *bytes, size_t len)
{
    struct plant_flight *flight = malloc(sizeof(*flight) + len);
    plant_must(flight != NULL, "memory");
    uint64_t jitter = p->weather.jitter ? plant_below(p, (uint32_t)(p->weather.jitter / PLANT_MS)) * PLANT_MS : 0;
    *flight = (struct plant_flight){
        .at = p->now + p->weather.delay + jitter, .order = p->order++, .from = *from, .to = *to, .len = len};
    memcpy(flight->bytes, bytes, len);
    push(p, flight);
    return flight;
}

/* Members' addresses are in 172/8, whether anybody is there now or not. */
static bool is_stranger(const struct endpoint *to)
{
    return to->family != ENDPOINT_IPV4 || to->address[0] != 172;
}

void plant_send(struct plant_node *from, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
    struct plant *p = from->plant;
    struct endpoint seen = plant_endpoint(from);
    p->datagrams++;
    from->sent++;
    plant_must(len <= PLANT_DATAGRAM_MAX, "a datagram is no longer than any may be");
    if (memmem(bytes, len, plant_canary, sizeof(plant_canary)))
        plant_fail(p, from, "no plaintext is on the wire");
    if (is_stranger(to)) {
        p->stranger_bytes += len;
        plant_fail(p, from, "no byte goes to a stranger");
    }
    if (plant_chance(p, p->weather.misroute))
        seen.port = (uint16_t)(40000 + plant_below(p, 1000));
    if (plant_chance(p, p->weather.loss))
        return;
    launch(p, &seen, to, bytes, len);
    while (plant_chance(p, p->weather.duplicate))
        launch(p, &seen, to, bytes, len);
}

void plant_send_hostile(struct plant *p, uint32_t to, const uint8_t *bytes, size_t len)
{
    struct endpoint from = {
        .address = {203, 0, 113, (uint8_t)plant_below(p, 250)}, .port = 666, .family = ENDPOINT_IPV4};
    struct endpoint target = plant_endpoint(&p->nodes[to]);
    p->hostile_datagrams++;
    launch(p, &from, &target, bytes, len)->hostile = true;
}

/* ---- Arriving ---- */

static struct plant_node *node_at(struct plant *p, const struct endpoint *to)
{
    uint32_t number = (uint32_t)to->address[2] << 8 | to->address[3];
    if (to->address[0] != 172 || number >= p->node_count || to->address[1] != p->nodes[number].moves)
        return NULL;
    struct plant_node *n = &p->nodes[number];
    return n->on && to->port == plant_endpoint(n).port ? n : NULL;
}

/* Whose datagram it is, wherever it seems to come from. */
static bool is_parted(const struct plant *p, const struct plant_flight *flight, const struct plant_node *to)
{
    uint32_t from = (uint32_t)flight->from.address[2] << 8 | flight->from.address[3];
    return p->weather.parted && !flight->hostile && from < p->node_count && p->nodes[from].side != to->side;
}

static void capture(struct plant *p, const struct plant_flight *flight, uint32_t to, bool drew)
{
    struct plant_captured *kept = &p->captured[p->captured_count++ % PLANT_CAPTURED];
    *kept =
        (struct plant_captured){.len = flight->len, .to = to, .answered = drew && flight->bytes[0] <= MESSAGE_RESPONSE};
    memcpy(kept->bytes, flight->bytes, flight->len);
}

void plant_arrive(struct plant *p)
{
    struct plant_flight *flight = pop(p);
    struct plant_node *n = node_at(p, &flight->to);
    if (n && !is_parted(p, flight, n)) {
        uint64_t sent = n->sent;
        plant_datagram(n, &flight->from, flight->bytes, flight->len);
        plant_drain(n);
        if (!flight->hostile && plant_chance(p, flight->bytes[0] <= MESSAGE_RESPONSE ? 255 : 10))
            capture(p, flight, n->number, n->sent != sent);
    }
    free(flight);
}
