/* STATE, as the parent finds it: locked, its format known, a directory for each role that the role owns. */
#ifndef NODE_PLACE_H
#define NODE_PLACE_H

#include <limits.h>
#include <stdbool.h>

#include "conf.h"
#include "proc/files.h"

#define PLACE_HASH_LEN 16
#define PLACE_RUN "/run/nightjar"

struct place {
    char path[PATH_MAX];           /* real */
    char hash[PLACE_HASH_LEN + 1]; /* of the path: SHA-256, its first digits */
    int dir, lock;
    int keys, ledger, openings, outbox; /* directories */
    bool has_controller;
    struct conf conf;
};

#define PLACE_COMPLAINT 512
/* Writes what went wrong, and what to do next, for a person; returns `error`. */
__attribute__((format(printf, 3, 4))) int complain(char complaint[PLACE_COMPLAINT], int error, const char *format, ...);

/* Without changing anything but ownership and missing directories. On failure, a sentence with what to do next. */
must_check int place_open(struct place *out, const char *state, char complaint[PLACE_COMPLAINT]);
void place_close(struct place *p);
/* Keeps the port in node.conf. */
must_check int place_keep_port(struct place *p, uint16_t port);

#endif
