/* What must be so, found the slow way: from what the operator said and from what was sent, never from what a node
 * believes. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "plant.h"

const uint8_t plant_canary[16] = {'n', 'o', ' ', 'r', 'e', 'l', 'a', 'y', ' ', 'r', 'e', 'a', 'd', 's', ' ', 'x'};

/* ---- Policy ---- */

static bool is_one_of(const struct plant *p, uint32_t node, const struct subject *s)
{
    static const struct subject all;
    const struct plant_invite *invite = &p->nodes[node].invite;
    if (memcmp(s, &all, sizeof(all)) == 0 || memcmp(s->bytes, invite->id.bytes, SUBJECT_SIZE) == 0)
        return true;
    for (uint32_t g = 0; g < PLANT_GROUPS; g++)
        if ((invite->groups >> g & 1) && memcmp(s, &p->groups[g], sizeof(*s)) == 0)
            return true;
    return false;
}

bool plant_allows(const struct plant *p, uint64_t version, uint32_t from, uint32_t to, uint8_t protocol, uint16_t port)
{
    const struct plant_policy *policy = version <= p->policy_version ? &p->policies[version] : NULL;
    for (uint32_t i = 0; policy && i < policy->count; i++) {
        const struct plant_rule *r = &policy->rules[i];
        if (r->protocol == protocol && port >= r->low && port <= r->high && is_one_of(p, from, &r->from) &&
            is_one_of(p, to, &r->to))
            return true;
    }
    return false;
}

/* ---- Packets: all determined by their number ---- */

#define UDP_HEADER 8u
#define PAYLOAD 40u
#define PACKET_MAX (40u + UDP_HEADER + PAYLOAD)

static size_t put_header(const struct plant *p, uint8_t *out, const struct plant_packet *what)
{
    const struct plant_node *from = &p->nodes[what->claimed], *to = &p->nodes[what->to];
    if (what->ipv6) {
        out[0] = 0x60;
        put_be16(out + 4, UDP_HEADER + PAYLOAD);
        out[6] = 17;
        out[7] = 64;
        memcpy(out + 8, from->ipv6, 16);
        memcpy(out + 24, to->ipv6, 16);
        return 40;
    }
    out[0] = 0x45;
    put_be16(out + 2, 20 + UDP_HEADER + PAYLOAD);
    out[8] = 64;
    out[9] = 17;
    memcpy(out + 12, from->invite.ipv4, 4);
    memcpy(out + 16, to->invite.ipv4, 4);
    return 20;
}

static size_t write_packet(const struct plant *p, uint8_t out[PACKET_MAX], uint32_t id)
{
    const struct plant_packet *what = &p->packets[id];
    memset(out, 0, PACKET_MAX);
    size_t at = put_header(p, out, what);
    put_be16(out + at, what->sport);
    put_be16(out + at + 2, what->dport);
    put_be16(out + at + 4, UDP_HEADER + PAYLOAD);
    at += UDP_HEADER;
    memcpy(out + at, plant_canary, sizeof(plant_canary));
    put_be32(out + at + sizeof(plant_canary), id);
    for (size_t i = sizeof(plant_canary) + 4; i < PAYLOAD; i++)
        out[at + i] = (uint8_t)(id * 31 + i);
    return at + PAYLOAD;
}

static uint32_t new_packet(struct plant *p, const struct plant_packet *what)
{
    if (p->packet_count == p->packet_room) {
        p->packet_room = p->packet_room ? p->packet_room * 2 : 4096;
        p->packets = reallocarray(p->packets, p->packet_room, sizeof(*p->packets));
        plant_must(p->packets, "memory");
    }
    p->packets[p->packet_count] = *what;
    p->packets[p->packet_count].at = p->now;
    return p->packet_count++;
}

void plant_packet_send(struct plant_node *from, const struct plant_packet *what, bool police)
{
    struct plant *p = from->plant;
    uint8_t bytes[PACKET_MAX];
    if (!from->on || !from->member)
        return;
    size_t len = write_packet(p, bytes, new_packet(p, what));
    if (p->flaw == PLANT_PLAINTEXT && plant_chance(p, 5)) {
        struct endpoint to = plant_endpoint(&p->nodes[what->to]);
        plant_send(from, &to, bytes, len);
        return;
    }
    plant_packet(from, bytes, len, police);
}

