#include "vectors.h"

#include "base/bytes.h"

/* RFC 7748 section 5.2. */
static void known_answers(void **state)
{
    static const struct {
        const char *scalar, *u, *out;
    } v[] = {{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
              "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
              "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
             {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
              "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
              "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"}};
    for (size_t i = 0; i < LENGTH(v); i++) {
        uint8_t out[X25519_SIZE];
        assert_int_equal(crypto_x25519(*state, out, hex(v[i].scalar).bytes, hex(v[i].u).bytes), 0);
        assert_hex(out, v[i].out);
    }
}

/* RFC 7748 section 5.2. */
static void thousand_iterations_end_where_they_should(void **state)
{
    uint8_t k[X25519_SIZE] = {9}, u[X25519_SIZE] = {9}, out[X25519_SIZE];
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(crypto_x25519(*state, out, k, u), 0);
        memcpy(u, k, sizeof(u));
        memcpy(k, out, sizeof(k));
        if (i == 0)
            assert_hex(k, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
    assert_hex(k, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

/* RFC 7748 section 6.1. */
static void both_sides_get_the_same_secret(void **state)
{
    struct octets a = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    struct octets b = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    uint8_t public_a[X25519_SIZE], public_b[X25519_SIZE], shared[X25519_SIZE];
    assert_int_equal(crypto_x25519_public(*state, public_a, a.bytes), 0);
    assert_hex(public_a, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_int_equal(crypto_x25519_public(*state, public_b, b.bytes), 0);
    assert_hex(public_b, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_int_equal(crypto_x25519(*state, shared, a.bytes, public_b), 0);
    assert_hex(shared, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_int_equal(crypto_x25519(*state, shared, b.bytes, public_a), 0);
    assert_hex(shared, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

static void public_key_is_the_exchange_with_the_base_point(void **state)
{
    static const uint8_t base[X25519_SIZE] = {9};
    uint64_t seed = 1;
    for (int i = 0; i < 100; i++) {
        uint8_t private_key[X25519_SIZE], public_key[X25519_SIZE], shared[X25519_SIZE];
        random_bytes(&seed, private_key, sizeof(private_key));
        assert_int_equal(crypto_x25519_public(*state, public_key, private_key), 0);
        assert_int_equal(crypto_x25519(*state, shared, private_key, base), 0);
        assert_memory_equal(public_key, shared, sizeof(shared));
    }
}

static void private_key_is_clamped_by_the_exchange(void **state)
{
    uint64_t seed = 2;
    uint8_t raw[X25519_SIZE], clamped[X25519_SIZE], u[X25519_SIZE], a[X25519_SIZE], b[X25519_SIZE];
    random_bytes(&seed, raw, sizeof(raw));
    random_bytes(&seed, u, sizeof(u));
    raw[0] |= 7;
    raw[31] |= 128;
    memcpy(clamped, raw, sizeof(raw));
    clamped[0] &= 248;
    clamped[31] = (uint8_t)((clamped[31] & 127) | 64);
    assert_int_equal(crypto_x25519(*state, a, raw, u), 0);
    assert_int_equal(crypto_x25519(*state, b, clamped, u), 0);
    assert_memory_equal(a, b, sizeof(a));
    assert_int_equal(crypto_x25519_public(*state, a, raw), 0);
    assert_int_equal(crypto_x25519_public(*state, b, clamped), 0);
    assert_memory_equal(a, b, sizeof(a));
}

/* Orders 4, 1, 8, 8 and 2 on the curve and its twist, then 0 and 1 written as p and p + 1. */
static void low_order_points_yield_zeroes_and_an_error(void **state)
{
    static const char *const points[] = {"0000000000000000000000000000000000000000000000000000000000000000",
                                         "0100000000000000000000000000000000000000000000000000000000000000",
                                         "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                                         "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                                         "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                         "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                         "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"};
    uint64_t seed = 3;
    for (size_t i = 0; i < 2 * LENGTH(points); i++) {
        struct octets u = hex(points[i / 2]);
        u.bytes[31] |= (uint8_t)(i % 2 * 128);
        uint8_t k[X25519_SIZE], shared[X25519_SIZE];
        random_bytes(&seed, k, sizeof(k));
        memset(shared, 0xa5, sizeof(shared));
        assert_int_equal(crypto_x25519(*state, shared, k, u.bytes), ERROR_LOW_ORDER);
        assert_true(is_zero(shared, sizeof(shared)));
    }
}

static void failure_leaves_the_next_exchange_alone(void **state)
{
    static const uint8_t zero[X25519_SIZE];
    uint8_t shared[X25519_SIZE];
    assert_int_equal(crypto_x25519(*state, shared, zero, zero), ERROR_LOW_ORDER);
    known_answers(state);
}

/* RFC 7748 section 5: values from p to 2^255 - 1 count modulo p, and the topmost bit is ignored. */
static void non_canonical_points_are_reduced(void **state)
{
    uint64_t seed = 4;
    for (unsigned n = 2; n <= 18; n++) {
        struct octets above = hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        uint8_t k[X25519_SIZE], small[X25519_SIZE] = {(uint8_t)n}, a[X25519_SIZE], b[X25519_SIZE];
        random_bytes(&seed, k, sizeof(k));
        above.bytes[0] = (uint8_t)(0xed + n);
        assert_int_equal(crypto_x25519(*state, a, k, small), 0);
        assert_int_equal(crypto_x25519(*state, b, k, above.bytes), 0);
        assert_memory_equal(a, b, sizeof(a));
        above.bytes[31] |= 128;
        assert_int_equal(crypto_x25519(*state, b, k, above.bytes), 0);
        assert_memory_equal(a, b, sizeof(a));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(thousand_iterations_end_where_they_should),
        cmocka_unit_test(both_sides_get_the_same_secret),
        cmocka_unit_test(public_key_is_the_exchange_with_the_base_point),
        cmocka_unit_test(private_key_is_clamped_by_the_exchange),
        cmocka_unit_test(low_order_points_yield_zeroes_and_an_error),
        cmocka_unit_test(failure_leaves_the_next_exchange_alone),
        cmocka_unit_test(non_canonical_points_are_reduced),
    };
    return cmocka_run_group_tests(tests, new_crypto, free_crypto);
}
