/* Where a peer is: its UDP address, and the local address that it asked; or the relay that it is reached through. */
#ifndef BASE_ENDPOINT_H
#define BASE_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum endpoint_family { ENDPOINT_NONE = 0, ENDPOINT_RELAYED = 1, ENDPOINT_IPV4 = 4, ENDPOINT_IPV6 = 6 };

/* No padding, unused bytes are zero: comparable with memcmp. Addresses in network order, an IPv4 address in the first
 * four bytes; port, scope and interface in host order. Relayed: the peer's name on the relayed path in the first eight
 * bytes of the address, the number of the relay in the other eight, and nothing else. */
struct endpoint {
    uint8_t address[16];
    uint8_t local[16];  /* zero: the kernel chooses */
    uint32_t scope;     /* IPv6 link-local: interface index of `address` */
    uint32_t interface; /* index of the interface that the last datagram came in by; 0 unknown */
    uint16_t port;
    uint8_t family; /* enum endpoint_family */
    uint8_t zero;
};
_Static_assert(sizeof(struct endpoint) == 44, "an endpoint has no padding");

static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

#define ENDPOINT_NAME_SIZE 8

static inline struct endpoint endpoint_relayed(const uint8_t name[ENDPOINT_NAME_SIZE], uint64_t relay)
{
    struct endpoint out = {.family = ENDPOINT_RELAYED};
    memcpy(out.address, name, ENDPOINT_NAME_SIZE);
    memcpy(out.address + ENDPOINT_NAME_SIZE, &relay, sizeof(relay));
    return out;
}

static inline uint64_t endpoint_relay(const struct endpoint *relayed)
{
    uint64_t relay;
    memcpy(&relay, relayed->address + ENDPOINT_NAME_SIZE, sizeof(relay));
    return relay;
}

#endif
