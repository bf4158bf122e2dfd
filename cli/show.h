/* Results on stdout. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <jansson.h>

#include "command.h"
#include "identity/ticket.h"

/* The object as one line, with "schema" and "ok" added. Consumed. Returns EXIT_DONE, or EXIT_NO when there is no memory
 * or stdout takes nothing. */
int show_json(json_t *object);

/* The ticket as a line, or as a QR code in UTF-8 blocks; with --json as a field of `more` (consumed; may be NULL). */
must_check int ticket_show(struct cli *cli, const struct ticket *ticket, bool qr, json_t *more);

#endif
