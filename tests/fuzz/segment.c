/* A virtio header of 10 bytes and a packet: whatever segment_start takes must come apart inside its bounds. Each
 * segment is what a network card would have put on the wire; and where it may travel with its checksum partial, it is
 * the same behind the receiver's TUN. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/net/packets.h"
#include "net/coalesce.h"
#include "net/segment.h"

#define WRITTEN_MAX 200 /* of up to 65,535 packets, from each end */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static uint8_t *room(uint32_t len)
{
    uint8_t *out = malloc(len);
    require(out != NULL);
    return out;
}

/* A single packet: from where the kernel says to its end, what is in the field included. */
static void check_single(const struct virtio_net_hdr *header, const uint8_t *packet, uint32_t len, const uint8_t *wire)
{
    uint8_t *expected = room(len);
    memcpy(expected, packet, len);
    if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        slow_complete(expected, len, header->csum_start, header->csum_offset);
    require(memcmp(wire, expected, len) == 0);
    free(expected);
}

/* Through the receiver: opened, written to its TUN with the header or without, completed by its kernel. */
static void check_received(struct coalescer *c, const uint8_t *partial, const uint8_t *wire, uint32_t len, bool headers)
{
    struct coalesced write;
    uint8_t *packet = room(len), *split = room(len);
    memcpy(packet, partial, len);
    coalesce_reset(c, &(struct coalesce_options){.tcp = headers, .udp = headers, .partial = headers});
    require(coalesce_add_partial(c, packet, len) == 0 && coalesce_next(c, &write));
    require(write.packets == 1 && write.iov[0].iov_base == packet && write.iov[0].iov_len == len);
    require(write.header.gso_type == 0 && (write.header.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM) == headers);
    require(coalesce_split(&write, 0, split) == len && memcmp(split, wire, len) == 0);
    if (headers)
        slow_complete(packet, len, write.header.csum_start, write.header.csum_offset);
    require(memcmp(packet, wire, len) == 0);
    free(packet);
    free(split);
}

static void check_partial(const struct segmenter *s, uint32_t i, const uint8_t *wire, struct coalescer *c)
{
    uint32_t len = segment_len(s, i);
    uint8_t *partial = room(len);
    segment_write_partial(s, i, partial);
    require(slow_may_be_partial(partial, len) && slow_checksums_hold(wire, len));
    check_received(c, partial, wire, len, true);
    check_received(c, partial, wire, len, false);
    free(partial);
}

static void check_segment(const struct segmenter *s, uint32_t i, const struct virtio_net_hdr *header,
                          struct coalescer *c)
{
    uint32_t len = segment_len(s, i);
    require(len > 0 && len <= UINT16_MAX);
    uint8_t *wire = room(len);
    segment_write(s, i, wire);
    if (s->count == 1)
        check_single(header, s->packet, s->len, wire);
    if (segment_may_be_partial(s))
        check_partial(s, i, wire, c);
    free(wire);
}

static void check(const struct segmenter *s, const struct virtio_net_hdr *header, struct coalescer *c)
{
    uint64_t payload = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        payload += segment_len(s, i) - s->header_len;
        if (i < WRITTEN_MAX || s->count - i < WRITTEN_MAX)
            check_segment(s, i, header, c);
    }
    require(payload == s->len - s->header_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct coalescer *c; /* kept: it is large */
    struct virtio_net_hdr header;
    struct segmenter s;
    if (len < sizeof(header) || len > UINT16_MAX)
        return 0;
    require(c != NULL || coalesce_new(&c) == 0);
    memcpy(&header, data, sizeof(header));
    if (segment_start(&s, &header, data + sizeof(header), (uint32_t)(len - sizeof(header))) == 0)
        check(&s, &header, c);
    return 0;
}
