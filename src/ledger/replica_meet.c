/* At a relay: may two devices meet? Whoever asks learns no difference between unknown and forbidden. */
#include <string.h>

#include "ledger/replica_internal.h"

static bool find_by_address(const struct replica *r, struct frame_view address, uint32_t *out)
{
    for (uint32_t i = 0; i < r->known_count; i++) {
        const struct known *k = &r->known[i];
        bool has = address.len == 16 ? k->has_ipv6 : address.len == 4 && k->has_ipv4;
        *out = i;
        if (has && memcmp(address.len == 16 ? k->ipv6 : k->ipv4, address.bytes, address.len) == 0 &&
            replica_is_present(r, i))
            return true;
    }
    return false;
}

static bool find_target(const struct replica *r, const struct frame_introduce *what, uint32_t *out)
{
    struct device_id id;
    if (what->has_device)
        memcpy(id.bytes, what->device, DEVICE_ID_SIZE);
    else if (what->address.len)
        return find_by_address(r, what->address, out);
    else if (!replica_device_by_name(r, (const char *)what->name.bytes, what->name.len, &id))
        return false;
    return replica_known_position(r, &id, out) && replica_is_present(r, *out);
}

/* Everybody may speak with a relay; others need a rule, in whichever direction. */
static bool may_meet(const struct replica *r, const struct known *a, const struct known *b)
{
    return a->relay || b->relay || replica_policy_joins(r, a, b);
}

static struct frame_view opening_of(const struct replica *r, uint32_t i)
{
    const struct kept_opening *kept = replica_openings_find(&r->openings, fold_device_at(r->fold, i)->terms.commitment);
    return kept ? (struct frame_view){kept->bytes, kept->len} : (struct frame_view){0};
}

bool replica_meet(struct replica *r, const struct device_id *asker, const struct frame_introduce *what,
                  struct replica_meeting *out)
{
    uint32_t from, target;
    if (!r->self.relay || !replica_known_position(r, asker, &from) || !replica_is_present(r, from))
        return false;
    if (!find_target(r, what, &target) || target == from || !may_meet(r, &r->known[from], &r->known[target]))
        return false;
    *out = (struct replica_meeting){.target = fold_device_at(r->fold, target)->id,
                                    .asker_opening = opening_of(r, from),
                                    .target_opening = opening_of(r, target)};
    return true;
}
