/* Where nodes are found: in the open, or behind a NAT that they may share, of any of the kinds of RFC 4787. */
#include <stdlib.h>
#include <string.h>

#include "plant.h"

#define FILTERS_MAX 64u

/* Somebody inside, as the world sees it: at one port for all, or (symmetric) at one for each destination. */
struct plant_mapping {
    struct plant_mapping *next;
    struct endpoint inside, to;
    uint16_t port;
    uint64_t used;
    uint32_t filter_count;
    struct plant_filter {
        struct endpoint remote;
        uint64_t used;
    } filters[FILTERS_MAX]; /* whom it has sent to; the oldest gives way */
};

/* ---- Addresses ---- */

#define OPEN_NET 45u
#define NAT_NET 46u

static struct endpoint ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
    return (struct endpoint){.address = {a, b, c, d}, .port = port, .family = ENDPOINT_IPV4};
}

/* Sites use the same private addresses. */
struct endpoint plant_endpoint(const struct plant_node *n)
{
    uint16_t port = (uint16_t)(1024 + n->moves);
    if (n->site != 0)
        return ipv4(192, 168, n->moves, (uint8_t)(10 + n->host), port);
    return ipv4(OPEN_NET, n->moves, (uint8_t)(n->number >> 8), (uint8_t)n->number, port);
}

static struct endpoint outside(const struct plant *p, uint32_t site, uint16_t port)
{
    return ipv4(NAT_NET, p->sites[site].moves, (uint8_t)(site >> 8), (uint8_t)site, port);
}

static bool same_host(const struct endpoint *a, const struct endpoint *b)
{
    return a->family == b->family && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool same_place(const struct endpoint *a, const struct endpoint *b)
{
    return same_host(a, b) && a->port == b->port;
}

bool plant_is_private(const struct endpoint *e)
{
    return e->family == ENDPOINT_IPV4 && e->address[0] == 192 && e->address[1] == 168;
}

bool plant_is_network(const struct endpoint *e)
{
    return e->family == ENDPOINT_IPV4 && (e->address[0] == OPEN_NET || e->address[0] == NAT_NET);
}

/* ---- Mappings ---- */

static bool is_over(const struct plant *p, const struct plant_site *s, uint64_t used)
{
    return used + s->timeout < p->now;
}

static void forget_old(struct plant *p, struct plant_site *s)
{
    for (struct plant_mapping **link = &s->mappings; *link;) {
        struct plant_mapping *m = *link;
        if (!is_over(p, s, m->used)) {
            link = &m->next;
            continue;
        }
        *link = m->next;
        free(m);
    }
}

void plant_site_forget(struct plant_site *s)
{
    while (s->mappings) {
        struct plant_mapping *gone = s->mappings;
        s->mappings = gone->next;
        free(gone);
    }
}

static struct plant_mapping *mapping_of(struct plant *p, struct plant_site *s, const struct endpoint *inside,
                                        const struct endpoint *to)
{
    forget_old(p, s);
    for (struct plant_mapping *m = s->mappings; m; m = m->next)
        if (same_place(&m->inside, inside) && (s->kind != PLANT_SYMMETRIC || same_place(&m->to, to)))
            return m;
    struct plant_mapping *m = calloc(1, sizeof(*m));
    plant_must(m != NULL, "memory");
    s->next_port = (uint16_t)(s->next_port < 20000 || s->next_port > 60000 ? 20000 + plant_below(p, 1000)
                                                                           : s->next_port + 1 + plant_below(p, 20));
    *m = (struct plant_mapping){.next = s->mappings, .inside = *inside, .to = *to, .port = s->next_port};
    s->mappings = m;
    return m;
}

static void let_in(struct plant *p, struct plant_mapping *m, const struct endpoint *remote)
{
    struct plant_filter *oldest = &m->filters[0];
    for (uint32_t i = 0; i < m->filter_count; i++) {
        if (same_place(&m->filters[i].remote, remote)) {
            m->filters[i].used = p->now;
            return;
        }
        oldest = m->filters[i].used < oldest->used ? &m->filters[i] : oldest;
    }
    if (m->filter_count < FILTERS_MAX)
        oldest = &m->filters[m->filter_count++];
    *oldest = (struct plant_filter){.remote = *remote, .used = p->now};
}

static bool is_let_in(const struct plant *p, const struct plant_site *s, const struct plant_mapping *m,
                      const struct endpoint *remote)
{
    if (s->kind == PLANT_FULL_CONE)
        return true;
    for (uint32_t i = 0; i < m->filter_count; i++) {
        const struct plant_filter *f = &m->filters[i];
        bool same = s->kind == PLANT_ADDRESS ? same_host(&f->remote, remote) : same_place(&f->remote, remote);
        if (same && !is_over(p, s, f->used))
            return true;
    }
    return false;
}

/* ---- Out and in ---- */

bool plant_nat_out(struct plant_node *from, const struct endpoint *to, struct endpoint *seen)
{
    struct plant *p = from->plant;
    struct plant_site *s = &p->sites[from->site];
    *seen = plant_endpoint(from);
    if (from->site == 0 || plant_is_private(to))
        return from->site != 0 || !plant_is_private(to);
    struct endpoint own = outside(p, from->site, 0);
    if (same_host(to, &own) && !s->hairpins)
        return false;
    struct plant_mapping *m = mapping_of(p, s, seen, to);
    m->used = p->now;
    let_in(p, m, to);
    *seen = outside(p, from->site, m->port);
    return true;
}

static struct plant_node *at_site(struct plant *p, uint32_t site, const struct endpoint *e)
{
    for (uint32_t i = 0; i < p->node_count; i++) {
        struct endpoint own = plant_endpoint(&p->nodes[i]);
        if (p->nodes[i].site == site && same_place(&own, e))
            return &p->nodes[i];
    }
    return NULL;
}

static struct plant_node *behind(struct plant *p, uint32_t site, const struct endpoint *from, const struct endpoint *to)
{
    struct plant_site *s = &p->sites[site];
    forget_old(p, s);
    for (struct plant_mapping *m = s->mappings; m; m = m->next)
        if (m->port == to->port)
            return is_let_in(p, s, m, from) ? at_site(p, site, &m->inside) : NULL;
    return NULL;
}

struct plant_node *plant_nat_in(struct plant *p, uint32_t site, const struct endpoint *from, const struct endpoint *to)
{
    uint32_t number = (uint32_t)to->address[2] << 8 | to->address[3];
    if (plant_is_private(to))
        return site != 0 ? at_site(p, site, to) : NULL;
    if (to->address[0] == NAT_NET && number < PLANT_SITES && number > 0 && to->address[1] == p->sites[number].moves)
        return behind(p, number, from, to);
    if (to->address[0] != OPEN_NET || number >= p->node_count || p->nodes[number].site != 0)
        return NULL;
    struct endpoint own = plant_endpoint(&p->nodes[number]);
    return same_place(&own, to) ? &p->nodes[number] : NULL;
}

/* ---- Who is where ---- */

static uint32_t room_at(const struct plant *p, uint32_t site)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < p->node_count; i++)
        taken += p->nodes[i].site == site;
    return taken < PLANT_SITE_NODES;
}

