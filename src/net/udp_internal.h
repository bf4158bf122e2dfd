/* What udp.c, udp_receive.c and udp_send.c share. */
#ifndef NET_UDP_INTERNAL_H
#define NET_UDP_INTERNAL_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "net/udp.h"

#define UDP_LIMITS 64 /* destinations whose limit is remembered; more only cost a failed send now and then */

union udp_address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

struct udp {
    int ipv4;
    int ipv6; /* -1: the host has none */
    uint16_t port;
    bool may_segment;
    /* By destination: see limit_slot in udp_send.c. 0: nothing learned. */
    _Atomic uint32_t limits[UDP_LIMITS];
};

#endif
