#include "wire/names.h"

#include <string.h>

#include "base/bytes.h"
#include "wire/cbor.h"

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool name_is_valid(const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_LEN || name[0] == '-' || name[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alphanumeric(name[i]) && name[i] != '-')
            return false;
    return true;
}

/* ---- Underlay addresses ---- */

/* A decimal number without leading zeroes, up to `max`; `*text` moves behind it. False: there is none, or a greater. */
static bool take_decimal(const char **text, uint32_t max, uint32_t *out)
{
    const char *digit = *text;
    uint32_t value = 0;
    while (*digit >= '0' && *digit <= '9' && value <= max)
        value = value * 10 + (uint32_t)(*digit++ - '0');
    if (digit == *text || value > max || (**text == '0' && digit - *text > 1))
        return false;
    *text = digit;
    *out = value;
    return true;
}

static bool take(const char **text, char wanted)
{
    if (**text != wanted)
        return false;
    ++*text;
    return true;
}

static bool take_ipv4(const char **text, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        uint32_t byte;
        if ((i > 0 && !take(text, '.')) || !take_decimal(text, UINT8_MAX, &byte))
            return false;
        out[i] = (uint8_t)byte;
    }
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* One to four hexadecimal digits. */
static bool take_group(const char **text, uint8_t out[2])
{
    uint32_t value = 0;
    int digits = 0;
    while (digits < 5 && hex_value(**text) >= 0) {
        value = value << 4 | (uint32_t)hex_value(*(*text)++);
        digits++;
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return digits >= 1 && digits <= 4;
}

/* RFC 4291 section 2.2, forms 1 and 2: eight groups, or fewer around one "::". */
static bool take_ipv6(const char **text, uint8_t out[16])
{
    uint8_t groups[16] = {0};
    int count = 0, gap = -1;
    while (count < 8 && **text != ']') {
        if ((*text)[0] == ':' && (*text)[1] == ':' && gap < 0) {
            gap = count;
            *text += 2;
            continue;
        }
        if ((count > 0 && gap != count && !take(text, ':')) || !take_group(text, &groups[(ptrdiff_t)2 * count]))
            return false;
        count++;
    }
    if (gap < 0 && count < 8)
        return false;
    if (gap >= 0 && count == 8)
        return false;
    size_t before = gap < 0 ? 16 : 2 * (size_t)gap, after = 2 * (size_t)count - (gap < 0 ? 16 : before);
    memset(out, 0, 16);
    memcpy(out, groups, before);
    memcpy(out + 16 - after, groups + before, after);
    return true;
}

static bool take_address(const char **text, struct underlay *out)
{
    out->family = **text == '[' ? 6 : 4;
    if (out->family == 4)
        return take_ipv4(text, out->address);
    return take(text, '[') && take_ipv6(text, out->address) && take(text, ']');
}

/* RFC 1122 section 3.2.1.3, RFC 4291 section 2.4. What is mapped from IPv4 has to be written as IPv4. */
static bool can_be_sent_to(const struct underlay *u)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (is_zero(u->address, sizeof(u->address)))
        return false;
    if (u->family == 4)
        return (u->address[0] & 0xf0) != 0xe0 && get_be32(u->address) != UINT32_MAX;
    return u->address[0] != 0xff && memcmp(u->address, mapped, sizeof(mapped)) != 0;
}

bool underlay_is_sendable(const struct underlay *u)
{
    static const uint8_t loopback[16] = {[15] = 1};
    if (u->port == 0 || (u->family != 4 && u->family != 6) || !can_be_sent_to(u))
        return false;
    if (u->family == 4)
        return u->address[0] != 127 && u->address[0] != 0 && is_zero(u->address + 4, 12);
    return memcmp(u->address, loopback, sizeof(loopback)) != 0 && (get_be16(u->address) & 0xffc0) != 0xfe80;
}

bool underlay_parse(struct underlay *out, const char *text)
{
    struct underlay u = {0};
    uint32_t port;
    if (!take_address(&text, &u) || !take(&text, ':') || !take_decimal(&text, UINT16_MAX, &port))
        return false;
    u.port = (uint16_t)port;
    if (*text || port == 0 || !can_be_sent_to(&u))
        return false;
    *out = u;
    return true;
}

static char *put_number(char *out, uint32_t value, uint32_t base)
{
    if (value >= base)
        out = put_number(out, value / base, base);
    *out++ = "0123456789abcdef"[value % base];
    return out;
}

static char *put_ipv4(char *out, const uint8_t address[4])
{
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *out++ = '.';
        out = put_number(out, address[i], 10);
    }
    return out;
}

/* The groups that "::" stands for: the longest run of zeroes, the first of equals, at least two (RFC 5952 4.2). */
static void longest_zeroes(const uint8_t address[16], int *begin, int *end)
{
    *begin = *end = -1;
    for (int i = 0; i < 8; i++) {
        int j = i;
        while (j < 8 && get_be16(address + (ptrdiff_t)2 * j) == 0)
            j++;
        if (j - i >= 2 && j - i > *end - *begin) {
            *begin = i;
            *end = j;
        }
    }
}

static char *put_ipv6(char *out, const uint8_t address[16])
{
    int begin, end;
    longest_zeroes(address, &begin, &end);
    for (int i = 0; i < 8; i++) {
        if (i == begin) {
            *out++ = ':';
            *out++ = ':';
            i = end - 1;
            continue;
        }
        if (i > 0 && i != end)
            *out++ = ':';
        out = put_number(out, get_be16(address + (ptrdiff_t)2 * i), 16);
    }
    return out;
}

void underlay_print(const struct underlay *u, char out[UNDERLAY_TEXT_MAX])
{
    if (u->family == 6) {
        *out++ = '[';
        out = put_ipv6(out, u->address);
        *out++ = ']';
    } else {
        out = put_ipv4(out, u->address);
    }
    *out++ = ':';
    out = put_number(out, u->port, 10);
    *out = 0;
}

/* ---- As CBOR ---- */

void name_get(struct cursor *c, char out[NAME_MAX_LEN + 1])
{
    size_t len;
    const char *name = cbor_get_text(c, &len);
    if (!name || !name_is_valid(name, len)) {
        cursor_fail(c, ERROR_MALFORMED);
        return;
    }
    memcpy(out, name, len);
    out[len] = '\0';
}

void name_put(struct cursor *c, const char *name)
{
    cbor_put_text(c, name, strlen(name));
}

void underlay_get(struct cursor *c, struct underlay *out)
{
    size_t len;
    const uint8_t *address = cbor_get_bytes(c, &len);
    uint64_t port = cbor_get_unsigned(c);
    if (!address || (len != 4 && len != 16) || port == 0 || port > UINT16_MAX)
        cursor_fail(c, ERROR_MALFORMED);
    if (!address || cursor_error(c))
        return;
    memcpy(out->address, address, len);
    out->family = len == 4 ? 4 : 6;
    out->port = (uint16_t)port;
}

void underlay_put(struct cursor *c, const struct underlay *u)
{
    cbor_put_bytes(c, u->address, u->family == 4 ? 4 : 16);
    cbor_put_unsigned(c, u->port);
}
