#include "owner.h"

#include <string.h>

#include "base/bytes.h"
#include "say.h"

struct owner_file {
    char magic[16];
    uint8_t sealed;
    uint8_t log2_n;
    uint8_t zero[6];
    uint8_t salt[OWNER_SALT_SIZE];
    uint8_t seed[ED25519_SEED_SIZE + AEAD_TAG_SIZE];
};
_Static_assert(sizeof(struct owner_file) == OWNER_FILE_SIZE, "the file has no padding");

#define HEADER offsetof(struct owner_file, seed)
static const char magic[16] = "nightjar-key-1\n";
static const uint8_t nonce[AEAD_NONCE_SIZE];

int owner_seal(struct crypto *c, uint8_t out[OWNER_FILE_SIZE], const uint8_t seed[ED25519_SEED_SIZE],
               const struct passphrase *passphrase, const uint8_t salt[OWNER_SALT_SIZE], unsigned log2_n)
{
    struct owner_file file = {.sealed = passphrase != NULL, .log2_n = (uint8_t)log2_n};
    uint8_t key[AEAD_KEY_SIZE];
    int error = 0;
    memcpy(file.magic, magic, sizeof(magic));
    memcpy(file.salt, salt, sizeof(file.salt));
    memcpy(file.seed, seed, ED25519_SEED_SIZE);
    if (passphrase)
        error = crypto_scrypt(c, key, passphrase->text, passphrase->len, salt, OWNER_SALT_SIZE, log2_n);
    if (passphrase && !error)
        error =
            crypto_aead_seal(c, AEAD_CHACHA20_POLY1305, file.seed, key, nonce, &file, HEADER, seed, ED25519_SEED_SIZE);
    memcpy(out, &file, sizeof(file));
    wipe(&file, sizeof(file));
    wipe(key, sizeof(key));
    return error;
}

static int open_sealed(struct crypto *c, uint8_t seed[ED25519_SEED_SIZE], const struct owner_file *file,
                       const struct passphrase *passphrase)
{
    uint8_t key[AEAD_KEY_SIZE];
    if (!passphrase)
        return ERROR_AUTHENTICATION;
    int error = crypto_scrypt(c, key, passphrase->text, passphrase->len, file->salt, sizeof(file->salt), file->log2_n);
    if (!error)
        error =
            crypto_aead_open(c, AEAD_CHACHA20_POLY1305, seed, key, nonce, file, HEADER, file->seed, sizeof(file->seed));
    wipe(key, sizeof(key));
    return error == ERROR_INVALID ? ERROR_MALFORMED : error;
}

int owner_open(struct crypto *c, uint8_t seed[ED25519_SEED_SIZE], const uint8_t *bytes, size_t len,
               const struct passphrase *passphrase)
{
    struct owner_file file;
    if (len != sizeof(file))
        return ERROR_MALFORMED;
    memcpy(&file, bytes, sizeof(file));
    int error = memcmp(file.magic, magic, sizeof(magic)) != 0 || file.sealed > 1 ? ERROR_MALFORMED : 0;
    if (!error && file.sealed)
        error = open_sealed(c, seed, &file, passphrase);
    else if (!error)
        memcpy(seed, file.seed, ED25519_SEED_SIZE);
    wipe(&file, sizeof(file));
    return error;
}

bool owner_is_sealed(const uint8_t file[OWNER_FILE_SIZE])
{
    return file[offsetof(struct owner_file, sealed)] == 1;
}

static int say_why(struct cli *cli, int error, const struct state *s, const char *name)
{
    if (error == ERROR_AUTHENTICATION)
        return say_no(cli, "Try again.", "The passphrase is wrong.");
    if (error == ERROR_MALFORMED)
        return say_no(cli, "Bring it back from a backup.", "%s/owner/%s is damaged, or no key of this version.",
                      s->path, name);
    return say_failed(cli, error, "%s/owner/%s cannot be read", s->path, name);
}

static int open_with_passphrase(struct cli *cli, const struct arguments *arguments, const uint8_t *file, size_t len,
                                uint8_t seed[ED25519_SEED_SIZE], int *result)
{
    struct passphrase passphrase = {0};
    bool sealed = len == OWNER_FILE_SIZE && owner_is_sealed(file);
    *result = sealed ? passphrase_get(cli, arguments, false, &passphrase) : 0;
    int error = *result ? 0 : owner_open(cli->crypto, seed, file, len, sealed ? &passphrase : NULL);
    wipe(&passphrase, sizeof(passphrase));
    return error;
}

int owner_key(struct cli *cli, const struct arguments *arguments, const struct state *s, const char *name,
              uint8_t seed[ED25519_SEED_SIZE])
{
    uint8_t file[OWNER_FILE_SIZE];
    size_t len;
    int result = 0;
    if (s->dirs[STATE_OWNER] < 0)
        return say_no(cli, "Do it on the machine where the network was made (\"nightjar init\").",
                      "%s holds no owner's keys, so nothing can be signed here.", s->path);
    struct files files = state_files(s, STATE_OWNER);
    int error = files_read(&files, name, file, sizeof(file), &len);
    if (!error)
        error = open_with_passphrase(cli, arguments, file, len, seed, &result);
    wipe(file, sizeof(file));
    if (error || result)
        wipe(seed, ED25519_SEED_SIZE);
    return error ? say_why(cli, error == ERROR_OVERFLOW ? ERROR_MALFORMED : error, s, name) : result;
}
