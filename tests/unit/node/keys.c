#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../node/keys_server.h"
#include "../proc/disk.h"
#include "base/bytes.h"
#include "ledger/statement.h"
#include "proc/permits.h"
#include "proc/spawn.h"
#include "tunnel/static_step.h"

#define NOW (UINT64_C(1800000000) * SECOND)

/* A keys server on a disk in memory, its engine and its state. */
struct world {
    struct disk *disk;
    struct crypto *crypto;
    struct ipc *engine, *state;           /* ends that the test speaks from */
    struct ipc *keys_engine, *keys_state; /* and the server's */
    struct keys_server *keys;
    struct ipc_public told;
    uint32_t gate_count; /* told at the start */
    struct ipc_gate gates[GATES_MAX];
};

static uint64_t clock_now;
static uint8_t next_random;

static uint64_t fake_monotonic(void)
{
    return 1000 * SECOND; /* no time passes but by setting the clock */
}

static uint64_t fake_wall(void)
{
    return clock_now;
}

static int fake_random(uint8_t out[SEED_SIZE])
{
    memset(out, ++next_random, SEED_SIZE);
    return 0;
}

static void connect_pair(struct ipc **server, struct ipc **client, enum proc_role role)
{
    int fds[2];
    assert_int_equal(spawn_pair(fds), 0);
    assert_int_equal(permits_open(server, fds[0], PROC_KEYS, role), 0);
    assert_int_equal(permits_open(client, fds[1], role, PROC_KEYS), 0);
}

static int start(struct world *w)
{
    connect_pair(&w->keys_engine, &w->engine, PROC_ENGINE);
    connect_pair(&w->keys_state, &w->state, PROC_STATE);
    struct keys_setup setup = {.engine = w->keys_engine,
                               .state = w->keys_state,
                               .crypto = w->crypto,
                               .files = disk_files(w->disk),
                               .random = fake_random,
                               .wall = fake_wall,
                               .monotonic = fake_monotonic};
    int error = keys_server_new(&w->keys, &setup);
    struct ipc_message m;
    memset(&w->told, 0, sizeof(w->told));
    w->gate_count = 0;
    bool left;
    do {
        left = ipc_flush(w->keys_engine);
        while (ipc_receive(w->engine, &m) == 0) {
            if (m.kind == IPC_PUBLIC)
                memcpy(&w->told, m.bytes, sizeof(w->told));
            if (m.kind == IPC_GATE)
                memcpy(&w->gates[w->gate_count++], m.bytes, sizeof(w->gates[0]));
        }
    } while (left);
    while (ipc_receive(w->state, &m) == 0)
        continue;
    return error;
}

static void stop(struct world *w)
{
    keys_server_free(w->keys);
    ipc_free(w->keys_engine);
    ipc_free(w->keys_state);
    ipc_free(w->engine);
    ipc_free(w->state);
    w->keys = NULL;
}

/* As by SIGKILL and a loss of power. */
static void restart(struct world *w)
{
    stop(w);
    disk_restart(w->disk, false, false);
    assert_int_equal(start(w), 0);
}

static int setup(void **state)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    clock_now = NOW;
    world.disk = disk_new();
    if (crypto_new(&world.crypto, CRYPTO_BULK_OPENSSL) != 0)
        return -1;
    *state = &world;
    return start(&world);
}

static int teardown(void **state)
{
    struct world *w = *state;
    stop(w);
    crypto_free(w->crypto);
    free(w->disk);
    return 0;
}

static void timestamp_at(uint8_t out[MESSAGE_TIMESTAMP_SIZE], uint64_t wall)
{
    put_be64(out, TAI64_EPOCH + wall / SECOND);
    put_be32(out + 8, (uint32_t)(wall % SECOND));
}

/* What a peer (by the byte that its private key repeats) sealed for our static key. */
static struct static_step initiation_of(struct world *w, uint8_t peer, uint64_t wall)
{
    uint8_t private_key[X25519_SIZE];
    struct static_step step = {.text_kind = STATIC_STEP_SEAL_TEXT, .text_len = MESSAGE_TIMESTAMP_SIZE};
    memset(private_key, peer, sizeof(private_key));
    memcpy(step.remote, w->told.own, sizeof(step.remote));
    timestamp_at(step.text, wall);
    static_step_run(&step, w->crypto, private_key);
    assert_int_equal(step.result, 0);
    struct static_step theirs = {.text_kind = STATIC_STEP_OPEN_TEXT, .text_len = MESSAGE_TIMESTAMP_SIZE};
    assert_int_equal(crypto_x25519_public(w->crypto, theirs.remote, private_key), 0);
    memcpy(theirs.text, step.text, sizeof(theirs.text));
    theirs.peer = peer;
    theirs.gated = true;
    return theirs;
}

