/* What the files of src/tunnel share. All fields belong to the control thread but where a comment says otherwise. */
#ifndef TUNNEL_INTERNAL_H
#define TUNNEL_INTERNAL_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/timer_heap.h"
#include "tunnel/allowed_ips.h"
#include "tunnel/cookie.h"
#include "tunnel/gate.h"
#include "tunnel/index_table.h"
#include "tunnel/noise.h"
#include "tunnel/rate_limit.h"
#include "tunnel/repeat_cache.h"
#include "tunnel/replay.h"
#include "tunnel/timestamp.h"
#include "tunnel/tunnel.h"

/* ---- What an index can stand for ---- */

enum indexed_kind { INDEXED_HANDSHAKE, INDEXED_SESSION };

struct indexed {
    struct reclaim_item retired; /* first */
    enum indexed_kind kind;
    uint32_t index; /* local */
    struct peer *peer;
};

/* An initiation that we sent, until it is answered or replaced. */
struct handshake {
    struct indexed indexed; /* first */
    struct noise noise;     /* after the initiation; before it was sent, the state that went into the static step */
    uint8_t ephemeral[X25519_SIZE];
    bool sent;
};

#define AEADS 2

struct native_keys {
    uint8_t send[AEAD_KEY_SIZE];
    uint8_t receive[AEAD_KEY_SIZE];
};

/* A keypair. Immutable once published, but for the fields that say who else writes them. */
struct session {
    struct indexed indexed; /* first */
    uint8_t send_key[AEAD_KEY_SIZE];
    uint8_t receive_key[AEAD_KEY_SIZE];
    uint64_t born; /* monotonic */
    uint32_t remote_index;
    bool initiator;                 /* we began it, so we renew it */
    bool expired;                   /* only received with; control thread */
    _Atomic bool confirmed;         /* the peer used it, and the control thread knows */
    _Atomic bool used;              /* the peer used it; opening thread */
    _Atomic uint64_t renewal_asked; /* monotonic; either data thread */
    _Atomic uint64_t send_counter;  /* next; taken by whoever seals */
    _Atomic uint64_t send_blocks;   /* sealed as native transport; likewise */
    /* What the peer seals and opens native transport with: 0 not known to do it, else 1 + enum aead; for good. Set by
     * whoever learns it first: from the peer's hello the control thread, from a message the opening thread. */
    _Atomic uint32_t native;
    struct native_keys native_keys[AEADS]; /* by enum aead; of those that we offer */
    /* Expanded by the first thread that needs them. */
    _Atomic(struct crypto_ready_key *) send_ready;
    _Atomic(struct crypto_ready_key *) receive_ready;
    struct replay replay; /* opening thread */
};

/* ---- Peers ---- */

struct published_endpoint {
    struct reclaim_item retired; /* first */
    struct endpoint endpoint;
};

struct peer {
    struct reclaim_item retired; /* first */
    peer_id id;
    struct tunnel *tunnel;

    /* For data threads. Times are monotonic, 0: not pending. */
    _Atomic(struct session *) sending;
    _Atomic(struct session *) waiting; /* session_next: the one to send with as soon as it was used */
    _Atomic(struct published_endpoint *) endpoint;
    _Atomic(struct reclaim_item *) attachment; /* the caller's */
    _Atomic uint64_t keepalive_at;             /* we owe the peer a sign of life: opening sets, sealing clears */
    _Atomic uint64_t new_handshake_at;         /* the peer owes us one: sealing sets, opening clears */
    _Atomic uint64_t traversal;                /* the last authenticated packet in either direction */
    _Atomic uint64_t armed;                    /* what the control thread's timer is set to */
    _Atomic uint64_t handshake_asked;          /* sealing sets */
    _Atomic uint64_t rx_bytes;
    _Atomic uint64_t tx_bytes;
    _Atomic uint32_t jitter; /* ns */

    uint8_t public_key[MESSAGE_KEY_SIZE];
    uint8_t preshared_key[MESSAGE_KEY_SIZE];
    struct allowed_list allowed;
    struct peer *next, *previous; /* in order of being added */
    struct peer *hash_next;       /* in the bucket of the public key */
    struct session *session_previous, *session_current, *session_next;
    struct handshake *handshake; /* NULL: none under way */
    struct cookie_known cookie;
    bool has_gate;
    uint8_t gate[MESSAGE_COOKIE_SIZE]; /* the peer's, for mac2 in what we send to it */
    struct timer timer;
    uint64_t retransmit_at; /* 0: not pending, as the next two */
    uint64_t zero_at;
    uint64_t persistent_at;
    uint64_t link_at;                  /* when the last session is too old to use */
    uint64_t last_handshake_sent;      /* initiation or response; monotonic; 0 never */
    uint64_t lost_at;                  /* sessions born until then are lost at the peer */
    uint64_t last_initiation_consumed; /* monotonic; 0 never */
    uint64_t last_handshake;           /* wall */
    uint64_t last_timestamp;           /* wall; of our last initiation to it, which the next one must exceed */
    uint8_t greatest_timestamp[MESSAGE_TIMESTAMP_SIZE];
    uint16_t keepalive;   /* s */
    uint8_t attempts;     /* initiations without an answer */
    uint8_t unanswered;   /* the same on the path in use, also while packets go on asking */
    bool resume;          /* a handshake is due when the interface comes up: it had a session, or one was asked for */
    bool silent;          /* listened to and never answered */
    bool passive;         /* no handshake is begun with it, and no sign of life sent */
    _Atomic bool stays;   /* at a direct endpoint, whatever it speaks from */
    _Atomic bool steered; /* where it speaks from is told, and followed only from nowhere */
    struct endpoint spoke_from; /* the opening thread's: what was told last, */
    uint64_t spoke_at;          /* and when; monotonic */
    void (*attachment_release)(struct reclaim_item *attachment);
};

