/* A whole network in virtual time, all of it from one seed: every node is the pure parts joined as nightjard joins them
 * (tunnel, mesh, flows, replica; beside the hub the sequencer), with a disk that loses what was not synced. What
 * happens, when, and what must be so. */
#ifndef TESTS_SIM_PLANT_H
#define TESTS_SIM_PLANT_H

#include "identity/ticket.h"
#include "ledger/replica.h"
#include "ledger/sequencer.h"
#include "mesh/mesh.h"
#include "policy/flow.h"
/* Both the ledger and the tunnel have a struct of this name, and no file of src/ sees both. */
#define opening tunnel_opening
#include "tunnel/tunnel.h"
#undef opening

#define PLANT_NODES 320
#define PLANT_NODES_USUAL 300
#define PLANT_GROUPS 8u
#define PLANT_RULES_MAX 24u
#define PLANT_POLICIES_MAX 512u
#define PLANT_PEERS_MAX 1024u
#define PLANT_SEEN_MAX 1024u
#define PLANT_GATES_MAX 512u
#define PLANT_SITES 120u /* 0: in the open */
#define PLANT_SITE_NODES 4u
#define PLANT_VICTIMS 4u
#define PLANT_AIM_MAX 12u /* datagrams that a node may be made to send to one of them, */
#define PLANT_AIM_OTHERS_MAX 100u
#define PLANT_AIM_TIME (30 * SECOND) /* until it sent nothing there for so long */
#define PLANT_CAPTURED 256u
#define PLANT_DATAGRAM_MAX 1600u
#define PLANT_PAIRS 96u
#define PLANT_STAGED_OF_ONE 128u /* packets for one peer */
#define PLANT_BYTES_KEPT (1u << 20)
#define PLANT_HEAP_OF_ONE (2u << 20) /* a node of this simulation, with its disk */
#define PLANT_HEAP_OF_ALL (64u << 20)
#define PLANT_OUTBOX_MAX 64u
#define PLANT_ENTRIES_MAX 4096u
#define PLANT_PORT_OF_PAIRS 2000u
#define PLANT_PORT_OF_ROADS 3000u
#define PLANT_ROADS 48u
#define PLANT_MS (SECOND / 1000)
#define PLANT_START (1000 * SECOND)       /* of the monotonic clock */
#define PLANT_WALL (UINT64_C(1800000000)) /* s since 1970, then */
#define PLANT_NOBODY UINT32_MAX

/* Who is who by number; the rest are members. */
enum { PLANT_OPERATOR = 0, PLANT_HUB = 1, PLANT_FIRST_RELAY = 2, PLANT_FIRST_MEMBER = 5 };
#define PLANT_HOSTILE_RELAY 4u

struct plant;
struct plant_node;

struct plant_bytes {
    uint8_t *bytes;
    size_t len;
};

enum plant_nat_kind {
    PLANT_OPEN,      /* none */
    PLANT_FULL_CONE, /* one mapping for all; lets everybody in */
    PLANT_ADDRESS,   /* one mapping for all; lets in hosts that were sent to */
    PLANT_PORT,      /* the same, and only from the port that was sent to */
    PLANT_SYMMETRIC, /* one for each destination, which alone is let in */
    PLANT_NAT_KINDS
};

struct plant_mapping;

struct plant_site {
    enum plant_nat_kind kind;
    bool hairpins, cut; /* cut: from the world */
    uint8_t moves;      /* how often its address changed */
    uint64_t timeout;   /* of mappings, since something went out */
    uint16_t next_port;
    struct plant_mapping *mappings; /* owned */
};

/* What a node sent to one victim. */
struct plant_aim {
    uint32_t probes, others; /* initiations to candidates, probes and their answers; what was sent there as to a peer */
    uint64_t last;
};

/* An invite as the operator made it, and what the operator said about it since. */
struct plant_invite {
    char name[NAME_MAX_LEN + 1];
    uint8_t seed[SEED_SIZE];
    struct invite_keys keys;
    uint32_t groups; /* bits */
    uint8_t ipv4[4];
    bool relay, controller;
    uint8_t statement[1024], opening[2048];
    size_t statement_len, opening_len;
    uint8_t hash[SHA256_SIZE];
    struct device_id id;
    bool made, said_isolate, said_revoke; /* ever */
    bool isolated, revoked;               /* as it will be when all is in */
    uint8_t isolate[SHA256_SIZE];         /* the latest */
};

