/* What the netlink files share. */
#ifndef NET_NETLINK_INTERNAL_H
#define NET_NETLINK_INTERNAL_H

#include <libmnl/libmnl.h>

#include "net/netlink.h"

/* Enough for any message that the kernel sends here; larger ones are cut off and count as lost. */
#define NETLINK_MESSAGE_MAX 32768

struct netlink {
    struct mnl_socket *events;  /* non-blocking */
    struct mnl_socket *queries; /* one question, one answer */
    uint32_t interface;         /* 0: none, or gone */
    uint32_t sequence;
};

/* Sends a request and hands its answer to `take` (NULL: there is an acknowledgement alone). 0 or a negative errno. */
must_check int netlink_ask(struct mnl_socket *socket, const struct nlmsghdr *request, mnl_cb_t take, void *context);
/* Writes a request's header into `bytes`, aligned as one; bodies and attributes are put behind it. */
struct nlmsghdr *netlink_begin(void *bytes, uint16_t type, uint16_t flags);
must_check int netlink_open_socket(struct mnl_socket **out);
/* Sends a request that is only acknowledged, over a socket of its own. 0 or an error. */
must_check int netlink_ask_once(const struct nlmsghdr *request);
/* The attribute of that type behind a body of body_len bytes; 0 if there is none. */
uint32_t netlink_u32(const struct nlmsghdr *message, uint32_t body_len, uint16_t type);

#endif
