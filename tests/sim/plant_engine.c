/* What src/engine is to a node, in one thread and without a kernel: packets are judged, staged, sealed and opened here,
 * and relayed datagrams wrapped, forwarded and unwrapped. */
#include <stdlib.h>
#include <string.h>

#include "../unit/random.h"
#include "plant.h"

#define STAGED_TIME (90 * SECOND)
#define INNER_MAX (PLANT_DATAGRAM_MAX - 100u)

static void fill(void *context, uint8_t *out, size_t len)
{
    struct plant_node *n = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(random_next(&n->random) >> 56);
}

struct tunnel_time plant_time(const struct plant_node *n)
{
    return (struct tunnel_time){.monotonic = plant_monotonic(n->plant), .wall = plant_wall(n) * SECOND};
}

struct plant_peer *plant_peer_by_id(struct plant_node *n, const struct device_id *id)
{
    for (uint32_t i = 0; i < n->peer_count; i++)
        if (memcmp(&n->peers[i].id, id, sizeof(*id)) == 0)
            return &n->peers[i];
    return NULL;
}

struct plant_peer *plant_peer_by_peer(struct plant_node *n, peer_id peer)
{
    for (uint32_t i = 0; i < n->peer_count && peer != 0; i++)
        if (n->peers[i].peer == peer)
            return &n->peers[i];
    return NULL;
}

/* ---- Staged ---- */

static struct plant_staged **oldest(struct plant_node *n, peer_id peer)
{
    struct plant_staged **link = &n->staged;
    while (*link && (*link)->peer != peer)
        link = &(*link)->next;
    return link;
}

static void unstage(struct plant_node *n, peer_id peer)
{
    struct plant_staged **link = oldest(n, peer), *s = *link;
    *link = s->next;
    free(s);
}

static void discard(struct plant_node *n, peer_id peer)
{
    while (*oldest(n, peer))
        unstage(n, peer);
}

static void stage(struct plant_node *n, peer_id peer, const uint8_t *packet, size_t len)
{
    struct plant_staged *s = malloc(sizeof(*s) + len), **end = &n->staged;
    uint32_t count = 0;
    plant_must(s != NULL, "memory");
    *s = (struct plant_staged){.peer = peer, .at = n->plant->now, .len = (uint32_t)len};
    memcpy(s->packet, packet, len);
    while (*end) {
        struct plant_staged *old = *end;
        if (old->at + STAGED_TIME < n->plant->now) {
            *end = old->next;
            free(old);
            continue;
        }
        count += old->peer == peer;
        end = &old->next;
    }
    *end = s;
    if (count >= PLANT_STAGED_OF_ONE)
        unstage(n, peer);
}

/* ---- Sealing ---- */

static void run_notice(struct plant_node *n, const struct plant_job *j)
{
    struct tunnel_event event = {.kind = TUNNEL_EVENT_NOTICE};
    struct tunnel_actions actions;
    memcpy(&event.notice, j->bytes, sizeof(event.notice));
    actions.count = 0;
    tunnel_step(n->tunnel, &event, plant_time(n), &actions);
    plant_actions(n, &actions);
}

static void notice_later(struct plant_node *n, const struct tunnel_notice *notice)
{
    if (notice->bits != 0)
        plant_post(n, run_notice, &(struct plant_job){0}, notice, sizeof(*notice));
}

/* A relay's session, where to, and by which name; none for a direct path. */
struct path {
    struct endpoint to;
    struct peer *relay;
    uint8_t name[ENDPOINT_NAME_SIZE];
};

static bool path_by(struct plant_node *n, const struct endpoint *by, struct path *out)
{
    out->relay = NULL;
    out->to = *by;
    if (out->to.family != ENDPOINT_RELAYED)
        return true;
    memcpy(out->name, out->to.address, sizeof(out->name));
    out->relay = tunnel_peer(n->tunnel, endpoint_relay(&out->to));
    return out->relay && tunnel_peer_endpoint(out->relay, &out->to) && out->to.family != ENDPOINT_RELAYED;
}

