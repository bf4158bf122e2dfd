/* Starts the other programs of Nightjar. */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include "command.h"

#define DAEMON_WORDS_MAX 160

/* Words of a command line, behind the program's name; borrowed. */
struct daemon_line {
    unsigned count;
    const char *words[DAEMON_WORDS_MAX];
};
void daemon_add(struct daemon_line *line, const char *word); /* beyond the maximum: nothing */

/* Where `name` lies: beside this program, or in ../libexec/nightjar, ../lib/nightjar or ../sbin of it. False: nowhere.
 */
bool daemon_find(const char *name, char *out, size_t size);

/* Runs it and waits: its exit code (128 + signal if one ended it); negative: could not be run, which has been said. Its
 * stderr is ours, and so is its stdout if `io` is NULL: both go to stderr. */
struct daemon_io {
    const void *in; /* for its stdin; at most 64 KiB */
    size_t in_len;
    char *out; /* what it prints, NUL-terminated */
    size_t out_size;
};
int daemon_run(struct cli *cli, const char *name, const struct daemon_line *line, const struct daemon_io *io);
/* Becomes it; returns only on failure, which has been said. */
int daemon_become(struct cli *cli, const char *name, const struct daemon_line *line);
/* Starts it with --ready-fd N and reads what it writes there: true on "ready", else what it said in `said`, without the
 * newline (empty: nothing). Negative: could not be run, which has been said. Its log is not shown: what it writes to
 * that descriptor is for people. */
int daemon_start(struct cli *cli, const char *name, struct daemon_line *line, char *said, size_t size);

#endif
