#include "net/coalesce.h"

#include "batch.h"

#include <string.h>

#include "base/bytes.h"
#include "net/compat.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

#define EACH_KIND(flow)                                                                                    \
    for (int kind_ = 0; kind_ < 4; kind_++, batch_restart(&everything))                                    \
        for (struct packet_spec flow = packet_spec(kind_ & 1 ? 6 : 4, kind_ & 2 ? 17 : 6), *once_ = &flow; \
             once_ != NULL; once_ = NULL)

static void one_flow_becomes_one_write(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        for (int i = 0; i < 45; i++)
            add_next(&flow, 1400);
        assert_writes(1);
        const struct coalesced *write = &batch.writes[0];
        assert_int_equal(write->packets, 45);
        assert_int_equal(write->count, 45);
        assert_int_equal(write->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
        assert_int_equal(write->header.gso_size, 1400);
        assert_int_equal(write->header.hdr_len, packet_header_len(&flow));
        assert_int_equal(write->header.csum_start, flow.version == 4 ? 20 : 40);
        assert_int_equal(write->header.csum_offset, flow.protocol == 6 ? 16 : 6);
    }
}

static void lone_packet_is_written_as_it_came(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        add_next_maybe_wrong(&flow, 1400, true);
        assert_writes(1);
        static const struct virtio_net_hdr none;
        assert_memory_equal(&batch.writes[0].header, &none, sizeof(none));
        assert_memory_equal(batch.packets[0], batch.originals[0], batch.lens[0]);
    }
}

static void shorter_packet_ends_the_super_packet(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        add_next(&flow, 500);
        add_next(&flow, 499);
        add_next(&flow, 499);
        add_next(&flow, 500);
        assert_writes(3);
    }
}

static void kind_not_asked_for_is_not_joined(void **state)
{
    (void)state;
    static const struct coalesce_options only_tcp = {.tcp = true}, only_udp = {.udp = true};
    for (uint8_t protocol = 6; protocol <= 17; protocol += 11)
        for (int i = 0; i < 2; i++) {
            batch_restart(i == 0 ? &only_tcp : &only_udp);
            struct packet_spec flow = packet_spec(4, protocol);
            add_next(&flow, 500);
            add_next(&flow, 500);
            assert_writes((protocol == 6) == (i == 0) ? 1 : 2);
        }
}

/* Three packets, the middle one changed: it must be joined neither to the one before nor to the one after. */
struct change {
    const char *name;
    uint8_t version;  /* 0: both */
    uint8_t protocol; /* 0: both */
    void (*apply)(struct packet_spec *spec);
};

#define CHANGE(name_, what)                              \
    static void change_##name_(struct packet_spec *spec) \
    {                                                    \
        what;                                            \
    }
CHANGE(host, spec->host++)
CHANGE(port, spec->source_port++)
CHANGE(ttl, spec->ttl--)
CHANGE(tos_low, spec->tos ^= 1)
CHANGE(tos_high, spec->tos ^= 0x80)
CHANGE(df, spec->may_fragment = !spec->may_fragment)
CHANGE(flow_label, spec->flow_label ^= 1)
CHANGE(flow_label_high, spec->flow_label ^= 0x80000)
CHANGE(sequence_ahead, spec->sequence++)
CHANGE(sequence_behind, spec->sequence -= 500)
CHANGE(acknowledgement, spec->acknowledgement++)
CHANGE(window, spec->window++)
CHANGE(urgent, spec->urgent++)
CHANGE(option, spec->option ^= 1)
CHANGE(options_len, spec->options_len = (uint8_t)(spec->options_len - 4))
CHANGE(fin, spec->flags |= FIN)
CHANGE(syn, spec->flags |= SYN)
CHANGE(rst, spec->flags |= RST)
CHANGE(urg, spec->flags |= URG)
CHANGE(ece, spec->flags |= ECE)
CHANGE(cwr, spec->flags |= CWR)
CHANGE(no_ack, spec->flags &= (uint8_t)~ACK)

