/* Deterministic CBOR (RFC 8949 section 4.2): the subset that control frames and statements use, which is unsigned and
 * negative integers, byte and text strings, arrays, maps, booleans and null, all of definite length. */
#ifndef WIRE_CBOR_H
#define WIRE_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cursor.h"
#include "base/error.h"

#define CBOR_DEPTH_MAX 8

enum cbor_kind {
    CBOR_UNSIGNED = 0,
    CBOR_NEGATIVE = 1,
    CBOR_BYTES = 2,
    CBOR_TEXT = 3,
    CBOR_ARRAY = 4,
    CBOR_MAP = 5,
    CBOR_SIMPLE = 7, /* false, true, null */
};

/* Writing: lengths and integers take their shortest form; the caller writes map keys in bytewise order of their
 * encodings (cbor_check would refuse otherwise). Errors stick in the cursor. */
void cbor_put_unsigned(struct cursor *c, uint64_t value);
/* Writes -1 - n. */
void cbor_put_negative(struct cursor *c, uint64_t n);
void cbor_put_bytes(struct cursor *c, const void *bytes, size_t len);
/* ERROR_MALFORMED sticks if the text is not UTF-8. */
void cbor_put_text(struct cursor *c, const char *text, size_t len);
void cbor_put_array(struct cursor *c, uint64_t count);
void cbor_put_map(struct cursor *c, uint64_t pairs);
void cbor_put_bool(struct cursor *c, bool value);
void cbor_put_null(struct cursor *c);

/* Reading. The door: the whole of `bytes` is exactly one well-formed, deterministic item: shortest forms, definite
 * lengths, map keys ascending and unique, valid UTF-8, no tags, no floats, at most CBOR_DEPTH_MAX levels. Never
 * recurses, never allocates, time linear in len but for comparing neighbouring keys. */
must_check int cbor_check(const void *bytes, size_t len);

/* Readers for items that passed cbor_check; a kind other than the wanted one sticks as ERROR_MALFORMED in the cursor.
 * Views are borrowed from the input. */
enum cbor_kind cbor_peek(const struct cursor *c);
uint64_t cbor_get_unsigned(struct cursor *c);
uint64_t cbor_get_negative(struct cursor *c);
const uint8_t *cbor_get_bytes(struct cursor *c, size_t *len);
const char *cbor_get_text(struct cursor *c, size_t *len);
/* A byte string of exactly that length, copied; ERROR_MALFORMED sticks if it has another. */
void cbor_get_exactly(struct cursor *c, void *out, size_t len);
uint64_t cbor_get_array(struct cursor *c);
/* An array of `least` to `most` items (ERROR_MALFORMED sticks otherwise); 0 after any error, so that nobody loops. */
uint32_t cbor_get_count(struct cursor *c, uint32_t least, uint32_t most);
uint64_t cbor_get_map(struct cursor *c);
bool cbor_get_bool(struct cursor *c);
void cbor_get_null(struct cursor *c);
/* Passes over one item with everything inside it. */
void cbor_skip(struct cursor *c);

#endif
