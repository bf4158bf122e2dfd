#include "node.h"

#include <stdlib.h>

#include "../unit/random.h"

/* ---- Entropy ---- */

static void fill(void *context, uint8_t *out, size_t len)
{
    struct node *n = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(random_next(&n->random) >> 56);
}

/* ---- Staged packets ---- */

uint32_t node_staged_count(const struct node *n, peer_id peer)
{
    uint32_t count = 0;
    for (const struct node_staged *s = n->staged; s; s = s->next)
        count += s->peer == peer;
    return count;
}

/* The link to the oldest packet for `peer`; to NULL when there is none. */
static struct node_staged **oldest(struct node *n, peer_id peer)
{
    struct node_staged **link = &n->staged;
    while (*link && (*link)->peer != peer)
        link = &(*link)->next;
    return link;
}

static struct node_staged *unstage(struct node *n, peer_id peer)
{
    struct node_staged **link = oldest(n, peer), *s = *link;
    if (s)
        *link = s->next;
    return s;
}

static void discard(struct node *n, peer_id peer)
{
    for (struct node_staged *s; (s = unstage(n, peer));)
        free(s);
}

static void stage(struct node *n, peer_id peer, const uint8_t *packet, size_t len)
{
    struct node_staged *s = malloc(sizeof(*s) + len), **end = &n->staged;
    if (!s)
        abort();
    *s = (struct node_staged){.peer = peer, .len = (uint32_t)len};
    memcpy(s->packet, packet, len);
    if (node_staged_count(n, peer) == STAGED_PACKETS_MAX)
        free(unstage(n, peer));
    while (*end)
        end = &(*end)->next;
    *end = s;
}

/* ---- Sealing ---- */

/* Seals and sends one packet, or says that there is no session; the notice is for the caller to pass on. */
static int seal_one(struct node *n, peer_id id, const uint8_t *packet, uint32_t len, struct tunnel_notice *notice)
{
    uint8_t buffer[NODE_DATAGRAM_MAX];
    struct sealing sealing = {.at = buffer, .len = len};
    struct endpoint to;
    int error = ERROR_NOT_FOUND;

    notice->bits = 0;
    reclaim_enter(&n->reader);
    struct peer *p = tunnel_peer(n->tunnel, id);
    if (p) {
        struct tunnel_way way = tunnel_find_way(p, n->now.monotonic);
        if (len != 0)
            memcpy(buffer + way.headroom, packet, len);
        error = tunnel_seal_batch(n->tunnel, n->crypto, p, &way, &sealing, 1, 0, n->now.monotonic, notice);
    }
    bool known = p && tunnel_peer_endpoint(p, &to);
    reclaim_leave(&n->reader);
    if (error == 0 && known) {
        n->tally.sends++;
        n->owner->send(n, &to, buffer, sealing.sealed_len);
    }
    return error;
}

static void flush(struct node *n, peer_id peer, bool keepalive)
{
    struct tunnel_notice notice;
    if (keepalive && !*oldest(n, peer)) {
        (void)!seal_one(n, peer, NULL, 0, &notice);
        node_notice(n, &notice);
        return;
    }
    for (struct node_staged *s; (s = *oldest(n, peer));) {
        int error = seal_one(n, peer, s->packet, s->len, &notice);
        if (error == 0)
            free(unstage(n, peer));
        node_notice(n, &notice);
        if (error != 0)
            return;
    }
}

void node_frame(struct node *n, peer_id peer, const uint8_t *frame, size_t len)
{
    stage(n, peer, frame, len);
    flush(n, peer, false);
}

void node_packet(struct node *n, const uint8_t *packet, size_t len)
{
    reclaim_enter(&n->reader);
    struct peer *p = tunnel_route(n->tunnel, packet, len);
    peer_id id = p ? tunnel_peer_id(p) : 0;
    reclaim_leave(&n->reader);
    if (!id)
        return;
    stage(n, id, packet, len);
    flush(n, id, false);
}

/* ---- Actions ---- */

static void step(struct node *n, const struct tunnel_event *event);

static void hand_back(struct node *n, struct static_step *done)
{
    step(n, &(struct tunnel_event){.kind = TUNNEL_EVENT_STATIC_STEP, .static_step = done});
}

static void run_step(struct node *n, const struct static_step *handed_out)
{
    struct static_step done = *handed_out;
    static_step_run(&done, n->crypto, done.local == 0 ? n->private_key : n->second_private_key);
    n->tally.static_steps++;
    if (n->hold_steps && n->held_count < NODE_HELD_MAX)
        n->held[n->held_count++] = done;
    else
        hand_back(n, &done);
}

