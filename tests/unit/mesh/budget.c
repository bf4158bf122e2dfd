/* What may be sent to places that nobody answered from, and the mesh that a lying relay aims. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mesh/internal.h"

#include "../random.h"

#define PEERS 300u

static struct underlay host(uint32_t n, uint16_t port)
{
    struct underlay u = {.address = {45, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}, .family = 4};
    u.port = port;
    return u;
}

static void a_host_gets_twelve_until_it_was_left_alone_for_half_a_minute(void **state)
{
    (void)state;
    static struct budget b;
    struct underlay to = host(1, 1);
    uint32_t let = 0;
    for (uint64_t at = 1; at < 600; at++) {
        to.port = (uint16_t)at;
        let += budget_take(&b, &to, 1, at * SECOND / 100);
    }
    assert_int_equal(let, 12);
    assert_false(budget_take(&b, &to, 1, 29 * SECOND));
    assert_false(budget_take(&b, &to, 13, 40 * SECOND));
    assert_true(budget_take(&b, &to, 12, 40 * SECOND));
}

/* An offer's initiations go out later than they were taken. */
static void half_a_minute_counts_from_what_may_still_be_sent(void **state)
{
    (void)state;
    static struct budget b;
    struct underlay to = host(1, 1);
    assert_true(budget_take(&b, &to, 3, SECOND));
    budget_reserve(&b, &to, 12 * SECOND);
    assert_true(budget_take(&b, &to, 6, 2 * SECOND));
    assert_false(budget_take(&b, &to, 4, 41 * SECOND));
    assert_true(budget_take(&b, &to, 12, 42 * SECOND));
}

static void a_host_that_answered_gets_more_and_not_all(void **state)
{
    (void)state;
    static struct budget b;
    struct underlay to = host(1, 1), other = host(2, 1);
    assert_true(budget_take(&b, &to, 12, SECOND));
    assert_true(budget_take(&b, &other, 12, SECOND));
    budget_prove(&b, &to, SECOND);
    assert_false(budget_take(&b, &other, 1, 2 * SECOND));
    assert_true(budget_take(&b, &to, 228, 2 * SECOND));
    assert_false(budget_take(&b, &to, 1, 2 * SECOND));
}

static void more_hosts_than_there_is_room_for_get_nothing(void **state)
{
    (void)state;
    static struct budget b;
    uint32_t let = 0;
    for (uint32_t n = 0; n < 10000; n++) {
        struct underlay to = host(n, 1);
        let += budget_take(&b, &to, 1, SECOND);
    }
    assert_int_equal(let, BUDGET_HOSTS);
    struct underlay to = host(77777, 1);
    assert_true(budget_take(&b, &to, 1, SECOND + BUDGET_TIME));
}

/* The slow model: all times of all datagrams. */
static void no_host_gets_more_than_twelve_in_any_half_minute(void **state)
{
    (void)state;
    static struct budget b;
    static uint64_t times[8][4000];
    uint32_t counts[8] = {0};
    uint64_t random = 7, now = SECOND;
    for (uint32_t step = 0; step < 20000; step++) {
        now += (uint64_t)random_below(&random, 4000) * SECOND / 1000;
        uint32_t n = random_below(&random, 8);
        struct underlay to = host(n, (uint16_t)(1 + random_below(&random, 1000)));
        if (!budget_take(&b, &to, 1, now))
            continue;
        assert_true(counts[n] < 4000);
        times[n][counts[n]++] = now;
        if (counts[n] > 12)
            assert_true(now - times[n][counts[n] - 13] >= BUDGET_TIME);
    }
}

/* ---- A lying relay ---- */

struct recorder {
    uint64_t random;
    uint32_t probes, initiations;
    bool answers; /* whether something comes back: nothing does */
};

static void on_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    (void)context, (void)to, (void)frame, (void)len;
}

static void on_send_by(void *context, const struct device_id *to, const struct mesh_way *way, const uint8_t *frame,
                       size_t len)
{
    struct recorder *r = context;
    (void)to, (void)frame, (void)len;
    r->probes += way->kind == MESH_PATH_DIRECT;
}

/* As often as the tunnel may send it while the list stands. */
static void on_candidates(void *context, const struct device_id *to, const struct underlay *list, uint32_t count)
{
    struct recorder *r = context;
    (void)to, (void)list;
    r->initiations += 3 * count;
}

static void on_direct(void *context, const struct device_id *to, const struct underlay *endpoint)
{
    (void)context, (void)to, (void)endpoint;
}

static void on_path(void *context, const struct device_id *to, const struct device_id *relay)
{
    (void)context, (void)to, (void)relay;
}

static void on_connect(void *context, const struct device_id *to, uint16_t keepalive, bool anew)
{
    (void)context, (void)to, (void)keepalive, (void)anew;
}

