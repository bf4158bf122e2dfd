#include "base/cursor.h"

#include "base/bytes.h"

static const uint8_t zeroes[8];

/* No bytes may be NULL, to which not even 0 may be added. */
struct cursor cursor_writing(void *bytes, size_t len)
{
    uint8_t *at = bytes;
    return (struct cursor){.at = at, .end = len > 0 ? at + len : at};
}

struct cursor cursor_reading(const void *bytes, size_t len)
{
    return cursor_writing((void *)bytes, len);
}

size_t cursor_left(const struct cursor *c)
{
    return c->error ? 0 : (size_t)(c->end - c->at);
}

void cursor_fail(struct cursor *c, int error)
{
    if (!c->error)
        c->error = error;
}

int cursor_error(const struct cursor *c)
{
    return c->error;
}

int cursor_finish(const struct cursor *c)
{
    return cursor_left(c) > 0 ? ERROR_MALFORMED : c->error;
}

/* The next len bytes, passed over; NULL, and the error sticks, if there are not that many. */
static uint8_t *advance(struct cursor *c, size_t len, int error)
{
    if (len > cursor_left(c))
        cursor_fail(c, error);
    if (c->error)
        return NULL;
    uint8_t *at = c->at;
    if (len > 0)
        c->at += len;
    return at;
}

/* As advance, for reading an integer: zeroes after a failure. */
static const uint8_t *take(struct cursor *c, size_t len)
{
    const uint8_t *at = advance(c, len, ERROR_TRUNCATED);
    return at ? at : zeroes;
}

uint8_t cursor_get_u8(struct cursor *c)
{
    return *take(c, 1);
}

uint16_t cursor_get_be16(struct cursor *c)
{
    return get_be16(take(c, 2));
}

uint32_t cursor_get_be32(struct cursor *c)
{
    return get_be32(take(c, 4));
}

uint64_t cursor_get_be64(struct cursor *c)
{
    return get_be64(take(c, 8));
}

const uint8_t *cursor_get_view(struct cursor *c, size_t len)
{
    return advance(c, len, ERROR_TRUNCATED);
}

void cursor_get_bytes(struct cursor *c, void *out, size_t len)
{
    const uint8_t *at = advance(c, len, ERROR_TRUNCATED);
    if (len == 0)
        return;
    if (at)
        memcpy(out, at, len);
    else
        memset(out, 0, len);
}

void cursor_skip(struct cursor *c, size_t len)
{
    (void)advance(c, len, ERROR_TRUNCATED);
}

void cursor_put_u8(struct cursor *c, uint8_t v)
{
    cursor_put_bytes(c, &v, sizeof(v));
}

void cursor_put_be16(struct cursor *c, uint16_t v)
{
    uint8_t *at = advance(c, sizeof(v), ERROR_OVERFLOW);
    if (at)
        put_be16(at, v);
}

void cursor_put_be32(struct cursor *c, uint32_t v)
{
    uint8_t *at = advance(c, sizeof(v), ERROR_OVERFLOW);
    if (at)
        put_be32(at, v);
}

void cursor_put_be64(struct cursor *c, uint64_t v)
{
    uint8_t *at = advance(c, sizeof(v), ERROR_OVERFLOW);
    if (at)
        put_be64(at, v);
}

void cursor_put_bytes(struct cursor *c, const void *bytes, size_t len)
{
    uint8_t *at = advance(c, len, ERROR_OVERFLOW);
    if (at && len > 0)
        memcpy(at, bytes, len);
}
