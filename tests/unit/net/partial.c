#include "net/partial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "packets.h"

#define EACH_KIND(spec)                                                                                    \
    for (int kind_ = 0; kind_ < 4; kind_++)                                                                \
        for (struct packet_spec spec = packet_spec(kind_ & 1 ? 6 : 4, kind_ & 2 ? 17 : 6), *once_ = &spec; \
             once_ != NULL; once_ = NULL)

static uint8_t payload[3000], packet[4000];

static uint32_t build(const struct packet_spec *spec, uint32_t payload_len)
{
    struct packet_spec s = *spec;
    s.payload = payload;
    s.payload_len = payload_len;
    return packet_build(&s, packet);
}

/* In memory of exactly its length, for the address sanitizer. */
static bool found(const uint8_t *bytes, uint32_t len)
{
    struct partial p;
    uint8_t *exact = malloc(len + 1);
    memcpy(exact + 1, bytes, len);
    bool yes = partial_find(&p, exact + 1, len);
    assert_int_equal(yes, slow_may_be_partial(exact + 1, len));
    if (yes)
        assert_true(p.start + p.offset + 2u <= len);
    free(exact);
    return yes;
}

static void plain_tcp_and_udp_may_be_partial(void **state)
{
    (void)state;
    EACH_KIND(spec)
    for (uint32_t len = 0; len < 50; len++)
        assert_true(found(packet, build(&spec, len)));
}

static void field_and_start_are_those_of_the_protocol(void **state)
{
    (void)state;
    EACH_KIND(spec)
    {
        struct partial p;
        assert_true(partial_find(&p, packet, build(&spec, 9)));
        assert_int_equal(p.start, spec.version == 4 ? 20 : 40);
        assert_int_equal(p.offset, spec.protocol == 6 ? 16 : 6);
        assert_int_equal(p.protocol, spec.protocol);
    }
}

static void make_ipv4_checksum_right(uint8_t *bytes)
{
    if (bytes[0] >> 4 != 4)
        return;
    put_be16(bytes + 10, 0);
    put_be16(bytes + 10, (uint16_t)~slow_sum(0, bytes, 20));
}

struct bad {
    const char *name;
    uint8_t version, protocol; /* 0: any */
    uint32_t at;               /* from the transport header if `in_transport` */
    bool in_transport;
    uint16_t value; /* of 16 bits */
};

static const struct bad bads[] = {
    {"version 5", 4, 0, 0, false, 0x5500},
    {"options", 4, 0, 0, false, 0x4600},
    {"a header too short", 4, 0, 0, false, 0x4400},
    {"a length too short", 4, 0, 2, false, 59},
    {"a length too long", 4, 0, 2, false, 1501},
    {"a length of 0", 4, 0, 2, false, 0},
    {"a first fragment", 4, 0, 6, false, 0x2000},
    {"a later fragment", 4, 0, 6, false, 0x0001},
    {"a fragment far behind", 4, 0, 6, false, 0x1000},
    {"ICMP", 4, 0, 8, false, 0x4001},
    {"GRE", 4, 0, 8, false, 0x402f},
    {"SCTP", 4, 0, 8, false, 0x4084},
    {"UDP-Lite", 4, 0, 8, false, 0x4088},
    {"a length too short", 6, 0, 4, false, 59},
    {"a jumbogram", 6, 0, 4, false, 0},
    {"hop-by-hop options", 6, 0, 6, false, 0x0040},
    {"a routing header", 6, 0, 6, false, 0x2b40},
    {"a fragment header", 6, 0, 6, false, 0x2c40},
    {"destination options", 6, 0, 6, false, 0x3c40},
    {"ICMPv6", 6, 0, 6, false, 0x3a40},
    {"no checksum", 0, 17, 6, true, 0},
    {"UDP shorter than its packet", 0, 17, 4, true, 100},
    {"UDP longer than its packet", 0, 17, 4, true, 5000},
    {"UDP of length 0", 0, 17, 4, true, 0},
    {"a TCP header too short", 0, 6, 12, true, 0x4010},
    {"a TCP header of nothing", 0, 6, 12, true, 0x0010},
};

static void anything_else_may_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
        EACH_KIND(spec)
        {
            const struct bad *bad = &bads[i];
            uint32_t len = build(&spec, 1000);
            if ((bad->version != 0 && bad->version != spec.version) ||
                (bad->protocol != 0 && bad->protocol != spec.protocol))
                continue;
            put_be16(packet + bad->at + (bad->in_transport ? (spec.version == 4 ? 20 : 40) : 0), bad->value);
            make_ipv4_checksum_right(packet);
            if (found(packet, len))
                fail_msg("%s may be partial", bad->name);
        }
}

