#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../interop/uapi.h"
#include "fake_engine.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define PRIVATE_KEY_A "private_key=" KEY_A
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define KEY_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define KEY_0 "0000000000000000000000000000000000000000000000000000000000000000"
/* As given; it is shown clamped. */
#define PRIVATE "77076d0a7318a57d3c16c17251b26645c6734b99a3a1d4a2a2a2a2a2a2a2a2aa"
#define MANY 65000u /* of each family */

struct fixture {
    struct engine engine;
    struct device device;
    struct uapi_request request;
    struct uapi_text reply;
};

static int open_device(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(fake_engine_init(&f->engine), 0);
    f->device.engine = &f->engine;
    assert_int_equal(crypto_new(&f->device.crypto, CRYPTO_BULK_OPENSSL), 0);
    *state = f;
    return 0;
}

static int close_device(void **state)
{
    struct fixture *f = *state;
    uapi_text_free(&f->reply);
    fake_engine_clear(&f->engine);
    crypto_free(f->device.crypto);
    free(f);
    return 0;
}

/* Gives a request line by line, with the empty line that ends it. */
static void ask(struct fixture *f, const char *request)
{
    char line[UAPI_LINE_MAX];
    while (*request) {
        size_t len = strcspn(request, "\n");
        assert_true(len < sizeof(line));
        memcpy(line, request, len);
        line[len] = '\0';
        uapi_line(&f->request, &f->device, line, &f->reply);
        request += len + (request[len] == '\n');
    }
    uapi_line(&f->request, &f->device, "", &f->reply);
}

static void expect_reply(struct fixture *f, const char *request, const char *reply)
{
    ask(f, request);
    uapi_print(&f->reply, "%c", '\0');
    assert_false(f->reply.failed);
    assert_string_equal(f->reply.bytes, reply);
    uapi_text_free(&f->reply);
}

static void expect_errno(struct fixture *f, const char *request, int error)
{
    char reply[32];
    snprintf(reply, sizeof(reply), "errno=%d\n\n", -error);
    expect_reply(f, request, reply);
}

static void set(struct fixture *f, const char *lines)
{
    char request[2048];
    snprintf(request, sizeof(request), "set=1\n%s", lines);
    expect_errno(f, request, 0);
}

static void expect_state(struct fixture *f, const char *state)
{
    char reply[4096];
    snprintf(reply, sizeof(reply), "%serrno=0\n\n", state);
    expect_reply(f, "get=1", reply);
}

#define PEER_REST                                                                     \
    "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n" \
    "persistent_keepalive_interval=0\n"
#define PEER(key) "public_key=" key "\npreshared_key=" KEY_0 "\nprotocol_version=1\n" PEER_REST

/* ---- get ---- */

static void nothing_set_shows_nothing(void **state)
{
    expect_state(*state, "");
}

static void all_that_was_set_is_shown_in_the_usual_order(void **state)
{
    struct fixture *f = *state;
    set(f, "fwmark=4294967295\nlisten_port=65535\nprivate_key=" PRIVATE "\nreplace_peers=true\n"
           "public_key=" KEY_B "\nallowed_ip=10.1.2.3/8\nallowed_ip=fd00::1/16\npersistent_keepalive_interval=65535\n"
           "endpoint=192.0.2.1:65535\npreshared_key=" KEY_C "\nprotocol_version=1\n"
           "public_key=" KEY_A "\nendpoint=[2001:db8::1]:1\n");
    expect_state(f, "private_key=70076d0a7318a57d3c16c17251b26645c6734b99a3a1d4a2a2a2a2a2a2a2a26a\n"
                    "listen_port=65535\nfwmark=4294967295\n"
                    "public_key=" KEY_B "\npreshared_key=" KEY_C "\nprotocol_version=1\nendpoint=192.0.2.1:65535\n"
                    "last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n"
                    "persistent_keepalive_interval=65535\nallowed_ip=10.0.0.0/8\nallowed_ip=fd00::/16\n"
                    "public_key=" KEY_A "\npreshared_key=" KEY_0 "\nprotocol_version=1\n"
                    "endpoint=[2001:db8::1]:1\n" PEER_REST);
}

static void a_scope_is_shown_by_name(void **state)
{
    struct fixture *f = *state;
    set(f, "public_key=" KEY_A "\nendpoint=[fe80::1%lo]:7\n");
    expect_state(f, "public_key=" KEY_A "\npreshared_key=" KEY_0
                    "\nprotocol_version=1\nendpoint=[fe80::1%lo]:7\n" PEER_REST);
}

