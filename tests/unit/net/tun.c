#include "net/tun.h"

#include "net/coalesce.h"
#include "net/compat.h"
#include "net/segment.h"
#include "packets.h"
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"

#define NAME "night0"

static struct {
    struct virtio_net_hdr header;
    uint8_t packet[TUN_PACKET_MAX];
} room;
static uint8_t *const packet = room.packet;

static struct tun *open_tun(bool no_offloads)
{
    struct tun_options options = {.no_offloads = no_offloads};
    struct tun *tun;
    assert_int_equal(tun_open(&tun, NAME, &options), 0);
    return tun;
}

static void bring_up(void)
{
    support_run("ip address add 10.1.0.1/24 dev " NAME " && ip link set " NAME " up");
}

/* The next IPv4 packet; a new interface also sends IPv6 router solicitations. */
static int read_ipv4(struct tun *tun)
{
    for (;;) {
        int len = tun_read(tun, &room.header, TUN_PACKET_MAX);
        if (len > 0 && packet[0] >> 4 == 4)
            return len;
        if (len < 0 && len != ERROR_AGAIN)
            return len;
        if (len < 0 && !support_readable(tun_fd(tun), SUPPORT_DEADLINE_MS))
            return ERROR_AGAIN;
    }
}

static int udp_socket(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7000)};
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    return fd;
}

static void send_to_peer(int fd, const void *data, size_t len)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a010002)};
    assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&to, sizeof(to)), len);
}

/* 10.1.0.2:9 -> 10.1.0.1:7000 without a UDP checksum. */
static uint32_t make_udp_packet(uint8_t *out, const char *text)
{
    static const uint8_t start[28] = {0x45, 0, 0,  0, 0, 0, 0, 0, 64,        17,         0, 0, 10, 1,
                                      0,    2, 10, 1, 0, 1, 0, 9, 7000 >> 8, 7000 & 255, 0, 0, 0,  0};
    uint32_t len = (uint32_t)(sizeof(start) + strlen(text));
    memcpy(out, start, sizeof(start));
    memcpy(out + sizeof(start), text, len - sizeof(start));
    put_be16(out + 2, (uint16_t)len);
    put_be16(out + 24, (uint16_t)(len - 20));
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += get_be16(out + i);
    put_be16(out + 10, (uint16_t) ~(sum % 0xffff));
    return len;
}

/* What was read last stands for `count` packets with right checksums. */
static void assert_segments(int len, uint32_t count)
{
    struct segmenter s;
    assert_int_equal(segment_start(&s, &room.header, packet, (uint32_t)len), 0);
    assert_int_equal(s.count, count);
    assert_true(segment_may_be_partial(&s)); /* the kernel leaves the pseudo-header's sum in the field */
    for (uint32_t i = 0; i < count; i++) {
        uint8_t out[2000];
        segment_write(&s, i, out);
        assert_true(slow_checksums_hold(out, segment_len(&s, i)));
    }
}

static void packet_sent_to_the_interface_is_read(void **state)
{
    (void)state;
    for (int no_offloads = 0; no_offloads < 2; no_offloads++) {
        struct tun *tun = open_tun(no_offloads != 0);
        assert_int_equal(tun_has_offloads(tun), !no_offloads);
        bring_up();
        int fd = udp_socket();
        send_to_peer(fd, "evening", 7);
        assert_int_equal(read_ipv4(tun), 28 + 7);
        assert_memory_equal(packet + 28, "evening", 7);
        assert_int_equal(room.header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
        close(fd);
        tun_close(tun);
    }
}

static void packet_written_in_pieces_arrives_at_a_socket(void **state)
{
    (void)state;
    for (int no_offloads = 0; no_offloads < 2; no_offloads++) {
        struct tun *tun = open_tun(no_offloads != 0);
        bring_up();
        int fd = udp_socket();
        uint32_t len = make_udp_packet(packet, "lark");
        struct iovec iov[2] = {{packet, 30}, {packet + 30, len - 30}};
        memset(&room.header, 0, sizeof(room.header));
        assert_int_equal(tun_write(tun, &room.header, iov, 2), 0);
        assert_true(support_readable(fd, SUPPORT_DEADLINE_MS));
        char text[16];
        assert_int_equal(recv(fd, text, sizeof(text), 0), 4);
        assert_memory_equal(text, "lark", 4);
        close(fd);
        tun_close(tun);
    }
}

static void nothing_to_read_is_again(void **state)
{
    (void)state;
    struct tun *tun = open_tun(false);
    assert_int_equal(tun_read(tun, &room.header, TUN_PACKET_MAX), ERROR_AGAIN);
    tun_close(tun);
}

static int written(struct tun *tun, const struct virtio_net_hdr *with)
{
    struct iovec iov = {packet, make_udp_packet(packet, "x")};
    return tun_write(tun, with, &iov, 1);
}

static void write_while_down_fails_and_works_again_once_up(void **state)
{
    (void)state;
    struct tun *tun = open_tun(false);
    memset(&room.header, 0, sizeof(room.header));
    assert_int_equal(written(tun, &room.header), ERROR_IO);
    assert_false(tun_is_gone(tun));
    bring_up();
    assert_int_equal(written(tun, &room.header), 0);
    support_run("ip link set " NAME " down");
    assert_int_equal(written(tun, &room.header), ERROR_IO);
    tun_close(tun);
}

static void refused_header_is_unsupported(void **state)
{
    (void)state;
    struct virtio_net_hdr bad = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = 77, .csum_start = 20};
    for (int no_offloads = 0; no_offloads < 2; no_offloads++) {
        struct tun *tun = open_tun(no_offloads != 0);
        bring_up();
        assert_int_equal(written(tun, &bad), ERROR_UNSUPPORTED);
        tun_close(tun);
    }
}

