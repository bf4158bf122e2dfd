/* nightjard's command line. */
#ifndef NODE_OPTIONS_H
#define NODE_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "keep.h"

enum options_mode { MODE_UP, MODE_JOIN, MODE_UNDARKEN, MODE_HELP };

struct options {
    enum options_mode mode;
    const char *state; /* borrowed from the arguments or the environment */
    bool foreground;
    bool darken;
    struct keep keep;
    uint16_t port; /* 0: not said */
    int ready_fd;  /* -1: none */
};

/* ERROR_INVALID, and in `complaint` a sentence. `state_default` is used when --state is not given. */
must_check int options_parse(struct options *out, int argc, char **argv, const char *state_default,
                             char complaint[256]);

#endif
