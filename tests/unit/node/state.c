/* The state process in one piece, between a parent, keys, an engine and people that a test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../../node/state_server.h"
#include "../proc/disk.h"
#include "crypto/crypto.h"
#include "identity/ticket.h"
#include "ledger/kept.h"
#include "mesh/mesh.h"
#include "net/loop.h"
#include "proc/messages.h"
#include "proc/permits.h"
#include "proc/spawn.h"
#include "state_replica.h"
#include "wire/frame.h"

struct bench {
    struct state_setup setup;
    struct state *state;
    struct ipc *parent, *keys, *engine; /* the other ends */
    struct disk *ledger, *openings;
    char outbox[32];
    struct sockaddr_un address;
    int client;
};

static void link_up(struct ipc **ours, struct ipc **theirs, enum proc_role role)
{
    int fds[2];
    assert_int_equal(spawn_pair(fds), 0);
    assert_int_equal(permits_open(ours, fds[0], PROC_STATE, role), 0);
    assert_int_equal(permits_open(theirs, fds[1], role, PROC_STATE), 0);
}

static void listen_somewhere(struct bench *b)
{
    b->setup.control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    b->address.sun_family = AF_UNIX;
    socklen_t len = sizeof(b->address);
    assert_int_equal(bind(b->setup.control_fd, (struct sockaddr *)&b->address, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(b->setup.control_fd, 8), 0);
    assert_int_equal(getsockname(b->setup.control_fd, (struct sockaddr *)&b->address, &len), 0);
}

static const char *counter_name(uint32_t i)
{
    return i == 0 ? "refused" : "lost";
}

static int set_up(void **state)
{
    static struct bench b;
    b = (struct bench){.client = -1, .outbox = "/tmp/state-outbox-XXXXXX"};
    *state = &b;
    b.ledger = disk_new();
    b.openings = disk_new();
    assert_non_null(mkdtemp(b.outbox));
    b.setup = (struct state_setup){.ledger = disk_files(b.ledger),
                                   .openings = disk_files(b.openings),
                                   .outbox = files_in(open(b.outbox, O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
                                   .uid = getuid(),
                                   .gid = (gid_t)-1,
                                   .control_fd = -1,
                                   .counter_name = counter_name};
    link_up(&b.setup.parent, &b.parent, PROC_PARENT);
    link_up(&b.setup.keys, &b.keys, PROC_KEYS);
    link_up(&b.setup.engine, &b.engine, PROC_ENGINE);
    assert_int_equal(crypto_new(&b.setup.crypto, CRYPTO_BULK_OPENSSL), 0);
    return loop_new(&b.setup.loop);
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    state_free(b->state);
    struct ipc *all[] = {b->setup.parent, b->parent, b->setup.keys, b->keys, b->setup.engine, b->engine};
    for (size_t i = 0; i < 6; i++)
        ipc_free(all[i]);
    if (b->client >= 0)
        close(b->client);
    if (b->setup.control_fd >= 0)
        close(b->setup.control_fd);
    close(b->setup.outbox.dir);
    rmdir(b->outbox);
    loop_free(b->setup.loop);
    crypto_free(b->setup.crypto);
    free(b->ledger);
    free(b->openings);
    return 0;
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 8; i++) {
        loop_wake(b->setup.loop);
        assert_int_equal(state_turn(b->state), ERROR_AGAIN);
    }
}

static struct ipc_message expect(struct ipc *at, uint16_t kind)
{
    struct ipc_message m;
    assert_int_equal(ipc_receive(at, &m), 0);
    assert_int_equal(m.kind, kind);
    return m;
}

static void expect_nothing(struct ipc *at)
{
    struct ipc_message m;
    assert_int_equal(ipc_receive(at, &m), ERROR_AGAIN);
}

static void keep_first_entry(struct bench *b)
{
    uint8_t record[64];
    const struct kept k = {.kind = KEPT_ENTRY, .time = 1, .bytes = (const uint8_t *)"root", .len = 4};
    struct files_log *log;
    int64_t len = kept_encode(&k, record, sizeof(record));
    assert_true(len > 0);
    assert_int_equal(files_log_open(&log, &b->setup.ledger, KEPT_LOG, 64, NULL, NULL, NULL), 0);
    assert_int_equal(files_log_append(log, record, (size_t)len), 0);
    files_log_close(log);
}

static void begin_member(struct bench *b)
{
    struct ipc_public keys = {.signing = {7}};
    listen_somewhere(b);
    keep_first_entry(b);
    assert_int_equal(state_new(&b->state, &b->setup), 0);
    assert_int_equal(ipc_send(b->keys, IPC_PUBLIC, &keys, sizeof(keys)), 0);
    turn(b);
}

static void skip_start(struct bench *b)
{
    expect(b->parent, IPC_CONFIGURE);
    expect(b->parent, IPC_STATE_READY);
    expect(b->engine, IPC_SELF);
    expect(b->engine, IPC_DEVICE);
}

static void ask(struct bench *b, const char *line)
{
    if (b->client < 0) {
        b->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(b->client, (struct sockaddr *)&b->address, sizeof(sa_family_t) + 6), 0);
        turn(b);
    }
    assert_int_equal(send(b->client, line, strlen(line), 0), strlen(line));
    assert_int_equal(send(b->client, "\n", 1, 0), 1);
    turn(b);
}

/* The caller releases it; NULL: none has come. */
static json_t *answer(struct bench *b)
{
    static char text[65536];
    turn(b);
    ssize_t len = recv(b->client, text, sizeof(text), MSG_DONTWAIT);
    return len > 0 ? json_loadb(text, (size_t)len, 0, NULL) : NULL;
}

static void expect_answer(struct bench *b, const char *field, const char *value)
{
    json_t *a = answer(b);
    assert_non_null(a);
    assert_int_equal(json_integer_value(json_object_get(a, "v")), 1);
    assert_string_equal(json_string_value(json_object_get(a, field)), value);
    json_decref(a);
}

/* ---- A member ---- */

static void what_was_kept_is_restored_before_others_are_told(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    assert_int_equal(fake_replica()->entries, 1);
    assert_int_equal(fake_replica()->begins, 1);
    assert_int_equal(fake_replica()->config.signing_public[0], 7);
    struct ipc_message m = expect(b->parent, IPC_CONFIGURE);
    struct ipc_configure configure;
    memcpy(&configure, m.bytes, sizeof(configure));
    assert_int_equal(configure.ipv6[1], 1);
    assert_int_equal(configure.ipv6_len, 48);
    expect(b->parent, IPC_STATE_READY);
    expect(b->engine, IPC_SELF);
    m = expect(b->engine, IPC_DEVICE);
    struct ipc_device d;
    struct ipc_grant grants[3];
    memcpy(&d, m.bytes, sizeof(d));
    memcpy(grants, m.bytes + sizeof(d), sizeof(grants));
    assert_int_equal(d.out_count, 2);
    assert_int_equal(d.in_count, 1);
    assert_int_equal(grants[0].low, 502);
    assert_int_equal(grants[2].protocol, GRANT_ICMP);
}

static void the_engine_hears_of_the_relays_rate_whenever_it_is_told(void **state)
{
    struct bench *b = *state;
    const struct ipc_note note = {.kind = NOTE_RELAY_RATE, .value = 2500};
    struct ipc_self self;
    begin_member(b);
    skip_start(b);
    assert_int_equal(ipc_send(b->parent, IPC_PARENT_NOTE, &note, sizeof(note)), 0);
    turn(b);
    struct ipc_message m = expect(b->engine, IPC_SELF);
    memcpy(&self, m.bytes, sizeof(self));
    assert_int_equal(self.relay_rate, 312500000);
    assert_int_equal(self.id[0], 1);
}

static void keep_and_say(struct replica *r)
{
    const struct device_id to = {{2}};
    r->ops->keep_entry(r->ops->context, 1, 2, VERDICT_STANDS, (const uint8_t *)"next", 4);
    struct disk *ledger = r->test;
    unsigned before = ledger->syncs;
    r->ops->send(r->ops->context, &to, (const uint8_t *)"frame", 5);
    assert_true(ledger->fail_on || ledger->syncs > before);
}

static void say_frame(struct bench *b)
{
    const struct ipc_frame from = {.device = {2}};
    fake_replica()->on_frame = keep_and_say;
    fake_replica()->test = b->ledger;
    assert_int_equal(ipc_send2(b->engine, IPC_FRAME, &from, sizeof(from), "x", 1), 0);
    turn(b);
}

static void what_is_said_rests_on_what_is_durable(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    say_frame(b);
    struct ipc_message m = expect(b->engine, IPC_FRAME);
    assert_int_equal(m.len, sizeof(struct ipc_frame) + 5);
}

static void a_full_disk_is_told_and_ends_nothing(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    b->ledger->fail_at = b->ledger->operations + 1;
    b->ledger->failure = ENOSPC;
    b->ledger->fail_on = true;
    say_frame(b);
    expect(b->engine, IPC_FRAME);
    ask(b, "{\"v\":1,\"cmd\":\"status\"}");
    struct ipc_message m = expect(b->engine, IPC_ASK_STATUS);
    struct ipc_status status = {0};
    memcpy(&status.number, m.bytes, sizeof(status.number));
    assert_int_equal(ipc_send(b->engine, IPC_STATUS, &status, sizeof(status)), 0);
    json_t *a = answer(b), *problem = json_array_get(json_object_get(a, "problems"), 0);
    assert_string_equal(json_string_value(json_object_get(problem, "code")), "disk");
    json_decref(a);
    b->ledger->fail_at = 0;
}

static void status_says_who_where_and_by_which_path(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    const struct ipc_note note = {.kind = NOTE_DARKENED}, keep = {.kind = NOTE_KEEP_PORT, .value = 22};
    assert_int_equal(ipc_send(b->parent, IPC_PARENT_NOTE, &note, sizeof(note)), 0);
    assert_int_equal(ipc_send(b->parent, IPC_PARENT_NOTE, &keep, sizeof(keep)), 0);
    ask(b, "{\"v\":1,\"cmd\":\"status\"}");
    struct ipc_message m = expect(b->engine, IPC_ASK_STATUS);
    struct ipc_status status = {.peer_count = 1, .more = 1, .counter_count = 2, .counters = {5, 6}};
    memcpy(&status.number, m.bytes, sizeof(status.number));
    const struct ipc_peer_status peer = {.id = {2},
                                         .path = IPC_PATH_DIRECT,
                                         .endpoint = {.address = {10, 9, 0, 1}, .port = 99, .family = 4},
                                         .rtt = 5000,
                                         .rx_bytes = 8};
    assert_int_equal(ipc_send2(b->engine, IPC_STATUS, &status, sizeof(status), &peer, sizeof(peer)), 0);
    assert_null(answer(b));
    status.more = status.peer_count = 0;
    assert_int_equal(ipc_send(b->engine, IPC_STATUS, &status, sizeof(status)), 0);
    json_t *a = answer(b);
    const char *device = NULL, *name = NULL, *kind = NULL, *endpoint = NULL, *open = NULL;
    int rtt = 0, rx = 0, darkened = 0, refused = 0, up = 0, version = 0;
    assert_int_equal(json_unpack(a, "{s:s, s:b, s:i, s:[{s:s, s:i, s:{s:s, s:s, s:i}}], s:{s:b, s:[s]}, s:{s:i}}",
                                 "device", &device, "up", &up, "policy_version", &version, "peers", "device", &name,
                                 "rx_bytes", &rx, "path", "kind", &kind, "endpoint", &endpoint, "rtt_us", &rtt,
                                 "strangers", "darkened", &darkened, "open", &open, "counters", "refused", &refused),
                     0);
    assert_string_equal(device, "hub");
    assert_string_equal(name, "plc-1");
    assert_string_equal(kind, "direct");
    assert_string_equal(endpoint, "10.9.0.1:99");
    assert_string_equal(open, "tcp/22");
    assert_true(up && darkened && version == 3 && rtt == 5 && rx == 8 && refused == 5);
    json_decref(a);
}

static json_t *path_of(struct bench *b, const struct ipc_peer_status *peer)
{
    ask(b, "{\"v\":1,\"cmd\":\"status\"}");
    struct ipc_message m = expect(b->engine, IPC_ASK_STATUS);
    struct ipc_status status = {.peer_count = 1};
    memcpy(&status.number, m.bytes, sizeof(status.number));
    assert_int_equal(ipc_send2(b->engine, IPC_STATUS, &status, sizeof(status), peer, sizeof(*peer)), 0);
    json_t *a = answer(b);
    json_t *path = json_incref(json_object_get(json_array_get(json_object_get(a, "peers"), 0), "path"));
    json_decref(a);
    return path;
}

static void status_says_why_a_peer_is_relayed_and_what_carries_it(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    struct ipc_peer_status peer = {
        .id = {2}, .path = IPC_PATH_RELAYED, .why = MESH_WHY_NAT_HERE, .native = 1 + AEAD_AES_256_GCM};
    json_t *path = path_of(b, &peer);
    assert_string_equal(json_string_value(json_object_get(path, "why")),
                        "this NAT shows each destination another port");
    assert_string_equal(json_string_value(json_object_get(path, "transport")), "native-aes-256-gcm");
    json_decref(path);
    peer.path = IPC_PATH_DIRECT;
    peer.native = 0;
    path = path_of(b, &peer);
    assert_true(json_is_null(json_object_get(path, "why")));
    assert_string_equal(json_string_value(json_object_get(path, "transport")), "wireguard");
    json_decref(path);
    peer.path = IPC_PATH_NONE;
    path = path_of(b, &peer);
    assert_true(json_is_null(json_object_get(path, "transport")));
    json_decref(path);
}

static void ping_asks_the_engine_and_knows_only_whom_it_may_reach(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    ask(b, "{\"v\":1,\"cmd\":\"ping\",\"device\":\"plc-1\"}");
    struct ipc_message m = expect(b->engine, IPC_PING);
    struct ipc_ping ping;
    memcpy(&ping, m.bytes, sizeof(ping));
    assert_int_equal(ping.id[0], 2);
    struct ipc_pong pong = {.number = ping.number + 1, .path = IPC_PATH_DIRECT, .rtt = 7000};
    assert_int_equal(ipc_send(b->engine, IPC_PONG, &pong, sizeof(pong)), 0);
    assert_null(answer(b));
    pong.number = ping.number;
    assert_int_equal(ipc_send(b->engine, IPC_PONG, &pong, sizeof(pong)), 0);
    expect_answer(b, "path", "direct");
    ask(b, "{\"v\":1,\"cmd\":\"ping\",\"device\":\"plc-1\"}");
    m = expect(b->engine, IPC_PING);
    memcpy(&pong.number, m.bytes, sizeof(pong.number));
    pong.rtt = 0;
    assert_int_equal(ipc_send(b->engine, IPC_PONG, &pong, sizeof(pong)), 0);
    expect_answer(b, "error", "plc-1 did not answer.");
}

static void flows_are_told_as_the_engine_sees_them(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    ask(b, "{\"v\":1,\"cmd\":\"flows\",\"device\":\"plc-1\"}");
    struct ipc_message m = expect(b->engine, IPC_ASK_FLOWS);
    struct ipc_ask_flows asked;
    memcpy(&asked, m.bytes, sizeof(asked));
    assert_int_equal(asked.id[0], 2);
    const struct ipc_flows flows = {.number = asked.number, .count = 2, .more = 3};
    const struct ipc_flow list[] = {{.outgoing = 1, .protocol = 6, .port = 502, .count = 4, .idle = 9},
                                    {.peer = {2}, .count = 1}};
    assert_int_equal(ipc_send2(b->engine, IPC_FLOWS, &flows, sizeof(flows), list, sizeof(list)), 0);
    json_t *a = answer(b);
    const char *device = NULL, *protocol = NULL, *direction = NULL, *relayed = NULL, *peer = NULL;
    int port = 0, count = 0, idle = 0, more = 0;
    assert_int_equal(json_unpack(a, "{s:s, s:i, s:[{s:s, s:s, s:i, s:i, s:i}, {s:s, s:s}]}", "device", &device, "more",
                                 &more, "flows", "protocol", &protocol, "direction", &direction, "port", &port, "count",
                                 &count, "idle_s", &idle, "protocol", &relayed, "peer", &peer),
                     0);
    assert_string_equal(device, "plc-1");
    assert_string_equal(protocol, "tcp");
    assert_string_equal(direction, "out");
    assert_true(port == 502 && count == 4 && idle == 9 && more == 3);
    assert_string_equal(relayed, "relayed");
    assert_string_equal(peer, "plc-1");
    json_decref(a);
    ask(b, "{\"v\":1,\"cmd\":\"flows\",\"device\":\"plc-9\"}"); /* who is not known here has none */
    a = answer(b);
    assert_int_equal(json_array_size(json_object_get(a, "flows")), 0);
    assert_true(json_is_array(json_object_get(a, "flows")));
    json_decref(a);
    expect_nothing(b->engine);
}

/* Whether the relays said no makes no difference, not in time either. */
static void a_ping_of_whom_we_do_not_know_asks_for_an_introduction(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    ask(b, "{\"v\":1,\"cmd\":\"ping\",\"device\":\"plc-2\"}");
    struct ipc_message m = expect(b->engine, IPC_SEEK);
    assert_int_equal(m.len, 5);
    assert_memory_equal(m.bytes, "plc-2", 5);
    const struct replica_device d = {.id = {{3}}, .flags = REPLICA_MEMBER, .name = "plc-2"};
    fake_replica()->ops->device(fake_replica()->ops->context, &d);
    struct ipc_pong pong = {.path = IPC_PATH_RELAYED, .rtt = 7000};
    (void)expect(b->engine, IPC_DEVICE);
    m = expect(b->engine, IPC_PING);
    memcpy(&pong.number, m.bytes, sizeof(pong.number));
    assert_int_equal(ipc_send(b->engine, IPC_PONG, &pong, sizeof(pong)), 0);
    expect_answer(b, "device", "plc-2");
    fake_replica()->ops->device(fake_replica()->ops->context, &d);
    (void)expect(b->engine, IPC_DEVICE);
    expect_nothing(b->engine);
    ask(b, "{\"v\":1,\"cmd\":\"ping\",\"device\":\"nobody\"}");
    (void)expect(b->engine, IPC_SEEK);
    assert_null(answer(b));
    usleep(2100000);
    expect_answer(b, "error", "No device called nobody can be reached from here.");
}

static void down_is_told_the_parent(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    ipc_set_phase(b->parent, IPC_RUNNING);
    ask(b, "{\"v\":1,\"cmd\":\"down\"}");
    expect(b->parent, IPC_STOP);
    json_t *a = answer(b);
    assert_true(json_is_true(json_object_get(a, "ok")));
    json_decref(a);
}

/* ---- The outbox ---- */

#define HASH_TEXT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static bool is_in_outbox(struct bench *b, const char *name)
{
    return faccessat(b->setup.outbox.dir, name, F_OK, 0) == 0;
}

static void a_submission_stays_until_its_outcome_is_known(void **state)
{
    struct bench *b = *state;
    uint8_t hash[SHA256_SIZE];
    assert_int_equal(files_write(&b->setup.outbox, HASH_TEXT, "submission", 10), 0);
    begin_member(b);
    skip_start(b);
    assert_int_equal(fake_replica()->submissions, 1);
    ask(b, "{\"v\":1,\"cmd\":\"outcome\",\"statement\":\"" HASH_TEXT "\"}");
    expect_answer(b, "outcome", "pending");
    assert_true(is_in_outbox(b, HASH_TEXT));
    assert_true(kept_name_parse(hash, HASH_TEXT));
    fake_replica()->ops->outcome(fake_replica()->ops->context, hash, VERDICT_STANDS, 9);
    assert_false(is_in_outbox(b, HASH_TEXT));
    ask(b, "{\"v\":1,\"cmd\":\"outcome\",\"statement\":\"" HASH_TEXT "\"}");
    expect_answer(b, "outcome", "stands");
}

static void what_was_heard_before_a_restart_is_told_from_the_ledger(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    fake_replica()->has_sequenced = true;
    assert_true(kept_name_parse(fake_replica()->sequenced, HASH_TEXT));
    ask(b, "{\"v\":1,\"cmd\":\"outcome\",\"statement\":\"" HASH_TEXT "\"}");
    expect_answer(b, "outcome", "stands");
}

static void a_refusal_comes_with_its_sentence(void **state)
{
    struct bench *b = *state;
    uint8_t hash[SHA256_SIZE];
    begin_member(b);
    skip_start(b);
    assert_int_equal(files_write(&b->setup.outbox, HASH_TEXT, "submission", 10), 0);
    ask(b, "{\"v\":1,\"cmd\":\"knock\"}");
    json_decref(answer(b));
    assert_int_equal(fake_replica()->submissions, 1);
    assert_true(kept_name_parse(hash, HASH_TEXT));
    fake_replica()->ops->outcome(fake_replica()->ops->context, hash, VERDICT_NAME_TAKEN, 0);
    assert_false(is_in_outbox(b, HASH_TEXT));
    ask(b, "{\"v\":1,\"cmd\":\"outcome\",\"statement\":\"" HASH_TEXT "\"}");
    expect_answer(b, "sentence", fold_verdict_sentence(VERDICT_NAME_TAKEN));
}

static void expect_problems(struct bench *b, const char *code, size_t count)
{
    ask(b, "{\"v\":1,\"cmd\":\"status\"}");
    struct ipc_message m = expect(b->engine, IPC_ASK_STATUS);
    struct ipc_status status = {0};
    memcpy(&status.number, m.bytes, sizeof(status.number));
    assert_int_equal(ipc_send(b->engine, IPC_STATUS, &status, sizeof(status)), 0);
    json_t *a = answer(b), *list = json_object_get(a, "problems");
    assert_int_equal(json_array_size(list), count);
    if (count)
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "code")), code);
    json_decref(a);
}

