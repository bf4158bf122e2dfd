#include "wire/frame.h"

#include <string.h>

#include "base/bytes.h"
#include "wire/cbor.h"
#include "wire/names.h"

#define PADDING_MAX 15u

enum field_type {
    FIELD_NUMBER, /* uint64_t */
    FIELD_CHOICE, /* an enum; `least` to `most` */
    FIELD_FIXED,  /* `most` bytes */
    FIELD_VIEW,   /* byte string of `least` to `most` bytes */
    FIELD_TEXT,   /* text, likewise */
};

/* One key of a frame's map. What is optional is left out when it is zero or empty, and only then. */
struct field {
    uint16_t offset; /* in struct frame */
    uint16_t least, most;
    uint8_t type;
    uint8_t key;
    bool optional;
};

#define NUMBER(k, member)                                                          \
    {                                                                              \
        .offset = offsetof(struct frame, member), .type = FIELD_NUMBER, .key = (k) \
    }
#define CHOICE(k, member, from, to)                                                                               \
    {                                                                                                             \
        .offset = offsetof(struct frame, member), .least = (from), .most = (to), .type = FIELD_CHOICE, .key = (k) \
    }
#define OPTIONAL_CHOICE(k, member, to)                                                                             \
    {                                                                                                              \
        .offset = offsetof(struct frame, member), .most = (to), .type = FIELD_CHOICE, .key = (k), .optional = true \
    }
#define FIXED(k, member, size)                                                                    \
    {                                                                                             \
        .offset = offsetof(struct frame, member), .most = (size), .type = FIELD_FIXED, .key = (k) \
    }
#define OPTIONAL_FIXED(k, member, size)                                                                             \
    {                                                                                                               \
        .offset = offsetof(struct frame, member), .most = (size), .type = FIELD_FIXED, .key = (k), .optional = true \
    }
#define VIEW(k, member, from, to)                                                                               \
    {                                                                                                           \
        .offset = offsetof(struct frame, member), .least = (from), .most = (to), .type = FIELD_VIEW, .key = (k) \
    }
#define OPTIONAL_VIEW(k, member, from, to)                                                                       \
    {                                                                                                            \
        .offset = offsetof(struct frame, member), .least = (from), .most = (to), .type = FIELD_VIEW, .key = (k), \
        .optional = true                                                                                         \
    }
#define OPTIONAL_TEXT(k, member, from, to)                                                                       \
    {                                                                                                            \
        .offset = offsetof(struct frame, member), .least = (from), .most = (to), .type = FIELD_TEXT, .key = (k), \
        .optional = true                                                                                         \
    }
#define OPTIONAL_HEAD(k, member) OPTIONAL_VIEW(k, member, FRAME_SIGNED_HEAD_SIZE, FRAME_SIGNED_HEAD_SIZE)
#define OPTIONAL_GATE(k, member) OPTIONAL_VIEW(k, member, FRAME_GATE_SIZE, FRAME_GATE_SIZE)
#define OPTIONAL_CANDIDATES(k, member) OPTIONAL_VIEW(k, member, 1, FRAME_CANDIDATES_SIZE)

/* Keys ascend, as deterministic CBOR wants them written. */
static const struct field hello_fields[] = {
    NUMBER(1, hello.version_min), NUMBER(2, hello.version_max),           NUMBER(3, hello.aeads),
    NUMBER(4, hello.features),    OPTIONAL_HEAD(5, hello.head),           NUMBER(6, hello.run),
    OPTIONAL_GATE(7, hello.gate), OPTIONAL_CANDIDATES(8, hello.observed),
};
static const struct field introduce_fields[] = {
    NUMBER(1, introduce.number),
    CHOICE(2, introduce.stage, INTRODUCE_ASK, INTRODUCE_ANSWER),
    OPTIONAL_FIXED(3, introduce.device, FRAME_DEVICE_ID_SIZE),
    OPTIONAL_VIEW(4, introduce.address, 4, 16),
    OPTIONAL_TEXT(5, introduce.name, 1, FRAME_NAME_MAX),
    OPTIONAL_CHOICE(6, introduce.result, INTRODUCE_ELSEWHERE),
    OPTIONAL_VIEW(7, introduce.opening, 1, FRAME_MAX),
    OPTIONAL_HEAD(8, introduce.head),
    OPTIONAL_CANDIDATES(9, introduce.candidates),
    OPTIONAL_GATE(10, introduce.gate),
};
static const struct field candidates_fields[] = {
    OPTIONAL_CANDIDATES(1, candidates.list),
};
static const struct field probe_fields[] = {
    NUMBER(1, probe.number),
    NUMBER(2, probe.time),
};
static const struct field get_fields[] = {
    CHOICE(1, get.what, SYNC_LEDGER, SYNC_OFFER), NUMBER(2, get.from),   NUMBER(3, get.to),
    OPTIONAL_FIXED(4, get.hash, FRAME_HASH_SIZE), NUMBER(5, get.offset),
};
static const struct field part_fields[] = {
    CHOICE(1, part.what, SYNC_LEDGER, SYNC_OFFER),   NUMBER(2, part.from),   NUMBER(3, part.to),
    OPTIONAL_FIXED(4, part.hash, FRAME_HASH_SIZE),   NUMBER(5, part.offset), NUMBER(6, part.total),
    OPTIONAL_VIEW(7, part.bytes, 1, FRAME_PART_MAX),
};
static const struct field join_fields[] = {
    VIEW(1, join.statement, 1, FRAME_MAX),
};
static const struct field joined_fields[] = {
    FIXED(1, joined.statement, FRAME_HASH_SIZE),
    NUMBER(2, joined.verdict),
    NUMBER(3, joined.index),
    OPTIONAL_HEAD(4, joined.head),
};
static const struct field statement_fields[] = {
    FIXED(1, statement.hash, FRAME_HASH_SIZE),
    NUMBER(2, statement.total),
    OPTIONAL_VIEW(3, statement.bytes, 1, FRAME_INLINE_MAX),
};
static const struct field notice_fields[] = {
    VIEW(1, notice.head, FRAME_SIGNED_HEAD_SIZE, FRAME_SIGNED_HEAD_SIZE),
};

