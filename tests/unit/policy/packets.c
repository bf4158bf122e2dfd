#include "packets.h"

#include <string.h>

#include "base/bytes.h"

static size_t header_size(const struct made *m)
{
    return m->bytes[0] >> 4 == 4 ? 20 : 40;
}

static void set_length(struct made *m)
{
    if (m->bytes[0] >> 4 == 4)
        put_be16(m->bytes + 2, (uint16_t)m->len);
    else
        put_be16(m->bytes + 4, (uint16_t)(m->len - 40));
}

static void put_address(uint8_t *at, uint8_t version, uint8_t host)
{
    if (version == 4) {
        memcpy(at, (uint8_t[4]){100, 64, 0, host}, 4);
    } else {
        memset(at, 0, 16);
        at[0] = 0xfd;
        at[15] = host;
    }
}

static void put_header(struct made *m, uint8_t version, uint8_t protocol, uint8_t from, uint8_t to)
{
    size_t address = version == 4 ? 4 : 16, at = version == 4 ? 12 : 8;
    memset(m, 0, sizeof(*m));
    m->bytes[0] = version == 4 ? 0x45 : 0x60;
    m->bytes[version == 4 ? 9 : 6] = protocol;
    put_address(m->bytes + at, version, from);
    put_address(m->bytes + at + address, version, to);
    m->len = version == 4 ? 20 : 40;
}

static void put_icmp(struct made *m, const struct wish *w)
{
    uint8_t *at = m->bytes + m->len;
    at[0] = w->version == 4 ? (w->reply ? 0 : 8) : (w->reply ? 129 : 128);
    put_be16(at + 4, w->outgoing == w->reply ? w->theirs : w->ours);
    m->len += 64;
}

static void put_transport(struct made *m, const struct wish *w)
{
    uint8_t *at = m->bytes + m->len;
    put_be16(at, w->outgoing ? w->ours : w->theirs);
    put_be16(at + 2, w->outgoing ? w->theirs : w->ours);
    if (w->protocol == GRANT_UDP)
        put_be16(at + 4, 64);
    if (w->protocol == GRANT_TCP) {
        at[12] = 0x50;
        at[13] = w->flags;
    }
    m->len += 64;
}

struct made make_packet(const struct wish *w)
{
    struct made m;
    uint8_t protocol = w->protocol == GRANT_ICMP && w->version == 6 ? 58 : w->protocol;
    put_header(&m, w->version, protocol, w->outgoing ? 1 : w->host, w->outgoing ? w->host : 1);
    if (w->protocol == GRANT_ICMP)
        put_icmp(&m, w);
    else
        put_transport(&m, w);
    set_length(&m);
    return m;
}

struct made make_error(const struct made *about, uint8_t type, size_t quote)
{
    struct made m;
    uint8_t version = about->bytes[0] >> 4;
    size_t last = version == 4 ? 3 : 15, source = version == 4 ? 12 : 8, destination = version == 4 ? 16 : 24;
    put_header(&m, version, version == 4 ? 1 : 58, about->bytes[destination + last], about->bytes[source + last]);
    m.bytes[m.len] = type;
    memcpy(m.bytes + m.len + 8, about->bytes, quote);
    m.len += 8 + quote;
    set_length(&m);
    return m;
}

struct made make_fragment(const struct made *whole, size_t from, size_t len, uint16_t id)
{
    struct made m = {.len = 20 + len};
    memcpy(m.bytes, whole->bytes, 20);
    memcpy(m.bytes + 20, whole->bytes + 20 + from, len);
    bool more = 20 + from + len < whole->len;
    put_be16(m.bytes + 4, id);
    put_be16(m.bytes + 6, (uint16_t)(from / 8 | (more ? 0x2000 : 0)));
    set_length(&m);
    return m;
}

struct made make_fragment6(const struct made *whole, size_t from, size_t len, uint32_t id)
{
    struct made m = {.len = 48 + len};
    memcpy(m.bytes, whole->bytes, 40);
    memcpy(m.bytes + 48, whole->bytes + 40 + from, len);
    bool more = 40 + from + len < whole->len;
    m.bytes[6] = 44;
    m.bytes[40] = whole->bytes[6];
    put_be16(m.bytes + 42, (uint16_t)(from | more));
    put_be32(m.bytes + 44, id);
    set_length(&m);
    return m;
}

void put_extension(struct made *m, uint8_t kind, const uint8_t *bytes, size_t len)
{
    size_t at = header_size(m);
    memmove(m->bytes + at + len, m->bytes + at, m->len - at);
    memcpy(m->bytes + at, bytes, len);
    m->bytes[at] = m->bytes[6];
    m->bytes[6] = kind;
    m->len += len;
    set_length(m);
}
