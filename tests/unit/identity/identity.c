#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "identity/identity.h"

static int set_up(void **state)
{
    return crypto_new((struct crypto **)state, CRYPTO_BULK_OPENSSL);
}

static int tear_down(void **state)
{
    crypto_free(*state);
    return 0;
}

/* SHA-256 of each label with its zero and 32 bytes of 0x07, by Python's hashlib. */
static const uint8_t signing_seed_of_sevens[] = {0xe1, 0x1b, 0xf9, 0xfa, 0x34, 0x15, 0xb8, 0xd8, 0xf7, 0x66, 0xa4,
                                                 0x68, 0xc4, 0xbc, 0x72, 0x99, 0x1d, 0xd9, 0x50, 0xec, 0x54, 0xd1,
                                                 0xab, 0x33, 0x64, 0x24, 0xd1, 0xe8, 0x4b, 0x5e, 0x0d, 0x34};
static const uint8_t static_private_of_sevens[] = {0x02, 0x69, 0x96, 0xa3, 0xe4, 0x3b, 0x63, 0xdc, 0x8d, 0xc2, 0x8f,
                                                   0x2b, 0x6e, 0x7a, 0x5d, 0x08, 0x4d, 0x25, 0xdf, 0xf6, 0xf7, 0x27,
                                                   0xee, 0x6c, 0x79, 0x7b, 0x86, 0x6a, 0x0d, 0xd9, 0x1a, 0xf1};
/* SHA-256 of 32 bytes of 0x07. */
static const uint8_t digest_of_sevens[] = {0x4b, 0xb0, 0x6f, 0x8e, 0x4e, 0x3a, 0x77, 0x15, 0xd2, 0x01, 0xd5,
                                           0x73, 0xd0, 0xaa, 0x42, 0x37, 0x62, 0xe5, 0x5d, 0xab, 0xd6, 0x1a,
                                           0x2c, 0x02, 0x27, 0x8f, 0xa5, 0x6c, 0xc6, 0xd2, 0x94, 0xe0};

static void a_seed_yields_the_keys_that_the_labels_say(void **state)
{
    uint8_t seed[SEED_SIZE], public_key[32];
    struct invite_keys keys;
    memset(seed, 7, sizeof(seed));
    assert_int_equal(invite_keys_derive(*state, seed, &keys), 0);
    assert_memory_equal(keys.signing_seed, signing_seed_of_sevens, 32);
    assert_memory_equal(keys.static_private, static_private_of_sevens, 32);
    assert_int_equal(crypto_ed25519_public(*state, public_key, keys.signing_seed), 0);
    assert_memory_equal(keys.signing_public, public_key, 32);
    assert_int_equal(crypto_x25519_public(*state, public_key, keys.static_private), 0);
    assert_memory_equal(keys.static_public, public_key, 32);
}

static void every_bit_of_the_seed_matters(void **state)
{
    uint8_t seed[SEED_SIZE] = {0};
    struct invite_keys first, other;
    assert_int_equal(invite_keys_derive(*state, seed, &first), 0);
    for (unsigned bit = 0; bit < 8 * SEED_SIZE; bit++) {
        seed[bit / 8] = (uint8_t)(1 << bit % 8);
        assert_int_equal(invite_keys_derive(*state, seed, &other), 0);
        assert_memory_not_equal(first.signing_seed, other.signing_seed, 32);
        assert_memory_not_equal(first.static_private, other.static_private, 32);
        seed[bit / 8] = 0;
    }
}

static struct network_id counting_network(void)
{
    struct network_id network;
    for (unsigned i = 0; i < NETWORK_ID_SIZE; i++)
        network.bytes[i] = (uint8_t)(i + 0xf1);
    return network;
}

static void an_ipv6_address_is_the_networks_48_bits_and_80_of_the_keys_hash(void **state)
{
    static const uint8_t prefix[6] = {0xfd, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5};
    struct network_id network = counting_network();
    uint8_t key[ED25519_PUBLIC_SIZE], address[16];
    memset(key, 7, sizeof(key));
    assert_int_equal(address_ipv6(*state, address, &network, key), 0);
    assert_memory_equal(address, prefix, sizeof(prefix));
    assert_memory_equal(address + 6, digest_of_sevens, 10);
}

static void an_ipv6_prefix_has_zeroes_behind_it(void **state)
{
    (void)state;
    struct network_id network = counting_network();
    uint8_t prefix[16];
    memset(prefix, 0xaa, sizeof(prefix));
    address_ipv6_prefix(prefix, &network);
    assert_memory_equal(prefix, ((uint8_t[16]){0xfd, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5}), 16);
}

static void an_ipv4_prefix_is_in_shared_address_space_and_all_64_can_come(void **state)
{
    (void)state;
    struct network_id network = {0};
    uint64_t seen = 0;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t prefix[4];
        network.bytes[5] = (uint8_t)i;
        address_ipv4_prefix(prefix, &network);
        assert_int_equal(prefix[0], 100);
        assert_in_range(prefix[1], 64, 127);
        assert_int_equal(prefix[2] | prefix[3], 0);
        seen |= UINT64_C(1) << (prefix[1] - 64);
    }
    assert_true(seen == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_yields_the_keys_that_the_labels_say),
        cmocka_unit_test(every_bit_of_the_seed_matters),
        cmocka_unit_test(an_ipv6_address_is_the_networks_48_bits_and_80_of_the_keys_hash),
        cmocka_unit_test(an_ipv6_prefix_has_zeroes_behind_it),
        cmocka_unit_test(an_ipv4_prefix_is_in_shared_address_space_and_all_64_can_come),
    };
    return cmocka_run_group_tests_name("identity-identity", tests, set_up, tear_down);
}
