/* What is handed in, taken away and carried: submissions, take-aways, and a relay that has no controller. */
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

static void a_submission_waits_for_the_controller(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "sensor-1", .number = 20};
    struct net_node *operator_node = NET_OPERATOR(net);
    net->sequencer_off = true;
    net_invite(net, &invite);
    net_run(net, 20);
    assert_int_equal(operator_node->outcome_count, 0);
    assert_true(replica_has_submissions(operator_node->replica));
    net->sequencer_off = false;
    net_run(net, 8);
    assert_int_equal(operator_node->outcome_count, 1);
    assert_int_equal(operator_node->outcomes[0].verdict, VERDICT_STANDS);
    assert_int_equal(operator_node->outcomes[0].index, 6);
    assert_memory_equal(operator_node->outcomes[0].statement, invite.hash, SHA256_SIZE);
    assert_false(replica_has_submissions(operator_node->replica));
}

static void a_refused_submission_is_told_why(void **state)
{
    struct net *net = *state;
    struct net_invite one = {.name = "sensor-1", .number = 20}, again = {.name = "sensor-1", .number = 21};
    net_invite(net, &one);
    net_run(net, 2);
    net_invite(net, &again);
    net_run(net, 2);
    struct net_node *operator_node = NET_OPERATOR(net);
    assert_int_equal(operator_node->outcome_count, 2);
    assert_int_equal(operator_node->outcomes[1].verdict, VERDICT_NAME_TAKEN);
}

static void a_submission_that_stands_already_stands(void **state)
{
    struct net *net = *state;
    struct net_bytes submission = net_policy(net, NULL, 0);
    struct net_node *operator_node = NET_OPERATOR(net);
    struct net_bytes copy = {malloc(submission.len), submission.len, 0, 0};
    memcpy(copy.bytes, submission.bytes, submission.len);
    net_submit(operator_node, submission);
    net_run(net, 2);
    net_submit(operator_node, copy); /* as after a restart, when the outbox is read anew */
    assert_int_equal(operator_node->outcome_count, 2);
    assert_int_equal(operator_node->outcomes[1].verdict, VERDICT_STANDS);
    assert_int_equal(operator_node->outcomes[1].index, 6);
}

static void a_large_submission_is_pulled(void **state)
{
    struct net *net = *state;
    const struct net_rule rules[] = {{NET_SENSORS, NET_BROKERS, 1883}, {NET_SENSORS, NET_BROKERS, 8883},
                                     {NET_SENSORS, NET_LOGGERS, 80},   {NET_BROKERS, NET_LOGGERS, 443},
                                     {NET_OPERATORS, NET_SENSORS, 22}, {NET_OPERATORS, NET_BROKERS, 22}};
    struct net_bytes submission = net_policy(net, rules, 6);
    assert_true(submission.len > FRAME_INLINE_MAX);
    net->loss = 10;
    net_submit(NET_OPERATOR(net), submission);
    net_run(net, 30);
    assert_int_equal(NET_OPERATOR(net)->outcome_count, 1);
    assert_int_equal(NET_OPERATOR(net)->outcomes[0].verdict, VERDICT_STANDS);
    assert_true(replica_policy_version(NET_HUB(net)->replica) == 2);
}

static void a_take_away_counts_at_once_and_spreads_without_a_controller(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .groups = NET_BROKERS};
    struct net_node *s = net_member(net, &sensor, 30), *b = net_member(net, &broker, 31);
    const struct net_rule rules[] = {{NET_SENSORS, NET_BROKERS, 1883}};
    net_submit(NET_OPERATOR(net), net_policy(net, rules, 1));
    net_run(net, 8);
    assert_non_null(net_published(b, &sensor.id));
    net->sequencer_off = true;
    net_submit(NET_OPERATOR(net), net_about(net, STATEMENT_REVOKE, &sensor));
    net_run(net, 1);
    assert_null(net_published(NET_HUB(net), &sensor.id));
    assert_null(net_published(b, &sensor.id));
    assert_int_equal(b->take_aways.count, 1);
    net_restart(b);
    assert_null(net_published(b, &sensor.id));
    assert_true(replica_has_submissions(NET_OPERATOR(net)->replica));
    net->sequencer_off = false;
    net_run(net, 10);
    assert_int_equal(fold_device_by_id(replica_fold(b->replica), &sensor.id)->state, DEVICE_REVOKED);
    assert_false(replica_has_submissions(NET_OPERATOR(net)->replica));
    (void)s;
}

