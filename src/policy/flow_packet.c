#include "policy/flow_packet.h"

#include "base/bytes.h"
#include "wire/ip.h"

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define IPV4_MORE 0x2000u
#define IPV4_OFFSET 0x1fffu
#define IPV4_OPTION_END 0u
#define IPV4_OPTION_NOTHING 1u
#define IPV4_OPTION_LOOSE_ROUTE 131u
#define IPV4_OPTION_STRICT_ROUTE 137u
#define IPV6_HOP_BY_HOP 0u
#define IPV6_ROUTING 43u
#define IPV6_FRAGMENT 44u
#define IPV6_DESTINATION 60u
#define IPV6_EXTENSIONS_MAX 8u
#define IPV6_ICMP 58u
#define WHOLE_MAX 65535u
#define QUOTED_TRANSPORT 8u /* RFC 792: what an error quotes at least */

/* What is left of a packet behind the headers that were read. */
struct rest {
    const uint8_t *at;
    size_t len;       /* that are there */
    uint8_t protocol; /* of what begins at `at` */
    bool quoted;
    bool cut; /* not all of the transport is there: a fragment, or quoted */
};

static void pass_over(struct rest *rest, size_t len)
{
    rest->at += len;
    rest->len -= len;
}

/* ---- IPv4 ---- */

/* RFC 791 section 3.1: a packet whose destination is not where it goes in the end is none that rules speak of. */
static enum flow_verdict check_options(const uint8_t *options, size_t len)
{
    for (size_t i = 0; i < len && options[i] != IPV4_OPTION_END;) {
        if (options[i] == IPV4_OPTION_NOTHING) {
            i++;
            continue;
        }
        if (options[i] == IPV4_OPTION_LOOSE_ROUTE || options[i] == IPV4_OPTION_STRICT_ROUTE)
            return FLOW_REFUSED;
        if (i + 1 >= len || options[i + 1] < 2 || options[i + 1] > len - i)
            return FLOW_MALFORMED;
        i += options[i + 1];
    }
    return FLOW_PASS;
}

/* Sets the fragment's place. `more`: others follow, so that it ends at a multiple of 8. `len`: of what it carries. */
static enum flow_verdict take_fragment(struct flow_packet *p, struct rest *rest, uint32_t offset, bool more, size_t len)
{
    if (offset == 0 && !more)
        return FLOW_PASS; /* whole (RFC 6946: an atomic one) */
    p->first_fragment = offset == 0;
    p->later_fragment = offset != 0;
    p->fragment_offset = offset;
    p->fragment_end = offset + (uint32_t)len;
    rest->cut = true;
    if (rest->quoted)
        return FLOW_PASS;
    if (len == 0 || p->fragment_end > WHOLE_MAX || (more && len % 8 != 0))
        return FLOW_MALFORMED;
    return FLOW_PASS;
}

static bool is_group_ipv4(const uint8_t *address)
{
    return (address[0] & 0xf0) == 0xe0 || get_be32(address) == UINT32_MAX;
}

static enum flow_verdict take_ipv4(struct flow_packet *p, struct rest *rest)
{
    const uint8_t *header = rest->at;
    size_t header_len = (size_t)(header[0] & 15) * 4;
    if (header_len < IPV4_HEADER || header_len > rest->len)
        return FLOW_MALFORMED;
    *p = (struct flow_packet){.version = 4, .address_len = 4, .source = header + 12, .destination = header + 16};
    if (is_group_ipv4(p->source) || is_group_ipv4(p->destination))
        return FLOW_REFUSED;
    enum flow_verdict verdict = check_options(header + IPV4_HEADER, header_len - IPV4_HEADER);
    if (verdict != FLOW_PASS)
        return verdict;
    rest->protocol = header[9];
    p->protocol = rest->protocol;
    p->fragment_id = (uint32_t)rest->protocol << 16 | get_be16(header + 4);
    pass_over(rest, header_len);
    uint32_t place = get_be16(header + 6);
    return take_fragment(p, rest, (place & IPV4_OFFSET) * 8, place & IPV4_MORE, rest->len);
}

/* ---- IPv6 ---- */

static enum flow_verdict take_ipv6_fragment(struct flow_packet *p, struct rest *rest)
{
    if (p->first_fragment || p->later_fragment || rest->len < 8)
        return FLOW_MALFORMED;
    const uint8_t *header = rest->at;
    uint32_t place = get_be16(header + 2);
    p->fragment_id = get_be32(header + 4);
    p->protocol = header[0];
    rest->protocol = header[0];
    pass_over(rest, 8);
    return take_fragment(p, rest, place & ~7u, place & 1, rest->len);
}

/* RFC 8200 section 4: its length counts 8 bytes beyond the first 8. */
static enum flow_verdict take_extension(struct rest *rest)
{
    size_t len = rest->len < 2 ? 0 : 8 + (size_t)rest->at[1] * 8;
    if (len == 0 || len > rest->len)
        return FLOW_MALFORMED;
    bool routed = rest->protocol == IPV6_ROUTING && rest->at[3] != 0; /* segments left: it goes on elsewhere */
    rest->protocol = rest->at[0];
    pass_over(rest, len);
    return routed ? FLOW_REFUSED : FLOW_PASS;
}

