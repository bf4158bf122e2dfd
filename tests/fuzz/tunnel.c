/* The tunnel's state machine: the input is a list of operations on two peers and on what is in flight between them, and
 * whatever it did, the two must understand each other again within SIM_HEAL_TIME of a network that works. */
#include "fuzz.h"

#include "node.h"
#include "sim.h"
#include "tunnel/internal.h"

#define FLIGHTS 32
#define PACKETS_MAX 4096
#define PACKET_LEN 64

struct flight {
    struct endpoint from, to;
    size_t len;
    uint8_t bytes[NODE_DATAGRAM_MAX];
    uint8_t original[NODE_DATAGRAM_MAX]; /* as it was sent; all zero: by nobody */
};

struct fuzz {
    const uint8_t *data;
    size_t size;
    struct node nodes[2];
    struct endpoint at[2];
    peer_id peer[2];
    struct flight flights[FLIGHTS];
    uint32_t head, count;
    uint8_t arrived[PACKETS_MAX]; /* 0: not sent; 1: sent; 2: arrived */
    uint32_t sent;
    uint32_t delivered[2];
};

static uint8_t take(struct fuzz *f)
{
    if (f->size == 0)
        return 0;
    f->size--;
    return *f->data++;
}

/* ---- What the nodes hand out ---- */

static void on_send(struct node *n, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
    struct fuzz *f = n->context;
    must(len <= NODE_DATAGRAM_MAX);
    if (f->count == FLIGHTS)
        return;
    struct flight *flight = &f->flights[(f->head + f->count++) % FLIGHTS];
    *flight = (struct flight){.from = f->at[n->number], .to = *to, .len = len};
    memcpy(flight->bytes, bytes, len);
    memcpy(flight->original, bytes, len);
}

static void write_packet(uint8_t out[PACKET_LEN], uint32_t id, uint32_t from)
{
    memset(out, (uint8_t)id, PACKET_LEN);
    memcpy(out, (uint8_t[]){0x45, 0, 0, PACKET_LEN,    0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, (uint8_t)from,
                            10,   0, 0, (uint8_t)!from},
           20);
    put_be32(out + 20, id);
}

static void on_deliver(struct node *n, peer_id from, const uint8_t *packet, size_t len)
{
    struct fuzz *f = n->context;
    uint8_t expected[PACKET_LEN];
    must(len == PACKET_LEN && from != 0 && from == f->peer[n->number]);
    uint32_t id = get_be32(packet + 20);
    must(id < f->sent);
    write_packet(expected, id, !n->number);
    must(memcmp(expected, packet, len) == 0);
    must(f->arrived[id] == 1);
    f->arrived[id] = 2;
    f->delivered[n->number]++;
}

static void on_persist(struct node *n, const uint8_t *public_key, const uint8_t *timestamp)
{
    must(tunnel_peer_find(n->tunnel, public_key) != 0);
    must(!is_zero(timestamp, MESSAGE_TIMESTAMP_SIZE));
}

static const struct node_owner owner = {.send = on_send, .deliver = on_deliver, .persist = on_persist};

/* ---- Operations ---- */

static void send_packet(struct fuzz *f, uint32_t who)
{
    uint8_t packet[PACKET_LEN];
    if (f->sent == PACKETS_MAX)
        return;
    write_packet(packet, f->sent, who);
    f->arrived[f->sent++] = 1;
    node_packet(&f->nodes[who], packet, sizeof(packet));
}

static void arrive(struct fuzz *f, const struct flight *flight)
{
    for (uint32_t who = 0; who < 2; who++)
        if (memcmp(f->at[who].address, flight->to.address, 16) == 0 && f->at[who].port == flight->to.port) {
            uint32_t before = f->delivered[who];
            node_datagram(&f->nodes[who], &flight->from, flight->bytes, flight->len);
            must(f->delivered[who] == before || memcmp(flight->bytes, flight->original, flight->len) == 0);
        }
}

static void deliver_next(struct fuzz *f)
{
    if (f->count == 0)
        return;
    struct flight flight = f->flights[f->head];
    f->head = (f->head + 1) % FLIGHTS;
    f->count--;
    arrive(f, &flight);
}

static void drop_next(struct fuzz *f)
{
    if (f->count == 0)
        return;
    f->head = (f->head + 1) % FLIGHTS;
    f->count--;
}

/* The next goes to the end of the queue; `twice`: and arrives as well. */
static void delay_next(struct fuzz *f, bool twice)
{
    if (f->count == 0)
        return;
    struct flight flight = f->flights[f->head];
    drop_next(f);
    f->flights[(f->head + f->count++) % FLIGHTS] = flight;
    if (twice)
        arrive(f, &flight);
}

