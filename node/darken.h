/* Darkness of the whole host: an nftables table of its own, so that strangers draw no byte from any port. It stays when
 * the daemon dies, and goes with an orderly end. */
#ifndef NODE_DARKEN_H
#define NODE_DARKEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "keep.h"

#define DARKEN_TEXT_MAX 8192

struct darken {
    const char *hash; /* of STATE's path; its first 8 digits name the table */
    const char *tun;
    uint16_t port; /* our own, UDP */
    const struct keep *keep;
};

/* What nft is given: replaces the table, if it is there, at once. ERROR_OVERFLOW. */
must_check int darken_text(const struct darken *d, char out[DARKEN_TEXT_MAX]);
/* Removes the table; there need be none. */
must_check int undarken_text(const char *hash, char out[DARKEN_TEXT_MAX]);

/* The overlay's prefixes, which are to be met on our interface alone. */
struct overlay {
    const char *hash, *tun;
    const uint8_t *ipv6; /* 16 bytes; NULL: none */
    const uint8_t *ipv4; /* 4 bytes; NULL: none */
    uint8_t ipv6_len, ipv4_len;
};

/* Another table: what comes in elsewhere to or from an overlay address is dropped, since an address alone is no
 * identity. */
must_check int overlay_text(const struct overlay *o, char out[DARKEN_TEXT_MAX]);
must_check int overlay_remove_text(const char *hash, char out[DARKEN_TEXT_MAX]);
/* The same for ARP, which Linux answers on any link for any address of the host: else a neighbour could ask who is a
 * member. Apart, since a kernel may be without ARP tables. Only with an IPv4 address. */
must_check int overlay_arp_text(const struct overlay *o, char out[DARKEN_TEXT_MAX]);
must_check int overlay_arp_remove_text(const char *hash, char out[DARKEN_TEXT_MAX]);

/* Has nft carry a text out. ERROR_NOT_FOUND: there is no nft. ERROR_UNSUPPORTED: it refused (its reason is on
 * stderr). */
must_check int darken_apply(const char *text);

#endif
