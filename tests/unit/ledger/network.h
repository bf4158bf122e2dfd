/* A small network in virtual time: replicas with an imitated engine and disk, a real sequencer beside the hub. Whether
 * two nodes can speak follows from what their replicas published, as in the real engine. */
#ifndef TESTS_LEDGER_NETWORK_H
#define TESTS_LEDGER_NETWORK_H

#include "identity/ticket.h"
#include "ledger/replica.h"
#include "ledger/sequencer.h"

#define NET_SECOND UINT64_C(1000000000)
#define NET_TIME UINT64_C(1800000000)
#define NET_NODES 16
#define NET_PUBLISHED 64

enum net_group { NET_OPERATORS = 1, NET_SENSORS = 2, NET_BROKERS = 4, NET_LOGGERS = 8 };

struct net_bytes {
    uint8_t *bytes;
    size_t len;
    uint64_t time;
    enum fold_verdict verdict;
};
struct net_log {
    struct net_bytes *items;
    uint32_t count;
};

/* What an invite is made of. */
struct net_invite {
    const char *name;
    uint8_t number; /* of its seed */
    uint8_t ipv4;   /* last byte; 0: none */
    uint32_t groups;
    bool relay, controller, scoped;
    uint64_t join_before, member_until; /* s after NET_TIME; 0: an hour; for good */
    /* made: */
    uint8_t statement[1024], opening[1024];
    size_t statement_len, opening_len;
    uint8_t hash[SHA256_SIZE];
    struct device_id id;
};

struct net_node {
    struct net *net;
    const char *name;
    uint8_t number; /* of its keys */
    bool on, has_sequencer, has_invite_key;
    uint8_t static_public[X25519_SIZE], invite_public[X25519_SIZE];
    uint32_t slot; /* 1: it initiates under the invite's key */
    struct replica *replica;
    struct replica_ops ops;
    struct replica_config config;
    struct replica_device published[NET_PUBLISHED];
    uint32_t published_count;
    struct grant out[NET_PUBLISHED][4], in[NET_PUBLISHED][4];
    struct replica_self self;
    /* the disk */
    struct net_log entries, openings, take_aways, outbox;
    struct net_bytes base, head;
    uint64_t floor;
    /* what was said */
    uint32_t parted; /* pairs that may meet no longer */
    uint32_t evidence, seeds_erased, problems, frames_sent;
    struct {
        uint8_t statement[SHA256_SIZE];
        enum fold_verdict verdict;
        uint64_t index;
    } outcomes[64];
    uint32_t outcome_count;
    bool joined_called;
    enum fold_verdict joined;
    enum replica_join_reason reason;
    struct ticket ticket;
    bool linked[NET_NODES];
    struct device_id link_id[NET_NODES];      /* by which it was linked */
    uint8_t link_key[NET_NODES][X25519_SIZE]; /* under which */
};

struct net_message {
    struct net_message *next;
    uint64_t due;
    struct net_node *to;
    struct device_id from;
    bool invite, to_sequencer;
    size_t len;
    uint8_t frame[FRAME_MAX];
};

struct net {
    struct crypto *c;
    struct network_id network;
    struct net_node nodes[NET_NODES];
    uint32_t node_count;
    struct sequencer *sequencer;
    bool sequencer_off;
    bool members_meet; /* those that know each other have sessions, not only with relays */
    uint64_t now, wall;
    uint32_t loss;                /* percent */
    bool ticket_begins_elsewhere; /* its first relay is one that nobody reaches */
    uint64_t random;
    struct net_message *messages;
    struct net_invite operator_invite, hub_invite;
    uint8_t founding[6][2048];
    size_t founding_len[6];
    uint64_t policy_version;
    uint8_t policy_hash[SHA256_SIZE];
    uint32_t salt;
    uint8_t last_about[SHA256_SIZE]; /* the statement that net_about made last */
    /* May be set: sees, and may alter or swallow (false), each frame between nodes. */
    bool (*tap)(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame, size_t *len);
    /* While set, it answers the hub's gets in the sequencer's place. */
    const struct net_fake *fake;
};

/* A controller that sequences what it likes: blobs for gets of the ledger and of openings. */
struct net_fake {
    struct net_bytes ledger, openings;
    uint64_t to;
};

/* Founded: nodes[0] is the operator's, nodes[1] the hub. Not begun to run yet. */
struct net *net_new(void);
void net_free(struct net *net);
void net_run(struct net *net, double seconds);
#define NET_OPERATOR(net) (&(net)->nodes[0])
#define NET_HUB(net) (&(net)->nodes[1])

/* A tap: openings that are served get lost. */
bool net_swallow_openings(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame, size_t *len);

/* A tap: the hub says nothing but heads to anyone but relays, and hears no offers from the operator's node. */
bool net_part_operator_from_hub(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame,
                                size_t *len);

void net_make_invite(struct net *net, struct net_invite *invite);
/* Made and handed in at the operator's node. */
void net_invite(struct net *net, struct net_invite *invite);
/* A device that begins to join with it. */
struct net_node *net_join(struct net *net, const struct net_invite *invite, uint8_t number);
/* Through this relay instead of the hub. */
struct net_node *net_join_at(struct net *net, const struct net_invite *invite, uint8_t number, struct net_node *relay);
/* Invited, joined and up. */
struct net_node *net_member(struct net *net, struct net_invite *invite, uint8_t number);
/* Ends the node and starts it from its disk. */
void net_restart(struct net_node *node);
/* revoke, isolate, uninvite; a submission that the caller frees. */
struct net_bytes net_about(struct net *net, enum statement_kind kind, const struct net_invite *invite);
/* Lifts the isolation that a submission of net_about made. */
struct net_bytes net_restore(struct net *net, const uint8_t isolate[SHA256_SIZE]);
/* Of the only isolation in force. */
struct net_bytes net_give_back(struct net *net, const struct net_invite *invite);
struct net_rule {
    uint32_t from, to; /* enum net_group */
    uint16_t port;
};
/* A policy of these rules, as a submission. */
struct net_bytes net_policy(struct net *net, const struct net_rule *rules, uint32_t count);
void net_submit(struct net_node *node, struct net_bytes submission); /* and frees it */
struct subject net_subject(enum net_group group);

const struct replica_device *net_published(const struct net_node *node, const struct device_id *id);
bool net_has_problem(const struct net_node *node, enum replica_problem_kind kind);
uint64_t net_index(const struct net_node *node); /* of its fold */
/* A signed head of the sequencer's key. */
void net_sign(struct net *net, struct signed_head *head, uint8_t out[SIGNED_HEAD_SIZE]);
/* Makes a fake that holds these entries behind the hub's, with these openings, and tells the hub its signed head.
 * `spoil` may alter the head before it is signed. */
struct net_entry {
    const uint8_t *bytes;
    size_t len;
    const uint8_t *opening; /* NULL: none */
    size_t opening_len;
};
void net_fake_begin(struct net *net, struct net_fake *fake, const struct net_entry *entries, uint32_t count,
                    void (*spoil)(struct signed_head *head));
void net_fake_end(struct net *net, struct net_fake *fake);
#define NET_NEXT_SEQUENCER 5
void net_sign_by(struct net *net, uint8_t number, struct signed_head *head, uint8_t out[SIGNED_HEAD_SIZE]);
/* A root that continues there and makes NET_NEXT_SEQUENCER the sequencer; a submission. */
struct net_bytes net_replace(struct net *net, const struct signed_head *last);
void net_send(struct net_node *to, const struct device_id *from, const struct frame *frame);

#endif
