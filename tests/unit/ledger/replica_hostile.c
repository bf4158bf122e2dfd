/* Controllers, relays and members that lie. */
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

static struct net_entry entry_of(const struct net_invite *i)
{
    return (struct net_entry){i->statement, i->statement_len, i->opening, i->opening_len};
}

static void a_device_beyond_its_admitters_scope_is_absent(void **state)
{
    struct net *net = *state;
    struct net_invite good = {.name = "site-1", .number = 20, .scoped = true};
    struct net_invite bad = {.name = "pump-1", .number = 21, .scoped = true};
    struct net_fake fake;
    net_make_invite(net, &good);
    net_make_invite(net, &bad);
    const struct net_entry entries[] = {entry_of(&good), entry_of(&bad)};
    net_fake_begin(net, &fake, entries, 2, NULL);
    net_run(net, 5);
    const struct device_id good_id = replica_invite_id(&good.id), bad_id = replica_invite_id(&bad.id);
    for (int i = 0; i < 2; i++) {
        struct net_node *n = &net->nodes[i];
        assert_int_equal(net_index(n), 7);
        assert_true(net_has_problem(n, REPLICA_PROBLEM_DEVICE_OUT_OF_SCOPE));
    }
    assert_non_null(net_published(NET_HUB(net), &good_id));
    assert_null(net_published(NET_HUB(net), &bad_id));
    net_fake_end(net, &fake);
}

static void the_later_of_two_devices_with_one_name_or_address_is_absent(void **state)
{
    struct net *net = *state;
    struct net_invite first = {.name = "pump-1", .number = 20, .ipv4 = 9};
    struct net_invite same_name = {.name = "pump-1", .number = 21, .ipv4 = 10};
    struct net_invite same_address = {.name = "pump-2", .number = 22, .ipv4 = 9};
    struct net_fake fake;
    net_make_invite(net, &first);
    net_make_invite(net, &same_name);
    net_make_invite(net, &same_address);
    const struct net_entry entries[] = {entry_of(&first), entry_of(&same_name), entry_of(&same_address)};
    net_fake_begin(net, &fake, entries, 3, NULL);
    net_run(net, 5);
    struct net_node *hub = NET_HUB(net);
    struct device_id id = replica_invite_id(&first.id);
    assert_non_null(net_published(hub, &id));
    id = replica_invite_id(&same_name.id);
    assert_null(net_published(hub, &id));
    id = replica_invite_id(&same_address.id);
    assert_null(net_published(hub, &id));
    assert_true(net_has_problem(hub, REPLICA_PROBLEM_NAME_CLASH));
    net_fake_end(net, &fake);
    /* Once the first is gone, the name is free. */
    net_submit(NET_OPERATOR(net), net_about(net, STATEMENT_REVOKE, &first));
    net_run(net, 2);
    id = replica_invite_id(&same_name.id);
    assert_non_null(net_published(hub, &id));
}

static void bytes_that_are_no_statement_only_take_their_place(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "pump-1", .number = 20};
    struct net_fake fake;
    static const uint8_t junk[] = {0x80};
    net_make_invite(net, &invite);
    const struct net_entry entries[] = {{junk, sizeof(junk), NULL, 0}, entry_of(&invite)};
    net_fake_begin(net, &fake, entries, 2, NULL);
    net_run(net, 5);
    assert_int_equal(net_index(NET_OPERATOR(net)), 7);
    const struct device_id id = replica_invite_id(&invite.id);
    assert_non_null(net_published(NET_HUB(net), &id));
    assert_true(net_has_problem(NET_HUB(net), REPLICA_PROBLEM_VOID_ENTRIES));
    assert_true(net_has_problem(NET_OPERATOR(net), REPLICA_PROBLEM_VOID_ENTRIES));
    net_restart(NET_HUB(net));
    assert_false(net_has_problem(NET_HUB(net), REPLICA_PROBLEM_VOID_ENTRIES));
    assert_int_equal(net_index(NET_HUB(net)), 7);
    net_fake_end(net, &fake);
}

static void another_root(struct signed_head *head)
{
    head->fold_root[0] ^= 1;
}

static void a_signed_state_that_does_not_follow_stops_the_replica(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "pump-1", .number = 20};
    struct net_fake fake;
    net_make_invite(net, &invite);
    const struct net_entry entries[] = {entry_of(&invite)};
    net_fake_begin(net, &fake, entries, 1, another_root);
    net_run(net, 5);
    struct net_node *hub = NET_HUB(net);
    assert_int_equal(net_index(hub), 5);
    assert_true(net_has_problem(hub, REPLICA_PROBLEM_FOLD_MISMATCH));
    const struct device_id id = replica_invite_id(&invite.id);
    assert_null(net_published(hub, &id));
    assert_true(hub->self.member);
    net_fake_end(net, &fake);
}

static void other_hash(struct signed_head *head)
{
    head->head.hash[0] ^= 1;
}

static void entries_that_the_head_does_not_cover_are_not_taken(void **state)
{
    struct net *net = *state;
    struct net_invite invite = {.name = "pump-1", .number = 20};
    struct net_fake fake;
    net_make_invite(net, &invite);
    const struct net_entry entries[] = {entry_of(&invite)};
    net_fake_begin(net, &fake, entries, 1, other_hash);
    net_run(net, 5);
    assert_int_equal(net_index(NET_HUB(net)), 5);
    assert_true(net_has_problem(NET_HUB(net), REPLICA_PROBLEM_BAD_SERVER));
    struct replica_counters counters;
    replica_read_counters(NET_HUB(net)->replica, &counters);
    assert_true(counters.bad_parts > 0);
    net_fake_end(net, &fake);
}

