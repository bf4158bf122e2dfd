#include "world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "../random.h"

static uint32_t number_of(const struct world *w, const struct device_id *id)
{
    for (uint32_t n = 0; n < w->count; n++)
        if (memcmp(w->nodes[n].id.bytes, id->bytes, sizeof(id->bytes)) == 0)
            return n;
    return NODES_MAX;
}

static struct mail *post(struct world *w, int kind, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < MAILS_MAX; i++)
        if (w->mails[i].kind == MAIL_NONE) {
            w->mails[i] = (struct mail){.due = w->now + FRAME_DELAY, .kind = kind, .from = from, .to = to};
            return &w->mails[i];
        }
    fail_msg("too many frames under way");
    return NULL;
}

/* ---- The network ---- */

/* By the direct endpoint that the engine has for it. */
static bool carry(struct world *w, uint32_t from, uint32_t to, struct underlay *seen)
{
    uint32_t node;
    const struct node *n = &w->nodes[from];
    return n->alive && w->nodes[to].alive && n->path[to] == MESH_PATH_DIRECT &&
           net_send(&w->net, w->now, from, &n->endpoint[to], &node, seen) && node == to;
}

static struct mesh_way current_way(const struct world *w, uint32_t from, uint32_t to)
{
    const struct node *n = &w->nodes[from];
    struct mesh_way way = {.kind = n->path[to], .endpoint = n->endpoint[to]};
    if (way.kind == MESH_PATH_RELAYED)
        way.relay = w->nodes[n->via[to]].id;
    return way;
}

static bool same_way(const struct mesh_way *a, const struct mesh_way *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == MESH_PATH_DIRECT ? underlay_equal(&a->endpoint, &b->endpoint)
                                       : device_id_equal(&a->relay, &b->relay);
}

/* The engine's part of hearing something authentic: it roams from nowhere, and otherwise says so. */
static void hear(struct world *w, uint32_t at, uint32_t from, const struct mesh_way *way)
{
    struct node *n = &w->nodes[at];
    struct mesh_way now = current_way(w, at, from);
    if (now.kind == MESH_PATH_NONE) {
        n->path[from] = way->kind;
        n->endpoint[from] = way->endpoint;
        n->via[from] = way->kind == MESH_PATH_RELAYED ? number_of(w, &way->relay) : 0;
    } else if (!same_way(&now, way) && w->now >= n->spoke_at[from] + TICK) {
        n->spoke_at[from] = w->now;
        mesh_spoke(n->mesh, &w->nodes[from].id, way, w->now);
    }
}

/* Whether a datagram gets there by that way, and how it seems to have come. */
static bool get_there(struct world *w, uint32_t from, uint32_t to, const struct mesh_way *way, struct mesh_way *seen)
{
    uint32_t node, r = number_of(w, &way->relay);
    *seen = (struct mesh_way){.kind = way->kind, .relay = way->relay};
    if (way->kind == MESH_PATH_DIRECT)
        return net_send(&w->net, w->now, from, &way->endpoint, &node, &seen->endpoint) && node == to &&
               w->nodes[to].alive;
    bool sessions = r < w->count && w->session[from][r] && w->session[r][from];
    struct mesh_way at_relay = {.kind = MESH_PATH_DIRECT}, at_other = at_relay;
    if (way->kind != MESH_PATH_RELAYED || !sessions || !carry(w, from, r, &at_relay.endpoint))
        return false;
    hear(w, r, from, &at_relay);
    return w->session[r][to] && w->session[to][r] && w->nodes[r].permit[from][to] && !w->nodes[r].drops &&
           carry(w, r, to, &at_other.endpoint);
}

static void post_by(struct world *w, uint32_t from, uint32_t to, const struct mesh_way *way, const struct mail *what)
{
    struct mesh_way seen;
    if (!get_there(w, from, to, way, &seen))
        return;
    struct mail *mail = post(w, (int)what->kind, from, to);
    mail->due += way->kind == MESH_PATH_RELAYED ? FRAME_DELAY : 0;
    mail->by = (struct mesh_arrival){.way = seen, .session = w->session_number[to][from]};
    mail->len = what->len;
    memcpy(mail->bytes, what->bytes, what->len);
}

