#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "network.h"

#define STEP (NET_SECOND / 100)
#define DELAY (NET_SECOND / 50)

enum { OWNER = 1, ROLE = 2, SCOPED = 3, SEQUENCER = 4, INVITES = 100 };

/* ---- keys and statements ---- */

/* Into a field of zeroes that is one byte longer than a name can be. */
static void set_name(char *out, const char *name)
{
    strncpy(out, name, NAME_MAX_LEN);
}

static void seed_of(uint8_t out[32], uint8_t number)
{
    memset(out, number, 32);
}

static void signing_of(struct net *net, uint8_t out[ED25519_PUBLIC_SIZE], uint8_t number)
{
    uint8_t seed[32];
    seed_of(seed, number);
    assert_int_equal(crypto_ed25519_public(net->c, out, seed), 0);
}

static void static_of(struct net *net, uint8_t out[X25519_SIZE], uint8_t number)
{
    uint8_t seed[32];
    seed_of(seed, number);
    assert_int_equal(crypto_x25519_public(net->c, out, seed), 0);
}

static struct invite_keys invite_keys_of(struct net *net, uint8_t number)
{
    uint8_t seed[32];
    struct invite_keys keys;
    seed_of(seed, (uint8_t)(INVITES + number));
    assert_int_equal(invite_keys_derive(net->c, seed, &keys), 0);
    return keys;
}

static size_t sign_by(struct net *net, const struct statement *s, uint8_t number, uint8_t *out, size_t capacity)
{
    struct signer signer;
    seed_of(signer.seed, number);
    int len = statement_sign(net->c, s, &signer, 1, out, capacity);
    assert_true(len > 0);
    return (size_t)len;
}

struct subject net_subject(enum net_group group)
{
    return (struct subject){{0x67, (uint8_t)group}};
}

static const char *const group_names[] = {"operators", "sensors", "brokers", "loggers"};

static void fill_opening(struct net *net, const struct net_invite *what, struct opening *o)
{
    *o = (struct opening){.kind = OPENING_INVITE, .salt = {what->number, (uint8_t)++net->salt}};
    set_name(o->invite.name, what->name);
    o->invite.has_ipv4 = what->ipv4 != 0;
    if (what->ipv4)
        memcpy(o->invite.ipv4, (uint8_t[]){100, 64, 0, what->ipv4}, 4);
    o->invite.relay = what->relay;
    o->invite.controller = what->controller;
    if (what->relay)
        o->invite.endpoint = (struct underlay){{203, 0, 113, what->number}, 51820, 4};
    for (uint32_t g = 0; g < 4; g++)
        if (what->groups >> g & 1) {
            struct opening_group *group = &o->invite.groups[o->invite.group_count++];
            group->id = net_subject((enum net_group)(1u << g));
            set_name(group->name, group_names[g]);
        }
}

void net_make_invite(struct net *net, struct net_invite *invite)
{
    static struct opening o;
    struct statement s = {.kind = STATEMENT_INVITE, .network = net->network};
    struct invite_keys keys = invite_keys_of(net, invite->number);
    memcpy(s.invite.signing_public, keys.signing_public, ED25519_PUBLIC_SIZE);
    memcpy(s.invite.static_public, keys.static_public, X25519_SIZE);
    s.invite.join_before = NET_TIME + (invite->join_before ? invite->join_before : 3600);
    s.invite.member_until = invite->member_until ? NET_TIME + invite->member_until : 0;
    fill_opening(net, invite, &o);
    int len = opening_encode(&o, invite->opening, sizeof(invite->opening));
    assert_true(len > 0);
    invite->opening_len = (size_t)len;
    assert_int_equal(opening_commitment(net->c, s.invite.commitment, invite->opening, invite->opening_len), 0);
    invite->statement_len =
        sign_by(net, &s, invite->scoped ? SCOPED : ROLE, invite->statement, sizeof(invite->statement));
    assert_int_equal(crypto_sha256(net->c, invite->hash, invite->statement, invite->statement_len), 0);
    memcpy(invite->id.bytes, invite->hash, DEVICE_ID_SIZE);
}

static size_t make_join(struct net *net, const struct net_invite *invite, uint8_t device, bool sequences, uint8_t *out,
                        size_t capacity)
{
    struct invite_keys keys = invite_keys_of(net, invite->number);
    struct signer signers[2];
    struct statement s = {.kind = STATEMENT_JOIN, .network = net->network};
    memcpy(s.join.invite, invite->hash, SHA256_SIZE);
    signing_of(net, s.join.signing_public, device);
    static_of(net, s.join.static_public, device);
    s.join.sequences = sequences;
    if (sequences)
        signing_of(net, s.join.sequencer, SEQUENCER);
    memcpy(signers[0].seed, keys.signing_seed, ED25519_SEED_SIZE);
    seed_of(signers[1].seed, device);
    int len = statement_sign(net->c, &s, signers, 2, out, capacity);
    assert_true(len > 0);
    return (size_t)len;
}

static struct net_bytes make_submission(const uint8_t *statement, size_t len, const struct frame_view *openings,
                                        uint32_t count)
{
    struct blob_writer w = {0};
    blob_begin_submission(&w, (struct frame_view){statement, len}, count);
    for (uint32_t i = 0; i < count; i++)
        blob_put_opening(&w, openings[i]);
    assert_int_equal(w.error, 0);
    return (struct net_bytes){.bytes = w.bytes, .len = w.len};
}

