/* The inner packet's outermost header: just enough to route it and to cut off its padding. */
#ifndef WIRE_IP_H
#define WIRE_IP_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct ip_header {
    uint8_t version;       /* 4 or 6 */
    uint8_t address_len;   /* 4 or 16 */
    uint32_t total_len;    /* of the packet as its header states it, <= the bytes given */
    const uint8_t *source; /* address_len bytes, borrowed from the packet */
    const uint8_t *destination;
};

/* RFC 791, RFC 8200. ERROR_MALFORMED for another version, a short header or a stated length beyond `len` or below the
 * header's own. */
must_check int ip_parse(struct ip_header *out, const uint8_t *packet, size_t len);

#endif
