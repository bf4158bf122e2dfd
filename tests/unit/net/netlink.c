#include "net/netlink.h"

#include "support.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What one watcher has heard. */
struct heard {
    struct netlink *n;
    int links, gone, paths;
    bool up;
    uint32_t mtu;
};

static void hear(void *context, const struct netlink_event *event)
{
    struct heard *heard = context;
    switch (event->kind) {
    case NETLINK_LINK:
        heard->links++;
        heard->up = event->up;
        heard->mtu = event->mtu;
        break;
    case NETLINK_LINK_GONE:
        heard->gone++;
        break;
    case NETLINK_PATHS_CHANGED:
        heard->paths++;
        break;
    }
}

static void listen_to(struct heard *heard, const char *name)
{
    memset(heard, 0, sizeof(*heard));
    uint32_t interface = name == NULL ? 0 : if_nametoindex(name);
    assert_int_equal(netlink_open(&heard->n, -1, interface), 0);
}

/* Waits for something to be said, and takes all of it. */
static void dispatch(struct heard *heard)
{
    heard->links = heard->gone = heard->paths = 0;
    assert_true(support_readable(netlink_fd(heard->n), SUPPORT_DEADLINE_MS));
    assert_int_equal(netlink_dispatch(heard->n, hear, heard), 0);
}

static void add_pair(void)
{
    support_run("ip link add near type veth peer name far");
}

static int remove_pair(void **state)
{
    (void)state;
    if (if_nametoindex("near") != 0)
        support_run("ip link del near");
    return 0;
}

static void state_asked_for_comes_as_an_event(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    listen_to(&heard, "near");
    assert_int_equal(netlink_query_link(heard.n), 0);
    dispatch(&heard);
    assert_int_equal(heard.links, 1);
    assert_false(heard.up);
    assert_int_equal(heard.mtu, 1500);
    netlink_close(heard.n);
}

static void changes_of_the_interface_are_told(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    listen_to(&heard, "near");
    support_run("ip link set near up");
    dispatch(&heard);
    assert_true(heard.links > 0 && heard.up);
    assert_int_equal(netlink_set_mtu(if_nametoindex("near"), 1381), 0);
    dispatch(&heard);
    assert_true(heard.links > 0);
    assert_int_equal(heard.mtu, 1381);
    support_run("ip link set near down");
    dispatch(&heard);
    assert_true(heard.links > 0 && !heard.up);
    netlink_close(heard.n);
}

static void deleted_interface_is_told_once(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    listen_to(&heard, "near");
    support_run("ip link del near");
    dispatch(&heard);
    assert_int_equal(heard.gone, 1);
    assert_int_equal(netlink_query_link(heard.n), ERROR_GONE);
    netlink_close(heard.n);
}

static void interface_moved_away_is_gone(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    int away = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    listen_to(&heard, "near");
    char move[100];
    snprintf(move, sizeof(move), "ip link set near netns /proc/%d/fd/%d", getpid(), away);
    support_run(move);
    dispatch(&heard);
    assert_int_equal(heard.gone, 1);
    netlink_close(heard.n);
    support_run("ip link del far");
    close(away);
    close(home);
}

static void interface_that_was_gone_before_is_gone_when_asked(void **state)
{
    (void)state;
    struct heard heard;
    listen_to(&heard, NULL);
    netlink_close(heard.n);
    assert_int_equal(netlink_open(&heard.n, -1, 9999), 0);
    assert_int_equal(netlink_query_link(heard.n), 0);
    dispatch(&heard);
    assert_int_equal(heard.gone, 1);
    netlink_close(heard.n);
}

static void addresses_and_routes_change_paths_once_a_read(void **state)
{
    (void)state;
    static const char *const changes[] = {
        "ip address add 10.5.0.1/24 dev near && ip address add 10.5.0.2/24 dev near",
        "ip route add 10.6.0.0/16 via 10.5.0.9",
        "ip route del 10.6.0.0/16",
        "ip -6 address add fd05::1/64 dev near nodad",
        "ip -6 route add fd06::/64 via fd05::9",
        "ip -6 route del fd06::/64",
        "ip -6 address del fd05::1/64 dev near",
        "ip address del 10.5.0.1/24 dev near",
    };
    struct heard heard;
    add_pair();
    support_run("ip link set near up && ip link set far up");
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        listen_to(&heard, "near");
        support_run(changes[i]);
        dispatch(&heard);
        assert_int_equal(heard.paths, 1);
        netlink_close(heard.n);
    }
}

