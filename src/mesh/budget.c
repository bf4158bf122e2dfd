/* What may be sent to places that nobody answered from: whoever names candidates to many nodes cannot aim them at a
 * victim. */
#include <string.h>

#include "mesh/internal.h"

static bool is_over(const struct budget_entry *e, uint64_t now)
{
    return e->sent == 0 || now >= e->last + BUDGET_TIME;
}

/* Whose budget it is: an IPv4 address, or an IPv6 /64, in which one host has as many addresses as it likes. */
static struct underlay host_of(const struct underlay *to)
{
    struct underlay host = *to;
    if (to->family == 6)
        memset(host.address + 8, 0, 8);
    return host;
}

/* The host's entry, begun anew if it was over; NULL: all are in use, or all of those that hearsay may take. */
static struct budget_entry *entry_for(struct budget *b, const struct underlay *to, bool hearsay, uint64_t now)
{
    const struct underlay host = host_of(to);
    struct budget_entry *found = NULL, *over = NULL;
    uint32_t by_hearsay = 0;
    for (uint32_t n = 0; n < BUDGET_HOSTS; n++) {
        struct budget_entry *e = &b->entries[n];
        if (e->sent > 0 && underlay_same_host(&e->host, &host))
            found = e;
        if (!is_over(e, now))
            by_hearsay += e->hearsay;
        else if (!over)
            over = e;
    }
    if (found && !is_over(found, now))
        return found;
    if ((!found && !over) || (hearsay && by_hearsay >= BUDGET_HEARSAY))
        return NULL;
    if (!found)
        *over = (struct budget_entry){.host = host};
    found = found ? found : over;
    found->sent = 0;
    found->hearsay = hearsay;
    return found;
}

bool budget_take(struct budget *b, const struct underlay *to, uint32_t count, bool hearsay, uint64_t now)
{
    struct budget_entry *e = entry_for(b, to, hearsay, now);
    if (!e)
        return false;
    bool proven = e->proven > 0 && now < e->proven + BUDGET_TIME;
    if (e->sent + count > (proven ? BUDGET_PROVEN : BUDGET_UNPROVEN))
        return false;
    e->sent += count;
    e->last = now > e->last ? now : e->last;
    e->hearsay = e->hearsay && hearsay;
    return true;
}

void budget_prove(struct budget *b, const struct underlay *at, uint64_t now)
{
    const struct underlay host = host_of(at);
    for (uint32_t n = 0; n < BUDGET_HOSTS; n++)
        if (b->entries[n].sent > 0 && underlay_same_host(&b->entries[n].host, &host))
            b->entries[n].proven = now;
}

void budget_reserve(struct budget *b, const struct underlay *to, uint64_t until)
{
    const struct underlay host = host_of(to);
    for (uint32_t n = 0; n < BUDGET_HOSTS; n++)
        if (b->entries[n].sent > 0 && underlay_same_host(&b->entries[n].host, &host) && b->entries[n].last < until)
            b->entries[n].last = until;
}