static void an_isolated_device_comes_back_when_it_is_restored(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .groups = NET_BROKERS};
    struct net_node *s = net_member(net, &sensor, 30), *b = net_member(net, &broker, 31);
    const struct net_rule rules[] = {{NET_SENSORS, NET_BROKERS, 1883}};
    net_submit(NET_OPERATOR(net), net_policy(net, rules, 1));
    net_run(net, 8);
    net_submit(NET_OPERATOR(net), net_about(net, STATEMENT_ISOLATE, &sensor));
    net_run(net, 5);
    assert_null(net_published(b, &sensor.id));
    assert_null(net_published(NET_HUB(net), &sensor.id));
    net_submit(NET_OPERATOR(net), net_restore(net, net->last_about));
    net_run(net, 10);
    assert_non_null(net_published(NET_HUB(net), &sensor.id));
    assert_non_null(net_published(b, &sensor.id));
    assert_non_null(net_published(s, &broker.id));
    assert_false(net_has_problem(s, REPLICA_PROBLEM_REVOKED));
}

static void a_member_that_may_not_take_away_takes_nothing_away(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20};
    struct net_node *s = net_member(net, &sensor, 30);
    struct net_bytes submission = net_about(net, STATEMENT_REVOKE, &net->operator_invite);
    submission.bytes[submission.len - 5] ^= 1; /* the signature holds no more */
    struct frame offer = {.kind = FRAME_STATEMENT,
                          .statement = {.total = submission.len, .bytes = {submission.bytes, submission.len}}};
    assert_int_equal(crypto_sha256(net->c, offer.statement.hash, submission.bytes, submission.len), 0);
    net_send(NET_HUB(net), &s->self.id, &offer);
    net_run(net, 3);
    assert_non_null(net_published(NET_HUB(net), &net->operator_invite.id));
    assert_int_equal(net_index(NET_HUB(net)), 7);
    offer.statement.hash[0] ^= 1; /* nor does a hash that is another's */
    net_send(NET_HUB(net), &s->self.id, &offer);
    free(submission.bytes);
}

static void a_relay_without_a_controller_lets_devices_join(void **state)
{
    struct net *net = *state;
    struct net_invite relay = {.name = "relay-2", .number = 20, .relay = true};
    struct net_invite sensor = {.name = "sensor-1", .number = 21, .groups = NET_SENSORS};
    struct net_node *r = net_member(net, &relay, 30);
    assert_true(r->self.relay);
    assert_false(r->self.controller);
    net_invite(net, &sensor);
    net_run(net, 3);
    const struct device_id id = replica_invite_id(&sensor.id);
    assert_non_null(net_published(r, &id));
    struct net_node *n = net_join_at(net, &sensor, 31, r);
    net_run(net, 8);
    assert_true(n->joined_called);
    assert_int_equal(n->joined, VERDICT_STANDS);
    assert_int_equal(n->reason, REPLICA_JOIN_NO_REASON);
    net_restart(n);
    net_run(net, 5);
    assert_non_null(net_published(n, &relay.id)); /* it knows both relays */
    assert_non_null(net_published(n, &net->hub_invite.id));
}

static void a_relay_without_a_controller_carries_large_offers_too(void **state)
{
    struct net *net = *state;
    struct net_invite relay = {.name = "relay-2", .number = 20, .relay = true};
    struct net_node *r = net_member(net, &relay, 30), *operator_node = NET_OPERATOR(net);
    net_run(net, 5);
    assert_non_null(net_published(operator_node, &r->self.id));
    const struct net_rule rules[] = {{NET_SENSORS, NET_BROKERS, 1883}, {NET_SENSORS, NET_BROKERS, 8883},
                                     {NET_SENSORS, NET_LOGGERS, 80},   {NET_BROKERS, NET_LOGGERS, 443},
                                     {NET_OPERATORS, NET_SENSORS, 22}, {NET_OPERATORS, NET_BROKERS, 22}};
    net->tap = net_part_operator_from_hub;
    net_submit(operator_node, net_policy(net, rules, 6));
    net_run(net, 40);
    assert_int_equal(operator_node->outcome_count, 2);
    assert_int_equal(operator_node->outcomes[1].verdict, VERDICT_STANDS);
}

