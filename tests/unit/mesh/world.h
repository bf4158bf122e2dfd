/* A tiny network of meshes in virtual time. Sessions, the state and the engine are played; frames are real. */
#ifndef TESTS_UNIT_MESH_WORLD_H
#define TESTS_UNIT_MESH_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "mesh/mesh.h"
#include "wire/message.h"

#include "nat.h"

#define NODES_MAX 12
#define MAILS_MAX 4096
#define FRAME_DELAY (SECOND / 200)
#define TICK (SECOND / 10)

struct world;

struct node {
    struct world *world;
    struct mesh *mesh;
    struct device_id id;
    uint32_t number;
    bool relay, alive;
    bool drops; /* a relay that answers for itself, and carries nothing */
    /* What its engine was told, by the other's number. */
    enum mesh_path_kind path[NODES_MAX];
    uint32_t via[NODES_MAX];
    uint16_t keepalive[NODES_MAX];
    uint32_t connects[NODES_MAX];
    bool wants[NODES_MAX]; /* has something to send */
    uint64_t wanted_at[NODES_MAX];
    bool permit[NODES_MAX][NODES_MAX];
    /* What its state was told. */
    uint32_t meets, learns, delivers, invites_delivered;
    bool link[NODES_MAX];
    uint64_t sent[NODES_MAX], received[NODES_MAX]; /* frames, by the other's number */
    uint32_t pongs;
    uint64_t last_rtt;
    bool state_is_silent;
    size_t opening_len; /* at a relay: of each opening; 0: 1 */
    /* In a world with a network (world_place). */
    struct underlay endpoint[NODES_MAX]; /* of direct paths, as the engine has it */
    struct underlay candidates[NODES_MAX][FRAME_CANDIDATES_MAX];
    uint32_t candidate_count[NODES_MAX];
    uint64_t spoke_at[NODES_MAX];
    bool talks[NODES_MAX];       /* sends a packet each 100 ms */
    uint32_t said[NODES_MAX];    /* such packets, to the other */
    uint32_t arrived[NODES_MAX]; /* from the other */
    uint64_t heard_aeads[NODES_MAX];
    uint32_t heard_session[NODES_MAX], heards[NODES_MAX];
    uint8_t gate[NODES_MAX][FRAME_GATE_SIZE]; /* of the other, as last heard; zero: none */
};

struct mail {
    uint64_t due;
    enum { MAIL_NONE, MAIL_FRAME, MAIL_DATA, MAIL_MET, MAIL_LEARNED } kind;
    uint32_t from, to, question;
    struct mesh_arrival by;
    size_t len;
    uint8_t bytes[FRAME_MAX];
};

struct world {
    struct crypto *crypto;
    uint64_t now, random;
    struct node nodes[NODES_MAX];
    uint32_t count;
    bool session[NODES_MAX][NODES_MAX]; /* both ends hold it; ours [a][b]: whether a's end does */
    bool allowed[NODES_MAX][NODES_MAX];
    struct mail *mails;
    struct mail staged[64];
    uint32_t introduce_frames; /* seen so far */
    uint32_t drop_introduce;   /* the frame with this number is lost; 0 none */
    uint32_t frames;           /* sent, of all kinds */
    bool has_net;
    struct net net;
    uint32_t sessions; /* made so far */
    uint32_t session_number[NODES_MAX][NODES_MAX];
    bool (*tamper)(struct world *w, uint32_t from, uint32_t to, struct frame *frame); /* false: lost */
};

/* `relays` of them come first. Every node knows every relay, and no other member. Nobody is allowed anything. */
struct world *world_new(uint32_t relays, uint32_t members);
void world_free(struct world *w);
void world_run(struct world *w, uint64_t time);
void world_allow(struct world *w, uint32_t a, uint32_t b, bool yes);
/* a's engine has something for b, which it has as a device, from now on. */
void world_want(struct world *w, uint32_t a, uint32_t b);
/* Whether a packet of a's would arrive at b now. */
bool world_reaches(struct world *w, uint32_t a, uint32_t b);
void world_kill(struct world *w, uint32_t node);
/* With a new mesh, and nothing in it but what it knew at first. */
void world_revive(struct world *w, uint32_t node);
void world_device(struct world *w, uint32_t at, uint32_t other, uint32_t flags);
/* As if `from` had sent it. */
void world_frame(struct world *w, uint32_t from, uint32_t to, const struct frame *frame);
/* From now on there is a network: relays are public, and each member has to be placed, public or at a site, before the
 * world runs; or again, when it moves. */
void world_place(struct world *w, uint32_t node, uint32_t site);
/* a and b want each other, and talk. */
void world_talk(struct world *w, uint32_t a, uint32_t b);
/* The relay at rank 0, 1... for a node. */
uint32_t world_relay_of(struct world *w, uint32_t node, uint32_t rank);

#endif
