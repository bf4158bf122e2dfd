/* Engine processes as they are, over the loopback interface; the test plays parent, keys, state and controller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mesh/mesh.h"
#include "net/loop.h"
#include "net/tun.h"
#include "net/udp.h"
#include "proc/drop.h"
#include "proc/messages.h"
#include "proc/permits.h"
#include "proc/spawn.h"
#include "tunnel/static_step.h"

#include "../../../node/roles.h"

#define NODES 4
#define PATIENCE (8 * SECOND)
#define FD_LOW 3
#define FD_HIGH 10
#define PORT 7000

enum who { RELAY, ALICE, BOB, JOINER };
enum side { PARENT, KEYS, STATE, CONTROLLER, SIDES };

struct node {
    struct world *world;
    uint32_t number;
    pid_t pid;
    struct ipc *ipc[SIDES];
    struct crypto *crypto;
    uint8_t private_key[2][X25519_SIZE]; /* by enum static_key_slot */
    struct ipc_public public_keys;
    uint8_t id[IPC_ID_SIZE];
    uint16_t port;
    uint32_t steps;
    /* What its state heard. */
    bool ready, link[NODES];
    bool learns; /* what its state is told of others, it lets them do */
    uint32_t frames, intruders, seen, meets, learned;
    struct ipc_frame frame;
    uint8_t body[FRAME_MAX];
    uint32_t body_len;
    uint32_t controller_frames;
    struct ipc_pong pong;
    uint32_t pongs;
    uint32_t peers_gone;
    uint8_t gates[NODES][IPC_GATE_SIZE]; /* that keys is to keep */
    struct ipc_status status;
    struct ipc_peer_status peers[NODES];
    int socket; /* in the namespace of its TUN; -1: it has none */
};

struct world {
    struct node nodes[NODES];
    uint64_t stamps;
    bool tuns; /* Alice and Bob have one each */
};

static void tell_rule(struct world *w, enum who at, enum who other, uint16_t out, uint16_t in);

/* ---- Processes ---- */

/* In the child: the descriptors where an engine expects them, and no others there. */
static void place_descriptors(const int from[FD_HIGH])
{
    int high[FD_HIGH];
    for (int to = FD_LOW; to < FD_HIGH; to++)
        high[to] = from[to] >= 0 ? fcntl(from[to], F_DUPFD, 200) : -1;
    for (int to = FD_LOW; to < FD_HIGH; to++)
        if (high[to] < 0)
            close(to);
        else
            dup2(high[to], to);
}

/* ---- Namespaces ---- */

static struct sockaddr_in6 overlay_address(uint32_t number, uint16_t port)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    a.sin6_addr.s6_addr[0] = 0xfd;
    a.sin6_addr.s6_addr[15] = (uint8_t)(number + 1);
    return a;
}

/* The caller goes to a namespace of the node's own, with its TUN and a socket behind it; returns the TUN. */
static struct tun *enter_namespace(struct node *n)
{
    char command[160];
    struct tun *tun;
    struct sockaddr_in6 own = overlay_address(n->number, PORT);
    assert_int_equal(unshare(CLONE_NEWNET), 0);
    assert_int_equal(tun_open(&tun, "night0", &(struct tun_options){.mtu = 1360}), 0);
    snprintf(command, sizeof(command), "ip -6 address add fd00::%u/48 dev night0 nodad && ip link set night0 up",
             n->number + 1);
    assert_int_equal(system(command), 0);
    n->socket = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(n->socket, (struct sockaddr *)&own, sizeof(own)), 0);
    return tun;
}