static void wrong_ipv4_header_checksum_may_not(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(4, 6);
    for (uint32_t bit = 0; bit < 160; bit++) {
        uint32_t len = build(&spec, 100);
        packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(found(packet, len));
    }
}

/* However much of the packet is there, and whatever length it states. */
static void cut_off_packet_may_not_unless_it_holds_together(void **state)
{
    (void)state;
    EACH_KIND(spec)
    {
        uint32_t full = build(&spec, 30), ip_len = spec.version == 4 ? 20 : 40;
        for (uint32_t len = 0; len < full; len++) {
            build(&spec, 30);
            assert_false(found(packet, len));
            put_be16(packet + (spec.version == 4 ? 2 : 4), (uint16_t)(spec.version == 4 ? len : len - 40));
            make_ipv4_checksum_right(packet);
            bool holds = spec.protocol == 6 && len >= ip_len + 32; /* UDP states its length, too */
            assert_int_equal(found(packet, len), holds);
        }
    }
}

static void tcp_header_may_end_with_the_packet_and_not_behind_it(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(6, 6);
    uint32_t len = build(&spec, 8); /* 40 bytes of TCP, 32 of them header */
    for (unsigned words = 0; words < 16; words++) {
        packet[52] = (uint8_t)(words << 4);
        assert_int_equal(found(packet, len), words >= 5 && words <= 10);
    }
}

static void completed_packet_is_the_one_that_was_built(void **state)
{
    (void)state;
    uint8_t expected[4000];
    EACH_KIND(spec)
    for (uint32_t payload_len = 0; payload_len < 100; payload_len++) {
        uint32_t len = build(&spec, payload_len);
        memcpy(expected, packet, len);
        put_be16(packet + (spec.version == 4 ? 20 : 40) + (spec.protocol == 6 ? 16 : 6), 0xbad1);
        assert_int_equal(partial_complete(packet, len), 0);
        assert_memory_equal(packet, expected, len);
    }
}

static void left_partial_it_completes_to_itself(void **state)
{
    (void)state;
    uint8_t expected[4000];
    EACH_KIND(spec)
    for (uint32_t payload_len = 0; payload_len < 100; payload_len++) {
        uint32_t len = build(&spec, payload_len);
        struct partial p;
        memcpy(expected, packet, len);
        assert_true(partial_find(&p, packet, len));
        partial_write(&p, packet, len);
        assert_true(found(packet, len)); /* the sum is never 0, which would be none */
        slow_complete(packet, len, p.start, p.offset);
        assert_memory_equal(packet, expected, len);
    }
}

static void what_may_not_be_partial_is_not_completed(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(4, 17);
    uint8_t before[4000];
    uint32_t len = build(&spec, 100);
    packet[6] |= 0x20;
    make_ipv4_checksum_right(packet);
    memcpy(before, packet, len);
    assert_int_equal(partial_complete(packet, len), ERROR_MALFORMED);
    assert_memory_equal(packet, before, len);
}

static void random_headers_are_judged_like_the_slow_twin_does(void **state)
{
    (void)state;
    uint64_t seed = 11;
    uint32_t yes = 0;
    for (uint32_t round = 0; round < 100000; round++) {
        struct packet_spec spec = packet_spec(round & 1 ? 6 : 4, round & 2 ? 17 : 6);
        uint32_t len = build(&spec, random_below(&seed, 60));
        for (uint32_t i = random_below(&seed, 3); i > 0; i--)
            packet[random_below(&seed, 60) % len] = (uint8_t)random_next(&seed);
        if (random_below(&seed, 8) != 0)
            make_ipv4_checksum_right(packet);
        yes += found(packet, random_below(&seed, 8) == 0 ? random_below(&seed, len + 1) : len);
    }
    assert_in_range(yes, 10000, 90000);
}

int main(void)
{
    uint64_t seed = 9;
    for (uint32_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)random_next(&seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_tcp_and_udp_may_be_partial),
        cmocka_unit_test(field_and_start_are_those_of_the_protocol),
        cmocka_unit_test(anything_else_may_not),
        cmocka_unit_test(wrong_ipv4_header_checksum_may_not),
        cmocka_unit_test(cut_off_packet_may_not_unless_it_holds_together),
        cmocka_unit_test(tcp_header_may_end_with_the_packet_and_not_behind_it),
        cmocka_unit_test(completed_packet_is_the_one_that_was_built),
        cmocka_unit_test(left_partial_it_completes_to_itself),
        cmocka_unit_test(what_may_not_be_partial_is_not_completed),
        cmocka_unit_test(random_headers_are_judged_like_the_slow_twin_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