static void run_answer(struct plant_node *n, const struct plant_job *j)
{
    struct plant_packet back = n->plant->packets[j->number];
    uint16_t port = back.sport;
    back.sport = back.dport;
    back.dport = port;
    back.to = back.from;
    back.from = back.claimed = (uint16_t)n->number;
    back.reply = true;
    back.answer = false;
    back.arrived = 0;
    plant_packet_send(n, &back, true);
}

static void note_pair(struct plant *p, const struct plant_packet *packet)
{
    uint32_t port = packet->reply ? packet->dport : packet->sport;
    if (!p->healed || port < PLANT_PORT_OF_PAIRS || port - PLANT_PORT_OF_PAIRS >= p->pair_count)
        return;
    struct plant_pair *pair = &p->pairs[port - PLANT_PORT_OF_PAIRS];
    *(packet->reply ? &pair->back : &pair->there) = true;
}

/* The receiver's rules decide, as it knows them now. */
static void judge(struct plant_node *n, const struct plant_packet *packet)
{
    struct plant *p = n->plant;
    const struct fold *fold = replica_fold(n->replica);
    const struct fold_device *d = fold ? fold_device_by_id(fold, &p->nodes[packet->from].invite.id) : NULL;
    uint64_t version = replica_policy_version(n->replica);
    if (!d || !fold_device_is_live(fold, d))
        plant_fail(p, n, "nothing is taken from a device that is no member");
    if (!plant_allows(p, version, packet->from, packet->to, GRANT_UDP, packet->dport) &&
        !plant_allows(p, version, packet->to, packet->from, GRANT_UDP, packet->sport))
        plant_fail(p, n, "no packet is delivered that the receiver's policy does not allow");
}

void plant_delivered(struct plant_node *n, const struct plant_peer *from, const uint8_t *bytes, size_t len)
{
    struct plant *p = n->plant;
    uint8_t expected[PACKET_MAX];
    size_t at = len > 0 && bytes[0] >> 4 == 6 ? 40 : 20;
    uint32_t id =
        len == at + UDP_HEADER + PAYLOAD ? get_be32(bytes + at + UDP_HEADER + sizeof(plant_canary)) : UINT32_MAX;
    if (id >= p->packet_count || write_packet(p, expected, id) != len || memcmp(expected, bytes, len) != 0) {
        plant_fail(p, n, "no packet is delivered that was not sent so");
        return;
    }
    struct plant_packet *packet = &p->packets[id];
    if (packet->to != n->number)
        plant_fail(p, n, "no packet is delivered to whom it was not sent");
    if (plant_number(p, &from->id) != packet->from || packet->claimed != packet->from)
        plant_fail(p, n, "no packet passes under an address that is not its sender's");
    if (packet->arrived++ > 0)
        plant_fail(p, n, "no packet is delivered twice");
    judge(n, packet);
    p->delivered++;
    note_pair(p, packet);
    if (packet->answer)
        plant_post(n, run_answer, &(struct plant_job){.number = id}, NULL, 0);
}

/* ---- Openings ---- */

static bool was_joined(const struct plant *p, uint32_t a, uint32_t b)
{
    for (uint64_t v = 1; v <= p->policy_version; v++)
        for (uint32_t i = 0; i < p->policies[v].count; i++) {
            const struct plant_rule *r = &p->policies[v].rules[i];
            if ((is_one_of(p, a, &r->from) && is_one_of(p, b, &r->to)) ||
                (is_one_of(p, b, &r->from) && is_one_of(p, a, &r->to)))
                return true;
        }
    return false;
}

static bool may_know(const struct plant *p, const struct plant_node *n, const struct opening *o)
{
    if (o->kind == OPENING_SCOPE)
        return true;
    if (o->kind == OPENING_RULES)
        return is_one_of(p, n->number, &o->rules.subject);
    uint32_t about = 0;
    while (about < p->node_count && strcmp(p->nodes[about].invite.name, o->invite.name) != 0)
        about++;
    return about < PLANT_FIRST_MEMBER || about == n->number ||
           (about < p->node_count && was_joined(p, n->number, about));
}

