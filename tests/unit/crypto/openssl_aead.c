#include "vectors.h"

#include "aead_vectors.h"
#include "base/bytes.h"
#include "crypto/openssl.h"

#define TEXT_MAX 2048

static const enum aead aeads[] = {AEAD_CHACHA20_POLY1305, AEAD_AES_256_GCM};

static const uint8_t key[AEAD_KEY_SIZE] = {1, 2, 3}, nonce[AEAD_NONCE_SIZE] = {4, 5, 6}, ad[13] = {7, 8, 9};

static void known_answers(void **state)
{
    for (size_t i = 0; i < LENGTH(aead_vectors); i++) {
        struct octets k = hex(aead_vectors[i].key), n = hex(aead_vectors[i].nonce), a = hex(aead_vectors[i].ad);
        struct octets text = hex(aead_vectors[i].text), sealed = hex(aead_vectors[i].sealed);
        uint8_t out[512];
        assert_int_equal(
            crypto_aead_seal(*state, aead_vectors[i].aead, out, k.bytes, n.bytes, a.bytes, a.len, text.bytes, text.len),
            0);
        assert_memory_equal(out, sealed.bytes, sealed.len);
        assert_int_equal(crypto_aead_open(*state, aead_vectors[i].aead, out, k.bytes, n.bytes, a.bytes, a.len,
                                          sealed.bytes, sealed.len),
                         0);
        assert_memory_equal(out, text.bytes, text.len);
    }
}

static void every_length_opens_to_what_was_sealed(void **state)
{
    static uint8_t text[TEXT_MAX], sealed[TEXT_MAX + AEAD_TAG_SIZE], opened[TEXT_MAX + 1];
    uint64_t seed = 1;
    random_bytes(&seed, text, sizeof(text));
    for (size_t i = 0; i < LENGTH(aeads); i++)
        for (size_t len = 0; len <= TEXT_MAX; len++) {
            size_t ad_len = len % (sizeof(ad) + 1);
            opened[len] = 0xa5;
            assert_int_equal(crypto_aead_seal(*state, aeads[i], sealed, key, nonce, ad, ad_len, text, len), 0);
            assert_int_equal(
                crypto_aead_open(*state, aeads[i], opened, key, nonce, ad, ad_len, sealed, len + AEAD_TAG_SIZE), 0);
            assert_memory_equal(opened, text, len);
            assert_int_equal(opened[len], 0xa5);
        }
}

static void text_may_be_sealed_and_opened_in_place(void **state)
{
    uint8_t text[100], bytes[100 + AEAD_TAG_SIZE], apart[100 + AEAD_TAG_SIZE];
    uint64_t seed = 2;
    random_bytes(&seed, text, sizeof(text));
    for (size_t i = 0; i < LENGTH(aeads); i++) {
        memcpy(bytes, text, sizeof(text));
        assert_int_equal(crypto_aead_seal(*state, aeads[i], bytes, key, nonce, ad, 1, bytes, sizeof(text)), 0);
        assert_int_equal(crypto_aead_seal(*state, aeads[i], apart, key, nonce, ad, 1, text, sizeof(text)), 0);
        assert_memory_equal(bytes, apart, sizeof(apart));
        assert_int_equal(crypto_aead_open(*state, aeads[i], bytes, key, nonce, ad, 1, bytes, sizeof(bytes)), 0);
        assert_memory_equal(bytes, text, sizeof(text));
    }
}

static void empty_text_and_empty_ad_are_still_authenticated(void **state)
{
    for (size_t i = 0; i < LENGTH(aeads); i++) {
        uint8_t tag[AEAD_TAG_SIZE], none[1];
        assert_int_equal(crypto_aead_seal(*state, aeads[i], tag, key, nonce, NULL, 0, NULL, 0), 0);
        assert_int_equal(crypto_aead_open(*state, aeads[i], none, key, nonce, NULL, 0, tag, sizeof(tag)), 0);
        assert_int_equal(crypto_aead_open(*state, aeads[i], none, key, nonce, ad, 1, tag, sizeof(tag)),
                         ERROR_AUTHENTICATION);
        tag[15] ^= 128;
        assert_int_equal(crypto_aead_open(*state, aeads[i], none, key, nonce, NULL, 0, tag, sizeof(tag)),
                         ERROR_AUTHENTICATION);
    }
}