static void what_keys_and_parent_tell_is_a_problem_until_it_has_passed(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    struct ipc_number trouble = {.number = (uint32_t)-ERROR_NO_SPACE};
    assert_int_equal(ipc_send(b->keys, IPC_KEYS_TROUBLE, &trouble, sizeof(trouble)), 0);
    expect_problems(b, "timestamps-not-kept", 1);
    trouble.number = 0;
    assert_int_equal(ipc_send(b->keys, IPC_KEYS_TROUBLE, &trouble, sizeof(trouble)), 0);
    expect_problems(b, NULL, 0);
    struct ipc_configured configured = {.error = ERROR_GONE};
    assert_int_equal(ipc_send(b->parent, IPC_CONFIGURED, &configured, sizeof(configured)), 0);
    expect_problems(b, "interface", 1);
    configured = (struct ipc_configured){.ipv4_left_out = 1};
    assert_int_equal(ipc_send(b->parent, IPC_CONFIGURED, &configured, sizeof(configured)), 0);
    expect_problems(b, "ipv4-left-out", 1);
    configured = (struct ipc_configured){.overlay_open = 1};
    assert_int_equal(ipc_send(b->parent, IPC_CONFIGURED, &configured, sizeof(configured)), 0);
    expect_problems(b, "overlay-open", 1);
    configured = (struct ipc_configured){0};
    assert_int_equal(ipc_send(b->parent, IPC_CONFIGURED, &configured, sizeof(configured)), 0);
    expect_problems(b, NULL, 0);
    fake_replica()->self.controller = true;
    struct ipc_note note = {.kind = NOTE_CONTROLLER_DOWN};
    assert_int_equal(ipc_send(b->parent, IPC_PARENT_NOTE, &note, sizeof(note)), 0);
    expect_problems(b, "controller-down", 1);
    note.kind = NOTE_CONTROLLER_UP;
    assert_int_equal(ipc_send(b->parent, IPC_PARENT_NOTE, &note, sizeof(note)), 0);
    expect_problems(b, NULL, 0);
}

