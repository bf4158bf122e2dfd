#include "ledger/blob.h"

#include <stdlib.h>
#include <string.h>

#include "wire/cbor.h"

#define HEAD_MAX 9u /* a CBOR item's first byte and its number */

static struct frame_view get_view(struct cursor *c)
{
    struct frame_view view = {0};
    view.bytes = cbor_get_bytes(c, &view.len);
    return view;
}

static void skip_entry(struct cursor *c)
{
    if (cbor_get_array(c) != 2)
        cursor_fail(c, ERROR_MALFORMED);
    (void)cbor_get_unsigned(c);
    (void)get_view(c);
}

static void skip_opening(struct cursor *c)
{
    (void)get_view(c);
}

/* From here to the end: an array of items that `skip` understands. */
static int read_items(struct blob_reader *out, struct cursor *c, void (*skip)(struct cursor *))
{
    uint64_t count = cbor_get_array(c);
    *out = (struct blob_reader){c->at, c->end, count};
    for (uint64_t i = 0; i < count && cursor_left(c) > 0; i++)
        skip(c);
    return cursor_finish(c);
}

int blob_read_entries(struct blob_reader *out, const uint8_t *blob, size_t len)
{
    int error = cbor_check(blob, len);
    struct cursor c = cursor_reading(blob, len);
    return error ? error : read_items(out, &c, skip_entry);
}

int blob_read_openings(struct blob_reader *out, const uint8_t *blob, size_t len)
{
    int error = cbor_check(blob, len);
    struct cursor c = cursor_reading(blob, len);
    return error ? error : read_items(out, &c, skip_opening);
}

int blob_read_submission(struct blob_reader *openings, struct frame_view *statement, const uint8_t *blob, size_t len)
{
    int error = cbor_check(blob, len);
    if (error)
        return error;
    struct cursor c = cursor_reading(blob, len);
    if (cbor_get_array(&c) != 2)
        return ERROR_MALFORMED;
    *statement = get_view(&c);
    error = read_items(openings, &c, skip_opening);
    return error ? error : openings->left > SUBMISSION_OPENINGS_MAX ? ERROR_MALFORMED : 0;
}

bool blob_next_entry(struct blob_reader *r, uint64_t *time, struct frame_view *statement)
{
    if (r->left == 0)
        return false;
    struct cursor c = cursor_reading(r->at, (size_t)(r->end - r->at));
    (void)cbor_get_array(&c);
    *time = cbor_get_unsigned(&c);
    *statement = get_view(&c);
    r->at = c.at;
    r->left--;
    return true;
}

bool blob_next_opening(struct blob_reader *r, struct frame_view *opening)
{
    if (r->left == 0)
        return false;
    struct cursor c = cursor_reading(r->at, (size_t)(r->end - r->at));
    *opening = get_view(&c);
    r->at = c.at;
    r->left--;
    return true;
}

static bool make_room(struct blob_writer *w, size_t more)
{
    if (w->error)
        return false;
    if (w->len + more > SYNC_BLOB_MAX) {
        w->error = ERROR_OVERFLOW;
        return false;
    }
    if (w->len + more <= w->capacity)
        return true;
    size_t capacity = w->capacity ? 2 * w->capacity : 1024;
    while (capacity < w->len + more)
        capacity *= 2;
    uint8_t *bytes = realloc(w->bytes, capacity);
    if (!bytes) {
        w->error = ERROR_MEMORY;
        return false;
    }
    w->bytes = bytes;
    w->capacity = capacity;
    return true;
}

/* Room was made for what is written. */
static struct cursor rest(const struct blob_writer *w)
{
    return cursor_writing(w->bytes + w->len, w->capacity - w->len);
}

static void advance(struct blob_writer *w, const struct cursor *c)
{
    if (c->error)
        w->error = c->error;
    else
        w->len = (size_t)(c->at - w->bytes);
}

void blob_begin(struct blob_writer *w, uint64_t items)
{
    if (!make_room(w, HEAD_MAX))
        return;
    struct cursor c = rest(w);
    cbor_put_array(&c, items);
    advance(w, &c);
}

void blob_put_entry(struct blob_writer *w, uint64_t time, struct frame_view statement)
{
    if (!make_room(w, 3 * HEAD_MAX + statement.len))
        return;
    struct cursor c = rest(w);
    cbor_put_array(&c, 2);
    cbor_put_unsigned(&c, time);
    cbor_put_bytes(&c, statement.bytes, statement.len);
    advance(w, &c);
}

void blob_put_opening(struct blob_writer *w, struct frame_view opening)
{
    if (!make_room(w, HEAD_MAX + opening.len))
        return;
    struct cursor c = rest(w);
    cbor_put_bytes(&c, opening.bytes, opening.len);
    advance(w, &c);
}

void blob_begin_submission(struct blob_writer *w, struct frame_view statement, uint64_t openings)
{
    blob_begin(w, 2);
    blob_put_opening(w, statement); /* a byte string as well */
    blob_begin(w, openings);
}
