#include "net/udp.h"

#include "base/bytes.h"
#include "net/loop.h"
#include "net/tun.h"
#include "support.h"

#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EACH_FAMILY(family)                                                    \
    for (enum endpoint_family family = ENDPOINT_IPV4; family != ENDPOINT_NONE; \
         family = family == ENDPOINT_IPV4 ? ENDPOINT_IPV6 : ENDPOINT_NONE)

#define SEGMENT 1000u
#define SEGMENTS 10u
#define MESSAGES 64u

static uint8_t pattern[UDP_MESSAGE_MAX];

/* Two sockets in one namespace, and what the second received last. */
struct pair {
    struct udp *a, *b;
    uint8_t *buffers;
    struct udp_received received[MESSAGES];
    uint32_t messages;
};

static struct udp *open_udp(bool no_offloads)
{
    struct udp_options options = {.no_offloads = no_offloads};
    struct udp *udp;
    assert_int_equal(udp_open(&udp, &options), 0);
    return udp;
}

static void pair_open(struct pair *pair, bool receiver_without_offloads)
{
    memset(pair, 0, sizeof(*pair));
    pair->a = open_udp(false);
    pair->b = open_udp(receiver_without_offloads);
    pair->buffers = calloc(MESSAGES, UDP_MESSAGE_MAX);
    for (uint32_t i = 0; i < MESSAGES; i++)
        pair->received[i].data = pair->buffers + (size_t)i * UDP_MESSAGE_MAX;
    for (uint32_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 251);
}

static void pair_close(struct pair *pair)
{
    udp_close(pair->a);
    udp_close(pair->b);
    free(pair->buffers);
}

static struct endpoint at(enum endpoint_family family, uint16_t port)
{
    struct endpoint to = {.family = (uint8_t)family, .port = port};
    if (family == ENDPOINT_IPV4)
        memcpy(to.address, (uint8_t[]){127, 0, 0, 1}, 4);
    else
        to.address[15] = 1;
    return to;
}

static struct udp_outgoing message_to(const struct pair *pair, enum endpoint_family family, uint32_t len,
                                      uint32_t segment)
{
    return (struct udp_outgoing){
        .data = pattern, .len = len, .segment = segment, .to = at(family, udp_port(pair->b)), .result = -1};
}

static struct udp_outgoing super_message_to(const struct pair *pair, enum endpoint_family family)
{
    return message_to(pair, family, SEGMENT * SEGMENTS, SEGMENT);
}

/* Receives until `bytes` and `messages` at least have come. */
static void receive(struct pair *pair, struct udp *udp, enum endpoint_family family, uint32_t bytes, uint32_t messages)
{
    uint32_t len = 0;
    pair->messages = 0;
    while (len < bytes || pair->messages < messages) {
        assert_true(support_readable(udp_fd(udp, family), SUPPORT_DEADLINE_MS));
        int got = udp_receive(udp, family, pair->received + pair->messages, MESSAGES - pair->messages);
        assert_true(got >= 0);
        for (int i = 0; i < got; i++)
            len += pair->received[pair->messages++].len;
    }
    assert_int_equal(len, bytes);
    assert_int_equal(udp_receive(udp, family, pair->received, 0), 0);
}

static void assert_received_pattern(const struct pair *pair)
{
    uint32_t len = 0;
    for (uint32_t i = 0; i < pair->messages; i++) {
        assert_memory_equal(pair->received[i].data, pattern + len, pair->received[i].len);
        len += pair->received[i].len;
    }
}

static void assert_aggregated(const struct pair *pair)
{
    assert_int_equal(pair->messages, 1);
    assert_int_equal(pair->received[0].segment, SEGMENT);
}

static void send_one(struct pair *pair, struct udp_outgoing *message)
{
    udp_send(pair->a, message, 1);
    assert_int_equal(message->result, 0);
    receive(pair, pair->b, (enum endpoint_family)message->to.family, message->len, 1);
    assert_received_pattern(pair);
}

static void datagram_arrives_with_its_endpoint(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    EACH_FAMILY(family)
    {
        struct udp_outgoing message = message_to(&pair, family, 300, 300);
        send_one(&pair, &message);
        assert_int_equal(pair.messages, 1);
        assert_int_equal(pair.received[0].segment, 300);
        struct endpoint expected = at(family, udp_port(pair.a));
        memcpy(expected.local, expected.address, 16);
        expected.interface = 1;
        assert_memory_equal(&pair.received[0].from, &expected, sizeof(expected));
    }
    pair_close(&pair);
}

