/* Memory that runs out, at every place where it can: what fails leaves the fold as it was. The linker puts the
 * allocator of this file in front (see meson.build). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "people.h"

#define OWNER 0
#define KEEPER 1
#define SEQUENCER 2
#define INVITES 100
#define DEVICES 200
#define NOW 2000

/* Allocations that still succeed; negative: all. */
static int budget = -1;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool is_refused(void)
{
    if (budget < 0)
        return false;
    return budget-- == 0 ? (budget = 0, true) : false;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size)
{
    return is_refused() ? NULL : __real_realloc(old, size);
}

struct saved {
    uint8_t *bytes;
    int64_t size;
};

static struct saved save(const struct fold *f)
{
    struct saved s = {.size = fold_save(f, NULL, 0)};
    if (s.size < 0)
        return s; /* empty */
    s.bytes = malloc((size_t)s.size);
    assert_int_equal(fold_save(f, s.bytes, (size_t)s.size), s.size);
    return s;
}

static void assert_as_before(const struct fold *f, const struct saved *before)
{
    struct saved now = save(f);
    assert_int_equal(now.size, before->size);
    if (now.size > 0)
        assert_memory_equal(now.bytes, before->bytes, now.size);
    free(now.bytes);
}

/* Applies with ever more memory, until there is enough. */
static void apply(struct fold *f, const struct statement *s)
{
    struct saved before = save(f);
    enum fold_verdict verdict;
    int error = ERROR_MEMORY;
    for (int allowed = 0; error; allowed++) {
        budget = allowed;
        error = fold_apply(f, s, NOW, &verdict);
        budget = -1;
        if (error) {
            assert_int_equal(error, ERROR_MEMORY);
            assert_as_before(f, &before);
        }
    }
    assert_int_equal(verdict, VERDICT_STANDS);
    free(before.bytes);
}

static void take_away(struct fold *f, const struct statement *s, const struct fold_device *d)
{
    enum fold_verdict verdict;
    int error = ERROR_MEMORY;
    for (int allowed = 0; error; allowed++) {
        budget = allowed;
        error = fold_take_away(f, s, &verdict);
        budget = -1;
        assert_int_equal(fold_device_is_live(f, d), error != 0);
    }
}

static void load(struct people *p, const struct fold *f)
{
    struct saved saved = save(f);
    struct fold *again;
    int error = ERROR_MEMORY;
    for (int allowed = 0; error; allowed++) {
        budget = allowed;
        error = fold_load(&again, p->c, saved.bytes, (size_t)saved.size);
        budget = -1;
        assert_true(error == 0 || error == ERROR_MEMORY);
    }
    assert_as_before(again, &saved);
    fold_free(again);
    free(saved.bytes);
}

static struct statement of(const struct fold *f, enum statement_kind kind)
{
    return (struct statement){.kind = kind, .network = *fold_network(f)};
}

/* Enough of them that every array grows more than once. */
static void members(struct people *p, struct fold *f, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct said said;
        struct statement s = of(f, STATEMENT_INVITE), j = of(f, STATEMENT_JOIN);
        memcpy(s.invite.signing_public, p->keys[INVITES + i], ED25519_PUBLIC_SIZE);
        static_key(s.invite.static_public, INVITES + i);
        s.invite.join_before = NOW;
        SAY(p, &said, &s, KEEPER);
        apply(f, &said.s);
        memcpy(j.join.invite, said.s.hash, SHA256_SIZE);
        memcpy(j.join.signing_public, p->keys[DEVICES + i], ED25519_PUBLIC_SIZE);
        static_key(j.join.static_public, DEVICES + i);
        SAY(p, &said, &j, INVITES + i, DEVICES + i);
        apply(f, &said.s);
    }
}

static void policy(struct people *p, struct fold *f)
{
    static uint8_t changes[40 * POLICY_CHANGE_SIZE];
    struct statement s = of(f, STATEMENT_POLICY);
    struct said said;
    s.policy = (struct statement_policy){.version = 1, .change_count = 40, .changes = changes};
    for (uint8_t i = 0; i < 40; i++) {
        struct policy_change change = {.subject = {{i}}, .commitment = {i}};
        statement_policy_change_put(changes + (size_t)i * POLICY_CHANGE_SIZE, &change);
    }
    SAY(p, &said, &s, KEEPER);
    apply(f, &said.s);
}

static void isolations(struct people *p, struct fold *f)
{
    const struct fold_device *d = fold_device_at(f, 0);
    struct statement s = of(f, STATEMENT_ISOLATE);
    struct said said;
    memcpy(s.about.invite, d->invite, SHA256_SIZE);
    SAY(p, &said, &s, KEEPER);
    take_away(f, &said.s, d);
    for (uint8_t i = 1; i < 20; i++) {
        s.about.nonce[0] = i;
        SAY(p, &said, &s, KEEPER);
        apply(f, &said.s);
    }
}

static void what_fails_for_lack_of_memory_changes_nothing(void **state)
{
    (void)state;
    struct people *p = people_new();
    struct fold *f = NULL;
    struct said said;
    struct statement s = simple_root(p, OWNER, KEEPER, SEQUENCER);
    for (int allowed = 0; allowed < 2; allowed++) {
        budget = allowed;
        int error = fold_new(&f, p->c);
        budget = -1;
        assert_int_equal(error, ERROR_MEMORY);
    }
    assert_int_equal(fold_new(&f, p->c), 0);
    SAY(p, &said, &s, OWNER);
    apply(f, &said.s);
    members(p, f, 40);
    policy(p, f);
    isolations(p, f);
    load(p, f);
    fold_free(f);
    people_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_fails_for_lack_of_memory_changes_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