static void a_refusal_that_nobody_waited_for_is_a_problem(void **state)
{
    struct bench *b = *state;
    uint8_t hash[SHA256_SIZE];
    begin_member(b);
    skip_start(b);
    assert_true(kept_name_parse(hash, HASH_TEXT));
    fake_replica()->ops->outcome(fake_replica()->ops->context, hash, VERDICT_ADDRESS_TAKEN, 0);
    expect_problems(b, "refused", 1);
    ask(b, "{\"v\":1,\"cmd\":\"outcome\",\"statement\":\"" HASH_TEXT "\"}");
    expect_answer(b, "outcome", "refused");
    expect_problems(b, NULL, 0);
}

static void a_submission_stays_while_the_disk_does_not_take_its_outcome(void **state)
{
    struct bench *b = *state;
    uint8_t hash[SHA256_SIZE];
    assert_int_equal(files_write(&b->setup.outbox, HASH_TEXT, "submission", 10), 0);
    begin_member(b);
    skip_start(b);
    b->ledger->fail_at = b->ledger->operations + 1;
    b->ledger->failure = ENOSPC;
    b->ledger->fail_on = true;
    say_frame(b);
    assert_true(kept_name_parse(hash, HASH_TEXT));
    fake_replica()->ops->outcome(fake_replica()->ops->context, hash, VERDICT_STANDS, 9);
    assert_true(is_in_outbox(b, HASH_TEXT));
    b->ledger->fail_at = 0;
    assert_int_equal(unlinkat(b->setup.outbox.dir, HASH_TEXT, 0), 0);
}

