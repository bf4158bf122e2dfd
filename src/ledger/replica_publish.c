/* Which devices the engine may speak with, what each may begin, and who we are. Told again only when it changed. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

#define INVITE_GRACE 120u /* s after a join was sequenced: its session may fetch the ledger */

enum published { PUBLISHED_DEVICE = 0, PUBLISHED_INVITE = 1 };

struct device_id replica_invite_id(const struct device_id *id)
{
    struct device_id out = *id;
    out.bytes[DEVICE_ID_SIZE - 1] ^= 0xff;
    return out;
}

bool replica_founding_device(const struct replica *r, uint32_t *out)
{
    const struct statement_root *root = r->fold ? fold_latest_root(r->fold) : NULL;
    if (!root || !root->founds)
        return false;
    for (uint32_t i = 0; i < r->known_count; i++) {
        *out = i;
        if (memcmp(fold_device_at(r->fold, i)->terms.signing_public, root->founding_invite, ED25519_PUBLIC_SIZE) == 0)
            return true;
    }
    return false;
}

/* The first device is the operator's, whose node was there before the hub. */
static bool answers_invite_key(const struct replica *r, uint32_t self, uint32_t *founder)
{
    uint32_t founding;
    *founder = 0;
    if (is_zero(r->config.invite_static_public, X25519_SIZE) || r->operator_knows)
        return false;
    return replica_founding_device(r, &founding) && founding == self && self != *founder;
}

static void describe_member(struct replica *r, struct replica_self *out, uint32_t i)
{
    const struct known *k = &r->known[i];
    out->member = true;
    out->id = fold_device_at(r->fold, i)->id;
    memcpy(out->name, k->name, sizeof(out->name));
    memcpy(out->ipv6, k->ipv6, sizeof(out->ipv6));
    out->has_ipv4 = k->has_ipv4;
    memcpy(out->ipv4, k->ipv4, sizeof(out->ipv4));
    out->relay = k->relay;
    out->controller = k->controller;
    uint32_t founder;
    out->answer_invite_key = answers_invite_key(r, i, &founder);
    if (out->answer_invite_key)
        out->invite_peer = fold_device_at(r->fold, founder)->id;
}

void replica_publish_self(struct replica *r)
{
    struct replica_self self;
    memset(&self, 0, sizeof(self)); /* with its padding: it is compared whole */
    uint32_t i;
    bool known = replica_self_position(r, &i);
    if (known && replica_is_member(r, i))
        describe_member(r, &self, i);
    if (r->joining.ticket) {
        self.joining = true;
        self.member = false;
    }
    replica_problem_set(r, REPLICA_PROBLEM_REVOKED, NULL, NULL,
                        known && !replica_is_present(r, i) && r->known[i].state != KNOWN_MISSING && !r->joining.ticket);
    if (r->self_told && memcmp(&self, &r->self, sizeof(self)) == 0)
        return;
    bool relay_now = self.relay && !r->self.relay;
    r->self = self;
    r->self_told = true;
    r->ops->self(r->ops->context, &self);
    if (relay_now) /* whoever came before waits for it: at the hub, the operator */
        replica_notify_links(r);
}

static void put_grants(struct cursor *c, const struct grant *grants, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cursor_put_u8(c, grants[i].protocol);
        cursor_put_be16(c, grants[i].low);
        cursor_put_be16(c, grants[i].high);
    }
}

#define DIGESTED_MAX (256 + 2 * GRANTS_MAX * 5)

