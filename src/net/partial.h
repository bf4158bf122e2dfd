/* Packets whose transport checksum is still partial: the field holds the sum of the pseudo-header alone, not inverted,
 * and whoever needs the checksum completes it (VIRTIO_NET_HDR_F_NEEDS_CSUM). One function says which packets these can
 * be; it stands at both ends of native transport. Pure. */
#ifndef NET_PARTIAL_H
#define NET_PARTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Where the checksum is. */
struct partial {
    uint16_t start;  /* of the transport header, which the sum begins with; it ends with the packet */
    uint16_t offset; /* of the field, from there */
    uint8_t protocol;
};

/* Whether the packet's checksum may be partial: it is whole TCP or UDP, no fragment, right behind an IPv4 header
 * without options whose own checksum holds or an IPv6 header without extension headers; the IP header's length is
 * `len`, the transport header is inside it and UDP's length ends with it; and UDP does not go without a checksum. */
must_check bool partial_find(struct partial *out, const uint8_t *packet, uint32_t len);
/* The pseudo-header's sum, as it is stored. Never 0. */
uint16_t partial_sum(const struct partial *p, const uint8_t *packet, uint32_t len);
/* Leaves it in the field. */
void partial_write(const struct partial *p, uint8_t *packet, uint32_t len);
/* Turns a partial checksum into the right one; what the field holds does not count. ERROR_MALFORMED for a packet that
 * partial_find does not let pass, which is left as it is. */
must_check int partial_complete(uint8_t *packet, uint32_t len);

#endif