static void what_is_no_submission_is_taken_out_as_malformed(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    fake_replica()->submit_error = ERROR_MALFORMED;
    assert_int_equal(files_write(&b->setup.outbox, HASH_TEXT, "garbage", 7), 0);
    assert_int_equal(files_write(&b->setup.outbox, "README", "?", 1), 0);
    ask(b, "{\"v\":1,\"cmd\":\"knock\"}");
    json_decref(answer(b));
    assert_false(is_in_outbox(b, HASH_TEXT));
    assert_true(is_in_outbox(b, "README"));
    assert_int_equal(unlinkat(b->setup.outbox.dir, "README", 0), 0);
}

/* ---- A relay's question ---- */

static void who_may_meet_is_answered_to_the_engine(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    skip_start(b);
    uint8_t bytes[FRAME_MAX];
    const struct frame ask_frame = {.kind = FRAME_INTRODUCE,
                                    .introduce = {.number = 1, .has_device = true, .device = {3}}};
    int len = frame_encode(&ask_frame, bytes, sizeof(bytes));
    assert_true(len > 0);
    struct ipc_meet meet = {.question = 77, .asker = {2}};
    struct ipc_met met;
    for (uint8_t asker = 2; asker < 4; asker++) {
        meet.asker[0] = asker;
        assert_int_equal(ipc_send2(b->engine, IPC_MEET, &meet, sizeof(meet), bytes, (size_t)len), 0);
        turn(b);
        struct ipc_message m = expect(b->engine, IPC_MET);
        memcpy(&met, m.bytes, sizeof(met));
        assert_int_equal(met.question, 77);
        assert_int_equal(met.allowed, asker == 2);
        assert_int_equal(met.asker_len, asker == 2 ? 3 : 0);
    }
    assert_int_equal(ipc_send2(b->engine, IPC_MEET, &meet, sizeof(meet), "junk", 4), 0);
    turn(b);
    struct ipc_message m = expect(b->engine, IPC_MET);
    memcpy(&met, m.bytes, sizeof(met));
    assert_int_equal(met.allowed, 0);
}

