/* Gate keys (docs/PROTOCOL.md section 22): what those who may talk with us make mac2 with, so that they are served
 * before strangers. Each key remembers the initiations that came under it, so that each of them counts once. */
#ifndef TUNNEL_GATE_H
#define TUNNEL_GATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/reclaim.h"
#include "crypto/crypto.h"
#include "wire/message.h"

#define GATE_SEEN_SLOTS 16384u                  /* a power of two */
#define GATE_SEEN_MAX (GATE_SEEN_SLOTS / 4 * 3) /* initiations under one key; it is replaced early after those */
#define GATE_PROBES_MAX 64u                     /* slots that one initiation is looked for in */
#define GATE_REPLACE_MIN SECOND                 /* between replacements because somebody went */
#define GATE_EARLY_MIN (60 * SECOND)            /* between those because a key has seen its fill */

/* One key. Immutable once published, but for what the opening thread remembers. */
struct gate_key {
    struct reclaim_item retired; /* first */
    uint8_t key[MESSAGE_COOKIE_SIZE];
    uint32_t seen_count;
    uint64_t seen[GATE_SEEN_SLOTS]; /* the first bytes of mac2, which nobody can choose without the key; 0: free */
};

/* All zero: none, and nothing holds. */
struct gate {
    _Atomic(struct gate_key *) current, previous;
    _Atomic bool full; /* the opening thread: the current key has seen its fill */
    bool forgotten;    /* a peer that may know the key is no more */
    uint64_t replaced; /* monotonic; 0: not since the start */
    uint64_t until;    /* monotonic: the end of the current key's lifetime; 0: not begun */
};

/* Makes `fresh` the current key. The one before is taken for as long again if `keep`. ERROR_MEMORY: nothing changes. */
must_check int gate_replace(struct gate *g, struct reclaim *reclaim, const uint8_t fresh[MESSAGE_COOKIE_SIZE],
                            bool keep);
void gate_clear(struct gate *g, struct reclaim *reclaim);
/* The key that this message's mac2 was made with; NULL: none of ours. In constant time for each key. */
struct gate_key *gate_key_of(const struct gate *g, struct crypto *c, const uint8_t *message, size_t len);
/* Whether the message, whose mac2 this key made, came before; it is noted if not. One that finds no room is taken for
 * new, and not noted. */
bool gate_key_has_seen(struct gate_key *k, const uint8_t *message, size_t len);
/* Writes mac2. */
must_check int gate_seal(struct crypto *c, const uint8_t key[MESSAGE_COOKIE_SIZE], uint8_t *message, size_t len);

#endif
