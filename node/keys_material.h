/* The keys of a device, in STATE/keys: "signing" and "static" (32 raw bytes each, made at the first start), and while
 * it is to join, "invite" (the ticket's seed). */
#ifndef NODE_KEYS_MATERIAL_H
#define NODE_KEYS_MATERIAL_H

#include "identity/identity.h"
#include "proc/files.h"
#include "proc/messages.h"

struct key_material {
    uint8_t signing_seed[ED25519_SEED_SIZE];
    uint8_t static_private[X25519_SIZE];
    bool has_invite;
    struct invite_keys invite;
    struct ipc_public public_halves;
};

/* Loads all, and makes what is missing with `random` (SEED_SIZE bytes a call, an error ends it), durably. The caller
 * wipes `out` also after a failure. ERROR_MALFORMED: a key of another length. */
must_check int key_material_open(struct key_material *out, struct crypto *c, const struct files *f,
                                 int (*random)(uint8_t out[SEED_SIZE]));

/* The private key of a static step's `local`; NULL: not held. */
const uint8_t *key_material_static(const struct key_material *m, unsigned slot);

/* Our join under the held invite, signed by its key and the device's. The statement's length; ERROR_NOT_FOUND without
 * an invite. */
must_check int key_material_join(const struct key_material *m, struct crypto *c, const struct ipc_build_join *what,
                                 uint8_t *out, size_t capacity);

/* Erases the seed on disk and in memory. No seed is success. */
must_check int key_material_erase_invite(struct key_material *m, const struct files *f);

#endif
