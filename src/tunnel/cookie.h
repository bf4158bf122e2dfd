/* mac1, mac2 and cookies (paper sections 5.4.4 and 5.4.7): denial-of-service protection on both sides. */
#ifndef TUNNEL_COOKIE_H
#define TUNNEL_COOKIE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/endpoint.h"
#include "crypto/crypto.h"
#include "wire/message.h"

/* What a public key's holder checks mac1 with, and seals cookies with. */
struct cookie_keys {
    uint8_t mac1[BLAKE2S_SIZE];
    uint8_t cookie[BLAKE2S_SIZE];
};
must_check int cookie_keys_derive(struct cookie_keys *out, struct crypto *c, const uint8_t public_key[X25519_SIZE]);

/* Whether the message (initiation or response, `len` bytes) carries the mac1 for these keys. */
bool cookie_mac1_holds(const struct cookie_keys *keys, struct crypto *c, const uint8_t *message, size_t len);

/* The responder's changing secret. Initialise to zero. */
struct cookie_secret {
    uint8_t secret[BLAKE2S_SIZE];
    uint64_t until; /* monotonic; 0: none yet */
};
/* Replaces the secret if it is past its lifetime; `fresh` is 32 random bytes. */
void cookie_secret_renew(struct cookie_secret *s, const uint8_t fresh[BLAKE2S_SIZE], uint64_t now);
/* Whether mac2 was made with the cookie that `from` was given under the current secret. */
bool cookie_mac2_holds(const struct cookie_secret *s, struct crypto *c, const struct endpoint *from,
                       const uint8_t *message, size_t len);
/* The reply that gives `from` its cookie; `message` is the one that it answers. */
must_check int cookie_reply_make(struct message_cookie_reply *out, const struct cookie_secret *s,
                                 const struct cookie_keys *own, struct crypto *c,
                                 const uint8_t nonce[MESSAGE_COOKIE_NONCE_SIZE], const struct endpoint *from,
                                 const uint8_t *message, size_t len);

/* What an initiator knows of a peer's cookie. All zero: nothing. */
struct cookie_known {
    uint8_t cookie[MESSAGE_COOKIE_SIZE];
    uint8_t last_mac1[MESSAGE_MAC_SIZE];
    uint64_t until; /* monotonic; 0: no cookie */
    bool reply_awaited;
};
/* Puts mac1, and mac2 when a cookie is known, on a message of `len` bytes to the peer with this public key. */
must_check int cookie_seal_message(struct cookie_known *k, struct crypto *c, const uint8_t public_key[X25519_SIZE],
                                   uint8_t *message, size_t len, uint64_t now);
/* Takes the cookie from a reply to the last message sealed; ERROR_AUTHENTICATION if it is not that. */
must_check int cookie_reply_take(struct cookie_known *k, struct crypto *c, const uint8_t public_key[X25519_SIZE],
                                 const struct message_cookie_reply *reply, uint64_t now);

#endif
