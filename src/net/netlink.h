/* What the kernel says about interfaces, addresses and routes (rtnetlink through libmnl). */
#ifndef NET_NETLINK_H
#define NET_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/error.h"

struct netlink;

enum netlink_event_kind {
    NETLINK_LINK,         /* the watched interface changed, or its state was asked for */
    NETLINK_LINK_GONE,    /* it left this namespace: deleted or moved (tun_is_gone tells) */
    NETLINK_PATHS_CHANGED /* some address or route came or went */
};

struct netlink_event {
    enum netlink_event_kind kind;
    bool up; /* NETLINK_LINK: administratively up */
    uint32_t mtu;
};

/* Watches `interface` (by index; 0: none), all addresses and all routes in the namespace that `namespace_fd` names (-1:
 * the caller's own). The calling thread is back in its own namespace on return. */
must_check int netlink_open(struct netlink **out, int namespace_fd, uint32_t interface);
void netlink_close(struct netlink *n);
int netlink_fd(const struct netlink *n);

/* Asks for the watched interface's state; the answer comes as an event. */
must_check int netlink_query_link(struct netlink *n);
/* Reads what waits without blocking and calls `each` for every event (several PATHS_CHANGED in one read become one;
 * a lost message counts as PATHS_CHANGED and asks for the link anew). */
must_check int netlink_dispatch(struct netlink *n, void (*each)(void *context, const struct netlink_event *event),
                                void *context);

/* In the namespace of the calling thread. */
must_check int netlink_set_mtu(uint32_t interface, uint32_t mtu);
must_check int netlink_set_gso_max_size(uint32_t interface, uint32_t bytes);
/* Whether a datagram to `to` with source `to->local` and mark would still leave by `to->interface` (RTM_GETROUTE): 1
 * yes, 0 no or no such source any more, negative on failure. Blocks for the kernel's answer only. */
must_check int netlink_path_holds(struct netlink *n, const struct endpoint *to, uint32_t mark);

#endif