/* ---- The tunnel ---- */

/* Our static keys as they are numbered in a static step. */
enum local_key { LOCAL_OWN, LOCAL_SECOND, LOCAL_KEYS };

/* Our public keys and what follows from them, for all threads. */
struct identity {
    struct reclaim_item retired; /* first */
    uint8_t public_key[X25519_SIZE];
    struct cookie_keys keys;
    bool has_second; /* the one that `second_peer` alone is answered on */
    uint8_t second_key[X25519_SIZE];
    struct cookie_keys second_keys;
    peer_id second_peer;
};

#define COUNTERS(X)        \
    X(bad_mac1)            \
    X(repeated_initiation) \
    X(unknown_peer)        \
    X(bad_handshake)       \
    X(old_timestamp)       \
    X(flooding)            \
    X(cookie_replies)      \
    X(handshakes)          \
    X(unknown_index)       \
    X(bad_packet)          \
    X(bad_native)          \
    X(replayed)            \
    X(bad_source)          \
    X(no_route)

struct counters {
#define COUNTER_FIELD(name) _Atomic uint64_t name;
    COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
};

struct tunnel {
    struct reclaim reclaim;
    struct allowed_ips allowed_ips;
    struct index_table indices; /* of struct indexed */
    struct index_table peers;   /* of struct peer, by the low half of peer_id */
    _Atomic(struct identity *) identity;
    struct counters counters;

    struct tunnel_options options;
    struct crypto *crypto;
    struct timer_heap timers;
    struct peer *first, *last;
    struct peer **buckets; /* by public key */
    uint32_t bucket_count; /* a power of two */
    uint32_t peer_count;
    uint32_t peer_serial;
    uint64_t hash_seed[8];
    struct cookie_secret cookie_secret;
    struct gate gate;
    struct repeat_cache *repeats;
    struct rate_limit *rate_limit; /* allocated under the first load */
    struct wall_clock clock;       /* what others' timestamps are held against */
    uint64_t timestamp_floor;      /* wall, ns: the latest that an initiation was made at */
    bool up;
};

static inline void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline void add_bytes(_Atomic uint64_t *counter, uint64_t bytes)
{
    atomic_fetch_add_explicit(counter, bytes, memory_order_relaxed);
}

/* How a data thread keeps from repeating a wish: true at most once an interval. */
static inline bool ask(_Atomic uint64_t *asked, uint64_t interval, uint64_t now)
{
    uint64_t last = atomic_load_explicit(asked, memory_order_relaxed);
    if (last != 0 && now < last + interval)
        return false;
    atomic_store_explicit(asked, now, memory_order_relaxed);
    return true;
}

static inline void entropy(struct tunnel *t, void *out, size_t len)
{
    t->options.entropy.fill(t->options.entropy.context, out, len);
}

/* tunnel.c */
must_check struct tunnel_action *action_add(struct tunnel_actions *actions, enum tunnel_action_kind kind);
/* Has the sealing thread send what is staged, or, if nothing is and `keepalive`, an empty packet. */
void action_flush(struct tunnel_actions *actions, const struct peer *p, bool keepalive);
/* Tells that a session was made, or that there is none. */
void action_link(struct tunnel_actions *actions, const struct peer *p, bool up);
/* Claims a fresh random index. */
must_check int claim_index(struct tunnel *t, struct index_table *table, void *value, uint32_t *out);

/* admit.c */
/* Under load: whether the message proves with a cookie that it comes from where it says, within its source's rate. If
 * it carries none, the answer is one. */
must_check bool cookie_admits(struct tunnel *t, const struct endpoint *from, const uint8_t *message, size_t len,
                              uint64_t now, struct tunnel_actions *actions);

/* gate.c */
must_check int gate_begin(struct tunnel *t);
/* When our gate key is to be replaced (monotonic), or UINT64_MAX. */
uint64_t gate_deadline(const struct tunnel *t);
/* The interface came up: the first lifetime begins. */
void gate_up(struct tunnel *t, uint64_t now);
void gate_expire(struct tunnel *t, uint64_t now, struct tunnel_actions *actions);
/* Puts mac1, and mac2 if the peer gave us a gate key or a cookie, on a message to the peer. */
must_check int peer_seal_macs(struct peer *p, void *message, size_t len, uint64_t now);