static void post_frame_by(struct world *w, uint32_t from, uint32_t to, const struct mesh_way *by, const uint8_t *bytes,
                          size_t len)
{
    struct frame frame;
    uint8_t changed[FRAME_MAX];
    w->frames++;
    if (frame_decode(&frame, bytes, len) == 0) {
        if (frame.kind == FRAME_INTRODUCE && ++w->introduce_frames == w->drop_introduce)
            return;
        if (w->tamper && !w->tamper(w, from, to, &frame))
            return;
        int again = frame_encode(&frame, changed, sizeof(changed));
        assert_true(again > 0);
        bytes = changed;
        len = (size_t)again;
    }
    if (w->has_net) {
        struct mail what = {.kind = MAIL_FRAME, .len = len};
        memcpy(what.bytes, bytes, len);
        post_by(w, from, to, by, &what);
        return;
    }
    struct mail *mail = post(w, MAIL_FRAME, from, to);
    memcpy(mail->bytes, bytes, len);
    mail->len = len;
}

static void post_frame(struct world *w, uint32_t from, uint32_t to, const uint8_t *bytes, size_t len)
{
    struct mesh_way way = current_way(w, from, to);
    post_frame_by(w, from, to, &way, bytes, len);
}

/* ---- The engine's part ---- */

static bool path_works(struct world *w, uint32_t a, uint32_t b)
{
    const struct node *n = &w->nodes[a];
    if (n->path[b] == MESH_PATH_DIRECT)
        return w->nodes[b].alive;
    uint32_t r = n->via[b];
    return n->path[b] == MESH_PATH_RELAYED && w->nodes[r].alive && w->session[a][r] && w->session[r][a] &&
           w->session[r][b] && w->session[b][r] && w->nodes[r].permit[a][b];
}

/* The same initiation goes out by the path and to all candidates; the first that arrives, which came directly if any
 * did, is answered by the way that it came. */
static bool shake_hands(struct world *w, uint32_t a, uint32_t b)
{
    struct node *x = &w->nodes[a];
    struct mesh_way ways[1 + FRAME_CANDIDATES_MAX] = {current_way(w, a, b)}, at_b = {0}, back = {0}, seen;
    for (uint32_t n = 0; n < x->candidate_count[b]; n++)
        ways[1 + n] = (struct mesh_way){.kind = MESH_PATH_DIRECT, .endpoint = x->candidates[b][n]};
    for (uint32_t n = 0; n <= x->candidate_count[b]; n++)
        if (get_there(w, a, b, &ways[n], &seen) && at_b.kind != MESH_PATH_DIRECT)
            at_b = seen;
    if (at_b.kind == MESH_PATH_NONE || !get_there(w, b, a, &at_b, &back))
        return false;
    w->session[a][b] = w->session[b][a] = true;
    w->session_number[a][b] = ++w->sessions;
    w->session_number[b][a] = ++w->sessions;
    hear(w, b, a, &at_b);
    hear(w, a, b, &back);
    return true;
}

/* The handshake roams the responder's end, as any authentic datagram does. */
static void try_handshake(struct world *w, uint32_t a, uint32_t b)
{
    struct node *x = &w->nodes[a], *y = &w->nodes[b];
    if (w->has_net && (!x->alive || !y->alive || !shake_hands(w, a, b)))
        return;
    if (!w->has_net && (!x->alive || !y->alive || !path_works(w, a, b)))
        return;
    w->session[a][b] = w->session[b][a] = true;
    if (x->path[b] == MESH_PATH_RELAYED && !w->has_net) {
        y->path[a] = MESH_PATH_RELAYED;
        y->via[a] = x->via[b];
    }
    mesh_link(x->mesh, &y->id, true, w->now);
    mesh_link(y->mesh, &x->id, true, w->now);
    for (uint32_t i = 0; i < 64; i++)
        if (w->staged[i].kind == MAIL_FRAME && w->staged[i].from == a && w->staged[i].to == b) {
            w->staged[i].kind = MAIL_NONE;
            post_frame(w, a, b, w->staged[i].bytes, w->staged[i].len);
        }
}

