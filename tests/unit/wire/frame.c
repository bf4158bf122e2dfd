#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "wire/frame.h"

static uint8_t head_bytes[FRAME_SIGNED_HEAD_SIZE];
static uint8_t blob[FRAME_PART_MAX + 1];

static struct frame_view view(const void *bytes, size_t len)
{
    return (struct frame_view){.bytes = bytes, .len = len};
}

static struct frame_view a_head(void)
{
    memset(head_bytes, 0x5a, sizeof(head_bytes));
    return view(head_bytes, sizeof(head_bytes));
}

static struct frame an_introduction(enum introduce_stage stage)
{
    struct frame f = {.kind = FRAME_INTRODUCE, .introduce = {.number = 77, .stage = stage, .has_device = true}};
    memset(f.introduce.device, 0xd1, sizeof(f.introduce.device));
    return f;
}

static struct frame a_part(uint64_t offset, size_t len, uint64_t total)
{
    return (struct frame){.kind = FRAME_PART,
                          .part = {.what = SYNC_LEDGER,
                                   .from = 3,
                                   .to = 9,
                                   .offset = offset,
                                   .total = total,
                                   .bytes = view(len > 0 ? blob : NULL, len)}};
}

/* Two candidates, and the first of them alone. */
static const uint8_t two_candidates[] = "\4\xc6\x33\x64\7\x1f\x90\6\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\7";
#define TWO view(two_candidates, 26)
#define ONE view(two_candidates, 7)
#define GATE view(blob, FRAME_GATE_SIZE)

/* One of each kind and form, as many as fit. */
#define SAMPLES_MAX 40
static size_t samples(struct frame out[SAMPLES_MAX])
{
    size_t n = 0;
    out[n++] = (struct frame){.kind = FRAME_HELLO, .hello = {.version_min = 1, .version_max = 1, .aeads = 3, .run = 9}};
    out[n++] = (struct frame){.kind = FRAME_HELLO,
                              .hello = {.version_min = 1,
                                        .version_max = 70000,
                                        .aeads = 1,
                                        .features = UINT64_MAX,
                                        .head = a_head(),
                                        .run = UINT64_MAX}};
    out[n++] = an_introduction(INTRODUCE_ASK);
    out[n] = an_introduction(INTRODUCE_ASK);
    out[n].introduce.has_device = false;
    memset(out[n].introduce.device, 0, sizeof(out[n].introduce.device));
    out[n + 1] = out[n];
    out[n + 2] = out[n];
    out[n++].introduce.address = view("\x64\x40\x01\x02", 4);
    out[n++].introduce.address = view("\xfd\1\2\3\4\5\6\7\0\1\2\3\4\5\6\7", 16);
    out[n++].introduce.name = view("pump-1", 6);
    out[n++] = an_introduction(INTRODUCE_TELL);
    out[n] = an_introduction(INTRODUCE_TELL);
    out[n].introduce.opening = view(blob, 300);
    out[n++].introduce.head = a_head();
    out[n++] = an_introduction(INTRODUCE_ACKNOWLEDGE);
    out[n] = an_introduction(INTRODUCE_ANSWER);
    out[n].introduce.has_device = false;
    memset(out[n++].introduce.device, 0, FRAME_DEVICE_ID_SIZE);
    out[n] = an_introduction(INTRODUCE_ANSWER);
    out[n].introduce.opening = view(blob, 200);
    out[n].introduce.head = a_head();
    out[n++].introduce.result = INTRODUCE_HERE;
    out[n] = an_introduction(INTRODUCE_ANSWER);
    out[n++].introduce.result = INTRODUCE_ELSEWHERE;
    out[n++] = (struct frame){.kind = FRAME_PROBE, .probe = {1, UINT64_MAX}};
    out[n++] = (struct frame){.kind = FRAME_ANSWER, .probe = {0, 0}};
    out[n++] = (struct frame){.kind = FRAME_GET, .get = {.what = SYNC_FOLD, .from = 0, .to = UINT64_MAX}};
    out[n] = (struct frame){.kind = FRAME_GET, .get = {.what = SYNC_OFFER, .offset = 2048}};
    memset(out[n++].get.hash, 7, FRAME_HASH_SIZE);
    out[n++] = a_part(0, FRAME_PART_MAX, 4000);
    out[n++] = a_part(3072, 928, 4000);
    out[n++] = a_part(4000, 0, 4000);
    out[n++] = a_part(0, 0, 0);
    out[n] = a_part(UINT64_MAX - FRAME_PART_MAX, FRAME_PART_MAX, UINT64_MAX);
    out[n].part.from = out[n].part.to = UINT64_MAX;
    out[n].part.what = SYNC_OFFER;
    memset(out[n++].part.hash, 8, FRAME_HASH_SIZE);
    out[n++] = (struct frame){.kind = FRAME_JOIN, .join = {view(blob, 250)}};
    out[n] = (struct frame){.kind = FRAME_JOINED, .joined = {.verdict = 3, .index = 12, .head = a_head()}};
    memset(out[n++].joined.statement, 9, FRAME_HASH_SIZE);
    out[n++] = (struct frame){.kind = FRAME_JOINED, .joined = {.verdict = 0}};
    out[n++] = (struct frame){.kind = FRAME_STATEMENT, .statement = {.total = 90000}};
    out[n++] = (struct frame){.kind = FRAME_STATEMENT, .statement = {.total = 1024, .bytes = view(blob, 1024)}};
    out[n++] = (struct frame){.kind = FRAME_NOTICE, .notice = {a_head()}};
    out[n++] = (struct frame){.kind = FRAME_SIGN_OFF};
    out[n] = (struct frame){.kind = FRAME_HELLO, .hello = {.version_min = 1, .version_max = 1, .aeads = 3, .run = 9}};
    out[n].hello.gate = GATE;
    out[n++].hello.observed = ONE;
    out[n] = an_introduction(INTRODUCE_TELL);
    out[n].introduce.gate = GATE;
    out[n++].introduce.candidates = TWO;
    out[n] = an_introduction(INTRODUCE_ANSWER);
    out[n].introduce.result = INTRODUCE_HERE;
    out[n++].introduce.candidates = ONE;
    out[n++] = (struct frame){.kind = FRAME_CANDIDATES, .candidates = {TWO}};
    out[n++] = (struct frame){.kind = FRAME_CANDIDATES};
    return n;
}

