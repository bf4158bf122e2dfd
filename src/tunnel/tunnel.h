/* WireGuard as a pure state machine: (state, event, now, entropy) -> actions. No descriptor, no clock, no randomness,
 * no thread of its own. "Paper" is Donenfeld, WireGuard: Next Generation Kernel Network Tunnel.
 *
 * Two kinds of caller. One control thread calls everything in the first part. Data threads call only the second part,
 * seal and open, between reclaim_enter and reclaim_leave of a reader registered with tunnel_add_reader; any of them may
 * seal, at most one opens.
 *
 * What needs the static private key is a call-out: an action hands out a static step (static_step.h), whoever holds the
 * key runs it, and its result comes back as an event. */
#ifndef TUNNEL_TUNNEL_H
#define TUNNEL_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/error.h"
#include "base/reclaim.h"
#include "crypto/crypto.h"
#include "tunnel/static_step.h"
#include "wire/message.h"

struct tunnel;

/* Names a peer for as long as it exists, and nothing afterwards. 0 names none. */
typedef uint64_t peer_id;

/* Time as the caller sees it, in nanoseconds. `monotonic` never goes back; `wall` counts from 1970 and may jump. */
struct tunnel_time {
    uint64_t monotonic;
    uint64_t wall;
};

/* Where randomness comes from: fills `out` with bytes that nobody can guess. Must not fail. */
struct tunnel_entropy {
    void (*fill)(void *context, uint8_t *out, size_t len);
    void *context;
};

struct tunnel_options {
    /* No cookie replies, whatever the load; repeats of recent initiations are dropped before any Diffie-Hellman;
     * timestamps are handed out to be persisted. */
    bool dark;
    struct tunnel_entropy entropy;
    /* What we offer for native transport (bits, 1 << enum aead); 0: no peer is ever sent any, and none is opened. */
    uint32_t aeads;
};

/* ---- What has happened ---- */

enum tunnel_event_kind {
    TUNNEL_EVENT_DATAGRAM,    /* a handshake message (types 1 to 3, as message_classify says) came in */
    TUNNEL_EVENT_STATIC_STEP, /* a static step that an action handed out has been run */
    TUNNEL_EVENT_NOTICE,      /* seal or open asked for the control thread's attention */
    TUNNEL_EVENT_TIMER,       /* tunnel_deadline has come (or not: never wrong to send) */
    TUNNEL_EVENT_UP,          /* the interface came up: peers with persistent keepalive speak */
    TUNNEL_EVENT_DOWN,        /* the interface went down: sessions and handshakes end */
};

/* Why a data thread wants the control thread. Bits. */
enum tunnel_notice_bits {
    TUNNEL_NOTICE_HANDSHAKE = 1, /* no session, or one that should be renewed */
    TUNNEL_NOTICE_CONFIRMED = 2, /* the peer used the new session: handshake complete */
    TUNNEL_NOTICE_ROAMED = 4,    /* the peer spoke from `from` */
    TUNNEL_NOTICE_TIMER = 8,     /* a timer became due earlier than the control thread knows */
};

struct tunnel_notice {
    peer_id peer;
    uint32_t bits;
    uint32_t session; /* local index of the session that CONFIRMED is about */
    struct endpoint from;
};

struct tunnel_event {
    enum tunnel_event_kind kind;
    union {
        struct {
            const uint8_t *bytes;
            size_t len;
            struct endpoint from;
            bool under_load; /* more handshake messages wait than can be served soon */
            bool gated;      /* an initiation that tunnel_gate_judge calls TUNNEL_GATE_HELD */
        } datagram;
        struct static_step *static_step;
        struct tunnel_notice notice;
    };
};

/* ---- What is to be done ---- */

