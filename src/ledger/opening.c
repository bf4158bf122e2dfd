#include "ledger/opening.h"

#include <string.h>

#include "base/bytes.h"
#include "wire/cbor.h"

/* Keys of the content maps. */
enum invite_key { INVITE_NAME, INVITE_SITE, INVITE_GROUPS, INVITE_IPV4, INVITE_ENDPOINT, INVITE_CONTROLLER };
enum scope_key { SCOPE_GROUPS, SCOPE_NAMES, SCOPE_SITES, SCOPE_IPV4 };
enum rules_key { RULES_SUBJECT, RULES_VERSION, RULES_SET };

int opening_commitment(struct crypto *c, uint8_t out[SHA256_SIZE], const uint8_t *bytes, size_t len)
{
    return crypto_sha256(c, out, bytes, len);
}

/* A map being read: keys come in order, and one that is not there is passed over. */
struct map {
    struct cursor *c;
    uint64_t left;
};

static struct map get_map(struct cursor *c)
{
    return (struct map){c, cbor_get_map(c)};
}

/* Whether `key` is next; then its value is to be read. */
static bool get_key(struct map *m, uint64_t key)
{
    struct cursor ahead = *m->c;
    if (m->left == 0 || cbor_get_unsigned(&ahead) != key || cursor_error(&ahead))
        return false;
    *m->c = ahead;
    m->left--;
    return true;
}

static void want_key(struct map *m, uint64_t key)
{
    if (!get_key(m, key))
        cursor_fail(m->c, ERROR_MALFORMED);
}

static void end_map(struct map *m)
{
    if (m->left != 0)
        cursor_fail(m->c, ERROR_MALFORMED);
}

/* No group twice, and never `all`: that one needs no telling. */
static void get_group(struct cursor *c, struct opening_invite *invite, uint32_t i)
{
    struct opening_group *group = &invite->groups[i];
    (void)cbor_get_count(c, 2, 2);
    cbor_get_exactly(c, group->id.bytes, SUBJECT_SIZE);
    name_get(c, group->name);
    if (is_zero(group->id.bytes, SUBJECT_SIZE))
        cursor_fail(c, ERROR_MALFORMED);
    for (uint32_t j = 0; j < i; j++)
        if (memcmp(invite->groups[j].id.bytes, group->id.bytes, SUBJECT_SIZE) == 0)
            cursor_fail(c, ERROR_MALFORMED);
}

static void get_true(struct cursor *c)
{
    if (!cbor_get_bool(c))
        cursor_fail(c, ERROR_MALFORMED);
}

static void get_invite(struct cursor *c, struct opening_invite *out)
{
    struct map m = get_map(c);
    want_key(&m, INVITE_NAME);
    name_get(c, out->name);
    if (get_key(&m, INVITE_SITE))
        name_get(c, out->site);
    want_key(&m, INVITE_GROUPS);
    out->group_count = cbor_get_count(c, 0, OPENING_GROUPS_MAX);
    for (uint32_t i = 0; i < out->group_count; i++)
        get_group(c, out, i);
    out->has_ipv4 = get_key(&m, INVITE_IPV4);
    if (out->has_ipv4)
        cbor_get_exactly(c, out->ipv4, sizeof(out->ipv4));
    out->relay = get_key(&m, INVITE_ENDPOINT);
    if (out->relay) {
        (void)cbor_get_count(c, 2, 2);
        underlay_get(c, &out->endpoint);
    }
    out->controller = get_key(&m, INVITE_CONTROLLER);
    if (out->controller)
        get_true(c);
    end_map(&m);
}

