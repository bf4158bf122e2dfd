#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "packets.h"
#include "policy/siphash.h"
#include "wire/message.h"

#define PEER 7u
#define MINUTE (60 * SECOND)

static const struct grant some[] = {{GRANT_ICMP, 0, 0}, {GRANT_TCP, 80, 90}, {GRANT_UDP, 53, 53}};
static const struct peer_grants we_may = {.version = 1, .out_count = 3, .out = some};
static const struct peer_grants they_may = {.version = 1, .in_count = 3, .in = some};
static const struct peer_grants nobody_may = {.version = 2};

struct bench {
    struct flow_table *table;
    uint64_t now;
    const struct peer_grants *grants;
};

static int set_up(void **state)
{
    static struct bench b;
    b = (struct bench){.now = 5, .grants = &we_may};
    *state = &b;
    return flow_table_new(&b.table, 16, (const uint8_t[16]){1});
}

static int tear_down(void **state)
{
    struct bench *b = *state;
    flow_table_free(b->table);
    return 0;
}

static enum flow_verdict judge(struct bench *b, bool outgoing, struct made m)
{
    return flow_judge(b->table, b->grants, PEER, outgoing, m.bytes, m.len, b->now);
}

static enum flow_verdict sends(struct bench *b, struct wish w)
{
    return judge(b, w.outgoing, make_packet(&w));
}

#define out(...) ((struct wish){.host = 2, .outgoing = true, __VA_ARGS__})
#define in(...) ((struct wish){.host = 2, __VA_ARGS__})
#define tcp4 .version = 4, .protocol = GRANT_TCP, .ours = 4000, .theirs = 80
#define udp6 .version = 6, .protocol = GRANT_UDP, .ours = 4000, .theirs = 53
#define echo4 .version = 4, .protocol = GRANT_ICMP, .ours = 99
#define echo6 .version = 6, .protocol = GRANT_ICMP, .ours = 99

static void replies_pass_and_nothing_that_was_not_asked_for(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, in(tcp4)), FLOW_REFUSED);
    assert_int_equal(sends(b, out(tcp4)), FLOW_PASS);
    assert_int_equal(sends(b, in(tcp4)), FLOW_PASS);
    assert_int_equal(sends(b, in(udp6)), FLOW_REFUSED);
    assert_int_equal(sends(b, out(udp6)), FLOW_PASS);
    assert_int_equal(sends(b, in(udp6)), FLOW_PASS);
    assert_int_equal(flow_count(b->table, PEER, b->now), 2);
    assert_int_equal(flow_count(b->table, PEER + 1, b->now), 0);
}

static void what_no_grant_holds_is_refused(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(.version = 4, .protocol = GRANT_TCP, .ours = 80, .theirs = 91)), FLOW_REFUSED);
    assert_int_equal(sends(b, out(.version = 4, .protocol = GRANT_UDP, .ours = 80, .theirs = 80)), FLOW_REFUSED);
    b->grants = &they_may;
    assert_int_equal(sends(b, out(tcp4)), FLOW_REFUSED);
    assert_int_equal(sends(b, in(.version = 4, .protocol = GRANT_TCP, .ours = 80, .theirs = 4000)), FLOW_PASS);
}

static void another_peer_has_no_part_in_a_flow(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(tcp4)), FLOW_PASS);
    struct made m = make_packet(&in(tcp4));
    assert_int_equal(flow_judge(b->table, &we_may, PEER + 1, false, m.bytes, m.len, b->now), FLOW_REFUSED);
}