enum tunnel_action_kind {
    TUNNEL_ACTION_SEND,        /* send `bytes` to `to` */
    TUNNEL_ACTION_STATIC_STEP, /* run `static_step` and send it back as an event */
    TUNNEL_ACTION_PERSIST,     /* make (public_key, timestamp) durable before any SEND that follows in this or a later
                                  list is carried out; the greatest timestamp of a key is what counts */
    TUNNEL_ACTION_FLUSH,       /* the sealing thread: send what is staged for `peer`; `keepalive`: an empty packet if
                                  nothing is */
    TUNNEL_ACTION_DISCARD,     /* the sealing thread: drop what is staged for `peer` */
    TUNNEL_ACTION_LINK,        /* for information: a handshake with `peer` was completed (`up`); or one was given up, or
                                  its last session ended. On a path that is relayed or steered it is given up, and the
                                  path forgotten, after three initiations without an answer */
    TUNNEL_ACTION_INTRUDER,    /* for information: `peer`, which is silent, began a handshake */
    TUNNEL_ACTION_SPOKE,       /* for information: `peer`, which is steered, spoke from elsewhere than it is sent to */
    TUNNEL_ACTION_GATE,        /* for information: our gate key was replaced (tunnel_gate) */
};

struct tunnel_action {
    enum tunnel_action_kind kind;
    union {
        struct {
            struct endpoint to;
            peer_id peer; /* 0 for a cookie reply */
            uint32_t len;
            uint8_t bytes[MESSAGE_HANDSHAKE_MAX];
        } send;
        struct static_step static_step;
        struct {
            uint8_t public_key[MESSAGE_KEY_SIZE];
            uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE];
        } persist;
        struct {
            peer_id peer;
            bool keepalive;
        } flush;
        struct {
            peer_id peer;
        } discard;
        struct {
            peer_id peer;
            bool up;
        } link;
        struct {
            peer_id peer;
        } intruder;
        struct {
            peer_id peer;
            struct endpoint from;
        } spoke;
    };
};

#define TUNNEL_ACTIONS_MAX 32

/* Filled by the functions below, which append; emptied by the caller (count = 0) after carrying the actions out in
 * order. Every function that takes one needs it empty; what does not fit waits for TUNNEL_EVENT_TIMER at once. */
struct tunnel_actions {
    uint32_t count;
    struct tunnel_action list[TUNNEL_ACTIONS_MAX];
};

/* ---- Control thread ---- */

must_check int tunnel_new(struct tunnel **out, const struct tunnel_options *options);
/* Wipes and frees everything. No reader may be inside. */
void tunnel_free(struct tunnel *t);

void tunnel_add_reader(struct tunnel *t, struct reclaim_reader *reader);
void tunnel_remove_reader(struct tunnel *t, struct reclaim_reader *reader);

/* The state machine's one step. */
void tunnel_step(struct tunnel *t, const struct tunnel_event *event, struct tunnel_time now,
                 struct tunnel_actions *actions);
/* When TUNNEL_EVENT_TIMER is due (monotonic), or UINT64_MAX. */
uint64_t tunnel_deadline(const struct tunnel *t);

/* Our own static public key; NULL: none, and no handshake succeeds. A key that differs from the one before ends all
 * handshakes, lets sessions be received with but not sent with, and removes a peer that has it. */
must_check int tunnel_set_public_key(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE],
                                     struct tunnel_actions *actions);

/* Besides our own we answer on this key, to `peer` alone; NULL: no longer. It begins no handshakes. ERROR_INVALID
 * without a key of our own. */
must_check int tunnel_set_second_key(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE], peer_id peer);

/* The peer with this public key, or 0. */
peer_id tunnel_peer_find(const struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE]);
/* ERROR_EXISTS; ERROR_INVALID when it is our own key; ERROR_FULL at 2^20 peers; ERROR_MEMORY. */
must_check int tunnel_peer_add(struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE], peer_id *out);
void tunnel_peer_remove(struct tunnel *t, peer_id peer, struct tunnel_actions *actions);
/* The peer after `peer` in the order of being added (0: the first); 0 at the end. */
peer_id tunnel_peer_next(const struct tunnel *t, peer_id peer);

/* All of these do nothing (or return ERROR_NOT_FOUND) for an id that names no peer. */
void tunnel_peer_set_preshared_key(struct tunnel *t, peer_id peer, const uint8_t key[MESSAGE_KEY_SIZE]);
/* What is staged for the peer is tried again. ERROR_MEMORY: it keeps the endpoint that it has. */
must_check int tunnel_peer_set_endpoint(struct tunnel *t, peer_id peer, const struct endpoint *endpoint,
                                        struct tunnel_actions *actions);