static void put_macs(struct fuzz *f, uint32_t to, uint8_t *bytes, size_t len)
{
    struct cookie_known none = {.until = 0};
    if (len == sizeof(struct message_initiation) || len == sizeof(struct message_response))
        must(cookie_seal_message(&none, f->nodes[to].crypto, f->nodes[to].public_key, bytes, len, 0) == 0);
}

static void mutate_next(struct fuzz *f, bool macs)
{
    if (f->count == 0)
        return;
    struct flight *flight = &f->flights[f->head];
    uint8_t offset = take(f), change = take(f);
    flight->bytes[offset % flight->len] ^= change;
    if (macs)
        put_macs(f, flight->to.address[3] & 1, flight->bytes, flight->len);
}

static void inject(struct fuzz *f, uint32_t to, bool structured)
{
    const size_t lengths[] = {sizeof(struct message_initiation), sizeof(struct message_response),
                              sizeof(struct message_cookie_reply), MESSAGE_TRANSPORT_MIN, MESSAGE_NATIVE_MIN};
    struct flight flight = {.from = {.address = {203, 0, 113, 1}, .port = 1, .family = ENDPOINT_IPV4}, .to = f->at[to]};
    uint8_t kind = take(f) % 5;
    flight.len = structured ? lengths[kind] : take(f);
    for (size_t i = 0; i < flight.len; i++)
        flight.bytes[i] = take(f);
    if (structured) {
        memcpy(flight.bytes, (uint8_t[]){(uint8_t)(kind + 1), 0, 0, 0}, 4);
        put_macs(f, to, flight.bytes, flight.len);
    }
    arrive(f, &flight);
}

static void pass_time(struct fuzz *f)
{
    uint64_t ns = UINT64_C(1) << take(f) % 42; /* to an hour and more */
    for (int i = 0; i < 2; i++) {
        f->nodes[i].now.monotonic += ns;
        f->nodes[i].now.wall += ns;
    }
}

static void run_timers(struct fuzz *f)
{
    for (int i = 0; i < 2; i++)
        must(node_timer(&f->nodes[i]));
}

static void add_peer(struct fuzz *f, uint32_t who)
{
    if (f->peer[who] == 0)
        must(node_add_peer(&f->nodes[who], f->nodes[!who].public_key, (uint8_t[]){10, 0, 0, !who}, 32, &f->peer[who]) ==
             0);
}

static void remove_peer(struct fuzz *f, uint32_t who)
{
    node_remove_peer(&f->nodes[who], f->peer[who]);
    f->peer[who] = 0;
}

static void set_preshared_key(struct fuzz *f, uint32_t who, uint8_t first)
{
    const uint8_t key[MESSAGE_KEY_SIZE] = {first};
    tunnel_peer_set_preshared_key(f->nodes[who].tunnel, f->peer[who], key);
}

static void send_notice(struct fuzz *f, uint32_t who)
{
    struct tunnel_notice notice = {
        .peer = f->peer[who], .bits = take(f), .session = take(f), .from = f->at[take(f) & 1]};
    node_notice(&f->nodes[who], &notice);
}

static void set_floor(struct fuzz *f, uint32_t who)
{
    uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE] = {0x40, 0, 0, 0, take(f) & 0x60, take(f)};
    tunnel_peer_set_timestamp(f->nodes[who].tunnel, f->peer[who], timestamp);
}

static void deliver(struct fuzz *f, uint32_t who)
{
    (void)who;
    deliver_next(f);
}

static void drop(struct fuzz *f, uint32_t who)
{
    (void)who;
    drop_next(f);
}

static void delay(struct fuzz *f, uint32_t who)
{
    delay_next(f, who != 0);
}

static void mutate(struct fuzz *f, uint32_t who)
{
    mutate_next(f, who != 0);
}

static void inject_raw(struct fuzz *f, uint32_t who)
{
    inject(f, who, false);
}

static void inject_structured(struct fuzz *f, uint32_t who)
{
    inject(f, who, true);
}

static void go_on(struct fuzz *f, uint32_t who)
{
    (void)who;
    pass_time(f);
}

static void expire(struct fuzz *f, uint32_t who)
{
    (void)who;
    run_timers(f);
}

static void go_down(struct fuzz *f, uint32_t who)
{
    node_event(&f->nodes[who], TUNNEL_EVENT_DOWN);
}

static void come_up(struct fuzz *f, uint32_t who)
{
    node_event(&f->nodes[who], TUNNEL_EVENT_UP);
}

static void change_preshared_key(struct fuzz *f, uint32_t who)
{
    set_preshared_key(f, who, take(f) & 1);
}

static void set_endpoint(struct fuzz *f, uint32_t who)
{
    node_set_endpoint(&f->nodes[who], f->peer[who], &f->at[take(f) & 1]);
}