static void every_bit_matters_and_failure_leaves_no_text(void **state)
{
    uint8_t text[50] = {1}, sealed[sizeof(text) + AEAD_TAG_SIZE], out[sizeof(text)];
    for (size_t i = 0; i < LENGTH(aeads); i++) {
        assert_int_equal(crypto_aead_seal(*state, aeads[i], sealed, key, nonce, ad, sizeof(ad), text, sizeof(text)), 0);
        for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
            memset(out, 0xa5, sizeof(out));
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(
                crypto_aead_open(*state, aeads[i], out, key, nonce, ad, sizeof(ad), sealed, sizeof(sealed)),
                ERROR_AUTHENTICATION);
            assert_true(is_zero(out, sizeof(out)));
            sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

static void another_key_nonce_or_ad_does_not_open(void **state)
{
    uint8_t text[50] = {1}, sealed[sizeof(text) + AEAD_TAG_SIZE], out[sizeof(text)];
    uint8_t other_key[AEAD_KEY_SIZE] = {0}, other_nonce[AEAD_NONCE_SIZE] = {0}, other_ad[sizeof(ad)] = {0};
    for (size_t i = 0; i < LENGTH(aeads); i++) {
        assert_int_equal(crypto_aead_seal(*state, aeads[i], sealed, key, nonce, ad, sizeof(ad), text, sizeof(text)), 0);
        const struct {
            const uint8_t *key, *nonce, *ad;
            size_t ad_len;
        } wrong[] = {{other_key, nonce, ad, sizeof(ad)},
                     {key, other_nonce, ad, sizeof(ad)},
                     {key, nonce, other_ad, sizeof(ad)},
                     {key, nonce, ad, sizeof(ad) - 1}};
        for (size_t j = 0; j < LENGTH(wrong); j++)
            assert_int_equal(crypto_aead_open(*state, aeads[i], out, wrong[j].key, wrong[j].nonce, wrong[j].ad,
                                              wrong[j].ad_len, sealed, sizeof(sealed)),
                             ERROR_AUTHENTICATION);
    }
}

static void no_truncation_opens(void **state)
{
    uint8_t text[50] = {1}, sealed[sizeof(text) + AEAD_TAG_SIZE], out[sizeof(text)];
    for (size_t i = 0; i < LENGTH(aeads); i++) {
        assert_int_equal(crypto_aead_seal(*state, aeads[i], sealed, key, nonce, NULL, 0, text, sizeof(text)), 0);
        for (size_t len = 0; len < sizeof(sealed); len++)
            assert_int_equal(crypto_aead_open(*state, aeads[i], out, key, nonce, NULL, 0, sealed, len),
                             ERROR_AUTHENTICATION);
    }
}

/* A context that was reset has wiped and freed its key, and no longer knows its cipher. */
static void key_does_not_stay_in_the_context(void **state)
{
    struct crypto *c = *state;
    uint8_t text[AEAD_TAG_SIZE + 1] = {1};
    struct aead_op op = {.key = key, .text = text, .len = 1};
    for (size_t i = 0; i < LENGTH(aeads); i++) {
        assert_int_equal(crypto_aead_seal(c, aeads[i], text, key, nonce, NULL, 0, text, 1), 0);
        assert_null(EVP_CIPHER_CTX_get0_cipher(c->cipher_ctx));
        assert_int_equal(crypto_aead_open(c, aeads[i], text, key, nonce, NULL, 0, text, sizeof(text)), 0);
        assert_null(EVP_CIPHER_CTX_get0_cipher(c->cipher_ctx));
        crypto_seal_batch(c, aeads[i], &op, 1);
        assert_int_equal(op.result, 0);
        assert_null(EVP_CIPHER_CTX_get0_cipher(c->cipher_ctx));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_length_opens_to_what_was_sealed),
        cmocka_unit_test(text_may_be_sealed_and_opened_in_place),
        cmocka_unit_test(empty_text_and_empty_ad_are_still_authenticated),
        cmocka_unit_test(every_bit_matters_and_failure_leaves_no_text),
        cmocka_unit_test(another_key_nonce_or_ad_does_not_open),
        cmocka_unit_test(no_truncation_opens),
        cmocka_unit_test(key_does_not_stay_in_the_context),
    };
    return cmocka_run_group_tests(tests, new_crypto, free_crypto);
}