static void super_message_arrives_aggregated_where_offloads_are(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    EACH_FAMILY(family)
    {
        struct udp_outgoing message = message_to(&pair, family, SEGMENT * SEGMENTS + 5, SEGMENT);
        send_one(&pair, &message);
        assert_aggregated(&pair);
    }
    pair_close(&pair);
}

static void super_message_arrives_as_datagrams_where_no_offloads_are(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, true);
    EACH_FAMILY(family)
    {
        struct udp_outgoing message = message_to(&pair, family, SEGMENT * SEGMENTS + 5, SEGMENT);
        send_one(&pair, &message);
        assert_int_equal(pair.messages, SEGMENTS + 1);
        assert_int_equal(pair.received[SEGMENTS].len, 5);
        assert_int_equal(pair.received[SEGMENTS].segment, 5);
    }
    pair_close(&pair);
}

static void sender_without_offloads_sends_datagrams(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, true);
    struct udp_outgoing message = super_message_to(&pair, ENDPOINT_IPV4);
    udp_send(pair.b, &message, 1);
    assert_int_equal(message.result, 0);
    receive(&pair, pair.b, ENDPOINT_IPV4, message.len, 1);
    assert_int_equal(pair.messages, SEGMENTS);
    assert_received_pattern(&pair);
    pair_close(&pair);
}

static void largest_message_arrives(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    struct udp_outgoing message = message_to(&pair, ENDPOINT_IPV4, UDP_MESSAGE_MAX - 28, 1024);
    send_one(&pair, &message);
    pair_close(&pair);
}

static void empty_datagram_is_not_the_end(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    EACH_FAMILY(family)
    {
        struct udp_outgoing messages[3] = {message_to(&pair, family, 0, 0), message_to(&pair, family, 7, 0),
                                           message_to(&pair, family, 0, 0)};
        udp_send(pair.a, messages, 3);
        receive(&pair, pair.b, family, 7, 3);
        assert_int_equal(pair.messages, 3);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(messages[i].result, 0);
            assert_int_equal(pair.received[i].len, messages[i].len);
            assert_int_equal(pair.received[i].segment, messages[i].len);
        }
    }
    pair_close(&pair);
}

/* More than fits one system call, both families in turn. */
static void long_mixed_list_arrives_whole_and_in_order(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, true);
    struct udp_outgoing messages[2 * MESSAGES];
    for (uint32_t i = 0; i < 2 * MESSAGES; i++) {
        messages[i] = message_to(&pair, i / 2 % 2 == 0 ? ENDPOINT_IPV4 : ENDPOINT_IPV6, 4, 0);
        messages[i].data = pattern + 4 * i;
    }
    udp_send(pair.a, messages, 2 * MESSAGES);
    EACH_FAMILY(family)
    {
        receive(&pair, pair.b, family, 4 * MESSAGES, MESSAGES);
        for (uint32_t i = 0, next = 0; i < 2 * MESSAGES; i++) {
            assert_int_equal(messages[i].result, 0);
            if (messages[i].to.family == family)
                assert_memory_equal(pair.received[next++].data, messages[i].data, 4);
        }
    }
    pair_close(&pair);
}

static void set_local(struct udp_outgoing *message, const char *last_bytes)
{
    memset(message->to.local, 0, 16);
    if (message->to.family == ENDPOINT_IPV4)
        memcpy(message->to.local, last_bytes, 4);
    else
        memcpy(message->to.local, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15),
            message->to.local[15] = (uint8_t)last_bytes[3];
}

static void local_address_is_the_source(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    support_run("ip address add fd00::5/128 dev lo nodad");
    EACH_FAMILY(family)
    {
        struct udp_outgoing message = super_message_to(&pair, family);
        set_local(&message, "\x7f\0\0\x05");
        send_one(&pair, &message);
        assert_false(message.local_refused);
        assert_memory_equal(pair.received[0].from.address, message.to.local, 16);
        assert_aggregated(&pair);
    }
    support_run("ip address del fd00::5/128 dev lo");
    pair_close(&pair);
}

