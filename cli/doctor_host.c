/* This machine: its port, firewall, interfaces and kernel. */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"

#define TABLE_MAX (1u << 20)
#define OVERLAY_MTU 1280
#define UPLINK_MTU (OVERLAY_MTU + 16 + 16 + 8 + 40) /* and WireGuard's header and tag, UDP and IPv6 */

/* ---- The port ---- */

/* Columns of /proc/net/udp: the second is address:port, in hexadecimal. */
static bool lists_port(const char *table, unsigned port)
{
    char wanted[8];
    snprintf(wanted, sizeof(wanted), ":%04X", port);
    for (const char *line = table; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *address = strchr(line, ':');
        address = address ? strchr(address + 1, ':') : NULL; /* behind the row's number */
        if (address && strncmp(address, wanted, 5) == 0)
            return true;
    }
    return false;
}

static bool port_is_bound(const struct doctor *d, const char *name, unsigned port)
{
    char path[512], *table = malloc(TABLE_MAX);
    snprintf(path, sizeof(path), "%s/net/%s", d->proc, name);
    bool bound = table && doctor_read(path, table, TABLE_MAX) && lists_port(table, port);
    free(table);
    return bound;
}

void doctor_port(struct doctor *d)
{
    if (!doctor_asked(d, "port"))
        return;
    unsigned port = (unsigned)json_integer_value(json_object_get(d->status, "port"));
    if (port == 0)
        doctor_find(d, "port", DOCTOR_WARN, NULL, "The daemon told no UDP port.");
    else if (port_is_bound(d, "udp", port) || port_is_bound(d, "udp6", port))
        doctor_find(d, "port", DOCTOR_OK, NULL, "UDP %u is bound.", port);
    else
        doctor_find(d, "port", DOCTOR_WARN,
                    "Run this where the daemon runs (same network namespace), or start it again.",
                    "UDP %u is not bound here.", port);
}

/* ---- What strangers find ---- */

void doctor_strangers(struct doctor *d)
{
    char name[64], todo[DOCTOR_TEXT_MAX];
    if (!doctor_asked(d, "strangers"))
        return;
    const json_t *strangers = json_object_get(d->status, "strangers");
    const char *what = json_string_value(json_object_get(strangers, "what"));
    if (!json_is_true(json_object_get(strangers, "darkened"))) {
        doctor_find(d, "strangers", DOCTOR_WARN, "nightjar down, then nightjar up --darken [--keep tcp/22].", "%s",
                    what ? what : "This host's services answer strangers.");
        return;
    }
    snprintf(name, sizeof(name), "nightjar_%.8s", d->hash ? d->hash : "");
    int there = d->hash && d->has_table ? d->has_table(name) : -1;
    snprintf(todo, sizeof(todo), "nightjar down, then nightjar up --darken; and find out who removed table inet %s.",
             name);
    if (there == 0)
        doctor_find(d, "strangers", DOCTOR_FAIL, todo,
                    "The host was darkened, but the rules that do it are gone: its services answer strangers.");
    else if (there < 0)
        doctor_find(d, "strangers", DOCTOR_SKIPPED, "Run this as root, where nft is installed.",
                    "Whether the rules that keep this host dark are in place cannot be seen.");
    else
        doctor_find(d, "strangers", DOCTOR_OK, NULL, "%s", what ? what : "No port answers.");
}

/* ---- Interfaces ---- */

static bool is_uplink(const struct doctor_link *l)
{
    return !l->own && (l->flags & IFF_LOOPBACK) == 0 && (l->flags & IFF_UP) != 0 && (l->flags & IFF_RUNNING) != 0;
}

void doctor_uplinks(struct doctor *d)
{
    uint32_t seen = 0, before = d->count;
    for (uint32_t i = 0; i < d->link_count; i++) {
        const struct doctor_link *l = &d->links[i];
        if (!is_uplink(l))
            continue;
        seen++;
        if (l->mtu < UPLINK_MTU)
            doctor_find(d, "uplinks", DOCTOR_WARN,
                        "Raise it, if the network there allows; else packets are fragmented.",
                        "%s carries at most %d bytes a packet; full packets need %d.", l->name, l->mtu, UPLINK_MTU);
    }
    if (seen == 0)
        doctor_find(d, "uplinks", DOCTOR_FAIL, "Plug it in, or set the interface up.", "No uplink is up.");
    else if (d->count == before)
        doctor_find(d, "uplinks", DOCTOR_OK, NULL, "%u up, large enough.", seen);
}

static const struct doctor_link *find_own(const struct doctor *d)
{
    for (uint32_t i = 0; i < d->link_count; i++)
        if (d->links[i].own)
            return &d->links[i];
    return NULL;
}

void doctor_interface(struct doctor *d)
{
    if (!doctor_asked(d, "interface"))
        return;
    const struct doctor_link *own = find_own(d);
    if (!own)
        doctor_find(d, "interface", DOCTOR_FAIL,
                    "Run this where the daemon runs (same network namespace), or nightjar down and nightjar up.",
                    "No interface here has the addresses of this device.");
    else if ((own->flags & IFF_UP) == 0)
        doctor_find(d, "interface", DOCTOR_FAIL, "ip link set it up, or nightjar down and nightjar up.", "%s is down.",
                    own->name);
    else if (own->mtu < OVERLAY_MTU)
        doctor_find(d, "interface", DOCTOR_FAIL, "nightjar down, then nightjar up.",
                    "%s carries at most %d bytes a packet: IPv6 needs 1280.", own->name, own->mtu);
    else
        doctor_find(d, "interface", DOCTOR_OK, NULL, "%s is up, MTU %d.", own->name, own->mtu);
}

void doctor_ipv6(struct doctor *d)
{
    char path[512], disabled[8];
    snprintf(path, sizeof(path), "%s/sys/net/ipv6/conf/all/disable_ipv6", d->proc);
    bool known = doctor_read(path, disabled, sizeof(disabled));
    if (!known || strcmp(disabled, "1") == 0)
        doctor_find(d, "ipv6", DOCTOR_WARN, "sysctl net.ipv6.conf.all.disable_ipv6=0",
                    "This machine has IPv6 switched off: the overlay's IPv6 addresses do not work here.");
    else
        doctor_find(d, "ipv6", DOCTOR_OK, NULL, "On.");
}

/* ---- The kernel ---- */

static bool parse_version(const char *release, unsigned long *major, unsigned long *minor)
{
    char *end;
    *major = strtoul(release, &end, 10);
    bool good = end > release && *end == '.';
    *minor = good ? strtoul(end + 1, NULL, 10) : 0;
    return good;
}

void doctor_kernel(struct doctor *d)
{
    unsigned long major = 0, minor = 0;
    char path[512], release[128] = "";
    snprintf(path, sizeof(path), "%s/sys/kernel/osrelease", d->proc);
    if (!doctor_read(path, release, sizeof(release)) || !parse_version(release, &major, &minor))
        doctor_find(d, "kernel", DOCTOR_SKIPPED, NULL, "Its version cannot be read.");
    else if (major < 5 || (major == 5 && minor < 12))
        doctor_find(d, "kernel", DOCTOR_WARN, "Use Linux 5.12 or newer, better 6.2.",
                    "Linux %.60s lacks what makes the data path fast.", release);
    else if (major < 6 || (major == 6 && minor < 2))
        doctor_find(d, "kernel", DOCTOR_OK, NULL, "Linux %.60s; UDP would be faster from 6.2 on.", release);
    else
        doctor_find(d, "kernel", DOCTOR_OK, NULL, "Linux %.60s.", release);
}
