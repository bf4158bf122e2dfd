/* Answers as JSON. Numbers are as they are counted; names, addresses and sentences are for people. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hex.h"
#include "base/time.h"
#include "crypto/crypto.h"
#include "mesh/mesh.h"
#include "state_internal.h"

/* The overlay's addresses: IPv6 first. */
static json_t *addresses_json(const uint8_t *ipv6, const uint8_t *ipv4)
{
    char text[INET6_ADDRSTRLEN];
    json_t *list = json_array();
    if (ipv6 && inet_ntop(AF_INET6, ipv6, text, sizeof(text)))
        json_array_append_new(list, json_string(text));
    if (ipv4 && inet_ntop(AF_INET, ipv4, text, sizeof(text)))
        json_array_append_new(list, json_string(text));
    return list;
}

/* ---- Peers ---- */

const char *state_path_name(uint32_t path)
{
    switch ((enum ipc_path_kind)path) {
    case IPC_PATH_DIRECT:
        return "direct";
    case IPC_PATH_RELAYED:
        return "relayed";
    case IPC_PATH_NONE:
        break;
    }
    return "none";
}

/* Why it is not reached directly; NULL: it is, or not at all. */
static const char *why_sentence(uint32_t why)
{
    static const char *const sentences[MESH_WHY_KINDS] = {
        [MESH_WHY_TRYING] = "a direct path is being tried",
        [MESH_WHY_NO_CANDIDATES] = "nobody said where it could be found",
        [MESH_WHY_UNANSWERED] = "it was tried directly, and nothing came through",
        [MESH_WHY_NAT_HERE] = "this NAT shows each destination another port",
        [MESH_WHY_IDLE] = "nothing was sent for a while; it will be tried with what is sent next",
        [MESH_WHY_LIMITED] = "too much was tried toward the same place; it is tried again",
    };
    return why < MESH_WHY_KINDS ? sentences[why] : NULL;
}

/* ipc_peer_status.native */
static const char *transport_name(uint32_t native)
{
    static const char *const names[] = {
        [0] = "wireguard",
        [1 + AEAD_CHACHA20_POLY1305] = "native-chacha20-poly1305",
        [1 + AEAD_AES_256_GCM] = "native-aes-256-gcm",
    };
    return native < sizeof(names) / sizeof(names[0]) ? names[native] : NULL;
}

static json_t *path_json(struct state *s, const struct ipc_peer_status *peer)
{
    struct device_id id;
    char endpoint[UNDERLAY_TEXT_MAX];
    struct underlay u = {.port = peer->endpoint.port, .family = peer->endpoint.family};
    memcpy(id.bytes, peer->relay, sizeof(id.bytes));
    memcpy(u.address, peer->endpoint.address, sizeof(u.address));
    const struct replica_device *relay = peer->path == IPC_PATH_RELAYED ? state_published(s, &id) : NULL;
    bool direct = peer->path == IPC_PATH_DIRECT && (u.family == 4 || u.family == 6);
    if (direct)
        underlay_print(&u, endpoint);
    json_t *path = json_pack("{s:s, s:s?, s:s?}", "kind", state_path_name(peer->path), "endpoint",
                             direct ? endpoint : NULL, "relay", relay ? relay->name : NULL);
    json_object_set_new(path, "rtt_us", peer->rtt ? json_integer((json_int_t)(peer->rtt / 1000)) : json_null());
    const char *transport = peer->path != IPC_PATH_NONE ? transport_name(peer->native) : NULL;
    const char *why = peer->path == IPC_PATH_RELAYED ? why_sentence(peer->why) : NULL;
    json_object_set_new(path, "transport", transport ? json_string(transport) : json_null());
    json_object_set_new(path, "why", why ? json_string(why) : json_null());
    return path;
}

/* Seconds since then; null: never. */
static json_t *age_json(uint64_t then)
{
    uint64_t now = loop_wall();
    return then == 0 ? json_null() : json_integer((json_int_t)(now > then ? (now - then) / SECOND : 0));
}

