/* Byte 0: 0: the rest is a text; 1, 2: the rest is CBOR, which gets a checksum that holds and a prefix. What is a
 * ticket prints as that very text, but for white space. */
#include <string.h>

#include "identity/ticket.h"
#include "identity/ticket_text.h"

#include "fuzz.h"

static size_t seal(struct crypto *c, char *text, const char *prefix, const uint8_t *cbor, size_t len)
{
    uint8_t *sealed = malloc(len + 4), digest[SHA256_SIZE];
    must(sealed);
    if (len > 0)
        memcpy(sealed, cbor, len);
    must(crypto_sha256(c, digest, sealed, len) == 0);
    memcpy(sealed + len, digest, 4);
    memcpy(text, prefix, strlen(prefix));
    base64url_write(text + strlen(prefix), sealed, len + 4);
    free(sealed);
    return strlen(prefix) + base64url_length(len + 4);
}

static size_t without_spaces(char *text, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i] != ' ' && (text[i] < '\t' || text[i] > '\r'))
            text[kept++] = text[i];
    return kept;
}

static void must_hold(struct crypto *c, char *text, size_t len)
{
    struct ticket ticket;
    uint8_t *buffer = malloc(len + 1);
    must(buffer);
    if (ticket_parse(c, &ticket, text, len, buffer) == TICKET_GOOD) {
        char *again = malloc(len + 1);
        must(again);
        len = without_spaces(text, len);
        must(ticket_print(c, &ticket, again, len + 1) == (int)len);
        must(memcmp(again, text, len) == 0);
        free(again);
    }
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crypto *c;
    char *text = malloc(2 * size + 64);
    if (size == 0 || size > TICKET_TEXT_MAX || !text) {
        free(text);
        return 0;
    }
    must(crypto_new(&c, CRYPTO_BULK_OPENSSL) == 0);
    if (data[0] == 0)
        memcpy(text, data + 1, size - 1);
    must_hold(c, text,
              data[0] == 0
                  ? size - 1
                  : seal(c, text, data[0] == 1 ? "nightjar-ticket-1:" : "nightjar-founding-1:", data + 1, size - 1));
    crypto_free(c);
    free(text);
    return 0;
}
