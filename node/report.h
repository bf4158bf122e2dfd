/* Tells whoever started the daemon that it is ready, or why it is not: once. */
#ifndef NODE_REPORT_H
#define NODE_REPORT_H

#include <stdbool.h>

struct report {
    int fd; /* "ready\n" or a sentence is written to it, then it is closed; -1: nobody reads */
    bool told;
};

/* Also to systemd (sd_notify), if NOTIFY_SOCKET is set. */
void report_ready(struct report *r);
/* Also to the log. */
__attribute__((format(printf, 2, 3))) void report_failure(struct report *r, const char *sentence, ...);

#endif