static const struct change changes[] = {
    {"host", 0, 0, change_host},
    {"port", 0, 0, change_port},
    {"ttl", 0, 0, change_ttl},
    {"tos, low", 0, 0, change_tos_low},
    {"tos, high", 0, 0, change_tos_high},
    {"DF", 4, 0, change_df},
    {"flow label", 6, 0, change_flow_label},
    {"flow label, high", 6, 0, change_flow_label_high},
    {"sequence ahead", 0, 6, change_sequence_ahead},
    {"sequence behind", 0, 6, change_sequence_behind},
    {"acknowledgement", 0, 6, change_acknowledgement},
    {"window", 0, 6, change_window},
    {"urgent pointer", 0, 6, change_urgent},
    {"option", 0, 6, change_option},
    {"options' length", 0, 6, change_options_len},
    {"FIN", 0, 6, change_fin},
    {"SYN", 0, 6, change_syn},
    {"RST", 0, 6, change_rst},
    {"URG", 0, 6, change_urg},
    {"ECE", 0, 6, change_ece},
    {"CWR", 0, 6, change_cwr},
    {"no ACK", 0, 6, change_no_ack},
};

static bool middle_is_joined(const struct packet_spec *kind, void (*apply)(struct packet_spec *spec))
{
    batch_restart(&everything);
    struct packet_spec flow = *kind;
    add_next(&flow, 500);
    struct packet_spec other = flow;
    if (apply != NULL)
        apply(&other);
    add_next(&other, 500);
    if (other.host == flow.host && other.source_port == flow.source_port) {
        flow.sequence += 500;
        flow.id++;
    }
    add_next(&flow, 500);
    take_writes();
    assert_stream_is_kept();
    for (uint32_t i = 0; i < batch.write_count; i++) {
        const uint8_t *first = batch.writes[i].iov[0].iov_base;
        if (first == batch.packets[1] && batch.writes[i].packets == 1)
            return false;
    }
    return true;
}

static void packets_that_differ_in_any_field_are_not_joined(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        for (int kind = 0; kind < 4; kind++) {
            struct packet_spec flow = packet_spec(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6);
            const struct change *change = &changes[i];
            assert_true(middle_is_joined(&flow, NULL));
            if ((change->version != 0 && change->version != flow.version) ||
                (change->protocol != 0 && change->protocol != flow.protocol))
                continue;
            if (middle_is_joined(&flow, change->apply))
                fail_msg("joined in spite of a different %s", change->name);
        }
}

/* Flags that must never be repeated in every segment, equal or not. */
static void packets_with_special_flags_are_not_joined_even_if_equal(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 256; flags++) {
        batch_restart(&everything);
        struct packet_spec flow = packet_spec(4, 6);
        flow.flags = (uint8_t)flags;
        add_next(&flow, 500);
        add_next(&flow, 500);
        bool plain = flags == ACK || flags == (ACK | ECE);
        assert_writes(plain ? 1 : 2);
    }
}

static void push_ends_a_super_packet_and_is_kept(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 6);
    add_next(&flow, 500);
    flow.flags |= PSH;
    add_next(&flow, 500);
    flow.flags = ACK;
    add_next(&flow, 500);
    add_next(&flow, 500);
    assert_writes(2);
    assert_int_equal(((uint8_t *)batch.writes[0].iov[0].iov_base)[33], ACK | PSH);
    assert_int_equal(((uint8_t *)batch.writes[1].iov[0].iov_base)[33], ACK);
}

static void acknowledgement_keeps_its_place_in_the_flow(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(6, 6);
    add_next(&flow, 500);
    add_next(&flow, 0);
    add_next(&flow, 500);
    assert_writes(3);
}

static void empty_datagrams_are_not_joined(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 17);
    add_next(&flow, 0);
    add_next(&flow, 0);
    add_next(&flow, 10);
    add_next(&flow, 0);
    assert_writes(4);
}