static void more_pieces_than_a_system_call_takes_are_refused(void **state)
{
    (void)state;
    struct tun *tun = open_tun(false);
    bring_up();
    static struct iovec iov[1023];
    uint32_t len = make_udp_packet(packet, "");
    memset(&room.header, 0, sizeof(room.header));
    iov[0] = (struct iovec){packet, len};
    for (int i = 1; i < 1023; i++)
        iov[i] = (struct iovec){packet + len, 0};
    assert_int_equal(tun_write(tun, &room.header, iov, 1022), 0);
    assert_int_equal(tun_write(tun, &room.header, iov, 1023), ERROR_INVALID);
    assert_int_equal(tun_write(tun, &room.header, iov, 0), ERROR_INVALID);
    tun_close(tun);
}

static void deleted_interface_is_gone(void **state)
{
    (void)state;
    struct tun *tun = open_tun(false);
    bring_up();
    assert_false(tun_is_gone(tun));
    support_run("ip link del " NAME);
    assert_true(tun_is_gone(tun));
    memset(&room.header, 0, sizeof(room.header));
    assert_int_equal(written(tun, &room.header), ERROR_GONE);
    assert_int_equal(tun_read(tun, &room.header, TUN_PACKET_MAX), ERROR_GONE);
    assert_int_equal(tun_namespace(tun), ERROR_GONE);
    assert_true(support_readable(tun_fd(tun), SUPPORT_DEADLINE_MS)); /* so that an event loop notices */
    tun_close(tun);
}

static void moved_interface_is_found_by_its_namespace(void **state)
{
    (void)state;
    struct tun *tun = open_tun(false);
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    int away = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    char move[100];
    snprintf(move, sizeof(move), "ip link set " NAME " netns /proc/%d/fd/%d", getpid(), away);
    support_run(move);

    assert_false(tun_is_gone(tun));
    int now = tun_namespace(tun);
    assert_true(now >= 0);
    struct stat expected, found;
    assert_int_equal(fstat(away, &expected), 0);
    assert_int_equal(fstat(now, &found), 0);
    assert_int_equal(found.st_ino, expected.st_ino);

    assert_int_equal(setns(now, CLONE_NEWNET), 0);
    bring_up();
    memset(&room.header, 0, sizeof(room.header));
    assert_int_equal(written(tun, &room.header), 0);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    tun_close(tun);
    close(now);
    close(away);
    close(home);
}

static uint32_t read_link_number(const char *attribute)
{
    char command[100], text[32] = "";
    snprintf(command, sizeof(command), "ip -d link show dev " NAME " | grep -o '%s [0-9]*' | cut -d' ' -f2", attribute);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(text, sizeof(text), pipe));
    pclose(pipe);
    return (uint32_t)strtoul(text, NULL, 10);
}

static void interface_gets_its_mtu_and_a_super_packet_limit(void **state)
{
    (void)state;
    struct tun_options options = {.mtu = 1380};
    struct tun *tun;
    assert_int_equal(tun_open(&tun, "night%d", &options), 0);
    assert_string_equal(tun_name(tun), NAME);
    assert_int_equal(read_link_number("mtu"), 1380);
    assert_int_equal(read_link_number("gso_max_size"), 60000);
    tun_close(tun);
    options.mtu = 1;
    assert_int_equal(tun_open(&tun, NAME, &options), ERROR_INVALID);
}

