/* A cursor over bytes whose error sticks: read or write everything, check once at the end. */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Reads and writes big-endian. Borrows the bytes. After the first failure every read yields zero, every write does
 * nothing, and cursor_error() names that failure. */
struct cursor {
    uint8_t *at;
    uint8_t *end;
    int error;
};

struct cursor cursor_writing(void *bytes, size_t len);
struct cursor cursor_reading(const void *bytes, size_t len);

/* Bytes not yet read or written; 0 after a failure. */
size_t cursor_left(const struct cursor *c);
/* Records a failure found by the caller; the first one stays. */
void cursor_fail(struct cursor *c, int error);
must_check int cursor_error(const struct cursor *c);
/* As cursor_error, and ERROR_MALFORMED if bytes are left over. */
must_check int cursor_finish(const struct cursor *c);

uint8_t cursor_get_u8(struct cursor *c);
uint16_t cursor_get_be16(struct cursor *c);
uint32_t cursor_get_be32(struct cursor *c);
uint64_t cursor_get_be64(struct cursor *c);
/* A view of the next len bytes, borrowed; NULL after a failure. */
const uint8_t *cursor_get_view(struct cursor *c, size_t len);
/* Copies the next len bytes; zeroes after a failure. */
void cursor_get_bytes(struct cursor *c, void *out, size_t len);
void cursor_skip(struct cursor *c, size_t len);

void cursor_put_u8(struct cursor *c, uint8_t v);
void cursor_put_be16(struct cursor *c, uint16_t v);
void cursor_put_be32(struct cursor *c, uint32_t v);
void cursor_put_be64(struct cursor *c, uint64_t v);
void cursor_put_bytes(struct cursor *c, const void *bytes, size_t len);

#endif