/* What the network was told to allow, by version. */
struct plant_rule {
    struct subject from, to;
    uint8_t protocol;
    uint16_t low, high;
};
struct plant_policy {
    uint32_t count;
    struct plant_rule rules[PLANT_RULES_MAX];
    uint8_t hash[SHA256_SIZE];
};

/* ---- What is kept ---- */

enum kept_in { KEPT_IN_ENTRIES, KEPT_IN_OPENINGS, KEPT_IN_TAKE_AWAYS, KEPT_AS_BASE, KEPT_AS_HEAD, KEPT_AS_FLOOR };
struct plant_record {
    struct plant_record *next;
    enum kept_in where;
    uint64_t index, time;
    enum fold_verdict verdict;
    size_t len;
    uint8_t bytes[];
};
/* In order of being written. */
struct plant_records {
    struct plant_record *first, **end;
};
struct plant_disk {
    struct plant_records entries, openings, take_aways, unsynced;
    struct plant_record *base, *head;
    uint64_t floor;
};

/* ---- The engine's part ---- */

struct plant_peer {
    peer_id peer;
    struct device_id id;
    uint32_t flags;
    uint8_t static_key[X25519_SIZE];
    uint8_t ipv6[16], ipv4[4];
    bool has_ipv4, has_addresses, seen, relay;
    struct peer_grants grants;
    struct grant *list; /* owned; out and then in */
    uint64_t wanted_at;
    struct endpoint candidates[8]; /* where its initiations go, too */
    uint32_t candidate_count;
};

struct plant_gate {
    uint8_t static_key[X25519_SIZE];
    uint8_t gate[MESSAGE_COOKIE_SIZE];
};

struct plant_staged {
    struct plant_staged *next;
    peer_id peer;
    uint64_t at;
    uint32_t len;
    uint8_t packet[];
};

/* What one part says to another; nothing is ever called back into from where it called. */
struct plant_job {
    struct plant_job *next;
    void (*run)(struct plant_node *n, const struct plant_job *j);
    peer_id peer;
    struct device_id id;
    uint64_t number;
    uint32_t session;
    bool flag;
    size_t len, second_len;
    uint8_t bytes[];
};

struct plant_seen {
    uint8_t key[X25519_SIZE];
    uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE];
};

struct plant_node {
    struct plant *plant;
    uint32_t number;
    bool on, member; /* has joined: begins as a member */
    bool joining, join_ended;
    bool hostile;
    uint8_t moves; /* how often its endpoint changed */
    uint8_t host;  /* at its site */
    uint16_t site;
    uint8_t side;        /* of a partition */
    int64_t clock_error; /* s */
    bool was_ahead;      /* it has called under a clock of 2100, and its timestamps never go back */
    uint64_t due;        /* when something of it has a timer */

    /* For life. */
    uint8_t private_key[X25519_SIZE], public_key[X25519_SIZE];
    uint8_t signing_seed[ED25519_SEED_SIZE], signing_public[ED25519_PUBLIC_SIZE];
    struct plant_invite invite;
    bool has_seed;
    struct ticket ticket;
    uint8_t ipv6[16];

    /* Disk. */
    struct plant_disk disk;
    struct plant_seen seen[PLANT_SEEN_MAX];
    uint32_t seen_count;
    uint64_t own_time, own_durable;           /* ns */
    struct plant_gate gates[PLANT_GATES_MAX]; /* of others */
    uint32_t gate_count;
    uint8_t gate[MESSAGE_COOKIE_SIZE]; /* its own */
    bool has_gate;

    /* The engine's. */
    struct tunnel *tunnel;
    struct reclaim_reader reader;
    struct mesh *mesh;
    struct flow_table *flows;
    uint64_t random, grants_version;
    struct plant_peer *peers;
    uint32_t peer_count;
    struct plant_staged *staged;
    struct plant_job *jobs, **jobs_end;
    struct replica_self self;
    bool has_self;
    uint32_t slot;
    uint8_t (*permit)[PLANT_NODES]; /* at a relay */
    bool member_gone;
    uint64_t ungated_full_at; /* src/engine/admit.c */
    uint64_t wanted_second;
    uint32_t wanted_count;
    uint64_t sent;    /* datagrams */
    uint64_t checked; /* the last index that was compared, + 1 */
    struct plant_aim aims[PLANT_VICTIMS];
    bool heard_of, had_taken; /* of who was taken away last; it was its peer */

    /* The state's. */
    struct replica *replica;
    struct replica_ops ops;
};

/* ---- The world ---- */

