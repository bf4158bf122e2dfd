/* Nanoseconds per packet that a super-packet costs on its way, sealing aside: made into packets that are written where
 * they will be sealed, and joined again. The best of several rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "net/checksum.h"
#include "net/coalesce.h"
#include "net/segment.h"

#define PACKETS 45u
#define PAYLOAD 1308u
#define HEADERS 52u /* IPv4, TCP with timestamps */
#define STRIDE 1500u
#define ROUNDS 200
#define CALLS 200u

struct bench {
    struct virtio_net_hdr header;
    uint8_t packet[HEADERS + PACKETS * PAYLOAD];
    uint8_t out[PACKETS][STRIDE], copy[PACKETS][STRIDE];
    struct coalescer *coalescer;
    uint32_t failed;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void make_super_packet(struct bench *b)
{
    static const uint8_t start[HEADERS] = {
        0x45, 0,    0,    0,    0, 1, 0x40, 0, 64, 6, 0, 0, 100,  64,   0, 1, 100, 64, 0, 2, /* IPv4 */
        0x9c, 0x40, 0x14, 0x51, 0, 0, 0,    1, 0,  0, 0, 1, 0x80, 0x10, 1, 0, 0,   0,  0, 0, 1, 1, 8, 10};
    uint32_t len = sizeof(b->packet);
    memcpy(b->packet, start, sizeof(start));
    checksum_set_ip_length(b->packet, len);
    uint16_t sum = checksum_fold(checksum_pseudo(b->packet, 6, len - 20));
    memcpy(b->packet + 36, &sum, sizeof(sum));
    b->header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                        .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                        .hdr_len = HEADERS,
                                        .gso_size = PAYLOAD,
                                        .csum_start = 20,
                                        .csum_offset = 16};
}

static void cut(struct bench *b)
{
    struct segmenter s;
    if (segment_start(&s, &b->header, b->packet, sizeof(b->packet)) != 0 || !segment_may_be_partial(&s)) {
        b->failed++;
        return;
    }
    for (uint32_t i = 0; i < s.count; i++)
        segment_write_partial(&s, i, b->out[i]);
}

/* Joining changes the first packet. */
static void join(struct bench *b)
{
    static const struct coalesce_options options = {.tcp = true, .udp = true, .partial = true};
    struct coalesced super;
    coalesce_reset(b->coalescer, &options);
    memcpy(b->copy[0], b->out[0], HEADERS);
    for (uint32_t i = 0; i < PACKETS; i++)
        b->failed += coalesce_add_partial(b->coalescer, b->copy[i], HEADERS + PAYLOAD) != 0;
    b->failed += !coalesce_next(b->coalescer, &super) || super.packets != PACKETS;
}

static double best(struct bench *b, void (*run)(struct bench *b))
{
    double least = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (uint32_t i = 0; i < CALLS; i++)
            run(b);
        double took = (now() - start) / CALLS / PACKETS;
        least = took < least ? took : least;
    }
    return least;
}

int main(void)
{
    static struct bench b;
    if (coalesce_new(&b.coalescer) != 0)
        return EXIT_FAILURE;
    make_super_packet(&b);
    cut(&b);
    memcpy(b.copy, b.out, sizeof(b.copy));
    printf("cut  %6.1f ns\njoin %6.1f ns\n", best(&b, cut), best(&b, join));
    coalesce_free(b.coalescer);
    if (b.failed != 0)
        fputs("Packets were not cut or joined as they should be.\n", stderr);
    return b.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
