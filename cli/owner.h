/* The owner's keys in STATE/owner, sealed under a passphrase or bare. A file of 88 bytes: "nightjar-key-1\n" and a
 * zero; 1 if sealed, else 0; log2 of scrypt's N; 6 zeroes; salt; the seed with ChaCha20-Poly1305's tag under scrypt's
 * key (nonce zero: the salt makes the key one of its own; everything before is authenticated), or bare with 16 zeroes.
 */
#ifndef CLI_OWNER_H
#define CLI_OWNER_H

#include "passphrase.h"
#include "state.h"

#define OWNER_SALT_SIZE 16
#define OWNER_FILE_SIZE 88
#define OWNER_LOG2_N 16 /* 64 MiB */

#define OWNER_ROOT "root"   /* signs new roots */
#define OWNER_ROLES "roles" /* admission, policy, safety and release in one */

/* `passphrase` NULL: bare. */
must_check int owner_seal(struct crypto *c, uint8_t out[OWNER_FILE_SIZE], const uint8_t seed[ED25519_SEED_SIZE],
                          const struct passphrase *passphrase, const uint8_t salt[OWNER_SALT_SIZE], unsigned log2_n);
/* ERROR_MALFORMED: no such file; ERROR_AUTHENTICATION: the passphrase is wrong or the file was altered. */
must_check int owner_open(struct crypto *c, uint8_t seed[ED25519_SEED_SIZE], const uint8_t *file, size_t len,
                          const struct passphrase *passphrase);
bool owner_is_sealed(const uint8_t file[OWNER_FILE_SIZE]);

/* Reads one of the keys, asking for the passphrase if it needs one. A failure has been said. The caller wipes. */
must_check int owner_key(struct cli *cli, const struct arguments *arguments, const struct state *s, const char *name,
                         uint8_t seed[ED25519_SEED_SIZE]);

#endif
