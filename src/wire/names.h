/* Names and ids as statements, frames and policy carry them. */
#ifndef WIRE_NAMES_H
#define WIRE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cursor.h"

#define NAME_MAX_LEN 63

/* Names match [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?, so that no name is ever a pattern. */
bool name_is_valid(const char *name, size_t len);
/* As CBOR text; ERROR_MALFORMED sticks, and `out` is untouched, if it is no name. */
void name_get(struct cursor *c, char out[NAME_MAX_LEN + 1]);
void name_put(struct cursor *c, const char *name);

/* A member, invited or joined: the first 16 bytes of its invite statement's hash. */
#define DEVICE_ID_SIZE 16
struct device_id {
    uint8_t bytes[DEVICE_ID_SIZE];
};
static inline bool device_id_equal(const struct device_id *a, const struct device_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* What policy speaks of: a group (16 random bytes; all zero: `all`, every device) or a device (its device_id). */
#define SUBJECT_SIZE 16
struct subject {
    uint8_t bytes[SUBJECT_SIZE];
};

/* An underlay address and port, as tickets, openings and frames carry it. family 4 (first four bytes) or 6. */
struct underlay {
    uint8_t address[16];
    uint16_t port;
    uint8_t family;
};
/* "203.0.113.5:51820", "[2001:db8::1]:51820". False: not of that form, port 0, or an address that nobody can send to
 * (multicast, unspecified, broadcast). Never resolves names. */
bool underlay_parse(struct underlay *out, const char *text);
#define UNDERLAY_TEXT_MAX 56
void underlay_print(const struct underlay *u, char out[UNDERLAY_TEXT_MAX]);
/* Both well-formed: bytes behind an IPv4 address are zero. */
static inline bool underlay_same_host(const struct underlay *a, const struct underlay *b)
{
    return a->family == b->family && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}
static inline bool underlay_equal(const struct underlay *a, const struct underlay *b)
{
    return a->port == b->port && underlay_same_host(a, b);
}
/* Where somebody else can be sent to: nothing of the above, nor loopback, "this network", or link-local IPv6, which
 * means nothing without its interface. */
bool underlay_is_sendable(const struct underlay *u);
/* As two items of CBOR: the address's 4 or 16 bytes, and the port, which is not 0 (ERROR_MALFORMED sticks). */
void underlay_get(struct cursor *c, struct underlay *out);
void underlay_put(struct cursor *c, const struct underlay *u);

#endif
