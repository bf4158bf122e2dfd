/* The controller's store: every entry and every opening, in one SQLite database. */
#ifndef CONTROLLER_STORE_H
#define CONTROLLER_STORE_H

#include "ledger/sequencer.h"

struct store;

#define STORE_FILE "ledger.sqlite"
#define STORE_VERSION 1 /* of the schema (PRAGMA user_version) */

/* `vfs`: of SQLite; NULL: its own. Nobody else opens it meanwhile. `store_create` makes one where there is none, and
 * opens the one that is there. ERROR_NOT_FOUND; ERROR_UNSUPPORTED: of another version, left untouched; ERROR_MALFORMED:
 * no store of ours, or damaged; ERROR_IN_USE; ERROR_NO_SPACE; ERROR_IO. */
must_check int store_open(struct store **out, const char *path, const char *vfs);
must_check int store_create(struct store **out, const char *path, const char *vfs);
void store_close(struct store *s);

/* Hands over all entries in order; `each` returning non-zero ends it, and that is returned. Borrowed for the call. */
must_check int store_restore(struct store *s, int (*each)(void *context, const struct sequencer_entry *entry),
                             void *context);

/* One transaction, durable on return. On failure the entry is not in the store as it is now; after a power cut it may
 * be, as the last one, if its very last write failed. */
must_check int store_append(struct store *s, const struct sequencer_entry *entry);

#endif