static void start(struct node *n)
{
    struct tun *tun = NULL;
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int pairs[SIDES][2], udp[2], fds[FD_HIGH];
    static const int ours[SIDES] = {PROC_FD_PARENT, ENGINE_FD_KEYS, ENGINE_FD_STATE, ENGINE_FD_CONTROLLER};
    static const enum proc_role roles[SIDES] = {PROC_PARENT, PROC_KEYS, PROC_STATE, PROC_CONTROLLER};
    for (int to = 0; to < FD_HIGH; to++)
        fds[to] = -1;
    for (int side = 0; side < SIDES; side++) {
        assert_int_equal(spawn_pair(pairs[side]), 0);
        fds[ours[side]] = pairs[side][1];
    }
    assert_int_equal(udp_open_sockets(0, udp, &n->port), 0);
    fds[ENGINE_FD_UDP4] = udp[0];
    fds[ENGINE_FD_UDP6] = udp[1];
    if (n->world->tuns && (n->number == ALICE || n->number == BOB)) {
        tun = enter_namespace(n);
        fds[ENGINE_FD_TUN] = tun_fd(tun);
    }
    n->pid = fork();
    assert_true(n->pid >= 0);
    if (n->pid == 0) {
        place_descriptors(fds);
        _exit(engine_main(NULL));
    }
    for (int side = 0; side < SIDES; side++) {
        close(pairs[side][1]);
        assert_int_equal(permits_open(&n->ipc[side], pairs[side][0], roles[side], PROC_ENGINE), 0);
    }
    ipc_set_phase(n->ipc[KEYS], IPC_RUNNING);
    tun_close(tun);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    close(home);
    close(udp[0]);
    if (udp[1] >= 0)
        close(udp[1]);
}

/* ---- Keys ---- */

static void make_keys(struct node *n)
{
    uint8_t *public_keys[] = {n->public_keys.own, n->public_keys.invite};
    for (int slot = 0; slot < 2; slot++) {
        for (int i = 0; i < X25519_SIZE; i++)
            n->private_key[slot][i] = (uint8_t)rand();
        assert_int_equal(crypto_x25519_public(n->crypto, public_keys[slot], n->private_key[slot]), 0);
    }
}

static void serve_step(struct node *n, const struct ipc_message *m)
{
    struct static_step step;
    memcpy(&step, m->bytes, sizeof(step));
    n->steps++;
    if (step.text_kind == STATIC_STEP_SEAL_TEXT && step.text_len == MESSAGE_TIMESTAMP_SIZE) {
        memset(step.text, 0x40, MESSAGE_TIMESTAMP_SIZE);
        put_be64(step.text + 4, ++n->world->stamps);
    }
    static_step_run(&step, n->crypto, n->private_key[step.local]);
    assert_int_equal(ipc_send(n->ipc[KEYS], IPC_STEPPED, &step, sizeof(step)), 0);
}

/* What it is told to keep; our own is under our own key. */
static void note_gate(struct node *n, const struct ipc_message *m)
{
    struct ipc_gate gate;
    memcpy(&gate, m->bytes, sizeof(gate));
    for (int i = 0; i < NODES; i++)
        if (memcmp(n->world->nodes[i].public_keys.own, gate.static_key, IPC_PUBLIC_SIZE) == 0)
            memcpy(n->gates[i], gate.gate, IPC_GATE_SIZE);
}

/* ---- State ---- */

static struct node *by_id(struct world *w, const uint8_t id[IPC_ID_SIZE])
{
    for (uint32_t i = 0; i < NODES; i++)
        if (memcmp(w->nodes[i].id, id, IPC_ID_SIZE) == 0)
            return &w->nodes[i];
    return NULL;
}

/* Everyone may meet everyone. By address: the last byte says who. */
static void answer_meet(struct node *n, const struct ipc_message *m)
{
    const struct ipc_meet *meet = (const void *)m->bytes;
    struct frame ask;
    n->meets++;
    assert_int_equal(frame_decode(&ask, m->bytes + sizeof(*meet), m->len - sizeof(*meet)), 0);
    struct ipc_met met = {.question = meet->question, .allowed = 1, .asker_len = 5, .target_len = 6};
    if (ask.introduce.address.len == 16)
        memcpy(met.target, n->world->nodes[(ask.introduce.address.bytes[15] - 1) % NODES].id, sizeof(met.target));
    else
        memcpy(met.target, ask.introduce.device, sizeof(met.target));
    assert_int_equal(ipc_send2(n->ipc[STATE], IPC_MET, &met, sizeof(met), "askertarget", 11), 0);
}

