/* A TUN interface, with virtio headers and TCP/UDP segmentation offload where the kernel has them. Linux 5.10 up. */
#ifndef NET_TUN_H
#define NET_TUN_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

#define TUN_PACKET_MAX 65535u

struct tun;

struct tun_options {
    bool no_offloads; /* neither virtio headers nor segmentation offload */
    uint32_t mtu;     /* 0: leave as it is */
};

/* Creates the interface (or attaches to an existing persistent one) and tries, in this order: virtio headers with
 * checksum, TSO and USO; without USO; without TSO; no virtio headers. Sets the interface's gso_max_size to 60000 so
 * that a sealed super-packet fits one UDP send. Non-blocking, close-on-exec. ERROR_NO_TUN, ERROR_PERMISSION,
 * ERROR_IN_USE, ERROR_INVALID (bad name), ERROR_IO. */
must_check int tun_open(struct tun **out, const char *name, const struct tun_options *options);
/* Takes over a descriptor that somebody else opened (TUNGETIFF tells its name and flags). Owns fd on success. */
must_check int tun_adopt(struct tun **out, int fd);
void tun_close(struct tun *tun);

int tun_fd(const struct tun *tun);
const char *tun_name(const struct tun *tun); /* the kernel's, e.g. after "tun%d" */
bool tun_has_offloads(const struct tun *tun);
bool tun_takes_partial(const struct tun *tun);   /* virtio headers, and so VIRTIO_NET_HDR_F_NEEDS_CSUM on writes */
bool tun_has_udp_offload(const struct tun *tun); /* USO, and so VIRTIO_NET_HDR_GSO_UDP_L4 on writes (Linux 6.2) */

/* Reads one packet or super-packet: its virtio header into `header` (all zero without virtio headers), and right behind
 * that the packet, for which there is room for `capacity` bytes. Returns its length, ERROR_AGAIN when there is none,
 * ERROR_GONE once the interface was deleted, ERROR_IO otherwise. */
must_check int tun_read(struct tun *tun, struct virtio_net_hdr *header, uint32_t capacity);
/* Writes one packet or super-packet gathered from `iov` (at most 1,022 entries). ERROR_AGAIN (the caller may drop it),
 * ERROR_GONE; ERROR_IO also while the interface is down; ERROR_UNSUPPORTED when the kernel refuses this header: turn
 * the super-packet into single packets and write those. */
must_check int tun_write(struct tun *tun, const struct virtio_net_hdr *header, const struct iovec *iov, int count);

/* True once the interface no longer exists, wherever it was moved to. */
bool tun_is_gone(const struct tun *tun);
/* The interface's index in the namespace that it is in now; ERROR_GONE (without CAP_NET_ADMIN: also while it is in
 * another namespace than the caller's). */
must_check int tun_interface(const struct tun *tun);
/* A descriptor of the network namespace that the interface is in now (TUNGETDEVNETNS), to be closed by the caller; or
 * ERROR_UNSUPPORTED, ERROR_GONE, ERROR_PERMISSION (CAP_NET_ADMIN). */
must_check int tun_namespace(const struct tun *tun);

#endif
