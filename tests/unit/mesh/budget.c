/* What may be sent to places that nobody answered from, and the mesh that a lying relay aims. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
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
        let += budget_take(&b, &to, 1, false, at * SECOND / 100);
    }
    assert_int_equal(let, 12);
    assert_false(budget_take(&b, &to, 1, false, 29 * SECOND));
    assert_false(budget_take(&b, &to, 13, false, 40 * SECOND));
    assert_true(budget_take(&b, &to, 12, false, 40 * SECOND));
}

/* An offer's initiations go out later than they were taken. */
static void half_a_minute_counts_from_what_may_still_be_sent(void **state)
{
    (void)state;
    static struct budget b;
    struct underlay to = host(1, 1);
    assert_true(budget_take(&b, &to, 3, false, SECOND));
    budget_reserve(&b, &to, 12 * SECOND);
    assert_true(budget_take(&b, &to, 6, false, 2 * SECOND));
    assert_false(budget_take(&b, &to, 4, false, 41 * SECOND));
    assert_true(budget_take(&b, &to, 12, false, 42 * SECOND));
}

static void a_host_that_answered_gets_more_and_not_all(void **state)
{
    (void)state;
    static struct budget b;
    struct underlay to = host(1, 1), other = host(2, 1);
    assert_true(budget_take(&b, &to, 12, false, SECOND));
    assert_true(budget_take(&b, &other, 12, false, SECOND));
    budget_prove(&b, &to, SECOND);
    assert_false(budget_take(&b, &other, 1, false, 2 * SECOND));
    assert_true(budget_take(&b, &to, 228, false, 2 * SECOND));
    assert_false(budget_take(&b, &to, 1, false, 2 * SECOND));
}

static void more_hosts_than_there_is_room_for_get_nothing(void **state)
{
    (void)state;
    static struct budget b;
    uint32_t let = 0;
    for (uint32_t n = 0; n < 10000; n++) {
        struct underlay to = host(n, 1);
        let += budget_take(&b, &to, 1, false, SECOND);
    }
    assert_int_equal(let, BUDGET_HOSTS);
    struct underlay to = host(77777, 1);
    assert_true(budget_take(&b, &to, 1, false, SECOND + BUDGET_TIME));
}

static struct underlay host6(uint32_t n, uint32_t suffix)
{
    struct underlay u = {.address = {0x20, 1, 13}, .family = 6, .port = 1};
    put_be32(u.address + 4, n);
    put_be32(u.address + 12, suffix);
    return u;
}

static void all_of_a_64_is_one_host(void **state)
{
    (void)state;
    static struct budget b;
    uint32_t let = 0;
    for (uint32_t n = 0; n < 1000; n++) {
        struct underlay to = host6(1, n);
        let += budget_take(&b, &to, 1, false, SECOND);
    }
    assert_int_equal(let, BUDGET_UNPROVEN);
    struct underlay next = host6(2, 1), to = host6(1, 5000), other = host6(1, 6000);
    assert_true(budget_take(&b, &next, 1, false, SECOND));
    budget_prove(&b, &to, SECOND);
    assert_true(budget_take(&b, &other, 1, false, SECOND));
}

static void what_relays_name_leaves_room_for_what_peers_say(void **state)
{
    (void)state;
    static struct budget b;
    uint32_t let = 0;
    for (uint32_t n = 0; n < 1000; n++) {
        struct underlay to = host(n, 1);
        let += budget_take(&b, &to, 1, true, SECOND);
    }
    assert_int_equal(let, BUDGET_HEARSAY);
    struct underlay to = host(5000, 1), known = host(3, 9), late = host(6000, 1);
    assert_true(budget_take(&b, &to, 1, false, SECOND));
    assert_false(budget_take(&b, &late, 1, true, SECOND));
    assert_true(budget_take(&b, &known, 1, false, SECOND)); /* a peer says so, too: one that relays may fill is free */
    assert_true(budget_take(&b, &late, 1, true, SECOND));
    assert_true(budget_take(&b, &late, 1, true, SECOND + BUDGET_TIME));
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
        if (!budget_take(&b, &to, 1, false, now))
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
    uint32_t probes, initiations, told;
    bool answers; /* whether something comes back: nothing does */
};

static void on_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    struct recorder *r = context;
    struct frame f;
    (void)to;
    r->told += frame_decode(&f, frame, len) == 0 && f.kind == FRAME_CANDIDATES;
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