/* In memory of exactly that size, so that ASan sees a byte too many. */
static int decode(struct frame *out, const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len > 0 ? len : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, len);
    int error = frame_decode(out, exact, len);
    free(exact);
    return error;
}

static void what_is_written_is_read_and_written_the_same(void **state)
{
    (void)state;
    struct frame all[SAMPLES_MAX], read;
    uint8_t first[FRAME_MAX], second[FRAME_MAX];
    for (size_t i = 0, count = samples(all); i < count; i++) {
        int len = frame_encode(&all[i], first, sizeof(first));
        if (len <= 0)
            fail_msg("sample %zu: %d", i, len);
        assert_int_equal(frame_decode(&read, first, (size_t)len), 0);
        assert_int_equal(read.kind, all[i].kind);
        assert_int_equal(frame_encode(&read, second, sizeof(second)), len);
        assert_memory_equal(first, second, (size_t)len);
    }
}

static void fields_arrive_where_they_belong(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_MAX];
    struct frame f = an_introduction(INTRODUCE_ANSWER), out;
    f.introduce.result = INTRODUCE_HERE;
    f.introduce.opening = view("opening", 7);
    f.introduce.head = a_head();
    int len = frame_encode(&f, bytes, sizeof(bytes));
    assert_int_equal(frame_decode(&out, bytes, (size_t)len), 0);
    assert_int_equal(out.introduce.number, 77);
    assert_int_equal(out.introduce.stage, INTRODUCE_ANSWER);
    assert_int_equal(out.introduce.result, INTRODUCE_HERE);
    assert_true(out.introduce.has_device);
    assert_memory_equal(out.introduce.device, f.introduce.device, FRAME_DEVICE_ID_SIZE);
    assert_int_equal(out.introduce.opening.len, 7);
    assert_memory_equal(out.introduce.opening.bytes, "opening", 7);
    assert_memory_equal(out.introduce.head.bytes, head_bytes, sizeof(head_bytes));
    assert_int_equal(out.introduce.address.len, 0);
}

