#include "ledger/statement.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ledger/statement_body.h"
#include "wire/cbor.h"

static const char context[] = "nightjar statement 1"; /* signed with its NUL */

void statement_policy_change(const struct statement_policy *p, uint32_t i, struct policy_change *out)
{
    const uint8_t *change = p->changes + (size_t)i * POLICY_CHANGE_SIZE;
    memcpy(out->subject.bytes, change, SUBJECT_SIZE);
    out->gone = change[SUBJECT_SIZE] == 0;
    memcpy(out->commitment, change + SUBJECT_SIZE + 1, SHA256_SIZE);
}

void statement_policy_change_put(uint8_t out[POLICY_CHANGE_SIZE], const struct policy_change *change)
{
    memset(out, 0, POLICY_CHANGE_SIZE);
    memcpy(out, change->subject.bytes, SUBJECT_SIZE);
    out[SUBJECT_SIZE] = !change->gone;
    if (!change->gone)
        memcpy(out + SUBJECT_SIZE + 1, change->commitment, SHA256_SIZE);
}

static const uint8_t *get_sized(struct cursor *c, size_t wanted)
{
    size_t len;
    const uint8_t *bytes = cbor_get_bytes(c, &len);
    if (len != wanted)
        cursor_fail(c, ERROR_MALFORMED);
    return cursor_error(c) ? NULL : bytes;
}

/* By key, ascending: so nobody can make another statement out of one by changing their order. */
static void get_signatures(struct cursor *c, struct statement *out)
{
    uint64_t count = cbor_get_array(c);
    if (count == 0 || count > STATEMENT_SIGNATURES_MAX)
        cursor_fail(c, ERROR_MALFORMED);
    for (uint32_t i = 0; i < count && !cursor_error(c); i++) {
        if (cbor_get_array(c) != 2)
            cursor_fail(c, ERROR_MALFORMED);
        out->signatures[i].key = get_sized(c, ED25519_PUBLIC_SIZE);
        out->signatures[i].signature = get_sized(c, ED25519_SIGNATURE_SIZE);
        if (i > 0 && !cursor_error(c) &&
            memcmp(out->signatures[i - 1].key, out->signatures[i].key, ED25519_PUBLIC_SIZE) >= 0)
            cursor_fail(c, ERROR_MALFORMED);
        out->signature_count = i + 1;
    }
}

int statement_decode(struct crypto *crypto, struct statement *out, const uint8_t *bytes, size_t len)
{
    memset(out, 0, sizeof(*out));
    if (len > STATEMENT_MAX || cbor_check(bytes, len))
        return ERROR_MALFORMED;
    out->bytes = bytes;
    out->len = len;
    struct cursor c = cursor_reading(bytes, len);
    if (cbor_get_array(&c) != 2)
        cursor_fail(&c, ERROR_MALFORMED);
    out->body = cbor_get_bytes(&c, &out->body_len);
    get_signatures(&c, out);
    if (cursor_finish(&c) || statement_body_decode(out, out->body, out->body_len))
        return ERROR_MALFORMED;
    return crypto_sha256(crypto, out->hash, bytes, len);
}

/* What is signed, to be freed by the caller; NULL: no memory. */
static uint8_t *signed_bytes(const uint8_t *body, size_t len)
{
    uint8_t *bytes = malloc(sizeof(context) + len);
    if (bytes) {
        memcpy(bytes, context, sizeof(context));
        memcpy(bytes + sizeof(context), body, len);
    }
    return bytes;
}

int statement_verify(struct crypto *c, const struct statement *s, const uint8_t key[ED25519_PUBLIC_SIZE])
{
    uint32_t i = 0;
    while (i < s->signature_count && memcmp(s->signatures[i].key, key, ED25519_PUBLIC_SIZE) != 0)
        i++;
    if (i == s->signature_count)
        return ERROR_NOT_FOUND;
    uint8_t *bytes = signed_bytes(s->body, s->body_len);
    if (!bytes)
        return ERROR_MEMORY;
    int error = crypto_ed25519_verify(c, s->signatures[i].signature, key, bytes, sizeof(context) + s->body_len);
    free(bytes);
    return error;
}

struct signature {
    uint8_t key[ED25519_PUBLIC_SIZE];
    uint8_t signature[ED25519_SIGNATURE_SIZE];
};

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, ED25519_PUBLIC_SIZE);
}

static int sign_all(struct crypto *c, struct signature *out, const struct signer *signers, uint32_t count,
                    const uint8_t *bytes, size_t len)
{
    int error = 0;
    for (uint32_t i = 0; i < count && !error; i++) {
        error = crypto_ed25519_public(c, out[i].key, signers[i].seed);
        if (!error)
            error = crypto_ed25519_sign(c, out[i].signature, signers[i].seed, bytes, len);
    }
    qsort(out, count, sizeof(*out), by_key);
    return error;
}

static int put_statement(uint8_t *out, size_t capacity, const uint8_t *body, size_t len,
                         const struct signature *signatures, uint32_t count)
{
    struct cursor c = cursor_writing(out, capacity < STATEMENT_MAX ? capacity : STATEMENT_MAX);
    cbor_put_array(&c, 2);
    cbor_put_bytes(&c, body, len);
    cbor_put_array(&c, count);
    for (uint32_t i = 0; i < count; i++) {
        cbor_put_array(&c, 2);
        cbor_put_bytes(&c, signatures[i].key, ED25519_PUBLIC_SIZE);
        cbor_put_bytes(&c, signatures[i].signature, ED25519_SIGNATURE_SIZE);
    }
    int error = cursor_error(&c);
    return error ? error : (int)(c.at - out);
}

/* `bytes`: room for the context and a body of STATEMENT_MAX. */
static int sign_with(struct crypto *c, const struct statement *s, const struct signer *signers, uint32_t count,
                     uint8_t *out, size_t capacity, uint8_t *bytes)
{
    struct signature signatures[STATEMENT_SIGNATURES_MAX];
    struct statement again;
    memcpy(bytes, context, sizeof(context));
    int len = statement_body(s, bytes + sizeof(context), STATEMENT_MAX);
    if (len < 0)
        return len;
    int error = sign_all(c, signatures, signers, count, bytes, sizeof(context) + (size_t)len);
    if (error)
        return error;
    int whole = put_statement(out, capacity, bytes + sizeof(context), (size_t)len, signatures, count);
    if (whole < 0)
        return whole;
    /* What the door would refuse is never handed out. */
    error = statement_decode(c, &again, out, (size_t)whole);
    return error == ERROR_MALFORMED ? ERROR_INVALID : error ? error : whole;
}

int statement_sign(struct crypto *c, const struct statement *s, const struct signer *signers, uint32_t signer_count,
                   uint8_t *out, size_t capacity)
{
    if (signer_count == 0 || signer_count > STATEMENT_SIGNATURES_MAX)
        return ERROR_INVALID;
    uint8_t *bytes = malloc(sizeof(context) + STATEMENT_MAX);
    if (!bytes)
        return ERROR_MEMORY;
    int len = sign_with(c, s, signers, signer_count, out, capacity, bytes);
    free(bytes);
    return len;
}

const char *statement_kind_name(enum statement_kind kind)
{
    static const char *const names[] = {
        "unknown", "root", "invite", "uninvite", "join", "rotate", "policy", "revoke", "isolate", "restore", "release",
    };
    return names[kind >= STATEMENT_ROOT && kind <= STATEMENT_RELEASE ? kind : 0];
}
