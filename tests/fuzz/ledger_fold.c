#include <string.h>

#include "base/bytes.h"
#include "ledger/fold.h"

#include "fuzz.h"

/* The input is a saved fold, or nothing (length 0), and then statements, each behind its length; lengths are 4 and 2
 * bytes, big-endian. */

/* As if all signatures were right: what stands may be anything that is entitled. */
static void say(struct crypto *c, struct fold *f, const uint8_t *bytes, size_t len)
{
    struct statement s;
    enum fold_verdict verdict;
    uint64_t time = fold_head(f)->time;
    if (statement_decode(c, &s, bytes, len))
        return;
    if (fold_head(f)->index != UINT64_MAX && (s.kind == STATEMENT_REVOKE || s.kind == STATEMENT_ISOLATE))
        must(fold_take_away(f, &s, &verdict) == 0);
    if (fold_apply_trusted(f, &s, time, VERDICT_STANDS) && fold_head(f)->index != UINT64_MAX)
        must(fold_apply_trusted(f, &s, time, VERDICT_MALFORMED) == 0);
    (void)fold_replaces(f, &s);
}

/* Saving, loading and saving gives the same bytes and the same root. */
static void must_be_saved_the_same(struct crypto *c, const struct fold *f)
{
    int64_t size = fold_save(f, NULL, 0);
    must(size > 0);
    uint8_t *bytes = malloc((size_t)size), *twice = malloc((size_t)size), a[SHA256_SIZE], b[SHA256_SIZE];
    struct fold *again;
    must(bytes && twice);
    must(fold_save(f, bytes, (size_t)size) == size);
    must(fold_load(&again, c, bytes, (size_t)size) == 0);
    must(fold_save(again, twice, (size_t)size) == size);
    must(memcmp(bytes, twice, (size_t)size) == 0);
    fold_root(f, a);
    fold_root(again, b);
    must(memcmp(a, b, SHA256_SIZE) == 0);
    fold_free(again);
    free(bytes);
    free(twice);
}

static void must_be_consistent(const struct fold *f)
{
    uint8_t hash[SHA256_SIZE];
    for (uint32_t i = 0; i < fold_device_count(f); i++) {
        const struct fold_device *d = fold_device_at(f, i);
        must(fold_device_by_id(f, &d->id) == d);
        must(fold_device_by_invite_static_key(f, d->terms.static_public) == d);
        must(fold_isolations(f, &d->id, &hash, 1) == d->isolate_count);
        must(!fold_device_is_live(f, d) || fold_device_by_static_key(f, d->static_public) == d);
        must(!fold_invite_is_open(f, d, 0) || !fold_device_is_live(f, d));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crypto *c;
    struct fold *f;
    if (!c)
        must(crypto_new(&c, CRYPTO_BULK_OPENSSL) == 0);
    if (size < 4)
        return 0;
    size_t len = get_be32(data);
    data += 4;
    size -= 4;
    if (len > size || (len > 0 ? fold_load(&f, c, data, len) : fold_new(&f, c)))
        return 0;
    if (len > 0)
        must(fold_save(f, NULL, 0) == (int64_t)len);
    data += len;
    size -= len;
    while (size >= 2) {
        len = get_be16(data);
        data += 2;
        size -= 2;
        len = len < size ? len : size;
        say(c, f, data, len);
        data += len;
        size -= len;
    }
    if (fold_head(f)->index != UINT64_MAX) {
        must_be_consistent(f);
        must_be_saved_the_same(c, f);
    }
    fold_free(f);
    return 0;
}
