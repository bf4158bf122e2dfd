#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/names.h"

/* A seed's own sequence (xorshift64), so that a failure comes again. */
static uint64_t dice;

static int draw(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (int)(dice >> 33);
}

static void names_are_lower_case_with_inner_hyphens(void **state)
{
    (void)state;
    const char *good[] = {"a", "0", "pump-1", "x--y",
                          "a23456789012345678901234567890123456789012345678901234567890123"};
    const char *bad[] = {"",    "-a",  "a-", "A",
                         "a_b", "a.b", "a*", "a234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(name_is_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(name_is_valid(bad[i], strlen(bad[i])));
    assert_false(name_is_valid("a\0b", 3));
}

static void an_address_is_printed_in_its_one_form(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"203.0.113.5:51820", "203.0.113.5:51820"},
        {"[2001:db8::1]:51820", "[2001:db8::1]:51820"},
        {"[2001:DB8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1"},
        {"[::1]:65535", "[::1]:65535"},
        {"[1::]:9", "[1::]:9"},
        {"[2001:0db8:0000:1:2:3:4:5]:9", "[2001:db8:0:1:2:3:4:5]:9"},
        {"[1:0:0:2:0:0:0:3]:9", "[1:0:0:2::3]:9"},
        {"[fe80:1111:2222:3333:4444:5555:6666:7777]:65535", "[fe80:1111:2222:3333:4444:5555:6666:7777]:65535"},
        {"[1:2:3:4:5:6:7::]:9", "[1:2:3:4:5:6:7:0]:9"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct underlay u;
        char text[UNDERLAY_TEXT_MAX];
        assert_true(underlay_parse(&u, pairs[i][0]));
        underlay_print(&u, text);
        assert_string_equal(text, pairs[i][1]);
    }
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ":",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        "1.2.3.4:99999999999",
        "1.2.3.4:1 ",
        "1.2.3.4:01",
        "01.2.3.4:1",
        "1.2.3:1",
        "1.2.3.256:1",
        "1.2.3.4.5:1",
        "hub.example:1",
        "::1:1",
        "[::1]",
        "[::1:1",
        "[]:1",
        "[:]:1",
        "[1:2:3:4:5:6:7]:1",
        "[1:2:3:4:5:6:7:8:9]:1",
        "[1:2:3:4:5:6:7:8::]:1",
        "[::1:2:3:4:5:6:7:8]:1",
        "[1::2::3]:1",
        "[:::]:1",
        "[1:]:1",
        "[:1::]:1",
        "[1::2:]:1",
        "[12345::]:1",
        "[g::]:1",
        "[fe80::1%eth0]:1",
        "[::ffff:1.2.3.4]:1",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct underlay u;
        if (underlay_parse(&u, bad[i]))
            fail_msg("accepted %s", bad[i]);
    }
}

static void what_nobody_can_send_to_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"0.0.0.0:1", "224.0.0.1:1", "239.255.255.255:1", "255.255.255.255:1",
                                      "[::]:1",    "[ff02::1]:1", "[::ffff:102:304]:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct underlay u;
        if (underlay_parse(&u, bad[i]))
            fail_msg("accepted %s", bad[i]);
    }
}

/* The C library's inet_ntop and inet_pton are the judges. */
static void the_c_library_reads_and_writes_the_same(void **state)
{
    (void)state;
    dice = 1;
    for (int round = 0; round < 20000; round++) {
        struct underlay u = {.family = 6, .port = (uint16_t)(draw() % 65535 + 1)}, again;
        for (int i = 0; i < 16; i += 2)
            if (draw() % 2)
                u.address[i + 1] = (uint8_t)draw(), u.address[i] = draw() % 3 ? (uint8_t)draw() : 0;
        u.address[0] = 0x20;
        char text[UNDERLAY_TEXT_MAX], theirs[INET6_ADDRSTRLEN], expected[80];
        inet_ntop(AF_INET6, u.address, theirs, sizeof(theirs));
        snprintf(expected, sizeof(expected), "[%s]:%u", theirs, u.port);
        underlay_print(&u, text);
        assert_string_equal(text, expected);
        assert_true(underlay_parse(&again, text));
        assert_memory_equal(&again, &u, sizeof(u));
    }
}

static void any_piece_of_text_is_read_as_the_c_library_reads_it(void **state)
{
    (void)state;
    dice = 2;
    for (int round = 0; round < 200000; round++) {
        char address[24], text[40];
        int len = draw() % 20;
        for (int i = 0; i < len; i++)
            address[i] = "::::012aF"[draw() % 9];
        address[len] = 0;
        snprintf(text, sizeof(text), "[%s]:7", address);
        struct underlay u;
        uint8_t theirs[16];
        bool valid =
            inet_pton(AF_INET6, address, theirs) == 1 && memcmp(theirs, (uint8_t[16]){0}, 16) != 0 && theirs[0] != 0xff;
        if (underlay_parse(&u, text) != valid)
            fail_msg("%s", text);
        if (valid)
            assert_memory_equal(u.address, theirs, 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_lower_case_with_inner_hyphens),
        cmocka_unit_test(an_address_is_printed_in_its_one_form),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(what_nobody_can_send_to_is_refused),
        cmocka_unit_test(the_c_library_reads_and_writes_the_same),
        cmocka_unit_test(any_piece_of_text_is_read_as_the_c_library_reads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