struct net_bytes net_about(struct net *net, enum statement_kind kind, const struct net_invite *invite)
{
    struct statement s = {.kind = kind, .network = net->network};
    uint8_t bytes[512];
    memcpy(s.about.invite, invite->hash, SHA256_SIZE);
    s.about.nonce[0] = (uint8_t)++net->salt;
    size_t len = sign_by(net, &s, ROLE, bytes, sizeof(bytes));
    assert_int_equal(crypto_sha256(net->c, net->last_about, bytes, len), 0);
    return make_submission(bytes, len, NULL, 0);
}

struct net_bytes net_restore(struct net *net, const uint8_t isolate[SHA256_SIZE])
{
    static struct statement s;
    uint8_t bytes[512];
    s = (struct statement){.kind = STATEMENT_RESTORE, .network = net->network, .restore.count = 1};
    memcpy(s.restore.isolates[0], isolate, SHA256_SIZE);
    size_t len = sign_by(net, &s, ROLE, bytes, sizeof(bytes));
    return make_submission(bytes, len, NULL, 0);
}

struct net_bytes net_give_back(struct net *net, const struct net_invite *invite)
{
    uint8_t isolate[1][SHA256_SIZE];
    assert_int_equal(fold_isolations(replica_fold(NET_HUB(net)->replica), &invite->id, isolate, 1), 1);
    return net_restore(net, isolate[0]);
}

static size_t rules_opening(struct net *net, enum net_group group, const struct net_rule *rules, uint32_t count,
                            uint8_t *out, size_t capacity)
{
    struct grant grants[8];
    struct rule list[8] = {0};
    struct rule_set set = {.rules = list};
    for (uint32_t i = 0; i < count; i++) {
        if (rules[i].from != group && rules[i].to != group)
            continue;
        struct rule *rule = &list[set.count];
        grants[set.count] = (struct grant){GRANT_TCP, rules[i].port, rules[i].port};
        rule->from = net_subject((enum net_group)rules[i].from);
        rule->to = net_subject((enum net_group)rules[i].to);
        set_name(rule->from_name, "a");
        set_name(rule->to_name, "b");
        rule->line = i + 1;
        rule->grant_count = 1;
        rule->grants = &grants[set.count++];
    }
    struct opening o = {.kind = OPENING_RULES, .salt = {(uint8_t)++net->salt, (uint8_t)group}};
    o.rules.subject = net_subject(group);
    o.rules.version = net->policy_version + 1;
    o.rules.set = &set;
    int len = set.count ? opening_encode(&o, out, capacity) : 0;
    assert_true(len >= 0);
    return (size_t)len;
}

struct net_bytes net_policy(struct net *net, const struct net_rule *rules, uint32_t count)
{
    uint8_t changes[4 * POLICY_CHANGE_SIZE], openings[4][1024], bytes[2048];
    struct frame_view views[4];
    uint32_t view_count = 0;
    struct statement s = {.kind = STATEMENT_POLICY, .network = net->network};
    for (uint32_t g = 0; g < 4; g++) {
        struct policy_change change = {.subject = net_subject((enum net_group)(1u << g))};
        size_t len = rules_opening(net, (enum net_group)(1u << g), rules, count, openings[g], sizeof(openings[g]));
        change.gone = len == 0;
        if (len) {
            views[view_count++] = (struct frame_view){openings[g], len};
            assert_int_equal(opening_commitment(net->c, change.commitment, openings[g], len), 0);
        }
        statement_policy_change_put(changes + s.policy.change_count++ * POLICY_CHANGE_SIZE, &change);
    }
    s.policy.version = ++net->policy_version;
    memcpy(s.policy.against, net->policy_hash, SHA256_SIZE);
    s.policy.changes = changes;
    size_t len = sign_by(net, &s, ROLE, bytes, sizeof(bytes));
    assert_int_equal(crypto_sha256(net->c, net->policy_hash, bytes, len), 0);
    return make_submission(bytes, len, views, view_count);
}

/* ---- the imitated engine and disk ---- */

static void keep_in(struct net_log *log, const uint8_t *bytes, size_t len, uint64_t time, enum fold_verdict verdict)
{
    log->items = realloc(log->items, (log->count + 1) * sizeof(*log->items));
    assert_non_null(log->items);
    struct net_bytes *item = &log->items[log->count++];
    *item = (struct net_bytes){malloc(len + 1), len, time, verdict};
    assert_non_null(item->bytes);
    memcpy(item->bytes, bytes, len);
}

static void clear_log(struct net_log *log)
{
    for (uint32_t i = 0; i < log->count; i++)
        free(log->items[i].bytes);
    free(log->items);
    *log = (struct net_log){0};
}

static void op_keep_entry(void *context, uint64_t index, uint64_t time, enum fold_verdict verdict, const uint8_t *bytes,
                          size_t len)
{
    struct net_node *n = context;
    (void)index;
    keep_in(&n->entries, bytes, len, time, verdict);
}