static void send_step(struct world *w, const struct static_step *step)
{
    assert_int_equal(ipc_send(w->engine, IPC_STEP, step, sizeof(*step)), 0);
}

static bool receive_step(struct world *w, struct static_step *out)
{
    struct ipc_message m;
    if (ipc_receive(w->engine, &m) != 0 || m.kind != IPC_STEPPED)
        return false;
    memcpy(out, m.bytes, sizeof(*out));
    return true;
}

/* The result of one initiation. */
static int initiate(struct world *w, uint8_t peer, uint64_t wall)
{
    struct static_step step = initiation_of(w, peer, wall);
    send_step(w, &step);
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_true(receive_step(w, &step));
    return step.result;
}

static void keys_are_made_once_and_stay(void **state)
{
    struct world *w = *state;
    struct ipc_public first = w->told;
    assert_false(is_zero(first.own, sizeof(first.own)));
    assert_true(is_zero(first.invite, sizeof(first.invite)));
    restart(w);
    assert_memory_equal(&w->told, &first, sizeof(first));
}

static void no_public_half_is_told_before_its_key_lasts(void **state)
{
    struct world *w = *state;
    int error = -1;
    for (unsigned at = 1; error != 0; at++) {
        stop(w);
        memset(w->disk, 0, sizeof(*w->disk));
        w->disk->cut_at = at;
        error = start(w);
        struct ipc_public told = w->told;
        stop(w);
        disk_restart(w->disk, false, false);
        assert_int_equal(start(w), 0);
        if (!is_zero(&told, sizeof(told)))
            assert_memory_equal(&told, &w->told, sizeof(told));
    }
}

static void a_replay_is_refused(void **state)
{
    struct world *w = *state;
    assert_int_equal(initiate(w, 1, NOW), 0);
    assert_int_equal(initiate(w, 1, NOW), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW - SECOND), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 2, NOW - SECOND), 0);
    assert_int_equal(initiate(w, 1, NOW + 1), 0);
}

static void a_replay_after_a_restart_is_refused(void **state)
{
    struct world *w = *state;
    assert_int_equal(initiate(w, 1, NOW), 0);
    restart(w);
    assert_int_equal(initiate(w, 1, NOW), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW + 1), 0);
}

static void what_is_refused_leaves_no_key(void **state)
{
    struct world *w = *state;
    struct static_step step = initiation_of(w, 1, NOW);
    assert_int_equal(initiate(w, 1, NOW), 0);
    send_step(w, &step);
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_true(receive_step(w, &step));
    assert_true(is_zero(step.chaining_key, sizeof(step.chaining_key)));
    assert_true(is_zero(step.hash, sizeof(step.hash)));
}

static void those_who_wait_share_one_commit_before_their_replies(void **state)
{
    struct world *w = *state;
    struct static_step step;
    unsigned before = w->disk->syncs;
    for (uint8_t peer = 1; peer <= 20; peer++) {
        step = initiation_of(w, peer, NOW);
        send_step(w, &step);
    }
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_int_equal(w->disk->syncs, before + 1);
    for (uint8_t peer = 1; peer <= 20; peer++) {
        assert_true(receive_step(w, &step));
        assert_int_equal(step.result, 0);
        assert_int_equal(step.peer, peer);
    }
    restart(w);
    for (uint8_t peer = 1; peer <= 20; peer++)
        assert_int_equal(initiate(w, peer, NOW), ERROR_REPLAYED);
}

static void a_kill_at_any_write_forgets_nothing_that_was_answered(void **state)
{
    struct world *w = *state;
    bool done = false;
    for (unsigned at = 1; !done; at++) {
        uint64_t wall = NOW + at * SECOND;
        assert_int_equal(initiate(w, 1, wall), 0);
        struct static_step step = initiation_of(w, 1, wall + 1);
        w->disk->cut_at = w->disk->operations + at;
        send_step(w, &step);
        int ignored = keys_server_turn(w->keys);
        (void)ignored;
        done = !w->disk->dead;
        stop(w);
        disk_restart(w->disk, at % 2, at % 3);
        assert_int_equal(start(w), 0);
        assert_int_equal(initiate(w, 1, wall), ERROR_REPLAYED);
        if (done)
            assert_int_equal(initiate(w, 1, wall + 1), ERROR_REPLAYED);
    }
}

