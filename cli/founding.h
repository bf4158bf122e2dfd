/* The first entries of a network: the root, the operator's invite and join, the invite of the hub, an empty policy.
 * Time and randomness are arguments. */
#ifndef CLI_FOUNDING_H
#define CLI_FOUNDING_H

#include "identity/ticket.h"
#include "ledger/opening.h"
#include "ledger/statement.h"

#define FOUNDING_OPENING_MAX 1024
#define FOUNDING_STATEMENT_MAX 1024
#define FOUNDING_OPERATOR "operator"
#define FOUNDING_OPERATORS "operators"
#define FOUNDING_HUB "hub"

struct founding_plan {
    char name[NAME_MAX_LEN + 1]; /* of the network */
    struct underlay endpoint;
    bool ipv4;
    bool all_on_this_host;                  /* operator and hub are one device: no invite for the hub, and */
    uint8_t sequencer[ED25519_PUBLIC_SIZE]; /* its controller's key comes with the operator's join */
    uint64_t join_before;                   /* for the hub; s since 1970 */
    uint64_t time;                          /* s since 1970 */
    void (*random)(void *context, void *out, size_t len);
    void *context;
};

/* Keys of the operator's machine, and of the owner. All secret. */
struct founding_keys {
    uint8_t root[ED25519_SEED_SIZE];
    uint8_t roles[ED25519_SEED_SIZE];
    uint8_t signing[ED25519_SEED_SIZE];
    uint8_t static_private[X25519_SIZE];
};

/* Large, and holds secrets: the caller wipes it. `ticket` borrows from the rest. */
struct founding {
    struct founding_keys keys;
    struct ticket ticket; /* the seed is the hub's invite's; zero if all is on this host */
    uint8_t statements[TICKET_FOUNDING_STATEMENTS_MAX][FOUNDING_STATEMENT_MAX];
    uint8_t openings[2][FOUNDING_OPENING_MAX];
};

/* What signs, and the keys that a join brings. */
struct founding_join {
    const struct invite_keys *invite;
    const uint8_t *invite_hash;
    const uint8_t *signing;        /* seed of the device */
    const uint8_t *static_private; /* of the device */
    const uint8_t *sequencer;      /* public; NULL: none */
};
/* Returns the length of the join statement in `out`, which has FOUNDING_STATEMENT_MAX bytes. */
must_check int founding_join(struct crypto *c, uint8_t *out, const struct network_id *network,
                             const struct founding_join *join);

/* Appends a statement to a founding ticket, borrowed by it. ERROR_FULL. */
must_check int founding_append(struct ticket *ticket, const uint8_t *statement, size_t len, uint64_t time);

must_check int founding_make(struct crypto *c, struct founding *out, const struct founding_plan *plan);

#endif
