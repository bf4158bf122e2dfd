#include "net/partial.h"

#include <string.h>

#include "base/bytes.h"
#include "net/checksum.h"
#include "net/transport.h"

static bool find_ipv4(struct partial *p, const uint8_t *packet, uint32_t len)
{
    if (len < IPV4_HEADER || packet[0] != 0x45 || get_be16(packet + 2) != len ||
        (get_be16(packet + 6) & IPV4_MORE_OR_OFFSET) != 0)
        return false;
    p->start = IPV4_HEADER;
    p->protocol = packet[9];
    return checksum_fold(checksum_add_words(0, packet, IPV4_HEADER / 4)) == UINT16_MAX;
}

static bool find_ipv6(struct partial *p, const uint8_t *packet, uint32_t len)
{
    if (len < IPV6_HEADER || get_be16(packet + 4) != len - IPV6_HEADER)
        return false;
    p->start = IPV6_HEADER;
    p->protocol = packet[6];
    return true;
}

static bool find_transport(struct partial *p, const uint8_t *transport, uint32_t len)
{
    if (p->protocol == PROTOCOL_UDP) {
        p->offset = UDP_CHECKSUM;
        return len >= UDP_HEADER && get_be16(transport + UDP_LENGTH) == len && get_be16(transport + UDP_CHECKSUM) != 0;
    }
    p->offset = TCP_CHECKSUM;
    return p->protocol == PROTOCOL_TCP && len >= TCP_HEADER_MIN && tcp_header_len(transport) >= TCP_HEADER_MIN &&
           tcp_header_len(transport) <= len;
}

bool partial_find(struct partial *out, const uint8_t *packet, uint32_t len)
{
    if (len == 0 || len > UINT16_MAX)
        return false;
    switch (packet[0] >> 4) {
    case 4:
        return find_ipv4(out, packet, len) && find_transport(out, packet + out->start, len - out->start);
    case 6:
        return find_ipv6(out, packet, len) && find_transport(out, packet + out->start, len - out->start);
    default:
        return false;
    }
}

uint16_t partial_sum(const struct partial *p, const uint8_t *packet, uint32_t len)
{
    return checksum_fold(checksum_pseudo(packet, p->protocol, len - p->start));
}

void partial_write(const struct partial *p, uint8_t *packet, uint32_t len)
{
    uint16_t sum = partial_sum(p, packet, len);
    memcpy(packet + p->start + p->offset, &sum, sizeof(sum));
}

int partial_complete(uint8_t *packet, uint32_t len)
{
    struct partial p;
    if (!partial_find(&p, packet, len))
        return ERROR_MALFORMED;
    checksum_set_transport(packet, len, p.start, p.offset, p.protocol);
    return 0;
}
