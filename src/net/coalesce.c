#include "net/coalesce.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/checksum.h"
#include "net/compat.h"
#include "net/partial.h"
#include "net/transport.h"

#define SUPER_PACKET_MAX 65535u
#define UDP_JOINED_MAX 64u   /* UDP_MAX_SEGMENTS of older kernels */
#define TCP_JOINED_MAX 1022u /* entries that tun_write takes */

#define TABLE_SIZE 2048u /* a power of two above COALESCE_PACKETS_MAX */
#define PROBES_MAX 8u    /* flows made to collide cost no more than this; those beyond it go unjoined */
#define NONE UINT16_MAX

enum verdict { CHECKSUM_UNKNOWN, CHECKSUM_RIGHT, CHECKSUM_WRONG };

/* What joining must know of one packet. */
struct shape {
    uint8_t *packet;
    uint32_t len;
    uint16_t transport;  /* offset; 0: not TCP or UDP, or not in a form that is ever joined */
    uint16_t header_len; /* IP and transport */
    uint8_t protocol;
    bool odd;      /* TCP or UDP behind options or fragmented: its flow is not looked for */
    bool joinable; /* with others before it */
    bool ends;     /* nothing is joined after it */
    bool partial;  /* its checksum is, and it is a packet that may be so */
};

/* Packets that leave in one write. Its first packet's headers stand for all. */
struct group {
    struct shape first;
    uint32_t next_sequence;
    uint32_t len; /* of the super-packet */
    uint16_t packets;
    uint16_t last; /* index of the last packet */
    bool open;
    uint8_t verdict; /* enum verdict, on the first packet: asked for only when a second comes */
};

struct member {
    const uint8_t *payload;
    uint16_t len; /* of payload */
    uint16_t next;
};

struct coalescer {
    struct coalesce_options options;
    uint32_t member_count;
    uint32_t group_count;
    uint32_t barrier; /* groups before this one are closed */
    uint32_t emitted; /* groups given out */
    uint32_t iov_count;
    uint16_t table[TABLE_SIZE];          /* by flow: index of its newest group, + 1 */
    uint16_t head[COALESCE_PACKETS_MAX]; /* of each group: its second packet */
    struct group groups[COALESCE_PACKETS_MAX];
    struct member members[COALESCE_PACKETS_MAX];
    struct iovec iov[COALESCE_PACKETS_MAX];
};

int coalesce_new(struct coalescer **out)
{
    *out = calloc(1, sizeof(**out));
    return *out == NULL ? ERROR_MEMORY : 0;
}

void coalesce_free(struct coalescer *c)
{
    free(c);
}

void coalesce_reset(struct coalescer *c, const struct coalesce_options *options)
{
    c->options = *options;
    c->member_count = c->group_count = c->barrier = c->emitted = c->iov_count = 0;
    memset(c->table, 0, sizeof(c->table));
}

static bool is_ipv4(const struct shape *shape)
{
    return shape->packet[0] >> 4 == 4;
}

