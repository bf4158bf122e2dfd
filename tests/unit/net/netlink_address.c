#include "support.h"

#include <net/if.h>
#include <stdio.h>

#include "net/netlink_address.h"

static const uint8_t OURS[4] = {100, 70, 0, 1};

static void addresses_come_with_their_routes(void **state)
{
    (void)state;
    static const uint8_t ipv6[16] = {0xfd, 1, [15] = 7};
    uint32_t interface = if_nametoindex("njd0");
    assert_int_equal(netlink_set_up(interface), 0);
    assert_int_equal(netlink_add_address(interface, ipv6, 16, 48), 0);
    assert_int_equal(netlink_add_address(interface, OURS, 4, 16), 0);
    assert_int_equal(netlink_add_address(interface, OURS, 4, 16), 0);
    support_run("ip -6 route show dev njd0 | grep -q '^fd01::/48'");
    support_run("ip route show dev njd0 | grep -q '^100.70.0.0/16'");
    support_run("! ip -6 address show dev njd0 | grep fd01 | grep -q tentative");
}

static void wrong_addresses_and_interfaces_are_refused(void **state)
{
    (void)state;
    assert_int_equal(netlink_add_address(1, OURS, 5, 16), ERROR_INVALID);
    assert_int_equal(netlink_add_address(1, OURS, 4, 33), ERROR_INVALID);
    assert_int_equal(netlink_add_address(9999, OURS, 4, 16), ERROR_GONE);
    assert_int_equal(netlink_set_up(9999), ERROR_GONE);
}

static void prefixes_overlap_whichever_is_longer(void **state)
{
    (void)state;
    static const uint8_t other[4] = {100, 71, 0, 1};
    uint32_t interface = if_nametoindex("njd0");
    support_run("ip route add default dev njd1");
    assert_int_equal(netlink_overlaps_ipv4(interface, OURS, 16), 0);
    assert_int_equal(netlink_overlaps_ipv4(0, OURS, 16), 1); /* our own route counts for others */
    support_run("ip address add 100.70.200.1/24 dev njd1");
    assert_int_equal(netlink_overlaps_ipv4(interface, OURS, 16), 1);
    assert_int_equal(netlink_overlaps_ipv4(interface, other, 16), 0);
    support_run("ip route add 100.64.0.0/10 dev njd1");
    assert_int_equal(netlink_overlaps_ipv4(interface, other, 16), 1);
    assert_int_equal(netlink_overlaps_ipv4(interface, OURS, 33), ERROR_INVALID);
}

static void other_tables_count_as_well(void **state)
{
    (void)state;
    static const uint8_t other[4] = {100, 120, 0, 1};
    support_run("ip route del 100.64.0.0/10");
    assert_int_equal(netlink_overlaps_ipv4(0, other, 16), 0);
    support_run("ip route add 100.120.9.0/24 dev njd1 table 99");
    assert_int_equal(netlink_overlaps_ipv4(0, other, 16), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_with_their_routes),
        cmocka_unit_test(wrong_addresses_and_interfaces_are_refused),
        cmocka_unit_test(prefixes_overlap_whichever_is_longer),
        cmocka_unit_test(other_tables_count_as_well),
    };
    if (!support_enter_namespace())
        return 0;
    support_run("ip link add njd0 type veth peer name njd1 && ip link set njd1 up");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
