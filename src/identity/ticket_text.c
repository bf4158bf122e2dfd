#include "identity/ticket_text.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64url_length(size_t len)
{
    return len / 3 * 4 + (len % 3 ? len % 3 + 1 : 0);
}

void base64url_write(char *out, const uint8_t *bytes, size_t len)
{
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 6; held -= 6)
            *out++ = alphabet[bits >> (held - 6) & 63];
    }
    if (held > 0)
        *out = alphabet[bits << (6 - held) & 63];
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

int base64url_read(uint8_t *out, const char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned held = 0;
    int count = 0;
    for (size_t i = 0; i < len; i++) {
        if (is_space(text[i]))
            continue;
        int value = value_of(text[i]);
        if (value < 0)
            return ERROR_MALFORMED;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[count++] = (uint8_t)(bits >> held);
        }
    }
    /* Six bits held are a character too many; two or four must be the zeroes that writing put there. */
    return held >= 6 || (bits & ((1u << held) - 1)) ? ERROR_MALFORMED : count;
}