static void an_echo_reply_passes_only_to_whoever_asked(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, in(echo4, .reply = true)), FLOW_REFUSED);
    assert_int_equal(sends(b, out(echo4)), FLOW_PASS);
    assert_int_equal(sends(b, in(echo4, .reply = true)), FLOW_PASS);
    assert_int_equal(sends(b, in(.version = 4, .protocol = GRANT_ICMP, .theirs = 99)), FLOW_REFUSED);
    assert_int_equal(sends(b, in(.version = 4, .protocol = GRANT_ICMP, .ours = 98, .reply = true)), FLOW_REFUSED);
    b->now += 31 * SECOND;
    assert_int_equal(sends(b, in(echo4, .reply = true)), FLOW_REFUSED);
    assert_int_equal(sends(b, out(echo6)), FLOW_PASS);
    assert_int_equal(sends(b, in(echo6, .reply = true)), FLOW_PASS);
}

static void flows_end_when_they_are_idle(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(tcp4)), FLOW_PASS);
    assert_int_equal(sends(b, out(udp6)), FLOW_PASS);
    b->now += 179 * SECOND;
    assert_int_equal(sends(b, in(udp6)), FLOW_PASS);
    b->now += 179 * SECOND;
    assert_int_equal(sends(b, in(udp6)), FLOW_PASS);
    b->now += 180 * SECOND;
    assert_int_equal(sends(b, in(udp6)), FLOW_REFUSED);
    assert_int_equal(sends(b, in(tcp4)), FLOW_PASS);
    b->now += 120 * MINUTE - 1;
    assert_int_equal(sends(b, in(tcp4)), FLOW_PASS);
    b->now += 120 * MINUTE;
    assert_int_equal(sends(b, in(tcp4)), FLOW_REFUSED);
}

static void a_minute_after_both_sides_ended_it_a_connection_is_over(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(tcp4, .flags = SYN)), FLOW_PASS);
    assert_int_equal(sends(b, out(tcp4, .flags = FIN | ACK)), FLOW_PASS);
    b->now += 10 * MINUTE;
    assert_int_equal(sends(b, in(tcp4, .flags = FIN | ACK)), FLOW_PASS);
    b->now += 59 * SECOND;
    assert_int_equal(sends(b, out(tcp4, .flags = ACK)), FLOW_PASS);
    b->now += SECOND;
    assert_int_equal(sends(b, in(tcp4, .flags = ACK)), FLOW_REFUSED);
}

static void a_reset_ends_a_flow_and_begins_none(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(tcp4, .flags = RST)), FLOW_PASS);
    assert_int_equal(flow_count(b->table, PEER, b->now), 0);
    assert_int_equal(sends(b, out(tcp4, .flags = SYN)), FLOW_PASS);
    assert_int_equal(sends(b, in(tcp4, .flags = RST)), FLOW_PASS);
    b->now += MINUTE;
    assert_int_equal(sends(b, in(tcp4, .flags = ACK)), FLOW_REFUSED);
}

static void the_ports_of_an_ended_connection_can_be_used_again(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(tcp4, .flags = SYN)), FLOW_PASS);
    assert_int_equal(sends(b, in(tcp4, .flags = RST | ACK)), FLOW_PASS);
    assert_int_equal(sends(b, in(tcp4, .flags = SYN)), FLOW_REFUSED);
    assert_int_equal(sends(b, out(tcp4, .flags = SYN)), FLOW_PASS);
    assert_int_equal(flow_count(b->table, PEER, b->now), 1);
    b->now += 2 * MINUTE;
    assert_int_equal(sends(b, in(tcp4, .flags = ACK)), FLOW_PASS);
}

static void a_change_of_grants_is_asked_in_the_direction_that_a_flow_began_in(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(tcp4)), FLOW_PASS);
    struct peer_grants same = we_may;
    same.version = 3;
    b->grants = &same;
    assert_int_equal(sends(b, in(tcp4)), FLOW_PASS); /* asked as ours, though theirs is the packet */
    struct peer_grants turned = they_may;
    turned.version = 4;
    b->grants = &turned;
    assert_int_equal(sends(b, in(tcp4)), FLOW_REFUSED);
    assert_int_equal(flow_count(b->table, PEER, b->now), 0);
    assert_int_equal(sends(b, out(tcp4)), FLOW_REFUSED);
}

