/* What the replica wants done: said to the engine and the parent, and kept on disk. What is said waits until what it
 * rests on is durable. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ledger/kept.h"
#include "state_internal.h"

#define BYTES_A_MEGABIT 125000
#define SLOW_MS 5000 /* for another process that does not read */

/* For what may not be lost: waits while the other process is slow. */
static void tell(struct state *s, struct ipc *to, uint16_t kind, const void *message, size_t len, const void *tail,
                 size_t tail_len)
{
    int error = ipc_send2(to, kind, message, len, tail, tail_len);
    while (error == ERROR_FULL) {
        struct pollfd writable = {.fd = ipc_fd(to), .events = POLLOUT};
        if (poll(&writable, 1, SLOW_MS) <= 0)
            break;
        (void)ipc_flush(to);
        error = ipc_send2(to, kind, message, len, tail, tail_len);
    }
    if (error)
        state_end(s, error == ERROR_GONE ? 0 : error);
}

/* ---- Devices ---- */

#define NOWHERE UINT32_MAX
#define PUBLISHED_FIRST 64u

/* Ids are hashes already. */
static uint32_t *chain_of(const struct state *s, const struct device_id *id)
{
    return &s->published_places[get_be32(id->bytes) & (s->published_capacity - 1)];
}

static uint32_t place_of(const struct state *s, const struct device_id *id)
{
    uint32_t i = s->published_capacity > 0 ? *chain_of(s, id) : NOWHERE;
    while (i != NOWHERE && memcmp(&s->published[i].device.id, id, sizeof(*id)) != 0)
        i = s->published[i].next;
    return i;
}

static void link_in(struct state *s, uint32_t i)
{
    uint32_t *chain = chain_of(s, &s->published[i].device.id);
    s->published[i].next = *chain;
    *chain = i;
}

static void unlink_from(struct state *s, uint32_t i)
{
    uint32_t *at = chain_of(s, &s->published[i].device.id);
    while (*at != i)
        at = &s->published[*at].next;
    *at = s->published[i].next;
}

static bool grow(struct state *s)
{
    uint32_t capacity = s->published_capacity ? 2 * s->published_capacity : PUBLISHED_FIRST;
    struct published *published = reallocarray(s->published, capacity, sizeof(*published));
    if (!published)
        return false;
    s->published = published;
    uint32_t *places = reallocarray(s->published_places, capacity, sizeof(*places));
    if (!places)
        return false;
    s->published_places = places;
    s->published_capacity = capacity;
    memset(places, 0xff, capacity * sizeof(*places));
    for (uint32_t i = 0; i < s->published_count; i++)
        link_in(s, i);
    return true;
}

const struct replica_device *state_published(const struct state *s, const struct device_id *id)
{
    uint32_t i = place_of(s, id);
    return i != NOWHERE ? &s->published[i].device : NULL;
}

const struct replica_device *state_published_by_name(const struct state *s, const char *name)
{
    for (uint32_t i = 0; i < s->published_count; i++) {
        const struct replica_device *d = &s->published[i].device;
        if ((d->flags & REPLICA_MEMBER) && strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}

static bool remember(struct state *s, const struct replica_device *device)
{
    uint32_t i = place_of(s, &device->id);
    bool known = i != NOWHERE;
    if (!known && s->published_count == s->published_capacity && !grow(s))
        return false;
    if (!known)
        i = s->published_count++;
    s->published[i].device = *device;
    s->published[i].device.out = s->published[i].device.in = NULL;
    if (!known)
        link_in(s, i);
    return true;
}

/* The last takes its place. */
static void forget(struct state *s, const struct device_id *id)
{
    uint32_t i = place_of(s, id);
    if (i == NOWHERE)
        return;
    unlink_from(s, i);
    uint32_t last = --s->published_count;
    if (i == last)
        return;
    unlink_from(s, last);
    s->published[i] = s->published[last];
    link_in(s, i);
}

static void put_underlay(struct ipc_underlay *out, const struct underlay *u)
{
    memcpy(out->address, u->address, sizeof(out->address));
    out->port = u->port;
    out->family = u->family;
}

static void put_grants(struct ipc_grant *out, const struct grant *grants, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct ipc_grant){.protocol = grants[i].protocol, .low = grants[i].low, .high = grants[i].high};
}

static void on_device(void *context, const struct replica_device *d)
{
    struct state *s = context;
    struct ipc_grant grants[2 * GRANTS_MAX];
    struct ipc_device message = {
        .flags = d->flags, .has_ipv4 = d->has_ipv4, .out_count = d->out_count, .in_count = d->in_count};
    memcpy(message.id, d->id.bytes, sizeof(message.id));
    memcpy(message.static_key, d->static_key, sizeof(message.static_key));
    if (d->has_ipv6)
        memcpy(message.ipv6, d->ipv6, sizeof(message.ipv6));
    memcpy(message.ipv4, d->ipv4, sizeof(message.ipv4));
    if (d->has_endpoint)
        put_underlay(&message.endpoint, &d->endpoint);
    put_grants(grants, d->out, d->out_count);
    put_grants(grants + d->out_count, d->in, d->in_count);
    (void)state_commit(s);
    tell(s, s->setup.engine, IPC_DEVICE, &message, sizeof(message), grants,
         ((size_t)d->out_count + d->in_count) * sizeof(grants[0]));
    if (!remember(s, d))
        state_end(s, ERROR_MEMORY);
    state_found(s, d);
}

static void on_gone(void *context, const struct device_id *id)
{
    struct state *s = context;
    forget(s, id);
    tell(s, s->setup.engine, IPC_DEVICE_GONE, id, sizeof(*id), NULL, 0);
}

static void on_part(void *context, const struct device_id *a, const struct device_id *b)
{
    struct state *s = context;
    struct ipc_part message;
    memcpy(message.a, a->bytes, sizeof(message.a));
    memcpy(message.b, b->bytes, sizeof(message.b));
    tell(s, s->setup.engine, IPC_PART, &message, sizeof(message), NULL, 0);
}

/* ---- Ourselves ---- */

void state_configure(struct state *s, const struct ipc_configure *message)
{
    if (s->has_configure && memcmp(&s->configure, message, sizeof(*message)) == 0)
        return;
    s->configure = *message;
    s->has_configure = true;
    tell(s, s->setup.parent, IPC_CONFIGURE, message, sizeof(*message), NULL, 0);
}

static void configure(struct state *s, const struct replica_self *self)
{
    struct ipc_configure message = {
        .has_ipv4 = self->has_ipv4, .ipv6_len = ADDRESS_IPV6_PREFIX_LEN, .ipv4_len = ADDRESS_IPV4_PREFIX_LEN};
    memcpy(message.ipv6, self->ipv6, sizeof(message.ipv6));
    memcpy(message.ipv4, self->ipv4, sizeof(message.ipv4));
    state_configure(s, &message);
}

static void on_self(void *context, const struct replica_self *self)
{
    struct state *s = context;
    struct ipc_self message = {.has_ipv4 = self->has_ipv4,
                               .relay = self->relay,
                               .controller = self->controller,
                               .joining = self->joining,
                               .answer_invite_key = self->answer_invite_key,
                               .relay_rate = (uint64_t)s->relay_rate * BYTES_A_MEGABIT};
    memcpy(message.id, self->id.bytes, sizeof(message.id));
    memcpy(message.ipv6, self->ipv6, sizeof(message.ipv6));
    memcpy(message.ipv4, self->ipv4, sizeof(message.ipv4));
    memcpy(message.invite_peer, self->invite_peer.bytes, sizeof(message.invite_peer));
    (void)state_commit(s);
    tell(s, s->setup.engine, IPC_SELF, &message, sizeof(message), NULL, 0);
    if (self->member && s->control)
        configure(s, self);
}

static void on_head(void *context, const uint8_t head[SIGNED_HEAD_SIZE])
{
    struct state *s = context;
    (void)state_commit(s);
    tell(s, s->setup.engine, IPC_HEAD, head, SIGNED_HEAD_SIZE, NULL, 0);
}

/* Frames may get lost: to a slow engine they are. */
static void on_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    struct state *s = context;
    struct ipc_frame message = {0};
    memcpy(message.device, to->bytes, sizeof(message.device));
    (void)state_commit(s);
    int error = ipc_send2(s->setup.engine, IPC_FRAME, &message, sizeof(message), frame, len);
    if (error && error != ERROR_FULL)
        state_end(s, error == ERROR_GONE ? 0 : error);
}

