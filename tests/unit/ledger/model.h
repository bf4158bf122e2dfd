/* The fold's slow model: a list of the statements that stand, and every question answered by reading it from one end to
 * the other. Nothing is shared with src/ledger/fold*.c. */
#ifndef TESTS_UNIT_LEDGER_MODEL_H
#define TESTS_UNIT_LEDGER_MODEL_H

#include "people.h"

#define FACTS_MAX 128
#define MODEL_WAITING_MAX 32

struct fact {
    struct statement s; /* borrows its bytes */
    uint64_t time, index;
};

struct model {
    struct crypto *c;
    uint32_t count;
    struct fact facts[FACTS_MAX]; /* those that stand, in order */
    struct head head;
    uint32_t waiting_count;
    struct statement waiting[MODEL_WAITING_MAX]; /* take-aways that are not in the ledger */
};

/* What becomes of `s`, whose signatures are wrong if `forged`. */
enum fold_verdict model_judge(const struct model *m, const struct statement *s, uint64_t time, bool forged);
/* The next entry, whose bytes must outlive the model. */
void model_apply(struct model *m, const struct statement *s, uint64_t time, enum fold_verdict verdict);
enum fold_verdict model_take_away(struct model *m, const struct statement *s, bool forged);

const struct statement_root *model_root(const struct model *m);
bool model_sequences(const struct model *m, const uint8_t *key);
uint32_t model_device_count(const struct model *m);
/* The i-th device, as the fold shows it. */
void model_device(const struct model *m, uint32_t i, struct fold_device *out);
bool model_is_live(const struct model *m, const struct fold_device *d);
bool model_is_open(const struct model *m, const struct fold_device *d, uint64_t time);
uint32_t model_isolations(const struct model *m, const struct fold_device *d, uint8_t (*out)[SHA256_SIZE]);
/* The latest of a kind; NULL: none. */
const struct fact *model_latest(const struct model *m, enum statement_kind kind);
bool model_subject(const struct model *m, const struct subject *s, uint8_t commitment[SHA256_SIZE]);
void model_merkle_root(const struct model *m, uint8_t out[SHA256_SIZE]);

#endif
