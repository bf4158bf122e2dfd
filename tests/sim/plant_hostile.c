/* What strangers and hostile members do. A hostile member's own node is sound; these are the things that it says
 * besides. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "plant.h"
#include "tunnel/cookie.h"

static uint32_t captured_count(const struct plant *p)
{
    return p->captured_count < PLANT_CAPTURED ? p->captured_count : PLANT_CAPTURED;
}

/* ---- Strangers ---- */

/* A handshake message that drew nothing is as good as new: whoever holds it gets one answer. */
static void replay(struct plant *p)
{
    if (captured_count(p) == 0)
        return;
    const struct plant_captured *captured = &p->captured[plant_below(p, captured_count(p))];
    if (captured->bytes[0] > MESSAGE_RESPONSE || captured->answered)
        plant_send_hostile(p, captured->to, captured->bytes, captured->len);
}

void plant_replay_all(struct plant_node *n)
{
    for (uint32_t i = 0; i < captured_count(n->plant); i++) {
        const struct plant_captured *captured = &n->plant->captured[i];
        if (captured->to == n->number && (captured->bytes[0] > MESSAGE_RESPONSE || captured->answered))
            plant_send_hostile(n->plant, captured->to, captured->bytes, captured->len);
    }
}

static void mutate(struct plant *p)
{
    uint8_t bytes[PLANT_DATAGRAM_MAX];
    if (captured_count(p) == 0)
        return;
    const struct plant_captured *captured = &p->captured[plant_below(p, captured_count(p))];
    bool handshake = captured->bytes[0] <= MESSAGE_RESPONSE;
    size_t end = captured->len - (handshake ? sizeof(struct message_macs) : 0);
    memcpy(bytes, captured->bytes, captured->len);
    for (uint32_t flips = 1 + plant_below(p, 3); flips > 0; flips--)
        bytes[4 + plant_below(p, (uint32_t)end - 4)] ^= (uint8_t)(1 << plant_below(p, 8));
    if (memcmp(bytes, captured->bytes, end) != 0)
        plant_send_hostile(p, captured->to, bytes, captured->len);
}

static void throw_garbage(struct plant *p)
{
    static const size_t lengths[] = {0, 1, 4, 32, 64, 92, 148, 200};
    uint8_t bytes[200];
    plant_fill(p, bytes, sizeof(bytes));
    memcpy(bytes, (uint8_t[]){(uint8_t)(1 + plant_below(p, 5)), 0, 0, 0}, 4);
    plant_send_hostile(p, plant_below(p, p->node_count), bytes, lengths[plant_below(p, 8)]);
}

/* ---- Hostile members ---- */

static struct plant_node *hostile_member(struct plant *p)
{
    for (uint32_t tries = 0; tries < 10; tries++) {
        struct plant_node *n = &p->nodes[PLANT_FIRST_MEMBER + plant_below(p, p->node_count - PLANT_FIRST_MEMBER)];
        if (n->hostile && n->on && n->member && n->peer_count > 0)
            return n;
    }
    return NULL;
}

static void say(struct plant_node *n, const uint8_t *bytes, size_t len)
{
    plant_into_session(n, n->peers[plant_below(n->plant, n->peer_count)].peer, bytes, len);
    plant_drain(n);
}

static void say_frame(struct plant_node *n, const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(frame, bytes, sizeof(bytes));
    if (len > 0)
        say(n, bytes, (size_t)len);
}

static void send_as_another(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    uint32_t to = plant_below(p, p->node_count), as = plant_below(p, p->node_count);
    if (!n)
        return;
    plant_packet_send(n,
                      &(struct plant_packet){.from = (uint16_t)n->number,
                                             .to = (uint16_t)to,
                                             .claimed = (uint16_t)as,
                                             .sport = 1500,
                                             .dport = (uint16_t)(1000 + plant_below(p, 10)),
                                             .ipv6 = plant_chance(p, 128)},
                      false);
    plant_drain(n);
}

static void any_id(struct plant *p, uint8_t out[DEVICE_ID_SIZE])
{
    memcpy(out, p->nodes[plant_below(p, p->node_count)].invite.id.bytes, DEVICE_ID_SIZE);
}

