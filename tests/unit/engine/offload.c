/* Two engines whose TUNs are in network namespaces of their own: what one kernel gives, the other's sockets get, byte
 * for byte, with and without offloads; and what was wrong stays wrong. */
#include "../net/packets.h"
#include "../net/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "net/compat.h"
#include "net/udp.h"
#include "wire/frame.h"

#define PATIENCE (5 * SECOND)
#define SHORT_WHILE (SECOND / 5)
#define STREAM (3u << 20)
#define PORT 7000

enum who { ALICE, BOB };

struct node {
    struct engine *engine;
    struct crypto *crypto;
    uint8_t private_key[X25519_SIZE], public_key[X25519_SIZE];
    uint64_t random;
    int fds[2];
    uint16_t port;
    int namespace;
    peer_id peer;
    uint32_t frames;
};

struct world {
    struct node nodes[2];
};

struct mode {
    bool native, no_offloads[2];
};

static int home; /* the namespace that the engines' own sockets are in */

static void run_step(void *context, struct static_step *step)
{
    struct node *n = context;
    static_step_run(step, n->crypto, n->private_key);
}

/* Any frame is a hello here: it offers what both of us have. */
static void take_frame(void *context, peer_id from, const struct engine_arrival *by, const uint8_t *bytes, size_t len)
{
    struct node *n = context;
    (void)bytes;
    (void)len;
    n->frames++;
    engine_set_native(n->engine, from, by->session, engine_aeads(n->engine));
}

/* ---- Life ---- */

static void enter(int namespace)
{
    assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
}

static struct tun *open_tun(struct node *n, enum who who, bool no_offloads)
{
    struct tun *tun;
    char command[300];
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    n->namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(tun_open(&tun, "night0", &(struct tun_options){.mtu = 1360, .no_offloads = no_offloads}), 0);
    snprintf(command, sizeof(command),
             "ip address add 10.8.0.%d/24 dev night0 && ip -6 address add fd08::%d/64 dev night0 nodad && "
             "ip link set night0 up && ip link set lo up",
             who + 1, who + 1);
    support_run(command);
    enter(home);
    return tun;
}

static void start(struct node *n, enum who who, const struct mode *mode)
{
    n->random = 1 + who;
    assert_int_equal(crypto_new(&n->crypto, CRYPTO_BULK_OPENSSL), 0);
    for (int i = 0; i < X25519_SIZE; i++)
        n->private_key[i] = (uint8_t)(random_next(&n->random) >> 24);
    assert_int_equal(crypto_x25519_public(n->crypto, n->public_key, n->private_key), 0);
    assert_int_equal(udp_open_sockets(0, n->fds, &n->port), 0);
    struct engine_options options = {.run_step = run_step,
                                     .frame = take_frame,
                                     .no_native = !mode->native,
                                     .no_offloads = mode->no_offloads[who],
                                     .adopt_udp = true,
                                     .udp4 = n->fds[0],
                                     .udp6 = n->fds[1],
                                     .police = true,
                                     .context = n};
    assert_int_equal(engine_new(&n->engine, open_tun(n, who, mode->no_offloads[who]), &options), 0);
    struct tunnel_actions actions;
    actions.count = 0;
    assert_int_equal(tunnel_set_public_key(engine_tunnel(n->engine), n->public_key, &actions), 0);
    engine_carry_out(n->engine, &actions);
}

static void add_peer(struct node *n, const struct node *other, enum who whom)
{
    static const struct grant any[] = {{GRANT_TCP, 0, 65535}, {GRANT_UDP, 0, 65535}};
    struct tunnel *t = engine_tunnel(n->engine);
    struct endpoint to = {.family = ENDPOINT_IPV4, .port = other->port};
    uint8_t ipv4[4] = {10, 8, 0, (uint8_t)(whom + 1)}, ipv6[16] = {0xfd, 8, [15] = (uint8_t)(whom + 1)};
    inet_pton(AF_INET, "127.0.0.1", to.address);
    assert_int_equal(tunnel_peer_add(t, other->public_key, &n->peer), 0);
    assert_int_equal(tunnel_peer_allow(t, n->peer, ipv4, 4, 32), 0);
    assert_int_equal(tunnel_peer_allow(t, n->peer, ipv6, 16, 128), 0);
    assert_int_equal(engine_set_direct(n->engine, n->peer, &to), 0);
    assert_int_equal(engine_set_grants(n->engine, n->peer, any, 2, any, 2), 0);
}

