/* The replica: what one node knows of its network and decides from it. It follows the ledger from whoever serves it and
 * believes nothing that it has not verified; from ledger and openings it says which devices the engine may speak with
 * and what each may begin, who may meet, and what each asker may be told. It also carries statements to the controller,
 * a device into its network, and answers at the door. A pure state machine: frames, sessions, time and submissions go
 * in, and what is to be done comes out through `replica_ops`, during the call that caused it.
 *
 * `now` is monotonic nanoseconds, `wall` seconds since 1970. */
#ifndef LEDGER_REPLICA_H
#define LEDGER_REPLICA_H

#include "identity/ticket.h"
#include "ledger/fold.h"
#include "ledger/opening.h"
#include "wire/frame.h"

struct replica;

/* What a device is to the engine; the values are those of enum mesh_flags. */
enum replica_flags {
    REPLICA_MEMBER = 1,
    REPLICA_INVITE = 2,
    REPLICA_RELAY = 4,
    REPLICA_USED_INVITE = 8,
    REPLICA_FOUNDING = 16,
    REPLICA_CONTROLLER = 32,
};

/* The local controller's id in frames. */
extern const struct device_id replica_controller;
/* An invite's key is a peer of its own beside the device that joined with it, so it has an id of its own: the device's
 * with its last byte inverted. The same function leads back. */
struct device_id replica_invite_id(const struct device_id *id);

/* A device that the engine may speak with. */
struct replica_device {
    struct device_id id;
    uint32_t flags;
    char name[NAME_MAX_LEN + 1]; /* empty: unknown */
    uint8_t static_key[X25519_SIZE];
    bool has_ipv6, has_ipv4; /* invites have none */
    uint8_t ipv6[16];
    uint8_t ipv4[4];
    bool has_endpoint;
    struct underlay endpoint;
    uint32_t out_count, in_count;
    const struct grant *out; /* what we may begin; borrowed for the call */
    const struct grant *in;  /* what it may begin */
};

struct replica_self {
    bool member; /* else the rest is zero: not joined (yet), or no more. An isolated device stays one: it may be
                    restored */
    struct device_id id;
    char name[NAME_MAX_LEN + 1];
    uint8_t ipv6[16];
    bool has_ipv4;
    uint8_t ipv4[4];
    bool relay, controller;
    bool joining;
    bool answer_invite_key; /* the hub: also answer `invite_peer` on the founding invite's key */
    struct device_id invite_peer;
};

/* X(name, code, what, todo): what `status` shows as a problem until it has passed. */
#define REPLICA_PROBLEMS(X)                                                                                          \
    X(POLICY_INCOMPLETE, "policy-incomplete",                                                                        \
      "Rules that concern this device have not arrived; the last complete "                                          \
      "policy is in force.",                                                                                         \
      "Check that a relay is reachable; the rules are asked for again every few seconds.")                           \
    X(LEDGER_SPLIT, "ledger-split", "The sequencer signed two histories that contradict each other; both are kept.", \
      "Do not trust the controller: have the owners replace its key by a new root.")                                 \
    X(FOLD_MISMATCH, "fold-mismatch",                                                                                \
      "The sequencer signed a state of the network that does not follow from its "                                   \
      "statements; this device stays where it was.",                                                                 \
      "Compare versions of nightjar; if they are the same, have the owners replace the controller's key.")           \
    X(DEVICE_OUT_OF_SCOPE, "device-out-of-scope",                                                                    \
      "A device was admitted by a key that may not admit it, and is "                                                \
      "treated as absent.",                                                                                          \
      "Find out who used that admission key; have the owners take it out of the root.")                              \
    X(NAME_CLASH, "name-clash",                                                                                      \
      "A device claims a name or an IPv4 address that another one holds, and is treated "                            \
      "as absent.",                                                                                                  \
      "Invite it again under another name.")                                                                         \
    X(TICKET_REUSED, "ticket-reused", "Somebody used a ticket again with which a device has joined already.",        \
      "Find out who else had the ticket; if the wrong machine joined, end it with \"nightjar revoke\".")             \
    X(CLOCK_WRONG, "clock-wrong", "This machine's clock is earlier than what the network proves.",                   \
      "Set the clock; until then nothing ends by it.")                                                               \
    X(CLOCK_AHEAD, "clock-ahead",                                                                                    \
      "This machine's clock is more than a day later than anything that the network has told.",                      \
      "If the clock is wrong, set it, since others answer nobody whose clock is ahead; if it is right, see why the " \
      "controller has been silent for that long.")                                                                   \
    X(NOT_STORED, "not-stored", "The controller cannot keep what was signed here; it waits.",                        \
      "Make room on the disk of the controller's host; it is handed in again by itself.")                            \
    X(REVOKED, "revoked", "This device was revoked, isolated or its membership has ended.",                          \
      "Ask an operator of the network.")                                                                             \
    X(NO_UPSTREAM, "no-relay", "No relay is reached.",                                                               \
      "Check this machine's uplink and that UDP to the relay's endpoint is let out.")                                \
    X(VOID_ENTRIES, "void-entries",                                                                                  \
      "The controller put entries into the ledger that nobody had the right to make; they change nothing, and fill " \
      "disks.",                                                                                                      \
      "See that the controller's host is not in strange hands, or have the owners replace its key by a new root; "   \
      "this ends when the daemon is restarted.")                                                                     \
    X(BAD_SERVER, "bad-server", "A device served data that its own signed head contradicts.",                        \
      "Look at that device; its data was not used.")