static void flood_introductions(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    for (uint32_t i = plant_below(p, 40); i > 0 && n; i--) {
        struct frame f = {.kind = FRAME_INTRODUCE,
                          .introduce = {.number = plant_below(p, 50),
                                        .stage = (enum introduce_stage)plant_below(p, 4),
                                        .has_device = true,
                                        .result = (enum introduce_result)plant_below(p, 3)}};
        any_id(p, f.introduce.device);
        say_frame(n, &f);
    }
}

static void ask_for_more(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    for (uint32_t i = plant_below(p, 20); i > 0 && n; i--) {
        struct frame f = {.kind = FRAME_GET,
                          .get = {.what = (enum sync_what)(1 + plant_below(p, 4)),
                                  .from = plant_below(p, 200),
                                  .to = plant_chance(p, 128) ? UINT64_MAX : 200 + plant_below(p, 100),
                                  .offset = plant_below(p, 3) * (uint64_t)FRAME_PART_MAX}};
        say_frame(n, &f);
    }
}

static void lie_about_heads(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    const struct signed_head *head = n ? replica_signed_head(n->replica) : NULL;
    uint8_t bytes[SIGNED_HEAD_SIZE];
    if (!head)
        return;
    struct signed_head forged = *head;
    forged.head.index += plant_below(p, 3);
    if (plant_chance(p, 128)) /* under its own key */
        plant_must(signed_head_sign(p->c, &forged, &p->network, n->signing_seed) == 0, "a head is signed");
    signed_head_encode(&forged, bytes);
    bytes[plant_below(p, SIGNED_HEAD_SIZE)] ^= (uint8_t)plant_below(p, 256);
    struct frame f = {.kind = FRAME_NOTICE, .notice = {{bytes, sizeof(bytes)}}};
    say_frame(n, &f);
    f = (struct frame){.kind = FRAME_HELLO,
                       .hello = {.version_min = 1, .version_max = 1, .head = {bytes, sizeof(bytes)}}};
    say_frame(n, &f);
}

/* Says with its own key what only the operator may. */
static void usurp(struct plant *p)
{
    static const enum statement_kind kinds[] = {STATEMENT_ISOLATE, STATEMENT_REVOKE, STATEMENT_UNINVITE};
    struct plant_node *n = hostile_member(p);
    if (!n)
        return;
    struct statement s = {.kind = kinds[plant_below(p, 3)], .network = p->network};
    memcpy(s.about.invite, p->nodes[plant_below(p, p->node_count)].invite.hash, SHA256_SIZE);
    s.about.nonce[0] = (uint8_t)plant_below(p, 256);
    bool flawed = p->flaw == PLANT_ANY_SIGNER;
    struct plant_bytes said = plant_signed_submission(p, &s, flawed ? p->role_seed : n->signing_seed);
    struct frame f = {.kind = FRAME_STATEMENT, .statement = {.total = said.len, .bytes = {said.bytes, said.len}}};
    plant_must(crypto_sha256(p->c, f.statement.hash, said.bytes, said.len) == 0, "hashed");
    say_frame(n, &f);
    plant_submit(n, said);
}

/* Spends again, with its own keys, a ticket that another device has joined with. */
static void steal(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    const struct plant_node *other = &p->nodes[plant_below(p, p->node_count)];
    uint8_t join[1024];
    if (!n || n == other || !other->invite.made || !other->member)
        return;
    size_t len = plant_join_statement(p, n, other->invite.hash, &other->invite.keys, false, join, sizeof(join));
    struct frame f = {.kind = FRAME_JOIN, .join = {{join, len}}};
    say_frame(n, &f);
}

/* Names victims, and who else is somewhere, as places of its own. */
static void lie_about_places(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    uint8_t list[FRAME_CANDIDATES_SIZE];
    struct frame f = {.kind = FRAME_CANDIDATES, .candidates = {{list, plant_lies(p, list)}}};
    for (uint32_t i = plant_below(p, 6); i > 0 && n; i--)
        say_frame(n, &f);
}

