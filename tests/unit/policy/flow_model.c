/* Random packets against a model that is a list, which nothing ever leaves but what is looked at and found dead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "packets.h"
#include "wire/message.h"

#define MODEL_MAX 8192u
#define PORTS 2u
#define PEERS 2u

/* A seed's own sequence (xorshift64), so that a failure comes again. */
static uint64_t dice;

static int draw(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (int)(dice >> 33);
}

struct record {
    struct wish key; /* flags and direction unused */
    uint64_t peer, version, until;
    bool ours_began, ours_fin, theirs_fin, over;
};

struct model {
    struct record records[MODEL_MAX];
    uint32_t count;
};

static bool holds(const struct grant *grants, uint32_t count, uint8_t protocol, uint16_t port)
{
    for (uint32_t i = 0; i < count; i++)
        if (grants[i].protocol == protocol && port >= grants[i].low && port <= grants[i].high)
            return true;
    return false;
}

static bool permitted(const struct peer_grants *g, const struct wish *w, bool ours)
{
    uint16_t port = w->protocol == GRANT_ICMP ? 0 : ours ? w->theirs : w->ours;
    return ours ? holds(g->out, g->out_count, w->protocol, port) : holds(g->in, g->in_count, w->protocol, port);
}

static bool same(const struct record *r, const struct wish *w, uint64_t peer)
{
    return r->peer == peer && r->key.version == w->version && r->key.protocol == w->protocol &&
           r->key.host == w->host && r->key.ours == w->ours && r->key.theirs == w->theirs;
}

static struct record *look_up(struct model *m, const struct wish *w, uint64_t peer, uint64_t now)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (same(&m->records[i], w, peer) && now < m->records[i].until)
            return &m->records[i];
    return NULL;
}

static void touch(struct record *r, const struct wish *w, uint64_t now)
{
    if (r->over)
        return;
    uint64_t idle = w->protocol == GRANT_TCP ? 7200 : w->protocol == GRANT_UDP ? 180 : 30;
    if (w->outgoing)
        r->ours_fin |= w->flags & FIN;
    else
        r->theirs_fin |= w->flags & FIN;
    r->over = (w->flags & RST) || (r->ours_fin && r->theirs_fin);
    r->until = now + (r->over ? 60 : idle) * SECOND;
}

static enum flow_verdict model_judge(struct model *m, const struct peer_grants *g, uint64_t peer, const struct wish *w,
                                     uint64_t now)
{
    struct record *r = look_up(m, w, peer, now);
    bool anew = r && r->over && (w->flags & SYN) && !(w->flags & ACK);
    if (r && !anew && r->version != g->version) {
        if (permitted(g, w, r->ours_began))
            r->version = g->version;
        else
            r->until = 0, r = NULL;
    }
    if (r && !anew)
        return touch(r, w, now), FLOW_PASS;
    if (w->reply || !permitted(g, w, w->outgoing))
        return FLOW_REFUSED;
    if (w->flags & RST)
        return FLOW_PASS;
    if (r)
        r->until = 0;
    assert_true(m->count < MODEL_MAX);
    r = &m->records[m->count++];
    *r = (struct record){.key = *w, .peer = peer, .version = g->version, .ours_began = w->outgoing};
    touch(r, w, now);
    return FLOW_PASS;
}

static uint32_t model_count(const struct model *m, uint64_t peer, uint64_t now)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->count; i++)
        count += m->records[i].peer == peer && now < m->records[i].until;
    return count;
}

static uint32_t draw_grants(struct grant out[GRANTS_MAX])
{
    static const uint8_t protocols[] = {GRANT_ICMP, GRANT_TCP, GRANT_UDP};
    uint32_t count = 0;
    for (int i = 0; i < 4; i++) {
        struct grant g = {.protocol = protocols[draw() % 3]};
        if (g.protocol != GRANT_ICMP) {
            g.low = (uint16_t)(draw() % PORTS);
            g.high = (uint16_t)(g.low + draw() % 2);
        }
        grants_add(out, &count, GRANTS_MAX, &g);
    }
    return count;
}

static struct wish draw_wish(uint64_t peer)
{
    static const uint8_t protocols[] = {GRANT_ICMP, GRANT_TCP, GRANT_TCP, GRANT_UDP};
    static const uint8_t flags[] = {0, ACK, ACK, SYN, SYN | ACK, FIN | ACK, RST};
    struct wish w = {.version = draw() % 2 ? 4 : 6,
                     .protocol = protocols[draw() % 4],
                     .host = (uint8_t)(2 + peer),
                     .outgoing = draw() % 2,
                     .ours = (uint16_t)(draw() % PORTS),
                     .theirs = (uint16_t)(draw() % PORTS)};
    if (w.protocol == GRANT_TCP)
        w.flags = flags[draw() % 7];
    if (w.protocol != GRANT_ICMP)
        return w;
    w.reply = draw() % 2; /* the asker's identifier, and 0 */
    *(w.outgoing == w.reply ? &w.ours : &w.theirs) = 0;
    return w;
}

static uint64_t draw_pause(void)
{
    static const uint64_t pauses[] = {0, 0, 0, 1, 10, 29, 30, 59, 60, 179, 180, 1000, 7199};
    return pauses[draw() % 13] * SECOND + (uint64_t)(draw() % 3);
}

static void run(unsigned seed)
{
    static struct model model;
    struct grant out[PEERS][GRANTS_MAX], in[PEERS][GRANTS_MAX];
    struct peer_grants grants[PEERS] = {0};
    struct flow_table *table;
    uint64_t now = 1;
    dice = seed;
    model.count = 0;
    assert_int_equal(flow_table_new(&table, 4096, (const uint8_t[16]){(uint8_t)seed}), 0);
    for (int step = 0; step < 4000; step++) {
        uint64_t peer = (uint64_t)draw() % PEERS;
        struct peer_grants *g = &grants[peer];
        if (g->version == 0 || draw() % 40 == 0)
            *g = (struct peer_grants){.version = g->version + 1,
                                      .out = out[peer],
                                      .in = in[peer],
                                      .out_count = draw_grants(out[peer]),
                                      .in_count = draw_grants(in[peer])};
        now += draw() % 4 ? 0 : draw_pause();
        struct wish w = draw_wish(peer);
        struct made m = make_packet(&w);
        assert_int_equal(flow_judge(table, g, peer, w.outgoing, m.bytes, m.len, now),
                         model_judge(&model, g, peer, &w, now));
        if (step % 100 == 0)
            assert_int_equal(flow_count(table, peer, now), model_count(&model, peer, now));
    }
    flow_table_free(table);
}

static void every_packet_is_judged_as_the_model_judges_it(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 40; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_packet_is_judged_as_the_model_judges_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
