/* The controller's only door: frames from and to its own node's state, over a socketpair with the engine. */
#ifndef CONTROLLER_DOOR_H
#define CONTROLLER_DOOR_H

#include "crypto/crypto.h"

/* Serves until the other side is gone: 0. Otherwise what went wrong; starting anew is right then. Owns `fd`. */
must_check int door_serve(struct crypto *c, int fd, const uint8_t seed[ED25519_SEED_SIZE]);

#endif