json_t *state_peer_json(struct state *s, const struct ipc_peer_status *peer)
{
    struct device_id id;
    memcpy(id.bytes, peer->id, sizeof(id.bytes));
    const struct replica_device *d = state_published(s, &id);
    if (!d || !(d->flags & (REPLICA_MEMBER | REPLICA_FOUNDING)))
        return NULL;
    return json_pack(
        "{s:s, s:b, s:o, s:o, s:o, s:I, s:I, s:I}", "device", d->name, "is_relay", (d->flags & REPLICA_RELAY) != 0,
        "addresses", addresses_json(d->has_ipv6 ? d->ipv6 : NULL, d->has_ipv4 ? d->ipv4 : NULL), "path",
        path_json(s, peer), "last_handshake_s", age_json(peer->last_handshake), "rx_bytes", (json_int_t)peer->rx_bytes,
        "tx_bytes", (json_int_t)peer->tx_bytes, "refused", (json_int_t)peer->refused);
}

/* ---- Problems ---- */

static void add_problem(json_t *list, const char *code, const char *device, const char *what, const char *todo)
{
    json_array_append_new(
        list, json_pack("{s:s, s:s?, s:s, s:s}", "code", code, "device", device, "what", what, "todo", todo));
}

static void add_replica_problems(struct state *s, json_t *list)
{
    struct replica_problem p;
    for (uint32_t i = 0; replica_problem_at(s->replica, i, &p); i++)
        add_problem(list, p.code, p.name[0] ? p.name : NULL, p.what, p.todo);
}

/* Who handed it in had gone by the time that the network said no: a ticket that was given out is worth nothing. */
static void add_refusals(struct state *s, json_t *list)
{
    char what[128];
    for (uint32_t i = 0; i < OUTCOMES_MAX; i++) {
        const struct outcome *o = &s->outcomes[i];
        if (!o->known || o->told || o->verdict == VERDICT_STANDS || o->verdict == VERDICT_ALREADY)
            continue;
        snprintf(what, sizeof(what), "Something that was signed here was refused later: %s",
                 fold_verdict_sentence(o->verdict));
        add_problem(list, "refused", NULL, what,
                    "Look at \"nightjar devices\" and \"nightjar policy show\" for what is missing, and do that again; "
                    "this ends when the daemon is restarted.");
    }
}

static void add_failure(json_t *list, const char *code, const char *what, int error, const char *todo)
{
    char text[256];
    snprintf(text, sizeof(text), "%s: %s", what, error_sentence(error));
    add_problem(list, code, NULL, text, todo);
}

static json_t *problems_json(struct state *s)
{
    json_t *list = json_array();
    const struct replica_self *self = replica_self(s->replica);
    if (s->disk_error)
        add_failure(list, "disk", "What the network says cannot be kept on the disk", s->disk_error,
                    "Make room; until then it is kept in memory only.");
    if (s->keys_error)
        add_failure(list, "timestamps-not-kept", "The times of handshakes cannot be kept on the disk", s->keys_error,
                    "Make room; until then a replay after a restart may be answered.");
    if (s->configure_error)
        add_failure(list, "interface", "The overlay's interface has no addresses", s->configure_error,
                    "See whether something else removed the interface; nightjar down, then nightjar up.");
    if (s->ipv4_left_out)
        add_problem(list, "ipv4-left-out", NULL, "The overlay's IPv4 range overlaps an uplink's; IPv6 alone is used.",
                    "Use the devices' IPv6 addresses here.");
    if (s->overlay_open)
        add_problem(list, "overlay-open", NULL,
                    "Packets to and from overlay addresses are not kept off this host's other interfaces.",
                    "Install nftables, then nightjar down and nightjar up.");
    if (self->controller && s->controller_down)
        add_problem(list, "controller-down", NULL, "The controller on this host is not running.",
                    "It is started again by itself; if it stays so, look at the daemon's log.");
    if (s->setup.unconfined)
        add_problem(list, "not-sandboxed", NULL, "The daemon was built without system call filters.",
                    "Build it with -Dsandbox=true, and without a sanitizer, for anything but tests.");
    add_replica_problems(s, list);
    add_refusals(s, list);
    return list;
}

