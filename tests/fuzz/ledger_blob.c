#include <string.h>

#include "ledger/blob.h"

#include "fuzz.h"

static void must_equal(struct blob_writer *w, const uint8_t *data, size_t size)
{
    must(w->error == 0 && w->len == size && memcmp(w->bytes, data, size) == 0);
    free(w->bytes);
}

static void must_write_entries(const uint8_t *data, size_t size)
{
    struct blob_writer w = {0};
    struct blob_reader r;
    struct frame_view statement;
    uint64_t time;
    if (blob_read_entries(&r, data, size))
        return;
    blob_begin(&w, r.left);
    while (blob_next_entry(&r, &time, &statement))
        blob_put_entry(&w, time, statement);
    must_equal(&w, data, size);
}

static void copy_openings(struct blob_writer *w, struct blob_reader *r)
{
    struct frame_view opening;
    while (blob_next_opening(r, &opening))
        blob_put_opening(w, opening);
}

/* What passes a door is what writing it gives. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob_writer openings = {0}, submission = {0};
    struct blob_reader r;
    struct frame_view statement;
    must_write_entries(data, size);
    if (blob_read_openings(&r, data, size) == 0) {
        blob_begin(&openings, r.left);
        copy_openings(&openings, &r);
        must_equal(&openings, data, size);
    }
    if (blob_read_submission(&r, &statement, data, size) == 0) {
        blob_begin_submission(&submission, statement, r.left);
        copy_openings(&submission, &r);
        must_equal(&submission, data, size);
    }
    return 0;
}