/* A link-local address means something only with its interface. */
static void link_local_endpoint_is_answered_as_it_came(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    /* The kernel makes the address usable some time after. */
    support_run("ip -6 address add fe80::77/64 dev lo nodad; "
                "until ip -6 route show table local | grep -q fe80::77; do :; done");
    struct udp_outgoing message = message_to(&pair, ENDPOINT_IPV6, 300, 0);
    memcpy(message.to.address, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x77", 16);
    memcpy(message.to.local, message.to.address, 16);
    message.to.scope = if_nametoindex("lo");
    send_one(&pair, &message);
    assert_false(message.local_refused);
    assert_int_equal(pair.received[0].from.scope, message.to.scope);

    struct udp_outgoing answer = message;
    answer.to = pair.received[0].from;
    udp_send(pair.b, &answer, 1);
    assert_int_equal(answer.result, 0);
    assert_false(answer.local_refused);
    receive(&pair, pair.a, ENDPOINT_IPV6, 300, 1);
    assert_memory_equal(pair.received[0].from.address, message.to.address, 16);
    support_run("ip -6 address del fe80::77/64 dev lo");
    pair_close(&pair);
}

static void source_that_is_gone_gives_way_and_is_told(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    EACH_FAMILY(family)
    {
        for (uint32_t segment = SEGMENT; segment <= SEGMENT * SEGMENTS; segment *= SEGMENTS) {
            struct udp_outgoing message = message_to(&pair, family, SEGMENT * SEGMENTS, segment);
            set_local(&message, "\x0a\x09\x09\x09");
            send_one(&pair, &message);
            assert_true(message.local_refused);
            assert_int_equal(pair.messages, 1); /* still with GSO: it was not to blame */
            assert_int_equal(pair.received[0].segment, segment);
        }
    }
    pair_close(&pair);
}

static void removed_address_gives_way_in_mid_flow(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    support_run("ip address add 10.8.8.8/32 dev lo");
    struct udp_outgoing message = super_message_to(&pair, ENDPOINT_IPV4);
    set_local(&message, "\x0a\x08\x08\x08");
    send_one(&pair, &message);
    assert_false(message.local_refused);
    support_run("ip address del 10.8.8.8/32 dev lo");
    send_one(&pair, &message);
    assert_true(message.local_refused);
    pair_close(&pair);
}

static void without_any_route_the_source_is_not_to_blame(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    struct udp_outgoing messages[2] = {super_message_to(&pair, ENDPOINT_IPV4), super_message_to(&pair, ENDPOINT_IPV4)};
    memcpy(messages[0].to.address, (uint8_t[]){192, 0, 2, 1}, 4);
    memcpy(messages[0].to.local, (uint8_t[]){127, 0, 0, 1}, 4);
    udp_send(pair.a, messages, 2);
    assert_int_equal(messages[0].result, ERROR_IO);
    assert_false(messages[0].local_refused);
    assert_int_equal(messages[1].result, 0);
    receive(&pair, pair.b, ENDPOINT_IPV4, messages[1].len, 1);
    pair_close(&pair);
}

static void segments_beyond_the_path_mtu_go_one_by_one(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    EACH_FAMILY(family)
    {
        struct udp_outgoing message = super_message_to(&pair, family);
        if (family == ENDPOINT_IPV4)
            set_local(&message, "\x7f\0\0\x01");
        message.segment = 2000;
        support_run("ip link set lo mtu 1400");
        send_one(&pair, &message);
        assert_false(message.local_refused);
        assert_int_equal(pair.messages, 5);

        support_run("ip link set lo mtu 65536");
        send_one(&pair, &message);
        assert_int_equal(pair.messages, 5); /* remembered */
        message.segment = SEGMENT;
        send_one(&pair, &message);
        assert_aggregated(&pair); /* smaller ones were not refused */

        udp_forget_limits(pair.a);
        message.segment = 2000;
        send_one(&pair, &message);
        assert_int_equal(pair.messages, 1);
        assert_int_equal(pair.received[0].segment, 2000);
    }
    pair_close(&pair);
}

static void limit_of_one_destination_is_not_another_ones(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    support_run("ip link set lo mtu 1400");
    struct udp_outgoing message = super_message_to(&pair, ENDPOINT_IPV4);
    message.segment = 2000;
    send_one(&pair, &message);
    support_run("ip link set lo mtu 65536");
    message.to.address[3] = 2;
    send_one(&pair, &message);
    assert_int_equal(pair.messages, 1);
    pair_close(&pair);
}

/* The tests ask for IP_RECVERR, so that a refusal surely waits on the socket. */
static void provoke_pending_error(struct pair *pair, enum endpoint_family family)
{
    struct udp *gone = open_udp(true);
    struct udp_outgoing message = message_to(pair, family, 5, 0);
    message.to.port = udp_port(gone);
    udp_close(gone);
    udp_send(pair->a, &message, 1);
    assert_true(support_readable(udp_fd(pair->a, family), SUPPORT_DEADLINE_MS));
}

static void set_error_reports(struct pair *pair)
{
    int on = 1;
    assert_int_equal(setsockopt(udp_fd(pair->a, ENDPOINT_IPV4), IPPROTO_IP, IP_RECVERR, &on, sizeof(on)), 0);
    assert_int_equal(setsockopt(udp_fd(pair->a, ENDPOINT_IPV6), IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on)), 0);
}