static void revocation_ends_live_flows(void **state)
{
    struct bench *b = *state;
    assert_int_equal(sends(b, out(tcp4)), FLOW_PASS);
    b->grants = &nobody_may;
    assert_int_equal(sends(b, out(tcp4)), FLOW_REFUSED);
    b->grants = &we_may;
    assert_int_equal(sends(b, out(tcp4)), FLOW_PASS);
    flow_forget(b->table, PEER);
    assert_int_equal(flow_count(b->table, PEER, b->now), 0);
    assert_int_equal(sends(b, in(tcp4)), FLOW_REFUSED);
}

static void an_error_passes_that_quotes_a_live_flow(void **state)
{
    struct bench *b = *state;
    struct made asked[] = {make_packet(&out(tcp4)), make_packet(&out(udp6)), make_packet(&out(echo4)),
                           make_packet(&out(echo6))};
    for (size_t i = 0; i < 4; i++) {
        bool v4 = asked[i].bytes[0] >> 4 == 4;
        uint8_t type = v4 ? 3 : 2;
        size_t least = v4 ? 28 : 48;
        struct made error = make_error(&asked[i], type, least);
        assert_int_equal(judge(b, false, error), FLOW_REFUSED);
        assert_int_equal(judge(b, true, asked[i]), FLOW_PASS);
        assert_int_equal(judge(b, false, error), FLOW_PASS);
        assert_int_equal(judge(b, false, make_error(&asked[i], type, least - 1)), FLOW_REFUSED);
        assert_int_equal(judge(b, true, error), FLOW_REFUSED); /* it quotes what we sent: not ours to say */
    }
    struct made reply = make_packet(&in(tcp4));
    assert_int_equal(judge(b, true, make_error(&reply, 11, 28)), FLOW_PASS);
    struct made asked_by_them = make_error(&asked[0], 3, 28);
    asked_by_them.bytes[19] = 3; /* another destination than the quoted source */
    assert_int_equal(judge(b, false, asked_by_them), FLOW_REFUSED);
    struct made redirect = make_error(&asked[0], 5, 28);
    assert_int_equal(judge(b, false, redirect), FLOW_REFUSED);
    b->grants = &nobody_may;
    assert_int_equal(judge(b, false, make_error(&asked[0], 3, 28)), FLOW_REFUSED);
}

static void an_error_about_an_error_is_refused(void **state)
{
    struct bench *b = *state;
    struct made asked = make_packet(&out(tcp4));
    assert_int_equal(judge(b, true, asked), FLOW_PASS);
    struct made error = make_error(&asked, 3, 60), again = make_error(&error, 3, 60);
    assert_int_equal(judge(b, true, again), FLOW_REFUSED);
}

static void an_error_keeps_no_flow_alive(void **state)
{
    struct bench *b = *state;
    struct made asked = make_packet(&out(udp6));
    assert_int_equal(judge(b, true, asked), FLOW_PASS);
    b->now += 179 * SECOND;
    assert_int_equal(judge(b, false, make_error(&asked, 1, 60)), FLOW_PASS);
    b->now += SECOND;
    assert_int_equal(judge(b, false, make_error(&asked, 1, 60)), FLOW_REFUSED);
}

typedef struct made fragment_maker(const struct made *whole, size_t from, size_t len, uint32_t id);
static struct made fragment4(const struct made *whole, size_t from, size_t len, uint32_t id)
{
    return make_fragment(whole, from, len, (uint16_t)id);
}

static void fragments_follow(struct bench *b, const struct made *whole, fragment_maker *make)
{
    struct made first = make(whole, 0, 32, 5), second = make(whole, 32, 32, 5);
    assert_int_equal(judge(b, true, second), FLOW_MALFORMED);
    assert_int_equal(judge(b, true, first), FLOW_PASS);
    assert_int_equal(judge(b, true, second), FLOW_PASS);
    assert_int_equal(judge(b, false, second), FLOW_MALFORMED);
    assert_int_equal(judge(b, true, make(whole, 32, 32, 6)), FLOW_MALFORMED);
    assert_int_equal(judge(b, true, make(whole, 24, 8, 5)), FLOW_MALFORMED); /* would write over the first */
    assert_int_equal(judge(b, true, make(whole, 0, 24, 5)), FLOW_PASS);
    assert_int_equal(judge(b, true, make(whole, 24, 8, 5)), FLOW_MALFORMED);
    b->now += 30 * SECOND;
    assert_int_equal(judge(b, true, second), FLOW_MALFORMED);
}

