#include "net/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/compat.h"
#include "net/netlink.h"

#define IOV_MAX_LINUX 1024
/* A sealed super-packet, with a header and a tag for each of its packets, still fits one UDP message. */
#define GSO_MAX_SIZE 60000u

struct tun {
    int fd;
    bool virtio;      /* a struct virtio_net_hdr precedes each packet */
    bool tcp_offload; /* the kernel gives TCP super-packets */
    bool udp_offload; /* and UDP ones (Linux 6.2) */
    char name[IFNAMSIZ];
};

static int error_of_open(int number)
{
    switch (number) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return ERROR_NO_TUN;
    case EPERM:
    case EACCES:
        return ERROR_PERMISSION;
    case EBUSY:
        return ERROR_IN_USE;
    case EINVAL:
        return ERROR_INVALID;
    case ENOMEM:
        return ERROR_MEMORY;
    default:
        return ERROR_IO;
    }
}

/* TUNSETIFF binds a descriptor once, so each attempt has one of its own. */
static int attach(struct tun *tun, const char *name, short flags)
{
    struct ifreq request = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | flags)};
    memcpy(request.ifr_name, name, strlen(name));
    tun->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun->fd < 0)
        return error_of_open(errno);
    if (ioctl(tun->fd, TUNSETIFF, &request) != 0) {
        int error = error_of_open(errno);
        close(tun->fd);
        return error;
    }
    memcpy(tun->name, request.ifr_name, sizeof(tun->name));
    tun->virtio = (flags & IFF_VNET_HDR) != 0;
    return 0;
}

/* The most that the kernel gives; false when it does not even take virtio headers of our size. */
static bool negotiate_offloads(struct tun *tun)
{
    const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    const unsigned udp = TUN_F_USO4 | TUN_F_USO6;
    int header_size = (int)sizeof(struct virtio_net_hdr);
    if (ioctl(tun->fd, TUNSETVNETHDRSZ, &header_size) != 0)
        return false;
    tun->udp_offload = ioctl(tun->fd, TUNSETOFFLOAD, tcp | udp) == 0;
    tun->tcp_offload = tun->udp_offload || ioctl(tun->fd, TUNSETOFFLOAD, tcp) == 0;
    return tun->tcp_offload || ioctl(tun->fd, TUNSETOFFLOAD, TUN_F_CSUM) == 0;
}

static int attach_with_offloads(struct tun *tun, const char *name)
{
    int error = attach(tun, name, IFF_VNET_HDR);
    if (error != 0 || negotiate_offloads(tun))
        return error;
    close(tun->fd);
    return attach(tun, name, 0);
}

static int configure(const struct tun *tun, const struct tun_options *options)
{
    uint32_t interface = if_nametoindex(tun->name);
    if (interface == 0)
        return ERROR_GONE;
    if (tun->tcp_offload) {
        int ignored = netlink_set_gso_max_size(interface, GSO_MAX_SIZE); /* larger ones only cost a second send */
        (void)ignored;
    }
    return options->mtu == 0 ? 0 : netlink_set_mtu(interface, options->mtu);
}

int tun_open(struct tun **out, const char *name, const struct tun_options *options)
{
    if (strlen(name) >= IFNAMSIZ)
        return ERROR_INVALID;
    struct tun *tun = calloc(1, sizeof(*tun));
    if (tun == NULL)
        return ERROR_MEMORY;
    int error = options->no_offloads ? attach(tun, name, 0) : attach_with_offloads(tun, name);
    if (error != 0) {
        free(tun);
        return error;
    }
    error = configure(tun, options);
    if (error != 0) {
        tun_close(tun);
        return error;
    }
    *out = tun;
    return 0;
}

static int set_descriptor_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return ERROR_IO;
    return 0;
}

