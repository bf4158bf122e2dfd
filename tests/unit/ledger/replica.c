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
    assert_int_equal(d->flags, REPLICA_MEMBER | REPLICA_RELAY | REPLICA_CONTROLLER);
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
    assert_int_equal(hub->flags, REPLICA_MEMBER | REPLICA_RELAY | REPLICA_CONTROLLER);
    assert_null(net_published(n, &net->operator_invite.id)); /* no rule joins them */
    assert_non_null(net_published(NET_HUB(net), &n->self.id));
}

static struct net_bytes sensors_to_brokers(struct net *net)
{
    const struct net_rule rules[] = {{NET_SENSORS, NET_BROKERS, 1883}};
    return net_policy(net, rules, 1);
}

static void rules_become_grants_at_both_ends_and_go_with_them(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .ipv4 = 21, .groups = NET_BROKERS};
    struct net_invite logger = {.name = "logger-1", .number = 22, .groups = NET_LOGGERS};
    net_run(net, 3);
    struct net_node *s = net_member(net, &sensor, 30), *b = net_member(net, &broker, 31);
    struct net_node *l = net_member(net, &logger, 32);
    assert_null(net_published(s, &broker.id));
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    net_run(net, 8);
    const struct replica_device *d = net_published(s, &broker.id);
    assert_non_null(d);
    assert_int_equal(d->out_count, 1);
    assert_int_equal(d->in_count, 0);
    assert_int_equal(d->out[0].low, 1883);
    assert_true(d->has_ipv4 && d->has_ipv6);
    d = net_published(b, &sensor.id);
    assert_non_null(d);
    assert_int_equal(d->out_count, 0);
    assert_int_equal(d->in_count, 1);
    assert_null(net_published(l, &sensor.id));
    assert_null(replica_opening(l->replica, &sensor.id)); /* nor does it learn the name */
    assert_non_null(replica_opening(s->replica, &broker.id));
    assert_true(replica_policy_version(s->replica) == 2);

    net_submit(NET_OPERATOR(net), net_policy(net, NULL, 0));
    net_run(net, 8);
    assert_null(net_published(s, &broker.id));
    assert_null(net_published(b, &sensor.id));
}

static void a_device_that_joins_later_appears_to_whom_a_rule_joins_it(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .groups = NET_BROKERS};
    net_run(net, 3);
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    struct net_node *s = net_member(net, &sensor, 30), *b = net_member(net, &broker, 31);
    net_run(net, 8);
    assert_non_null(net_published(s, &broker.id));
    assert_non_null(net_published(b, &sensor.id));
}

static void rules_that_do_not_come_leave_the_last_complete_policy_in_force(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .groups = NET_BROKERS};
    net_run(net, 3);
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    struct net_node *s = net_member(net, &sensor, 30);
    (void)net_member(net, &broker, 31);
    net_run(net, 8);
    assert_non_null(net_published(s, &broker.id));
    net->tap = net_swallow_openings;
    const struct net_rule other[] = {{NET_SENSORS, NET_LOGGERS, 80}};
    net_submit(NET_OPERATOR(net), net_policy(net, other, 1));
    net_run(net, 10);
    assert_true(fold_policy_version(replica_fold(s->replica)) == 3);
    assert_true(replica_policy_version(s->replica) == 2);
    assert_non_null(net_published(s, &broker.id));
    assert_true(net_has_problem(s, REPLICA_PROBLEM_POLICY_INCOMPLETE));
    net_restart(s);
    assert_true(replica_policy_version(s->replica) == 2); /* over a restart too */
    assert_non_null(net_published(s, &broker.id));
    net->tap = NULL;
    net_run(net, 15);
    assert_true(replica_policy_version(s->replica) == 3);
    assert_false(net_has_problem(s, REPLICA_PROBLEM_POLICY_INCOMPLETE));
    assert_null(net_published(s, &broker.id));
}

static void a_restarted_node_is_what_it_was(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .groups = NET_BROKERS};
    net_run(net, 3);
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    struct net_node *s = net_member(net, &sensor, 30);
    (void)net_member(net, &broker, 31);
    net_run(net, 8);
    uint64_t index = net_index(s);
    struct replica_device before = *net_published(s, &broker.id);
    NET_HUB(net)->on = false; /* no relay is needed */
    net_restart(s);
    assert_true(net_index(s) == index);
    const struct replica_device *after = net_published(s, &broker.id);
    assert_non_null(after);
    assert_memory_equal(after->static_key, before.static_key, X25519_SIZE);
    assert_int_equal(after->out_count, before.out_count);
    assert_non_null(replica_signed_head(s->replica));
    net_run(net, 20);
    assert_true(net_has_problem(s, REPLICA_PROBLEM_NO_UPSTREAM));
}

