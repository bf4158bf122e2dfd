#include "net/segment.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/bytes.h"
#include "net/checksum.h"
#include "net/compat.h"
#include "net/partial.h"
#include "net/transport.h"

#define IPV4_HEADER_MAX 60u
#define IPV6_HOP_BY_HOP 0
#define IPV6_DESTINATION_OPTIONS 60

enum segment_kind { SEGMENT_WHOLE, SEGMENT_TCP, SEGMENT_UDP };

static const uint8_t protocol_of[] = {[SEGMENT_TCP] = PROTOCOL_TCP, [SEGMENT_UDP] = PROTOCOL_UDP};
static const uint8_t checksum_offset_of[] = {[SEGMENT_TCP] = TCP_CHECKSUM, [SEGMENT_UDP] = UDP_CHECKSUM};

static int start_ipv4(struct segmenter *s, uint8_t protocol)
{
    if (s->len < IPV4_HEADER)
        return ERROR_MALFORMED;
    uint32_t header_len = (uint32_t)(s->packet[0] & 15) * 4;
    if (header_len < IPV4_HEADER || header_len > s->len || get_be16(s->packet + 2) != s->len ||
        (get_be16(s->packet + 6) & IPV4_MORE_OR_OFFSET) != 0 || s->packet[9] != protocol)
        return ERROR_MALFORMED;
    s->checksum_start = (uint16_t)header_len;
    return 0;
}

/* Options may come between; a routing header may not, since it changes the destination in the checksum. */
static int start_ipv6(struct segmenter *s, uint8_t protocol)
{
    if (s->len < IPV6_HEADER || get_be16(s->packet + 4) != s->len - IPV6_HEADER)
        return ERROR_MALFORMED;
    uint8_t next = s->packet[6];
    uint32_t at = IPV6_HEADER;
    while (next == IPV6_HOP_BY_HOP || next == IPV6_DESTINATION_OPTIONS) {
        if (s->len - at < 8)
            return ERROR_MALFORMED;
        uint32_t header_len = (s->packet[at + 1] + 1u) * 8;
        if (s->len - at < header_len)
            return ERROR_MALFORMED;
        next = s->packet[at];
        at += header_len;
    }
    if (next != protocol)
        return ERROR_MALFORMED;
    s->checksum_start = (uint16_t)at;
    return 0;
}

static int measure_headers(struct segmenter *s)
{
    uint32_t room = s->len - s->checksum_start;
    uint32_t transport_len = UDP_HEADER;
    if (s->kind == SEGMENT_TCP) {
        if (room < TCP_HEADER_MIN)
            return ERROR_MALFORMED;
        transport_len = tcp_header_len(s->packet + s->checksum_start);
        if (transport_len < TCP_HEADER_MIN)
            return ERROR_MALFORMED;
    }
    if (room < transport_len)
        return ERROR_MALFORMED;
    s->header_len = s->checksum_start + transport_len;
    s->checksum_offset = checksum_offset_of[s->kind];
    return 0;
}

static bool checksum_fields_agree(const struct segmenter *s, const struct virtio_net_hdr *header)
{
    return (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 ||
           (header->csum_start == s->checksum_start && header->csum_offset == s->checksum_offset);
}

/* What the field in the super-packet holds besides the sum of its pseudo-header. In ones' complement. */
static void find_astray(struct segmenter *s)
{
    uint16_t field, pseudo;
    memcpy(&field, s->packet + s->checksum_start + s->checksum_offset, sizeof(field));
    pseudo = checksum_fold(checksum_pseudo(s->packet, protocol_of[s->kind], s->len - s->checksum_start));
    s->astray = checksum_fold((uint64_t)field + (uint16_t)~pseudo);
}

static void sum_ipv4_header(struct segmenter *s)
{
    uint8_t header[IPV4_HEADER_MAX];
    memcpy(header, s->packet, s->checksum_start);
    memset(header + 2, 0, 4);
    memset(header + 10, 0, 2);
    s->ip_sum = checksum_fold(checksum_add(0, header, s->checksum_start));
}

/* One packet, which at most wants its checksum completed. */
static int start_whole(struct segmenter *s, const struct virtio_net_hdr *header)
{
    s->count = 1;
    s->payload = s->len;
    s->header_len = 0;
    s->kind = SEGMENT_WHOLE;
    if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0)
        return 0;
    if ((uint32_t)header->csum_start + header->csum_offset + 2 > s->len)
        return ERROR_MALFORMED;
    s->to_sum = true;
    s->checksum_start = header->csum_start;
    s->checksum_offset = header->csum_offset;
    return 0;
}

