#include "vectors.h"

/* RFC 8032 section 7.1: tests 1, 2, 3 and SHA(abc). */
static const struct {
    const char *seed, *public_key, *message, *signature;
} vectors[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
     "655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
     "b00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
     "c027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e"
     "2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17a"
     "d9bef1177331a704"}};

static void known_answers(void **state)
{
    for (size_t i = 0; i < LENGTH(vectors); i++) {
        struct octets seed = hex(vectors[i].seed), message = hex(vectors[i].message);
        uint8_t public_key[ED25519_PUBLIC_SIZE], signature[ED25519_SIGNATURE_SIZE];
        assert_int_equal(crypto_ed25519_public(*state, public_key, seed.bytes), 0);
        assert_hex(public_key, vectors[i].public_key);
        assert_int_equal(crypto_ed25519_sign(*state, signature, seed.bytes, message.bytes, message.len), 0);
        assert_hex(signature, vectors[i].signature);
        assert_int_equal(crypto_ed25519_verify(*state, signature, public_key, message.bytes, message.len), 0);
    }
}

static void every_bit_of_the_signature_matters(void **state)
{
    struct octets key = hex(vectors[2].public_key), message = hex(vectors[2].message);
    struct octets signature = hex(vectors[2].signature);
    for (size_t bit = 0; bit < 8 * ED25519_SIGNATURE_SIZE; bit++) {
        signature.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(crypto_ed25519_verify(*state, signature.bytes, key.bytes, message.bytes, message.len),
                         ERROR_AUTHENTICATION);
        signature.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A key that is no point on the curve is refused with the same error. */
static void every_bit_of_the_key_and_the_message_matters(void **state)
{
    struct octets key = hex(vectors[2].public_key), message = hex(vectors[2].message);
    struct octets signature = hex(vectors[2].signature);
    for (size_t bit = 0; bit < 8 * ED25519_PUBLIC_SIZE; bit++) {
        key.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(crypto_ed25519_verify(*state, signature.bytes, key.bytes, message.bytes, message.len),
                         ERROR_AUTHENTICATION);
        key.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    message.bytes[0] ^= 1;
    assert_int_equal(crypto_ed25519_verify(*state, signature.bytes, key.bytes, message.bytes, message.len),
                     ERROR_AUTHENTICATION);
    assert_int_equal(crypto_ed25519_verify(*state, signature.bytes, key.bytes, message.bytes, message.len - 1),
                     ERROR_AUTHENTICATION);
}

/* RFC 8032 section 5.1.7: S and S + L satisfy the same equation, but S must be below the group's order L. */
static void signature_whose_s_is_not_reduced_is_refused(void **state)
{
    struct octets order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    for (size_t i = 0; i < LENGTH(vectors); i++) {
        struct octets key = hex(vectors[i].public_key), message = hex(vectors[i].message);
        struct octets signature = hex(vectors[i].signature);
        unsigned carry = 0;
        for (size_t j = 0; j < order.len; j++) {
            carry += (unsigned)signature.bytes[32 + j] + order.bytes[j];
            signature.bytes[32 + j] = (uint8_t)carry;
            carry >>= 8;
        }
        assert_int_equal(carry, 0);
        assert_int_equal(crypto_ed25519_verify(*state, signature.bytes, key.bytes, message.bytes, message.len),
                         ERROR_AUTHENTICATION);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_bit_of_the_signature_matters),
        cmocka_unit_test(every_bit_of_the_key_and_the_message_matters),
        cmocka_unit_test(signature_whose_s_is_not_reduced_is_refused),
    };
    return cmocka_run_group_tests(tests, new_crypto, free_crypto);
}