static void put_invite(struct cursor *c, const struct opening_invite *invite)
{
    bool has_site = invite->site[0] != '\0';
    cbor_put_map(c, 2u + has_site + invite->has_ipv4 + invite->relay + invite->controller);
    cbor_put_unsigned(c, INVITE_NAME);
    name_put(c, invite->name);
    if (has_site) {
        cbor_put_unsigned(c, INVITE_SITE);
        name_put(c, invite->site);
    }
    cbor_put_unsigned(c, INVITE_GROUPS);
    cbor_put_array(c, invite->group_count);
    for (uint32_t i = 0; i < invite->group_count; i++) {
        cbor_put_array(c, 2);
        cbor_put_bytes(c, invite->groups[i].id.bytes, SUBJECT_SIZE);
        name_put(c, invite->groups[i].name);
    }
    if (invite->has_ipv4) {
        cbor_put_unsigned(c, INVITE_IPV4);
        cbor_put_bytes(c, invite->ipv4, sizeof(invite->ipv4));
    }
    if (invite->relay) {
        cbor_put_unsigned(c, INVITE_ENDPOINT);
        cbor_put_array(c, 2);
        underlay_put(c, &invite->endpoint);
    }
    if (invite->controller) {
        cbor_put_unsigned(c, INVITE_CONTROLLER);
        cbor_put_bool(c, true);
    }
}

/* "*", or the beginning of a name and '*': what a name is once enough characters stand there instead. */
static bool is_prefix_pattern(const char *pattern, size_t len)
{
    char name[NAME_MAX_LEN + 1];
    if (len == 0 || len > NAME_MAX_LEN || pattern[len - 1] != '*')
        return false;
    memcpy(name, pattern, len);
    name[len - 1] = 'a';
    return name_is_valid(name, len);
}

static void get_patterns(struct cursor *c, uint32_t *count, char (*out)[NAME_MAX_LEN + 2])
{
    *count = cbor_get_count(c, 0, OPENING_SCOPE_ENTRIES_MAX);
    for (uint32_t i = 0; i < *count; i++) {
        size_t len;
        const char *pattern = cbor_get_text(c, &len);
        if (!pattern || !(name_is_valid(pattern, len) || is_prefix_pattern(pattern, len))) {
            cursor_fail(c, ERROR_MALFORMED);
            return;
        }
        memcpy(out[i], pattern, len);
        out[i][len] = '\0';
    }
}

static void put_patterns(struct cursor *c, uint32_t count, const char (*patterns)[NAME_MAX_LEN + 2])
{
    cbor_put_array(c, count);
    for (uint32_t i = 0; i < count; i++)
        cbor_put_text(c, patterns[i], strlen(patterns[i]));
}

static void get_prefix(struct cursor *c, struct opening_scope *out)
{
    (void)cbor_get_count(c, 2, 2);
    cbor_get_exactly(c, out->ipv4, sizeof(out->ipv4));
    uint64_t len = cbor_get_unsigned(c);
    if (len > 32 || (len < 32 && (get_be32(out->ipv4) & UINT32_MAX >> len) != 0))
        cursor_fail(c, ERROR_MALFORMED);
    out->ipv4_len = (uint8_t)len;
}

static void get_scope(struct cursor *c, struct opening_scope *out)
{
    struct map m = get_map(c);
    want_key(&m, SCOPE_GROUPS);
    out->group_count = cbor_get_count(c, 0, OPENING_SCOPE_ENTRIES_MAX);
    for (uint32_t i = 0; i < out->group_count; i++)
        cbor_get_exactly(c, out->groups[i].bytes, SUBJECT_SIZE);
    want_key(&m, SCOPE_NAMES);
    get_patterns(c, &out->name_count, out->names);
    want_key(&m, SCOPE_SITES);
    get_patterns(c, &out->site_count, out->sites);
    out->has_ipv4 = get_key(&m, SCOPE_IPV4);
    if (out->has_ipv4)
        get_prefix(c, out);
    end_map(&m);
}

