/* Carries out what the state machine asks for. */
#include "engine/companion.h"
#include "engine/internal.h"
#include "wire/frame.h"

/* ---- Sending ---- */

static void commit(struct engine *e)
{
    if (e->to_commit && e->options.commit)
        e->to_commit = e->options.commit(e->options.context) != 0;
}

/* A handshake message for a peer behind a relay goes into the session with the relay. */
static void send_relayed(struct engine *e, const struct udp_outgoing *message)
{
    uint8_t frame[sizeof(struct frame_relayed) + MESSAGE_HANDSHAKE_MAX];
    struct frame_relayed header = {.kind = FRAME_RELAYED};
    struct endpoint to;
    const struct peer *relay = tunnel_peer(e->tunnel, endpoint_relay(&message->to));
    if (!relay || (tunnel_peer_endpoint(relay, &to) && to.family == ENDPOINT_RELAYED)) {
        engine_count(&e->counters.no_endpoint, 1);
        return;
    }
    put_be32(header.len, message->len);
    memcpy(header.device, message->to.address, sizeof(header.device));
    memcpy(frame, &header, sizeof(header));
    memcpy(frame + sizeof(header), message->data, message->len);
    sender_frame(e->sender, tunnel_peer_id(relay), frame, (uint32_t)sizeof(header) + message->len);
}

/* Leaves what goes straight to the port. */
static void take_out_relayed(struct engine *e)
{
    uint32_t direct = 0;
    for (uint32_t i = 0; i < e->outgoing_count; i++) {
        if (e->outgoing[i].to.family == ENDPOINT_RELAYED) {
            send_relayed(e, &e->outgoing[i]);
            continue;
        }
        e->outgoing_peer[direct] = e->outgoing_peer[i];
        e->outgoing[direct++] = e->outgoing[i];
    }
    e->outgoing_count = direct;
}

/* Replies wait for the timestamps that they answer to be durable: one commit for all that came in together. */
void actions_send(struct engine *e)
{
    commit(e);
    take_out_relayed(e);
    if (e->udp)
        udp_send(e->udp, e->outgoing, e->outgoing_count);
    for (uint32_t i = 0; e->udp && i < e->outgoing_count; i++) {
        if (e->outgoing[i].result != 0)
            engine_count(&e->counters.send_failed, 1);
        if (e->outgoing[i].local_refused)
            tunnel_peer_forget_local(e->tunnel, e->outgoing_peer[i]);
    }
    e->outgoing_count = 0;
}

/* `peer`: whose path `to` is, or 0. */
static void add_outgoing(struct engine *e, const struct tunnel_action *action, const struct endpoint *to, peer_id peer)
{
    if (e->outgoing_count == UDP_BATCH_MAX)
        actions_send(e);
    uint32_t i = e->outgoing_count++;
    memcpy(e->outgoing_bytes[i], action->send.bytes, action->send.len);
    e->outgoing_peer[i] = peer;
    e->outgoing[i] = (struct udp_outgoing){
        .data = e->outgoing_bytes[i], .len = action->send.len, .segment = action->send.len, .to = *to};
}

static bool is_there(const struct endpoint *a, const struct endpoint *b)
{
    return a->family == b->family && a->port == b->port && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

/* An initiation goes wherever the peer might be: the same bytes, of which it answers those that come first. */
static void send(struct engine *e, const struct tunnel_action *action)
{
    const struct endpoint *to = &action->send.to;
    add_outgoing(e, action, to, action->send.peer);
    const struct peer *p = tunnel_peer(e->tunnel, action->send.peer);
    const struct companion *c = p ? companion_of(p) : NULL;
    bool initiation = message_classify(action->send.bytes, action->send.len) == MESSAGE_INITIATION;
    for (uint32_t i = 0; initiation && c && i < c->candidate_count; i++)
        if (!is_there(&c->candidates[i], to))
            add_outgoing(e, action, &c->candidates[i], 0);
}

/* ---- Static steps ---- */

static void take_result(struct engine *e, struct static_step *step)
{
    actions_step(e, &(struct tunnel_event){.kind = TUNNEL_EVENT_STATIC_STEP, .static_step = step});
}

/* What a step yields goes straight back in, and may ask for more: at most two steps follow each other. */
static void begin_step(struct engine *e, struct static_step *step)
{
    if (!e->options.begin_step) {
        e->options.run_step(e->options.context, step);
        take_result(e, step);
    } else if (admit_step(e, step) && !e->options.begin_step(e->options.context, step)) {
        admit_stepped(e, step);
        engine_count(&e->counters.steps_dropped, 1);
    }
    wipe(step, sizeof(*step));
}

void engine_stepped(struct engine *e, struct static_step *step)
{
    admit_stepped(e, step);
    take_result(e, step);
    actions_send(e);
}

/* ---- All of it ---- */

static void persist(struct engine *e, const struct tunnel_action *action)
{
    if (e->options.persist)
        e->options.persist(e->options.context, action->persist.public_key, action->persist.timestamp);
    e->to_commit = true;
}

static void tell_gate(struct engine *e)
{
    uint8_t gate[MESSAGE_COOKIE_SIZE];
    tunnel_gate(e->tunnel, gate);
    if (e->options.gate)
        e->options.gate(e->options.context, gate);
    wipe(gate, sizeof(gate));
}

static void carry_out_one(struct engine *e, struct tunnel_action *action)
{
    switch (action->kind) {
    case TUNNEL_ACTION_SEND:
        send(e, action);
        break;
    case TUNNEL_ACTION_STATIC_STEP:
        begin_step(e, &action->static_step);
        break;
    case TUNNEL_ACTION_PERSIST:
        persist(e, action);
        break;
    case TUNNEL_ACTION_FLUSH:
        sender_flush(e->sender, action->flush.peer, action->flush.keepalive);
        break;
    case TUNNEL_ACTION_DISCARD:
        sender_discard(e->sender, action->discard.peer);
        break;
    case TUNNEL_ACTION_LINK:
        if (e->options.link)
            e->options.link(e->options.context, action->link.peer, action->link.up);
        break;
    case TUNNEL_ACTION_SPOKE:
        if (e->options.spoke)
            e->options.spoke(e->options.context, action->spoke.peer, &action->spoke.from);
        break;
    case TUNNEL_ACTION_GATE:
        tell_gate(e);
        break;
    case TUNNEL_ACTION_INTRUDER:
        if (e->options.intruder)
            e->options.intruder(e->options.context, action->intruder.peer);
        break;
    }
}

void actions_carry_out(struct engine *e, struct tunnel_actions *actions)
{
    for (uint32_t i = 0; i < actions->count; i++)
        carry_out_one(e, &actions->list[i]);
    actions->count = 0;
}

void actions_step(struct engine *e, const struct tunnel_event *event)
{
    struct tunnel_actions actions;
    actions.count = 0;
    tunnel_step(e->tunnel, event, engine_now(), &actions);
    actions_carry_out(e, &actions);
}

void engine_carry_out(struct engine *e, struct tunnel_actions *actions)
{
    actions_carry_out(e, actions);
    actions_send(e);
}
