#include "net/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/compat.h"
#include "packets.h"

#define FIN 0x01
#define PSH 0x08
#define ACK 0x10
#define CWR 0x80

static uint8_t payload[PACKETS_MAX_LEN];
static uint8_t super[PACKETS_MAX_LEN], expected[PACKETS_MAX_LEN];

static int fill_payload(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (uint32_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)random_next(&seed);
    return 0;
}

static struct virtio_net_hdr virtio_header(const struct packet_spec *spec, uint16_t gso_size)
{
    uint8_t tcp = spec->version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    return (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                   .gso_type = spec->protocol == 6 ? tcp : VIRTIO_NET_HDR_GSO_UDP_L4,
                                   .hdr_len = (uint16_t)packet_header_len(spec),
                                   .gso_size = gso_size,
                                   .csum_start = spec->version == 4 ? 20 : 40,
                                   .csum_offset = spec->protocol == 6 ? 16 : 6};
}

static uint32_t build_super(const struct packet_spec *spec)
{
    uint32_t len = packet_build(spec, super);
    packet_leave_partial(spec, super, len);
    return len;
}

/* What packet i must be, built from nothing. */
static uint32_t build_expected(const struct packet_spec *whole, uint16_t gso_size, uint32_t i)
{
    struct packet_spec spec = *whole;
    uint32_t at = i * gso_size, rest = whole->payload_len - at;
    bool last = rest <= gso_size;
    spec.payload += at;
    spec.payload_len = last ? rest : gso_size;
    spec.id = (uint16_t)(spec.id + i);
    spec.sequence += at;
    if (!last)
        spec.flags &= (uint8_t) ~(FIN | PSH);
    if (i > 0)
        spec.flags &= (uint8_t)~CWR;
    return packet_build(&spec, expected);
}

static void assert_segments(const struct packet_spec *spec, uint16_t gso_size)
{
    struct virtio_net_hdr header = virtio_header(spec, gso_size);
    uint32_t len = build_super(spec);
    struct segmenter s;
    assert_int_equal(segment_start(&s, &header, super, len), 0);
    uint32_t count = (spec->payload_len + gso_size - 1) / gso_size;
    assert_int_equal(s.count, count == 0 ? 1 : count);
    for (uint32_t i = 0; i < s.count; i++) {
        uint32_t expected_len = build_expected(spec, gso_size, i);
        assert_int_equal(segment_len(&s, i), expected_len);
        uint8_t *out = malloc(expected_len); /* exactly, for the address sanitizer */
        segment_write(&s, i, out);
        assert_memory_equal(out, expected, expected_len);
        assert_true(slow_checksums_hold(out, expected_len));
        free(out);
    }
}

#define EACH_KIND(spec)                                                                                    \
    for (int kind_ = 0; kind_ < 4; kind_++)                                                                \
        for (struct packet_spec spec = packet_spec(kind_ & 1 ? 6 : 4, kind_ & 2 ? 17 : 6), *once_ = &spec; \
             once_ != NULL; once_ = NULL)

static void super_packet_is_the_packets_built_one_by_one(void **state)
{
    (void)state;
    static const uint32_t lens[] = {0, 1, 7, 8, 9, 1399, 1400, 1401, 2800, 30001, 65535 - 80};
    static const uint16_t sizes[] = {1400, 1399, 8, 1};
    EACH_KIND(spec)
    {
        spec.payload = payload;
        for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
            for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
                spec.payload_len = lens[i];
                if (lens[i] / sizes[j] < 2000)
                    assert_segments(&spec, sizes[j]);
            }
    }
}

static void fin_and_psh_are_the_last_ones_and_cwr_the_first_ones(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 256; flags++) {
        struct packet_spec spec = packet_spec(flags & 1 ? 4 : 6, 6);
        spec.payload = payload;
        spec.payload_len = 300;
        spec.flags = (uint8_t)flags;
        assert_segments(&spec, 100);
    }
}

