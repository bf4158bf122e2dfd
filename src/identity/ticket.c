#include "identity/ticket.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cursor.h"
#include "identity/ticket_text.h"
#include "wire/cbor.h"

#define CHECKSUM_SIZE 4
#define OPENINGS_MAX (TICKET_FOUNDING_STATEMENTS_MAX * 2)

static const char plain_prefix[] = "nightjar-ticket-";
static const char founding_prefix[] = "nightjar-founding-";
static const char version[] = "1:";

enum key { NETWORK, NAME, SEED, INVITE, OPENING, FLOOR, RELAYS, STATEMENTS, OPENINGS };
#define KEYS_OF_EITHER 7

/* ---- Writing ---- */

static void put_view(struct cursor *c, const struct ticket_bytes *view)
{
    cbor_put_bytes(c, view->bytes, view->len);
}

static void put_place(struct cursor *c, const struct ticket *t)
{
    cbor_put_unsigned(c, FLOOR);
    cbor_put_array(c, 4);
    cbor_put_unsigned(c, t->head_index);
    cbor_put_bytes(c, t->head_hash, sizeof(t->head_hash));
    cbor_put_bytes(c, t->fold_root, sizeof(t->fold_root));
    cbor_put_unsigned(c, t->time);
    cbor_put_unsigned(c, RELAYS);
    cbor_put_array(c, t->relay_count);
    for (uint32_t i = 0; i < t->relay_count; i++) {
        const struct ticket_relay *r = &t->relays[i];
        cbor_put_array(c, 4);
        cbor_put_bytes(c, r->device.bytes, sizeof(r->device.bytes));
        underlay_put(c, &r->endpoint);
        cbor_put_bytes(c, r->static_key, sizeof(r->static_key));
    }
}

static void put_founding(struct cursor *c, const struct ticket *t)
{
    cbor_put_unsigned(c, STATEMENTS);
    cbor_put_array(c, t->statement_count);
    for (uint32_t i = 0; i < t->statement_count; i++) {
        cbor_put_array(c, 2);
        cbor_put_unsigned(c, t->times[i]);
        put_view(c, &t->statements[i]);
    }
    cbor_put_unsigned(c, OPENINGS);
    cbor_put_array(c, t->opening_count);
    for (uint32_t i = 0; i < t->opening_count; i++)
        put_view(c, &t->openings[i]);
}

static void put_ticket(struct cursor *c, const struct ticket *t)
{
    cbor_put_map(c, KEYS_OF_EITHER);
    cbor_put_unsigned(c, NETWORK);
    cbor_put_bytes(c, t->network.bytes, sizeof(t->network.bytes));
    cbor_put_unsigned(c, NAME);
    cbor_put_text(c, t->network_name, strnlen(t->network_name, sizeof(t->network_name)));
    cbor_put_unsigned(c, SEED);
    cbor_put_bytes(c, t->seed, sizeof(t->seed));
    cbor_put_unsigned(c, INVITE);
    put_view(c, &t->invite);
    cbor_put_unsigned(c, OPENING);
    put_view(c, &t->opening);
    if (t->founding)
        put_founding(c, t);
    else
        put_place(c, t);
}

/* The CBOR and its checksum; returns how many bytes that is. */
static int encode(struct crypto *c, const struct ticket *ticket, uint8_t *out, size_t capacity)
{
    struct cursor cursor = cursor_writing(out, capacity);
    uint8_t digest[SHA256_SIZE] = {0};
    put_ticket(&cursor, ticket);
    int error = cursor_error(&cursor);
    if (!error)
        error = crypto_sha256(c, digest, out, (size_t)(cursor.at - out));
    cursor_put_bytes(&cursor, digest, CHECKSUM_SIZE);
    if (!error)
        error = cursor_error(&cursor);
    return error ? error : (int)(cursor.at - out);
}

static int print(const struct ticket *ticket, const uint8_t *bytes, size_t len, char *out, size_t capacity)
{
    const char *prefix = ticket->founding ? founding_prefix : plain_prefix;
    size_t prefix_len = strlen(prefix), total = prefix_len + strlen(version) + base64url_length(len);
    if (total >= capacity || total > TICKET_TEXT_MAX)
        return ERROR_OVERFLOW;
    memcpy(out, prefix, prefix_len);
    memcpy(out + prefix_len, version, strlen(version));
    base64url_write(out + prefix_len + strlen(version), bytes, len);
    out[total] = 0;
    return (int)total;
}

int ticket_print(struct crypto *c, const struct ticket *ticket, char *out, size_t capacity)
{
    uint8_t *bytes = malloc(TICKET_TEXT_MAX);
    if (!bytes)
        return ERROR_MEMORY;
    int len = encode(c, ticket, bytes, TICKET_TEXT_MAX);
    int result = len < 0 ? len : print(ticket, bytes, (size_t)len, out, capacity);
    wipe(bytes, TICKET_TEXT_MAX);
    free(bytes);
    return result;
}

/* ---- Reading ---- */

static void get_view(struct cursor *c, struct ticket_bytes *out)
{
    out->bytes = cbor_get_bytes(c, &out->len);
    if (out->len == 0)
        cursor_fail(c, ERROR_MALFORMED);
}

static void get_key(struct cursor *c, enum key key)
{
    if (cbor_get_unsigned(c) != key)
        cursor_fail(c, ERROR_MALFORMED);
}

