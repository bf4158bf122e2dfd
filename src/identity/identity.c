#include "identity/identity.h"

#include <string.h>

#include "base/bytes.h"

#define LABEL_SIZE 26

/* Labels keep the two keys of one seed apart; both end in the zero that C puts there. */
static const char signing_label[LABEL_SIZE] = "nightjar invite signing 1";
static const char static_label[LABEL_SIZE] = "nightjar invite static  1";

static int derive(struct crypto *c, uint8_t out[SHA256_SIZE], const char label[LABEL_SIZE],
                  const uint8_t seed[SEED_SIZE])
{
    uint8_t input[LABEL_SIZE + SEED_SIZE];
    memcpy(input, label, LABEL_SIZE);
    memcpy(input + LABEL_SIZE, seed, SEED_SIZE);
    int error = crypto_sha256(c, out, input, sizeof(input));
    wipe(input, sizeof(input));
    return error;
}

int invite_keys_derive(struct crypto *c, const uint8_t seed[SEED_SIZE], struct invite_keys *out)
{
    int error = derive(c, out->signing_seed, signing_label, seed);
    if (!error)
        error = crypto_ed25519_public(c, out->signing_public, out->signing_seed);
    if (!error)
        error = derive(c, out->static_private, static_label, seed);
    if (!error)
        error = crypto_x25519_public(c, out->static_public, out->static_private);
    if (error)
        wipe(out, sizeof(*out));
    return error;
}

void address_ipv6_prefix(uint8_t out[16], const struct network_id *network)
{
    memset(out, 0, 16);
    out[0] = 0xfd;
    memcpy(out + 1, network->bytes, 5);
}

int address_ipv6(struct crypto *c, uint8_t out[16], const struct network_id *network,
                 const uint8_t signing_key[ED25519_PUBLIC_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    int error = crypto_sha256(c, digest, signing_key, ED25519_PUBLIC_SIZE);
    if (error)
        return error;
    address_ipv6_prefix(out, network);
    memcpy(out + 6, digest, 10);
    return 0;
}

/* 100.64.0.0/10 (RFC 6598) holds 64 networks of 16 bits; the byte behind those that the IPv6 prefix takes picks one. */
void address_ipv4_prefix(uint8_t out[4], const struct network_id *network)
{
    out[0] = 100;
    out[1] = (uint8_t)(64 | (network->bytes[5] & 63));
    out[2] = 0;
    out[3] = 0;
}
