#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "identity/ticket_text.h"

/* RFC 4648 section 10, without padding; and the two characters that only the URL alphabet has. */
static const struct {
    const char *bytes, *text;
} vectors[] = {
    {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
    {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff\xfe", "-__-"},
};

static void known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len = strlen(vectors[i].bytes);
        assert_int_equal(base64url_length(len), strlen(vectors[i].text));
        base64url_write(text, (const uint8_t *)vectors[i].bytes, len);
        assert_memory_equal(text, vectors[i].text, strlen(vectors[i].text));
        assert_int_equal(base64url_read(bytes, text, strlen(vectors[i].text)), len);
        assert_memory_equal(bytes, vectors[i].bytes, len);
    }
}

static void what_no_bytes_give_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"Z", "Zh", "Zm9", "Zm9vY", "Zg==", "Zm+v", "Zm/v", "Zm9v.", "\xc3\xa4"};
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(base64url_read(bytes, wrong[i], strlen(wrong[i])), ERROR_MALFORMED);
}

static void white_space_is_passed_over(void **state)
{
    (void)state;
    uint8_t bytes[16];
    static const char text[] = " Zm\r\n9v\tYm Fy\n";
    assert_int_equal(base64url_read(bytes, text, strlen(text)), 6);
    assert_memory_equal(bytes, "foobar", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(what_no_bytes_give_is_refused),
        cmocka_unit_test(white_space_is_passed_over),
    };
    return cmocka_run_group_tests_name("identity-ticket-text", tests, NULL, NULL);
}
