#include "net/udp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "net/compat.h"
#include "net/udp_internal.h"

#define ERRORS_SWALLOWED 16 /* in one call; the next goes on with the rest */

/* Packet info and the segment size that UDP_GRO tells. */
struct receive_control {
    _Alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

struct receive_batch {
    struct mmsghdr headers[UDP_BATCH_MAX];
    struct iovec iov[UDP_BATCH_MAX];
    union udp_address from[UDP_BATCH_MAX];
    struct receive_control control[UDP_BATCH_MAX];
};

static void prepare(struct receive_batch *batch, const struct udp_received *messages, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        batch->iov[i] = (struct iovec){messages[i].data, UDP_MESSAGE_MAX};
        batch->headers[i].msg_hdr = (struct msghdr){.msg_name = &batch->from[i],
                                                    .msg_namelen = sizeof(batch->from[i]),
                                                    .msg_iov = &batch->iov[i],
                                                    .msg_iovlen = 1,
                                                    .msg_control = &batch->control[i],
                                                    .msg_controllen = sizeof(batch->control[i])};
    }
}

static void read_address(struct endpoint *from, const union udp_address *address)
{
    memset(from, 0, sizeof(*from));
    if (address->any.sa_family == AF_INET) {
        from->family = ENDPOINT_IPV4;
        from->port = ntohs(address->ipv4.sin_port);
        memcpy(from->address, &address->ipv4.sin_addr, 4);
    } else {
        from->family = ENDPOINT_IPV6;
        from->port = ntohs(address->ipv6.sin6_port);
        from->scope = address->ipv6.sin6_scope_id;
        memcpy(from->address, &address->ipv6.sin6_addr, 16);
    }
}

static void read_ipv4_info(struct endpoint *from, const struct cmsghdr *item)
{
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(item), sizeof(info));
    memcpy(from->local, &info.ipi_spec_dst, 4); /* not ipi_addr, which may be a broadcast address */
    from->interface = (uint32_t)info.ipi_ifindex;
}

static void read_ipv6_info(struct endpoint *from, const struct cmsghdr *item)
{
    struct in6_pktinfo info;
    memcpy(&info, CMSG_DATA(item), sizeof(info));
    if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) /* which can be no source */
        memcpy(from->local, &info.ipi6_addr, 16);
    from->interface = info.ipi6_ifindex;
}

static void read_segment(struct udp_received *message, const struct cmsghdr *item)
{
    int size;
    memcpy(&size, CMSG_DATA(item), sizeof(size));
    if (size > 0 && (uint32_t)size < message->len)
        message->segment = (uint32_t)size;
}

static void read_control(struct udp_received *message, struct msghdr *header)
{
    for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item != NULL; item = CMSG_NXTHDR(header, item)) {
        if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_PKTINFO)
            read_ipv4_info(&message->from, item);
        else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO)
            read_ipv6_info(&message->from, item);
        else if (item->cmsg_level == SOL_UDP && item->cmsg_type == UDP_GRO)
            read_segment(message, item);
    }
}

static void read_message(struct udp_received *message, struct mmsghdr *header, const union udp_address *from)
{
    /* Without its control messages, the boundaries inside are unknown. */
    bool cut = (header->msg_hdr.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    message->len = message->segment = cut ? 0 : header->msg_len;
    read_address(&message->from, from);
    read_control(message, &header->msg_hdr);
}

int udp_receive(struct udp *udp, enum endpoint_family family, struct udp_received *messages, uint32_t count)
{
    int fd = udp_fd(udp, family);
    if (fd < 0)
        return ERROR_UNSUPPORTED;
    if (count > UDP_BATCH_MAX)
        return ERROR_INVALID;
    struct receive_batch batch;
    prepare(&batch, messages, count);
    int received = recvmmsg(fd, batch.headers, count, MSG_DONTWAIT, NULL);
    /* Reading a pending error clears it; what waits behind it is not lost. */
    for (int i = 0; received < 0 && errno != EAGAIN && i < ERRORS_SWALLOWED; i++)
        received = recvmmsg(fd, batch.headers, count, MSG_DONTWAIT, NULL);
    if (received < 0)
        return errno == EBADF || errno == ENOTSOCK || errno == EFAULT ? ERROR_IO : 0;
    for (int i = 0; i < received; i++)
        read_message(&messages[i], &batch.headers[i], &batch.from[i]);
    return received;
}
