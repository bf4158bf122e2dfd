/* What openings tell about the devices of the fold. Who is not understood, or claims what is not his, is absent. */
#include <stdlib.h>
#include <string.h>

#include "ledger/replica_internal.h"

void replica_known_clear(struct replica *r)
{
    for (uint32_t i = 0; i < r->known_count; i++)
        free(r->known[i].subjects);
    free(r->known);
    free(r->places);
    r->known = NULL;
    r->places = NULL;
    r->known_count = r->known_capacity = r->place_count = 0;
}

bool replica_known_is_good(const struct known *k)
{
    return k->state == KNOWN_GOOD && !k->clash;
}

bool replica_is_full(const struct known *k)
{
    return replica_known_is_good(k) && (k->relay || k->controller || k->operates);
}

/* member_until passes only when the sequencer's time and our own clock are both past it. */
static bool is_over(const struct replica *r, const struct fold_device *d)
{
    uint64_t until = d->terms.member_until;
    return until && r->has_signed && r->signed_head.head.time > until && r->wall > until;
}

bool replica_is_member(const struct replica *r, uint32_t i)
{
    const struct fold_device *d = fold_device_at(r->fold, i);
    return replica_known_is_good(&r->known[i]) && d->state == DEVICE_JOINED && !is_over(r, d);
}

bool replica_is_present(const struct replica *r, uint32_t i)
{
    return replica_is_member(r, i) && fold_device_is_live(r->fold, fold_device_at(r->fold, i));
}

/* Where a device's id is, or would be, in the table of positions (plus one, 0: free). */
static uint32_t *place_of(const struct replica *r, uint32_t *places, uint32_t capacity, const struct device_id *id)
{
    uint32_t at = get_be32(id->bytes) & (capacity - 1);
    while (places[at] && !device_id_equal(&fold_device_at(r->fold, places[at] - 1)->id, id))
        at = (at + 1) & (capacity - 1);
    return &places[at];
}

bool replica_known_position(const struct replica *r, const struct device_id *id, uint32_t *out)
{
    if (r->place_count == 0)
        return false;
    uint32_t place = *place_of(r, r->places, r->place_count, id);
    *out = place - 1;
    return place != 0;
}

bool replica_self_position(const struct replica *r, uint32_t *out)
{
    const struct fold_device *d = r->fold ? fold_device_by_signing_key(r->fold, r->config.signing_public) : NULL;
    return d && replica_known_position(r, &d->id, out);
}

bool replica_self_is_full(const struct replica *r)
{
    uint32_t i;
    return replica_self_position(r, &i) && replica_is_full(&r->known[i]);
}

static int make_places(struct replica *r, uint32_t count)
{
    uint32_t capacity = 64;
    while (capacity < 2 * count)
        capacity *= 2;
    uint32_t *places = calloc(capacity, sizeof(*places));
    if (!places)
        return ERROR_MEMORY;
    for (uint32_t i = 0; i < r->known_count; i++)
        *place_of(r, places, capacity, &fold_device_at(r->fold, i)->id) = i + 1;
    free(r->places);
    r->places = places;
    r->place_count = capacity;
    return 0;
}

static int grow(struct replica *r, uint32_t count)
{
    if (2 * count > r->place_count && make_places(r, count))
        return ERROR_MEMORY;
    if (count > r->known_capacity) {
        uint32_t capacity = count < 64 ? 64 : 2 * count;
        struct known *known = realloc(r->known, capacity * sizeof(*known));
        if (!known)
            return ERROR_MEMORY;
        r->known = known;
        r->known_capacity = capacity;
    }
    for (; r->known_count < count; r->known_count++) {
        r->known[r->known_count] = (struct known){0};
        *place_of(r, r->places, r->place_count, &fold_device_at(r->fold, r->known_count)->id) = r->known_count + 1;
    }
    return 0;
}

static int take_subjects(struct known *k, const struct device_id *id, const struct opening_invite *invite)
{
    k->subjects = calloc(invite->group_count + 2, sizeof(*k->subjects));
    if (!k->subjects)
        return ERROR_MEMORY;
    /* The first one stays zero: `all`. */
    memcpy(k->subjects[1].bytes, id->bytes, SUBJECT_SIZE);
    k->subject_count = 2;
    for (uint32_t i = 0; i < invite->group_count; i++) {
        k->subjects[k->subject_count++] = invite->groups[i].id;
        k->operates = k->operates || strcmp(invite->groups[i].name, "operators") == 0;
    }
    return 0;
}