int tun_adopt(struct tun **out, int fd)
{
    struct ifreq request = {0};
    if (ioctl(fd, TUNGETIFF, &request) != 0)
        return errno == EBADFD ? ERROR_GONE : ERROR_INVALID;
    if ((request.ifr_flags & (IFF_TUN | IFF_NO_PI)) != (IFF_TUN | IFF_NO_PI))
        return ERROR_INVALID;
    int error = set_descriptor_flags(fd);
    if (error != 0)
        return error;
    struct tun *tun = calloc(1, sizeof(*tun));
    if (tun == NULL)
        return ERROR_MEMORY;
    tun->fd = fd;
    tun->virtio = (request.ifr_flags & IFF_VNET_HDR) != 0;
    memcpy(tun->name, request.ifr_name, sizeof(tun->name));
    if (tun->virtio && !negotiate_offloads(tun)) {
        free(tun);
        return ERROR_UNSUPPORTED;
    }
    *out = tun;
    return 0;
}

void tun_close(struct tun *tun)
{
    if (tun == NULL)
        return;
    close(tun->fd);
    free(tun);
}

int tun_fd(const struct tun *tun)
{
    return tun->fd;
}

const char *tun_name(const struct tun *tun)
{
    return tun->name;
}

bool tun_has_offloads(const struct tun *tun)
{
    return tun->tcp_offload;
}

bool tun_takes_partial(const struct tun *tun)
{
    return tun->virtio;
}

bool tun_has_udp_offload(const struct tun *tun)
{
    return tun->udp_offload;
}

static int error_of_read(int number)
{
    switch (number) {
    case EAGAIN:
    case EINTR:
        return ERROR_AGAIN;
    case EBADFD:
        return ERROR_GONE;
    default:
        return ERROR_IO;
    }
}

/* In one piece: a vector costs the kernel more than the header's ten bytes. */
int tun_read(struct tun *tun, struct virtio_net_hdr *header, uint32_t capacity)
{
    uint32_t before = tun->virtio ? sizeof(*header) : 0;
    uint8_t *packet = (uint8_t *)header + sizeof(*header);
    memset(header, 0, sizeof(*header));
    ssize_t len = read(tun->fd, packet - before, before + capacity);
    if (len < 0)
        return error_of_read(errno);
    return len <= (ssize_t)before ? ERROR_IO : (int)(len - before);
}

static bool is_plain(const struct virtio_net_hdr *header)
{
    return header->flags == 0 && header->gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

static int error_of_write(int number, const struct virtio_net_hdr *header)
{
    switch (number) {
    case EAGAIN:
    case EINTR:
    case ENOMEM:
    case ENOBUFS:
        return ERROR_AGAIN;
    case EBADFD:
        return ERROR_GONE;
    case EINVAL:
        return is_plain(header) ? ERROR_IO : ERROR_UNSUPPORTED;
    default:
        return ERROR_IO; /* EIO: the interface is down */
    }
}

int tun_write(struct tun *tun, const struct virtio_net_hdr *header, const struct iovec *iov, int count)
{
    struct iovec all[IOV_MAX_LINUX];
    if (count < 1 || count > IOV_MAX_LINUX - 2)
        return ERROR_INVALID;
    if (!tun->virtio && !is_plain(header))
        return ERROR_UNSUPPORTED;
    all[0] = (struct iovec){(void *)(uintptr_t)header, sizeof(*header)};
    memcpy(all + 1, iov, (size_t)count * sizeof(*iov));
    ssize_t len = tun->virtio ? writev(tun->fd, all, count + 1) : writev(tun->fd, iov, count);
    return len < 0 ? error_of_write(errno, header) : 0;
}

bool tun_is_gone(const struct tun *tun)
{
    struct ifreq request = {0};
    return ioctl(tun->fd, TUNGETIFF, &request) != 0 && errno == EBADFD;
}

int tun_namespace(const struct tun *tun)
{
    int fd = ioctl(tun->fd, TUNGETDEVNETNS);
    if (fd >= 0)
        return fd;
    switch (errno) {
    case EBADFD:
        return ERROR_GONE;
    case EPERM:
        return ERROR_PERMISSION;
    default:
        return ERROR_UNSUPPORTED;
    }
}
