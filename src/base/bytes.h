/* Integers with a fixed byte order and no alignment, secrets, and small helpers over bytes. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Explicit-endian fields of packed wire structs. */
struct le32 {
    uint8_t b[4];
};
struct le64 {
    uint8_t b[8];
};

static inline uint16_t get_be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t get_be64(const uint8_t *p)
{
    return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}
static inline void put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void put_be32(uint8_t *p, uint32_t v)
{
    put_be16(p, (uint16_t)(v >> 16));
    put_be16(p + 2, (uint16_t)v);
}
static inline void put_be64(uint8_t *p, uint64_t v)
{
    put_be32(p, (uint32_t)(v >> 32));
    put_be32(p + 4, (uint32_t)v);
}
static inline uint32_t get_le32(struct le32 v)
{
    return (uint32_t)v.b[3] << 24 | (uint32_t)v.b[2] << 16 | (uint32_t)v.b[1] << 8 | v.b[0];
}
static inline struct le32 put_le32(uint32_t v)
{
    return (struct le32){{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)}};
}
static inline uint64_t get_le64(struct le64 v)
{
    uint64_t out = 0;
    for (int i = 7; i >= 0; i--)
        out = out << 8 | v.b[i];
    return out;
}
static inline struct le64 put_le64(uint64_t v)
{
    struct le64 out;
    for (int i = 0; i < 8; i++)
        out.b[i] = (uint8_t)(v >> (8 * i));
    return out;
}

/* Overwrites a secret; never optimised away. */
static inline void wipe(void *secret, size_t len)
{
    explicit_bzero(secret, len);
}

/* Equality in time that depends on len alone. */
static inline bool equal_constant_time(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t differ = 0;
    for (size_t i = 0; i < len; i++)
        differ |= x[i] ^ y[i];
    return differ == 0;
}

static inline bool is_zero(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= p[i];
    return any == 0;
}

#endif