static void put_scope(struct cursor *c, const struct opening_scope *scope)
{
    cbor_put_map(c, 3u + scope->has_ipv4);
    cbor_put_unsigned(c, SCOPE_GROUPS);
    cbor_put_array(c, scope->group_count);
    for (uint32_t i = 0; i < scope->group_count; i++)
        cbor_put_bytes(c, scope->groups[i].bytes, SUBJECT_SIZE);
    cbor_put_unsigned(c, SCOPE_NAMES);
    put_patterns(c, scope->name_count, scope->names);
    cbor_put_unsigned(c, SCOPE_SITES);
    put_patterns(c, scope->site_count, scope->sites);
    if (scope->has_ipv4) {
        cbor_put_unsigned(c, SCOPE_IPV4);
        cbor_put_array(c, 2);
        cbor_put_bytes(c, scope->ipv4, sizeof(scope->ipv4));
        cbor_put_unsigned(c, scope->ipv4_len);
    }
}

static void get_rules(struct cursor *c, struct opening *out)
{
    struct map m = get_map(c);
    want_key(&m, RULES_SUBJECT);
    cbor_get_exactly(c, out->rules.subject.bytes, SUBJECT_SIZE);
    want_key(&m, RULES_VERSION);
    out->rules.version = cbor_get_unsigned(c);
    want_key(&m, RULES_SET);
    if (!cursor_error(c))
        out->rules.set = rule_set_get(c);
    end_map(&m);
}

static void put_rules(struct cursor *c, const struct opening *o)
{
    cbor_put_map(c, 3);
    cbor_put_unsigned(c, RULES_SUBJECT);
    cbor_put_bytes(c, o->rules.subject.bytes, SUBJECT_SIZE);
    cbor_put_unsigned(c, RULES_VERSION);
    cbor_put_unsigned(c, o->rules.version);
    cbor_put_unsigned(c, RULES_SET);
    rule_set_put(c, o->rules.set);
}

static void get_content(struct cursor *c, struct opening *out)
{
    switch (out->kind) {
    case OPENING_INVITE:
        get_invite(c, &out->invite);
        return;
    case OPENING_SCOPE:
        get_scope(c, &out->scope);
        return;
    case OPENING_RULES:
        get_rules(c, out);
        return;
    }
    cursor_fail(c, ERROR_MALFORMED);
}

int opening_decode(struct opening *out, const uint8_t *bytes, size_t len)
{
    memset(out, 0, sizeof(*out));
    if (len > OPENING_MAX || cbor_check(bytes, len))
        return ERROR_MALFORMED;
    struct cursor c = cursor_reading(bytes, len);
    if (cbor_get_array(&c) != 3)
        cursor_fail(&c, ERROR_MALFORMED);
    cbor_get_exactly(&c, out->salt, sizeof(out->salt));
    uint64_t kind = cbor_get_unsigned(&c);
    if (kind < OPENING_INVITE || kind > OPENING_RULES)
        cursor_fail(&c, ERROR_MALFORMED);
    if (!cursor_error(&c)) {
        out->kind = (enum opening_kind)kind;
        get_content(&c, out);
    }
    int error = cursor_finish(&c);
    if (!error)
        return 0;
    opening_clear(out);
    return error == ERROR_MEMORY ? error : ERROR_MALFORMED;
}

void opening_clear(struct opening *o)
{
    if (o->kind == OPENING_RULES)
        rule_set_free(o->rules.set);
    memset(o, 0, sizeof(*o));
}

int opening_encode(const struct opening *o, uint8_t *out, size_t capacity)
{
    struct cursor c = cursor_writing(out, capacity < OPENING_MAX ? capacity : OPENING_MAX);
    cbor_put_array(&c, 3);
    cbor_put_bytes(&c, o->salt, sizeof(o->salt));
    cbor_put_unsigned(&c, o->kind);
    switch (o->kind) {
    case OPENING_INVITE:
        put_invite(&c, &o->invite);
        break;
    case OPENING_SCOPE:
        put_scope(&c, &o->scope);
        break;
    case OPENING_RULES:
        put_rules(&c, o);
        break;
    }
    int error = cursor_error(&c);
    return error ? error : (int)(c.at - out);
}
