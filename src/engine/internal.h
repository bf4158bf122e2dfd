/* What the files of src/engine share. */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/mailbox.h"
#include "engine/permits.h"
#include "net/netlink_local.h"
#include "net/udp.h"
#include "policy/flow.h"

#define RELAY_RATE_DEFAULT UINT64_C(125000000) /* bytes/s of each origin: 1 Gb/s */

#define ENGINE_COUNTERS(X) \
    X(tun_dropped)         \
    X(staged_dropped)      \
    X(no_endpoint)         \
    X(send_failed)         \
    X(malformed)           \
    X(strange)             \
    X(handshake_dropped)   \
    X(steps_dropped)       \
    X(frames_dropped)      \
    X(relayed)             \
    X(relay_refused)       \
    X(relay_limited)       \
    X(relay_nested)        \
    X(policy_refused)      \
    X(policy_malformed)    \
    X(partial_malformed)

struct engine_counters_live {
#define ENGINE_COUNTER_FIELD(name) _Atomic uint64_t name;
    ENGINE_COUNTERS(ENGINE_COUNTER_FIELD)
#undef ENGINE_COUNTER_FIELD
};

struct engine {
    struct tunnel *tunnel;
    struct tun *tun;
    struct udp *udp; /* NULL while down; changes only while no data thread runs */
    struct engine_options options;
    struct loop *loop;
    struct mailbox inbox; /* to the control thread */
    _Atomic uint32_t mtu;
    _Atomic uint64_t relay_rate; /* bytes/s */
    struct permits permits;
    struct flow_table *flows; /* NULL: no policy */
    struct engine_counters_live counters;

    /* The rest is the control thread's. */
    struct sender *sender;
    struct receiver *receiver;
    struct netlink *link;  /* where the TUN is now */
    struct netlink *paths; /* where the UDP port is */
    uint16_t port;
    uint32_t mark;
    uint64_t under_load_until; /* monotonic */
    bool link_up;              /* what the interface is, */
    bool up;                   /* and what we are: with a port and running threads */
    bool gone;
    uint64_t link_due;  /* when to look for the interface anew, since it left the namespace of `link`; 0: it did not */
    uint64_t paths_due; /* when to check source addresses against the routes; 0: they have not changed */
    uint64_t paths_checked;
    uint32_t local_count; /* as they were told last */
    struct endpoint local[NETLINK_LOCAL_MAX];
    uint64_t grants_version;
    uint32_t steps[HANDSHAKE_CLASSES]; /* begun and not come back; our own are among the answers */
    uint64_t ungated_full_at;          /* monotonic: when the budget of ungated initiations is full again */
    bool to_commit;                    /* a timestamp was noted and is not durable yet */
    uint32_t outgoing_count;
    struct udp_outgoing outgoing[UDP_BATCH_MAX];
    peer_id outgoing_peer[UDP_BATCH_MAX];
    uint8_t outgoing_bytes[UDP_BATCH_MAX][MESSAGE_HANDSHAKE_MAX];
};

static inline void engine_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* actions.c: what the state machine asks for. */
void actions_carry_out(struct engine *e, struct tunnel_actions *actions);
/* Feeds the state machine, and carries out what it asks for but for what is sent: actions_send. */
void actions_step(struct engine *e, const struct tunnel_event *event);
void actions_send(struct engine *e);

/* admit.c: whose handshakes are served. */
/* Serves what waits, a turn's worth. Whether more is to be served at once. */
bool admit_serve(struct engine *e);
/* When the next can be, if it waits for its budget; or UINT64_MAX. */
uint64_t admit_deadline(const struct engine *e);
/* Whether another static step of that kind may be under way; it is, if so. */
must_check bool admit_step(struct engine *e, const struct static_step *step);
void admit_stepped(struct engine *e, const struct static_step *step);

/* sender.c: from the TUN to the port. */
must_check int sender_new(struct sender **out, struct engine *e);
void sender_free(struct sender *s);
must_check int sender_start(struct sender *s);
/* Returns when the thread has ended. What is staged stays. */
void sender_stop(struct sender *s);
/* From the control thread, running or not. */
void sender_flush(struct sender *s, peer_id peer, bool keepalive);
void sender_discard(struct sender *s, peer_id peer);
/* A control frame, or whatever else begins so. */
void sender_frame(struct sender *s, peer_id peer, const uint8_t *bytes, uint32_t len);
/* The same on this path, into the session that there is. */
void sender_frame_by(struct sender *s, peer_id peer, const struct endpoint *path, const uint8_t *bytes, uint32_t len);
/* Waits until what was handed over has been sent, 5 ms at most. */
void sender_settle(struct sender *s);
/* While stopped: forgets all that is staged. */
void sender_discard_all(struct sender *s);

/* receiver.c: from the port to the TUN. */
must_check int receiver_new(struct receiver **out, struct engine *e);
void receiver_free(struct receiver *r);
must_check int receiver_start(struct receiver *r);
void receiver_stop(struct receiver *r);

/* link.c: follows the interface and the routes. */
must_check int link_open(struct engine *e);
void link_close(struct engine *e);
/* The earlier of what is due, or UINT64_MAX. */
uint64_t link_deadline(const struct engine *e);
/* Does what is due: finds the interface where it was moved to, and forgets source addresses that no longer lead to
 * their peers. */
void link_expire(struct engine *e);
/* The port is open, perhaps another than before: who has to know where we are is told with the next turn. */
void link_look(struct engine *e);
/* The port or the mark changed: forgets all source addresses. */
void link_forget_sources(struct engine *e);

/* engine.c */
void engine_set_up(struct engine *e, bool up);

#endif
