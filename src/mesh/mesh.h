/* The mesh: sessions with relays, introductions, and by which path a device is reached. A pure state machine beside the
 * tunnel: it says whom to connect to and what to tell them; what is to be done goes out through `mesh_ops`.
 *
 * A node keeps sessions with the two relays that rendezvous hashing of its id selects among those that answer; who
 * looks for it computes the same. A relay keeps them with the relays that have a controller, for the ledger and for
 * what it passes on. A node that is a relay introduces members to each other and permits them to send through it.
 * Everything here is about devices that the state handed over: what is not among them draws nothing. */
#ifndef MESH_MESH_H
#define MESH_MESH_H

#include "identity/identity.h"
#include "wire/frame.h"

struct mesh;

enum mesh_flags {
    MESH_MEMBER = 1, /* joined and live */
    MESH_INVITE = 2, /* an open invite: its key may reach the door, nothing else */
    MESH_RELAY = 4,
    MESH_USED_INVITE = 8, /* listened to, never answered: whoever uses it now is a thief or a clone */
    MESH_FOUNDING = 16,   /* the hub under the founding invite's key, until its join was seen */
    MESH_CONTROLLER = 32, /* it has a controller beside it: other relays keep sessions with it */
};

/* A device that this node may have a session with. */
struct mesh_device {
    struct device_id id;
    uint32_t flags;
    bool has_endpoint; /* relays: where they are */
    struct underlay endpoint;
};

enum mesh_path_kind { MESH_PATH_NONE, MESH_PATH_DIRECT, MESH_PATH_RELAYED };

/* One way to send to, or to hear from, a device. */
struct mesh_way {
    enum mesh_path_kind kind;
    struct underlay endpoint; /* direct */
    struct device_id relay;   /* relayed */
};
#define MESH_CANDIDATES_MAX 8u

/* Why a device is not reached directly; for `status`. */
enum mesh_why {
    MESH_WHY_NONE,          /* it is, or there is no session */
    MESH_WHY_TRYING,        /* not yet */
    MESH_WHY_NO_CANDIDATES, /* nobody said where it could be found */
    MESH_WHY_UNANSWERED,    /* it was tried; nothing came through */
    MESH_WHY_NAT_HERE,      /* and our NAT shows each destination another port, as two relays see it */
    MESH_WHY_LIMITED,       /* too much was tried toward the same place */
    MESH_WHY_IDLE,          /* it was, and nothing was sent for a while */
    MESH_WHY_KINDS
};

struct mesh_ops {
    /* Into the session with `to`; waits for one if there is none yet. */
    void (*send)(void *context, const struct device_id *to, const uint8_t *frame, size_t len);
    /* NULL: no direct paths are sought. Into the session with `to` that there is now, but on this path, whatever is in
     * use; nothing waits. */
    void (*send_by)(void *context, const struct device_id *to, const struct mesh_way *way, const uint8_t *frame,
                    size_t len);
    /* Initiations to `to` go to these endpoints, too (the same bytes), besides the path in use; at most
     * MESH_CANDIDATES_MAX, 0: no longer. Sending within the budget (budget.c) is the mesh's to decide: it gives the
     * list, and takes it back. */
    void (*candidates)(void *context, const struct device_id *to, const struct underlay *list, uint32_t count);
    /* What a hello said, of the session (local index) that it came in: the AEADs for native transport (enum
     * frame_aead), and what to make mac2 with toward `from` (NULL: nothing said). An introduction says only the latter
     * (session 0). */
    void (*heard)(void *context, const struct device_id *from, uint32_t session, uint64_t aeads, const uint8_t *gate);
    /* From now on `to` is sent to at this endpoint, or through this relay; sessions are begun as packets ask for it. */
    void (*direct)(void *context, const struct device_id *to, const struct underlay *endpoint);
    void (*relayed)(void *context, const struct device_id *to, const struct device_id *relay);
    /* The path to `to` through this relay is no more, if that is the one in use: what is to be sent is wanted anew.
     * `relay` NULL: whichever path it spoke by. */
    void (*forget)(void *context, const struct device_id *to, const struct device_id *relay);
    /* Begin a handshake with `to` and keep the session alive (seconds; 0: no longer, and no handshake). `anew`: what
     * looks like a session is none. */
    void (*connect)(void *context, const struct device_id *to, uint16_t keepalive, bool anew);
    /* We are the relay: these two may send each other datagrams through us, or no longer. */
    void (*permit)(void *context, const struct device_id *a, const struct device_id *b, bool yes);
    /* We are the relay: may they meet? The state answers with mesh_met. `what` is the question's ASK. */
    void (*meet)(void *context, uint32_t question, const struct device_id *asker, const struct frame_introduce *what);
    /* For the state: frames of its kinds (get, part, join, joined, statement, notice) as they came, */
    void (*deliver)(void *context, const struct device_id *from, bool invite, const uint8_t *frame, size_t len);
    /* and what an introduction or a hello taught: an invite opening and a signed head (either may be empty). */
    void (*learn)(void *context, const struct device_id *from, struct frame_view opening, struct frame_view head);
    /* How many bytes went into and came out of the session with `id` so far. */
    void (*traffic)(void *context, const struct device_id *id, uint64_t *sent, uint64_t *received);
    /* An answer to mesh_ping; rtt in ns; 0: none came. */
    void (*pong)(void *context, const struct device_id *id, uint32_t number, uint64_t rtt);
    /* A session with a relay or a member began or ended. */
    void (*link)(void *context, const struct device_id *device, bool up);
    void (*entropy)(void *context, uint8_t *out, size_t len);
    void *context;
};

