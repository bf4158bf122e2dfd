/* The messages between parent, keys, engine, state and controller: the whole of what they can say to each other. Who
 * may send which to whom, and when, is in the permit tables (permits.c); docs/PRIVSEP.md tells the story. */
#ifndef PROC_MESSAGES_H
#define PROC_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

/* Descriptors that a child finds open after exec; the role is argv[1] ("--role=keys"). */
enum proc_fd {
    PROC_FD_PARENT = 3,
    /* keys */
    KEYS_FD_ENGINE = 4,
    KEYS_FD_STATE = 5,
    KEYS_FD_DIR = 6, /* STATE/keys */
    /* engine */
    ENGINE_FD_KEYS = 4,
    ENGINE_FD_STATE = 5,
    ENGINE_FD_UDP4 = 6,
    ENGINE_FD_UDP6 = 7,       /* closed where the host has no IPv6 */
    ENGINE_FD_TUN = 8,        /* closed while joining */
    ENGINE_FD_CONTROLLER = 9, /* closed where there is none */
    /* state */
    STATE_FD_KEYS = 4,
    STATE_FD_ENGINE = 5,
    STATE_FD_LEDGER = 6,   /* directory STATE/ledger */
    STATE_FD_OPENINGS = 7, /* directory STATE/openings */
    STATE_FD_OUTBOX = 8,   /* directory STATE/outbox */
    STATE_FD_CONTROL = 9,  /* listening control socket; closed while joining */
    /* controller (its own program; working directory STATE/controller) */
    CONTROLLER_FD_ENGINE = 4,
};

#define IPC_STEP_SIZE 360 /* struct static_step; asserted where both are seen */
#define IPC_HEAD_SIZE 176 /* a signed head */
#define IPC_ID_SIZE 16
#define IPC_NAME_MAX 63
#define IPC_PUBLIC_SIZE 32
#define IPC_HASH 32

struct ipc_underlay {
    uint8_t address[16];
    uint16_t port;
    uint8_t family; /* 4, 6; 0: none */
    uint8_t zero;
};

/* Which of our static keys a handshake step needs; static_step.local. */
enum static_key_slot { STATIC_KEY_OWN = 0, STATIC_KEY_INVITE = 1 };

enum ipc_kind {
    /* engine <-> keys: struct static_step (IPC_STEP_SIZE) both ways. keys tells by text_kind and text_len what a step
     * is: sealing 12 bytes, our timestamp; opening 32, their static key; opening 12, their timestamp under `remote`;
     * none, a response. keys has made the timestamp of an opened initiation durable, and refused one that is not
     * greater than the greatest, before it answers; it sets the timestamp of our own. */
    IPC_STEP = 1,
    IPC_STEPPED = 2,

    /* engine -> keys: struct ipc_key, a static key that is no peer's any more. */
    IPC_PEER_GONE = 9,
    /* struct ipc_gate. keys -> engine: what was kept, at the start, after IPC_PUBLIC. engine -> keys: one to keep. */
    IPC_GATE = 10,

    /* keys -> engine, keys -> state: at the start, and after a change. */
    IPC_PUBLIC = 3,
    /* state -> keys: build and sign our join. keys -> state: the statement's bytes (or len 0: no invite seed). */
    IPC_BUILD_JOIN = 4,
    IPC_JOIN_BUILT = 5,
    /* state -> keys: the join stands under a signed head (or the hub's founding key has done its work): erase the seed
     * durably. keys -> state: erased. */
    IPC_ERASE_SEED = 6,
    IPC_SEED_ERASED = 7,
    /* keys -> state: struct ipc_number, the error that keeps timestamps from being made durable (as -error), so that a
     * replay after a restart may be answered; 0: it is over. */
    IPC_KEYS_TROUBLE = 8,