static bool is_transport(uint8_t protocol)
{
    return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

static void look_at_ip(struct shape *shape)
{
    if (is_ipv4(shape)) {
        shape->protocol = shape->packet[9];
        bool plain = shape->packet[0] == 0x45 && (get_be16(shape->packet + 6) & IPV4_MORE_OR_OFFSET) == 0;
        shape->odd = is_transport(shape->protocol) && !plain;
        shape->transport = is_transport(shape->protocol) && plain ? IPV4_HEADER : 0;
    } else {
        shape->protocol = shape->packet[6];
        /* Whatever an extension header hides. */
        shape->odd = !is_transport(shape->protocol) && shape->protocol != PROTOCOL_ICMPV6;
        shape->transport = is_transport(shape->protocol) ? IPV6_HEADER : 0;
    }
}

static void look_at_tcp(struct shape *shape)
{
    const uint8_t *tcp = shape->packet + shape->transport;
    uint32_t room = shape->len - shape->transport;
    if (room < TCP_HEADER_MIN || tcp_header_len(tcp) < TCP_HEADER_MIN || tcp_header_len(tcp) >= room)
        return; /* also one without payload: an acknowledgement */
    shape->header_len = (uint16_t)(shape->transport + tcp_header_len(tcp));
    shape->joinable = (tcp[TCP_FLAGS] & ~(TCP_PSH | TCP_ECE)) == TCP_ACK;
    shape->ends = (tcp[TCP_FLAGS] & TCP_PSH) != 0;
}

static void look_at_udp(struct shape *shape)
{
    const uint8_t *udp = shape->packet + shape->transport;
    uint32_t room = shape->len - shape->transport;
    shape->header_len = (uint16_t)(shape->transport + UDP_HEADER);
    shape->joinable = room > UDP_HEADER && get_be16(udp + UDP_LENGTH) == room && get_be16(udp + UDP_CHECKSUM) != 0;
}

static struct shape look_at(const struct coalescer *c, uint8_t *packet, uint32_t len)
{
    struct shape shape = {.packet = packet, .len = len};
    look_at_ip(&shape);
    if (shape.transport != 0 && shape.len - shape.transport < 4) { /* no ports */
        shape.odd = true;
        shape.transport = 0;
    }
    if (shape.transport != 0 && shape.protocol == PROTOCOL_TCP && c->options.tcp)
        look_at_tcp(&shape);
    if (shape.transport != 0 && shape.protocol == PROTOCOL_UDP && c->options.udp)
        look_at_udp(&shape);
    return shape;
}

/* Addresses and ports lie side by side where no options come between. */
static const uint8_t *flow_bytes(const struct shape *shape, size_t *len)
{
    *len = is_ipv4(shape) ? 12 : 36;
    return shape->packet + shape->transport + 4 - *len;
}

static bool same_flow(const struct shape *a, const struct shape *b)
{
    size_t len, other;
    const uint8_t *flow = flow_bytes(a, &len), *other_flow = flow_bytes(b, &other);
    return len == other && a->protocol == b->protocol && memcmp(flow, other_flow, len) == 0;
}

static uint32_t hash_flow(const struct shape *shape)
{
    size_t len;
    const uint8_t *flow = flow_bytes(shape, &len);
    uint64_t hash = shape->protocol;
    for (size_t i = 0; i < len; i += 4)
        hash = (hash ^ get_be32(flow + i)) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(hash >> 40);
}

/* The table's entry for the flow, empty if it is new; NULL when there is no room for another of this hash. */
static uint16_t *find_flow(struct coalescer *c, const struct shape *shape)
{
    uint32_t hash = hash_flow(shape);
    for (uint32_t i = 0; i < PROBES_MAX; i++) {
        uint16_t *entry = &c->table[(hash + i) % TABLE_SIZE];
        if (*entry == 0 || same_flow(&c->groups[*entry - 1].first, shape))
            return entry;
    }
    return NULL;
}

/* TOS, TTL and the flags; the header length is equal since neither has options. */
static bool same_ipv4_fields(const uint8_t *a, const uint8_t *b)
{
    return a[1] == b[1] && a[6] == b[6] && a[8] == b[8];
}

/* Traffic class and flow label; hop limit. */
static bool same_ipv6_fields(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, 4) == 0 && a[7] == b[7];
}

/* Acknowledgement, header length and reserved bits; flags but PSH; window; urgent pointer and options. */
static bool same_tcp_fields(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a + 8, b + 8, 5) == 0 && ((a[TCP_FLAGS] ^ b[TCP_FLAGS]) & ~TCP_PSH) == 0 &&
           memcmp(a + 14, b + 14, 2) == 0 && memcmp(a + 18, b + 18, tcp_header_len(a) - 18) == 0;
}