/* ---- status ---- */

static json_t *head_json(struct state *s)
{
    char text[HEX_SIZE(SHA256_SIZE)];
    const struct fold *fold = replica_fold(s->replica);
    const struct signed_head *signed_head = replica_signed_head(s->replica);
    const struct head *head = fold ? fold_head(fold) : NULL;
    if (!head || head->index == UINT64_MAX)
        return json_null();
    json_t *o =
        json_pack("{s:I, s:s}", "index", (json_int_t)head->index, "hash", hex_print(text, head->hash, SHA256_SIZE));
    json_object_set_new(o, "signed_index",
                        signed_head ? json_integer((json_int_t)signed_head->head.index) : json_null());
    json_object_set_new(o, "signed_time", signed_head ? json_integer((json_int_t)signed_head->head.time) : json_null());
    return o;
}

/* What somebody sees who is no member and probes this machine. */
static json_t *strangers_json(const struct state *s)
{
    json_t *open = json_array();
    for (uint32_t i = 0; i < s->keep_count; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%s/%u", s->keep[i] >> 16 ? "udp" : "tcp", s->keep[i] & 0xffff);
        json_array_append_new(open, json_string(text));
    }
    const char *what = "Nightjar's own port is silent; this machine's other services answer as they did before.";
    if (s->darkened)
        what = s->keep_count > 0 ? "Nothing but the ports that were kept open." : "Nothing: no port answers.";
    return json_pack("{s:b, s:o, s:s}", "darkened", s->darkened, "open", open, "what", what);
}

static json_t *counters_json(struct state *s)
{
    struct replica_counters c;
    replica_read_counters(s->replica, &c);
    json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:I}", "frames_malformed", (json_int_t)c.malformed, "frames_strange",
                          (json_int_t)c.strange, "frames_limited", (json_int_t)c.limited, "bad_parts",
                          (json_int_t)c.bad_parts, "take_aways_void", (json_int_t)c.voids);
    for (uint32_t i = 0; i < s->counter_count && s->setup.counter_name; i++) {
        const char *name = s->setup.counter_name(i);
        if (name)
            json_object_set_new(o, name, json_integer((json_int_t)s->counters[i]));
    }
    return o;
}

static json_t *groups_json(const struct opening_invite *opening)
{
    json_t *list = json_array();
    for (uint32_t i = 0; opening && i < opening->group_count; i++)
        json_array_append_new(list, json_string(opening->groups[i].name));
    return list;
}

json_t *state_status_json(struct state *s, json_t *peers)
{
    const struct replica_self *self = replica_self(s->replica);
    const struct opening_invite *opening = self->member ? replica_opening(s->replica, &self->id) : NULL;
    json_t *o = json_pack("{s:i, s:s?, s:s?, s:b, s:b}", "schema", 1, "device", self->member ? self->name : NULL,
                          "network", s->network_name[0] ? s->network_name : NULL, "up", 1, "member", self->member);
    json_object_set_new(o, "addresses",
                        addresses_json(self->member ? self->ipv6 : NULL, self->has_ipv4 ? self->ipv4 : NULL));
    json_object_set_new(o, "groups", groups_json(opening));
    json_object_set_new(o, "relay", json_boolean(self->relay));
    json_object_set_new(o, "controller", json_boolean(self->controller));
    json_object_set_new(o, "head", head_json(s));
    json_object_set_new(o, "policy_version", json_integer((json_int_t)replica_policy_version(s->replica)));
    json_object_set_new(o, "port", s->listen_port ? json_integer(s->listen_port) : json_null());
    json_object_set_new(o, "strangers", strangers_json(s));
    json_object_set_new(o, "pending", json_boolean(replica_has_submissions(s->replica)));
    json_object_set_new(o, "peers", peers);
    json_object_set_new(o, "problems", problems_json(s));
    json_object_set_new(o, "counters", counters_json(s));
    return o;
}

