#include "nodes_world.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include "../random.h"
#include "base/bytes.h"

/* ---- What the engine asks ---- */

void run_step(struct node *n, struct static_step *step)
{
    static_step_run(step, n->crypto, step->local == 0 ? n->private_key : n->second_private_key);
}

static bool begin_step(void *context, const struct static_step *step)
{
    struct node *n = context;
    assert_true(n->held < STEPS_MAX);
    n->steps[n->held++] = *step;
    return true;
}

static void take_frame(void *context, peer_id from, const struct engine_arrival *by, const uint8_t *bytes, size_t len)
{
    struct node *n = context;
    n->last_by = *by;
    assert_true(len <= sizeof(n->last));
    n->frames++;
    n->last_from = from;
    n->last_len = len;
    n->spoiled |= n->holds && !n->holds(bytes, len);
    memcpy(n->last, bytes, len);
}

static void take_spoke(void *context, peer_id peer, const struct endpoint *from)
{
    struct node *n = context;
    n->spoke++;
    n->last_spoke = peer;
    n->spoke_from = *from;
}

static void take_local(void *context, const struct endpoint *list, uint32_t count)
{
    struct node *n = context;
    assert_in_range(count, 0, 8);
    memcpy(n->local, list, count * sizeof(*list));
    n->local_count = count;
    n->local_told++;
}

static void take_wanted(void *context, peer_id peer, const uint8_t *address, size_t len)
{
    struct node *n = context;
    (void)address;
    (void)len;
    n->wanted++;
    n->last_wanted = peer;
}

static void take_link(void *context, peer_id peer, bool up)
{
    struct node *n = context;
    n->links_up += up;
    n->links_down += !up;
    n->last_link = peer;
}

static void take_intruder(void *context, peer_id peer)
{
    struct node *n = context;
    (void)peer;
    n->intruders++;
}

/* ---- Life ---- */

static void make_key(struct node *n, uint8_t *private_key, uint8_t *public_key)
{
    for (int i = 0; i < X25519_SIZE; i++)
        private_key[i] = (uint8_t)(random_next(&n->random) >> 56);
    assert_int_equal(crypto_x25519_public(n->crypto, public_key, private_key), 0);
}

static void start(struct node *n)
{
    assert_int_equal(crypto_new(&n->crypto, CRYPTO_BULK_OPENSSL), 0);
    make_key(n, n->private_key, n->public_key);
    make_key(n, n->second_private_key, n->second_public_key);
    assert_int_equal(udp_open_sockets(0, n->fds, &n->port), 0);
    struct engine_options options = {.dark = true,
                                     .begin_step = begin_step,
                                     .frame = take_frame,
                                     .spoke = take_spoke,
                                     .local = take_local,
                                     .wanted = take_wanted,
                                     .link = take_link,
                                     .intruder = take_intruder,
                                     .adopt_udp = true,
                                     .udp4 = n->fds[0],
                                     .udp6 = n->fds[1],
                                     .context = n};
    assert_int_equal(engine_new(&n->engine, NULL, &options), 0);
    assert_int_equal(engine_port(n->engine), n->port);
    struct tunnel_actions actions;
    actions.count = 0;
    assert_int_equal(tunnel_set_public_key(engine_tunnel(n->engine), n->public_key, &actions), 0);
    engine_carry_out(n->engine, &actions);
}

static void add_peer(struct world *w, enum who whose, enum who whom)
{
    uint8_t name[8] = {'n', 'a', 'm', 'e', (uint8_t)whom};
    struct node *n = &w->nodes[whose];
    assert_int_equal(tunnel_peer_add(engine_tunnel(n->engine), w->nodes[whom].public_key, &n->peer[whom]), 0);
    assert_int_equal(engine_set_name(n->engine, n->peer[whom], name), 0);
}

int open_world(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    for (uint32_t i = 0; i < NODES; i++) {
        w->nodes[i].random = 1 + i;
        start(&w->nodes[i]);
    }
    for (int a = 0; a < NODES; a++)
        for (int b = 0; b < NODES; b++)
            if (a != b)
                add_peer(w, (enum who)a, (enum who)b);
    *state = w;
    return 0;
}

int close_world(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < NODES; i++) {
        struct node *n = &w->nodes[i];
        engine_free(n->engine);
        crypto_free(n->crypto);
        close(n->fds[0]);
        if (n->fds[1] >= 0)
            close(n->fds[1]);
    }
    free(w);
    return 0;
}

void turn(struct node *n)
{
    loop_wake(engine_loop(n->engine));
    assert_int_equal(engine_run_once(n->engine), 0);
    while (!n->hold_steps && n->held > 0) {
        struct static_step step = n->steps[--n->held];
        run_step(n, &step);
        engine_stepped(n->engine, &step);
    }
}

/* Until `*counter` has come to `count`. */
bool comes(struct world *w, const uint32_t *counter, uint32_t count, uint64_t patience)
{
    uint64_t deadline = loop_monotonic() + patience;
    while (*counter < count && loop_monotonic() < deadline) {
        for (int i = 0; i < NODES; i++)
            turn(&w->nodes[i]);
        usleep(500);
    }
    return *counter >= count;
}

void pass_time(struct world *w, uint64_t time)
{
    uint32_t never = 0;
    assert_false(comes(w, &never, 1, time));
}

struct endpoint at(const struct node *n)
{
    struct endpoint e = {.family = ENDPOINT_IPV4, .port = n->port};
    inet_pton(AF_INET, "127.0.0.1", e.address);
    return e;
}

void introduce(struct world *w, enum who who, enum who to)
{
    struct endpoint e = at(&w->nodes[to]);
    assert_int_equal(engine_set_direct(w->nodes[who].engine, w->nodes[who].peer[to], &e), 0);
}

void send_frame(struct world *w, enum who from, enum who to, uint8_t what, size_t len)
{
    uint8_t frame[FRAME_MAX] = {FRAME_PROBE, what};
    engine_send_frame(w->nodes[from].engine, w->nodes[from].peer[to], frame, len);
}

void send_bytes(struct world *w, enum who from, enum who to, const uint8_t *bytes, size_t len)
{
    engine_send_frame(w->nodes[from].engine, w->nodes[from].peer[to], bytes, len);
}

struct engine_counters counters(const struct world *w, enum who who)
{
    struct engine_counters c;
    engine_read_counters(w->nodes[who].engine, &c);
    return c;
}

/* Alice and Bob have sessions with the relay, which lets them talk, and are told so. */
void make_relayed_world(struct world *w)
{
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB], *relay = &w->nodes[RELAY];
    introduce(w, ALICE, RELAY);
    introduce(w, BOB, RELAY);
    engine_connect(alice->engine, alice->peer[RELAY]);
    engine_connect(bob->engine, bob->peer[RELAY]);
    assert_true(comes(w, &relay->links_up, 2, PATIENCE));
    assert_int_equal(engine_permit(relay->engine, relay->peer[ALICE], relay->peer[BOB], true), 0);
    assert_int_equal(engine_set_relayed(alice->engine, alice->peer[BOB], alice->peer[RELAY]), 0);
    assert_int_equal(engine_set_relay(bob->engine, bob->peer[RELAY], true), 0);
}
