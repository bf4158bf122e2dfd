#include "net/netlink_local.h"

#include "support.h"

#include <arpa/inet.h>
#include <string.h>

static struct netlink *open_here(void)
{
    struct netlink *n;
    assert_int_equal(netlink_open(&n, -1, 0), 0);
    return n;
}

static bool is_among(const struct endpoint *list, int count, const char *text)
{
    bool v6 = strchr(text, ':') != NULL;
    struct endpoint sought = {.family = v6 ? ENDPOINT_IPV6 : ENDPOINT_IPV4};
    assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, text, sought.address), 1);
    for (int i = 0; i < count; i++)
        if (endpoint_equal(&list[i], &sought))
            return true;
    return false;
}

static void addresses_of_real_interfaces_that_are_up_and_of_no_other(void **state)
{
    (void)state;
    struct endpoint list[NETLINK_LOCAL_MAX];
    struct netlink *n = open_here();
    support_run("ip addr add 192.168.5.2/24 dev njl0");
    support_run("ip addr add 172.31.0.1/24 dev njl0");
    support_run("ip addr add 203.0.113.9/24 dev njl0"); /* a relay sees what it looks like */
    support_run("ip addr add 100.64.7.7/16 dev njl0");
    support_run("ip addr add 169.254.3.4/16 dev njl0");
    support_run("ip addr add fd12::1/64 dev njl0 nodad");
    support_run("ip addr add 2001:db8::5/64 dev njl0 nodad");
    support_run("ip addr add 10.9.9.9/24 dev njl1"); /* down */
    support_run("ip addr add 10.8.8.8/32 dev lo");
    support_run("ip addr add 10.7.7.7/24 dev njt0 && ip link set njt0 up");
    int count = netlink_local(n, list);
    assert_int_equal(count, 4);
    assert_true(is_among(list, count, "192.168.5.2"));
    assert_true(is_among(list, count, "172.31.0.1"));
    assert_true(is_among(list, count, "fd12::1"));
    assert_true(is_among(list, count, "2001:db8::5"));
    support_run("ip addr del 192.168.5.2/24 dev njl0");
    assert_int_equal(netlink_local(n, list), 3);
    support_run("ip addr flush dev njl0");
    assert_int_equal(netlink_local(n, list), 0);
    netlink_close(n);
}

static void eight_are_enough(void **state)
{
    (void)state;
    struct endpoint list[NETLINK_LOCAL_MAX];
    struct netlink *n = open_here();
    support_run("for i in $(seq 1 100); do ip addr add 10.1.$i.1/24 dev njl0; done");
    assert_int_equal(netlink_local(n, list), NETLINK_LOCAL_MAX);
    support_run("ip addr flush dev njl0");
    netlink_close(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_real_interfaces_that_are_up_and_of_no_other),
        cmocka_unit_test(eight_are_enough),
    };
    if (!support_enter_namespace())
        return 0;
    support_run("ip link add njl0 type veth peer name njl1 && ip link set njl0 up");
    support_run("ip tuntap add dev njt0 mode tun");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
