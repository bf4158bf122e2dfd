/* The fold: the state of a network as a pure function of its ledger, from clear fields alone, the same for everyone.
 * Entries that nobody had the right to make extend the chain and change nothing else: they are void. */
#ifndef LEDGER_FOLD_H
#define LEDGER_FOLD_H

#include "ledger/head.h"

struct fold;

#define FOLD_DEVICES_MAX (1u << 20)  /* invited ever */
#define FOLD_SUBJECTS_MAX (1u << 20) /* named ever */
#define FOLD_ISOLATIONS_MAX 256u     /* of one device ever, lifted ones included */

/* X(name, sentence): what becomes of a statement. */
#define FOLD_VERDICTS(X)                                                                                      \
    X(STANDS, "The statement stands.")                                                                        \
    X(ALREADY, "It was so already.")                                                                          \
    X(WRONG_NETWORK, "It was made for another network.")                                                      \
    X(NOT_ENTITLED, "None of its signers may say this.")                                                      \
    X(BAD_SIGNATURE, "A signature in it is wrong.")                                                           \
    X(UNKNOWN_INVITE, "It names an invite that the ledger does not hold.")                                    \
    X(INVITE_EXISTS, "The ledger holds an invite with these keys already.")                                   \
    X(LATE, "The invite's time to join has passed.")                                                          \
    X(USED, "Another device has joined with this ticket already.")                                            \
    X(UNINVITED, "The invite was taken back.")                                                                \
    X(REVOKED, "The device was revoked.")                                                                     \
    X(NOT_JOINED, "The device has not joined.")                                                               \
    X(KEY_TAKEN, "Another device has this key already.")                                                      \
    X(OLD_POLICY, "It was written against a policy that is no longer the latest; write it against that one.") \
    X(OLD_ROOT, "Its version is not the one that follows the root in force.")                                 \
    X(WRONG_PLACE, "It does not continue the ledger where it says.")                                          \
    X(OLD_NUMBER, "It comes after a later one of its kind.")                                                  \
    X(NOTHING_TO_RESTORE, "It names no isolation that is in force.")                                          \
    X(CONTRADICTS_ITSELF, "Its fields contradict each other.")                                                \
    X(INCOMPLETE, "An opening that it commits to is missing.")                                                \
    X(SCOPE, "It touches what its signer's scope does not list.")                                             \
    X(NAME_TAKEN, "The name is taken.")                                                                       \
    X(ADDRESS_TAKEN, "The IPv4 address is taken.")                                                            \
    X(FULL, "A fixed limit has been reached.")                                                                \
    X(STORE, "The controller could not store it; it will be tried again.")                                    \
    X(MALFORMED, "It does not have the form of a statement.")
enum fold_verdict {
#define FOLD_VERDICT_ENUM(name, sentence) VERDICT_##name,
    FOLD_VERDICTS(FOLD_VERDICT_ENUM) VERDICT_COUNT
#undef FOLD_VERDICT_ENUM
};
const char *fold_verdict_sentence(enum fold_verdict v);

enum device_state { DEVICE_INVITED, DEVICE_JOINED, DEVICE_UNINVITED, DEVICE_REVOKED };

/* One invite and what came of it. */
struct fold_device {
    struct device_id id;
    uint8_t invite[SHA256_SIZE];
    struct statement_invite terms;
    uint8_t admitted_by[ED25519_PUBLIC_SIZE]; /* the admission key that signed the invite */
    uint8_t admitted_scope[SHA256_SIZE];      /* its scope's commitment then; zero: not scoped */
    enum device_state state;
    uint8_t join[SHA256_SIZE]; /* hash of the join statement that stands; zero: none */
    uint8_t signing_public[ED25519_PUBLIC_SIZE];
    uint8_t static_public[X25519_SIZE];
    uint64_t joined_at;     /* the entry's index */
    uint64_t rotate_number; /* 0: never rotated */
    uint32_t isolate_count; /* isolations in force, sequenced; names of them are in the record */
};

/* An empty fold: its first entry must be a first root. `c` is borrowed for the fold's life. */
must_check int fold_new(struct fold **out, struct crypto *c);
void fold_free(struct fold *f);

/* What would become of a statement as the next entry at `time` (s). Signatures are verified, and each one must be of a
 * signer who may say this: none is there for nothing. Changes nothing. VERDICT_STORE: there was not enough memory to
 * tell. */
must_check enum fold_verdict fold_judge(const struct fold *f, const struct statement *s, uint64_t time);
/* Makes it the next entry. A void one extends the chain only. `time` below the last one's, or an empty fold and not a
 * first root that stands: ERROR_INVALID. A first root's time, and that of one that replaces sequencers, is the one in
 * it; `time` is not looked at, and what is kept is fold_head's. ERROR_MEMORY leaves the fold as it was; ERROR_CRYPTO
 * leaves one that is good for nothing but fold_free. A root that replaces sequencers must continue this very head: see
 * fold_replaces. */