/* ---- Wrong requests ---- */

static const char *const invalid_of_device[] = {
    "private_key=",
    ("private_key=" KEY_A "a"),
    ("private_key=" KEY_A "aa"),
    "private_key=aa",
    ("private_key=g" KEY_A),
    "private_key=gaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "private_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ",
    "listen_port=",
    "listen_port=65536",
    "listen_port=-1",
    "listen_port=+1",
    "listen_port= 1",
    "listen_port=1 ",
    "listen_port=0x1",
    "listen_port=99999999999999999999999999",
    "fwmark=4294967296",
    "fwmark=-1",
    "fwmark=0x1",
    "fwmark=off",
    "replace_peers=false",
    "replace_peers=",
    "replace_peers=true ",
    "public_key=",
    ("public_key=" KEY_A "aa"),
    "public_key=aaaa",
    "endpoint=192.0.2.1:1",
    "allowed_ip=10.0.0.0/8",
    "remove=true",
    "protocol_version=1",
    "get=1",
    "set=1",
    "=",
    "=1",
    "listen_por=1",
    "listen_portx=1",
    "Listen_port=1",
    " listen_port=1",
};

static const char *const invalid_of_peer[] = {
    "public_key=aa",
    "preshared_key=",
    ("preshared_key=" KEY_A "aa"),
    "preshared_key=zz",
    "endpoint=",
    "endpoint=:1",
    "endpoint=192.0.2.1",
    "endpoint=192.0.2.1:",
    "endpoint=192.0.2.1:65536",
    "endpoint=192.0.2.1:-1",
    "endpoint=192.0.2.1:http",
    "endpoint=192.0.2.256:1",
    "endpoint=192.0.2:1",
    "endpoint=1:1",
    "endpoint=0x7f.0.0.1:1",
    "endpoint=[192.0.2.1]:1",
    "endpoint=2001:db8::1:1",
    "endpoint=[2001:db8::1]",
    "endpoint=[2001:db8::1]1",
    "endpoint=[2001:db8::1:1",
    "endpoint=2001:db8::1]:1",
    "endpoint=[2001:db8::g]:1",
    "endpoint=[]:1",
    "endpoint=[fe80::1%no-such-interface]:1",
    "endpoint=host.example:1",
    "persistent_keepalive_interval=",
    "persistent_keepalive_interval=65536",
    "persistent_keepalive_interval=-1",
    "persistent_keepalive_interval=off",
    "replace_allowed_ips=false",
    "allowed_ip=",
    "allowed_ip=/",
    "allowed_ip=/8",
    "allowed_ip=10.0.0.0",
    "allowed_ip=10.0.0.0/",
    "allowed_ip=10.0.0.0/33",
    "allowed_ip=10.0.0.0/-1",
    "allowed_ip=10.0.0.0/+1",
    "allowed_ip=10.0.0.0/8/8",
    "allowed_ip=10.0.0/8",
    "allowed_ip=10.0.0.0/255.0.0.0",
    "allowed_ip=fd00::/129",
    "allowed_ip=fd00::",
    "allowed_ip=fd00::g/64",
    "allowed_ip=fe80::1%lo/64",
    "allowed_ip=[fd00::]/64",
    "allowed_ip=--10.0.0.0/8",
    "allowed_ip=+-10.0.0.0/8",
    "allowed_ip=-",
    "remove=false",
    "remove=",
    "update_only=false",
    "protocol_version=0",
    "protocol_version=2",
    "protocol_version=",
    (PRIVATE_KEY_A),
    "listen_port=1",
    "fwmark=1",
    "replace_peers=true",
    "junk=1",
};

static void invalid_lines_for_the_device_are_refused_and_change_nothing(void **state)
{
    struct fixture *f = *state;
    char request[1024];
    for (size_t i = 0; i < sizeof(invalid_of_device) / sizeof(*invalid_of_device); i++) {
        snprintf(request, sizeof(request), "set=1\n%s", invalid_of_device[i]);
        expect_errno(f, request, EINVAL);
        expect_state(f, "");
    }
}

static void invalid_lines_for_a_peer_are_refused_and_change_nothing(void **state)
{
    struct fixture *f = *state;
    char request[1024];
    for (size_t i = 0; i < sizeof(invalid_of_peer) / sizeof(*invalid_of_peer); i++) {
        snprintf(request, sizeof(request), "set=1\npublic_key=" KEY_A "\n%s", invalid_of_peer[i]);
        expect_errno(f, request, EINVAL);
        expect_state(f, PEER(KEY_A));
    }
}

