/* What deciding on an inner packet needs to know of it: its ends, what it is part of and what it says of a flow. */
#ifndef POLICY_FLOW_PACKET_H
#define POLICY_FLOW_PACKET_H

#include "policy/flow.h"

#define FLOW_TCP_FIN 1u
#define FLOW_TCP_SYN 2u
#define FLOW_TCP_RST 4u
#define FLOW_TCP_ACK 16u

enum flow_role {
    FLOW_BEGINS,  /* may be the first of a flow: TCP, UDP, an ICMP echo request */
    FLOW_ANSWERS, /* never is: an ICMP echo reply */
    FLOW_QUOTES,  /* an ICMP error about a packet that went the other way */
};

struct flow_packet {
    uint8_t version; /* 4 or 6 */
    uint8_t address_len;
    uint8_t protocol; /* enum grant_protocol; of a later fragment, whatever the header says */
    enum flow_role role;
    const uint8_t *source, *destination;    /* borrowed from the packet */
    uint16_t source_port, destination_port; /* ICMP echo: the identifier as the asker's port, and 0 */
    uint8_t tcp_flags;
    const uint8_t *quoted; /* FLOW_QUOTES: the beginning of another packet */
    size_t quoted_len;
    bool first_fragment, later_fragment;
    uint32_t fragment_id;                   /* with the protocol above it, for IPv4 */
    uint32_t fragment_offset, fragment_end; /* bytes of the whole */
};

/* FLOW_PASS: it was understood. FLOW_REFUSED: sound, but of a kind that no rule can allow (another protocol or
 * extension header, a source route, multicast). `quoted`: only the beginning is there, as in an ICMP error. */
enum flow_verdict flow_packet_parse(struct flow_packet *out, const uint8_t *packet, size_t len, bool quoted);
#endif
