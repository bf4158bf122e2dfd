#include "net/netlink.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/netlink_internal.h"

#define REQUEST_MAX 256

static int set_link_u32(uint32_t interface, uint16_t attribute, uint32_t value)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    struct nlmsghdr *request = netlink_begin(bytes, RTM_NEWLINK, NLM_F_ACK);
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = (int)interface;
    mnl_attr_put_u32(request, attribute, value);
    return netlink_ask_once(request);
}

int netlink_set_mtu(uint32_t interface, uint32_t mtu)
{
    return set_link_u32(interface, IFLA_MTU, mtu);
}

int netlink_set_gso_max_size(uint32_t interface, uint32_t bytes)
{
    return set_link_u32(interface, IFLA_GSO_MAX_SIZE, bytes);
}