static bool find_path(struct plant_node *n, const struct peer *peer, struct path *out)
{
    struct endpoint by;
    return tunnel_peer_endpoint(peer, &by) && path_by(n, &by, out);
}

/* The packet stands at *at, with room before it; then the datagram does. */
static int seal(struct plant_node *n, struct peer *peer, uint8_t **at, uint32_t *len, uint32_t mtu)
{
    uint64_t now = plant_monotonic(n->plant);
    struct tunnel_way way = tunnel_find_way(peer, now);
    struct sealing sealing = {.at = *at - way.headroom, .len = *len};
    struct tunnel_notice notice;
    int error = tunnel_seal_batch(n->tunnel, n->plant->c, peer, &way, &sealing, 1, mtu, now, &notice);
    notice_later(n, &notice);
    *at = sealing.at;
    *len = sealing.sealed_len;
    n->plant->native += error == 0 && way.native;
    return error;
}

static void ask(struct plant_node *n, struct peer *missing)
{
    struct tunnel_notice notice;
    int error =
        tunnel_seal_batch(n->tunnel, n->plant->c, missing, NULL, NULL, 0, 0, plant_monotonic(n->plant), &notice);
    (void)error;
    notice_later(n, &notice);
}

/* The header of a relayed datagram in front of what follows it. */
static void put_relayed(uint8_t *at, const uint8_t name[ENDPOINT_NAME_SIZE], uint32_t len)
{
    struct frame_relayed header = {.kind = FRAME_RELAYED};
    put_be32(header.len, len);
    memcpy(header.device, name, sizeof(header.device));
    memcpy(at, &header, sizeof(header));
}

/* One packet; both sessions are there. */
static int send_one(struct plant_node *n, struct peer *peer, const struct path *path, const uint8_t *packet,
                    uint32_t len)
{
    uint8_t buffer[PLANT_DATAGRAM_MAX + 200];
    uint8_t *at = buffer + 2 * TUNNEL_HEADROOM_MAX + sizeof(struct frame_relayed);
    if (len > 0)
        memcpy(at, packet, len);
    int error = seal(n, peer, &at, &len, 0);
    if (error == 0 && path->relay) {
        at -= sizeof(struct frame_relayed);
        put_relayed(at, path->name, len);
        len += (uint32_t)sizeof(struct frame_relayed);
        error = seal(n, path->relay, &at, &len, TUNNEL_NO_PADDING);
        if (error == ERROR_NO_SESSION)
            error = ERROR_AGAIN;
    }
    if (error == 0)
        plant_send(n, &path->to, at, len);
    return error;
}

static void run_wanted(struct plant_node *n, const struct plant_job *j)
{
    plant_wanted(n, j->peer, j->len ? j->bytes : NULL, j->len);
}

static void want(struct plant_node *n, peer_id peer)
{
    struct plant_peer *known = plant_peer_by_peer(n, peer);
    if (!known || (known->wanted_at != 0 && n->plant->now < known->wanted_at + SECOND))
        return;
    known->wanted_at = n->plant->now;
    plant_post(n, run_wanted, &(struct plant_job){.peer = peer}, NULL, 0);
}

static bool is_open(struct plant_node *n, struct peer *peer, const struct path *path)
{
    uint64_t now = plant_monotonic(n->plant);
    if (path->relay && !tunnel_has_session(path->relay, now)) {
        ask(n, path->relay);
        return false;
    }
    if (tunnel_has_session(peer, now))
        return true;
    ask(n, peer);
    return false;
}

static void send_staged(struct plant_node *n, struct peer *peer, const struct path *path, bool keepalive)
{
    peer_id id = tunnel_peer_id(peer);
    if (keepalive && !*oldest(n, id))
        (void)!send_one(n, peer, path, NULL, 0);
    for (struct plant_staged *s; (s = *oldest(n, id));) {
        if (send_one(n, peer, path, s->packet, s->len) == ERROR_NO_SESSION)
            return;
        unstage(n, id);
    }
}