/* ---- Joining ---- */

static void leave_ticket(struct bench *b)
{
    static char text[TICKET_TEXT_MAX];
    struct ticket t = {.network = {{9}},
                       .network_name = "plant",
                       .invite = {(const uint8_t *)"invite", 6},
                       .opening = {(const uint8_t *)"opening", 7},
                       .relay_count = 1,
                       .relays = {{.endpoint = {.address = {10, 9, 0, 1}, .port = 9, .family = 4}}}};
    int len = ticket_print(b->setup.crypto, &t, text, sizeof(text));
    assert_true(len > 0);
    assert_int_equal(files_write(&b->setup.ledger, KEPT_TICKET, text, (size_t)len), 0);
}

static void joins_well(struct replica *r)
{
    r->ops->keep_entry(r->ops->context, 0, 2, VERDICT_STANDS, (const uint8_t *)"root", 4);
    r->ops->erase_seed(r->ops->context);
    r->ops->joined(r->ops->context, VERDICT_STANDS, REPLICA_JOIN_NO_REASON);
}

static void is_refused(struct replica *r)
{
    r->ops->joined(r->ops->context, VERDICT_USED, REPLICA_JOIN_NO_REASON);
}

static void join(struct bench *b, void (*on_join)(struct replica *r))
{
    struct ipc_public keys = {.signing = {7}, .invite = {8}};
    leave_ticket(b);
    ipc_set_phase(b->parent, IPC_JOINING);
    assert_int_equal(state_new(&b->state, &b->setup), 0);
    assert_int_equal(ipc_send(b->keys, IPC_PUBLIC, &keys, sizeof(keys)), 0);
    turn(b);
    ipc_set_phase(b->keys, IPC_RUNNING);
    expect(b->keys, IPC_BUILD_JOIN);
    fake_replica()->on_join = on_join;
    assert_int_equal(ipc_send(b->keys, IPC_JOIN_BUILT, "join", 4), 0);
    turn(b);
    assert_int_equal(fake_replica()->joins, 1);
}