static void tcp_with_ecn_bit_is_the_same(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(4, 6);
    spec.payload = payload;
    spec.payload_len = 300;
    uint32_t len = build_super(&spec);
    struct virtio_net_hdr header = virtio_header(&spec, 100);
    header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
    struct segmenter s;
    assert_int_equal(segment_start(&s, &header, super, len), 0);
    assert_int_equal(s.count, 3);
}

static void tcp_options_are_repeated(void **state)
{
    (void)state;
    for (uint8_t options = 0; options <= 40; options += 4) {
        struct packet_spec spec = packet_spec(4, 6);
        spec.payload = payload;
        spec.payload_len = 300;
        spec.options_len = options;
        assert_segments(&spec, 100);
    }
}

/* Hop-by-hop and destination options between the headers; the transport's checksum does not cover them. */
static void ipv6_options_are_repeated(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(6, 17);
    spec.payload = payload;
    spec.payload_len = 300;
    uint32_t len = build_super(&spec);
    memmove(super + 40 + 24, super + 40, len - 40);
    memset(super + 40, 0, 24);
    super[6] = 0;
    super[40] = 60;
    super[41] = 1;
    super[56] = 17;
    len += 24;
    put_be16(super + 4, (uint16_t)(len - 40));
    struct virtio_net_hdr header = virtio_header(&spec, 100);
    header.csum_start = 64;
    struct segmenter s;
    assert_int_equal(segment_start(&s, &header, super, len), 0);
    assert_int_equal(s.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t out[400];
        segment_write(&s, i, out);
        assert_int_equal(segment_len(&s, i), 64 + 8 + 100);
        assert_int_equal(get_be16(out + 4), 24 + 8 + 100);
        assert_memory_equal(out + 40, super + 40, 24);
        memmove(out + 40, out + 64, 108); /* without them it is an ordinary packet */
        put_be16(out + 4, 108);
        out[6] = 17;
        assert_true(slow_checksums_hold(out, 148));
        assert_memory_equal(out + 48, payload + 100 * i, 100);
    }
}

static void ipv4_options_are_repeated(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(4, 6);
    spec.payload = payload;
    spec.payload_len = 300;
    uint32_t len = build_super(&spec) + 8;
    memmove(super + 28, super + 20, len - 28);
    memset(super + 20, 1, 8);
    super[0] = 0x47;
    put_be16(super + 2, (uint16_t)len);
    struct virtio_net_hdr header = virtio_header(&spec, 100);
    header.csum_start = 28;
    struct segmenter s;
    assert_int_equal(segment_start(&s, &header, super, len), 0);
    for (uint32_t i = 0; i < s.count; i++) {
        uint8_t out[400];
        segment_write(&s, i, out);
        assert_memory_equal(out + 20, super + 20, 8);
        assert_true(slow_checksums_hold(out, segment_len(&s, i)));
    }
}

static void single_packet_comes_out_as_it_is(void **state)
{
    (void)state;
    static const uint8_t packet[] = {0x45, 1, 2, 3, 4};
    struct virtio_net_hdr header = {0};
    struct segmenter s;
    uint8_t out[sizeof(packet)];
    assert_int_equal(segment_start(&s, &header, packet, sizeof(packet)), 0);
    assert_int_equal(s.count, 1);
    assert_int_equal(segment_len(&s, 0), sizeof(packet));
    segment_write(&s, 0, out);
    assert_memory_equal(out, packet, sizeof(packet));
}

static void single_packet_has_its_checksum_completed(void **state)
{
    (void)state;
    EACH_KIND(spec)
    {
        for (uint32_t len = 0; len < 40; len++) {
            spec.payload = payload + len;
            spec.payload_len = len;
            struct virtio_net_hdr header = virtio_header(&spec, 0);
            header.gso_type = VIRTIO_NET_HDR_GSO_NONE;
            uint32_t total = build_super(&spec);
            struct segmenter s;
            uint8_t out[200];
            assert_int_equal(segment_start(&s, &header, super, total), 0);
            segment_write(&s, 0, out);
            packet_build(&spec, expected);
            assert_memory_equal(out, expected, total);
        }
    }
}