/* Nobody knows where the peer is any more, until it speaks or is given an endpoint. */
void tunnel_peer_forget_endpoint(struct tunnel *t, peer_id peer);
/* Seconds, 0 off. Turning it on while up sends a keepalive now. */
void tunnel_peer_set_keepalive(struct tunnel *t, peer_id peer, uint16_t seconds, struct tunnel_time now,
                               struct tunnel_actions *actions);
/* The greatest initiation timestamp that was persisted for this peer; older ones are refused from now on. */
void tunnel_peer_set_timestamp(struct tunnel *t, peer_id peer, const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE]);

/* The peer is a relay: it is where it was said to be, and by speaking from elsewhere, or through another relay, it does
 * not leave a direct endpoint that it has. */
void tunnel_peer_set_stays(struct tunnel *t, peer_id peer, bool stays);
/* The caller decides where it is: it roams from nowhere to where it speaks from, and otherwise speaking from elsewhere
 * is only told (TUNNEL_ACTION_SPOKE; in a session at most each 100 ms for one place, each 10 ms in all), even by a
 * handshake: whoever repeats one from an address of its own moves nothing. A response still goes to where the
 * initiation came from. */
void tunnel_peer_set_steered(struct tunnel *t, peer_id peer, bool steered);
/* The peer opens native transport in the session with that local index under these AEADs (bits, 1 << enum aead), as its
 * hello in that session said: from now on it is sent to so, under the best that both have. Unknown sessions: nothing.
 */
void tunnel_session_set_native(struct tunnel *t, peer_id peer, uint32_t session, uint32_t aeads);

/* ---- Gate keys: whom we serve first (docs/PROTOCOL.md section 22) ----
 *
 * Dark, nobody is sent a cookie. Instead a responder has a gate key of its own, which it gives to whom it may talk
 * with; they make mac2 with it. It is replaced every GATE_LIFETIME and when a peer is taken away; the one before is
 * taken for as long again. Initiations with the right mac2 are served first, and the rest share a small fixed budget:
 * no limit is keyed by an unproved source. */
#define GATE_LIFETIME (3600 * SECOND)
void tunnel_gate(const struct tunnel *t, uint8_t out[MESSAGE_COOKIE_SIZE]);
/* Before any peer was told ours: goes on with the one that there was before a restart. ERROR_MEMORY: the new one stays.
 */
must_check int tunnel_gate_restore(struct tunnel *t, const uint8_t gate[MESSAGE_COOKIE_SIZE]);
/* The peer's, for mac2 in what we send to it; NULL: none. */
void tunnel_peer_set_gate(struct tunnel *t, peer_id peer, const uint8_t *gate);

/* Its initiations are authenticated, told (TUNNEL_ACTION_INTRUDER) and never answered. */
void tunnel_peer_set_silent(struct tunnel *t, peer_id peer, bool silent);
/* No handshake is begun with it, whatever is wanted: it comes to us, and where it was last heard may be anybody's. */
void tunnel_peer_set_passive(struct tunnel *t, peer_id peer, bool passive);
/* Begins a handshake, unless one is under way or the session is under a minute old; when the interface comes up, while
 * it is down. */
void tunnel_peer_connect(struct tunnel *t, peer_id peer, struct tunnel_time now, struct tunnel_actions *actions);

/* The same, however young the session: the caller knows that the peer has lost it. Each second a fresh initiation goes
 * out, if called that often. */
void tunnel_peer_reconnect(struct tunnel *t, peer_id peer, struct tunnel_time now, struct tunnel_actions *actions);

/* What the caller keeps beside a peer, for all threads: retired when the peer is removed or another takes its place. */
void tunnel_peer_attach(struct tunnel *t, peer_id peer, struct reclaim_item *attachment,
                        void (*release)(struct reclaim_item *attachment));
/* Retires an object that the caller published to data threads (reclaim_retire). */
void tunnel_retire(struct tunnel *t, struct reclaim_item *item, void (*release)(struct reclaim_item *item));

must_check int tunnel_peer_allow(struct tunnel *t, peer_id peer, const uint8_t *address, unsigned address_len,
                                 unsigned cidr);
