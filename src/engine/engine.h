/* The engine: joins the tunnel's state machine to a TUN interface and a UDP port. The caller's thread is the control
 * thread and owns the state; while the interface is up, one thread carries packets out (sender) and one in (receiver).
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/loop.h"
#include "net/tun.h"
#include "policy/rules.h"
#include "tunnel/tunnel.h"

struct engine;

/* How a control frame came. */
struct engine_arrival {
    struct endpoint from;
    uint32_t session; /* local index */
};

struct engine_options {
    bool dark;
    bool no_native;   /* peers are stock WireGuard: native transport is neither offered nor sent */
    bool no_aes;      /* native transport is ChaCha20-Poly1305 at most */
    bool no_offloads; /* neither UDP GSO nor GRO; the TUN was opened as it should be */
    /* Whoever holds the static private key: runs a step before returning (static_step_run). */
    void (*run_step)(void *context, struct static_step *step);
    /* Timestamps to keep: `persist` notes one, `commit` makes all that were noted durable; the replies wait for it. If
     * it fails, handshakes go on, and it is called again with the next. Either may be NULL when not dark. */
    void (*persist)(void *context, const uint8_t public_key[MESSAGE_KEY_SIZE],
                    const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE]);
    int (*commit)(void *context);
    /* The interface is up, but the engine could not follow: no port, no threads. It tries again when the interface or
     * the port changes. May be NULL. */
    void (*trouble)(void *context, int error);

    /* Instead of run_step, for a holder of the key in another process: takes a copy of the step; its result comes back
     * through engine_stepped, in any order and however late. False: it could not be handed over, and is lost. */
    bool (*begin_step)(void *context, const struct static_step *step);
    /* A control frame (first nibble 0, wire/frame.h; never a relayed datagram) came in the session with `from`. On the
     * control thread. NULL: such packets are dropped. */
    void (*frame)(void *context, peer_id from, const struct engine_arrival *by, const uint8_t *bytes, size_t len);
    /* A peer whose path is ours to decide (engine_set_steered) spoke from elsewhere than it is sent to; at most each
     * 100 ms for one peer and endpoint. */
    void (*spoke)(void *context, peer_id peer, const struct endpoint *from);
    /* The gate key changed: peers are to be told, so that they make mac2 with it. */
    void (*gate)(void *context, const uint8_t gate[MESSAGE_COOKIE_SIZE]);
    /* Where we are found on our own networks: addresses of interfaces here (net/netlink_local.h) with our port, when
     * the port is open and whenever they change. May be NULL. */
    void (*local)(void *context, const struct endpoint *list, uint32_t count);
    /* Packets wait for a peer that has no endpoint (at most once a second for each), or were sent to an inner address
     * that is no peer's (`peer` 0; `address` of 4 or 16 bytes; at most 16 a second). */
    void (*wanted)(void *context, peer_id peer, const uint8_t *address, size_t len);
    /* A handshake with `peer` was completed (each time), or given up, or its last session ended. */
    void (*link)(void *context, peer_id peer, bool up);
    /* A peer that is only listened to (engine_set_silent) initiated, authentically. */
    void (*intruder)(void *context, peer_id peer);
    /* Already open UDP sockets, both on one port, to use while up instead of opening any; -1: no such family. Not
     * closed by the engine. Used if `adopt_udp`. */
    bool adopt_udp;
    int udp4, udp6;
    /* Inner packets are judged by policy (engine_set_grants), and what is refused is told the local sender by ICMP. */
    bool police;
    void *context;
};

/* Takes over `tun`, also on failure. `tun` NULL: no inner packets, only frames; always up. */
must_check int engine_new(struct engine **out, struct tun *tun, const struct engine_options *options);
/* Stops the threads and closes and wipes everything. */
void engine_free(struct engine *e);

/* For configuration, on the control thread: change the tunnel, then have what it asked for carried out. */
struct tunnel *engine_tunnel(struct engine *e);
struct tunnel_time engine_now(void);
/* Carries out and empties. */
void engine_carry_out(struct engine *e, struct tunnel_actions *actions);

