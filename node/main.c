/* nightjard: a node's daemon. It executes itself as each of its processes (docs/PRIVSEP.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "parent.h"
#include "proc/messages.h"
#include "roles.h"

#define EXIT_USAGE 2
#define STATE_DEFAULT "/var/lib/nightjar"
#define ROLE "--role="

static const char help[] =
    "nightjard is the daemon of a node; nightjar up and nightjar join start it.\n"
    "\n"
    "  nightjard [--state DIR] [--foreground] [--darken [--keep tcp/PORT]...] [--listen PORT] [--ready-fd N]\n"
    "  nightjard --join [--state DIR] [--ready-fd N]    become a member, and end\n"
    "  nightjard --undarken [--state DIR]               undo what a dead daemon's --darken left\n"
    "\n"
    "DIR is NIGHTJAR_STATE, or " STATE_DEFAULT ", unless said. To N is written \"ready\", or why not.\n";

static const struct {
    const char *name;
    int (*main)(const char *option);
} roles[] = {
    {"keys", keys_main},
    {"engine", engine_main},
    {"state", state_main},
};

/* Only the parent starts one, with a socket where it speaks. */
static bool has_parent(void)
{
    struct stat status;
    return fstat(PROC_FD_PARENT, &status) == 0 && S_ISSOCK(status.st_mode);
}

static int run_role(const char *name, const char *option)
{
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strcmp(roles[i].name, name) == 0 && has_parent())
            return roles[i].main(option);
    fprintf(stderr, "nightjard: --role is for nightjard itself.\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct options options;
    char complaint[256];
    const char *state = getenv("NIGHTJAR_STATE");
    if (argc >= 2 && argc <= 3 && strncmp(argv[1], ROLE, strlen(ROLE)) == 0)
        return run_role(argv[1] + strlen(ROLE), argv[2]);
    if (options_parse(&options, argc, argv, state && *state ? state : STATE_DEFAULT, complaint) != 0) {
        fprintf(stderr, "nightjard: %s\n", complaint);
        return EXIT_USAGE;
    }
    if (options.mode == MODE_HELP)
        return fputs(help, stdout) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    return parent_main(&options);
}
