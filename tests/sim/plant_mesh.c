/* Between the mesh, which knows devices, and the tunnel, which knows peers, as node/engine_mesh.c does it. */
#include <stdlib.h>
#include <string.h>

#include "../unit/random.h"
#include "base/bytes.h"
#include "plant.h"

static peer_id peer_of(struct plant_node *n, const struct device_id *id)
{
    const struct plant_peer *known = plant_peer_by_id(n, id);
    return known ? known->peer : 0;
}

/* ---- What the mesh wants ---- */

void plant_run_frame(struct plant_node *n, const struct plant_job *j)
{
    peer_id peer = peer_of(n, &j->id);
    if (peer)
        plant_into_session(n, peer, j->bytes, j->len);
}

/* A hostile relay introduces as any does, and says that the other is where it is not. */
static bool lies_about(struct plant_node *n, const uint8_t *frame, size_t len, uint8_t out[FRAME_MAX], int *out_len)
{
    struct plant *p = n->plant;
    struct frame f;
    uint8_t list[FRAME_CANDIDATES_SIZE];
    if (!p->relay_is_hostile || n->number != PLANT_HOSTILE_RELAY || frame[0] != FRAME_INTRODUCE ||
        frame_decode(&f, frame, len) != 0 ||
        (f.introduce.stage != INTRODUCE_TELL && f.introduce.result != INTRODUCE_HERE))
        return false;
    f.introduce.candidates = (struct frame_view){list, plant_lies(p, list)};
    *out_len = frame_encode(&f, out, FRAME_MAX);
    return *out_len > 0;
}

static void on_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    uint8_t lie[FRAME_MAX];
    int lie_len;
    if (lies_about(context, frame, len, lie, &lie_len)) {
        plant_post(context, plant_run_frame, &(struct plant_job){.id = *to}, lie, (size_t)lie_len);
        return;
    }
    plant_post(context, plant_run_frame, &(struct plant_job){.id = *to}, frame, len);
}

static void set_endpoint(struct plant_node *n, peer_id peer, const struct endpoint *endpoint)
{
    struct tunnel_actions actions;
    actions.count = 0;
    if (tunnel_peer_set_endpoint(n->tunnel, peer, endpoint, &actions) == 0)
        plant_actions(n, &actions);
}

static struct endpoint endpoint_of(const struct underlay *where)
{
    struct endpoint endpoint = {.port = where->port, .family = where->family};
    memcpy(endpoint.address, where->address, sizeof(endpoint.address));
    return endpoint;
}

static struct underlay underlay_of(const struct endpoint *endpoint)
{
    struct underlay where = {.port = endpoint->port, .family = endpoint->family};
    memcpy(where.address, endpoint->address, sizeof(where.address));
    return where;
}

static void run_frame_by(struct plant_node *n, const struct plant_job *j)
{
    struct endpoint by;
    memcpy(&by, j->bytes, sizeof(by));
    plant_into_path(n, j->peer, &by, j->bytes + sizeof(by), j->len - sizeof(by));
}

static void on_send_by(void *context, const struct device_id *to, const struct mesh_way *way, const uint8_t *frame,
                       size_t len)
{
    struct plant_node *n = context;
    uint8_t both[sizeof(struct endpoint) + FRAME_MAX];
    struct endpoint by = way->kind == MESH_PATH_RELAYED ? endpoint_relayed(to->bytes, peer_of(n, &way->relay))
                                                        : endpoint_of(&way->endpoint);
    memcpy(both, &by, sizeof(by));
    memcpy(both + sizeof(by), frame, len);
    bool lavish = n->plant->flaw == PLANT_NO_BUDGET && way->kind == MESH_PATH_DIRECT;
    for (uint32_t i = 0; i < (lavish ? 20u : 1u); i++)
        plant_post(n, run_frame_by, &(struct plant_job){.peer = peer_of(n, to)}, both, sizeof(by) + len);
}