static void bad_and_taken_names_are_refused(void **state)
{
    (void)state;
    struct tun *tun = open_tun(false), *other;
    struct tun_options options = {0};
    assert_int_equal(tun_open(&other, NAME, &options), ERROR_IN_USE);
    assert_int_equal(tun_open(&other, "a/b", &options), ERROR_INVALID);
    assert_int_equal(tun_open(&other, "lo", &options), ERROR_INVALID);
    assert_int_equal(tun_open(&other, "a-name-of-16-len", &options), ERROR_INVALID);
    tun_close(tun);
}

static void persistent_interface_is_attached_to_with_and_without_offloads(void **state)
{
    (void)state;
    support_run("ip tuntap add mode tun name " NAME);
    for (int no_offloads = 0; no_offloads < 2; no_offloads++) {
        struct tun *tun = open_tun(no_offloads != 0);
        assert_int_equal(tun_has_offloads(tun), !no_offloads);
        tun_close(tun);
    }
    assert_int_not_equal(if_nametoindex(NAME), 0);
    support_run("ip link del " NAME);
}

static int open_by_hand(short flags)
{
    struct ifreq request = {.ifr_flags = flags, .ifr_name = NAME};
    int fd = open("/dev/net/tun", O_RDWR);
    assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
    return fd;
}

static void adopted_descriptor_tells_its_name_and_flags(void **state)
{
    (void)state;
    for (short flags = 0;; flags = IFF_VNET_HDR) {
        struct tun *tun;
        int fd = open_by_hand((short)(IFF_TUN | IFF_NO_PI | flags));
        assert_int_equal(tun_adopt(&tun, fd), 0);
        assert_int_equal(tun_fd(tun), fd);
        assert_string_equal(tun_name(tun), NAME);
        assert_int_equal(tun_has_offloads(tun), flags != 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(tun_read(tun, &room.header, TUN_PACKET_MAX), ERROR_AGAIN);
        tun_close(tun);
        if (flags != 0)
            return;
    }
}

static void descriptor_of_something_else_is_not_adopted(void **state)
{
    (void)state;
    struct tun *tun;
    int wrong[] = {open_by_hand(IFF_TAP | IFF_NO_PI), open("/dev/null", O_RDWR), open("/dev/net/tun", O_RDWR)};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_not_equal(tun_adopt(&tun, wrong[i]), 0);
        assert_int_equal(close(wrong[i]), 0); /* still the caller's */
    }
}

/* The peer is 10.0.0.1 and played here, with port 5000; the kernel is 10.0.0.2, with port 443. */
static struct tun *open_between_peers(void)
{
    struct tun *tun = open_tun(false);
    support_run("ip address add 10.0.0.2/24 dev " NAME " && ip link set " NAME " up");
    return tun;
}

static int peer_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(443)};
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(5000), .sin_addr.s_addr = htonl(0x0a000001)};
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    int connected = connect(fd, (struct sockaddr *)&peer, sizeof(peer));
    assert_true(connected == 0 || errno == EINPROGRESS);
    return fd;
}

static void write_packet(struct tun *tun, const struct packet_spec *spec)
{
    uint8_t bytes[200];
    struct iovec iov = {bytes, packet_build(spec, bytes)};
    memset(&room.header, 0, sizeof(room.header));
    assert_int_equal(tun_write(tun, &room.header, &iov, 1), 0);
}

static int add(struct coalescer *c, const struct packet_spec *spec, uint8_t *bytes, bool partial)
{
    uint32_t len = packet_build(spec, bytes);
    if (!partial)
        return coalesce_add(c, bytes, len);
    put_be16(bytes + (spec->protocol == 6 ? 36 : 26), 0xbad1);
    return coalesce_add_partial(c, bytes, len);
}

/* Writes up to three packets of 500 bytes that became one; the kernel must take it. */
static void write_coalesced(struct tun *tun, struct packet_spec *flow, const uint8_t *data, uint32_t count,
                            bool partial)
{
    uint8_t packets[3][600];
    struct coalescer *c;
    struct coalesced write;
    assert_int_equal(coalesce_new(&c), 0);
    coalesce_reset(c, &(struct coalesce_options){.tcp = true, .udp = true, .partial = tun_takes_partial(tun)});
    for (uint32_t i = 0; i < count; i++) {
        flow->payload = data + i * 500;
        flow->payload_len = 500;
        assert_int_equal(add(c, flow, packets[i], partial), 0);
        flow->sequence += 500;
    }
    assert_true(coalesce_next(c, &write));
    assert_int_equal(write.packets, count);
    assert_int_equal(tun_write(tun, &write.header, write.iov, write.count), 0);
    coalesce_free(c);
}

static void fill_data(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i / 7);
}

