/* The addresses under which this host is found on its own networks (rtnetlink). */
#ifndef NET_NETLINK_LOCAL_H
#define NET_NETLINK_LOCAL_H

#include "net/netlink.h"

#define NETLINK_LOCAL_MAX 8u

/* Private IPv4 addresses, unique local and global IPv6 addresses of interfaces that are up and have a link layer: of no
 * loopback, and of no tunnel, ours or another's. In the namespace of `n`. The first NETLINK_LOCAL_MAX; returns how
 * many, or an error. Ports, scopes and local halves are zero. Blocks for the kernel's answer only. */
must_check int netlink_local(struct netlink *n, struct endpoint out[NETLINK_LOCAL_MAX]);

#endif