enum replica_problem_kind {
#define REPLICA_PROBLEM_ENUM(name, code, what, todo) REPLICA_PROBLEM_##name,
    REPLICA_PROBLEMS(REPLICA_PROBLEM_ENUM) REPLICA_PROBLEM_KINDS
#undef REPLICA_PROBLEM_ENUM
};
struct replica_problem {
    enum replica_problem_kind kind;
    bool has_device;
    struct device_id device; /* whom it is about */
    char name[NAME_MAX_LEN + 1];
    const char *code, *what, *todo; /* static */
};

/* Why joining ended without the network's own no; the values are those of enum join_reason. */
enum replica_join_reason { REPLICA_JOIN_NO_REASON = 0, REPLICA_JOIN_UNREACHABLE = 1, REPLICA_JOIN_BAD_LEDGER = 2 };

/* What is to be kept must be durable before the next call returns to the event loop's sends (batching is the caller's).
 * All but `send` may be called during replica_begin. Bytes are borrowed for the call. */
struct replica_ops {
    /* To a device, an invite's key (replica_invite_id) or replica_controller. May get lost. */
    void (*send)(void *context, const struct device_id *to, const uint8_t *frame, size_t len);

    /* To the engine. A device appeared or changed (all of it is told anew); is gone. */
    void (*device)(void *context, const struct replica_device *device);
    void (*gone)(void *context, const struct device_id *id);
    /* We are a relay: these two, whom replica_meet let meet, may no longer. */
    void (*part)(void *context, const struct device_id *a, const struct device_id *b);
    void (*self)(void *context, const struct replica_self *self);
    void (*head)(void *context, const uint8_t signed_head[SIGNED_HEAD_SIZE]);

    /* To the disk; replica_restore_* takes the same back. Entries come in order of their index. */
    void (*keep_entry)(void *context, uint64_t index, uint64_t time, enum fold_verdict verdict, const uint8_t *bytes,
                       size_t len);
    void (*keep_opening)(void *context, const uint8_t commitment[SHA256_SIZE], const uint8_t *bytes, size_t len);
    void (*keep_head)(void *context, const uint8_t signed_head[SIGNED_HEAD_SIZE]);
    void (*keep_take_away)(void *context, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes, size_t len);
    /* The log begins anew behind this fold (fold_save; len 0: from entry 0): base and empty log, in one step. The
     * entries that still stand follow through keep_entry. */
    void (*keep_base)(void *context, const uint8_t *fold, size_t len);
    void (*keep_floor)(void *context, uint64_t seconds);
    void (*keep_evidence)(void *context, const uint8_t a[SIGNED_HEAD_SIZE], const uint8_t b[SIGNED_HEAD_SIZE]);

    /* To people. A problem began (for the log; replica_problem_at lists those that last). */
    void (*problem)(void *context, const struct replica_problem *problem);
    /* What became of a submission, by its statement's hash: STANDS or ALREADY with its entry's index, covered by a
     * signed head that was verified; else it was refused. Called once. */
    void (*outcome)(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index);

    /* While joining: initiate under the device's own static key (0) or the invite's (1): enum static_key_slot. */
    void (*use_key)(void *context, uint32_t slot);
    /* The invite's seed has done its work: erase it (joined; at the hub: the operator was seen). */
    void (*erase_seed)(void *context);
    /* Joining ended. Member: verdict STANDS. Else the network's no, or `reason`. */
    void (*joined)(void *context, enum fold_verdict verdict, enum replica_join_reason reason);
    void *context;
};

struct replica_config {
    struct network_id network;
    uint8_t signing_public[ED25519_PUBLIC_SIZE]; /* own */
    uint8_t static_public[X25519_SIZE];
    uint8_t invite_static_public[X25519_SIZE]; /* while its seed is held, else zero */
    uint64_t build_time;                       /* s since 1970: the clock's first floor */
};

/* `c` and what `ops` points to are borrowed for the replica's life. */
must_check int replica_new(struct replica **out, struct crypto *c, const struct replica_config *config,
                           const struct replica_ops *ops);
void replica_free(struct replica *r);

/* What was kept, in this order: openings, base, entries, take-aways, head, floor. A part that is not of this network or
 * does not hold together: ERROR_MALFORMED (the caller tells a person and stops). */
