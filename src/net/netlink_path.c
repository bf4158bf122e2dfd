#include "net/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "net/netlink_internal.h"

#define REQUEST_MAX 256

struct route {
    uint32_t interface;
    uint8_t type; /* RTN_UNICAST, RTN_LOCAL, ... */
};

static int take_route(const struct nlmsghdr *message, void *context)
{
    struct route *route = context;
    if (message->nlmsg_type != RTM_NEWROUTE)
        return MNL_CB_OK;
    const struct rtmsg *body = mnl_nlmsg_get_payload(message);
    route->type = body->rtm_type;
    route->interface = netlink_u32(message, sizeof(*body), RTA_OIF);
    return MNL_CB_OK;
}

static bool has_local(const struct endpoint *to)
{
    return !is_zero(to->local, sizeof(to->local));
}

static struct nlmsghdr *put_header(struct netlink *n, void *bytes, uint16_t type)
{
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = type;
    request->nlmsg_flags = NLM_F_REQUEST;
    request->nlmsg_seq = ++n->sequence;
    return request;
}

static int find_route(struct netlink *n, const struct endpoint *to, uint32_t mark, struct route *route)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    struct nlmsghdr *request = put_header(n, bytes, RTM_GETROUTE);
    struct rtmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
    size_t len = to->family == ENDPOINT_IPV4 ? 4 : 16;
    body->rtm_family = to->family == ENDPOINT_IPV4 ? AF_INET : AF_INET6;
    body->rtm_dst_len = (unsigned char)(len * 8);
    mnl_attr_put(request, RTA_DST, len, to->address);
    if (has_local(to)) {
        body->rtm_src_len = (unsigned char)(len * 8);
        mnl_attr_put(request, RTA_SRC, len, to->local);
    }
    if (to->scope != 0)
        mnl_attr_put_u32(request, RTA_OIF, to->scope);
    if (mark != 0)
        mnl_attr_put_u32(request, RTA_MARK, mark);
    return netlink_ask(n->queries, request, take_route, route);
}

/* A route lookup checks the source in IPv4 (EINVAL) but not in IPv6. */
static int find_ipv6_source(struct netlink *n, const struct endpoint *to)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    struct nlmsghdr *request = put_header(n, bytes, RTM_GETADDR);
    struct ifaddrmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
    body->ifa_family = AF_INET6;
    body->ifa_index = to->scope;
    mnl_attr_put(request, IFA_ADDRESS, sizeof(to->local), to->local);
    return netlink_ask(n->queries, request, NULL, NULL);
}

static bool means_no_path(int number)
{
    return number == EINVAL || number == EADDRNOTAVAIL || number == ENETUNREACH || number == EHOSTUNREACH ||
           number == ENODEV || number == EACCES || number == ENETDOWN;
}

int netlink_path_holds(struct netlink *n, const struct endpoint *to, uint32_t mark)
{
    struct route route = {0};
    if (to->family != ENDPOINT_IPV4 && to->family != ENDPOINT_IPV6)
        return ERROR_INVALID;
    int failed = 0;
    if (to->family == ENDPOINT_IPV6 && has_local(to))
        failed = -find_ipv6_source(n, to);
    if (failed == 0)
        failed = -find_route(n, to, mark, &route);
    if (failed != 0)
        return means_no_path(failed) ? 0 : ERROR_IO;
    bool usable = route.type == RTN_UNICAST || route.type == RTN_LOCAL;
    return usable && (to->interface == 0 || to->interface == route.interface);
}
