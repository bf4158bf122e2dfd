/* Whose handshakes an engine serves while strangers flood it: one engine, and messages made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/internal.h"
#include "tunnel/cookie.h"
#include "tunnel/gate.h"

#define PATIENCE (5 * SECOND)
#define STEPS_MAX 2048
#define PEERS 200

struct fixture {
    struct engine *engine;
    struct crypto *crypto;
    struct udp *stranger;
    uint8_t private_key[X25519_SIZE], public_key[X25519_SIZE];
    uint8_t gate[MESSAGE_COOKIE_SIZE];
    int fds[2];
    struct endpoint at;
    bool run_steps, lose_steps;
    uint32_t held, gated, ungated, own; /* steps that were begun */
    struct static_step steps[STEPS_MAX];
    uint32_t gates, persists, commits;
    bool disk_full;
};

/* ---- What the engine asks ---- */

static bool begin_step(void *context, const struct static_step *step)
{
    struct fixture *f = context;
    assert_true(f->held < STEPS_MAX);
    f->steps[f->held++] = *step;
    f->own += step->text_kind == STATIC_STEP_SEAL_TEXT;
    f->gated += step->text_kind == STATIC_STEP_OPEN_TEXT && step->gated;
    f->ungated += step->text_kind == STATIC_STEP_OPEN_TEXT && !step->gated;
    f->held -= f->lose_steps;
    return !f->lose_steps;
}

static void run_step(void *context, struct static_step *step)
{
    struct fixture *f = context;
    static_step_run(step, f->crypto, f->private_key);
}

static void take_gate(void *context, const uint8_t gate[MESSAGE_COOKIE_SIZE])
{
    struct fixture *f = context;
    f->gates++;
    memcpy(f->gate, gate, sizeof(f->gate));
}

static void persist(void *context, const uint8_t public_key[MESSAGE_KEY_SIZE],
                    const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE])
{
    (void)public_key;
    (void)timestamp;
    ((struct fixture *)context)->persists++;
}

static int commit(void *context)
{
    struct fixture *f = context;
    f->commits++;
    return f->disk_full ? ERROR_IO : 0;
}

/* ---- Life ---- */

static int open_with(void **state, bool at_once)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uint16_t port;
    assert_non_null(f);
    assert_int_equal(crypto_new(&f->crypto, CRYPTO_BULK_OPENSSL), 0);
    memset(f->private_key, 5, sizeof(f->private_key));
    assert_int_equal(crypto_x25519_public(f->crypto, f->public_key, f->private_key), 0);
    assert_int_equal(udp_open_sockets(0, f->fds, &port), 0);
    struct engine_options options = {.dark = true,
                                     .run_step = run_step,
                                     .begin_step = at_once ? NULL : begin_step,
                                     .gate = take_gate,
                                     .persist = persist,
                                     .commit = commit,
                                     .adopt_udp = true,
                                     .udp4 = f->fds[0],
                                     .udp6 = f->fds[1],
                                     .context = f};
    assert_int_equal(engine_new(&f->engine, NULL, &options), 0);
    struct tunnel_actions actions = {.count = 0};
    assert_int_equal(tunnel_set_public_key(engine_tunnel(f->engine), f->public_key, &actions), 0);
    engine_carry_out(f->engine, &actions);
    engine_gate(f->engine, f->gate);
    f->at = (struct endpoint){.family = ENDPOINT_IPV4, .address = {127, 0, 0, 1}, .port = port};
    assert_int_equal(udp_open(&f->stranger, &(struct udp_options){.port = 0}), 0);
    *state = f;
    return 0;
}

static int open_engine(void **state)
{
    return open_with(state, false);
}

/* The steps are run at once. */
static int open_alone(void **state)
{
    return open_with(state, true);
}

static int close_engine(void **state)
{
    struct fixture *f = *state;
    udp_close(f->stranger);
    engine_free(f->engine);
    crypto_free(f->crypto);
    close(f->fds[0]);
    if (f->fds[1] >= 0)
        close(f->fds[1]);
    free(f);
    return 0;
}

static void turn(struct fixture *f)
{
    loop_wake(engine_loop(f->engine));
    assert_int_equal(engine_run_once(f->engine), 0);
    while (f->run_steps && f->held > 0) {
        struct static_step step = f->steps[--f->held];
        static_step_run(&step, f->crypto, f->private_key);
        engine_stepped(f->engine, &step);
    }
}

static bool comes(struct fixture *f, const uint32_t *counter, uint32_t count, uint64_t patience)
{
    uint64_t deadline = loop_monotonic() + patience;
    while (*counter < count && loop_monotonic() < deadline) {
        turn(f);
        usleep(200);
    }
    return *counter >= count;
}

static void pass_time(struct fixture *f, uint64_t time)
{
    uint32_t never = 0;
    assert_false(comes(f, &never, 1, time));
}

/* ---- Messages ---- */