static struct frame_introduce ask_by_name(const char *name)
{
    return (struct frame_introduce){.name = {(const uint8_t *)name, strlen(name)}};
}

static void who_may_meet_is_told_both_openings_and_others_nothing(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .ipv4 = 21, .groups = NET_BROKERS};
    struct net_invite logger = {.name = "logger-1", .number = 22, .groups = NET_LOGGERS};
    net_run(net, 3);
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    struct net_node *s = net_member(net, &sensor, 30), *b = net_member(net, &broker, 31);
    (void)net_member(net, &logger, 32);
    struct replica *hub = NET_HUB(net)->replica;
    struct replica_meeting m;
    struct frame_introduce what = ask_by_name("broker-1");
    assert_true(replica_meet(hub, &sensor.id, &what, &m));
    assert_memory_equal(&m.target, &broker.id, sizeof(m.target));
    assert_int_equal(m.target_opening.len, broker.opening_len);
    assert_memory_equal(m.asker_opening.bytes, sensor.opening, sensor.opening_len);
    what = (struct frame_introduce){.address = {b->self.ipv6, 16}};
    assert_true(replica_meet(hub, &sensor.id, &what, &m));
    what = (struct frame_introduce){.address = {b->self.ipv4, 4}};
    assert_true(replica_meet(hub, &sensor.id, &what, &m));
    what = (struct frame_introduce){.has_device = true};
    memcpy(what.device, sensor.id.bytes, DEVICE_ID_SIZE);
    assert_true(replica_meet(hub, &broker.id, &what, &m)); /* either may ask */
    what = ask_by_name("logger-1");
    assert_false(replica_meet(hub, &sensor.id, &what, &m));
    what = ask_by_name("nobody");
    assert_false(replica_meet(hub, &sensor.id, &what, &m));
    what = ask_by_name("sensor-1");
    assert_false(replica_meet(hub, &sensor.id, &what, &m));
    what = ask_by_name("broker-1");
    assert_false(replica_meet(s->replica, &sensor.id, &what, &m)); /* we are no relay */
    net_submit(NET_OPERATOR(net), net_about(net, STATEMENT_ISOLATE, &broker));
    net_run(net, 1);
    assert_false(replica_meet(hub, &sensor.id, &what, &m));
}

static void whom_the_policy_parts_may_no_longer_send_through_a_relay(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .groups = NET_BROKERS};
    const struct net_rule more[] = {{NET_SENSORS, NET_BROKERS, 1883}, {NET_SENSORS, NET_LOGGERS, 514}};
    net_run(net, 3);
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    (void)net_member(net, &sensor, 30);
    (void)net_member(net, &broker, 31);
    struct net_node *hub = NET_HUB(net);
    struct replica_meeting m;
    struct frame_introduce what = ask_by_name("broker-1");
    for (int i = 0; i < 300; i++)
        assert_true(replica_meet(hub->replica, &sensor.id, &what, &m));
    net_submit(NET_OPERATOR(net), net_policy(net, more, 2));
    net_run(net, 2);
    assert_int_equal(hub->parted, 0);
    net_submit(NET_OPERATOR(net), net_policy(net, &more[1], 1));
    net_run(net, 2);
    assert_int_equal(hub->parted, 1);
    assert_false(replica_meet(hub->replica, &sensor.id, &what, &m));
    net_submit(NET_OPERATOR(net), net_policy(net, more, 2));
    net_run(net, 2);
    assert_true(replica_meet(hub->replica, &sensor.id, &what, &m));
    net_submit(NET_OPERATOR(net), net_about(net, STATEMENT_ISOLATE, &broker));
    net_run(net, 1);
    assert_int_equal(hub->parted, 2);
}

static void a_relay_that_is_back_is_no_problem_any_more(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    net_run(net, 3);
    struct net_node *s = net_member(net, &sensor, 30);
    const struct device_id hub = net->hub_invite.id;
    replica_link(s->replica, &hub, false, net->now);
    replica_timer(s->replica, net->now + 10 * NET_SECOND, net->wall);
    assert_false(net_has_problem(s, REPLICA_PROBLEM_NO_UPSTREAM)); /* it may just be starting anew */
    replica_timer(s->replica, net->now + 20 * NET_SECOND, net->wall);
    assert_true(net_has_problem(s, REPLICA_PROBLEM_NO_UPSTREAM));
    replica_link(s->replica, &hub, true, net->now + 21 * NET_SECOND);
    assert_false(net_has_problem(s, REPLICA_PROBLEM_NO_UPSTREAM));
}