must_check int tunnel_peer_disallow(struct tunnel *t, peer_id peer, const uint8_t *address, unsigned address_len,
                                    unsigned cidr);
void tunnel_peer_disallow_all(struct tunnel *t, peer_id peer);
int tunnel_peer_each_allowed(const struct tunnel *t, peer_id peer,
                             int (*each)(void *context, const uint8_t *address, unsigned address_len, unsigned cidr),
                             void *context);

struct tunnel_peer_info {
    uint8_t public_key[MESSAGE_KEY_SIZE];
    uint8_t preshared_key[MESSAGE_KEY_SIZE];
    struct endpoint endpoint;
    uint64_t last_handshake; /* wall, ns; 0 never */
    uint64_t rx_bytes;       /* whole datagrams, as WireGuard counts */
    uint64_t tx_bytes;
    uint16_t keepalive; /* s */
    uint32_t native;    /* how it is sent to: 0 as MESSAGE_TRANSPORT, or no session; 1 + enum aead as MESSAGE_NATIVE */
};
/* The caller wipes the preshared key. */
must_check int tunnel_peer_info(const struct tunnel *t, peer_id peer, struct tunnel_peer_info *out);

/* A local address stopped working for this endpoint: the kernel chooses from now on. */
void tunnel_peer_forget_local(struct tunnel *t, peer_id peer);

/* What was refused, and why; for people and tests. Only ever grow. */
struct tunnel_counters {
    uint64_t bad_mac1;
    uint64_t repeated_initiation; /* dropped before any Diffie-Hellman */
    uint64_t unknown_peer;
    uint64_t bad_handshake; /* a handshake message that did not authenticate, or answered nothing */
    uint64_t old_timestamp;
    uint64_t flooding;       /* initiations refused by a limit */
    uint64_t cookie_replies; /* sent */
    uint64_t handshakes;     /* completed */
    uint64_t unknown_index;  /* opening */
    uint64_t bad_packet;     /* opening: did not authenticate, or an expired key */
    uint64_t bad_native;     /* opening: an inner header of native transport that means nothing to us */
    uint64_t replayed;       /* opening */
    uint64_t bad_source;     /* opening: inner source not among the peer's allowed IPs, or neither packet nor frame */
    uint64_t no_route;       /* sealing */
};
void tunnel_read_counters(const struct tunnel *t, struct tunnel_counters *out);

/* ---- Data threads ---- */

/* Whether a handshake message was made for our public key; checked where it comes in, so that garbage costs one hash
 * and no queue. Any thread that is a reader. */
bool tunnel_mac1_holds(struct tunnel *t, struct crypto *c, const uint8_t *message, size_t len);

/* Whether the sender of an initiation knows our gate key. Any thread that is a reader. */
bool tunnel_gate_holds(struct tunnel *t, struct crypto *c, const uint8_t *message, size_t len);
/* The same, and whether this very initiation was judged before, as long as the key is taken. The opening thread alone;
 * mac1 has been checked. */
enum tunnel_gate_verdict { TUNNEL_GATE_NONE, TUNNEL_GATE_HELD, TUNNEL_GATE_REPEATED };
enum tunnel_gate_verdict tunnel_gate_judge(struct tunnel *t, struct crypto *c, const uint8_t *message, size_t len);

/* Whether a response or a cookie reply names an index of ours; checked where it comes in, likewise. */
bool tunnel_awaits(struct tunnel *t, const uint8_t *message, size_t len);

/* The peer that an inner packet goes to, by its destination; NULL when none has it (counted). The pointer is good until
 * reclaim_leave. */
struct peer *tunnel_route(struct tunnel *t, const uint8_t *packet, size_t len);
/* The peer of an id, for what was staged; NULL when it is gone. */
struct peer *tunnel_peer(struct tunnel *t, peer_id id);
peer_id tunnel_peer_id(const struct peer *peer);
/* NULL: nothing is attached. */
struct reclaim_item *tunnel_peer_attachment(const struct peer *peer);
/* Where to send; false when it is not known. */
bool tunnel_peer_endpoint(const struct peer *peer, struct endpoint *out);

