/* Gate keys that outlive a restart: our own, so that those who know it go first at once, and those of others, by static
 * key, so that we go first with them. Losing one harms nobody but under a flood. */
#ifndef NODE_KEYS_GATES_H
#define NODE_KEYS_GATES_H

#include "gate_list.h"
#include "proc/files.h"
#include "proc/messages.h"

struct gates;

/* The log "gates" of that directory. */
must_check int gates_open(struct gates **out, const struct files *f);
void gates_close(struct gates *g); /* wipes */
/* Remembers the last gate key of a static key. */
void gates_note(struct gates *g, const struct ipc_gate *gate);
void gates_forget(struct gates *g, const uint8_t static_key[IPC_PUBLIC_SIZE]);
/* Makes all that was noted durable, but no more often than every 10 s, since others say how often theirs change; `now`
 * is monotonic, UINT64_MAX: the last time. What fails is tried again. */
void gates_commit(struct gates *g, uint64_t now);
uint32_t gates_count(const struct gates *g);
const struct ipc_gate *gates_at(const struct gates *g, uint32_t i);

#endif
