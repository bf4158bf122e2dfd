#include "vectors.h"

#include "crypto/openssl.h"

/* Sums over many lengths, computed with Python's hashlib over the same sequence. */
static void fill_sequence(uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(i * 7 + i / 256);
}

/* FIPS 180-4 examples. */
static void sha256_known_answers(void **state)
{
    static const struct {
        const char *text, *digest;
    } v[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
             {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
             {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    uint8_t digest[SHA256_SIZE];
    for (size_t i = 0; i < LENGTH(v); i++) {
        assert_int_equal(crypto_sha256(*state, digest, v[i].text, strlen(v[i].text)), 0);
        assert_hex(digest, v[i].digest);
    }
    static uint8_t million[1000000];
    memset(million, 'a', sizeof(million));
    assert_int_equal(crypto_sha256(*state, digest, million, sizeof(million)), 0);
    assert_hex(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void sha256_is_right_at_every_length(void **state)
{
    static uint8_t text[300], digests[300 * SHA256_SIZE];
    fill_sequence(text, sizeof(text));
    for (size_t n = 0; n < 300; n++)
        assert_int_equal(crypto_sha256(*state, digests + n * SHA256_SIZE, text, n), 0);
    uint8_t sum[SHA256_SIZE];
    assert_int_equal(crypto_sha256(*state, sum, digests, sizeof(digests)), 0);
    assert_hex(sum, "8133bea06a9979f7bff0426d07c426a13c1e2d346abb91ffc80f8c5ad7a0c5c3");
}

/* RFC 7693 appendix B, the empty text, and the hash of WireGuard's construction. */
static void blake2s_known_answers(void **state)
{
    static const struct {
        const char *text, *digest;
    } v[] = {
        {"", "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9"},
        {"abc", "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"},
        {"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s", "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36"}};
    uint8_t digest[BLAKE2S_SIZE];
    for (size_t i = 0; i < LENGTH(v); i++) {
        assert_int_equal(crypto_blake2s(*state, digest, v[i].text, strlen(v[i].text), NULL, 0), 0);
        assert_hex(digest, v[i].digest);
    }
}

static void blake2s_is_right_at_every_length_however_it_is_split(void **state)
{
    static uint8_t text[1025], digests[1025 * BLAKE2S_SIZE];
    fill_sequence(text, sizeof(text));
    for (size_t n = 0; n <= 1024; n++) {
        size_t a = n * 5 / 7;
        assert_int_equal(crypto_blake2s(*state, digests + n * BLAKE2S_SIZE, text, a, text + a, n - a), 0);
    }
    uint8_t sum[BLAKE2S_SIZE];
    assert_int_equal(crypto_blake2s(*state, sum, NULL, 0, digests, sizeof(digests)), 0);
    assert_hex(sum, "320b036c6eb652d0fb72bbfe534fa1f6808aabf83a0488dc2767a89b6ac7c817");
}

/* The first and the last keyed vector that BLAKE2's authors published. */
static void keyed_blake2s_known_answers(void **state)
{
    uint8_t text[255], mac[BLAKE2S_SIZE];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)i;
    assert_int_equal(crypto_blake2s_mac(*state, mac, sizeof(mac), text, 32, NULL, 0), 0);
    assert_hex(mac, "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49");
    assert_int_equal(crypto_blake2s_mac(*state, mac, sizeof(mac), text, 32, text, sizeof(text)), 0);
    assert_hex(mac, "3fb735061abc519dfe979e54c1ee5bfad0a9d858b3315bad34bde999efd724dd");
}

static void keyed_blake2s_takes_every_size_of_key_and_mac(void **state)
{
    static uint8_t text[1025], macs[1025 * BLAKE2S_SIZE];
    size_t used = 0;
    fill_sequence(text, sizeof(text));
    for (size_t n = 0; n <= 1024; n++) {
        size_t mac_len = 1 + n / 32 % 32;
        macs[used + mac_len] = 0xa5;
        assert_int_equal(crypto_blake2s_mac(*state, macs + used, mac_len, text, 1 + n % 32, text, n), 0);
        assert_int_equal(macs[used + mac_len], 0xa5);
        used += mac_len;
    }
    uint8_t sum[BLAKE2S_SIZE];
    assert_int_equal(crypto_blake2s(*state, sum, macs, used, NULL, 0), 0);
    assert_hex(sum, "04d2c7fb0bab7905fb33f371d9a399dfc6940d0d7457fb7e348533fd95db8ad4");
}

/* Starting the context without a key takes the one it still holds, which must be the zeroes put there. */
static void secret_key_does_not_stay_in_the_context(void **state)
{
    struct crypto *c = *state;
    static const uint8_t secret[BLAKE2S_SIZE] = {1}, zero[BLAKE2S_SIZE];
    uint8_t expected[BLAKE2S_SIZE], left[BLAKE2S_SIZE];
    assert_int_equal(crypto_blake2s_mac(c, expected, sizeof(expected), zero, sizeof(zero), NULL, 0), 0);
    assert_int_equal(crypto_blake2s_mac(c, left, sizeof(left), secret, sizeof(secret), NULL, 0), 0);
    assert_memory_not_equal(left, expected, sizeof(left));
    assert_int_equal(EVP_MAC_init(c->blake2s_mac_ctx, NULL, 0, NULL), 1);
    assert_int_equal(EVP_MAC_final(c->blake2s_mac_ctx, left, NULL, sizeof(left)), 1);
    assert_memory_equal(left, expected, sizeof(left));
}

static void sizes_outside_the_standard_are_refused(void **state)
{
    uint8_t bytes[100] = {0}, mac[64];
    assert_int_equal(crypto_blake2s_mac(*state, mac, 0, bytes, 32, bytes, 1), ERROR_INVALID);
    assert_int_equal(crypto_blake2s_mac(*state, mac, 33, bytes, 32, bytes, 1), ERROR_INVALID);
    assert_int_equal(crypto_blake2s_mac(*state, mac, 16, bytes, 0, bytes, 1), ERROR_INVALID);
    assert_int_equal(crypto_blake2s_mac(*state, mac, 16, bytes, 33, bytes, 1), ERROR_INVALID);
    assert_int_equal(crypto_hmac_blake2s(*state, mac, bytes, 65, bytes, 1), ERROR_INVALID);
    uint8_t *out[] = {mac, mac, mac, mac};
    assert_int_equal(crypto_kdf(*state, out, 0, bytes, bytes, 1), ERROR_INVALID);
    assert_int_equal(crypto_kdf(*state, out, 4, bytes, bytes, 1), ERROR_INVALID);
}

/* The keys and texts of RFC 4231, with BLAKE2s in the place of SHA-256. */
static void hmac_known_answers(void **state)
{
    static const struct {
        const char *key, *text, *mac;
    } v[] = {{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
              "65a8b7c5cc9136d424e82c37e2707e74e913c0655b99c75f40edf387453a3260"},
             {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
              "90b6281e2f3038c9056af0b4a7e763cae6fe5d9eb4386a0ec95237890c104ff0"},
             {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              "aaaaaaaaaaaaaaaaaaaaaaaa",
              "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a65204b6579",
              "5c9d14acdf10d83c09a3dd597cd53582e6d2c34d53a5cd4c44fff9bee06f14ed"}};
    for (size_t i = 0; i < LENGTH(v); i++) {
        struct octets key = hex(v[i].key), text = hex(v[i].text);
        uint8_t mac[BLAKE2S_SIZE];
        assert_int_equal(crypto_hmac_blake2s(*state, mac, key.bytes, key.len, text.bytes, text.len), 0);
        assert_hex(mac, v[i].mac);
    }
}

static void hmac_is_right_at_every_length(void **state)
{
    static uint8_t text[300], macs[300 * BLAKE2S_SIZE];
    fill_sequence(text, sizeof(text));
    for (size_t n = 0; n < 300; n++)
        assert_int_equal(crypto_hmac_blake2s(*state, macs + n * BLAKE2S_SIZE, text, n % 65, text, n), 0);
    uint8_t sum[BLAKE2S_SIZE];
    assert_int_equal(crypto_blake2s(*state, sum, macs, sizeof(macs), NULL, 0), 0);
    assert_hex(sum, "788f330f929ea82566dcd74f6f4dc55eff526e39a10fa38724b803182529872a");
}

/* Computed with Python's hmac and hashlib; the chaining key is the hash of WireGuard's construction. */
static void kdf_known_answers(void **state)
{
    static const struct {
        unsigned count;
        size_t input_len;
        const char *out[3];
    } v[] = {{1, 0, {"bd968725a9177942a8c2e4253d1dde31cf7b19ec001b4a3a3d141cd9d998d3ba"}},
             {2,
              64,
              {"0dd52c5b5ce754b7382fc6b2f43cf64219dbc8c0e4638e29a41d0f7e6602dd20",
               "2e1a80e3c169961910b7a8b8008aca3c2307ab4150f4e693edc26db7e498619a"}},
             {3,
              32,
              {"6ff66e10ab4a55ac8144a867fcd9f8ee64d4bd6239223338cb3437cf085ab031",
               "203b22d63d63e35cebb9e40210cf8c1d7f90879428a4c766cda9ef34bb299398",
               "35a7b2fc3e4f59db341dbe588e3b75897980c463d5bbb855f8ed8134ff40133a"}}};
    struct octets ck = hex("60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36");
    uint8_t input[64];
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (uint8_t)i;
    for (size_t i = 0; i < LENGTH(v); i++) {
        uint8_t bytes[3][BLAKE2S_SIZE], *out[] = {bytes[0], bytes[1], bytes[2]};
        assert_int_equal(crypto_kdf(*state, out, v[i].count, ck.bytes, input, v[i].input_len), 0);
        for (unsigned j = 0; j < v[i].count; j++)
            assert_hex(bytes[j], v[i].out[j]);
    }
}

static void kdf_may_replace_its_chaining_key(void **state)
{
    struct octets ck = hex("60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36");
    uint8_t key[BLAKE2S_SIZE], input[64];
    for (size_t i = 0; i < sizeof(input); i++)
        input[i] = (uint8_t)i;
    uint8_t *out[] = {ck.bytes, key};
    assert_int_equal(crypto_kdf(*state, out, 2, ck.bytes, input, sizeof(input)), 0);
    assert_hex(ck.bytes, "0dd52c5b5ce754b7382fc6b2f43cf64219dbc8c0e4638e29a41d0f7e6602dd20");
    assert_hex(key, "2e1a80e3c169961910b7a8b8008aca3c2307ab4150f4e693edc26db7e498619a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(sha256_is_right_at_every_length),
        cmocka_unit_test(blake2s_known_answers),
        cmocka_unit_test(blake2s_is_right_at_every_length_however_it_is_split),
        cmocka_unit_test(keyed_blake2s_known_answers),
        cmocka_unit_test(keyed_blake2s_takes_every_size_of_key_and_mac),
        cmocka_unit_test(secret_key_does_not_stay_in_the_context),
        cmocka_unit_test(sizes_outside_the_standard_are_refused),
        cmocka_unit_test(hmac_known_answers),
        cmocka_unit_test(hmac_is_right_at_every_length),
        cmocka_unit_test(kdf_known_answers),
        cmocka_unit_test(kdf_may_replace_its_chaining_key),
    };
    return cmocka_run_group_tests(tests, new_crypto, free_crypto);
}
