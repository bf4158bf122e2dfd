/* The greatest initiation timestamp of each static key, in a file that is replaced as a whole (write, fsync, rename).
 */
#ifndef INTEROP_TIMESTAMPS_H
#define INTEROP_TIMESTAMPS_H

#include "base/error.h"
#include "wire/message.h"

struct timestamps;

/* Loads DIR/NAME.timestamps; makes DIR if it is missing. A missing file is empty; one with another format is refused
 * (ERROR_MALFORMED) and left as it is. */
must_check int timestamps_open(struct timestamps **out, const char *dir, const char *name);
void timestamps_close(struct timestamps *t);
/* The timestamp kept for a key, or NULL. */
const uint8_t *timestamps_find(const struct timestamps *t, const uint8_t key[MESSAGE_KEY_SIZE]);
/* Notes a timestamp; a lesser one than is kept changes nothing. */
must_check int timestamps_note(struct timestamps *t, const uint8_t key[MESSAGE_KEY_SIZE],
                               const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE]);
/* Makes all that was noted durable. */
must_check int timestamps_commit(struct timestamps *t);

#endif
