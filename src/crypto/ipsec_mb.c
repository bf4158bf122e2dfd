#include <intel-ipsec-mb.h>
#include <stdalign.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "crypto/bulk.h"

/* Packets of a batch come from few peers; more keys than this are expanded again. */
#define GCM_KEYS 4

struct gcm_slot {
    alignas(64) struct gcm_key_data expanded;
    const uint8_t *key;
};

/* Expanded keys live for one batch, but for those that were made ready. */
struct ipsec_mb {
    const char *name;
    struct gcm_slot slots[GCM_KEYS];
    struct gcm_context_data gcm;
    size_t expansions;
    IMB_MGR *manager;
};

struct gcm_ready_key {
    struct crypto_ready_key base; /* first */
    alignas(64) struct gcm_key_data expanded;
};

typedef int run_op(struct ipsec_mb *mb, const struct aead_op *op);

static const char *const names[] = {[IMB_ARCH_SSE] = "ipsec-mb sse",
                                    [IMB_ARCH_AVX] = "ipsec-mb avx",
                                    [IMB_ARCH_AVX2] = "ipsec-mb avx2",
                                    [IMB_ARCH_AVX512] = "ipsec-mb avx512"};

static const struct gcm_key_data *expanded_key(struct ipsec_mb *mb, const struct aead_op *op)
{
    const uint8_t *key = op->key;
    if (op->ready && op->ready->kind == mb->name) {
        const struct gcm_ready_key *ready = (const void *)op->ready; /* aligned as it was allocated */
        return &ready->expanded;
    }
    for (size_t i = 0; i < GCM_KEYS && i < mb->expansions; i++)
        if (mb->slots[i].key == key)
            return &mb->slots[i].expanded;
    struct gcm_slot *slot = &mb->slots[mb->expansions++ % GCM_KEYS];
    slot->key = key;
    IMB_AES256_GCM_PRE(mb->manager, key, &slot->expanded);
    return &slot->expanded;
}

static void forget_keys(struct ipsec_mb *mb)
{
    for (size_t i = 0; i < GCM_KEYS && i < mb->expansions; i++)
        wipe(&mb->slots[i], sizeof(mb->slots[i]));
    wipe(&mb->gcm, sizeof(mb->gcm));
    mb->expansions = 0;
}

static int compare_tags(const uint8_t computed[AEAD_TAG_SIZE], const uint8_t received[AEAD_TAG_SIZE])
{
    return equal_constant_time(computed, received, AEAD_TAG_SIZE) ? 0 : ERROR_AUTHENTICATION;
}

static int gcm_seal(struct ipsec_mb *mb, const struct aead_op *op)
{
    uint8_t nonce[AEAD_NONCE_SIZE];
    bulk_nonce(nonce, op->counter);
    IMB_AES256_GCM_ENC(mb->manager, expanded_key(mb, op), &mb->gcm, op->text, op->text, op->len, nonce, op->ad,
                       op->ad_len, op->text + op->len, AEAD_TAG_SIZE);
    return 0;
}

static int gcm_open(struct ipsec_mb *mb, const struct aead_op *op)
{
    if (op->len < AEAD_TAG_SIZE)
        return ERROR_AUTHENTICATION;
    uint32_t len = op->len - AEAD_TAG_SIZE;
    uint8_t nonce[AEAD_NONCE_SIZE], tag[AEAD_TAG_SIZE];
    bulk_nonce(nonce, op->counter);
    IMB_AES256_GCM_DEC(mb->manager, expanded_key(mb, op), &mb->gcm, op->text, op->text, len, nonce, op->ad, op->ad_len,
                       tag, AEAD_TAG_SIZE);
    return compare_tags(tag, op->text + len);
}

/* The library's one-shot call is its job interface, which is faster than init, update and finalize. It writes the tag
 * it computed to `tag` in both directions. */