static void enter(struct plant *p, struct plant_node *n, uint32_t site)
{
    uint32_t taken = 0;
    n->site = 0;
    for (uint32_t i = 0; i < p->node_count && site != 0; i++)
        if (p->nodes[i].site == site)
            taken |= 1u << p->nodes[i].host;
    n->host = 0;
    while (taken >> n->host & 1)
        n->host++;
    n->site = (uint16_t)site;
}

void plant_place(struct plant *p, struct plant_node *n)
{
    uint32_t most = p->node_count / 3 < PLANT_SITES - 1 ? p->node_count / 3 : PLANT_SITES - 1;
    uint32_t site = 1 + plant_below(p, most);
    bool stays = n->number >= PLANT_HUB && n->number < PLANT_FIRST_MEMBER; /* a relay */
    if (stays || plant_chance(p, 60))
        site = 0;
    for (uint32_t tries = 0; site != 0 && !room_at(p, site) && tries < PLANT_SITES; tries++)
        site = 1 + site % (PLANT_SITES - 1);
    enter(p, n, room_at(p, site) ? site : 0);
}

void plant_make_sites(struct plant *p)
{
    for (uint32_t i = 1; i < PLANT_SITES; i++)
        p->sites[i] = (struct plant_site){.kind = (enum plant_nat_kind)(1 + i % (PLANT_NAT_KINDS - 1)),
                                          .hairpins = plant_chance(p, 100),
                                          .timeout = (uint64_t)(30 + plant_below(p, 150)) * SECOND};
}

/* Whether two nodes have a way to each other that no relay is part of: what each may hear. */
bool plant_may_meet(const struct plant *p, const struct plant_node *a, const struct plant_node *b)
{
    enum plant_nat_kind x = p->sites[a->site].kind, y = p->sites[b->site].kind;
    bool symmetric = x == PLANT_SYMMETRIC || y == PLANT_SYMMETRIC, port = x == PLANT_PORT || y == PLANT_PORT;
    if (a->site == b->site)
        return true;
    return !(x == PLANT_SYMMETRIC && y == PLANT_SYMMETRIC) && !(symmetric && port);
}