static void the_bytes_are_these(void **state)
{
    (void)state;
    static const uint8_t probe[] = {4, 0xa2, 1, 0x18, 0x20, 2, 0x19, 1, 0};
    static const uint8_t hello[] = {1, 0xa5, 1, 1, 2, 1, 3, 3, 4, 0, 6, 9};
    static const uint8_t refusal[] = {2, 0xa2, 1, 5, 2, 3};
    uint8_t out[FRAME_MAX];
    struct frame f = {.kind = FRAME_PROBE, .probe = {32, 256}};
    assert_int_equal(frame_encode(&f, out, sizeof(out)), sizeof(probe));
    assert_memory_equal(out, probe, sizeof(probe));
    f = (struct frame){.kind = FRAME_HELLO, .hello = {.version_min = 1, .version_max = 1, .aeads = 3, .run = 9}};
    assert_int_equal(frame_encode(&f, out, sizeof(out)), sizeof(hello));
    assert_memory_equal(out, hello, sizeof(hello));
    f = (struct frame){.kind = FRAME_INTRODUCE, .introduce = {.number = 5, .stage = INTRODUCE_ANSWER}};
    assert_int_equal(frame_encode(&f, out, sizeof(out)), sizeof(refusal));
    assert_memory_equal(out, refusal, sizeof(refusal));
    static const uint8_t one[] = {3, 0xa1, 1, 0x47, 4, 0xc6, 0x33, 0x64, 7, 0x1f, 0x90};
    f = (struct frame){.kind = FRAME_CANDIDATES, .candidates = {ONE}};
    assert_int_equal(frame_encode(&f, out, sizeof(out)), sizeof(one));
    assert_memory_equal(out, one, sizeof(one));
}

static void a_frame_cut_short_is_malformed(void **state)
{
    (void)state;
    struct frame all[SAMPLES_MAX], out;
    uint8_t bytes[FRAME_MAX];
    for (size_t i = 0, count = samples(all); i < count; i++) {
        int len = frame_encode(&all[i], bytes, sizeof(bytes));
        for (size_t cut = 0; cut < (size_t)len; cut++)
            assert_int_equal(decode(&out, bytes, cut), ERROR_MALFORMED);
    }
}

static void too_little_room_overflows(void **state)
{
    (void)state;
    struct frame all[SAMPLES_MAX];
    uint8_t bytes[FRAME_MAX];
    for (size_t i = 0, count = samples(all); i < count; i++) {
        int len = frame_encode(&all[i], bytes, sizeof(bytes));
        for (size_t room = 0; room < (size_t)len; room++)
            assert_int_equal(frame_encode(&all[i], bytes, room), ERROR_OVERFLOW);
    }
    struct frame big = an_introduction(INTRODUCE_TELL);
    static uint8_t opening[FRAME_MAX];
    big.introduce.opening = view(opening, sizeof(opening));
    assert_int_equal(frame_encode(&big, bytes, sizeof(bytes)), ERROR_OVERFLOW);
}

static void padding_is_zero_and_at_most_fifteen_bytes(void **state)
{
    (void)state;
    uint8_t bytes[FRAME_MAX] = {0};
    struct frame f = {.kind = FRAME_PROBE, .probe = {1, 2}}, out;
    size_t len = (size_t)frame_encode(&f, bytes, sizeof(bytes));
    for (size_t padding = 0; padding <= 15; padding++)
        assert_int_equal(decode(&out, bytes, len + padding), 0);
    assert_int_equal(decode(&out, bytes, len + 16), ERROR_MALFORMED);
    bytes[len + 3] = 1;
    assert_int_equal(decode(&out, bytes, len + 3), 0);
    assert_int_equal(decode(&out, bytes, len + 4), ERROR_MALFORMED);
    assert_int_equal(decode(&out, bytes, len + 15), ERROR_MALFORMED);
}

