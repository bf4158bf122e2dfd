/* The body of a statement: one table says which fields each kind has; reading and writing both go by it. Internal to
 * src/ledger. */
#ifndef LEDGER_STATEMENT_BODY_H
#define LEDGER_STATEMENT_BODY_H

#include "base/cursor.h"
#include "ledger/statement.h"

/* Fills kind, network and the union of a zeroed `s` from a whole body. Views borrow `bytes`. ERROR_MALFORMED. */
must_check int statement_body_decode(struct statement *s, const uint8_t *bytes, size_t len);

#endif
