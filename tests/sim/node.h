/* A stand-in for the engine: what surrounds one tunnel, in one thread and without a kernel. Runs static steps, keeps
 * packets staged, seals and opens, and hands what leaves to its owner's functions. Time is set by the owner. */
#ifndef TESTS_SIM_NODE_H
#define TESTS_SIM_NODE_H

#include "tunnel/tunnel.h"

#define NODE_PACKET_MAX 1500
#define NODE_DATAGRAM_MAX 1600
#define NODE_HELD_MAX 16

struct node;

/* Where things go. All borrow the bytes. */
struct node_owner {
    void (*send)(struct node *n, const struct endpoint *to, const uint8_t *bytes, size_t len);
    void (*deliver)(struct node *n, peer_id from, const uint8_t *packet, size_t len);
    void (*persist)(struct node *n, const uint8_t *public_key, const uint8_t *timestamp);
};

struct node_staged {
    struct node_staged *next;
    peer_id peer;
    uint32_t len;
    uint8_t packet[];
};

/* How often each kind of thing was done; tests compare before and after. */
struct node_tally {
    uint64_t sends;       /* datagrams, of every kind */
    uint64_t actions;     /* of every kind */
    uint64_t actions_max; /* in one list */
    uint64_t static_steps;
    uint64_t persists;
    uint64_t flushes;
    uint64_t discards;
    uint64_t notices;
    uint64_t links_up;
    uint64_t links_down;
    uint64_t intruders;
    uint64_t gates;  /* our gate key was replaced */
    uint64_t spoke;  /* from elsewhere than a steered path */
    uint64_t frames; /* control frames that came */
};

struct node {
    struct tunnel *tunnel;
    struct crypto *crypto;
    struct reclaim_reader reader;
    uint8_t private_key[X25519_SIZE];
    uint8_t public_key[X25519_SIZE];
    uint8_t second_private_key[X25519_SIZE]; /* of steps whose `local` is 1 */
    uint8_t last_frame[64];                  /* its beginning */
    uint32_t last_frame_len;
    peer_id last_frame_from;
    uint64_t random; /* state of the entropy */
    struct tunnel_time now;
    bool under_load; /* what the tunnel is told with each datagram */
    bool hold_steps; /* static steps wait for node_release_steps */
    uint32_t held_count;
    struct static_step held[NODE_HELD_MAX];
    struct node_staged *staged; /* the oldest first */
    struct node_tally tally;
    const struct node_owner *owner;
    void *context; /* the owner's, as the next one; both outlive a restart */
    uint32_t number;
    uint32_t aeads; /* the owner's, before a start: what it offers for native transport */
    bool dark;
};

/* Starts a tunnel with a fresh key made from `seed` (not 0) and brings it up. 0, or an error and nothing to stop. */
must_check int node_start(struct node *n, const struct node_owner *owner, uint64_t seed, bool dark);
/* As node_start, with this key: the node after a restart. */
must_check int node_start_with_key(struct node *n, const struct node_owner *owner, uint64_t seed, bool dark,
                                   const uint8_t private_key[X25519_SIZE]);
void node_stop(struct node *n);

/* Adds a peer that may use address/cidr, an IPv4 prefix. */
must_check int node_add_peer(struct node *n, const uint8_t public_key[X25519_SIZE], const uint8_t address[4],
                             unsigned cidr, peer_id *out);

/* Events. A datagram passes the same door as in the engine. */
void node_datagram(struct node *n, const struct endpoint *from, const uint8_t *bytes, size_t len);
void node_packet(struct node *n, const uint8_t *packet, size_t len);
/* A control frame into the session with a peer. */
void node_frame(struct node *n, peer_id peer, const uint8_t *frame, size_t len);
/* Runs all timers that are due; false if there is no end to them. */
must_check bool node_timer(struct node *n);
void node_event(struct node *n, enum tunnel_event_kind kind);
void node_notice(struct node *n, const struct tunnel_notice *notice);
void node_release_steps(struct node *n);

/* Configuration, with what it sets off. */
void node_set_endpoint(struct node *n, peer_id peer, const struct endpoint *endpoint);
void node_set_keepalive(struct node *n, peer_id peer, uint16_t seconds);
void node_remove_peer(struct node *n, peer_id peer);
must_check int node_set_key(struct node *n, const uint8_t private_key[X25519_SIZE]);

uint32_t node_staged_count(const struct node *n, peer_id peer);

#endif