/* Makes the field such that the checksum over all bytes holds. */
static void make_checksum_right(uint8_t *packet, uint32_t len, uint32_t field)
{
    put_be16(packet + field, 0);
    for (uint32_t sum = 0; !slow_checksums_hold(packet, len); sum++) {
        assert_true(sum <= UINT16_MAX);
        put_be16(packet + field, (uint16_t)sum);
    }
}

/* A payload that sums to all ones, so that a checksum of 0 even holds. */
static void datagram_without_checksum_is_not_joined(void **state)
{
    (void)state;
    for (uint32_t which = 0; which < 2; which++) {
        batch_restart(&everything);
        struct packet_spec flow = packet_spec(4, 17);
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t len;
            flow.payload = payload;
            flow.payload_len = 100;
            uint8_t *packet = build(&flow, &len);
            if (i == which) {
                put_be16(packet + 26, 0);
                make_checksum_right(packet, len, 40);
                assert_int_equal(get_be16(packet + 26), 0);
            }
            add_bytes(packet, len);
        }
        take_writes();
        assert_int_equal(batch.write_count, 2);
    }
}

static void datagram_shorter_than_its_packet_is_not_joined(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 17);
    flow.payload = payload;
    flow.payload_len = 100;
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t len;
        uint8_t *packet = build(&flow, &len);
        put_be16(packet + 24, 107);
        make_checksum_right(packet, len, 26);
        add_bytes(packet, len);
    }
    take_writes();
    assert_int_equal(batch.write_count, 2);
}

static void wrong_checksum_is_never_joined_nor_made_right(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++)
        for (uint32_t wrong = 0; wrong < 3; wrong++)
            for (uint32_t at = 1; at < 100; at++) {
                batch_restart(&everything);
                struct packet_spec flow = packet_spec(kind & 1 ? 6 : 4, kind & 2 ? 17 : 6);
                /* In the IPv4 identification, the transport's checksum, or the payload. */
                uint32_t header_len = packet_header_len(&flow), ip_len = flow.version == 4 ? 20 : 40;
                uint32_t checksum = ip_len + (flow.protocol == 6 ? 16 : 6);
                uint32_t where = at == 1 ? checksum : at == 2 && flow.version == 4 ? 5 : header_len + at;
                for (uint32_t i = 0; i < 3; i++) {
                    uint32_t len;
                    flow.payload = payload;
                    flow.payload_len = 101;
                    uint8_t *packet = build(&flow, &len);
                    packet[where] ^= i == wrong ? 1 : 0;
                    add_bytes(packet, len);
                    flow.sequence += 101;
                    flow.id++;
                }
                take_writes();
                assert_int_equal(batch.write_count, wrong == 1 ? 3 : 2);
                for (uint32_t i = 0; i < batch.write_count; i++)
                    if (batch.writes[i].iov[0].iov_base == batch.packets[wrong])
                        assert_int_equal(batch.writes[i].packets, 1);
                assert_memory_equal(batch.packets[wrong], batch.originals[wrong], batch.lens[wrong]);
                assert_stream_is_kept();
            }
}

static void add_changed(const struct packet_spec *flow, void (*apply)(uint8_t *packet))
{
    uint32_t len;
    uint8_t *packet = build(flow, &len);
    apply(packet);
    if (packet[0] >> 4 == 4) {
        put_be16(packet + 10, 0);
        put_be16(packet + 10, (uint16_t)~slow_sum(0, packet, (packet[0] & 15u) * 4));
    }
    add_bytes(packet, len);
}

static void make_first_fragment(uint8_t *packet)
{
    packet[6] |= 0x20;
}
static void make_last_fragment(uint8_t *packet)
{
    packet[7] = 9;
}
static void make_options(uint8_t *packet)
{
    packet[0] = 0x46;
}
static void make_hop_by_hop(uint8_t *packet)
{
    packet[6] = 0;
}
static void make_ipv6_fragment(uint8_t *packet)
{
    packet[6] = 44;
}