static void on_candidates(void *context, const struct device_id *to, const struct underlay *list, uint32_t count)
{
    struct plant_peer *known = plant_peer_by_id(context, to);
    if (!known)
        return;
    known->candidate_count = 0;
    for (uint32_t i = 0; i < count && i < sizeof(known->candidates) / sizeof(known->candidates[0]); i++)
        known->candidates[known->candidate_count++] = endpoint_of(&list[i]);
}

static void on_direct(void *context, const struct device_id *to, const struct underlay *where)
{
    struct plant_node *n = context;
    struct endpoint endpoint = endpoint_of(where);
    set_endpoint(n, peer_of(n, to), &endpoint);
}

static void on_relayed(void *context, const struct device_id *to, const struct device_id *relay)
{
    struct plant_node *n = context;
    struct plant_peer *peer = plant_peer_by_id(n, to), *by = plant_peer_by_id(n, relay);
    struct endpoint endpoint;
    if (!peer || !by || peer == by || (peer->flags & (MESH_INVITE | MESH_USED_INVITE)))
        return;
    const struct peer *p = tunnel_peer(n->tunnel, by->peer);
    if (!p || (tunnel_peer_endpoint(p, &endpoint) && endpoint.family == ENDPOINT_RELAYED))
        return;
    by->relay = true;
    tunnel_peer_set_stays(n->tunnel, by->peer, true);
    endpoint = endpoint_relayed(peer->id.bytes, by->peer);
    set_endpoint(n, peer->peer, &endpoint);
}

static void on_forget(void *context, const struct device_id *to, const struct device_id *relay)
{
    struct plant_node *n = context;
    struct endpoint endpoint;
    peer_id peer = peer_of(n, to), by = relay ? peer_of(n, relay) : 0;
    if (!relay) {
        tunnel_peer_forget_endpoint(n->tunnel, peer);
        return;
    }
    const struct peer *p = tunnel_peer(n->tunnel, peer);
    if (p && tunnel_peer_endpoint(p, &endpoint) && endpoint.family == ENDPOINT_RELAYED &&
        endpoint_relay(&endpoint) == by)
        tunnel_peer_forget_endpoint(n->tunnel, peer);
}

void plant_connect(struct plant_node *n, peer_id peer, bool anew)
{
    struct tunnel_actions actions;
    actions.count = 0;
    if (anew)
        tunnel_peer_reconnect(n->tunnel, peer, plant_time(n), &actions);
    else
        tunnel_peer_connect(n->tunnel, peer, plant_time(n), &actions);
    plant_actions(n, &actions);
}

static void on_connect(void *context, const struct device_id *to, uint16_t keepalive, bool anew)
{
    struct plant_node *n = context;
    struct tunnel_actions actions;
    peer_id peer = peer_of(n, to);
    actions.count = 0;
    tunnel_peer_set_keepalive(n->tunnel, peer, keepalive, plant_time(n), &actions);
    plant_actions(n, &actions);
    if (anew || keepalive > 0)
        plant_connect(n, peer, anew);
}

static void on_permit(void *context, const struct device_id *a, const struct device_id *b, bool yes)
{
    struct plant_node *n = context;
    uint32_t x = plant_number(n->plant, a), y = plant_number(n->plant, b);
    plant_must(n->permit && x != PLANT_NOBODY && y != PLANT_NOBODY, "a relay permits devices");
    if (yes || n->plant->flaw != PLANT_KEEPS_PERMITS)
        n->permit[x][y] = n->permit[y][x] = yes;
}

/* ---- Questions to the state ---- */

static void run_met(struct plant_node *n, const struct plant_job *j)
{
    size_t asker_len = j->len - j->second_len;
    const struct mesh_meeting meeting = {.target = j->flag ? &j->id : NULL,
                                         .asker_opening = {j->bytes, asker_len},
                                         .target_opening = {j->bytes + asker_len, j->second_len}};
    mesh_met(n->mesh, (uint32_t)j->number, &meeting, plant_monotonic(n->plant));
}

