/* Receiver indices: what a message's 32-bit index means here. Indices are random; no two share their low bits under the
 * table's mask, so a lookup is one load and one comparison. One writer; readers look up without locks. */
#ifndef TUNNEL_INDEX_TABLE_H
#define TUNNEL_INDEX_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "base/reclaim.h"

struct index_slots;

struct index_table {
    _Atomic(struct index_slots *) slots;
    uint32_t used;
};

must_check int index_table_init(struct index_table *table);
/* No reader may be inside. */
void index_table_clear(struct index_table *table);

/* Claims the candidate index for `value` (not NULL) if it is not 0 and its slot is free; ERROR_EXISTS when it is
 * taken: draw another. Grows when half full (ERROR_MEMORY). Candidates come from the caller's entropy. */
must_check int index_table_claim(struct index_table *table, struct reclaim *reclaim, uint32_t index, void *value);
/* Replaces the value behind a claimed index. */
void index_table_replace(struct index_table *table, uint32_t index, void *value);
void index_table_release(struct index_table *table, uint32_t index);
/* The value, or NULL. */
void *index_table_lookup(const struct index_table *table, uint32_t index);

#endif
