#include "vectors.h"

/* RFC 7914 section 12: the first half of the vector with N = 16384, r = 8, p = 1. */
static void known_answer(void **state)
{
    uint8_t key[AEAD_KEY_SIZE];
    assert_int_equal(crypto_scrypt(*state, key, "pleaseletmein", 13, (const uint8_t *)"SodiumChloride", 14, 14), 0);
    assert_hex(key, "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
}

static void a_cost_out_of_range_is_refused(void **state)
{
    uint8_t key[AEAD_KEY_SIZE] = {0};
    assert_int_equal(crypto_scrypt(*state, key, "x", 1, key, 0, SCRYPT_LOG2_N_MIN - 1), ERROR_INVALID);
    assert_int_equal(crypto_scrypt(*state, key, "x", 1, key, 0, SCRYPT_LOG2_N_MAX + 1), ERROR_INVALID);
    assert_int_equal(crypto_scrypt(*state, key, "", 0, key, 0, SCRYPT_LOG2_N_MIN), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answer),
        cmocka_unit_test(a_cost_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, new_crypto, free_crypto);
}
