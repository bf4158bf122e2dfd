/* What people read on stderr: what happened, to what, and what to do next. */
#ifndef CLI_SAY_H
#define CLI_SAY_H

#include "command.h"

/* A failure: the sentence on stderr, `todo` (may be NULL) in a line below; with --json both as an object on stdout
 * too. Returns EXIT_NO. */
int say_no(const struct cli *cli, const char *todo, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for an error of the operating system (positive errno) or of ours (negative), whose sentence is added. */
int say_failed(const struct cli *cli, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Wrong use. Returns EXIT_WRONG_USE. */
int say_usage(const struct cli *cli, const char *command, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Progress. */
void say_progress(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
