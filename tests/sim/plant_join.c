/* Between mesh, tunnel and replica, as node/engine_*.c and node/state_*.c are: each says its things by messages. */
#include <stdlib.h>
#include <string.h>

#include "../unit/random.h"
#include "base/bytes.h"
#include "plant.h"

/* ---- Messages ---- */

void plant_post(struct plant_node *n, void (*run)(struct plant_node *n, const struct plant_job *j),
                const struct plant_job *what, const void *bytes, size_t len)
{
    struct plant_job *j = malloc(sizeof(*j) + len);
    plant_must(j != NULL, "memory");
    *j = *what;
    j->next = NULL;
    j->run = run;
    j->len = len;
    if (len > 0)
        memcpy(j->bytes, bytes, len);
    *n->jobs_end = j;
    n->jobs_end = &j->next;
}

static uint64_t due_of(const struct plant_node *n)
{
    uint64_t due = earlier(tunnel_deadline(n->tunnel), mesh_deadline(n->mesh));
    due = earlier(due, replica_deadline(n->replica));
    if (n->number == PLANT_HUB && n->plant->sequencer)
        due = earlier(due, sequencer_deadline(n->plant->sequencer));
    return due == UINT64_MAX ? due : due < PLANT_START ? 0 : due - PLANT_START;
}

void plant_drain(struct plant_node *n)
{
    uint32_t turns = 0;
    while (n->jobs) {
        struct plant_job *j = n->jobs;
        n->jobs = j->next;
        if (!n->jobs)
            n->jobs_end = &n->jobs;
        plant_must(++turns < 200000, "what is said comes to an end");
        j->run(n, j);
        free(j);
    }
    if (n->on)
        n->due = due_of(n);
}

/* ---- What the state publishes: to the engine ---- */

static bool carries_packets(uint32_t flags)
{
    return (flags & MESH_MEMBER) && !(flags & (MESH_INVITE | MESH_USED_INVITE | MESH_FOUNDING));
}

static void set_addresses(struct plant_node *n, struct plant_peer *known, const struct replica_device *d)
{
    const uint8_t none[16] = {0};
    const uint8_t *ipv6 = d->has_ipv6 ? d->ipv6 : none;
    bool same =
        memcmp(known->ipv6, ipv6, 16) == 0 && known->has_ipv4 == d->has_ipv4 && memcmp(known->ipv4, d->ipv4, 4) == 0;
    if (same && carries_packets(d->flags) == ((known->flags & MESH_MEMBER) != 0))
        return;
    memcpy(known->ipv6, ipv6, 16);
    memcpy(known->ipv4, d->ipv4, 4);
    known->has_ipv4 = d->has_ipv4;
    tunnel_peer_disallow_all(n->tunnel, known->peer);
    if (!carries_packets(d->flags))
        return;
    if (d->has_ipv6)
        plant_must(tunnel_peer_allow(n->tunnel, known->peer, d->ipv6, 16, 128) == 0, "memory");
    if (d->has_ipv4)
        plant_must(tunnel_peer_allow(n->tunnel, known->peer, d->ipv4, 4, 32) == 0, "memory");
}

static void set_grants(struct plant_node *n, struct plant_peer *known, const struct replica_device *d,
                       const struct grant *grants)
{
    uint32_t count = d->out_count + d->in_count;
    free(known->list);
    known->list = calloc(count + 1, sizeof(struct grant));
    plant_must(known->list, "memory");
    if (count > 0)
        memcpy(known->list, grants, count * sizeof(struct grant));
    known->grants = (struct peer_grants){.version = ++n->grants_version,
                                         .out_count = d->out_count,
                                         .in_count = d->in_count,
                                         .out = known->list,
                                         .in = known->list + d->out_count};
}

static void peer_gone(struct plant_node *n, const struct device_id *id)
{
    struct plant_peer *known = plant_peer_by_id(n, id);
    struct tunnel_actions actions;
    mesh_device_gone(n->mesh, id, plant_monotonic(n->plant));
    if (!known)
        return;
    peer_id peer = known->peer;
    free(known->list);
    *known = n->peers[--n->peer_count];
    actions.count = 0;
    tunnel_peer_remove(n->tunnel, peer, &actions);
    plant_actions(n, &actions);
}

static struct plant_peer *add_peer(struct plant_node *n, const struct replica_device *d)
{
    peer_id peer;
    if (tunnel_peer_add(n->tunnel, d->static_key, &peer) != 0)
        return NULL;
    plant_must(n->peer_count < PLANT_PEERS_MAX, "there is room for all peers");
    struct plant_peer *known = &n->peers[n->peer_count++];
    *known = (struct plant_peer){.peer = peer, .id = d->id};
    memcpy(known->static_key, d->static_key, X25519_SIZE);
    struct plant_gate *gate = plant_gate_of(n, known->static_key);
    if (!is_zero(gate->gate, sizeof(gate->gate)))
        tunnel_peer_set_gate(n->tunnel, peer, gate->gate);
    return known;
}

