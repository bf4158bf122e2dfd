#include "base/log_limit.h"

#include <string.h>

/* The last place is for all whom the table has no place for. */
static struct log_event *find(struct log_limit *limit, const char *name)
{
    uint32_t i = 0;
    while (i < limit->count && strncmp(limit->events[i].name, name, LOG_EVENT_NAME_MAX_LEN) != 0)
        i++;
    if (i == LOG_EVENTS_MAX)
        return &limit->events[LOG_EVENTS_MAX - 1];
    if (i == limit->count) {
        limit->count++;
        strncpy(limit->events[i].name, name, LOG_EVENT_NAME_MAX_LEN);
    }
    return &limit->events[i];
}

bool log_limit_passes(struct log_limit *limit, const char *event, uint64_t now, uint64_t *suppressed)
{
    struct log_event *e = find(limit, event);
    uint64_t from = e->full_at > now ? e->full_at : now;
    if (from - now > (LOG_BURST - 1) * LOG_EVERY) {
        e->suppressed++;
        return false;
    }
    e->full_at = from + LOG_EVERY;
    *suppressed = e->suppressed;
    e->suppressed = 0;
    return true;
}
