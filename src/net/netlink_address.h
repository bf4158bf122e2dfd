/* Addresses of an interface, and what they would overlap with (rtnetlink). In the namespace of the calling thread. */
#ifndef NET_NETLINK_ADDRESS_H
#define NET_NETLINK_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Adds an address (of 4 or 16 bytes) with its on-link prefix, which gives the route; the same one again is success. No
 * duplicate address detection. ERROR_PERMISSION, ERROR_GONE, ERROR_INVALID, ERROR_FULL (of descriptors), ERROR_IO. */
must_check int netlink_add_address(uint32_t interface, const uint8_t *address, size_t address_len, uint8_t prefix_len);
must_check int netlink_set_up(uint32_t interface);

/* Whether a route of any table, other than a default route and those of `interface`, shares an address with this IPv4
 * prefix: 1 yes, 0 no, or an error. Addresses count by the routes that they come with. */
must_check int netlink_overlaps_ipv4(uint32_t interface, const uint8_t address[4], uint8_t prefix_len);

#endif
