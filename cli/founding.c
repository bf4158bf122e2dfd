#include "founding.h"

#include <string.h>

#include "base/bytes.h"

/* An invite that is being made: of the operator or of the hub. */
struct made_invite {
    uint8_t seed[SEED_SIZE];
    struct invite_keys keys;
    uint8_t hash[SHA256_SIZE];
    struct ticket_bytes statement;
    struct ticket_bytes opening;
};

struct making {
    struct crypto *c;
    const struct founding_plan *plan;
    struct founding *out;
    struct made_invite own, hub; /* the operator's own */
};

static int draw_invite(struct making *m, struct made_invite *invite)
{
    m->plan->random(m->plan->context, invite->seed, sizeof(invite->seed));
    return invite_keys_derive(m->c, invite->seed, &invite->keys);
}

int founding_append(struct ticket *t, const uint8_t *statement, size_t len, uint64_t time)
{
    if (t->statement_count == TICKET_FOUNDING_STATEMENTS_MAX)
        return ERROR_FULL;
    t->statements[t->statement_count] = (struct ticket_bytes){statement, len};
    t->times[t->statement_count++] = time;
    return 0;
}

/* Room for the next statement. */
static uint8_t *next(struct making *m)
{
    return m->out->statements[m->out->ticket.statement_count];
}

/* Signs what was filled in and appends it; `hash` (may be NULL) is the statement's. */
static int append(struct making *m, struct statement *s, const struct signer *signer, uint8_t hash[SHA256_SIZE])
{
    struct ticket *t = &m->out->ticket;
    uint8_t *bytes = next(m);
    s->network = t->network;
    int len = statement_sign(m->c, s, signer, 1, bytes, FOUNDING_STATEMENT_MAX);
    if (len < 0)
        return len;
    int error = founding_append(t, bytes, (size_t)len, m->plan->time);
    return error || !hash ? error : crypto_sha256(m->c, hash, bytes, (size_t)len);
}

static struct signer signer_of(const uint8_t seed[ED25519_SEED_SIZE])
{
    struct signer signer;
    memcpy(signer.seed, seed, sizeof(signer.seed));
    return signer;
}

static int make_root(struct making *m)
{
    const struct made_invite *founding = m->plan->all_on_this_host ? &m->own : &m->hub;
    struct statement s = {.kind = STATEMENT_ROOT};
    struct statement_root *root = &s.root;
    *root = (struct statement_root){
        .version = 1, .time = m->plan->time, .threshold = 1, .owner_count = 1, .role_count = 1, .founds = true};
    root->roles[0].roles = ROLE_ADMISSION | ROLE_POLICY | ROLE_SAFETY | ROLE_RELEASE;
    memcpy(root->founding_invite, founding->keys.signing_public, sizeof(root->founding_invite));
    int error = crypto_ed25519_public(m->c, root->owners[0], m->out->keys.root);
    if (!error)
        error = crypto_ed25519_public(m->c, root->roles[0].key, m->out->keys.roles);
    if (error)
        return error;
    struct signer signer = signer_of(m->out->keys.root);
    error = append(m, &s, &signer, m->out->ticket.network.bytes);
    wipe(&signer, sizeof(signer));
    return error;
}

static void set_ipv4(struct making *m, struct opening_invite *o, uint8_t last)
{
    o->has_ipv4 = m->plan->ipv4;
    if (!m->plan->ipv4)
        return;
    address_ipv4_prefix(o->ipv4, &m->out->ticket.network);
    o->ipv4[3] = last;
}

static void describe_operator(struct making *m, struct opening_invite *o)
{
    strcpy(o->name, FOUNDING_OPERATOR);
    o->group_count = 1;
    strcpy(o->groups[0].name, FOUNDING_OPERATORS);
    m->plan->random(m->plan->context, o->groups[0].id.bytes, sizeof(o->groups[0].id.bytes));
    set_ipv4(m, o, 2);
}

static void describe_hub(struct making *m, struct opening_invite *o)
{
    o->relay = true;
    o->controller = true;
    o->endpoint = m->plan->endpoint;
}

static int make_opening(struct making *m, struct made_invite *invite, struct opening *opening,
                        uint8_t commitment[SHA256_SIZE])
{
    struct ticket *t = &m->out->ticket;
    uint8_t *bytes = m->out->openings[t->opening_count];
    m->plan->random(m->plan->context, opening->salt, sizeof(opening->salt));
    int len = opening_encode(opening, bytes, FOUNDING_OPENING_MAX);
    if (len < 0)
        return len;
    invite->opening = (struct ticket_bytes){bytes, (size_t)len};
    t->openings[t->opening_count++] = invite->opening;
    return opening_commitment(m->c, commitment, bytes, (size_t)len);
}