/* ---- To the disk ---- */

static void on_keep_entry(void *context, uint64_t index, uint64_t time, enum fold_verdict verdict, const uint8_t *bytes,
                          size_t len)
{
    struct state *s = context;
    state_store_keep_entry(s->store, index, time, verdict, bytes, len);
}

static void on_keep_opening(void *context, const uint8_t commitment[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    struct state *s = context;
    (void)commitment;
    state_store_keep_opening(s->store, bytes, len);
}

static void on_keep_head(void *context, const uint8_t head[SIGNED_HEAD_SIZE])
{
    struct state *s = context;
    state_store_keep_head(s->store, head);
}

static void on_keep_take_away(void *context, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    struct state *s = context;
    state_store_keep_take_away(s->store, hash, bytes, len);
}

static void on_keep_base(void *context, const uint8_t *fold, size_t len)
{
    struct state *s = context;
    state_store_keep_base(s->store, fold, len);
}

static void on_keep_floor(void *context, uint64_t seconds)
{
    struct state *s = context;
    state_store_keep_floor(s->store, seconds);
}

static void on_keep_evidence(void *context, const uint8_t a[SIGNED_HEAD_SIZE], const uint8_t b[SIGNED_HEAD_SIZE])
{
    struct state *s = context;
    state_store_keep_evidence(s->store, a, b);
}

/* ---- To people ---- */

static void on_problem(void *context, const struct replica_problem *problem)
{
    (void)context;
    state_log("warning", problem->code, "device", problem->name);
}

static void on_outcome(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index)
{
    state_note_outcome(context, statement, verdict, index);
}

/* ---- Joining ---- */

static void on_use_key(void *context, uint32_t slot)
{
    struct state *s = context;
    struct ipc_number message = {slot};
    tell(s, s->setup.engine, IPC_USE_KEY, &message, sizeof(message), NULL, 0);
}

/* Without what was kept, the seed is all that a member has. */
static void on_erase_seed(void *context)
{
    struct state *s = context;
    if (!state_commit(s))
        return;
    s->erasing = true;
    tell(s, s->setup.keys, IPC_ERASE_SEED, NULL, 0, NULL, 0);
}

static void on_joined(void *context, enum fold_verdict verdict, enum replica_join_reason reason)
{
    struct state *s = context;
    bool member = reason == REPLICA_JOIN_NO_REASON && (verdict == VERDICT_STANDS || verdict == VERDICT_ALREADY);
    bool kept = state_commit(s);
    s->has_result = true;
    s->result = (struct ipc_join_result){.done = member && kept, .verdict = verdict, .reason = reason};
    if (member && !kept)
        s->result.reason = JOIN_REASON_DISK;
    if (member && kept && files_remove(&s->setup.ledger, KEPT_TICKET) != 0)
        state_log("warning", "not-removed", "file", KEPT_TICKET);
    state_finish_join(s);
}

const struct replica_ops state_replica_ops = {
    .send = on_send,
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
