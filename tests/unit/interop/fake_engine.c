#include "fake_engine.h"

/* The same bytes for every run. */
static void fill(void *context, uint8_t *out, size_t len)
{
    struct engine *e = context;
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)((e->serial = e->serial * UINT32_C(1664525) + UINT32_C(1013904223)) >> 24);
}

int fake_engine_init(struct engine *e)
{
    struct tunnel_options options = {.entropy = {.fill = fill, .context = e}};
    *e = (struct engine){.serial = 1};
    int error = tunnel_new(&e->tunnel, &options);
    return error != 0 ? error : loop_new(&e->loop);
}

void fake_engine_clear(struct engine *e)
{
    tunnel_free(e->tunnel);
    loop_free(e->loop);
}

struct tunnel *engine_tunnel(struct engine *e)
{
    return e->tunnel;
}

struct loop *engine_loop(struct engine *e)
{
    return e->loop;
}

struct tunnel_time engine_now(void)
{
    return (struct tunnel_time){.monotonic = 1, .wall = 1};
}

void engine_carry_out(struct engine *e, struct tunnel_actions *actions)
{
    (void)e;
    actions->count = 0;
}

int engine_set_port(struct engine *e, uint16_t port)
{
    if (port == FAKE_TAKEN_PORT)
        return ERROR_IN_USE;
    e->port = port;
    return 0;
}

uint16_t engine_port(const struct engine *e)
{
    return e->port;
}

int engine_set_mark(struct engine *e, uint32_t mark)
{
    e->mark = mark;
    return 0;
}

uint32_t engine_mark(const struct engine *e)
{
    return e->mark;
}
