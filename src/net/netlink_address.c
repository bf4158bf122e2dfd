#include "net/netlink_address.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "net/netlink_internal.h"

#define REQUEST_MAX 256

int netlink_add_address(uint32_t interface, const uint8_t *address, size_t address_len, uint8_t prefix_len)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    if ((address_len != 4 && address_len != 16) || prefix_len > address_len * 8)
        return ERROR_INVALID;
    struct nlmsghdr *request = netlink_begin(bytes, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *what = mnl_nlmsg_put_extra_header(request, sizeof(*what));
    what->ifa_family = address_len == 4 ? AF_INET : AF_INET6;
    what->ifa_prefixlen = prefix_len;
    what->ifa_flags = address_len == 4 ? 0 : IFA_F_NODAD;
    what->ifa_index = interface;
    mnl_attr_put(request, IFA_LOCAL, address_len, address);
    mnl_attr_put(request, IFA_ADDRESS, address_len, address);
    int error = netlink_ask_once(request);
    return error == ERROR_EXISTS ? 0 : error;
}

int netlink_set_up(uint32_t interface)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    struct nlmsghdr *request = netlink_begin(bytes, RTM_NEWLINK, NLM_F_ACK);
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = (int)interface;
    link->ifi_flags = IFF_UP;
    link->ifi_change = IFF_UP;
    return netlink_ask_once(request);
}

struct overlap {
    uint32_t interface;
    uint32_t address;
    uint8_t prefix_len;
    bool found;
};

static uint32_t mask_of(uint8_t prefix_len)
{
    return prefix_len == 0 ? 0 : UINT32_MAX << (32 - prefix_len);
}

struct route {
    uint32_t interface;
    uint32_t destination;
};

static int take_attribute(const struct nlattr *attribute, void *context)
{
    struct route *route = context;
    if (mnl_attr_get_payload_len(attribute) != 4)
        return MNL_CB_OK;
    if (mnl_attr_get_type(attribute) == RTA_DST)
        route->destination = get_be32(mnl_attr_get_payload(attribute));
    else if (mnl_attr_get_type(attribute) == RTA_OIF)
        route->interface = mnl_attr_get_u32(attribute);
    return MNL_CB_OK;
}

/* Two prefixes overlap if they agree in the shorter one's bits. */
static int take_route(const struct nlmsghdr *message, void *context)
{
    struct overlap *o = context;
    const struct rtmsg *what = mnl_nlmsg_get_payload(message);
    struct route route = {0};
    if (message->nlmsg_type != RTM_NEWROUTE || what->rtm_family != AF_INET || what->rtm_dst_len == 0)
        return MNL_CB_OK;
    mnl_attr_parse(message, sizeof(*what), take_attribute, &route);
    uint32_t mask = mask_of(what->rtm_dst_len < o->prefix_len ? what->rtm_dst_len : o->prefix_len);
    if (route.interface != o->interface && ((route.destination ^ o->address) & mask) == 0)
        o->found = true;
    return MNL_CB_OK;
}

static int dump_routes(struct mnl_socket *socket, struct overlap *o)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX], answer[NETLINK_MESSAGE_MAX];
    struct nlmsghdr *request = netlink_begin(bytes, RTM_GETROUTE, NLM_F_DUMP);
    struct rtmsg *what = mnl_nlmsg_put_extra_header(request, sizeof(*what));
    what->rtm_family = AF_INET;
    if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
        return ERROR_IO;
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
        ssize_t len = mnl_socket_recvfrom(socket, answer, sizeof(answer));
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return ERROR_IO;
        more = mnl_cb_run(answer, (size_t)len, request->nlmsg_seq, mnl_socket_get_portid(socket), take_route, o);
    }
    return more == MNL_CB_STOP ? 0 : ERROR_IO;
}

int netlink_overlaps_ipv4(uint32_t interface, const uint8_t address[4], uint8_t prefix_len)
{
    struct overlap o = {.interface = interface, .address = get_be32(address), .prefix_len = prefix_len};
    struct mnl_socket *socket;
    if (prefix_len > 32)
        return ERROR_INVALID;
    int error = netlink_open_socket(&socket);
    if (error != 0)
        return error;
    error = dump_routes(socket, &o);
    mnl_socket_close(socket);
    return error != 0 ? error : o.found;
}
