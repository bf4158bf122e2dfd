#include <limits.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/openssl.h"

/* One text under the key and nonce that the context was given. */
struct aead_text {
    const void *ad;
    size_t ad_len;
    const uint8_t *in;
    uint8_t *out;
    size_t len;   /* without the tag */
    uint8_t *tag; /* sealing writes it, opening reads it */
};

/* An update of no bytes would, for some ciphers, mean the end. */
static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, const void *in, size_t len)
{
    int written;
    return len == 0 || EVP_CipherUpdate(ctx, out, &written, in, (int)len) == 1;
}

static bool fits(const struct aead_text *text)
{
    return text->len <= INT_MAX && text->ad_len <= INT_MAX;
}

static int seal_text(EVP_CIPHER_CTX *ctx, const struct aead_text *text)
{
    int written;
    uint8_t none[EVP_MAX_BLOCK_LENGTH];
    if (!update(ctx, NULL, text->ad, text->ad_len) || !update(ctx, text->out, text->in, text->len) ||
        EVP_CipherFinal_ex(ctx, none, &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, text->tag) != 1)
        return ERROR_CRYPTO;
    return 0;
}

/* The final step compares the tags, in constant time. */
static int open_text(EVP_CIPHER_CTX *ctx, const struct aead_text *text)
{
    int written;
    uint8_t none[EVP_MAX_BLOCK_LENGTH];
    if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, text->tag) != 1 ||
        !update(ctx, NULL, text->ad, text->ad_len) || !update(ctx, text->out, text->in, text->len))
        return ERROR_CRYPTO;
    return EVP_CipherFinal_ex(ctx, none, &written) == 1 ? 0 : ERROR_AUTHENTICATION;
}

static int finish(struct crypto *c, int error)
{
    EVP_CIPHER_CTX_reset(c->cipher_ctx);
    return error ? openssl_failed(error) : 0;
}

int crypto_aead_seal(struct crypto *c, enum aead aead, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                     const uint8_t nonce[AEAD_NONCE_SIZE], const void *ad, size_t ad_len, const uint8_t *text,
                     size_t len)
{
    struct aead_text t = {.ad = ad, .ad_len = ad_len, .in = text, .out = out, .len = len, .tag = out + len};
    if (!fits(&t))
        return ERROR_INVALID;
    int error = ERROR_CRYPTO;
    if (EVP_CipherInit_ex2(c->cipher_ctx, c->aead[aead], key, nonce, 1, NULL) == 1)
        error = seal_text(c->cipher_ctx, &t);
    return finish(c, error);
}

int crypto_aead_open(struct crypto *c, enum aead aead, uint8_t *out, const uint8_t key[AEAD_KEY_SIZE],
                     const uint8_t nonce[AEAD_NONCE_SIZE], const void *ad, size_t ad_len, const uint8_t *sealed,
                     size_t len)
{
    if (len < AEAD_TAG_SIZE)
        return ERROR_AUTHENTICATION;
    size_t text_len = len - AEAD_TAG_SIZE;
    uint8_t tag[AEAD_TAG_SIZE];
    memcpy(tag, sealed + text_len, sizeof(tag));
    struct aead_text t = {.ad = ad, .ad_len = ad_len, .in = sealed, .out = out, .len = text_len, .tag = tag};
    if (!fits(&t))
        return ERROR_INVALID;
    int error = ERROR_CRYPTO;
    if (EVP_CipherInit_ex2(c->cipher_ctx, c->aead[aead], key, nonce, 0, NULL) == 1)
        error = open_text(c->cipher_ctx, &t);
    if (error)
        wipe(out, text_len);
    return finish(c, error);
}

/* The key schedule is kept for as long as the key is the one before. */
static bool start_op(EVP_CIPHER_CTX *ctx, const struct aead_op *op, const uint8_t *last_key)
{
    uint8_t nonce[AEAD_NONCE_SIZE];
    bulk_nonce(nonce, op->counter);
    return EVP_CipherInit_ex2(ctx, NULL, op->key == last_key ? NULL : op->key, nonce, -1, NULL) == 1;
}

static void run_batch(struct crypto *c, enum aead aead, struct aead_op *ops, size_t count, bool seal)
{
    EVP_CIPHER_CTX *ctx = c->cipher_ctx;
    const uint8_t *last_key = NULL;
    bool ready = EVP_CipherInit_ex2(ctx, c->aead[aead], NULL, NULL, seal, NULL) == 1;
    for (size_t i = 0; i < count; i++) {
        struct aead_op *op = &ops[i];
        if (!seal && op->len < AEAD_TAG_SIZE) {
            op->result = ERROR_AUTHENTICATION;
            continue;
        }
        size_t len = seal ? op->len : op->len - AEAD_TAG_SIZE;
        struct aead_text t = {op->ad, op->ad_len, op->text, op->text, len, op->text + len};
        bool started = ready && fits(&t) && start_op(ctx, op, last_key);
        last_key = started ? op->key : NULL; /* after a failure nobody knows which key is in */
        if (started)
            op->result = seal ? seal_text(ctx, &t) : open_text(ctx, &t);
        else
            op->result = ERROR_CRYPTO;
    }
    (void)finish(c, ERROR_CRYPTO);
}

static void seal_batch(void *state, enum aead aead, struct aead_op *ops, size_t count)
{
    run_batch(state, aead, ops, count, true);
}

static void open_batch(void *state, enum aead aead, struct aead_op *ops, size_t count)
{
    run_batch(state, aead, ops, count, false);
}

static void free_nothing(void *state)
{
    (void)state;
}

/* A context with a key in it can't be shared by threads, and a batch expands each key once as it is. */
static int make_ready(void *state, struct crypto_ready_key **out, enum aead aead, const uint8_t key[AEAD_KEY_SIZE])
{
    (void)state;
    (void)aead;
    (void)key;
    *out = NULL;
    return 0;
}

void bulk_openssl(struct bulk *out, struct crypto *c)
{
    *out = (struct bulk){"openssl", c, seal_batch, open_batch, make_ready, free_nothing};
}