static struct message_initiation initiation(struct fixture *f, uint32_t number, bool gated)
{
    struct message_initiation m = {.type = put_le32(MESSAGE_INITIATION), .ephemeral = {9}};
    struct cookie_known none = {.until = 0};
    put_be32(m.ephemeral + 1, number);
    assert_int_equal(cookie_seal_message(&none, f->crypto, f->public_key, (uint8_t *)&m, sizeof(m), 0), 0);
    if (gated)
        assert_int_equal(gate_seal(f->crypto, f->gate, (uint8_t *)&m, sizeof(m)), 0);
    return m;
}

static void send_message(struct fixture *f, const void *message, uint32_t len)
{
    struct udp_outgoing outgoing = {.data = message, .len = len, .segment = len, .to = f->at};
    udp_send(f->stranger, &outgoing, 1);
}

static void send_initiation(struct fixture *f, uint32_t number, bool gated)
{
    struct message_initiation m = initiation(f, number, gated);
    send_message(f, &m, sizeof(m));
}

/* So many that what waits is full, and it is known. */
static void flood(struct fixture *f)
{
    for (uint32_t i = 0; i < 2 * MAILBOX_UNGATED_MAX; i++) {
        send_initiation(f, 1000000 + i, false);
        if (i % 64 == 63)
            pass_time(f, SECOND / 100);
    }
}

static uint64_t dropped(const struct fixture *f)
{
    struct engine_counters c;
    engine_read_counters(f->engine, &c);
    return c.handshake_dropped;
}

static void fill(void *context, uint8_t *out, size_t len)
{
    (void)context;
    assert_int_equal(getrandom(out, len, 0), (ssize_t)len);
}

/* An initiation of a peer of ours, by the byte that its private key repeats. */
static void send_peer_initiation(struct fixture *f, uint32_t peer)
{
    uint8_t private_key[X25519_SIZE], public_key[X25519_SIZE];
    struct tunnel *t;
    struct tunnel_actions actions = {.count = 0};
    struct tunnel_options options = {.dark = false, .entropy = {.fill = fill}};
    peer_id id, to;
    memset(private_key, 9, sizeof(private_key));
    put_be32(private_key, peer);
    assert_int_equal(crypto_x25519_public(f->crypto, public_key, private_key), 0);
    assert_int_equal(tunnel_peer_add(engine_tunnel(f->engine), public_key, &id), 0);
    assert_int_equal(tunnel_new(&t, &options), 0);
    assert_int_equal(tunnel_set_public_key(t, public_key, &actions), 0);
    assert_int_equal(tunnel_peer_add(t, f->public_key, &to), 0);
    tunnel_peer_set_gate(t, to, f->gate);
    assert_int_equal(tunnel_peer_set_endpoint(t, to, &f->at, &actions), 0);
    actions.count = 0;
    tunnel_step(t, &(struct tunnel_event){.kind = TUNNEL_EVENT_UP}, engine_now(), &actions);
    tunnel_peer_connect(t, to, engine_now(), &actions);
    assert_int_equal(actions.count, 1);
    struct static_step step = actions.list[0].static_step;
    static_step_run(&step, f->crypto, private_key);
    actions.count = 0;
    tunnel_step(t, &(struct tunnel_event){.kind = TUNNEL_EVENT_STATIC_STEP, .static_step = &step}, engine_now(),
                &actions);
    assert_int_equal(actions.list[0].kind, TUNNEL_ACTION_SEND);
    send_message(f, actions.list[0].send.bytes, actions.list[0].send.len);
    tunnel_free(t);
}

/* ---- Tests ---- */

static void few_steps_of_strangers_are_under_way_and_what_waits_is_bounded(void **state)
{
    struct fixture *f = *state;
    flood(f);
    assert_int_equal(f->ungated, 16);
    assert_int_equal(mailbox_waiting(&f->engine->inbox, HANDSHAKE_UNGATED), MAILBOX_UNGATED_MAX);
    assert_int_equal(dropped(f), MAILBOX_UNGATED_MAX - 16);
}

static void who_knows_the_gate_key_goes_first(void **state)
{
    struct fixture *f = *state;
    flood(f);
    for (uint32_t i = 0; i < 40; i++)
        send_initiation(f, i, true);
    assert_true(comes(f, &f->gated, 40, PATIENCE));
    assert_int_equal(f->ungated, 16);
}

static void our_own_initiations_wait_for_nobody(void **state)
{
    struct fixture *f = *state;
    const uint8_t key[MESSAGE_KEY_SIZE] = {9};
    peer_id peer;
    flood(f);
    for (uint32_t i = 0; i < 300; i++)
        send_initiation(f, i, true);
    assert_true(comes(f, &f->gated, 64, PATIENCE));
    pass_time(f, SECOND / 20);
    assert_int_equal(f->gated, 64);
    assert_int_equal(tunnel_peer_add(engine_tunnel(f->engine), key, &peer), 0);
    assert_int_equal(engine_set_direct(f->engine, peer, &f->at), 0);
    engine_connect(f->engine, peer);
    assert_int_equal(f->own, 1);
}

