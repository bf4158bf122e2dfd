/* An engine with a TUN, in a network namespace: what local senders are told, and what the control thread is. */
#include "../net/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "net/udp.h"

#define PATIENCE (5 * SECOND)
#define SHORT_WHILE (SECOND / 5)

struct world {
    struct engine *engine;
    peer_id peer;
    int fds[2];
    uint32_t wanted_peers, wanted_addresses;
    uint8_t address[16];
    size_t address_len;
};

static bool begin_step(void *context, const struct static_step *step)
{
    (void)context;
    (void)step;
    return true;
}

static void take_wanted(void *context, peer_id peer, const uint8_t *address, size_t len)
{
    struct world *w = context;
    if (peer != 0) {
        assert_int_equal(peer, w->peer);
        w->wanted_peers++;
        return;
    }
    w->wanted_addresses++;
    w->address_len = len;
    memcpy(w->address, address, len);
}

static int open_world(void **state)
{
    static const uint8_t key[MESSAGE_KEY_SIZE] = {9};
    struct world *w = *state = calloc(1, sizeof(*w));
    struct tun *tun;
    uint16_t port;
    assert_non_null(w);
    assert_int_equal(tun_open(&tun, "night0", &(struct tun_options){.mtu = 1360}), 0);
    assert_int_equal(udp_open_sockets(0, w->fds, &port), 0);
    struct engine_options options = {.dark = true,
                                     .begin_step = begin_step,
                                     .wanted = take_wanted,
                                     .adopt_udp = true,
                                     .udp4 = w->fds[0],
                                     .udp6 = w->fds[1],
                                     .police = true,
                                     .context = w};
    assert_int_equal(engine_new(&w->engine, tun, &options), 0);
    assert_int_equal(tunnel_peer_add(engine_tunnel(w->engine), key, &w->peer), 0);
    assert_int_equal(tunnel_peer_allow(engine_tunnel(w->engine), w->peer, (uint8_t[]){10, 1, 0, 2}, 4, 32), 0);
    support_run("ip address add 10.1.0.1/24 dev night0 && ip -6 address add fd00::1/64 dev night0 nodad && "
                "ip link set night0 up");
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    engine_free(w->engine);
    close(w->fds[0]);
    close(w->fds[1]);
    free(w);
    return 0;
}

static bool comes(struct world *w, const uint32_t *counter, uint32_t count, uint64_t patience)
{
    uint64_t deadline = loop_monotonic() + patience;
    while (*counter < count && loop_monotonic() < deadline) {
        loop_wake(engine_loop(w->engine));
        assert_int_equal(engine_run_once(w->engine), 0);
        usleep(1000);
    }
    return *counter >= count;
}

static void pass_time(struct world *w, uint64_t time)
{
    const uint32_t never = 0;
    assert_false(comes(w, &never, 1, time));
}

static int connected(int family, const char *address)
{
    struct sockaddr_storage to = {.ss_family = (sa_family_t)family};
    struct sockaddr_in *to4 = (struct sockaddr_in *)&to;
    struct sockaddr_in6 *to6 = (struct sockaddr_in6 *)&to;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(family, address, family == AF_INET ? (void *)&to4->sin_addr : (void *)&to6->sin6_addr),
                     1);
    to4->sin_port = htons(53);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, family == AF_INET ? sizeof(*to4) : sizeof(*to6)), 0);
    return fd;
}

static void say(int fd)
{
    assert_int_equal(send(fd, "hello", 5, 0), 5);
}

/* The error that the socket is told, or 0. */
static int told(struct world *w, int fd, uint64_t patience)
{
    int error = 0;
    socklen_t len = sizeof(error);
    uint64_t deadline = loop_monotonic() + patience;
    while (error == 0 && loop_monotonic() < deadline) {
        pass_time(w, SECOND / 100);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    }
    return error;
}