/* A hostile relay lets anybody meet whom it knows. */
static bool meets_anyway(struct plant_node *n, const struct frame_introduce *what, struct replica_meeting *out)
{
    struct plant *p = n->plant;
    uint32_t other = plant_below(p, p->node_count);
    if (!p->relay_is_hostile || n->number != PLANT_HOSTILE_RELAY || !p->nodes[other].invite.made)
        return false;
    out->target = p->nodes[other].invite.id;
    if (what->has_device)
        memcpy(out->target.bytes, what->device, sizeof(out->target.bytes));
    uint32_t number = plant_number(p, &out->target);
    if (number == PLANT_NOBODY || !plant_peer_by_id(n, &out->target))
        return false;
    out->target_opening = (struct frame_view){0}; /* what it could leak it does not, so that who holds what is known */
    out->asker_opening = (struct frame_view){0};
    return true;
}

static void run_meet(struct plant_node *n, const struct plant_job *j)
{
    struct replica_meeting meeting = {0};
    struct frame frame;
    uint8_t openings[2 * FRAME_MAX];
    struct plant_job answer = {.number = j->number};
    if (frame_decode(&frame, j->bytes, j->len) != 0 || frame.kind != FRAME_INTRODUCE)
        return;
    answer.flag =
        (replica_meet(n->replica, &j->id, &frame.introduce, &meeting) || meets_anyway(n, &frame.introduce, &meeting)) &&
        meeting.asker_opening.len <= FRAME_MAX && meeting.target_opening.len <= FRAME_MAX;
    size_t len = 0;
    if (answer.flag) {
        answer.id = meeting.target;
        answer.second_len = meeting.target_opening.len;
        if (meeting.asker_opening.len)
            memcpy(openings, meeting.asker_opening.bytes, meeting.asker_opening.len);
        len = meeting.asker_opening.len;
        if (meeting.target_opening.len)
            memcpy(openings + len, meeting.target_opening.bytes, meeting.target_opening.len);
        len += meeting.target_opening.len;
    }
    plant_post(n, run_met, &answer, openings, len);
}

static void on_meet(void *context, uint32_t question, const struct device_id *asker, const struct frame_introduce *what)
{
    uint8_t bytes[FRAME_MAX];
    struct frame ask = {.kind = FRAME_INTRODUCE, .introduce = *what};
    int len = frame_encode(&ask, bytes, sizeof(bytes));
    if (len > 0)
        plant_post(context, run_meet, &(struct plant_job){.id = *asker, .number = question}, bytes, (size_t)len);
}

/* ---- To the state ---- */

static void run_deliver(struct plant_node *n, const struct plant_job *j)
{
    bool deaf = n->plant->flaw == PLANT_DEAF && n->number % 3 == 0 && n->number >= PLANT_FIRST_MEMBER && j->len > 0 &&
                j->bytes[0] != FRAME_JOINED && n->member;
    if (!deaf)
        replica_frame(n->replica, &j->id, j->flag, j->bytes, j->len, plant_monotonic(n->plant));
}

static void on_deliver(void *context, const struct device_id *from, bool invite, const uint8_t *frame, size_t len)
{
    plant_post(context, run_deliver, &(struct plant_job){.id = *from, .flag = invite}, frame, len);
}

static void run_learn(struct plant_node *n, const struct plant_job *j)
{
    size_t opening_len = j->len - j->second_len;
    replica_learn(n->replica, &j->id, (struct frame_view){j->bytes, opening_len},
                  (struct frame_view){j->bytes + opening_len, j->second_len}, plant_monotonic(n->plant));
}