static uint32_t trouble_told(struct world *w, uint32_t *number)
{
    struct ipc_message m;
    uint32_t count = 0;
    while (ipc_receive(w->state, &m) == 0)
        if (m.kind == IPC_KEYS_TROUBLE) {
            memcpy(number, m.bytes, sizeof(*number));
            count++;
        }
    return count;
}

static void a_full_disk_ends_no_handshake(void **state)
{
    struct world *w = *state;
    uint32_t number = 0;
    w->disk->fail_at = w->disk->operations + 1;
    w->disk->fail_on = true;
    w->disk->failure = ENOSPC;
    assert_int_equal(initiate(w, 1, NOW), 0);
    assert_int_equal(initiate(w, 2, NOW), 0);
    assert_int_equal(initiate(w, 1, NOW), ERROR_REPLAYED);
    assert_int_equal(trouble_told(w, &number), 1);
    assert_int_equal(number, -ERROR_NO_SPACE);
    w->disk->fail_at = 0;
    w->disk->fail_on = false;
    assert_int_equal(initiate(w, 3, NOW), 0);
    assert_int_equal(trouble_told(w, &number), 1);
    assert_int_equal(number, 0);
    restart(w);
    for (uint8_t peer = 1; peer <= 3; peer++)
        assert_int_equal(initiate(w, peer, NOW), ERROR_REPLAYED);
}

static void a_day_ahead_is_too_far_for_a_plausible_clock(void **state)
{
    struct world *w = *state;
    const uint64_t day = UINT64_C(86400) * SECOND;
    assert_int_equal(initiate(w, 1, NOW + day + 2 * SECOND), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW + day - SECOND), 0);
    clock_now = 1000 * SECOND; /* no battery */
    assert_int_equal(initiate(w, 2, NOW), 0);
}

/* ---- Timestamps that are ahead, and clocks that go back ---- */

#define HOUR (UINT64_C(3600) * SECOND)

/* Somebody with a copy of the device's key, or the device itself with a wrong clock. */
static void a_timestamp_a_day_ahead_locks_its_device_out_for_a_day_and_no_longer(void **state)
{
    struct world *w = *state;
    assert_int_equal(initiate(w, 1, NOW + 23 * HOUR), 0);
    assert_int_equal(initiate(w, 1, NOW), ERROR_REPLAYED);
    restart(w);
    clock_now = NOW + 22 * HOUR;
    assert_int_equal(initiate(w, 1, clock_now), ERROR_REPLAYED);
    clock_now = NOW + 23 * HOUR + SECOND;
    assert_int_equal(initiate(w, 1, clock_now), 0);
}

static void peer_gone(struct world *w, uint8_t peer)
{
    struct ipc_key gone;
    struct static_step step = initiation_of(w, peer, NOW);
    memcpy(gone.key, step.remote, sizeof(gone.key));
    assert_int_equal(ipc_send(w->engine, IPC_PEER_GONE, &gone, sizeof(gone)), 0);
    assert_int_equal(keys_server_turn(w->keys), 0);
}

/* As by isolate and restore. */
static void a_device_that_was_taken_away_and_is_back_is_not_locked_out(void **state)
{
    struct world *w = *state;
    assert_int_equal(initiate(w, 1, NOW - 5 * SECOND), 0);
    assert_int_equal(initiate(w, 1, NOW + 23 * HOUR), 0);
    assert_int_equal(initiate(w, 2, NOW + 23 * HOUR), 0);
    peer_gone(w, 1);
    peer_gone(w, 3);
    assert_int_equal(initiate(w, 1, NOW - 5 * SECOND), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW + SECOND), 0);
    assert_int_equal(initiate(w, 2, NOW + SECOND), ERROR_REPLAYED);
    restart(w);
    assert_int_equal(initiate(w, 1, NOW + SECOND), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW + 2 * SECOND), 0);
}

static void who_goes_with_a_timestamp_that_was_not_ahead_keeps_it(void **state)
{
    struct world *w = *state;
    assert_int_equal(initiate(w, 1, NOW - HOUR), 0);
    peer_gone(w, 1);
    assert_int_equal(initiate(w, 1, NOW - HOUR), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW - HOUR + SECOND), 0);
}

static void a_clock_that_goes_back_a_day_locks_nobody_out_and_brings_no_replay_back(void **state)
{
    struct world *w = *state;
    assert_int_equal(initiate(w, 1, NOW - HOUR), 0);
    assert_int_equal(initiate(w, 1, NOW - SECOND), 0);
    clock_now = NOW - 25 * HOUR;
    assert_int_equal(initiate(w, 1, NOW - HOUR), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW - HOUR / 2), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW + SECOND), 0);
    assert_int_equal(initiate(w, 2, NOW), 0);
}