/* They may belong to any flow. */
static void nothing_is_joined_across_fragments_and_options(void **state)
{
    (void)state;
    static const struct {
        uint8_t version;
        void (*apply)(uint8_t *packet);
    } odd[] = {{4, make_first_fragment},
               {4, make_last_fragment},
               {4, make_options},
               {6, make_hop_by_hop},
               {6, make_ipv6_fragment}};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        for (uint8_t protocol = 6; protocol <= 17; protocol += 11) {
            batch_restart(&everything);
            struct packet_spec flow = packet_spec(odd[i].version, protocol);
            flow.options_len = 0;
            add_next(&flow, 300);
            add_next(&flow, 300);
            struct packet_spec same = flow;
            add_changed(&same, odd[i].apply);
            add_changed(&same, odd[i].apply);
            add_next(&flow, 300);
            add_next(&flow, 300);
            take_writes();
            assert_int_equal(batch.write_count, 4);
            assert_int_equal(batch.writes[0].packets, 2);
            assert_int_equal(batch.writes[3].packets, 2);
            assert_memory_equal(batch.packets[2], batch.originals[2], batch.lens[2]);
        }
}

static void other_protocols_pass_and_disturb_nobody(void **state)
{
    (void)state;
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        batch_restart(&everything);
        struct packet_spec flow = packet_spec(ipv6 ? 6 : 4, 17), ping = flow;
        ping.protocol = ipv6 ? 58 : 1;
        ping.payload = payload;
        ping.payload_len = 64;
        add_next(&flow, 300);
        uint32_t len;
        uint8_t *packet = build(&ping, &len);
        add_bytes(packet, len);
        add_next(&flow, 300);
        take_writes();
        assert_int_equal(batch.write_count, 2);
        assert_int_equal(batch.writes[0].packets, 2);
    }
}

static void packets_too_short_for_their_transport_pass(void **state)
{
    (void)state;
    for (uint8_t protocol = 6; protocol <= 17; protocol += 11)
        for (uint32_t len = 20; len < 60; len++)
            for (int twice = 0; twice < 2; twice++) {
                uint8_t packet[60] = {0x45, 0, 0, (uint8_t)len, 0, 0, 0, 0, 64, protocol};
                packet[32] = 0xf0;
                add_bytes(packet, len);
            }
    take_writes();
    assert_int_equal(batch.write_count, batch.count);
}

static void super_packet_stays_below_64_kib(void **state)
{
    (void)state;
    EACH_KIND(flow)
    {
        for (int i = 0; i < 60; i++)
            add_next(&flow, 1400);
        take_writes();
        assert_int_equal(batch.write_count, 2);
        static uint8_t out[2 * PACKETS_MAX_LEN];
        uint32_t len = gather(&batch.writes[0], out);
        assert_in_range(len, 65535 - 1400, 65535);
        assert_stream_is_kept();
    }
}

static void datagrams_are_joined_by_64_at_most(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 17);
    for (int i = 0; i < 130; i++)
        add_next(&flow, 20);
    assert_writes(3);
    assert_int_equal(batch.writes[0].packets, 64);
}

static void super_packet_fits_one_system_call(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 6);
    for (int i = 0; i < COALESCE_PACKETS_MAX; i++)
        add_next(&flow, 1);
    assert_writes(2);
    assert_int_equal(batch.writes[0].count, 1022);
}

static void full_batch_takes_no_more_until_reset(void **state)
{
    (void)state;
    struct packet_spec flow = packet_spec(4, 6);
    for (int i = 0; i < COALESCE_PACKETS_MAX; i++)
        add_next(&flow, 10);
    uint8_t packet[100];
    uint32_t len = packet_build(&flow, packet);
    assert_int_equal(coalesce_add(batch.c, packet, len), ERROR_FULL);
    assert_writes(2);
    batch_restart(&everything);
    assert_int_equal(coalesce_add(batch.c, packet, len), 0);
}