static void pending_error_loses_no_message_sent(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    set_error_reports(&pair);
    EACH_FAMILY(family)
    {
        provoke_pending_error(&pair, family);
        struct udp_outgoing message = super_message_to(&pair, family);
        send_one(&pair, &message);
        assert_aggregated(&pair);
    }
    pair_close(&pair);
}

static void pending_error_hides_no_message_received(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    set_error_reports(&pair);
    EACH_FAMILY(family)
    {
        struct udp_outgoing message = message_to(&pair, family, 9, 0);
        message.to.port = udp_port(pair.a);
        udp_send(pair.b, &message, 1);
        provoke_pending_error(&pair, family);
        assert_int_equal(udp_receive(pair.a, family, pair.received, 1), 1);
        assert_int_equal(pair.received[0].len, 9);
        assert_int_equal(udp_receive(pair.a, family, pair.received, 1), 0);
    }
    pair_close(&pair);
}

/* A queue that never drains: an interface with a token bucket far too slow. */
static struct tun *open_stuck_interface(void)
{
    struct tun_options options = {.no_offloads = true};
    struct tun *tun;
    assert_int_equal(tun_open(&tun, "stuck", &options), 0);
    support_run("ip address add 10.7.7.1/24 dev stuck && ip link set stuck up && "
                "tc qdisc add dev stuck root tbf rate 8bit burst 1600 limit 10000000");
    return tun;
}

struct sender {
    struct pair *pair;
    uint8_t last_byte;
};

static void *send_and_forget(void *context)
{
    struct sender *sender = context;
    for (int i = 0; i < 50; i++) {
        struct udp_outgoing message = super_message_to(sender->pair, ENDPOINT_IPV4);
        message.segment = i % 2 == 0 ? 2000 : SEGMENT; /* the first kind is refused, and learned */
        message.to.address[3] = sender->last_byte;
        udp_send(sender->pair->a, &message, 1);
        if (message.result != 0)
            return sender;
        udp_forget_limits(sender->pair->a);
    }
    return NULL;
}

static void several_threads_send_and_learn_limits(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, true);
    support_run("ip link set lo mtu 1400");
    struct sender senders[2] = {{&pair, 1}, {&pair, 2}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_and_forget, &senders[i]), 0);
    for (int i = 0; i < 2; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    support_run("ip link set lo mtu 65536");
    pair_close(&pair);
}