    /* state -> engine */
    IPC_SELF = 16,        /* struct ipc_self */
    IPC_DEVICE = 17,      /* struct ipc_device, then its grants */
    IPC_DEVICE_GONE = 18, /* struct ipc_id */
    IPC_HEAD = 19,        /* a signed head, 176 bytes */
    IPC_MET = 20,         /* struct ipc_met, then both openings */
    IPC_PING = 21,        /* struct ipc_ping */
    IPC_ASK_STATUS = 22,  /* struct ipc_number */
    IPC_USE_KEY = 23,     /* joining: struct ipc_number, enum static_key_slot */
    IPC_PART = 25,        /* struct ipc_part: we are a relay, and these two may meet no longer */
    IPC_SEEK = 26,        /* a device's name, which nobody has that the engine was told of */
    IPC_ASK_FLOWS = 27,   /* struct ipc_ask_flows: what lives with a device here */
    /* both ways: a control frame to or from a device; the controller's own id is all 0xff. */
    IPC_FRAME = 24, /* struct ipc_frame, then the frame */

    /* engine -> state */
    IPC_LINK = 32,     /* struct ipc_link */
    IPC_MEET = 33,     /* struct ipc_meet, then the ASK frame */
    IPC_LEARN = 34,    /* struct ipc_learn, then opening, then head */
    IPC_PONG = 35,     /* struct ipc_pong */
    IPC_STATUS = 36,   /* struct ipc_status, then struct ipc_peer_status each */
    IPC_INTRUDER = 37, /* struct ipc_id: a used invite's key initiated */
    IPC_SEEN = 38,     /* struct ipc_id: it completed a handshake under its own key */
    IPC_FLOWS = 39,    /* struct ipc_flows, then struct ipc_flow each */

    /* state -> parent */
    IPC_CONFIGURE = 48, /* struct ipc_configure: addresses of the TUN */
    IPC_STATE_READY = 49,
    IPC_STOP = 50,        /* `nightjar down` */
    IPC_JOIN_RESULT = 51, /* struct ipc_join_result */
    /* engine -> parent, keys -> parent */
    IPC_READY = 52,
    /* parent -> state */
    IPC_CONFIGURED = 56,  /* struct ipc_configured */
    IPC_PARENT_NOTE = 57, /* struct ipc_note: a fact for `status` (darkened, controller down, IPv4 left out) */
};

struct ipc_public {
    uint8_t signing[IPC_PUBLIC_SIZE];
    uint8_t own[IPC_PUBLIC_SIZE];    /* static */
    uint8_t invite[IPC_PUBLIC_SIZE]; /* static; zero: no seed is held */
    uint8_t invite_signing[IPC_PUBLIC_SIZE];
};

struct ipc_build_join {
    uint8_t network[IPC_HASH];
    uint8_t invite[IPC_HASH];
    uint32_t sequences; /* 1: the join of the founding hub, which brings `sequencer` */
    uint8_t sequencer[IPC_PUBLIC_SIZE];
};

struct ipc_key {
    uint8_t key[IPC_PUBLIC_SIZE];
};

#define IPC_GATE_SIZE 16
/* What mac2 is made with toward the holder of that static key; under our own: toward us. */
struct ipc_gate {
    uint8_t static_key[IPC_PUBLIC_SIZE];
    uint8_t gate[IPC_GATE_SIZE];
};

struct ipc_id {
    uint8_t id[IPC_ID_SIZE];
};

struct ipc_number {
    uint32_t number;
};

struct ipc_self {
    uint8_t id[IPC_ID_SIZE];
    uint8_t ipv6[16];
    uint8_t ipv4[4];
    uint8_t has_ipv4, relay, controller, joining;
    uint8_t answer_invite_key; /* the hub: also answer `invite_peer` on the founding key */
    uint8_t zero[3];
    uint8_t invite_peer[IPC_ID_SIZE];
    uint64_t relay_rate; /* bytes/s of each origin; 0: the default */
};

struct ipc_grant {
    uint8_t protocol; /* 1, 6, 17 */
    uint8_t zero;
    uint16_t low, high;
};

/* flags: enum mesh_flags */
struct ipc_device {
    uint8_t id[IPC_ID_SIZE];
    uint32_t flags;
    uint8_t has_ipv4, zero[3];
    uint8_t static_key[IPC_PUBLIC_SIZE];
    uint8_t ipv6[16]; /* zero: none */
    uint8_t ipv4[4];
    struct ipc_underlay endpoint;
    uint32_t out_count, in_count; /* what we may begin, then what it may */
};

struct ipc_frame {
    uint8_t device[IPC_ID_SIZE];
    uint32_t invite; /* from an invite's key */
};