/* What a network card makes of each segment is what went out whole. */
static void assert_left_partial(const struct segmenter *s, uint32_t start, uint32_t offset)
{
    static uint8_t whole[PACKETS_MAX_LEN];
    assert_true(segment_may_be_partial(s));
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t len = segment_len(s, i);
        uint8_t *out = malloc(len);
        segment_write_partial(s, i, out);
        segment_write(s, i, whole);
        memcpy(expected, out, len);
        slow_leave_partial(expected, len);
        assert_memory_equal(out, expected, len); /* its own pseudo-header's sum, which its length is in */
        slow_complete(out, len, start, offset);
        assert_memory_equal(out, whole, len);
        assert_true(slow_checksums_hold(whole, len));
        free(out);
    }
}

static void packets_left_partial_complete_to_the_whole_ones(void **state)
{
    (void)state;
    static const uint32_t lens[] = {0, 1, 99, 100, 101, 30001};
    EACH_KIND(spec)
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
        for (int gso = 0; gso < 2; gso++) {
            spec.payload = payload;
            spec.payload_len = lens[i];
            struct virtio_net_hdr header = virtio_header(&spec, 100);
            header.gso_type = gso ? header.gso_type : VIRTIO_NET_HDR_GSO_NONE;
            struct segmenter s;
            assert_int_equal(segment_start(&s, &header, super, build_super(&spec)), 0);
            assert_left_partial(&s, header.csum_start, header.csum_offset);
        }
}

static void what_came_with_a_whole_checksum_keeps_it(void **state)
{
    (void)state;
    EACH_KIND(spec)
    for (int wrong = 0; wrong < 2; wrong++) {
        spec.payload = payload;
        spec.payload_len = 77;
        static const struct virtio_net_hdr plain, verified = {.flags = VIRTIO_NET_HDR_F_DATA_VALID};
        uint32_t len = packet_build(&spec, super);
        super[len - 1] ^= wrong ? 1 : 0;
        for (int i = 0; i < 2; i++) {
            struct segmenter s;
            assert_int_equal(segment_start(&s, i == 0 ? &plain : &verified, super, len), 0);
            assert_false(segment_may_be_partial(&s));
            segment_write(&s, 0, expected);
            assert_memory_equal(expected, super, len);
        }
    }
}

/* A field that is not the pseudo-header's sum: as a network card has it, wrong by as much afterwards. */
static void wrong_sum_in_the_field_is_not_partial_and_stays_wrong(void **state)
{
    (void)state;
    EACH_KIND(spec)
    for (int gso = 0; gso < 2; gso++)
        for (uint32_t by = 1; by < 0xffff; by += by < 3 ? 1 : 4099) {
            spec.payload = payload;
            spec.payload_len = 300;
            struct virtio_net_hdr header = virtio_header(&spec, 100);
            header.gso_type = gso ? header.gso_type : VIRTIO_NET_HDR_GSO_NONE;
            uint32_t len = build_super(&spec);
            uint8_t *field = super + header.csum_start + header.csum_offset, by_bytes[2];
            put_be16(by_bytes, (uint16_t)by);
            put_be16(field, slow_sum(get_be16(field), by_bytes, 2));
            struct segmenter s;
            assert_int_equal(segment_start(&s, &header, super, len), 0);
            assert_int_equal(s.count, gso ? 3 : 1);
            assert_false(segment_may_be_partial(&s));
            for (uint32_t i = 0; i < s.count; i++) {
                segment_write(&s, i, expected);
                uint32_t segment = segment_len(&s, i);
                assert_false(slow_checksums_hold(expected, segment));
                uint8_t *at = expected + header.csum_start + header.csum_offset;
                put_be16(at, slow_sum(get_be16(at), by_bytes, 2));
                assert_true(slow_checksums_hold(expected, segment));
            }
        }
}