struct plant_flight {
    uint64_t at, order;
    struct endpoint from, to;
    uint32_t target;       /* PLANT_NOBODY: whoever is at `to` */
    uint16_t sender, site; /* site: where a private `to` is */
    bool hostile;
    size_t len;
    uint8_t bytes[];
};

struct plant_captured {
    size_t len;
    uint32_t to;
    bool answered;
    uint8_t bytes[PLANT_DATAGRAM_MAX];
};

struct plant_packet {
    uint16_t from, to, sport, dport, claimed; /* claimed: whose address it came under */
    bool ipv6, reply, forged, answer;
    uint8_t arrived; /* times */
    uint64_t at;     /* when it was sent */
};

/* Who try to speak once all is healed. */
struct plant_pair {
    uint16_t from, to, port;
    uint8_t protocol;
    bool allowed, there, back;
};

/* Two who speak in a healed network. */
struct plant_road {
    uint16_t from, to, port;
    bool fresh, broken, limited; /* they had no session before; no datagram passes directly; by the budget */
    uint64_t met, direct;        /* 0: not yet */
};

/* Flaws put in on purpose, so that the invariants are seen to hold something. */
enum plant_flaw {
    PLANT_SOUND,
    PLANT_NO_POLICY,       /* a node delivers whatever comes */
    PLANT_PLAINTEXT,       /* a node sends a packet as it is */
    PLANT_DEAF,            /* a node never hears of a new head */
    PLANT_FORGETFUL,       /* timestamps are not kept over restarts, and replays get through */
    PLANT_ANY_SIGNER,      /* a statement of somebody else counts as the operator's */
    PLANT_NO_BUDGET,       /* probes go out again and again */
    PLANT_FOLLOWS,         /* who speaks from elsewhere is sent to there, whether anything answers from there or not */
    PLANT_KEEPS_TO_ITSELF, /* members do not pass on what is taken away */
    PLANT_SAME_GATE,       /* the gate key stays when somebody who knows it is taken away */
    PLANT_KEEPS_PERMITS,   /* a relay goes on passing datagrams of who was taken away */
    PLANT_ANY_WAY,         /* an answer counts by whatever way it came */
    PLANT_FLAWS
};

struct plant {
    uint64_t seed, random, now, order;
    struct crypto *c;
    const char *failure;
    char failure_text[300];
    enum plant_flaw flaw;
    uint32_t node_count;
    struct plant_node *nodes;
    bool healed, verbose;

    struct network_id network;
    uint8_t owner_seed[ED25519_SEED_SIZE], role_seed[ED25519_SEED_SIZE], scoped_seed[ED25519_SEED_SIZE],
        sequencer_seed[ED25519_SEED_SIZE];
    struct sequencer *sequencer;
    struct plant_records store; /* the controller's: statements, each followed by its openings */
    bool store_fails;
    struct plant_outbox { /* the operator's, on disk until it is known what became of it */
        struct plant_bytes submission;
        uint8_t statement[SHA256_SIZE];
    } outbox[PLANT_OUTBOX_MAX];
    uint32_t outbox_count;
    struct subject groups[PLANT_GROUPS];
    struct plant_policy policies[PLANT_POLICIES_MAX]; /* by version */
    uint64_t policy_version;
    uint64_t nonce;
    struct { /* by index: the first that was seen there */
        bool known;
        uint8_t head[SHA256_SIZE], root[SHA256_SIZE];
    } folds[PLANT_ENTRIES_MAX];

    struct { /* chances of 255; ns */
        uint8_t loss, duplicate, misroute, races;
        uint64_t delay, jitter;
        bool parted, hub_is_cut;
    } weather;
    bool probing;    /* what is being sent goes to a candidate */
    uint64_t detour; /* ns more, where a relay wants it */
    struct plant_site sites[PLANT_SITES];
    struct plant_flight **flights;
    uint32_t flight_count, flight_room;
    struct plant_captured captured[PLANT_CAPTURED];
    uint32_t captured_count;
    bool relay_is_hostile, relay_is_quiet; /* the hostile one; it says nothing at all */

    struct plant_packet *packets;
    uint32_t packet_count, packet_room;
    struct plant_pair pairs[PLANT_PAIRS];
    uint32_t pair_count;
    struct plant_road roads[PLANT_ROADS];
    uint32_t road_count;
    bool roads_broken;
    const struct plant_node *taken; /* away, the last one */
    uint64_t taken_at, taken_by_all_at;

    uint64_t direct_roads, all_roads;
    uint64_t victim_datagrams, victim_bytes;
    uint64_t datagrams, native, gated, delivered, refused, forwarded, stranger_bytes, hostile_datagrams, restarts;
};

