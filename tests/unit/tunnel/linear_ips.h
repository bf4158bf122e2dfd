/* The slow twin of allowed_ips: an unordered table of prefixes, searched from end to end, bit by bit. */
#ifndef TESTS_LINEAR_IPS_H
#define TESTS_LINEAR_IPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LINEAR_IPS_MAX 2048

struct linear_prefix {
    uint8_t address[16];
    unsigned address_len;
    unsigned cidr;
    void *owner;
};

struct linear_ips {
    struct linear_prefix prefix[LINEAR_IPS_MAX];
    size_t count;
};

static inline bool linear_bit(const uint8_t *address, unsigned position)
{
    return address[position / 8] & 0x80 >> position % 8;
}

static inline bool linear_covers(const struct linear_prefix *prefix, const uint8_t *address, unsigned address_len)
{
    if (prefix->address_len != address_len)
        return false;
    for (unsigned i = 0; i < prefix->cidr; i++)
        if (linear_bit(prefix->address, i) != linear_bit(address, i))
            return false;
    return true;
}

static inline struct linear_prefix *linear_find(struct linear_ips *table, const uint8_t *address, unsigned address_len,
                                                unsigned cidr)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->prefix[i].cidr == cidr && linear_covers(&table->prefix[i], address, address_len))
            return &table->prefix[i];
    return NULL;
}

/* False when the table is full. */
static inline bool linear_insert(struct linear_ips *table, const uint8_t *address, unsigned address_len, unsigned cidr,
                                 void *owner)
{
    struct linear_prefix *prefix = linear_find(table, address, address_len, cidr);
    if (prefix == NULL && table->count == LINEAR_IPS_MAX)
        return false;
    if (prefix == NULL)
        prefix = &table->prefix[table->count++];
    *prefix = (struct linear_prefix){.address_len = address_len, .cidr = cidr, .owner = owner};
    for (unsigned i = 0; i < cidr; i++)
        if (linear_bit(address, i))
            prefix->address[i / 8] |= (uint8_t)(0x80 >> i % 8);
    return true;
}

/* False when the prefix is not the owner's. */
static inline bool linear_remove(struct linear_ips *table, const uint8_t *address, unsigned address_len, unsigned cidr,
                                 const void *owner)
{
    struct linear_prefix *prefix = linear_find(table, address, address_len, cidr);
    if (prefix == NULL || prefix->owner != owner)
        return false;
    *prefix = table->prefix[--table->count];
    return true;
}

static inline void linear_remove_all(struct linear_ips *table, const void *owner)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++)
        if (table->prefix[i].owner != owner)
            table->prefix[kept++] = table->prefix[i];
    table->count = kept;
}

static inline void *linear_lookup(const struct linear_ips *table, const uint8_t *address, unsigned address_len)
{
    const struct linear_prefix *best = NULL;
    for (size_t i = 0; i < table->count; i++)
        if (linear_covers(&table->prefix[i], address, address_len) &&
            (best == NULL || table->prefix[i].cidr > best->cidr))
            best = &table->prefix[i];
    return best != NULL ? best->owner : NULL;
}

static inline uint32_t linear_count_of(const struct linear_ips *table, const void *owner)
{
    uint32_t count = 0;
    for (size_t i = 0; i < table->count; i++)
        count += table->prefix[i].owner == owner;
    return count;
}

/* Whether `owner` has exactly this prefix, whose bits behind cidr are zero. */
static inline bool linear_has(struct linear_ips *table, const uint8_t *address, unsigned address_len, unsigned cidr,
                              const void *owner)
{
    const struct linear_prefix *prefix = linear_find(table, address, address_len, cidr);
    return prefix != NULL && prefix->owner == owner && memcmp(prefix->address, address, address_len) == 0;
}

#endif