static void unknown_kinds_are_told_apart_from_malformed_ones(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {0, FRAME_RELAYED, 14, 15};
    struct frame out;
    for (size_t i = 0; i < sizeof(unknown); i++) {
        const uint8_t bytes[] = {unknown[i], 0xa0};
        assert_int_equal(decode(&out, bytes, sizeof(bytes)), ERROR_UNSUPPORTED);
    }
    assert_int_equal(decode(&out, (const uint8_t *)"\x45\xa0", 2), ERROR_MALFORMED);
    assert_int_equal(decode(&out, (const uint8_t *)"", 0), ERROR_MALFORMED);
}

static void unknown_keys_are_passed_over(void **state)
{
    (void)state;
    /* a probe with key 0, key 9 (an array), and a text key */
    static const uint8_t bytes[] = {4, 0xa5, 0, 0xf6, 1, 7, 2, 8, 9, 0x82, 1, 0x41, 2, 0x61, 'x', 0xf5};
    struct frame out;
    assert_int_equal(decode(&out, bytes, sizeof(bytes)), 0);
    assert_int_equal(out.probe.number, 7);
    assert_int_equal(out.probe.time, 8);
}

struct bad {
    const char *why;
    const char *bytes;
    size_t len;
};
#define BAD(why_, literal)                                            \
    {                                                                 \
        .why = (why_), .bytes = (literal), .len = sizeof(literal) - 1 \
    }

