/* The underlay: one UDP port on IPv4 and IPv6, with GSO, GRO and many messages a system call where the kernel has them.
 */
#ifndef NET_UDP_H
#define NET_UDP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/error.h"

#define UDP_BATCH_MAX 64       /* messages a system call */
#define UDP_MESSAGE_MAX 65535u /* bytes a message, segments together */
#define UDP_SEGMENTS_MAX 64    /* datagrams a message */

struct udp;

struct udp_options {
    uint16_t port;    /* 0: the kernel picks one that is free for both families */
    uint32_t mark;    /* SO_MARK, 0 none */
    bool no_offloads; /* neither GSO nor GRO */
};

/* Opens both families on one port (IPv6 alone may be missing: hosts without it). Large buffers, packet info on, IPv4
 * without DF so that routers may fragment. Non-blocking, close-on-exec. ERROR_IN_USE, ERROR_PERMISSION, ERROR_IO. */
must_check int udp_open(struct udp **out, const struct udp_options *options);
void udp_close(struct udp *udp);

/* For a process that may open sockets on behalf of one that may not: opens both families as udp_open does (fds[1] is
 * -1 where there is no IPv6), to be passed on and closed by the caller. */
must_check int udp_open_sockets(uint16_t port, int fds[2], uint16_t *bound_port_out);
/* Uses sockets that another process opened so; -1: no such family. They stay the caller's. */
must_check int udp_adopt(struct udp **out, int ipv4, int ipv6, bool no_offloads);

uint16_t udp_port(const struct udp *udp);
must_check int udp_set_mark(struct udp *udp, uint32_t mark);
/* The descriptor of a family, or -1. */
int udp_fd(const struct udp *udp, enum endpoint_family family);

/* One received message: one or more datagrams from one source, each `segment` bytes but the last, which may be shorter.
 */
struct udp_received {
    uint8_t *data;        /* in: a buffer of UDP_MESSAGE_MAX bytes, the caller's */
    uint32_t len;         /* out */
    uint32_t segment;     /* out; equals len for a single datagram; never 0 unless len is */
    struct endpoint from; /* out, with the local address and interface that it came to */
};

/* Takes what waits on one family, up to `count` <= UDP_BATCH_MAX messages, without blocking. Returns how many (0: none
 * waits). Pending socket errors (ICMP) are swallowed. A datagram cut off by the kernel comes out with len 0. */
must_check int udp_receive(struct udp *udp, enum endpoint_family family, struct udp_received *messages, uint32_t count);

/* One message to send: `len` bytes in datagrams of `segment` bytes, the last maybe shorter; at most UDP_SEGMENTS_MAX of
 * them and UDP_MESSAGE_MAX - 28 bytes; segment == len (or 0) for one datagram. */
struct udp_outgoing {
    const uint8_t *data;
    uint32_t len;
    uint32_t segment;
    struct endpoint to; /* `local`, if not zero, is the source address to use */
    int result;         /* out: 0, or ERROR_IO, ERROR_PERMISSION, ERROR_UNSUPPORTED (no such family) */
    bool local_refused; /* out: `local` no longer works; it was sent (if result is 0) from another address */
};

/* Sends them in order. Where UDP_SEGMENT fails (EIO, EINVAL, EMSGSIZE) the message is sent again as single datagrams,
 * and segments of that size are not tried again until udp_forget_limits. A full socket buffer is waited for, 100 ms at
 * most a call; what is left then has result ERROR_AGAIN. Never fails as a whole. Several threads may send. */
void udp_send(struct udp *udp, struct udp_outgoing *messages, uint32_t count);

/* Routes changed: what was learned of path limits no longer holds. */
void udp_forget_limits(struct udp *udp);

#endif
