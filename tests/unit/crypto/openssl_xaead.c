#include "vectors.h"

#include "base/bytes.h"
#include "crypto/openssl.h"

static const char text[] =
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    "sunscreen would be it.";

#define TEXT_LEN (sizeof(text) - 1)

/* draft-irtf-cfrg-xchacha-03 section 2.2.1. */
static void hchacha20_known_answer(void **state)
{
    struct octets key = hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    struct octets nonce = hex("000000090000004a0000000031415927");
    uint8_t subkey[AEAD_KEY_SIZE];
    assert_int_equal(openssl_hchacha20(*state, subkey, key.bytes, nonce.bytes), 0);
    assert_hex(subkey, "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
}

/* draft-irtf-cfrg-xchacha-03 appendix A.3.1. */
static void known_answer(void **state)
{
    struct octets key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    struct octets nonce = hex("404142434445464748494a4b4c4d4e4f5051525354555657"), ad = hex("50515253c0c1c2c3c4c5c6c7");
    uint8_t sealed[TEXT_LEN + AEAD_TAG_SIZE], opened[TEXT_LEN];
    assert_int_equal(
        crypto_xaead_seal(*state, sealed, key.bytes, nonce.bytes, ad.bytes, ad.len, (const uint8_t *)text, TEXT_LEN),
        0);
    assert_hex(sealed, "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e3"
                       "9ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3ff"
                       "f921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49");
    assert_int_equal(
        crypto_xaead_open(*state, opened, key.bytes, nonce.bytes, ad.bytes, ad.len, sealed, sizeof(sealed)), 0);
    assert_memory_equal(opened, text, TEXT_LEN);
}

static void every_bit_of_nonce_ad_and_sealed_text_matters(void **state)
{
    static const uint8_t key[AEAD_KEY_SIZE] = {1};
    struct {
        uint8_t nonce[XAEAD_NONCE_SIZE], ad[16], sealed[16 + AEAD_TAG_SIZE];
    } all = {.nonce = {2}, .ad = {3}};
    uint8_t cookie[16] = {4}, out[16], *bytes = (uint8_t *)&all;
    assert_int_equal(crypto_xaead_seal(*state, all.sealed, key, all.nonce, all.ad, 16, cookie, sizeof(cookie)), 0);
    assert_int_equal(crypto_xaead_open(*state, out, key, all.nonce, all.ad, 16, all.sealed, sizeof(all.sealed)), 0);
    assert_memory_equal(out, cookie, sizeof(cookie));
    for (size_t bit = 0; bit < 8 * sizeof(all); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(crypto_xaead_open(*state, out, key, all.nonce, all.ad, 16, all.sealed, sizeof(all.sealed)),
                         ERROR_AUTHENTICATION);
        assert_true(is_zero(out, sizeof(out)));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hchacha20_known_answer),
        cmocka_unit_test(known_answer),
        cmocka_unit_test(every_bit_of_nonce_ad_and_sealed_text_matters),
    };
    return cmocka_run_group_tests(tests, new_crypto, free_crypto);
}