static void take_link(struct node *n, const struct ipc_message *m)
{
    const struct ipc_link *link = (const void *)m->bytes;
    const struct node *other = by_id(n->world, link->id);
    if (other)
        n->link[other->number] = link->up;
}

/* Alice and Bob learn of nobody but each other. */
static void take_learned(struct node *n, const struct ipc_message *m)
{
    const struct ipc_learn *learn = (const void *)m->bytes;
    n->learned += learn->opening_len > 0;
    if (learn->opening_len > 0 && n->learns)
        tell_rule(n->world, n->number, n->number == ALICE ? BOB : ALICE, n->number == ALICE ? PORT : 0,
                  n->number == ALICE ? 0 : PORT);
}

static void take_frame(struct node *n, const struct ipc_message *m)
{
    n->frames++;
    n->body_len = m->len - (uint32_t)sizeof(n->frame);
    memcpy(&n->frame, m->bytes, sizeof(n->frame));
    memcpy(n->body, m->bytes + sizeof(n->frame), n->body_len);
}

static void take_state(struct node *n, const struct ipc_message *m)
{
    switch (m->kind) {
    case IPC_LINK:
        take_link(n, m);
        break;
    case IPC_MEET:
        answer_meet(n, m);
        break;
    case IPC_FRAME:
        take_frame(n, m);
        break;
    case IPC_LEARN:
        take_learned(n, m);
        break;
    case IPC_PONG:
        memcpy(&n->pong, m->bytes, sizeof(n->pong));
        n->pongs++;
        break;
    case IPC_STATUS:
        memcpy(&n->status, m->bytes, sizeof(n->status));
        assert_true(n->status.peer_count <= NODES);
        memcpy(n->peers, m->bytes + sizeof(n->status), n->status.peer_count * sizeof(n->peers[0]));
        break;
    default:
        n->intruders += m->kind == IPC_INTRUDER;
        n->seen += m->kind == IPC_SEEN;
    }
}

static void take(struct node *n, enum side side, const struct ipc_message *m)
{
    if (side == PARENT)
        n->ready = m->kind == IPC_READY;
    else if (side == KEYS && m->kind == IPC_STEP)
        serve_step(n, m);
    else if (side == KEYS && m->kind == IPC_GATE)
        note_gate(n, m);
    else if (side == KEYS)
        n->peers_gone += m->kind == IPC_PEER_GONE;
    else if (side == STATE)
        take_state(n, m);
    else
        n->controller_frames++;
}

/* ---- The loop of them all ---- */

static void pump(struct world *w)
{
    struct pollfd fds[NODES * SIDES];
    struct ipc_message m;
    for (uint32_t i = 0; i < NODES * SIDES; i++) {
        struct ipc *ipc = w->nodes[i / SIDES].ipc[i % SIDES];
        fds[i] = (struct pollfd){.fd = ipc ? ipc_fd(ipc) : -1, .events = POLLIN};
    }
    poll(fds, NODES * SIDES, 20);
    for (uint32_t i = 0; i < NODES * SIDES; i++) {
        struct node *n = &w->nodes[i / SIDES];
        while (n->ipc[i % SIDES] && ipc_receive(n->ipc[i % SIDES], &m) == 0)
            take(n, (enum side)(i % SIDES), &m);
    }
}

#define wait_for(w, condition)                                                                      \
    do {                                                                                            \
        for (uint64_t end_ = loop_monotonic() + PATIENCE; !(condition);) {                          \
            if (loop_monotonic() > end_)                                                            \
                fail_msg("%s: still not so after %u s", #condition, (unsigned)(PATIENCE / SECOND)); \
            pump(w);                                                                                \
        }                                                                                           \
    } while (0)

static void pump_for(struct world *w, uint64_t time)
{
    for (uint64_t end = loop_monotonic() + time; loop_monotonic() < end;)
        pump(w);
}

static struct world *world_with(bool tuns)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->tuns = tuns;
    mkdir("/run/nightjar", 0755);
    mkdir(DROP_EMPTY, 0755);
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *n = &w->nodes[i];
        n->world = w;
        n->number = i;
        n->socket = -1;
        memset(n->id, 0x21 + 0x11 * (int)i, sizeof(n->id));
        assert_int_equal(crypto_new(&n->crypto, CRYPTO_BULK_OPENSSL), 0);
        make_keys(n);
        start(n);
        assert_int_equal(ipc_send(n->ipc[KEYS], IPC_PUBLIC, &n->public_keys, sizeof(n->public_keys)), 0);
    }
    return w;
}

