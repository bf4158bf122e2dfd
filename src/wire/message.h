/* WireGuard's four messages, byte for byte, and its limits, on one page (paper sections 5.4 and 6); and a fifth, which
 * only Nightjar sends. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/time.h"

enum message_type {
    MESSAGE_NONE = 0, /* not one of the protocol's: dropped without a trace */
    MESSAGE_INITIATION = 1,
    MESSAGE_RESPONSE = 2,
    MESSAGE_COOKIE_REPLY = 3,
    MESSAGE_TRANSPORT = 4,
    MESSAGE_NATIVE = 5, /* transport between two that both are Nightjar (PROTOCOL.md section 21) */
};

#define MESSAGE_KEY_SIZE 32
#define MESSAGE_TAG_SIZE 16
#define MESSAGE_MAC_SIZE 16
#define MESSAGE_COOKIE_SIZE 16
#define MESSAGE_COOKIE_NONCE_SIZE 24
#define MESSAGE_TIMESTAMP_SIZE 12 /* TAI64N: seconds since 1970 TAI + 2^62, then nanoseconds; big-endian */
#define MESSAGE_PADDING 16        /* plaintext of transport messages is padded to a multiple of this */

#define REKEY_AFTER_MESSAGES (UINT64_C(1) << 60)
#define REJECT_AFTER_MESSAGES (UINT64_MAX - (UINT64_C(1) << 13))
#define REKEY_AFTER_TIME (120 * SECOND)
#define REJECT_AFTER_TIME (180 * SECOND)
#define REKEY_ATTEMPT_TIME (90 * SECOND)
#define REKEY_TIMEOUT (5 * SECOND)
#define REKEY_TIMEOUT_JITTER (SECOND / 3)
#define KEEPALIVE_TIMEOUT (10 * SECOND)
#define HANDSHAKE_ATTEMPTS ((unsigned)(REKEY_ATTEMPT_TIME / REKEY_TIMEOUT))
#define COOKIE_SECRET_LIFETIME (120 * SECOND)
#define COOKIE_SECRET_LATENCY (5 * SECOND)
#define INITIATION_INTERVAL_MIN (SECOND / 50) /* a peer's initiations come no faster */
#define STAGED_PACKETS_MAX 128                /* per peer, while there is no session */
#define REPLAY_WINDOW 8192                    /* counters, RFC 6479 */

struct message_macs {
    uint8_t mac1[MESSAGE_MAC_SIZE];
    uint8_t mac2[MESSAGE_MAC_SIZE];
} __attribute__((packed));

struct message_initiation {
    struct le32 type; /* the low byte is the type, the other three are zero */
    struct le32 sender;
    uint8_t ephemeral[MESSAGE_KEY_SIZE];
    uint8_t sealed_static[MESSAGE_KEY_SIZE + MESSAGE_TAG_SIZE];
    uint8_t sealed_timestamp[MESSAGE_TIMESTAMP_SIZE + MESSAGE_TAG_SIZE];
    struct message_macs macs;
} __attribute__((packed));
_Static_assert(sizeof(struct message_initiation) == 148, "initiation");

struct message_response {
    struct le32 type;
    struct le32 sender;
    struct le32 receiver;
    uint8_t ephemeral[MESSAGE_KEY_SIZE];
    uint8_t sealed_nothing[MESSAGE_TAG_SIZE];
    struct message_macs macs;
} __attribute__((packed));
_Static_assert(sizeof(struct message_response) == 92, "response");

struct message_cookie_reply {
    struct le32 type;
    struct le32 receiver;
    uint8_t nonce[MESSAGE_COOKIE_NONCE_SIZE];
    uint8_t sealed_cookie[MESSAGE_COOKIE_SIZE + MESSAGE_TAG_SIZE];
} __attribute__((packed));
_Static_assert(sizeof(struct message_cookie_reply) == 64, "cookie reply");

struct message_transport {
    struct le32 type;
    struct le32 receiver;
    struct le64 counter;
    /* sealed inner packet, padded, and tag */
} __attribute__((packed));
_Static_assert(sizeof(struct message_transport) == 16, "transport header");

/* Native transport: the header of a transport message, which is associated data, with MESSAGE_NATIVE for its type;
 * sealed behind it this, then the packet without padding. */
struct message_native_inner {
    uint8_t flags;   /* enum message_native_flags; others: dropped */
    uint8_t zero[3]; /* or it is dropped */
} __attribute__((packed));
_Static_assert(sizeof(struct message_native_inner) == 4, "native inner header");
enum message_native_flags {
    /* The checksum of a whole, unfragmented TCP or UDP packet is the sum of its pseudo-header alone. */
    MESSAGE_NATIVE_PARTIAL_CHECKSUM = 1,
};
/* Of each key of native transport, in blocks of 16 bytes of whole datagrams; AES-GCM is what needs the limits. */
#define REKEY_AFTER_BLOCKS (UINT64_C(1) << 34)
#define REJECT_AFTER_BLOCKS (UINT64_C(1) << 35)
#define MESSAGE_NATIVE_MIN (sizeof(struct message_transport) + sizeof(struct message_native_inner) + MESSAGE_TAG_SIZE)

#define MESSAGE_TRANSPORT_MIN (sizeof(struct message_transport) + MESSAGE_TAG_SIZE) /* a keepalive */
#define MESSAGE_HANDSHAKE_MAX sizeof(struct message_initiation)

/* The door: the type of a datagram if its first four bytes and its length are those of a message, else MESSAGE_NONE.
 * Behind it, a handshake message has exactly its struct's size and a transport or native message at least its minimum.
 */
enum message_type message_classify(const uint8_t *datagram, size_t len);

#endif