static int start_super_packet(struct segmenter *s, const struct virtio_net_hdr *header, uint8_t kind)
{
    s->kind = kind;
    int error = s->version == 4 ? start_ipv4(s, protocol_of[kind]) : start_ipv6(s, protocol_of[kind]);
    if (error == 0)
        error = measure_headers(s);
    if (error != 0)
        return error;
    if (header->gso_size == 0 || !checksum_fields_agree(s, header))
        return ERROR_MALFORMED;
    uint32_t total = s->len - s->header_len;
    if (total <= header->gso_size)
        return start_whole(s, header);
    s->payload = header->gso_size;
    s->count = (total + s->payload - 1) / s->payload;
    s->to_sum = (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    if (s->to_sum)
        find_astray(s);
    if (s->version == 4)
        sum_ipv4_header(s);
    return 0;
}

int segment_start(struct segmenter *s, const struct virtio_net_hdr *header, const uint8_t *packet, uint32_t len)
{
    if (len == 0 || len > UINT16_MAX)
        return ERROR_MALFORMED;
    *s = (struct segmenter){.packet = packet, .len = len, .version = packet[0] >> 4};
    if (s->version != 4 && s->version != 6)
        return ERROR_MALFORMED;
    switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return start_whole(s, header);
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return s->version == 4 ? start_super_packet(s, header, SEGMENT_TCP) : ERROR_MALFORMED;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return s->version == 6 ? start_super_packet(s, header, SEGMENT_TCP) : ERROR_MALFORMED;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return start_super_packet(s, header, SEGMENT_UDP);
    default:
        return ERROR_UNSUPPORTED;
    }
}

static uint32_t payload_len(const struct segmenter *s, uint32_t i)
{
    return i + 1 < s->count ? s->payload : s->len - s->header_len - i * s->payload;
}

uint32_t segment_len(const struct segmenter *s, uint32_t i)
{
    return s->header_len + payload_len(s, i);
}

bool segment_may_be_partial(const struct segmenter *s)
{
    struct partial p;
    uint16_t field;
    if (!s->to_sum || !partial_find(&p, s->packet, s->len) || p.start != s->checksum_start ||
        p.offset != s->checksum_offset)
        return false;
    memcpy(&field, s->packet + p.start + p.offset, sizeof(field));
    return field == partial_sum(&p, s->packet, s->len);
}

/* The field holds the sum of the pseudo-header already. */
static void complete_checksum(const struct segmenter *s, uint8_t *out, uint32_t len)
{
    uint16_t checksum = (uint16_t)~checksum_fold(checksum_add(0, out + s->checksum_start, len - s->checksum_start));
    if (checksum == 0)
        checksum = UINT16_MAX;
    memcpy(out + s->checksum_start + s->checksum_offset, &checksum, sizeof(checksum));
}

/* What each packet has of its own is computed from the super-packet: nothing is read again that was just written in
 * pieces, for which the processor would have to wait. */
static void write_ip(const struct segmenter *s, uint32_t i, uint8_t *out, uint32_t len)
{
    if (s->version == 6) {
        put_be16(out + 4, (uint16_t)(len - IPV6_HEADER));
        return;
    }
    uint16_t identification = (uint16_t)(get_be16(s->packet + 4) + i);
    uint16_t sum = checksum_fold((uint64_t)s->ip_sum + htons((uint16_t)len) + htons(identification));
    uint16_t checksum = (uint16_t)~sum;
    put_be16(out + 2, (uint16_t)len);
    put_be16(out + 4, identification);
    memcpy(out + 10, &checksum, sizeof(checksum));
}

static void write_tcp(const struct segmenter *s, uint32_t i, uint8_t *tcp)
{
    put_be32(tcp + TCP_SEQUENCE, get_be32(s->packet + s->checksum_start + TCP_SEQUENCE) + i * s->payload);
    if (i + 1 < s->count)
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (i > 0) /* RFC 3168 6.1.2: congestion window reduced is said once */
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

static void write_pseudo_sum(const struct segmenter *s, uint8_t *out, uint32_t len)
{
    uint64_t pseudo = checksum_pseudo(s->packet, protocol_of[s->kind], len - s->checksum_start);
    uint16_t sum = checksum_fold(pseudo + s->astray);
    memcpy(out + s->checksum_start + s->checksum_offset, &sum, sizeof(sum));
}

void segment_write_partial(const struct segmenter *s, uint32_t i, uint8_t *out)
{
    if (s->kind == SEGMENT_WHOLE) {
        memcpy(out, s->packet, s->len);
        return;
    }
    uint32_t payload = payload_len(s, i), len = s->header_len + payload;
    memcpy(out, s->packet, s->header_len);
    memcpy(out + s->header_len, s->packet + s->header_len + i * s->payload, payload);
    write_ip(s, i, out, len);
    if (s->kind == SEGMENT_TCP)
        write_tcp(s, i, out + s->checksum_start);
    else
        put_be16(out + s->checksum_start + UDP_LENGTH, (uint16_t)(len - s->checksum_start));
    write_pseudo_sum(s, out, len);
}

void segment_write(const struct segmenter *s, uint32_t i, uint8_t *out)
{
    segment_write_partial(s, i, out);
    if (s->kind != SEGMENT_WHOLE || s->to_sum)
        complete_checksum(s, out, segment_len(s, i));
}
