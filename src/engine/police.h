/* Policy at both ends of the data path: each inner packet is judged by what its peer and we may begin with each other.
 */
#ifndef ENGINE_POLICE_H
#define ENGINE_POLICE_H

#include "engine/internal.h"

/* The beginning of the packet that passed last, so that more of the same flow pass without being looked up. One a
 * batch: policy changes between batches. */
struct police_memory {
    const struct peer *peer;
    uint8_t start[48];
};
/* Sender: `packet` may be a super-packet of `count` packets. What is refused is counted, and told whoever sent it. */
must_check bool police_lets_out(struct engine *e, struct police_memory *memory, const struct peer *peer,
                                const uint8_t *packet, uint32_t len, uint32_t count, uint64_t now);

/* Sender: tells whoever sent it, by ICMP, that the packet was refused; where packets are judged at all. */
void police_tell_sender(struct engine *e, const uint8_t *packet, uint32_t len);

/* Receiver. */
must_check bool police_lets_in(struct engine *e, struct police_memory *memory, const struct peer *peer,
                               const uint8_t *packet, uint32_t len, uint64_t now);

#endif
