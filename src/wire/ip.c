#include "wire/ip.h"

#include "base/bytes.h"

#define IPV4_HEADER_MIN 20u
#define IPV6_HEADER 40u

static int parse_ipv4(struct ip_header *out, const uint8_t *packet, size_t len)
{
    if (len < IPV4_HEADER_MIN)
        return ERROR_MALFORMED;
    size_t header_len = (size_t)(packet[0] & 15) * 4;
    size_t total_len = get_be16(packet + 2);
    if (header_len < IPV4_HEADER_MIN || total_len < header_len || total_len > len)
        return ERROR_MALFORMED;
    *out = (struct ip_header){.version = 4,
                              .address_len = 4,
                              .total_len = (uint32_t)total_len,
                              .source = packet + 12,
                              .destination = packet + 16};
    return 0;
}

static int parse_ipv6(struct ip_header *out, const uint8_t *packet, size_t len)
{
    if (len < IPV6_HEADER)
        return ERROR_MALFORMED;
    size_t total_len = IPV6_HEADER + get_be16(packet + 4);
    if (total_len > len)
        return ERROR_MALFORMED;
    *out = (struct ip_header){.version = 6,
                              .address_len = 16,
                              .total_len = (uint32_t)total_len,
                              .source = packet + 8,
                              .destination = packet + 24};
    return 0;
}

int ip_parse(struct ip_header *out, const uint8_t *packet, size_t len)
{
    if (len == 0)
        return ERROR_MALFORMED;
    switch (packet[0] >> 4) {
    case 4:
        return parse_ipv4(out, packet, len);
    case 6:
        return parse_ipv6(out, packet, len);
    default:
        return ERROR_MALFORMED;
    }
}
