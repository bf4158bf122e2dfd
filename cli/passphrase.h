/* The passphrase of the owner's keys, from the terminal or a descriptor; never from argv. */
#ifndef CLI_PASSPHRASE_H
#define CLI_PASSPHRASE_H

#include "command.h"

#define PASSPHRASE_MAX 1024

struct passphrase {
    size_t len; /* 0: none */
    char text[PASSPHRASE_MAX];
};

/* With --passphrase-fd N: one line from N; else asked on the terminal, twice if it is `fresh`. A failure has been said.
 * The caller wipes it. */
must_check int passphrase_get(struct cli *cli, const struct arguments *arguments, bool fresh, struct passphrase *out);

#endif
