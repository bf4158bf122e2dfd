/* What is in some grants and not in others. Pure. */
#ifndef POLICY_DIFFERENCE_H
#define POLICY_DIFFERENCE_H

#include "policy/rules.h"

#define DIFFERENCE_MAX (2 * GRANTS_MAX)

/* What `a` holds and `b` does not; each ascending and merged, and so is what is written. Returns its number. */
uint32_t grants_minus(const struct grant *a, uint32_t a_count, const struct grant *b, uint32_t b_count,
                      struct grant out[DIFFERENCE_MAX]);

#endif
