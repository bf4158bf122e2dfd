#include "wire/cbor.h"

#include <string.h>

/* The additional information of an item's first byte, RFC 8949 section 3. */
#define INFO_ONE_BYTE 24u
#define INFO_TWO_BYTES 25u
#define INFO_FOUR_BYTES 26u
#define INFO_EIGHT_BYTES 27u

#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE 21u
#define SIMPLE_NULL 22u
#define TAG 6u /* the one major type that enum cbor_kind leaves out */

struct head {
    enum cbor_kind kind;
    uint64_t value; /* the number itself, or how many bytes, items or pairs follow */
};

/* RFC 3629 section 4: the length of the UTF-8 sequence that the text starts with, 0 if it is not one. */
static size_t utf8_sequence(const uint8_t *text, size_t len)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max, len;
    } table[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    size_t row = 0;
    while (row < sizeof(table) / sizeof(table[0]) && text[0] > table[row].first_max)
        row++;
    if (row == sizeof(table) / sizeof(table[0]) || text[0] < table[row].first_min || len < table[row].len)
        return 0;
    if (table[row].len > 1 && (text[1] < table[row].second_min || text[1] > table[row].second_max))
        return 0;
    for (size_t i = 2; i < table[row].len; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return table[row].len;
}

static bool is_utf8(const uint8_t *text, size_t len)
{
    while (len > 0) {
        size_t sequence = utf8_sequence(text, len);
        if (sequence == 0)
            return false;
        text += sequence;
        len -= sequence;
    }
    return true;
}

static void put_head(struct cursor *c, enum cbor_kind kind, uint64_t value)
{
    uint8_t major = (uint8_t)(kind << 5);
    if (value < INFO_ONE_BYTE) {
        cursor_put_u8(c, (uint8_t)(major | value));
    } else if (value <= UINT8_MAX) {
        cursor_put_u8(c, (uint8_t)(major | INFO_ONE_BYTE));
        cursor_put_u8(c, (uint8_t)value);
    } else if (value <= UINT16_MAX) {
        cursor_put_u8(c, (uint8_t)(major | INFO_TWO_BYTES));
        cursor_put_be16(c, (uint16_t)value);
    } else if (value <= UINT32_MAX) {
        cursor_put_u8(c, (uint8_t)(major | INFO_FOUR_BYTES));
        cursor_put_be32(c, (uint32_t)value);
    } else {
        cursor_put_u8(c, (uint8_t)(major | INFO_EIGHT_BYTES));
        cursor_put_be64(c, value);
    }
}

void cbor_put_unsigned(struct cursor *c, uint64_t value)
{
    put_head(c, CBOR_UNSIGNED, value);
}

void cbor_put_negative(struct cursor *c, uint64_t n)
{
    put_head(c, CBOR_NEGATIVE, n);
}

void cbor_put_bytes(struct cursor *c, const void *bytes, size_t len)
{
    put_head(c, CBOR_BYTES, len);
    cursor_put_bytes(c, bytes, len);
}

void cbor_put_text(struct cursor *c, const char *text, size_t len)
{
    if (!is_utf8((const uint8_t *)text, len))
        cursor_fail(c, ERROR_MALFORMED);
    put_head(c, CBOR_TEXT, len);
    cursor_put_bytes(c, text, len);
}

void cbor_put_array(struct cursor *c, uint64_t count)
{
    put_head(c, CBOR_ARRAY, count);
}

void cbor_put_map(struct cursor *c, uint64_t pairs)
{
    put_head(c, CBOR_MAP, pairs);
}

void cbor_put_bool(struct cursor *c, bool value)
{
    put_head(c, CBOR_SIMPLE, value ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_null(struct cursor *c)
{
    put_head(c, CBOR_SIMPLE, SIMPLE_NULL);
}

/* The number behind the first byte: in its shortest form (section 4.2.1), else ERROR_MALFORMED sticks. */
static uint64_t get_argument(struct cursor *c, uint8_t info)
{
    uint64_t value = info, least = 0;
    switch (info) {
    case INFO_ONE_BYTE:
        value = cursor_get_u8(c);
        least = INFO_ONE_BYTE;
        break;
    case INFO_TWO_BYTES:
        value = cursor_get_be16(c);
        least = UINT8_MAX + UINT64_C(1);
        break;
    case INFO_FOUR_BYTES:
        value = cursor_get_be32(c);
        least = UINT16_MAX + UINT64_C(1);
        break;
    case INFO_EIGHT_BYTES:
        value = cursor_get_be64(c);
        least = UINT32_MAX + UINT64_C(1);
        break;
    default:
        if (info > INFO_EIGHT_BYTES) /* reserved, or of indefinite length */
            cursor_fail(c, ERROR_MALFORMED);
    }
    if (value < least)
        cursor_fail(c, ERROR_MALFORMED);
    return value;
}

/* False, true and null are all there is of major type 7. */
static bool is_known_simple(uint8_t info)
{
    return info >= SIMPLE_FALSE && info <= SIMPLE_NULL;
}

/* Whether the bytes left can hold what the head announces, since every element takes one at least. */
static bool fits(const struct cursor *c, const struct head *head)
{
    switch (head->kind) {
    case CBOR_BYTES:
    case CBOR_TEXT:
    case CBOR_ARRAY:
        return head->value <= cursor_left(c);
    case CBOR_MAP:
        return head->value <= cursor_left(c) / 2;
    default:
        return true;
    }
}

/* After a failure, a null. */
static struct head get_head(struct cursor *c)
{
    uint8_t first = cursor_get_u8(c), major = first >> 5, info = first & 31;
    if (major == TAG || (major == CBOR_SIMPLE && !is_known_simple(info)))
        cursor_fail(c, ERROR_MALFORMED);
    struct head head = {.kind = major, .value = get_argument(c, info)};
    if (!fits(c, &head))
        cursor_fail(c, ERROR_TRUNCATED);
    return c->error ? (struct head){.kind = CBOR_SIMPLE, .value = SIMPLE_NULL} : head;
}

/* An array or map whose elements are being checked. Elements of a map are its keys and values in turn. */
struct level {
    uint64_t left; /* elements still to come, the current one included */
    bool is_map;
    const uint8_t *key; /* start of the current pair's key */
    const uint8_t *previous;
    size_t previous_len; /* 0 at the first key */
};

struct checker {
    struct cursor c;
    struct level levels[CBOR_DEPTH_MAX];
    uint32_t depth;
};

static bool at_key(const struct level *level)
{
    return level->is_map && level->left % 2 == 0;
}

/* Bytewise order, section 4.2.1. No key is the beginning of another, since each says where it ends. */
static bool ascends(const uint8_t *previous, size_t previous_len, const uint8_t *key, size_t len)
{
    size_t common = previous_len < len ? previous_len : len;
    return common == 0 || memcmp(previous, key, common) < 0;
}

static void check_key(struct checker *k, struct level *level)
{
    size_t len = (size_t)(k->c.at - level->key);
    if (!ascends(level->previous, level->previous_len, level->key, len))
        cursor_fail(&k->c, ERROR_MALFORMED);
    level->previous = level->key;
    level->previous_len = len;
}

/* One item ended, and with it every array and map whose last element it was. */
static void end_item(struct checker *k)
{
    while (k->depth > 0) {
        struct level *level = &k->levels[k->depth - 1];
        if (at_key(level))
            check_key(k, level);
        if (--level->left > 0)
            return;
        k->depth--;
    }
}

static void begin_level(struct checker *k, bool is_map, uint64_t elements)
{
    if (k->depth == CBOR_DEPTH_MAX) {
        cursor_fail(&k->c, ERROR_MALFORMED);
        return;
    }
    if (elements == 0) {
        end_item(k);
        return;
    }
    k->levels[k->depth++] = (struct level){.left = elements, .is_map = is_map};
}

static void check_item(struct checker *k)
{
    if (k->depth > 0 && at_key(&k->levels[k->depth - 1]))
        k->levels[k->depth - 1].key = k->c.at;
    struct head head = get_head(&k->c);
    if (head.kind == CBOR_ARRAY) {
        begin_level(k, false, head.value);
        return;
    }
    if (head.kind == CBOR_MAP) {
        begin_level(k, true, 2 * head.value);
        return;
    }
    if (head.kind == CBOR_BYTES || head.kind == CBOR_TEXT) {
        const uint8_t *view = cursor_get_view(&k->c, (size_t)head.value);
        if (head.kind == CBOR_TEXT && !is_utf8(view, (size_t)head.value))
            cursor_fail(&k->c, ERROR_MALFORMED);
    }
    end_item(k);
}

int cbor_check(const void *bytes, size_t len)
{
    struct checker k = {.c = cursor_reading(bytes, len)};
    do
        check_item(&k);
    while (k.depth > 0 && !k.c.error);
    return cursor_finish(&k.c);
}

enum cbor_kind cbor_peek(const struct cursor *c)
{
    return cursor_left(c) > 0 ? (enum cbor_kind)(*c->at >> 5) : CBOR_SIMPLE;
}

/* The value of a head of the wanted kind, else 0. */
static uint64_t get_value(struct cursor *c, enum cbor_kind wanted)
{
    struct head head = get_head(c);
    if (head.kind != wanted)
        cursor_fail(c, ERROR_MALFORMED);
    return c->error ? 0 : head.value;
}

static const uint8_t *get_string(struct cursor *c, enum cbor_kind wanted, size_t *len)
{
    *len = (size_t)get_value(c, wanted);
    return cursor_get_view(c, *len);
}

uint64_t cbor_get_unsigned(struct cursor *c)
{
    return get_value(c, CBOR_UNSIGNED);
}

uint64_t cbor_get_negative(struct cursor *c)
{
    return get_value(c, CBOR_NEGATIVE);
}

const uint8_t *cbor_get_bytes(struct cursor *c, size_t *len)
{
    return get_string(c, CBOR_BYTES, len);
}

void cbor_get_exactly(struct cursor *c, void *out, size_t len)
{
    size_t there;
    const uint8_t *bytes = cbor_get_bytes(c, &there);
    if (!bytes || there != len)
        cursor_fail(c, ERROR_MALFORMED);
    else
        memcpy(out, bytes, len);
}

const char *cbor_get_text(struct cursor *c, size_t *len)
{
    return (const char *)get_string(c, CBOR_TEXT, len);
}

uint64_t cbor_get_array(struct cursor *c)
{
    return get_value(c, CBOR_ARRAY);
}

uint32_t cbor_get_count(struct cursor *c, uint32_t least, uint32_t most)
{
    uint64_t count = cbor_get_array(c);
    if (count < least || count > most)
        cursor_fail(c, ERROR_MALFORMED);
    return cursor_error(c) ? 0 : (uint32_t)count;
}

uint64_t cbor_get_map(struct cursor *c)
{
    return get_value(c, CBOR_MAP);
}

bool cbor_get_bool(struct cursor *c)
{
    uint64_t value = get_value(c, CBOR_SIMPLE);
    if (value == SIMPLE_NULL)
        cursor_fail(c, ERROR_MALFORMED);
    return value == SIMPLE_TRUE;
}

void cbor_get_null(struct cursor *c)
{
    if (get_value(c, CBOR_SIMPLE) != SIMPLE_NULL)
        cursor_fail(c, ERROR_MALFORMED);
}

void cbor_skip(struct cursor *c)
{
    for (uint64_t items = 1; items > 0 && !c->error; items--) {
        struct head head = get_head(c);
        if (head.kind == CBOR_BYTES || head.kind == CBOR_TEXT)
            cursor_skip(c, (size_t)head.value);
        else if (head.kind == CBOR_ARRAY)
            items += head.value;
        else if (head.kind == CBOR_MAP)
            items += 2 * head.value;
    }
}
