#include "net/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/bytes.h"
#include "packets.h"

static uint8_t bytes[70000];

static void fill(uint64_t seed)
{
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)random_next(&seed);
}

/* In wire order, from the words as loaded. */
static uint16_t fast_sum(const uint8_t *from, size_t len)
{
    uint16_t native = checksum_fold(checksum_add(0, from, len));
    uint8_t wire[2];
    memcpy(wire, &native, 2);
    return get_be16(wire);
}

static void every_length_and_alignment_sums_like_the_slow_twin(void **state)
{
    (void)state;
    fill(1);
    for (uint32_t len = 0; len < 300; len++)
        for (uint32_t at = 0; at < 9; at++)
            assert_int_equal(fast_sum(bytes + at, len), slow_sum(0, bytes + at, len));
}

static void carries_of_the_longest_text_are_kept(void **state)
{
    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(fast_sum(bytes, sizeof(bytes)), 0xffff);
    bytes[1] = 0xfe;
    assert_int_equal(fast_sum(bytes, sizeof(bytes)), slow_sum(0, bytes, sizeof(bytes)));
    fill(2);
    assert_int_equal(fast_sum(bytes, sizeof(bytes)), slow_sum(0, bytes, sizeof(bytes)));
}

static void pieces_sum_like_the_whole(void **state)
{
    (void)state;
    fill(3);
    for (uint32_t cut = 0; cut < 200; cut += 2) {
        uint64_t sum = checksum_add(checksum_add(0, bytes, cut), bytes + cut, 333 - cut);
        assert_int_equal(checksum_fold(sum), checksum_fold(checksum_add(0, bytes, 333)));
    }
}

static void fold_keeps_every_carry(void **state)
{
    (void)state;
    assert_int_equal(checksum_fold(0), 0);
    assert_int_equal(checksum_fold(0xffff), 0xffff);
    assert_int_equal(checksum_fold(0x10000), 1);
    assert_int_equal(checksum_fold(UINT64_MAX), 0xffff);
    assert_int_equal(checksum_fold(UINT64_C(0xfffffffffffffffe)), 0xfffe);
    assert_int_equal(checksum_fold(UINT64_C(0x1fffeffff)), 0xffff);
}

static void each_wrong_bit_is_found(void **state)
{
    (void)state;
    for (uint8_t version = 4; version <= 6; version += 2)
        for (uint8_t protocol = 6; protocol <= 17; protocol += 11) {
            struct packet_spec spec = packet_spec(version, protocol);
            spec.payload = bytes;
            spec.payload_len = 33;
            uint8_t packet[200];
            uint32_t len = packet_build(&spec, packet), start = version == 4 ? 20 : 40;
            assert_true(checksum_holds(packet, len, start, protocol));
            for (uint32_t bit = 0; bit < len * 8; bit++) {
                if (version == 6 && bit < 64)
                    continue; /* not under any checksum */
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
                if (packet[0] == 0x45 || packet[0] == 0x60)
                    assert_false(checksum_holds(packet, len, start, protocol));
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
        }
}

static void checksums_are_written_as_the_slow_twin_does(void **state)
{
    (void)state;
    fill(4);
    for (uint8_t version = 4; version <= 6; version += 2)
        for (uint8_t protocol = 6; protocol <= 17; protocol += 11) {
            struct packet_spec spec = packet_spec(version, protocol);
            spec.payload = bytes;
            spec.payload_len = 101;
            uint8_t expected[300], packet[300];
            uint32_t len = packet_build(&spec, expected), start = version == 4 ? 20 : 40;
            memcpy(packet, expected, len);
            memset(packet + (version == 4 ? 2 : 4), 0xaa, 2);
            memset(packet + start + (protocol == 6 ? 16 : 6), 0xaa, 2);
            checksum_set_ip_length(packet, len);
            checksum_set_transport(packet, len, start, protocol == 6 ? 16 : 6, protocol);
            assert_memory_equal(packet, expected, len);
        }
}

static void zero_checksum_is_written_as_all_ones(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(4, 17);
    uint8_t payload[2] = {0, 0}, packet[64];
    spec.payload = payload;
    spec.payload_len = 2;
    uint32_t len = packet_build(&spec, packet);
    memcpy(packet + 28, packet + 26, 2); /* a payload that makes the sum all ones */
    checksum_set_transport(packet, len, 20, 6, 17);
    assert_int_equal(get_be16(packet + 26), 0xffff);
    assert_true(slow_checksums_hold(packet, len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_and_alignment_sums_like_the_slow_twin),
        cmocka_unit_test(carries_of_the_longest_text_are_kept),
        cmocka_unit_test(pieces_sum_like_the_whole),
        cmocka_unit_test(fold_keeps_every_carry),
        cmocka_unit_test(each_wrong_bit_is_found),
        cmocka_unit_test(checksums_are_written_as_the_slow_twin_does),
        cmocka_unit_test(zero_checksum_is_written_as_all_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