static void on_permit(void *context, const struct device_id *a, const struct device_id *b, bool yes)
{
    (void)context, (void)a, (void)b, (void)yes;
}

static void on_learn(void *context, const struct device_id *from, struct frame_view opening, struct frame_view head)
{
    (void)context, (void)from, (void)opening, (void)head;
}

static void on_traffic(void *context, const struct device_id *id, uint64_t *sent, uint64_t *received)
{
    struct recorder *r = context;
    (void)id;
    r->random += 1000;
    *sent = r->random;
    *received = 0;
}

static void on_link(void *context, const struct device_id *device, bool up)
{
    (void)context, (void)device, (void)up;
}

static void on_entropy(void *context, uint8_t *out, size_t len)
{
    struct recorder *r = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(random_next(&r->random) >> 40);
}

static struct device_id id_of(uint32_t n)
{
    struct device_id id = {{1}};
    put_be32(id.bytes + 4, n);
    return id;
}

/* About every peer, in every form, for minutes: the victim, at any port. */
static void a_victim_named_for_hundreds_of_peers_gets_a_constant_few(void **state)
{
    (void)state;
    struct recorder r = {.random = 1};
    const struct mesh_ops ops = {.send = on_send,
                                 .send_by = on_send_by,
                                 .candidates = on_candidates,
                                 .direct = on_direct,
                                 .relayed = on_path,
                                 .forget = on_path,
                                 .connect = on_connect,
                                 .permit = on_permit,
                                 .learn = on_learn,
                                 .traffic = on_traffic,
                                 .link = on_link,
                                 .entropy = on_entropy,
                                 .context = &r};
    struct crypto *c;
    struct mesh *m;
    uint64_t now = 1000 * SECOND;
    struct device_id relay = id_of(9999);
    assert_int_equal(crypto_new(&c, CRYPTO_BULK_OPENSSL), 0);
    assert_int_equal(mesh_new(&m, c, &ops), 0);
    struct device_id self = id_of(0);
    mesh_self(m, &self, false, false, now);
    struct mesh_device d = {
        .id = relay, .flags = MESH_MEMBER | MESH_RELAY, .has_endpoint = true, .endpoint = host(5, 7)};
    assert_int_equal(mesh_device(m, &d, now), 0);
    mesh_link(m, &relay, true, now);
    for (uint32_t n = 1; n <= PEERS; n++) {
        d = (struct mesh_device){.id = id_of(n), .flags = MESH_MEMBER};
        assert_int_equal(mesh_device(m, &d, now), 0);
        mesh_link(m, &d.id, n % 2 == 0, now);
    }
    for (uint32_t second = 0; second < 120; second++) {
        for (uint32_t n = 1; n <= PEERS; n++) {
            struct underlay victim[FRAME_CANDIDATES_MAX];
            uint8_t list[FRAME_CANDIDATES_SIZE], bytes[FRAME_MAX];
            for (uint16_t i = 0; i < FRAME_CANDIDATES_MAX; i++)
                victim[i] = host(1, (uint16_t)(1 + second * 8 + i));
            struct frame f = {.kind = FRAME_INTRODUCE,
                              .introduce = {.number = n, .stage = INTRODUCE_TELL, .has_device = true}};
            struct device_id id = id_of(n);
            memcpy(f.introduce.device, id.bytes, sizeof(id.bytes));
            f.introduce.candidates =
                (struct frame_view){list, frame_candidates_put(victim, FRAME_CANDIDATES_MAX, list)};
            int len = frame_encode(&f, bytes, sizeof(bytes));
            mesh_frame(m, &relay, &(struct mesh_arrival){0}, bytes, (size_t)len, now);
            f.introduce.number = 0; /* it started anew: a handshake */
            len = frame_encode(&f, bytes, sizeof(bytes));
            if (len > 0)
                mesh_frame(m, &relay, &(struct mesh_arrival){0}, bytes, (size_t)len, now);
        }
        now += SECOND;
        mesh_timer(m, now);
    }
    struct mesh_counters counters;
    mesh_read_counters(m, &counters);
    assert_true(counters.limited > 0);
    assert_in_range(r.probes + r.initiations, 1, 4 * BUDGET_UNPROVEN + BUDGET_UNPROVEN);
    mesh_free(m);
    crypto_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_gets_twelve_until_it_was_left_alone_for_half_a_minute),
        cmocka_unit_test(half_a_minute_counts_from_what_may_still_be_sent),
        cmocka_unit_test(a_host_that_answered_gets_more_and_not_all),
        cmocka_unit_test(more_hosts_than_there_is_room_for_get_nothing),
        cmocka_unit_test(no_host_gets_more_than_twelve_in_any_half_minute),
        cmocka_unit_test(a_victim_named_for_hundreds_of_peers_gets_a_constant_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