void plant_flush(struct plant_node *n, peer_id id, bool keepalive)
{
    struct path path;
    reclaim_enter(&n->reader);
    struct peer *peer = tunnel_peer(n->tunnel, id);
    if (peer && (*oldest(n, id) || keepalive)) {
        if (!find_path(n, peer, &path))
            want(n, id);
        else if (is_open(n, peer, &path))
            send_staged(n, peer, &path, keepalive);
    }
    reclaim_leave(&n->reader);
}

/* What waits for the session with a relay is staged for the peers behind it. */
static void flush_dependents(struct plant_node *n, peer_id relay)
{
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct endpoint to;
        const struct peer *peer = tunnel_peer(n->tunnel, n->peers[i].peer);
        if (*oldest(n, n->peers[i].peer) && peer && tunnel_peer_endpoint(peer, &to) && to.family == ENDPOINT_RELAYED &&
            endpoint_relay(&to) == relay)
            plant_flush(n, n->peers[i].peer, false);
    }
}

void plant_into_session(struct plant_node *n, peer_id peer, const uint8_t *packet, size_t len)
{
    if (!tunnel_peer(n->tunnel, peer) || len > INNER_MAX)
        return;
    stage(n, peer, packet, len);
    plant_flush(n, peer, false);
}

/* It says something about this path alone: it waits for nothing. */
void plant_into_path(struct plant_node *n, peer_id id, const struct endpoint *by, const uint8_t *packet, size_t len)
{
    struct path path;
    reclaim_enter(&n->reader);
    struct peer *peer = tunnel_peer(n->tunnel, id);
    n->plant->probing = true;
    if (peer && path_by(n, by, &path) && is_open(n, peer, &path))
        (void)!send_one(n, peer, &path, packet, (uint32_t)len);
    n->plant->probing = false;
    reclaim_leave(&n->reader);
}

static bool may_ask_for_address(struct plant_node *n)
{
    if (n->plant->now >= n->wanted_second + SECOND) {
        n->wanted_second = n->plant->now;
        n->wanted_count = 0;
    }
    return n->wanted_count++ < 16;
}

static void want_address(struct plant_node *n, const uint8_t *packet)
{
    bool ipv6 = packet[0] >> 4 == 6;
    if (may_ask_for_address(n))
        plant_post(n, run_wanted, &(struct plant_job){0}, packet + (ipv6 ? 24 : 16), ipv6 ? 16 : 4);
}

void plant_packet(struct plant_node *n, const uint8_t *packet, size_t len, bool police)
{
    static const struct peer_grants none;
    reclaim_enter(&n->reader);
    const struct peer *peer = tunnel_route(n->tunnel, packet, len);
    peer_id id = peer ? tunnel_peer_id(peer) : 0;
    reclaim_leave(&n->reader);
    struct plant_peer *known = plant_peer_by_peer(n, id);
    if (!known) {
        want_address(n, packet);
        return;
    }
    const struct peer_grants *grants = known->grants.version ? &known->grants : &none;
    if (police && flow_judge(n->flows, grants, id, true, packet, len, plant_monotonic(n->plant)) != FLOW_PASS) {
        n->plant->refused++;
        return;
    }
    plant_into_session(n, id, packet, len);
}

/* ---- keys ---- */

static void run_stepped(struct plant_node *n, const struct plant_job *j)
{
    struct static_step step;
    struct tunnel_actions actions;
    memcpy(&step, j->bytes, sizeof(step));
    if (!n->has_self || n->self.joining)
        step.local = 0;
    actions.count = 0;
    tunnel_step(n->tunnel, &(struct tunnel_event){.kind = TUNNEL_EVENT_STATIC_STEP, .static_step = &step},
                plant_time(n), &actions);
    plant_actions(n, &actions);
}

static void run_step(struct plant_node *n, const struct plant_job *j)
{
    struct static_step step;
    memcpy(&step, j->bytes, sizeof(step));
    plant_step(n, &step);
    plant_post(n, run_stepped, &(struct plant_job){0}, &step, sizeof(step));
}

/* ---- Actions ---- */

static void run_frame(struct plant_node *n, const struct plant_job *j)
{
    plant_into_session(n, j->peer, j->bytes, j->len);
}