struct ipc_link {
    uint8_t id[IPC_ID_SIZE];
    uint32_t up;
};

struct ipc_meet {
    uint32_t question;
    uint8_t asker[IPC_ID_SIZE];
};

struct ipc_met {
    uint32_t question;
    uint32_t allowed;
    uint8_t target[IPC_ID_SIZE];
    uint32_t asker_len, target_len;
};

struct ipc_part {
    uint8_t a[IPC_ID_SIZE], b[IPC_ID_SIZE];
};

struct ipc_learn {
    uint8_t from[IPC_ID_SIZE];
    uint32_t opening_len, head_len;
};

struct ipc_ping {
    uint32_t number;
    uint8_t id[IPC_ID_SIZE];
};

enum ipc_path_kind { IPC_PATH_NONE = 0, IPC_PATH_DIRECT = 1, IPC_PATH_RELAYED = 2 };

struct ipc_pong {
    uint32_t number;
    uint32_t path; /* enum ipc_path_kind */
    uint64_t rtt;  /* ns; 0: no answer */
    uint8_t relay[IPC_ID_SIZE];
};

struct ipc_peer_status {
    uint8_t id[IPC_ID_SIZE];
    uint8_t relay[IPC_ID_SIZE];
    uint32_t path;
    struct ipc_underlay endpoint;
    uint64_t last_handshake; /* wall, ns; 0 never */
    uint64_t rx_bytes, tx_bytes;
    uint64_t rtt;     /* ns, 0 unknown */
    uint64_t refused; /* packets that policy refused, both ways */
    uint32_t why;     /* enum mesh_why: why it is not reached directly */
    uint32_t native;  /* 0: WireGuard's own transport; 1 + enum aead: native */
};

struct ipc_ask_flows {
    uint32_t number;
    uint8_t id[IPC_ID_SIZE];
};
/* A live flow between this node and the device, or, at a relay, datagrams of the device's that pass through it. */
struct ipc_flow {
    uint8_t peer[IPC_ID_SIZE]; /* at a relay: whom the device speaks with through it; else zero */
    uint8_t outgoing;          /* we began it */
    uint8_t protocol;          /* 1, 6, 17; 0: relayed, unknown */
    uint16_t port;             /* of the destination; 0 for ICMP and relayed */
    uint32_t count;            /* flows to that port */
    uint32_t idle;             /* s since the last packet of the latest */
    uint32_t zero;
};
struct ipc_flows {
    uint32_t number;
    uint32_t count;
    uint32_t more; /* flows that are not in the list */
};

/* What was refused or lost, by reason, for people. */
#define IPC_COUNTERS_MAX 48
struct ipc_status {
    uint32_t number;
    uint32_t peer_count;
    uint32_t more;          /* another IPC_STATUS follows */
    uint32_t counter_count; /* the engine's, then the mesh's */
    uint64_t counters[IPC_COUNTERS_MAX];
};

struct ipc_configure {
    uint8_t ipv6[16];
    uint8_t ipv4[4];
    uint8_t has_ipv4, ipv6_len, ipv4_len, zero;
};

struct ipc_configured {
    int32_t error;          /* 0, or an error */
    uint32_t ipv4_left_out; /* it overlaps an uplink */
    uint32_t overlay_open;  /* nft is missing or refused: overlay addresses are not kept off other interfaces */
};

enum ipc_note_kind {
    NOTE_DARKENED = 1,
    NOTE_NOT_DARKENED = 2,
    NOTE_CONTROLLER_UP = 3,
    NOTE_CONTROLLER_DOWN = 4,
    NOTE_KEEP_PORT = 5,
    NOTE_LISTEN_PORT = 6,
    NOTE_RELAY_RATE = 7 /* Mb/s of each origin, as a relay */
};
struct ipc_note {
    uint32_t kind;
    uint32_t value;
};

struct ipc_join_result {
    uint32_t done;    /* 1: a member */
    uint32_t verdict; /* enum fold_verdict, when the network said no */
    uint32_t reason;  /* enum join_reason otherwise */
};
enum join_reason {
    JOIN_REASON_NONE = 0,
    JOIN_REASON_UNREACHABLE = 1,
    JOIN_REASON_BAD_LEDGER = 2,
    JOIN_REASON_DISK = 3
};

#endif