/* ---- What the fields have to say together ---- */

static bool list_holds(struct frame_view list)
{
    struct underlay all[FRAME_CANDIDATES_MAX];
    return list.len == 0 || frame_candidates_get(list, all) > 0;
}

static bool hello_holds(const struct frame *f)
{
    struct underlay all[FRAME_CANDIDATES_MAX];
    bool one = f->hello.observed.len == 0 || frame_candidates_get(f->hello.observed, all) == 1;
    return one && f->hello.version_min > 0 && f->hello.version_min <= f->hello.version_max;
}

static bool candidates_hold(const struct frame *f)
{
    return list_holds(f->candidates.list);
}

enum {
    HAS_DEVICE = 1,
    HAS_ADDRESS = 2,
    HAS_NAME = 4,
    HAS_RESULT = 8,
    HAS_OPENING = 16,
    HAS_HEAD = 32,
    HAS_CANDIDATES = 64,
    HAS_GATE = 128,
};
#define MAY_TELL (HAS_OPENING | HAS_HEAD | HAS_CANDIDATES | HAS_GATE)

static unsigned introduce_has(const struct frame_introduce *i)
{
    return (i->has_device ? HAS_DEVICE : 0) | (i->address.len > 0 ? HAS_ADDRESS : 0) |
           (i->name.len > 0 ? HAS_NAME : 0) | (i->result != INTRODUCE_NO ? HAS_RESULT : 0) |
           (i->opening.len > 0 ? HAS_OPENING : 0) | (i->head.len > 0 ? HAS_HEAD : 0) |
           (i->candidates.len > 0 ? HAS_CANDIDATES : 0) | (i->gate.len > 0 ? HAS_GATE : 0);
}

/* By stage: what there may be, besides a device where there must be one. */
static bool introduce_stage_holds(enum introduce_stage stage, unsigned has)
{
    switch (stage) {
    case INTRODUCE_ASK:
        return has == HAS_DEVICE || has == HAS_ADDRESS || has == HAS_NAME;
    case INTRODUCE_TELL:
        return (has & ~(unsigned)MAY_TELL) == HAS_DEVICE;
    case INTRODUCE_ACKNOWLEDGE:
        return has == HAS_DEVICE;
    case INTRODUCE_ANSWER:
        return has == 0 || (has & ~(unsigned)MAY_TELL) == (HAS_DEVICE | HAS_RESULT);
    }
    return false;
}

static bool introduce_holds(const struct frame *f)
{
    const struct frame_introduce *i = &f->introduce;
    if (i->has_device == is_zero(i->device, sizeof(i->device)))
        return false;
    if (i->address.len != 0 && i->address.len != 4 && i->address.len != 16)
        return false;
    if (i->name.len != 0 && !name_is_valid((const char *)i->name.bytes, i->name.len))
        return false;
    return list_holds(i->candidates) && introduce_stage_holds(i->stage, introduce_has(i));
}

static bool sync_holds(enum sync_what what, uint64_t from, uint64_t to, const uint8_t hash[FRAME_HASH_SIZE])
{
    return from <= to && (what == SYNC_OFFER) != is_zero(hash, FRAME_HASH_SIZE);
}

static bool get_holds(const struct frame *f)
{
    return sync_holds(f->get.what, f->get.from, f->get.to, f->get.hash);
}

