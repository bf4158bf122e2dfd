/* Ports that a darkened host keeps open to everybody: "tcp/22". */
#ifndef NODE_KEEP_H
#define NODE_KEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define KEEP_MAX 32

struct keep_port {
    bool udp;
    uint16_t port;
};
struct keep {
    uint32_t count;
    struct keep_port ports[KEEP_MAX];
};

/* Adds "tcp/22" or "udp/53"; one that is there already is left. ERROR_INVALID, ERROR_FULL. */
must_check int keep_add(struct keep *k, const char *text);
/* A decimal number from 1 to 65535 and nothing else. ERROR_INVALID. */
must_check int port_parse(uint16_t *out, const char *text);

#endif
