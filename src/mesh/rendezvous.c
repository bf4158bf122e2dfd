#include <string.h>

#include "mesh/internal.h"

/* SHA-256(relay id || node id); if that fails, the lowest score. */
void rendezvous_score(struct mesh *m, const struct device_id *relay, const struct device_id *id,
                      uint8_t out[SHA256_SIZE])
{
    uint8_t both[2 * DEVICE_ID_SIZE];
    memcpy(both, relay->bytes, DEVICE_ID_SIZE);
    memcpy(both + DEVICE_ID_SIZE, id->bytes, DEVICE_ID_SIZE);
    if (crypto_sha256(m->crypto, out, both, sizeof(both)) != 0)
        memset(out, 0, SHA256_SIZE);
}

struct ranking {
    uint32_t count, most;
    struct device_id *ids;
    uint8_t scores[INTRODUCTION_RELAYS_MAX][SHA256_SIZE];
};

/* Keeps the ranking sorted, best first. */
static void rank(struct ranking *r, const struct device_id *id, const uint8_t score[SHA256_SIZE])
{
    uint32_t at = r->count;
    while (at > 0 && memcmp(r->scores[at - 1], score, SHA256_SIZE) < 0)
        at--;
    if (at == r->most)
        return;
    if (r->count < r->most)
        r->count++;
    for (uint32_t i = r->count - 1; i > at; i--) {
        r->ids[i] = r->ids[i - 1];
        memcpy(r->scores[i], r->scores[i - 1], SHA256_SIZE);
    }
    r->ids[at] = *id;
    memcpy(r->scores[at], score, SHA256_SIZE);
}

static void rank_relay(struct mesh *m, struct ranking *r, const struct device_id *relay, const struct device_id *id)
{
    uint8_t score[SHA256_SIZE];
    if (device_id_equal(relay, id))
        return;
    rendezvous_score(m, relay, id, score);
    rank(r, relay, score);
}

uint32_t rendezvous_best(struct mesh *m, const struct device_id *id, bool answering, struct device_id *out,
                         uint32_t most)
{
    struct ranking r = {.ids = out, .most = most < INTRODUCTION_RELAYS_MAX ? most : INTRODUCTION_RELAYS_MAX};
    for (uint32_t i = 0; i < m->relay_count; i++)
        if (!m->relays[i]->device->unusable && !(answering && m->relays[i]->state == RELAY_FAILED))
            rank_relay(m, &r, &m->relays[i]->device->id, id);
    return r.count;
}

uint32_t mesh_relays_of(const struct mesh *m, const struct device_id *id, struct device_id out[2])
{
    struct ranking r = {.ids = out, .most = 2};
    struct mesh *hashing = (struct mesh *)m; /* the crypto handle is not const */
    for (uint32_t i = 0; i < m->relay_count; i++)
        rank_relay(hashing, &r, &m->relays[i]->device->id, id);
    if (m->has_self && m->is_relay)
        rank_relay(hashing, &r, &m->self, id);
    return r.count;
}