/* A clock that was years ahead, and what was sent by it, are forgotten together. */
static void a_clock_that_is_mended_by_years_is_believed(void **state)
{
    struct world *w = *state;
    clock_now = NOW + 20 * 365 * 24 * HOUR;
    assert_int_equal(initiate(w, 1, clock_now), 0);
    clock_now = NOW;
    assert_int_equal(initiate(w, 1, NOW), 0);
    assert_int_equal(initiate(w, 1, NOW), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 2, NOW + 25 * HOUR), ERROR_REPLAYED);
}

/* ---- Gate keys ---- */

static struct ipc_gate gate_of(uint8_t holder, uint8_t gate)
{
    struct ipc_gate g;
    memset(g.static_key, holder, sizeof(g.static_key));
    memset(g.gate, gate, sizeof(g.gate));
    return g;
}

static void hear_gate(struct world *w, uint8_t holder, uint8_t gate)
{
    struct ipc_gate g = gate_of(holder, gate);
    assert_int_equal(ipc_send(w->engine, IPC_GATE, &g, sizeof(g)), 0);
    assert_int_equal(keys_server_turn(w->keys), 0);
}

/* What the engine is told at the start. */
static bool is_told_gate(struct world *w, uint8_t holder, uint8_t gate)
{
    struct ipc_gate g = gate_of(holder, gate);
    for (uint32_t i = 0; i < w->gate_count; i++)
        if (memcmp(&w->gates[i], &g, sizeof(g)) == 0)
            return true;
    return false;
}

static void gate_keys_outlive_a_restart(void **state)
{
    struct world *w = *state;
    hear_gate(w, 1, 11);
    hear_gate(w, 2, 12);
    hear_gate(w, 2, 13);
    restart(w);
    assert_int_equal(w->gate_count, 2);
    assert_true(is_told_gate(w, 1, 11));
    assert_true(is_told_gate(w, 2, 13));
    hear_gate(w, 1, 14);
    restart(w);
    assert_true(is_told_gate(w, 1, 14));
    assert_true(is_told_gate(w, 2, 13));
}

static void the_gate_key_of_who_went_is_forgotten(void **state)
{
    struct world *w = *state;
    struct ipc_key gone;
    memset(gone.key, 1, sizeof(gone.key));
    hear_gate(w, 1, 11);
    hear_gate(w, 2, 12);
    assert_int_equal(ipc_send(w->engine, IPC_PEER_GONE, &gone, sizeof(gone)), 0);
    assert_int_equal(keys_server_turn(w->keys), 0);
    restart(w);
    assert_int_equal(w->gate_count, 1);
    assert_true(is_told_gate(w, 2, 12));
}

static void gate_keys_that_change_all_the_time_are_written_seldom(void **state)
{
    struct world *w = *state;
    hear_gate(w, 1, 1);
    unsigned before = w->disk->syncs;
    for (uint8_t gate = 2; gate < 100; gate++)
        hear_gate(w, 1, gate);
    assert_int_equal(w->disk->syncs, before);
    restart(w); /* an orderly end writes */
    assert_true(is_told_gate(w, 1, 99));
}

static void gate_keys_are_bounded(void **state)
{
    struct world *w = *state;
    struct files f = disk_files(w->disk);
    struct gates *g;
    struct ipc_gate gate = {.gate = {1}};
    stop(w);
    assert_int_equal(gates_open(&g, &f), 0);
    for (uint32_t i = 0; i < 3 * GATES_MAX; i++) {
        put_be32(gate.static_key, i);
        gates_note(g, &gate);
    }
    gates_commit(g, UINT64_MAX);
    assert_int_equal(gates_count(g), GATES_MAX);
    gates_close(g);
    assert_int_equal(start(w), 0);
    assert_int_equal(w->gate_count, GATES_MAX);
}

/* ---- Storms ---- */

/* Answers until none is left; `turns` of the server at most. */
static unsigned drain(struct world *w, unsigned turns, unsigned *refused)
{
    struct static_step step;
    unsigned answers = 0;
    for (unsigned i = 0; i < turns; i++) {
        ipc_flush(w->engine);
        int error = keys_server_turn(w->keys);
        ipc_flush(w->keys_engine);
        assert_true(error == 0 || error == ERROR_AGAIN);
        while (receive_step(w, &step)) {
            answers++;
            *refused += step.result != 0;
        }
    }
    return answers;
}

static void a_storm_of_handshakes_takes_few_commits(void **state)
{
    struct world *w = *state;
    unsigned refused = 0, before = w->disk->syncs;
    for (uint8_t peer = 1; peer <= 200; peer++) {
        struct static_step step = initiation_of(w, peer, NOW);
        send_step(w, &step);
    }
    assert_int_equal(drain(w, 6, &refused), 200);
    assert_int_equal(refused, 0);
    assert_in_range(w->disk->syncs, before + 1, before + 6);
}