void plant_check_opening(struct plant_node *n, const uint8_t *bytes, size_t len)
{
    struct opening o;
    if (n->number < PLANT_FIRST_MEMBER || opening_decode(&o, bytes, len) != 0)
        return;
    if (!may_know(n->plant, n, &o))
        plant_fail(n->plant, n, "no member learns what does not concern it");
    opening_clear(&o);
}

/* ---- Folds ---- */

static void compare_folds(struct plant *p, struct plant_node *n, const struct fold *fold)
{
    const struct head *head = fold_head(fold);
    uint8_t root[SHA256_SIZE];
    if (head->index >= PLANT_ENTRIES_MAX || n->checked == head->index + 1)
        return;
    n->checked = head->index + 1;
    fold_root(fold, root);
    if (!p->folds[head->index].known) {
        p->folds[head->index].known = true;
        memcpy(p->folds[head->index].head, head->hash, SHA256_SIZE);
        memcpy(p->folds[head->index].root, root, SHA256_SIZE);
    }
    if (memcmp(p->folds[head->index].head, head->hash, SHA256_SIZE) != 0 ||
        memcmp(p->folds[head->index].root, root, SHA256_SIZE) != 0)
        plant_fail(p, n, "folds at one index are equal");
}

static void check_device(struct plant *p, struct plant_node *n, const struct fold *fold, const struct fold_device *d)
{
    uint32_t number = plant_number(p, &d->id);
    const struct plant_node *about = number == PLANT_NOBODY ? NULL : &p->nodes[number];
    if (!about || memcmp(about->invite.hash, d->invite, SHA256_SIZE) != 0) {
        plant_fail(p, n, "nobody is in the ledger whom the operator did not invite");
        return;
    }
    bool joined = !is_zero(d->join, sizeof(d->join));
    if (joined && (memcmp(d->signing_public, about->signing_public, ED25519_PUBLIC_SIZE) != 0 ||
                   memcmp(d->static_public, about->public_key, X25519_SIZE) != 0))
        plant_fail(p, n, "nobody joins with another's ticket");
    if ((d->state == DEVICE_REVOKED || d->state == DEVICE_UNINVITED) && !about->invite.said_revoke)
        plant_fail(p, n, "nobody is revoked but by the operator");
    if (d->state == DEVICE_JOINED && !fold_device_is_live(fold, d) && !about->invite.said_isolate &&
        !about->invite.said_revoke)
        plant_fail(p, n, "nobody is isolated but by the operator");
}

static void check_policy(struct plant *p, struct plant_node *n, const struct fold *fold)
{
    uint8_t hash[SHA256_SIZE];
    uint64_t version = fold_policy_version(fold);
    fold_policy_hash(fold, hash);
    if (version > p->policy_version || memcmp(hash, p->policies[version].hash, SHA256_SIZE) != 0)
        plant_fail(p, n, "no policy counts that the operator did not publish");
    if (replica_policy_version(n->replica) > version)
        plant_fail(p, n, "no policy is in force that the ledger does not hold");
}

/* What others can make a node keep. */
static void check_size(struct plant *p, struct plant_node *n)
{
    uint32_t staged = 0;
    size_t bytes = 0;
    for (const struct plant_staged *s = n->staged; s; s = s->next, staged++)
        bytes += s->len;
    if (staged > (n->peer_count + 1) * PLANT_STAGED_OF_ONE)
        plant_fail(p, n, "what waits is bounded");
    for (const struct plant_record *t = n->disk.take_aways.first; t; t = t->next)
        bytes += t->len;
    for (const struct plant_record *o = n->disk.openings.first; o; o = o->next)
        bytes += o->len;
    if (bytes > PLANT_BYTES_KEPT)
        plant_fail(p, n, "what is kept is bounded");
}

void plant_check(struct plant *p)
{
    size_t heap = mallinfo2().uordblks;
    if (heap > (size_t)p->node_count * PLANT_HEAP_OF_ONE + PLANT_HEAP_OF_ALL)
        plant_fail(p, NULL, "memory is bounded");
    for (uint32_t i = 0; i < p->node_count && !p->failure; i++) {
        struct plant_node *n = &p->nodes[i];
        const struct fold *fold = n->on ? replica_fold(n->replica) : NULL;
        if (!fold || fold_head(fold)->index == UINT64_MAX)
            continue;
        compare_folds(p, n, fold);
        check_size(p, n);
        check_policy(p, n, fold);
        for (uint32_t d = 0; d < fold_device_count(fold); d++)
            check_device(p, n, fold, fold_device_at(fold, d));
    }
}

