#include <string.h>

#include "../unit/ledger/founding.h"
#include "base/bytes.h"
#include "ledger/sequencer.h"

#include "fuzz.h"

/* The input is frames to a founded sequencer, each behind its length (2 bytes, big-endian) and a byte that says how
 * many seconds pass before it. The store keeps or refuses by the same byte. */

struct bench {
    uint64_t kept, told;
    bool full;
};

static int store(void *context, const struct sequencer_entry *entry)
{
    struct bench *b = context;
    if (b->full)
        return ERROR_NO_SPACE;
    must(entry->index == b->kept++);
    return 0;
}

/* Nothing is told to stand that was not kept. */
static void sent(void *context, const uint8_t *frame, size_t len)
{
    struct bench *b = context;
    struct frame f;
    must(frame_decode(&f, frame, len) == 0);
    if (f.kind == FRAME_JOINED && f.joined.verdict == VERDICT_STANDS)
        must(f.joined.index + 1 == b->kept);
    b->told++;
}

static void found(struct sequencer *s, const struct founding *f)
{
    const struct made *openings[FOUNDING_OPENINGS] = {&f->scope, &f->entries[1], &f->entries[3]};
    struct blob_writer entries = {0}, opened = {0};
    struct blob_reader entries_in, openings_in;
    enum fold_verdict verdict;
    blob_begin(&entries, FOUNDING_ENTRIES);
    for (int i = 0; i < FOUNDING_ENTRIES; i++)
        blob_put_entry(&entries, FOUNDING_TIME, (struct frame_view){f->entries[i].bytes, f->entries[i].len});
    blob_begin(&opened, FOUNDING_OPENINGS);
    for (int i = 0; i < FOUNDING_OPENINGS; i++)
        blob_put_opening(&opened, (struct frame_view){openings[i]->opening, openings[i]->opening_len});
    must(blob_read_entries(&entries_in, entries.bytes, entries.len) == 0);
    must(blob_read_openings(&openings_in, opened.bytes, opened.len) == 0);
    must(sequencer_found(s, entries_in, openings_in, &verdict) == 0 && verdict == VERDICT_STANDS);
    free(entries.bytes);
    free(opened.bytes);
}

static void run(struct sequencer *s, struct bench *b, struct cursor *c)
{
    uint64_t wall = FOUNDING_TIME, now = 1;
    while (cursor_left(c) >= 3) {
        uint8_t passes = cursor_get_u8(c);
        size_t len = cursor_get_be16(c);
        len = len < cursor_left(c) ? len : cursor_left(c);
        b->full = passes & 0x80;
        wall += passes & 0x7f;
        now += (passes & 0x7f) * UINT64_C(1000000000);
        must(sequencer_frame(s, cursor_get_view(c, len), len, wall, now) == 0);
        must(sequencer_timer(s, wall, now) == 0);
    }
    must(fold_head(sequencer_fold(s))->index + 1 == b->kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct founding f;
    static struct crypto *c;
    uint8_t seed[32];
    struct bench b = {0};
    struct sequencer *s;
    struct sequencer_ops ops = {.send = sent, .store = store, .context = &b};
    if (!c) {
        must(crypto_new(&c, CRYPTO_BULK_OPENSSL) == 0);
        founding_make(&f, c);
    }
    seed_of(seed, SEQUENCER);
    must(sequencer_new(&s, c, &ops, seed) == 0);
    found(s, &f);
    struct cursor in = cursor_reading(data, size);
    run(s, &b, &in);
    sequencer_free(s);
    return 0;
}