static void fragments_follow_their_first_one(void **state)
{
    struct bench *b = *state;
    struct made whole = make_packet(&out(.version = 4, .protocol = GRANT_UDP, .ours = 4, .theirs = 53));
    fragments_follow(b, &whole, fragment4);
    whole = make_packet(&out(udp6));
    fragments_follow(b, &whole, make_fragment6);
}

static void fragments_of_what_is_refused_go_nowhere(void **state)
{
    struct bench *b = *state;
    struct made whole = make_packet(&in(udp6));
    assert_int_equal(judge(b, false, make_fragment6(&whole, 0, 32, 5)), FLOW_REFUSED);
    assert_int_equal(judge(b, false, make_fragment6(&whole, 32, 32, 5)), FLOW_MALFORMED);
    whole = make_packet(&out(udp6));
    assert_int_equal(judge(b, true, make_fragment6(&whole, 0, 32, 5)), FLOW_PASS);
    b->grants = &nobody_may;
    assert_int_equal(judge(b, true, make_fragment6(&whole, 32, 32, 5)), FLOW_MALFORMED);
}

static void a_first_fragment_holds_the_whole_transport_header(void **state)
{
    struct bench *b = *state;
    struct made whole = make_packet(&out(tcp4));
    assert_int_equal(judge(b, true, make_fragment(&whole, 0, 16, 5)), FLOW_MALFORMED);
    assert_int_equal(judge(b, true, make_fragment(&whole, 0, 24, 5)), FLOW_PASS);
    assert_int_equal(judge(b, true, make_fragment(&whole, 0, 25, 5)), FLOW_MALFORMED); /* no multiple of 8 */
}

static void a_fragment_that_ends_beyond_64_k_is_malformed(void **state)
{
    struct bench *b = *state;
    struct made whole = make_packet(&out(tcp4)), f = make_fragment(&whole, 0, 24, 5);
    assert_int_equal(judge(b, true, f), FLOW_PASS);
    put_be16(f.bytes + 6, 0x1fff);
    assert_int_equal(judge(b, true, f), FLOW_MALFORMED);
    put_be16(f.bytes + 6, 0x1ff0);
    assert_int_equal(judge(b, true, f), FLOW_PASS);
}

static void known_extension_headers_are_walked_over(void **state)
{
    struct bench *b = *state;
    static const uint8_t options[16] = {0, 1, 1, 12}, routing[8] = {0, 0, 2, 0}, source_route[8] = {0, 0, 2, 1};
    struct made m = make_packet(&out(udp6));
    put_extension(&m, 60, options, 16);
    put_extension(&m, 43, routing, 8);
    put_extension(&m, 0, options, 16);
    assert_int_equal(judge(b, true, m), FLOW_PASS);
    assert_int_equal(sends(b, in(udp6)), FLOW_PASS);
    struct made twice = m;
    put_extension(&twice, 0, options, 16);
    assert_int_equal(judge(b, true, twice), FLOW_MALFORMED);
    m = make_packet(&out(udp6));
    put_extension(&m, 43, source_route, 8);
    assert_int_equal(judge(b, true, m), FLOW_REFUSED);
    m = make_packet(&out(udp6));
    put_extension(&m, 51, options, 16);
    assert_int_equal(judge(b, true, m), FLOW_REFUSED);
    m = make_packet(&out(udp6));
    for (int i = 0; i < 9; i++)
        put_extension(&m, 60, options, 16);
    assert_int_equal(judge(b, true, m), FLOW_REFUSED);
    m = make_packet(&out(udp6));
    put_extension(&m, 60, (const uint8_t[8]){0, 200}, 8);
    assert_int_equal(judge(b, true, m), FLOW_MALFORMED);
}