static void writes_are_in_order_of_first_packets(void **state)
{
    (void)state;
    struct packet_spec a = packet_spec(4, 6), b = packet_spec(6, 17), c = packet_spec(4, 17);
    for (int i = 0; i < 3; i++) {
        add_next(&a, 100);
        add_next(&b, 100);
        add_next(&c, 100);
    }
    assert_writes(3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(batch.writes[i].packets, 3);
        assert_ptr_equal(batch.writes[i].iov[0].iov_base, batch.packets[i]);
    }
}

/* TCP and UDP with the same ports among them. */
static void more_flows_than_the_table_finds_are_kept_in_order(void **state)
{
    (void)state;
    static struct packet_spec flows[512];
    for (uint8_t host = 1; host < 20; host++) {
        batch_restart(&everything);
        for (uint16_t i = 0; i < 512; i++) {
            flows[i] = packet_spec(i & 1 ? 4 : 6, i & 2 ? 6 : 17);
            flows[i].source_port = i / 4;
            flows[i].host = host;
        }
        for (int round = 0; round < 2; round++)
            for (uint32_t i = 0; i < 512; i++)
                add_next(&flows[i], 10);
        take_writes();
        assert_in_range(batch.write_count, 512, 540); /* a few may find their place taken */
        assert_stream_is_kept();
    }
}

/* One packet of a random flow, often with something out of the ordinary. */
static void add_random(struct packet_spec *flow, uint64_t *seed)
{
    static const uint32_t lens[] = {700, 700, 700, 700, 700, 0, 1, 699, 701};
    struct packet_spec saved = *flow;
    switch (random_below(seed, 20)) {
    case 0:
        flow->flags = (uint8_t)random_next(seed);
        break;
    case 1:
        flow->sequence += random_below(seed, 3);
        break;
    case 2:
        flow->ttl--;
        break;
    case 3:
        flow->window++;
        break;
    case 4:
        flow->flags |= PSH;
        break;
    default:
        break;
    }
    uint32_t len = lens[random_below(seed, 9)];
    add_next_maybe_wrong(flow, len, random_below(seed, 30) == 0);
    flow->flags = saved.flags;
    flow->ttl = saved.ttl;
}

static void random_interleaved_flows_keep_every_stream(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 300; round++) {
        batch_restart(&everything);
        struct packet_spec flows[12];
        uint32_t flow_count = 1 + random_below(&seed, 12), count = 1 + random_below(&seed, 200);
        for (uint32_t i = 0; i < flow_count; i++) {
            flows[i] = packet_spec(i & 1 ? 6 : 4, i & 2 ? 17 : 6);
            flows[i].source_port = (uint16_t)(1 + i);
            flows[i].id = (uint16_t)random_next(&seed);
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
        TEST(one_flow_becomes_one_write),
        TEST(lone_packet_is_written_as_it_came),
        TEST(shorter_packet_ends_the_super_packet),
        TEST(kind_not_asked_for_is_not_joined),
        TEST(packets_that_differ_in_any_field_are_not_joined),
        TEST(packets_with_special_flags_are_not_joined_even_if_equal),
        TEST(push_ends_a_super_packet_and_is_kept),
        TEST(acknowledgement_keeps_its_place_in_the_flow),
        TEST(empty_datagrams_are_not_joined),
        TEST(datagram_without_checksum_is_not_joined),
        TEST(datagram_shorter_than_its_packet_is_not_joined),
        TEST(wrong_checksum_is_never_joined_nor_made_right),
        TEST(nothing_is_joined_across_fragments_and_options),
        TEST(other_protocols_pass_and_disturb_nobody),
        TEST(packets_too_short_for_their_transport_pass),
        TEST(super_packet_stays_below_64_kib),
        TEST(datagrams_are_joined_by_64_at_most),
        TEST(super_packet_fits_one_system_call),
        TEST(full_batch_takes_no_more_until_reset),
        TEST(writes_are_in_order_of_first_packets),
        TEST(more_flows_than_the_table_finds_are_kept_in_order),
        TEST(random_interleaved_flows_keep_every_stream),
    };
    return cmocka_run_group_tests(tests, batch_prepare, batch_finish);
}