static void what_could_not_be_handed_over_takes_no_place(void **state)
{
    struct fixture *f = *state;
    f->lose_steps = true;
    for (uint32_t i = 0; i < 200; i++) {
        send_initiation(f, i, true);
        if (i % 5 == 0)
            send_initiation(f, 1000 + i, false);
        if (i % 32 == 31)
            pass_time(f, SECOND / 100);
    }
    assert_true(comes(f, &f->gated, 200, PATIENCE));
    assert_true(comes(f, &f->ungated, 40, PATIENCE));
    assert_int_equal(f->held, 0);
    f->lose_steps = false;
    send_initiation(f, 200, true);
    assert_true(comes(f, &f->held, 1, PATIENCE));
}

/* A minute of a thousand a second is 60,000; a budget of 64 and 50 a second is what is spent. */
static void under_load_strangers_share_a_small_budget(void **state)
{
    struct fixture *f = *state;
    flood(f);
    f->run_steps = true;
    uint64_t begun = loop_monotonic();
    for (uint32_t i = 0; i < 1500; i++) {
        send_initiation(f, i, false);
        if (i % 16 == 15)
            pass_time(f, SECOND / 100);
    }
    uint64_t took = loop_monotonic() - begun;
    assert_true(f->ungated <= 16 + 64 + took / (SECOND / 50) + 1);
    assert_true(f->ungated > 64);
}

static void when_the_flood_ends_strangers_are_served_soon(void **state)
{
    struct fixture *f = *state;
    flood(f);
    f->run_steps = true;
    pass_time(f, 3 * SECOND + SECOND / 2);
    assert_int_equal(mailbox_waiting(&f->engine->inbox, HANDSHAKE_UNGATED), 0);
    uint32_t before = f->ungated;
    for (uint32_t i = 0; i < 60; i++)
        send_initiation(f, i, false);
    assert_true(comes(f, &f->ungated, before + 60, SECOND));
}

static void replays_of_gated_initiations_take_no_room(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 40; i++)
        send_initiation(f, i, true);
    assert_true(comes(f, &f->gated, 40, PATIENCE));
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 40; i++)
            send_initiation(f, i, true);
        pass_time(f, SECOND / 100);
    }
    assert_int_equal(f->gated, 40);
    assert_int_equal(mailbox_waiting(&f->engine->inbox, HANDSHAKE_GATED), 0);
    send_initiation(f, 40, true);
    assert_true(comes(f, &f->gated, 41, PATIENCE));
}

static void a_new_gate_key_is_told_and_the_one_of_who_went_is_worth_nothing(void **state)
{
    struct fixture *f = *state;
    struct tunnel_actions actions = {.count = 0};
    const uint8_t key[MESSAGE_KEY_SIZE] = {9};
    struct message_initiation old = initiation(f, 1, true);
    peer_id peer;
    assert_int_equal(tunnel_peer_add(engine_tunnel(f->engine), key, &peer), 0);
    tunnel_peer_remove(engine_tunnel(f->engine), peer, &actions);
    engine_carry_out(f->engine, &actions);
    assert_true(comes(f, &f->gates, 1, PATIENCE));
    send_message(f, &old, sizeof(old));
    assert_true(comes(f, &f->ungated, 1, PATIENCE));
    assert_int_equal(f->gated, 0);
    send_initiation(f, 2, true);
    assert_true(comes(f, &f->gated, 1, PATIENCE));
}

/* Every handshake of a storm waits for the disk, and none for another's. */
static void a_storm_of_handshakes_takes_few_commits(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < PEERS; i++)
        send_peer_initiation(f, i + 1);
    assert_true(comes(f, &f->persists, PEERS, PATIENCE));
    assert_in_range(f->commits, 1, 8);
}

static void a_storm_of_handshakes_on_a_full_disk_is_answered(void **state)
{
    struct fixture *f = *state;
    struct udp_received answers[8];
    uint8_t buffers[8][UDP_MESSAGE_MAX];
    int count = 0, got;
    f->disk_full = true;
    for (uint32_t i = 0; i < 20; i++)
        send_peer_initiation(f, i + 1);
    assert_true(comes(f, &f->persists, 20, PATIENCE));
    turn(f);
    for (int i = 0; i < 8; i++)
        answers[i].data = buffers[i];
    while ((got = udp_receive(f->stranger, ENDPOINT_IPV4, answers, 8)) > 0)
        count += got;
    assert_int_equal(count, 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_engine, close_engine)
#define ALONE(name) cmocka_unit_test_setup_teardown(name, open_alone, close_engine)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(few_steps_of_strangers_are_under_way_and_what_waits_is_bounded),
        TEST(who_knows_the_gate_key_goes_first),
        TEST(our_own_initiations_wait_for_nobody),
        TEST(what_could_not_be_handed_over_takes_no_place),
        TEST(under_load_strangers_share_a_small_budget),
        TEST(when_the_flood_ends_strangers_are_served_soon),
        TEST(replays_of_gated_initiations_take_no_room),
        TEST(a_new_gate_key_is_told_and_the_one_of_who_went_is_worth_nothing),
        ALONE(a_storm_of_handshakes_takes_few_commits),
        ALONE(a_storm_of_handshakes_on_a_full_disk_is_answered),
    };
    return cmocka_run_group_tests_name("engine/admit", tests, NULL, NULL);
}
