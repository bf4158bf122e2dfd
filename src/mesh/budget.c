/* What may be sent to places that nobody answered from: whoever names candidates to many nodes cannot aim them at a
 * victim. */
#include "mesh/internal.h"

static bool is_over(const struct budget_entry *e, uint64_t now)
{
    return e->sent == 0 || now >= e->last + BUDGET_TIME;
}

/* The host's entry, else one that is over; NULL: all are in use. */
static struct budget_entry *entry_for(struct budget *b, const struct underlay *to, uint64_t now)
{
    struct budget_entry *over = NULL;
    for (uint32_t n = 0; n < BUDGET_HOSTS; n++) {
        struct budget_entry *e = &b->entries[n];
        if (e->sent > 0 && underlay_same_host(&e->host, to))
            return e;
        if (!over && is_over(e, now))
            over = e;
    }
    if (over)
        *over = (struct budget_entry){.host = *to};
    return over;
}

bool budget_take(struct budget *b, const struct underlay *to, uint32_t count, uint64_t now)
{
    struct budget_entry *e = entry_for(b, to, now);
    if (!e)
        return false;
    if (is_over(e, now))
        e->sent = 0;
    bool proven = e->proven > 0 && now < e->proven + BUDGET_TIME;
    if (e->sent + count > (proven ? BUDGET_PROVEN : BUDGET_UNPROVEN))
        return false;
    e->sent += count;
    e->last = now > e->last ? now : e->last;
    return true;
}

void budget_prove(struct budget *b, const struct underlay *at, uint64_t now)
{
    for (uint32_t n = 0; n < BUDGET_HOSTS; n++)
        if (b->entries[n].sent > 0 && underlay_same_host(&b->entries[n].host, at))
            b->entries[n].proven = now;
}

void budget_reserve(struct budget *b, const struct underlay *to, uint64_t until)
{
    for (uint32_t n = 0; n < BUDGET_HOSTS; n++)
        if (b->entries[n].sent > 0 && underlay_same_host(&b->entries[n].host, to) && b->entries[n].last < until)
            b->entries[n].last = until;
}