static bool continues(const struct group *group, const struct shape *shape)
{
    const uint8_t *a = group->first.packet, *b = shape->packet;
    if (is_ipv4(shape) ? !same_ipv4_fields(a, b) : !same_ipv6_fields(a, b))
        return false;
    if (shape->protocol == PROTOCOL_UDP)
        return group->packets < UDP_JOINED_MAX;
    const uint8_t *tcp = b + shape->transport;
    return group->packets < TCP_JOINED_MAX && get_be32(tcp + TCP_SEQUENCE) == group->next_sequence &&
           same_tcp_fields(a + shape->transport, tcp);
}

static uint32_t payload_of(const struct shape *shape)
{
    return shape->len - shape->header_len;
}

static bool fits(const struct group *group, const struct shape *shape)
{
    return payload_of(shape) <= payload_of(&group->first) && group->len + payload_of(shape) <= SUPER_PACKET_MAX;
}

static uint8_t verify(const struct shape *shape)
{
    bool right = checksum_holds(shape->packet, shape->len, shape->transport, shape->protocol);
    return right ? CHECKSUM_RIGHT : CHECKSUM_WRONG;
}

/* Sums are taken last, and each packet's once: *verdict is what became known of the newcomer's. */
static bool may_join(struct group *group, const struct shape *shape, uint8_t *verdict)
{
    if (!group->open || !shape->joinable || shape->partial != group->first.partial || !fits(group, shape) ||
        !continues(group, shape))
        return false;
    if (shape->partial) /* there is nothing to verify */
        return true;
    if (group->verdict == CHECKSUM_UNKNOWN)
        group->verdict = verify(&group->first);
    if (group->verdict != CHECKSUM_RIGHT)
        return false;
    *verdict = verify(shape);
    return *verdict == CHECKSUM_RIGHT;
}

static uint16_t add_member(struct coalescer *c, const struct shape *shape)
{
    uint32_t index = c->member_count++;
    c->members[index] = (struct member){shape->packet + shape->header_len, (uint16_t)payload_of(shape), NONE};
    return (uint16_t)index;
}

static void join(struct coalescer *c, struct group *group, const struct shape *shape)
{
    uint16_t index = add_member(c, shape);
    if (group->packets == 1)
        c->head[group - c->groups] = index;
    else
        c->members[group->last].next = index;
    group->last = index;
    group->packets++;
    group->len += payload_of(shape);
    group->next_sequence += payload_of(shape);
    group->open = !shape->ends && payload_of(shape) == payload_of(&group->first);
    if (shape->ends) /* PSH of the last speaks for all; nothing else sets `ends` */
        group->first.ends = true;
}

static void start_group(struct coalescer *c, const struct shape *shape, uint8_t verdict)
{
    uint16_t index = add_member(c, shape);
    struct group *group = &c->groups[c->group_count++];
    *group = (struct group){.first = *shape, .len = shape->len, .packets = 1, .last = index, .verdict = verdict};
    group->open = shape->joinable && !shape->ends;
    if (shape->joinable && shape->protocol == PROTOCOL_TCP)
        group->next_sequence = get_be32(shape->packet + shape->transport + TCP_SEQUENCE) + payload_of(shape);
}

static int add(struct coalescer *c, uint8_t *packet, uint32_t len, bool partial)
{
    if (c->member_count == COALESCE_PACKETS_MAX)
        return ERROR_FULL;
    struct shape shape = look_at(c, packet, len);
    shape.partial = partial;
    uint8_t verdict = CHECKSUM_UNKNOWN;
    uint16_t *entry = shape.transport != 0 ? find_flow(c, &shape) : NULL;
    if (entry != NULL && *entry > c->barrier && may_join(&c->groups[*entry - 1], &shape, &verdict)) {
        join(c, &c->groups[*entry - 1], &shape);
        return 0;
    }
    start_group(c, &shape, verdict);
    if (entry != NULL)
        *entry = (uint16_t)c->group_count;
    if (shape.odd) /* it may be of any flow, so none is joined across it */
        c->barrier = c->group_count;
    return 0;
}

int coalesce_add(struct coalescer *c, uint8_t *packet, uint32_t len)
{
    return add(c, packet, len, false);
}

