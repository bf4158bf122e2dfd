/* The network under the meshes: public hosts, and sites behind NATs of the kinds that there are (RFC 4787). */
#ifndef TESTS_UNIT_MESH_NAT_H
#define TESTS_UNIT_MESH_NAT_H

#include <stdbool.h>
#include <stdint.h>

#include "wire/names.h"

#define NET_NODES 64
#define NET_SITES 16
#define NET_MAPPINGS 256
#define NET_FILTERS 1024
#define NET_PUBLIC UINT32_MAX /* no site */

enum nat {
    NAT_NONE, /* hosts have public addresses */
    NAT_FULL_CONE,
    NAT_ADDRESS_RESTRICTED,
    NAT_PORT_RESTRICTED,
    NAT_SYMMETRIC, /* another port for each destination, and filtered by it */
};

struct mapping {
    uint32_t node; /* and 1; 0: free */
    uint32_t site;
    uint16_t port;
    struct underlay remote; /* symmetric: for whom */
    uint64_t last;
};
struct filter {
    uint32_t mapping; /* and 1 */
    struct underlay remote;
    uint64_t last;
};

struct net {
    struct {
        uint32_t site;
        struct underlay inside; /* family 0: not placed */
    } nodes[NET_NODES];
    struct {
        enum nat kind;
        bool blocked; /* nothing from other hosts than relays passes */
    } sites[NET_SITES];
    struct mapping mappings[NET_MAPPINGS];
    struct filter filters[NET_FILTERS];
    uint16_t next_port;
    uint64_t timeout; /* of mappings and filters */
    uint32_t strays;  /* datagrams to hosts that there are not */
    struct underlay stray;
    bool cut[NET_NODES][NET_NODES]; /* directly, one way */
};

struct underlay net_public_of_site(uint32_t site);
void net_place(struct net *n, uint32_t node, uint32_t site, struct underlay inside);
/* A site's NAT forgets everything, as when it was started anew. */
void net_forget(struct net *n, uint32_t site);
/* A datagram; false: lost. `seen`: where it seems to come from. */
bool net_send(struct net *n, uint64_t now, uint32_t from, const struct underlay *to, uint32_t *node,
              struct underlay *seen);

#endif