must_check int replica_restore_opening(struct replica *r, const uint8_t *bytes, size_t len);
must_check int replica_restore_base(struct replica *r, const uint8_t *fold, size_t len);
must_check int replica_restore_entry(struct replica *r, uint64_t index, uint64_t time, enum fold_verdict verdict,
                                     const uint8_t *bytes, size_t len);
must_check int replica_restore_take_away(struct replica *r, const uint8_t *bytes, size_t len);
must_check int replica_restore_head(struct replica *r, const uint8_t signed_head[SIGNED_HEAD_SIZE]);
void replica_restore_floor(struct replica *r, uint64_t seconds);

/* After restoring: publishes self, devices and head, and begins to follow. For a network that was founded on this
 * machine (operator or hub) the first entries are restored as any others: keep what replica_found keeps. */
must_check int replica_begin(struct replica *r, uint64_t now, uint64_t wall);

/* Instead of replica_begin. Joins: the ticket is borrowed until the end, `join` (made by keys) is copied. Tells the
 * engine the ticket's relays and, after at most 60 s, ops->joined. All that a member needs has been kept by then. */
must_check int replica_join(struct replica *r, const struct ticket *ticket, const uint8_t *join, size_t join_len,
                            uint64_t now, uint64_t wall);
/* Before replica_begin, on an empty replica: takes in a founding ticket's statements and openings (verified), and keeps
 * them. The operator's machine and the hub both do this. ERROR_MALFORMED, ERROR_AUTHENTICATION: not what it says. */
must_check int replica_found(struct replica *r, const struct ticket *ticket);

/* What happened. Frames are of the kinds get, part, join, joined, statement and notice; `invite`: from an invite's key
 * (then `from` is its replica_invite_id, or the device's id). Bad frames are counted and dropped. */
void replica_frame(struct replica *r, const struct device_id *from, bool invite, const uint8_t *frame, size_t len,
                   uint64_t now);
/* A session with a device (a relay, a member, at a relay also an invite; the controller's process) began or ended. */
void replica_link(struct replica *r, const struct device_id *id, bool up, uint64_t now);
/* What an introduction or a hello taught; either may be empty. */
void replica_learn(struct replica *r, const struct device_id *from, struct frame_view opening, struct frame_view head,
                   uint64_t now);
/* A device completed a handshake under its own key; a used invite's key (either id) initiated. */
void replica_seen(struct replica *r, const struct device_id *id, uint64_t now);
void replica_intruder(struct replica *r, const struct device_id *id, uint64_t now);

/* Hands in a submission: the CBOR array [statement, [openings...]]. Offered upstream until `outcome`. A take-away
 * counts here at once. Again is the same. ERROR_MALFORMED; ERROR_FULL: REPLICA_SUBMISSIONS_MAX wait. */
#define REPLICA_SUBMISSIONS_MAX 64
must_check int replica_submit(struct replica *r, const uint8_t *bytes, size_t len, uint64_t now);

/* We are a relay: may the asker meet whom it names? False: unknown or forbidden. The openings are each one's for the
 * other, borrowed until the next call. */
struct replica_meeting {
    struct device_id target;
    struct frame_view asker_opening, target_opening;
};
must_check bool replica_meet(struct replica *r, const struct device_id *asker, const struct frame_introduce *what,
                             struct replica_meeting *out);

void replica_timer(struct replica *r, uint64_t now, uint64_t wall);
uint64_t replica_deadline(const struct replica *r); /* monotonic ns */

/* For people. Pointers hold until the next call. */
const struct fold *replica_fold(const struct replica *r); /* NULL: nothing is known yet */
const struct replica_self *replica_self(const struct replica *r);
/* What became of a statement that stands in the ledger as it is held here; false: it does not, or its entry is not held
 * any more. */
bool replica_sequenced(const struct replica *r, const uint8_t statement[SHA256_SIZE], enum fold_verdict *verdict,
                       uint64_t *index);
const struct signed_head *replica_signed_head(const struct replica *r); /* NULL: none yet */
/* What the device's opening says; NULL: not held. */
const struct opening_invite *replica_opening(struct replica *r, const struct device_id *id);
bool replica_device_by_name(const struct replica *r, const char *name, size_t len, struct device_id *out);
/* The policy in force here: the version whose rules are all held. */
uint64_t replica_policy_version(const struct replica *r);
/* False: there are no more than `i`. */
bool replica_problem_at(const struct replica *r, uint32_t i, struct replica_problem *out);
bool replica_has_submissions(const struct replica *r);

struct replica_counters {
    uint64_t malformed, strange; /* frames: broken; not permitted from whom they came */
    uint64_t limited;            /* beyond what a sender may ask in a second */
    uint64_t bad_parts;          /* pulled, and not what was signed or committed to */
    uint64_t voids;              /* take-aways that nobody had the right to, or that say nothing new */
};
void replica_read_counters(const struct replica *r, struct replica_counters *out);

#endif
