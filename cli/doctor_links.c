/* The interfaces of this network namespace, as the kernel lists them. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "doctor.h"

static struct doctor_link *find_or_add(struct doctor *d, const struct ifaddrs *a)
{
    for (uint32_t i = 0; i < d->link_count; i++)
        if (strcmp(d->links[i].name, a->ifa_name) == 0)
            return &d->links[i];
    if (d->link_count == DOCTOR_LINKS_MAX)
        return NULL;
    struct doctor_link *l = &d->links[d->link_count++];
    *l = (struct doctor_link){.flags = a->ifa_flags};
    snprintf(l->name, sizeof(l->name), "%s", a->ifa_name);
    return l;
}

static bool is_ours(const struct doctor *d, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN];
    const void *sockaddr = address; /* getifaddrs aligns what it points to */
    const struct sockaddr_in *v4 = sockaddr;
    const struct sockaddr_in6 *v6 = sockaddr;
    const void *bytes = address->sa_family == AF_INET ? (const void *)&v4->sin_addr : (const void *)&v6->sin6_addr;
    const json_t *ours = json_object_get(d->status, "addresses");
    if (!inet_ntop(address->sa_family, bytes, text, sizeof(text)))
        return false;
    for (size_t i = 0; i < json_array_size(ours); i++) {
        const char *one = json_string_value(json_array_get(ours, i));
        if (one && strcmp(one, text) == 0)
            return true;
    }
    return false;
}

static int mtu_of(int fd, const char *name)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    return ioctl(fd, SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : 0;
}

void doctor_list_links(struct doctor *d)
{
    struct ifaddrs *all = NULL;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (getifaddrs(&all) != 0)
        all = NULL;
    for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
        struct doctor_link *l = find_or_add(d, a);
        int family = a->ifa_addr ? a->ifa_addr->sa_family : AF_UNSPEC;
        if (l && (family == AF_INET || family == AF_INET6) && is_ours(d, a->ifa_addr))
            l->own = true;
        if (l && l->mtu == 0 && fd >= 0)
            l->mtu = mtu_of(fd, l->name);
    }
    freeifaddrs(all);
    if (fd >= 0)
        close(fd);
}
