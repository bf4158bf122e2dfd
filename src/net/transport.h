/* The TCP and UDP header fields that segmentation touches (RFC 9293, RFC 768). */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <stdint.h>

#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define IPV4_MORE_OR_OFFSET 0x3fffu /* in the field at 6: set in every fragment */

#define PROTOCOL_TCP 6u
#define PROTOCOL_UDP 17u
#define PROTOCOL_ICMPV6 58u

#define UDP_HEADER 8u
#define UDP_LENGTH 4u
#define UDP_CHECKSUM 6u

#define TCP_HEADER_MIN 20u
#define TCP_SEQUENCE 4u
#define TCP_DATA_OFFSET 12u
#define TCP_FLAGS 13u
#define TCP_CHECKSUM 16u

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u
#define TCP_ECE 0x40u
#define TCP_CWR 0x80u

static inline uint32_t tcp_header_len(const uint8_t *tcp)
{
    return (uint32_t)(tcp[TCP_DATA_OFFSET] >> 4) * 4;
}

#endif