static void full_buffer_is_waited_for_only_so_long(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    struct tun *tun = open_stuck_interface();
    int small = 16384;
    assert_int_equal(setsockopt(udp_fd(pair.a, ENDPOINT_IPV4), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    struct udp_outgoing messages[MESSAGES];
    for (uint32_t i = 0; i < MESSAGES; i++) {
        messages[i] = message_to(&pair, ENDPOINT_IPV4, 1200, 0);
        memcpy(messages[i].to.address, (uint8_t[]){10, 7, 7, 2}, 4);
    }
    uint64_t begin = loop_monotonic();
    udp_send(pair.a, messages, MESSAGES);
    uint64_t waited = loop_monotonic() - begin;
    assert_int_equal(messages[0].result, 0);
    assert_int_equal(messages[MESSAGES - 1].result, ERROR_AGAIN);
    assert_in_range(waited, UINT64_C(100000000), UINT64_C(2000000000));
    tun_close(tun);
    pair_close(&pair);
}

static void taken_port_is_refused(void **state)
{
    (void)state;
    struct udp *first = open_udp(false), *second;
    assert_int_not_equal(udp_port(first), 0);
    struct udp_options options = {.port = udp_port(first)};
    assert_int_equal(udp_open(&second, &options), ERROR_IN_USE);
    udp_close(first);
    assert_int_equal(udp_open(&first, &options), 0);
    assert_int_equal(udp_port(first), options.port);
    udp_close(first);
}

static void sockets_that_another_opened_are_used_and_stay_the_others(void **state)
{
    (void)state;
    struct pair pair;
    int fds[2];
    uint16_t port;
    pair_open(&pair, false);
    udp_close(pair.b);
    assert_int_equal(udp_open_sockets(0, fds, &port), 0);
    for (int i = 0; i < 2; i++) { /* again, after it was closed */
        assert_int_equal(udp_adopt(&pair.b, fds[0], fds[1], false), 0);
        assert_int_equal(udp_port(pair.b), port);
        EACH_FAMILY(family)
        {
            struct udp_outgoing message = message_to(&pair, family, SEGMENT * SEGMENTS, SEGMENT);
            send_one(&pair, &message);
            assert_false(is_zero(pair.received[0].from.local, 16));
        }
        udp_close(pair.b);
    }
    assert_int_equal(udp_adopt(&pair.b, fds[0], -1, false), 0);
    assert_int_equal(udp_fd(pair.b, ENDPOINT_IPV6), -1);
    assert_int_equal(udp_port(pair.b), port);
    pair_close(&pair);
    assert_int_equal(udp_adopt(&pair.b, -1, -1, false), ERROR_IO);
    close(fds[0]);
    close(fds[1]);
}

static void mark_is_set_on_both_families(void **state)
{
    (void)state;
    struct udp_options options = {.mark = 7};
    struct udp *udp;
    assert_int_equal(udp_open(&udp, &options), 0);
    for (uint32_t expected = 7; expected < 9; expected++) {
        EACH_FAMILY(family)
        {
            uint32_t mark = 0;
            socklen_t len = sizeof(mark);
            assert_int_equal(getsockopt(udp_fd(udp, family), SOL_SOCKET, SO_MARK, &mark, &len), 0);
            assert_int_equal(mark, expected);
        }
        assert_int_equal(udp_set_mark(udp, 8), 0);
    }
    udp_close(udp);
}

static void message_without_a_family_is_refused_alone(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, false);
    struct udp_outgoing messages[2] = {message_to(&pair, ENDPOINT_IPV4, 5, 0), message_to(&pair, ENDPOINT_IPV4, 5, 0)};
    messages[0].to.family = ENDPOINT_NONE;
    udp_send(pair.a, messages, 2);
    assert_int_equal(messages[0].result, ERROR_UNSUPPORTED);
    assert_int_equal(messages[1].result, 0);
    receive(&pair, pair.b, ENDPOINT_IPV4, 5, 1);
    pair_close(&pair);
}

int main(void)
{
    if (!support_enter_namespace())
        return 0;
    alarm(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagram_arrives_with_its_endpoint),
        cmocka_unit_test(super_message_arrives_aggregated_where_offloads_are),
        cmocka_unit_test(super_message_arrives_as_datagrams_where_no_offloads_are),
        cmocka_unit_test(sender_without_offloads_sends_datagrams),
        cmocka_unit_test(largest_message_arrives),
        cmocka_unit_test(empty_datagram_is_not_the_end),
        cmocka_unit_test(long_mixed_list_arrives_whole_and_in_order),
        cmocka_unit_test(local_address_is_the_source),
        cmocka_unit_test(link_local_endpoint_is_answered_as_it_came),
        cmocka_unit_test(source_that_is_gone_gives_way_and_is_told),
        cmocka_unit_test(removed_address_gives_way_in_mid_flow),
        cmocka_unit_test(without_any_route_the_source_is_not_to_blame),
        cmocka_unit_test(segments_beyond_the_path_mtu_go_one_by_one),
        cmocka_unit_test(limit_of_one_destination_is_not_another_ones),
        cmocka_unit_test(pending_error_loses_no_message_sent),
        cmocka_unit_test(pending_error_hides_no_message_received),
        cmocka_unit_test(several_threads_send_and_learn_limits),
        cmocka_unit_test(full_buffer_is_waited_for_only_so_long),
        cmocka_unit_test(taken_port_is_refused),
        cmocka_unit_test(sockets_that_another_opened_are_used_and_stay_the_others),
        cmocka_unit_test(mark_is_set_on_both_families),
        cmocka_unit_test(message_without_a_family_is_refused_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
