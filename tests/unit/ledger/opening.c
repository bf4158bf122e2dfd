#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/opening.h"

static struct opening full_invite(void)
{
    struct opening o = {.kind = OPENING_INVITE, .salt = {1, 2, 3}};
    o.invite = (struct opening_invite){
        .name = "sensor-7",
        .site = "north",
        .group_count = 2,
        .groups = {{{{9}}, "sensors"}, {{{8}}, "loggers"}},
        .has_ipv4 = true,
        .ipv4 = {100, 70, 1, 2},
        .relay = true,
        .endpoint = {.address = {203, 0, 113, 5}, .port = 51820, .family = 4},
        .controller = true,
    };
    return o;
}

static struct opening full_scope(void)
{
    struct opening o = {.kind = OPENING_SCOPE};
    o.scope = (struct opening_scope){
        .group_count = 1,
        .groups = {{{9}}},
        .name_count = 2,
        .names = {"sensor-*", "hub"},
        .site_count = 1,
        .sites = {"*"},
        .has_ipv4 = true,
        .ipv4 = {100, 70, 0, 0},
        .ipv4_len = 16,
    };
    return o;
}

static struct grant port_502 = {GRANT_TCP, 502, 502};
static struct rule one_rule = {
    .from = {{9}},
    .to = {{8}},
    .from_name = "sensors",
    .to_name = "loggers",
    .line = 3,
    .grant_count = 1,
    .grants = &port_502,
};
static struct rule_set one_rule_set = {1, &one_rule};

static struct opening full_rules(void)
{
    struct opening o = {.kind = OPENING_RULES};
    o.rules.subject = one_rule.from;
    o.rules.version = 12;
    o.rules.set = &one_rule_set;
    return o;
}

/* Encodes, decodes and encodes again; the caller clears. */
static struct opening again(const struct opening *o)
{
    uint8_t bytes[2048], twice[2048];
    struct opening out;
    int len = opening_encode(o, bytes, sizeof(bytes));
    assert_true(len > 0);
    assert_int_equal(opening_decode(&out, bytes, (size_t)len), 0);
    assert_int_equal(opening_encode(&out, twice, sizeof(twice)), len);
    assert_memory_equal(bytes, twice, len);
    for (int cut = 0; cut < len; cut++) {
        struct opening none;
        assert_int_equal(opening_decode(&none, bytes, (size_t)cut), ERROR_MALFORMED);
        assert_int_equal(opening_encode(o, twice, (size_t)cut), ERROR_OVERFLOW);
    }
    return out;
}

static void an_invite_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct opening o = full_invite(), same = again(&o);
    assert_memory_equal(&o.invite, &same.invite, sizeof(o.invite));
    o.invite = (struct opening_invite){.name = "a"};
    opening_clear(&same);
    same = again(&o);
    assert_memory_equal(&o.invite, &same.invite, sizeof(o.invite));
    opening_clear(&same);
}

static void a_scope_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct opening o = full_scope(), same = again(&o);
    assert_memory_equal(&o.scope, &same.scope, sizeof(o.scope));
    opening_clear(&same);
}

static void rules_are_read_as_they_were_written(void **state)
{
    (void)state;
    struct opening o = full_rules(), same = again(&o);
    assert_int_equal(same.rules.version, 12);
    assert_int_equal(same.rules.set->count, 1);
    assert_int_equal(same.rules.set->rules[0].grants[0].low, 502);
    opening_clear(&same);
    assert_null(same.rules.set);
}

static bool is_refused(const struct opening *o)
{
    uint8_t bytes[2048];
    struct opening out;
    int len = opening_encode(o, bytes, sizeof(bytes));
    if (len < 0)
        return true;
    int error = opening_decode(&out, bytes, (size_t)len);
    if (!error)
        opening_clear(&out);
    return error == ERROR_MALFORMED;
}