int coalesce_add_partial(struct coalescer *c, uint8_t *packet, uint32_t len)
{
    struct partial p;
    if (!partial_find(&p, packet, len))
        return ERROR_MALFORMED;
    if (c->options.partial)
        return add(c, packet, len, true);
    checksum_set_transport(packet, len, p.start, p.offset, p.protocol);
    return add(c, packet, len, false);
}

static uint8_t gso_type_of(const struct shape *shape)
{
    if (shape->protocol == PROTOCOL_UDP)
        return VIRTIO_NET_HDR_GSO_UDP_L4;
    return is_ipv4(shape) ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
}

static void write_partial(const struct group *group, struct virtio_net_hdr *header)
{
    const struct shape *first = &group->first;
    struct partial p = {.start = first->transport,
                        .offset = first->protocol == PROTOCOL_UDP ? UDP_CHECKSUM : TCP_CHECKSUM,
                        .protocol = first->protocol};
    header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    header->csum_start = p.start;
    header->csum_offset = p.offset;
    partial_write(&p, first->packet, group->len);
}

/* Makes the first packet's headers those of the super-packet. */
static void write_headers(const struct group *group, struct virtio_net_hdr *header)
{
    const struct shape *first = &group->first;
    uint8_t *transport = first->packet + first->transport;
    header->gso_type = gso_type_of(first);
    header->hdr_len = first->header_len;
    header->gso_size = (uint16_t)payload_of(first);
    checksum_set_ip_length(first->packet, group->len);
    if (first->protocol == PROTOCOL_UDP)
        put_be16(transport + UDP_LENGTH, (uint16_t)(group->len - first->transport));
    else if (first->ends)
        transport[TCP_FLAGS] |= TCP_PSH;
}

bool coalesce_next(struct coalescer *c, struct coalesced *out)
{
    if (c->emitted == c->group_count)
        return false;
    const struct group *group = &c->groups[c->emitted];
    struct iovec *iov = &c->iov[c->iov_count];
    *out = (struct coalesced){
        .iov = iov, .count = group->packets, .packets = group->packets, .partial = group->first.partial};
    *iov++ = (struct iovec){group->first.packet, group->first.len};
    uint16_t index = group->packets > 1 ? c->head[c->emitted] : NONE;
    for (; index != NONE; index = c->members[index].next)
        *iov++ = (struct iovec){(void *)(uintptr_t)c->members[index].payload, c->members[index].len};
    if (group->packets > 1)
        write_headers(group, &out->header);
    if (group->packets > 1 || group->first.partial)
        write_partial(group, &out->header);
    c->iov_count += group->packets;
    c->emitted++;
    return true;
}

static bool is_udp(const struct virtio_net_hdr *header)
{
    return header->csum_offset == UDP_CHECKSUM;
}

/* The first packet's headers as they were, but for the checksum. PSH can only have come from the last. */
static void restore_first(const struct virtio_net_hdr *header, uint8_t *packet, uint32_t len)
{
    checksum_set_ip_length(packet, len);
    if (is_udp(header))
        put_be16(packet + header->csum_start + UDP_LENGTH, (uint16_t)(len - header->csum_start));
    else
        packet[header->csum_start + TCP_FLAGS] &= (uint8_t)~TCP_PSH;
}

/* Behind the first packet, each payload's own headers still stand before it. */
uint32_t coalesce_split(const struct coalesced *super, uint32_t i, uint8_t *out)
{
    const struct virtio_net_hdr *header = &super->header;
    const struct iovec *iov = &super->iov[i];
    uint32_t before = i > 0 ? header->hdr_len : 0, len = (uint32_t)(before + iov->iov_len);
    memcpy(out, (const uint8_t *)iov->iov_base - before, len);
    if (i == 0 && super->packets > 1)
        restore_first(header, out, len);
    if (super->partial || (i == 0 && super->packets > 1))
        checksum_set_transport(out, len, header->csum_start, header->csum_offset,
                               is_udp(header) ? PROTOCOL_UDP : PROTOCOL_TCP);
    return len;
}