static void op_keep_opening(void *context, const uint8_t commitment[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    struct net_node *n = context;
    (void)commitment;
    keep_in(&n->openings, bytes, len, 0, 0);
}

static void op_keep_take_away(void *context, const uint8_t hash[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    struct net_node *n = context;
    (void)hash;
    keep_in(&n->take_aways, bytes, len, 0, 0);
}

static void set_bytes(struct net_bytes *out, const uint8_t *bytes, size_t len)
{
    free(out->bytes);
    *out = (struct net_bytes){malloc(len + 1), len, 0, 0};
    assert_non_null(out->bytes);
    if (len)
        memcpy(out->bytes, bytes, len);
}

static void op_keep_head(void *context, const uint8_t head[SIGNED_HEAD_SIZE])
{
    set_bytes(&((struct net_node *)context)->head, head, SIGNED_HEAD_SIZE);
}

static void op_keep_base(void *context, const uint8_t *fold, size_t len)
{
    struct net_node *n = context;
    set_bytes(&n->base, fold, len);
    clear_log(&n->entries);
}

static void op_keep_floor(void *context, uint64_t seconds)
{
    ((struct net_node *)context)->floor = seconds;
}

static void op_keep_evidence(void *context, const uint8_t a[SIGNED_HEAD_SIZE], const uint8_t b[SIGNED_HEAD_SIZE])
{
    assert_memory_not_equal(a, b, SIGNED_HEAD_SIZE);
    ((struct net_node *)context)->evidence++;
}

static uint32_t place_of(struct net_node *n, const struct device_id *id)
{
    uint32_t i = 0;
    while (i < n->published_count && memcmp(&n->published[i].id, id, sizeof(*id)) != 0)
        i++;
    return i;
}

static void op_device(void *context, const struct replica_device *d)
{
    struct net_node *n = context;
    uint32_t i = place_of(n, &d->id);
    assert_true(i < NET_PUBLISHED && d->out_count <= 4 && d->in_count <= 4);
    n->published[i] = *d;
    if (d->out_count)
        memcpy(n->out[i], d->out, d->out_count * sizeof(struct grant));
    if (d->in_count)
        memcpy(n->in[i], d->in, d->in_count * sizeof(struct grant));
    n->published[i].out = n->out[i];
    n->published[i].in = n->in[i];
    if (i == n->published_count)
        n->published_count++;
}

static void op_gone(void *context, const struct device_id *id)
{
    struct net_node *n = context;
    uint32_t i = place_of(n, id), last = n->published_count - 1;
    assert_true(i < n->published_count); /* what is gone was there */
    n->published[i] = n->published[last];
    memcpy(n->out[i], n->out[last], sizeof(n->out[i]));
    memcpy(n->in[i], n->in[last], sizeof(n->in[i]));
    n->published[i].out = n->out[i];
    n->published[i].in = n->in[i];
    n->published_count--;
}

static void op_part(void *context, const struct device_id *a, const struct device_id *b)
{
    assert_true(memcmp(a, b, sizeof(*a)) != 0);
    ((struct net_node *)context)->parted++;
}

static void op_self(void *context, const struct replica_self *self)
{
    ((struct net_node *)context)->self = *self;
}

static void op_head(void *context, const uint8_t head[SIGNED_HEAD_SIZE])
{
    (void)context;
    (void)head;
}

static void op_problem(void *context, const struct replica_problem *problem)
{
    assert_non_null(problem->code);
    ((struct net_node *)context)->problems++;
}

static void op_outcome(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index)
{
    struct net_node *n = context;
    assert_true(n->outcome_count < 64);
    memcpy(n->outcomes[n->outcome_count].statement, statement, SHA256_SIZE);
    n->outcomes[n->outcome_count].verdict = verdict;
    n->outcomes[n->outcome_count++].index = index;
}

static bool has_outcome(const struct net_node *n, const struct net_bytes *submission)
{
    struct blob_reader openings;
    struct frame_view statement;
    uint8_t hash[SHA256_SIZE];
    assert_int_equal(blob_read_submission(&openings, &statement, submission->bytes, submission->len), 0);
    assert_int_equal(crypto_sha256(n->net->c, hash, statement.bytes, statement.len), 0);
    for (uint32_t i = 0; i < n->outcome_count; i++)
        if (memcmp(n->outcomes[i].statement, hash, SHA256_SIZE) == 0)
            return true;
    return false;
}

/* What no outcome is known of waits in the outbox. */
static void read_outbox(struct net_node *n)
{
    for (uint32_t i = 0; i < n->outbox.count; i++)
        if (!has_outcome(n, &n->outbox.items[i]))
            assert_int_equal(replica_submit(n->replica, n->outbox.items[i].bytes, n->outbox.items[i].len, n->net->now),
                             0);
}

static void op_use_key(void *context, uint32_t slot)
{
    ((struct net_node *)context)->slot = slot;
}

static void op_erase_seed(void *context)
{
    struct net_node *n = context;
    n->seeds_erased++;
    n->has_invite_key = false;
}

static void op_joined(void *context, enum fold_verdict verdict, enum replica_join_reason reason)
{
    struct net_node *n = context;
    assert_false(n->joined_called);
    n->joined_called = true;
    n->joined = verdict;
    n->reason = reason;
}

/* ---- sessions: who can speak with whom, as the engine would have it ---- */

static const uint8_t *key_in_use(const struct net_node *n)
{
    return n->slot == 1 ? n->invite_public : n->static_public;
}

/* The device that `n` published under a key; NULL: it is silent to that key. */
static const struct replica_device *published_by_key(const struct net_node *n, const uint8_t key[X25519_SIZE])
{
    for (uint32_t i = 0; i < n->published_count; i++)
        if (memcmp(n->published[i].static_key, key, X25519_SIZE) == 0)
            return &n->published[i];
    return NULL;
}

static bool answers_under(const struct net_node *n, const uint8_t key[X25519_SIZE], const struct device_id *asker)
{
    if (memcmp(key, n->static_public, X25519_SIZE) == 0)
        return true;
    return n->has_invite_key && memcmp(key, n->invite_public, X25519_SIZE) == 0 && n->self.answer_invite_key &&
           memcmp(asker, &n->self.invite_peer, sizeof(*asker)) == 0;
}

/* `to` as `from` knows it, and `from` as `to` knows it; false: no session can be. */
static bool can_initiate(const struct net_node *from, const struct net_node *to, const struct replica_device **theirs,
                         const struct replica_device **ours)
{
    if (from == to || !from->on || !to->on)
        return false;
    *ours = published_by_key(to, key_in_use(from));
    if (!*ours || (*ours)->flags & REPLICA_USED_INVITE)
        return false;
    *theirs = published_by_key(from, to->static_public);
    if (!*theirs && to->has_invite_key)
        *theirs = published_by_key(from, to->invite_public);
    return *theirs && answers_under(to, (*theirs)->static_key, &(*ours)->id);
}

static bool can_speak(const struct net_node *a, const struct net_node *b, const struct replica_device **b_at_a,
                      const struct replica_device **a_at_b)
{
    /* Mostly all sessions are with relays, and the other side begins. */
    return (can_initiate(a, b, b_at_a, a_at_b) && (a->net->members_meet || (*b_at_a)->flags & REPLICA_RELAY)) ||
           (can_initiate(b, a, a_at_b, b_at_a) && (a->net->members_meet || (*a_at_b)->flags & REPLICA_RELAY));
}

static uint64_t draw(struct net *net)
{
    net->random ^= net->random << 13;
    net->random ^= net->random >> 7;
    net->random ^= net->random << 17;
    return net->random;
}

static void post(struct net *net, const struct net_message *what)
{
    struct net_message *m = malloc(sizeof(*m)), **end = &net->messages;
    assert_non_null(m);
    *m = *what;
    m->due = net->now + DELAY;
    m->next = NULL;
    while (*end)
        end = &(*end)->next;
    *end = m;
}

static struct net_node *node_with_key(struct net *net, const struct replica_device *d)
{
    for (uint32_t i = 0; i < net->node_count; i++)
        if (memcmp(net->nodes[i].static_public, d->static_key, X25519_SIZE) == 0 ||
            memcmp(net->nodes[i].invite_public, d->static_key, X25519_SIZE) == 0)
            return &net->nodes[i];
    return NULL;
}

static void answer_as_controller(struct net *net, const uint8_t *frame, size_t len)
{
    struct frame asked, answer = {.kind = FRAME_PART};
    if (frame_decode(&asked, frame, len) || asked.kind != FRAME_GET)
        return;
    const struct net_bytes *blob = asked.get.what == SYNC_LEDGER ? &net->fake->ledger : &net->fake->openings;
    if (!serve_part(&asked.get, asked.get.to == UINT64_MAX ? net->fake->to : asked.get.to, blob->bytes, blob->len,
                    &answer.part))
        return;
    struct net_message m = {.to = NET_HUB(net), .from = replica_controller};
    int encoded = frame_encode(&answer, m.frame, sizeof(m.frame));
    assert_true(encoded > 0);
    m.len = (size_t)encoded;
    post(net, &m);
}

static void op_send(void *context, const struct device_id *to, const uint8_t *frame, size_t len)
{
    struct net_node *n = context;
    struct net *net = n->net;
    struct net_message m = {.len = len};
    assert_true(len <= FRAME_MAX);
    n->frames_sent++;
    memcpy(m.frame, frame, len);
    if (memcmp(to, &replica_controller, sizeof(*to)) == 0) {
        m.to_sequencer = true;
        if (net->fake)
            answer_as_controller(net, frame, len);
        else if (n->has_sequencer)
            post(net, &m);
        return;
    }
    uint32_t i = place_of(n, to);
    if (i == n->published_count)
        return;
    m.to = node_with_key(net, &n->published[i]);
    const struct replica_device *theirs, *ours;
    if (!m.to || !can_speak(n, m.to, &theirs, &ours) || draw(net) % 100 < net->loss)
        return;
    m.from = ours->id;
    m.invite = ours->flags & REPLICA_INVITE;
    if (!net->tap || net->tap(net, n, m.to, m.frame, &m.len))
        post(net, &m);
}

static const struct replica_ops ops_table = {
    .send = op_send,
    .device = op_device,
    .gone = op_gone,
    .part = op_part,
    .self = op_self,
    .head = op_head,
    .keep_entry = op_keep_entry,
    .keep_opening = op_keep_opening,
    .keep_head = op_keep_head,
    .keep_take_away = op_keep_take_away,
    .keep_base = op_keep_base,
    .keep_floor = op_keep_floor,
    .keep_evidence = op_keep_evidence,
    .problem = op_problem,
    .outcome = op_outcome,
    .use_key = op_use_key,
    .erase_seed = op_erase_seed,
    .joined = op_joined,
};

static void greet(struct net_node *to, const struct device_id *from, const struct net_node *sender)
{
    uint8_t bytes[SIGNED_HEAD_SIZE];
    const struct signed_head *head = replica_signed_head(sender->replica);
    if (!head)
        return;
    signed_head_encode(head, bytes);
    replica_learn(to->replica, from, (struct frame_view){0}, (struct frame_view){bytes, sizeof(bytes)}, to->net->now);
}

/* Sessions with relays are kept; both ends say hello when one begins. */
static void link_pair(struct net *net, struct net_node *a, struct net_node *b)
{
    const struct replica_device *b_at_a, *a_at_b;
    uint32_t i = (uint32_t)(a - net->nodes), j = (uint32_t)(b - net->nodes);
    bool can = can_speak(a, b, &b_at_a, &a_at_b);
    bool rekeyed = can && (memcmp(a->link_key[j], b_at_a->static_key, X25519_SIZE) != 0 ||
                           memcmp(b->link_key[i], a_at_b->static_key, X25519_SIZE) != 0);
    if (can == a->linked[j] && !rekeyed)
        return;
    a->linked[j] = b->linked[i] = can;
    if (!can) {
        if (a->on)
            replica_link(a->replica, &a->link_id[j], false, net->now);
        if (b->on)
            replica_link(b->replica, &b->link_id[i], false, net->now);
        return;
    }
    struct device_id at_a = b_at_a->id, at_b = a_at_b->id;
    bool invite = a_at_b->flags & REPLICA_INVITE;
    a->link_id[j] = at_a;
    b->link_id[i] = at_b;
    memcpy(a->link_key[j], b_at_a->static_key, X25519_SIZE);
    memcpy(b->link_key[i], a_at_b->static_key, X25519_SIZE);
    replica_link(a->replica, &at_a, true, net->now);
    replica_link(b->replica, &at_b, true, net->now);
    greet(a, &at_a, b);
    if (!invite)
        greet(b, &at_b, a);
}

static void link_all(struct net *net)
{
    for (uint32_t i = 0; i < net->node_count; i++)
        for (uint32_t j = i + 1; j < net->node_count; j++)
            link_pair(net, &net->nodes[i], &net->nodes[j]);
}

static void deliver(struct net *net, struct net_message *m)
{
    if (m->to_sequencer && !net->sequencer_off)
        assert_int_equal(sequencer_frame(net->sequencer, m->frame, m->len, net->wall, net->now), 0);
    else if (!m->to_sequencer && m->to->on)
        replica_frame(m->to->replica, &m->from, m->invite, m->frame, m->len, net->now);
}

static void deliver_due(struct net *net)
{
    while (net->messages && net->messages->due <= net->now) {
        struct net_message *m = net->messages;
        net->messages = m->next;
        deliver(net, m);
        free(m);
    }
}

void net_run(struct net *net, double seconds)
{
    uint64_t begin = net->now, end = net->now + (uint64_t)(seconds * (double)NET_SECOND), wall = net->wall;
    for (; net->now < end; net->now += STEP) {
        net->wall = wall + (net->now - begin) / NET_SECOND;
        deliver_due(net);
        if (!net->sequencer_off && sequencer_deadline(net->sequencer) <= net->now)
            assert_int_equal(sequencer_timer(net->sequencer, net->wall, net->now), 0);
        for (uint32_t i = 0; i < net->node_count; i++)
            if (net->nodes[i].on && replica_deadline(net->nodes[i].replica) <= net->now)
                replica_timer(net->nodes[i].replica, net->now, net->wall);
        if (net->now / STEP % 10 == 0)
            link_all(net);
    }
}

/* ---- nodes ---- */

static struct net_node *add_node(struct net *net, const char *name, uint8_t number, uint8_t invite_number)
{
    assert_true(net->node_count < NET_NODES);
    struct net_node *n = &net->nodes[net->node_count++];
    *n = (struct net_node){.net = net, .name = name, .number = number, .ops = ops_table};
    n->ops.context = n;
    n->config.network = net->network;
    n->config.build_time = NET_TIME - 86400;
    signing_of(net, n->config.signing_public, number);
    static_of(net, n->static_public, number);
    memcpy(n->config.static_public, n->static_public, X25519_SIZE);
    if (invite_number) {
        struct invite_keys keys = invite_keys_of(net, invite_number);
        memcpy(n->invite_public, keys.static_public, X25519_SIZE);
        memcpy(n->config.invite_static_public, keys.static_public, X25519_SIZE);
        n->has_invite_key = true;
    }
    assert_int_equal(replica_new(&n->replica, net->c, &n->config, &n->ops), 0);
    return n;
}

static void restore(struct net_node *n)
{
    struct replica *r = n->replica;
    for (uint32_t i = 0; i < n->openings.count; i++)
        assert_int_equal(replica_restore_opening(r, n->openings.items[i].bytes, n->openings.items[i].len), 0);
    if (n->base.len)
        assert_int_equal(replica_restore_base(r, n->base.bytes, n->base.len), 0);
    uint64_t index = n->base.len ? fold_head(replica_fold(r))->index + 1 : 0;
    for (uint32_t i = 0; i < n->entries.count; i++) {
        const struct net_bytes *e = &n->entries.items[i];
        assert_int_equal(replica_restore_entry(r, index + i, e->time, e->verdict, e->bytes, e->len), 0);
    }
    for (uint32_t i = 0; i < n->take_aways.count; i++)
        assert_int_equal(replica_restore_take_away(r, n->take_aways.items[i].bytes, n->take_aways.items[i].len), 0);
    if (n->head.len)
        assert_int_equal(replica_restore_head(r, n->head.bytes), 0);
    replica_restore_floor(r, n->floor);
}

static void unlink_all(struct net_node *n)
{
    struct net *net = n->net;
    n->on = false;
    link_all(net);
}

void net_restart(struct net_node *n)
{
    unlink_all(n);
    replica_free(n->replica);
    n->published_count = 0;
    n->self = (struct replica_self){0};
    n->slot = 0;
    if (!n->has_invite_key)
        memset(n->config.invite_static_public, 0, X25519_SIZE);
    assert_int_equal(replica_new(&n->replica, n->net->c, &n->config, &n->ops), 0);
    restore(n);
    n->on = true;
    assert_int_equal(replica_begin(n->replica, n->net->now, n->net->wall), 0);
    read_outbox(n);
}

/* ---- founding ---- */

static void sequencer_sent(void *context, const uint8_t *frame, size_t len)
{
    struct net *net = context;
    struct net_message m = {.to = NET_HUB(net), .from = replica_controller, .len = len};
    memcpy(m.frame, frame, len);
    post(net, &m);
}

static int sequencer_store(void *context, const struct sequencer_entry *entry)
{
    (void)context;
    (void)entry;
    return 0;
}

static size_t make_root(struct net *net, uint8_t scope_opening[1024], size_t *scope_len)
{
    static struct statement s;
    static struct opening o;
    struct statement_root *root = &s.root;
    s = (struct statement){.kind = STATEMENT_ROOT};
    o = (struct opening){.kind = OPENING_SCOPE, .salt = {1}};
    o.scope.name_count = 1;
    set_name(o.scope.names[0], "site-*");
    int len = opening_encode(&o, scope_opening, 1024);
    assert_true(len > 0);
    *scope_len = (size_t)len;
    root->version = root->threshold = 1;
    root->time = NET_TIME;
    root->owner_count = 1;
    signing_of(net, root->owners[0], OWNER);
    root->role_count = 2;
    signing_of(net, root->roles[0].key, ROLE);
    root->roles[0].roles = ROLE_ADMISSION | ROLE_POLICY | ROLE_SAFETY;
    signing_of(net, root->roles[1].key, SCOPED);
    root->roles[1].roles = ROLE_ADMISSION;
    root->roles[1].scoped = true;
    assert_int_equal(opening_commitment(net->c, root->roles[1].scope, scope_opening, *scope_len), 0);
    root->founds = true;
    memcpy(root->founding_invite, invite_keys_of(net, net->hub_invite.number).signing_public, ED25519_PUBLIC_SIZE);
    size_t root_len = sign_by(net, &s, OWNER, net->founding[0], sizeof(net->founding[0]));
    assert_int_equal(crypto_sha256(net->c, net->network.bytes, net->founding[0], root_len), 0);
    return root_len;
}

static void put_founding(struct net *net, uint32_t i, const void *bytes, size_t len)
{
    memcpy(net->founding[i], bytes, len);
    net->founding_len[i] = len;
}

static void start_sequencer(struct net *net, const struct ticket *t)
{
    struct blob_writer entries = {0}, openings = {0};
    struct blob_reader entry_reader, opening_reader;
    enum fold_verdict verdict;
    struct sequencer_ops ops = {.send = sequencer_sent, .store = sequencer_store, .context = net};
    uint8_t seed[32];
    seed_of(seed, SEQUENCER);
    assert_int_equal(sequencer_new(&net->sequencer, net->c, &ops, seed), 0);
    blob_begin(&entries, 6);
    for (uint32_t i = 0; i < 6; i++)
        blob_put_entry(&entries, NET_TIME, (struct frame_view){net->founding[i], net->founding_len[i]});
    blob_begin(&openings, t->opening_count);
    for (uint32_t i = 0; i < t->opening_count; i++)
        blob_put_opening(&openings, (struct frame_view){t->openings[i].bytes, t->openings[i].len});
    assert_int_equal(blob_read_entries(&entry_reader, entries.bytes, entries.len), 0);
    assert_int_equal(blob_read_openings(&opening_reader, openings.bytes, openings.len), 0);
    assert_int_equal(sequencer_found(net->sequencer, entry_reader, opening_reader, &verdict), 0);
    assert_int_equal(verdict, VERDICT_STANDS);
    free(entries.bytes);
    free(openings.bytes);
}

static void found(struct net *net)
{
    uint8_t scope[1024], join[2048] = {0}, policy[512];
    size_t scope_len;
    net->operator_invite = (struct net_invite){.name = "operator", .number = 1, .ipv4 = 1, .groups = NET_OPERATORS};
    net->hub_invite = (struct net_invite){.name = "hub", .number = 2, .ipv4 = 2, .relay = true, .controller = true};
    net->founding_len[0] = make_root(net, scope, &scope_len);
    net_make_invite(net, &net->operator_invite);
    net_make_invite(net, &net->hub_invite);
    put_founding(net, 1, net->operator_invite.statement, net->operator_invite.statement_len);
    put_founding(net, 2, join, make_join(net, &net->operator_invite, 10, false, join, sizeof(join)));
    put_founding(net, 3, net->hub_invite.statement, net->hub_invite.statement_len);
    struct statement s = {.kind = STATEMENT_POLICY, .network = net->network, .policy.version = ++net->policy_version};
    put_founding(net, 4, policy, sign_by(net, &s, ROLE, policy, sizeof(policy)));
    assert_int_equal(crypto_sha256(net->c, net->policy_hash, policy, net->founding_len[4]), 0);
    put_founding(net, 5, join, make_join(net, &net->hub_invite, 11, true, join, sizeof(join)));

    struct ticket t = {.founding = true, .network = net->network, .statement_count = 5, .opening_count = 3};
    for (uint32_t i = 0; i < 5; i++) {
        t.statements[i] = (struct ticket_bytes){net->founding[i], net->founding_len[i]};
        t.times[i] = NET_TIME;
    }
    t.openings[0] = (struct ticket_bytes){scope, scope_len};
    t.openings[1] = (struct ticket_bytes){net->operator_invite.opening, net->operator_invite.opening_len};
    t.openings[2] = (struct ticket_bytes){net->hub_invite.opening, net->hub_invite.opening_len};
    struct net_node *operator_node = add_node(net, "operator", 10, 0);
    struct net_node *hub = add_node(net, "hub", 11, 2);
    hub->has_sequencer = true;
    start_sequencer(net, &t);
    assert_int_equal(replica_found(operator_node->replica, &t), 0);
    assert_int_equal(replica_found(hub->replica, &t), 0);
    operator_node->on = hub->on = true;
    assert_int_equal(replica_begin(operator_node->replica, net->now, net->wall), 0);
    assert_int_equal(replica_begin(hub->replica, net->now, net->wall), 0);
}

struct net *net_new(void)
{
    struct net *net = calloc(1, sizeof(*net));
    assert_non_null(net);
    assert_int_equal(crypto_new(&net->c, CRYPTO_BULK_OPENSSL), 0);
    net->now = NET_SECOND;
    net->wall = NET_TIME + 10;
    net->random = 88172645463325252u;
    found(net);
    return net;
}

static void node_clear(struct net_node *n)
{
    replica_free(n->replica);
    clear_log(&n->entries);
    clear_log(&n->openings);
    clear_log(&n->take_aways);
    clear_log(&n->outbox);
    free(n->base.bytes);
    free(n->head.bytes);
}

void net_free(struct net *net)
{
    for (uint32_t i = 0; i < net->node_count; i++)
        node_clear(&net->nodes[i]);
    while (net->messages) {
        struct net_message *m = net->messages;
        net->messages = m->next;
        free(m);
    }
    sequencer_free(net->sequencer);
    crypto_free(net->c);
    free(net);
}

/* ---- what tests do ---- */

bool net_swallow_openings(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame, size_t *len)
{
    struct frame f;
    (void)net;
    (void)from;
    (void)to;
    return frame_decode(&f, frame, *len) || f.kind != FRAME_PART || f.part.what != SYNC_OPENINGS;
}

bool net_part_operator_from_hub(struct net *net, struct net_node *from, struct net_node *to, uint8_t *frame,
                                size_t *len)
{
    struct frame f;
    if (frame_decode(&f, frame, *len) || f.kind == FRAME_NOTICE)
        return true;
    return !(from == NET_HUB(net) && !to->self.relay) && !(from == NET_OPERATOR(net) && to == NET_HUB(net));
}

void net_submit(struct net_node *node, struct net_bytes submission)
{
    keep_in(&node->outbox, submission.bytes, submission.len, 0, 0);
    assert_int_equal(replica_submit(node->replica, submission.bytes, submission.len, node->net->now), 0);
    free(submission.bytes);
}

void net_invite(struct net *net, struct net_invite *invite)
{
    net_make_invite(net, invite);
    struct frame_view opening = {invite->opening, invite->opening_len};
    net_submit(NET_OPERATOR(net), make_submission(invite->statement, invite->statement_len, &opening, 1));
}

/* The ticket's floor and relays are what the operator's node knows now. */
static void make_ticket(struct net *net, const struct net_invite *invite, const struct net_node *at, struct ticket *t)
{
    const struct signed_head *head = replica_signed_head(NET_OPERATOR(net)->replica);
    const struct replica_device *hub = net_published(NET_OPERATOR(net), &at->self.id);
    assert_non_null(head);
    assert_non_null(hub);
    *t = (struct ticket){.network = net->network, .head_index = head->head.index, .time = head->head.time};
    memcpy(t->head_hash, head->head.hash, SHA256_SIZE);
    memcpy(t->fold_root, head->fold_root, SHA256_SIZE);
    t->invite = (struct ticket_bytes){invite->statement, invite->statement_len};
    t->opening = (struct ticket_bytes){invite->opening, invite->opening_len};
    t->relay_count = 1;
    t->relays[0].device = hub->id;
    t->relays[0].endpoint = hub->endpoint;
    memcpy(t->relays[0].static_key, hub->static_key, X25519_SIZE);
    if (!net->ticket_begins_elsewhere)
        return;
    t->relays[t->relay_count++] = t->relays[0];
    t->relays[0].device.bytes[0] ^= 0xff;
    t->relays[0].static_key[0] ^= 0xff;
}

struct net_node *net_join(struct net *net, const struct net_invite *invite, uint8_t number)
{
    return net_join_at(net, invite, number, NET_HUB(net));
}

struct net_node *net_join_at(struct net *net, const struct net_invite *invite, uint8_t number, struct net_node *relay)
{
    uint8_t join[1024];
    struct net_node *n = add_node(net, invite->name, number, invite->number);
    size_t len = make_join(net, invite, number, false, join, sizeof(join));
    make_ticket(net, invite, relay, &n->ticket);
    n->on = true;
    assert_int_equal(replica_join(n->replica, &n->ticket, join, len, net->now, net->wall), 0);
    return n;
}

struct net_node *net_member(struct net *net, struct net_invite *invite, uint8_t number)
{
    net_invite(net, invite);
    net_run(net, 1);
    struct net_node *n = net_join(net, invite, number);
    net_run(net, 5);
    assert_true(n->joined_called);
    assert_int_equal(n->joined, VERDICT_STANDS);
    assert_int_equal(n->reason, REPLICA_JOIN_NO_REASON);
    net_restart(n);
    net_run(net, 3);
    return n;
}

const struct replica_device *net_published(const struct net_node *node, const struct device_id *id)
{
    uint32_t i = place_of((struct net_node *)node, id);
    return i < node->published_count ? &node->published[i] : NULL;
}

bool net_has_problem(const struct net_node *node, enum replica_problem_kind kind)
{
    struct replica_problem p;
    for (uint32_t i = 0; replica_problem_at(node->replica, i, &p); i++)
        if (p.kind == kind)
            return true;
    return false;
}

uint64_t net_index(const struct net_node *node)
{
    return fold_head(replica_fold(node->replica))->index;
}

void net_sign_by(struct net *net, uint8_t number, struct signed_head *head, uint8_t out[SIGNED_HEAD_SIZE])
{
    uint8_t seed[32];
    seed_of(seed, number);
    assert_int_equal(signed_head_sign(net->c, head, &net->network, seed), 0);
    signed_head_encode(head, out);
}

void net_sign(struct net *net, struct signed_head *head, uint8_t out[SIGNED_HEAD_SIZE])
{
    net_sign_by(net, SEQUENCER, head, out);
}

struct net_bytes net_replace(struct net *net, const struct signed_head *last)
{
    static struct statement s;
    uint8_t bytes[2048];
    s = (struct statement){.kind = STATEMENT_ROOT, .network = net->network};
    s.root = *fold_latest_root(replica_fold(NET_HUB(net)->replica));
    s.root.version++;
    s.root.time = net->wall;
    s.root.founds = false;
    memset(s.root.founding_invite, 0, ED25519_PUBLIC_SIZE);
    s.root.role_count = 1; /* without the scoped role */
    s.root.sequencer_count = 1;
    signing_of(net, s.root.sequencers[0], NET_NEXT_SEQUENCER);
    s.root.replaces = true;
    s.root.last.index = last->head.index;
    memcpy(s.root.last.hash, last->head.hash, SHA256_SIZE);
    memcpy(s.root.last.fold_root, last->fold_root, SHA256_SIZE);
    size_t len = sign_by(net, &s, OWNER, bytes, sizeof(bytes));
    return make_submission(bytes, len, NULL, 0);
}

void net_send(struct net_node *to, const struct device_id *from, const struct frame *frame)
{
    uint8_t bytes[FRAME_MAX];
    int len = frame_encode(frame, bytes, sizeof(bytes));
    assert_true(len > 0);
    replica_frame(to->replica, from, false, bytes, (size_t)len, to->net->now);
}

/* ---- a controller that sequences what it likes ---- */

static struct fold *copy_of(const struct fold *f, struct crypto *c)
{
    int64_t len = fold_save(f, NULL, 0);
    assert_true(len > 0);
    uint8_t *bytes = malloc((size_t)len);
    struct fold *copy;
    assert_true(fold_save(f, bytes, (size_t)len) == len);
    assert_int_equal(fold_load(&copy, c, bytes, (size_t)len), 0);
    free(bytes);
    return copy;
}

static void fold_one(struct net *net, struct fold *fold, const struct net_entry *e)
{
    struct statement s;
    enum fold_verdict verdict;
    if (statement_decode(net->c, &s, e->bytes, e->len) == 0) {
        assert_int_equal(fold_apply(fold, &s, net->wall, &verdict), 0);
        return;
    }
    s = (struct statement){0};
    assert_int_equal(crypto_sha256(net->c, s.hash, e->bytes, e->len), 0);
    assert_int_equal(fold_apply_trusted(fold, &s, net->wall, VERDICT_MALFORMED), 0);
}

void net_fake_begin(struct net *net, struct net_fake *fake, const struct net_entry *entries, uint32_t count,
                    void (*spoil)(struct signed_head *head))
{
    struct fold *fold = copy_of(replica_fold(NET_HUB(net)->replica), net->c);
    struct blob_writer ledger = {0}, openings = {0};
    uint32_t opening_count = 0;
    blob_begin(&ledger, count);
    for (uint32_t i = 0; i < count; i++) {
        fold_one(net, fold, &entries[i]);
        blob_put_entry(&ledger, net->wall, (struct frame_view){entries[i].bytes, entries[i].len});
        opening_count += entries[i].opening != NULL;
    }
    blob_begin(&openings, opening_count);
    for (uint32_t i = 0; i < count; i++)
        if (entries[i].opening)
            blob_put_opening(&openings, (struct frame_view){entries[i].opening, entries[i].opening_len});
    struct signed_head head = {.head = *fold_head(fold)};
    uint8_t bytes[SIGNED_HEAD_SIZE];
    head.head.time = net->wall;
    fold_root(fold, head.fold_root);
    if (spoil)
        spoil(&head);
    net_sign(net, &head, bytes);
    fold_free(fold);
    fake->ledger = (struct net_bytes){.bytes = ledger.bytes, .len = ledger.len};
    fake->openings = (struct net_bytes){.bytes = openings.bytes, .len = openings.len};
    fake->to = head.head.index;
    net->fake = fake;
    net->sequencer_off = true;
    struct frame notice = {.kind = FRAME_NOTICE, .notice = {{bytes, sizeof(bytes)}}};
    net_send(NET_HUB(net), &replica_controller, &notice);
}

void net_fake_end(struct net *net, struct net_fake *fake)
{
    net->fake = NULL;
    free(fake->ledger.bytes);
    free(fake->openings.bytes);
}
