#include <string.h>

#include "engine/forward.h"

#include "fuzz.h"

/* What a relay takes out of a frame lies inside it, and is a message of the protocol. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t len = 0;
    uint8_t *copy = malloc(size ? size : 1);
    must(copy);
    if (size > 0)
        memcpy(copy, data, size);
    const struct opening frame = {.packet = copy, .packet_len = (uint32_t)size, .frame = true};
    const uint8_t *datagram = forward_datagram(&frame, &len);
    if (datagram) {
        must(datagram == copy + sizeof(struct frame_relayed));
        must(len <= size - sizeof(struct frame_relayed));
        must(message_classify(datagram, len) != MESSAGE_NONE);
    }
    free(copy);
    return 0;
}
