/* Lists of candidates: our own, which relays and peers are told, and those that a relay says of two whom it
 * introduces. */
#include <stdlib.h>
#include <string.h>

#include "mesh/internal.h"

/* ---- Our own ---- */

/* What relays are told: our private addresses. */
void local_tell_relay(struct mesh *m, const struct relay *r)
{
    uint8_t bytes[FRAME_CANDIDATES_SIZE];
    struct frame f = {.kind = FRAME_CANDIDATES, .candidates = {{.bytes = bytes}}};
    f.candidates.list.len = frame_candidates_put(m->local, m->local_count, bytes);
    if (m->local_told && !m->joining)
        mesh_send_frame(m, &r->device->id, &f);
}

/* What a peer is told: where relays see us, too. */
void local_tell_peer(struct mesh *m, const struct device *d)
{
    struct underlay all[FRAME_CANDIDATES_MAX + RELAYS_WANTED];
    uint8_t bytes[FRAME_CANDIDATES_SIZE];
    struct frame f = {.kind = FRAME_CANDIDATES, .candidates = {{.bytes = bytes}}};
    uint32_t count = 0;
    for (uint32_t n = 0; n < m->relay_count && count < RELAYS_WANTED; n++)
        if (m->relays[n]->state == RELAY_UP && m->relays[n]->observed.family != 0)
            all[count++] = m->relays[n]->observed;
    for (uint32_t n = 0; n < m->local_count; n++)
        all[count++] = m->local[n];
    f.candidates.list.len = frame_candidates_put(all, count, bytes);
    mesh_send_frame(m, &d->id, &f);
}

/* Our uplink is another, or our NAT forgot us: whoever may send to us directly is told, and tried at once. */
void local_changed(struct mesh *m, uint64_t now)
{
    for (struct device *d = devices_next(&m->devices, NULL); d; d = devices_next(&m->devices, d)) {
        if (!d->linked || !d->direct || !is_member(d))
            continue;
        local_tell_peer(m, d);
        direct_moved(m, d, now);
    }
}

void mesh_local(struct mesh *m, const struct underlay *list, uint32_t count, uint64_t now)
{
    uint8_t bytes[FRAME_CANDIDATES_SIZE];
    struct underlay before[FRAME_CANDIDATES_MAX];
    uint32_t before_count = m->local_count;
    memcpy(before, m->local, sizeof(before));
    struct frame_view view = {.bytes = bytes, .len = frame_candidates_put(list, count, bytes)};
    m->local_count = frame_candidates_get(view, m->local);
    bool same = before_count == m->local_count;
    for (uint32_t n = 0; same && n < before_count; n++)
        same = underlay_equal(&before[n], &m->local[n]);
    if (same)
        return;
    m->local_told = true;
    for (uint32_t n = 0; n < m->relay_count; n++)
        if (m->relays[n]->state == RELAY_UP)
            local_tell_relay(m, m->relays[n]);
    local_changed(m, now);
}

/* Whether two relays see us at the same address and different ports: our NAT shows each destination another. */
bool nat_here(const struct mesh *m)
{
    for (uint32_t a = 0; a < m->relay_count; a++)
        for (uint32_t b = 0; b < a; b++) {
            const struct relay *x = m->relays[a], *y = m->relays[b];
            bool both = x->state == RELAY_UP && y->state == RELAY_UP && x->observed.family != 0;
            if (both && underlay_same_host(&x->observed, &y->observed) && x->observed.port != y->observed.port)
                return true;
        }
    return false;
}

/* ---- As a relay ---- */

static bool is_relays_place(const struct mesh *m, const struct underlay *u)
{
    for (uint32_t n = 0; n < m->relay_count; n++)
        if (underlay_equal(&m->relays[n]->device->endpoint, u))
            return true;
    return false;
}

static bool is_ours(const struct mesh *m, const struct underlay *u)
{
    for (uint32_t n = 0; n < m->local_count; n++)
        if (underlay_equal(&m->local[n], u))
            return true;
    for (uint32_t n = 0; n < m->relay_count; n++)
        if (underlay_equal(&m->relays[n]->observed, u))
            return true;
    return false;
}

bool candidate_is_allowed(const struct mesh *m, const struct underlay *u)
{
    return underlay_is_sendable(u) && !is_relays_place(m, u) && !is_ours(m, u);
}

/* RFC 1918, RFC 6598, RFC 4193. */
static bool is_private(const struct underlay *u)
{
    const uint8_t *a = u->address;
    if (u->family == 6)
        return (a[0] & 0xfe) == 0xfc;
    return a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) || (a[0] == 192 && a[1] == 168) ||
           (a[0] == 100 && (a[1] & 0xc0) == 64);
}

/* Behind one NAT, or both on our own network. */
static bool at_one_site(const struct device *a, const struct device *b)
{
    if (a->heard.family == 0 || b->heard.family != a->heard.family)
        return false;
    return underlay_same_host(&a->heard, &b->heard) || (is_private(&a->heard) && is_private(&b->heard));
}

size_t candidates_about(const struct mesh *m, const struct device *about, const struct device *whom,
                        uint8_t out[FRAME_CANDIDATES_SIZE])
{
    struct underlay all[1 + FRAME_CANDIDATES_MAX];
    uint32_t count = 0;
    if (candidate_is_allowed(m, &about->heard))
        all[count++] = about->heard;
    for (uint32_t n = 0; about->local && n < about->local->count && at_one_site(about, whom); n++)
        if (candidate_is_allowed(m, &about->local->list[n]))
            all[count++] = about->local->list[n];
    return frame_candidates_put(all, count, out);
}

static void keep_local(struct mesh *m, struct device *from, struct frame_view list)
{
    if (!from->local && list.len > 0)
        from->local = calloc(1, sizeof(*from->local));
    if (from->local)
        from->local->count = frame_candidates_get(list, from->local->list);
    else if (list.len > 0)
        m->counters.flooding++;
}

/* From whom we are a relay of, for those whom we introduce; from a peer, about itself. */
void candidates_received(struct mesh *m, struct device *from, const struct mesh_arrival *by, const struct frame *f,
                         uint64_t now)
{
    (void)by;
    if (from->has_endpoint && !m->is_relay) {
        m->counters.strange++;
        return;
    }
    if (m->is_relay)
        keep_local(m, from, f->candidates.list);
    if (!m->is_relay || from->direct)
        direct_given(m, from, f->candidates.list, false, now);
}