/* The same bytes, wherever the peer might be. */
static void send_to_candidates(struct plant_node *n, const struct tunnel_action *action)
{
    const struct plant_peer *known = plant_peer_by_peer(n, action->send.peer);
    for (uint32_t i = 0; known && i < known->candidate_count; i++) {
        const struct endpoint *to = &known->candidates[i];
        bool same = to->family == action->send.to.family && to->port == action->send.to.port &&
                    memcmp(to->address, action->send.to.address, sizeof(to->address)) == 0;
        n->plant->probing = true;
        if (!same)
            plant_send(n, to, action->send.bytes, action->send.len);
        n->plant->probing = false;
    }
}

static void send_message(struct plant_node *n, const struct tunnel_action *action)
{
    const struct endpoint *to = &action->send.to;
    uint8_t frame[sizeof(struct frame_relayed) + MESSAGE_HANDSHAKE_MAX];
    if (action->send.bytes[0] == MESSAGE_INITIATION)
        send_to_candidates(n, action);
    if (to->family != ENDPOINT_RELAYED) {
        plant_send(n, to, action->send.bytes, action->send.len);
        return;
    }
    put_relayed(frame, to->address, action->send.len);
    memcpy(frame + sizeof(struct frame_relayed), action->send.bytes, action->send.len);
    plant_post(n, run_frame, &(struct plant_job){.peer = endpoint_relay(to)}, frame,
               sizeof(struct frame_relayed) + action->send.len);
}

static void run_flush(struct plant_node *n, const struct plant_job *j)
{
    plant_flush(n, j->peer, j->flag);
    flush_dependents(n, j->peer);
}

static void run_discard(struct plant_node *n, const struct plant_job *j)
{
    discard(n, j->peer);
}

static void carry_out(struct plant_node *n, const struct tunnel_action *a)
{
    struct static_step step;
    switch (a->kind) {
    case TUNNEL_ACTION_SEND:
        send_message(n, a);
        break;
    case TUNNEL_ACTION_STATIC_STEP:
        step = a->static_step;
        step.local = n->slot == 1 ? 1 : step.local;
        plant_post(n, run_step, &(struct plant_job){0}, &step, sizeof(step));
        break;
    case TUNNEL_ACTION_PERSIST: /* keys has done it */
        break;
    case TUNNEL_ACTION_FLUSH:
        plant_post(n, run_flush, &(struct plant_job){.peer = a->flush.peer, .flag = a->flush.keepalive}, NULL, 0);
        break;
    case TUNNEL_ACTION_DISCARD:
        plant_post(n, run_discard, &(struct plant_job){.peer = a->discard.peer}, NULL, 0);
        break;
    case TUNNEL_ACTION_LINK:
        plant_linked(n, a->link.peer, a->link.up);
        break;
    case TUNNEL_ACTION_SPOKE:
        plant_spoke(n, a->spoke.peer, &a->spoke.from);
        break;
    case TUNNEL_ACTION_GATE:
        plant_tell_gate(n);
        break;
    case TUNNEL_ACTION_INTRUDER:
        plant_intruded(n, a->intruder.peer);
        break;
    }
}

void plant_actions(struct plant_node *n, struct tunnel_actions *actions)
{
    for (uint32_t i = 0; i < actions->count; i++)
        carry_out(n, &actions->list[i]);
    actions->count = 0;
}

void plant_engine_timer(struct plant_node *n)
{
    struct tunnel_actions actions;
    for (int turn = 0; tunnel_deadline(n->tunnel) <= plant_monotonic(n->plant); turn++) {
        plant_must(turn < 10000, "a deadline does not stay in the past");
        actions.count = 0;
        tunnel_step(n->tunnel, &(struct tunnel_event){.kind = TUNNEL_EVENT_TIMER}, plant_time(n), &actions);
        plant_actions(n, &actions);
    }
}

/* ---- Opening ---- */

static void open_one(struct plant_node *n, const struct endpoint *from, uint8_t *bytes, size_t len);

/* src/engine/admit.c: who does not know our gate key shares a small budget. */
#define UNGATED_TOKEN (SECOND / 50)
#define UNGATED_BURST 64

