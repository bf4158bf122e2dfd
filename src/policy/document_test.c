#include <stdlib.h>
#include <string.h>

#include "policy/document_reader.h"

/* ---- Who ---- */

static void read_name(struct reader *r, const struct node *value, char out[NAME_MAX_LEN + 1])
{
    struct subject subject;
    if (value->kind == NODE_WRONG)
        return;
    if (value->kind != NODE_SCALAR)
        complain(&r->complaints, value->at, "here must stand the name of a group or of a device");
    else if (reader_look_up(r, value, &subject))
        memcpy(out, value->text, strlen(value->text) + 1);
}

static void read_can(struct reader *r, const struct node *value)
{
    r->test.can = true;
    read_name(r, value, r->test.from);
}

static void read_cannot(struct reader *r, const struct node *value)
{
    read_name(r, value, r->test.from);
}

static void read_to(struct reader *r, const struct node *value)
{
    read_name(r, value, r->test.to);
}

/* ---- What ---- */

static void read_port(struct reader *r, uint8_t protocol, const struct node *value)
{
    uint32_t low, high;
    r->test.protocol = protocol;
    if (value->kind == NODE_WRONG)
        return;
    if (value->kind == NODE_SCALAR && reader_ports(value->text, &low, &high) && low == high)
        r->test.port = (uint16_t)low;
    else
        complain(&r->complaints, value->at, "a test is about one port, from 1 to 65535");
}

static void read_tcp(struct reader *r, const struct node *value)
{
    read_port(r, GRANT_TCP, value);
}

static void read_udp(struct reader *r, const struct node *value)
{
    read_port(r, GRANT_UDP, value);
}

static void read_icmp(struct reader *r, const struct node *value)
{
    r->test.protocol = GRANT_ICMP;
    if (value->kind != NODE_WRONG && (value->kind != NODE_SCALAR || strcmp(value->text, "any") != 0))
        complain(&r->complaints, value->at, "icmp can only be \"any\"");
}

static void read_message(struct reader *r, const struct node *value)
{
    complain(&r->complaints, value->at,
             "tests about messages are not supported yet, since rules about messages are not; write \"tcp: 1883\" "
             "(MQTT) or \"udp: 5683\" (CoAP)");
}

enum test_word {
    WORD_CAN,
    WORD_CANNOT,
    WORD_TO,
    WORD_TCP,
    WORD_UDP,
    WORD_ICMP,
    WORD_PUBLISH,
    WORD_SUBSCRIBE,
    WORD_COAP,
    TEST_WORDS
};
static const struct keyword test_words[TEST_WORDS] = {
    [WORD_CAN] = {"can", read_can},
    [WORD_CANNOT] = {"cannot", read_cannot},
    [WORD_TO] = {"to", read_to},
    [WORD_TCP] = {"tcp", read_tcp},
    [WORD_UDP] = {"udp", read_udp},
    [WORD_ICMP] = {"icmp", read_icmp},
    [WORD_PUBLISH] = {"publish", read_message},
    [WORD_SUBSCRIBE] = {"subscribe", read_message},
    [WORD_COAP] = {"coap", read_message},
};

/* ---- Tests ---- */

static uint32_t count_bits(uint32_t bits)
{
    uint32_t count = 0;
    for (; bits; bits &= bits - 1)
        count++;
    return count;
}

static void check_completeness(struct reader *r, const struct node *node, uint32_t seen)
{
    const uint32_t who = 1u << WORD_CAN | 1u << WORD_CANNOT, to = 1u << WORD_TO;
    if (count_bits(seen & who) != 1)
        complain(&r->complaints, node->at, "a test has either \"can\" or \"cannot\": who begins");
    if (!(seen & to))
        complain(&r->complaints, node->at, "the test lacks \"to\": with whom");
    if (count_bits(seen & ~(who | to)) != 1)
        complain(&r->complaints, node->at, "a test is about one thing: one of tcp, udp and icmp");
}

static void add_test(struct reader *r, const struct node *node)
{
    if (r->tests.count == POLICY_TESTS_MAX) {
        complain(&r->complaints, node->at, "there are more than 4096 tests");
        return;
    }
    if (r->tests.count == r->test_capacity) {
        uint32_t capacity = r->test_capacity ? 2 * r->test_capacity : 16;
        struct policy_test *more = realloc(r->tests.all, capacity * sizeof(*more));
        if (!more) {
            r->error = ERROR_MEMORY;
            return;
        }
        r->tests.all = more;
        r->test_capacity = capacity;
    }
    r->tests.all[r->tests.count++] = r->test;
}

static void read_test(struct reader *r, const struct node *node)
{
    if (node->kind == NODE_WRONG)
        return;
    if (node->kind != NODE_MAP) {
        complain(&r->complaints, node->at, "a test is a map: {can: NAME, tcp: PORT, to: NAME}");
        return;
    }
    r->test = (struct policy_test){.line = node->at.line, .column = node->at.column};
    uint32_t seen = reader_map(r, node, test_words, TEST_WORDS, "can, cannot, to, tcp, udp, icmp");
    check_completeness(r, node, seen);
    add_test(r, node);
}

void document_read_tests(struct reader *r, const struct node *value)
{
    if (value->kind == NODE_WRONG || value->empty)
        return;
    if (value->kind != NODE_LIST) {
        complain(&r->complaints, value->at, "\"tests\" is a list; begin each one with \"- \"");
        return;
    }
    for (const struct node *test = value->child; test && !r->error; test = test->next)
        read_test(r, test);
}
