#include "tunnel/noise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "noise_vectors.h"
#include "tunnel/cookie.h"
#include "tunnel/static_step.h"

struct keys {
    uint8_t initiator[X25519_SIZE], responder[X25519_SIZE];       /* static, public */
    uint8_t of_initiator[X25519_SIZE], of_responder[X25519_SIZE]; /* ephemeral, public */
};

static int setup(void **state)
{
    return crypto_new((struct crypto **)state, CRYPTO_BULK_OPENSSL);
}

static int teardown(void **state)
{
    crypto_free(*state);
    return 0;
}

static struct keys public_keys(struct crypto *c)
{
    struct keys k = {.initiator = {0}};
    assert_int_equal(crypto_x25519_public(c, k.initiator, vector_initiator), 0);
    assert_int_equal(crypto_x25519_public(c, k.responder, vector_responder), 0);
    assert_int_equal(crypto_x25519_public(c, k.of_initiator, vector_ephemeral_of_initiator), 0);
    assert_int_equal(crypto_x25519_public(c, k.of_responder, vector_ephemeral_of_responder), 0);
    return k;
}

static void into_step(struct static_step *step, const struct noise *n)
{
    memcpy(step->chaining_key, n->chaining_key, BLAKE2S_SIZE);
    memcpy(step->hash, n->hash, BLAKE2S_SIZE);
}

static void out_of_step(struct noise *n, const struct static_step *step)
{
    n->error = step->result;
    memcpy(n->chaining_key, step->chaining_key, BLAKE2S_SIZE);
    memcpy(n->hash, step->hash, BLAKE2S_SIZE);
}

/* e, es, s, ss of the initiator, the last by a static step. */
static void initiate(struct noise *n, struct crypto *c, const struct keys *k, struct message_initiation *message)
{
    struct static_step step = {.text_kind = STATIC_STEP_SEAL_TEXT, .text_len = MESSAGE_TIMESTAMP_SIZE};
    uint8_t key[AEAD_KEY_SIZE];
    memcpy(message->ephemeral, k->of_initiator, X25519_SIZE);
    noise_start(n, c, k->responder);
    noise_mix_ephemeral(n, c, k->of_initiator);
    noise_mix_dh(n, c, vector_ephemeral_of_initiator, k->responder, key);
    noise_seal(n, c, key, message->sealed_static, k->initiator, X25519_SIZE);
    into_step(&step, n);
    memcpy(step.remote, k->responder, X25519_SIZE);
    memcpy(step.text, vector_timestamp, sizeof(vector_timestamp));
    static_step_run(&step, c, vector_initiator);
    memcpy(message->sealed_timestamp, step.text, sizeof(message->sealed_timestamp));
    out_of_step(n, &step);
}

static void initiation_is_that_of_the_slow_twin(void **state)
{
    struct crypto *c = *state;
    struct keys k = public_keys(c);
    struct noise n;
    struct message_initiation message = {.type = put_le32(MESSAGE_INITIATION), .sender = put_le32(0x11223344)};
    struct cookie_known none = {.until = 0};
    initiate(&n, c, &k, &message);
    assert_int_equal(cookie_seal_message(&none, c, k.responder, (uint8_t *)&message, sizeof(message), 0), 0);
    assert_int_equal(n.error, 0);
    assert_memory_equal(&message, vector_initiation, sizeof(message));
}

/* The initiator goes on with the response of the slow twin. */
static void response_of_the_slow_twin_yields_its_keys(void **state)
{
    struct crypto *c = *state;
    struct keys k = public_keys(c);
    struct message_initiation initiation;
    struct message_response response;
    struct noise n;
    struct static_step step = {.text_kind = STATIC_STEP_NO_TEXT};
    uint8_t sends[AEAD_KEY_SIZE], receives[AEAD_KEY_SIZE];
    memcpy(&response, vector_response, sizeof(response));
    initiate(&n, c, &k, &initiation);
    noise_mix_ephemeral(&n, c, response.ephemeral);
    noise_mix_dh(&n, c, vector_ephemeral_of_initiator, response.ephemeral, NULL);
    into_step(&step, &n);
    memcpy(step.remote, response.ephemeral, X25519_SIZE);
    static_step_run(&step, c, vector_initiator);
    out_of_step(&n, &step);
    noise_open_response(&n, c, vector_psk, response.sealed_nothing);
    noise_derive(&n, c, "nightjar 1 aes-256-gcm", sends, receives);
    assert_memory_equal(sends, vector_initiator_sends_aes, sizeof(sends));
    assert_memory_equal(receives, vector_responder_sends_aes, sizeof(receives));
    noise_derive(&n, c, "nightjar 1 chacha20-poly1305", sends, receives);
    assert_memory_equal(sends, vector_initiator_sends_chacha, sizeof(sends));
    assert_memory_equal(receives, vector_responder_sends_chacha, sizeof(receives));
    assert_int_equal(noise_split(&n, c, sends, receives), 0);
    assert_memory_equal(sends, vector_initiator_sends, sizeof(sends));
    assert_memory_equal(receives, vector_responder_sends, sizeof(receives));
}