static void checksum_elsewhere_than_the_transports_is_not_partial(void **state)
{
    (void)state;
    EACH_KIND(spec)
    {
        spec.payload = payload;
        spec.payload_len = 300;
        uint32_t len = build_super(&spec);
        struct virtio_net_hdr header = virtio_header(&spec, 100), right = header;
        struct segmenter s;
        header.gso_type = right.gso_type = VIRTIO_NET_HDR_GSO_NONE;
        for (uint32_t start = 0; start < 100; start++)
            for (uint32_t offset = 0; offset < 100; offset++) {
                header.csum_start = (uint16_t)start;
                header.csum_offset = (uint16_t)offset;
                assert_int_equal(segment_start(&s, &header, super, len), 0);
                bool is_right = start == right.csum_start && offset == right.csum_offset;
                assert_int_equal(segment_may_be_partial(&s), is_right);
            }
    }
}

static void make_fragment(uint8_t *packet)
{
    packet[6] |= 0x20;
}
static void make_options(uint8_t *packet)
{
    packet[0] = 0x46;
}
static void make_icmp(uint8_t *packet)
{
    packet[9] = 1;
}
static void make_longer(uint8_t *packet)
{
    packet[3]++;
}
static void make_udp_shorter(uint8_t *packet)
{
    packet[25]--;
}

static void what_is_not_plain_is_not_partial(void **state)
{
    (void)state;
    static void (*const changes[])(uint8_t * packet) = {make_fragment, make_options, make_icmp, make_longer,
                                                        make_udp_shorter};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct packet_spec spec = packet_spec(4, 17);
        spec.payload = payload;
        spec.payload_len = 300;
        uint32_t len = build_super(&spec);
        struct virtio_net_hdr header = virtio_header(&spec, 0);
        header.gso_type = VIRTIO_NET_HDR_GSO_NONE;
        struct segmenter s;
        changes[i](super);
        put_be16(super + 10, 0);
        put_be16(super + 10, (uint16_t)~slow_sum(0, super, 20));
        assert_int_equal(segment_start(&s, &header, super, len), 0);
        assert_false(segment_may_be_partial(&s));
    }
}

static int started(const struct virtio_net_hdr *header, const uint8_t *packet, uint32_t len)
{
    struct segmenter s;
    uint8_t *exact = malloc(len + 1);
    memcpy(exact + 1, packet, len);
    int error = segment_start(&s, header, exact + 1, len);
    free(exact);
    return error;
}

static void cut_off_super_packet_is_malformed(void **state)
{
    (void)state;
    EACH_KIND(spec)
    {
        spec.payload = payload;
        spec.payload_len = 300;
        struct virtio_net_hdr header = virtio_header(&spec, 100);
        uint32_t len = build_super(&spec);
        for (uint32_t cut = 0; cut < len; cut++) {
            if (cut >= (spec.version == 4 ? 20 : 40)) /* so that the stated length is not what gives it away */
                put_be16(super + (spec.version == 4 ? 2 : 4), (uint16_t)(spec.version == 4 ? cut : cut - 40));
            bool headers_inside = cut >= packet_header_len(&spec);
            assert_int_equal(started(&header, super, cut), headers_inside ? 0 : ERROR_MALFORMED);
        }
    }
}

/* One wrong byte each: where, what. */
struct wrong {
    uint32_t at;
    uint8_t value;
};

static void assert_each_is_malformed(const struct packet_spec *spec, const struct wrong *wrong, size_t count)
{
    struct virtio_net_hdr header = virtio_header(spec, 100);
    uint32_t len = build_super(spec);
    assert_int_equal(started(&header, super, len), 0);
    for (size_t i = 0; i < count; i++) {
        uint8_t right = super[wrong[i].at];
        super[wrong[i].at] = wrong[i].value;
        assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
        super[wrong[i].at] = right;
    }
}

