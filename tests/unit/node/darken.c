#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "../../../node/darken.h"

static const char HASH[] = "0123456789abcdef";

static void make(char out[DARKEN_TEXT_MAX], const struct keep *keep)
{
    const struct darken d = {.hash = HASH, .tun = "nj0", .port = 51820, .keep = keep};
    assert_int_equal(darken_text(&d, out), 0);
}

static bool has(const char *text, const char *what)
{
    return strstr(text, what) != NULL;
}

static void the_table_is_replaced_at_once(void **state)
{
    (void)state;
    char text[DARKEN_TEXT_MAX];
    make(text, &(struct keep){0});
    assert_int_equal(strncmp(text, "add table inet nightjar_01234567\ndelete table inet nightjar_01234567\n", 69), 0);
    assert_true(has(text, "table inet nightjar_01234567 {\n"));
    assert_int_equal(undarken_text(HASH, text), 0);
    assert_string_equal(text, "add table inet nightjar_01234567\ndelete table inet nightjar_01234567\n");
}

static void all_but_what_is_kept_is_dropped_last(void **state)
{
    (void)state;
    char text[DARKEN_TEXT_MAX];
    struct keep keep = {.count = 2, .ports = {{false, 22}, {true, 53}}};
    make(text, &keep);
    assert_true(has(text, "iifname { \"lo\", \"nj0\" } accept"));
    assert_true(has(text, "udp dport 51820 accept"));
    assert_true(has(text, "tcp dport 22 accept"));
    assert_true(has(text, "udp dport 53 accept"));
    assert_true(strstr(text, "\n        drop\n") > strstr(text, "udp sport 547"));
    make(text, &(struct keep){0});
    assert_false(has(text, "tcp dport"));
}

static void our_own_port_is_not_tracked_and_forwarding_not_touched(void **state)
{
    (void)state;
    char text[DARKEN_TEXT_MAX];
    make(text, &(struct keep){0});
    assert_true(has(text, "fib daddr type local udp dport 51820 notrack"));
    assert_true(has(text, "udp sport 51820 notrack"));
    assert_false(has(text, "hook forward"));
}

static void as_many_ports_as_can_be_kept_fit(void **state)
{
    (void)state;
    char text[DARKEN_TEXT_MAX];
    struct keep keep = {.count = KEEP_MAX};
    for (unsigned i = 0; i < KEEP_MAX; i++)
        keep.ports[i] = (struct keep_port){.udp = true, .port = (uint16_t)(65535 - i)};
    make(text, &keep);
}

static void nft_takes_it(void **state)
{
    (void)state;
    char text[DARKEN_TEXT_MAX];
    struct keep keep = {.count = 1, .ports = {{false, 22}}};
    if (unshare(CLONE_NEWNET) != 0) {
        puts("# skipped: needs root for a network namespace of its own");
        return;
    }
    make(text, &keep);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(darken_apply("list table inet nightjar_01234567\n"), 0);
    assert_int_equal(undarken_text(HASH, text), 0);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(darken_apply("list table inet nightjar_01234567\n"), ERROR_UNSUPPORTED);
    assert_int_equal(darken_apply("nonsense\n"), ERROR_UNSUPPORTED);
}

static void nft_takes_the_overlays_tables(void **state)
{
    (void)state;
    char text[DARKEN_TEXT_MAX];
    static const uint8_t ipv6[16] = {0xfd, 1}, ipv4[4] = {100, 70, 0, 0};
    const struct overlay o = {.hash = HASH, .tun = "nj0", .ipv6 = ipv6, .ipv6_len = 48, .ipv4 = ipv4, .ipv4_len = 16};
    assert_int_equal(overlay_arp_text(&o, text), 0);
    assert_true(has(text, "arp daddr ip 100.70.0.0/16 drop"));
    assert_int_equal(overlay_arp_text(&(struct overlay){.hash = HASH, .tun = "nj0"}, text), ERROR_MALFORMED);
    if (unshare(CLONE_NEWNET) != 0) {
        puts("# skipped: needs root for a network namespace of its own");
        return;
    }
    assert_int_equal(overlay_text(&o, text), 0);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(overlay_arp_text(&o, text), 0);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(overlay_arp_remove_text(HASH, text), 0);
    assert_int_equal(darken_apply(text), 0);
    assert_int_equal(darken_apply("list table arp nightjar_01234567_overlay\n"), ERROR_UNSUPPORTED);
    assert_int_equal(darken_apply("list table inet nightjar_01234567_overlay\n"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_replaced_at_once),
        cmocka_unit_test(all_but_what_is_kept_is_dropped_last),
        cmocka_unit_test(our_own_port_is_not_tracked_and_forwarding_not_touched),
        cmocka_unit_test(as_many_ports_as_can_be_kept_fit),
        cmocka_unit_test(nft_takes_it),
        cmocka_unit_test(nft_takes_the_overlays_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
