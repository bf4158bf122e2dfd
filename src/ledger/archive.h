/* The whole of a ledger in memory: every entry in order, and every opening, in order of the entry that first committed
 * to it. */
#ifndef LEDGER_ARCHIVE_H
#define LEDGER_ARCHIVE_H

#include "ledger/blob.h"
#include "ledger/digest_map.h"
#include "wire/frame.h"

#define ARCHIVE_NONE UINT64_MAX

struct archive {
    struct archive_entry *entries; /* owned, with their bytes */
    uint32_t entry_count, entry_capacity;
    struct archive_opening *openings;
    uint32_t opening_count, opening_capacity;
    struct digest_map by_hash;       /* entries by their statement's hash */
    struct digest_map by_commitment; /* openings */
};
struct archive_entry {
    uint64_t time;
    uint8_t *bytes;
    size_t len;
};
struct archive_opening {
    uint64_t index; /* of the entry */
    uint8_t *bytes;
    size_t len;
};

/* Starts from all zero. */
void archive_clear(struct archive *a);
/* ERROR_MEMORY; copies. */
must_check int archive_add(struct archive *a, uint64_t time, const uint8_t hash[SHA256_SIZE],
                           struct frame_view statement);
/* One that the entry `index` commits to; one that is held already is passed over. */
must_check int archive_add_opening(struct archive *a, uint64_t index, const uint8_t commitment[SHA256_SIZE],
                                   struct frame_view bytes);
/* ARCHIVE_NONE: not there. */
uint64_t archive_find(const struct archive *a, const uint8_t statement[SHA256_SIZE]);
/* False: not held. Borrowed until the archive changes. */
bool archive_opening(const struct archive *a, const uint8_t commitment[SHA256_SIZE], struct frame_view *out);

/* Blobs as ledger/blob.h has them, to be freed by the caller; from <= to < entry_count. ERROR_MEMORY; ERROR_OVERFLOW:
 * more than SYNC_BLOB_MAX bytes. */
must_check int archive_ledger_blob(const struct archive *a, uint64_t from, uint64_t to, uint8_t **out, size_t *len);
must_check int archive_openings_blob(const struct archive *a, uint64_t from, uint64_t to, uint8_t **out, size_t *len);

#endif
