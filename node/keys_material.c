#include "keys_material.h"

#include "base/bytes.h"
#include "ledger/statement.h"

#define SIGNING_NAME "signing"
#define STATIC_NAME "static"
#define INVITE_NAME "invite"

static int read_key(const struct files *f, const char *name, uint8_t out[SEED_SIZE])
{
    size_t len;
    int error = files_read(f, name, out, SEED_SIZE, &len);
    if (error == ERROR_OVERFLOW || (error == 0 && len != SEED_SIZE))
        return ERROR_MALFORMED;
    return error;
}

static int read_or_make(const struct files *f, const char *name, uint8_t out[SEED_SIZE],
                        int (*random)(uint8_t out[SEED_SIZE]))
{
    int error = read_key(f, name, out);
    if (error != ERROR_NOT_FOUND)
        return error;
    error = random(out);
    return error != 0 ? error : files_write(f, name, out, SEED_SIZE);
}

static int read_invite(struct key_material *m, struct crypto *c, const struct files *f)
{
    uint8_t seed[SEED_SIZE];
    int error = read_key(f, INVITE_NAME, seed);
    if (error == ERROR_NOT_FOUND)
        return 0;
    /* Erasing was cut off by a loss of power: the zeroes stand, the name as well. */
    if (error == 0 && is_zero(seed, sizeof(seed)))
        return files_remove(f, INVITE_NAME);
    if (error == 0)
        error = invite_keys_derive(c, seed, &m->invite);
    wipe(seed, sizeof(seed));
    m->has_invite = error == 0;
    return error;
}

static int tell_public(struct key_material *m, struct crypto *c)
{
    struct ipc_public *p = &m->public_halves;
    int error = crypto_ed25519_public(c, p->signing, m->signing_seed);
    if (error == 0)
        error = crypto_x25519_public(c, p->own, m->static_private);
    if (error == 0 && m->has_invite) {
        memcpy(p->invite, m->invite.static_public, sizeof(p->invite));
        memcpy(p->invite_signing, m->invite.signing_public, sizeof(p->invite_signing));
    }
    return error;
}

int key_material_open(struct key_material *out, struct crypto *c, const struct files *f,
                      int (*random)(uint8_t out[SEED_SIZE]))
{
    memset(out, 0, sizeof(*out));
    int error = read_or_make(f, SIGNING_NAME, out->signing_seed, random);
    if (error == 0)
        error = read_or_make(f, STATIC_NAME, out->static_private, random);
    if (error == 0)
        error = read_invite(out, c, f);
    return error != 0 ? error : tell_public(out, c);
}

const uint8_t *key_material_static(const struct key_material *m, unsigned slot)
{
    if (slot == STATIC_KEY_OWN)
        return m->static_private;
    return slot == STATIC_KEY_INVITE && m->has_invite ? m->invite.static_private : NULL;
}

int key_material_join(const struct key_material *m, struct crypto *c, const struct ipc_build_join *what, uint8_t *out,
                      size_t capacity)
{
    if (!m->has_invite)
        return ERROR_NOT_FOUND;
    struct statement s = {.kind = STATEMENT_JOIN};
    struct signer signers[2];
    memcpy(s.network.bytes, what->network, sizeof(s.network.bytes));
    memcpy(s.join.invite, what->invite, sizeof(s.join.invite));
    memcpy(s.join.signing_public, m->public_halves.signing, sizeof(s.join.signing_public));
    memcpy(s.join.static_public, m->public_halves.own, sizeof(s.join.static_public));
    s.join.sequences = what->sequences != 0;
    if (s.join.sequences)
        memcpy(s.join.sequencer, what->sequencer, sizeof(s.join.sequencer));
    memcpy(signers[0].seed, m->invite.signing_seed, sizeof(signers[0].seed));
    memcpy(signers[1].seed, m->signing_seed, sizeof(signers[1].seed));
    int len = statement_sign(c, &s, signers, 2, out, capacity);
    wipe(signers, sizeof(signers));
    return len;
}

int key_material_erase_invite(struct key_material *m, const struct files *f)
{
    int error = files_erase(f, INVITE_NAME);
    if (error != 0 && error != ERROR_NOT_FOUND)
        return error;
    wipe(&m->invite, sizeof(m->invite));
    m->has_invite = false;
    memset(m->public_halves.invite, 0, sizeof(m->public_halves.invite));
    memset(m->public_halves.invite_signing, 0, sizeof(m->public_halves.invite_signing));
    return 0;
}
