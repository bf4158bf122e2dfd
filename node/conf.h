/* STATE/node.conf: lines of key=value; blank lines and those that begin with # are passed over. */
#ifndef NODE_CONF_H
#define NODE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "keep.h"

#define CONF_MAX 16384
#define CONF_TUN_MAX 15
#define CONF_RELAY_RATE_MAX 100000

struct conf {
    uint16_t port;              /* port=51820; 0: none yet */
    char tun[CONF_TUN_MAX + 1]; /* tun=nj0; empty: the first free of nj0, nj1, ... */
    struct keep keep;           /* keep=tcp/22, any number of lines */
    bool chacha20;              /* aead=chacha20: native transport without AES; for measurements */
    uint32_t relay_rate;        /* relay_rate=1000: Mb/s of each origin, as a relay; 0: the default */
};

/* ERROR_MALFORMED, and in `line` which (from 1) and in `why` a sentence (static). */
must_check int conf_parse(struct conf *out, const char *text, size_t len, unsigned *line, const char **why);

/* `text` with its port replaced, or added at the end. Returns the length; ERROR_OVERFLOW. */
must_check int conf_with_port(const char *text, size_t len, uint16_t port, char *out, size_t capacity);

#endif
