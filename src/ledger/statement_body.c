#include "ledger/statement_body.h"

#include <string.h>

#include "base/bytes.h"
#include "wire/cbor.h"

#define KEY_KIND 0
#define KEY_NETWORK 1
#define ROLES_ALL (ROLE_ADMISSION | ROLE_POLICY | ROLE_SAFETY | ROLE_RELEASE)

struct field;
/* How a field is read into, and written from, its place in a statement. */
struct form {
    void (*get)(struct cursor *c, struct statement *s, const struct field *f);
    void (*put)(struct cursor *c, const struct statement *s, const struct field *f);
    bool (*present)(const struct statement *s, const struct field *f); /* NULL: always */
};
struct field {
    const struct form *form; /* NULL: the end */
    uint8_t key;
    uint16_t place; /* in struct statement */
    uint16_t len;   /* of bytes */
    uint16_t flag;  /* place of the bool that says whether it is there */
};

static uint8_t *place_of(struct statement *s, const struct field *f)
{
    return (uint8_t *)s + f->place;
}
static const uint8_t *value_of(const struct statement *s, const struct field *f)
{
    return (const uint8_t *)s + f->place;
}

static void get_number(struct cursor *c, struct statement *s, const struct field *f)
{
    uint64_t value = cbor_get_unsigned(c);
    memcpy(place_of(s, f), &value, sizeof(value));
}

static uint64_t number_of(const struct statement *s, const struct field *f)
{
    uint64_t value;
    memcpy(&value, value_of(s, f), sizeof(value));
    return value;
}

static void put_number(struct cursor *c, const struct statement *s, const struct field *f)
{
    cbor_put_unsigned(c, number_of(s, f));
}

/* A number that counts from 1. */
static void get_ordinal(struct cursor *c, struct statement *s, const struct field *f)
{
    get_number(c, s, f);
    if (number_of(s, f) == 0)
        cursor_fail(c, ERROR_MALFORMED);
}

/* A number that is absent instead of 0 is read like one that counts from 1. */
static bool is_not_zero(const struct statement *s, const struct field *f)
{
    return number_of(s, f) != 0;
}

static void get_bytes(struct cursor *c, struct statement *s, const struct field *f)
{
    cbor_get_exactly(c, place_of(s, f), f->len);
}

static void put_bytes(struct cursor *c, const struct statement *s, const struct field *f)
{
    cbor_put_bytes(c, value_of(s, f), f->len);
}

static bool is_flagged(const struct statement *s, const struct field *f)
{
    return *(const bool *)((const uint8_t *)s + f->flag);
}

static void get_flagged_bytes(struct cursor *c, struct statement *s, const struct field *f)
{
    *(bool *)((uint8_t *)s + f->flag) = true;
    get_bytes(c, s, f);
}

static bool is_in(const uint8_t (*keys)[ED25519_PUBLIC_SIZE], uint32_t count, const uint8_t *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(keys[i], key, ED25519_PUBLIC_SIZE) == 0)
            return true;
    return false;
}

/* An array of keys, none twice. */
static uint32_t get_keys(struct cursor *c, uint8_t (*keys)[ED25519_PUBLIC_SIZE], uint32_t max)
{
    uint32_t count = cbor_get_count(c, 0, max);
    for (uint32_t i = 0; i < count; i++) {
        cbor_get_exactly(c, keys[i], ED25519_PUBLIC_SIZE);
        if (is_in((const uint8_t(*)[ED25519_PUBLIC_SIZE])keys, i, keys[i]))
            cursor_fail(c, ERROR_MALFORMED);
    }
    return count;
}

static void put_keys(struct cursor *c, const uint8_t (*keys)[ED25519_PUBLIC_SIZE], uint32_t count)
{
    cbor_put_array(c, count);
    for (uint32_t i = 0; i < count; i++)
        cbor_put_bytes(c, keys[i], ED25519_PUBLIC_SIZE);
}

static void get_threshold(struct cursor *c, struct statement *s, const struct field *f)
{
    uint64_t threshold = cbor_get_unsigned(c);
    if (threshold == 0 || threshold > ROOT_OWNERS_MAX)
        cursor_fail(c, ERROR_MALFORMED);
    *place_of(s, f) = (uint8_t)threshold;
}