static struct world *world_new(void)
{
    return world_with(false);
}

/* An engine whose parent has gone ends, and says so by 0. */
static void world_free(struct world *w)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *n = &w->nodes[i];
        int status = -1;
        for (int side = 0; side < SIDES; side++) {
            ipc_free(n->ipc[side]);
            n->ipc[side] = NULL;
        }
        if (n->pid > 0) {
            assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
            assert_int_equal(status, 0);
        }
        if (n->socket >= 0)
            close(n->socket);
        crypto_free(n->crypto);
    }
    free(w);
}

/* ---- What the states say ---- */

static void tell(struct node *n, uint16_t kind, const void *message, size_t len)
{
    assert_int_equal(ipc_send(n->ipc[STATE], kind, message, len), 0);
}

static void tell_self(struct node *n, bool relay, bool joining)
{
    struct ipc_self self = {.relay = relay, .joining = joining};
    if (!joining)
        memcpy(self.id, n->id, sizeof(self.id));
    tell(n, IPC_SELF, &self, sizeof(self));
}

static void tell_device(struct world *w, enum who at, enum who other, uint32_t flags, const uint8_t key[X25519_SIZE])
{
    struct ipc_device d = {.flags = flags};
    const struct node *o = &w->nodes[other];
    memcpy(d.id, o->id, sizeof(d.id));
    memcpy(d.static_key, key, sizeof(d.static_key));
    if (flags & (MESH_RELAY | MESH_FOUNDING))
        d.endpoint = (struct ipc_underlay){.address = {127, 0, 0, 1}, .port = o->port, .family = 4};
    if (flags & MESH_MEMBER) {
        d.ipv6[0] = 0xfd;
        d.ipv6[15] = (uint8_t)(other + 1);
    }
    if (flags & (MESH_INVITE | MESH_USED_INVITE))
        d.id[IPC_ID_SIZE - 1] ^= 0xff;
    tell(&w->nodes[at], IPC_DEVICE, &d, sizeof(d));
}

static void tell_member(struct world *w, enum who at, enum who other)
{
    tell_device(w, at, other, MESH_MEMBER | (other == RELAY ? MESH_RELAY : 0u), w->nodes[other].public_keys.own);
}

/* A member with whom these UDP ports are allowed; 0: none. */
static void tell_rule(struct world *w, enum who at, enum who other, uint16_t out, uint16_t in)
{
    struct {
        struct ipc_device d;
        struct ipc_grant grants[2];
    } message = {.d = {.flags = MESH_MEMBER, .out_count = out != 0, .in_count = in != 0}};
    const struct node *o = &w->nodes[other];
    struct sockaddr_in6 address = overlay_address(other, 0);
    memcpy(message.d.id, o->id, sizeof(message.d.id));
    memcpy(message.d.static_key, o->public_keys.own, sizeof(message.d.static_key));
    memcpy(message.d.ipv6, &address.sin6_addr, sizeof(message.d.ipv6));
    message.grants[0] = (struct ipc_grant){.protocol = IPPROTO_UDP, .low = out ? out : in, .high = out ? out : in};
    message.grants[1] = (struct ipc_grant){.protocol = IPPROTO_UDP, .low = in, .high = in};
    uint32_t grants = message.d.out_count + message.d.in_count;
    tell(&w->nodes[at], IPC_DEVICE, &message, sizeof(message.d) + grants * sizeof(struct ipc_grant));
}

