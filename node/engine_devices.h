/* The devices that the state has named, found by their id and by their peer in the tunnel. */
#ifndef NODE_ENGINE_DEVICES_H
#define NODE_ENGINE_DEVICES_H

#include "proc/messages.h"
#include "tunnel/tunnel.h"
#include "wire/names.h"

struct engine_device {
    struct engine_device *next_by_id, *next_by_peer;
    struct device_id id;
    peer_id peer;
    uint32_t flags; /* enum mesh_flags */
    uint8_t static_key[MESSAGE_KEY_SIZE];
    uint8_t ipv6[16]; /* zero: none */
    uint8_t ipv4[4];
    bool has_ipv4;
    uint64_t gates_full_at; /* how much keys was told of its gate keys lately */
    bool seen;              /* it completed a handshake, which the state knows */
};

struct engine_devices {
    struct engine_device **by_id, **by_peer;
    uint32_t bucket_count; /* of each; a power of two, or 0 */
    uint32_t count;
};

struct engine_device *engine_devices_find(const struct engine_devices *t, const struct device_id *id);
struct engine_device *engine_devices_find_peer(const struct engine_devices *t, peer_id peer);
/* The table owns what it makes. ERROR_MEMORY. */
must_check int engine_devices_add(struct engine_devices *t, const struct device_id *id, peer_id peer,
                                  struct engine_device **out);
void engine_devices_remove(struct engine_devices *t, struct engine_device *d);
/* The first, or the one after; NULL at the end. */
struct engine_device *engine_devices_next(const struct engine_devices *t, const struct engine_device *d);
void engine_devices_clear(struct engine_devices *t);

#endif
