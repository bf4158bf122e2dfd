#include <string.h>

#include "wire/cbor.h"

#include "fuzz.h"

/* Reads one item and writes it again, but for what is inside an array or map: returns how many items that is. */
static uint64_t copy_head(struct cursor *in, struct cursor *out)
{
    struct cursor ahead = *in;
    const void *view;
    uint64_t count;
    size_t len;
    switch (cbor_peek(in)) {
    case CBOR_UNSIGNED:
        cbor_put_unsigned(out, cbor_get_unsigned(in));
        return 0;
    case CBOR_NEGATIVE:
        cbor_put_negative(out, cbor_get_negative(in));
        return 0;
    case CBOR_BYTES:
        view = cbor_get_bytes(in, &len);
        cbor_put_bytes(out, view, len);
        return 0;
    case CBOR_TEXT:
        view = cbor_get_text(in, &len);
        cbor_put_text(out, view, len);
        return 0;
    case CBOR_ARRAY:
        count = cbor_get_array(in);
        cbor_put_array(out, count);
        return count;
    case CBOR_MAP:
        count = cbor_get_map(in);
        cbor_put_map(out, count);
        return 2 * count;
    case CBOR_SIMPLE:
        cbor_get_null(&ahead);
        if (cursor_error(&ahead)) {
            cbor_put_bool(out, cbor_get_bool(in));
        } else {
            cbor_get_null(in);
            cbor_put_null(out);
        }
        return 0;
    }
    abort();
}

/* What passes the door is read without an error to its last byte, and is what writing it gives. */
static void must_be_written_the_same(const uint8_t *data, size_t size)
{
    uint8_t *again = malloc(size);
    must(again);
    struct cursor in = cursor_reading(data, size), out = cursor_writing(again, size);
    for (uint64_t items = 1; items > 0; items--)
        items += copy_head(&in, &out);
    must(cursor_finish(&in) == 0);
    must(cursor_finish(&out) == 0);
    must(memcmp(again, data, size) == 0);
    free(again);
}

/* The readers do not rely on the door for memory: any bytes may be skipped over. */
static void must_skip(const uint8_t *data, size_t size, int checked)
{
    struct cursor c = cursor_reading(data, size);
    cbor_skip(&c);
    must(checked || cursor_finish(&c) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int checked = cbor_check(data, size);
    must_skip(data, size, checked);
    if (!checked)
        must_be_written_the_same(data, size);
    return 0;
}