static void say(struct node *n, const uint8_t to[IPC_ID_SIZE], const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    struct ipc_frame message = {.invite = 0};
    int len = frame_encode(frame, bytes, sizeof(bytes));
    assert_true(len > 0);
    memcpy(message.device, to, sizeof(message.device));
    assert_int_equal(ipc_send2(n->ipc[STATE], IPC_FRAME, &message, sizeof(message), bytes, (size_t)len), 0);
}

/* Alice and Bob, who know each other and the relay. */
static struct world *a_network(void)
{
    struct world *w = world_new();
    for (uint32_t at = RELAY; at <= BOB; at++) {
        tell_self(&w->nodes[at], at == RELAY, false);
        for (uint32_t other = RELAY; other <= BOB; other++)
            if (other != at)
                tell_member(w, at, other);
    }
    wait_for(w, w->nodes[ALICE].link[RELAY] && w->nodes[BOB].link[RELAY]);
    wait_for(w, w->nodes[RELAY].link[ALICE] && w->nodes[RELAY].link[BOB]);
    return w;
}

static const struct frame a_get = {.kind = FRAME_GET, .get = {.what = SYNC_FOLD, .to = 5}};

/* ---- Tests ---- */

static void members_reach_each_other_through_the_relay_on_demand(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    assert_int_equal(w->nodes[RELAY].meets, 0);
    say(alice, bob->id, &a_get);
    wait_for(w, bob->frames == 1);
    assert_memory_equal(bob->frame.device, alice->id, IPC_ID_SIZE);
    assert_int_equal(bob->frame.invite, 0);
    assert_int_equal(bob->body[0], FRAME_GET);
    assert_true(w->nodes[RELAY].meets >= 1);
    assert_int_equal(w->nodes[RELAY].frames, 0); /* it carries, and reads nothing */
    say(bob, alice->id, &a_get);
    wait_for(w, alice->frames == 1);
    world_free(w);
}

static bool same_gate(const struct node *n, enum who holder, const uint8_t gate[IPC_GATE_SIZE])
{
    return memcmp(n->gates[holder], gate, IPC_GATE_SIZE) == 0 && !is_zero(gate, IPC_GATE_SIZE);
}

static void gate_keys_of_peers_are_kept_and_ours_is_replaced_when_one_goes(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *alice = &w->nodes[ALICE], *relay = &w->nodes[RELAY];
    wait_for(w, same_gate(alice, RELAY, relay->gates[RELAY]) && same_gate(relay, ALICE, alice->gates[ALICE]));
    uint8_t before[IPC_GATE_SIZE];
    memcpy(before, relay->gates[RELAY], sizeof(before));
    struct ipc_id gone;
    memcpy(gone.id, w->nodes[BOB].id, sizeof(gone.id));
    tell(relay, IPC_DEVICE_GONE, &gone, sizeof(gone));
    wait_for(w, relay->peers_gone == 1);
    wait_for(w, memcmp(before, relay->gates[RELAY], sizeof(before)) != 0);
    wait_for(w, same_gate(alice, RELAY, relay->gates[RELAY])); /* told in the session that there is */
    world_free(w);
}

static void the_gate_key_from_before_a_restart_is_the_one_that_is_told(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *alice = &w->nodes[ALICE], *relay = &w->nodes[RELAY];
    struct ipc_gate kept = {.gate = {1, 2, 3}};
    memcpy(kept.static_key, relay->public_keys.own, sizeof(kept.static_key));
    assert_int_equal(ipc_send(relay->ipc[KEYS], IPC_GATE, &kept, sizeof(kept)), 0);
    wait_for(w, same_gate(alice, RELAY, kept.gate));
    wait_for(w, same_gate(relay, RELAY, kept.gate)); /* keys may hear of it later than alice */
    world_free(w);
}

