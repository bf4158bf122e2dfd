/* A relay and a member, whose every neighbour may be hostile: the input is a list of events. */
#include <string.h>

#include "mesh/mesh.h"
#include "wire/message.h"

#include "fuzz.h"

#define DEVICES 8
#define EVENTS_MAX 2000

struct recorder {
    uint64_t random;
    uint32_t question;
    uint32_t sent; /* since the last event */
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
    *sent = *received = r->sent;
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

static void event(struct mesh *m, struct recorder *r, struct input *in, uint64_t *now)
{
    unsigned kind = take_byte(in), what = take_byte(in);
    struct device_id id = id_of(what);
    struct input bytes;
    switch (kind % 10) {
    case 0:
        *now += (uint64_t)what * SECOND / 16;
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
    default:
        bytes = take(in, take_byte(in));
        mesh_frame(m, &id, &(struct mesh_arrival){0}, bytes.at, bytes.left, *now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recorder r = {0};
    const struct mesh_ops ops = {.send = on_send,
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