/* es and ss of the responder, both by static steps. */
static void open_initiation(struct noise *n, struct crypto *c, const struct keys *k, struct static_step *step)
{
    struct message_initiation message;
    memcpy(&message, vector_initiation, sizeof(message));
    noise_start(n, c, k->responder);
    noise_mix_ephemeral(n, c, message.ephemeral);
    *step = (struct static_step){.text_kind = STATIC_STEP_OPEN_TEXT, .text_len = X25519_SIZE};
    into_step(step, n);
    memcpy(step->remote, message.ephemeral, X25519_SIZE);
    memcpy(step->text, message.sealed_static, sizeof(message.sealed_static));
    static_step_run(step, c, vector_responder);
    assert_int_equal(step->result, 0);
    assert_memory_equal(step->text, k->initiator, X25519_SIZE);
    memcpy(step->remote, step->text, X25519_SIZE);
    memcpy(step->text, message.sealed_timestamp, sizeof(message.sealed_timestamp));
    step->text_len = MESSAGE_TIMESTAMP_SIZE;
    static_step_run(step, c, vector_responder);
    assert_int_equal(step->result, 0);
    out_of_step(n, step);
}

static void initiation_of_the_slow_twin_is_answered_as_it_would(void **state)
{
    struct crypto *c = *state;
    struct keys k = public_keys(c);
    struct noise n;
    struct static_step step;
    struct cookie_known none = {.until = 0};
    struct message_response response = {
        .type = put_le32(MESSAGE_RESPONSE), .sender = put_le32(0xaabbccdd), .receiver = put_le32(0x11223344)};
    uint8_t receives[AEAD_KEY_SIZE], sends[AEAD_KEY_SIZE];
    open_initiation(&n, c, &k, &step);
    assert_memory_equal(step.text, vector_timestamp, sizeof(vector_timestamp));

    memcpy(response.ephemeral, k.of_responder, X25519_SIZE);
    noise_mix_ephemeral(&n, c, k.of_responder);
    noise_mix_dh(&n, c, vector_ephemeral_of_responder, k.of_initiator, NULL);
    noise_mix_dh(&n, c, vector_ephemeral_of_responder, k.initiator, NULL);
    noise_seal_response(&n, c, vector_psk, response.sealed_nothing);
    assert_int_equal(cookie_seal_message(&none, c, k.initiator, (uint8_t *)&response, sizeof(response), 0), 0);
    assert_memory_equal(&response, vector_response, sizeof(response));
    assert_int_equal(noise_split(&n, c, receives, sends), 0);
    assert_memory_equal(sends, vector_responder_sends, sizeof(sends));
    assert_memory_equal(receives, vector_initiator_sends, sizeof(receives));
}

static void an_error_sticks(void **state)
{
    struct crypto *c = *state;
    struct keys k = public_keys(c);
    const uint8_t zero[X25519_SIZE] = {0};
    uint8_t a[AEAD_KEY_SIZE], b[AEAD_KEY_SIZE];
    struct noise n;
    noise_start(&n, c, k.responder);
    noise_mix_dh(&n, c, vector_initiator, zero, NULL);
    assert_int_equal(n.error, ERROR_LOW_ORDER);
    noise_mix_dh(&n, c, vector_initiator, k.responder, NULL);
    assert_int_equal(noise_split(&n, c, a, b), ERROR_LOW_ORDER);
    assert_true(is_zero(&n, sizeof(n)));
}

static void a_step_that_fails_changes_nothing_but_its_result(void **state)
{
    struct crypto *c = *state;
    struct keys k = public_keys(c);
    struct static_step step = {.text_kind = STATIC_STEP_OPEN_TEXT, .text_len = X25519_SIZE, .text = {1, 2, 3}}, before;
    memcpy(step.remote, k.of_initiator, X25519_SIZE);
    before = step;
    static_step_run(&step, c, vector_responder);
    assert_int_equal(step.result, ERROR_AUTHENTICATION);
    before.result = step.result;
    assert_memory_equal(&step, &before, sizeof(step));

    memset(step.remote, 0, X25519_SIZE);
    static_step_run(&step, c, vector_responder);
    assert_int_equal(step.result, ERROR_LOW_ORDER);
}

static void a_step_with_too_long_a_text_is_refused(void **state)
{
    struct static_step step = {.text_kind = STATIC_STEP_SEAL_TEXT, .text_len = X25519_SIZE + 1};
    static_step_run(&step, *state, vector_responder);
    assert_int_equal(step.result, ERROR_INVALID);
}

static void a_step_keeps_what_is_the_tunnels(void **state)
{
    struct crypto *c = *state;
    struct keys k = public_keys(c);
    struct static_step step = {
        .text_kind = STATIC_STEP_NO_TEXT, .stage = 3, .local_index = 7, .peer = 9, .message = {1, 2, 3}};
    memcpy(step.remote, k.of_initiator, X25519_SIZE);
    static_step_run(&step, c, vector_responder);
    assert_int_equal(step.result, 0);
    assert_int_equal(step.stage, 3);
    assert_int_equal(step.local_index, 7);
    assert_int_equal(step.peer, 9);
    assert_int_equal(step.message[2], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(initiation_is_that_of_the_slow_twin),
        cmocka_unit_test(response_of_the_slow_twin_yields_its_keys),
        cmocka_unit_test(initiation_of_the_slow_twin_is_answered_as_it_would),
        cmocka_unit_test(an_error_sticks),
        cmocka_unit_test(a_step_that_fails_changes_nothing_but_its_result),
        cmocka_unit_test(a_step_with_too_long_a_text_is_refused),
        cmocka_unit_test(a_step_keeps_what_is_the_tunnels),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