/* The first failure counts. `what` is static. */
void plant_fail(struct plant *p, const struct plant_node *n, const char *what);
/* What can only go wrong for want of memory, or in this program itself. */
void plant_must(bool holds, const char *what);

uint32_t plant_below(struct plant *p, uint32_t limit);
static inline bool plant_chance(struct plant *p, uint32_t of_255)
{
    return plant_below(p, 255) < of_255;
}
void plant_fill(struct plant *p, uint8_t *out, size_t len);
uint64_t plant_monotonic(const struct plant *p);
uint64_t plant_wall(const struct plant_node *n); /* s */
/* The node whose device (or invite) this is, or PLANT_NOBODY. */
uint32_t plant_number(const struct plant *p, const struct device_id *id);

/* plant_nat.c: where nodes are. */
struct endpoint plant_endpoint(const struct plant_node *n); /* on its own network */
bool plant_is_private(const struct endpoint *e);
bool plant_is_network(const struct endpoint *e); /* a member may be there */
/* How the datagram is seen on its way; false: it goes nowhere. */
bool plant_nat_out(struct plant_node *from, const struct endpoint *to, struct endpoint *seen);
/* Whom it reaches; NULL: nobody. `site`: where a private `to` is. */
struct plant_node *plant_nat_in(struct plant *p, uint32_t site, const struct endpoint *from, const struct endpoint *to);
void plant_make_sites(struct plant *p);
void plant_place(struct plant *p, struct plant_node *n); /* anywhere */
void plant_site_forget(struct plant_site *s);
/* Whether there is a way between two nodes that no relay is part of. */
bool plant_may_meet(const struct plant *p, const struct plant_node *a, const struct plant_node *b);

/* plant_wire.c: datagrams in flight. */
struct endpoint plant_victim(uint32_t which);
void plant_send(struct plant_node *from, const struct endpoint *to, const uint8_t *bytes, size_t len);
void plant_send_hostile(struct plant *p, uint32_t to, const uint8_t *bytes, size_t len);
/* By a way that no NAT is on. */
void plant_send_to(struct plant_node *from, const struct plant_node *to, const uint8_t *bytes, size_t len);
uint64_t plant_next_flight(const struct plant *p);
void plant_arrive(struct plant *p);
void plant_wire_free(struct plant *p);

/* plant_engine.c: tunnel and flows. */
must_check int plant_engine_start(struct plant_node *n);
void plant_engine_stop(struct plant_node *n);
struct plant_peer *plant_peer_by_id(struct plant_node *n, const struct device_id *id);
struct plant_peer *plant_peer_by_peer(struct plant_node *n, peer_id peer);
void plant_datagram(struct plant_node *n, const struct endpoint *from, const uint8_t *bytes, size_t len);
/* In the session that there is now, by this path, whatever is in use. */
void plant_into_path(struct plant_node *n, peer_id peer, const struct endpoint *by, const uint8_t *packet, size_t len);
/* From the node's own programs; `police`: as an honest engine does. */
void plant_packet(struct plant_node *n, const uint8_t *packet, size_t len, bool police);
/* Into the session with a peer, whatever it is. */
void plant_into_session(struct plant_node *n, peer_id peer, const uint8_t *packet, size_t len);
void plant_flush(struct plant_node *n, peer_id peer, bool keepalive);
void plant_actions(struct plant_node *n, struct tunnel_actions *actions);
void plant_engine_timer(struct plant_node *n);
struct tunnel_time plant_time(const struct plant_node *n);
/* keys: a step, and what becomes of it. */
void plant_step(struct plant_node *n, struct static_step *step);

/* plant_mesh.c: between mesh and tunnel. */
void plant_connect(struct plant_node *n, peer_id peer, bool anew);
void plant_run_frame(struct plant_node *n, const struct plant_job *j);
struct plant_gate *plant_gate_of(struct plant_node *n, const uint8_t key[X25519_SIZE]); /* zero: not known */
uint32_t plant_aeads(const struct plant_node *n);

/* plant_join.c: between mesh, tunnel and replica. */
extern const struct mesh_ops plant_mesh_ops;
extern const struct replica_ops plant_replica_ops;
void plant_post(struct plant_node *n, void (*run)(struct plant_node *n, const struct plant_job *j),
                const struct plant_job *what, const void *bytes, size_t len);
