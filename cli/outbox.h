/* Hands a signed statement to the network: into STATE/outbox, durably, and a knock at the daemon. */
#ifndef CLI_OUTBOX_H
#define CLI_OUTBOX_H

#include "ledger/fold.h"
#include "ledger/statement.h"
#include "state.h"

struct outbox_opening {
    const uint8_t *bytes;
    size_t len;
};

enum outbox_outcome {
    OUTBOX_FAILED,  /* said; nothing was handed in */
    OUTBOX_STANDS,  /* a signed head covers it */
    OUTBOX_PENDING, /* it will be sent as soon as there is a way */
    OUTBOX_REFUSED, /* said */
};

/* What a command that handed something in ends with, once all else went well. */
int outbox_exit_code(enum outbox_outcome outcome, const struct arguments *arguments);

/* Unlocks STATE once it is written. Waits up to 10 s. `what` names it in sentences ("The invite of pump-3"). */
must_check enum outbox_outcome outbox_submit(struct cli *cli, const struct state *s, const char *what,
                                             const uint8_t *statement, size_t len,
                                             const struct outbox_opening *openings, uint32_t opening_count);

#endif