static void grant(struct world *w)
{
    const struct grant out = {GRANT_UDP, 53, 53};
    assert_int_equal(engine_set_grants(w->engine, w->peer, &out, 1, NULL, 0), 0);
}

static void a_refused_sender_is_told(void **state)
{
    struct world *w = *state;
    pass_time(w, SHORT_WHILE);
    assert_int_equal(engine_set_grants(w->engine, w->peer, NULL, 0, NULL, 0), 0);
    int fd = connected(AF_INET, "10.1.0.2");
    say(fd);
    assert_int_equal(told(w, fd, PATIENCE), EHOSTUNREACH);
    assert_int_equal(engine_refused(w->engine, w->peer), 1);
    grant(w);
    say(fd);
    assert_int_equal(told(w, fd, SHORT_WHILE), 0);
    assert_int_equal(engine_refused(w->engine, w->peer), 1);
    close(fd);
}

static void a_peer_that_packets_wait_for_is_wanted_once_a_second(void **state)
{
    struct world *w = *state;
    pass_time(w, SHORT_WHILE);
    grant(w);
    int fd = connected(AF_INET, "10.1.0.2");
    for (int i = 0; i < 5; i++)
        say(fd);
    assert_true(comes(w, &w->wanted_peers, 1, PATIENCE));
    pass_time(w, SHORT_WHILE);
    assert_int_equal(w->wanted_peers, 1);
    pass_time(w, SECOND);
    say(fd);
    assert_true(comes(w, &w->wanted_peers, 2, PATIENCE));
    close(fd);
}

static void an_address_that_nobody_has_is_wanted_and_multicast_is_not(void **state)
{
    struct world *w = *state;
    static const uint8_t address[] = {10, 1, 0, 77};
    pass_time(w, SHORT_WHILE); /* which sees router solicitations, too */
    assert_int_equal(w->wanted_addresses, 0);
    int fd = connected(AF_INET, "10.1.0.77");
    say(fd);
    say(fd);
    assert_true(comes(w, &w->wanted_addresses, 1, PATIENCE));
    assert_int_equal(w->address_len, 4);
    assert_memory_equal(w->address, address, 4);
    close(fd);
    fd = connected(AF_INET6, "fd00::99");
    say(fd);
    assert_true(comes(w, &w->wanted_addresses, 2, PATIENCE));
    assert_int_equal(w->address_len, 16);
    assert_int_equal(w->address[15], 0x99);
    pass_time(w, SHORT_WHILE);
    assert_int_equal(w->wanted_addresses, 2);
    close(fd);
}

static void a_scan_is_told_sixteen_times_a_second(void **state)
{
    struct world *w = *state;
    pass_time(w, SHORT_WHILE);
    for (int i = 100; i < 200; i++) {
        char address[32] = "10.1.0.";
        address[7] = (char)('0' + i / 100);
        address[8] = (char)('0' + i / 10 % 10);
        address[9] = (char)('0' + i % 10);
        int fd = connected(AF_INET, address);
        say(fd);
        close(fd);
    }
    pass_time(w, SHORT_WHILE);
    assert_in_range(w->wanted_addresses, 16, 32);
}

static void the_port_of_adopted_sockets_is_not_changed(void **state)
{
    struct world *w = *state;
    assert_int_equal(engine_set_port(w->engine, 1234), ERROR_UNSUPPORTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    if (!support_enter_namespace())
        return 0;
    alarm(60);
    const struct CMUnitTest tests[] = {
        TEST(a_refused_sender_is_told),
        TEST(a_peer_that_packets_wait_for_is_wanted_once_a_second),
        TEST(an_address_that_nobody_has_is_wanted_and_multicast_is_not),
        TEST(a_scan_is_told_sixteen_times_a_second),
        TEST(the_port_of_adopted_sockets_is_not_changed),
    };
    return cmocka_run_group_tests_name("engine/tun", tests, NULL, NULL);
}
