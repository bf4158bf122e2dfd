#include "net/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define REQUEST_MAX 256

static int error_of(int number)
{
    switch (number) {
    case EPERM:
    case EACCES:
        return ERROR_PERMISSION;
    case ENODEV:
        return ERROR_GONE;
    case EINVAL:
    case ERANGE:
        return ERROR_INVALID;
    case EOPNOTSUPP:
        return ERROR_UNSUPPORTED;
    default:
        return ERROR_IO;
    }
}

static int ask(struct mnl_socket *socket, const struct nlmsghdr *request)
{
    uint8_t answer[8192]; /* an acknowledgement repeats the request */
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
        mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
        return error_of(errno);
    ssize_t len = mnl_socket_recvfrom(socket, answer, sizeof(answer));
    if (len < 0)
        return error_of(errno);
    if (mnl_cb_run(answer, (size_t)len, request->nlmsg_seq, mnl_socket_get_portid(socket), NULL, NULL) < 0)
        return error_of(errno);
    return 0;
}

static int set_link_u32(uint32_t interface, uint16_t attribute, uint32_t value)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = RTM_NEWLINK;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    request->nlmsg_seq = 1;
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = (int)interface;
    mnl_attr_put_u32(request, attribute, value);

    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (socket == NULL)
        return error_of(errno);
    int error = ask(socket, request);
    mnl_socket_close(socket);
    return error;
}

int netlink_set_mtu(uint32_t interface, uint32_t mtu)
{
    return set_link_u32(interface, IFLA_MTU, mtu);
}

int netlink_set_gso_max_size(uint32_t interface, uint32_t bytes)
{
    return set_link_u32(interface, IFLA_GSO_MAX_SIZE, bytes);
}
