#include <openssl/core_names.h>

#include "base/bytes.h"
#include "crypto/openssl.h"

/* OpenSSL computes the public key of an imported private key, which costs as much as an exchange, unless it is given
 * one. */
static EVP_PKEY *import_private(struct crypto *c, const uint8_t private_key[X25519_SIZE], const uint8_t *public_key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)private_key, X25519_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)public_key, X25519_SIZE),
        OSSL_PARAM_construct_end()};
    if (!public_key)
        params[1] = OSSL_PARAM_construct_end();
    EVP_PKEY *key = NULL;
    return EVP_PKEY_fromdata(c->x25519_import, &key, EVP_PKEY_KEYPAIR, params) == 1 ? key : NULL;
}

/* With everything in place, the one thing that makes a derivation fail is a result of zero. */
static int derive(uint8_t shared[X25519_SIZE], EVP_PKEY *own, EVP_PKEY *peer)
{
    int error = ERROR_CRYPTO;
    size_t len = X25519_SIZE;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    if (ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1)
        error = EVP_PKEY_derive(ctx, shared, &len) == 1 ? 0 : ERROR_LOW_ORDER;
    EVP_PKEY_CTX_free(ctx);
    return error;
}

int crypto_x25519(struct crypto *c, uint8_t shared[X25519_SIZE], const uint8_t private_key[X25519_SIZE],
                  const uint8_t public_key[X25519_SIZE])
{
    static const uint8_t unused[X25519_SIZE]; /* the exchange reads the private half alone */
    int error = ERROR_CRYPTO;
    EVP_PKEY *own = import_private(c, private_key, unused);
    if (own && EVP_PKEY_set1_encoded_public_key(c->x25519_peer, public_key, X25519_SIZE) == 1)
        error = derive(shared, own, c->x25519_peer);
    EVP_PKEY_free(own);
    if (error == 0)
        return 0;
    wipe(shared, X25519_SIZE);
    return openssl_failed(error);
}

int crypto_x25519_public(struct crypto *c, uint8_t public_key[X25519_SIZE], const uint8_t private_key[X25519_SIZE])
{
    size_t len = X25519_SIZE;
    EVP_PKEY *key = import_private(c, private_key, NULL);
    int ok = key && EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : openssl_failed(ERROR_CRYPTO);
}