static const struct bad bad_frames[] = {
    BAD("no item", "\x04"),
    BAD("not a map", "\x04\x82\x01\x02"),
    BAD("a field missing", "\x04\xa1\x01\x02"),
    BAD("the first field missing", "\x04\xa1\x02\x02"),
    BAD("keys out of order", "\x04\xa2\x02\x01\x01\x01"),
    BAD("a key twice", "\x04\xa2\x01\x01\x01\x01"),
    BAD("a number that is text", "\x04\xa2\x01\x61\x31\x02\x01"),
    BAD("a longer form than needed", "\x04\xa2\x01\x18\x01\x02\x01"),
    BAD("an indefinite map", "\x04\xbf\x01\x01\x02\x01\xff"),
    BAD("two items", "\x04\xa2\x01\x01\x02\x01\xa0"),
    BAD("version 0", "\x01\xa5\x01\x00\x02\x01\x03\x00\x04\x00\x06\x00"),
    BAD("versions the wrong way round", "\x01\xa5\x01\x02\x02\x01\x03\x00\x04\x00\x06\x00"),
    BAD("a short head", "\x01\xa6\x01\x01\x02\x01\x03\x00\x04\x00\x05\x41\x00\x06\x00"),
    BAD("an empty head", "\x01\xa6\x01\x01\x02\x01\x03\x00\x04\x00\x05\x40\x06\x00"),
    BAD("an unknown stage", "\x02\xa2\x01\x01\x02\x04"),
    BAD("ask for nobody", "\x02\xa2\x01\x01\x02\x00"),
    BAD("ask by an address of five bytes", "\x02\xa3\x01\x01\x02\x00\x04\x45\x01\x02\x03\x04\x05"),
    BAD("ask by address and name", "\x02\xa4\x01\x01\x02\x00\x04\x44\x01\x02\x03\x04\x05\x61\x61"),
    BAD("ask by what is no name", "\x02\xa3\x01\x01\x02\x00\x05\x62-a"),
    BAD("ask with a result", "\x02\xa4\x01\x01\x02\x00\x05\x61\x61\x06\x01"),
    BAD("tell of nobody", "\x02\xa2\x01\x01\x02\x01"),
    BAD("tell by name", "\x02\xa3\x01\x01\x02\x01\x05\x61\x61"),
    BAD("acknowledge nobody", "\x02\xa2\x01\x01\x02\x02"),
    BAD("here, but who", "\x02\xa3\x01\x01\x02\x03\x06\x01"),
    BAD("an explicit no", "\x02\xa3\x01\x01\x02\x03\x06\x00"),
    BAD("a device of zeroes", "\x02\xa3\x01\x01\x02\x00\x03\x50\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    BAD("a short device", "\x02\xa3\x01\x01\x02\x00\x03\x4f\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"),
    BAD("get of nothing that there is", "\x06\xa4\x01\x00\x02\x00\x03\x00\x05\x00"),
    BAD("get of an offer without its hash", "\x06\xa4\x01\x04\x02\x00\x03\x00\x05\x00"),
    BAD("get from after to", "\x06\xa4\x01\x01\x02\x02\x03\x01\x05\x00"),
    BAD("a part of nothing", "\x07\xa6\x01\x01\x02\x00\x03\x00\x05\x00\x06\x00\x07\x41\x01"),
    BAD("a part beyond the end", "\x07\xa6\x01\x01\x02\x00\x03\x00\x05\x02\x06\x02\x07\x41\x01"),
    BAD("an offset beyond the end", "\x07\xa5\x01\x01\x02\x00\x03\x00\x05\x03\x06\x02"),
    BAD("a small part in the middle", "\x07\xa6\x01\x01\x02\x00\x03\x00\x05\x00\x06\x02\x07\x41\x01"),
    BAD("an empty join", "\x08\xa1\x01\x40"),
    BAD("a notice without a head", "\x0b\xa0"),
    BAD("a short gate", "\x01\xa6\x01\x01\x02\x01\x03\x00\x04\x00\x06\x00\x07\x41\x01"),
    BAD("observed in two places", "\x01\xa6\x01\x01\x02\x01\x03\x00\x04\x00\x06\x00"
                                  "\x08\x4e\x04\x0a\0\0\1\0\7\x04\x0a\0\0\2\0\7"),
    BAD("an explicit empty list", "\x03\xa1\x01\x40"),
    BAD("a candidate cut short", "\x03\xa1\x01\x46\x04\x0a\0\0\1\0"),
    BAD("a candidate of no family", "\x03\xa1\x01\x47\x05\x0a\0\0\1\0\7"),
    BAD("port 0", "\x03\xa1\x01\x47\x04\x0a\0\0\1\0\0"),
    BAD("a candidate twice", "\x03\xa1\x01\x4e\x04\x0a\0\0\1\0\7\x04\x0a\0\0\1\0\7"),
    BAD("multicast", "\x03\xa1\x01\x47\x04\xe0\0\0\1\0\7"),
    BAD("broadcast", "\x03\xa1\x01\x47\x04\xff\xff\xff\xff\0\7"),
    BAD("loopback", "\x03\xa1\x01\x47\x04\x7f\0\0\1\0\7"),
    BAD("this network", "\x03\xa1\x01\x47\x04\0\0\0\1\0\7"),
    BAD("unspecified", "\x03\xa1\x01\x53\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7"),
    BAD("loopback of IPv6", "\x03\xa1\x01\x53\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\7"),
    BAD("multicast of IPv6", "\x03\xa1\x01\x53\x06\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\7"),
    BAD("mapped IPv4", "\x03\xa1\x01\x53\x06\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1\0\7"),
    BAD("link-local", "\x03\xa1\x01\x53\x06\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\7"),
    BAD("ask with candidates", "\x02\xa4\x01\x01\x02\x00\x05\x61\x61\x09\x47\x04\x0a\0\0\1\0\7"),
    BAD("no, with candidates", "\x02\xa3\x01\x01\x02\x03\x09\x47\x04\x0a\0\0\1\0\7"),
    BAD("no, with a gate", "\x02\xa3\x01\x01\x02\x03\x0a\x50\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"),
};

static void what_contradicts_itself_is_malformed(void **state)
{
    (void)state;
    struct frame out;
    for (size_t i = 0; i < sizeof(bad_frames) / sizeof(bad_frames[0]); i++)
        if (decode(&out, (const uint8_t *)bad_frames[i].bytes, bad_frames[i].len) != ERROR_MALFORMED)
            fail_msg("%s", bad_frames[i].why);
}

static void a_list_keeps_eight_that_can_be_sent_to_and_none_twice(void **state)
{
    (void)state;
    struct underlay all[24] = {{{0}, 0, 0}}, out[FRAME_CANDIDATES_MAX];
    uint8_t bytes[FRAME_CANDIDATES_SIZE];
    for (uint32_t n = 0; n < 24; n++) {
        all[n] = (struct underlay){.address = {10, 0, 0, (uint8_t)(n / 2)}, .port = 7, .family = 4};
        if (n % 4 == 3)
            all[n].address[0] = 127;
    }
    size_t len = frame_candidates_put(all, 24, bytes);
    assert_int_equal(frame_candidates_get(view(bytes, len), out), FRAME_CANDIDATES_MAX);
    for (uint32_t n = 0; n < FRAME_CANDIDATES_MAX; n++)
        assert_int_equal(out[n].address[3], n);
    for (uint32_t n = 0; n < 9; n++) {
        all[n] = (struct underlay){.address = {0xfd, [15] = (uint8_t)n}, .port = 7, .family = 6};
    }
    len = frame_candidates_put(all, 9, bytes);
    assert_int_equal(len, FRAME_CANDIDATES_SIZE);
    assert_int_equal(frame_candidates_get(view(bytes, len), out), FRAME_CANDIDATES_MAX);
    assert_int_equal(frame_candidates_put(all, 0, bytes), 0);
}

/* Nine of them, one more than a list may hold. */
static void a_list_that_is_too_long_is_malformed(void **state)
{
    (void)state;
    uint8_t bytes[9 * 7];
    struct underlay out[FRAME_CANDIDATES_MAX];
    for (uint8_t n = 0; n < 9; n++)
        memcpy(bytes + (size_t)n * 7, (const uint8_t[]){4, 10, 0, 0, n, 0, 7}, 7);
    assert_int_equal(frame_candidates_get(view(bytes, 56), out), 8);
    assert_int_equal(frame_candidates_get(view(bytes, 63), out), 0);
    assert_int_equal(frame_candidates_get(view(bytes, 55), out), 0);
    assert_int_equal(frame_candidates_get(view(bytes, 0), out), 0);
}

static void assert_refused(const struct frame *f)
{
    uint8_t bytes[FRAME_MAX];
    assert_int_equal(frame_encode(f, bytes, sizeof(bytes)), ERROR_INVALID);
}

static void what_could_not_be_read_is_not_written(void **state)
{
    (void)state;
    struct frame f = {.kind = FRAME_RELAYED};
    assert_refused(&f);
    f = an_introduction(INTRODUCE_ASK);
    f.introduce.name = view("a", 1);
    assert_refused(&f);
    f = an_introduction(INTRODUCE_ACKNOWLEDGE);
    f.introduce.has_device = false;
    assert_refused(&f);
    f = an_introduction((enum introduce_stage)4);
    assert_refused(&f);
    f = a_part(0, FRAME_PART_MAX + 1, 9000);
    assert_refused(&f);
    f = a_part(0, 5, 9000);
    assert_refused(&f);
    f = (struct frame){.kind = FRAME_STATEMENT, .statement = {.total = 9, .bytes = view(blob, 8)}};
    assert_refused(&f);
    f = (struct frame){.kind = FRAME_NOTICE, .notice = {view(blob, 3)}};
    assert_refused(&f);
    f = (struct frame){.kind = FRAME_GET, .get = {.what = SYNC_LEDGER, .from = 2, .to = 1}};
    assert_refused(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_and_written_the_same),
        cmocka_unit_test(fields_arrive_where_they_belong),
        cmocka_unit_test(the_bytes_are_these),
        cmocka_unit_test(a_frame_cut_short_is_malformed),
        cmocka_unit_test(too_little_room_overflows),
        cmocka_unit_test(padding_is_zero_and_at_most_fifteen_bytes),
        cmocka_unit_test(unknown_kinds_are_told_apart_from_malformed_ones),
        cmocka_unit_test(unknown_keys_are_passed_over),
        cmocka_unit_test(what_contradicts_itself_is_malformed),
        cmocka_unit_test(a_list_keeps_eight_that_can_be_sent_to_and_none_twice),
        cmocka_unit_test(a_list_that_is_too_long_is_malformed),
        cmocka_unit_test(what_could_not_be_read_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