static void on_learn(void *context, const struct device_id *from, struct frame_view opening, struct frame_view head)
{
    uint8_t both[2 * FRAME_MAX];
    if (opening.len + head.len > sizeof(both))
        return;
    if (opening.len)
        memcpy(both, opening.bytes, opening.len);
    if (head.len)
        memcpy(both + opening.len, head.bytes, head.len);
    plant_post(context, run_learn, &(struct plant_job){.id = *from, .second_len = head.len}, both,
               opening.len + head.len);
}

static void on_traffic(void *context, const struct device_id *id, uint64_t *sent, uint64_t *received)
{
    struct plant_node *n = context;
    struct tunnel_peer_info info;
    *sent = *received = 0;
    if (tunnel_peer_info(n->tunnel, peer_of(n, id), &info) != 0)
        return;
    *sent = info.tx_bytes;
    *received = info.rx_bytes;
}

static void on_pong(void *context, const struct device_id *id, uint32_t number, uint64_t rtt)
{
    (void)context;
    (void)id;
    (void)number;
    (void)rtt;
}

static void run_link(struct plant_node *n, const struct plant_job *j)
{
    replica_link(n->replica, &j->id, j->flag, plant_monotonic(n->plant));
}

static void on_link(void *context, const struct device_id *device, bool up)
{
    plant_post(context, run_link, &(struct plant_job){.id = *device, .flag = up}, NULL, 0);
}

static void on_entropy(void *context, uint8_t *out, size_t len)
{
    struct plant_node *n = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(random_next(&n->random) >> 56);
}

struct plant_gate *plant_gate_of(struct plant_node *n, const uint8_t key[X25519_SIZE])
{
    static const uint8_t none[MESSAGE_COOKIE_SIZE];
    for (uint32_t i = 0; i < n->gate_count; i++)
        if (memcmp(n->gates[i].static_key, key, X25519_SIZE) == 0)
            return &n->gates[i];
    struct plant_gate *made = n->gate_count < PLANT_GATES_MAX ? &n->gates[n->gate_count++]
                                                              : &n->gates[plant_below(n->plant, PLANT_GATES_MAX)];
    memcpy(made->static_key, key, X25519_SIZE);
    memcpy(made->gate, none, sizeof(none));
    return made;
}

static void on_heard(void *context, const struct device_id *from, uint32_t session, uint64_t aeads, const uint8_t *gate)
{
    struct plant_node *n = context;
    peer_id peer = peer_of(n, from);
    if (session != 0)
        tunnel_session_set_native(n->tunnel, peer, session, (uint32_t)aeads);
    const struct plant_peer *known = gate ? plant_peer_by_id(n, from) : NULL;
    if (!known)
        return;
    tunnel_peer_set_gate(n->tunnel, peer, gate);
    struct plant_gate *kept = plant_gate_of(n, known->static_key);
    memcpy(kept->gate, gate, sizeof(kept->gate));
}

const struct mesh_ops plant_mesh_ops = {
    .heard = on_heard,
    .send = on_send,
    .send_by = on_send_by,
    .candidates = on_candidates,
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
};

/* ---- What the tunnel reports ---- */

static void run_seen(struct plant_node *n, const struct plant_job *j)
{
    replica_seen(n->replica, &j->id, plant_monotonic(n->plant));
}

void plant_linked(struct plant_node *n, peer_id peer, bool up)
{
    struct plant_peer *known = plant_peer_by_peer(n, peer);
    if (!known)
        return;
    if (up && !known->seen && (known->flags & MESH_MEMBER)) {
        known->seen = true;
        plant_post(n, run_seen, &(struct plant_job){.id = known->id}, NULL, 0);
    }
    struct device_id id = known->id;
    if (up)
        plant_check_taken_away(n, &id);
    mesh_link(n->mesh, &id, up, plant_monotonic(n->plant));
}

static void run_intruder(struct plant_node *n, const struct plant_job *j)
{
    replica_intruder(n->replica, &j->id, plant_monotonic(n->plant));
}

