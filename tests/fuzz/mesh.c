/* A relay and a member, whose every neighbour may be hostile: the input is a list of events. */
#include <string.h>

#include "mesh/mesh.h"
#include "wire/message.h"

#include "fuzz.h"

#define DEVICES 8
#define EVENTS_MAX 2000
#define HOSTS 256 /* that candidates are of: 198.51.100.0/24 */

struct recorder {
    uint64_t random;
    uint32_t question;
    uint32_t sent; /* since the last event */
    uint64_t bytes;
    uint64_t now;
    /* By the last byte of a host that nobody answered from: what went there since it was last left alone. */
    uint32_t to_host[HOSTS];
    uint64_t last_to_host[HOSTS];
    bool answered; /* answers are among the input: no telling what is proven */
};

static struct device_id id_of(unsigned n)
{
    struct device_id id;
    memset(id.bytes, (int)(n % DEVICES + 1), sizeof(id.bytes));
    return id;
}

/* ---- What is done is looked at ---- */

static void on_send(void *context, const struct device_id *to, const uint8_t *bytes, size_t len)
{
    struct recorder *r = context;
    struct frame f;
    (void)to;
    must(frame_decode(&f, bytes, len) == 0);
    r->sent++;
    r->bytes += len;
}

static void count_datagram(struct recorder *r, const struct underlay *to, uint32_t count)
{
    must(underlay_is_sendable(to));
    must(to->address[0] != 192 || to->address[1] != 0); /* where relays are */
    uint8_t host = to->address[3];
    static const uint8_t counted[] = {198, 51, 100};
    if (to->family != 4 || memcmp(to->address, counted, sizeof(counted)) != 0)
        return;
    if (r->now >= r->last_to_host[host] + 30 * SECOND)
        r->to_host[host] = 0;
    r->to_host[host] += count;
    r->last_to_host[host] = r->now;
    must(r->answered || r->to_host[host] <= 12);
}

static void on_send_by(void *context, const struct device_id *to, const struct mesh_way *way, const uint8_t *bytes,
                       size_t len)
{
    struct recorder *r = context;
    struct frame f;
    on_send(context, to, bytes, len);
    must(frame_decode(&f, bytes, len) == 0);
    must(f.kind == FRAME_PROBE || f.kind == FRAME_ANSWER);
    must(way->kind != MESH_PATH_NONE);
    if (f.kind == FRAME_PROBE)
        must(way->kind == MESH_PATH_DIRECT);
    if (f.kind == FRAME_PROBE)
        count_datagram(r, &way->endpoint, 1);
}

static void on_candidates(void *context, const struct device_id *to, const struct underlay *list, uint32_t count)
{
    struct recorder *r = context;
    (void)to;
    must(count <= MESH_CANDIDATES_MAX);
    for (uint32_t n = 0; n < count; n++)
        count_datagram(r, &list[n], 3);
}

static void on_heard(void *context, const struct device_id *from, uint32_t session, uint64_t aeads, const uint8_t *gate)
{
    (void)context, (void)from, (void)session, (void)aeads, (void)gate;
}

static void on_direct(void *context, const struct device_id *to, const struct underlay *endpoint)
{
    (void)context, (void)to;
    must(endpoint->port != 0);
}

static void on_path(void *context, const struct device_id *to, const struct device_id *relay)
{
    (void)context;
    must(!relay || memcmp(to, relay, sizeof(*to)) != 0);
}

static void on_connect(void *context, const struct device_id *to, uint16_t keepalive, bool anew)
{
    (void)context, (void)to, (void)anew;
    must(keepalive <= 60);
}

static void on_permit(void *context, const struct device_id *a, const struct device_id *b, bool yes)
{
    (void)context, (void)yes;
    must(memcmp(a, b, sizeof(*a)) != 0);
}

static void on_meet(void *context, uint32_t question, const struct device_id *asker, const struct frame_introduce *what)
{
    struct recorder *r = context;
    (void)asker;
    must(what->stage == INTRODUCE_ASK);
    r->question = question;
}