static void stage(struct world *w, uint32_t from, uint32_t to, const uint8_t *bytes, size_t len)
{
    for (uint32_t i = 0; i < 64; i++)
        if (w->staged[i].kind == MAIL_NONE) {
            w->staged[i] = (struct mail){.kind = MAIL_FRAME, .from = from, .to = to, .len = len};
            memcpy(w->staged[i].bytes, bytes, len);
            w->nodes[from].wants[to] = true;
            return;
        }
}

static void on_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    struct node *n = context;
    uint32_t other = number_of(n->world, to);
    n->sent[other] += len + 32;
    if (n->world->session[n->number][other])
        post_frame(n->world, n->number, other, frame, len);
    else
        stage(n->world, n->number, other, frame, len);
}

static void on_send_by(void *context, const struct device_id *to, const struct mesh_way *way, const uint8_t *frame,
                       size_t len)
{
    struct node *n = context;
    uint32_t other = number_of(n->world, to);
    n->sent[other] += len + 32;
    if (n->world->session[n->number][other])
        post_frame_by(n->world, n->number, other, way, frame, len);
}

static void on_candidates(void *context, const struct device_id *to, const struct underlay *list, uint32_t count)
{
    struct node *n = context;
    uint32_t other = number_of(n->world, to);
    assert_true(count <= FRAME_CANDIDATES_MAX);
    n->candidate_count[other] = count;
    if (count > 0)
        memcpy(n->candidates[other], list, count * sizeof(*list));
}

static void on_heard(void *context, const struct device_id *from, uint32_t session, uint64_t aeads, const uint8_t *gate)
{
    struct node *n = context;
    uint32_t other = number_of(n->world, from);
    n->heards[other]++;
    if (session != 0) {
        n->heard_session[other] = session;
        n->heard_aeads[other] = aeads;
    }
    if (gate)
        memcpy(n->gate[other], gate, FRAME_GATE_SIZE);
}

static void on_direct(void *context, const struct device_id *to, const struct underlay *endpoint)
{
    struct node *n = context;
    n->endpoint[number_of(n->world, to)] = *endpoint;
    n->path[number_of(n->world, to)] = MESH_PATH_DIRECT;
}

static void on_relayed(void *context, const struct device_id *to, const struct device_id *relay)
{
    struct node *n = context;
    n->path[number_of(n->world, to)] = MESH_PATH_RELAYED;
    n->via[number_of(n->world, to)] = number_of(n->world, relay);
}

static void on_forget(void *context, const struct device_id *to, const struct device_id *relay)
{
    struct node *n = context;
    uint32_t other = number_of(n->world, to);
    if (!relay || (n->path[other] == MESH_PATH_RELAYED && n->via[other] == number_of(n->world, relay)))
        n->path[other] = MESH_PATH_NONE;
}

static void on_connect(void *context, const struct device_id *to, uint16_t keepalive, bool anew)
{
    struct node *n = context;
    uint32_t other = number_of(n->world, to);
    n->keepalive[other] = keepalive;
    n->connects[other] += keepalive > 0;
    n->wants[other] = n->wants[other] || keepalive > 0;
    /* Its end of the session may be stale; the engine asks for another. */
    if (anew && n->world->session[n->number][other] && !n->world->session[other][n->number])
        n->world->session[n->number][other] = false;
}

static void on_permit(void *context, const struct device_id *a, const struct device_id *b, bool yes)
{
    struct node *n = context;
    uint32_t x = number_of(n->world, a), y = number_of(n->world, b);
    n->permit[x][y] = n->permit[y][x] = yes;
}

/* ---- The state's part ---- */

