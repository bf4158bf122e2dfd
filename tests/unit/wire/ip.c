#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "wire/ip.h"

#define ROOM 128u

static void make_ipv4(uint8_t *packet, uint8_t header_words, uint16_t total_len)
{
    memset(packet, 0xee, ROOM);
    packet[0] = (uint8_t)(0x40 | header_words);
    put_be16(packet + 2, total_len);
    put_be32(packet + 12, 0x0a000001);
    put_be32(packet + 16, 0x0a000002);
}

static void make_ipv6(uint8_t *packet, uint16_t payload_len)
{
    memset(packet, 0xee, ROOM);
    packet[0] = 0x60;
    put_be16(packet + 4, payload_len);
}

static void an_ipv4_header_yields_its_addresses_and_length(void **state)
{
    (void)state;
    uint8_t packet[ROOM];
    struct ip_header header;
    make_ipv4(packet, 5, 60);
    assert_int_equal(ip_parse(&header, packet, sizeof(packet)), 0);
    assert_int_equal(header.version, 4);
    assert_int_equal(header.address_len, 4);
    assert_int_equal(header.total_len, 60);
    assert_memory_equal(header.source, "\x0a\x00\x00\x01", 4);
    assert_memory_equal(header.destination, "\x0a\x00\x00\x02", 4);
}

static void an_ipv6_header_yields_its_addresses_and_length(void **state)
{
    (void)state;
    uint8_t packet[ROOM];
    struct ip_header header;
    make_ipv6(packet, 20);
    assert_int_equal(ip_parse(&header, packet, sizeof(packet)), 0);
    assert_int_equal(header.version, 6);
    assert_int_equal(header.address_len, 16);
    assert_int_equal(header.total_len, 60);
    assert_ptr_equal(header.source, packet + 8);
    assert_ptr_equal(header.destination, packet + 24);
}

static void no_version_but_4_and_6_is_accepted(void **state)
{
    (void)state;
    struct ip_header header;
    for (unsigned version = 0; version < 16; version++) {
        uint8_t packet[ROOM];
        make_ipv4(packet, 5, 60);
        packet[0] = (uint8_t)(version << 4 | 5);
        put_be16(packet + 4, 20);
        assert_int_equal(ip_parse(&header, packet, sizeof(packet)), version == 4 || version == 6 ? 0 : ERROR_MALFORMED);
    }
}

static void the_stated_length_may_be_anything_from_the_header_to_all_bytes_given(void **state)
{
    (void)state;
    uint8_t packet[ROOM];
    struct ip_header header;
    for (uint16_t stated = 0; stated < ROOM; stated++)
        for (size_t len = 0; len <= ROOM; len++) {
            make_ipv4(packet, 5, stated);
            assert_int_equal(ip_parse(&header, packet, len), stated >= 20 && stated <= len ? 0 : ERROR_MALFORMED);
            make_ipv6(packet, stated);
            assert_int_equal(ip_parse(&header, packet, len), stated + 40u <= len ? 0 : ERROR_MALFORMED);
        }
}

static void ipv4_options_belong_to_the_header(void **state)
{
    (void)state;
    uint8_t packet[ROOM];
    struct ip_header header;
    for (uint8_t words = 0; words < 16; words++)
        for (uint16_t stated = 0; stated < 64; stated++) {
            make_ipv4(packet, words, stated);
            assert_int_equal(ip_parse(&header, packet, sizeof(packet)),
                             words >= 5 && stated >= words * 4 ? 0 : ERROR_MALFORMED);
        }
}

static void the_longest_ipv6_packet_is_longer_than_16_bits(void **state)
{
    (void)state;
    static uint8_t packet[40 + UINT16_MAX];
    struct ip_header header;
    make_ipv6(packet, UINT16_MAX);
    assert_int_equal(ip_parse(&header, packet, sizeof(packet)), 0);
    assert_int_equal(header.total_len, sizeof(packet));
    assert_int_equal(ip_parse(&header, packet, sizeof(packet) - 1), ERROR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv4_header_yields_its_addresses_and_length),
        cmocka_unit_test(an_ipv6_header_yields_its_addresses_and_length),
        cmocka_unit_test(no_version_but_4_and_6_is_accepted),
        cmocka_unit_test(the_stated_length_may_be_anything_from_the_header_to_all_bytes_given),
        cmocka_unit_test(ipv4_options_belong_to_the_header),
        cmocka_unit_test(the_longest_ipv6_packet_is_longer_than_16_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