size_t plant_lies(struct plant *p, uint8_t out[FRAME_CANDIDATES_SIZE])
{
    struct underlay all[FRAME_CANDIDATES_MAX];
    uint32_t count = 1 + plant_below(p, FRAME_CANDIDATES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct endpoint e = plant_chance(p, 170) ? plant_victim(plant_below(p, PLANT_VICTIMS))
                                                 : plant_endpoint(&p->nodes[plant_below(p, p->node_count)]);
        all[i] = (struct underlay){.port = (uint16_t)(e.port + plant_below(p, 3)), .family = 4};
        memcpy(all[i].address, e.address, 4);
    }
    return frame_candidates_put(all, count, out);
}

/* What it may say, when nobody asked, or what only others may. */
static void speak_out_of_turn(struct plant *p)
{
    static const enum frame_kind kinds[] = {FRAME_PROBE, FRAME_ANSWER, FRAME_SIGN_OFF, FRAME_JOINED, FRAME_PART};
    struct plant_node *n = hostile_member(p);
    for (uint32_t i = plant_below(p, 10); i > 0 && n; i--) {
        struct frame f = {.kind = kinds[plant_below(p, 5)]};
        if (f.kind == FRAME_PROBE || f.kind == FRAME_ANSWER)
            f.probe = (struct frame_probe){.number = plant_below(p, 1000), .time = plant_monotonic(p)};
        say_frame(n, &f);
    }
}

/* Begins handshakes with whomever it knows, as fast as it is let. */
static void flood_handshakes(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    for (uint32_t i = 0; n && i < n->peer_count; i++) {
        plant_connect(n, n->peers[i].peer, true);
        plant_drain(n);
    }
}

/* Well-formed, for its key, and from nobody. */
static void flood_strangely(struct plant *p)
{
    const struct plant_node *n = &p->nodes[plant_below(p, p->node_count)];
    uint8_t bytes[sizeof(struct message_initiation)];
    for (uint32_t i = plant_below(p, 100); i > 0 && n->on; i--) {
        struct cookie_known none = {.until = 0};
        plant_fill(p, bytes, sizeof(bytes));
        memcpy(bytes, (uint8_t[]){MESSAGE_INITIATION, 0, 0, 0}, 4);
        plant_must(cookie_seal_message(&none, p->c, n->public_key, bytes, sizeof(bytes), plant_monotonic(p)) == 0,
                   "a message is sealed");
        plant_send_hostile(p, n->number, bytes, sizeof(bytes));
    }
}

static void babble(struct plant *p)
{
    struct plant_node *n = hostile_member(p);
    uint8_t bytes[300];
    if (!n)
        return;
    plant_fill(p, bytes, sizeof(bytes));
    bytes[0] = (uint8_t)plant_below(p, 16);
    if (bytes[0] == FRAME_RELAYED) {
        memset(bytes + 1, 0, 3);
        put_be32(bytes + 4, plant_below(p, sizeof(bytes)));
        any_id(p, bytes + 8); /* and what lies behind it is overwritten: a message's type */
        memcpy(bytes + 16, (uint8_t[]){(uint8_t)(1 + plant_below(p, 4)), 0, 0, 0}, 4);
    }
    say(n, bytes, 20 + plant_below(p, sizeof(bytes) - 20));
}

void plant_overheard(struct plant_node *from, const struct endpoint *to, const uint8_t *bytes, size_t len)
{
    struct plant_node *n = hostile_member(from->plant);
    (void)to;
    if (n)
        plant_send_to(from, n, bytes, len);
}

/* How often, of 10000 a tick. */
static const struct {
    uint32_t chance;
    void (*happen)(struct plant *p);
} hostilities[] = {
    {9000, replay},
    {9000, mutate},
    {5000, throw_garbage},
    {4000, send_as_another},
    {300, flood_introductions},
    {300, ask_for_more},
    {300, lie_about_heads},
    {300, usurp},
    {300, steal},
    {2000, babble},
    {300, lie_about_places},
    {300, speak_out_of_turn},
    {100, flood_handshakes},
    {50, flood_strangely},
};

void plant_hostilities(struct plant *p)
{
    for (size_t i = 0; i < sizeof(hostilities) / sizeof(hostilities[0]) && !p->failure; i++)
        if (plant_below(p, 10000) < hostilities[i].chance)
            hostilities[i].happen(p);
}
