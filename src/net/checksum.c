#include "net/checksum.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/bytes.h"

#define IPV6_HEADER 40u

/* Two sums of 32-bit halves, which cannot overflow and which the compiler turns into vector instructions. */
uint64_t checksum_add(uint64_t sum, const uint8_t *bytes, size_t len)
{
    uint64_t low = 0, high = 0, word = 0;
    size_t words = len / sizeof(word);
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, bytes + i * sizeof(word), sizeof(word));
        low += word & UINT32_MAX;
        high += word >> 32;
    }
    word = 0;
    memcpy(&word, bytes + words * sizeof(word), len % sizeof(word));
    return sum + low + high + (word & UINT32_MAX) + (word >> 32);
}

static uint64_t add_ipv4_header(const uint8_t *packet)
{
    size_t words = packet[0] & 15;
    return words == 5 ? checksum_add_words(0, packet, 5) : checksum_add_words(0, packet, words);
}

uint64_t checksum_pseudo(const uint8_t *packet, uint8_t protocol, uint32_t transport_len)
{
    uint64_t sum = (uint64_t)htons(protocol) + htonl(transport_len);
    return packet[0] >> 4 == 4 ? checksum_add_words(sum, packet + 12, 2) : checksum_add_words(sum, packet + 8, 8);
}

void checksum_set_ip_length(uint8_t *packet, uint32_t len)
{
    if (packet[0] >> 4 == 6) {
        put_be16(packet + 4, (uint16_t)(len - IPV6_HEADER));
        return;
    }
    put_be16(packet + 2, (uint16_t)len);
    put_be16(packet + 10, 0);
    uint16_t checksum = (uint16_t)~checksum_fold(add_ipv4_header(packet));
    memcpy(packet + 10, &checksum, sizeof(checksum));
}

void checksum_set_transport(uint8_t *packet, uint32_t len, uint32_t start, uint32_t offset, uint8_t protocol)
{
    uint8_t *field = packet + start + offset;
    put_be16(field, 0);
    uint64_t sum = checksum_add(checksum_pseudo(packet, protocol, len - start), packet + start, len - start);
    uint16_t checksum = (uint16_t)~checksum_fold(sum);
    if (checksum == 0)
        checksum = UINT16_MAX;
    memcpy(field, &checksum, sizeof(checksum));
}

bool checksum_holds(const uint8_t *packet, uint32_t len, uint32_t start, uint8_t protocol)
{
    if (packet[0] >> 4 == 4 && checksum_fold(add_ipv4_header(packet)) != UINT16_MAX)
        return false;
    uint64_t sum = checksum_add(checksum_pseudo(packet, protocol, len - start), packet + start, len - start);
    return checksum_fold(sum) == UINT16_MAX;
}
