/* The part of a handshake that needs the static private key, cut so that a process of its own can do it: what goes out
 * is a chaining key and a hash, never a Diffie-Hellman result. */
#ifndef TUNNEL_STATIC_STEP_H
#define TUNNEL_STATIC_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "base/error.h"
#include "crypto/crypto.h"
#include "wire/message.h"

/* What to do after mixing DH(static private key, remote) into the chaining key. */
enum static_step_text {
    STATIC_STEP_NO_TEXT,
    STATIC_STEP_OPEN_TEXT, /* open `text` under the mixed key with `hash` as associated data, then mix it in */
    STATIC_STEP_SEAL_TEXT, /* seal it likewise */
};

struct static_step {
    /* In and out: the Noise symmetric state (paper section 5.4). */
    uint8_t chaining_key[BLAKE2S_SIZE];
    uint8_t hash[BLAKE2S_SIZE];
    /* In */
    uint8_t remote[X25519_SIZE];
    uint8_t text_kind; /* enum static_step_text */
    uint8_t text_len;  /* of the plaintext, at most 32 */
    uint8_t local;     /* which of our static keys: 0 ours, 1 the second one (tunnel_set_second_key) */
    /* In and out */
    uint8_t text[X25519_SIZE + AEAD_TAG_SIZE]; /* plaintext, or plaintext sealed */
    /* Out */
    int result; /* 0, ERROR_LOW_ORDER, ERROR_AUTHENTICATION, ERROR_CRYPTO; ERROR_INVALID for a text_len beyond 32 */

    /* The tunnel's own, to go on with; whoever runs the step hands it back as it was. */
    uint8_t stage;
    bool gated; /* it opens an initiation whose sender knew our gate key */
    uint32_t local_index;
    uint64_t peer;
    struct endpoint from;
    uint8_t message[MESSAGE_HANDSHAKE_MAX];
};

/* Runs a step. `private_key` is borrowed. */
void static_step_run(struct static_step *step, struct crypto *c, const uint8_t private_key[X25519_SIZE]);

#endif