static void the_ledger_comes_from_another_relay_when_one_falls_silent(void **state)
{
    struct net *net = *state;
    struct net_invite relay = {.name = "relay-2", .number = 20, .relay = true};
    struct net_invite sensor = {.name = "sensor-1", .number = 21, .groups = NET_SENSORS};
    struct net_node *r = net_member(net, &relay, 30), *s = net_member(net, &sensor, 31);
    net->tap = net_part_operator_from_hub; /* s, too, hears only heads from the hub */
    uint64_t index = net_index(s);
    net_submit(NET_OPERATOR(net), net_policy(net, NULL, 0));
    net_run(net, 40);
    assert_true(net_index(r) == index + 1);
    assert_true(net_index(s) == index + 1);
}

static void members_that_restart_a_hundred_times_keep_nothing_twice(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 21, .groups = NET_SENSORS};
    struct net_node *s = net_member(net, &sensor, 31);
    uint32_t entries = s->entries.count, openings = s->openings.count;
    for (int i = 0; i < 100; i++) {
        net_restart(s);
        net_run(net, 0.5);
    }
    assert_int_equal(s->entries.count, entries);
    assert_int_equal(s->openings.count, openings);
}

static void a_root_that_replaces_the_sequencer_counts_at_once(void **state)
{
    struct net *net = *state;
    struct net_invite kept = {.name = "sensor-1", .number = 20}, void_later = {.name = "sensor-2", .number = 21};
    struct net_node *hub = NET_HUB(net), *operator_node = NET_OPERATOR(net);
    net_invite(net, &kept);
    net_run(net, 2);
    const struct signed_head last = *replica_signed_head(hub->replica);
    net_invite(net, &void_later);
    net_submit(operator_node, net_about(net, STATEMENT_REVOKE, &kept));
    net_run(net, 2);
    assert_int_equal(net_index(operator_node), 8);
    net->sequencer_off = true;
    net_submit(operator_node, net_replace(net, &last));
    net_run(net, 2);
    for (int i = 0; i < 2; i++) {
        struct net_node *n = &net->nodes[i];
        const struct fold *fold = replica_fold(n->replica);
        assert_int_equal(net_index(n), 7);
        assert_false(fold_sequences(fold, last.sequencer));
        assert_null(fold_device_by_id(fold, &void_later.id)); /* it came after the last entry that stands */
        /* What was taken away stays so, the invite is handed in again. */
        const struct device_id id = replica_invite_id(&kept.id);
        assert_null(net_published(n, &id));
        assert_true(replica_has_submissions(n->replica));
        net_restart(n);
        assert_int_equal(net_index(n), 7);
        assert_null(net_published(n, &id));
    }
    /* The new sequencer signs over the root. */
    struct signed_head head = {.head = *fold_head(replica_fold(hub->replica))};
    uint8_t bytes[SIGNED_HEAD_SIZE];
    fold_root(replica_fold(hub->replica), head.fold_root);
    head.head.time = net->wall;
    net_sign_by(net, NET_NEXT_SEQUENCER, &head, bytes);
    struct frame notice = {.kind = FRAME_NOTICE, .notice = {{bytes, sizeof(bytes)}}};
    net_send(hub, &replica_controller, &notice);
    assert_non_null(replica_signed_head(hub->replica));
    net_run(net, 2);
    assert_non_null(replica_signed_head(operator_node->replica));
    assert_memory_equal(replica_signed_head(operator_node->replica)->sequencer, head.sequencer, ED25519_PUBLIC_SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_submission_waits_for_the_controller, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_submission_is_told_why, setup, teardown),
        cmocka_unit_test_setup_teardown(a_submission_that_stands_already_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_submission_is_pulled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_take_away_counts_at_once_and_spreads_without_a_controller, setup, teardown),
        cmocka_unit_test_setup_teardown(an_isolated_device_comes_back_when_it_is_restored, setup, teardown),
        cmocka_unit_test_setup_teardown(a_member_that_may_not_take_away_takes_nothing_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relay_without_a_controller_lets_devices_join, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relay_without_a_controller_carries_large_offers_too, setup, teardown),
        cmocka_unit_test_setup_teardown(the_ledger_comes_from_another_relay_when_one_falls_silent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_root_that_replaces_the_sequencer_counts_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(members_that_restart_a_hundred_times_keep_nothing_twice, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
