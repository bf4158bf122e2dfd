/* What is taken away, and how it spreads: from peer to peer, when there is neither a controller nor a relay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "network.h"

/* operator - sensor - broker - logger: each has rules with the next one alone, so that nothing but the relay joins the
 * others. */
struct chain {
    struct net *net;
    struct net_invite sensor, broker, logger;
    struct net_node *s, *b, *l;
};

static int setup(void **state)
{
    struct chain *c = calloc(1, sizeof(*c));
    c->net = net_new();
    c->net->members_meet = true;
    c->sensor = (struct net_invite){.name = "sensor-1", .number = 20, .groups = NET_SENSORS};
    c->broker = (struct net_invite){.name = "broker-1", .number = 22, .groups = NET_BROKERS};
    c->logger = (struct net_invite){.name = "logger-1", .number = 24, .groups = NET_LOGGERS};
    net_run(c->net, 3);
    c->s = net_member(c->net, &c->sensor, 21);
    c->b = net_member(c->net, &c->broker, 23);
    c->l = net_member(c->net, &c->logger, 25);
    const struct net_rule rules[] = {
        {NET_OPERATORS, NET_SENSORS, 22}, {NET_SENSORS, NET_BROKERS, 1883}, {NET_LOGGERS, NET_BROKERS, 514}};
    net_submit(NET_OPERATOR(c->net), net_policy(c->net, rules, 3));
    net_run(c->net, 5);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct chain *c = *state;
    net_free(c->net);
    free(c);
    return 0;
}

static bool knows(const struct net_node *n, const struct net_invite *invite)
{
    return net_published(n, &invite->id) != NULL;
}

static void the_world_is_a_chain(void **state)
{
    struct chain *c = *state;
    assert_true(knows(NET_OPERATOR(c->net), &c->sensor) && knows(c->s, &c->broker) && knows(c->l, &c->broker));
    assert_false(knows(NET_OPERATOR(c->net), &c->broker) || knows(c->s, &c->logger));
    assert_true(knows(c->b, &c->logger));
}

static void a_revoke_goes_from_peer_to_peer_without_controller_and_relay(void **state)
{
    struct chain *c = *state;
    NET_HUB(c->net)->on = false;
    c->net->sequencer_off = true;
    net_run(c->net, 1);
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_REVOKE, &c->logger));
    net_run(c->net, 1);
    assert_false(knows(c->b, &c->logger));
    assert_int_equal(c->s->take_aways.count, 1);
    assert_int_equal(c->b->take_aways.count, 1);
    assert_true(knows(c->s, &c->broker));
}

static void who_comes_back_later_hears_of_it_from_a_peer(void **state)
{
    struct chain *c = *state;
    NET_HUB(c->net)->on = false;
    c->b->on = false;
    net_run(c->net, 1);
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_ISOLATE, &c->logger));
    net_run(c->net, 20);
    assert_true(knows(c->b, &c->logger));
    c->b->on = true;
    net_run(c->net, 1);
    assert_false(knows(c->b, &c->logger));
}

/* Of the relays' telling: only the operator's node has heard when they fail. */
static bool lose_the_hubs_words(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame,
                                size_t *len)
{
    (void)frame;
    (void)len;
    return from != NET_HUB(net) || to == NET_OPERATOR(net);
}

static void what_is_sequenced_is_fetched_from_a_peer(void **state)
{
    struct chain *c = *state;
    c->net->tap = lose_the_hubs_words;
    uint64_t before = net_index(c->b);
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_REVOKE, &c->logger));
    net_run(c->net, 3);
    assert_int_equal(net_index(NET_OPERATOR(c->net)), before + 1);
    assert_int_equal(net_index(c->b), before + 1);
    assert_false(knows(c->b, &c->logger));
}

static void what_is_sequenced_is_told_no_more(void **state)
{
    struct chain *c = *state;
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_REVOKE, &c->logger));
    net_run(c->net, 5);
    uint32_t told = c->s->frames_sent;
    for (int i = 0; i < 5; i++) {
        replica_link(c->s->replica, &c->broker.id, false, c->net->now);
        replica_link(c->s->replica, &c->broker.id, true, c->net->now);
    }
    assert_int_equal(c->s->frames_sent, told);
}