void node_release_steps(struct node *n)
{
    uint32_t count = n->held_count;
    struct static_step held[NODE_HELD_MAX];
    memcpy(held, n->held, sizeof(held));
    n->held_count = 0;
    for (uint32_t i = 0; i < count; i++)
        hand_back(n, &held[i]);
}

static void carry_out(struct node *n, const struct tunnel_action *action)
{
    switch (action->kind) {
    case TUNNEL_ACTION_SEND:
        n->tally.sends++;
        n->owner->send(n, &action->send.to, action->send.bytes, action->send.len);
        break;
    case TUNNEL_ACTION_STATIC_STEP:
        run_step(n, &action->static_step);
        break;
    case TUNNEL_ACTION_PERSIST:
        n->tally.persists++;
        n->owner->persist(n, action->persist.public_key, action->persist.timestamp);
        break;
    case TUNNEL_ACTION_FLUSH:
        n->tally.flushes++;
        flush(n, action->flush.peer, action->flush.keepalive);
        break;
    case TUNNEL_ACTION_DISCARD:
        n->tally.discards++;
        discard(n, action->discard.peer);
        break;
    case TUNNEL_ACTION_LINK:
        n->tally.links_up += action->link.up;
        n->tally.links_down += !action->link.up;
        break;
    case TUNNEL_ACTION_SPOKE:
        n->tally.spoke++;
        break;
    case TUNNEL_ACTION_GATE:
        n->tally.gates++;
        break;
    case TUNNEL_ACTION_INTRUDER:
        n->tally.intruders++;
        break;
    }
}

static void carry_out_all(struct node *n, const struct tunnel_actions *actions)
{
    n->tally.actions += actions->count;
    if (actions->count > n->tally.actions_max)
        n->tally.actions_max = actions->count;
    for (uint32_t i = 0; i < actions->count; i++)
        carry_out(n, &actions->list[i]);
}

static void step(struct node *n, const struct tunnel_event *event)
{
    struct tunnel_actions actions;
    actions.count = 0;
    tunnel_step(n->tunnel, event, n->now, &actions);
    carry_out_all(n, &actions);
}

/* ---- Events ---- */

void node_event(struct node *n, enum tunnel_event_kind kind)
{
    step(n, &(struct tunnel_event){.kind = kind});
}

void node_notice(struct node *n, const struct tunnel_notice *notice)
{
    if (notice->bits == 0)
        return;
    n->tally.notices++;
    step(n, &(struct tunnel_event){.kind = TUNNEL_EVENT_NOTICE, .notice = *notice});
}

/* The engine goes on until nothing is left over; a deadline that never leaves the past would keep it forever. */
bool node_timer(struct node *n)
{
    for (int turn = 0; turn < 10000; turn++) {
        if (tunnel_deadline(n->tunnel) > n->now.monotonic)
            return true;
        node_event(n, TUNNEL_EVENT_TIMER);
    }
    return false;
}

static peer_id owner_of(struct node *n, const uint8_t *packet, size_t len)
{
    uint8_t turned[NODE_PACKET_MAX];
    memcpy(turned, packet, len);
    memcpy(turned + 16, packet + 12, 4);
    reclaim_enter(&n->reader);
    const struct peer *p = tunnel_route(n->tunnel, turned, len);
    peer_id id = p ? tunnel_peer_id(p) : 0;
    reclaim_leave(&n->reader);
    return id;
}

static void open_one(struct node *n, const struct endpoint *from, const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len);
    if (!copy)
        abort();
    struct opening opening = {.at = memcpy(copy, bytes, len), .len = (uint32_t)len, .from = from};
    struct tunnel_notice notice;
    size_t notices;

    reclaim_enter(&n->reader);
    tunnel_open_batch(n->tunnel, n->crypto, &opening, 1, n->now.monotonic, &notice, &notices);
    reclaim_leave(&n->reader);
    if (opening.packet && opening.frame) {
        n->tally.frames++;
        n->last_frame_from = tunnel_peer_id(opening.peer);
        n->last_frame_len = opening.packet_len < sizeof(n->last_frame) ? opening.packet_len : sizeof(n->last_frame);
        memcpy(n->last_frame, opening.packet, n->last_frame_len);
    } else if (opening.packet)
        n->owner->deliver(n, owner_of(n, opening.packet, opening.packet_len), opening.packet, opening.packet_len);
    free(copy);
    if (notices != 0)
        node_notice(n, &notice);
}

