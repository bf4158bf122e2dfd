/* Openings: the private content that a statement commits to. The CBOR array [salt (16 bytes), kind, content map]; the
 * commitment is SHA-256 of all its bytes. Unknown keys: in invites and scopes malformed, in rules the rule allows
 * nothing. */
#ifndef LEDGER_OPENING_H
#define LEDGER_OPENING_H

#include "identity/identity.h"
#include "policy/rules.h"

#define OPENING_MAX 65535u
#define OPENING_SALT_SIZE 16
#define OPENING_GROUPS_MAX 32
#define OPENING_SCOPE_ENTRIES_MAX 64

enum opening_kind { OPENING_INVITE = 1, OPENING_SCOPE = 2, OPENING_RULES = 3 };

struct opening_group {
    struct subject id;
    char name[NAME_MAX_LEN + 1];
};

struct opening_invite {
    char name[NAME_MAX_LEN + 1];
    char site[NAME_MAX_LEN + 1]; /* empty: none */
    uint32_t group_count;
    struct opening_group groups[OPENING_GROUPS_MAX];
    bool has_ipv4;
    uint8_t ipv4[4];
    bool relay; /* may be one, at: */
    struct underlay endpoint;
    bool controller;
};

/* What a role key may touch. Names are exact, or a prefix that ends in '*'. Empty lists: none. */
struct opening_scope {
    uint32_t group_count, name_count, site_count;
    struct subject groups[OPENING_SCOPE_ENTRIES_MAX];
    char names[OPENING_SCOPE_ENTRIES_MAX][NAME_MAX_LEN + 2];
    char sites[OPENING_SCOPE_ENTRIES_MAX][NAME_MAX_LEN + 2];
    bool has_ipv4;
    uint8_t ipv4[4]; /* prefix */
    uint8_t ipv4_len;
};

struct opening {
    enum opening_kind kind;
    uint8_t salt[OPENING_SALT_SIZE];
    union {
        struct opening_invite invite;
        struct opening_scope scope;
        struct {
            struct subject subject;
            uint64_t version;     /* of the policy */
            struct rule_set *set; /* owned; opening_clear frees */
        } rules;
    };
};

must_check int opening_commitment(struct crypto *c, uint8_t out[SHA256_SIZE], const uint8_t *bytes, size_t len);
/* ERROR_MALFORMED, ERROR_MEMORY. opening_clear afterwards. */
must_check int opening_decode(struct opening *out, const uint8_t *bytes, size_t len);
void opening_clear(struct opening *o);
/* Returns the length; ERROR_OVERFLOW. */
must_check int opening_encode(const struct opening *o, uint8_t *out, size_t capacity);

/* Whether an invite stays within its signer's scope: name, site (if any), IPv4 (if any) and every group are listed. No
 * scope holds a relay or a controller: those take a key without one. */
bool scope_holds(const struct opening_scope *scope, const struct opening_invite *invite);

#endif
