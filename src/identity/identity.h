/* Names, ids, keys and addresses of devices and networks. */
#ifndef IDENTITY_IDENTITY_H
#define IDENTITY_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "crypto/crypto.h"
#include "wire/names.h"

#define NETWORK_ID_SIZE SHA256_SIZE
#define SEED_SIZE 32

/* The first root statement's hash names a network, forever. */
struct network_id {
    uint8_t bytes[NETWORK_ID_SIZE];
};

/* What an invite's 32-byte seed yields: a signing key that signs the join, and a static key that is a WireGuard peer.
 */
struct invite_keys {
    uint8_t signing_seed[ED25519_SEED_SIZE];
    uint8_t signing_public[ED25519_PUBLIC_SIZE];
    uint8_t static_private[X25519_SIZE];
    uint8_t static_public[X25519_SIZE];
};
/* The caller wipes `out`. */
must_check int invite_keys_derive(struct crypto *c, const uint8_t seed[SEED_SIZE], struct invite_keys *out);

/* fd, 40 bits of the network id: the network's /48 (RFC 4193); then the first 80 bits of SHA-256(signing key). */
must_check int address_ipv6(struct crypto *c, uint8_t out[16], const struct network_id *network,
                            const uint8_t signing_key[ED25519_PUBLIC_SIZE]);
void address_ipv6_prefix(uint8_t out[16], const struct network_id *network);
#define ADDRESS_IPV6_PREFIX_LEN 48
/* The /16 out of 100.64.0.0/10 that the network id picks. */
void address_ipv4_prefix(uint8_t out[4], const struct network_id *network);
#define ADDRESS_IPV4_PREFIX_LEN 16

#endif