static void a_storm_on_a_full_disk_is_answered_and_told_once(void **state)
{
    struct world *w = *state;
    unsigned refused = 0;
    uint32_t number = 0;
    w->disk->fail_at = w->disk->operations + 1;
    w->disk->fail_on = true;
    w->disk->failure = ENOSPC;
    for (uint8_t peer = 1; peer <= 200; peer++) {
        struct static_step step = initiation_of(w, peer, NOW);
        send_step(w, &step);
    }
    assert_int_equal(drain(w, 6, &refused), 200);
    assert_int_equal(refused, 0);
    assert_int_equal(trouble_told(w, &number), 1);
    w->disk->fail_at = 0;
    w->disk->fail_on = false;
    assert_int_equal(initiate(w, 201, NOW), 0);
    assert_int_equal(trouble_told(w, &number), 1);
    restart(w);
    for (uint8_t peer = 1; peer <= 200; peer++)
        assert_int_equal(initiate(w, peer, NOW), ERROR_REPLAYED);
}

static struct static_step strangers_step(struct world *w)
{
    struct static_step step = {.text_kind = STATIC_STEP_OPEN_TEXT, .text_len = X25519_SIZE};
    memcpy(step.remote, w->told.own, sizeof(step.remote));
    return step;
}

/* The worst that an engine could do, which holds strangers to 16 at once. */
static void ours_and_the_gated_are_answered_in_two_turns_whatever_strangers_send(void **state)
{
    struct world *w = *state;
    struct static_step stranger = strangers_step(w), own = stranger, got;
    own.text_kind = STATIC_STEP_SEAL_TEXT;
    own.text_len = MESSAGE_TIMESTAMP_SIZE;
    for (uint8_t round = 1; round <= 100; round++) {
        unsigned ours = 0, gated = 0;
        struct static_step theirs = initiation_of(w, round, NOW);
        for (unsigned i = 0; i < 100; i++)
            send_step(w, &stranger);
        send_step(w, &own);
        send_step(w, &theirs);
        for (int turn = 0; turn < 2; turn++) {
            ipc_flush(w->engine);
            int error = keys_server_turn(w->keys);
            assert_true(error == 0 || error == ERROR_AGAIN);
            while (receive_step(w, &got)) {
                ours += got.text_kind == STATIC_STEP_SEAL_TEXT;
                gated += got.gated;
            }
        }
        assert_int_equal(ours, 1);
        assert_int_equal(gated, 1);
    }
}

#define OWN_INDEX 77u /* of our handshakes */

/* The timestamp of an initiation of ours, as the peer sees it. */
static void own_timestamp(struct world *w, uint8_t out[MESSAGE_TIMESTAMP_SIZE])
{
    uint8_t private_key[X25519_SIZE];
    struct static_step step = {
        .text_kind = STATIC_STEP_SEAL_TEXT, .text_len = MESSAGE_TIMESTAMP_SIZE, .local_index = OWN_INDEX};
    memset(private_key, 9, sizeof(private_key));
    assert_int_equal(crypto_x25519_public(w->crypto, step.remote, private_key), 0);
    memset(step.text, 0xff, MESSAGE_TIMESTAMP_SIZE); /* what the engine says does not count */
    send_step(w, &step);
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_true(receive_step(w, &step));
    assert_int_equal(step.result, 0);
    struct static_step peers = {.text_kind = STATIC_STEP_OPEN_TEXT, .text_len = MESSAGE_TIMESTAMP_SIZE};
    memcpy(peers.remote, w->told.own, sizeof(peers.remote));
    memcpy(peers.text, step.text, sizeof(peers.text));
    static_step_run(&peers, w->crypto, private_key);
    assert_int_equal(peers.result, 0);
    memcpy(out, peers.text, MESSAGE_TIMESTAMP_SIZE);
}

static void own_timestamps_increase_whatever_the_clock_does(void **state)
{
    struct world *w = *state;
    static const int64_t jumps[] = {0, 0, 1, 100, -5000, 0, 3600, -20000, 1};
    uint8_t last[MESSAGE_TIMESTAMP_SIZE] = {0}, now[MESSAGE_TIMESTAMP_SIZE];
    for (unsigned i = 0; i < sizeof(jumps) / sizeof(jumps[0]) * 4; i++) {
        clock_now += (uint64_t)(jumps[i / 4] * (int64_t)SECOND);
        own_timestamp(w, now);
        assert_true(memcmp(now, last, sizeof(now)) > 0);
        memcpy(last, now, sizeof(now));
        if (i % 3 == 0)
            restart(w);
    }
}

