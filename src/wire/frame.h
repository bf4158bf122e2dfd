/* Control frames: inner packets whose first nibble is 0, which stock WireGuard drops. One byte says the kind, then
 * comes one deterministic CBOR map (RFC 8949 section 4.2) with small unsigned keys; what follows it is padding. Unknown
 * kinds and keys are passed over. Unreliable, idempotent, bounded. A relayed datagram has a fixed header instead. */
#ifndef WIRE_FRAME_H
#define WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/names.h"

#define FRAME_MAX 1200u      /* whole frame; fits every path */
#define FRAME_PART_MAX 1024u /* bytes in a part */
#define FRAME_DEVICE_ID_SIZE 16
#define FRAME_HASH_SIZE 32
#define FRAME_SIGNED_HEAD_SIZE 176
#define FRAME_NAME_MAX 63
#define FRAME_INLINE_MAX 1024u /* a submission that goes inside its offer */
#define FRAME_GATE_SIZE 16
#define FRAME_CANDIDATES_MAX 8u
#define FRAME_CANDIDATES_SIZE (FRAME_CANDIDATES_MAX * 19u)

enum frame_kind {
    FRAME_HELLO = 1,
    FRAME_INTRODUCE = 2,
    FRAME_CANDIDATES = 3,
    FRAME_PROBE = 4,
    FRAME_ANSWER = 5,
    FRAME_GET = 6,
    FRAME_PART = 7,
    FRAME_JOIN = 8,
    FRAME_JOINED = 9,
    FRAME_STATEMENT = 10,
    FRAME_NOTICE = 11,
    FRAME_SIGN_OFF = 12,
    FRAME_RELAYED = 13,
};

/* Views are borrowed from the frame. */
struct frame_view {
    const uint8_t *bytes;
    size_t len;
};

/* Sent by both ends when a session begins. */
struct frame_hello {
    uint64_t version_min, version_max;
    uint64_t aeads;             /* bits of enum frame_aead: what the sender opens as native transport; 0: none */
    uint64_t features;          /* bits; none yet */
    struct frame_view head;     /* signed head, or len 0 */
    uint64_t run;               /* random, one for each start: what an earlier one permitted is forgotten */
    struct frame_view gate;     /* FRAME_GATE_SIZE: the key for mac2 toward the sender, or len 0 */
    struct frame_view observed; /* a list of one candidate: where the sender sees the receiver, or len 0 */
};
enum frame_aead { FRAME_AEAD_CHACHA20_POLY1305 = 1, FRAME_AEAD_AES_256_GCM = 2 };
#define FRAME_VERSION 1

enum introduce_stage { INTRODUCE_ASK = 0, INTRODUCE_TELL = 1, INTRODUCE_ACKNOWLEDGE = 2, INTRODUCE_ANSWER = 3 };
enum introduce_result {
    INTRODUCE_NO = 0,        /* unknown or forbidden: they look alike */
    INTRODUCE_HERE = 1,      /* it has a session here and knows: the relayed path is open */
    INTRODUCE_ELSEWHERE = 2, /* known and allowed, but without a session here: ask its other relay, or later */
};
struct frame_introduce {
    uint64_t number; /* the asker's, never 0; the answer repeats it. TELL with 0: nobody asks, but `device`, who was
                        introduced before, started anew and has no session any more */
    enum introduce_stage stage;
    /* ASK: by exactly one of device, address, name. TELL, ACKNOWLEDGE, ANSWER (but NO, which has nothing): device, the
     * other one. Never all zero. */
    bool has_device;
    uint8_t device[FRAME_DEVICE_ID_SIZE];
    struct frame_view address;    /* 4 or 16 bytes, or len 0 */
    struct frame_view name;       /* text, or len 0 */
    enum introduce_result result; /* ANSWER */
    struct frame_view opening;    /* TELL, ANSWER: the other's invite opening, or len 0 */
    struct frame_view head; /* TELL, ANSWER: the relay's signed head, so that the other's join is known; or len 0 */
    struct frame_view candidates; /* TELL, ANSWER: where the other may be found directly (a list), or len 0 */
    struct frame_view gate;       /* TELL, ANSWER: FRAME_GATE_SIZE, the key for mac2 toward the other, or len 0 */
};

/* Where the sender is found on its own network, for the relay to tell those who share its public address; in a session
 * between members: all that it knows of itself. */