static struct plant_peer *peer_with_key(struct plant_node *n, const struct replica_device *d)
{
    struct plant_peer *known = plant_peer_by_id(n, &d->id);
    if (known && memcmp(known->static_key, d->static_key, X25519_SIZE) == 0)
        return known;
    if (known)
        peer_gone(n, &d->id);
    return is_zero(d->static_key, X25519_SIZE) ? NULL : add_peer(n, d);
}

static void run_device(struct plant_node *n, const struct plant_job *j)
{
    struct replica_device d;
    memcpy(&d, j->bytes, sizeof(d));
    struct plant_peer *known = peer_with_key(n, &d);
    if (!known)
        return;
    struct mesh_device device = {.id = d.id, .flags = d.flags, .has_endpoint = d.has_endpoint, .endpoint = d.endpoint};
    tunnel_peer_set_silent(n->tunnel, known->peer, (d.flags & MESH_USED_INVITE) != 0);
    known->relay = (d.flags & MESH_RELAY) != 0;
    tunnel_peer_set_stays(n->tunnel, known->peer, known->relay);
    set_grants(n, known, &d, (const struct grant *)(const void *)(j->bytes + sizeof(d)));
    set_addresses(n, known, &d);
    known->flags = d.flags;
    plant_steer(n, known);
    plant_must(mesh_device(n->mesh, &device, plant_monotonic(n->plant)) == 0, "memory");
    if (n->has_self && n->self.answer_invite_key)
        plant_apply_keys(n);
}

static void on_device(void *context, const struct replica_device *d)
{
    struct plant_node *n = context;
    uint8_t bytes[sizeof(*d) + 2 * GRANTS_MAX * sizeof(struct grant)];
    size_t out = d->out_count * sizeof(struct grant), in = d->in_count * sizeof(struct grant);
    memcpy(bytes, d, sizeof(*d));
    if (out)
        memcpy(bytes + sizeof(*d), d->out, out);
    if (in)
        memcpy(bytes + sizeof(*d) + out, d->in, in);
    plant_sync(n);
    plant_post(n, run_device, &(struct plant_job){0}, bytes, sizeof(*d) + out + in);
}

static void run_gone(struct plant_node *n, const struct plant_job *j)
{
    peer_gone(n, &j->id);
}

static void on_gone(void *context, const struct device_id *id)
{
    plant_post(context, run_gone, &(struct plant_job){.id = *id}, NULL, 0);
}

/* ---- Ourselves ---- */

void plant_apply_keys(struct plant_node *n)
{
    struct tunnel_actions actions;
    const uint8_t *key = n->slot == 1 ? n->invite.keys.static_public : n->public_key;
    actions.count = 0;
    plant_must(tunnel_set_public_key(n->tunnel, key, &actions) == 0, "our key is a key");
    plant_actions(n, &actions);
    const struct plant_peer *founder = plant_peer_by_id(n, &n->self.invite_peer);
    bool second = n->has_self && n->self.answer_invite_key && founder && n->has_seed;
    plant_must(
        tunnel_set_second_key(n->tunnel, second ? n->invite.keys.static_public : NULL, second ? founder->peer : 0) == 0,
        "the founding key is a key");
}

static void run_self(struct plant_node *n, const struct plant_job *j)
{
    memcpy(&n->self, j->bytes, sizeof(n->self));
    n->has_self = true;
    mesh_self(n->mesh, &n->self.id, n->self.relay, n->self.joining, plant_monotonic(n->plant));
    plant_apply_keys(n);
    for (uint32_t i = 0; i < n->peer_count; i++)
        plant_steer(n, &n->peers[i]);
}

static void on_self(void *context, const struct replica_self *self)
{
    plant_sync(context);
    plant_post(context, run_self, &(struct plant_job){0}, self, sizeof(*self));
}

static void run_head(struct plant_node *n, const struct plant_job *j)
{
    mesh_head(n->mesh, j->bytes);
}

static void on_head(void *context, const uint8_t head[SIGNED_HEAD_SIZE])
{
    plant_sync(context);
    plant_post(context, run_head, &(struct plant_job){0}, head, SIGNED_HEAD_SIZE);
}

static void run_use_key(struct plant_node *n, const struct plant_job *j)
{
    uint32_t slot = (uint32_t)j->number;
    if (slot == n->slot || (slot == 1 && !n->has_seed))
        return;
    n->slot = slot;
    plant_apply_keys(n);
    for (uint32_t i = 0; i < n->peer_count; i++) {
        struct device_id id = n->peers[i].id;
        peer_id peer = n->peers[i].peer;
        mesh_link(n->mesh, &id, false, plant_monotonic(n->plant));
        plant_connect(n, peer, false);
    }
}

static void on_use_key(void *context, uint32_t slot)
{
    plant_post(context, run_use_key, &(struct plant_job){.number = slot}, NULL, 0);
}

/* ---- Frames of the state ---- */

static void run_to_controller(struct plant_node *n, const struct plant_job *j)
{
    struct plant *p = n->plant;
    if (p->sequencer && n->number == PLANT_HUB)
        plant_must(sequencer_frame(p->sequencer, j->bytes, j->len, plant_wall(n), plant_monotonic(p)) == 0, "memory");
}