/* 0: any free port. While the interface is down it is kept for later. */
must_check int engine_set_port(struct engine *e, uint16_t port);
uint16_t engine_port(const struct engine *e);
must_check int engine_set_mark(struct engine *e, uint32_t mark);
uint32_t engine_mark(const struct engine *e);

/* The loop that the control thread runs; callers add their own descriptors. */
struct loop *engine_loop(struct engine *e);
/* One turn of the loop. ERROR_GONE once the interface was deleted. */
must_check int engine_run_once(struct engine *e);

/* ---- For a node of a network ---- */

/* What begin_step was given, once it was run. */
void engine_stepped(struct engine *e, struct static_step *step);

/* A control frame into the session with `peer`; waits for one if there is none (as staged packets do). */
void engine_send_frame(struct engine *e, peer_id peer, const uint8_t *bytes, size_t len);

/* Waits, 5 ms at most, until frames that were handed over are sent: the last words to a peer that is to be removed. */
void engine_settle_frames(struct engine *e);
/* A frame into the session that there is now, on this path (direct or relayed) whatever is in use; without a session
 * it is dropped. */
void engine_send_frame_by(struct engine *e, peer_id peer, const struct endpoint *path, const uint8_t *bytes,
                          size_t len);
/* Our initiations to the peer go to these, too, besides the path in use: the same bytes. At most ENGINE_CANDIDATES_MAX;
 * 0: no longer. */
#define ENGINE_CANDIDATES_MAX 8u
must_check int engine_set_candidates(struct engine *e, peer_id peer, const struct endpoint *list, uint32_t count);
/* Whether the peer's path is decided by the caller: it roams from none to where it speaks from, and otherwise nowhere.
 */
void engine_set_steered(struct engine *e, peer_id peer, bool yes);
/* The AEADs of native transport that this machine is fast with (bits of enum frame_aead), for hellos. */
uint64_t engine_aeads(const struct engine *e);
/* The peer's hello, which came in that session, offered these: native transport from now on, if there is one in common.
 */
void engine_set_native(struct engine *e, peer_id peer, uint32_t session, uint64_t aeads);
/* What mac2 is made with in handshake messages to the peer; NULL: nothing. */
void engine_set_gate(struct engine *e, peer_id peer, const uint8_t *gate);
/* The gate key of our own that is in force. */
void engine_gate(const struct engine *e, uint8_t out[MESSAGE_COOKIE_SIZE]);
/* Before any peer was told it: goes on with the one that there was before a restart. ERROR_MEMORY: the new one stays.
 */
must_check int engine_restore_gate(struct engine *e, const uint8_t gate[MESSAGE_COOKIE_SIZE]);

/* The peer's name on the relayed path: the first 8 bytes of its device id. Set once, before any path of it is used. */
must_check int engine_set_name(struct engine *e, peer_id peer, const uint8_t name[8]);
/* From now on the peer is sent to through `relay`, a peer with an endpoint of its own that is not relayed: datagrams
 * for `peer` go out as relayed datagrams (wire/frame.h) in the session with `relay`. What comes in that way roams the
 * peer as any endpoint does. Nothing relayed is carried inside something relayed. */
must_check int engine_set_relayed(struct engine *e, peer_id peer, peer_id relay);
must_check int engine_set_direct(struct engine *e, peer_id peer, const struct endpoint *endpoint);
/* If the path in use goes through `relay`, there is none any more. */
void engine_forget_relayed(struct engine *e, peer_id peer, peer_id relay);
/* Relayed datagrams are taken from this peer: it is a relay of ours, and stays at the direct endpoint that it was
 * given, wherever it is heard from. engine_set_relayed does it, too. */
must_check int engine_set_relay(struct engine *e, peer_id peer, bool yes);
/* The path that is in use: 0 none, 1 direct (`endpoint`), 2 relayed (`relay`). */
int engine_path(const struct engine *e, peer_id peer, struct endpoint *endpoint, peer_id *relay);