static void on_meet(void *context, uint32_t question, const struct device_id *asker, const struct frame_introduce *what)
{
    struct node *n = context;
    struct device_id target = {{0}};
    n->meets++;
    if (n->state_is_silent)
        return;
    if (what->has_device)
        memcpy(target.bytes, what->device, sizeof(target.bytes));
    struct mail *mail = post(n->world, MAIL_MET, number_of(n->world, asker), n->number);
    mail->question = question;
    uint32_t other = what->has_device        ? number_of(n->world, &target)
                     : what->address.len > 0 ? what->address.bytes[what->address.len - 1]
                     : what->name.len > 0    ? (uint32_t)(what->name.bytes[0] - 'a')
                                             : NODES_MAX;
    mail->bytes[0] = (uint8_t)other;
}

static void on_deliver(void *context, const struct device_id *from, bool invite, const uint8_t *frame, size_t len)
{
    struct node *n = context;
    (void)from;
    (void)frame;
    (void)len;
    n->delivers++;
    n->invites_delivered += invite;
}

static void on_learn(void *context, const struct device_id *from, struct frame_view opening, struct frame_view head)
{
    struct node *n = context;
    (void)head;
    n->learns++;
    if (opening.len == 0 || n->state_is_silent)
        return;
    struct mail *mail = post(n->world, MAIL_LEARNED, number_of(n->world, from), n->number);
    mail->bytes[0] = opening.bytes[0];
}

static void on_traffic(void *context, const struct device_id *id, uint64_t *sent, uint64_t *received)
{
    const struct node *n = context;
    *sent = n->sent[number_of(n->world, id)];
    *received = n->received[number_of(n->world, id)];
}

static void on_pong(void *context, const struct device_id *id, uint32_t number, uint64_t rtt)
{
    struct node *n = context;
    (void)id;
    (void)number;
    n->pongs++;
    n->last_rtt = rtt;
}

static void on_link(void *context, const struct device_id *device, bool up)
{
    struct node *n = context;
    n->link[number_of(n->world, device)] = up;
}

static void on_entropy(void *context, uint8_t *out, size_t len)
{
    struct node *n = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(random_next(&n->world->random) >> 40);
}

/* ---- Mail ---- */

static void met(struct world *w, const struct mail *mail)
{
    struct node *relay = &w->nodes[mail->to];
    uint32_t target = mail->bytes[0];
    size_t len = relay->opening_len > 0 ? relay->opening_len : 1;
    uint8_t *openings = calloc(2, len);
    assert_non_null(openings);
    openings[0] = (uint8_t)mail->from;
    openings[len] = (uint8_t)target;
    struct mesh_meeting meeting = {.asker_opening = {openings, len}, .target_opening = {openings + len, len}};
    if (target < w->count && w->allowed[mail->from][target])
        meeting.target = &w->nodes[target].id;
    mesh_met(relay->mesh, mail->question, &meeting, w->now);
    free(openings);
}

static void arrive(struct world *w, struct mail *mail)
{
    struct node *n = &w->nodes[mail->to];
    if (!n->alive)
        return;
    if (mail->kind == MAIL_FRAME && w->session[mail->to][mail->from]) {
        n->received[mail->from] += mail->len + 32;
        if (w->has_net)
            hear(w, mail->to, mail->from, &mail->by.way);
        mesh_frame(n->mesh, &w->nodes[mail->from].id, &mail->by, mail->bytes, mail->len, w->now);
    } else if (mail->kind == MAIL_DATA && w->session[mail->to][mail->from]) {
        n->received[mail->from] += 1000;
        n->arrived[mail->from]++;
        hear(w, mail->to, mail->from, &mail->by.way);
    } else if (mail->kind == MAIL_MET)
        met(w, mail);
    else if (mail->kind == MAIL_LEARNED && mail->bytes[0] < w->count && w->allowed[mail->to][mail->bytes[0]])
        world_device(w, mail->to, mail->bytes[0], MESH_MEMBER);
}

