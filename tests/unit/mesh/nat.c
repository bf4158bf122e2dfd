#include "nat.h"

#include <string.h>

struct underlay net_public_of_site(uint32_t site)
{
    return (struct underlay){.address = {203, 0, 113, (uint8_t)(site + 1)}, .family = 4};
}

void net_place(struct net *n, uint32_t node, uint32_t site, struct underlay inside)
{
    n->nodes[node].site = site;
    n->nodes[node].inside = inside;
}

static bool is_alive(const struct net *n, uint64_t last, uint64_t now)
{
    return now < last + n->timeout;
}

static void forget_mapping(struct net *n, uint32_t at)
{
    n->mappings[at].node = 0;
    for (uint32_t f = 0; f < NET_FILTERS; f++)
        if (n->filters[f].mapping == at + 1)
            n->filters[f].mapping = 0;
}

void net_forget(struct net *n, uint32_t site)
{
    for (uint32_t i = 0; i < NET_MAPPINGS; i++)
        if (n->mappings[i].node != 0 && n->mappings[i].site == site)
            forget_mapping(n, i);
}

static uint32_t mapping_for(struct net *n, uint64_t now, uint32_t node, const struct underlay *to)
{
    uint32_t site = n->nodes[node].site, place = NET_MAPPINGS;
    bool symmetric = n->sites[site].kind == NAT_SYMMETRIC;
    for (uint32_t i = 0; i < NET_MAPPINGS; i++) {
        struct mapping *m = &n->mappings[i];
        if (m->node != 0 && !is_alive(n, m->last, now))
            forget_mapping(n, i);
        if (m->node == node + 1 && m->site == site && (!symmetric || underlay_equal(&m->remote, to)))
            return i;
        if (m->node == 0 && place == NET_MAPPINGS)
            place = i;
    }
    if (place == NET_MAPPINGS)
        return place;
    n->mappings[place] = (struct mapping){.node = node + 1, .site = site, .port = (uint16_t)(30000 + n->next_port++)};
    n->mappings[place].remote = *to;
    return place;
}

static void remember_remote(struct net *n, uint64_t now, uint32_t mapping, const struct underlay *to)
{
    struct filter *place = &n->filters[0];
    for (uint32_t f = 0; f < NET_FILTERS; f++) {
        if (n->filters[f].mapping == mapping + 1 && underlay_equal(&n->filters[f].remote, to)) {
            n->filters[f].last = now;
            return;
        }
        if (n->filters[f].mapping == 0 || n->filters[f].last < place->last)
            place = &n->filters[f];
    }
    *place = (struct filter){.mapping = mapping + 1, .remote = *to, .last = now};
}

static bool lets_in(const struct net *n, uint64_t now, uint32_t mapping, const struct underlay *from)
{
    enum nat kind = n->sites[n->mappings[mapping].site].kind;
    for (uint32_t f = 0; f < NET_FILTERS; f++) {
        const struct filter *it = &n->filters[f];
        if (it->mapping != mapping + 1 || !is_alive(n, it->last, now))
            continue;
        if (kind == NAT_FULL_CONE || underlay_equal(&it->remote, from))
            return true;
        if (kind == NAT_ADDRESS_RESTRICTED && underlay_same_host(&it->remote, from))
            return true;
    }
    return false;
}

static bool come_in(struct net *n, uint64_t now, uint32_t site, const struct underlay *to, const struct underlay *seen,
                    uint32_t *node)
{
    bool relays = seen->address[0] == 192;
    for (uint32_t i = 0; i < NET_MAPPINGS; i++) {
        struct mapping *m = &n->mappings[i];
        if (m->node == 0 || m->site != site || m->port != to->port || !is_alive(n, m->last, now))
            continue;
        if (!lets_in(n, now, i, seen) || (n->sites[site].blocked && !relays))
            return false;
        m->last = now;
        *node = m->node - 1;
        return true;
    }
    return false;
}

static bool is_inside(const struct underlay *u)
{
    return u->address[0] == 10;
}

static bool find_host(const struct net *n, const struct underlay *to, uint32_t site, uint32_t *node)
{
    for (uint32_t i = 0; i < NET_NODES; i++)
        if (n->nodes[i].inside.family != 0 && n->nodes[i].site == site && underlay_equal(&n->nodes[i].inside, to)) {
            *node = i;
            return true;
        }
    return false;
}

static void go_out(struct net *n, uint64_t now, uint32_t from, const struct underlay *to, struct underlay *seen)
{
    uint32_t site = n->nodes[from].site;
    if (site == NET_PUBLIC || n->sites[site].kind == NAT_NONE)
        return;
    uint32_t mapping = mapping_for(n, now, from, to);
    if (mapping == NET_MAPPINGS)
        return;
    n->mappings[mapping].last = now;
    remember_remote(n, now, mapping, to);
    *seen = net_public_of_site(site);
    seen->port = n->mappings[mapping].port;
}

bool net_send(struct net *n, uint64_t now, uint32_t from, const struct underlay *to, uint32_t *node,
              struct underlay *seen)
{
    *seen = n->nodes[from].inside;
    if (is_inside(to))
        return n->nodes[from].site != NET_PUBLIC && find_host(n, to, n->nodes[from].site, node) && !n->cut[from][*node];
    go_out(n, now, from, to, seen);
    for (uint32_t site = 0; site < NET_SITES; site++) {
        struct underlay public = net_public_of_site(site);
        if (underlay_same_host(&public, to) && n->sites[site].kind != NAT_NONE)
            return site != n->nodes[from].site && come_in(n, now, site, to, seen, node) && !n->cut[from][*node];
    }
    if (find_host(n, to, NET_PUBLIC, node))
        return !n->cut[from][*node];
    n->strays++;
    n->stray = *to;
    return false;
}