static void joining_ends_when_the_seed_is_erased(void **state)
{
    struct bench *b = *state;
    join(b, joins_well);
    expect(b->keys, IPC_ERASE_SEED);
    expect_nothing(b->parent);
    assert_null(disk_find(b->ledger, KEPT_TICKET));
    assert_non_null(disk_find(b->ledger, KEPT_LOG));
    assert_int_equal(ipc_send(b->keys, IPC_SEED_ERASED, NULL, 0), 0);
    turn(b);
    struct ipc_message m = expect(b->parent, IPC_JOIN_RESULT);
    struct ipc_join_result result;
    memcpy(&result, m.bytes, sizeof(result));
    assert_int_equal(result.done, 1);
}

static void a_refused_join_keeps_the_ticket_and_says_why(void **state)
{
    struct bench *b = *state;
    join(b, is_refused);
    struct ipc_message m = expect(b->parent, IPC_JOIN_RESULT);
    struct ipc_join_result result;
    memcpy(&result, m.bytes, sizeof(result));
    assert_int_equal(result.done, 0);
    assert_int_equal(result.verdict, VERDICT_USED);
    assert_non_null(disk_find(b->ledger, KEPT_TICKET));
    expect_nothing(b->keys);
}

static void a_full_disk_keeps_the_seed(void **state)
{
    struct bench *b = *state;
    struct ipc_public keys = {.signing = {7}, .invite = {8}};
    leave_ticket(b);
    ipc_set_phase(b->parent, IPC_JOINING);
    assert_int_equal(state_new(&b->state, &b->setup), 0);
    assert_int_equal(ipc_send(b->keys, IPC_PUBLIC, &keys, sizeof(keys)), 0);
    turn(b);
    b->ledger->fail_at = b->ledger->operations + 1;
    b->ledger->failure = ENOSPC;
    b->ledger->fail_on = true;
    ipc_set_phase(b->keys, IPC_RUNNING);
    expect(b->keys, IPC_BUILD_JOIN);
    fake_replica()->on_join = joins_well;
    assert_int_equal(ipc_send(b->keys, IPC_JOIN_BUILT, "join", 4), 0);
    turn(b);
    expect_nothing(b->keys);
    struct ipc_message m = expect(b->parent, IPC_JOIN_RESULT);
    struct ipc_join_result result;
    memcpy(&result, m.bytes, sizeof(result));
    assert_int_equal(result.done, 0);
    assert_int_equal(result.reason, JOIN_REASON_DISK);
    b->ledger->fail_at = 0;
}