static void turn(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        loop_wake(engine_loop(w->nodes[i].engine));
        assert_int_equal(engine_run_once(w->nodes[i].engine), 0);
    }
}

static void pass_time(struct world *w, uint64_t time)
{
    for (uint64_t until = loop_monotonic() + time; loop_monotonic() < until; usleep(500))
        turn(w);
}

static bool comes(struct world *w, const uint32_t *counter, uint32_t count)
{
    uint64_t deadline = loop_monotonic() + PATIENCE;
    while (*counter < count && loop_monotonic() < deadline)
        pass_time(w, SECOND / 1000);
    return *counter >= count;
}

static void greet(struct world *w, enum who from)
{
    uint8_t frame[] = {FRAME_PROBE, 0xa0};
    const struct node *n = &w->nodes[from];
    uint32_t *frames = &w->nodes[!from].frames, before = *frames;
    engine_send_frame(n->engine, n->peer, frame, sizeof(frame));
    assert_true(comes(w, frames, before + 1));
}

static void close_world(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        struct node *n = &w->nodes[i];
        engine_free(n->engine);
        crypto_free(n->crypto);
        close(n->fds[0]);
        if (n->fds[1] >= 0)
            close(n->fds[1]);
        close(n->namespace);
    }
    free(w);
}

static struct world *open_silent_world(const struct mode *mode)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    for (enum who who = ALICE; who <= BOB; who++)
        start(&w->nodes[who], who, mode);
    add_peer(&w->nodes[ALICE], &w->nodes[BOB], BOB);
    add_peer(&w->nodes[BOB], &w->nodes[ALICE], ALICE);
    pass_time(w, SHORT_WHILE); /* the interface is noticed to be up */
    return w;
}

static struct world *open_world(const struct mode *mode)
{
    struct world *w = open_silent_world(mode);
    greet(w, ALICE);
    greet(w, BOB);
    return w;
}

static uint64_t refused_partial(const struct world *w)
{
    struct engine_counters alice, bob;
    engine_read_counters(w->nodes[ALICE].engine, &alice);
    engine_read_counters(w->nodes[BOB].engine, &bob);
    return alice.partial_malformed + bob.partial_malformed + alice.policy_malformed + bob.policy_malformed;
}

static const struct mode modes[] = {
    {true, {false, false}}, {true, {true, false}}, {true, {false, true}}, {true, {true, true}}, {false, {false, false}},
};
#define MODES (sizeof(modes) / sizeof(modes[0]))
#define NATIVE (&modes[0])

/* ---- Sockets in a node's namespace ---- */

static int open_socket(const struct node *n, int family, int type, int protocol)
{
    enter(n->namespace);
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    enter(home);
    assert_true(fd >= 0);
    return fd;
}

struct address {
    struct sockaddr_storage storage;
    socklen_t len;
};

static struct address address_of(enum who who, int family, uint16_t port)
{
    struct address a = {.storage = {.ss_family = (sa_family_t)family}};
    struct sockaddr_in *in4 = (struct sockaddr_in *)&a.storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.storage;
    if (family == AF_INET) {
        *in4 = (struct sockaddr_in){AF_INET, htons(port), {htonl(0x0a080001u + who)}, {0}};
        a.len = sizeof(*in4);
    } else {
        in6->sin6_port = htons(port);
        memcpy(in6->sin6_addr.s6_addr, (uint8_t[16]){0xfd, 8, [15] = (uint8_t)(who + 1)}, 16);
        a.len = sizeof(*in6);
    }
    return a;
}

static int bound_socket(const struct world *w, enum who who, int family, int type)
{
    int fd = open_socket(&w->nodes[who], family, type, 0), yes = 1;
    struct address own = address_of(who, family, PORT);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&own.storage, own.len), 0);
    return fd;
}

static int connected_socket(const struct world *w, enum who from, int family, int type)
{
    int fd = open_socket(&w->nodes[from], family, type, 0);
    struct address to = address_of(!from, family, PORT);
    int result = connect(fd, (struct sockaddr *)&to.storage, to.len);
    assert_true(result == 0 || errno == EINPROGRESS);
    return fd;
}