static void get_place(struct cursor *c, struct ticket *t)
{
    get_key(c, FLOOR);
    (void)cbor_get_count(c, 4, 4);
    t->head_index = cbor_get_unsigned(c);
    cbor_get_exactly(c, t->head_hash, sizeof(t->head_hash));
    cbor_get_exactly(c, t->fold_root, sizeof(t->fold_root));
    t->time = cbor_get_unsigned(c);
    get_key(c, RELAYS);
    t->relay_count = cbor_get_count(c, 1, TICKET_RELAYS_MAX);
    for (uint32_t i = 0; i < t->relay_count; i++) {
        struct ticket_relay *r = &t->relays[i];
        (void)cbor_get_count(c, 4, 4);
        cbor_get_exactly(c, r->device.bytes, sizeof(r->device.bytes));
        underlay_get(c, &r->endpoint);
        cbor_get_exactly(c, r->static_key, sizeof(r->static_key));
    }
}

static void get_founding(struct cursor *c, struct ticket *t)
{
    get_key(c, STATEMENTS);
    t->statement_count = cbor_get_count(c, 1, TICKET_FOUNDING_STATEMENTS_MAX);
    for (uint32_t i = 0; i < t->statement_count; i++) {
        (void)cbor_get_count(c, 2, 2);
        t->times[i] = cbor_get_unsigned(c);
        get_view(c, &t->statements[i]);
        if (i > 0 && t->times[i] < t->times[i - 1])
            cursor_fail(c, ERROR_MALFORMED);
    }
    get_key(c, OPENINGS);
    t->opening_count = cbor_get_count(c, 1, OPENINGS_MAX);
    for (uint32_t i = 0; i < t->opening_count; i++)
        get_view(c, &t->openings[i]);
}

static void get_ticket(struct cursor *c, struct ticket *t)
{
    if (cbor_get_map(c) != KEYS_OF_EITHER)
        cursor_fail(c, ERROR_MALFORMED);
    get_key(c, NETWORK);
    cbor_get_exactly(c, t->network.bytes, sizeof(t->network.bytes));
    get_key(c, NAME);
    name_get(c, t->network_name);
    get_key(c, SEED);
    cbor_get_exactly(c, t->seed, sizeof(t->seed));
    get_key(c, INVITE);
    get_view(c, &t->invite);
    get_key(c, OPENING);
    get_view(c, &t->opening);
    if (t->founding)
        get_founding(c, t);
    else
        get_place(c, t);
}

static enum ticket_fault decode(struct ticket *out, const uint8_t *bytes, size_t len)
{
    if (cbor_check(bytes, len))
        return TICKET_MALFORMED;
    struct cursor c = cursor_reading(bytes, len);
    get_ticket(&c, out);
    return cursor_finish(&c) ? TICKET_MALFORMED : TICKET_GOOD;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where `text` goes on behind `prefix`, white space passed over; NULL: it does not begin so. */
static const char *behind(const char *text, const char *end, const char *prefix)
{
    while (*prefix) {
        while (text < end && is_space(*text))
            text++;
        if (text == end || *text++ != *prefix++)
            return NULL;
    }
    return text;
}

/* What to say of a text that goes on at `at` with something else than our version. */
static enum ticket_fault version_fault(const char *at, const char *end)
{
    const char *one = behind(at, end, "1");
    return at == end || one == end ? TICKET_CUT : TICKET_OTHER_VERSION;
}

/* Where the base64url begins, or NULL and why not. */
static const char *find_body(struct ticket *out, const char *text, const char *end, enum ticket_fault *fault)
{
    const char *at = behind(text, end, plain_prefix);
    if (!at) {
        at = behind(text, end, founding_prefix);
        out->founding = at != NULL;
    }
    *fault = TICKET_NOT_A_TICKET;
    if (!at)
        return NULL;
    const char *body = behind(at, end, version);
    if (!body)
        *fault = version_fault(at, end);
    return body;
}

/* The length without the checksum, which holds; or negative. */
static int check(struct crypto *c, const uint8_t *bytes, int len)
{
    uint8_t digest[SHA256_SIZE];
    if (len <= CHECKSUM_SIZE)
        return ERROR_TRUNCATED;
    len -= CHECKSUM_SIZE;
    int error = crypto_sha256(c, digest, bytes, (size_t)len);
    if (error)
        return error;
    return memcmp(digest, bytes + len, CHECKSUM_SIZE) ? ERROR_MALFORMED : len;
}

enum ticket_fault ticket_parse(struct crypto *c, struct ticket *out, const char *text, size_t len, uint8_t *buffer)
{
    enum ticket_fault fault;
    memset(out, 0, sizeof(*out));
    if (len > TICKET_TEXT_MAX)
        return TICKET_NOT_A_TICKET;
    const char *body = find_body(out, text, text + len, &fault);
    if (!body)
        return fault;
    int count = base64url_read(buffer, body, (size_t)(text + len - body));
    count = check(c, buffer, count);
    fault = count < 0 ? TICKET_CUT : decode(out, buffer, (size_t)count);
    if (fault)
        wipe(out, sizeof(*out));
    return fault;
}

const char *ticket_fault_sentence(enum ticket_fault fault)
{
    static const char *const sentences[] = {
        [TICKET_GOOD] = "It is a ticket.",
        [TICKET_NOT_A_TICKET] =
            "It is not a ticket: tickets begin with \"nightjar-ticket-1:\" or \"nightjar-founding-1:\".",
        [TICKET_CUT] = "The ticket was cut or altered on its way; copy the whole line again.",
        [TICKET_MALFORMED] = "The ticket arrived whole, but what it says makes no sense; have another one made.",
        [TICKET_OTHER_VERSION] =
            "The ticket is of another version than this program's; use the same version on both machines.",
    };
    return sentences[fault];
}
