#include "net/netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/netlink_internal.h"

#define GROUPS (RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)

typedef void take_event(void *context, const struct netlink_event *event);

/* One call of netlink_dispatch. */
struct dispatch {
    struct netlink *n;
    take_event *each;
    void *context;
    bool paths_changed;
    bool lost;
};

static struct mnl_socket *open_bound(int flags, unsigned groups)
{
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
    if (socket != NULL && mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) != 0) {
        mnl_socket_close(socket);
        return NULL;
    }
    return socket;
}

static int open_sockets(struct netlink *n)
{
    n->events = open_bound(SOCK_NONBLOCK, GROUPS);
    n->queries = open_bound(0, 0);
    return n->events != NULL && n->queries != NULL ? 0 : ERROR_IO;
}

/* A socket stays in the namespace that it was opened in. */
static int open_sockets_in(struct netlink *n, int namespace_fd)
{
    int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0)
        return ERROR_IO;
    int error;
    if (setns(namespace_fd, CLONE_NEWNET) != 0) {
        error = errno == EPERM ? ERROR_PERMISSION : ERROR_INVALID;
    } else {
        error = open_sockets(n);
        if (setns(own, CLONE_NEWNET) != 0)
            abort(); /* every later socket would be in the wrong place */
    }
    close(own);
    return error;
}

int netlink_open(struct netlink **out, int namespace_fd, uint32_t interface)
{
    struct netlink *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return ERROR_MEMORY;
    n->interface = interface;
    int error = namespace_fd < 0 ? open_sockets(n) : open_sockets_in(n, namespace_fd);
    if (error != 0) {
        netlink_close(n);
        return error;
    }
    *out = n;
    return 0;
}

void netlink_close(struct netlink *n)
{
    if (n == NULL)
        return;
    if (n->events != NULL)
        mnl_socket_close(n->events);
    if (n->queries != NULL)
        mnl_socket_close(n->queries);
    free(n);
}

int netlink_fd(const struct netlink *n)
{
    return mnl_socket_get_fd(n->events);
}

int netlink_query_link(struct netlink *n)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[256];
    if (n->interface == 0)
        return ERROR_GONE;
    struct nlmsghdr *request = mnl_nlmsg_put_header(bytes);
    request->nlmsg_type = RTM_GETLINK;
    request->nlmsg_flags = NLM_F_REQUEST;
    request->nlmsg_seq = ++n->sequence;
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = (int)n->interface;
    return mnl_socket_sendto(n->events, request, request->nlmsg_len) < 0 ? ERROR_IO : 0;
}

static void link_is_gone(struct dispatch *d)
{
    d->n->interface = 0; /* the index may come back as another interface's */
    d->each(d->context, &(struct netlink_event){.kind = NETLINK_LINK_GONE});
}

static void take_link(struct dispatch *d, const struct nlmsghdr *message)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    if (link->ifi_family != AF_UNSPEC) /* what a bridge says of its ports */
        return;
    if (d->n->interface == 0 || link->ifi_index != (int)d->n->interface) {
        d->paths_changed = true; /* IPv4 routes go with their interface, and nothing else tells */
    } else if (message->nlmsg_type == RTM_DELLINK) {
        link_is_gone(d);
    } else {
        bool up = (link->ifi_flags & IFF_UP) != 0;
        uint32_t mtu = netlink_u32(message, sizeof(*link), IFLA_MTU);
        d->each(d->context, &(struct netlink_event){.kind = NETLINK_LINK, .up = up, .mtu = mtu});
    }
}

static void take_error(struct dispatch *d, const struct nlmsghdr *message)
{
    const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
    if (error->error == -ENODEV && d->n->interface != 0)
        link_is_gone(d);
}

/* The least length that the kernel gives each body; 0 for what is of no interest. */
static size_t body_len(uint16_t type)
{
    switch (type) {
    case NLMSG_ERROR:
        return sizeof(struct nlmsgerr);
    case RTM_NEWLINK:
    case RTM_DELLINK:
        return sizeof(struct ifinfomsg);
    case RTM_NEWADDR:
    case RTM_DELADDR:
        return sizeof(struct ifaddrmsg);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        return sizeof(struct rtmsg);
    default:
        return 0;
    }
}

static void take_message(struct dispatch *d, const struct nlmsghdr *message)
{
    size_t needed = body_len(message->nlmsg_type);
    if (needed == 0 || mnl_nlmsg_get_payload_len(message) < needed)
        return;
    if (message->nlmsg_type == NLMSG_ERROR)
        take_error(d, message);
    else if (message->nlmsg_type == RTM_NEWLINK || message->nlmsg_type == RTM_DELLINK)
        take_link(d, message);
    else
        d->paths_changed = true;
}

/* False when nothing more waits. */
static bool read_once(struct dispatch *d, int *error)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[NETLINK_MESSAGE_MAX];
    ssize_t received = mnl_socket_recvfrom(d->n->events, bytes, sizeof(bytes));
    if (received < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
        d->lost = true;
        return true;
    }
    if (received < 0) {
        *error = errno == EAGAIN ? 0 : ERROR_IO;
        return errno == EINTR;
    }
    int len = (int)received;
    const struct nlmsghdr *message = (const void *)bytes;
    for (; mnl_nlmsg_ok(message, len); message = mnl_nlmsg_next(message, &len))
        take_message(d, message);
    return true;
}

int netlink_dispatch(struct netlink *n, take_event *each, void *context)
{
    struct dispatch d = {.n = n, .each = each, .context = context};
    int error = 0;
    while (read_once(&d, &error))
        continue;
    if (d.paths_changed || d.lost)
        each(context, &(struct netlink_event){.kind = NETLINK_PATHS_CHANGED});
    if (d.lost && n->interface != 0 && error == 0)
        error = netlink_query_link(n);
    return error;
}
