#include "ways.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "darken.h"
#include "net/netlink_address.h"
#include "net/udp.h"
#include "proc/log.h"

#define PORT_TRIES 16
#define PORT_LEAST 20000u
#define PORT_SPAN 40000u
#define CONTROL_BACKLOG 16
#define CONTROL_PATH_MAX 64

struct opening {
    struct ways *ways;
    const struct options *options;
    struct place *place;
    char *complaint;
};

/* ---- The interface ---- */

/* Hosts that turned IPv6 off mean their uplinks. */
static void enable_ipv6(const char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* a kernel without */
    ssize_t ignored = write(fd, "0", 1);
    (void)ignored;
    close(fd);
}

static int open_tun(struct opening *o)
{
    struct ways *w = o->ways;
    const char *name = o->place->conf.tun[0] ? o->place->conf.tun : "nj%d";
    const struct tun_options options = {.mtu = WAYS_MTU};
    int error = tun_open(&w->tun, name, &options);
    if (error != 0)
        return complain(o->complaint, error, "The interface %s cannot be made: %s", name, error_sentence(error));
    snprintf(w->name, sizeof(w->name), "%s", tun_name(w->tun));
    w->interface = if_nametoindex(w->name);
    enable_ipv6(w->name);
    return w->interface != 0 ? 0 : complain(o->complaint, ERROR_GONE, "The interface %s was deleted.", w->name);
}

/* ---- Darkness ---- */

/* A kernel without ARP tables has none to remove. */
static int unguard_overlay_arp(const char *hash)
{
    char text[DARKEN_TEXT_MAX];
    int error = overlay_arp_remove_text(hash, text);
    if (error == 0)
        error = darken_apply(text);
    return error == ERROR_UNSUPPORTED ? 0 : error;
}

static int unguard_overlay(const char *hash)
{
    char text[DARKEN_TEXT_MAX];
    int error = overlay_remove_text(hash, text);
    if (error == 0)
        error = darken_apply(text);
    return error != 0 ? error : unguard_overlay_arp(hash);
}

static int remove_table(const char *hash)
{
    char text[DARKEN_TEXT_MAX];
    int error = undarken_text(hash, text);
    return error != 0 ? error : darken_apply(text);
}

static int darken_port(struct opening *o, uint16_t port)
{
    char text[DARKEN_TEXT_MAX];
    struct ways *w = o->ways;
    const struct darken d = {.hash = o->place->hash, .tun = w->name, .port = port, .keep = &w->keep};
    int error = darken_text(&d, text);
    if (error == 0)
        error = darken_apply(text);
    if (error == ERROR_NOT_FOUND)
        return complain(o->complaint, error,
                        "The host cannot be darkened: /usr/sbin/nft is missing. Install nftables, or leave out "
                        "--darken.");
    if (error != 0)
        return complain(o->complaint, error,
                        "The host cannot be darkened: nft refused the rules (its reason is in the log).");
    w->darkened = true;
    return 0;
}

/* ---- The port ---- */

static uint16_t draw_port(void)
{
    uint32_t random = 0;
    ssize_t ignored = getrandom(&random, sizeof(random), 0);
    (void)ignored; /* any port will do */
    return (uint16_t)(PORT_LEAST + random % PORT_SPAN);
}

static int open_port(struct opening *o, uint16_t port)
{
    int error = o->options->darken ? darken_port(o, port) : 0;
    if (error != 0)
        return error;
    error = udp_open_sockets(port, o->ways->udp, &o->ways->port);
    return error == 0 ? 0
                      : complain(o->complaint, error, "UDP port %u cannot be opened: %s Choose another with --listen.",
                                 port, error_sentence(error));
}

/* What is asked for, or was used before; else one of our own choice, since darkness comes before the port. */
static int open_some_port(struct opening *o)
{
    uint16_t asked = o->options->port ? o->options->port : o->place->conf.port;
    if (o->options->mode == MODE_JOIN && o->options->port == 0)
        return open_port(o, 0);
    if (asked != 0)
        return open_port(o, asked);
    int error = ERROR_IN_USE;
    for (unsigned i = 0; i < PORT_TRIES && error == ERROR_IN_USE; i++)
        error = open_port(o, draw_port());
    return error;
}

