#include "keys_seen.h"

#include <stdlib.h>

#include "base/bytes.h"

#define SEEN_NAME "seen"
#define FLOOR_NAME "floor"
#define FLOOR_AHEAD (10 * SECOND) /* one write for that much time of our own initiations */
#define COMPACT_SLACK 1024        /* records; a short log is not worth it */
/* Timestamps tell no more of the clock than they must; below that, they count. */
#define TIMESTAMP_STEP (UINT64_C(1) << 24)
#define DOUBTFUL (30 * DAY) /* so far ahead of our last initiation, a clock may be right or not */

struct record {
    uint8_t key[MESSAGE_KEY_SIZE];
    uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE];
};
_Static_assert(sizeof(struct record) == 44, "a record of the log has no padding");

struct seen {
    struct files_log *log;
    struct record *records; /* by key */
    uint32_t count, capacity;
    struct record *noted; /* not yet durable, in order */
    uint32_t noted_count, noted_capacity;
    uint64_t logged; /* records in the log */
    bool suspect;    /* a sync failed: what the log holds on disk is not known */
};

static bool is_of(const struct record *r, const uint8_t key[MESSAGE_KEY_SIZE])
{
    return memcmp(r->key, key, MESSAGE_KEY_SIZE) == 0;
}

/* Where the record of a key is or belongs. */
static uint32_t place_of(const struct seen *s, const uint8_t key[MESSAGE_KEY_SIZE])
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(s->records[middle].key, key, MESSAGE_KEY_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room(struct record **records, uint32_t count, uint32_t *capacity)
{
    if (count < *capacity)
        return true;
    uint32_t wanted = *capacity ? *capacity * 2 : 16;
    struct record *larger = reallocarray(*records, wanted, sizeof(**records));
    if (!larger)
        return false;
    *records = larger;
    *capacity = wanted;
    return true;
}

/* 1: it is greater than what was known, and is now known; 0: it is not; or an error. */
static int learn(struct seen *s, const uint8_t key[MESSAGE_KEY_SIZE], const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE],
                 uint64_t wall)
{
    uint32_t at = place_of(s, key);
    bool known = at < s->count && is_of(&s->records[at], key);
    if (known && !timestamp_may_follow(timestamp, s->records[at].timestamp, wall))
        return 0;
    if (known && memcmp(timestamp, s->records[at].timestamp, MESSAGE_TIMESTAMP_SIZE) <= 0)
        s->suspect = true; /* the log must forget the one that gives way */
    if (!known) {
        if (s->count == SEEN_MAX)
            return ERROR_FULL;
        if (!make_room(&s->records, s->count, &s->capacity))
            return ERROR_MEMORY;
        memmove(&s->records[at + 1], &s->records[at], (s->count++ - at) * sizeof(*s->records));
    }
    memcpy(s->records[at].key, key, MESSAGE_KEY_SIZE);
    memcpy(s->records[at].timestamp, timestamp, MESSAGE_TIMESTAMP_SIZE);
    return 1;
}

static int load(void *context, const uint8_t *bytes, size_t len)
{
    struct seen *s = context;
    if (len != sizeof(struct record))
        return ERROR_MALFORMED;
    int result = learn(s, bytes, bytes + MESSAGE_KEY_SIZE, 0);
    s->logged++;
    return result < 0 ? result : 0;
}

int seen_open(struct seen **out, const struct files *f)
{
    struct seen *s = calloc(1, sizeof(*s));
    if (!s)
        return ERROR_MEMORY;
    int error = files_log_open(&s->log, f, SEEN_NAME, sizeof(struct record), load, s, NULL);
    if (error != 0)
        seen_close(s);
    else
        *out = s;
    return error;
}

void seen_close(struct seen *s)
{
    if (!s)
        return;
    files_log_close(s->log);
    free(s->records);
    free(s->noted);
    free(s);
}

uint32_t seen_count(const struct seen *s)
{
    return s->count;
}

int seen_note(struct seen *s, const uint8_t key[MESSAGE_KEY_SIZE], const uint8_t timestamp[MESSAGE_TIMESTAMP_SIZE],
              uint64_t wall)
{
    int result = learn(s, key, timestamp, wall);
    if (result <= 0)
        return result < 0 ? result : ERROR_REPLAYED;
    /* While the disk is full, the records themselves say what is to be written: no list grows. */
    if (s->noted_count >= SEEN_MAX || !make_room(&s->noted, s->noted_count, &s->noted_capacity)) {
        s->suspect = true;
        return 0;
    }
    struct record *r = &s->noted[s->noted_count++];
    memcpy(r->key, key, MESSAGE_KEY_SIZE);
    memcpy(r->timestamp, timestamp, MESSAGE_TIMESTAMP_SIZE);
    return 0;
}