static void another_interface_changes_paths_and_not_the_link(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    support_run("ip address add 10.5.0.1/24 dev far && ip link set far up");
    listen_to(&heard, "near");
    support_run("ip link set far down");
    dispatch(&heard);
    assert_int_equal(heard.links, 0);
    assert_int_equal(heard.gone, 0);
    assert_int_equal(heard.paths, 1);
    netlink_close(heard.n);
}

static void nothing_said_is_no_event(void **state)
{
    (void)state;
    struct heard heard;
    listen_to(&heard, "lo");
    assert_int_equal(netlink_dispatch(heard.n, hear, &heard), 0);
    assert_int_equal(heard.links + heard.gone + heard.paths, 0);
    netlink_close(heard.n);
}

static void lost_messages_count_as_changes_and_ask_anew(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    listen_to(&heard, "near");
    int tiny = 1;
    assert_int_equal(setsockopt(netlink_fd(heard.n), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
    support_run("for i in 1 2 3 4 5 6 7 8; do ip link set near mtu 140$i; done");
    dispatch(&heard);
    assert_int_equal(heard.paths, 1);
    dispatch(&heard); /* the answer */
    assert_int_equal(heard.mtu, 1408);
    netlink_close(heard.n);
}

static void other_namespace_is_watched_without_staying_in_it(void **state)
{
    (void)state;
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    int away = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    struct heard heard;
    memset(&heard, 0, sizeof(heard));
    assert_int_equal(netlink_open(&heard.n, away, 1), 0); /* its lo is down, ours is up */
    assert_int_equal(netlink_query_link(heard.n), 0);
    dispatch(&heard);
    assert_int_equal(heard.links, 1);
    assert_false(heard.up);
    netlink_close(heard.n);
    assert_int_equal(netlink_open(&heard.n, -1, 1), 0);
    assert_int_equal(netlink_query_link(heard.n), 0);
    dispatch(&heard);
    assert_true(heard.up);
    netlink_close(heard.n);
    struct netlink *none;
    assert_int_equal(netlink_open(&none, open("/dev/null", O_RDONLY), 1), ERROR_INVALID);
    close(away);
    close(home);
}

static void setters_refuse_what_the_kernel_refuses(void **state)
{
    (void)state;
    assert_int_equal(netlink_set_mtu(9999, 1400), ERROR_GONE);
    add_pair();
    assert_int_equal(netlink_set_mtu(if_nametoindex("near"), 1), ERROR_INVALID);
    assert_int_equal(netlink_set_gso_max_size(if_nametoindex("near"), 60000), 0);
}

static struct endpoint ipv4_path(uint32_t interface)
{
    return (struct endpoint){
        .family = ENDPOINT_IPV4, .port = 9, .address = {10, 5, 0, 9}, .local = {10, 5, 0, 1}, .interface = interface};
}

static struct endpoint ipv6_path(uint32_t interface)
{
    struct endpoint to = {.family = ENDPOINT_IPV6, .port = 9, .interface = interface};
    to.address[0] = to.local[0] = 0xfd;
    to.address[1] = to.local[1] = 5;
    to.address[15] = 9;
    to.local[15] = 1;
    return to;
}

static void path_holds_while_source_and_interface_do(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    support_run("ip link set near up && ip link set far up && ip address add 10.5.0.1/24 dev near && "
                "ip -6 address add fd05::1/64 dev near nodad");
    listen_to(&heard, NULL);
    uint32_t near = if_nametoindex("near"), far = if_nametoindex("far");
    struct endpoint (*const make[])(uint32_t) = {ipv4_path, ipv6_path};
    for (int i = 0; i < 2; i++) {
        struct endpoint right = make[i](near), elsewhere = make[i](far), anywhere = make[i](0), other = right;
        other.local[3]++;
        struct endpoint no_source = right;
        memset(no_source.local, 0, 16);
        assert_int_equal(netlink_path_holds(heard.n, &right, 0), 1);
        assert_int_equal(netlink_path_holds(heard.n, &no_source, 0), 1);
        assert_int_equal(netlink_path_holds(heard.n, &anywhere, 0), 1);
        assert_int_equal(netlink_path_holds(heard.n, &elsewhere, 0), 0);
        assert_int_equal(netlink_path_holds(heard.n, &other, 0), 0);
    }
    support_run("ip address del 10.5.0.1/24 dev near && ip address add 10.5.0.2/24 dev near && "
                "ip -6 address add fd05::2/64 dev near nodad && ip -6 address del fd05::1/64 dev near");
    for (int i = 0; i < 2; i++) {
        struct endpoint right = make[i](near);
        assert_int_equal(netlink_path_holds(heard.n, &right, 0), 0);
    }
    netlink_close(heard.n);
}

static void path_without_a_route_does_not_hold(void **state)
{
    (void)state;
    struct heard heard;
    listen_to(&heard, NULL);
    struct endpoint ipv4 = ipv4_path(0), ipv6 = ipv6_path(0), neither = {0};
    memset(ipv4.local, 0, 16);
    memset(ipv6.local, 0, 16);
    assert_int_equal(netlink_path_holds(heard.n, &ipv4, 0), 0);
    assert_int_equal(netlink_path_holds(heard.n, &ipv6, 0), 0);
    support_run("ip route add unreachable 10.5.0.0/16 && ip -6 route add unreachable fd05::/64 && "
                "ip route add blackhole 10.5.0.0/24 && ip -6 route add blackhole fd05::/96");
    assert_int_equal(netlink_path_holds(heard.n, &ipv4, 0), 0);
    assert_int_equal(netlink_path_holds(heard.n, &ipv6, 0), 0);
    support_run("ip route flush type unreachable && ip route flush type blackhole && "
                "ip -6 route flush type unreachable && ip -6 route flush type blackhole");
    assert_int_equal(netlink_path_holds(heard.n, &neither, 0), ERROR_INVALID);
    netlink_close(heard.n);
}

static void mark_chooses_the_route(void **state)
{
    (void)state;
    struct heard heard;
    add_pair();
    support_run("ip link set near up && ip link set far up && ip address add 10.5.0.1/24 dev near && "
                "ip route add 10.5.0.9 dev far table 77 && ip rule add fwmark 5 table 77");
    listen_to(&heard, NULL);
    struct endpoint near = ipv4_path(if_nametoindex("near")), far = ipv4_path(if_nametoindex("far"));
    assert_int_equal(netlink_path_holds(heard.n, &near, 0), 1);
    assert_int_equal(netlink_path_holds(heard.n, &far, 0), 0);
    assert_int_equal(netlink_path_holds(heard.n, &near, 5), 0);
    assert_int_equal(netlink_path_holds(heard.n, &far, 5), 1);
    support_run("ip rule del fwmark 5 table 77");
    netlink_close(heard.n);
}

int main(void)
{
    if (!support_enter_namespace())
        return 0;
    alarm(60);
#define TEST(name) cmocka_unit_test_teardown(name, remove_pair)
    const struct CMUnitTest tests[] = {
        TEST(state_asked_for_comes_as_an_event),
        TEST(changes_of_the_interface_are_told),
        TEST(deleted_interface_is_told_once),
        TEST(interface_moved_away_is_gone),
        TEST(interface_that_was_gone_before_is_gone_when_asked),
        TEST(addresses_and_routes_change_paths_once_a_read),
        TEST(another_interface_changes_paths_and_not_the_link),
        TEST(nothing_said_is_no_event),
        TEST(lost_messages_count_as_changes_and_ask_anew),
        TEST(other_namespace_is_watched_without_staying_in_it),
        TEST(setters_refuse_what_the_kernel_refuses),
        TEST(path_holds_while_source_and_interface_do),
        TEST(path_without_a_route_does_not_hold),
        TEST(mark_chooses_the_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