static int keep_port(struct opening *o)
{
    int error = place_keep_port(o->place, o->ways->port);
    return error == 0 ? 0
                      : complain(o->complaint, error, "%.200s/node.conf cannot be written: %s", o->place->path,
                                 error_sentence(error));
}

/* ---- The control socket ---- */

static void control_path(const struct place *place, char out[CONTROL_PATH_MAX])
{
    snprintf(out, CONTROL_PATH_MAX, PLACE_RUN "/%s.sock", place->hash);
}

/* For root and the group nightjar; who connects is asked for again by whoever accepts. */
static int give_to_group(const char *path)
{
    const struct group *group = getgrnam("nightjar");
    if (group && chown(path, 0, group->gr_gid) != 0)
        return -1;
    return chmod(path, group ? 0660 : 0600);
}

static int bind_control(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path); /* a dead daemon's: the lock is ours */
    mode_t before = umask(0177);
    int result = bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(before);
    return result == 0 && give_to_group(path) == 0 ? listen(fd, CONTROL_BACKLOG) : -1;
}

static int open_control(struct opening *o)
{
    char path[CONTROL_PATH_MAX];
    control_path(o->place, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind_control(fd, path) != 0) {
        int number = errno;
        if (fd >= 0)
            close(fd);
        return complain(o->complaint, ERROR_IO, "The control socket %s cannot be made: %s.", path, strerror(number));
    }
    o->ways->control = fd;
    return 0;
}

/* ---- All ---- */

static int join_keep(struct opening *o)
{
    struct keep *all = &o->ways->keep;
    *all = o->options->keep;
    for (uint32_t i = 0; i < o->place->conf.keep.count; i++) {
        if (all->count == KEEP_MAX)
            return complain(o->complaint, ERROR_FULL, "More than %u ports are to be kept.", KEEP_MAX);
        all->ports[all->count++] = o->place->conf.keep.ports[i];
    }
    return 0;
}

/* A table that a dead daemon left would still name its port. */
static void remove_old_table(const struct place *place)
{
    int error = remove_table(place->hash);
    if (error != 0 && error != ERROR_NOT_FOUND)
        log_line("warning", "nft", "what=\"an earlier table may remain\" why=\"%s\"", error_sentence(error));
}

static int open_up(struct opening *o)
{
    int error = join_keep(o);
    if (error == 0)
        error = open_tun(o);
    if (error == 0 && !o->options->darken)
        remove_old_table(o->place);
    if (error == 0)
        error = open_some_port(o);
    if (error == 0)
        error = keep_port(o);
    return error != 0 ? error : open_control(o);
}

