#include "ledger/sync.h"
#include "base/time.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MIN (200 * MILLISECOND)
#define TIMEOUT_MAX (5000 * MILLISECOND)
#define ROUND_TRIP_FIRST (500 * MILLISECOND) /* until one was measured */
#define WINDOW_FIRST 4
#define CONTRADICTIONS_MAX 16 /* parts of another total in a row: the blob has become another one */

enum slot_state { SLOT_FREE = 0, SLOT_UNDER_WAY, SLOT_LOST };

/* One get. */
struct slot {
    enum slot_state state;
    bool repeated; /* its round trip says nothing: which get was answered? */
    uint32_t part;
    uint64_t sent;
};

struct pull {
    enum sync_what what;
    uint64_t from, to_asked, to;
    uint8_t hash[FRAME_HASH_SIZE];
    bool has_total;
    uint32_t total;
    uint32_t parts, parts_come, next; /* next: the first part that was never asked for */
    uint8_t *bytes;
    size_t capacity;

    struct slot slots[SYNC_WINDOW_MAX];
    uint32_t under_way, window;
    uint32_t contradictions;
    uint32_t silent; /* losses in a row without a part between */
    uint64_t round_trip, last_cut, last_progress;
};

int pull_new(struct pull **out, enum sync_what what, uint64_t from, uint64_t to, const uint8_t hash[FRAME_HASH_SIZE])
{
    struct pull *p = calloc(1, sizeof(*p));
    if (!p)
        return ERROR_MEMORY;
    p->what = what;
    p->from = from;
    p->to = p->to_asked = to;
    if (hash)
        memcpy(p->hash, hash, FRAME_HASH_SIZE);
    p->window = 1;
    p->round_trip = ROUND_TRIP_FIRST;
    *out = p;
    return 0;
}

void pull_free(struct pull *p)
{
    if (p)
        free(p->bytes);
    free(p);
}

static bool is_complete(const struct pull *p)
{
    return p->has_total && p->parts_come == p->parts;
}

/* Twice the round trip, and twice that again for each loss since the last part: who is away is not shouted at. */
static uint64_t timeout(const struct pull *p)
{
    uint64_t t = 2 * p->round_trip;
    if (t < TIMEOUT_MIN)
        t = TIMEOUT_MIN;
    for (uint32_t i = 0; i < p->silent && t < TIMEOUT_MAX; i++)
        t *= 2;
    return t < TIMEOUT_MAX ? t : TIMEOUT_MAX;
}

static void forget_gets(struct pull *p)
{
    for (uint32_t i = 0; i < SYNC_WINDOW_MAX; i++)
        if (p->slots[i].state == SLOT_UNDER_WAY) {
            p->slots[i].state = SLOT_LOST;
            p->slots[i].repeated = true;
        }
    p->under_way = 0;
}

/* Nothing that came counts any more. */
static void begin_anew(struct pull *p)
{
    memset(p->slots, 0, sizeof(p->slots));
    p->to = p->to_asked;
    p->has_total = false;
    p->total = p->parts = p->parts_come = p->next = 0;
    p->under_way = p->contradictions = 0;
    p->window = 1;
}

void pull_restart(struct pull *p)
{
    /* Openings are each server's view of what we may know: two views do not mix. */
    if (p->what == SYNC_OPENINGS && !is_complete(p))
        begin_anew(p);
    forget_gets(p);
    p->silent = 0;
    p->round_trip = ROUND_TRIP_FIRST;
    p->window = p->window > WINDOW_FIRST ? WINDOW_FIRST : p->window;
}

static bool is_of_this_blob(const struct pull *p, const struct frame_part *part)
{
    if (part->what != p->what || part->from != p->from || memcmp(part->hash, p->hash, FRAME_HASH_SIZE) != 0)
        return false;
    return part->to == p->to || (p->to == UINT64_MAX && !p->has_total);
}

static bool is_well_cut(const struct frame_part *part)
{
    if (part->total == 0)
        return part->offset == 0 && part->bytes.len == 0;
    if (part->total > SYNC_BLOB_MAX || part->offset >= part->total || part->offset % FRAME_PART_MAX != 0)
        return false;
    uint64_t rest = part->total - part->offset;
    return part->bytes.len == (rest < FRAME_PART_MAX ? rest : FRAME_PART_MAX);
}

/* Space grows with what comes, not with what is promised. */
static bool make_room(struct pull *p, size_t end)
{
    if (end <= p->capacity)
        return true;
    size_t capacity = p->capacity ? p->capacity : SYNC_WINDOW_MAX * (size_t)FRAME_PART_MAX;
    while (capacity < end)
        capacity *= 2;
    if (capacity > p->total)
        capacity = p->total;
    uint8_t *bytes = realloc(p->bytes, capacity);
    if (!bytes)
        return false;
    p->bytes = bytes;
    p->capacity = capacity;
    return true;
}

static void learn_total(struct pull *p, const struct frame_part *part)
{
    p->has_total = true;
    p->to = part->to;
    p->total = (uint32_t)part->total;
    p->parts = (uint32_t)((part->total + FRAME_PART_MAX - 1) / FRAME_PART_MAX);
    p->window = WINDOW_FIRST;
}

