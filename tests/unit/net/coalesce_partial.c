/* Packets that come with partial checksums on their way to the TUN. */
#include "net/coalesce.h"

#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/compat.h"
#include "net/segment.h"

#define FIELD 0xbad1

#define EACH_KIND(flow)                                                                                    \
    for (int kind_ = 0; kind_ < 4; kind_++, batch_restart(&everything))                                    \
        for (struct packet_spec flow = packet_spec(kind_ & 1 ? 6 : 4, kind_ & 2 ? 17 : 6), *once_ = &flow; \
             once_ != NULL; once_ = NULL)

static const struct coalesce_options no_headers, only_partial = {.partial = true},
                                                 only_joined = {.tcp = true, .udp = true};

/* The kernel is told exactly where, and finds the pseudo-header's sum there. */
static void assert_left_to_the_kernel(const struct coalesced *write, const struct packet_spec *flow)
{
    static uint8_t bytes[PACKETS_MAX_LEN], expected[PACKETS_MAX_LEN];
    uint32_t len = gather(write, bytes);
    assert_true(write->partial);
    assert_int_equal(write->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(write->header.csum_start, flow->version == 4 ? 20 : 40);
    assert_int_equal(write->header.csum_offset, flow->protocol == 6 ? 16 : 6);
    memcpy(expected, bytes, len);
    slow_leave_partial(expected, len);
    assert_memory_equal(bytes, expected, len);
}

static void one_partial_flow_becomes_one_write(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        for (int i = 0; i < 45; i++)
            add_next_partial(&flow, i == 44 ? 900 : 1400);
        assert_writes(1);
        assert_int_equal(batch.writes[0].packets, 45);
        assert_int_equal(batch.writes[0].header.gso_size, 1400);
        assert_int_equal(batch.writes[0].header.hdr_len, packet_header_len(&flow));
        assert_left_to_the_kernel(&batch.writes[0], &flow);
    }
}

static void lone_partial_packet_is_left_to_the_kernel(void **state)
{
    (void)state;
    EACH_KIND(flow)
    for (uint32_t len = 0; len < 40; len++) {
        batch_restart(len & 1 ? &everything : &only_partial);
        add_next_partial(&flow, len);
        assert_writes(1);
        assert_int_equal(batch.writes[0].header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
        assert_int_equal(batch.writes[0].header.gso_size, 0);
        assert_left_to_the_kernel(&batch.writes[0], &flow);
    }
}

static void partial_packets_of_a_kind_not_joined_stay_single(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        batch_restart(&only_partial);
        for (int i = 0; i < 3; i++)
            add_next_partial(&flow, 500);
        assert_writes(3);
        for (int i = 0; i < 3; i++)
            assert_left_to_the_kernel(&batch.writes[i], &flow);
    }
}

static void partial_and_whole_packets_are_never_merged(void **state)
{
    (void)state;
    EACH_KIND(flow)
    for (uint32_t kinds = 0; kinds < 64; kinds++) {
        batch_restart(&everything);
        uint32_t changes = 0;
        for (uint32_t i = 0; i < 6; i++) {
            if (kinds >> i & 1)
                add_next_partial(&flow, 500);
            else
                add_next(&flow, 500);
            changes += i > 0 && (kinds >> i & 1) != (kinds >> (i - 1) & 1);
        }
        assert_writes(changes + 1);
        for (uint32_t i = 0; i < batch.write_count; i++)
            assert_int_equal(batch.writes[i].partial, (kinds & 1) != i % 2);
    }
}

static void wrong_whole_packet_stays_wrong_among_partial_ones(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        add_next_partial(&flow, 500);
        add_next_maybe_wrong(&flow, 500, true);
        add_next_partial(&flow, 500);
        assert_writes(3);
        assert_false(slow_checksums_hold(batch.packets[1], batch.lens[1]));
        assert_memory_equal(batch.packets[1], batch.originals[1], batch.lens[1]);
    }
}

static void without_virtio_headers_checksums_are_computed(void **state)
{
    (void)state;
    EACH_KIND(flow)
    for (uint32_t len = 0; len < 300; len += 7) {
        static const struct virtio_net_hdr none;
        batch_restart(&no_headers);
        for (uint32_t i = 0; i < 3; i++)
            add_next_partial(&flow, len);
        assert_writes(3);
        for (uint32_t i = 0; i < 3; i++) {
            assert_memory_equal(&batch.writes[i].header, &none, sizeof(none));
            assert_memory_equal(batch.packets[i], batch.originals[i], batch.lens[i]);
        }
    }
}

/* The kernel refused VIRTIO_NET_HDR_F_NEEDS_CSUM on single packets and takes super-packets all the same. */
static void completed_packets_are_joined_like_whole_ones(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        batch_restart(&only_joined);
        for (int i = 0; i < 4; i++)
            add_next_partial(&flow, 500);
        assert_writes(1);
        assert_false(batch.writes[0].partial);
    }
}

static void assert_malformed(const uint8_t *packet, uint32_t len)
{
    for (int i = 0; i < 2; i++) {
        uint8_t *exact = malloc(len);
        memcpy(exact, packet, len);
        batch_restart(i == 0 ? &everything : &no_headers);
        assert_int_equal(coalesce_add_partial(batch.c, exact, len), ERROR_MALFORMED);
        assert_memory_equal(exact, packet, len);
        take_writes();
        assert_int_equal(batch.write_count, 0);
        free(exact);
    }
}

static void make_ipv4_checksum_right(uint8_t *packet)
{
    put_be16(packet + 10, 0);
    put_be16(packet + 10, (uint16_t)~slow_sum(0, packet, 20));
}