static void put_threshold(struct cursor *c, const struct statement *s, const struct field *f)
{
    cbor_put_unsigned(c, *value_of(s, f));
}

static void get_owners(struct cursor *c, struct statement *s, const struct field *f)
{
    (void)f;
    s->root.owner_count = get_keys(c, s->root.owners, ROOT_OWNERS_MAX);
}

static void put_owners(struct cursor *c, const struct statement *s, const struct field *f)
{
    (void)f;
    put_keys(c, s->root.owners, s->root.owner_count);
}

static void get_sequencers(struct cursor *c, struct statement *s, const struct field *f)
{
    (void)f;
    s->root.sequencer_count = get_keys(c, s->root.sequencers, ROOT_SEQUENCERS_MAX);
}

static void put_sequencers(struct cursor *c, const struct statement *s, const struct field *f)
{
    (void)f;
    put_keys(c, s->root.sequencers, s->root.sequencer_count);
}

static bool holds_key(const struct root_role *roles, uint32_t count, const uint8_t *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(roles[i].key, key, ED25519_PUBLIC_SIZE) == 0)
            return true;
    return false;
}

static void get_role(struct cursor *c, struct root_role *role)
{
    uint32_t count = cbor_get_count(c, 2, 3);
    cbor_get_exactly(c, role->key, sizeof(role->key));
    uint64_t roles = cbor_get_unsigned(c);
    role->scoped = count == 3;
    if (role->scoped)
        cbor_get_exactly(c, role->scope, sizeof(role->scope));
    if (roles == 0 || roles > ROLES_ALL)
        cursor_fail(c, ERROR_MALFORMED);
    role->roles = (uint8_t)roles;
}

static void get_roles(struct cursor *c, struct statement *s, const struct field *f)
{
    (void)f;
    s->root.role_count = cbor_get_count(c, 0, ROOT_ROLES_MAX);
    for (uint32_t i = 0; i < s->root.role_count; i++) {
        get_role(c, &s->root.roles[i]);
        if (holds_key(s->root.roles, i, s->root.roles[i].key))
            cursor_fail(c, ERROR_MALFORMED);
    }
}

static void put_roles(struct cursor *c, const struct statement *s, const struct field *f)
{
    (void)f;
    cbor_put_array(c, s->root.role_count);
    for (uint32_t i = 0; i < s->root.role_count; i++) {
        const struct root_role *role = &s->root.roles[i];
        cbor_put_array(c, role->scoped ? 3 : 2);
        cbor_put_bytes(c, role->key, sizeof(role->key));
        cbor_put_unsigned(c, role->roles);
        if (role->scoped)
            cbor_put_bytes(c, role->scope, sizeof(role->scope));
    }
}

static void get_last(struct cursor *c, struct statement *s, const struct field *f)
{
    (void)f;
    s->root.replaces = true;
    (void)cbor_get_count(c, 3, 3);
    s->root.last.index = cbor_get_unsigned(c);
    cbor_get_exactly(c, s->root.last.hash, SHA256_SIZE);
    cbor_get_exactly(c, s->root.last.fold_root, SHA256_SIZE);
}

static void put_last(struct cursor *c, const struct statement *s, const struct field *f)
{
    (void)f;
    cbor_put_array(c, 3);
    cbor_put_unsigned(c, s->root.last.index);
    cbor_put_bytes(c, s->root.last.hash, SHA256_SIZE);
    cbor_put_bytes(c, s->root.last.fold_root, SHA256_SIZE);
}

static bool change_is_canonical(const uint8_t *change)
{
    uint8_t stays = change[SUBJECT_SIZE];
    return stays == 1 || (stays == 0 && is_zero(change + SUBJECT_SIZE + 1, SHA256_SIZE));
}

