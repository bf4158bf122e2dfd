#include "net/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/compat.h"
#include "net/udp_internal.h"

#define BUFFER_BYTES (4 * 1024 * 1024)
#define PORT_TRIES 64 /* a port free in IPv4 may be taken in IPv6 */

static int error_of(int number)
{
    switch (number) {
    case EADDRINUSE:
        return ERROR_IN_USE;
    case EPERM:
    case EACCES:
        return ERROR_PERMISSION;
    default:
        return ERROR_IO;
    }
}

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : error_of(errno);
}

/* For what the socket works without. */
static void try_to_set(int fd, int level, int option, int value)
{
    int ignored = set(fd, level, option, value);
    (void)ignored;
}

static void enlarge_buffer(int fd, int option_force, int option)
{
    if (set(fd, SOL_SOCKET, option_force, BUFFER_BYTES) != 0)
        try_to_set(fd, SOL_SOCKET, option, BUFFER_BYTES); /* as much of it as net.core.*mem_max allows */
}

/* What needs no privilege, at any time. */
static int configure_receiving(int fd, int family, bool no_offloads)
{
    if (!no_offloads)
        try_to_set(fd, SOL_UDP, UDP_GRO, 1);
    if (family == AF_INET6)
        return set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    try_to_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    return set(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

static int configure(int fd, int family, const struct udp_options *options)
{
    int error = family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) : 0;
    if (error == 0)
        error = configure_receiving(fd, family, options->no_offloads);
    if (error == 0 && options->mark != 0)
        error = set(fd, SOL_SOCKET, SO_MARK, (int)options->mark);
    enlarge_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    return error;
}

static int bind_any(int fd, int family, uint16_t port)
{
    union udp_address address = {0};
    socklen_t len = sizeof(address.ipv4);
    address.any.sa_family = (sa_family_t)family;
    address.ipv4.sin_port = htons(port);
    if (family == AF_INET6) {
        address.ipv6.sin6_port = htons(port);
        len = sizeof(address.ipv6);
    }
    return bind(fd, &address.any, len) == 0 ? 0 : error_of(errno);
}

/* A bound socket in *out, or an error; ERROR_UNSUPPORTED when the host does not have the family. */
static int open_family(int *out, int family, uint16_t port, const struct udp_options *options)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno == EAFNOSUPPORT ? ERROR_UNSUPPORTED : error_of(errno);
    int error = configure(fd, family, options);
    if (error == 0)
        error = bind_any(fd, family, port);
    if (error != 0) {
        close(fd);
        return error;
    }
    *out = fd;
    return 0;
}

static int bound_port(int fd, uint16_t *port)
{
    union udp_address address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, &address.any, &len) != 0)
        return ERROR_IO;
    *port = ntohs(address.ipv4.sin_port);
    return 0;
}

static int open_both(struct udp *udp, const struct udp_options *options)
{
    int error = open_family(&udp->ipv4, AF_INET, options->port, options);
    if (error != 0)
        return error;
    error = bound_port(udp->ipv4, &udp->port);
    if (error == 0)
        error = open_family(&udp->ipv6, AF_INET6, udp->port, options);
    if (error == ERROR_UNSUPPORTED)
        return 0;
    if (error != 0) {
        close(udp->ipv4);
        udp->ipv4 = -1;
    }
    return error;
}

static struct udp *udp_new(bool no_offloads)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    if (udp == NULL)
        return NULL;
    udp->ipv4 = udp->ipv6 = -1;
    udp->may_segment = !no_offloads;
    return udp;
}

int udp_open(struct udp **out, const struct udp_options *options)
{
    struct udp *udp = udp_new(options->no_offloads);
    if (udp == NULL)
        return ERROR_MEMORY;
    int error = open_both(udp, options);
    for (int i = 1; i < PORT_TRIES && error == ERROR_IN_USE && options->port == 0; i++)
        error = open_both(udp, options);
    if (error != 0) {
        free(udp);
        return error;
    }
    *out = udp;
    return 0;
}

int udp_open_sockets(uint16_t port, int fds[2], uint16_t *bound_port_out)
{
    struct udp *udp;
    int error = udp_open(&udp, &(struct udp_options){.port = port});
    if (error != 0)
        return error;
    fds[0] = udp->ipv4;
    fds[1] = udp->ipv6;
    *bound_port_out = udp->port;
    free(udp);
    return 0;
}

/* A descriptor of our own of a socket that somebody else opened; -1 stays -1. */
static int adopt(int *out, int fd, int family, bool no_offloads)
{
    if (fd < 0)
        return 0;
    *out = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (*out < 0 || fcntl(*out, F_SETFL, O_RDWR | O_NONBLOCK) != 0)
        return ERROR_INVALID;
    return configure_receiving(*out, family, no_offloads);
}

int udp_adopt(struct udp **out, int ipv4, int ipv6, bool no_offloads)
{
    struct udp *udp = udp_new(no_offloads);
    if (udp == NULL)
        return ERROR_MEMORY;
    int error = adopt(&udp->ipv4, ipv4, AF_INET, no_offloads);
    if (error == 0)
        error = adopt(&udp->ipv6, ipv6, AF_INET6, no_offloads);
    if (error == 0)
        error = bound_port(udp->ipv4 >= 0 ? udp->ipv4 : udp->ipv6, &udp->port);
    if (error != 0)
        udp_close(udp);
    else
        *out = udp;
    return error;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void udp_close(struct udp *udp)
{
    if (udp == NULL)
        return;
    close_if_open(udp->ipv4);
    close_if_open(udp->ipv6);
    free(udp);
}

uint16_t udp_port(const struct udp *udp)
{
    return udp->port;
}

int udp_set_mark(struct udp *udp, uint32_t mark)
{
    int error = udp->ipv4 >= 0 ? set(udp->ipv4, SOL_SOCKET, SO_MARK, (int)mark) : 0;
    if (error == 0 && udp->ipv6 >= 0)
        error = set(udp->ipv6, SOL_SOCKET, SO_MARK, (int)mark);
    return error;
}

int udp_fd(const struct udp *udp, enum endpoint_family family)
{
    switch (family) {
    case ENDPOINT_IPV4:
        return udp->ipv4;
    case ENDPOINT_IPV6:
        return udp->ipv6;
    default:
        return -1;
    }
}