static void read_mails(struct world *w)
{
    for (uint32_t i = 0; i < MAILS_MAX; i++)
        if (w->mails[i].kind != MAIL_NONE && w->mails[i].due <= w->now) {
            struct mail mail = w->mails[i];
            w->mails[i].kind = MAIL_NONE;
            arrive(w, &mail);
        }
}

static void push(struct world *w, uint32_t a, uint32_t b)
{
    struct node *n = &w->nodes[a];
    if (w->session[a][b] && w->session[b][a] && !w->has_net && path_works(w, a, b))
        return;
    if (w->has_net && w->session[a][b] && w->session[b][a] && n->path[b] != MESH_PATH_NONE)
        return;
    if (n->path[b] == MESH_PATH_NONE) {
        if (w->now - n->wanted_at[b] < SECOND && n->wanted_at[b] > 0)
            return;
        n->wanted_at[b] = w->now;
        mesh_wanted(n->mesh, &w->nodes[b].id, w->now);
        return;
    }
    try_handshake(w, a, b);
}

static void talk(struct world *w, uint32_t a, uint32_t b)
{
    struct node *n = &w->nodes[a];
    if (!w->session[a][b] || n->path[b] == MESH_PATH_NONE)
        return;
    struct mesh_way way = current_way(w, a, b);
    n->sent[b] += 1000;
    n->said[b]++;
    post_by(w, a, b, &way, &(struct mail){.kind = MAIL_DATA});
}

void world_run(struct world *w, uint64_t time)
{
    for (uint64_t end = w->now + time; w->now < end; w->now += FRAME_DELAY) {
        read_mails(w);
        for (uint32_t n = 0; n < w->count; n++) {
            if (!w->nodes[n].alive)
                continue;
            mesh_timer(w->nodes[n].mesh, w->now);
            assert_true(mesh_deadline(w->nodes[n].mesh) > w->now);
            for (uint32_t other = 0; w->now % TICK == 0 && other < w->count; other++)
                if (w->nodes[n].wants[other])
                    push(w, n, other);
            for (uint32_t other = 0; w->now % TICK == 0 && other < w->count; other++)
                if (w->nodes[n].talks[other])
                    talk(w, n, other);
        }
    }
}

/* ---- Nodes ---- */

static struct underlay relay_endpoint(uint32_t number)
{
    return (struct underlay){.address = {192, 0, 2, (uint8_t)(number + 1)}, .port = 7, .family = 4};
}

void world_device(struct world *w, uint32_t at, uint32_t other, uint32_t flags)
{
    struct mesh_device device = {.id = w->nodes[other].id, .flags = flags};
    if (flags & MESH_RELAY) {
        device.has_endpoint = true;
        device.endpoint = relay_endpoint(other);
    }
    assert_int_equal(mesh_device(w->nodes[at].mesh, &device, w->now), 0);
}

static void start(struct world *w, struct node *n)
{
    static const uint8_t head[FRAME_SIGNED_HEAD_SIZE] = {1};
    const struct mesh_ops ops = {.send = on_send,
                                 .send_by = on_send_by,
                                 .candidates = on_candidates,
                                 .heard = on_heard,
                                 .direct = on_direct,
                                 .relayed = on_relayed,
                                 .forget = on_forget,
                                 .connect = on_connect,
                                 .permit = on_permit,
                                 .meet = on_meet,
                                 .deliver = on_deliver,
                                 .learn = on_learn,
                                 .traffic = on_traffic,
                                 .pong = on_pong,
                                 .link = on_link,
                                 .entropy = on_entropy,
                                 .context = n};
    assert_int_equal(mesh_new(&n->mesh, w->crypto, &ops), 0);
    n->alive = true;
    mesh_self(n->mesh, &n->id, n->relay, false, w->now);
    mesh_head(n->mesh, head);
}

static void introduce_relays(struct world *w, uint32_t at)
{
    for (uint32_t other = 0; other < w->count; other++)
        if (w->nodes[other].relay && other != at)
            world_device(w, at, other, MESH_MEMBER | MESH_RELAY);
        else if (w->nodes[at].relay && other != at)
            world_device(w, at, other, MESH_MEMBER);
}