static int digest(struct replica *r, const struct replica_device *d, uint8_t out[BLAKE2S_SIZE])
{
    uint8_t bytes[DIGESTED_MAX];
    struct cursor c = cursor_writing(bytes, sizeof(bytes));
    cursor_put_be32(&c, d->flags);
    cursor_put_bytes(&c, d->name, sizeof(d->name));
    cursor_put_bytes(&c, d->static_key, sizeof(d->static_key));
    cursor_put_u8(&c, (uint8_t)(d->has_ipv6 | d->has_ipv4 << 1 | d->has_endpoint << 2));
    cursor_put_bytes(&c, d->ipv6, sizeof(d->ipv6));
    cursor_put_bytes(&c, d->ipv4, sizeof(d->ipv4));
    cursor_put_bytes(&c, d->endpoint.address, sizeof(d->endpoint.address));
    cursor_put_be16(&c, d->endpoint.port);
    cursor_put_u8(&c, d->endpoint.family);
    cursor_put_be32(&c, d->out_count);
    put_grants(&c, d->out, d->out_count);
    put_grants(&c, d->in, d->in_count);
    return crypto_blake2s(r->c, out, bytes, sizeof(bytes) - cursor_left(&c), NULL, 0);
}

static void tell(struct replica *r, struct known *k, enum published which, const struct replica_device *d)
{
    uint8_t now[BLAKE2S_SIZE];
    if (digest(r, d, now))
        return;
    if (k->published & 1 << which && memcmp(k->digest[which], now, sizeof(now)) == 0)
        return;
    memcpy(k->digest[which], now, sizeof(now));
    k->published |= (uint8_t)(1 << which);
    r->ops->device(r->ops->context, d);
}

static void take_back(struct replica *r, struct known *k, enum published which, const struct device_id *id)
{
    if (!(k->published & 1 << which))
        return;
    k->published &= (uint8_t) ~(1 << which);
    struct device_id own = which == PUBLISHED_INVITE ? replica_invite_id(id) : *id;
    r->ops->gone(r->ops->context, &own);
    replica_link_forget(r, &own); /* the engine says no more of its sessions */
}

static void describe(const struct replica *r, uint32_t i, struct replica_device *out)
{
    const struct fold_device *d = fold_device_at(r->fold, i);
    const struct known *k = &r->known[i];
    out->id = d->id;
    out->flags = REPLICA_MEMBER | (k->relay ? REPLICA_RELAY : 0u) | (k->controller ? REPLICA_CONTROLLER : 0u);
    memcpy(out->name, k->name, sizeof(out->name));
    memcpy(out->static_key, d->static_public, sizeof(out->static_key));
    out->has_ipv6 = k->has_ipv6;
    memcpy(out->ipv6, k->ipv6, sizeof(out->ipv6));
    out->has_ipv4 = k->has_ipv4;
    memcpy(out->ipv4, k->ipv4, sizeof(out->ipv4));
    out->has_endpoint = k->relay;
    if (k->relay)
        out->endpoint = k->endpoint;
}

/* What we and it may begin with each other; our own sets hold every rule that concerns us. */
struct view {
    const struct known *self; /* NULL: we are no member */
    bool isolated;            /* then we look for relays alone, since one of them may tell that we are restored */
    uint32_t self_at;
    const struct rule_set *sets[SUBJECTS_MAX];
    uint32_t set_count;
    struct grant out[GRANTS_MAX], in[GRANTS_MAX];
};

static void grant(struct view *v, const struct known *k, struct replica_device *out)
{
    const struct known *self = v->self;
    out->out_count =
        rules_grants(v->sets, v->set_count, self->subjects, self->subject_count, k->subjects, k->subject_count, v->out);
    out->in_count =
        rules_grants(v->sets, v->set_count, k->subjects, k->subject_count, self->subjects, self->subject_count, v->in);
    out->out = v->out;
    out->in = v->in;
}

/* A plain member speaks with relays and with whom a rule joins it to; a relay with every member. */
static void publish_member(struct replica *r, struct view *v, uint32_t i)
{
    struct known *k = &r->known[i];
    struct replica_device out = {0};
    bool speaks = v->self && i != v->self_at && replica_is_present(r, i);
    if (speaks) {
        describe(r, i, &out);
        if (!v->isolated)
            grant(v, k, &out);
        speaks = v->isolated ? k->relay : v->self->relay || k->relay || out.out_count || out.in_count;
    }
    if (speaks)
        tell(r, k, PUBLISHED_DEVICE, &out);
    else
        take_back(r, k, PUBLISHED_DEVICE, &fold_device_at(r->fold, i)->id);
}