/* Begins a handshake now (unless one is under way or the session is fresh, under a minute old). */
void engine_connect(struct engine *e, peer_id peer);
/* The same, however young the session: the peer has lost it. */
void engine_reconnect(struct engine *e, peer_id peer);
/* An initiation of this peer is authenticated, told to `intruder`, and never answered. Sessions that it has go on. */
void engine_set_silent(struct engine *e, peer_id peer, bool silent);
/* No handshake is begun with this peer. */
void engine_set_passive(struct engine *e, peer_id peer, bool passive);
/* Besides our static key we also answer on this one (static_step.local = 1), to `peer` alone; NULL: no longer. */
must_check int engine_set_second_key(struct engine *e, const uint8_t public_key[MESSAGE_KEY_SIZE], peer_id peer);

/* We are a relay: datagrams between these two, which have names, pass. At most so many bytes/s of each origin (0: the
 * default), with a burst of 100 ms (but 256 KiB at least). Taking back works for a peer that is gone, too. */
must_check int engine_permit(struct engine *e, peer_id a, peer_id b, bool yes);
void engine_set_relay_rate(struct engine *e, uint64_t bytes_per_second);

/* What this peer and we may begin with each other; copied. Without any: nothing passes. Live flows are judged anew. */
must_check int engine_set_grants(struct engine *e, peer_id peer, const struct grant *out, uint32_t out_count,
                                 const struct grant *in, uint32_t in_count);
/* Packets that policy refused, both ways, since the peer had a name or grants. */
uint64_t engine_refused(const struct engine *e, peer_id peer);

/* What lives with a peer: flows of our own with it, those to one service together, and at a relay those with whom it
 * passed datagrams through us lately. */
struct engine_flow {
    peer_id with; /* relayed: the other one; 0: a flow of our own */
    bool outgoing;
    uint8_t protocol; /* 1, 6, 17; 0: relayed */
    uint16_t port;    /* of the destination; 0: ICMP, relayed */
    uint32_t count;
    uint64_t idle; /* ns since the latest packet */
};
/* Returns how many; `more` counts what found no room in `max`. */
uint32_t engine_flows(struct engine *e, peer_id peer, struct engine_flow *out, uint32_t max, uint32_t *more);
/* Ends all flows with a peer: it is about to be removed. */
void engine_forget_flows(struct engine *e, peer_id peer);

/* What was lost on the way, for people; only ever grow. */
struct engine_counters {
    uint64_t tun_dropped;       /* packets that the TUN would not take */
    uint64_t staged_dropped;    /* packets that waited for a session in vain, or found too many before them */
    uint64_t no_endpoint;       /* packets for a peer that nobody said where to find */
    uint64_t send_failed;       /* datagrams that the kernel would not send */
    uint64_t malformed;         /* super-packets from the TUN that contradict themselves */
    uint64_t strange;           /* datagrams that are no message of the protocol */
    uint64_t handshake_dropped; /* handshake messages beyond what could wait */
    uint64_t steps_dropped;     /* handshakes refused because too many static steps are under way */
    uint64_t frames_dropped;    /* control frames that nobody takes, or beyond what could wait */
    uint64_t relayed;           /* datagrams passed on as a relay */
    uint64_t relay_refused;     /* relayed datagrams to or from somebody who is not permitted, or malformed */
    uint64_t relay_limited;     /* beyond their origin's rate */
    uint64_t relay_nested;      /* relayed inside relayed */
    uint64_t policy_refused;    /* inner packets that no rule allows */
    uint64_t policy_malformed;  /* inner packets whose headers do not hold together */
    uint64_t partial_malformed; /* inner packets sent with a partial checksum, which they may not have */
};
void engine_read_counters(const struct engine *e, struct engine_counters *out);

/* All counters, the tunnel's too, one after another: the name of each, NULL beyond the last; */
const char *engine_counter_name(uint32_t i);
/* and their values, `max` at most. Returns how many. */
uint32_t engine_counter_values(const struct engine *e, uint64_t *out, uint32_t max);

#endif
