/* What the node keeps of its network: the ledger's log and the openings' (ledger/kept.h), restored into the replica at
 * the start and added to as it goes. */
#ifndef NODE_STATE_STORE_H
#define NODE_STATE_STORE_H

#include <stdbool.h>

#include "ledger/replica.h"
#include "proc/files.h"

struct state_store;

/* Reads both logs; what is torn at their ends is cut off (`torn`: bytes). ERROR_MALFORMED: not what a node keeps. */
must_check int state_store_open(struct state_store **out, struct crypto *c, const struct files *ledger,
                                const struct files *openings, uint64_t *torn);
void state_store_close(struct state_store *s);

/* Whether nothing was kept yet; else which network it is of. */
bool state_store_is_empty(const struct state_store *s);
const struct network_id *state_store_network(const struct state_store *s);
/* Hands all to the replica in the order that it wants, and forgets its copies. Once. */
must_check int state_store_restore(struct state_store *s, struct replica *r);
/* Forgets what was kept, with the next commit: joining begins anew. */
void state_store_reset(struct state_store *s);

/* As the replica's ops of these names say. Durable with the next commit. */
void state_store_keep_entry(struct state_store *s, uint64_t index, uint64_t time, enum fold_verdict verdict,
                            const uint8_t *bytes, size_t len);
void state_store_keep_opening(struct state_store *s, const uint8_t *bytes, size_t len);
void state_store_keep_head(struct state_store *s, const uint8_t head[SIGNED_HEAD_SIZE]);
void state_store_keep_take_away(struct state_store *s, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes,
                                size_t len);
void state_store_keep_base(struct state_store *s, const uint8_t *fold, size_t len);
void state_store_keep_floor(struct state_store *s, uint64_t seconds);
void state_store_keep_evidence(struct state_store *s, const uint8_t a[SIGNED_HEAD_SIZE],
                               const uint8_t b[SIGNED_HEAD_SIZE]);

bool state_store_is_dirty(const struct state_store *s);
/* Openings first, so that no entry is ever kept without what was there before it. */
must_check int state_store_commit(struct state_store *s);

#endif