static void set_keepalive(struct fuzz *f, uint32_t who)
{
    node_set_keepalive(&f->nodes[who], f->peer[who], take(f));
}

static void set_key_again(struct fuzz *f, uint32_t who)
{
    must(node_set_key(&f->nodes[who], f->nodes[who].private_key) == 0);
}

static void change_load(struct fuzz *f, uint32_t who)
{
    f->nodes[who].under_load = !f->nodes[who].under_load;
}

static void hold_steps(struct fuzz *f, uint32_t who)
{
    f->nodes[who].hold_steps = true;
}

static void release_steps(struct fuzz *f, uint32_t who)
{
    f->nodes[who].hold_steps = false;
    node_release_steps(&f->nodes[who]);
}

static void set_clock(struct fuzz *f, uint32_t who)
{
    f->nodes[who].now.wall = (uint64_t)take(f) << 54;
}

static void forget_local(struct fuzz *f, uint32_t who)
{
    tunnel_peer_forget_local(f->nodes[who].tunnel, f->peer[who]);
}

static void move(struct fuzz *f, uint32_t who)
{
    f->at[who].port ^= 1;
}

/* The other's hello, as far as it tells what is opened as native transport. */
static void hear(struct fuzz *f, uint32_t who)
{
    const struct peer *p = tunnel_peer(f->nodes[who].tunnel, f->peer[who]);
    if (p && p->session_current)
        tunnel_session_set_native(f->nodes[who].tunnel, f->peer[who], p->session_current->indexed.index,
                                  f->nodes[!who].aeads);
}

/* By the low bits of an operation's byte; its highest says who. The usual ones stand more than once. */
static void (*const operations[32])(struct fuzz *f, uint32_t who) = {
    go_on,         expire,        send_packet,   send_packet,  deliver,
    deliver,       deliver,       deliver,       drop,         delay,
    delay,         mutate,        mutate,        inject_raw,   inject_structured,
    go_down,       come_up,       remove_peer,   add_peer,     change_preshared_key,
    set_endpoint,  set_keepalive, set_key_again, change_load,  hold_steps,
    release_steps, send_notice,   set_clock,     forget_local, set_floor,
    move,          hear,
};

static void operate(struct fuzz *f)
{
    uint8_t operation = take(f);
    operations[operation % 32](f, operation >> 7);
}

/* ---- And then ---- */

static void heal_node(struct fuzz *f, uint32_t who)
{
    struct node *n = &f->nodes[who];
    n->hold_steps = n->under_load = false;
    node_release_steps(n);
    node_event(n, TUNNEL_EVENT_UP);
    remove_peer(f, who); /* and with it what set_floor may have forbidden */
    add_peer(f, who);
    set_preshared_key(f, who, 0);
    node_set_endpoint(n, f->peer[who], &f->at[!who]);
}

static void second(struct fuzz *f)
{
    for (uint32_t who = 0; who < 2; who++) {
        f->nodes[who].now.monotonic += SECOND;
        f->nodes[who].now.wall += SECOND;
    }
    run_timers(f);
    for (uint32_t who = 0; who < 2; who++)
        send_packet(f, who);
    while (f->count > 0)
        deliver_next(f);
}

static void must_heal(struct fuzz *f)
{
    f->count = 0;
    f->sent = 0;
    memset(f->arrived, 0, sizeof(f->arrived));
    for (uint32_t who = 0; who < 2; who++)
        heal_node(f, who);
    for (int i = 0; i < (int)(SIM_HEAL_TIME / SECOND); i++)
        second(f);
    uint32_t before[2] = {f->delivered[0], f->delivered[1]};
    second(f);
    must(f->delivered[0] == before[0] + 1);
    must(f->delivered[1] == before[1] + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz *f = calloc(1, sizeof(*f));
    must(f);
    f->data = data;
    f->size = size;
    uint8_t options = take(f);
    for (uint32_t who = 0; who < 2; who++) {
        f->at[who] = (struct endpoint){.address = {192, 0, 2, (uint8_t)who}, .port = 2, .family = ENDPOINT_IPV4};
        f->nodes[who].context = f;
        f->nodes[who].number = who;
        f->nodes[who].now = (struct tunnel_time){.monotonic = SECOND, .wall = 1700000000 * SECOND};
        f->nodes[who].aeads = options >> (2 + 2 * who) & 3;
        must(node_start(&f->nodes[who], &owner, 1 + who, options >> who & 1) == 0);
    }
    for (uint32_t who = 0; who < 2; who++) {
        add_peer(f, who);
        node_set_endpoint(&f->nodes[who], f->peer[who], &f->at[!who]);
    }
    while (f->size > 0)
        operate(f);
    must_heal(f);
    for (int who = 0; who < 2; who++)
        node_stop(&f->nodes[who]);
    free(f);
    return 0;
}