static void what_became_of_a_statement_is_in_the_ledger(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    uint64_t index;
    enum fold_verdict verdict;
    net_run(net, 3);
    net_make_invite(net, &sensor);
    assert_false(replica_sequenced(NET_OPERATOR(net)->replica, sensor.hash, &verdict, &index));
    net_invite(net, &sensor);
    net_run(net, 2);
    net_restart(NET_OPERATOR(net));
    assert_true(replica_sequenced(NET_OPERATOR(net)->replica, sensor.hash, &verdict, &index));
    assert_int_equal(verdict, VERDICT_STANDS);
    assert_int_equal(index, net_index(NET_OPERATOR(net)));
}

static void a_wrong_clock_is_told_and_does_no_harm(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    net_run(net, 3);
    struct net_node *s = net_member(net, &sensor, 30);
    replica_timer(s->replica, net->now, 0);
    assert_true(net_has_problem(s, REPLICA_PROBLEM_CLOCK_WRONG));
    assert_true(s->self.member);
    replica_timer(s->replica, net->now, net->wall);
    assert_false(net_has_problem(s, REPLICA_PROBLEM_CLOCK_WRONG));
    net_run(net, 20);
    replica_timer(s->replica, net->now, net->wall + 86400 - 3600);
    assert_false(net_has_problem(s, REPLICA_PROBLEM_CLOCK_AHEAD));
    replica_timer(s->replica, net->now, net->wall + 86400 + 3600);
    assert_true(net_has_problem(s, REPLICA_PROBLEM_CLOCK_AHEAD));
    assert_true(s->self.member);
    replica_timer(s->replica, net->now, net->wall);
    assert_false(net_has_problem(s, REPLICA_PROBLEM_CLOCK_AHEAD));
}

static void a_member_that_misses_nothing_rests_and_wakes_with_what_happens(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    net_run(net, 3);
    struct net_node *s = net_member(net, &sensor, 30), *hub = NET_HUB(net);
    replica_timer(s->replica, net->now, net->wall);
    assert_true(replica_deadline(s->replica) > net->now + 20 * NET_SECOND);
    replica_link(s->replica, &hub->self.id, false, net->now);
    assert_true(replica_deadline(s->replica) <= net->now + 5 * NET_SECOND);
    replica_timer(s->replica, net->now, net->wall);
    assert_true(replica_deadline(s->replica) <= net->now + 5 * NET_SECOND); /* alone */
    replica_timer(hub->replica, net->now, net->wall);
    assert_true(replica_deadline(hub->replica) <= net->now + 5 * NET_SECOND); /* it greets its controller */
}

static void membership_ends_when_both_clocks_have_passed_it(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .member_until = 100};
    net_run(net, 3);
    struct net_node *s = net_member(net, &sensor, 30);
    replica_timer(NET_HUB(net)->replica, net->now, NET_TIME + 5000); /* its own clock alone */
    net_run(net, 60);
    assert_true(s->self.member);
    net_run(net, 120);
    assert_false(s->self.member);
    assert_true(net_has_problem(s, REPLICA_PROBLEM_REVOKED));
    assert_null(net_published(NET_HUB(net), &sensor.id));
}

static void a_long_log_gives_way_to_a_fold_at_a_plain_member_alone(void **state)
{
    enum { ENTRIES = 80, LEN = 60000 };
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20};
    net_run(net, 3);
    struct net_node *s = net_member(net, &sensor, 30), *hub = NET_HUB(net);
    static uint8_t junk[ENTRIES][LEN];
    struct net_entry entries[ENTRIES];
    for (uint32_t i = 0; i < ENTRIES; i++) {
        junk[i][0] = (uint8_t)i;
        entries[i] = (struct net_entry){junk[i], LEN, NULL, 0};
    }
    struct net_fake fake;
    net_fake_begin(net, &fake, entries, ENTRIES, NULL);
    net_run(net, 20);
    assert_int_equal(net_index(hub), 7 + ENTRIES);
    assert_int_equal(net_index(s), 7 + ENTRIES);
    assert_int_equal(hub->base.len, 0);
    assert_true(s->base.len > 0);
    assert_int_equal(s->entries.count, 0);
    net_fake_end(net, &fake);
    net_restart(s);
    assert_true(s->self.member);
    assert_int_equal(net_index(s), 7 + ENTRIES);
    net_run(net, 1);
    struct net_invite other = {.name = "sensor-2", .number = 21};
    net_make_invite(net, &other);
    const struct net_entry one = {other.statement, other.statement_len, other.opening, other.opening_len};
    net_fake_begin(net, &fake, &one, 1, NULL);
    net_run(net, 5);
    assert_int_equal(net_index(s), 8 + ENTRIES);
    assert_int_equal(s->entries.count, 1);
    net_fake_end(net, &fake);
}