static int make_invite(struct making *m, struct made_invite *invite, struct opening *opening)
{
    struct statement s = {.kind = STATEMENT_INVITE};
    s.invite.join_before = m->plan->join_before;
    memcpy(s.invite.signing_public, invite->keys.signing_public, ED25519_PUBLIC_SIZE);
    memcpy(s.invite.static_public, invite->keys.static_public, X25519_SIZE);
    int error = make_opening(m, invite, opening, s.invite.commitment);
    if (error)
        return error;
    struct signer signer = signer_of(m->out->keys.roles);
    error = append(m, &s, &signer, invite->hash);
    invite->statement = m->out->ticket.statements[m->out->ticket.statement_count - 1];
    wipe(&signer, sizeof(signer));
    return error;
}

static int make_operator_invite(struct making *m)
{
    struct opening opening = {.kind = OPENING_INVITE};
    describe_operator(m, &opening.invite);
    if (m->plan->all_on_this_host)
        describe_hub(m, &opening.invite);
    return make_invite(m, &m->own, &opening);
}

int founding_join(struct crypto *c, uint8_t *out, const struct network_id *network, const struct founding_join *join)
{
    struct statement s = {.kind = STATEMENT_JOIN, .network = *network};
    memcpy(s.join.invite, join->invite_hash, SHA256_SIZE);
    s.join.sequences = join->sequencer != NULL;
    if (join->sequencer)
        memcpy(s.join.sequencer, join->sequencer, sizeof(s.join.sequencer));
    int error = crypto_ed25519_public(c, s.join.signing_public, join->signing);
    if (!error)
        error = crypto_x25519_public(c, s.join.static_public, join->static_private);
    if (error)
        return error;
    struct signer signers[] = {signer_of(join->invite->signing_seed), signer_of(join->signing)};
    int len = statement_sign(c, &s, signers, 2, out, FOUNDING_STATEMENT_MAX);
    wipe(signers, sizeof(signers));
    return len;
}

static int make_join(struct making *m)
{
    const struct founding_keys *keys = &m->out->keys;
    struct founding_join join = {.invite = &m->own.keys,
                                 .invite_hash = m->own.hash,
                                 .signing = keys->signing,
                                 .static_private = keys->static_private,
                                 .sequencer = m->plan->all_on_this_host ? m->plan->sequencer : NULL};
    uint8_t *bytes = next(m);
    int len = founding_join(m->c, bytes, &m->out->ticket.network, &join);
    return len < 0 ? len : founding_append(&m->out->ticket, bytes, (size_t)len, m->plan->time);
}

static int make_hub_invite(struct making *m)
{
    struct opening opening = {.kind = OPENING_INVITE};
    strcpy(opening.invite.name, FOUNDING_HUB);
    set_ipv4(m, &opening.invite, 1);
    describe_hub(m, &opening.invite);
    return make_invite(m, &m->hub, &opening);
}

static int make_policy(struct making *m)
{
    struct statement s = {.kind = STATEMENT_POLICY, .policy = {.version = 1}};
    struct signer signer = signer_of(m->out->keys.roles);
    int error = append(m, &s, &signer, NULL);
    wipe(&signer, sizeof(signer));
    return error;
}

static int make_all(struct making *m)
{
    bool hub = !m->plan->all_on_this_host;
    int error = draw_invite(m, &m->own);
    if (!error && hub)
        error = draw_invite(m, &m->hub);
    if (!error)
        error = make_root(m);
    if (!error)
        error = make_operator_invite(m);
    if (!error)
        error = make_join(m);
    if (!error && hub)
        error = make_hub_invite(m);
    return error ? error : make_policy(m);
}

int founding_make(struct crypto *c, struct founding *out, const struct founding_plan *plan)
{
    struct making m = {.c = c, .plan = plan, .out = out};
    memset(out, 0, sizeof(*out));
    out->ticket.founding = true;
    memcpy(out->ticket.network_name, plan->name, sizeof(out->ticket.network_name));
    plan->random(plan->context, &out->keys, sizeof(out->keys));
    int error = make_all(&m);
    const struct made_invite *founding = plan->all_on_this_host ? &m.own : &m.hub;
    out->ticket.invite = founding->statement;
    out->ticket.opening = founding->opening;
    if (!plan->all_on_this_host)
        memcpy(out->ticket.seed, m.hub.seed, SEED_SIZE);
    wipe(&m.own, sizeof(m.own));
    wipe(&m.hub, sizeof(m.hub));
    if (error)
        wipe(out, sizeof(*out));
    return error;
}