/* Signed time, so that all relays fall silent to an invite alike. */
static uint64_t ledger_time(const struct replica *r)
{
    return r->has_signed ? r->signed_head.head.time : fold_head(r->fold)->time;
}

static uint32_t invite_flags(struct replica *r, const struct fold_device *d, struct known *k)
{
    if (d->state == DEVICE_INVITED)
        return fold_invite_is_open(r->fold, d, ledger_time(r)) ? REPLICA_INVITE : 0;
    if (d->state != DEVICE_JOINED)
        return 0;
    if (!k->joined_since)
        k->joined_since = r->now + 1;
    const struct entry *join = replica_history_at(&r->history, d->joined_at);
    bool over = k->seen || r->now >= k->joined_since + INVITE_GRACE * SECOND || !join ||
                ledger_time(r) >= join->time + INVITE_GRACE;
    return over ? REPLICA_USED_INVITE : REPLICA_INVITE;
}

static void publish_invite(struct replica *r, const struct view *v, uint32_t i)
{
    struct known *k = &r->known[i];
    const struct fold_device *d = fold_device_at(r->fold, i);
    struct replica_device out = {0};
    if (v->self && v->self->relay && !v->isolated && i != v->self_at && replica_known_is_good(k))
        out.flags = invite_flags(r, d, k);
    if (!out.flags) {
        take_back(r, k, PUBLISHED_INVITE, &d->id);
        return;
    }
    out.id = replica_invite_id(&d->id);
    memcpy(out.name, k->name, sizeof(out.name));
    memcpy(out.static_key, d->terms.static_public, sizeof(out.static_key));
    tell(r, k, PUBLISHED_INVITE, &out);
}

/* The operator's node reaches the hub under the founding invite's key until it has seen the hub's join. */
static bool publish_founding(struct replica *r, const struct view *v, uint32_t i)
{
    struct known *k = &r->known[i];
    const struct fold_device *d = fold_device_at(r->fold, i);
    if (!v->self || i == v->self_at || d->state != DEVICE_INVITED || !replica_known_is_good(k))
        return false;
    struct replica_device out = {.id = d->id, .flags = REPLICA_FOUNDING | REPLICA_RELAY, .has_endpoint = true};
    out.endpoint = k->endpoint;
    memcpy(out.name, k->name, sizeof(out.name));
    memcpy(out.static_key, d->terms.static_public, sizeof(out.static_key));
    tell(r, k, PUBLISHED_DEVICE, &out);
    return true;
}

static void look_from(const struct replica *r, struct view *v)
{
    memset(v, 0, sizeof(*v));
    if (!replica_self_position(r, &v->self_at) || !replica_is_member(r, v->self_at))
        return;
    v->self = &r->known[v->self_at];
    v->isolated = !replica_is_present(r, v->self_at);
    v->set_count = replica_policy_sets(r, v->self->subjects, v->self->subject_count, v->sets);
}

void replica_publish_anew(struct replica *r)
{
    for (uint32_t i = 0; i < r->known_count; i++)
        if (!r->known[i].relay)
            take_back(r, &r->known[i], PUBLISHED_DEVICE, &fold_device_at(r->fold, i)->id);
    r->dirty = true;
}

void replica_publish_invite(struct replica *r, uint32_t i)
{
    struct view *v = r->begun && !r->joining.ticket ? malloc(sizeof(*v)) : NULL;
    if (!v)
        return;
    look_from(r, v);
    publish_invite(r, v, i);
    free(v);
}

void replica_publish(struct replica *r)
{
    replica_publish_self(r);
    if (!r->fold || r->joining.ticket)
        return;
    struct view *v = malloc(sizeof(*v));
    if (!v)
        return; /* what was told stands until the next change */
    look_from(r, v);
    uint32_t founding;
    bool founds = replica_founding_device(r, &founding);
    for (uint32_t i = 0; i < r->known_count; i++) {
        if (founds && i == founding && publish_founding(r, v, i))
            continue;
        publish_member(r, v, i);
        publish_invite(r, v, i);
    }
    free(v);
}