/* Bytes of the next datagram, or -1 when none comes in a while. */
static ssize_t receive(struct world *w, int fd, uint8_t *out, size_t room, uint64_t patience)
{
    for (uint64_t deadline = loop_monotonic() + patience; loop_monotonic() < deadline; pass_time(w, SECOND / 1000)) {
        ssize_t len = recv(fd, out, room, 0);
        if (len >= 0)
            return len;
    }
    return -1;
}

/* ---- What arrives at an interface ---- */

struct tap {
    int fd;
    uint32_t whole, wrong, partial;
};

static struct tap open_tap(const struct world *w, enum who who)
{
    struct tap tap = {.fd = open_socket(&w->nodes[who], AF_PACKET, SOCK_DGRAM, 0)};
    int yes = 1, room = 8 << 20;
    struct sockaddr_ll all = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    enter(w->nodes[who].namespace);
    all.sll_ifindex = (int)if_nametoindex("night0");
    enter(home);
    assert_int_equal(setsockopt(tap.fd, SOL_PACKET, PACKET_AUXDATA, &yes, sizeof(yes)), 0);
    assert_int_equal(setsockopt(tap.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
    assert_int_equal(bind(tap.fd, (struct sockaddr *)&all, sizeof(all)), 0);
    return tap;
}

static bool is_left_partial(struct msghdr *message)
{
    struct tpacket_auxdata aux = {0};
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    if (c && c->cmsg_type == PACKET_AUXDATA)
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
    return (aux.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
}

static void count_packet(struct tap *tap, const uint8_t *packet, uint32_t len, bool partial)
{
    uint8_t protocol = packet[0] >> 4 == 4 ? packet[9] : packet[6];
    if (protocol != 6 && protocol != 17)
        return;
    tap->partial += partial;
    tap->whole += !partial;
    tap->wrong += !partial && !slow_checksums_hold(packet, len);
}

/* What came in since the last time. */
static void look(struct tap *tap)
{
    static uint8_t packet[65600];
    for (;;) {
        uint8_t control[200];
        struct sockaddr_ll from;
        struct iovec iov = {packet, sizeof(packet)};
        struct msghdr message = {.msg_name = &from,
                                 .msg_namelen = sizeof(from),
                                 .msg_iov = &iov,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        ssize_t len = recvmsg(tap->fd, &message, 0);
        if (len < 0)
            return;
        if (from.sll_pkttype != PACKET_OUTGOING)
            count_packet(tap, packet, (uint32_t)len, is_left_partial(&message));
    }
}

static void close_tap(struct tap *tap)
{
    close(tap->fd);
}

/* ---- Streams ---- */

static uint8_t stream[STREAM], received[STREAM];

static void fill_stream(void)
{
    uint64_t seed = 77;
    for (uint32_t i = 0; i < STREAM; i++)
        stream[i] = (uint8_t)(random_next(&seed) >> 24);
}

static int accepted(struct world *w, int listener)
{
    for (uint64_t deadline = loop_monotonic() + PATIENCE; loop_monotonic() < deadline; pass_time(w, SECOND / 1000)) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0)
            return fd;
    }
    fail_msg("nobody connects");
    return -1;
}

/* Everything, both ways at once. */
static void pump(struct world *w, const int fds[2], struct tap *tap)
{
    size_t sent[2] = {0}, got[2] = {0};
    uint64_t deadline = loop_monotonic() + 4 * PATIENCE;
    while ((got[0] < STREAM || got[1] < STREAM) && loop_monotonic() < deadline) {
        turn(w);
        look(tap);
        for (int i = 0; i < 2; i++) {
            ssize_t out = send(fds[i], stream + sent[i], STREAM - sent[i], MSG_NOSIGNAL);
            sent[i] += out > 0 ? (size_t)out : 0;
            ssize_t in = recv(fds[i], received, sizeof(received), 0);
            if (in <= 0)
                continue;
            assert_memory_equal(received, stream + got[i], (size_t)in);
            got[i] += (size_t)in;
        }
    }
    assert_int_equal(got[0], STREAM);
    assert_int_equal(got[1], STREAM);
}

static void tcp_streams_arrive_byte_for_byte_in_every_mode(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODES; i++)
        for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
            struct world *w = open_world(&modes[i]);
            struct tap tap = open_tap(w, BOB);
            int listener = bound_socket(w, BOB, family, SOCK_STREAM);
            assert_int_equal(listen(listener, 1), 0);
            int alice = connected_socket(w, ALICE, family, SOCK_STREAM);
            int bob = accepted(w, listener);
            pump(w, (int[]){alice, bob}, &tap);
            assert_int_equal(tap.wrong, 0);
            if (&modes[i] == NATIVE)
                assert_int_equal(tap.whole, 0); /* in other modes joined ones are partial, too */
            assert_int_equal(refused_partial(w), 0);
            close(alice);
            close(bob);
            close(listener);
            close_tap(&tap);
            close_world(w);
        }
}

