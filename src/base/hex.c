#include "base/hex.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

char *hex_print(char *out, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[from[i] >> 4];
        out[2 * i + 1] = digits[from[i] & 15];
    }
    out[2 * len] = '\0';
    return out;
}

static int value_of(char digit)
{
    const char *at = memchr(digits, digit, sizeof(digits) - 1);
    return at ? (int)(at - digits) : -1;
}

bool hex_parse(void *out, size_t len, const char *text)
{
    uint8_t *to = out;
    if (strlen(text) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = value_of(text[2 * i]), low = value_of(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
