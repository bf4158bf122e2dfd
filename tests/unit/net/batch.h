/* A batch of packets on its way through a coalescer, and the proof that what comes out is what went in. */
#ifndef TESTS_NET_BATCH_H
#define TESTS_NET_BATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/coalesce.h"
#include "packets.h"

/* A batch, its packets as they were, and what came out. */
struct batch {
    struct coalescer *c;
    uint8_t *packets[COALESCE_PACKETS_MAX];
    uint8_t *originals[COALESCE_PACKETS_MAX];
    uint32_t lens[COALESCE_PACKETS_MAX];
    uint32_t count;
    struct coalesced writes[COALESCE_PACKETS_MAX];
    uint32_t write_count;
};

extern struct batch batch;
extern uint8_t payload[PACKETS_MAX_LEN]; /* random bytes */
extern const struct coalesce_options everything;

/* cmocka group and test fixtures. */
int batch_prepare(void **state);
int batch_finish(void **state);
int batch_begin(void **state);
int batch_end(void **state);
/* Drops the batch and begins another. */
void batch_restart(const struct coalesce_options *options);

void add_bytes(const uint8_t *packet, uint32_t len);
/* A packet with a right checksum, added as its sender sends it partial: `field` in the checksum's place. What comes out
 * of the kernel must be the packet with the right one. */
void add_bytes_partial(const uint8_t *packet, uint32_t len, uint16_t field);
/* The packet in static storage. */
uint8_t *build(const struct packet_spec *spec, uint32_t *len);
/* Adds the flow's next packet of `len` bytes of payload, its last byte wrong or not, and moves the flow on. */
void add_next_maybe_wrong(struct packet_spec *flow, uint32_t len, bool wrong);
void add_next(struct packet_spec *flow, uint32_t len);

/* The same as partial ones, with anything but 0 in the field. */
void add_next_partial(struct packet_spec *flow, uint32_t len);

void take_writes(void);
uint32_t gather(const struct coalesced *write, uint8_t *out);
/* Whatever was joined: nothing is lost, doubled, changed or reordered in its flow. */
void assert_stream_is_kept(void);
/* Takes the writes, which must be so many and keep the stream. */
void assert_writes(uint32_t count);

#endif
