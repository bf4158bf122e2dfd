#include "net/netlink_local.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/socket.h>

#include "net/netlink_internal.h"

#define REQUEST_MAX 256
#define DUMP_TRIES 3 /* one that changes while it is read is begun anew */
#define SEEN_MAX 64u /* addresses of the right kind, before their interfaces are looked at */

struct seen {
    uint32_t interface;
    struct endpoint address;
};

struct dump {
    struct seen seen[SEEN_MAX];
    uint32_t count;
};

/* ---- Addresses ---- */

static bool is_private_ipv4(const uint8_t *a)
{
    return a[0] == 10 || (a[0] == 172 && a[1] >> 4 == 1) || (a[0] == 192 && a[1] == 168);
}

static bool is_reachable_ipv6(const uint8_t *a)
{
    return (a[0] & 0xfe) == 0xfc || (a[0] & 0xe0) == 0x20;
}

/* An interface's own address stands in IFA_LOCAL where it differs from the prefix's. */
static int take_attribute(const struct nlattr *attribute, void *context)
{
    const struct nlattr **own = context;
    uint16_t type = mnl_attr_get_type(attribute);
    if (type == IFA_LOCAL || (type == IFA_ADDRESS && *own == NULL))
        *own = attribute;
    return MNL_CB_OK;
}

static int take_address(const struct nlmsghdr *message, void *context)
{
    struct dump *d = context;
    const struct ifaddrmsg *body = mnl_nlmsg_get_payload(message);
    const struct nlattr *own = NULL;
    if (message->nlmsg_type != RTM_NEWADDR || d->count == SEEN_MAX ||
        (body->ifa_flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_DADFAILED)) != 0)
        return MNL_CB_OK;
    mnl_attr_parse(message, sizeof(*body), take_attribute, &own);
    size_t len = body->ifa_family == AF_INET ? 4 : 16;
    if (own == NULL || mnl_attr_get_payload_len(own) != len)
        return MNL_CB_OK;
    const uint8_t *bytes = mnl_attr_get_payload(own);
    if (len == 4 ? !is_private_ipv4(bytes) : !is_reachable_ipv6(bytes))
        return MNL_CB_OK;
    struct seen *s = &d->seen[d->count++];
    *s = (struct seen){.interface = body->ifa_index, .address = {.family = len == 4 ? ENDPOINT_IPV4 : ENDPOINT_IPV6}};
    memcpy(s->address.address, bytes, len);
    return MNL_CB_OK;
}

/* 0 or a negative errno. */
static int read_dump(struct netlink *n, struct dump *d)
{
    _Alignas(struct nlmsghdr) uint8_t answer[NETLINK_MESSAGE_MAX];
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
        ssize_t len = mnl_socket_recvfrom(n->queries, answer, sizeof(answer));
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            return -EIO;
        if (((struct nlmsghdr *)answer)->nlmsg_seq == n->sequence)
            more = mnl_cb_run(answer, (size_t)len, n->sequence, mnl_socket_get_portid(n->queries), take_address, d);
    }
    return more == MNL_CB_STOP ? 0 : -errno;
}

static int dump_addresses(struct netlink *n, struct dump *d)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    int error = -EINTR;
    for (int i = 0; i < DUMP_TRIES && error == -EINTR; i++) {
        struct nlmsghdr *request = netlink_begin(bytes, RTM_GETADDR, NLM_F_DUMP);
        request->nlmsg_seq = ++n->sequence;
        struct ifaddrmsg *body = mnl_nlmsg_put_extra_header(request, sizeof(*body));
        body->ifa_family = AF_UNSPEC;
        d->count = 0;
        error = mnl_socket_sendto(n->queries, request, request->nlmsg_len) < 0 ? -EIO : read_dump(n, d);
    }
    return error == 0 ? 0 : ERROR_IO;
}

/* ---- Their interfaces ---- */

static int take_link(const struct nlmsghdr *message, void *context)
{
    bool *suits = context;
    if (message->nlmsg_type != RTM_NEWLINK)
        return MNL_CB_OK;
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    *suits = (link->ifi_flags & IFF_UP) != 0 && (link->ifi_flags & IFF_LOOPBACK) == 0 && link->ifi_type != ARPHRD_NONE;
    return MNL_CB_OK;
}

/* One that is gone by now suits nobody. */
static bool interface_suits(struct netlink *n, uint32_t interface)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[REQUEST_MAX];
    bool suits = false;
    struct nlmsghdr *request = netlink_begin(bytes, RTM_GETLINK, 0);
    request->nlmsg_seq = ++n->sequence;
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = (int)interface;
    return netlink_ask(n->queries, request, take_link, &suits) == 0 && suits;
}

int netlink_local(struct netlink *n, struct endpoint out[NETLINK_LOCAL_MAX])
{
    struct dump d;
    uint32_t count = 0;
    int error = dump_addresses(n, &d);
    if (error != 0)
        return error;
    for (uint32_t i = 0; i < d.count && count < NETLINK_LOCAL_MAX; i++)
        if (interface_suits(n, d.seen[i].interface))
            out[count++] = d.seen[i].address;
    return (int)count;
}