void plant_intruded(struct plant_node *n, peer_id peer)
{
    const struct plant_peer *known = plant_peer_by_peer(n, peer);
    if (known)
        plant_post(n, run_intruder, &(struct plant_job){.id = known->id}, NULL, 0);
}

/* False: through a relay that is not known any more. */
static bool way_of(struct plant_node *n, const struct endpoint *from, struct mesh_way *out)
{
    *out = (struct mesh_way){.kind = MESH_PATH_DIRECT};
    if (from->family == ENDPOINT_RELAYED) {
        const struct plant_peer *relay = plant_peer_by_peer(n, endpoint_relay(from));
        out->kind = MESH_PATH_RELAYED;
        if (relay)
            out->relay = relay->id;
        return relay;
    }
    out->endpoint = underlay_of(from);
    return true;
}

/* As if any way could answer for any other. */
static void answer_for_all(struct plant_node *n, const struct device_id *from, uint32_t session, const uint8_t *frame,
                           size_t len)
{
    for (uint32_t i = 0; i < PLANT_VICTIMS; i++) {
        struct endpoint victim = plant_victim(i);
        struct mesh_arrival arrival = {.way = {.kind = MESH_PATH_DIRECT, .endpoint = underlay_of(&victim)},
                                       .session = session};
        mesh_frame(n->mesh, from, &arrival, frame, len, plant_monotonic(n->plant));
    }
}

void plant_framed(struct plant_node *n, peer_id from, const struct endpoint *by, uint32_t session, const uint8_t *frame,
                  size_t len)
{
    const struct plant_peer *known = plant_peer_by_peer(n, from);
    struct mesh_arrival arrival = {.session = session};
    if (!known || !way_of(n, by, &arrival.way))
        return;
    struct device_id id = known->id;
    if (n->plant->flaw == PLANT_ANY_WAY && frame[0] == FRAME_ANSWER)
        answer_for_all(n, &id, session, frame, len);
    mesh_frame(n->mesh, &id, &arrival, frame, len, plant_monotonic(n->plant));
}

void plant_spoke(struct plant_node *n, peer_id peer, const struct endpoint *from)
{
    const struct plant_peer *known = plant_peer_by_peer(n, peer);
    struct mesh_way way;
    if (!known || !way_of(n, from, &way))
        return;
    struct device_id id = known->id;
    mesh_spoke(n->mesh, &id, &way, plant_monotonic(n->plant));
}

void plant_tell_local(struct plant_node *n)
{
    struct endpoint own = plant_endpoint(n);
    struct underlay where = underlay_of(&own);
    mesh_local(n->mesh, &where, 1, plant_monotonic(n->plant));
}

void plant_tell_gate(struct plant_node *n)
{
    if (n->plant->flaw == PLANT_SAME_GATE && n->has_gate)
        plant_must(tunnel_gate_restore(n->tunnel, n->gate) == 0, "memory");
    tunnel_gate(n->tunnel, n->gate);
    n->has_gate = true;
    if (n->mesh)
        mesh_offer(n->mesh, plant_aeads(n), n->gate, plant_monotonic(n->plant));
}

/* Between a relay and its members nothing is to be decided. */
void plant_steer(struct plant_node *n, const struct plant_peer *known)
{
    bool member = (known->flags & MESH_MEMBER) && !(known->flags & (MESH_RELAY | MESH_INVITE | MESH_USED_INVITE));
    bool flawed = n->plant->flaw == PLANT_FOLLOWS;
    tunnel_peer_set_steered(n->tunnel, known->peer, member && n->has_self && !n->self.relay && !flawed);
}

void plant_wanted(struct plant_node *n, peer_id peer, const uint8_t *address, size_t len)
{
    const struct plant_peer *known = plant_peer_by_peer(n, peer);
    if (known) {
        struct device_id id = known->id;
        mesh_wanted(n->mesh, &id, plant_monotonic(n->plant));
    } else if (peer == 0) {
        mesh_wanted_address(n->mesh, address, len, plant_monotonic(n->plant));
    }
}
