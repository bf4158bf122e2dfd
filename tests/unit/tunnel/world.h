/* Alice, Bob and Carol, each a node, and a wire between them that is in the test's hands. Alice and Bob are peers;
 * Alice knows where Bob is; Bob learns it from her. Carol is a stranger until a test says otherwise. */
#ifndef TESTS_UNIT_TUNNEL_WORLD_H
#define TESTS_UNIT_TUNNEL_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node.h"

#define ms (SECOND / 1000)
#define WIRE_MAX 512

enum who { ALICE, BOB, CAROL, WORLD_NODES };

struct wire {
    struct endpoint from, to;
    size_t len;
    uint8_t bytes[NODE_DATAGRAM_MAX];
};

struct world {
    struct node nodes[WORLD_NODES];
    struct endpoint at[WORLD_NODES];
    peer_id peer[WORLD_NODES][WORLD_NODES]; /* [whose][whom] */
    struct wire wires[WIRE_MAX];            /* in flight, a queue */
    uint32_t wire_head, wire_count;
    uint32_t delivered[WORLD_NODES]; /* inner packets */
    uint32_t sent[WORLD_NODES];      /* datagrams */
    uint8_t type_sent[WORLD_NODES];  /* of the last datagram */
    uint8_t last_packet[NODE_PACKET_MAX];
    uint8_t persisted[WORLD_NODES][MESSAGE_TIMESTAMP_SIZE]; /* the last */
    uint32_t persists[WORLD_NODES];
    bool persisted_before_send[WORLD_NODES]; /* since the last datagram */
};

/* cmocka's setup and teardown; the world is *state. _dark: Bob is dark. */
int world_setup(void **state);
int world_setup_dark(void **state);
int world_teardown(void **state);

/* All clocks go on, with nobody's timers run. */
void world_skip(struct world *w, uint64_t ns);
/* Time goes on from deadline to deadline, with everything in flight delivered at once. */
void world_run(struct world *w, uint64_t ns);
/* As world_run, but nothing that is sent arrives. */
void world_run_cut_off(struct world *w, uint64_t ns);
/* Runs the timers that are due now, without delivering. */
void world_timers(struct world *w);

/* Takes the oldest datagram in flight; false when there is none. */
bool world_take(struct world *w, struct wire *out);
/* The last of those in flight from now on. */
void world_put_back(struct world *w, const struct wire *wire);
/* Takes one that must be there and of this type. */
struct wire world_take_type(struct world *w, enum message_type type);
void world_arrive(struct world *w, const struct wire *wire);
/* Delivers all that is in flight and what it brings forth. */
void world_settle(struct world *w);
void world_drop_all(struct world *w);

/* An inner packet of `len` bytes (20 at least). */
void world_packet(struct world *w, enum who from, enum who to, size_t len);
/* A packet, and all that follows; whether it arrived. */
bool world_passes(struct world *w, enum who from, enum who to);
/* A session between Alice and Bob that Alice began, used by both. */
void world_connect(struct world *w);
/* Makes two peers of each other; the first learns where the second is. */
void world_befriend(struct world *w, enum who a, enum who b);

/* Stops a node and starts it with the same key and its peers of before, at endpoints unknown. */
void world_restart(struct world *w, enum who who);

struct tunnel_counters world_counters(const struct world *w, enum who who);

/* For tests that look inside. Declared in tunnel/internal.h. */
struct peer *world_peer(struct world *w, enum who whose, enum who whom);

#endif