static bool take_ungated(struct plant_node *n)
{
    uint64_t now = plant_monotonic(n->plant);
    if (n->ungated_full_at < now)
        n->ungated_full_at = now;
    if (n->ungated_full_at > now + UNGATED_BURST * UNGATED_TOKEN)
        return false;
    n->ungated_full_at += UNGATED_TOKEN;
    return true;
}

/* False: not to be served. */
static bool is_admitted(struct plant_node *n, const uint8_t *bytes, size_t len, enum message_type type, bool *gated)
{
    struct tunnel *t = n->tunnel;
    *gated = false;
    if (type != MESSAGE_INITIATION)
        return tunnel_awaits(t, bytes, len) &&
               (type == MESSAGE_COOKIE_REPLY || tunnel_mac1_holds(t, n->plant->c, bytes, len));
    if (!tunnel_mac1_holds(t, n->plant->c, bytes, len))
        return false;
    enum tunnel_gate_verdict verdict = tunnel_gate_judge(t, n->plant->c, bytes, len);
    *gated = verdict == TUNNEL_GATE_HELD;
    return *gated || (verdict == TUNNEL_GATE_NONE && take_ungated(n));
}

static void handshake(struct plant_node *n, const struct endpoint *from, const uint8_t *bytes, size_t len,
                      enum message_type type)
{
    struct tunnel_actions actions;
    bool gated;
    if (!is_admitted(n, bytes, len, type, &gated))
        return;
    n->plant->gated += gated;
    actions.count = 0;
    tunnel_step(n->tunnel,
                &(struct tunnel_event){.kind = TUNNEL_EVENT_DATAGRAM,
                                       .datagram = {.bytes = bytes, .len = len, .from = *from, .gated = gated}},
                plant_time(n), &actions);
    plant_actions(n, &actions);
}

static void run_inside(struct plant_node *n, const struct plant_job *j)
{
    struct endpoint from;
    memcpy(&from, j->bytes, sizeof(from));
    size_t len = j->len - sizeof(from);
    uint8_t copy[PLANT_DATAGRAM_MAX];
    memcpy(copy, j->bytes + sizeof(from), len);
    enum message_type type = message_classify(copy, len);
    if (type == MESSAGE_TRANSPORT || type == MESSAGE_NATIVE)
        open_one(n, &from, copy, len);
    else
        handshake(n, &from, copy, len, type);
}

static bool is_hostile_relay(const struct plant_node *n)
{
    return n->plant->relay_is_hostile && n->number == PLANT_HOSTILE_RELAY;
}

/* A relay's own mind: it may lose what it should pass on, or pass it to somebody else. */
static struct plant_peer *forward_to(struct plant_node *n, const struct plant_peer *origin, const uint8_t *name)
{
    struct plant *p = n->plant;
    bool hostile = is_hostile_relay(n);
    uint32_t a = plant_number(p, &origin->id);
    if (hostile && plant_chance(p, 30) && n->peer_count > 0)
        return &n->peers[plant_below(p, n->peer_count)];
    if (hostile && plant_chance(p, 60))
        return NULL;
    for (uint32_t i = 0; i < n->peer_count; i++) {
        uint32_t b = plant_number(p, &n->peers[i].id);
        if (memcmp(n->peers[i].id.bytes, name, ENDPOINT_NAME_SIZE) == 0 && a != PLANT_NOBODY && b != PLANT_NOBODY &&
            n->permit && n->permit[a][b] && (n->peers[i].flags & MESH_MEMBER))
            return &n->peers[i];
    }
    return NULL;
}

/* Late, and again, if it likes to. */
static void pass_on(struct plant_node *n, const struct endpoint *to, const uint8_t *datagram, size_t len)
{
    struct plant *p = n->plant;
    bool hostile = is_hostile_relay(n);
    for (uint32_t copies = hostile && plant_chance(p, 60) ? 3 : 1; copies > 0; copies--) {
        p->detour = hostile && plant_chance(p, 100) ? plant_below(p, 6000) * PLANT_MS : 0;
        plant_send(n, to, datagram, len);
    }
    p->detour = 0;
}

