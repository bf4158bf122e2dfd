#include "crypto/openssl.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>

/* No openssl.cnf: the node's cryptography is not a matter of the machine's configuration, and reading it costs memory.
 */
#define INIT_FLAGS (OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS | OPENSSL_INIT_NO_ATEXIT)

int openssl_failed(int error)
{
    ERR_clear_error();
    return error;
}

static int new_mac(struct crypto *c)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
    c->blake2s_mac_ctx = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    return c->blake2s_mac_ctx ? 0 : ERROR_CRYPTO;
}

static int new_digests(struct crypto *c)
{
    c->sha256 = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    c->blake2s = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
    c->blake2s_ctx = EVP_MD_CTX_new();
    if (!c->sha256 || !c->blake2s || !c->blake2s_ctx || !EVP_DigestInit_ex2(c->blake2s_ctx, c->blake2s, NULL))
        return ERROR_CRYPTO;
    return new_mac(c);
}

static int new_ciphers(struct crypto *c)
{
    c->aead[AEAD_CHACHA20_POLY1305] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    c->aead[AEAD_AES_256_GCM] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    c->chacha20 = EVP_CIPHER_fetch(NULL, "ChaCha20", NULL);
    c->cipher_ctx = EVP_CIPHER_CTX_new();
    if (!c->aead[AEAD_CHACHA20_POLY1305] || !c->aead[AEAD_AES_256_GCM] || !c->chacha20 || !c->cipher_ctx)
        return ERROR_CRYPTO;
    return 0;
}

static int new_exchange(struct crypto *c)
{
    static const uint8_t none[X25519_SIZE];
    c->x25519_import = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
    c->x25519_peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, none, sizeof(none));
    if (!c->x25519_import || !c->x25519_peer || EVP_PKEY_fromdata_init(c->x25519_import) != 1)
        return ERROR_CRYPTO;
    return 0;
}

static int new_openssl(struct crypto *c)
{
    if (!OPENSSL_init_crypto(INIT_FLAGS, NULL) || new_digests(c) || new_ciphers(c) || new_exchange(c))
        return openssl_failed(ERROR_CRYPTO);
    return 0;
}

static int choose_bulk(struct crypto *c, enum crypto_bulk bulk)
{
    bulk_openssl(&c->bulk, c);
    if (bulk == CRYPTO_BULK_OPENSSL)
        return 0;
    int error = bulk_ipsec_mb(&c->bulk);
    return error == ERROR_UNSUPPORTED ? 0 : error;
}

int crypto_new(struct crypto **out, enum crypto_bulk bulk)
{
    struct crypto *c = calloc(1, sizeof(*c));
    if (!c)
        return ERROR_MEMORY;
    int error = new_openssl(c);
    if (!error)
        error = choose_bulk(c, bulk);
    if (error) {
        crypto_free(c);
        return error;
    }
    *out = c;
    return 0;
}

void crypto_free(struct crypto *c)
{
    if (!c)
        return;
    if (c->bulk.free)
        c->bulk.free(c->bulk.state);
    EVP_CIPHER_CTX_free(c->cipher_ctx);
    EVP_CIPHER_free(c->chacha20);
    for (size_t i = 0; i < AEAD_COUNT; i++)
        EVP_CIPHER_free(c->aead[i]);
    EVP_PKEY_free(c->x25519_peer);
    EVP_PKEY_CTX_free(c->x25519_import);
    EVP_MAC_CTX_free(c->blake2s_mac_ctx);
    EVP_MD_CTX_free(c->blake2s_ctx);
    EVP_MD_free(c->blake2s);
    EVP_MD_free(c->sha256);
    free(c);
}

const char *crypto_bulk_name(const struct crypto *c)
{
    return c->bulk.name;
}

int crypto_ready_key_new(struct crypto *c, struct crypto_ready_key **out, enum aead aead,
                         const uint8_t key[AEAD_KEY_SIZE])
{
    return c->bulk.make_ready(c->bulk.state, out, aead, key);
}

void crypto_ready_key_free(struct crypto_ready_key *key)
{
    if (key)
        key->free(key);
}

void crypto_seal_batch(struct crypto *c, enum aead aead, struct aead_op *ops, size_t count)
{
    c->bulk.seal(c->bulk.state, aead, ops, count);
}

void crypto_open_batch(struct crypto *c, enum aead aead, struct aead_op *ops, size_t count)
{
    c->bulk.open(c->bulk.state, aead, ops, count);
}