static void two_heads_at_one_place_are_evidence(void **state)
{
    struct net *net = *state;
    struct net_node *operator_node = NET_OPERATOR(net);
    struct signed_head head = *replica_signed_head(operator_node->replica);
    uint8_t bytes[SIGNED_HEAD_SIZE];
    head.head.hash[7] ^= 1;
    net_sign(net, &head, bytes);
    struct frame notice = {.kind = FRAME_NOTICE, .notice = {{bytes, sizeof(bytes)}}};
    net_send(operator_node, &net->hub_invite.id, &notice);
    assert_int_equal(operator_node->evidence, 1);
    assert_true(net_has_problem(operator_node, REPLICA_PROBLEM_LEDGER_SPLIT));
    assert_int_equal(net_index(operator_node), 5);
}

static void a_longer_history_that_parted_earlier_is_evidence(void **state)
{
    struct net *net = *state;
    struct net_invite shown = {.name = "pump-1", .number = 20}, hidden = {.name = "pump-2", .number = 21};
    struct net_invite third = {.name = "pump-3", .number = 22};
    struct net_node *operator_node = NET_OPERATOR(net), *hub = NET_HUB(net);
    struct net_fake fake, other;
    /* The operator's node is told of one entry, ... */
    net_make_invite(net, &shown);
    net_make_invite(net, &hidden);
    net_make_invite(net, &third);
    const struct net_entry one[] = {entry_of(&shown)};
    net_fake_begin(net, &fake, one, 1, NULL);
    net_run(net, 3);
    assert_int_equal(net_index(operator_node), 6);
    net_fake_end(net, &fake);
    /* ... the hub, put back, of two others. */
    operator_node->on = false;
    free(hub->entries.items[--hub->entries.count].bytes);
    hub->head.len = 0;
    net_restart(hub);
    assert_int_equal(net_index(hub), 5);
    const struct net_entry two[] = {entry_of(&hidden), entry_of(&third)};
    net_fake_begin(net, &other, two, 2, NULL);
    net_run(net, 3);
    assert_int_equal(net_index(hub), 7);
    net_fake_end(net, &other);
    operator_node->on = true;
    net_run(net, 5);
    assert_int_equal(operator_node->evidence, 1);
    assert_int_equal(net_index(operator_node), 6);
    assert_true(net_has_problem(operator_node, REPLICA_PROBLEM_LEDGER_SPLIT));
}

static void a_head_by_another_key_says_nothing(void **state)
{
    struct net *net = *state;
    struct net_node *operator_node = NET_OPERATOR(net);
    struct signed_head head = *replica_signed_head(operator_node->replica);
    uint8_t bytes[SIGNED_HEAD_SIZE], seed[32] = {77};
    head.head.index += 5;
    head.head.hash[0] ^= 1;
    assert_int_equal(signed_head_sign(net->c, &head, &net->network, seed), 0);
    signed_head_encode(&head, bytes);
    uint32_t sent = operator_node->frames_sent;
    struct frame notice = {.kind = FRAME_NOTICE, .notice = {{bytes, sizeof(bytes)}}};
    net_send(operator_node, &net->hub_invite.id, &notice);
    assert_int_equal(operator_node->frames_sent, sent);
    assert_int_equal(operator_node->evidence, 0);
    bytes[100] ^= 1; /* nor does one whose signature does not hold */
    net_send(operator_node, &net->hub_invite.id, &notice);
    assert_int_equal(operator_node->frames_sent, sent);
}

/* A tap: the hub alters what it serves. */
static bool alter_parts(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame, size_t *len)
{
    (void)to;
    struct frame f;
    if (from == NET_HUB(net) && frame_decode(&f, frame, *len) == 0 && f.kind == FRAME_PART)
        frame[*len - 20] ^= 1;
    return true;
}

static void a_relay_that_alters_what_it_serves_changes_nothing(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20}, other = {.name = "sensor-2", .number = 21};
    struct net_node *s = net_member(net, &sensor, 30);
    uint64_t index = net_index(s);
    uint32_t openings = s->openings.count;
    net->tap = alter_parts;
    net_invite(net, &other);
    net_run(net, 10);
    assert_true(net_index(s) == index);
    assert_true(s->openings.count == openings);
    assert_true(s->self.member);
    net->tap = NULL;
    net_run(net, 70); /* the next head */
    assert_true(net_index(s) == index + 1);
}

static void noise_from_a_member_is_counted_and_dropped(void **state)
{
    struct net *net = *state;
    struct net_invite sensor = {.name = "sensor-1", .number = 20};
    (void)net_member(net, &sensor, 30);
    struct net_node *hub = NET_HUB(net);
    uint64_t random = 88172645463325252u;
    uint8_t bytes[FRAME_MAX];
    for (int i = 0; i < 20000; i++) {
        for (size_t j = 0; j < 64; j++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[j] = (uint8_t)random;
        }
        bytes[0] = (uint8_t)(random % 14);
        replica_frame(hub->replica, &sensor.id, false, bytes, 1 + random % 64, net->now + (uint64_t)i * 1000000);
    }
    assert_int_equal(net_index(hub), net_index(NET_OPERATOR(net)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_device_beyond_its_admitters_scope_is_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(the_later_of_two_devices_with_one_name_or_address_is_absent, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_that_are_no_statement_only_take_their_place, setup, teardown),
        cmocka_unit_test_setup_teardown(a_signed_state_that_does_not_follow_stops_the_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(entries_that_the_head_does_not_cover_are_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(two_heads_at_one_place_are_evidence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_longer_history_that_parted_earlier_is_evidence, setup, teardown),
        cmocka_unit_test_setup_teardown(a_head_by_another_key_says_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relay_that_alters_what_it_serves_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(noise_from_a_member_is_counted_and_dropped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
