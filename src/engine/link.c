/* Follows the interface, wherever it is moved, and the routes that the port's datagrams take. */
#include <unistd.h>

#include "engine/internal.h"

/* Routes of a busy host change often, and each check costs a question for each peer. */
#define PATHS_INTERVAL (SECOND / 5)
#define LINK_INTERVAL (SECOND / 10)

static void link_event(void *context, const struct netlink_event *event)
{
    struct engine *e = context;
    if (event->kind == NETLINK_LINK) {
        atomic_store(&e->mtu, event->mtu);
        engine_set_up(e, event->up);
    } else if (event->kind == NETLINK_LINK_GONE) {
        e->link_due = loop_monotonic();
    }
}

static void paths_changed(struct engine *e)
{
    uint64_t now = loop_monotonic();
    if (e->paths_due == 0)
        e->paths_due = now < e->paths_checked + PATHS_INTERVAL ? e->paths_checked + PATHS_INTERVAL : now;
}

static void paths_event(void *context, const struct netlink_event *event)
{
    if (event->kind == NETLINK_PATHS_CHANGED)
        paths_changed(context);
}

static void close_watch(struct engine *e, struct netlink **watch)
{
    if (!*watch)
        return;
    loop_remove(e->loop, netlink_fd(*watch));
    netlink_close(*watch);
    *watch = NULL;
}

static void link_ready(void *context, int fd);

/* Watches the interface in the namespace where it is now. */
static int watch_link(struct engine *e)
{
    int interface = tun_interface(e->tun);
    if (interface < 0)
        return interface;
    int namespace = tun_namespace(e->tun);
    int error = netlink_open(&e->link, namespace < 0 ? -1 : namespace, (uint32_t)interface);
    if (namespace >= 0)
        close(namespace);
    if (error == 0)
        error = loop_add(e->loop, netlink_fd(e->link), link_ready, e);
    return error == 0 ? netlink_query_link(e->link) : error;
}

static void link_ready(void *context, int fd)
{
    struct engine *e = context;
    (void)fd;
    if (netlink_dispatch(e->link, link_event, e) != 0)
        e->link_due = loop_monotonic();
}

/* Anything but the interface's end may be over soon: too few descriptors, say. */
static void follow_interface(struct engine *e)
{
    close_watch(e, &e->link);
    int error = watch_link(e);
    e->gone |= error == ERROR_GONE;
    e->link_due = error == 0 ? 0 : loop_monotonic() + LINK_INTERVAL;
}

static void paths_ready(void *context, int fd)
{
    struct engine *e = context;
    (void)fd;
    if (netlink_dispatch(e->paths, paths_event, e) != 0)
        paths_changed(e);
}

int link_open(struct engine *e)
{
    int error = netlink_open(&e->paths, -1, 0);
    if (error == 0)
        error = loop_add(e->loop, netlink_fd(e->paths), paths_ready, e);
    return error == 0 && e->tun ? watch_link(e) : error;
}

void link_close(struct engine *e)
{
    close_watch(e, &e->link);
    close_watch(e, &e->paths);
}

static void for_each_source(struct engine *e, bool (*lost)(struct engine *e, const struct endpoint *endpoint))
{
    struct tunnel_peer_info info;
    for (peer_id peer = tunnel_peer_next(e->tunnel, 0); peer != 0; peer = tunnel_peer_next(e->tunnel, peer))
        if (tunnel_peer_info(e->tunnel, peer, &info) == 0 &&
            !is_zero(info.endpoint.local, sizeof(info.endpoint.local)) && lost(e, &info.endpoint))
            tunnel_peer_forget_local(e->tunnel, peer);
    wipe(&info, sizeof(info));
}

static bool leads_elsewhere(struct engine *e, const struct endpoint *endpoint)
{
    return netlink_path_holds(e->paths, endpoint, e->mark) == 0;
}

static bool always(struct engine *e, const struct endpoint *endpoint)
{
    (void)e;
    (void)endpoint;
    return true;
}

void link_forget_sources(struct engine *e)
{
    for_each_source(e, always);
}

/* ---- Where we are ---- */

static void tell_local(struct engine *e)
{
    struct endpoint now[NETLINK_LOCAL_MAX];
    if (!e->options.local || !e->udp)
        return;
    int count = netlink_local(e->paths, now);
    if (count < 0)
        return; /* what was told stands until the next change */
    for (int i = 0; i < count; i++)
        now[i].port = e->port;
    size_t size = (size_t)count * sizeof(*now);
    if ((uint32_t)count == e->local_count && memcmp(e->local, now, size) == 0)
        return;
    memcpy(e->local, now, size);
    e->local_count = (uint32_t)count;
    e->options.local(e->options.context, e->local, e->local_count);
}

static void check_paths(struct engine *e)
{
    e->paths_due = 0;
    e->paths_checked = loop_monotonic();
    if (e->udp)
        udp_forget_limits(e->udp);
    for_each_source(e, leads_elsewhere);
    tell_local(e);
}

void link_look(struct engine *e)
{
    paths_changed(e);
}

static bool is_due(uint64_t at)
{
    return at != 0 && at <= loop_monotonic();
}

uint64_t link_deadline(const struct engine *e)
{
    uint64_t link = e->link_due != 0 ? e->link_due : UINT64_MAX, paths = e->paths_due != 0 ? e->paths_due : UINT64_MAX;
    return link < paths ? link : paths;
}

void link_expire(struct engine *e)
{
    if (is_due(e->link_due))
        follow_interface(e);
    if (is_due(e->paths_due))
        check_paths(e);
}
