/* A command line, read by a table of options. */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#define OPTIONS_GIVEN_MAX 128
#define OPERANDS_MAX 4

struct option {
    const char *name;  /* "--group"; a NULL name ends a table */
    const char *value; /* what stands behind it: "G"; NULL: nothing */
    bool repeats;
    const char *help;
};

/* Borrows argv. */
struct arguments {
    unsigned operand_count;
    const char *operands[OPERANDS_MAX];
    unsigned given_count;
    struct {
        const char *name; /* of the table's */
        const char *value;
    } given[OPTIONS_GIVEN_MAX];
};

/* Options may stand anywhere, as "--name value" or "--name=value" ("-c 3" or "-c3"); "--" ends them. `also` is a second
 * table, or NULL. False, and one sentence in `complaint`, when the line is not of the form. */
bool arguments_read(struct arguments *out, int argc, char *const *argv, const struct option *options,
                    const struct option *also, char *complaint, size_t complaint_size);

/* The i-th value given for an option; NULL: there are no more ("" for options that take none). */
const char *argument_value(const struct arguments *a, const char *name, unsigned i);
static inline bool argument_given(const struct arguments *a, const char *name)
{
    return argument_value(a, name, 0) != NULL;
}

#endif
