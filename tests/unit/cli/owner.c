#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "owner.h"

#define CHEAP SCRYPT_LOG2_N_MIN

static const uint8_t seed[ED25519_SEED_SIZE] = {1, 2, 3}, salt[OWNER_SALT_SIZE] = {9, 8, 7};
static const struct passphrase right = {7, "correct"}, wrong = {7, "Correct"}, shorter = {6, "correct"};

static int set_up(void **state)
{
    return crypto_new((struct crypto **)state, CRYPTO_BULK_OPENSSL);
}

static int tear_down(void **state)
{
    crypto_free(*state);
    return 0;
}

static bool holds_seed(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i + sizeof(seed) <= len; i++)
        if (memcmp(bytes + i, seed, sizeof(seed)) == 0)
            return true;
    return false;
}

static void a_sealed_key_opens_with_its_passphrase_alone(void **state)
{
    uint8_t file[OWNER_FILE_SIZE], out[ED25519_SEED_SIZE];
    assert_int_equal(owner_seal(*state, file, seed, &right, salt, CHEAP), 0);
    assert_true(owner_is_sealed(file));
    assert_false(holds_seed(file, sizeof(file)));
    assert_int_equal(owner_open(*state, out, file, sizeof(file), &right), 0);
    assert_memory_equal(out, seed, sizeof(seed));
    assert_int_equal(owner_open(*state, out, file, sizeof(file), &wrong), ERROR_AUTHENTICATION);
    assert_int_equal(owner_open(*state, out, file, sizeof(file), &shorter), ERROR_AUTHENTICATION);
    assert_int_equal(owner_open(*state, out, file, sizeof(file), NULL), ERROR_AUTHENTICATION);
}

static void a_bare_key_opens_without_one(void **state)
{
    uint8_t file[OWNER_FILE_SIZE], out[ED25519_SEED_SIZE];
    assert_int_equal(owner_seal(*state, file, seed, NULL, salt, CHEAP), 0);
    assert_false(owner_is_sealed(file));
    assert_int_equal(owner_open(*state, out, file, sizeof(file), NULL), 0);
    assert_memory_equal(out, seed, sizeof(seed));
}

/* Also the header: nobody turns the cost down, or a sealed file into a bare one, unnoticed. */
static void an_altered_file_yields_no_key(void **state)
{
    uint8_t file[OWNER_FILE_SIZE], out[ED25519_SEED_SIZE];
    assert_int_equal(owner_seal(*state, file, seed, &right, salt, CHEAP), 0);
    for (size_t i = 0; i < sizeof(file); i++) {
        memset(out, 0, sizeof(out));
        file[i] ^= 1;
        int error = owner_open(*state, out, file, sizeof(file), &right);
        assert_false(error == 0 && memcmp(out, seed, sizeof(seed)) == 0);
        file[i] ^= 1;
    }
    for (size_t len = 0; len < sizeof(file); len++)
        assert_int_equal(owner_open(*state, out, file, len, &right), ERROR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_key_opens_with_its_passphrase_alone),
        cmocka_unit_test(a_bare_key_opens_without_one),
        cmocka_unit_test(an_altered_file_yields_no_key),
    };
    return cmocka_run_group_tests_name("cli-owner", tests, set_up, tear_down);
}