static int take_invite(struct known *k, const struct device_id *id, const struct opening_invite *invite)
{
    int error = take_subjects(k, id, invite);
    if (error)
        return error;
    memcpy(k->name, invite->name, sizeof(k->name));
    k->relay = invite->relay;
    k->endpoint = invite->endpoint;
    k->controller = invite->controller;
    k->has_ipv4 = invite->has_ipv4;
    memcpy(k->ipv4, invite->ipv4, sizeof(k->ipv4));
    return 0;
}

/* KNOWN_MISSING: the scope's opening is not here yet. */
static enum known_state judge_scope(const struct replica *r, const struct fold_device *d,
                                    const struct opening_invite *invite)
{
    if (is_zero(d->admitted_scope, SHA256_SIZE))
        return KNOWN_GOOD;
    const struct kept_opening *kept = replica_openings_find(&r->openings, d->admitted_scope);
    struct opening scope;
    if (!kept)
        return KNOWN_MISSING;
    if (opening_decode(&scope, kept->bytes, kept->len))
        return KNOWN_OUT_OF_SCOPE;
    bool holds = scope.kind == OPENING_SCOPE && scope_holds(&scope.scope, invite);
    opening_clear(&scope);
    return holds ? KNOWN_GOOD : KNOWN_OUT_OF_SCOPE;
}

static int open_one(struct replica *r, struct known *k, const struct fold_device *d)
{
    const struct kept_opening *kept = replica_openings_find(&r->openings, d->terms.commitment);
    struct opening opening;
    if (!kept)
        return 0;
    if (opening_decode(&opening, kept->bytes, kept->len) || opening.kind != OPENING_INVITE) {
        k->state = KNOWN_OUT_OF_SCOPE;
        return 0;
    }
    int error = 0;
    k->state = judge_scope(r, d, &opening.invite);
    if (k->state != KNOWN_MISSING)
        error = take_invite(k, &d->id, &opening.invite);
    if (error)
        k->state = KNOWN_MISSING;
    opening_clear(&opening);
    return error;
}

static int take_address(struct replica *r, struct known *k, const struct fold_device *d)
{
    if (k->has_ipv6 || d->state != DEVICE_JOINED)
        return 0;
    int error = address_ipv6(r->c, k->ipv6, &r->config.network, d->signing_public);
    k->has_ipv6 = !error;
    return error;
}

/* Claims by name or IPv4 address: open addressing over positions in the fold (plus one, 0: free). */
struct claims {
    uint32_t *places;
    uint32_t capacity;
};

static uint32_t mix(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 16777619u;
    return hash ^ hash >> 15;
}

static bool claim(struct claims *c, const struct known *known, uint32_t i, bool by_name)
{
    const struct known *k = &known[i];
    uint32_t at = by_name ? mix(k->name, strlen(k->name)) : mix(k->ipv4, sizeof(k->ipv4));
    for (at &= c->capacity - 1; c->places[at]; at = (at + 1) & (c->capacity - 1)) {
        const struct known *holder = &known[c->places[at] - 1];
        if (by_name ? strcmp(holder->name, k->name) == 0 : memcmp(holder->ipv4, k->ipv4, sizeof(k->ipv4)) == 0)
            return false;
    }
    c->places[at] = i + 1;
    return true;
}

/* Revoked devices and invites that nobody can use any more hold nothing. */
static bool holds_claims(const struct replica *r, const struct fold_device *d)
{
    return d->state == DEVICE_JOINED || fold_invite_is_open(r->fold, d, fold_head(r->fold)->time);
}

static void judge_claims(struct replica *r, struct claims *names, struct claims *addresses, uint32_t i)
{
    struct known *k = &r->known[i];
    const struct fold_device *d = fold_device_at(r->fold, i);
    bool counts = holds_claims(r, d);
    k->clash = false;
    if (k->state == KNOWN_GOOD && counts)
        k->clash = !claim(names, r->known, i, true) || (k->has_ipv4 && !claim(addresses, r->known, i, false));
    replica_problem_set(r, REPLICA_PROBLEM_NAME_CLASH, &d->id, k->name, k->clash);
    replica_problem_set(r, REPLICA_PROBLEM_DEVICE_OUT_OF_SCOPE, &d->id, k->name,
                        counts && k->state == KNOWN_OUT_OF_SCOPE);
}