static bool part_holds(const struct frame *f)
{
    const struct frame_part *p = &f->part;
    if (!sync_holds(p->what, p->from, p->to, p->hash))
        return false;
    if (p->total == 0)
        return p->bytes.len == 0;
    if (p->offset > p->total || p->bytes.len > p->total - p->offset)
        return false;
    return p->bytes.len == FRAME_PART_MAX || p->offset + p->bytes.len == p->total;
}

static bool statement_holds(const struct frame *f)
{
    return f->statement.total > 0 && (f->statement.bytes.len == 0 || f->statement.bytes.len == f->statement.total);
}

/* ---- The kinds ---- */

struct kind {
    const struct field *fields;
    size_t count;
    bool known;
    bool (*holds)(const struct frame *f);
};
#define KIND(table) .fields = (table), .count = sizeof(table) / sizeof((table)[0]), .known = true

static const struct kind kinds[] = {
    [FRAME_HELLO] = {KIND(hello_fields), .holds = hello_holds},
    [FRAME_INTRODUCE] = {KIND(introduce_fields), .holds = introduce_holds},
    [FRAME_CANDIDATES] = {KIND(candidates_fields), .holds = candidates_hold},
    [FRAME_PROBE] = {KIND(probe_fields)},
    [FRAME_ANSWER] = {KIND(probe_fields)},
    [FRAME_GET] = {KIND(get_fields), .holds = get_holds},
    [FRAME_PART] = {KIND(part_fields), .holds = part_holds},
    [FRAME_JOIN] = {KIND(join_fields)},
    [FRAME_JOINED] = {KIND(joined_fields)},
    [FRAME_STATEMENT] = {KIND(statement_fields), .holds = statement_holds},
    [FRAME_NOTICE] = {KIND(notice_fields)},
    [FRAME_SIGN_OFF] = {.known = true},
};

static const struct kind *kind_of(unsigned number)
{
    return number < sizeof(kinds) / sizeof(kinds[0]) && kinds[number].known ? &kinds[number] : NULL;
}

/* ---- Reading ---- */

static void read_string(struct cursor *c, const struct field *field, void *member)
{
    struct frame_view view;
    if (field->type == FIELD_TEXT)
        view.bytes = (const uint8_t *)cbor_get_text(c, &view.len);
    else
        view.bytes = cbor_get_bytes(c, &view.len);
    size_t least = field->type == FIELD_FIXED ? field->most : field->least;
    if (view.len < least || view.len > field->most)
        cursor_fail(c, ERROR_MALFORMED);
    if (c->error)
        return;
    if (field->type != FIELD_FIXED)
        memcpy(member, &view, sizeof(view));
    else if (field->optional && is_zero(view.bytes, view.len))
        cursor_fail(c, ERROR_MALFORMED);
    else
        memcpy(member, view.bytes, view.len);
}

static void read_choice(struct cursor *c, const struct field *field, void *member)
{
    uint64_t value = cbor_get_unsigned(c);
    if (value < field->least || value > field->most || (field->optional && value == 0))
        cursor_fail(c, ERROR_MALFORMED);
    unsigned choice = (unsigned)value;
    memcpy(member, &choice, sizeof(choice));
}

static void read_field(struct cursor *c, const struct field *field, struct frame *frame)
{
    void *member = (uint8_t *)frame + field->offset;
    if (field->type == FIELD_NUMBER) {
        uint64_t value = cbor_get_unsigned(c);
        memcpy(member, &value, sizeof(value));
    } else if (field->type == FIELD_CHOICE) {
        read_choice(c, field, member);
    } else {
        read_string(c, field, member);
    }
}

/* The map's next pair: a field's that follows `at`, or one to pass over. Returns where to go on in the table. Fields
 * that should have come earlier and did not must be optional. */
static size_t read_pair(struct cursor *c, const struct kind *kind, size_t at, struct frame *frame)
{
    if (cbor_peek(c) != CBOR_UNSIGNED) {
        cbor_skip(c);
        cbor_skip(c);
        return at;
    }
    uint64_t key = cbor_get_unsigned(c);
    while (at < kind->count && kind->fields[at].key < key)
        if (!kind->fields[at++].optional)
            cursor_fail(c, ERROR_MALFORMED);
    if (at < kind->count && kind->fields[at].key == key)
        read_field(c, &kind->fields[at++], frame);
    else
        cbor_skip(c);
    return at;
}

static int read_map(struct cursor *c, const struct kind *kind, struct frame *frame)
{
    size_t at = 0;
    for (uint64_t left = cbor_get_map(c); left > 0 && !c->error; left--)
        at = read_pair(c, kind, at, frame);
    while (at < kind->count)
        if (!kind->fields[at++].optional)
            cursor_fail(c, ERROR_MALFORMED);
    return cursor_finish(c);
}