static void what_may_never_be_partial_is_malformed_and_left_alone(void **state)
{
    (void)state;
    static const struct {
        uint8_t version, protocol, at, value;
    } bads[] = {
        {4, 6, 6, 0x20},  {4, 6, 7, 1},   {4, 6, 0, 0x46}, {4, 6, 9, 1},     {4, 6, 9, 47},    {4, 6, 3, 1},
        {4, 6, 32, 0x40}, {4, 17, 25, 9}, {4, 17, 24, 9},  {6, 6, 6, 0},     {6, 6, 6, 44},    {6, 6, 6, 43},
        {6, 17, 6, 60},   {6, 6, 6, 58},  {6, 6, 5, 3},    {6, 6, 52, 0x40}, {6, 6, 52, 0xf0}, {6, 17, 45, 9},
    };
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
        struct packet_spec flow = packet_spec(bads[i].version, bads[i].protocol);
        uint32_t len;
        flow.payload = payload;
        flow.payload_len = 20;
        uint8_t *packet = build(&flow, &len);
        packet[bads[i].at] = bads[i].value;
        if (flow.version == 4)
            make_ipv4_checksum_right(packet);
        assert_malformed(packet, len);
    }
}

static void wrong_ipv4_header_checksum_is_malformed(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 6);
    uint32_t len;
    uint8_t *packet = build(&flow, &len);
    packet[8]++; /* TTL */
    assert_malformed(packet, len);
}

static void datagram_without_checksum_is_malformed(void **state)
{
    (void)state;
    for (uint8_t version = 4; version <= 6; version += 2) {
        struct packet_spec flow = packet_spec(version, 17);
        uint32_t len;
        uint8_t *packet = build(&flow, &len);
        put_be16(packet + (version == 4 ? 26 : 46), 0);
        assert_malformed(packet, len);
    }
}

static void cut_off_packets_are_malformed(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        uint32_t full;
        const uint8_t *packet = build(&flow, &full);
        for (uint32_t len = 1; len < full; len++)
            assert_malformed(packet, len);
    }
}

static void full_batch_takes_no_partial_packet(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 17);
    for (int i = 0; i < COALESCE_PACKETS_MAX; i++)
        add_next_partial(&flow, 10);
    uint32_t len;
    uint8_t *packet = build(&flow, &len);
    assert_int_equal(coalesce_add_partial(batch.c, packet, len), ERROR_FULL);
    batch_restart(&no_headers);
    for (int i = 0; i < COALESCE_PACKETS_MAX; i++)
        add_next_partial(&flow, 10);
    packet = build(&flow, &len);
    assert_int_equal(coalesce_add_partial(batch.c, packet, len), ERROR_FULL);
    batch_restart(&no_headers);
    assert_int_equal(coalesce_add_partial(batch.c, packet, len), 0); /* the same packet again */
    take_writes();
    assert_true(slow_checksums_hold(packet, len));
}

static void add_random(struct packet_spec *flow, uint64_t *seed)
{
    static const uint32_t lens[] = {700, 700, 700, 700, 700, 0, 1, 699, 701};
    struct packet_spec saved = *flow;
    if (random_below(seed, 10) == 0)
        flow->flags = (uint8_t)random_next(seed);
    if (random_below(seed, 10) == 0)
        flow->ttl--;
    uint32_t len = lens[random_below(seed, 9)];
    if (random_below(seed, 4) != 0)
        add_next_partial(flow, len);
    else
        add_next_maybe_wrong(flow, len, random_below(seed, 5) == 0);
    flow->flags = saved.flags;
    flow->ttl = saved.ttl;
}

static void random_interleaved_flows_keep_every_stream(void **state)
{
    (void)state;
    static const struct coalesce_options *const options[] = {&everything, &only_partial, &only_joined, &no_headers};
    uint64_t seed = 8;
    for (int round = 0; round < 200; round++) {
        batch_restart(options[round % 4]);
        struct packet_spec flows[12];
        uint32_t flow_count = 1 + random_below(&seed, 12), count = 1 + random_below(&seed, 200);
        for (uint32_t i = 0; i < flow_count; i++) {
            flows[i] = packet_spec(i & 1 ? 6 : 4, i & 2 ? 17 : 6);
            flows[i].source_port = (uint16_t)(1 + i);
            flows[i].sequence = random_next(&seed);
        }
        for (uint32_t i = 0; i < count; i++)
            add_random(&flows[random_below(&seed, flow_count)], &seed);
        take_writes();
        assert_stream_is_kept();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, batch_begin, batch_end)
    const struct CMUnitTest tests[] = {
        TEST(one_partial_flow_becomes_one_write),
        TEST(lone_partial_packet_is_left_to_the_kernel),
        TEST(partial_packets_of_a_kind_not_joined_stay_single),
        TEST(partial_and_whole_packets_are_never_merged),
        TEST(wrong_whole_packet_stays_wrong_among_partial_ones),
        TEST(without_virtio_headers_checksums_are_computed),
        TEST(completed_packets_are_joined_like_whole_ones),
        TEST(what_may_never_be_partial_is_malformed_and_left_alone),
        TEST(wrong_ipv4_header_checksum_is_malformed),
        TEST(datagram_without_checksum_is_malformed),
        TEST(cut_off_packets_are_malformed),
        TEST(full_batch_takes_no_partial_packet),
        TEST(random_interleaved_flows_keep_every_stream),
    };
    return cmocka_run_group_tests(tests, batch_prepare, batch_finish);
}