static void udp_super_packets_pass_both_ways(void **state)
{
    (void)state;
    struct tun *tun = open_between_peers();
    if (!tun_has_udp_offload(tun)) { /* before Linux 6.2 */
        tun_close(tun);
        return;
    }
    int fd = peer_socket(SOCK_DGRAM), segment = 500;
    uint8_t data[1500], datagram[600];
    fill_data(data, sizeof(data));
    struct packet_spec flow = packet_spec(4, 17);
    for (int partial = 0; partial < 2; partial++) {
        write_coalesced(tun, &flow, data, 3, partial != 0);
        for (int i = 0; i < 3; i++) {
            assert_true(support_readable(fd, SUPPORT_DEADLINE_MS));
            assert_int_equal(recv(fd, datagram, sizeof(datagram), 0), 500);
            assert_memory_equal(datagram, data + i * 500, 500);
        }
    }
    assert_int_equal(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
    assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
    assert_int_equal(read_ipv4(tun), 28 + 1500);
    assert_int_equal(room.header.gso_type, VIRTIO_NET_HDR_GSO_UDP_L4);
    assert_segments(1528, 3);
    close(fd);
    tun_close(tun);
}

/* With virtio headers the kernel completes it, without them it was completed here. */
static void lone_partial_datagram_arrives(void **state)
{
    (void)state;
    for (int no_offloads = 0; no_offloads < 2; no_offloads++) {
        struct tun *tun = open_tun(no_offloads != 0);
        assert_int_equal(tun_takes_partial(tun), !no_offloads);
        support_run("ip address add 10.0.0.2/24 dev " NAME " && ip link set " NAME " up");
        int fd = peer_socket(SOCK_DGRAM);
        uint8_t data[500], datagram[600];
        fill_data(data, sizeof(data));
        struct packet_spec flow = packet_spec(4, 17);
        write_coalesced(tun, &flow, data, 1, true);
        assert_true(support_readable(fd, SUPPORT_DEADLINE_MS));
        assert_int_equal(recv(fd, datagram, sizeof(datagram), 0), 500);
        assert_memory_equal(datagram, data, 500);
        close(fd);
        tun_close(tun);
    }
}

static void tcp_super_packets_pass_both_ways(void **state)
{
    (void)state;
    struct tun *tun = open_between_peers();
    int fd = peer_socket(SOCK_STREAM);
    uint8_t data[1608], received[1500];
    fill_data(data, sizeof(data));
    assert_true(read_ipv4(tun) >= 40); /* SYN */
    assert_int_equal(room.header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    struct packet_spec flow = packet_spec(4, 6);
    flow.flags = 0x12; /* SYN ACK */
    flow.options_len = 0;
    flow.sequence = 1000;
    flow.acknowledgement = get_be32(packet + 24) + 1;
    flow.window = 60000;
    write_packet(tun, &flow);
    assert_int_equal(read_ipv4(tun), 40); /* ACK */

    flow.flags = 0x10;
    flow.sequence++;
    for (uint32_t partial = 0; partial < 2; partial++)
        for (uint32_t count = 1; count <= 3; count++) {
            write_coalesced(tun, &flow, data, count, partial != 0);
            assert_true(support_readable(fd, SUPPORT_DEADLINE_MS));
            assert_int_equal(recv(fd, received, sizeof(received), 0), count * 500);
            assert_memory_equal(received, data, count * 500);
        }
    assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
    int len;
    do { /* past more ACKs */
        len = read_ipv4(tun);
    } while (len == 40);
    assert_int_equal(len, 40 + sizeof(data));
    assert_int_equal(room.header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    assert_int_equal(room.header.gso_size, 536); /* no MSS was told */
    assert_segments(len, 3);
    close(fd);
    tun_close(tun);
}

int main(void)
{
    if (!support_enter_namespace())
        return 0;
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_sent_to_the_interface_is_read),
        cmocka_unit_test(packet_written_in_pieces_arrives_at_a_socket),
        cmocka_unit_test(nothing_to_read_is_again),
        cmocka_unit_test(write_while_down_fails_and_works_again_once_up),
        cmocka_unit_test(refused_header_is_unsupported),
        cmocka_unit_test(more_pieces_than_a_system_call_takes_are_refused),
        cmocka_unit_test(deleted_interface_is_gone),
        cmocka_unit_test(moved_interface_is_found_by_its_namespace),
        cmocka_unit_test(interface_gets_its_mtu_and_a_super_packet_limit),
        cmocka_unit_test(bad_and_taken_names_are_refused),
        cmocka_unit_test(persistent_interface_is_attached_to_with_and_without_offloads),
        cmocka_unit_test(adopted_descriptor_tells_its_name_and_flags),
        cmocka_unit_test(descriptor_of_something_else_is_not_adopted),
        cmocka_unit_test(udp_super_packets_pass_both_ways),
        cmocka_unit_test(lone_partial_datagram_arrives),
        cmocka_unit_test(tcp_super_packets_pass_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
