/* Packets, each after two bytes of length: what coalescing joins must split into the same packets again, byte for byte,
 * each once and in the order of its super-packet. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/coalesce.h"
#include "net/segment.h"
#include "wire/ip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct batch {
    uint8_t *packets[COALESCE_PACKETS_MAX];
    const uint8_t *originals[COALESCE_PACKETS_MAX];
    uint32_t lens[COALESCE_PACKETS_MAX];
    bool seen[COALESCE_PACKETS_MAX];
    uint32_t count;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void add(struct batch *batch, struct coalescer *c, const uint8_t *data, size_t len)
{
    struct ip_header ip;
    if (batch->count == COALESCE_PACKETS_MAX || ip_parse(&ip, data, len) != 0 || ip.total_len > UINT16_MAX)
        return;
    uint32_t i = batch->count++;
    batch->packets[i] = malloc(ip.total_len);
    batch->originals[i] = data;
    batch->lens[i] = ip.total_len;
    require(batch->packets[i] != NULL);
    memcpy(batch->packets[i], data, ip.total_len);
    require(coalesce_add(c, batch->packets[i], ip.total_len) == 0);
}

/* Which packet a piece of a super-packet points into. */
static uint32_t owner(const struct batch *batch, const uint8_t *byte)
{
    for (uint32_t i = 0; i < batch->count; i++)
        if (byte >= batch->packets[i] && byte < batch->packets[i] + batch->lens[i])
            return i;
    abort();
}

static bool differs(const uint8_t *a, const uint8_t *b, uint32_t len, uint32_t checksum)
{
    /* 0 and 0xffff are the same checksum. */
    bool zero_twice = checksum != 0 && (get_be16(b + checksum) == 0 || get_be16(b + checksum) == 0xffff) &&
                      get_be16(a + checksum) == 0xffff;
    if (!zero_twice)
        return memcmp(a, b, len) != 0;
    return memcmp(a, b, checksum) != 0 || memcmp(a + checksum + 2, b + checksum + 2, len - checksum - 2) != 0;
}

static void check(struct batch *batch, const struct coalesced *write)
{
    static uint8_t out[UINT16_MAX + 1];
    uint32_t checksum = write->packets > 1 ? write->header.csum_start + write->header.csum_offset : 0;
    uint32_t before = 0;
    for (uint32_t i = 0; i < write->packets; i++) {
        uint32_t which = owner(batch, write->iov[i].iov_base);
        require(!batch->seen[which] && (i == 0 || which > before));
        require(coalesce_split(write, i, out) == batch->lens[which]);
        require(!differs(out, batch->originals[which], batch->lens[which], checksum));
        batch->seen[which] = true;
        before = which;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct batch batch;
    struct coalescer *c;
    struct coalesced write;
    memset(&batch, 0, sizeof(batch));
    require(coalesce_new(&c) == 0);
    coalesce_reset(c, &(struct coalesce_options){.tcp = true, .udp = true});
    while (len > 2) {
        size_t next = get_be16(data);
        next = next < len - 2 ? next : len - 2;
        add(&batch, c, data + 2, next);
        data += 2 + next;
        len -= 2 + next;
    }
    while (coalesce_next(c, &write))
        check(&batch, &write);
    for (uint32_t i = 0; i < batch.count; i++) {
        require(batch.seen[i]);
        free(batch.packets[i]);
    }
    coalesce_free(c);
    return 0;
}
