#include "packets.h"

#include <string.h>

#include "base/bytes.h"

struct packet_spec packet_spec(uint8_t version, uint8_t protocol)
{
    return (struct packet_spec){.version = version,
                                .protocol = protocol,
                                .host = 1,
                                .ttl = 64,
                                .source_port = 5000,
                                .id = 0xfff0,
                                .sequence = 0xfffff000,
                                .acknowledgement = 77,
                                .window = 500,
                                .flags = 0x10,
                                .options_len = protocol == 6 ? 12 : 0,
                                .option = 1};
}

static uint32_t ip_header_len(const struct packet_spec *spec)
{
    return spec->version == 4 ? 20 : 40;
}

static uint32_t checksum_at(const struct packet_spec *spec)
{
    return ip_header_len(spec) + (spec->protocol == 6 ? 16 : 6);
}

uint32_t packet_header_len(const struct packet_spec *spec)
{
    return ip_header_len(spec) + (spec->protocol == 6 ? 20u + spec->options_len : 8u);
}

uint16_t slow_sum(uint16_t sum, const uint8_t *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i += 2) {
        uint32_t wide = (uint32_t)sum + (uint32_t)(bytes[i] << 8) + (i + 1 < len ? bytes[i + 1] : 0u);
        sum = (uint16_t)((wide & 0xffff) + (wide >> 16));
    }
    return sum;
}

static uint16_t slow_pseudo_sum(const uint8_t *packet, uint8_t protocol, uint32_t transport_len)
{
    uint8_t rest[8] = {0, 0, 0, 0, 0, 0, 0, protocol};
    put_be32(rest, transport_len);
    bool ipv4 = packet[0] >> 4 == 4;
    return slow_sum(slow_sum(0, rest, 8), packet + (ipv4 ? 12 : 8), ipv4 ? 8 : 32);
}

bool slow_checksums_hold(const uint8_t *packet, uint32_t len)
{
    bool ipv4 = packet[0] >> 4 == 4;
    uint32_t start = ipv4 ? (packet[0] & 15u) * 4 : 40;
    uint8_t protocol = ipv4 ? packet[9] : packet[6];
    if (ipv4 && slow_sum(0, packet, start) != 0xffff)
        return false;
    return slow_sum(slow_pseudo_sum(packet, protocol, len - start), packet + start, len - start) == 0xffff;
}

static bool slow_ip_is_plain(const uint8_t *packet, uint32_t len)
{
    if (packet[0] >> 4 == 6)
        return len >= 40 && 40u + get_be16(packet + 4) == len;
    bool ipv4 = packet[0] >> 4 == 4 && len >= 20;
    bool options = ipv4 && (packet[0] & 15) != 5;
    bool more = ipv4 && (packet[6] & 0x20) != 0;
    bool later = ipv4 && ((packet[6] & 0x1f) != 0 || packet[7] != 0);
    return ipv4 && !options && !more && !later && get_be16(packet + 2) == len && slow_sum(0, packet, 20) == 0xffff;
}

bool slow_may_be_partial(const uint8_t *packet, uint32_t len)
{
    if (len == 0 || len > 65535 || !slow_ip_is_plain(packet, len))
        return false;
    bool ipv4 = packet[0] >> 4 == 4;
    uint32_t start = ipv4 ? 20 : 40, rest = len - start;
    const uint8_t *transport = packet + start;
    if (packet[ipv4 ? 9 : 6] == 17)
        return rest >= 8 && get_be16(transport + 4) == rest && (transport[6] != 0 || transport[7] != 0);
    if (packet[ipv4 ? 9 : 6] != 6 || rest < 20)
        return false;
    uint32_t header_len = (transport[12] >> 4) * 4u;
    return header_len >= 20 && header_len <= rest;
}

void slow_complete(uint8_t *packet, uint32_t len, uint32_t start, uint32_t offset)
{
    uint16_t checksum = (uint16_t)~slow_sum(0, packet + start, len - start);
    put_be16(packet + start + offset, checksum == 0 ? 0xffff : checksum);
}

void slow_leave_partial(uint8_t *packet, uint32_t len)
{
    bool ipv4 = packet[0] >> 4 == 4;
    uint32_t start = ipv4 ? 20 : 40;
    uint8_t protocol = packet[ipv4 ? 9 : 6];
    put_be16(packet + start + (protocol == 6 ? 16 : 6), slow_pseudo_sum(packet, protocol, len - start));
}

static void build_ip(const struct packet_spec *spec, uint8_t *out, uint32_t len)
{
    if (spec->version == 6) {
        put_be32(out, 6u << 28 | (uint32_t)spec->tos << 20 | spec->flow_label);
        put_be16(out + 4, (uint16_t)(len - 40));
        out[6] = spec->protocol;
        out[7] = spec->ttl;
        out[8] = out[24] = 0xfd;
        out[23] = spec->host;
        out[39] = (uint8_t)(spec->host + 1);
        return;
    }
    out[0] = 0x45;
    out[1] = spec->tos;
    put_be16(out + 2, (uint16_t)len);
    put_be16(out + 4, spec->id);
    out[6] = spec->may_fragment ? 0 : 0x40;
    out[8] = spec->ttl;
    out[9] = spec->protocol;
    out[12] = out[16] = 10;
    out[15] = spec->host;
    out[19] = (uint8_t)(spec->host + 1);
    put_be16(out + 10, (uint16_t)~slow_sum(0, out, 20));
}

static void build_transport(const struct packet_spec *spec, uint8_t *out, uint32_t len)
{
    put_be16(out, spec->source_port);
    put_be16(out + 2, 443);
    if (spec->protocol == 17) {
        put_be16(out + 4, (uint16_t)len);
        return;
    }
    put_be32(out + 4, spec->sequence);
    put_be32(out + 8, spec->acknowledgement);
    out[12] = (uint8_t)((20 + spec->options_len) / 4 << 4);
    out[13] = spec->flags;
    put_be16(out + 14, spec->window);
    put_be16(out + 18, spec->urgent);
    memset(out + 20, spec->option, spec->options_len);
}

uint32_t packet_build(const struct packet_spec *spec, uint8_t *out)
{
    uint32_t ip_len = ip_header_len(spec), header_len = packet_header_len(spec), len = header_len + spec->payload_len;
    memset(out, 0, header_len);
    build_ip(spec, out, len);
    build_transport(spec, out + ip_len, len - ip_len);
    if (spec->payload_len > 0)
        memcpy(out + header_len, spec->payload, spec->payload_len);
    uint16_t pseudo = slow_pseudo_sum(out, spec->protocol, len - ip_len);
    uint16_t checksum = (uint16_t)~slow_sum(pseudo, out + ip_len, len - ip_len);
    put_be16(out + checksum_at(spec), checksum == 0 ? 0xffff : checksum);
    return len;
}

void packet_leave_partial(const struct packet_spec *spec, uint8_t *packet, uint32_t len)
{
    put_be16(packet + checksum_at(spec), slow_pseudo_sum(packet, spec->protocol, len - ip_header_len(spec)));
}

uint32_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

uint32_t random_below(uint64_t *seed, uint32_t limit)
{
    return random_next(seed) % limit;
}
