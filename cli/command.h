/* What a subcommand of nightjar is, and what all of them share. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "crypto/crypto.h"

#include "arguments.h"

enum exit_code { EXIT_DONE = 0, EXIT_NO = 1, EXIT_WRONG_USE = 2 };

struct cli {
    const char *state; /* path of STATE as given */
    bool json;
    bool quiet; /* no progress on stderr */
    bool mute;  /* nor failures: what failed is told otherwise */
    struct crypto *crypto;
};

struct command {
    const char *name;             /* "policy check" has two words */
    const char *summary;          /* one line */
    const char *usage;            /* behind the name */
    const char *help;             /* a text that teaches, with an example */
    const struct option *options; /* ends with a NULL name; besides --state, --json, --help */
    unsigned operands_min, operands_max;
    int (*run)(struct cli *cli, const struct arguments *arguments); /* enum exit_code */
};

/* All of them, in the order in which help lists them; ends with a NULL name. */
extern const struct command commands[];

int command_init(struct cli *cli, const struct arguments *arguments);
int command_invite(struct cli *cli, const struct arguments *arguments);
int command_join(struct cli *cli, const struct arguments *arguments);
int command_up(struct cli *cli, const struct arguments *arguments);
int command_down(struct cli *cli, const struct arguments *arguments);
int command_status(struct cli *cli, const struct arguments *arguments);
int command_devices(struct cli *cli, const struct arguments *arguments);
int command_ping(struct cli *cli, const struct arguments *arguments);
int command_can(struct cli *cli, const struct arguments *arguments);
int command_doctor(struct cli *cli, const struct arguments *arguments);
int command_policy_check(struct cli *cli, const struct arguments *arguments);
int command_policy_publish(struct cli *cli, const struct arguments *arguments);
int command_policy_test(struct cli *cli, const struct arguments *arguments);
int command_policy_diff(struct cli *cli, const struct arguments *arguments);
int command_policy_show(struct cli *cli, const struct arguments *arguments);
int command_revoke(struct cli *cli, const struct arguments *arguments);
int command_isolate(struct cli *cli, const struct arguments *arguments);
int command_restore(struct cli *cli, const struct arguments *arguments);
int command_uninvite(struct cli *cli, const struct arguments *arguments);

#endif
