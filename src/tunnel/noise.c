#include "tunnel/noise.h"

#include <string.h>

#include "base/bytes.h"

static const char CONSTRUCTION[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
static const char IDENTIFIER[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

static const uint8_t zero_nonce[AEAD_NONCE_SIZE];

static void stick(struct noise *n, int error)
{
    if (n->error == 0)
        n->error = error;
}

void noise_start(struct noise *n, struct crypto *c, const uint8_t responder[X25519_SIZE])
{
    n->error = 0;
    stick(n, crypto_blake2s(c, n->chaining_key, CONSTRUCTION, sizeof(CONSTRUCTION) - 1, NULL, 0));
    stick(n, crypto_blake2s(c, n->hash, n->chaining_key, BLAKE2S_SIZE, IDENTIFIER, sizeof(IDENTIFIER) - 1));
    noise_mix_hash(n, c, responder, X25519_SIZE);
}

void noise_wipe(struct noise *n)
{
    wipe(n, sizeof(*n));
}

void noise_save(const struct noise *n, uint8_t chaining_key[BLAKE2S_SIZE], uint8_t hash[BLAKE2S_SIZE])
{
    memcpy(chaining_key, n->chaining_key, BLAKE2S_SIZE);
    memcpy(hash, n->hash, BLAKE2S_SIZE);
}

void noise_load(struct noise *n, const uint8_t chaining_key[BLAKE2S_SIZE], const uint8_t hash[BLAKE2S_SIZE])
{
    n->error = 0;
    memcpy(n->chaining_key, chaining_key, BLAKE2S_SIZE);
    memcpy(n->hash, hash, BLAKE2S_SIZE);
}

void noise_mix_hash(struct noise *n, struct crypto *c, const void *data, size_t len)
{
    stick(n, crypto_blake2s(c, n->hash, n->hash, BLAKE2S_SIZE, data, len));
}

void noise_mix_key(struct noise *n, struct crypto *c, const void *input, size_t len, uint8_t *key)
{
    uint8_t *const out[] = {n->chaining_key, key};
    stick(n, crypto_kdf(c, out, key ? 2 : 1, n->chaining_key, input, len));
}

void noise_mix_ephemeral(struct noise *n, struct crypto *c, const uint8_t ephemeral[X25519_SIZE])
{
    noise_mix_key(n, c, ephemeral, X25519_SIZE, NULL);
    noise_mix_hash(n, c, ephemeral, X25519_SIZE);
}

void noise_mix_dh(struct noise *n, struct crypto *c, const uint8_t private_key[X25519_SIZE],
                  const uint8_t public_key[X25519_SIZE], uint8_t *key)
{
    uint8_t shared[X25519_SIZE];
    stick(n, crypto_x25519(c, shared, private_key, public_key));
    noise_mix_key(n, c, shared, sizeof(shared), key);
    wipe(shared, sizeof(shared));
}

static void mix_preshared_key(struct noise *n, struct crypto *c, const uint8_t preshared_key[MESSAGE_KEY_SIZE],
                              uint8_t key[AEAD_KEY_SIZE])
{
    uint8_t tau[BLAKE2S_SIZE];
    uint8_t *const out[] = {n->chaining_key, tau, key};
    stick(n, crypto_kdf(c, out, 3, n->chaining_key, preshared_key, MESSAGE_KEY_SIZE));
    noise_mix_hash(n, c, tau, sizeof(tau));
    wipe(tau, sizeof(tau));
}

void noise_seal_response(struct noise *n, struct crypto *c, const uint8_t preshared_key[MESSAGE_KEY_SIZE],
                         uint8_t sealed_nothing[MESSAGE_TAG_SIZE])
{
    uint8_t key[AEAD_KEY_SIZE];
    mix_preshared_key(n, c, preshared_key, key);
    noise_seal(n, c, key, sealed_nothing, NULL, 0);
    wipe(key, sizeof(key));
}

void noise_open_response(struct noise *n, struct crypto *c, const uint8_t preshared_key[MESSAGE_KEY_SIZE],
                         const uint8_t sealed_nothing[MESSAGE_TAG_SIZE])
{
    uint8_t key[AEAD_KEY_SIZE], nothing[1];
    mix_preshared_key(n, c, preshared_key, key);
    noise_open(n, c, key, nothing, sealed_nothing, MESSAGE_TAG_SIZE);
    wipe(key, sizeof(key));
}

void noise_seal(struct noise *n, struct crypto *c, const uint8_t key[AEAD_KEY_SIZE], uint8_t *sealed,
                const uint8_t *text, size_t len)
{
    stick(n, crypto_aead_seal(c, AEAD_CHACHA20_POLY1305, sealed, key, zero_nonce, n->hash, BLAKE2S_SIZE, text, len));
    noise_mix_hash(n, c, sealed, len + AEAD_TAG_SIZE);
}

void noise_open(struct noise *n, struct crypto *c, const uint8_t key[AEAD_KEY_SIZE], uint8_t *text,
                const uint8_t *sealed, size_t sealed_len)
{
    stick(n, crypto_aead_open(c, AEAD_CHACHA20_POLY1305, text, key, zero_nonce, n->hash, BLAKE2S_SIZE, sealed,
                              sealed_len));
    noise_mix_hash(n, c, sealed, sealed_len);
}

void noise_derive(struct noise *n, struct crypto *c, const char *label, uint8_t initiator_sends[AEAD_KEY_SIZE],
                  uint8_t responder_sends[AEAD_KEY_SIZE])
{
    uint8_t *const out[] = {initiator_sends, responder_sends};
    stick(n, crypto_kdf(c, out, 2, n->chaining_key, label, strlen(label)));
}

int noise_split(struct noise *n, struct crypto *c, uint8_t initiator_sends[AEAD_KEY_SIZE],
                uint8_t responder_sends[AEAD_KEY_SIZE])
{
    uint8_t *const out[] = {initiator_sends, responder_sends};
    stick(n, crypto_kdf(c, out, 2, n->chaining_key, NULL, 0));
    int error = n->error;
    noise_wipe(n);
    return error;
}
