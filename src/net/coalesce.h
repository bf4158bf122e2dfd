/* Joins opened packets of one TCP or UDP flow into super-packets for a TUN with virtio headers: the reverse of
 * segment.h. Pure. Packets stay where they are; a super-packet is gathered from them. */
#ifndef NET_COALESCE_H
#define NET_COALESCE_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

#define COALESCE_PACKETS_MAX 1024 /* a batch */

struct coalescer;

struct coalesce_options {
    bool tcp;
    bool udp;     /* the kernel takes VIRTIO_NET_HDR_GSO_UDP_L4 (Linux 6.2) */
    bool partial; /* single packets with VIRTIO_NET_HDR_F_NEEDS_CSUM: the TUN has virtio headers */
};

/* What one write to the TUN takes. Valid until coalesce_reset. */
struct coalesced {
    struct virtio_net_hdr header; /* all zero for a single whole packet, which is written exactly as it came */
    const struct iovec *iov;
    int count; /* of iov; the first holds the headers and the first payload */
    uint32_t packets;
    bool partial; /* its packets came with partial checksums */
};

must_check int coalesce_new(struct coalescer **out);
void coalesce_free(struct coalescer *c);
void coalesce_reset(struct coalescer *c, const struct coalesce_options *options);

/* Adds an inner packet (a valid IP packet as ip_parse says, padding cut off) to the batch; its bytes stay the caller's
 * and unchanged until after coalesce_reset, but for the header of a super-packet's first packet. ERROR_FULL after
 * COALESCE_PACKETS_MAX.
 * Joined are only packets of one 5-tuple that follow each other in it, with valid checksums (a wrong one is never made
 * right), no IP options, fragments or IPv6 extension headers, equal TTL, TOS/traffic class and flow label, DF set
 * alike, and: TCP: consecutive sequence, equal acknowledgement, window, options and flags (PSH may end one; no SYN,
 * RST, URG, FIN), equal payload sizes but a shorter last; UDP: checksum not zero, equal sizes but a shorter last. At
 * most 65,535 bytes and UDP_SEGMENTS_MAX-like 64 packets for UDP. Packets of one flow are never reordered. */
must_check int coalesce_add(struct coalescer *c, uint8_t *packet, uint32_t len);
/* The same for a packet whose sender says that its transport checksum is still partial. Written to the TUN with
 * VIRTIO_NET_HDR_F_NEEDS_CSUM over offsets found here and a pseudo-header summed here; nothing in the packet is
 * believed for it. Joined with others of its kind only. Where the TUN takes no such header the checksum is computed.
 * ERROR_MALFORMED for what may never be partial (partial.h). */
must_check int coalesce_add_partial(struct coalescer *c, uint8_t *packet, uint32_t len);
/* The next write, in order of first packets; false when there is no more. */
bool coalesce_next(struct coalescer *c, struct coalesced *out);
/* Undoes a write that the kernel would not take: the i-th (< packets) packet, whole, with right checksums, written to
 * `out` (65,535 bytes of room); returns its length. */
uint32_t coalesce_split(const struct coalesced *super, uint32_t i, uint8_t *out);

#endif