static void whoever_asks_too_much_is_not_heard(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20};
    net_run(net, 3);
    (void)net_member(net, &sensor, 30);
    struct net_node *hub = NET_HUB(net);
    struct frame get = {.kind = FRAME_GET, .get = {.what = SYNC_OPENINGS, .to = UINT64_MAX}};
    uint32_t before = hub->frames_sent;
    for (uint32_t i = 0; i < 10000; i++) {
        get.get.from = i;
        net_send(hub, &sensor.id, &get);
    }
    assert_true(hub->frames_sent - before <= 16);
    struct replica_counters counters;
    replica_read_counters(hub->replica, &counters);
    assert_true(counters.limited > 5000);
    struct device_id nobody = {{1, 2, 3}};
    net_send(hub, &nobody, &get);
    replica_read_counters(hub->replica, &counters);
    assert_true(counters.strange > 0);
}

static void an_isolated_device_hears_from_a_relay_that_it_is_given_back(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .ipv4 = 20, .groups = NET_SENSORS};
    struct net_invite broker = {.name = "broker-1", .number = 21, .ipv4 = 21, .groups = NET_BROKERS};
    net_run(net, 3);
    struct net_node *s = net_member(net, &sensor, 30);
    (void)net_member(net, &broker, 31);
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    net_run(net, 8);
    assert_non_null(net_published(s, &broker.id));
    net_submit(NET_OPERATOR(net), net_about(net, STATEMENT_ISOLATE, &sensor));
    net_run(net, 8);
    assert_null(net_published(NET_HUB(net), &sensor.id));
    for (uint32_t restarted = 0; restarted < 2; restarted++) {
        const struct replica_device *hub = net_published(s, &net->hub_invite.id);
        assert_true(net_has_problem(s, REPLICA_PROBLEM_REVOKED));
        assert_non_null(hub);
        assert_false(hub->in_count || hub->out_count);
        assert_null(net_published(s, &broker.id));
        if (restarted == 0)
            net_restart(s);
        net_run(net, 3);
    }
    net_submit(NET_OPERATOR(net), net_give_back(net, &sensor));
    net_run(net, 70);
    assert_non_null(net_published(s, &broker.id));
    assert_false(net_has_problem(s, REPLICA_PROBLEM_REVOKED));
}

static uint64_t served; /* the length of the openings that a relay last served */

static bool note_served(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame, size_t *len)
{
    struct frame f;
    bool openings = frame_decode(&f, frame, *len) == 0 && f.kind == FRAME_PART && f.part.what == SYNC_OPENINGS;
    (void)net;
    if (openings && from->self.relay && !from->self.controller)
        served = f.part.total;
    return !openings || to->self.controller;
}

static void a_relay_serves_what_it_lacked_once_it_has_it(void **state)
{
    struct net *net = *state;
    struct net_invite relay = {.name = "relay-1", .number = 22, .relay = true};
    struct net_invite sensor = {.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    struct frame get = {.kind = FRAME_GET, .get = {.what = SYNC_OPENINGS, .to = UINT64_MAX}};
    net_run(net, 3);
    struct net_node *r = net_member(net, &relay, 32);
    (void)net_member(net, &sensor, 30);
    net->tap = note_served;
    net_submit(NET_OPERATOR(net), sensors_to_brokers(net));
    net_run(net, 8);
    assert_int_equal(replica_policy_version(r->replica), 1);
    net_send(r, &sensor.id, &get);
    uint64_t before = served;
    net->tap = NULL;
    net_run(net, 20);
    assert_int_equal(replica_policy_version(r->replica), 2);
    net->tap = note_served;
    net_send(r, &sensor.id, &get);
    assert_true(before > 0 && served > before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_operator_and_the_hub_find_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_joins_and_its_node_comes_up, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_become_grants_at_both_ends_and_go_with_them, setup, teardown),
        cmocka_unit_test_setup_teardown(a_device_that_joins_later_appears_to_whom_a_rule_joins_it, setup, teardown),
        cmocka_unit_test_setup_teardown(rules_that_do_not_come_leave_the_last_complete_policy_in_force, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restarted_node_is_what_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(who_may_meet_is_told_both_openings_and_others_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(whom_the_policy_parts_may_no_longer_send_through_a_relay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relay_that_is_back_is_no_problem_any_more, setup, teardown),
        cmocka_unit_test_setup_teardown(what_became_of_a_statement_is_in_the_ledger, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wrong_clock_is_told_and_does_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(a_member_that_misses_nothing_rests_and_wakes_with_what_happens, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(membership_ends_when_both_clocks_have_passed_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_log_gives_way_to_a_fold_at_a_plain_member_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_asks_too_much_is_not_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(an_isolated_device_hears_from_a_relay_that_it_is_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relay_serves_what_it_lacked_once_it_has_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
