/* Statements: what is so in a network, signed by those who may say it.
 *
 * A statement is the CBOR array [body, [[key, signature], ...]]: `body` is a byte string that holds a CBOR map (key 0:
 * kind, key 1: network id, absent in the first root; then the kind's own), each signature is Ed25519 over
 * "nightjar statement 1\0" followed by the body; signatures ascend by key. Its hash is SHA-256 of all its bytes.
 * docs/PROTOCOL.md has every key.
 */
#ifndef LEDGER_STATEMENT_H
#define LEDGER_STATEMENT_H

#include "identity/identity.h"

#define STATEMENT_MAX 65535u
#define STATEMENT_SIGNATURES_MAX 16
#define ROOT_OWNERS_MAX 8
#define ROOT_ROLES_MAX 16
#define ROOT_SEQUENCERS_MAX 4
#define RESTORE_MAX 32

enum statement_kind {
    STATEMENT_ROOT = 1,
    STATEMENT_INVITE = 2,
    STATEMENT_UNINVITE = 3,
    STATEMENT_JOIN = 4,
    STATEMENT_ROTATE = 5,
    STATEMENT_POLICY = 6,
    STATEMENT_REVOKE = 7,
    STATEMENT_ISOLATE = 8,
    STATEMENT_RESTORE = 9,
    STATEMENT_RELEASE = 10,
};

/* Roles are bits: one key may hold several. */
enum role { ROLE_ADMISSION = 1, ROLE_POLICY = 2, ROLE_SAFETY = 4, ROLE_RELEASE = 8 };

struct root_role {
    uint8_t key[ED25519_PUBLIC_SIZE];
    uint8_t roles;              /* enum role bits */
    bool scoped;                /* may touch only what the scope's opening lists */
    uint8_t scope[SHA256_SIZE]; /* commitment */
};

/* Where the ledger stood. */
struct ledger_place {
    uint64_t index;
    uint8_t hash[SHA256_SIZE];
    uint8_t fold_root[SHA256_SIZE];
};

struct statement_root {
    uint64_t version;  /* 1, 2, ... */
    uint64_t time;     /* s since 1970 */
    uint8_t threshold; /* k of the owners */
    uint32_t owner_count;
    uint8_t owners[ROOT_OWNERS_MAX][ED25519_PUBLIC_SIZE];
    uint32_t role_count;
    struct root_role roles[ROOT_ROLES_MAX];
    uint32_t sequencer_count;
    uint8_t sequencers[ROOT_SEQUENCERS_MAX][ED25519_PUBLIC_SIZE];
    /* Version 1 only: the invite (by its signing key) whose join brings the first sequencer key. */
    bool founds;
    uint8_t founding_invite[ED25519_PUBLIC_SIZE];
    /* Replaces the sequencers: the last entry that stands; this root takes the next place. */
    bool replaces;
    struct ledger_place last;
};

struct statement_invite {
    uint8_t signing_public[ED25519_PUBLIC_SIZE];
    uint8_t static_public[X25519_SIZE];
    uint64_t join_before;  /* s since 1970 */
    uint64_t member_until; /* 0: for good */
    uint8_t commitment[SHA256_SIZE];
};

struct statement_join {
    uint8_t invite[SHA256_SIZE]; /* hash of the invite statement */
    uint8_t signing_public[ED25519_PUBLIC_SIZE];
    uint8_t static_public[X25519_SIZE];
    bool sequences; /* brings the first sequencer key (founding) */
    uint8_t sequencer[ED25519_PUBLIC_SIZE];
};

struct statement_rotate {
    uint8_t invite[SHA256_SIZE];
    uint64_t number; /* 1, 2, ...: an earlier one never comes after a later one */
    uint8_t static_public[X25519_SIZE];
};

/* One change of a policy: the subject's opening from now on, or that it has none. 16 + 1 + 32 bytes in the body's byte
 * string of changes: subject, 1 (stays) or 0 (gone), commitment (zero when gone); subjects ascend. */
#define POLICY_CHANGE_SIZE 49
struct policy_change {
    struct subject subject;
    bool gone;
    uint8_t commitment[SHA256_SIZE];
};
struct statement_policy {
    uint64_t version;
    uint8_t against[SHA256_SIZE]; /* the policy statement it was written against; zero for the first */
    uint32_t change_count;
    const uint8_t *changes; /* view: change_count * POLICY_CHANGE_SIZE bytes */
};
void statement_policy_change(const struct statement_policy *p, uint32_t i, struct policy_change *out);
/* Writes one change as the body holds it. */
void statement_policy_change_put(uint8_t out[POLICY_CHANGE_SIZE], const struct policy_change *change);

/* revoke, isolate, uninvite. */
struct statement_about {
    uint8_t invite[SHA256_SIZE];
    uint8_t nonce[16]; /* so that two isolates of one device differ */
};

struct statement_restore {
    uint32_t count;
    uint8_t isolates[RESTORE_MAX][SHA256_SIZE]; /* ascending */
};

struct statement_release {
    uint64_t version;
    uint8_t hash[SHA256_SIZE];
};

struct statement {
    enum statement_kind kind;
    uint8_t hash[SHA256_SIZE];
    const uint8_t *bytes; /* borrowed, as the next */
    size_t len;
    const uint8_t *body;
    size_t body_len;
    struct network_id network; /* zero in a first root */
    uint32_t signature_count;
    struct {
        const uint8_t *key;
        const uint8_t *signature;
    } signatures[STATEMENT_SIGNATURES_MAX]; /* no key twice */
    union {
        struct statement_root root;
        struct statement_invite invite;
        struct statement_join join;
        struct statement_rotate rotate;
        struct statement_policy policy;
        struct statement_about about;
        struct statement_restore restore;
        struct statement_release release;
    };
};

/* The door: form only, no signature is verified. Borrows `bytes`. ERROR_MALFORMED. Unknown kinds are malformed; unknown
 * keys in a body too: what a signer meant must be understood wholly. */
must_check int statement_decode(struct crypto *c, struct statement *out, const uint8_t *bytes, size_t len);

/* Whether `key` signed it: 0, ERROR_NOT_FOUND (no such signature), ERROR_AUTHENTICATION. */
must_check int statement_verify(struct crypto *c, const struct statement *s, const uint8_t key[ED25519_PUBLIC_SIZE]);

/* Writes the body of `s` (kind, network and the union are read). Returns its length. */
must_check int statement_body(const struct statement *s, uint8_t *out, size_t capacity);

struct signer {
    uint8_t seed[ED25519_SEED_SIZE];
};
/* Body and signatures in one: returns the statement's length. ERROR_OVERFLOW; ERROR_INVALID for what could not be
 * decoded. */
must_check int statement_sign(struct crypto *c, const struct statement *s, const struct signer *signers,
                              uint32_t signer_count, uint8_t *out, size_t capacity);

const char *statement_kind_name(enum statement_kind kind);

#endif
