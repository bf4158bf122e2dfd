#include "batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/partial.h"
#include "net/segment.h"

uint8_t payload[PACKETS_MAX_LEN];
const struct coalesce_options everything = {.tcp = true, .udp = true, .partial = true};

struct batch batch;

int batch_prepare(void **state)
{
    (void)state;
    uint64_t seed = 6;
    for (uint32_t i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)random_next(&seed);
    return coalesce_new(&batch.c);
}

int batch_finish(void **state)
{
    (void)state;
    coalesce_free(batch.c);
    return 0;
}

static int begin_with(const struct coalesce_options *options)
{
    batch.count = batch.write_count = 0;
    coalesce_reset(batch.c, options);
    return 0;
}

int batch_begin(void **state)
{
    (void)state;
    return begin_with(&everything);
}

int batch_end(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < batch.count; i++) {
        free(batch.packets[i]);
        free(batch.originals[i]);
    }
    batch.count = 0;
    return 0;
}

void batch_restart(const struct coalesce_options *options)
{
    batch_end(NULL);
    begin_with(options);
}

static uint8_t *keep(const uint8_t *packet, uint32_t len)
{
    uint32_t i = batch.count++;
    batch.packets[i] = malloc(len);
    batch.originals[i] = malloc(len);
    batch.lens[i] = len;
    memcpy(batch.packets[i], packet, len);
    memcpy(batch.originals[i], packet, len);
    return batch.packets[i];
}

void add_bytes(const uint8_t *packet, uint32_t len)
{
    assert_int_equal(coalesce_add(batch.c, keep(packet, len), len), 0);
}

void add_bytes_partial(const uint8_t *packet, uint32_t len, uint16_t field)
{
    struct partial p;
    uint8_t *kept = keep(packet, len);
    assert_true(slow_checksums_hold(kept, len));
    assert_true(partial_find(&p, kept, len));
    put_be16(kept + p.start + p.offset, field);
    assert_int_equal(coalesce_add_partial(batch.c, kept, len), 0);
}

uint8_t *build(const struct packet_spec *spec, uint32_t *len)
{
    static uint8_t packet[PACKETS_MAX_LEN];
    *len = packet_build(spec, packet);
    return packet;
}

void add_next_maybe_wrong(struct packet_spec *flow, uint32_t len, bool wrong)
{
    uint32_t packet_len;
    flow->payload = payload + flow->sequence % 1000;
    flow->payload_len = len;
    uint8_t *packet = build(flow, &packet_len);
    packet[packet_len - 1] ^= wrong ? 1 : 0;
    add_bytes(packet, packet_len);
    flow->sequence += len;
    flow->id++;
}

void add_next(struct packet_spec *flow, uint32_t len)
{
    add_next_maybe_wrong(flow, len, false);
}

void add_next_partial(struct packet_spec *flow, uint32_t len)
{
    static uint64_t seed = 3;
    uint32_t packet_len;
    flow->payload = payload + flow->sequence % 1000;
    flow->payload_len = len;
    uint8_t *packet = build(flow, &packet_len);
    add_bytes_partial(packet, packet_len, (uint16_t)(1 + random_below(&seed, UINT16_MAX)));
    flow->sequence += len;
    flow->id++;
}

void take_writes(void)
{
    while (coalesce_next(batch.c, &batch.writes[batch.write_count]))
        batch.write_count++;
}

uint32_t gather(const struct coalesced *write, uint8_t *out)
{
    uint32_t len = 0;
    for (int i = 0; i < write->count; i++) {
        memcpy(out + len, write->iov[i].iov_base, write->iov[i].iov_len);
        len += (uint32_t)write->iov[i].iov_len;
    }
    return len;
}

/* The addresses and ports of what build makes; for others, bytes that nothing else has. */
static bool same_flow(const uint8_t *a, const uint8_t *b)
{
    if (a[0] != b[0])
        return false;
    return a[0] == 0x45 ? a[9] == b[9] && memcmp(a + 12, b + 12, 12) == 0
                        : a[6] == b[6] && memcmp(a + 8, b + 8, 36) == 0;
}

/* Takes the packet for the first one of its flow that was not seen yet: it must be that, byte for byte. */
static void assert_next_of_its_flow(bool *seen, const uint8_t *packet, uint32_t len)
{
    for (uint32_t i = 0; i < batch.count; i++)
        if (!seen[i] && same_flow(batch.originals[i], packet)) {
            assert_int_equal(len, batch.lens[i]);
            assert_memory_equal(packet, batch.originals[i], len);
            seen[i] = true;
            return;
        }
    fail_msg("a packet that was never added");
}

static void assert_split_gives_back(const struct coalesced *write, bool *seen)
{
    static uint8_t out[PACKETS_MAX_LEN];
    for (uint32_t i = 0; i < write->packets; i++) {
        uint32_t len = coalesce_split(write, i, out);
        assert_next_of_its_flow(seen, out, len);
    }
}

static void assert_segmenting_gives_back(const struct coalesced *write, bool *seen)
{
    static uint8_t super[PACKETS_MAX_LEN], out[PACKETS_MAX_LEN];
    struct segmenter s;
    uint32_t len = gather(write, super);
    assert_int_equal(segment_start(&s, &write->header, super, len), 0);
    assert_int_equal(s.count, write->packets);
    for (uint32_t i = 0; i < s.count; i++) {
        segment_write(&s, i, out);
        assert_next_of_its_flow(seen, out, segment_len(&s, i));
    }
}

void assert_stream_is_kept(void)
{
    bool split[COALESCE_PACKETS_MAX] = {false}, segmented[COALESCE_PACKETS_MAX] = {false};
    for (uint32_t i = 0; i < batch.write_count; i++) {
        assert_split_gives_back(&batch.writes[i], split);
        assert_segmenting_gives_back(&batch.writes[i], segmented);
    }
    for (uint32_t i = 0; i < batch.count; i++)
        assert_true(split[i] && segmented[i]);
}

void assert_writes(uint32_t count)
{
    take_writes();
    assert_int_equal(batch.write_count, count);
    assert_stream_is_kept();
}