static void a_line_without_a_value_is_a_protocol_error(void **state)
{
    struct fixture *f = *state;
    expect_errno(f, "set=1\nlisten_port", EPROTO);
    expect_errno(f, "set=1\npublic_key=" KEY_A "\nremove", EPROTO);
    expect_errno(f, "set=1\nset", EPROTO);
}

static void neither_get_nor_set_is_a_protocol_error(void **state)
{
    struct fixture *f = *state;
    expect_errno(f, "set=2\nlisten_port=1", EPROTO);
    expect_errno(f, "get=1 ", EPROTO);
    expect_errno(f, "gets=1", EPROTO);
    expect_errno(f, "get=1\nlisten_port=1", EPROTO);
    expect_state(f, "");
}

static void lines_after_a_wrong_one_have_no_effect_and_those_before_it_have(void **state)
{
    struct fixture *f = *state;
    expect_errno(f, "set=1\nlisten_port=5\njunk=1\nfwmark=7\nbad\npublic_key=" KEY_A, EINVAL);
    expect_state(f, "listen_port=5\n");
}

static void the_next_request_starts_afresh(void **state)
{
    struct fixture *f = *state;
    expect_errno(f, "set=1\npublic_key=" KEY_A "\njunk=1", EINVAL);
    set(f, "listen_port=9");
    expect_state(f, "listen_port=9\n" PEER(KEY_A));
}

static void empty_lines_between_requests_are_passed_over(void **state)
{
    struct fixture *f = *state;
    uapi_line(&f->request, &f->device, "", &f->reply);
    uapi_line(&f->request, &f->device, "", &f->reply);
    assert_int_equal(f->reply.len, 0);
    expect_state(f, "");
}

/* ---- set: the device ---- */

static void a_port_in_use_says_so_and_the_old_one_stays(void **state)
{
    struct fixture *f = *state;
    set(f, "listen_port=51820");
    expect_errno(f, "set=1\nlisten_port=4242", EADDRINUSE);
    expect_state(f, "listen_port=51820\n");
    set(f, "listen_port=0");
    expect_state(f, "");
}

static void no_mark_is_written_as_nothing_or_as_0(void **state)
{
    struct fixture *f = *state;
    set(f, "fwmark=7");
    set(f, "fwmark=");
    expect_state(f, "");
    set(f, "fwmark=7");
    set(f, "fwmark=0");
    expect_state(f, "");
}

static void a_key_of_zeros_takes_the_private_key_away(void **state)
{
    struct fixture *f = *state;
    set(f, "private_key=" PRIVATE);
    assert_true(f->device.has_key);
    set(f, "private_key=" KEY_0);
    expect_state(f, "");
    assert_true(is_zero(f->device.private_key, sizeof(f->device.private_key)));
}

static void hex_may_be_upper_case(void **state)
{
    struct fixture *f = *state;
    set(f, "public_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAaa\n");
    expect_state(f, PEER(KEY_A));
}

static void replace_peers_leaves_only_those_that_follow(void **state)
{
    struct fixture *f = *state;
    set(f, "public_key=" KEY_A "\npublic_key=" KEY_B);
    set(f, "replace_peers=true\npublic_key=" KEY_C);
    expect_state(f, PEER(KEY_C));
    set(f, "replace_peers=true");
    expect_state(f, "");
}

/* ---- set: peers ---- */

