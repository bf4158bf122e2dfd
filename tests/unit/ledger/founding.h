/* A network's first entries, and statements for it, as `init` and `invite` make them; all keys come from small numbers.
 */
#ifndef TESTS_LEDGER_FOUNDING_H
#define TESTS_LEDGER_FOUNDING_H

#include "ledger/blob.h"
#include "ledger/fold.h"
#include "ledger/opening.h"

#define FOUNDING_TIME UINT64_C(1800000000)
#define FOUNDING_ENTRIES 6 /* root, operator's invite and join, hub's invite, policy, hub's join */
#define FOUNDING_OPENINGS 3

/* A statement and the one opening that it may commit to. */
struct made {
    uint8_t bytes[8192];
    size_t len;
    uint8_t hash[SHA256_SIZE];
    uint8_t opening[2048];
    size_t opening_len;
    uint8_t invite_seed; /* of an invite: what join_under takes */
};

struct founding {
    struct crypto *crypto;
    struct network_id network;
    struct made entries[FOUNDING_ENTRIES];
    struct made scope; /* its opening alone */
};

/* Keys by number. */
void seed_of(uint8_t out[32], uint8_t number);
enum { OWNER = 1, ROLE = 2, SCOPED_ROLE = 3, SEQUENCER = 4, OPERATOR = 5, HUB = 6, DEVICES = 20, INVITES = 100 };

/* The scoped role may admit names "site-*". */
void founding_make(struct founding *f, struct crypto *c);

struct invite_of {
    const char *name;
    uint8_t seed;         /* of the invite's keys: a number */
    uint8_t ipv4;         /* last byte; 0: none */
    uint8_t signer;       /* 0: ROLE */
    uint64_t join_before; /* 0: an hour after founding */
};
void invite_make(struct made *out, const struct founding *f, const struct invite_of *what);
void join_make(struct made *out, const struct founding *f, const struct made *invite, uint8_t device, bool sequences);
void about_make(struct made *out, const struct founding *f, enum statement_kind kind, const struct made *invite);

/* A root that makes this key the sequencer from behind `last` on. */
void replace_make(struct made *out, const struct founding *f, uint8_t sequencer, const struct ledger_place *last,
                  uint64_t time);

/* The next root, which replaces the sequencers by this one key, behind the fold's last entry. */
void root_make(struct made *out, const struct founding *f, const struct fold *fold, uint8_t sequencer);

/* [statement, [opening]] without the opening if `bare`; the caller frees `bytes`. */
void submission_make(struct blob_writer *out, const struct made *m, bool bare);
/* [entries, [openings]] for controller/keeper.h; the caller frees. */
void founding_blob(struct blob_writer *out, const struct founding *f);

#endif
