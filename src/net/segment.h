/* Turns a super-packet from a TUN with virtio headers into the packets that it stands for, one at a time, each written
 * straight to where it is needed. Pure. */
#ifndef NET_SEGMENT_H
#define NET_SEGMENT_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct segmenter {
    const uint8_t *packet; /* borrowed */
    uint32_t len;
    uint32_t count;      /* packets in it, at least 1 */
    uint32_t header_len; /* IP and transport headers, repeated in every packet (0 when count is 1) */
    uint32_t payload;    /* bytes of payload in each packet but the last */
    uint16_t checksum_start;
    uint16_t checksum_offset;
    uint16_t astray; /* by which the field is not the sum of the pseudo-header: a sum, 0 or 0xffff when it is */
    uint16_t ip_sum; /* of the IPv4 header without what differs: length, identification and checksum */
    bool to_sum;     /* the kernel left the checksum to whoever needs it */
    uint8_t kind;    /* enum segment_kind in segment.c */
    uint8_t version;
};

/* Checks the packet and its virtio header against each other (all offsets inside the packet, gso_size not 0, header
 * lengths as the headers themselves say). ERROR_MALFORMED, ERROR_UNSUPPORTED (a gso_type never asked for). */
must_check int segment_start(struct segmenter *s, const struct virtio_net_hdr *header, const uint8_t *packet,
                             uint32_t len);
/* Length of packet i. */
uint32_t segment_len(const struct segmenter *s, uint32_t i);
/* Whether the packets may be carried with their transport checksum still partial: the packet is one of partial.h, the
 * kernel left its checksum so (VIRTIO_NET_HDR_F_NEEDS_CSUM, exactly where TCP's or UDP's is), and the field holds the
 * sum of the pseudo-header: completed, it is the right one. Whatever came with a whole checksum keeps it, right or
 * wrong. */
bool segment_may_be_partial(const struct segmenter *s);
/* Writes packet i, whole, to `out` (segment_len bytes). IPv4: total length, identification + i, header checksum. TCP:
 * sequence, FIN and PSH only in the last, CWR only in the first. UDP: length. The transport's checksum is right; where
 * the field in a packet to be summed was wrong it is wrong by as much, as from any network card. */
void segment_write(const struct segmenter *s, uint32_t i, uint8_t *out);
/* The same with the transport's checksum left partial: the sum of packet i's own pseudo-header. Only if
 * segment_may_be_partial. */
void segment_write_partial(const struct segmenter *s, uint32_t i, uint8_t *out);

#endif