#define CENTURY (UINT64_C(36525) * 86400 * SECOND)

/* Whether one of the next few is what a peer accepts that saw `seen` last, and whose clock is right. */
static bool soon_accepted(struct world *w, const uint8_t seen[MESSAGE_TIMESTAMP_SIZE], uint64_t peers_clock)
{
    uint8_t now[MESSAGE_TIMESTAMP_SIZE];
    for (unsigned i = 0; i < 4; i++) {
        own_timestamp(w, now);
        if (memcmp(now, seen, sizeof(now)) > 0 && !timestamp_is_too_far_ahead(now, peers_clock))
            return true;
    }
    return false;
}

static void a_clock_a_century_ahead_locks_out_neither_then_nor_later(void **state)
{
    struct world *w = *state;
    uint8_t seen[MESSAGE_TIMESTAMP_SIZE];
    own_timestamp(w, seen);
    clock_now = NOW + CENTURY;
    assert_true(soon_accepted(w, seen, NOW));
    restart(w);
    assert_true(soon_accepted(w, seen, NOW));
    clock_now = NOW + 60 * SECOND;
    assert_true(soon_accepted(w, seen, clock_now));
}

static void a_clock_that_was_right_after_years_is_trusted_once_it_was_answered(void **state)
{
    struct world *w = *state;
    uint8_t now[MESSAGE_TIMESTAMP_SIZE], expected[MESSAGE_TIMESTAMP_SIZE];
    own_timestamp(w, now);
    clock_now = NOW + CENTURY + SECOND / 2;
    timestamp_at(expected, clock_now);
    for (unsigned i = 0; i < 2; i++)
        own_timestamp(w, now);
    assert_memory_equal(now, expected, 8);
    struct static_step answer = {.local_index = OWN_INDEX};
    memset(answer.remote, 9, sizeof(answer.remote));
    send_step(w, &answer);
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_true(receive_step(w, &answer));
    for (unsigned i = 0; i < 8; i++) {
        own_timestamp(w, now);
        assert_memory_equal(now, expected, 8);
    }
}

static void a_clock_that_began_a_century_ahead_locks_out_no_more_once_it_is_set(void **state)
{
    struct world *w = *state;
    uint8_t never[MESSAGE_TIMESTAMP_SIZE] = {0}, last[MESSAGE_TIMESTAMP_SIZE];
    clock_now = NOW + CENTURY;
    own_timestamp(w, last);
    clock_now = NOW;
    assert_true(soon_accepted(w, never, NOW));
    restart(w);
    assert_true(soon_accepted(w, never, NOW));
    /* Nor by a peer that believed it. */
    clock_now = 1000 * SECOND;
    assert_int_equal(initiate(w, 1, NOW + CENTURY), 0);
    clock_now = NOW;
    assert_int_equal(initiate(w, 1, NOW - 2 * UINT64_C(86400) * SECOND), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW), 0);
    restart(w);
    assert_int_equal(initiate(w, 1, NOW), ERROR_REPLAYED);
    assert_int_equal(initiate(w, 1, NOW + SECOND), 0);
}

static void own_timestamps_follow_a_good_clock(void **state)
{
    struct world *w = *state;
    uint8_t expected[MESSAGE_TIMESTAMP_SIZE], now[MESSAGE_TIMESTAMP_SIZE];
    clock_now = NOW + 100 * SECOND + SECOND / 2;
    timestamp_at(expected, clock_now);
    own_timestamp(w, now);
    assert_memory_equal(now, expected, 8);
}

static void own_initiations_go_first(void **state)
{
    struct world *w = *state;
    struct static_step step = initiation_of(w, 1, NOW), own;
    send_step(w, &step);
    memset(&own, 0, sizeof(own));
    own.text_kind = STATIC_STEP_SEAL_TEXT;
    own.text_len = MESSAGE_TIMESTAMP_SIZE;
    memcpy(own.remote, step.remote, sizeof(own.remote));
    send_step(w, &own);
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_true(receive_step(w, &step));
    assert_int_equal(step.text_kind, STATIC_STEP_SEAL_TEXT);
    assert_true(receive_step(w, &step));
    assert_int_equal(step.text_kind, STATIC_STEP_OPEN_TEXT);
}