static bool contradicts(struct pull *p, const struct frame_part *part)
{
    if (!p->has_total || part->total == p->total)
        return false;
    if (++p->contradictions >= CONTRADICTIONS_MAX)
        begin_anew(p);
    return true;
}

static struct slot *slot_of(struct pull *p, uint32_t part)
{
    for (uint32_t i = 0; i < SYNC_WINDOW_MAX; i++)
        if (p->slots[i].state != SLOT_FREE && p->slots[i].part == part)
            return &p->slots[i];
    return NULL;
}

static void measure(struct pull *p, const struct slot *slot, uint64_t now)
{
    if (slot->repeated || slot->state != SLOT_UNDER_WAY)
        return;
    uint64_t sample = now - slot->sent;
    p->round_trip = p->last_progress ? p->round_trip - p->round_trip / 8 + sample / 8 : sample;
}

bool pull_take(struct pull *p, const struct frame_part *part, uint64_t now)
{
    if (is_complete(p) || !is_of_this_blob(p, part) || !is_well_cut(part) || contradicts(p, part))
        return false;
    /* What was not asked for is not taken, so that no server can make us hold more than a window ahead. */
    struct slot *slot = slot_of(p, (uint32_t)(part->offset / FRAME_PART_MAX));
    if (!slot)
        return false;
    if (!p->has_total)
        learn_total(p, part);
    if (!make_room(p, part->offset + part->bytes.len))
        return false;
    measure(p, slot, now);
    if (part->bytes.len) {
        memcpy(p->bytes + part->offset, part->bytes.bytes, part->bytes.len);
        p->parts_come++;
    }
    if (slot->state == SLOT_UNDER_WAY)
        p->under_way--;
    slot->state = SLOT_FREE;
    p->silent = p->contradictions = 0;
    p->last_progress = now;
    if (p->window < SYNC_WINDOW_MAX)
        p->window++;
    return true;
}

/* One cut for what was lost together: gets that left before the last cut were of the old window. */
static void cut_window(struct pull *p, const struct slot *lost, uint64_t now)
{
    if (lost->sent < p->last_cut)
        return;
    p->last_cut = now;
    p->window = p->window > 1 ? p->window / 2 : 1;
    if (p->silent < 8)
        p->silent++;
}

static void expire(struct pull *p, uint64_t now)
{
    uint64_t limit = timeout(p);
    for (uint32_t i = 0; i < SYNC_WINDOW_MAX; i++) {
        struct slot *slot = &p->slots[i];
        if (slot->state != SLOT_UNDER_WAY || now < slot->sent + limit)
            continue;
        cut_window(p, slot, now);
        slot->state = SLOT_LOST;
        slot->repeated = true;
        p->under_way--;
    }
}

static struct slot *slot_in(struct pull *p, enum slot_state state)
{
    for (uint32_t i = 0; i < SYNC_WINDOW_MAX; i++)
        if (p->slots[i].state == state)
            return &p->slots[i];
    return NULL;
}

/* What is asked for next: what was lost comes first. */
static struct slot *choose(struct pull *p)
{
    struct slot *slot = slot_in(p, SLOT_LOST);
    if (slot)
        return slot;
    bool more = p->has_total ? p->next < p->parts : p->next == 0;
    slot = more ? slot_in(p, SLOT_FREE) : NULL;
    if (slot)
        *slot = (struct slot){.part = p->next++};
    return slot;
}

bool pull_next(struct pull *p, struct frame_get *out, uint64_t now)
{
    if (is_complete(p))
        return false;
    expire(p, now);
    struct slot *slot = p->under_way < p->window ? choose(p) : NULL;
    if (!slot)
        return false;
    slot->state = SLOT_UNDER_WAY;
    slot->sent = now;
    p->under_way++;
    *out = (struct frame_get){p->what, p->from, p->to, {0}, (uint64_t)slot->part * FRAME_PART_MAX};
    memcpy(out->hash, p->hash, FRAME_HASH_SIZE);
    return true;
}

uint64_t pull_deadline(const struct pull *p)
{
    if (is_complete(p))
        return UINT64_MAX;
    uint64_t first = UINT64_MAX, limit = timeout(p);
    for (uint32_t i = 0; i < SYNC_WINDOW_MAX; i++)
        if (p->slots[i].state == SLOT_UNDER_WAY && p->slots[i].sent + limit < first)
            first = p->slots[i].sent + limit;
    return p->under_way ? first : 0;
}

const uint8_t *pull_complete(const struct pull *p, size_t *len)
{
    static const uint8_t nothing[1];
    if (!is_complete(p))
        return NULL;
    *len = p->total;
    return p->total ? p->bytes : nothing;
}

uint64_t pull_to(const struct pull *p)
{
    return p->to;
}

uint64_t pull_last_progress(const struct pull *p)
{
    return p->last_progress;
}

bool serve_part(const struct frame_get *get, uint64_t to, const uint8_t *blob, size_t len, struct frame_part *out)
{
    if (get->offset >= len && get->offset != 0)
        return false;
    size_t rest = len - (size_t)get->offset;
    *out = (struct frame_part){.what = get->what, .from = get->from, .to = to, .offset = get->offset, .total = len};
    memcpy(out->hash, get->hash, FRAME_HASH_SIZE);
    out->bytes = (struct frame_view){blob + get->offset, rest < FRAME_PART_MAX ? rest : FRAME_PART_MAX};
    return true;
}
