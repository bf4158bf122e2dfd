/* Noise's symmetric state as WireGuard uses it (paper section 5.4.2 and 5.4.3). */
#ifndef TUNNEL_NOISE_H
#define TUNNEL_NOISE_H

#include "crypto/crypto.h"
#include "wire/message.h"

/* The error sticks: do all steps, check once at the end. Holds secrets: wiped with noise_wipe. */
struct noise {
    uint8_t chaining_key[BLAKE2S_SIZE];
    uint8_t hash[BLAKE2S_SIZE];
    int error;
};

/* The state before the first message to the holder of `responder`. */
void noise_start(struct noise *n, struct crypto *c, const uint8_t responder[X25519_SIZE]);
void noise_wipe(struct noise *n);
/* To and from where it waits: a static step, or another process's answer. */
void noise_save(const struct noise *n, uint8_t chaining_key[BLAKE2S_SIZE], uint8_t hash[BLAKE2S_SIZE]);
void noise_load(struct noise *n, const uint8_t chaining_key[BLAKE2S_SIZE], const uint8_t hash[BLAKE2S_SIZE]);

void noise_mix_hash(struct noise *n, struct crypto *c, const void *data, size_t len);
/* Mixes `input` into the chaining key; `key`, if not NULL, receives the AEAD key that comes with it. */
void noise_mix_key(struct noise *n, struct crypto *c, const void *input, size_t len, uint8_t *key);
/* An ephemeral public key, sent or received. */
void noise_mix_ephemeral(struct noise *n, struct crypto *c, const uint8_t ephemeral[X25519_SIZE]);
void noise_mix_dh(struct noise *n, struct crypto *c, const uint8_t private_key[X25519_SIZE],
                  const uint8_t public_key[X25519_SIZE], uint8_t *key);
/* Mixes in the preshared key (all zero: none) and seals or opens nothing: the end of the response. */
void noise_seal_response(struct noise *n, struct crypto *c, const uint8_t preshared_key[MESSAGE_KEY_SIZE],
                         uint8_t sealed_nothing[MESSAGE_TAG_SIZE]);
void noise_open_response(struct noise *n, struct crypto *c, const uint8_t preshared_key[MESSAGE_KEY_SIZE],
                         const uint8_t sealed_nothing[MESSAGE_TAG_SIZE]);

/* Seals or opens `text` under a fresh `key`, with the hash as associated data, and mixes the sealed form in. */
void noise_seal(struct noise *n, struct crypto *c, const uint8_t key[AEAD_KEY_SIZE], uint8_t *sealed,
                const uint8_t *text, size_t len);
void noise_open(struct noise *n, struct crypto *c, const uint8_t key[AEAD_KEY_SIZE], uint8_t *text,
                const uint8_t *sealed, size_t sealed_len);

/* Keys for another transport, in both directions, from where noise_split begins, which comes after: WireGuard's KDF_2
 * over a label of its own (docs/PROTOCOL.md section 21). */
void noise_derive(struct noise *n, struct crypto *c, const char *label, uint8_t initiator_sends[AEAD_KEY_SIZE],
                  uint8_t responder_sends[AEAD_KEY_SIZE]);
/* The transport keys at the end; wipes the state (paper section 5.4.5). */
must_check int noise_split(struct noise *n, struct crypto *c, uint8_t initiator_sends[AEAD_KEY_SIZE],
                           uint8_t responder_sends[AEAD_KEY_SIZE]);

#endif