static void on_heard(void *context, const struct device_id *from, uint32_t session, uint64_t aeads, const uint8_t *gate)
{
    (void)context, (void)from, (void)session, (void)aeads, (void)gate;
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

static struct mesh *open_mesh(struct recorder *r, struct crypto **c, const struct device_id *relay, uint64_t now)
{
    const struct mesh_ops ops = {.send = on_send,
                                 .send_by = on_send_by,
                                 .candidates = on_candidates,
                                 .heard = on_heard,
                                 .direct = on_direct,
                                 .relayed = on_path,
                                 .forget = on_path,
                                 .connect = on_connect,
                                 .permit = on_permit,
                                 .learn = on_learn,
                                 .traffic = on_traffic,
                                 .link = on_link,
                                 .entropy = on_entropy,
                                 .context = r};
    struct mesh *m;
    struct device_id self = id_of(0);
    assert_int_equal(crypto_new(c, CRYPTO_BULK_OPENSSL), 0);
    assert_int_equal(mesh_new(&m, *c, &ops), 0);
    mesh_self(m, &self, false, false, now);
    struct mesh_device d = {
        .id = *relay, .flags = MESH_MEMBER | MESH_RELAY, .has_endpoint = true, .endpoint = host(5, 7)};
    assert_int_equal(mesh_device(m, &d, now), 0);
    mesh_link(m, relay, true, now);
    for (uint32_t n = 1; n <= PEERS; n++) {
        d = (struct mesh_device){.id = id_of(n), .flags = MESH_MEMBER};
        assert_int_equal(mesh_device(m, &d, now), 0);
        mesh_link(m, &d.id, n % 2 == 0, now);
    }
    return m;
}

static void say(struct mesh *m, const struct device_id *relay, const struct frame *f, uint64_t now)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(f, bytes, sizeof(bytes));
    if (len > 0)
        mesh_frame(m, relay, &(struct mesh_arrival){.session = 1}, bytes, (size_t)len, now);
}

/* Somebody asks for us who is at all these places, or, with number 0, started anew. */
static void tell(struct mesh *m, const struct device_id *relay, uint32_t asker, uint64_t number,
                 const struct underlay *places, uint32_t count, uint64_t now)
{
    uint8_t list[FRAME_CANDIDATES_SIZE];
    struct device_id id = id_of(asker);
    struct frame f = {.kind = FRAME_INTRODUCE,
                      .introduce = {.number = number, .stage = INTRODUCE_TELL, .has_device = true}};
    memcpy(f.introduce.device, id.bytes, sizeof(id.bytes));
    f.introduce.candidates = (struct frame_view){list, frame_candidates_put(places, count, list)};
    say(m, relay, &f, now);
}

/* About every peer, in every form, for minutes: the victim, at any port. */
static void a_victim_named_for_hundreds_of_peers_gets_a_constant_few(void **state)
{
    (void)state;
    struct recorder r = {.random = 1};
    struct crypto *c;
    uint64_t now = 1000 * SECOND;
    struct device_id relay = id_of(9999);
    struct mesh *m = open_mesh(&r, &c, &relay, now);
    for (uint32_t second = 0; second < 120; second++) {
        struct underlay victim[FRAME_CANDIDATES_MAX];
        for (uint16_t i = 0; i < FRAME_CANDIDATES_MAX; i++)
            victim[i] = host(1, (uint16_t)(1 + second * 8 + i));
        for (uint32_t n = 1; n <= PEERS; n++) {
            tell(m, &relay, n, n, victim, FRAME_CANDIDATES_MAX, now);
            tell(m, &relay, n, 0, victim, FRAME_CANDIDATES_MAX, now);
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

/* Each peer that may be reached directly is told where we are when that changes: not as often as a relay likes. */
static void a_relay_that_sees_us_elsewhere_all_the_time_stirs_little(void **state)
{
    (void)state;
    struct recorder r = {.random = 1};
    struct crypto *c;
    uint64_t now = 1000 * SECOND;
    struct device_id relay = id_of(9999);
    struct mesh *m = open_mesh(&r, &c, &relay, now);
    const struct underlay place = host(1, 1);
    for (uint32_t n = 1; n <= PEERS; n++)
        tell(m, &relay, n, n, &place, 1, now);
    r.told = 0;
    for (uint16_t i = 1; i <= 1000; i++) {
        uint8_t list[FRAME_CANDIDATES_SIZE];
        struct underlay here = host(9, i);
        struct frame f = {.kind = FRAME_HELLO, .hello = {.version_min = 1, .version_max = 1, .run = 1}};
        f.hello.observed = (struct frame_view){list, frame_candidates_put(&here, 1, list)};
        say(m, &relay, &f, now += SECOND / 1000);
    }
    assert_in_range(r.told, 1, 3 * PEERS);
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
        cmocka_unit_test(all_of_a_64_is_one_host),
        cmocka_unit_test(what_relays_name_leaves_room_for_what_peers_say),
        cmocka_unit_test(no_host_gets_more_than_twelve_in_any_half_minute),
        cmocka_unit_test(a_victim_named_for_hundreds_of_peers_gets_a_constant_few),
        cmocka_unit_test(a_relay_that_sees_us_elsewhere_all_the_time_stirs_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
