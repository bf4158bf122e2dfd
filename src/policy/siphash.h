/* SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash for tables whose keys strangers choose. */
#ifndef POLICY_SIPHASH_H
#define POLICY_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash(const uint8_t key[16], const void *bytes, size_t len);

#endif
