/* What the keys process answers: handshake steps for the engine, joins for state. Knows two sockets and a directory;
 * time and randomness are its caller's. */
#ifndef NODE_KEYS_SERVER_H
#define NODE_KEYS_SERVER_H

#include "keys_gates.h"
#include "keys_material.h"
#include "keys_seen.h"
#include "proc/permits.h"

/* Steps that wait, in the order in which they are served; more are answered with ERROR_FULL. */
enum keys_queue {
    KEYS_OWN,       /* our initiations */
    KEYS_ANSWERS,   /* responses to them */
    KEYS_GATED,     /* initiations of those who know our gate key, as the engine says */
    KEYS_STRANGERS, /* any others */
    KEYS_QUEUES
};
#define KEYS_QUEUE_MAX 256
#define KEYS_BATCH_MAX 64     /* steps that share one commit */
#define KEYS_STRANGERS_MAX 16 /* of which strangers' */

struct keys_server;

struct keys_setup {
    struct ipc *engine, *state; /* borrowed */
    struct crypto *crypto;      /* borrowed */
    struct files files;         /* STATE/keys */
    int (*random)(uint8_t out[SEED_SIZE]);
    uint64_t (*wall)(void);      /* ns since 1970 */
    uint64_t (*monotonic)(void); /* ns, goes on while the machine sleeps */
};

/* Loads or makes the keys, and tells both sides the public halves. */
must_check int keys_server_new(struct keys_server **out, const struct keys_setup *setup);
void keys_server_free(struct keys_server *k); /* wipes */

/* Takes what has come from either side, and answers. ERROR_AGAIN: some is left; call again at once. ERROR_GONE: a side
 * has ended. ERROR_MALFORMED: a side said what it may not. */
must_check int keys_server_turn(struct keys_server *k);

#endif