static void a_ping_says_how_long_and_by_which_way(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *alice = &w->nodes[ALICE];
    struct ipc_ping ping = {.number = 41};
    memcpy(ping.id, w->nodes[BOB].id, sizeof(ping.id));
    tell(alice, IPC_PING, &ping, sizeof(ping));
    wait_for(w, alice->pongs == 1);
    assert_int_equal(alice->pong.number, 41);
    assert_true(alice->pong.rtt > 0 && alice->pong.rtt < 2 * SECOND);
    /* Where this machine has an address besides loopback, the two soon find each other at it. */
    assert_true(alice->pong.path == IPC_PATH_RELAYED || alice->pong.path == IPC_PATH_DIRECT);
    if (alice->pong.path == IPC_PATH_RELAYED)
        assert_memory_equal(alice->pong.relay, w->nodes[RELAY].id, IPC_ID_SIZE);
    memcpy(ping.id, w->nodes[RELAY].id, sizeof(ping.id));
    tell(alice, IPC_PING, &ping, sizeof(ping));
    wait_for(w, alice->pongs == 2);
    assert_int_equal(alice->pong.path, IPC_PATH_DIRECT);
    world_free(w);
}

static void the_status_names_each_peer_and_its_path(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *alice = &w->nodes[ALICE];
    say(alice, w->nodes[BOB].id, &a_get);
    wait_for(w, w->nodes[BOB].frames == 1);
    tell(alice, IPC_ASK_STATUS, &(struct ipc_number){77}, sizeof(struct ipc_number));
    wait_for(w, alice->status.number == 77);
    assert_int_equal(alice->status.peer_count, 2);
    assert_int_equal(alice->status.more, 0);
    assert_true(alice->status.counter_count > 20);
    for (uint32_t i = 0; i < 2; i++) {
        const struct ipc_peer_status *p = &alice->peers[i];
        bool relay = memcmp(p->id, w->nodes[RELAY].id, IPC_ID_SIZE) == 0;
        assert_true(p->path == IPC_PATH_DIRECT || (!relay && p->path == IPC_PATH_RELAYED));
        assert_true(p->last_handshake > 0);
        if (relay)
            assert_int_equal(p->endpoint.port, w->nodes[RELAY].port);
        else if (p->path == IPC_PATH_RELAYED)
            assert_memory_equal(p->relay, w->nodes[RELAY].id, IPC_ID_SIZE);
    }
    world_free(w);
}

static void who_is_gone_is_not_answered_any_more(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *alice = &w->nodes[ALICE], *bob = &w->nodes[BOB];
    say(alice, bob->id, &a_get);
    wait_for(w, bob->frames == 1);
    struct ipc_id gone;
    memcpy(gone.id, alice->id, sizeof(gone.id));
    tell(bob, IPC_DEVICE_GONE, &gone, sizeof(gone));
    pump_for(w, SECOND / 10);
    say(alice, bob->id, &a_get);
    pump_for(w, SECOND);
    assert_int_equal(bob->frames, 1);
    world_free(w);
}

/* The invite's key is for the door; then the device's own is a member's. */
static void a_joiner_speaks_under_its_invite_and_then_as_itself(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *joiner = &w->nodes[JOINER], *relay = &w->nodes[RELAY];
    const struct frame join = {.kind = FRAME_JOIN, .join = {.statement = {(const uint8_t *)"statement", 9}}};
    tell_device(w, RELAY, JOINER, MESH_INVITE, joiner->public_keys.invite);
    tell_self(joiner, false, true);
    tell(joiner, IPC_USE_KEY, &(struct ipc_number){STATIC_KEY_INVITE}, sizeof(struct ipc_number));
    tell_member(w, JOINER, RELAY);
    wait_for(w, joiner->link[RELAY]);
    say(joiner, relay->id, &join);
    wait_for(w, relay->frames == 1);
    assert_int_equal(relay->frame.invite, 1);
    assert_int_equal(relay->body[0], FRAME_JOIN);
    tell_member(w, RELAY, JOINER);
    uint32_t seen = relay->seen;
    tell(joiner, IPC_USE_KEY, &(struct ipc_number){STATIC_KEY_OWN}, sizeof(struct ipc_number));
    say(joiner, relay->id, &a_get);
    wait_for(w, relay->frames == 2);
    assert_int_equal(relay->frame.invite, 0);
    assert_memory_equal(relay->frame.device, joiner->id, IPC_ID_SIZE);
    assert_int_equal(relay->seen, seen + 1);
    world_free(w);
}

