/* Engines without TUN, over the loopback interface: each has its own threads, and the test runs their control loops. */
#ifndef TESTS_UNIT_ENGINE_NODES_WORLD_H
#define TESTS_UNIT_ENGINE_NODES_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "net/udp.h"
#include "wire/frame.h"

#define NODES 4
#define STEPS_MAX 300
#define PATIENCE (5 * SECOND)
#define SHORT_WHILE (SECOND / 5)

enum who { ALICE, RELAY, BOB, CAROL };

struct node {
    struct engine *engine;
    struct crypto *crypto;
    uint8_t private_key[X25519_SIZE], public_key[X25519_SIZE];
    uint8_t second_private_key[X25519_SIZE], second_public_key[X25519_SIZE];
    uint64_t random;
    int fds[2];
    uint16_t port;
    peer_id peer[NODES];
    uint32_t frames, links_up, links_down, wanted, intruders;
    peer_id last_from, last_link, last_wanted;
    uint8_t last[FRAME_MAX];
    size_t last_len;
    bool (*holds)(const uint8_t *bytes, size_t len); /* what every frame must be; NULL: anything */
    bool spoiled;                                    /* one was not */
    struct engine_arrival last_by;
    uint32_t spoke; /* from elsewhere than where it is sent to */
    peer_id last_spoke;
    struct endpoint spoke_from;
    uint32_t local_told, local_count;
    struct endpoint local[8];
    bool hold_steps; /* they wait, and are answered the last first */
    uint32_t held;
    struct static_step steps[STEPS_MAX];
};

struct world {
    struct node nodes[NODES];
};

/* cmocka's setup and teardown; the world is *state. */
int open_world(void **state);
int close_world(void **state);

void run_step(struct node *n, struct static_step *step);
/* One turn of its loop, and of the steps that it began. */
void turn(struct node *n);
/* Until `*counter` has come to `count`. */
bool comes(struct world *w, const uint32_t *counter, uint32_t count, uint64_t patience);
void pass_time(struct world *w, uint64_t time);

struct endpoint at(const struct node *n);
/* Tells one where the other is. */
void introduce(struct world *w, enum who who, enum who to);
void send_frame(struct world *w, enum who from, enum who to, uint8_t what, size_t len);
void send_bytes(struct world *w, enum who from, enum who to, const uint8_t *bytes, size_t len);
struct engine_counters counters(const struct world *w, enum who who);
/* Alice and Bob have sessions with the relay, which lets them talk, and are told so. */
void make_relayed_world(struct world *w);

#endif