/* What comes twice under our gate key is not looked at again. */
static bool judge(struct node *n, struct tunnel_event *event, const uint8_t *bytes, size_t len)
{
    if (!tunnel_mac1_holds(n->tunnel, n->crypto, bytes, len))
        return false;
    reclaim_enter(&n->reader);
    enum tunnel_gate_verdict gate = tunnel_gate_judge(n->tunnel, n->crypto, bytes, len);
    reclaim_leave(&n->reader);
    event->datagram.gated = gate == TUNNEL_GATE_HELD;
    return gate != TUNNEL_GATE_REPEATED;
}

void node_datagram(struct node *n, const struct endpoint *from, const uint8_t *bytes, size_t len)
{
    enum message_type type = message_classify(bytes, len);
    if (type == MESSAGE_NONE)
        return;
    if (type == MESSAGE_TRANSPORT || type == MESSAGE_NATIVE) {
        open_one(n, from, bytes, len);
        return;
    }
    struct tunnel_event event = {.kind = TUNNEL_EVENT_DATAGRAM,
                                 .datagram = {.bytes = bytes, .len = len, .from = *from, .under_load = n->under_load}};
    if (type == MESSAGE_INITIATION && !judge(n, &event, bytes, len))
        return;
    step(n, &event);
}

/* ---- Life and configuration ---- */

int node_start_with_key(struct node *n, const struct node_owner *owner, uint64_t seed, bool dark,
                        const uint8_t private_key[X25519_SIZE])
{
    *n = (struct node){.random = seed,
                       .owner = owner,
                       .now = n->now,
                       .context = n->context,
                       .number = n->number,
                       .dark = dark,
                       .aeads = n->aeads};
    int error = crypto_new(&n->crypto, CRYPTO_BULK_OPENSSL);
    if (error != 0)
        return error;
    struct tunnel_options options = {.dark = dark, .entropy = {.fill = fill, .context = n}, .aeads = n->aeads};
    error = tunnel_new(&n->tunnel, &options);
    if (error != 0) {
        crypto_free(n->crypto);
        return error;
    }
    tunnel_add_reader(n->tunnel, &n->reader);
    if (private_key)
        error = node_set_key(n, private_key);
    if (error != 0)
        node_stop(n);
    else
        node_event(n, TUNNEL_EVENT_UP);
    return error;
}

int node_start(struct node *n, const struct node_owner *owner, uint64_t seed, bool dark)
{
    uint8_t private_key[X25519_SIZE];
    n->random = seed;
    fill(n, private_key, sizeof(private_key));
    return node_start_with_key(n, owner, n->random, dark, private_key);
}

void node_stop(struct node *n)
{
    while (n->staged)
        discard(n, n->staged->peer);
    if (n->tunnel)
        tunnel_remove_reader(n->tunnel, &n->reader);
    tunnel_free(n->tunnel);
    crypto_free(n->crypto);
    n->tunnel = NULL;
    n->crypto = NULL;
}

int node_add_peer(struct node *n, const uint8_t public_key[X25519_SIZE], const uint8_t address[4], unsigned cidr,
                  peer_id *out)
{
    int error = tunnel_peer_add(n->tunnel, public_key, out);
    return error == 0 ? tunnel_peer_allow(n->tunnel, *out, address, 4, cidr) : error;
}

void node_set_endpoint(struct node *n, peer_id peer, const struct endpoint *endpoint)
{
    struct tunnel_actions actions;
    actions.count = 0;
    if (tunnel_peer_set_endpoint(n->tunnel, peer, endpoint, &actions) == 0)
        carry_out_all(n, &actions);
}

void node_set_keepalive(struct node *n, peer_id peer, uint16_t seconds)
{
    struct tunnel_actions actions;
    actions.count = 0;
    tunnel_peer_set_keepalive(n->tunnel, peer, seconds, n->now, &actions);
    carry_out_all(n, &actions);
}

void node_remove_peer(struct node *n, peer_id peer)
{
    struct tunnel_actions actions;
    actions.count = 0;
    tunnel_peer_remove(n->tunnel, peer, &actions);
    carry_out_all(n, &actions);
}

int node_set_key(struct node *n, const uint8_t private_key[X25519_SIZE])
{
    struct tunnel_actions actions;
    actions.count = 0;
    int error = crypto_x25519_public(n->crypto, n->public_key, private_key);
    if (error == 0)
        error = tunnel_set_public_key(n->tunnel, n->public_key, &actions);
    if (error != 0)
        return error;
    memcpy(n->private_key, private_key, X25519_SIZE);
    carry_out_all(n, &actions);
    return 0;
}
