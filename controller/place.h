/* Where a controller keeps its things: one directory, its own, that it is confined to. */
#ifndef CONTROLLER_PLACE_H
#define CONTROLLER_PLACE_H

#include "crypto/crypto.h"

#define PLACE_KEY_FILE "sequencer" /* the seed, 32 bytes, mode 0600 */

/* Makes the directory (0700, the controller's) if there is none. */
must_check int place_make(const char *dir);
/* Goes into `dir`, gives up what is not needed, and can see nothing else afterwards (as
 * root). `fds`: DROP_FD bits of what stays open. */
must_check int place_enter(const char *dir, uint64_t fds);

/* The sequencer's seed, in the place that was entered; wiped by the caller. ERROR_NOT_FOUND; ERROR_MALFORMED. */
must_check int place_read_key(uint8_t seed[ED25519_SEED_SIZE]);
/* The same; made first, durably, if there is none. */
must_check int place_make_key(uint8_t seed[ED25519_SEED_SIZE]);

/* Makes durable that the files in it are there. */
must_check int place_sync(void);

#endif
