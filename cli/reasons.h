/* STATE/owner/taken: what was taken away and given back from this machine, and why. A statement holds no reason, so
 * that nobody else learns it. A line of JSON for each:
 * {"time", "act", "device", "id", "statement", "reason"}; id and statement in hexadecimal digits. */
#ifndef CLI_REASONS_H
#define CLI_REASONS_H

#include <jansson.h>

#include "state.h"

#define REASON_MAX 500 /* bytes */

/* Printable UTF-8 of that length. */
bool reason_is_valid(const char *reason);
/* Adds a line durably; consumes it. A failure has been said. */
must_check int reasons_add(struct cli *cli, const struct state *s, json_t *line);
/* Puts "reason", "taken_at" and "taken_by" (the act) into the devices of a daemon's answer that are not there any more,
 * as far as this machine knows them. Without STATE/owner, or leave to read it: nothing. */
void reasons_show(struct cli *cli, json_t *answer);

#endif