static int judge_all_claims(struct replica *r)
{
    uint32_t capacity = 64;
    while (capacity < 2 * r->known_count)
        capacity *= 2;
    struct claims names = {calloc(capacity, sizeof(uint32_t)), capacity};
    struct claims addresses = {calloc(capacity, sizeof(uint32_t)), capacity};
    bool good = names.places && addresses.places;
    for (uint32_t i = 0; good && i < r->known_count; i++)
        judge_claims(r, &names, &addresses, i);
    free(names.places);
    free(addresses.places);
    return good ? 0 : ERROR_MEMORY;
}

int replica_known_refresh(struct replica *r)
{
    int error = grow(r, fold_device_count(r->fold));
    for (uint32_t i = 0; !error && i < r->known_count; i++) {
        const struct fold_device *d = fold_device_at(r->fold, i);
        if (r->known[i].state == KNOWN_MISSING)
            error = open_one(r, &r->known[i], d);
        if (!error)
            error = take_address(r, &r->known[i], d);
    }
    return error ? error : judge_all_claims(r);
}

/* Whether something in the fold commits to it. */
static bool is_committed(const struct replica *r, const uint8_t commitment[SHA256_SIZE])
{
    const struct statement_root *root = fold_latest_root(r->fold);
    for (uint32_t i = 0; root && i < root->role_count; i++)
        if (root->roles[i].scoped && memcmp(root->roles[i].scope, commitment, SHA256_SIZE) == 0)
            return true;
    for (uint32_t i = fold_device_count(r->fold); i-- > 0;) {
        const struct fold_device *d = fold_device_at(r->fold, i);
        if (memcmp(d->terms.commitment, commitment, SHA256_SIZE) == 0 ||
            memcmp(d->admitted_scope, commitment, SHA256_SIZE) == 0)
            return true;
    }
    struct subject subject;
    uint8_t wanted[SHA256_SIZE];
    for (uint32_t i = 0; i < fold_subject_count(r->fold); i++)
        if (fold_subject_at(r->fold, i, &subject, wanted) && memcmp(wanted, commitment, SHA256_SIZE) == 0)
            return true;
    return false;
}

bool replica_take_opening(struct replica *r, struct frame_view bytes)
{
    uint8_t commitment[SHA256_SIZE];
    if (!r->fold || bytes.len > OPENING_MAX || opening_commitment(r->c, commitment, bytes.bytes, bytes.len))
        return false;
    if (replica_openings_find(&r->openings, commitment))
        return true;
    if (!is_committed(r, commitment))
        return false;
    if (replica_openings_add(&r->openings, commitment, bytes.bytes, bytes.len))
        return false;
    r->ops->keep_opening(r->ops->context, commitment, bytes.bytes, bytes.len);
    replica_serve_forget_openings(r);
    r->dirty = true;
    return true;
}

/* Two of the known may claim a name, but only one of them is present. */
bool replica_device_by_name(const struct replica *r, const char *name, size_t len, struct device_id *out)
{
    for (uint32_t i = 0; i < r->known_count; i++) {
        const struct known *k = &r->known[i];
        if (strlen(k->name) != len || memcmp(k->name, name, len) != 0 || !replica_is_present(r, i))
            continue;
        *out = fold_device_at(r->fold, i)->id;
        return true;
    }
    return false;
}

const struct opening_invite *replica_opening(struct replica *r, const struct device_id *id)
{
    const struct fold_device *d = r->fold ? fold_device_by_id(r->fold, id) : NULL;
    const struct kept_opening *kept = d ? replica_openings_find(&r->openings, d->terms.commitment) : NULL;
    struct opening opening;
    if (!kept || opening_decode(&opening, kept->bytes, kept->len))
        return NULL;
    bool good = opening.kind == OPENING_INVITE;
    if (good)
        r->asked = opening.invite;
    opening_clear(&opening);
    return good ? &r->asked : NULL;
}