static void forward(struct plant_node *n, const struct plant_peer *origin, const struct plant_peer *to,
                    const uint8_t *frame, size_t len)
{
    uint8_t buffer[PLANT_DATAGRAM_MAX + 200], *at = buffer + TUNNEL_HEADROOM_MAX;
    struct endpoint endpoint;
    struct peer *peer = tunnel_peer(n->tunnel, to->peer);
    uint32_t sealed = (uint32_t)len;
    if (!peer || !tunnel_peer_endpoint(peer, &endpoint) || endpoint.family == ENDPOINT_RELAYED)
        return;
    if (memmem(frame, len, plant_canary, sizeof(plant_canary)))
        plant_fail(n->plant, n, "no relay reads what it carries");
    memcpy(at, frame, len);
    at[offsetof(struct frame_relayed, direction)] = RELAYED_FROM;
    memcpy(at + offsetof(struct frame_relayed, device), origin->id.bytes, ENDPOINT_NAME_SIZE);
    if (seal(n, peer, &at, &sealed, TUNNEL_NO_PADDING) != 0)
        return;
    n->plant->forwarded++;
    pass_on(n, &endpoint, at, sealed);
}

static void take_relayed(struct plant_node *n, const struct plant_peer *from, const struct endpoint *at,
                         const uint8_t *frame, size_t len)
{
    struct frame_relayed header;
    if (at->family == ENDPOINT_RELAYED || len < sizeof(header))
        return;
    memcpy(&header, frame, sizeof(header));
    uint32_t inside = get_be32(header.len);
    if (!is_zero(header.zero, sizeof(header.zero)) || header.direction > RELAYED_FROM ||
        inside > len - sizeof(header) || message_classify(frame + sizeof(header), inside) == MESSAGE_NONE)
        return;
    bool asked = header.direction == RELAYED_TO;
    const struct plant_peer *to = asked ? forward_to(n, from, header.device) : NULL;
    if (to) {
        forward(n, from, to, frame, len);
    } else if (!asked && from->relay) {
        uint8_t both[sizeof(struct endpoint) + PLANT_DATAGRAM_MAX];
        struct endpoint seen = endpoint_relayed(header.device, from->peer);
        memcpy(both, &seen, sizeof(seen));
        memcpy(both + sizeof(seen), frame + sizeof(header), inside);
        plant_post(n, run_inside, &(struct plant_job){0}, both, sizeof(seen) + inside);
    }
}

static void take_packet(struct plant_node *n, const struct plant_peer *from, const uint8_t *packet, size_t len)
{
    static const struct peer_grants none;
    if (!n->member)
        return; /* while joining there is no interface */
    bool flawed = n->plant->flaw == PLANT_NO_POLICY && n->number % 3 == 0;
    const struct peer_grants *grants = from->grants.version ? &from->grants : &none;
    if (!flawed &&
        flow_judge(n->flows, grants, from->peer, false, packet, len, plant_monotonic(n->plant)) != FLOW_PASS) {
        n->plant->refused++;
        return;
    }
    plant_delivered(n, from, packet, len);
}

static void run_framed(struct plant_node *n, const struct plant_job *j)
{
    struct endpoint by;
    memcpy(&by, j->bytes, sizeof(by));
    plant_framed(n, j->peer, &by, j->session, j->bytes + sizeof(by), j->len - sizeof(by));
}

static void frame_later(struct plant_node *n, const struct plant_peer *known, const struct tunnel_opening *o)
{
    uint8_t both[sizeof(struct endpoint) + PLANT_DATAGRAM_MAX];
    memcpy(both, o->from, sizeof(struct endpoint));
    memcpy(both + sizeof(struct endpoint), o->packet, o->packet_len);
    plant_post(n, run_framed, &(struct plant_job){.peer = known->peer, .session = o->session}, both,
               sizeof(struct endpoint) + o->packet_len);
}

