/* Random lives of a network under loss, restarts and outages: once it is left in peace, all nodes are of one mind, and
 * each publishes what a simple model of the same events says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "network.h"

#define DEVICES 7

/* What the test did, and so what must be. */
struct model {
    struct net *net;
    uint64_t random;
    struct net_invite invites[DEVICES];
    struct net_node *nodes[DEVICES]; /* NULL: not invited yet */
    bool revoked[DEVICES], up[DEVICES];
    uint32_t count;
    struct net_rule rules[3];
    uint32_t rule_count;
};

static uint32_t draw(struct model *m, uint32_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (uint32_t)(m->random >> 11) % below;
}

static bool all_handed_in(const struct model *m)
{
    return !replica_has_submissions(NET_OPERATOR(m->net)->replica);
}

static void add_device(struct model *m)
{
    static const char *const names[DEVICES] = {"a", "b", "c", "d", "e", "f", "g"};
    uint32_t i = m->count;
    if (i == DEVICES || !all_handed_in(m))
        return;
    m->invites[i] = (struct net_invite){.name = names[i],
                                        .number = (uint8_t)(20 + i),
                                        .groups = NET_SENSORS << draw(m, 3),
                                        .relay = draw(m, 5) == 0,
                                        .join_before = 100000};
    net_invite(m->net, &m->invites[i]);
    for (int tries = 0; tries < 60 && !all_handed_in(m); tries++)
        net_run(m->net, 1);
    if (!all_handed_in(m) || !NET_HUB(m->net)->on)
        return;
    m->nodes[i] = net_join(m->net, &m->invites[i], (uint8_t)(30 + i));
    m->count++;
}

/* A join that did not end well is tried again by people: here, once the device is needed. */
static void look_at_joins(struct model *m)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (!m->up[i] && m->nodes[i]->joined_called && m->nodes[i]->joined == VERDICT_STANDS && !m->nodes[i]->reason) {
            net_restart(m->nodes[i]);
            m->up[i] = true;
        }
}

static void revoke(struct model *m)
{
    uint32_t i = m->count ? draw(m, m->count) : 0;
    if (m->count < 4 || m->revoked[i] || !m->up[i])
        return;
    m->revoked[i] = true;
    net_submit(NET_OPERATOR(m->net), net_about(m->net, STATEMENT_REVOKE, &m->invites[i]));
}

static void change_policy(struct model *m)
{
    if (!all_handed_in(m))
        return; /* a policy is written against the latest */
    m->rule_count = draw(m, 4);
    for (uint32_t i = 0; i < m->rule_count; i++)
        m->rules[i] = (struct net_rule){NET_SENSORS << draw(m, 3), NET_SENSORS << draw(m, 3), (uint16_t)(1000 + i)};
    net_submit(NET_OPERATOR(m->net), net_policy(m->net, m->rules, m->rule_count));
}

static void restart_one(struct model *m)
{
    uint32_t i = draw(m, m->count + 2);
    struct net_node *n = i < 2 ? &m->net->nodes[i] : m->up[i - 2] ? m->nodes[i - 2] : NULL;
    if (n && n->on)
        net_restart(n);
}

static void trouble(struct model *m)
{
    m->net->loss = draw(m, 4) * 10;
    m->net->sequencer_off = draw(m, 4) == 0;
}

static void live(struct model *m)
{
    static void (*const events[])(struct model *) = {add_device,    add_device,  revoke,
                                                     change_policy, restart_one, trouble};
    events[draw(m, sizeof(events) / sizeof(events[0]))](m);
    net_run(m->net, 1 + draw(m, 5));
    look_at_joins(m);
}

static uint32_t ports(const struct model *m, uint32_t from, uint32_t to)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->rule_count; i++)
        count += (m->rules[i].from & from) && (m->rules[i].to & to);
    return count;
}

static void check_pair(const struct model *m, uint32_t i, uint32_t j)
{
    const struct net_invite *a = &m->invites[i], *b = &m->invites[j];
    const struct replica_device *d = net_published(m->nodes[i], &b->id);
    uint32_t out = ports(m, a->groups, b->groups), in = ports(m, b->groups, a->groups);
    bool must = m->up[j] && !m->revoked[j] && (out || in || a->relay || b->relay);
    if ((d != NULL) != must)
        print_error("seed life: %s about %s: up %d revoked %d out %u in %u\n", a->name, b->name, m->up[j],
                    m->revoked[j], out, in);
    assert_int_equal(d != NULL, must);
    if (!d)
        return;
    assert_int_equal(d->out_count > 0, out > 0);
    assert_int_equal(d->in_count > 0, in > 0);
}

static void check(const struct model *m)
{
    uint8_t expected[SHA256_SIZE], root[SHA256_SIZE];
    fold_root(replica_fold(NET_HUB(m->net)->replica), expected);
    fold_root(replica_fold(NET_OPERATOR(m->net)->replica), root);
    assert_memory_equal(root, expected, SHA256_SIZE);
    for (uint32_t i = 0; i < m->count; i++) {
        if (!m->up[i] || m->revoked[i])
            continue;
        fold_root(replica_fold(m->nodes[i]->replica), root);
        assert_memory_equal(root, expected, SHA256_SIZE);
        assert_true(m->nodes[i]->self.member);
        assert_int_equal(m->nodes[i]->self.relay, m->invites[i].relay);
        for (uint32_t j = 0; j < m->count; j++)
            if (i != j)
                check_pair(m, i, j);
    }
}

static void any_life_ends_in_one_mind(void **state)
{
    (void)state;
    /* 34: a relay was asked for openings that it did not have yet itself. */
    static const uint64_t seeds[] = {1, 2, 3, 4, 5, 6, 7, 8, 34};
    for (size_t s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
        struct model m = {.net = net_new(), .random = seeds[s] * 0x9e3779b97f4a7c15u};
        net_run(m.net, 3);
        for (int i = 0; i < 40; i++)
            live(&m);
        m.net->loss = 0;
        m.net->sequencer_off = false;
        net_run(m.net, 70);
        look_at_joins(&m);
        net_run(m.net, 100);
        assert_true(all_handed_in(&m));
        check(&m);
        net_free(m.net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_life_ends_in_one_mind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
