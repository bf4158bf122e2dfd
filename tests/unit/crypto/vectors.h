/* Known answers in hexadecimal, bytes that look random but are the same each time, and the library under test. */
#ifndef TEST_UNIT_CRYPTO_VECTORS_H
#define TEST_UNIT_CRYPTO_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/crypto.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

struct octets {
    uint8_t bytes[512];
    size_t len;
};

static inline struct octets hex(const char *digits)
{
    struct octets out = {.len = strlen(digits) / 2};
    assert_true(out.len <= sizeof(out.bytes));
    for (size_t i = 0; i < out.len; i++) {
        const char byte[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        char *end;
        out.bytes[i] = (uint8_t)strtoul(byte, &end, 16);
        assert_true(end == byte + 2);
    }
    return out;
}

static inline void assert_hex(const uint8_t *actual, const char *digits)
{
    struct octets expected = hex(digits);
    assert_memory_equal(actual, expected.bytes, expected.len);
}

static inline uint32_t random_below(uint64_t *seed, uint32_t bound)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33) % bound;
}

static inline void random_bytes(uint64_t *seed, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)random_below(seed, 256);
}

static inline int new_crypto(void **state)
{
    return crypto_new((struct crypto **)state, CRYPTO_BULK_OPENSSL);
}

static inline int free_crypto(void **state)
{
    crypto_free(*state);
    return 0;
}

#endif