must_check int fold_apply(struct fold *f, const struct statement *s, uint64_t time, enum fold_verdict *verdict);
/* As fold_apply, for entries that were judged before by this same program and kept: no signature is verified. With a
 * verdict other than VERDICT_STANDS only `s->hash` is read, which is also how an entry that is no statement at all
 * takes its place. ERROR_INVALID: it cannot have stood here. */
must_check int fold_apply_trusted(struct fold *f, const struct statement *s, uint64_t time, enum fold_verdict verdict);

/* Whether `s`, a root that replaces sequencers, is rightly signed under this fold's root and names an entry from that
 * root's on: the fold at `s->root.last` is to be rebuilt by the caller and `s` applied there. */
bool fold_replaces(const struct fold *f, const struct statement *s);

/* A take-away (revoke, isolate, uninvite) that is not in the ledger yet, but counts at once since its signer stands in
 * the latest root. VERDICT_STANDS or why not. It is not part of the root hash or of
 * fold_save; once it is sequenced, or a new root lacks its signer, it is dropped here. ERROR_INVALID: another kind. */
must_check int fold_take_away(struct fold *f, const struct statement *s, enum fold_verdict *verdict);

/* The Merkle root over all records in order of first entry (RFC 6962 section 2.1 hashing). */
void fold_root(const struct fold *f, uint8_t out[SHA256_SIZE]);
const struct head *fold_head(const struct fold *f); /* index UINT64_MAX: empty */
const struct network_id *fold_network(const struct fold *f);
const struct statement_root *fold_latest_root(const struct fold *f);
/* Whether a key is a sequencer now: the root's, or the one that the founding invite's join brought. */
bool fold_sequences(const struct fold *f, const uint8_t key[ED25519_PUBLIC_SIZE]);

/* Devices in order of their invites. Pointers hold until the next change. */
uint32_t fold_device_count(const struct fold *f);
const struct fold_device *fold_device_at(const struct fold *f, uint32_t i);
const struct fold_device *fold_device_by_id(const struct fold *f, const struct device_id *id);
const struct fold_device *fold_device_by_invite(const struct fold *f, const uint8_t hash[SHA256_SIZE]);
const struct fold_device *fold_device_by_signing_key(const struct fold *f, const uint8_t key[ED25519_PUBLIC_SIZE]);
const struct fold_device *fold_device_by_static_key(const struct fold *f, const uint8_t key[X25519_SIZE]);
const struct fold_device *fold_device_by_invite_static_key(const struct fold *f, const uint8_t key[X25519_SIZE]);
/* Joined, and neither revoked nor isolated, by the ledger or by a take-away that waits. */
bool fold_device_is_live(const struct fold *f, const struct fold_device *d);
/* Invited, not joined, and neither taken back nor late at `time`. */
bool fold_invite_is_open(const struct fold *f, const struct fold_device *d, uint64_t time);
/* The isolations in force of a device, by hash; returns their number (up to `max` are written). */
uint32_t fold_isolations(const struct fold *f, const struct device_id *id, uint8_t (*out)[SHA256_SIZE], uint32_t max);
/* The same of those that wait for their place in the ledger. */
uint32_t fold_isolations_waiting(const struct fold *f, const struct device_id *id, uint8_t (*out)[SHA256_SIZE],
                                 uint32_t max);
/* Its state, a revoke or uninvite that waits included. */
enum device_state fold_device_state(const struct fold *f, const struct fold_device *d);

/* Policy: the version in force, its statement's hash (zero: none yet), and each subject's commitment. */
uint64_t fold_policy_version(const struct fold *f);
void fold_policy_hash(const struct fold *f, uint8_t out[SHA256_SIZE]);
uint64_t fold_policy_time(const struct fold *f); /* of its entry; 0: none yet */
/* Subjects ever named, in order; false: this one has no rules now. */
uint32_t fold_subject_count(const struct fold *f);
bool fold_subject_at(const struct fold *f, uint32_t i, struct subject *out, uint8_t commitment[SHA256_SIZE]);
/* False: no rules name it. */
bool fold_subject(const struct fold *f, const struct subject *s, uint8_t commitment[SHA256_SIZE]);

/* The root of trust for software; false: none yet. */
bool fold_release(const struct fold *f, struct statement_release *out);

/* The fold as bytes (records in order, the head), the same for everyone at one index; 0 from fold_load if it is well
 * formed: compare fold_root and fold_head with what you trust. `out` NULL: the length needed. */
must_check int64_t fold_save(const struct fold *f, uint8_t *out, size_t capacity);
must_check int fold_load(struct fold **out, struct crypto *c, const uint8_t *bytes, size_t len);

#endif