static void get_changes(struct cursor *c, struct statement *s, const struct field *f)
{
    (void)f;
    size_t len;
    const uint8_t *bytes = cbor_get_bytes(c, &len);
    if (cursor_error(c) || len % POLICY_CHANGE_SIZE != 0) {
        cursor_fail(c, ERROR_MALFORMED);
        return;
    }
    for (size_t at = 0; at < len; at += POLICY_CHANGE_SIZE)
        if (!change_is_canonical(bytes + at) ||
            (at > 0 && memcmp(bytes + at - POLICY_CHANGE_SIZE, bytes + at, SUBJECT_SIZE) >= 0))
            cursor_fail(c, ERROR_MALFORMED);
    s->policy.changes = bytes;
    s->policy.change_count = (uint32_t)(len / POLICY_CHANGE_SIZE);
}

static void put_changes(struct cursor *c, const struct statement *s, const struct field *f)
{
    (void)f;
    cbor_put_bytes(c, s->policy.changes, (size_t)s->policy.change_count * POLICY_CHANGE_SIZE);
}

/* One hash at least, ascending. */
static void get_isolates(struct cursor *c, struct statement *s, const struct field *f)
{
    (void)f;
    uint32_t count = s->restore.count = cbor_get_count(c, 1, RESTORE_MAX);
    for (uint32_t i = 0; i < count; i++) {
        cbor_get_exactly(c, s->restore.isolates[i], SHA256_SIZE);
        if (i > 0 && memcmp(s->restore.isolates[i - 1], s->restore.isolates[i], SHA256_SIZE) >= 0)
            cursor_fail(c, ERROR_MALFORMED);
    }
}

static void put_isolates(struct cursor *c, const struct statement *s, const struct field *f)
{
    (void)f;
    cbor_put_array(c, s->restore.count);
    for (uint32_t i = 0; i < s->restore.count; i++)
        cbor_put_bytes(c, s->restore.isolates[i], SHA256_SIZE);
}

static const struct form number = {get_number, put_number, NULL}, ordinal = {get_ordinal, put_number, NULL},
                         number_or_none = {get_ordinal, put_number, is_not_zero}, bytes = {get_bytes, put_bytes, NULL},
                         bytes_or_none = {get_flagged_bytes, put_bytes, is_flagged},
                         threshold = {get_threshold, put_threshold, NULL}, owners = {get_owners, put_owners, NULL},
                         roles = {get_roles, put_roles, NULL}, sequencers = {get_sequencers, put_sequencers, NULL},
                         last_or_none = {get_last, put_last, is_flagged}, changes = {get_changes, put_changes, NULL},
                         isolates = {get_isolates, put_isolates, NULL};

#define FIELD(key, form, member, ...)                                 \
    {                                                                 \
        &(form), key, offsetof(struct statement, member), __VA_ARGS__ \
    }
#define BYTES(key, member) FIELD(key, bytes, member, sizeof(((struct statement *)0)->member), 0)
#define BYTES_IF(key, member, flag) \
    FIELD(key, bytes_or_none, member, sizeof(((struct statement *)0)->member), offsetof(struct statement, flag))
#define NUMBER(key, form, member) FIELD(key, form, member, 0, 0)
#define OWN(key, form, member) FIELD(key, form, member, 0, 0)

static const struct field root_fields[] = {
    NUMBER(2, ordinal, root.version),
    NUMBER(3, number, root.time),
    OWN(4, threshold, root.threshold),
    OWN(5, owners, root.owners),
    OWN(6, roles, root.roles),
    OWN(7, sequencers, root.sequencers),
    BYTES_IF(8, root.founding_invite, root.founds),
    FIELD(9, last_or_none, root.last, 0, offsetof(struct statement, root.replaces)),
    {0},
};
static const struct field invite_fields[] = {
    BYTES(2, invite.signing_public),       BYTES(3, invite.static_public),
    NUMBER(4, number, invite.join_before), NUMBER(5, number_or_none, invite.member_until),
    BYTES(6, invite.commitment),           {0},
};
static const struct field join_fields[] = {
    BYTES(2, join.invite),
    BYTES(3, join.signing_public),
    BYTES(4, join.static_public),
    BYTES_IF(5, join.sequencer, join.sequences),
    {0},
};
static const struct field rotate_fields[] = {
    BYTES(2, rotate.invite),
    NUMBER(3, ordinal, rotate.number),
    BYTES(4, rotate.static_public),
    {0},
};
static const struct field policy_fields[] = {
    NUMBER(2, ordinal, policy.version),
    BYTES(3, policy.against),
    OWN(4, changes, policy.changes),
    {0},
};
static const struct field about_fields[] = {
    BYTES(2, about.invite),
    BYTES(3, about.nonce),
    {0},
};
static const struct field restore_fields[] = {
    OWN(2, isolates, restore.isolates),
    {0},
};
static const struct field release_fields[] = {
    NUMBER(2, ordinal, release.version),
    BYTES(3, release.hash),
    {0},
};

