/* What the files of the fold share. Internal to src/ledger. */
#ifndef LEDGER_FOLD_INTERNAL_H
#define LEDGER_FOLD_INTERNAL_H

#include "base/cursor.h"
#include "ledger/fold.h"
#include "ledger/key_index.h"
#include "ledger/merkle.h"

#define RECORD_MAX 9216u /* bytes; a device with FOLD_ISOLATIONS_MAX isolations is the greatest */
#define TAKE_AWAYS_MAX 4096u
#define NOWHERE UINT32_MAX

enum record_kind { RECORD_ROOT = 1, RECORD_DEVICE = 2, RECORD_POLICY = 3, RECORD_SUBJECT = 4, RECORD_RELEASE = 5 };

/* Where a record's content is: a position among the devices or subjects, 0 for the others. */
struct record {
    enum record_kind kind;
    uint32_t item;
};

struct root_in_force {
    struct statement_root root;
    uint8_t hash[SHA256_SIZE];
    uint64_t at; /* its entry's index */
    bool founded;
    uint8_t sequencer[ED25519_PUBLIC_SIZE]; /* that the founding invite's join brought */
};

struct policy_in_force {
    uint64_t version;
    uint8_t hash[SHA256_SIZE];
    uint64_t time; /* its entry's */
};

struct release_in_force {
    uint64_t version;
    uint8_t hash[SHA256_SIZE];
    uint8_t statement[SHA256_SIZE];
};

struct device {
    struct fold_device is;
    uint32_t record;
    uint32_t isolation_total;                 /* lifted ones too */
    uint32_t first_isolation, last_isolation; /* NOWHERE: none */
    uint8_t waiting;                          /* fold_waiting_bit of each take-away that waits */
};

struct subject_record {
    struct subject id;
    uint32_t record;
    bool gone;
    uint8_t commitment[SHA256_SIZE];
};

/* Lifted ones are kept, so that none can be said again. */
struct isolation {
    uint8_t hash[SHA256_SIZE];
    uint32_t device;
    uint32_t next; /* of the same device, in order; NOWHERE: the last */
    bool lifted;
};

/* A take-away that counts but is not in the ledger yet. */
struct take_away {
    uint8_t hash[SHA256_SIZE];
    uint8_t signer[ED25519_PUBLIC_SIZE];
    enum statement_kind kind;
    uint32_t device;
};

enum fold_index {
    BY_INVITE, /* by the first 16 bytes of its hash: the device id */
    BY_INVITE_SIGNING,
    BY_INVITE_STATIC,
    BY_SIGNING,
    BY_STATIC,
    BY_SUBJECT,
    BY_ISOLATION,
    FOLD_INDICES
};

struct fold {
    struct crypto *c;
    struct head head;
    struct network_id network;
    struct root_in_force root;
    struct policy_in_force policy;
    struct release_in_force release;
    uint32_t policy_record, release_record; /* NOWHERE: none yet */

    struct record *records; /* in order of first entry */
    uint32_t record_count, record_capacity;
    struct device *devices;
    uint32_t device_count, device_capacity;
    struct subject_record *subjects;
    uint32_t subject_count, subject_capacity;
    struct isolation *isolations;
    uint32_t isolation_count, isolation_capacity;
    struct take_away *take_aways;
    uint32_t take_away_count, take_away_capacity;

    struct key_index indices[FOLD_INDICES];
    struct merkle tree;
    uint8_t *scratch; /* 1 + RECORD_MAX */
    int broken;       /* a hash failed halfway: nothing more is applied */
};

bool fold_is_empty(const struct fold *f);
/* The position that an index has for a key, or NOWHERE. */
uint32_t fold_find(const struct fold *f, enum fold_index by, const uint8_t *key);
/* The device of an invite, by the whole hash; NOWHERE. */
uint32_t fold_find_invite(const struct fold *f, const uint8_t hash[SHA256_SIZE]);
const struct root_role *fold_find_role(const struct fold *f, const uint8_t key[ED25519_PUBLIC_SIZE]);
/* The roles of which one is needed for a statement of this kind; 0: roles do not matter. */
uint8_t fold_roles_for(enum statement_kind kind);

/* Judging, with or without verifying signatures. A failure of the machine rather than of the statement: *error, and the
 * verdict is void of meaning. */
enum fold_verdict fold_judge_as(const struct fold *f, const struct statement *s, uint64_t time, bool verify,
                                int *error);
/* Whether the fields of a root contradict each other, whatever the ledger says. */
bool root_contradicts_itself(const struct statement_root *r);

/* Room for that many more of each, so that adding them cannot fail. */
must_check int fold_reserve(struct fold *f, uint32_t devices, uint32_t subjects, uint32_t isolations);
/* Adds a record, and what it speaks of; room must be reserved. Indices are up to date afterwards. */
uint32_t fold_add_record(struct fold *f, enum record_kind kind, uint32_t item);
struct device *fold_add_device(struct fold *f, const struct fold_device *is);
void fold_add_joined(struct fold *f, struct device *d);
struct subject_record *fold_add_subject(struct fold *f, const struct subject *id);
void fold_add_isolation(struct fold *f, struct device *d, const uint8_t hash[SHA256_SIZE], bool lifted);
/* Hashes a record anew after it was changed. A failure breaks the fold. */
void fold_touch(struct fold *f, uint32_t record);

/* A take-away's bit in `waiting`; 0: that kind takes nothing away. */
uint8_t fold_waiting_bit(enum statement_kind kind);
/* An entry was made: the same take-away waits no longer, nor do those whose signers a new root lacks. */
void fold_settle_take_aways(struct fold *f, const struct statement *s, bool stands);

/* One record as bytes; errors stick in the cursor. */
void record_put(const struct fold *f, uint32_t record, struct cursor *c);
/* Reads the next record into the fold. ERROR_MALFORMED, ERROR_MEMORY. */
must_check int record_get(struct fold *f, struct cursor *c);

#endif
