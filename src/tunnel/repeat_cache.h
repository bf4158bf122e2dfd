/* Recent initiations, so that an exact repeat costs no Diffie-Hellman. Bounded; forgets the oldest. */
#ifndef TUNNEL_REPEAT_CACHE_H
#define TUNNEL_REPEAT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/message.h"

#define REPEAT_CACHE_SIZE 1024 /* messages */

struct repeat_cache;

must_check struct repeat_cache *repeat_cache_new(void);
void repeat_cache_free(struct repeat_cache *cache);
/* Whether this mac1 (a keyed hash of all that precedes it in the message) was noted among the last REPEAT_CACHE_SIZE;
 * notes it if not. */
bool repeat_cache_seen(struct repeat_cache *cache, const uint8_t mac1[MESSAGE_MAC_SIZE]);

#endif
