#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "network.h"

static int setup(void **state)
{
    *state = net_new();
    return 0;
}

static int teardown(void **state)
{
    net_free(*state);
    return 0;
}

static void the_operator_and_the_hub_find_each_other(void **state)
{
    struct net *net = *state;
    struct net_node *operator_node = NET_OPERATOR(net), *hub = NET_HUB(net);
    const struct replica_device *d = net_published(operator_node, &net->hub_invite.id);
    assert_non_null(d);
    assert_int_equal(d->flags, REPLICA_FOUNDING | REPLICA_RELAY);
    net_run(net, 3);
    assert_int_equal(net_index(operator_node), 5);
    assert_int_equal(net_index(hub), 5);
    assert_true(operator_node->self.member && hub->self.member);
    assert_true(hub->self.relay && hub->self.controller);
    assert_false(hub->self.answer_invite_key);
    assert_int_equal(hub->seeds_erased, 1);
    d = net_published(operator_node, &net->hub_invite.id);
    assert_non_null(d);
    assert_int_equal(d->flags, REPLICA_MEMBER | REPLICA_RELAY);
    assert_memory_equal(d->static_key, hub->static_public, X25519_SIZE);
}

static void a_device_joins_and_its_node_comes_up(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20, .ipv4 = 20, .groups = NET_SENSORS};
    net_run(net, 3);
    struct net_node *n = net_member(net, &invite, 30);
    assert_true(n->self.member);
    assert_string_equal(n->self.name, "sensor-1");
    assert_int_equal(n->seeds_erased, 1);
    assert_int_equal(NET_OPERATOR(net)->outcome_count, 1);
    assert_int_equal(NET_OPERATOR(net)->outcomes[0].verdict, VERDICT_STANDS);
    const struct replica_device *hub = net_published(n, &net->hub_invite.id);
    assert_non_null(hub);
    assert_int_equal(hub->flags, REPLICA_MEMBER | REPLICA_RELAY);
    assert_null(net_published(n, &net->operator_invite.id)); /* no rule joins them */
    assert_non_null(net_published(NET_HUB(net), &n->self.id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_operator_and_the_hub_find_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_joins_and_its_node_comes_up, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
