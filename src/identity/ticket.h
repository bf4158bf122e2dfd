/* Tickets: what carries an invite to a device. A line of text: "nightjar-ticket-1:" (founding tickets:
 * "nightjar-founding-1:"), then base64url (RFC 4648 section 5, no padding) of deterministic CBOR followed by the first
 * four bytes of its SHA-256, so that a ticket that was cut or mistyped is told from one that is wrong. */
#ifndef IDENTITY_TICKET_H
#define IDENTITY_TICKET_H

#include "identity/identity.h"

#define TICKET_RELAYS_MAX 4
#define TICKET_TEXT_MAX (64 * 1024)
#define TICKET_FOUNDING_STATEMENTS_MAX 8

struct ticket_relay {
    struct device_id device;
    struct underlay endpoint;
    uint8_t static_key[X25519_SIZE];
};

/* Bytes are views, borrowed from the buffer that the ticket was decoded from (or given to be encoded). */
struct ticket_bytes {
    const uint8_t *bytes;
    size_t len;
};

struct ticket {
    bool founding;
    struct network_id network;
    char network_name[NAME_MAX_LEN + 1];
    uint8_t seed[SEED_SIZE];     /* of the invite's keys; secret */
    struct ticket_bytes invite;  /* statement */
    struct ticket_bytes opening; /* of the invite */

    /* Not in a founding ticket: the floor that a joiner checks the ledger against, and where to join. */
    uint64_t head_index;
    uint8_t head_hash[SHA256_SIZE];
    uint8_t fold_root[SHA256_SIZE];
    uint64_t time; /* s since 1970: the head's */
    uint32_t relay_count;
    struct ticket_relay relays[TICKET_RELAYS_MAX];

    /* In a founding ticket: the ledger's first statements in order, each with its time, and all their openings. */
    uint32_t statement_count;
    struct ticket_bytes statements[TICKET_FOUNDING_STATEMENTS_MAX];
    uint64_t times[TICKET_FOUNDING_STATEMENTS_MAX];
    uint32_t opening_count;
    struct ticket_bytes openings[TICKET_FOUNDING_STATEMENTS_MAX * 2];
};

/* Text, NUL-terminated, without a newline. Returns its length; ERROR_OVERFLOW when `capacity` is too small. */
must_check int ticket_print(struct crypto *c, const struct ticket *ticket, char *out, size_t capacity);

/* Why a text is no ticket; each has a sentence for a person. */
enum ticket_fault {
    TICKET_GOOD = 0,
    TICKET_NOT_A_TICKET,  /* no known prefix */
    TICKET_CUT,           /* ends early, or was altered: the checksum does not hold */
    TICKET_MALFORMED,     /* the checksum holds, the content makes no sense */
    TICKET_OTHER_VERSION, /* a prefix of another version */
};
/* The CBOR is a map: 0 network id, 1 network name, 2 seed, 3 invite, 4 its opening; in a ticket 5 [head index, head
 * hash, fold root, time], 6 [[device id, address, port, static key], ...]; in a founding ticket 7 [[time, statement],
 * ...], 8 [opening, ...]. Nothing else: what is unknown is malformed. */
/* White space (line breaks that mail put in) is passed over. Decodes into `buffer`, at least `len` bytes, which `out`
 * borrows from and which holds the seed: the caller wipes both. */
enum ticket_fault ticket_parse(struct crypto *c, struct ticket *out, const char *text, size_t len, uint8_t *buffer);
const char *ticket_fault_sentence(enum ticket_fault fault);

#endif
