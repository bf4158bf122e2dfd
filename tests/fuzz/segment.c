/* A virtio header of 10 bytes and a packet: whatever segment_start takes must come apart inside its bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/segment.h"

#define WRITTEN_MAX 200 /* of up to 65,535 packets, from each end */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void write_exactly(const struct segmenter *s, uint32_t i)
{
    uint32_t len = segment_len(s, i);
    uint8_t *out = malloc(len);
    if (len == 0 || len > UINT16_MAX || out == NULL)
        abort();
    segment_write(s, i, out);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct virtio_net_hdr header;
    struct segmenter s;
    if (len < sizeof(header) || len > UINT16_MAX)
        return 0;
    memcpy(&header, data, sizeof(header));
    if (segment_start(&s, &header, data + sizeof(header), (uint32_t)(len - sizeof(header))) != 0)
        return 0;
    uint64_t payload = 0;
    for (uint32_t i = 0; i < s.count; i++) {
        payload += segment_len(&s, i) - s.header_len;
        if (i < WRITTEN_MAX || s.count - i < WRITTEN_MAX)
            write_exactly(&s, i);
    }
    if (payload != s.len - s.header_len)
        abort();
    return 0;
}
