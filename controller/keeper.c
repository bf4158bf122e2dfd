#include "keeper.h"

#include <stdlib.h>

#include "store.h"
#include "wire/cbor.h"

struct keeper {
    struct store *store;
    struct sequencer *sequencer;
    struct keeper_ops ops;
};

static int keep(void *context, const struct sequencer_entry *entry)
{
    struct keeper *k = context;
    return store_append(k->store, entry);
}

static void send_on(void *context, const uint8_t *frame, size_t len)
{
    struct keeper *k = context;
    if (k->ops.send)
        k->ops.send(k->ops.context, frame, len);
}

static void tell(void *context, const uint8_t statement[SHA256_SIZE], enum fold_verdict verdict, uint64_t index)
{
    struct keeper *k = context;
    if (k->ops.judged)
        k->ops.judged(k->ops.context, statement, verdict, index);
}

static int restore(void *context, const struct sequencer_entry *entry)
{
    struct keeper *k = context;
    return sequencer_restore(k->sequencer, entry);
}

int keeper_open(struct keeper **out, struct crypto *c, const struct keeper_ops *ops,
                const uint8_t seed[ED25519_SEED_SIZE], const char *path, const char *vfs)
{
    struct keeper *k = calloc(1, sizeof(*k));
    if (!k)
        return ERROR_MEMORY;
    k->ops = *ops;
    struct sequencer_ops sequencer = {.send = send_on, .store = keep, .judged = tell, .context = k};
    int error = sequencer_new(&k->sequencer, c, &sequencer, seed);
    if (!error)
        error = store_open(&k->store, path, vfs);
    if (!error)
        error = store_restore(k->store, restore, k);
    if (error) {
        keeper_close(k);
        return error;
    }
    *out = k;
    return 0;
}

void keeper_close(struct keeper *k)
{
    if (!k)
        return;
    sequencer_free(k->sequencer);
    store_close(k->store);
    free(k);
}

struct sequencer *keeper_sequencer(struct keeper *k)
{
    return k->sequencer;
}

/* The next item of an array, whole. */
static struct frame_view next_item(struct cursor *c)
{
    const uint8_t *from = c->at;
    cbor_skip(c);
    return (struct frame_view){from, (size_t)(c->at - from)};
}

int keeper_found(struct keeper *k, const uint8_t *bytes, size_t len, enum fold_verdict *verdict)
{
    struct blob_reader entries, openings;
    int error = cbor_check(bytes, len);
    if (error)
        return error;
    struct cursor c = cursor_reading(bytes, len);
    if (cbor_get_array(&c) != 2)
        return ERROR_MALFORMED;
    struct frame_view first = next_item(&c), second = next_item(&c);
    error = cursor_finish(&c);
    if (!error)
        error = blob_read_entries(&entries, first.bytes, first.len);
    if (!error)
        error = blob_read_openings(&openings, second.bytes, second.len);
    return error ? error : sequencer_found(k->sequencer, entries, openings, verdict);
}
