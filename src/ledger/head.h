/* Heads: head(0) = the first root's hash; head(i) = SHA-256(head(i-1) || time(i) as 8 bytes big-endian || hash of
 * statement i). A signed head says what a sequencer has put in order and received. */
#ifndef LEDGER_HEAD_H
#define LEDGER_HEAD_H

#include "ledger/statement.h"

struct head {
    uint64_t index;
    uint8_t hash[SHA256_SIZE];
    uint64_t time; /* of the entry; s since 1970; never decreases */
};

must_check int head_extend(struct crypto *c, struct head *head, uint64_t time, const uint8_t statement[SHA256_SIZE]);

struct signed_head {
    struct head head; /* time: when it was signed, >= the entry's */
    uint8_t fold_root[SHA256_SIZE];
    uint8_t sequencer[ED25519_PUBLIC_SIZE];
    uint8_t signature[ED25519_SIGNATURE_SIZE];
};
/* Fixed: index 8, hash 32, time 8, fold root 32, sequencer 32, signature 64; integers big-endian. Signed is "nightjar
 * head 1\0" || network id || all before the signature. */
#define SIGNED_HEAD_SIZE 176

void signed_head_encode(const struct signed_head *h, uint8_t out[SIGNED_HEAD_SIZE]);
void signed_head_decode(struct signed_head *out, const uint8_t bytes[SIGNED_HEAD_SIZE]);
/* Fills `sequencer` and `signature`. */
must_check int signed_head_sign(struct crypto *c, struct signed_head *h, const struct network_id *network,
                                const uint8_t seed[ED25519_SEED_SIZE]);
/* 0 or ERROR_AUTHENTICATION; whether the sequencer may sign is the fold's to say (fold_sequences). */
must_check int signed_head_verify(struct crypto *c, const struct signed_head *h, const struct network_id *network);

#endif