static void names_patterns_groups_and_endpoints_are_checked(void **state)
{
    (void)state;
    struct opening o = full_invite();
    strcpy(o.invite.name, "Sensor");
    assert_true(is_refused(&o));
    o = full_invite();
    strcpy(o.invite.name, "");
    assert_true(is_refused(&o));
    o = full_invite();
    o.invite.groups[1].id = o.invite.groups[0].id;
    assert_true(is_refused(&o));
    o = full_invite();
    o.invite.groups[0].id = (struct subject){{0}};
    assert_true(is_refused(&o));
    o = full_invite();
    o.invite.endpoint.port = 0;
    assert_true(is_refused(&o));
    static const char *const patterns[] = {"", "a**", "-*", "*a", "a_", "A*"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        o = full_scope();
        memcpy(o.scope.names[0], patterns[i], strlen(patterns[i]) + 1);
        assert_true(is_refused(&o));
    }
    o = full_scope();
    o.scope.ipv4_len = 33;
    assert_true(is_refused(&o));
    o = full_scope();
    o.scope.ipv4[3] = 1;
    assert_true(is_refused(&o));
}

static void a_changed_byte_never_reads_the_same(void **state)
{
    (void)state;
    struct opening all[] = {full_invite(), full_scope()};
    uint8_t bytes[2048], twice[2048];
    for (size_t i = 0; i < 2; i++) {
        int len = opening_encode(&all[i], bytes, sizeof(bytes));
        assert_true(len > 0);
        for (int at = 0; at < len; at++)
            for (unsigned x = 1; x < 256; x++) {
                struct opening out;
                bytes[at] ^= (uint8_t)x;
                if (!opening_decode(&out, bytes, (size_t)len)) {
                    assert_int_equal(opening_encode(&out, twice, sizeof(twice)), len);
                    assert_memory_equal(bytes, twice, len);
                    opening_clear(&out);
                }
                bytes[at] ^= (uint8_t)x;
            }
    }
}

static void a_scope_holds_what_it_lists_and_nothing_else(void **state)
{
    (void)state;
    struct opening_scope scope = full_scope().scope, none = {0};
    struct opening_invite plain = {
        .name = "sensor-7",
        .site = "x",
        .group_count = 1,
        .groups = {{{{9}}, "sensors"}},
        .has_ipv4 = true,
        .ipv4 = {100, 70, 200, 1},
    };
    struct opening_invite i = plain;
    assert_true(scope_holds(&scope, &i));
    assert_false(scope_holds(&none, &i));
    strcpy(i.name, "sensor-");
    assert_true(scope_holds(&scope, &i));
    strcpy(i.name, "sensor");
    assert_false(scope_holds(&scope, &i));
    strcpy(i.name, "hub");
    assert_true(scope_holds(&scope, &i));
    strcpy(i.name, "hub2");
    assert_false(scope_holds(&scope, &i));
    i = plain;
    i.ipv4[1] = 71;
    assert_false(scope_holds(&scope, &i));
    i = plain;
    i.groups[0].id.bytes[0] = 8;
    assert_false(scope_holds(&scope, &i));
    i = plain;
    i.relay = true;
    assert_false(scope_holds(&scope, &i));
    i = plain;
    i.controller = true;
    assert_false(scope_holds(&scope, &i));
    scope.site_count = 0;
    i = plain;
    assert_false(scope_holds(&scope, &i));
    i.site[0] = '\0';
    assert_true(scope_holds(&scope, &i));
    scope.has_ipv4 = false;
    assert_false(scope_holds(&scope, &i));
    i.has_ipv4 = false;
    assert_true(scope_holds(&scope, &i));
    scope.has_ipv4 = i.has_ipv4 = true;
    scope.ipv4_len = 0;
    assert_true(scope_holds(&scope, &i));
}

static void the_commitment_is_the_hash_of_all_bytes(void **state)
{
    (void)state;
    struct crypto *c;
    uint8_t commitment[SHA256_SIZE], hash[SHA256_SIZE];
    assert_int_equal(crypto_new(&c, CRYPTO_BULK_OPENSSL), 0);
    assert_int_equal(opening_commitment(c, commitment, (const uint8_t *)"abc", 3), 0);
    assert_int_equal(crypto_sha256(c, hash, "abc", 3), 0);
    assert_memory_equal(commitment, hash, SHA256_SIZE);
    crypto_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invite_is_read_as_it_was_written),
        cmocka_unit_test(a_scope_is_read_as_it_was_written),
        cmocka_unit_test(rules_are_read_as_they_were_written),
        cmocka_unit_test(names_patterns_groups_and_endpoints_are_checked),
        cmocka_unit_test(a_changed_byte_never_reads_the_same),
        cmocka_unit_test(a_scope_holds_what_it_lists_and_nothing_else),
        cmocka_unit_test(the_commitment_is_the_hash_of_all_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