static void open_one(struct plant_node *n, const struct endpoint *from, uint8_t *bytes, size_t len)
{
    struct tunnel_opening o = {.at = bytes, .len = (uint32_t)len, .from = from};
    struct tunnel_notice notice;
    size_t notices;
    reclaim_enter(&n->reader);
    tunnel_open_batch(n->tunnel, n->plant->c, &o, 1, plant_monotonic(n->plant), &notice, &notices);
    const struct plant_peer *known = o.packet ? plant_peer_by_peer(n, tunnel_peer_id(o.peer)) : NULL;
    if (notices != 0)
        notice_later(n, &notice);
    if (known)
        plant_check_taken_away(n, &known->id);
    if (known && !o.frame)
        take_packet(n, known, o.packet, o.packet_len);
    else if (known && o.packet[0] == FRAME_RELAYED)
        take_relayed(n, known, from, o.packet, o.packet_len);
    else if (known)
        frame_later(n, known, &o);
    reclaim_leave(&n->reader);
}

void plant_datagram(struct plant_node *n, const struct endpoint *from, const uint8_t *bytes, size_t len)
{
    uint8_t copy[PLANT_DATAGRAM_MAX];
    memcpy(copy, bytes, len);
    enum message_type type = message_classify(copy, len);
    if (type == MESSAGE_TRANSPORT || type == MESSAGE_NATIVE)
        open_one(n, from, copy, len);
    else if (type != MESSAGE_NONE)
        handshake(n, from, copy, len, type);
}

/* ---- Life ---- */

/* Machines differ: some have no instructions for AES, and some are told to offer nothing. */
uint32_t plant_aeads(const struct plant_node *n)
{
    static const uint32_t offers[] = {FRAME_AEAD_CHACHA20_POLY1305 | FRAME_AEAD_AES_256_GCM,
                                      FRAME_AEAD_CHACHA20_POLY1305,
                                      FRAME_AEAD_CHACHA20_POLY1305 | FRAME_AEAD_AES_256_GCM, 0};
    return offers[n->number % 4];
}

int plant_engine_start(struct plant_node *n)
{
    struct tunnel_options options = {.dark = true, .entropy = {.fill = fill, .context = n}, .aeads = plant_aeads(n)};
    struct mesh_ops ops = plant_mesh_ops;
    struct tunnel_actions actions;
    uint8_t key[16];
    ops.context = n;
    fill(n, key, sizeof(key));
    int error = tunnel_new(&n->tunnel, &options);
    if (error == 0)
        error = flow_table_new(&n->flows, 64, key);
    if (error == 0)
        error = mesh_new(&n->mesh, n->plant->c, &ops);
    if (error != 0)
        return error;
    tunnel_add_reader(n->tunnel, &n->reader);
    if (n->has_gate)
        plant_must(tunnel_gate_restore(n->tunnel, n->gate) == 0, "memory");
    plant_tell_gate(n);
    plant_tell_local(n);
    actions.count = 0;
    tunnel_step(n->tunnel, &(struct tunnel_event){.kind = TUNNEL_EVENT_UP}, plant_time(n), &actions);
    plant_actions(n, &actions);
    n->peers = calloc(PLANT_PEERS_MAX, sizeof(*n->peers));
    bool may_relay = n->number == PLANT_HUB || (n->number >= PLANT_FIRST_RELAY && n->number < PLANT_FIRST_MEMBER);
    n->permit = may_relay ? calloc(PLANT_NODES, sizeof(*n->permit)) : NULL;
    return n->peers ? 0 : ERROR_MEMORY;
}

void plant_engine_stop(struct plant_node *n)
{
    memset(n->aims, 0, sizeof(n->aims));
    n->member_gone = false;
    n->ungated_full_at = 0;
    while (n->staged)
        unstage(n, n->staged->peer);
    for (uint32_t i = 0; i < n->peer_count; i++)
        free(n->peers[i].list);
    mesh_free(n->mesh);
    tunnel_remove_reader(n->tunnel, &n->reader);
    tunnel_free(n->tunnel);
    flow_table_free(n->flows);
    free(n->peers);
    free(n->permit);
    n->mesh = NULL;
    n->tunnel = NULL;
    n->flows = NULL;
    n->peers = NULL;
    n->permit = NULL;
    n->peer_count = 0;
}