static void source_routes_and_groups_are_refused(void **state)
{
    struct bench *b = *state;
    struct made m = make_packet(&out(tcp4)), routed = {.len = m.len + 8};
    memcpy(routed.bytes, m.bytes, 20);
    memcpy(routed.bytes + 20, (uint8_t[8]){1, 131, 7, 4, 1, 2, 3, 4}, 8);
    memcpy(routed.bytes + 28, m.bytes + 20, m.len - 20);
    routed.bytes[0] = 0x47;
    put_be16(routed.bytes + 2, (uint16_t)routed.len);
    assert_int_equal(judge(b, true, routed), FLOW_REFUSED);
    routed.bytes[21] = 148; /* router alert */
    assert_int_equal(judge(b, true, routed), FLOW_PASS);
    routed.bytes[22] = 8;
    assert_int_equal(judge(b, true, routed), FLOW_MALFORMED);
    m.bytes[16] = 224;
    assert_int_equal(judge(b, true, m), FLOW_REFUSED);
    memset(m.bytes + 16, 0xff, 4);
    assert_int_equal(judge(b, true, m), FLOW_REFUSED);
    m = make_packet(&out(udp6));
    m.bytes[24] = 0xff;
    assert_int_equal(judge(b, true, m), FLOW_REFUSED);
}

static void headers_that_do_not_hold_together_are_malformed(void **state)
{
    struct bench *b = *state;
    struct made m = make_packet(&out(tcp4));
    m.bytes[20 + 12] = 0x40;
    assert_int_equal(judge(b, true, m), FLOW_MALFORMED);
    m = make_packet(&out(udp6));
    put_be16(m.bytes + 40 + 4, 65);
    assert_int_equal(judge(b, true, m), FLOW_MALFORMED);
    put_be16(m.bytes + 40 + 4, 7);
    assert_int_equal(judge(b, true, m), FLOW_MALFORMED);
    m = make_packet(&out(udp6));
    m.len--;
    assert_int_equal(judge(b, true, m), FLOW_MALFORMED);
}

static void a_full_bucket_gives_up_the_oldest_of_whoever_has_most(void **state)
{
    struct bench *b = *state;
    struct flow_table *t;
    assert_int_equal(flow_table_new(&t, 1, (const uint8_t[16]){0}), 0);
    struct made quiet = make_packet(&out(tcp4)), m;
    assert_int_equal(flow_judge(t, &we_may, 1, true, quiet.bytes, quiet.len, b->now), FLOW_PASS);
    for (uint16_t port = 0; port < 100; port++) {
        m = make_packet(&out(.version = 4, .protocol = GRANT_TCP, .ours = port, .theirs = 80));
        assert_int_equal(flow_judge(t, &we_may, 2, true, m.bytes, m.len, ++b->now), FLOW_PASS);
    }
    assert_int_equal(flow_count(t, 1, b->now), 1);
    assert_int_equal(flow_count(t, 2, b->now), 7);
    m = make_packet(&in(.version = 4, .protocol = GRANT_TCP, .ours = 93, .theirs = 80));
    assert_int_equal(flow_judge(t, &we_may, 2, false, m.bytes, m.len, b->now), FLOW_PASS);
    m = make_packet(&in(.version = 4, .protocol = GRANT_TCP, .ours = 92, .theirs = 80));
    assert_int_equal(flow_judge(t, &we_may, 2, false, m.bytes, m.len, b->now), FLOW_REFUSED);
    flow_table_free(t);
}