static void datagrams_arrive_byte_for_byte_in_every_mode(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODES; i++)
        for (int family = AF_INET; family <= AF_INET6; family += AF_INET6 - AF_INET) {
            struct world *w = open_world(&modes[i]);
            struct tap tap = open_tap(w, BOB);
            int bob = bound_socket(w, BOB, family, SOCK_DGRAM);
            int alice = connected_socket(w, ALICE, family, SOCK_DGRAM);
            for (size_t len = 1; len < 4000; len += len < 50 ? 1 : 313) { /* the longest in fragments */
                assert_int_equal(send(alice, stream + len, len, 0), len);
                assert_int_equal(receive(w, bob, received, 5000, PATIENCE), len);
                assert_memory_equal(received, stream + len, len);
                look(&tap);
            }
            assert_int_equal(refused_partial(w), 0);
            assert_true((tap.partial > 0) == (i == 0));
            close(alice);
            close(bob);
            close_tap(&tap);
            close_world(w);
        }
}

static void datagrams_sent_as_one_arrive_as_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODES; i++) {
        struct world *w = open_world(&modes[i]);
        int bob = bound_socket(w, BOB, AF_INET, SOCK_DGRAM), alice = connected_socket(w, ALICE, AF_INET, SOCK_DGRAM);
        int segment = 1000;
        assert_int_equal(setsockopt(alice, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
        assert_int_equal(send(alice, stream, 20500, 0), 20500);
        for (uint32_t at = 0; at < 20500; at += 1000) {
            uint32_t len = at + 1000 <= 20500 ? 1000 : 500;
            assert_int_equal(receive(w, bob, received, 5000, PATIENCE), len);
            assert_memory_equal(received, stream + at, len);
        }
        close(alice);
        close(bob);
        close_world(w);
    }
}

static void headers_in_between_arrive_whole(void **state)
{
    (void)state;
    static const uint8_t no_operation[4] = {1, 1, 1, 0}, padding[8] = {0, 0, 1, 4};
    struct world *w = open_world(NATIVE);
    struct tap tap = open_tap(w, BOB);
    int bob4 = bound_socket(w, BOB, AF_INET, SOCK_DGRAM), alice4 = connected_socket(w, ALICE, AF_INET, SOCK_DGRAM);
    int bob6 = bound_socket(w, BOB, AF_INET6, SOCK_DGRAM), alice6 = connected_socket(w, ALICE, AF_INET6, SOCK_DGRAM);
    assert_int_equal(setsockopt(alice4, IPPROTO_IP, IP_OPTIONS, no_operation, sizeof(no_operation)), 0);
    assert_int_equal(setsockopt(alice6, IPPROTO_IPV6, IPV6_DSTOPTS, padding, sizeof(padding)), 0);
    assert_int_equal(send(alice4, "options", 7, 0), 7);
    assert_int_equal(receive(w, bob4, received, 100, PATIENCE), 7);
    assert_int_equal(send(alice6, "options", 7, 0), 7);
    assert_int_equal(receive(w, bob6, received, 100, PATIENCE), 7);
    look(&tap);
    assert_int_equal(tap.partial, 0);
    assert_int_equal(tap.wrong, 0);
    close(alice4);
    close(alice6);
    close(bob4);
    close(bob6);
    close_tap(&tap);
    close_world(w);
}

static void datagram_without_checksum_arrives_without_one(void **state)
{
    (void)state;
    struct world *w = open_world(NATIVE);
    struct tap tap = open_tap(w, BOB);
    int yes = 1, bob = bound_socket(w, BOB, AF_INET, SOCK_DGRAM),
        alice = connected_socket(w, ALICE, AF_INET, SOCK_DGRAM);
    assert_int_equal(setsockopt(alice, SOL_SOCKET, SO_NO_CHECK, &yes, sizeof(yes)), 0);
    assert_int_equal(send(alice, "none", 4, 0), 4);
    assert_int_equal(receive(w, bob, received, 100, PATIENCE), 4);
    look(&tap);
    assert_int_equal(tap.partial, 0);
    close(alice);
    close(bob);
    close_tap(&tap);
    close_world(w);
}

/* ---- What was wrong ---- */

static uint32_t build_datagram(uint8_t *out, const char *text)
{
    struct packet_spec spec = packet_spec(4, 17);
    spec.payload = (const uint8_t *)text;
    spec.payload_len = (uint32_t)strlen(text);
    uint32_t len = packet_build(&spec, out);
    memcpy(out + 12, (uint8_t[]){10, 8, 0, 1, 10, 8, 0, 2}, 8);
    put_be16(out + 10, 0);
    put_be16(out + 10, (uint16_t)~slow_sum(0, out, 20));
    put_be16(out + 22, PORT);
    slow_leave_partial(out, len);
    return len;
}

static void send_raw(const struct world *w, const uint8_t *packet, uint32_t len)
{
    int fd = open_socket(&w->nodes[ALICE], AF_INET, SOCK_RAW, IPPROTO_RAW);
    struct address to = address_of(BOB, AF_INET, 0);
    assert_int_equal(sendto(fd, packet, len, 0, (struct sockaddr *)&to.storage, to.len), len);
    close(fd);
}

/* As something that forwards a virtual machine's packets does. */
static void send_with_header(const struct world *w, const struct virtio_net_hdr *header, const uint8_t *packet,
                             uint32_t len)
{
    uint8_t bytes[2000];
    int yes = 1, fd = open_socket(&w->nodes[ALICE], AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    enter(w->nodes[ALICE].namespace);
    to.sll_ifindex = (int)if_nametoindex("night0");
    enter(home);
    memcpy(bytes, header, sizeof(*header));
    memcpy(bytes + sizeof(*header), packet, len);
    assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)), 0);
    assert_int_equal(sendto(fd, bytes, sizeof(*header) + len, 0, (struct sockaddr *)&to, sizeof(to)),
                     sizeof(*header) + len);
    close(fd);
}

