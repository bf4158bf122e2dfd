#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "founding.h"
#include "ledger/fold.h"

#define NOW UINT64_C(1800000000)
#define JOIN_BEFORE (NOW + 2592000)

/* Bytes that look random and are the same each time. */
static void draw(void *context, void *out, size_t len)
{
    uint64_t *seed = context;
    for (size_t i = 0; i < len; i++) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(*seed >> 56);
    }
}

struct world {
    struct crypto *c;
    uint64_t seed;
    struct founding_plan plan;
    struct founding *founding;
    struct fold *fold;
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_int_equal(crypto_new(&w->c, CRYPTO_BULK_OPENSSL), 0);
    w->founding = malloc(sizeof(*w->founding));
    assert_non_null(w->founding);
    w->plan = (struct founding_plan){.name = "plant",
                                     .endpoint = {{203, 0, 113, 5}, 51820, 4},
                                     .ipv4 = true,
                                     .join_before = JOIN_BEFORE,
                                     .time = NOW,
                                     .random = draw,
                                     .context = &w->seed};
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    fold_free(w->fold);
    free(w->founding);
    crypto_free(w->c);
    free(w);
    return 0;
}

static void apply(struct world *w, const struct ticket_bytes *bytes, uint64_t time)
{
    struct statement s;
    enum fold_verdict verdict;
    assert_int_equal(statement_decode(w->c, &s, bytes->bytes, bytes->len), 0);
    assert_int_equal(fold_apply(w->fold, &s, time, &verdict), 0);
    assert_int_equal(verdict, VERDICT_STANDS);
}

static void found(struct world *w)
{
    const struct ticket *t = &w->founding->ticket;
    assert_int_equal(founding_make(w->c, w->founding, &w->plan), 0);
    assert_int_equal(fold_new(&w->fold, w->c), 0);
    for (uint32_t i = 0; i < t->statement_count; i++)
        apply(w, &t->statements[i], t->times[i]);
}

static const struct opening *opening_of(struct world *w, const struct fold_device *d, struct opening *out)
{
    const struct ticket *t = &w->founding->ticket;
    for (uint32_t i = 0; i < t->opening_count; i++) {
        uint8_t commitment[SHA256_SIZE];
        assert_int_equal(opening_commitment(w->c, commitment, t->openings[i].bytes, t->openings[i].len), 0);
        if (memcmp(commitment, d->terms.commitment, SHA256_SIZE) != 0)
            continue;
        assert_int_equal(opening_decode(out, t->openings[i].bytes, t->openings[i].len), 0);
        return out;
    }
    return NULL;
}

static void every_first_entry_stands(void **state)
{
    struct world *w = *state;
    found(w);
    assert_int_equal(w->founding->ticket.statement_count, 5);
    assert_memory_equal(fold_network(w->fold)->bytes, w->founding->ticket.network.bytes, NETWORK_ID_SIZE);
    assert_int_equal(fold_device_count(w->fold), 2);
    assert_int_equal(fold_policy_version(w->fold), 1);
    assert_int_equal(fold_subject_count(w->fold), 0);
}

static void the_operator_is_a_member_and_the_hub_is_invited(void **state)
{
    struct world *w = *state;
    struct opening opening;
    uint8_t public_key[32];
    found(w);
    const struct fold_device *d = fold_device_at(w->fold, 0), *hub = fold_device_at(w->fold, 1);
    assert_true(fold_device_is_live(w->fold, d));
    assert_int_equal(crypto_ed25519_public(w->c, public_key, w->founding->keys.signing), 0);
    assert_memory_equal(d->signing_public, public_key, sizeof(public_key));
    assert_int_equal(crypto_x25519_public(w->c, public_key, w->founding->keys.static_private), 0);
    assert_memory_equal(d->static_public, public_key, sizeof(public_key));
    assert_non_null(opening_of(w, d, &opening));
    assert_string_equal(opening.invite.name, "operator");
    assert_string_equal(opening.invite.groups[0].name, "operators");
    assert_false(opening.invite.relay || opening.invite.controller);
    assert_true(fold_invite_is_open(w->fold, hub, JOIN_BEFORE - 1));
    assert_non_null(opening_of(w, hub, &opening));
    assert_string_equal(opening.invite.name, "hub");
    assert_true(opening.invite.relay && opening.invite.controller);
    assert_int_equal(opening.invite.endpoint.port, 51820);
}