/* By enum statement_kind. */
static const struct field *const fields_of[] = {
    NULL,          root_fields,  invite_fields, about_fields,   join_fields,    rotate_fields,
    policy_fields, about_fields, about_fields,  restore_fields, release_fields,
};

static const struct field *fields(enum statement_kind kind)
{
    return kind >= STATEMENT_ROOT && kind <= STATEMENT_RELEASE ? fields_of[kind] : NULL;
}

/* A network's first root has no network id to name: its own hash becomes that. */
static bool is_first_root(const struct statement *s)
{
    return s->kind == STATEMENT_ROOT && s->root.version == 1;
}

static bool next_key_is(const struct cursor *c, uint8_t key)
{
    struct cursor ahead = *c;
    return cbor_get_unsigned(&ahead) == key && !cursor_error(&ahead);
}

/* Reads key and value if this key is next. */
static bool get_field(struct cursor *c, struct statement *s, const struct field *f)
{
    if (!next_key_is(c, f->key))
        return false;
    (void)cbor_get_unsigned(c);
    f->form->get(c, s, f);
    return true;
}

static const struct field network_field = BYTES(KEY_NETWORK, network);

int statement_body_decode(struct statement *s, const uint8_t *body, size_t len)
{
    if (cbor_check(body, len))
        return ERROR_MALFORMED;
    struct cursor c = cursor_reading(body, len);
    uint64_t pairs = cbor_get_map(&c), read = 1;
    if (!next_key_is(&c, KEY_KIND))
        return ERROR_MALFORMED;
    (void)cbor_get_unsigned(&c);
    uint64_t kind = cbor_get_unsigned(&c);
    if (cursor_error(&c) || kind > STATEMENT_RELEASE || !fields((enum statement_kind)kind))
        return ERROR_MALFORMED;
    s->kind = (enum statement_kind)kind;
    bool has_network = get_field(&c, s, &network_field);
    read += has_network;
    for (const struct field *f = fields(s->kind); f->form; f++) {
        bool there = get_field(&c, s, f);
        if (!there && !f->form->present)
            return ERROR_MALFORMED;
        read += there;
    }
    return cursor_finish(&c) || read != pairs || has_network == is_first_root(s) ? ERROR_MALFORMED : 0;
}

static bool is_present(const struct statement *s, const struct field *f)
{
    return !f->form->present || f->form->present(s, f);
}

static void put_field(struct cursor *c, const struct statement *s, const struct field *f)
{
    cbor_put_unsigned(c, f->key);
    f->form->put(c, s, f);
}

int statement_body(const struct statement *s, uint8_t *out, size_t capacity)
{
    const struct field *table = fields(s->kind);
    if (!table)
        return ERROR_INVALID;
    uint64_t pairs = is_first_root(s) ? 1 : 2;
    for (const struct field *f = table; f->form; f++)
        pairs += is_present(s, f);
    struct cursor c = cursor_writing(out, capacity < STATEMENT_MAX ? capacity : STATEMENT_MAX);
    cbor_put_map(&c, pairs);
    cbor_put_unsigned(&c, KEY_KIND);
    cbor_put_unsigned(&c, s->kind);
    if (!is_first_root(s))
        put_field(&c, s, &network_field);
    for (const struct field *f = table; f->form; f++)
        if (is_present(s, f))
            put_field(&c, s, f);
    int error = cursor_error(&c);
    return error ? error : (int)(c.at - out);
}