static void on_deliver(void *context, const struct device_id *from, bool invite, const uint8_t *bytes, size_t len)
{
    struct frame f;
    (void)context, (void)from;
    must(frame_decode(&f, bytes, len) == 0);
    must(f.kind >= FRAME_GET && f.kind <= FRAME_NOTICE);
    must(!invite || f.kind == FRAME_GET || f.kind == FRAME_JOIN);
}

static void on_learn(void *context, const struct device_id *from, struct frame_view opening, struct frame_view head)
{
    (void)context, (void)from, (void)opening;
    must(head.len == 0 || head.len == FRAME_SIGNED_HEAD_SIZE);
}

static void on_traffic(void *context, const struct device_id *id, uint64_t *sent, uint64_t *received)
{
    const struct recorder *r = context;
    (void)id;
    *sent = r->bytes + r->now / 1000000;
    *received = r->now / SECOND % 16 < 8 ? r->now / 1000000 : 0;
}

static void on_pong(void *context, const struct device_id *id, uint32_t number, uint64_t rtt)
{
    (void)context, (void)id, (void)number, (void)rtt;
}

static void on_link(void *context, const struct device_id *device, bool up)
{
    (void)context, (void)device, (void)up;
}

/* Small numbers, so that the input can hit them. */
static void on_entropy(void *context, uint8_t *out, size_t len)
{
    struct recorder *r = context;
    memset(out, 0, len);
    out[len - 1] = (uint8_t)(++r->random & 15);
}

/* ---- Events ---- */

struct input {
    const uint8_t *at;
    size_t left;
};

static struct input take(struct input *in, size_t len)
{
    struct input out = {in->at, len < in->left ? len : in->left};
    in->at += out.left;
    in->left -= out.left;
    return out;
}

static unsigned take_byte(struct input *in)
{
    struct input one = take(in, 1);
    return one.left > 0 ? one.at[0] : 0;
}

static void device_event(struct mesh *m, unsigned who, unsigned flags, uint64_t now)
{
    struct mesh_device d = {.id = id_of(who), .flags = flags & 31, .has_endpoint = (flags & 32) != 0};
    if (d.has_endpoint)
        d.endpoint =
            (struct underlay){.address = {192, 0, 2, (uint8_t)who}, .port = (uint16_t)(1 + (flags >> 6)), .family = 4};
    must(mesh_device(m, &d, now) == 0);
}

static void met_event(struct mesh *m, const struct recorder *r, unsigned what, uint64_t now)
{
    static const uint8_t opening[1300];
    struct device_id target = id_of(what);
    struct mesh_meeting meeting = {.target = what & 8 ? NULL : &target,
                                   .asker_opening = {opening, what & 16 ? sizeof(opening) : what},
                                   .target_opening = {opening, what & 32 ? 1000 : 10}};
    mesh_met(m, what & 64 ? what : r->question, &meeting, now);
}

static struct underlay place_of(unsigned n)
{
    return (struct underlay){.address = {198, 51, 100, (uint8_t)n}, .port = (uint16_t)(1 + n % 3), .family = 4};
}

static struct mesh_way way_of(unsigned what)
{
    if (what % 3 == 0)
        return (struct mesh_way){.kind = MESH_PATH_NONE};
    if (what % 3 == 1)
        return (struct mesh_way){.kind = MESH_PATH_RELAYED, .relay = id_of(what >> 2)};
    return (struct mesh_way){.kind = MESH_PATH_DIRECT, .endpoint = place_of(what >> 2)};
}

static void local_event(struct mesh *m, unsigned what, uint64_t now)
{
    struct underlay all[20];
    for (unsigned n = 0; n < 20; n++)
        all[n] = place_of(what + n * 7);
    mesh_local(m, all, what % 21, now);
}

static void look(const struct mesh *m)
{
    for (unsigned n = 0; n < DEVICES; n++) {
        struct device_id id = id_of(n), relay;
        must(mesh_why(m, &id) < MESH_WHY_KINDS);
        if (mesh_path(m, &id, &relay) == MESH_PATH_RELAYED)
            must(memcmp(&id, &relay, sizeof(id)) != 0);
        if (mesh_path(m, &id, &relay) == MESH_PATH_DIRECT)
            must(mesh_why(m, &id) == MESH_WHY_NONE);
    }
}

