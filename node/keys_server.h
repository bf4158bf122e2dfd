/* What the keys process answers: handshake steps for the engine, joins for state. Knows two sockets and a directory;
 * time and randomness are its caller's. */
#ifndef NODE_KEYS_SERVER_H
#define NODE_KEYS_SERVER_H

#include "keys_material.h"
#include "keys_seen.h"
#include "proc/permits.h"

#define KEYS_OWN_MAX 256    /* own initiations that wait */
#define KEYS_OTHER_MAX 1024 /* others' that wait; more are answered with ERROR_FULL */
#define KEYS_BATCH_MAX 64   /* others' that share one commit */

struct keys_server;

struct keys_setup {
    struct ipc *engine, *state; /* borrowed */
    struct crypto *crypto;      /* borrowed */
    struct files files;         /* STATE/keys */
    int (*random)(uint8_t out[SEED_SIZE]);
    uint64_t (*wall)(void); /* ns since 1970 */
};

/* Loads or makes the keys, and tells both sides the public halves. */
must_check int keys_server_new(struct keys_server **out, const struct keys_setup *setup);
void keys_server_free(struct keys_server *k); /* wipes */

/* Takes what has come from either side, and answers. ERROR_AGAIN: some is left; call again at once. ERROR_GONE: a side
 * has ended. ERROR_MALFORMED: a side said what it may not. */
must_check int keys_server_turn(struct keys_server *k);

#endif
