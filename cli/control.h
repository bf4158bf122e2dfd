/* The daemon's control socket: JSON lines, one question and one answer at a time. */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include <jansson.h>
#include <sys/types.h>

#include "command.h"

struct control;

/* ERROR_NOT_FOUND: no daemon runs for this STATE; ERROR_PERMISSION; ERROR_IO. Says nothing. */
must_check int control_open(struct control **out, struct cli *cli);
void control_close(struct control *c);

/* The process that opened the socket: the daemon's first; 0: not known. */
pid_t control_peer(const struct control *c);

/* The start of the SHA-256 of STATE's real path, in hexadecimal: what the socket and the daemon's tables are named by.
 */
#define CONTROL_HASH_SIZE 17
must_check int control_hash(struct cli *cli, char out[CONTROL_HASH_SIZE]);

/* Asks {"v":1,"cmd":cmd,...more} and waits up to `timeout_ms` for the line that answers. `more` (may be NULL) is
 * consumed. The caller releases the answer; ERROR_AGAIN: none came; ERROR_MALFORMED, ERROR_GONE. */
must_check int control_ask(struct control *c, const char *cmd, json_t *more, int timeout_ms, json_t **answer);

/* Opens, asks and closes; a failure has been said, also one that the answer holds. NULL then. */
json_t *control_answer(struct cli *cli, const char *cmd, json_t *more, int timeout_ms);
/* The same, but an answer that is a no is returned too, and control_refused says it and returns true. */
json_t *control_answer_any(struct cli *cli, const char *cmd, json_t *more, int timeout_ms);
bool control_refused(struct cli *cli, const json_t *answer);

#endif