static void frame_event(struct mesh *m, struct recorder *r, const struct device_id *from, const struct mesh_arrival *by,
                        struct input *in)
{
    struct input bytes = take(in, take_byte(in));
    r->answered = r->answered || (bytes.left > 0 && bytes.at[0] == FRAME_ANSWER);
    mesh_frame(m, from, by, bytes.at, bytes.left, r->now);
}

static void event(struct mesh *m, struct recorder *r, struct input *in, uint64_t *now)
{
    unsigned kind = take_byte(in), what = take_byte(in);
    struct device_id id = id_of(what);
    struct mesh_arrival by;
    struct input bytes;
    switch (kind % 15) {
    case 0:
        r->now = *now += (uint64_t)what * SECOND / 16;
        mesh_timer(m, *now);
        must(mesh_deadline(m) > *now);
        break;
    case 1:
        device_event(m, what, take_byte(in), *now);
        break;
    case 2:
        mesh_device_gone(m, &id, *now);
        break;
    case 3:
        mesh_link(m, &id, (what & 128) == 0, *now);
        break;
    case 4:
        mesh_wanted(m, &id, *now);
        break;
    case 5:
        bytes = take(in, 4);
        mesh_wanted_address(m, bytes.at, bytes.left, *now);
        break;
    case 6:
        met_event(m, r, what, *now);
        break;
    case 7:
        mesh_ping(m, &id, what, *now);
        break;
    case 8:
        mesh_self(m, &id, (what & 8) != 0, (what & 16) != 0, *now);
        break;
    case 10:
        mesh_spoke(m, &id, &(struct mesh_way){.kind = MESH_PATH_DIRECT, .endpoint = place_of(take_byte(in))}, *now);
        break;
    case 11:
        mesh_spoke(m, &id, &(struct mesh_way){.kind = MESH_PATH_RELAYED, .relay = id_of(take_byte(in))}, *now);
        break;
    case 12:
        local_event(m, what, *now);
        break;
    case 13:
        mesh_offer(m, what, id_of(what).bytes, *now);
        break;
    case 9:
        frame_event(m, r, &id, &(struct mesh_arrival){0}, in);
        break;
    default:
        by = (struct mesh_arrival){.way = way_of(take_byte(in)), .session = what >> 6};
        frame_event(m, r, &id, &by, in);
    }
    look(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recorder r = {.now = 1000 * SECOND};
    const struct mesh_ops ops = {.send = on_send,
                                 .send_by = on_send_by,
                                 .candidates = on_candidates,
                                 .heard = on_heard,
                                 .direct = on_direct,
                                 .relayed = on_path,
                                 .forget = on_path,
                                 .connect = on_connect,
                                 .permit = on_permit,
                                 .meet = on_meet,
                                 .deliver = on_deliver,
                                 .learn = on_learn,
                                 .traffic = on_traffic,
                                 .pong = on_pong,
                                 .link = on_link,
                                 .entropy = on_entropy,
                                 .context = &r};
    static const uint8_t head[FRAME_SIGNED_HEAD_SIZE];
    struct input in = {data, size};
    struct crypto *c;
    struct mesh *m;
    uint64_t now = 1000 * SECOND;
    must(crypto_new(&c, CRYPTO_BULK_OPENSSL) == 0);
    must(mesh_new(&m, c, &ops) == 0);
    mesh_head(m, head);
    mesh_self(m, &(struct device_id){{99}}, (size & 1) != 0, false, now);
    for (unsigned i = 0; i < EVENTS_MAX && in.left > 0; i++) {
        r.sent = 0;
        event(m, &r, &in, &now);
        must(r.sent <= 512); /* nothing that comes in makes us send without bound */
    }
    mesh_free(m);
    crypto_free(c);
    return 0;
}