static void wrong_checksum_from_outside_arrives_wrong_and_is_not_delivered(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODES; i++) {
        uint8_t packet[200];
        struct world *w = open_world(&modes[i]);
        struct tap tap = open_tap(w, BOB);
        int bob = bound_socket(w, BOB, AF_INET, SOCK_DGRAM);
        uint32_t len = build_datagram(packet, "right");
        slow_complete(packet, len, 20, 6);
        send_raw(w, packet, len);
        assert_int_equal(receive(w, bob, received, 100, PATIENCE), 5);
        packet[len - 1] ^= 1;
        send_raw(w, packet, len);
        assert_int_equal(receive(w, bob, received, 100, SHORT_WHILE), -1);
        look(&tap);
        assert_int_equal(tap.partial, 0);
        assert_int_equal(tap.whole, 2);
        assert_int_equal(tap.wrong, 1);
        close(bob);
        close_tap(&tap);
        close_world(w);
    }
}

static void wrong_sum_left_for_completion_arrives_wrong(void **state)
{
    (void)state;
    static const struct virtio_net_hdr to_sum = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 6};
    uint8_t packet[200];
    struct world *w = open_world(NATIVE);
    struct tap tap = open_tap(w, BOB);
    int bob = bound_socket(w, BOB, AF_INET, SOCK_DGRAM);
    uint32_t len = build_datagram(packet, "right");
    send_with_header(w, &to_sum, packet, len);
    assert_int_equal(receive(w, bob, received, 100, PATIENCE), 5);
    look(&tap);
    assert_int_equal(tap.partial, 1);
    packet[26] ^= 1;
    send_with_header(w, &to_sum, packet, len);
    assert_int_equal(receive(w, bob, received, 100, SHORT_WHILE), -1);
    look(&tap);
    assert_int_equal(tap.partial, 1);
    assert_int_equal(tap.wrong, 1);
    close(bob);
    close_tap(&tap);
    close_world(w);
}