static void flows_to_one_service_are_listed_together(void **state)
{
    struct bench *b = *state;
    struct flow_service list[4];
    uint32_t more;
    for (uint16_t port = 4000; port < 4003; port++)
        assert_int_equal(sends(b, out(.version = 4, .protocol = GRANT_TCP, .ours = port, .theirs = 80)), FLOW_PASS);
    b->now += 7;
    assert_int_equal(sends(b, out(udp6)), FLOW_PASS);
    assert_int_equal(sends(b, out(echo4)), FLOW_PASS);
    assert_int_equal(flow_list(b->table, PEER, b->now, list, 4, &more), 3);
    assert_int_equal(more, 0);
    for (uint32_t i = 0; i < 3; i++) {
        bool tcp = list[i].protocol == GRANT_TCP;
        assert_true(list[i].outgoing);
        assert_int_equal(list[i].count, tcp ? 3 : 1);
        assert_int_equal(list[i].seen, tcp ? b->now - 7 : b->now);
        assert_int_equal(list[i].port, tcp ? 80 : list[i].protocol == GRANT_UDP ? 53 : 0);
    }
    assert_int_equal(flow_list(b->table, PEER + 1, b->now, list, 4, &more), 0);
    assert_int_equal(flow_list(b->table, PEER, b->now, list, 1, &more), 1);
    assert_true(more == 2 || more == 4); /* whichever service came first */
    flow_forget(b->table, PEER);
    assert_int_equal(flow_list(b->table, PEER, b->now, list, 4, &more), 0);
}

static void what_began_there_and_what_ended_is_listed_rightly(void **state)
{
    struct bench *b = *state;
    struct flow_service list[4];
    uint32_t more;
    b->grants = &they_may;
    assert_int_equal(sends(b, in(.version = 4, .protocol = GRANT_TCP, .ours = 80, .theirs = 4000)), FLOW_PASS);
    assert_int_equal(flow_list(b->table, PEER, b->now, list, 4, &more), 1);
    assert_false(list[0].outgoing);
    assert_int_equal(list[0].port, 80);
    assert_int_equal(sends(b, in(.version = 4, .protocol = GRANT_TCP, .ours = 80, .theirs = 4000, .flags = RST)),
                     FLOW_PASS);
    assert_int_equal(flow_list(b->table, PEER, b->now, list, 4, &more), 0);
}

static void a_table_has_a_power_of_two_of_buckets(void **state)
{
    (void)state;
    struct flow_table *t;
    assert_int_equal(flow_table_new(&t, 0, (const uint8_t[16]){0}), ERROR_INVALID);
    assert_int_equal(flow_table_new(&t, 3, (const uint8_t[16]){0}), ERROR_INVALID);
}

static uint16_t sum_of(const uint8_t *bytes, size_t len, uint32_t total)
{
    for (size_t i = 0; i < len; i++)
        total += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (uint16_t)total;
}

static void a_refusal_tells_the_sender_with_right_checksums(void **state)
{
    (void)state;
    uint8_t told[FLOW_REFUSAL_MAX];
    struct made m = make_packet(&out(tcp4));
    assert_int_equal(flow_refusal(m.bytes, m.len, told), 28 + m.len);
    assert_int_equal(sum_of(told, 20, 0), 0xffff);
    assert_int_equal(sum_of(told + 20, 8 + m.len, 0), 0xffff);
    assert_memory_equal(told + 12, m.bytes + 16, 4);
    assert_memory_equal(told + 16, m.bytes + 12, 4);
    assert_int_equal(told[20], 3);
    assert_int_equal(told[21], 13);
    assert_memory_equal(told + 28, m.bytes, m.len);
    m = make_packet(&out(udp6));
    m.len = 1501;
    put_be16(m.bytes + 4, 1461);
    assert_int_equal(flow_refusal(m.bytes, m.len, told), 1280);
    assert_int_equal(sum_of(told + 8, 1272, 1240 + 58), 0xffff);
    assert_int_equal(told[40], 1);
    assert_int_equal(told[41], 1);
    assert_memory_equal(told + 24, m.bytes + 8, 16);
    assert_memory_equal(told + 48, m.bytes, 1232);
}