/* Each node tells each of its peers once, but the one that it heard it from. */
static void a_take_away_is_told_once_over_each_session(void **state)
{
    struct chain *c = *state;
    NET_HUB(c->net)->on = false;
    net_run(c->net, 6);
    uint32_t of_sensor = c->s->frames_sent, of_broker = c->b->frames_sent, of_logger = c->l->frames_sent;
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_REVOKE, &c->logger));
    net_run(c->net, 4);
    assert_int_equal(c->s->frames_sent - of_sensor, 1);
    assert_in_range(c->b->frames_sent - of_broker, 1, 1); /* to the one that it is about */
    assert_int_equal(c->l->frames_sent - of_logger, 0);
}

static void send_statement(struct chain *c, struct net_node *to, const struct net_invite *from,
                           const struct net_bytes *submission)
{
    struct frame frame = {.kind = FRAME_STATEMENT,
                          .statement = {.total = submission->len, .bytes = {submission->bytes, submission->len}}};
    assert_int_equal(crypto_sha256(c->net->c, frame.statement.hash, submission->bytes, submission->len), 0);
    net_send(to, &from->id, &frame);
}

/* A member repeats what was lifted, and what it made up: neither counts, and only some are looked at in a second. */
static void a_hostile_member_floods_in_vain(void **state)
{
    struct chain *c = *state;
    struct replica_counters before, after;
    replica_read_counters(c->b->replica, &before);
    for (int i = 0; i < 100; i++) {
        struct net_bytes forged = net_about(c->net, STATEMENT_REVOKE, &c->sensor);
        forged.bytes[forged.len - 10] ^= 1; /* in the signature */
        send_statement(c, c->b, &c->logger, &forged);
        free(forged.bytes);
    }
    replica_read_counters(c->b->replica, &after);
    assert_in_range(after.voids - before.voids, 1, 16);
    assert_int_equal(after.voids - before.voids + after.limited - before.limited, 100);
    assert_true(knows(c->b, &c->sensor));
    assert_int_equal(c->b->take_aways.count, 0);
    /* Another one's is looked at meanwhile. */
    struct net_bytes real = net_about(c->net, STATEMENT_REVOKE, &c->logger);
    send_statement(c, c->b, &c->sensor, &real);
    free(real.bytes);
    assert_false(knows(c->b, &c->logger));
}

/* What the hub's node hears again is sent to the controller once. */
static void what_many_bring_is_passed_on_once(void **state)
{
    struct chain *c = *state;
    struct net_bytes revoke = net_about(c->net, STATEMENT_REVOKE, &c->logger);
    const struct net_invite *const bearers[] = {&c->sensor, &c->broker, &c->net->operator_invite};
    uint32_t sent[3];
    for (int i = 0; i < 3; i++) {
        uint32_t before = NET_HUB(c->net)->frames_sent;
        send_statement(c, NET_HUB(c->net), bearers[i], &revoke);
        sent[i] = NET_HUB(c->net)->frames_sent - before;
    }
    assert_true(sent[0] > 1); /* it spreads, and goes to the controller */
    assert_int_equal(sent[1] + sent[2], 0);
    free(revoke.bytes);
    net_run(c->net, 2);
    assert_int_equal(fold_device_by_id(replica_fold(NET_HUB(c->net)->replica), &c->logger.id)->state, DEVICE_REVOKED);
}

static void what_was_lifted_is_not_said_again(void **state)
{
    struct chain *c = *state;
    struct net_bytes isolate = net_about(c->net, STATEMENT_ISOLATE, &c->logger);
    struct net_bytes kept = {malloc(isolate.len), isolate.len, 0, 0};
    memcpy(kept.bytes, isolate.bytes, isolate.len);
    net_submit(NET_OPERATOR(c->net), isolate);
    net_run(c->net, 3);
    assert_false(knows(c->b, &c->logger));
    net_submit(NET_OPERATOR(c->net), net_give_back(c->net, &c->logger));
    net_run(c->net, 10);
    assert_true(knows(c->b, &c->logger));
    send_statement(c, c->b, &c->sensor, &kept);
    net_run(c->net, 3);
    assert_true(knows(c->b, &c->logger));
    free(kept.bytes);
}

static void a_restore_waits_for_the_isolation_that_it_lifts(void **state)
{
    struct chain *c = *state;
    uint8_t isolation[SHA256_SIZE];
    c->net->sequencer_off = true;
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_ISOLATE, &c->logger));
    memcpy(isolation, c->net->last_about, sizeof(isolation));
    net_submit(NET_OPERATOR(c->net), net_restore(c->net, isolation));
    net_run(c->net, 12);
    assert_false(knows(c->b, &c->logger)); /* granting needs its place */
    c->net->sequencer_off = false;
    net_run(c->net, 15);
    assert_true(knows(c->b, &c->logger));
    assert_false(replica_has_submissions(NET_OPERATOR(c->net)->replica));
    for (uint32_t i = 0; i < NET_OPERATOR(c->net)->outcome_count; i++)
        assert_int_equal(NET_OPERATOR(c->net)->outcomes[i].verdict, VERDICT_STANDS);
}