struct frame_candidates {
    struct frame_view list; /* or len 0 */
};

/* A list of candidates: up to FRAME_CANDIDATES_MAX of family (1 byte: 4 or 6), address (4 or 16), port (2, big-endian,
 * not 0). No address that nobody can send to (multicast, unspecified, broadcast, loopback), none twice. What was
 * decoded holds to it. Returns how many. */
uint32_t frame_candidates_get(struct frame_view list, struct underlay out[FRAME_CANDIDATES_MAX]);
/* What a list may not hold is left out, as is what is beyond FRAME_CANDIDATES_MAX. Returns the list's length. */
size_t frame_candidates_put(const struct underlay *all, uint32_t count, uint8_t out[FRAME_CANDIDATES_SIZE]);

struct frame_probe { /* also the answer, which repeats it */
    uint64_t number;
    uint64_t time; /* the asker's clock, opaque to the other; ns */
};

enum sync_what {
    SYNC_LEDGER = 1,   /* entries from `from` to `to`, both included */
    SYNC_FOLD = 2,     /* the fold at `to` */
    SYNC_OPENINGS = 3, /* all openings that the asker is entitled to at `to`, of entries from `from` on */
    SYNC_OFFER = 4,    /* the submission with this hash */
};
/* A blob is named by (what, from, to, hash); the same everywhere, but for openings, which are the asker's. `to` of
 * UINT64_MAX asks for the latest: the part says what that is. */
struct frame_get {
    enum sync_what what;
    uint64_t from, to;             /* from <= to */
    uint8_t hash[FRAME_HASH_SIZE]; /* SYNC_OFFER, else zero */
    uint64_t offset;
};
struct frame_part {
    enum sync_what what;
    uint64_t from, to;
    uint8_t hash[FRAME_HASH_SIZE];
    uint64_t offset;
    uint64_t total;          /* 0: nothing there */
    struct frame_view bytes; /* FRAME_PART_MAX of them but at the end, which is `total` */
};

struct frame_join {
    struct frame_view statement;
};
/* What became of a statement: a join, or any other. */
struct frame_joined {
    uint8_t statement[FRAME_HASH_SIZE];
    uint64_t verdict; /* enum fold_verdict */
    uint64_t index;   /* of its entry, if it stands */
    struct frame_view head;
};
/* Offers a submission: the CBOR array [statement, [openings...]]; inline if it fits, else to be pulled by hash. */
struct frame_statement {
    uint8_t hash[FRAME_HASH_SIZE]; /* SHA-256 of the submission */
    uint64_t total;                /* its length, at least 1 */
    struct frame_view bytes;       /* all of it, or none */
};
struct frame_notice {
    struct frame_view head;
};

struct frame {
    enum frame_kind kind;
    union {
        struct frame_hello hello;
        struct frame_introduce introduce;
        struct frame_candidates candidates;
        struct frame_probe probe; /* FRAME_PROBE, FRAME_ANSWER */
        struct frame_get get;
        struct frame_part part;
        struct frame_join join;
        struct frame_joined joined;
        struct frame_statement statement;
        struct frame_notice notice;
    };
};

/* ERROR_UNSUPPORTED: a kind that this version does not know (to be passed over); ERROR_MALFORMED. Padding behind the
 * CBOR item must be zero and at most 15 bytes, or the frame is malformed. Never FRAME_RELAYED: unsupported. */
must_check int frame_decode(struct frame *out, const uint8_t *bytes, size_t len);
/* Returns the length; ERROR_OVERFLOW; ERROR_INVALID for what could not be decoded. */
must_check int frame_encode(const struct frame *frame, uint8_t *out, size_t capacity);

/* A relayed datagram's header; the datagram (a WireGuard message of at most `len` bytes; padding follows) comes behind.
 * `device`: toward the relay, the first 8 bytes of the destination's id; from the relay, of the origin's. `direction`
 * tells which, since between two relays either could be meant. */
enum frame_relayed_direction { RELAYED_TO = 0, RELAYED_FROM = 1 };
struct frame_relayed {
    uint8_t kind;      /* FRAME_RELAYED */
    uint8_t direction; /* others: dropped */
    uint8_t zero[2];
    uint8_t len[4]; /* big-endian */
    uint8_t device[8];
};
_Static_assert(sizeof(struct frame_relayed) == 16, "the relayed path's header is 16 bytes");

#endif
