/* nightjar: the command line. Exit codes: 0 done, 1 no, 2 wrong use. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "command.h"
#include "proc/drop.h"
#include "say.h"

#define STATE_DEFAULT "/var/lib/nightjar"
#define VERSION "0.1.0"

static const struct option common_options[] = {
    {"--state", "DIR", false, "the node's folder; else NIGHTJAR_STATE, else " STATE_DEFAULT},
    {"--json", NULL, false, "one JSON object on stdout"},
    {"--quiet", NULL, false, "no progress on stderr"},
    {"--help", NULL, false, "this text"},
    {0},
};

/* ---- Help ---- */

static void print_options(const struct option *options)
{
    for (const struct option *o = options; o->name; o++) {
        char form[40];
        snprintf(form, sizeof(form), "%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-22s  %s\n", form, o->help);
    }
}

static int help_all(void)
{
    puts("nightjar: an overlay network of machines that strangers cannot find\n"
         "\n"
         "usage: nightjar COMMAND ... [--state DIR] [--json]\n");
    for (const struct command *c = commands; c->name; c++)
        printf("  %-16s  %s\n", c->name, c->summary);
    puts("\nThe way in: an operator makes a network (init), one public host joins it with the founding ticket (join, "
         "up),\n"
         "and every machine with a ticket of its own (invite; join, up). Nothing may talk to anything until a policy "
         "says\n"
         "so (policy publish). \"nightjar COMMAND --help\" tells more of each.\n");
    print_options(common_options);
    return EXIT_DONE;
}

static int help_one(const struct command *c)
{
    printf("usage: nightjar %s%s%s%s\n\n%s", c->name, *c->usage ? " " : "", c->usage,
           c->options->name ? " [options]" : "", c->help);
    putchar('\n');
    print_options(c->options);
    print_options(common_options);
    return EXIT_DONE;
}

/* ---- Finding the command ---- */

/* How many of the words name this command: 0 if they do not. */
static int words_of(const struct command *c, int argc, char **argv)
{
    size_t first = strcspn(c->name, " ");
    if (argc < 1 || strlen(argv[0]) != first || memcmp(c->name, argv[0], first) != 0)
        return 0;
    if (c->name[first] == 0)
        return 1;
    return argc > 1 && strcmp(c->name + first + 1, argv[1]) == 0 ? 2 : 0;
}

static const struct command *find(int argc, char **argv, int *words)
{
    for (const struct command *c = commands; c->name; c++) {
        *words = words_of(c, argc, argv);
        if (*words > 0)
            return c;
    }
    return NULL;
}

static int unknown(int argc, char **argv)
{
    struct cli cli = {0};
    bool asked = argc > 0 && (strcmp(argv[argc - 1], "--help") == 0 || strcmp(argv[0], "help") == 0);
    if (argc == 1 && strcmp(argv[0], "--version") == 0)
        return puts("nightjar " VERSION) < 0 ? EXIT_NO : EXIT_DONE;
    if (asked)
        return help_all();
    if (argc == 0)
        return say_usage(&cli, "", "Say what to do.");
    return say_usage(&cli, "", "There is no command \"%s%s%s\".", argv[0], argc > 1 ? " " : "",
                     argc > 1 ? argv[1] : "");
}

/* ---- Running it ---- */

static int run(struct cli *cli, const struct command *c, const struct arguments *a)
{
    if (a->operand_count < c->operands_min)
        return say_usage(cli, c->name, "Something is missing: nightjar %s %s.", c->name, c->usage);
    if (a->operand_count > c->operands_max)
        return say_usage(cli, c->name, "\"%s\" is one word too many.", a->operands[c->operands_max]);
    int error = crypto_new(&cli->crypto, CRYPTO_BULK_OPENSSL);
    if (error)
        return say_failed(cli, error, "The cryptographic library cannot be used");
    int result = c->run(cli, a);
    crypto_free(cli->crypto);
    return result;
}

static int read_and_run(const struct command *c, int argc, char **argv)
{
    struct cli cli = {0};
    struct arguments a = {0};
    char complaint[512];
    bool good = arguments_read(&a, argc, argv, c->options, common_options, complaint, sizeof(complaint));
    const char *state = argument_value(&a, "--state", 0), *environment = getenv("NIGHTJAR_STATE");
    cli.json = argument_given(&a, "--json");
    cli.quiet = argument_given(&a, "--quiet");
    cli.state = state ? state : environment && *environment ? environment : STATE_DEFAULT;
    if (argument_given(&a, "--help"))
        return help_one(c);
    if (!good)
        return say_usage(&cli, c->name, "%s", complaint);
    if (*cli.state == 0)
        return say_usage(&cli, c->name, "--state needs a folder.");
    return run(&cli, c, &a);
}

/* Secrets pass through here: no core files, nobody attaches, nothing on a swap device, nothing that is written is for
 * others. */
static void protect(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    int ignored = drop_lock_memory(); /* a command without it is better than none */
    (void)ignored;
    umask(077);
    signal(SIGPIPE, SIG_IGN);
}

/* How many words of common options stand before the command. */
static int leading_options(int argc, char **argv)
{
    int count = 0;
    while (count < argc && argv[count][0] == '-') {
        size_t len = strlen(argv[count]);
        for (const struct option *o = common_options; o->name; o++)
            if (o->value && strlen(o->name) == len && memcmp(o->name, argv[count], len) == 0)
                count++; /* its value */
        count++;
    }
    return count < argc ? count : 0;
}

/* Puts the first `count` words behind the others. */
static void rotate(int argc, char **argv, int count)
{
    for (; count > 0; count--) {
        char *first = argv[0];
        memmove(argv, argv + 1, (size_t)(argc - 1) * sizeof(*argv));
        argv[argc - 1] = first;
    }
}

int main(int argc, char **argv)
{
    int words;
    protect();
    rotate(argc - 1, argv + 1, leading_options(argc - 1, argv + 1));
    const struct command *c = find(argc - 1, argv + 1, &words);
    int code = c ? read_and_run(c, argc - 1 - words, argv + 1 + words) : unknown(argc - 1, argv + 1);
    return fflush(stdout) ? EXIT_NO : code;
}