int ways_open(struct ways *out, const struct options *options, struct place *place, char complaint[PLACE_COMPLAINT])
{
    struct opening o = {out, options, place, complaint};
    *out = (struct ways){.udp = {-1, -1}, .control = -1};
    int error = options->mode == MODE_JOIN ? open_some_port(&o) : open_up(&o);
    if (error != 0)
        ways_close(out, place);
    return error;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void ways_give_away(struct ways *w)
{
    close_fd(&w->udp[0]);
    close_fd(&w->udp[1]);
    tun_close(w->tun);
    w->tun = NULL;
}

void ways_close(struct ways *w, const struct place *place)
{
    char path[CONTROL_PATH_MAX];
    ways_give_away(w);
    if (w->darkened && remove_table(place->hash) != 0)
        log_line("warning", "nft", "what=\"the host stays dark\" todo=\"nft delete table inet nightjar_%.8s\"",
                 place->hash);
    if (w->guarded && unguard_overlay(place->hash) != 0)
        log_line("warning", "nft", "todo=\"nft delete table inet nightjar_%.8s_overlay\"", place->hash);
    w->darkened = w->guarded = false;
    if (w->control >= 0) {
        control_path(place, path);
        unlink(path);
    }
    close_fd(&w->control);
}

int ways_undarken(const struct place *place)
{
    int error = remove_table(place->hash);
    if (error == 0)
        error = unguard_overlay(place->hash);
    return error == ERROR_NOT_FOUND ? 0 : error; /* without nft no table was loaded */
}

/* ---- Addresses ---- */

static int set_ipv4(struct ways *w, const struct ipc_configure *what, struct ipc_configured *out)
{
    int overlaps = netlink_overlaps_ipv4(w->interface, what->ipv4, what->ipv4_len);
    if (overlaps < 0)
        return overlaps;
    if (overlaps == 0)
        return netlink_add_address(w->interface, what->ipv4, sizeof(what->ipv4), what->ipv4_len);
    out->ipv4_left_out = 1;
    log_line("warning", "ipv4-left-out", "prefix=%u.%u.%u.%u/%u why=\"it overlaps an address or route of an uplink\"",
             what->ipv4[0], what->ipv4[1], what->ipv4[2], what->ipv4[3], what->ipv4_len);
    return 0;
}

static void guard_overlay_arp(const struct overlay *o)
{
    char text[DARKEN_TEXT_MAX];
    int error = o->ipv4 ? overlay_arp_text(o, text) : 0;
    if (error == 0 && o->ipv4)
        error = darken_apply(text);
    if (error != 0)
        log_line("warning", "arp-open",
                 "what=\"neighbours on an uplink can ask for the overlay's IPv4 address\" why=\"%s\"",
                 error_sentence(error));
}

/* Without nft the daemon works, but a neighbour on an uplink could speak to overlay addresses, or as if from them. */
static void guard_overlay(struct ways *w, const struct place *place, const struct ipc_configure *what,
                          struct ipc_configured *out)
{
    char text[DARKEN_TEXT_MAX];
    const struct overlay o = {.hash = place->hash,
                              .tun = w->name,
                              .ipv6 = is_zero(what->ipv6, sizeof(what->ipv6)) ? NULL : what->ipv6,
                              .ipv6_len = what->ipv6_len,
                              .ipv4 = what->has_ipv4 && !out->ipv4_left_out ? what->ipv4 : NULL,
                              .ipv4_len = what->ipv4_len};
    int error = overlay_text(&o, text);
    if (error == 0)
        error = darken_apply(text);
    w->guarded = error == 0;
    out->overlay_open = error != 0;
    if (error == 0)
        guard_overlay_arp(&o);
    else
        log_line("warning", "overlay-open",
                 "what=\"overlay addresses are not guarded on other interfaces\" why=\"%s\" "
                 "todo=\"install nftables, then start again\"",
                 error_sentence(error));
}

static int set_ipv6(const struct ways *w, const struct ipc_configure *what)
{
    if (is_zero(what->ipv6, sizeof(what->ipv6)))
        return 0;
    return netlink_add_address(w->interface, what->ipv6, sizeof(what->ipv6), what->ipv6_len);
}

/* One of the two is enough to go on with. */
static int set_addresses(struct ways *w, const struct ipc_configure *what, struct ipc_configured *out)
{
    int error = set_ipv6(w, what);
    int error4 = what->has_ipv4 ? set_ipv4(w, what, out) : 0;
    bool has4 = what->has_ipv4 && error4 == 0 && out->ipv4_left_out == 0;
    if (error == 0 || !has4)
        return error != 0 ? error : error4;
    log_line("warning", "ipv6-left-out", "why=\"%s\"", error_sentence(error));
    return 0;
}

void ways_configure(struct ways *w, const struct place *place, const struct ipc_configure *what,
                    struct ipc_configured *out)
{
    *out = (struct ipc_configured){0};
    int error = netlink_set_up(w->interface);
    if (error == 0)
        error = set_addresses(w, what, out);
    out->error = error;
    if (error == 0)
        guard_overlay(w, place, what, out);
}