static void a_flood_is_bounded_and_ours_get_through(void **state)
{
    struct world *w = *state;
    struct static_step step = {.text_kind = STATIC_STEP_OPEN_TEXT, .text_len = X25519_SIZE};
    memcpy(step.remote, w->told.own, sizeof(step.remote));
    for (unsigned i = 0; i < 3 * KEYS_QUEUE_MAX; i++)
        send_step(w, &step);
    unsigned answers = 0, full = 0;
    while (answers < 3 * KEYS_QUEUE_MAX) {
        ipc_flush(w->engine);
        int error = keys_server_turn(w->keys);
        assert_true(error == 0 || error == ERROR_AGAIN);
        ipc_flush(w->keys_engine);
        while (receive_step(w, &step)) {
            answers++;
            full += step.result == ERROR_FULL;
        }
    }
    assert_true(full > 0);
}

static void a_step_that_no_handshake_has_is_malformed(void **state)
{
    static const struct {
        uint8_t kind, len;
    } wrong[] = {{STATIC_STEP_NO_TEXT, 1},    {STATIC_STEP_OPEN_TEXT, 0},  {STATIC_STEP_OPEN_TEXT, 31},
                 {STATIC_STEP_OPEN_TEXT, 33}, {STATIC_STEP_SEAL_TEXT, 32}, {3, 12},
                 {STATIC_STEP_SEAL_TEXT, 0}};
    struct world *w = *state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct static_step step = {.text_kind = wrong[i].kind, .text_len = wrong[i].len};
        send_step(w, &step);
        assert_int_equal(keys_server_turn(w->keys), ERROR_MALFORMED);
    }
}

static void a_slot_without_a_key_is_refused(void **state)
{
    struct world *w = *state;
    for (unsigned local = 1; local < 3; local++) {
        struct static_step step = initiation_of(w, 1, NOW);
        step.local = (uint8_t)local;
        send_step(w, &step);
        assert_int_equal(keys_server_turn(w->keys), 0);
        assert_true(receive_step(w, &step));
        assert_int_equal(step.result, ERROR_INVALID);
    }
}

static void give_seed(struct world *w)
{
    uint8_t seed[SEED_SIZE];
    struct files f = disk_files(w->disk);
    memset(seed, 77, sizeof(seed));
    assert_int_equal(files_write(&f, "invite", seed, sizeof(seed)), 0);
    restart(w);
}

/* Returns its length. */
static size_t ask_join(struct world *w, const struct ipc_build_join *what, uint8_t *out)
{
    struct ipc_message m;
    assert_int_equal(ipc_send(w->state, IPC_BUILD_JOIN, what, sizeof(*what)), 0);
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_int_equal(ipc_receive(w->state, &m), 0);
    assert_int_equal(m.kind, IPC_JOIN_BUILT);
    memcpy(out, m.bytes, m.len);
    return m.len;
}

static void a_join_is_signed_by_the_invite_and_the_device(void **state)
{
    struct world *w = *state;
    uint8_t bytes[2048];
    struct statement s;
    struct ipc_build_join what = {.network = {1}, .invite = {2}, .sequences = 1, .sequencer = {3}};
    assert_int_equal(ask_join(w, &what, bytes), 0);
    give_seed(w);
    assert_false(is_zero(w->told.invite, sizeof(w->told.invite)));
    size_t len = ask_join(w, &what, bytes);
    assert_int_equal(statement_decode(w->crypto, &s, bytes, len), 0);
    assert_int_equal(s.kind, STATEMENT_JOIN);
    assert_memory_equal(s.network.bytes, what.network, 32);
    assert_memory_equal(s.join.invite, what.invite, 32);
    assert_memory_equal(s.join.signing_public, w->told.signing, 32);
    assert_memory_equal(s.join.static_public, w->told.own, 32);
    assert_true(s.join.sequences);
    assert_memory_equal(s.join.sequencer, what.sequencer, 32);
    assert_int_equal(s.signature_count, 2);
    assert_int_equal(statement_verify(w->crypto, &s, w->told.signing), 0);
    assert_int_equal(statement_verify(w->crypto, &s, w->told.invite_signing), 0);
}

static void an_erased_seed_is_gone_for_good(void **state)
{
    struct world *w = *state;
    struct ipc_message m;
    uint8_t bytes[2048];
    struct ipc_build_join what = {.network = {1}};
    give_seed(w);
    assert_int_equal(ipc_send(w->state, IPC_ERASE_SEED, NULL, 0), 0);
    assert_int_equal(keys_server_turn(w->keys), 0);
    assert_int_equal(ipc_receive(w->state, &m), 0);
    assert_int_equal(m.kind, IPC_PUBLIC);
    assert_int_equal(ipc_receive(w->state, &m), 0);
    assert_int_equal(m.kind, IPC_SEED_ERASED);
    assert_int_equal(ask_join(w, &what, bytes), 0);
    assert_null(disk_find(w->disk, "invite"));
    restart(w);
    assert_true(is_zero(w->told.invite, sizeof(w->told.invite)));
}