static void a_revoke_wins_over_a_restore(void **state)
{
    struct chain *c = *state;
    uint8_t isolation[SHA256_SIZE];
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_ISOLATE, &c->logger));
    memcpy(isolation, c->net->last_about, sizeof(isolation));
    net_run(c->net, 3);
    net_submit(NET_OPERATOR(c->net), net_restore(c->net, isolation));
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_REVOKE, &c->logger));
    net_run(c->net, 10);
    assert_false(knows(c->b, &c->logger));
    net_restart(c->b);
    net_run(c->net, 3);
    assert_false(knows(c->b, &c->logger));
    assert_int_equal(fold_device_by_id(replica_fold(c->b->replica), &c->logger.id)->state, DEVICE_REVOKED);
}

static void an_isolation_behind_a_restore_holds(void **state)
{
    struct chain *c = *state;
    uint8_t isolation[SHA256_SIZE];
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_ISOLATE, &c->logger));
    memcpy(isolation, c->net->last_about, sizeof(isolation));
    net_run(c->net, 3);
    net_submit(NET_OPERATOR(c->net), net_restore(c->net, isolation));
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_ISOLATE, &c->logger));
    net_run(c->net, 10);
    assert_false(knows(c->b, &c->logger));
    net_submit(NET_OPERATOR(c->net), net_give_back(c->net, &c->logger));
    net_run(c->net, 10);
    assert_true(knows(c->b, &c->logger));
}

/* What is handed in goes to relays that are there. */
static void a_revoked_relay_is_no_upstream(void **state)
{
    struct chain *c = *state;
    struct net_invite other = {.name = "relay-2", .number = 26, .relay = true};
    (void)net_member(c->net, &other, 27);
    net_run(c->net, 3);
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_REVOKE, &other));
    net_run(c->net, 3);
    uint32_t outcomes = NET_OPERATOR(c->net)->outcome_count;
    for (uint8_t i = 0; i < 4; i++) {
        struct net_invite pump = {.name = "pump-1", .number = (uint8_t)(30 + i)};
        net_invite(c->net, &pump);
        net_run(c->net, 2);
        assert_int_equal(NET_OPERATOR(c->net)->outcome_count, outcomes + 1u + i);
        if (i == 0) /* the others want a name that is taken: a no comes as fast */
            assert_int_equal(NET_OPERATOR(c->net)->outcomes[outcomes].verdict, VERDICT_STANDS);
    }
}

static void an_uninvited_ticket_is_good_for_nothing_before_it_is_sequenced(void **state)
{
    struct chain *c = *state;
    struct net_invite pump = {.name = "pump-1", .number = 28};
    net_invite(c->net, &pump);
    net_run(c->net, 2);
    struct device_id key = replica_invite_id(&pump.id);
    assert_non_null(net_published(NET_HUB(c->net), &key));
    c->net->sequencer_off = true;
    net_submit(NET_OPERATOR(c->net), net_about(c->net, STATEMENT_UNINVITE, &pump));
    net_run(c->net, 1);
    assert_null(net_published(NET_HUB(c->net), &key));
    const struct fold *fold = replica_fold(NET_HUB(c->net)->replica);
    assert_int_equal(fold_device_state(fold, fold_device_by_id(fold, &pump.id)), DEVICE_UNINVITED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_world_is_a_chain),
        TEST(a_revoke_goes_from_peer_to_peer_without_controller_and_relay),
        TEST(who_comes_back_later_hears_of_it_from_a_peer),
        TEST(what_is_sequenced_is_fetched_from_a_peer),
        TEST(what_is_sequenced_is_told_no_more),
        TEST(a_take_away_is_told_once_over_each_session),
        TEST(a_hostile_member_floods_in_vain),
        TEST(what_many_bring_is_passed_on_once),
        TEST(what_was_lifted_is_not_said_again),
        TEST(a_restore_waits_for_the_isolation_that_it_lifts),
        TEST(a_revoke_wins_over_a_restore),
        TEST(an_isolation_behind_a_restore_holds),
        TEST(a_revoked_relay_is_no_upstream),
        TEST(an_uninvited_ticket_is_good_for_nothing_before_it_is_sequenced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