/* How a batch goes out, found before its packets are laid out, since the room before and behind them follows from it.
 * Good until reclaim_leave. */
struct tunnel_way {
    struct session *session; /* NULL: there is none to send with */
    bool native;             /* as MESSAGE_NATIVE, unpadded; else as MESSAGE_TRANSPORT */
    uint32_t headroom;       /* bytes before a packet */
};
#define TUNNEL_HEADROOM_MAX (sizeof(struct message_transport) + sizeof(struct message_native_inner))
/* The best way to the peer now; without a session one that nothing can be sealed by, laid out as MESSAGE_TRANSPORT. */
struct tunnel_way tunnel_find_way(const struct peer *peer, uint64_t monotonic);
/* In the same session, but as MESSAGE_TRANSPORT. */
static inline struct tunnel_way tunnel_plain_way(struct tunnel_way way)
{
    return (struct tunnel_way){.session = way.session, .headroom = sizeof(struct message_transport)};
}

/* One inner packet in place: `at` points to the headroom that its way has, then `len` bytes of packet (0: a keepalive),
 * then room for padding and tag. */
struct sealing {
    uint8_t *at;
    uint32_t len;
    bool partial;        /* by a native way only: MESSAGE_NATIVE_PARTIAL_CHECKSUM */
    uint32_t sealed_len; /* out: of the whole datagram at `at` */
};
/* Whether there is a session to seal with. */
bool tunnel_has_session(const struct peer *peer, uint64_t monotonic);
/* Bytes that a packet of `len` becomes as MESSAGE_TRANSPORT, where `mtu` (0: no limit) caps the padding; */
static inline uint32_t tunnel_sealed_len(uint32_t len, uint32_t mtu)
{
    uint32_t padded = (len + MESSAGE_PADDING - 1) & ~(uint32_t)(MESSAGE_PADDING - 1);
    if (mtu != 0 && padded > mtu)
        padded = len > mtu ? len : mtu;
    return (uint32_t)sizeof(struct message_transport) + padded + MESSAGE_TAG_SIZE;
}
/* and by this way. */
static inline uint32_t tunnel_way_len(const struct tunnel_way *way, uint32_t len, uint32_t mtu)
{
    return way->native ? way->headroom + len + MESSAGE_TAG_SIZE : tunnel_sealed_len(len, mtu);
}
/* Seals up to TUNNEL_BATCH_MAX packets for one peer, laid out for `way` (NULL: for MESSAGE_TRANSPORT, in the session
 * that there is). Returns 0; or ERROR_NO_SESSION (stage them; `notice` says that a handshake is needed), with nothing
 * sealed. `notice->bits` is 0 when nothing needs the control thread. */
#define TUNNEL_BATCH_MAX 64
#define TUNNEL_NO_PADDING 1u /* an `mtu` that keeps every packet as long as it is */
must_check int tunnel_seal_batch(struct tunnel *t, struct crypto *c, struct peer *peer, const struct tunnel_way *way,
                                 struct sealing *packets, size_t count, uint32_t mtu, uint64_t monotonic,
                                 struct tunnel_notice *notice);

/* One transport or native message (as message_classify says), opened in place. */
struct opening {
    uint8_t *at;
    uint32_t len;
    const struct endpoint *from;
    uint8_t *packet;     /* out: the inner packet, inside `at`; NULL when there is none (keepalive, or refused) */
    uint32_t packet_len; /* out: padding cut off, but for a control frame in MESSAGE_TRANSPORT */
    bool frame;          /* out: it is a control frame (first nibble 0), not an IP packet */
    bool partial;        /* out: the sender says that its transport checksum is still partial; not yet checked against
                            what the packet is */
    uint32_t session;    /* out, with `packet`: local index */
    struct peer *peer;   /* out, with `packet`: whose session it came in; good until reclaim_leave */
};
/* Opens up to TUNNEL_BATCH_MAX messages of any peers in the order of arrival. Writes at most one notice for each peer
 * that needs one to `notices` (room for `count`), and their number to `notice_count`. */
void tunnel_open_batch(struct tunnel *t, struct crypto *c, struct opening *messages, size_t count, uint64_t monotonic,
                       struct tunnel_notice *notices, size_t *notice_count);

#endif