/* ---- devices ---- */

static const char *state_name(const struct fold *fold, const struct fold_device *d, uint64_t time)
{
    switch (fold_device_state(fold, d)) {
    case DEVICE_UNINVITED:
        return "uninvited";
    case DEVICE_REVOKED:
        return "revoked";
    case DEVICE_INVITED:
        return fold_invite_is_open(fold, d, time) ? "invited" : "expired";
    case DEVICE_JOINED:
        break;
    }
    return fold_device_is_live(fold, d) ? "joined" : "isolated";
}

static json_t *device_json(struct state *s, const struct fold *fold, const struct fold_device *d)
{
    char id[HEX_SIZE(SHA256_SIZE)];
    uint8_t ipv6[16];
    const struct opening_invite *o = replica_opening(s->replica, &d->id);
    if (!o)
        return NULL; /* it has no name here */
    bool joined = !is_zero(d->join, sizeof(d->join));
    bool has_ipv6 = joined && address_ipv6(s->setup.crypto, ipv6, fold_network(fold), d->signing_public) == 0;
    return json_pack("{s:s, s:s, s:o, s:s?, s:o, s:s, s:b, s:b}", "name", o->name, "id",
                     hex_print(id, d->id.bytes, sizeof(d->id.bytes)), "groups", groups_json(o), "site",
                     o->site[0] ? o->site : NULL, "addresses",
                     addresses_json(has_ipv6 ? ipv6 : NULL, o->has_ipv4 ? o->ipv4 : NULL), "state",
                     state_name(fold, d, loop_wall() / SECOND), "relay", o->relay, "controller", o->controller);
}

json_t *state_devices_json(struct state *s)
{
    json_t *list = json_array();
    const struct fold *fold = replica_fold(s->replica);
    for (uint32_t i = 0; fold && i < fold_device_count(fold); i++) {
        json_t *device = device_json(s, fold, fold_device_at(fold, i));
        if (device)
            json_array_append_new(list, device);
    }
    return json_pack("{s:i, s:o}", "schema", 1, "devices", list);
}

/* ---- flows ---- */

static const char *protocol_name(uint8_t protocol)
{
    switch (protocol) {
    case GRANT_ICMP:
        return "icmp";
    case GRANT_TCP:
        return "tcp";
    case GRANT_UDP:
        return "udp";
    default:
        return "relayed";
    }
}

static json_t *flow_json(struct state *s, const struct ipc_flow *flow)
{
    struct device_id id;
    memcpy(id.bytes, flow->peer, sizeof(id.bytes));
    const struct replica_device *peer = is_zero(id.bytes, sizeof(id.bytes)) ? NULL : state_published(s, &id);
    bool relayed = flow->protocol == 0;
    return json_pack("{s:s, s:s?, s:s?, s:i, s:I, s:I}", "protocol", protocol_name(flow->protocol), "peer",
                     peer ? peer->name : NULL, "direction",
                     relayed          ? NULL
                     : flow->outgoing ? "out"
                                      : "in",
                     "port", flow->port, "count", (json_int_t)flow->count, "idle_s", (json_int_t)flow->idle);
}

json_t *state_flows_json(struct state *s, const char *device, const struct ipc_flows *flows,
                         const struct ipc_flow *list)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < flows->count; i++)
        json_array_append_new(all, flow_json(s, &list[i]));
    return json_pack("{s:i, s:s, s:o, s:I}", "schema", 1, "device", device, "flows", all, "more",
                     (json_int_t)flows->more);
}
