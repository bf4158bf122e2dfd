/* Follows the interface, wherever it is moved, and the routes that the port's datagrams take. */
#include <unistd.h>

#include "engine/internal.h"

static void link_event(void *context, const struct netlink_event *event)
{
    struct engine *e = context;
    if (event->kind == NETLINK_LINK) {
        atomic_store(&e->mtu, event->mtu);
        engine_set_up(e, event->up);
    } else if (event->kind == NETLINK_LINK_GONE) {
        e->moved = true;
    }
}

static void paths_event(void *context, const struct netlink_event *event)
{
    struct engine *e = context;
    if (event->kind == NETLINK_PATHS_CHANGED)
        e->paths_changed = true;
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
        e->moved = true;
    if (!e->moved)
        return;
    e->moved = false;
    close_watch(e, &e->link);
    if (watch_link(e) != 0)
        e->gone = true;
}

static void paths_ready(void *context, int fd)
{
    struct engine *e = context;
    (void)fd;
    if (netlink_dispatch(e->paths, paths_event, e) != 0)
        e->paths_changed = true;
}

int link_open(struct engine *e)
{
    int error = netlink_open(&e->paths, -1, 0);
    if (error == 0)
        error = loop_add(e->loop, netlink_fd(e->paths), paths_ready, e);
    return error == 0 ? watch_link(e) : error;
}

void link_close(struct engine *e)
{
    close_watch(e, &e->link);
    close_watch(e, &e->paths);
}

void link_check_paths(struct engine *e)
{
    struct tunnel_peer_info info;
    e->paths_changed = false;
    if (e->udp)
        udp_forget_limits(e->udp);
    for (peer_id peer = tunnel_peer_next(e->tunnel, 0); peer != 0; peer = tunnel_peer_next(e->tunnel, peer)) {
        if (tunnel_peer_info(e->tunnel, peer, &info) != 0 || is_zero(info.endpoint.local, sizeof(info.endpoint.local)))
            continue;
        if (netlink_path_holds(e->paths, &info.endpoint, e->mark) == 0)
            tunnel_peer_forget_local(e->tunnel, peer);
    }
    wipe(&info, sizeof(info));
}