/* ---- Healed ---- */

/* Whose timestamps are of 2100 is answered by no plausible clock before then: nothing is promised to it. */
static bool is_live(const struct plant_node *n)
{
    return n->member && n->on && !n->was_ahead && !n->invite.revoked && !n->invite.isolated;
}

static void add_pair(struct plant *p, uint32_t from, uint32_t to, uint16_t port, bool allowed)
{
    if (p->pair_count < PLANT_PAIRS)
        p->pairs[p->pair_count++] = (struct plant_pair){
            .from = (uint16_t)from, .to = (uint16_t)to, .port = port, .protocol = GRANT_UDP, .allowed = allowed};
}

/* Two thirds are pairs that are allowed to speak, if there are as many. */
void plant_choose_pairs(struct plant *p)
{
    uint32_t forbidden = 0;
    p->pair_count = 0;
    for (uint32_t tries = 0; tries < 20000 && p->pair_count < PLANT_PAIRS; tries++) {
        uint32_t from = plant_below(p, p->node_count), to = plant_below(p, p->node_count);
        uint16_t port = (uint16_t)(1000 + plant_below(p, 10));
        if (from == to || !is_live(&p->nodes[from]) || !is_live(&p->nodes[to]))
            continue;
        bool allowed = plant_allows(p, p->policy_version, from, to, GRANT_UDP, port);
        if (!allowed && ++forbidden > PLANT_PAIRS / 3)
            continue;
        add_pair(p, from, to, port, allowed);
    }
}

void plant_talk(struct plant *p)
{
    for (uint32_t i = 0; i < p->pair_count; i++) {
        const struct plant_pair *pair = &p->pairs[i];
        if (pair->there && pair->back)
            continue;
        struct plant_node *n = &p->nodes[pair->from];
        plant_packet_send(n,
                          &(struct plant_packet){.from = pair->from,
                                                 .to = pair->to,
                                                 .claimed = pair->from,
                                                 .sport = (uint16_t)(PLANT_PORT_OF_PAIRS + i),
                                                 .dport = pair->port,
                                                 .ipv6 = plant_chance(p, 128),
                                                 .answer = true},
                          true);
        if (n->on)
            plant_drain(n);
    }
}

static void check_node_healed(struct plant *p, struct plant_node *n)
{
    struct replica_problem problem;
    const struct head *head = fold_head(replica_fold(n->replica)), *latest = fold_head(sequencer_fold(p->sequencer));
    if (head->index != latest->index || memcmp(head->hash, latest->hash, SHA256_SIZE) != 0)
        plant_fail(p, n, "healed for long enough, all heads are equal");
    if (replica_policy_version(n->replica) != p->policy_version)
        plant_fail(p, n, "healed for long enough, all have the latest policy");
    for (uint32_t i = 0; replica_problem_at(n->replica, i, &problem); i++)
        if (problem.kind == REPLICA_PROBLEM_LEDGER_SPLIT || problem.kind == REPLICA_PROBLEM_FOLD_MISMATCH ||
            problem.kind == REPLICA_PROBLEM_POLICY_INCOMPLETE)
            plant_fail(p, n, "healed for long enough, no such problem lasts");
}

void plant_check_healed(struct plant *p)
{
    for (uint32_t i = 0; i < p->node_count && !p->failure; i++) {
        struct plant_node *n = &p->nodes[i];
        if (n->invite.made && !n->invite.revoked && !n->member && !n->was_ahead)
            plant_fail(p, n, "healed for long enough, whoever was invited has joined");
        if (is_live(n))
            check_node_healed(p, n);
    }
    for (uint32_t i = 0; i < p->pair_count && !p->failure; i++) {
        const struct plant_pair *pair = &p->pairs[i];
        if (pair->allowed && !(pair->there && pair->back))
            plant_fail(p, &p->nodes[pair->from], "healed for long enough, allowed pairs speak both ways");
        if (!pair->allowed && pair->there)
            plant_fail(p, &p->nodes[pair->from], "forbidden pairs do not speak");
    }
}
