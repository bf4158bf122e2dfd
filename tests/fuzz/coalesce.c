/* Packets, each after two bytes of length, whose first bit says that the checksum is partial: what coalescing joins
 * must split into the same packets again, byte for byte, each once and in the order of its super-packet; partial ones
 * into what their sender's network card would have sent. What may not be partial is refused. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/net/packets.h"
#include "base/bytes.h"
#include "net/coalesce.h"
#include "net/segment.h"
#include "wire/ip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct batch {
    uint8_t *packets[COALESCE_PACKETS_MAX];
    uint8_t *originals[COALESCE_PACKETS_MAX];
    bool partial[COALESCE_PACKETS_MAX];
    uint32_t lens[COALESCE_PACKETS_MAX];
    bool seen[COALESCE_PACKETS_MAX];
    uint32_t count;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static uint8_t *copy(const uint8_t *bytes, uint32_t len)
{
    uint8_t *out = malloc(len);
    require(out != NULL);
    memcpy(out, bytes, len);
    return out;
}

static uint32_t checksum_start(const uint8_t *packet)
{
    return packet[0] >> 4 == 4 ? 20 : 40;
}

static uint32_t checksum_offset(const uint8_t *packet)
{
    return packet[packet[0] >> 4 == 4 ? 9 : 6] == 6 ? 16 : 6;
}

static void add_partial(struct batch *batch, struct coalescer *c, const uint8_t *data, uint32_t len)
{
    uint8_t *packet = copy(data, len), *wire = copy(data, len);
    bool may_be = slow_may_be_partial(data, len);
    require(coalesce_add_partial(c, packet, len) == (may_be ? 0 : ERROR_MALFORMED));
    if (!may_be) {
        require(memcmp(packet, data, len) == 0);
        free(packet);
        free(wire);
        return;
    }
    slow_leave_partial(wire, len);
    slow_complete(wire, len, checksum_start(wire), checksum_offset(wire));
    uint32_t i = batch->count++;
    batch->packets[i] = packet;
    batch->originals[i] = wire;
    batch->lens[i] = len;
    batch->partial[i] = true;
}

static void add_whole(struct batch *batch, struct coalescer *c, const uint8_t *data, uint32_t len)
{
    uint32_t i = batch->count++;
    batch->packets[i] = copy(data, len);
    batch->originals[i] = copy(data, len);
    batch->lens[i] = len;
    require(coalesce_add(c, batch->packets[i], len) == 0);
}

static void add(struct batch *batch, struct coalescer *c, const uint8_t *data, size_t len, bool partial)
{
    struct ip_header ip;
    if (batch->count == COALESCE_PACKETS_MAX || ip_parse(&ip, data, len) != 0 || ip.total_len > UINT16_MAX)
        return;
    if (partial)
        add_partial(batch, c, data, ip.total_len);
    else
        add_whole(batch, c, data, ip.total_len);
}

/* Which packet a piece of a super-packet points into. */
static uint32_t owner(const struct batch *batch, const uint8_t *byte)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (byte >= batch->packets[i] && byte < batch->packets[i] + batch->lens[i])
            return i;
    abort();
}

static bool differs(const uint8_t *a, const uint8_t *b, uint32_t len, uint32_t checksum)
{
    /* 0 and 0xffff are the same checksum. */
    bool zero_twice = checksum != 0 && (get_be16(b + checksum) == 0 || get_be16(b + checksum) == 0xffff) &&
                      get_be16(a + checksum) == 0xffff;
    if (!zero_twice)
        return memcmp(a, b, len) != 0;
    return memcmp(a, b, checksum) != 0 || memcmp(a + checksum + 2, b + checksum + 2, len - checksum - 2) != 0;
}

/* The kernel must find what it needs, inside the packet. */
static void check_header(const struct coalesced *write, bool headers)
{
    static uint8_t out[2 * UINT16_MAX], expected[2 * UINT16_MAX];
    const struct virtio_net_hdr *h = &write->header;
    uint32_t len = 0;
    for (int i = 0; i < write->count; len += (uint32_t)write->iov[i++].iov_len)
        memcpy(out + len, write->iov[i].iov_base, write->iov[i].iov_len);
    require(len <= UINT16_MAX);
    bool to_sum = write->packets > 1 || (write->partial && headers);
    require((h->flags == VIRTIO_NET_HDR_F_NEEDS_CSUM) == to_sum);
    if (!to_sum)
        return;
    require(h->csum_start == checksum_start(out) && h->csum_offset == checksum_offset(out));
    require(slow_may_be_partial(out, len));
    memcpy(expected, out, len);
    slow_leave_partial(expected, len);
    require(memcmp(out, expected, len) == 0);
}

static void check(struct batch *batch, const struct coalesced *write, bool headers)
{
    static uint8_t out[UINT16_MAX + 1];
    uint32_t checksum = write->packets > 1 ? write->header.csum_start + write->header.csum_offset : 0;
    uint32_t before = 0;
    for (uint32_t i = 0; i < write->packets; i++) {
        uint32_t which = owner(batch, write->iov[i].iov_base);
        require(write->partial == (batch->partial[which] && headers));
        require(!batch->seen[which] && (i == 0 || which > before));
        require(coalesce_split(write, i, out) == batch->lens[which]);
        require(!differs(out, batch->originals[which], batch->lens[which], checksum));
        batch->seen[which] = true;
        before = which;
    }
}

static void run(const uint8_t *data, size_t len, bool headers)
{
    static struct batch batch;
    static struct coalescer *c; /* kept: it is large */
    struct coalesced write;
    memset(&batch, 0, sizeof(batch));
    require(c != NULL || coalesce_new(&c) == 0);
    coalesce_reset(c, &(struct coalesce_options){.tcp = headers, .udp = headers, .partial = headers});
    while (len > 2) {
        size_t next = get_be16(data) & 0x7fff;
        next = next < len - 2 ? next : len - 2;
        add(&batch, c, data + 2, next, (data[0] & 0x80) != 0);
        data += 2 + next;
        len -= 2 + next;
    }
    while (coalesce_next(c, &write)) {
        check_header(&write, headers);
        check(&batch, &write, headers);
    }
    for (uint32_t i = 0; i < batch.count; i++) {
        require(batch.seen[i]);
        free(batch.packets[i]);
        free(batch.originals[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    run(data, len, true);
    run(data, len, false);
    return 0;
}