static enum flow_verdict take_ipv6_next(struct flow_packet *p, struct rest *rest, bool *transport, bool first)
{
    switch (rest->protocol) {
    case IPV6_HOP_BY_HOP:
        return first ? take_extension(rest) : FLOW_MALFORMED;
    case IPV6_ROUTING:
    case IPV6_DESTINATION:
        return take_extension(rest);
    case IPV6_FRAGMENT:
        return take_ipv6_fragment(p, rest);
    default:
        *transport = true;
        p->protocol = rest->protocol;
        return FLOW_PASS;
    }
}

static enum flow_verdict take_ipv6(struct flow_packet *p, struct rest *rest)
{
    const uint8_t *header = rest->at;
    if (rest->len < IPV6_HEADER)
        return FLOW_MALFORMED;
    *p = (struct flow_packet){.version = 6, .address_len = 16, .source = header + 8, .destination = header + 24};
    if (p->source[0] == 0xff || p->destination[0] == 0xff)
        return FLOW_REFUSED;
    rest->protocol = header[6];
    pass_over(rest, IPV6_HEADER);
    bool transport = false;
    for (uint32_t i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
        enum flow_verdict verdict = take_ipv6_next(p, rest, &transport, i == 0);
        if (verdict != FLOW_PASS || transport || p->later_fragment)
            return verdict;
    }
    return FLOW_REFUSED;
}

/* ---- Transport ---- */

static enum flow_verdict take_tcp(struct flow_packet *p, const struct rest *rest)
{
    p->source_port = get_be16(rest->at);
    p->destination_port = get_be16(rest->at + 2);
    if (rest->quoted)
        return FLOW_PASS;
    if (rest->len < 20)
        return FLOW_MALFORMED;
    size_t header_len = (size_t)(rest->at[12] >> 4) * 4;
    if (header_len < 20 || (header_len > rest->len && !rest->cut))
        return FLOW_MALFORMED;
    p->tcp_flags = rest->at[13];
    return FLOW_PASS;
}

static enum flow_verdict take_udp(struct flow_packet *p, const struct rest *rest)
{
    p->source_port = get_be16(rest->at);
    p->destination_port = get_be16(rest->at + 2);
    size_t stated = get_be16(rest->at + 4);
    return stated < 8 || (stated > rest->len && !rest->cut) ? FLOW_MALFORMED : FLOW_PASS;
}

enum icmp_class { ICMP_OTHER, ICMP_REQUEST, ICMP_REPLY, ICMP_ERROR };

static enum icmp_class classify_icmp(uint8_t version, uint8_t type)
{
    static const struct {
        uint8_t version, type;
        enum icmp_class class;
    } table[] = {
        {4, 0, ICMP_REPLY},  {4, 8, ICMP_REQUEST},   {4, 3, ICMP_ERROR},   {4, 11, ICMP_ERROR},
        {4, 12, ICMP_ERROR}, {6, 1, ICMP_ERROR},     {6, 2, ICMP_ERROR},   {6, 3, ICMP_ERROR},
        {6, 4, ICMP_ERROR},  {6, 128, ICMP_REQUEST}, {6, 129, ICMP_REPLY},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].version == version && table[i].type == type)
            return table[i].class;
    return ICMP_OTHER;
}

static enum flow_verdict take_icmp(struct flow_packet *p, const struct rest *rest)
{
    p->protocol = GRANT_ICMP;
    switch (classify_icmp(p->version, rest->at[0])) {
    case ICMP_REQUEST:
        p->source_port = get_be16(rest->at + 4);
        return FLOW_PASS;
    case ICMP_REPLY:
        p->role = FLOW_ANSWERS;
        p->destination_port = get_be16(rest->at + 4);
        return FLOW_PASS;
    case ICMP_ERROR:
        p->role = FLOW_QUOTES;
        p->quoted = rest->at + 8;
        p->quoted_len = rest->len - 8;
        return rest->cut ? FLOW_REFUSED : FLOW_PASS;
    case ICMP_OTHER:
        break;
    }
    return FLOW_REFUSED;
}

static enum flow_verdict take_transport(struct flow_packet *p, const struct rest *rest)
{
    static const struct {
        uint8_t version, protocol;
        enum flow_verdict (*take)(struct flow_packet *p, const struct rest *rest);
    } table[] = {
        {4, GRANT_TCP, take_tcp}, {4, GRANT_UDP, take_udp}, {4, GRANT_ICMP, take_icmp},
        {6, GRANT_TCP, take_tcp}, {6, GRANT_UDP, take_udp}, {6, IPV6_ICMP, take_icmp},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].version != p->version || table[i].protocol != rest->protocol)
            continue;
        p->protocol = rest->protocol;
        return rest->len < QUOTED_TRANSPORT ? FLOW_MALFORMED : table[i].take(p, rest);
    }
    return FLOW_REFUSED;
}

enum flow_verdict flow_packet_parse(struct flow_packet *out, const uint8_t *packet, size_t len, bool quoted)
{
    struct ip_header header;
    struct rest rest = {.at = packet, .len = len, .quoted = quoted, .cut = quoted};
    if (!quoted && ip_parse(&header, packet, len) == 0)
        rest.len = header.total_len;
    else if (!quoted || len < IPV4_HEADER || (packet[0] >> 4 != 4 && packet[0] >> 4 != 6))
        return FLOW_MALFORMED;
    enum flow_verdict verdict = packet[0] >> 4 == 4 ? take_ipv4(out, &rest) : take_ipv6(out, &rest);
    if (verdict != FLOW_PASS || out->later_fragment)
        return verdict;
    return take_transport(out, &rest);
}
