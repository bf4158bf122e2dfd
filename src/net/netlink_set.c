#include "net/netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/netlink_internal.h"

#define REQUEST_MAX 256

static int error_of(int number)
{
    switch (number) {
    case 0:
        return 0;
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
    int error = ERROR_IO;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0)
        error = error_of(-netlink_ask(socket, request, NULL, NULL));
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