static void on_state_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    struct plant_node *n = context;
    bool controller = memcmp(to, &replica_controller, sizeof(*to)) == 0;
    plant_must(len > 0 && len <= FRAME_MAX, "a frame is a frame");
    plant_sync(n);
    bool keeps = n->plant->flaw == PLANT_KEEPS_TO_ITSELF && n->number >= PLANT_FIRST_MEMBER;
    if (keeps && frame[0] == FRAME_STATEMENT)
        return;
    if (!controller && frame[0] == FRAME_RELAYED)
        plant_fail(n->plant, n, "the state forges nothing into the relayed path");
    plant_post(n, controller ? run_to_controller : plant_run_frame, &(struct plant_job){.id = *to}, frame, len);
}

/* ---- To the disk, and to people ---- */

static void on_keep_entry(void *context, uint64_t index, uint64_t time, enum fold_verdict verdict, const uint8_t *bytes,
                          size_t len)
{
    plant_keep(
        context,
        &(struct plant_record){.where = KEPT_IN_ENTRIES, .index = index, .time = time, .verdict = verdict, .len = len},
        bytes);
}

static void on_keep_opening(void *context, const uint8_t commitment[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    (void)commitment;
    plant_check_opening(context, bytes, len);
    plant_keep(context, &(struct plant_record){.where = KEPT_IN_OPENINGS, .len = len}, bytes);
}

static void on_keep_head(void *context, const uint8_t head[SIGNED_HEAD_SIZE])
{
    plant_keep(context, &(struct plant_record){.where = KEPT_AS_HEAD, .len = SIGNED_HEAD_SIZE}, head);
}

static void on_keep_take_away(void *context, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    (void)hash;
    plant_keep(context, &(struct plant_record){.where = KEPT_IN_TAKE_AWAYS, .len = len}, bytes);
}

static void on_keep_base(void *context, const uint8_t *fold, size_t len)
{
    plant_keep(context, &(struct plant_record){.where = KEPT_AS_BASE, .len = len}, fold);
}

static void on_keep_floor(void *context, uint64_t seconds)
{
    plant_keep(context, &(struct plant_record){.where = KEPT_AS_FLOOR, .time = seconds}, NULL);
}

static void on_keep_evidence(void *context, const uint8_t a[SIGNED_HEAD_SIZE], const uint8_t b[SIGNED_HEAD_SIZE])
{
    struct plant_node *n = context;
    (void)a;
    (void)b;
    plant_fail(n->plant, n, "an honest sequencer signs one history");
}

static void run_part(struct plant_node *n, const struct plant_job *j)
{
    struct device_id other;
    memcpy(other.bytes, j->bytes, sizeof(other.bytes));
    mesh_part(n->mesh, &j->id, &other);
}

static void on_part(void *context, const struct device_id *a, const struct device_id *b)
{
    plant_post(context, run_part, &(struct plant_job){.id = *a}, b->bytes, sizeof(b->bytes));
}

static void on_problem(void *context, const struct replica_problem *problem)
{
    struct plant_node *n = context;
    if (problem->kind == REPLICA_PROBLEM_LEDGER_SPLIT || problem->kind == REPLICA_PROBLEM_FOLD_MISMATCH)
        plant_fail(n->plant, n, "no honest node sees a split or a mismatch");
}

static void on_outcome(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index)
{
    struct plant_node *n = context;
    (void)index;
    plant_sync(n);
    if (n->number == PLANT_OPERATOR)
        plant_outcome(n->plant, statement, verdict);
}

static void on_erase_seed(void *context)
{
    struct plant_node *n = context;
    plant_sync(n);
    n->has_seed = false;
}

static void on_joined(void *context, enum fold_verdict verdict, enum replica_join_reason reason)
{
    struct plant_node *n = context;
    plant_sync(n);
    n->join_ended = true;
    n->member = reason == REPLICA_JOIN_NO_REASON && (verdict == VERDICT_STANDS || verdict == VERDICT_ALREADY);
}

const struct replica_ops plant_replica_ops = {
    .send = on_state_send,
    .device = on_device,
    .gone = on_gone,
    .part = on_part,
    .self = on_self,
    .head = on_head,
    .keep_entry = on_keep_entry,
    .keep_opening = on_keep_opening,
    .keep_head = on_keep_head,
    .keep_take_away = on_keep_take_away,
    .keep_base = on_keep_base,
    .keep_floor = on_keep_floor,
    .keep_evidence = on_keep_evidence,
    .problem = on_problem,
    .outcome = on_outcome,
    .use_key = on_use_key,
    .erase_seed = on_erase_seed,
    .joined = on_joined,
};

/* ---- Time ---- */

void plant_timers(struct plant_node *n)
{
    struct plant *p = n->plant;
    uint64_t now = plant_monotonic(p);
    plant_sync(n);
    plant_engine_timer(n);
    mesh_timer(n->mesh, now);
    if (now >= replica_deadline(n->replica))
        replica_timer(n->replica, now, plant_wall(n));
    if (n->number == PLANT_HUB && p->sequencer)
        plant_must(sequencer_timer(p->sequencer, plant_wall(n), now) == 0, "memory");
    plant_drain(n);
}
