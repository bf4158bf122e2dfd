/* Internet checksums (RFC 1071), and the fields of an IP packet that they go with. Sums are of 16-bit words as the
 * processor loads them, so a folded sum is stored without swapping. */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Adds bytes to a sum that starts as 0. Only the last piece of a text may have an odd length. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t len);
/* The same for a header: few words of 32 bits, which each packet has to sum several times. */
static inline uint64_t checksum_add_words(uint64_t sum, const uint8_t *bytes, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        uint32_t word;
        memcpy(&word, bytes + i * sizeof(word), sizeof(word));
        sum += word;
    }
    return sum;
}

/* The ones' complement sum in 16 bits, not inverted: 0xffff for a text that holds its right checksum. */
static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return (uint16_t)sum;
}

/* RFC 793, RFC 8200 8.1: addresses, protocol and transport length of an IPv4 or IPv6 packet. */
uint64_t checksum_pseudo(const uint8_t *packet, uint8_t protocol, uint32_t transport_len);

/* The IP header's total or payload length, and the IPv4 header's checksum after it. */
void checksum_set_ip_length(uint8_t *packet, uint32_t len);
/* The checksum of what begins at `start` in a packet of `len` bytes, in the field at start + offset. 0 is written as
 * 0xffff, which UDP needs (RFC 768) and others take as equal. */
void checksum_set_transport(uint8_t *packet, uint32_t len, uint32_t start, uint32_t offset, uint8_t protocol);

/* Whether the IPv4 header (IPv6: true) and the transport from `start` have their right checksums. */
bool checksum_holds(const uint8_t *packet, uint32_t len, uint32_t start, uint8_t protocol);

#endif
