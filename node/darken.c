#include "darken.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc/spawn.h"

#define NFT "/usr/sbin/nft"

/* Adding before deleting makes the deletion succeed where there is no table. */
static const char replace[] = "add table inet nightjar_%.8s\n"
                              "delete table inet nightjar_%.8s\n";

/* Our own port is not tracked, so that a flood fills no table. "local": what is only forwarded is left alone. */
static const char untracked[] = "table inet nightjar_%.8s {\n"
                                "    chain untracked_in {\n"
                                "        type filter hook prerouting priority raw; policy accept;\n"
                                "        fib daddr type local udp dport %u notrack\n"
                                "    }\n"
                                "    chain untracked_out {\n"
                                "        type filter hook output priority raw; policy accept;\n"
                                "        udp sport %u notrack\n"
                                "    }\n"
                                "    chain input {\n"
                                "        type filter hook input priority filter; policy accept;\n"
                                "        iifname { \"lo\", \"%s\" } accept\n"
                                "        udp dport %u accept\n";

/* What answers us; of what others began, TCP connections that stood before, so that whoever darkens a host over one is
 * not cut off, and no other flow, which a stranger could keep alive for good. Neighbour discovery (RFC 4861: hop limit
 * 255, so from the link alone), the errors that say that a packet was too large, which nothing answers, and what a DHCP
 * client asked for. */
static const char needed[] =
    "        ct direction reply ct state established accept\n"
    "        meta l4proto tcp ct state established accept\n"
    "        ct state related accept\n"
    "        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } ip6 hoplimit 255 accept\n"
    "        icmpv6 type packet-too-big accept\n"
    "        icmp type destination-unreachable icmp code frag-needed accept\n"
    "        udp sport 67 udp dport 68 accept\n"
    "        udp sport 547 udp dport 546 accept\n"
    "        drop\n"
    "    }\n";

/* Errors that our own stack would send. Those of size are for what this host forwards. */
static const char silent[] = "    chain output {\n"
                             "        type filter hook output priority filter; policy accept;\n"
                             "        oifname { \"lo\", \"%s\" } accept\n"
                             "        icmp type destination-unreachable icmp code != frag-needed drop\n"
                             "        icmp type { time-exceeded, parameter-problem, redirect } drop\n"
                             "        icmpv6 type { destination-unreachable, time-exceeded, parameter-problem } drop\n"
                             "    }\n"
                             "}\n";

struct text {
    char *out;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t left = DARKEN_TEXT_MAX - t->len;
    int added = vsnprintf(t->out + t->len, left, format, arguments);
    va_end(arguments);
    t->len = added < 0 || (size_t)added >= left ? DARKEN_TEXT_MAX : t->len + (size_t)added;
}

static int finish(const struct text *t)
{
    return t->len < DARKEN_TEXT_MAX ? 0 : ERROR_OVERFLOW;
}

int darken_text(const struct darken *d, char out[DARKEN_TEXT_MAX])
{
    struct text t = {.out = out};
    add(&t, replace, d->hash, d->hash);
    add(&t, untracked, d->hash, d->port, d->port, d->tun, d->port);
    for (uint32_t i = 0; i < d->keep->count; i++)
        add(&t, "        %s dport %u accept\n", d->keep->ports[i].udp ? "udp" : "tcp", d->keep->ports[i].port);
    add(&t, "%s", needed);
    add(&t, silent, d->tun);
    return finish(&t);
}

int undarken_text(const char *hash, char out[DARKEN_TEXT_MAX])
{
    struct text t = {.out = out};
    add(&t, replace, hash, hash);
    return finish(&t);
}

static const char replace_overlay[] = "add table inet nightjar_%.8s_overlay\n"
                                      "delete table inet nightjar_%.8s_overlay\n";
static const char overlay[] = "table inet nightjar_%.8s_overlay {\n"
                              "    chain elsewhere {\n"
                              "        type filter hook prerouting priority raw; policy accept;\n"
                              "        iifname { \"lo\", \"%s\" } accept\n";

int overlay_text(const struct overlay *o, char out[DARKEN_TEXT_MAX])
{
    struct text t = {.out = out};
    char address[INET6_ADDRSTRLEN];
    add(&t, replace_overlay, o->hash, o->hash);
    add(&t, overlay, o->hash, o->tun);
    if (o->ipv6 && inet_ntop(AF_INET6, o->ipv6, address, sizeof(address)))
        add(&t, "        ip6 saddr %s/%u drop\n        ip6 daddr %s/%u drop\n", address, o->ipv6_len, address,
            o->ipv6_len);
    if (o->ipv4 && inet_ntop(AF_INET, o->ipv4, address, sizeof(address)))
        add(&t, "        ip saddr %s/%u drop\n        ip daddr %s/%u drop\n", address, o->ipv4_len, address,
            o->ipv4_len);
    add(&t, "    }\n}\n");
    return finish(&t);
}

int overlay_remove_text(const char *hash, char out[DARKEN_TEXT_MAX])
{
    struct text t = {.out = out};
    add(&t, replace_overlay, hash, hash);
    return finish(&t);
}

static const char replace_arp[] = "add table arp nightjar_%.8s_overlay\n"
                                  "delete table arp nightjar_%.8s_overlay\n";
static const char arp[] = "table arp nightjar_%.8s_overlay {\n"
                          "    chain elsewhere {\n"
                          "        type filter hook input priority filter; policy accept;\n"
                          "        iifname \"%s\" accept\n"
                          "        arp saddr ip %s/%u drop\n        arp daddr ip %s/%u drop\n"
                          "    }\n}\n";

int overlay_arp_text(const struct overlay *o, char out[DARKEN_TEXT_MAX])
{
    struct text t = {.out = out};
    char address[INET_ADDRSTRLEN];
    if (!o->ipv4 || !inet_ntop(AF_INET, o->ipv4, address, sizeof(address)))
        return ERROR_MALFORMED;
    add(&t, replace_arp, o->hash, o->hash);
    add(&t, arp, o->hash, o->tun, address, o->ipv4_len, address, o->ipv4_len);
    return finish(&t);
}

int overlay_arp_remove_text(const char *hash, char out[DARKEN_TEXT_MAX])
{
    struct text t = {.out = out};
    add(&t, replace_arp, hash, hash);
    return finish(&t);
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return ERROR_IO;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ERROR_UNSUPPORTED;
}

int darken_apply(const char *text)
{
    static char name[] = "nft", file[] = "-f", standard_input[] = "-";
    char *argv[] = {name, file, standard_input, NULL};
    int input = memfd_create("nightjar-rules", MFD_CLOEXEC);
    size_t len = strlen(text);
    if (input < 0 || write(input, text, len) != (ssize_t)len || lseek(input, 0, SEEK_SET) != 0) {
        if (input >= 0)
            close(input);
        return ERROR_IO;
    }
    const struct spawn_fd fds[] = {{input, 0}};
    const struct spawn what = {.path = NFT, .argv = argv, .fds = fds, .fd_count = 1};
    pid_t pid;
    int error = spawn_start(&pid, &what);
    close(input);
    return error != 0 ? error : wait_for(pid);
}
