/* WireGuard's cross-platform configuration protocol (www.wireguard.com/xplatform), so that the stock wg tool configures
 * wg-peer: "get=1" and "set=1" requests over a Unix socket. */
#ifndef INTEROP_UAPI_H
#define INTEROP_UAPI_H

#include <stdbool.h>
#include <stddef.h>

#include "device.h"

#define UAPI_LINE_MAX 256

/* A growing text; `failed` sticks when memory runs out. Wiped when freed, since it may hold keys. */
struct uapi_text {
    char *bytes;
    size_t len, capacity;
    bool failed;
};
__attribute__((format(printf, 2, 3))) void uapi_print(struct uapi_text *text, const char *format, ...);
void uapi_text_free(struct uapi_text *text);

/* One request as it comes in line by line. All zero is ready for one. */
struct uapi_request {
    enum { UAPI_IDLE, UAPI_GET, UAPI_SET } kind;
    int error; /* errno number that the reply will carry; after the first, lines are passed over */
    bool in_peer;
    peer_id peer; /* 0: the section's peer is not to be touched */
    bool added;   /* by this section */
};

/* Takes one line, without its newline. At the empty line that ends a request the reply is appended to `reply`. */
void uapi_line(struct uapi_request *request, struct device *device, const char *line, struct uapi_text *reply);

/* uapi_get.c */
void uapi_write_state(struct device *device, struct uapi_text *reply);

/* The server: listens on /var/run/wireguard/NAME.sock. */
struct uapi_server;
/* ERROR_IN_USE when another process answers there. */
must_check int uapi_server_new(struct uapi_server **out, struct device *device, const char *name);
/* Closes connections and removes the socket. */
void uapi_server_free(struct uapi_server *server);
/* Whether somebody removed the socket, which is how a userspace implementation is told to end. */
bool uapi_server_is_removed(const struct uapi_server *server);

#endif