must_check int mesh_new(struct mesh **out, struct crypto *c, const struct mesh_ops *ops);
void mesh_free(struct mesh *m);

/* Who we are; before that nothing is done. Joining (the id may be zero) or isolated: sessions with relays, and no
 * introductions.
 * Neither an id nor joining: we are nobody any more. */
void mesh_self(struct mesh *m, const struct device_id *id, bool relay, bool joining, uint64_t now);
/* The latest signed head, for hellos and introductions. */
void mesh_head(struct mesh *m, const uint8_t head[FRAME_SIGNED_HEAD_SIZE]);

/* A device appeared or changed; is gone (its paths, permissions and pings end). ERROR_MEMORY. */
must_check int mesh_device(struct mesh *m, const struct mesh_device *device, uint64_t now);
void mesh_device_gone(struct mesh *m, const struct device_id *id, uint64_t now);

/* A session with `id` was made (each new keypair), or there is none any more and none could be made. */
void mesh_link(struct mesh *m, const struct device_id *id, bool up, uint64_t now);
/* How a frame came: by which way, and in which session (its local index). */
struct mesh_arrival {
    struct mesh_way way;
    uint32_t session;
};
/* A frame came in the session with `from`. Malformed ones are counted and dropped. */
void mesh_frame(struct mesh *m, const struct device_id *from, const struct mesh_arrival *by, const uint8_t *bytes,
                size_t len, uint64_t now);
/* `from` spoke, authentically, by another way than it is sent to. The mesh decides whether to follow. */
void mesh_spoke(struct mesh *m, const struct device_id *from, const struct mesh_way *way, uint64_t now);
/* Where we are found on our own networks (private candidates), as interfaces come and go. */
void mesh_local(struct mesh *m, const struct underlay *list, uint32_t count, uint64_t now);
/* What our hellos offer from now on: AEADs, and what others make mac2 toward us with. A new gate goes to everyone that
 * there is a session with. */
void mesh_offer(struct mesh *m, uint64_t aeads, const uint8_t gate[FRAME_GATE_SIZE], uint64_t now);
/* Somebody here wants to send: to a device without a path, or to an overlay address that no known device has. */
void mesh_wanted(struct mesh *m, const struct device_id *id, uint64_t now);
void mesh_wanted_address(struct mesh *m, const uint8_t *address, size_t len, uint64_t now);
/* Somebody here looks for a device of this name, which is none that we have; names and addresses of more than 63 bytes
 * are nobody's. */
void mesh_wanted_name(struct mesh *m, const char *name, size_t len, uint64_t now);
/* The state's answer to `meet`: `target` NULL: no. The openings are each one's for the other. */
struct mesh_meeting {
    const struct device_id *target;
    struct frame_view asker_opening, target_opening;
};
void mesh_met(struct mesh *m, uint32_t question, const struct mesh_meeting *answer, uint64_t now);
/* The state of a relay: these two may meet no longer. */
void mesh_part(struct mesh *m, const struct device_id *a, const struct device_id *b);
/* One probe through the tunnel; `pong` is called once, within 2 s. */
void mesh_ping(struct mesh *m, const struct device_id *id, uint32_t number, uint64_t now);
/* We are about to end: everyone that we have a session with is told. */
void mesh_sign_off(struct mesh *m);

void mesh_timer(struct mesh *m, uint64_t now);
uint64_t mesh_deadline(const struct mesh *m);

/* The two relays (fewer if there are fewer) that rendezvous hashing selects for `id`, best first. */
uint32_t mesh_relays_of(const struct mesh *m, const struct device_id *id, struct device_id out[2]);
enum mesh_path_kind mesh_path(const struct mesh *m, const struct device_id *id, struct device_id *relay);
/* Why it is not reached directly. */
enum mesh_why mesh_why(const struct mesh *m, const struct device_id *id);
/* The latest round trip that a probe found, ns; 0: none yet. */
uint64_t mesh_rtt(const struct mesh *m, const struct device_id *id);

struct mesh_counters {
    uint64_t malformed, strange; /* frames: broken; not permitted from whom they came, or answering nothing */
    uint64_t introductions;      /* that ended in a path (asker) or a permission (relay) */
    uint64_t refused;            /* answered with no, as asker or relay */
    uint64_t flooding;           /* introductions beyond a limit */
    uint64_t forgotten;          /* paths */
    uint64_t versions;           /* hellos without a version in common */
    uint64_t direct;             /* paths that became direct */
    uint64_t fell_back;          /* direct paths that died */
    uint64_t limited;            /* datagrams to candidates that the budget did not let go out */
};
void mesh_read_counters(const struct mesh *m, struct mesh_counters *out);
/* The name of each, in their order; NULL beyond the last. */
const char *mesh_counter_name(uint32_t i);

#endif