static void a_used_invite_draws_nothing_but_an_alarm(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *thief = &w->nodes[JOINER];
    tell_device(w, RELAY, JOINER, MESH_USED_INVITE, thief->public_keys.invite);
    tell_self(thief, false, true);
    tell(thief, IPC_USE_KEY, &(struct ipc_number){STATIC_KEY_INVITE}, sizeof(struct ipc_number));
    tell_member(w, JOINER, RELAY);
    wait_for(w, w->nodes[RELAY].intruders > 0);
    pump_for(w, SECOND / 2);
    assert_false(thief->link[RELAY]);
    world_free(w);
}

static void the_hub_answers_the_founder_on_the_founding_key(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct node *hub = &w->nodes[RELAY], *founder = &w->nodes[ALICE], *other = &w->nodes[BOB];
    struct ipc_self self = {.relay = 1, .controller = 1, .answer_invite_key = 1};
    memcpy(self.id, hub->id, sizeof(self.id));
    memcpy(self.invite_peer, founder->id, sizeof(self.invite_peer));
    tell(hub, IPC_SELF, &self, sizeof(self));
    tell_member(w, RELAY, ALICE);
    tell_member(w, RELAY, BOB);
    tell_self(founder, false, false);
    tell_self(other, false, false);
    tell_device(w, ALICE, RELAY, MESH_FOUNDING | MESH_RELAY, hub->public_keys.invite);
    tell_device(w, BOB, RELAY, MESH_FOUNDING | MESH_RELAY, hub->public_keys.invite);
    say(founder, hub->id, &a_get);
    wait_for(w, founder->link[RELAY] && hub->frames == 1);
    tell_member(w, ALICE, RELAY); /* its join was seen: it has a key of its own */
    uint64_t begun = loop_monotonic();
    say(founder, hub->id, &a_get);
    wait_for(w, hub->frames == 2);
    assert_true(loop_monotonic() - begun < 2 * SECOND);
    pump_for(w, SECOND / 2);
    assert_false(other->link[RELAY]);
    world_free(w);
}

static void the_controller_speaks_with_its_own_state_alone(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *hub = &w->nodes[RELAY];
    uint8_t id[IPC_ID_SIZE];
    memset(id, 0xff, sizeof(id));
    say(hub, id, &a_get);
    wait_for(w, hub->controller_frames == 1);
    struct ipc_frame message = {.invite = 1};
    memcpy(message.device, w->nodes[BOB].id, sizeof(message.device));
    assert_int_equal(ipc_send2(hub->ipc[CONTROLLER], IPC_FRAME, &message, sizeof(message), "\x0b\xa0", 2), 0);
    wait_for(w, hub->frames == 1);
    assert_memory_equal(hub->frame.device, id, sizeof(id));
    assert_int_equal(hub->frame.invite, 0);
    ipc_free(hub->ipc[CONTROLLER]); /* its end is nobody else's */
    hub->ipc[CONTROLLER] = NULL;
    say(&w->nodes[ALICE], w->nodes[BOB].id, &a_get);
    wait_for(w, w->nodes[BOB].frames == 1);
    world_free(w);
}

static void who_ends_signs_off(void **state)
{
    (void)state;
    struct world *w = a_network();
    struct node *relay = &w->nodes[RELAY];
    int status;
    ipc_free(relay->ipc[PARENT]);
    relay->ipc[PARENT] = NULL;
    wait_for(w, !w->nodes[ALICE].link[RELAY] && !w->nodes[BOB].link[RELAY]);
    assert_int_equal(waitpid(relay->pid, &status, 0), relay->pid);
    assert_int_equal(status, 0);
    relay->pid = 0;
    world_free(w);
}

/* ---- With TUNs ---- */