struct world *world_new(uint32_t relays, uint32_t members)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->mails = calloc(MAILS_MAX, sizeof(*w->mails));
    assert_non_null(w->mails);
    assert_int_equal(crypto_new(&w->crypto, CRYPTO_BULK_OPENSSL), 0);
    w->count = relays + members;
    w->random = 88172645463325252u;
    w->now = 1000 * SECOND;
    for (uint32_t n = 0; n < w->count; n++) {
        struct node *node = &w->nodes[n];
        node->world = w;
        node->number = n;
        node->relay = n < relays;
        memset(node->id.bytes, 0x11 * (int)(n + 1), sizeof(node->id.bytes));
        start(w, node);
    }
    for (uint32_t n = 0; n < w->count; n++)
        introduce_relays(w, n);
    return w;
}

void world_free(struct world *w)
{
    for (uint32_t n = 0; n < w->count; n++)
        if (w->nodes[n].alive)
            mesh_free(w->nodes[n].mesh);
    crypto_free(w->crypto);
    free(w->mails);
    free(w);
}

void world_allow(struct world *w, uint32_t a, uint32_t b, bool yes)
{
    w->allowed[a][b] = w->allowed[b][a] = yes;
}

void world_want(struct world *w, uint32_t a, uint32_t b)
{
    if (!w->nodes[b].relay)
        world_device(w, a, b, MESH_MEMBER);
    w->nodes[a].wants[b] = true;
}

void world_place(struct world *w, uint32_t node, uint32_t site)
{
    struct underlay inside = {.address = {198, 51, 100, (uint8_t)(node + 1)}, .port = 7, .family = 4};
    if (site != NET_PUBLIC)
        inside = (struct underlay){.address = {10, (uint8_t)site, 0, (uint8_t)(node + 1)}, .port = 7, .family = 4};
    for (uint32_t n = 0; n < w->count && !w->has_net; n++)
        if (w->nodes[n].relay)
            net_place(&w->net, n, NET_PUBLIC, relay_endpoint(n));
    w->has_net = true;
    if (w->net.timeout == 0)
        w->net.timeout = 60 * SECOND;
    net_place(&w->net, node, site, inside);
    mesh_local(w->nodes[node].mesh, &inside, 1, w->now);
}

void world_talk(struct world *w, uint32_t a, uint32_t b)
{
    world_want(w, a, b);
    w->nodes[a].talks[b] = true;
    w->nodes[b].talks[a] = true;
}

bool world_reaches(struct world *w, uint32_t a, uint32_t b)
{
    return w->session[a][b] && w->session[b][a] && path_works(w, a, b);
}

void world_kill(struct world *w, uint32_t node)
{
    struct node *n = &w->nodes[node];
    mesh_free(n->mesh);
    n->alive = false;
    for (uint32_t other = 0; other < w->count; other++)
        w->session[node][other] = false;
    memset(n->path, 0, sizeof(n->path));
    memset(n->permit, 0, sizeof(n->permit));
    memset(n->wants, 0, sizeof(n->wants));
    memset(n->link, 0, sizeof(n->link));
}

void world_revive(struct world *w, uint32_t node)
{
    start(w, &w->nodes[node]);
    introduce_relays(w, node);
}

void world_frame(struct world *w, uint32_t from, uint32_t to, const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(frame, bytes, sizeof(bytes));
    assert_true(len > 0);
    mesh_frame(w->nodes[to].mesh, &w->nodes[from].id, &(struct mesh_arrival){0}, bytes, (size_t)len, w->now);
}

uint32_t world_relay_of(struct world *w, uint32_t node, uint32_t rank)
{
    struct device_id ids[2];
    assert_true(mesh_relays_of(w->nodes[node].mesh, &w->nodes[node].id, ids) > rank);
    return number_of(w, &ids[rank]);
}
