/* What wg-peer is made of: an engine, the private key that it runs static steps with, and the timestamps that a dark
 * one keeps. */
#ifndef INTEROP_DEVICE_H
#define INTEROP_DEVICE_H

#include <stdbool.h>

#include "engine/engine.h"
#include "timestamps.h"

struct device {
    struct engine *engine;
    struct crypto *crypto;
    struct timestamps *timestamps; /* NULL unless dark */
    uint8_t private_key[X25519_SIZE];
    bool has_key;
    bool commit_fails; /* said once, until it works again */
};

/* Carries out and empties. */
static inline void device_carry_out(struct device *d, struct tunnel_actions *actions)
{
    engine_carry_out(d->engine, actions);
}

#endif
