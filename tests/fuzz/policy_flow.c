#include <string.h>

#include "base/bytes.h"
#include "policy/flow.h"

#include "fuzz.h"

/* A refusal is a whole packet, and an error, which nothing answers. */
static void must_be_told_once(const uint8_t *packet, size_t size)
{
    uint8_t told[FLOW_REFUSAL_MAX], again[FLOW_REFUSAL_MAX];
    size_t len = flow_refusal(packet, size, told);
    must(len <= sizeof(told));
    must(len == 0 || flow_refusal(told, len, again) == 0);
}

/* A sequence of packets, each behind its length (two bytes), the first bit of which is the direction. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct grant grants[] = {{GRANT_ICMP, 0, 0}, {GRANT_TCP, 80, 80}, {GRANT_UDP, 53, 53}};
    const struct peer_grants peer = {.version = 1, .out_count = 3, .out = grants, .in_count = 1, .in = grants};
    struct flow_table *table;
    must(flow_table_new(&table, 2, (const uint8_t[16]){0}) == 0);
    uint64_t now = 1;
    while (size >= 2) {
        uint16_t head = get_be16(data);
        size_t len = head & 0x7fff;
        data += 2;
        size -= 2;
        if (len > size)
            len = size;
        uint8_t *packet = malloc(len > 0 ? len : 1);
        must(packet);
        memcpy(packet, data, len);
        enum flow_verdict verdict = flow_judge(table, &peer, 1, head >> 15, packet, len, now++);
        must(verdict == FLOW_PASS || verdict == FLOW_REFUSED || verdict == FLOW_MALFORMED);
        must_be_told_once(packet, len);
        free(packet);
        data += len;
        size -= len;
    }
    flow_table_free(table);
    return 0;
}
