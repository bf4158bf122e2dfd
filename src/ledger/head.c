#include "ledger/head.h"

#include <string.h>

#include "base/bytes.h"

static const char context[] = "nightjar head 1"; /* signed with its NUL */
#define SIGNED_PART (SIGNED_HEAD_SIZE - ED25519_SIGNATURE_SIZE)
#define MESSAGE_SIZE (sizeof(context) + NETWORK_ID_SIZE + SIGNED_PART)

int head_extend(struct crypto *c, struct head *head, uint64_t time, const uint8_t statement[SHA256_SIZE])
{
    uint8_t bytes[SHA256_SIZE + 8 + SHA256_SIZE], hash[SHA256_SIZE];
    memcpy(bytes, head->hash, SHA256_SIZE);
    put_be64(bytes + SHA256_SIZE, time);
    memcpy(bytes + SHA256_SIZE + 8, statement, SHA256_SIZE);
    int error = crypto_sha256(c, hash, bytes, sizeof(bytes));
    if (error)
        return error;
    head->index++;
    head->time = time;
    memcpy(head->hash, hash, SHA256_SIZE);
    return 0;
}

void signed_head_encode(const struct signed_head *h, uint8_t out[SIGNED_HEAD_SIZE])
{
    put_be64(out, h->head.index);
    memcpy(out + 8, h->head.hash, SHA256_SIZE);
    put_be64(out + 40, h->head.time);
    memcpy(out + 48, h->fold_root, SHA256_SIZE);
    memcpy(out + 80, h->sequencer, ED25519_PUBLIC_SIZE);
    memcpy(out + SIGNED_PART, h->signature, ED25519_SIGNATURE_SIZE);
}

void signed_head_decode(struct signed_head *out, const uint8_t bytes[SIGNED_HEAD_SIZE])
{
    out->head.index = get_be64(bytes);
    memcpy(out->head.hash, bytes + 8, SHA256_SIZE);
    out->head.time = get_be64(bytes + 40);
    memcpy(out->fold_root, bytes + 48, SHA256_SIZE);
    memcpy(out->sequencer, bytes + 80, ED25519_PUBLIC_SIZE);
    memcpy(out->signature, bytes + SIGNED_PART, ED25519_SIGNATURE_SIZE);
}

static void message_of(const struct signed_head *h, const struct network_id *network, uint8_t out[MESSAGE_SIZE])
{
    uint8_t bytes[SIGNED_HEAD_SIZE];
    signed_head_encode(h, bytes);
    memcpy(out, context, sizeof(context));
    memcpy(out + sizeof(context), network->bytes, NETWORK_ID_SIZE);
    memcpy(out + sizeof(context) + NETWORK_ID_SIZE, bytes, SIGNED_PART);
}

int signed_head_sign(struct crypto *c, struct signed_head *h, const struct network_id *network,
                     const uint8_t seed[ED25519_SEED_SIZE])
{
    uint8_t message[MESSAGE_SIZE];
    int error = crypto_ed25519_public(c, h->sequencer, seed);
    if (error)
        return error;
    message_of(h, network, message);
    return crypto_ed25519_sign(c, h->signature, seed, message, sizeof(message));
}

int signed_head_verify(struct crypto *c, const struct signed_head *h, const struct network_id *network)
{
    uint8_t message[MESSAGE_SIZE];
    message_of(h, network, message);
    return crypto_ed25519_verify(c, h->signature, h->sequencer, message, sizeof(message));
}
