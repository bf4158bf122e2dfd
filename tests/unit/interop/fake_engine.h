/* As much of an engine as configuration touches: a real tunnel and a loop, and no TUN, port or thread. */
#ifndef TESTS_INTEROP_FAKE_ENGINE_H
#define TESTS_INTEROP_FAKE_ENGINE_H

#include "engine/engine.h"

#define FAKE_TAKEN_PORT 4242 /* engine_set_port: ERROR_IN_USE */

struct engine {
    struct tunnel *tunnel;
    struct loop *loop;
    uint16_t port;
    uint32_t mark;
    uint32_t serial; /* of its randomness */
};

must_check int fake_engine_init(struct engine *e);
void fake_engine_clear(struct engine *e);

#endif