static void a_process_that_ends_takes_the_state_with_it(void **state)
{
    struct bench *b = *state;
    begin_member(b);
    ipc_free(b->engine);
    b->engine = NULL;
    int error = ERROR_AGAIN;
    for (int i = 0; i < 8 && error == ERROR_AGAIN; i++) {
        loop_wake(b->setup.loop);
        error = state_turn(b->state);
    }
    assert_int_equal(error, 0);
}

#define state_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        state_test(what_was_kept_is_restored_before_others_are_told),
        state_test(the_engine_hears_of_the_relays_rate_whenever_it_is_told),
        state_test(what_is_said_rests_on_what_is_durable),
        state_test(a_full_disk_is_told_and_ends_nothing),
        state_test(status_says_who_where_and_by_which_path),
        state_test(status_says_why_a_peer_is_relayed_and_what_carries_it),
        state_test(ping_asks_the_engine_and_knows_only_whom_it_may_reach),
        state_test(a_ping_of_whom_we_do_not_know_asks_for_an_introduction),
        state_test(down_is_told_the_parent),
        state_test(a_submission_stays_until_its_outcome_is_known),
        state_test(what_was_heard_before_a_restart_is_told_from_the_ledger),
        state_test(a_refusal_comes_with_its_sentence),
        state_test(what_keys_and_parent_tell_is_a_problem_until_it_has_passed),
        state_test(a_refusal_that_nobody_waited_for_is_a_problem),
        state_test(a_submission_stays_while_the_disk_does_not_take_its_outcome),
        state_test(what_is_no_submission_is_taken_out_as_malformed),
        state_test(who_may_meet_is_answered_to_the_engine),
        state_test(flows_are_told_as_the_engine_sees_them),
        state_test(joining_ends_when_the_seed_is_erased),
        state_test(a_refused_join_keeps_the_ticket_and_says_why),
        state_test(a_full_disk_keeps_the_seed),
        state_test(a_process_that_ends_takes_the_state_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