void seen_excuse(struct seen *s, const uint8_t key[MESSAGE_KEY_SIZE], uint64_t wall)
{
    uint8_t now[MESSAGE_TIMESTAMP_SIZE];
    uint32_t at = place_of(s, key);
    timestamp_make(now, wall);
    if (wall < PLAUSIBLE_FROM || at == s->count || !is_of(&s->records[at], key) ||
        memcmp(s->records[at].timestamp, now, sizeof(now)) <= 0)
        return;
    memcpy(s->records[at].timestamp, now, sizeof(now));
    s->suspect = true;
}

struct rewriting {
    const struct seen *s;
    uint32_t at;
};

static int next_record(void *context, uint8_t *out)
{
    struct rewriting *r = context;
    if (r->at == r->s->count)
        return -1;
    memcpy(out, &r->s->records[r->at++], sizeof(struct record));
    return (int)sizeof(struct record);
}

/* All that is known, in a new file. */
static int rewrite(struct seen *s)
{
    struct rewriting r = {.s = s};
    int error = files_log_rewrite(s->log, next_record, &r);
    if (error != 0)
        return error;
    s->logged = s->count;
    s->noted_count = 0;
    s->suspect = false;
    return 0;
}

static int append_noted(struct seen *s)
{
    uint64_t before = files_log_size(s->log);
    int error = 0;
    for (uint32_t i = 0; i < s->noted_count && error == 0; i++)
        error = files_log_append(s->log, &s->noted[i], sizeof(s->noted[i]));
    if (error == 0)
        error = files_log_sync(s->log);
    if (error != 0) {
        s->suspect = files_log_truncate(s->log, before) != 0;
        return error;
    }
    s->logged += s->noted_count;
    s->noted_count = 0;
    return 0;
}

int seen_commit(struct seen *s)
{
    if (s->suspect)
        return rewrite(s);
    if (s->noted_count == 0)
        return 0;
    int error = append_noted(s);
    if (error == 0 && s->logged > 2 * (uint64_t)s->count + COMPACT_SLACK)
        error = rewrite(s);
    return error;
}

int own_time_open(struct own_time *t, const struct files *f)
{
    uint8_t bytes[8];
    size_t len;
    *t = (struct own_time){.files = *f};
    int error = files_read(f, FLOOR_NAME, bytes, sizeof(bytes), &len);
    if (error == ERROR_NOT_FOUND)
        return 0;
    if (error != 0)
        return error;
    if (len != sizeof(bytes))
        return ERROR_MALFORMED;
    t->last = t->durable = get_be64(bytes);
    return 0;
}

static int keep_floor(struct own_time *t)
{
    uint8_t bytes[8];
    uint64_t floor = t->last + FLOOR_AHEAD;
    put_be64(bytes, floor);
    int error = files_write(&t->files, FLOOR_NAME, bytes, sizeof(bytes));
    if (error == 0)
        t->durable = floor;
    return error;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The clock and our last initiation are so far apart that peers take no account of one of them: either the clock is
 * wrong or it was. */
static bool is_doubtful(const struct own_time *t, uint64_t wall)
{
    return t->last != 0 && (wall > t->last + DOUBTFUL || (wall >= PLAUSIBLE_FROM && t->last > wall + DAY));
}

int own_time_next(struct own_time *t, uint64_t wall, uint32_t index, uint8_t out[MESSAGE_TIMESTAMP_SIZE])
{
    uint64_t coarse = wall & ~(TIMESTAMP_STEP - 1);
    bool doubtful = is_doubtful(t, wall);
    /* Parity of this kind shares no rhythm with peers that are tried in turn. */
    if (doubtful && __builtin_parity(t->doubts++)) {
        t->by_clock = later(coarse, t->by_clock + 1);
        t->doubted = index;
        timestamp_make(out, t->by_clock);
        return 0;
    }
    t->last = doubtful ? t->last + 1 : later(coarse, t->last + 1);
    timestamp_make(out, t->last);
    return t->last > t->durable ? keep_floor(t) : 0;
}

void own_time_answered(struct own_time *t, uint32_t index)
{
    if (t->by_clock != 0 && index == t->doubted)
        t->last = later(t->last, t->by_clock);
}