/* The item's length, with padding behind it found to be padding; or ERROR_MALFORMED. */
static int64_t item_length(const uint8_t *bytes, size_t len)
{
    struct cursor c = cursor_reading(bytes, len);
    cbor_skip(&c);
    size_t padding = cursor_left(&c);
    if (cursor_error(&c) || padding > PADDING_MAX || !is_zero(bytes + len - padding, padding))
        return ERROR_MALFORMED;
    return (int64_t)(len - padding);
}

int frame_decode(struct frame *out, const uint8_t *bytes, size_t len)
{
    memset(out, 0, sizeof(*out));
    if (len == 0 || len > FRAME_MAX || bytes[0] >> 4 != 0)
        return ERROR_MALFORMED;
    const struct kind *kind = kind_of(bytes[0]);
    if (!kind)
        return ERROR_UNSUPPORTED;
    int64_t item = item_length(bytes + 1, len - 1);
    if (item < 0 || cbor_check(bytes + 1, (size_t)item) != 0)
        return ERROR_MALFORMED;
    out->kind = (enum frame_kind)bytes[0];
    struct cursor c = cursor_reading(bytes + 1, (size_t)item);
    int error = read_map(&c, kind, out);
    if (out->kind == FRAME_INTRODUCE)
        out->introduce.has_device = !is_zero(out->introduce.device, sizeof(out->introduce.device));
    if (error != 0 || (kind->holds && !kind->holds(out)))
        return ERROR_MALFORMED;
    return 0;
}

/* ---- Writing ---- */

static struct frame_view view_of(const void *member)
{
    struct frame_view view;
    memcpy(&view, member, sizeof(view));
    return view;
}

static unsigned choice_of(const void *member)
{
    unsigned choice;
    memcpy(&choice, member, sizeof(choice));
    return choice;
}

static bool field_is_empty(const struct field *field, const void *member)
{
    switch (field->type) {
    case FIELD_CHOICE:
        return choice_of(member) == 0;
    case FIELD_FIXED:
        return is_zero(member, field->most);
    case FIELD_VIEW:
    case FIELD_TEXT:
        return view_of(member).len == 0;
    default:
        return false;
    }
}

/* Whether what is written could be read. */
static bool field_holds(const struct field *field, const void *member)
{
    if (field->optional && field_is_empty(field, member))
        return true;
    if (field->type == FIELD_CHOICE)
        return choice_of(member) >= field->least && choice_of(member) <= field->most;
    if (field->type == FIELD_VIEW || field->type == FIELD_TEXT)
        return view_of(member).len >= field->least && view_of(member).len <= field->most;
    return true;
}

static void write_field(struct cursor *c, const struct field *field, const void *member)
{
    struct frame_view view = {.bytes = member, .len = field->most};
    uint64_t number;
    cbor_put_unsigned(c, field->key);
    switch (field->type) {
    case FIELD_NUMBER:
        memcpy(&number, member, sizeof(number));
        cbor_put_unsigned(c, number);
        return;
    case FIELD_CHOICE:
        cbor_put_unsigned(c, choice_of(member));
        return;
    case FIELD_VIEW:
        view = view_of(member);
        break;
    case FIELD_TEXT:
        view = view_of(member);
        cbor_put_text(c, (const char *)view.bytes, view.len);
        return;
    }
    cbor_put_bytes(c, view.bytes, view.len);
}

static const void *member_of(const struct frame *frame, const struct field *field)
{
    return (const uint8_t *)frame + field->offset;
}

/* How many pairs there are to write; ERROR_INVALID if one could not be read. */
static int count_pairs(const struct frame *frame, const struct kind *kind)
{
    int count = 0;
    for (size_t i = 0; i < kind->count; i++) {
        const struct field *field = &kind->fields[i];
        if (!field_holds(field, member_of(frame, field)))
            return ERROR_INVALID;
        count += !field->optional || !field_is_empty(field, member_of(frame, field));
    }
    return count;
}

int frame_encode(const struct frame *frame, uint8_t *out, size_t capacity)
{
    const struct kind *kind = kind_of(frame->kind);
    int pairs = kind ? count_pairs(frame, kind) : ERROR_INVALID;
    if (pairs < 0 || (kind->holds && !kind->holds(frame)))
        return ERROR_INVALID;
    struct cursor c = cursor_writing(out, capacity < FRAME_MAX ? capacity : FRAME_MAX);
    cursor_put_u8(&c, (uint8_t)frame->kind);
    cbor_put_map(&c, (uint64_t)pairs);
    for (size_t i = 0; i < kind->count; i++) {
        const struct field *field = &kind->fields[i];
        if (!field->optional || !field_is_empty(field, member_of(frame, field)))
            write_field(&c, field, member_of(frame, field));
    }
    int error = cursor_error(&c);
    return error != 0 ? error : (int)(c.at - out);
}
