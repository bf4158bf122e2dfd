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
    struct net *net = net_new();
    net_run(net, 3);
    *state = net;
    return 0;
}

static int teardown(void **state)
{
    net_free(*state);
    return 0;
}

static void invite_and_wait(struct net *net, struct net_invite *invite)
{
    net_invite(net, invite);
    net_run(net, 2);
}

static void joining_gets_through_heavy_loss(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    net->loss = 30;
    struct net_node *n = net_join(net, &invite, 30);
    net_run(net, 60);
    assert_true(n->joined_called);
    assert_int_equal(n->joined, VERDICT_STANDS);
    assert_int_equal(n->reason, REPLICA_JOIN_NO_REASON);
    assert_int_equal(n->seeds_erased, 1);
}

static void the_second_device_under_a_ticket_is_refused(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    struct net_node *first = net_join(net, &invite, 30), *second = net_join(net, &invite, 31);
    net_run(net, 70);
    assert_true(first->joined_called && second->joined_called);
    assert_int_equal(first->joined, VERDICT_STANDS);
    assert_int_equal(first->reason, REPLICA_JOIN_NO_REASON);
    assert_true(second->joined == VERDICT_USED || second->reason == REPLICA_JOIN_UNREACHABLE);
    assert_int_equal(second->seeds_erased, 0);
}

/* A tap: what the hub says to a joiner under the invite's key gets lost once the join is sequenced. */
static bool lose_answers(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame, size_t *len)
{
    (void)frame;
    (void)len;
    return from != NET_HUB(net) || to->slot != 1 || net_index(from) < 7;
}

static void a_lost_answer_is_made_good_under_the_devices_own_key(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    net->tap = lose_answers;
    struct net_node *n = net_join(net, &invite, 30);
    net_run(net, 2);
    assert_int_equal(net_index(NET_HUB(net)), 7);
    assert_false(n->joined_called);
    /* Its session ends; the next one is under its own key. */
    n->on = false;
    net_run(net, 1);
    n->on = true;
    NET_HUB(net)->on = false;
    net_run(net, 6);
    NET_HUB(net)->on = true;
    net_run(net, 40);
    assert_true(n->joined_called);
    assert_int_equal(n->joined, VERDICT_STANDS);
    assert_int_equal(n->reason, REPLICA_JOIN_NO_REASON);
}

static void who_comes_late_meets_silence(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20, .join_before = 30};
    invite_and_wait(net, &invite);
    const struct device_id id = replica_invite_id(&invite.id);
    assert_non_null(net_published(NET_HUB(net), &id));
    net_run(net, 120);
    assert_null(net_published(NET_HUB(net), &id));
    struct net_node *n = net_join(net, &invite, 30);
    net_run(net, 61);
    assert_true(n->joined_called);
    assert_int_equal(n->reason, REPLICA_JOIN_UNREACHABLE);
}

static void another_ledger_than_the_tickets_is_not_joined(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    struct net_node *n = net_join(net, &invite, 30);
    n->ticket.fold_root[3] ^= 1;
    net_run(net, 70);
    assert_true(n->joined_called);
    assert_int_equal(n->reason, REPLICA_JOIN_BAD_LEDGER);
    assert_int_equal(n->seeds_erased, 0);
    assert_int_equal(n->entries.count, 0);
    assert_int_equal(n->base.len, 0);
}

static void an_unreachable_relay_ends_after_a_minute(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    struct net_node *n = net_join(net, &invite, 30);
    NET_HUB(net)->on = false;
    net_run(net, 59);
    assert_false(n->joined_called);
    net_run(net, 2);
    assert_true(n->joined_called);
    assert_int_equal(n->reason, REPLICA_JOIN_UNREACHABLE);
}

static void a_relay_that_nobody_reaches_delays_no_join_by_another(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    net->ticket_begins_elsewhere = true;
    struct net_node *n = net_join(net, &invite, 30);
    net_run(net, 3);
    assert_true(n->joined_called);
    assert_int_equal(n->joined, VERDICT_STANDS);
}

static void a_used_invite_is_listened_to_and_raises_one_alarm(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    struct net_node *hub = NET_HUB(net);
    (void)net_member(net, &invite, 30);
    const struct device_id id = replica_invite_id(&invite.id);
    const struct replica_device *d = net_published(hub, &id);
    assert_non_null(d);
    assert_int_equal(d->flags, REPLICA_USED_INVITE);
    assert_false(d->has_ipv4 || d->has_ipv6);
    uint32_t problems = hub->problems;
    replica_intruder(hub->replica, &id, net->now);
    replica_intruder(hub->replica, &id, net->now);
    assert_int_equal(hub->problems, problems + 1);
    assert_true(net_has_problem(hub, REPLICA_PROBLEM_TICKET_REUSED));
    struct replica_problem p = {0};
    for (uint32_t i = 0; replica_problem_at(hub->replica, i, &p) && p.kind != REPLICA_PROBLEM_TICKET_REUSED; i++)
        ;
    assert_string_equal(p.name, "sensor-1");
}

static void a_device_that_is_not_seen_loses_its_invites_session_after_two_minutes(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    struct net_node *n = net_join(net, &invite, 30);
    net_run(net, 5);
    assert_true(n->joined_called);
    n->on = false; /* never again */
    const struct device_id id = replica_invite_id(&invite.id);
    net_run(net, 20);
    assert_int_equal(net_published(NET_HUB(net), &id)->flags, REPLICA_INVITE);
    net_run(net, 180);
    assert_int_equal(net_published(NET_HUB(net), &id)->flags, REPLICA_USED_INVITE);
}

static void an_invite_that_was_taken_back_joins_nobody(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    invite_and_wait(net, &invite);
    const struct device_id id = replica_invite_id(&invite.id);
    net_submit(NET_OPERATOR(net), net_about(net, STATEMENT_UNINVITE, &invite));
    net_run(net, 1);
    assert_null(net_published(NET_HUB(net), &id));
}

static void an_operators_second_machine_gets_the_whole_ledger(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20};
    struct net_invite second = {.name = "laptop", .number = 21, .groups = NET_OPERATORS};
    (void)net_member(net, &sensor, 30);
    struct net_node *n = net_member(net, &second, 31);
    assert_int_equal(n->base.len, 0);
    assert_true(n->entries.count == net_index(n) + 1);
    assert_non_null(replica_opening(n->replica, &sensor.id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(joining_gets_through_heavy_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(the_second_device_under_a_ticket_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lost_answer_is_made_good_under_the_devices_own_key, setup, teardown),
        cmocka_unit_test_setup_teardown(who_comes_late_meets_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(another_ledger_than_the_tickets_is_not_joined, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unreachable_relay_ends_after_a_minute, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relay_that_nobody_reaches_delays_no_join_by_another, setup, teardown),
        cmocka_unit_test_setup_teardown(a_used_invite_is_listened_to_and_raises_one_alarm, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_that_is_not_seen_loses_its_invites_session_after_two_minutes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_invite_that_was_taken_back_joins_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(an_operators_second_machine_gets_the_whole_ledger, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
