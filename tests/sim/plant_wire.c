/* Datagrams in flight, the weather, and who listens in. */
#include <stdlib.h>
#include <string.h>

#include "plant.h"

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

static struct plant_flight *launch(struct plant *p, const struct plant_flight *what, const uint8_t *bytes, size_t len)
{
    struct plant_flight *flight = malloc(sizeof(*flight) + len);
    plant_must(flight != NULL, "memory");
    uint64_t jitter = p->weather.jitter ? plant_below(p, (uint32_t)(p->weather.jitter / PLANT_MS)) * PLANT_MS : 0;
    *flight = *what;
    flight->at = p->now + p->weather.delay + p->detour + jitter;
    flight->order = p->order++;
    flight->len = len;
    memcpy(flight->bytes, bytes, len);
    push(p, flight);
    return flight;
}

static bool is_victim(const struct endpoint *to)
{
    return to->family == ENDPOINT_IPV4 && memcmp(to->address, plant_victim(0).address, 3) == 0;
}

struct endpoint plant_victim(uint32_t which)
{
    return (struct endpoint){
        .address = {198, 51, 100, (uint8_t)(which % PLANT_VICTIMS)}, .port = 5060, .family = ENDPOINT_IPV4};
}

/* What one node may send to where nobody ever answered from, as docs/PROTOCOL.md section 18 says: so much to find out
 * whether there is a way; and whatever else there is to say until it turns out that there is none. */
static void toward_victim(struct plant_node *from, const struct endpoint *to, size_t len)
{
    struct plant *p = from->plant;
    struct plant_aim *aim = &from->aims[to->address[3] % PLANT_VICTIMS];
    if (p->now >= aim->last + PLANT_AIM_TIME)
        *aim = (struct plant_aim){0};
    aim->last = p->now;
    aim->probes += p->probing;
    aim->others += !p->probing;
    p->victim_bytes += len;
    p->victim_datagrams++;
    if (!from->hostile && (aim->probes > PLANT_AIM_MAX || aim->others > PLANT_AIM_OTHERS_MAX))
        plant_fail(p, from, "no node can be aimed at who is no member");
}

static bool is_relay(const struct plant_node *n)
{
    return n->invite.relay;
}

/* Somebody on the way is quicker, and forges the source. Relays follow whoever is authentic, as WireGuard does.
 * Not for hostile members, who read where the victim is: who reads there and sends from there is there. */
static void race(struct plant *p, const struct plant_flight *what, const uint8_t *bytes, size_t len)
{
    struct plant_flight copy = *what;
    struct plant_node *to = plant_nat_in(p, what->site, &what->from, &what->to);
    if (!to || is_relay(to) || is_relay(&p->nodes[what->sender]) || p->nodes[what->sender].hostile ||
        bytes[0] < MESSAGE_TRANSPORT)
        return;
    copy.from = plant_victim(plant_below(p, PLANT_VICTIMS));
    copy.target = to->number;
    uint64_t delay = p->weather.delay;
    p->weather.delay = 0;
    launch(p, &copy, bytes, len);
    p->weather.delay = delay;
}

void plant_send(struct plant_node *from, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
    struct plant *p = from->plant;
    struct plant_flight what = {.to = *to,
                                .sender = (uint16_t)from->number,
                                .target = PLANT_NOBODY,
                                .site = plant_is_private(to) ? from->site : 0};
    if (p->relay_is_quiet && from->number == PLANT_HOSTILE_RELAY)
        return;
    p->datagrams++;
    from->sent++;
    plant_must(len <= PLANT_DATAGRAM_MAX, "a datagram is no longer than any may be");
    if (memmem(bytes, len, plant_canary, sizeof(plant_canary)))
        plant_fail(p, from, "no plaintext is on the wire");
    if (is_victim(to)) {
        toward_victim(from, to, len);
        plant_overheard(from, to, bytes, len);
        return;
    }
    if (!plant_is_network(to) && !plant_is_private(to)) {
        p->stranger_bytes += len;
        plant_fail(p, from, "no byte goes to a stranger");
        return;
    }
    if (!plant_nat_out(from, to, &what.from))
        return;
    if (plant_chance(p, p->weather.misroute))
        what.from.port = (uint16_t)(64000 + plant_below(p, 1000));
    if (plant_chance(p, p->weather.loss))
        return;
    if (plant_chance(p, p->weather.races))
        race(p, &what, bytes, len);
    launch(p, &what, bytes, len);
    while (plant_chance(p, p->weather.duplicate))
        launch(p, &what, bytes, len);
}

/* To wherever the node is, whatever NAT is before it. */
void plant_send_hostile(struct plant *p, uint32_t to, const uint8_t *bytes, size_t len)
{
    struct plant_flight what = {
        .from = {.address = {203, 0, 113, (uint8_t)plant_below(p, 250)}, .port = 666, .family = ENDPOINT_IPV4},
        .to = plant_endpoint(&p->nodes[to]),
        .target = to,
        .sender = UINT16_MAX};
    p->hostile_datagrams++;
    launch(p, &what, bytes, len)->hostile = true;
}

/* Somebody who listens where the victim is has a member answer in its place. */
void plant_send_to(struct plant_node *from, const struct plant_node *to, const uint8_t *bytes, size_t len)
{
    struct plant_flight what = {
        .from = plant_endpoint(from), .to = plant_endpoint(to), .target = to->number, .sender = (uint16_t)from->number};
    launch(from->plant, &what, bytes, len)->hostile = true;
}

/* ---- Arriving ---- */

static bool is_cut(const struct plant *p, const struct plant_node *a, const struct plant_node *b)
{
    bool parted = p->weather.parted && a->side != b->side;
    bool away = a->site != b->site && (p->sites[a->site].cut || p->sites[b->site].cut);
    bool hub = p->weather.hub_is_cut && (a->number == PLANT_HUB || b->number == PLANT_HUB);
    return parted || away || hub || plant_is_blocked(p, a, b);
}

/* Whose datagram it is, wherever it seems to come from. */
static bool is_parted(const struct plant *p, const struct plant_flight *flight, const struct plant_node *to)
{
    return !flight->hostile && flight->sender < p->node_count && is_cut(p, &p->nodes[flight->sender], to);
}

static void capture(struct plant *p, const struct plant_flight *flight, uint32_t to, bool drew)
{
    struct plant_captured *kept = &p->captured[p->captured_count++ % PLANT_CAPTURED];
    *kept =
        (struct plant_captured){.len = flight->len, .to = to, .answered = drew && flight->bytes[0] <= MESSAGE_RESPONSE};
    memcpy(kept->bytes, flight->bytes, flight->len);
}

static struct plant_node *whose(struct plant *p, const struct plant_flight *flight)
{
    struct plant_node *n = flight->target == PLANT_NOBODY ? plant_nat_in(p, flight->site, &flight->from, &flight->to)
                                                          : &p->nodes[flight->target];
    return n && n->on && !is_parted(p, flight, n) ? n : NULL;
}

void plant_arrive(struct plant *p)
{
    struct plant_flight *flight = pop(p);
    struct plant_node *n = whose(p, flight);
    if (n) {
        uint64_t sent = n->sent;
        plant_datagram(n, &flight->from, flight->bytes, flight->len);
        plant_drain(n);
        if (!flight->hostile && plant_chance(p, flight->bytes[0] <= MESSAGE_RESPONSE ? 255 : 10))
            capture(p, flight, n->number, n->sent != sent);
    }
    free(flight);
}
