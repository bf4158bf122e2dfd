/* Nanoseconds per packet and per handshake operation, the best of several rounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/crypto.h"

#define BATCH 32
#define TEXT_MAX 1420
#define ROUNDS 7
#define ROUND_NS 20e6

struct bench {
    struct crypto *crypto;
    enum aead aead;
    uint32_t len;
    struct aead_op ops[BATCH];
    uint8_t text[BATCH][TEXT_MAX + AEAD_TAG_SIZE];
    uint8_t key[32], nonce[XAEAD_NONCE_SIZE], out[3][64];
    int error;
};

typedef void measured(struct bench *b);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double one_round(struct bench *b, measured *run)
{
    double start = now(), elapsed;
    unsigned calls = 0;
    do {
        for (int i = 0; i < 16; i++)
            run(b);
        calls += 16;
        elapsed = now() - start;
    } while (elapsed < ROUND_NS);
    return elapsed / calls;
}

static double best(struct bench *b, measured *run)
{
    double least = one_round(b, run);
    for (int i = 1; i < ROUNDS; i++) {
        double this = one_round(b, run);
        least = this < least ? this : least;
    }
    return least;
}

static void set_up_batch(struct bench *b, uint32_t len)
{
    for (size_t i = 0; i < BATCH; i++)
        b->ops[i] = (struct aead_op){.key = b->key, .text = b->text[i], .len = len, .counter = i};
}

static void seal(struct bench *b)
{
    crypto_seal_batch(b->crypto, b->aead, b->ops, BATCH);
}

/* What one open leaves does not authenticate again; it takes the same time to find that out. */
static void open_again(struct bench *b)
{
    crypto_open_batch(b->crypto, b->aead, b->ops, BATCH);
}

static void bench_batches(struct bench *b, const char *aead_name)
{
    static const uint32_t lens[] = {64, TEXT_MAX};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        set_up_batch(b, lens[i]);
        double sealed = best(b, seal) / BATCH;
        set_up_batch(b, lens[i] + AEAD_TAG_SIZE);
        double opened = best(b, open_again) / BATCH;
        printf("%-16s %-18s %5u B  seal %6.0f ns  open %6.0f ns\n", crypto_bulk_name(b->crypto), aead_name, lens[i],
               sealed, opened);
    }
}

static void x25519(struct bench *b)
{
    static const uint8_t base[X25519_SIZE] = {9};
    b->error |= crypto_x25519(b->crypto, b->out[0], b->key, base);
}

static void x25519_public(struct bench *b)
{
    b->error |= crypto_x25519_public(b->crypto, b->out[0], b->key);
}

static void ed25519_sign(struct bench *b)
{
    b->error |= crypto_ed25519_sign(b->crypto, b->out[0], b->key, b->text, 64);
}

static void blake2s(struct bench *b)
{
    b->error |= crypto_blake2s(b->crypto, b->out[0], b->key, 32, b->text, 32);
}

static void mac1(struct bench *b)
{
    b->error |= crypto_blake2s_mac(b->crypto, b->out[0], 16, b->key, 32, b->text, 116);
}

static void hmac(struct bench *b)
{
    b->error |= crypto_hmac_blake2s(b->crypto, b->out[0], b->key, 32, b->text, 32);
}

static void kdf(struct bench *b, unsigned count)
{
    uint8_t *out[] = {b->out[0], b->out[1], b->out[2]};
    b->error |= crypto_kdf(b->crypto, out, count, b->key, b->text, 32);
}

static void kdf1(struct bench *b)
{
    kdf(b, 1);
}

static void kdf2(struct bench *b)
{
    kdf(b, 2);
}

static void kdf3(struct bench *b)
{
    kdf(b, 3);
}

static void aead_static(struct bench *b)
{
    b->error |=
        crypto_aead_seal(b->crypto, AEAD_CHACHA20_POLY1305, b->text[0], b->key, b->nonce, b->out, 32, b->text[0], 32);
}

static void xaead_cookie(struct bench *b)
{
    b->error |= crypto_xaead_seal(b->crypto, b->text[0], b->key, b->nonce, b->out, 16, b->text[0], 16);
}

static const struct {
    const char *name;
    measured *run;
} handshake[] = {{"x25519", x25519},
                 {"x25519 public key", x25519_public},
                 {"ed25519 sign 64 B", ed25519_sign},
                 {"blake2s 64 B", blake2s},
                 {"keyed blake2s 116 B", mac1},
                 {"hmac 32 B", hmac},
                 {"kdf 1", kdf1},
                 {"kdf 2", kdf2},
                 {"kdf 3", kdf3},
                 {"seal static key", aead_static},
                 {"seal cookie", xaead_cookie}};

static void bench_handshake(struct bench *b)
{
    for (size_t i = 0; i < sizeof(handshake) / sizeof(handshake[0]); i++)
        printf("%-20s %8.0f ns\n", handshake[i].name, best(b, handshake[i].run));
}

static int bench_bulk(struct bench *b, enum crypto_bulk bulk)
{
    int error = crypto_new(&b->crypto, bulk);
    if (error)
        return error;
    b->aead = AEAD_CHACHA20_POLY1305;
    bench_batches(b, "ChaCha20-Poly1305");
    b->aead = AEAD_AES_256_GCM;
    bench_batches(b, "AES-256-GCM");
    if (bulk == CRYPTO_BULK_OPENSSL)
        bench_handshake(b);
    crypto_free(b->crypto);
    return b->error;
}

int main(void)
{
    static struct bench b = {.key = {1}};
    if (bench_bulk(&b, CRYPTO_BULK_BEST) || bench_bulk(&b, CRYPTO_BULK_OPENSSL)) {
        fputs("The cryptographic library failed.\n", stderr);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