static void an_erasure_cut_anywhere_leaves_the_seed_or_none(void **state)
{
    struct world *w = *state;
    bool done = false;
    for (unsigned at = 1; !done; at++) {
        give_seed(w);
        w->disk->cut_at = w->disk->operations + at;
        assert_int_equal(ipc_send(w->state, IPC_ERASE_SEED, NULL, 0), 0);
        int ignored = keys_server_turn(w->keys);
        (void)ignored;
        done = !w->disk->dead;
        stop(w);
        disk_restart(w->disk, true, at % 2);
        int error = start(w);
        assert_true(error == 0 || at == 1); /* one write of 32 bytes is not cut by a real disk */
    }
}

static void a_key_of_another_length_is_refused(void **state)
{
    struct world *w = *state;
    struct files f = disk_files(w->disk);
    stop(w);
    assert_int_equal(files_write(&f, "static", "short", 5), 0);
    assert_int_equal(start(w), ERROR_MALFORMED);
    assert_int_equal(disk_find(w->disk, "static")->len, 5);
}

static void the_log_of_timestamps_stays_small(void **state)
{
    struct world *w = *state;
    struct files f = disk_files(w->disk);
    struct seen *s;
    uint8_t key[MESSAGE_KEY_SIZE] = {0}, timestamp[MESSAGE_TIMESTAMP_SIZE];
    size_t largest = 0;
    assert_int_equal(seen_open(&s, &f), 0);
    for (uint64_t i = 1; i < 3000; i++) {
        key[0] = (uint8_t)(i % 3);
        put_be64(timestamp, i);
        put_be32(timestamp + 8, 0);
        assert_int_equal(seen_note(s, key, timestamp, NOW), 0);
        assert_int_equal(seen_commit(s), 0);
        if (disk_find(w->disk, "seen")->len > largest)
            largest = disk_find(w->disk, "seen")->len;
    }
    assert_int_equal(seen_count(s), 3);
    assert_true(largest < 1200 * 52);
    seen_close(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(keys_are_made_once_and_stay),
        TEST(no_public_half_is_told_before_its_key_lasts),
        TEST(a_replay_is_refused),
        TEST(a_replay_after_a_restart_is_refused),
        TEST(what_is_refused_leaves_no_key),
        TEST(those_who_wait_share_one_commit_before_their_replies),
        TEST(a_kill_at_any_write_forgets_nothing_that_was_answered),
        TEST(a_full_disk_ends_no_handshake),
        TEST(a_day_ahead_is_too_far_for_a_plausible_clock),
        TEST(a_timestamp_a_day_ahead_locks_its_device_out_for_a_day_and_no_longer),
        TEST(a_device_that_was_taken_away_and_is_back_is_not_locked_out),
        TEST(who_goes_with_a_timestamp_that_was_not_ahead_keeps_it),
        TEST(a_clock_that_goes_back_a_day_locks_nobody_out_and_brings_no_replay_back),
        TEST(a_clock_that_is_mended_by_years_is_believed),
        TEST(gate_keys_outlive_a_restart),
        TEST(the_gate_key_of_who_went_is_forgotten),
        TEST(gate_keys_that_change_all_the_time_are_written_seldom),
        TEST(gate_keys_are_bounded),
        TEST(a_storm_of_handshakes_takes_few_commits),
        TEST(a_storm_on_a_full_disk_is_answered_and_told_once),
        TEST(ours_and_the_gated_are_answered_in_two_turns_whatever_strangers_send),
        TEST(own_timestamps_increase_whatever_the_clock_does),
        TEST(a_clock_a_century_ahead_locks_out_neither_then_nor_later),
        TEST(a_clock_that_was_right_after_years_is_trusted_once_it_was_answered),
        TEST(a_clock_that_began_a_century_ahead_locks_out_no_more_once_it_is_set),
        TEST(own_timestamps_follow_a_good_clock),
        TEST(own_initiations_go_first),
        TEST(a_flood_is_bounded_and_ours_get_through),
        TEST(a_step_that_no_handshake_has_is_malformed),
        TEST(a_slot_without_a_key_is_refused),
        TEST(a_join_is_signed_by_the_invite_and_the_device),
        TEST(an_erased_seed_is_gone_for_good),
        TEST(an_erasure_cut_anywhere_leaves_the_seed_or_none),
        TEST(a_key_of_another_length_is_refused),
        TEST(the_log_of_timestamps_stays_small),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
