#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/message.h"

static const struct {
    uint8_t type;
    size_t len;
} exact[] = {{1, 148}, {2, 92}, {3, 64}};

static void handshake_messages_have_exactly_one_length(void **state)
{
    (void)state;
    uint8_t bytes[200] = {0};
    for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++) {
        bytes[0] = exact[i].type;
        for (size_t len = 0; len <= sizeof(bytes); len++)
            assert_int_equal(message_classify(bytes, len), len == exact[i].len ? exact[i].type : MESSAGE_NONE);
    }
}

static void transport_messages_have_a_header_and_a_tag_at_least(void **state)
{
    (void)state;
    uint8_t bytes[200] = {4};
    for (size_t len = 0; len <= sizeof(bytes); len++)
        assert_int_equal(message_classify(bytes, len), len >= 32 ? MESSAGE_TRANSPORT : MESSAGE_NONE);
}

static void native_messages_have_an_inner_header_as_well(void **state)
{
    (void)state;
    uint8_t bytes[200] = {5};
    for (size_t len = 0; len <= sizeof(bytes); len++)
        assert_int_equal(message_classify(bytes, len), len >= 36 ? MESSAGE_NATIVE : MESSAGE_NONE);
}

static void reserved_bytes_must_be_zero(void **state)
{
    (void)state;
    uint8_t bytes[148];
    for (uint8_t type = 0; type < 255; type++)
        for (size_t i = 1; i < 4; i++) {
            memset(bytes, 0, sizeof(bytes));
            bytes[0] = type;
            bytes[i] = 1;
            assert_int_equal(message_classify(bytes, sizeof(bytes)), MESSAGE_NONE);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshake_messages_have_exactly_one_length),
        cmocka_unit_test(transport_messages_have_a_header_and_a_tag_at_least),
        cmocka_unit_test(native_messages_have_an_inner_header_as_well),
        cmocka_unit_test(reserved_bytes_must_be_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
