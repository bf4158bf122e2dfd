#include <string.h>

#include "base/bytes.h"
#include "policy/flow_packet.h"

#define ICMP_HEADER 8u
#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define IPV4_ERROR_MAX 576u   /* RFC 1812 section 4.3.2.3 */
#define IPV6_ERROR_MAX 1280u  /* RFC 4443 section 2.4 (c) */
#define NETWORK_CONTROL 0xc0u /* RFC 1812 section 4.3.2.5 */
#define HOPS 64u
#define PROTOCOL_ICMP 1u
#define PROTOCOL_ICMPV6 58u

/* RFC 1071. */
static uint32_t sum(uint32_t so_far, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        so_far += get_be16(bytes + i);
    if (len % 2)
        so_far += (uint32_t)bytes[len - 1] << 8;
    return so_far;
}

static void put_checksum(uint8_t *field, uint32_t total)
{
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    put_be16(field, (uint16_t)~total);
}

/* Header and the beginning of the refused packet; returns the length. */
static size_t put_icmp(uint8_t *out, uint8_t type, uint8_t code, const uint8_t *packet, size_t len, size_t max)
{
    size_t quoted = len < max - ICMP_HEADER ? len : max - ICMP_HEADER;
    memset(out, 0, ICMP_HEADER);
    out[0] = type;
    out[1] = code;
    memcpy(out + ICMP_HEADER, packet, quoted);
    return ICMP_HEADER + quoted;
}

static size_t refuse_ipv4(const struct flow_packet *p, const uint8_t *packet, size_t len, uint8_t *out)
{
    uint8_t *icmp = out + IPV4_HEADER;
    size_t icmp_len = put_icmp(icmp, 3, 13, packet, len, IPV4_ERROR_MAX - IPV4_HEADER);
    put_checksum(icmp + 2, sum(0, icmp, icmp_len));
    memset(out, 0, IPV4_HEADER);
    out[0] = 0x45;
    out[1] = NETWORK_CONTROL;
    put_be16(out + 2, (uint16_t)(IPV4_HEADER + icmp_len));
    out[8] = HOPS;
    out[9] = PROTOCOL_ICMP;
    memcpy(out + 12, p->destination, 4);
    memcpy(out + 16, p->source, 4);
    put_checksum(out + 10, sum(0, out, IPV4_HEADER));
    return IPV4_HEADER + icmp_len;
}

static size_t refuse_ipv6(const struct flow_packet *p, const uint8_t *packet, size_t len, uint8_t *out)
{
    uint8_t *icmp = out + IPV6_HEADER;
    size_t icmp_len = put_icmp(icmp, 1, 1, packet, len, IPV6_ERROR_MAX - IPV6_HEADER);
    memset(out, 0, IPV6_HEADER);
    out[0] = 0x60;
    put_be16(out + 4, (uint16_t)icmp_len);
    out[6] = PROTOCOL_ICMPV6;
    out[7] = HOPS;
    memcpy(out + 8, p->destination, 16);
    memcpy(out + 24, p->source, 16);
    /* The pseudo-header (RFC 8200 section 8.1): addresses, length, next header. */
    uint32_t total = sum(sum((uint32_t)icmp_len + PROTOCOL_ICMPV6, out + 8, 32), icmp, icmp_len);
    put_checksum(icmp + 2, total);
    return IPV6_HEADER + icmp_len;
}

/* An address that one host has. */
static bool is_of_one(const struct flow_packet *p, const uint8_t *address)
{
    bool group = p->version == 6 ? address[0] == 0xff : address[0] >= 0xe0;
    return !group && !is_zero(address, p->address_len);
}

/* Nothing answers an error, so that no two can answer each other forever (RFC 1122 section 3.2.2); ICMP of a kind that
 * is not known may be one. */
static bool is_to_be_told(const struct flow_packet *p, enum flow_verdict verdict)
{
    if (verdict == FLOW_MALFORMED || p->later_fragment || p->role == FLOW_QUOTES)
        return false;
    if (verdict == FLOW_REFUSED && p->protocol == GRANT_ICMP)
        return false;
    return is_of_one(p, p->source) && is_of_one(p, p->destination);
}

size_t flow_refusal(const uint8_t *packet, size_t len, uint8_t *out)
{
    struct flow_packet p;
    enum flow_verdict verdict = flow_packet_parse(&p, packet, len, false);
    if (!is_to_be_told(&p, verdict))
        return 0;
    return p.version == 4 ? refuse_ipv4(&p, packet, len, out) : refuse_ipv6(&p, packet, len, out);
}
