#include "ledger/kept.h"

#include <string.h>

#include "base/cursor.h"
#include "base/hex.h"
#include "wire/cbor.h"

/* ---- Writing ---- */

static void put_entry(struct cursor *c, const struct kept *k)
{
    cbor_put_unsigned(c, k->index);
    cbor_put_unsigned(c, k->time);
    cbor_put_unsigned(c, k->verdict);
    cbor_put_bytes(c, k->bytes, k->len);
}

static void put_bytes(struct cursor *c, const struct kept *k)
{
    cbor_put_bytes(c, k->bytes, k->len);
}

static void put_floor(struct cursor *c, const struct kept *k)
{
    cbor_put_unsigned(c, k->time);
}

static void put_evidence(struct cursor *c, const struct kept *k)
{
    cbor_put_bytes(c, k->bytes, SIGNED_HEAD_SIZE);
    cbor_put_bytes(c, k->other, SIGNED_HEAD_SIZE);
}

/* ---- Reading ---- */

static void get_bytes(struct cursor *c, struct kept *k)
{
    k->bytes = cbor_get_bytes(c, &k->len);
}

static const uint8_t *get_head(struct cursor *c)
{
    size_t len;
    const uint8_t *bytes = cbor_get_bytes(c, &len);
    if (len != SIGNED_HEAD_SIZE)
        cursor_fail(c, ERROR_MALFORMED);
    return bytes;
}

static void get_entry(struct cursor *c, struct kept *k)
{
    k->index = cbor_get_unsigned(c);
    k->time = cbor_get_unsigned(c);
    uint64_t verdict = cbor_get_unsigned(c);
    if (verdict >= VERDICT_COUNT)
        cursor_fail(c, ERROR_MALFORMED);
    k->verdict = (enum fold_verdict)verdict;
    get_bytes(c, k);
}

static void get_floor(struct cursor *c, struct kept *k)
{
    k->time = cbor_get_unsigned(c);
}

static void get_one_head(struct cursor *c, struct kept *k)
{
    k->bytes = get_head(c);
    k->len = SIGNED_HEAD_SIZE;
}

static void get_evidence(struct cursor *c, struct kept *k)
{
    get_one_head(c, k);
    k->other = get_head(c);
}

static const struct form {
    uint64_t items; /* with the kind */
    void (*put)(struct cursor *c, const struct kept *k);
    void (*get)(struct cursor *c, struct kept *k);
} forms[] = {
    [KEPT_ENTRY] = {5, put_entry, get_entry},          [KEPT_HEAD] = {2, put_bytes, get_one_head},
    [KEPT_TAKE_AWAY] = {2, put_bytes, get_bytes},      [KEPT_FLOOR] = {2, put_floor, get_floor},
    [KEPT_EVIDENCE] = {3, put_evidence, get_evidence}, [KEPT_BASE] = {2, put_bytes, get_bytes},
};
#define FORMS (sizeof(forms) / sizeof(forms[0]))

int64_t kept_encode(const struct kept *kept, uint8_t *out, size_t capacity)
{
    struct cursor c = cursor_writing(out, capacity);
    const struct form *form = &forms[kept->kind];
    cbor_put_array(&c, form->items);
    cbor_put_unsigned(&c, kept->kind);
    form->put(&c, kept);
    int error = cursor_error(&c);
    return error ? error : c.at - out;
}

int kept_decode(struct kept *out, const uint8_t *bytes, size_t len)
{
    memset(out, 0, sizeof(*out));
    if (cbor_check(bytes, len))
        return ERROR_MALFORMED;
    struct cursor c = cursor_reading(bytes, len);
    uint64_t items = cbor_get_array(&c), kind = cbor_get_unsigned(&c);
    if (kind == 0 || kind >= FORMS || items != forms[kind].items)
        return ERROR_MALFORMED;
    out->kind = (enum kept_kind)kind;
    forms[kind].get(&c, out);
    return cursor_finish(&c) ? ERROR_MALFORMED : 0;
}

/* ---- Names in the outbox ---- */

void kept_name(char out[KEPT_NAME_SIZE], const uint8_t statement[SHA256_SIZE])
{
    hex_print(out, statement, SHA256_SIZE);
}

bool kept_name_parse(uint8_t statement[SHA256_SIZE], const char *name)
{
    return hex_parse(statement, SHA256_SIZE, name);
}