static void headers_that_contradict_each_other_are_malformed(void **state)
{
    (void)state;
    static const struct wrong ipv4[] = {{0, 0x65}, {0, 0x44}, {0, 0x46}, {0, 0x4f}, {3, 0},
                                        {6, 0x20}, {6, 0x01}, {7, 1},    {9, 17},   {32, 0x40}};
    static const struct wrong ipv6[] = {{0, 0x45}, {5, 0}, {6, 17}, {6, 0}, {6, 43}, {6, 44}, {52, 0x40}};
    struct packet_spec spec = packet_spec(4, 6);
    spec.payload = payload;
    spec.payload_len = 300;
    assert_each_is_malformed(&spec, ipv4, sizeof(ipv4) / sizeof(ipv4[0]));
    spec.version = 6;
    assert_each_is_malformed(&spec, ipv6, sizeof(ipv6) / sizeof(ipv6[0]));
}

static void virtio_header_that_contradicts_the_packet_is_malformed(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(4, 6);
    spec.payload = payload;
    spec.payload_len = 300;
    uint32_t len = build_super(&spec);
    struct virtio_net_hdr right = virtio_header(&spec, 100), header = right;
    header.gso_size = 0;
    assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
    header = right;
    header.csum_start = 40;
    assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
    header = right;
    header.csum_offset = 6;
    assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
    header = right;
    header.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
    assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
    header.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
    assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
    header = right;
    header.gso_type = VIRTIO_NET_HDR_GSO_NONE;
    header.csum_start = (uint16_t)(len - 17);
    assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
    header.csum_start = (uint16_t)(len - 18);
    assert_int_equal(started(&header, super, len), 0);
    header.csum_start = header.csum_offset = UINT16_MAX;
    assert_int_equal(started(&header, super, len), ERROR_MALFORMED);
}

static void kind_never_asked_for_is_unsupported(void **state)
{
    (void)state;
    struct packet_spec spec = packet_spec(4, 17);
    spec.payload = payload;
    spec.payload_len = 300;
    uint32_t len = build_super(&spec);
    struct virtio_net_hdr header = virtio_header(&spec, 100);
    static const uint8_t known[] = {VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6,
                                    VIRTIO_NET_HDR_GSO_UDP_L4};
    for (unsigned type = 0; type < 128; type++) {
        header.gso_type = (uint8_t)type;
        bool is_known = memchr(known, (int)type, sizeof(known)) != NULL;
        assert_int_equal(started(&header, super, len) == ERROR_UNSUPPORTED, !is_known);
    }
}

static void what_is_not_ip_is_malformed(void **state)
{
    (void)state;
    struct virtio_net_hdr header = {0};
    for (unsigned version = 0; version < 16; version++) {
        uint8_t packet[40] = {(uint8_t)(version << 4)};
        assert_int_equal(started(&header, packet, sizeof(packet)), version == 4 || version == 6 ? 0 : ERROR_MALFORMED);
    }
    assert_int_equal(started(&header, super, 0), ERROR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(super_packet_is_the_packets_built_one_by_one),
        cmocka_unit_test(fin_and_psh_are_the_last_ones_and_cwr_the_first_ones),
        cmocka_unit_test(tcp_with_ecn_bit_is_the_same),
        cmocka_unit_test(tcp_options_are_repeated),
        cmocka_unit_test(ipv6_options_are_repeated),
        cmocka_unit_test(ipv4_options_are_repeated),
        cmocka_unit_test(single_packet_comes_out_as_it_is),
        cmocka_unit_test(single_packet_has_its_checksum_completed),
        cmocka_unit_test(packets_left_partial_complete_to_the_whole_ones),
        cmocka_unit_test(what_came_with_a_whole_checksum_keeps_it),
        cmocka_unit_test(wrong_sum_in_the_field_is_not_partial_and_stays_wrong),
        cmocka_unit_test(checksum_elsewhere_than_the_transports_is_not_partial),
        cmocka_unit_test(what_is_not_plain_is_not_partial),
        cmocka_unit_test(cut_off_super_packet_is_malformed),
        cmocka_unit_test(headers_that_contradict_each_other_are_malformed),
        cmocka_unit_test(virtio_header_that_contradicts_the_packet_is_malformed),
        cmocka_unit_test(kind_never_asked_for_is_unsupported),
        cmocka_unit_test(what_is_not_ip_is_malformed),
    };
    return cmocka_run_group_tests(tests, fill_payload, NULL);
}