/* Until nothing waits; then the node's due time is known. */
void plant_drain(struct plant_node *n);
void plant_linked(struct plant_node *n, peer_id peer, bool up);
void plant_intruded(struct plant_node *n, peer_id peer);
void plant_framed(struct plant_node *n, peer_id from, const struct endpoint *by, uint32_t session, const uint8_t *frame,
                  size_t len);
void plant_spoke(struct plant_node *n, peer_id peer, const struct endpoint *from);
/* Where it is on its own network, as its interfaces say. */
void plant_tell_local(struct plant_node *n);
void plant_tell_gate(struct plant_node *n);
void plant_steer(struct plant_node *n, const struct plant_peer *known);
void plant_wanted(struct plant_node *n, peer_id peer, const uint8_t *address, size_t len);
void plant_apply_keys(struct plant_node *n);
void plant_timers(struct plant_node *n);

/* plant_node.c: life and disk of a node, and of the controller. */
void plant_node_start(struct plant_node *n);
void plant_node_join(struct plant_node *n);
/* `crash`: what was not synced is lost. */
void plant_node_stop(struct plant_node *n, bool crash);
void plant_keep(struct plant_node *n, const struct plant_record *what, const uint8_t *bytes);
void plant_sync(struct plant_node *n);
void plant_node_free(struct plant_node *n);
void plant_sequencer_start(struct plant *p);
void plant_sequencer_stop(struct plant *p);
void plant_records_put(struct plant_records *r, const struct plant_record *what, const uint8_t *bytes);
void plant_records_free(struct plant_records *r);

/* plant_people.c: what the operator does. */
void plant_found(struct plant *p);
void plant_make_invite(struct plant *p, struct plant_node *n);
void plant_invite(struct plant *p, struct plant_node *n);
/* False: the operator's node knows no relay, or no head, yet. */
must_check bool plant_give_ticket(struct plant *p, struct plant_node *n);
void plant_publish(struct plant *p);
void plant_take_away(struct plant *p, struct plant_node *n, enum statement_kind kind);
/* The operator says it, and another node is handed the same at once. */
void plant_take_away_at(struct plant *p, struct plant_node *at, struct plant_node *n, enum statement_kind kind);
void plant_restore(struct plant *p, struct plant_node *n);
size_t plant_join_statement(struct plant *p, const struct plant_node *n, const uint8_t invite[SHA256_SIZE],
                            const struct invite_keys *keys, bool sequences, uint8_t *out, size_t capacity);
/* Signs with any seed; a submission, freed by the caller. */
struct plant_bytes plant_signed_submission(struct plant *p, const struct statement *s, const uint8_t *seed);
/* At any node; consumed. */
void plant_submit(struct plant_node *n, struct plant_bytes submission);
/* At the operator's: all that waits in its outbox; and what became of one. */
void plant_knock(struct plant *p);
void plant_outcome(struct plant *p, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict);

/* plant_oracle.c: what must be so, found the slow way. */
bool plant_allows(const struct plant *p, uint64_t version, uint32_t from, uint32_t to, uint8_t protocol, uint16_t port);
void plant_packet_send(struct plant_node *from, const struct plant_packet *what, bool police);
void plant_delivered(struct plant_node *n, const struct plant_peer *from, const uint8_t *packet, size_t len);
/* A node has taken in an opening: may it know this? */
void plant_check_opening(struct plant_node *n, const uint8_t *bytes, size_t len);
/* Something authentic came to the node. */
void plant_check_taken_away(struct plant_node *to, const struct device_id *from);
/* Nothing passes between the two directly. */
bool plant_is_blocked(const struct plant *p, const struct plant_node *a, const struct plant_node *b);
void plant_check(struct plant *p);
void plant_check_healed(struct plant *p);
void plant_choose_pairs(struct plant *p);
void plant_talk(struct plant *p);
extern const uint8_t plant_canary[16];

/* plant_roads.c */
void plant_roads(struct plant *p);
void plant_run_until(struct plant *p, uint64_t end);

/* plant_trouble.c */
void plant_trouble(struct plant *p);
void plant_heal(struct plant *p);

/* plant_hostile.c */
void plant_hostilities(struct plant *p);
/* Everything that was captured on its way to a node, once more. */
void plant_replay_all(struct plant_node *n);
/* A list of candidates that are none. */
size_t plant_lies(struct plant *p, uint8_t out[FRAME_CANDIDATES_SIZE]);
/* What goes to a victim is read there, by friends of hostile members. */
void plant_overheard(struct plant_node *from, const struct endpoint *to, const uint8_t *bytes, size_t len);

#endif
