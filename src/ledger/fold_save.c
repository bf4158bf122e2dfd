#include <string.h>

#include "ledger/fold_internal.h"

/* A saved fold: these 16 bytes, head (index 8, hash 32, time 8), count of records 4, records. */
static const char magic[16] = "nightjar fold 1";
#define HEADER_SIZE (sizeof(magic) + 8 + SHA256_SIZE + 8 + 4)

static void put_header(const struct fold *f, struct cursor *c)
{
    cursor_put_bytes(c, magic, sizeof(magic));
    cursor_put_be64(c, f->head.index);
    cursor_put_bytes(c, f->head.hash, SHA256_SIZE);
    cursor_put_be64(c, f->head.time);
    cursor_put_be32(c, f->record_count);
}

static int64_t saved_size(const struct fold *f)
{
    int64_t size = HEADER_SIZE;
    for (uint32_t i = 0; i < f->record_count; i++) {
        struct cursor c = cursor_writing(f->scratch, RECORD_MAX);
        record_put(f, i, &c);
        if (cursor_error(&c))
            return cursor_error(&c);
        size += c.at - f->scratch;
    }
    return size;
}

int64_t fold_save(const struct fold *f, uint8_t *out, size_t capacity)
{
    if (fold_is_empty(f))
        return ERROR_INVALID;
    if (!out)
        return saved_size(f);
    struct cursor c = cursor_writing(out, capacity);
    put_header(f, &c);
    for (uint32_t i = 0; i < f->record_count; i++)
        record_put(f, i, &c);
    return cursor_error(&c) ? cursor_error(&c) : c.at - out;
}

static uint32_t get_header(struct fold *f, struct cursor *c)
{
    const uint8_t *begins = cursor_get_view(c, sizeof(magic));
    f->head.index = cursor_get_be64(c);
    cursor_get_bytes(c, f->head.hash, SHA256_SIZE);
    f->head.time = cursor_get_be64(c);
    uint32_t count = cursor_get_be32(c);
    if (!begins || memcmp(begins, magic, sizeof(magic)) != 0 || f->head.index == UINT64_MAX || count == 0)
        cursor_fail(c, ERROR_MALFORMED);
    return cursor_error(c) ? 0 : count;
}

/* One record: what is read must be what would be written. */
static int get_record(struct fold *f, struct cursor *c)
{
    const uint8_t *begin = c->at;
    int error = record_get(f, c);
    if (error)
        return error;
    size_t len = (size_t)(c->at - begin);
    struct cursor again = cursor_writing(f->scratch + 1, RECORD_MAX);
    record_put(f, f->record_count - 1, &again);
    if (cursor_error(&again) || (size_t)(again.at - f->scratch) != 1 + len || memcmp(f->scratch + 1, begin, len) != 0)
        return ERROR_MALFORMED;
    return merkle_set(&f->tree, f->c, f->record_count - 1, f->scratch, 1 + len);
}

static int load(struct fold *f, const uint8_t *bytes, size_t len)
{
    struct cursor c = cursor_reading(bytes, len);
    uint32_t count = get_header(f, &c);
    int error = cursor_error(&c) ? ERROR_MALFORMED : 0;
    for (uint32_t i = 0; i < count && !error; i++)
        error = get_record(f, &c);
    if (!error && cursor_finish(&c))
        error = ERROR_MALFORMED;
    return error;
}

int fold_load(struct fold **out, struct crypto *c, const uint8_t *bytes, size_t len)
{
    struct fold *f;
    int error = fold_new(&f, c);
    if (error)
        return error;
    error = load(f, bytes, len);
    if (error)
        fold_free(f);
    else
        *out = f;
    return error;
}