/* As a member would that made its own Nightjar: sealed with Alice's session, whatever it is. */
static void send_as_partial(struct world *w, const uint8_t *packet, uint32_t len)
{
    uint8_t datagram[2000];
    struct node *alice = &w->nodes[ALICE];
    struct tunnel *t = engine_tunnel(alice->engine);
    struct sealing sealing = {.at = datagram, .len = len, .partial = true};
    struct tunnel_notice notice;
    struct reclaim_reader reader = {0};
    struct sockaddr_in to = {AF_INET, htons(w->nodes[BOB].port), {htonl(INADDR_LOOPBACK)}, {0}};
    tunnel_add_reader(t, &reader);
    reclaim_enter(&reader);
    struct peer *bob = tunnel_peer(t, alice->peer);
    struct tunnel_way way = tunnel_find_way(bob, loop_monotonic());
    assert_true(way.native);
    memcpy(datagram + way.headroom, packet, len);
    assert_int_equal(
        tunnel_seal_batch(t, alice->crypto, bob, &way, &sealing, 1, TUNNEL_NO_PADDING, loop_monotonic(), &notice), 0);
    reclaim_leave(&reader);
    tunnel_remove_reader(t, &reader);
    assert_int_equal(sendto(alice->fds[0], datagram, sealing.sealed_len, 0, (const struct sockaddr *)&to, sizeof(to)),
                     sealing.sealed_len);
}

static void make_fragment(uint8_t *packet)
{
    packet[6] |= 0x20;
}
static void make_options(uint8_t *packet)
{
    packet[0] = 0x46;
}
static void make_none(uint8_t *packet)
{
    put_be16(packet + 26, 0);
}
static void make_longer(uint8_t *packet)
{
    packet[25]++;
}
static void make_shorter(uint8_t *packet)
{
    packet[25]--;
}

static void what_may_not_be_partial_is_dropped_and_counted(void **state)
{
    (void)state;
    static void (*const changes[])(uint8_t * packet) = {make_fragment, make_options, make_none, make_longer,
                                                        make_shorter};
    uint8_t packet[200];
    uint32_t counted = 0, len;
    struct world *w = open_world(NATIVE);
    struct tap tap = open_tap(w, BOB);
    int bob = bound_socket(w, BOB, AF_INET, SOCK_DGRAM);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        len = build_datagram(packet, "wrong");
        changes[i](packet);
        put_be16(packet + 10, 0);
        put_be16(packet + 10, (uint16_t)~slow_sum(0, packet, (packet[0] & 15u) * 4));
        send_as_partial(w, packet, len);
        pass_time(w, SHORT_WHILE);
        assert_true(refused_partial(w) > counted); /* by policy, or behind it */
        counted = (uint32_t)refused_partial(w);
    }
    len = build_datagram(packet, "right");
    put_be16(packet + 26, 0xbad1);
    send_as_partial(w, packet, len);
    assert_int_equal(receive(w, bob, received, 100, PATIENCE), 5);
    look(&tap);
    assert_int_equal(tap.partial, 1);
    assert_int_equal(tap.whole, 0);
    close(bob);
    close_tap(&tap);
    close_world(w);
}

/* They may go out as plain transport. */
static void what_waited_for_a_session_goes_whole(void **state)
{
    (void)state;
    struct world *w = open_silent_world(NATIVE);
    struct tap tap = open_tap(w, BOB);
    int bob = bound_socket(w, BOB, AF_INET, SOCK_DGRAM), alice = connected_socket(w, ALICE, AF_INET, SOCK_DGRAM);
    assert_int_equal(send(alice, "early", 5, 0), 5);
    assert_int_equal(receive(w, bob, received, 100, PATIENCE), 5);
    look(&tap);
    assert_int_equal(tap.whole, 1);
    assert_int_equal(tap.wrong, 0);
    close(alice);
    close(bob);
    close_tap(&tap);
    close_world(w);
}

int main(void)
{
    if (!support_enter_namespace())
        return 0;
    alarm(110);
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    fill_stream();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_streams_arrive_byte_for_byte_in_every_mode),
        cmocka_unit_test(datagrams_arrive_byte_for_byte_in_every_mode),
        cmocka_unit_test(datagrams_sent_as_one_arrive_as_many),
        cmocka_unit_test(headers_in_between_arrive_whole),
        cmocka_unit_test(datagram_without_checksum_arrives_without_one),
        cmocka_unit_test(wrong_checksum_from_outside_arrives_wrong_and_is_not_delivered),
        cmocka_unit_test(wrong_sum_left_for_completion_arrives_wrong),
        cmocka_unit_test(what_may_not_be_partial_is_dropped_and_counted),
        cmocka_unit_test(what_waited_for_a_session_goes_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