static struct world *a_network_with_tuns(void)
{
    struct world *w = world_with(true);
    for (uint32_t at = RELAY; at <= BOB; at++) {
        tell_self(&w->nodes[at], at == RELAY, false);
        for (uint32_t other = RELAY; other <= BOB; other++)
            if (other != at && (at == RELAY || other == RELAY))
                tell_member(w, at, other);
    }
    wait_for(w, w->nodes[ALICE].link[RELAY] && w->nodes[BOB].link[RELAY]);
    wait_for(w, w->nodes[RELAY].link[ALICE] && w->nodes[RELAY].link[BOB]);
    return w;
}

static bool arrives(struct world *w, enum who from, enum who to, uint16_t port)
{
    char in[16];
    struct sockaddr_in6 address = overlay_address(to, port);
    for (int i = 0; i < 30; i++) {
        (void)!sendto(w->nodes[from].socket, "hello", 5, 0, (struct sockaddr *)&address, sizeof(address));
        pump_for(w, SECOND / 10);
        if (recv(w->nodes[to].socket, in, sizeof(in), 0) == 5)
            return true;
    }
    return false;
}

static void a_packet_to_an_unknown_address_finds_its_way(void **state)
{
    (void)state;
    struct world *w = a_network_with_tuns();
    w->nodes[ALICE].learns = w->nodes[BOB].learns = true;
    assert_true(arrives(w, ALICE, BOB, PORT));
    assert_true(w->nodes[ALICE].learned > 0 && w->nodes[BOB].learned > 0);
    assert_true(arrives(w, BOB, ALICE, PORT)); /* an answer */
    world_free(w);
}

static void policy_decides_which_packets_pass(void **state)
{
    (void)state;
    struct world *w = a_network_with_tuns();
    tell_rule(w, ALICE, BOB, PORT, 0);
    tell_rule(w, BOB, ALICE, 0, PORT + 1); /* Bob's state says otherwise, and decides what he takes */
    assert_false(arrives(w, ALICE, BOB, PORT));
    tell_rule(w, BOB, ALICE, 0, PORT);
    assert_true(arrives(w, ALICE, BOB, PORT));
    struct ipc_id gone;
    memcpy(gone.id, w->nodes[ALICE].id, sizeof(gone.id));
    tell(&w->nodes[BOB], IPC_DEVICE_GONE, &gone, sizeof(gone));
    pump_for(w, SECOND / 10);
    char in[16];
    while (recv(w->nodes[BOB].socket, in, sizeof(in), 0) > 0)
        continue;
    assert_false(arrives(w, ALICE, BOB, PORT));
    world_free(w);
}

/* What the state may not say ends the engine; an error is its status. */
static void a_message_of_another_kind_ends_the_process(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct node *n = &w->nodes[BOB];
    int status;
    wait_for(w, n->ready);
    assert_int_equal(ipc_send(n->ipc[STATE], IPC_STEP, "x", 1), 0);
    assert_int_equal(waitpid(n->pid, &status, 0), n->pid);
    assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
    n->pid = 0;
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_reach_each_other_through_the_relay_on_demand),
        cmocka_unit_test(gate_keys_of_peers_are_kept_and_ours_is_replaced_when_one_goes),
        cmocka_unit_test(the_gate_key_from_before_a_restart_is_the_one_that_is_told),
        cmocka_unit_test(a_ping_says_how_long_and_by_which_way),
        cmocka_unit_test(the_status_names_each_peer_and_its_path),
        cmocka_unit_test(who_is_gone_is_not_answered_any_more),
        cmocka_unit_test(a_joiner_speaks_under_its_invite_and_then_as_itself),
        cmocka_unit_test(a_used_invite_draws_nothing_but_an_alarm),
        cmocka_unit_test(the_hub_answers_the_founder_on_the_founding_key),
        cmocka_unit_test(the_controller_speaks_with_its_own_state_alone),
        cmocka_unit_test(who_ends_signs_off),
        cmocka_unit_test(a_packet_to_an_unknown_address_finds_its_way),
        cmocka_unit_test(policy_decides_which_packets_pass),
        cmocka_unit_test(a_message_of_another_kind_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