static void own_public_key(struct fixture *f, char hex[2 * MESSAGE_KEY_SIZE + 1])
{
    uint8_t key[MESSAGE_KEY_SIZE];
    assert_int_equal(crypto_x25519_public(f->device.crypto, key, f->device.private_key), 0);
    for (size_t i = 0; i < MESSAGE_KEY_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", key[i]);
}

static void our_own_key_is_taken_as_a_peer_and_has_no_effect(void **state)
{
    struct fixture *f = *state;
    char own[2 * MESSAGE_KEY_SIZE + 1], lines[512];
    set(f, "listen_port=1\nprivate_key=" PRIVATE);
    own_public_key(f, own);
    snprintf(lines, sizeof(lines),
             "public_key=%s\npreshared_key=" KEY_B "\nendpoint=192.0.2.1:1\nallowed_ip=10.0.0.0/8\n"
             "persistent_keepalive_interval=5\nreplace_allowed_ips=true\nupdate_only=true\nremove=true\n",
             own);
    set(f, lines);
    set(f, "private_key=" KEY_0);
    expect_state(f, "listen_port=1\n");
}

static void a_peer_with_the_key_that_becomes_ours_is_removed(void **state)
{
    struct fixture *f = *state;
    char own[2 * MESSAGE_KEY_SIZE + 1], lines[512];
    set(f, "private_key=" PRIVATE);
    own_public_key(f, own);
    set(f, "private_key=" KEY_0);
    snprintf(lines, sizeof(lines), "public_key=%s\npublic_key=" KEY_A, own);
    set(f, lines);
    set(f, "private_key=" PRIVATE);
    set(f, "private_key=" KEY_0);
    expect_state(f, PEER(KEY_A));
}

static void update_only_makes_no_peer_and_changes_one_that_is_there(void **state)
{
    struct fixture *f = *state;
    set(f, "public_key=" KEY_A "\nupdate_only=true\nallowed_ip=10.0.0.0/8\nendpoint=192.0.2.1:1\n"
           "preshared_key=" KEY_B "\npersistent_keepalive_interval=3\nreplace_allowed_ips=true\nupdate_only=true\n");
    expect_state(f, "");
    set(f, "public_key=" KEY_A);
    set(f, "public_key=" KEY_A "\nupdate_only=true\nallowed_ip=10.0.0.0/8");
    expect_state(f, PEER(KEY_A) "allowed_ip=10.0.0.0/8\n");
}

static void removed_peers_are_gone_and_may_be_named_again(void **state)
{
    struct fixture *f = *state;
    set(f, "public_key=" KEY_A "\nallowed_ip=10.0.0.0/8\npublic_key=" KEY_B);
    set(f, "public_key=" KEY_A "\nremove=true\nallowed_ip=10.0.0.0/8\nendpoint=192.0.2.1:1\nremove=true");
    expect_state(f, PEER(KEY_B));
    set(f, "public_key=" KEY_C "\nremove=true\npublic_key=" KEY_B "\nremove=true\npublic_key=" KEY_B);
    expect_state(f, PEER(KEY_B));
}

static void allowed_ips_are_added_taken_away_and_replaced(void **state)
{
    struct fixture *f = *state;
    set(f, "public_key=" KEY_A "\nallowed_ip=10.0.0.0/8\nallowed_ip=+10.1.0.0/16\nallowed_ip=fd00::/64");
    expect_state(f, PEER(KEY_A) "allowed_ip=10.0.0.0/8\nallowed_ip=10.1.0.0/16\nallowed_ip=fd00::/64\n");
    set(f, "public_key=" KEY_A "\nallowed_ip=-10.0.0.0/8\nallowed_ip=-10.2.0.0/16\nallowed_ip=-fd00::/64");
    expect_state(f, PEER(KEY_A) "allowed_ip=10.1.0.0/16\n");
    set(f, "public_key=" KEY_A "\nreplace_allowed_ips=true\nallowed_ip=0.0.0.0/0\nallowed_ip=::/0");
    expect_state(f, PEER(KEY_A) "allowed_ip=0.0.0.0/0\nallowed_ip=::/0\n");
    set(f, "public_key=" KEY_A "\nreplace_allowed_ips=true");
    expect_state(f, PEER(KEY_A));
}

static void an_allowed_ip_moves_to_whom_it_was_given_last_and_only_its_owner_takes_it_away(void **state)
{
    struct fixture *f = *state;
    set(f, "public_key=" KEY_A "\nallowed_ip=10.0.0.0/8\npublic_key=" KEY_B "\nallowed_ip=10.0.0.0/8");
    expect_state(f, PEER(KEY_A) PEER(KEY_B) "allowed_ip=10.0.0.0/8\n");
    set(f, "public_key=" KEY_A "\nallowed_ip=-10.0.0.0/8");
    expect_state(f, PEER(KEY_A) PEER(KEY_B) "allowed_ip=10.0.0.0/8\n");
}

static void give_many(struct fixture *f, uint32_t first, uint32_t count)
{
    char line[UAPI_LINE_MAX];
    for (uint32_t i = first; i < first + count; i++) {
        snprintf(line, sizeof(line), "allowed_ip=10.%u.%u.%u/32", i >> 16, i >> 8 & 255, i & 255);
        uapi_line(&f->request, &f->device, line, &f->reply);
        snprintf(line, sizeof(line), "allowed_ip=fd00:%x::/64", i & 0xffff);
        uapi_line(&f->request, &f->device, line, &f->reply);
    }
}

/* Which of the many a line names; 2 * MANY: none. */
static uint32_t number_of(const char *line)
{
    static const char ipv4[] = "allowed_ip=10.0.", ipv6[] = "allowed_ip=fd00:";
    char *end;
    if (strncmp(line, ipv4, strlen(ipv4)) == 0) {
        unsigned long a = strtoul(line + strlen(ipv4), &end, 10);
        return (uint32_t)(a << 8 | strtoul(end + 1, &end, 10));
    }
    if (strcmp(line, "allowed_ip=fd00::/64") == 0)
        return MANY;
    return strncmp(line, ipv6, strlen(ipv6)) == 0 ? MANY + (uint32_t)strtoul(line + strlen(ipv6), &end, 16) : 2 * MANY;
}

static uint32_t count_distinct(const struct uapi_text *text)
{
    static bool seen[2 * MANY];
    uint32_t distinct = 0;
    memset(seen, 0, sizeof(seen));
    for (size_t at = 0, len; at < text->len; at += len + 1) {
        char line[UAPI_LINE_MAX];
        len = (size_t)((char *)memchr(text->bytes + at, '\n', text->len - at) - (text->bytes + at));
        memcpy(line, text->bytes + at, len);
        line[len] = '\0';
        uint32_t number = number_of(line);
        if (number < 2 * MANY && !seen[number]) {
            seen[number] = true;
            distinct++;
        }
    }
    return distinct;
}

static void a_hundred_and_thirty_thousand_allowed_ips_go_in_and_come_out(void **state)
{
    struct fixture *f = *state;
    uapi_line(&f->request, &f->device, "set=1", &f->reply);
    uapi_line(&f->request, &f->device, "public_key=" KEY_A, &f->reply);
    give_many(f, 0, MANY);
    expect_reply(f, "", "errno=0\n\n");
    ask(f, "get=1");
    assert_int_equal(count_distinct(&f->reply), 2 * MANY);
    assert_memory_equal(f->reply.bytes + f->reply.len - 9, "errno=0\n\n", 9);
}

static int keep_nothing(void *context, const uint8_t *address, unsigned address_len, unsigned cidr)
{
    (void)address;
    (void)address_len;
    (void)cidr;
    ++*(uint32_t *)context;
    return 0;
}

static void what_removes_a_peer_removes_all_its_allowed_ips(void **state)
{
    struct fixture *f = *state;
    uint32_t count = 0;
    uapi_line(&f->request, &f->device, "set=1", &f->reply);
    uapi_line(&f->request, &f->device, "public_key=" KEY_A, &f->reply);
    give_many(f, 0, 1000);
    expect_reply(f, "", "errno=0\n\n");
    set(f, "public_key=" KEY_A "\nremove=true\npublic_key=" KEY_A);
    peer_id peer = tunnel_peer_next(f->engine.tunnel, 0);
    tunnel_peer_each_allowed(f->engine.tunnel, peer, keep_nothing, &count);
    assert_int_equal(count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_device, close_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_set_shows_nothing),
        TEST(all_that_was_set_is_shown_in_the_usual_order),
        TEST(a_scope_is_shown_by_name),
        TEST(invalid_lines_for_the_device_are_refused_and_change_nothing),
        TEST(invalid_lines_for_a_peer_are_refused_and_change_nothing),
        TEST(a_line_without_a_value_is_a_protocol_error),
        TEST(neither_get_nor_set_is_a_protocol_error),
        TEST(lines_after_a_wrong_one_have_no_effect_and_those_before_it_have),
        TEST(the_next_request_starts_afresh),
        TEST(empty_lines_between_requests_are_passed_over),
        TEST(a_port_in_use_says_so_and_the_old_one_stays),
        TEST(no_mark_is_written_as_nothing_or_as_0),
        TEST(a_key_of_zeros_takes_the_private_key_away),
        TEST(hex_may_be_upper_case),
        TEST(replace_peers_leaves_only_those_that_follow),
        TEST(our_own_key_is_taken_as_a_peer_and_has_no_effect),
        TEST(a_peer_with_the_key_that_becomes_ours_is_removed),
        TEST(update_only_makes_no_peer_and_changes_one_that_is_there),
        TEST(removed_peers_are_gone_and_may_be_named_again),
        TEST(allowed_ips_are_added_taken_away_and_replaced),
        TEST(an_allowed_ip_moves_to_whom_it_was_given_last_and_only_its_owner_takes_it_away),
        TEST(a_hundred_and_thirty_thousand_allowed_ips_go_in_and_come_out),
        TEST(what_removes_a_peer_removes_all_its_allowed_ips),
    };
    return cmocka_run_group_tests_name("interop/uapi", tests, NULL, NULL);
}
