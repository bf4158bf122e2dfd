/* Inner packets for tests of flows, made field by field. */
#ifndef TESTS_UNIT_POLICY_PACKETS_H
#define TESTS_UNIT_POLICY_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/flow.h"

#define PACKET_ROOM 2048u

struct made {
    uint8_t bytes[PACKET_ROOM];
    size_t len;
};

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

/* Ours is host 1, theirs host 2 and up. `ports`: ours, theirs. ICMP: an echo request with the sender's port as its
 * identifier, or (`reply`) a reply with the receiver's. */
struct wish {
    uint8_t version, protocol, host;
    bool outgoing, reply;
    uint16_t ours, theirs;
    uint8_t flags;
};
struct made make_packet(const struct wish *w);
/* The error (type, code) that whoever receives `about` sends back, quoting `quote` bytes of it. */
struct made make_error(const struct made *about, uint8_t type, size_t quote);
/* The fragment of an IPv4 packet that carries what follows its header from `from` (a multiple of 8) on. */
struct made make_fragment(const struct made *whole, size_t from, size_t len, uint16_t id);
/* The same of an IPv6 packet. */
struct made make_fragment6(const struct made *whole, size_t from, size_t len, uint32_t id);
/* Puts a header between an IPv6 packet's first and what follows it; next header is filled in. */
void put_extension(struct made *m, uint8_t kind, const uint8_t *bytes, size_t len);

#endif
