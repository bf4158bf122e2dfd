/* Builds and checks TCP and UDP packets slowly and obviously: the twin that the fast code is compared against. */
#ifndef TESTS_NET_PACKETS_H
#define TESTS_NET_PACKETS_H

#include <stdbool.h>
#include <stdint.h>

#define PACKETS_MAX_LEN 65535u

struct packet_spec {
    uint8_t version;  /* 4 or 6 */
    uint8_t protocol; /* 6 or 17 */
    uint8_t host;     /* last byte of both addresses */
    uint8_t tos, ttl;
    uint16_t source_port;
    uint16_t id; /* IPv4 */
    bool may_fragment;
    uint32_t flow_label; /* IPv6 */
    uint32_t sequence, acknowledgement;
    uint16_t window, urgent;
    uint8_t flags;
    uint8_t options_len; /* of TCP, a multiple of 4 */
    uint8_t option;      /* fills them */
    const uint8_t *payload;
    uint32_t payload_len;
};

/* A plain packet of a flow, to change from. */
struct packet_spec packet_spec(uint8_t version, uint8_t protocol);
/* Writes the packet with right checksums; returns its length. */
uint32_t packet_build(const struct packet_spec *spec, uint8_t *out);
/* Of headers: IP and transport. */
uint32_t packet_header_len(const struct packet_spec *spec);
/* The transport's checksum field as the kernel leaves it for hardware: the pseudo-header's sum. */
void packet_leave_partial(const struct packet_spec *spec, uint8_t *packet, uint32_t len);

/* RFC 1071 as the text has it: 16 bits at a time, carry around the end. */
uint16_t slow_sum(uint16_t sum, const uint8_t *bytes, uint32_t len);
/* Both checksums of a packet without IPv6 extension headers. */
bool slow_checksums_hold(const uint8_t *packet, uint32_t len);

/* What native transport may carry with a partial checksum, clause by clause. */
bool slow_may_be_partial(const uint8_t *packet, uint32_t len);
/* What a network card makes of a checksum that it was left: the sum from `start`, what the field holds included. */
void slow_complete(uint8_t *packet, uint32_t len, uint32_t start, uint32_t offset);
/* The sum of the pseudo-header in the field of a packet that may be partial. */
void slow_leave_partial(uint8_t *packet, uint32_t len);

/* A small generator, the same everywhere. */
uint32_t random_next(uint64_t *seed);
uint32_t random_below(uint64_t *seed, uint32_t limit);

#endif