static void what_a_refusal_says_belongs_to_the_refused_flow(void **state)
{
    struct bench *b = *state;
    uint8_t told[FLOW_REFUSAL_MAX];
    struct made m = make_packet(&out(udp6));
    assert_int_equal(judge(b, true, m), FLOW_PASS);
    size_t len = flow_refusal(m.bytes, m.len, told);
    assert_int_equal(flow_judge(b->table, b->grants, PEER, false, told, len, b->now), FLOW_PASS);
}

static void nothing_tells_of_errors_later_fragments_and_groups(void **state)
{
    (void)state;
    uint8_t told[FLOW_REFUSAL_MAX];
    struct made m = make_packet(&out(tcp4)), other = make_error(&m, 3, 28);
    assert_int_equal(flow_refusal(other.bytes, other.len, told), 0);
    other = make_error(&m, 5, 28);
    assert_int_equal(flow_refusal(other.bytes, other.len, told), 0);
    other = make_fragment(&m, 32, 32, 5);
    assert_int_equal(flow_refusal(other.bytes, other.len, told), 0);
    other = make_fragment(&m, 0, 32, 5);
    assert_int_not_equal(flow_refusal(other.bytes, other.len, told), 0);
    m.bytes[16] = 230;
    assert_int_equal(flow_refusal(m.bytes, m.len, told), 0);
    m.bytes[0] = 0x44;
    assert_int_equal(flow_refusal(m.bytes, m.len, told), 0);
    m = make_packet(&out(.version = 4, .protocol = 132));
    assert_int_not_equal(flow_refusal(m.bytes, m.len, told), 0);
    m = make_packet(&out(echo6));
    assert_int_not_equal(flow_refusal(m.bytes, m.len, told), 0);
}

/* Aumasson and Bernstein's paper, appendix A. */
static void siphash_is_as_its_paper_has_it(void **state)
{
    (void)state;
    uint8_t key[16], text[15];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    memcpy(text, key, 15);
    assert_true(siphash(key, text, 15) == UINT64_C(0xa129ca6149be45e5));
}

#define flow_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(replies_pass_and_nothing_that_was_not_asked_for),
        flow_test(what_no_grant_holds_is_refused),
        flow_test(another_peer_has_no_part_in_a_flow),
        flow_test(an_echo_reply_passes_only_to_whoever_asked),
        flow_test(flows_end_when_they_are_idle),
        flow_test(a_minute_after_both_sides_ended_it_a_connection_is_over),
        flow_test(a_reset_ends_a_flow_and_begins_none),
        flow_test(the_ports_of_an_ended_connection_can_be_used_again),
        flow_test(a_change_of_grants_is_asked_in_the_direction_that_a_flow_began_in),
        flow_test(revocation_ends_live_flows),
        flow_test(an_error_passes_that_quotes_a_live_flow),
        flow_test(an_error_about_an_error_is_refused),
        flow_test(an_error_keeps_no_flow_alive),
        flow_test(fragments_follow_their_first_one),
        flow_test(fragments_of_what_is_refused_go_nowhere),
        flow_test(a_first_fragment_holds_the_whole_transport_header),
        flow_test(a_fragment_that_ends_beyond_64_k_is_malformed),
        flow_test(known_extension_headers_are_walked_over),
        flow_test(source_routes_and_groups_are_refused),
        flow_test(headers_that_do_not_hold_together_are_malformed),
        flow_test(a_full_bucket_gives_up_the_oldest_of_whoever_has_most),
        flow_test(flows_to_one_service_are_listed_together),
        flow_test(what_began_there_and_what_ended_is_listed_rightly),
        cmocka_unit_test(a_table_has_a_power_of_two_of_buckets),
        cmocka_unit_test(a_refusal_tells_the_sender_with_right_checksums),
        flow_test(what_a_refusal_says_belongs_to_the_refused_flow),
        cmocka_unit_test(nothing_tells_of_errors_later_fragments_and_groups),
        cmocka_unit_test(siphash_is_as_its_paper_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