/* peer.c */
struct peer *peer_by_key(const struct tunnel *t, const uint8_t public_key[MESSAGE_KEY_SIZE]);
/* False without memory: the old endpoint serves until there is some. */
bool peer_set_endpoint(struct peer *p, const struct endpoint *endpoint);
/* The opening thread: whether the control thread is to hear (peer_heard) that the peer spoke from there. */
bool peer_is_news(struct peer *p, const struct endpoint *from, uint64_t now);
/* It spoke from there: moves it, or tells that it is steered and spoke from elsewhere. */
void peer_heard(struct peer *p, const struct endpoint *from, struct tunnel_actions *actions);
void peer_forget_local(struct peer *p);
/* Ends sessions and handshake; timers that depend on them stop. */
void peer_reset(struct peer *p);
/* Ends the handshake, and all sending until there is another session. */
void peer_expire(struct peer *p);

/* session.c: keypair rotation (paper section 6.1 to 6.3). */
must_check struct session *session_new(struct peer *p, bool initiator, uint32_t remote_index, uint64_t now);
/* The handshake that we began is complete: the session takes over the handshake's index and is used at once. */
void session_begin_as_initiator(struct session *s, struct handshake *h);
/* The session waits for the peer's first packet; its index is claimed already. */
void session_begin_as_responder(struct session *s);
/* The peer used the session that was waiting. */
bool session_confirm(struct peer *p, uint32_t local_index);
void session_end_all(struct peer *p);
/* Nothing more is sent with what there is now; what the peer sends with it is received until it would end anyway. */
void session_expire_all(struct peer *p);
/* Whether any session can still be used. */
bool session_lives(const struct peer *p, uint64_t now);
/* The keys that follow from the handshake's end; wipes its state. */
must_check int session_take_keys(struct session *s, struct noise *n);
/* The peer does native transport with this AEAD, unless it was known to do it with another. */
void session_learn_native(struct session *s, enum aead aead);
/* The key made ready in `place`, where the first who asks puts it; NULL: it is used as it is. Any thread. */
const struct crypto_ready_key *session_ready_key(_Atomic(struct crypto_ready_key *) *place, struct crypto *c,
                                                 enum aead aead, const uint8_t key[AEAD_KEY_SIZE]);
/* Wipes and frees a session that no reader can have seen; _retire: one whose index was claimed. */
void session_discard(struct session *s);
void session_retire(struct session *s);

/* initiate.c */
/* How soon another initiation may follow one when the caller knows that there is no session. */
#define RECONNECT_TIME (900 * SECOND / 1000)

/* Begins a handshake unless one was begun within REKEY_TIMEOUT; then the retransmission timer sees to it. */
void initiate(struct peer *p, bool retry, struct tunnel_time now, struct tunnel_actions *actions);
/* A peer that goes may come back with the same key: what it then gets must exceed what it got. */
void initiate_remember_timestamp(const struct peer *p);
void initiate_sealed(struct tunnel *t, struct static_step *step, struct tunnel_time now,
                     struct tunnel_actions *actions);
void response_received(struct tunnel *t, const struct message_response *message, const struct endpoint *from,
                       struct tunnel_actions *actions);
void response_mixed(struct tunnel *t, struct static_step *step, struct tunnel_time now, struct tunnel_actions *actions);
void cookie_reply_received(struct tunnel *t, const struct message_cookie_reply *message, uint64_t now);
void handshake_end(struct peer *p);

/* respond.c */
/* Whether the message was made for the key of that number. */
bool identity_mac1_holds(const struct identity *own, enum local_key local, struct crypto *c, const uint8_t *message,
                         size_t len);
void initiation_received(struct tunnel *t, const struct message_initiation *message, const struct endpoint *from,
                         bool gated, struct tunnel_actions *actions);
void initiation_found(struct tunnel *t, struct static_step *step, struct tunnel_actions *actions);
void initiation_opened(struct tunnel *t, struct static_step *step, struct tunnel_time now,
                       struct tunnel_actions *actions);

/* timers.c: one function an event. */
void timers_initiation_sent(struct peer *p, uint64_t now);
void timers_packet_sent(struct peer *p, uint64_t now);
void timers_packet_received(struct peer *p, uint64_t now);
void timers_session_derived(struct peer *p, uint64_t now);
void timers_handshake_complete(struct peer *p, struct tunnel_time now);
void timers_stop(struct peer *p);
/* Sets the heap's timer to the earliest that is pending. */
void timers_arm(struct peer *p);
void timers_expire(struct peer *p, struct tunnel_time now, struct tunnel_actions *actions);

/* Stages of a static step. */
enum static_step_stage {
    STAGE_INITIATION_SEALING, /* ours: ss, and the timestamp sealed */
    STAGE_INITIATION_FINDING, /* theirs: es, and their static key opened */
    STAGE_INITIATION_OPENING, /* theirs: ss, and their timestamp opened */
    STAGE_RESPONSE_MIXING,    /* theirs: se */
};

#endif