static int chacha20_poly1305(struct ipsec_mb *mb, const struct aead_op *op, uint32_t len, uint8_t *tag,
                             IMB_CIPHER_DIRECTION direction)
{
    uint8_t nonce[AEAD_NONCE_SIZE];
    bulk_nonce(nonce, op->counter);
    IMB_JOB *job = IMB_GET_NEXT_JOB(mb->manager);
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = direction;
    job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = job->dec_keys = op->key;
    job->key_len_in_bytes = AEAD_KEY_SIZE;
    job->iv = nonce;
    job->iv_len_in_bytes = sizeof(nonce);
    job->u.CHACHA20_POLY1305.aad = op->ad;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = op->ad_len;
    job->src = job->dst = op->text;
    job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = len;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = AEAD_TAG_SIZE;
    job = IMB_SUBMIT_JOB_NOCHECK(mb->manager);
    if (!job)
        job = IMB_FLUSH_JOB(mb->manager);
    return job && job->status == IMB_STATUS_COMPLETED ? 0 : ERROR_CRYPTO;
}

static int chacha20_poly1305_seal(struct ipsec_mb *mb, const struct aead_op *op)
{
    return chacha20_poly1305(mb, op, op->len, op->text + op->len, IMB_DIR_ENCRYPT);
}

static int chacha20_poly1305_open(struct ipsec_mb *mb, const struct aead_op *op)
{
    if (op->len < AEAD_TAG_SIZE)
        return ERROR_AUTHENTICATION;
    uint32_t len = op->len - AEAD_TAG_SIZE;
    uint8_t tag[AEAD_TAG_SIZE] = {0};
    int error = chacha20_poly1305(mb, op, len, tag, IMB_DIR_DECRYPT);
    return error ? error : compare_tags(tag, op->text + len);
}

static void run_batch(struct ipsec_mb *mb, run_op *run, struct aead_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ops[i].result = run(mb, &ops[i]);
    forget_keys(mb);
}

static void seal_batch(void *state, enum aead aead, struct aead_op *ops, size_t count)
{
    run_batch(state, aead == AEAD_AES_256_GCM ? gcm_seal : chacha20_poly1305_seal, ops, count);
}

static void open_batch(void *state, enum aead aead, struct aead_op *ops, size_t count)
{
    run_batch(state, aead == AEAD_AES_256_GCM ? gcm_open : chacha20_poly1305_open, ops, count);
}

static void free_ready(struct crypto_ready_key *key)
{
    wipe(key, sizeof(struct gcm_ready_key));
    free(key);
}

static int make_ready(void *state, struct crypto_ready_key **out, enum aead aead, const uint8_t key[AEAD_KEY_SIZE])
{
    const struct ipsec_mb *mb = state;
    *out = NULL;
    if (aead != AEAD_AES_256_GCM)
        return 0;
    struct gcm_ready_key *ready = aligned_alloc(alignof(struct gcm_ready_key), sizeof(*ready));
    if (!ready)
        return ERROR_MEMORY;
    ready->base = (struct crypto_ready_key){.kind = mb->name, .free = free_ready};
    IMB_AES256_GCM_PRE(mb->manager, key, &ready->expanded);
    *out = &ready->base;
    return 0;
}

static void free_state(void *state)
{
    struct ipsec_mb *mb = state;
    free_mb_mgr(mb->manager);
    free(mb);
}

static IMB_MGR *new_manager(const char **name)
{
    IMB_ARCH arch = IMB_ARCH_NONE;
    IMB_MGR *manager = alloc_mb_mgr(0);
    if (!manager)
        return NULL;
    init_mb_mgr_auto(manager, &arch);
    *name = (size_t)arch < sizeof(names) / sizeof(names[0]) ? names[arch] : NULL;
    if (*name && imb_get_errno(manager) == 0)
        return manager;
    free_mb_mgr(manager);
    return NULL;
}

int bulk_ipsec_mb(struct bulk *out)
{
    struct ipsec_mb *mb = aligned_alloc(alignof(struct ipsec_mb), sizeof(*mb));
    if (!mb)
        return ERROR_MEMORY;
    const char *name;
    *mb = (struct ipsec_mb){.manager = new_manager(&name)};
    if (!mb->manager) {
        free(mb);
        return ERROR_UNSUPPORTED;
    }
    mb->name = out->name = name;
    out->state = mb;
    out->seal = seal_batch;
    out->open = open_batch;
    out->make_ready = make_ready;
    out->free = free_state;
    return 0;
}
