/* What is wrong with a policy file, collected in order. */
#ifndef POLICY_DOCUMENT_ERROR_H
#define POLICY_DOCUMENT_ERROR_H

#include "policy/document.h"

struct complaints {
    struct policy_error *errors; /* the caller's */
    uint32_t max, count;         /* count <= max */
    bool any;                    /* also if there was no room */
};

struct place {
    uint32_t line, column; /* from 1 */
};

/* The pieces (`const char *`) are joined, what is not printable ASCII is shown as '?', and what does not fit is cut
 * off. */
#define complain(complaints, at, ...) complain_pieces(complaints, at, __VA_ARGS__, (const char *)NULL)
void complain_pieces(struct complaints *c, struct place at, ...) __attribute__((sentinel));
/* In order of place. */
void complaints_sort(struct complaints *c);

#endif