/* What the public host does with the ticket's text. */
static void the_hub_joins_with_the_ticket_and_brings_the_sequencer(void **state)
{
    struct world *w = *state;
    struct ticket t;
    char text[8192];
    uint8_t buffer[8192], hash[SHA256_SIZE], statement[FOUNDING_STATEMENT_MAX];
    const uint8_t signing[ED25519_SEED_SIZE] = {1}, static_private[X25519_SIZE] = {2}, sequencer[32] = {3};
    struct invite_keys keys;
    struct founding_join join = {&keys, hash, signing, static_private, sequencer};
    found(w);
    int len = ticket_print(w->c, &w->founding->ticket, text, sizeof(text));
    assert_true(len > 0);
    assert_int_equal(ticket_parse(w->c, &t, text, (size_t)len, buffer), TICKET_GOOD);
    assert_int_equal(crypto_sha256(w->c, hash, t.invite.bytes, t.invite.len), 0);
    assert_int_equal(invite_keys_derive(w->c, t.seed, &keys), 0);
    len = founding_join(w->c, statement, &t.network, &join);
    assert_true(len > 0);
    assert_int_equal(founding_append(&t, statement, (size_t)len, NOW), 0);
    assert_false(fold_sequences(w->fold, sequencer));
    apply(w, &t.statements[5], NOW);
    assert_true(fold_sequences(w->fold, sequencer));
    assert_true(fold_device_is_live(w->fold, fold_device_at(w->fold, 1)));
}

static void all_on_this_host_is_one_device_that_sequences(void **state)
{
    struct world *w = *state;
    struct opening opening;
    w->plan.all_on_this_host = true;
    memset(w->plan.sequencer, 5, sizeof(w->plan.sequencer));
    found(w);
    assert_int_equal(w->founding->ticket.statement_count, 4);
    assert_int_equal(fold_device_count(w->fold), 1);
    assert_true(fold_sequences(w->fold, w->plan.sequencer));
    assert_non_null(opening_of(w, fold_device_at(w->fold, 0), &opening));
    assert_true(opening.invite.relay && opening.invite.controller);
    assert_int_equal(opening.invite.group_count, 1);
}

static void addresses_are_the_networks_or_none(void **state)
{
    struct world *w = *state;
    struct opening opening = {0};
    uint8_t prefix[4] = {0};
    found(w);
    address_ipv4_prefix(prefix, fold_network(w->fold));
    for (uint32_t i = 0; i < 2; i++) {
        assert_non_null(opening_of(w, fold_device_at(w->fold, i), &opening));
        assert_true(opening.invite.has_ipv4);
        assert_memory_equal(opening.invite.ipv4, prefix, 2);
        assert_int_equal(opening.invite.ipv4[3], 2 - i);
    }
    fold_free(w->fold);
    w->plan.ipv4 = false;
    found(w);
    assert_non_null(opening_of(w, fold_device_at(w->fold, 0), &opening));
    assert_false(opening.invite.has_ipv4);
}

static void no_secret_is_in_what_is_published(void **state)
{
    struct world *w = *state;
    found(w);
    const struct founding_keys *k = &w->founding->keys;
    const uint8_t *const secrets[] = {k->root, k->roles, k->signing, k->static_private, w->founding->ticket.seed};
    for (size_t s = 0; s < sizeof(secrets) / sizeof(secrets[0]); s++) {
        assert_null(memmem(w->founding->statements, sizeof(w->founding->statements), secrets[s], 32));
        assert_null(memmem(w->founding->openings, sizeof(w->founding->openings), secrets[s], 32));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_first_entry_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_operator_is_a_member_and_the_hub_is_invited, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_hub_joins_with_the_ticket_and_brings_the_sequencer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_on_this_host_is_one_device_that_sequences, set_up, tear_down),
        cmocka_unit_test_setup_teardown(addresses_are_the_networks_or_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_secret_is_in_what_is_published, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("cli-founding", tests, NULL, NULL);
}
