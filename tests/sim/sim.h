/* A network of nodes in virtual time, all of it from one seed: what happens, when, and what must be so. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "node.h"
#include "tunnel/cookie.h"

#define SIM_NODES 100
#define SIM_PAIRS_PER_NODE 3
#define SIM_PAIRS (SIM_NODES * SIM_PAIRS_PER_NODE)
#define SIM_CAPTURED 512
#define SIM_MS (SECOND / 1000)

/* How long after the last trouble everything has to work, without a packet lost. A session that only one side still has
 * is noticed after KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + jitter without an answer; the initiation may then have to wait
 * for REKEY_TIMEOUT since the last handshake message, and once more for its own retransmission if it met what was under
 * way. */
#define SIM_HEAL_TIME (30 * SECOND)

struct sim_node {
    struct node node; /* of a node that is off: stopped */
    bool on;
    bool up;
    bool dark;
    bool fixed;     /* never changes its endpoint, so others are configured with it */
    bool remembers; /* persists timestamps */
    uint8_t moves;  /* how often its endpoint changed */
    uint8_t private_key[X25519_SIZE];
    uint8_t public_key[X25519_SIZE];
    uint64_t asleep_until;
    int64_t clock_error; /* of the wall clock, ns */
    uint64_t clock_floor, clock_greatest;
    uint64_t timers_run;     /* since the last calm */
    peer_id peer[SIM_NODES]; /* 0: not configured */
    uint8_t persisted[SIM_NODES][MESSAGE_TIMESTAMP_SIZE];
};

/* Two that are configured as peers, `b` fixed. One-sided: `b` does not know `a`. */
struct sim_pair {
    uint16_t a, b;
    bool one_sided;
    uint8_t key_a, key_b;          /* generations of the preshared key */
    uint8_t activity;              /* of 255 */
    uint32_t arrived_a, arrived_b; /* since healed */
};

struct sim_packet {
    uint16_t from, to, len;
    bool arrived;
    bool when_healed; /* long enough ago */
};

struct sim_flight {
    uint64_t at, order;
    struct endpoint from, to;
    bool hostile; /* from a stranger: must not draw a byte from the dark */
    size_t len;
    uint8_t bytes[];
};

struct sim_captured {
    size_t len;
    uint16_t to;
    bool answered; /* a handshake message that drew what it asks for */
    uint8_t bytes[NODE_DATAGRAM_MAX];
};

struct sim {
    uint64_t seed, random;
    uint64_t now;       /* ns since the beginning */
    uint64_t healed_at; /* UINT64_MAX: in trouble */
    const char *failure;
    struct sim_node nodes[SIM_NODES];
    struct sim_pair pairs[SIM_PAIRS];

    struct sim_packet *packets;
    uint32_t packet_count, packet_room;

    struct sim_flight **flights; /* a heap by (at, order) */
    uint32_t flight_count, flight_room;
    uint64_t flight_order;

    struct { /* chances of 255; ns */
        uint8_t loss, duplicate, misroute;
        uint64_t delay, jitter;
    } weather;

    struct sim_captured captured[SIM_CAPTURED];
    uint32_t captured_count;

    /* For people. */
    uint64_t datagrams, delivered;
};

static inline bool sim_chance(struct sim *s, uint8_t of_255)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return (uint8_t)((s->random * UINT64_C(0x2545F4914F6CDD1D)) >> 56) < of_255;
}

/* The first failure counts. */
static inline void sim_fail(struct sim *s, const char *invariant)
{
    if (!s->failure)
        s->failure = invariant;
}

uint32_t sim_below(struct sim *s, uint32_t limit);

/* network.c: datagrams in flight. */
struct endpoint sim_endpoint(const struct sim *s, uint32_t node);
void sim_send(struct sim *s, const struct endpoint *from, const struct endpoint *to, const uint8_t *bytes, size_t len);
/* From a stranger, without weather. */
void sim_send_hostile(struct sim *s, uint32_t to, const uint8_t *bytes, size_t len);
uint64_t sim_next_flight(const struct sim *s);
void sim_arrive(struct sim *s);
void sim_network_free(struct sim *s);

/* traffic.c: inner packets, and what may become of them. */
void sim_packet_send(struct sim *s, const struct sim_pair *pair, bool from_a);
void sim_packet_arrived(struct sim *s, struct node *n, peer_id from, const uint8_t *bytes, size_t len);

/* trouble.c: what goes wrong, and how it is put right. */
must_check int sim_start(struct sim *s);
void sim_stop(struct sim *s);
void sim_trouble(struct sim *s);
void sim_heal(struct sim *s);
/* Sets a node's clocks to now. */
void sim_clock(struct sim *s, uint32_t node);
bool sim_awake(const struct sim *s, uint32_t node);

#endif
