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
#include "tunnel/tunnel.h"

struct engine;

struct engine_options {
    bool dark;
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
    void *context;
};

/* Takes over `tun`, also on failure. */
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

/* What was lost on the way, for people; only ever grow. */
struct engine_counters {
    uint64_t tun_dropped;       /* packets that the TUN would not take */
    uint64_t staged_dropped;    /* packets that waited for a session in vain, or found too many before them */
    uint64_t no_endpoint;       /* packets for a peer that nobody said where to find */
    uint64_t send_failed;       /* datagrams that the kernel would not send */
    uint64_t malformed;         /* super-packets from the TUN that contradict themselves */
    uint64_t strange;           /* datagrams that are no message of the protocol */
    uint64_t handshake_dropped; /* handshake messages beyond what could wait */
};
void engine_read_counters(const struct engine *e, struct engine_counters *out);

#endif
