#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "../../../node/conf.h"
#include "../../../node/options.h"

static int parse(struct conf *out, const char *text, unsigned *line)
{
    const char *why;
    int error = conf_parse(out, text, strlen(text), line, &why);
    assert_true((error != 0) == (why != NULL));
    return error;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct conf c;
    unsigned line;
    assert_int_equal(
        parse(&c,
              "# a "
              "node\n\nport=51820\ntun=plant-1\nkeep=tcp/22\nkeep=udp/53\nrelay_rate=2500\naead=chacha20\nkeep=tcp/22",
              &line),
        0);
    assert_int_equal(c.port, 51820);
    assert_string_equal(c.tun, "plant-1");
    assert_int_equal(c.keep.count, 2);
    assert_int_equal(c.relay_rate, 2500);
    assert_true(c.chacha20);
    assert_true(c.keep.ports[1].udp);
    assert_int_equal(c.keep.ports[1].port, 53);
    assert_int_equal(parse(&c, "", &line), 0);
    assert_int_equal(c.port, 0);
}

static void every_error_has_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
    } wrong[] = {
        {"port=0", 1},
        {"port=65536\n", 1},
        {"port=99999999999999999999\n", 1},
        {"port= 1\n", 1},
        {"port=1\nport=2\n", 2},
        {"#\nprot=1\n", 2},
        {"\n\nport\n", 3},
        {"tun=\n", 1},
        {"tun=lo\n", 1},
        {"tun=a/b\n", 1},
        {"tun=sixteen-letters-\n", 1},
        {"tun=nj%d\n", 1},
        {"keep=22\n", 1},
        {"aead=\n", 1},
        {"aead=aes\n", 1},
        {"aead=chacha20\naead=chacha20\n", 2},
        {"relay_rate=0\n", 1},
        {"relay_rate=\n", 1},
        {"relay_rate=1 \n", 1},
        {"relay_rate=100001\n", 1},
        {"relay_rate=4294967297\n", 1},
        {"relay_rate=1\nrelay_rate=2\n", 2},
        {"keep=icmp/1\n", 1},
        {"keep=tcp/022\n", 1},
        {" port=1\n", 1},
        {"port=1\r\n", 1},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct conf c;
        unsigned line;
        assert_int_equal(parse(&c, wrong[i].text, &line), ERROR_MALFORMED);
        assert_int_equal(line, wrong[i].line);
    }
}

static void long_lines_and_nul_bytes_are_refused(void **state)
{
    (void)state;
    char text[200];
    struct conf c;
    unsigned line;
    const char *why;
    memset(text, '#', sizeof(text));
    assert_int_equal(conf_parse(&c, text, sizeof(text), &line, &why), ERROR_MALFORMED);
    assert_int_equal(conf_parse(&c, "port=1\0", 7, &line, &why), ERROR_MALFORMED);
}

static void a_port_is_replaced_and_the_rest_stays(void **state)
{
    (void)state;
    char out[128];
    static const char text[] = "# mine\nport=1\nkeep=tcp/22";
    int len = conf_with_port(text, strlen(text), 51820, out, sizeof(out));
    assert_int_equal(len, (int)strlen(out));
    assert_string_equal(out, "# mine\nkeep=tcp/22\nport=51820\n");
    assert_true(conf_with_port("", 0, 7, out, sizeof(out)) == 7);
    assert_string_equal(out, "port=7\n");
    assert_int_equal(conf_with_port(text, strlen(text), 51820, out, 20), ERROR_OVERFLOW);
}

static int parse_options(struct options *out, const char *a, const char *b, const char *c, const char *d)
{
    const char *given[] = {"nightjard", a, b, c, d};
    char copies[5][32], *argv[6] = {NULL}, complaint[256] = "";
    int argc = 0;
    for (; argc < 5 && given[argc]; argc++) {
        snprintf(copies[argc], sizeof(copies[argc]), "%s", given[argc]);
        argv[argc] = copies[argc];
    }
    int error = options_parse(out, argc, argv, "/default", complaint);
    assert_true((error != 0) == (complaint[0] != '\0'));
    return error;
}

static void options_are_taken(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(parse_options(&o, NULL, NULL, NULL, NULL), 0);
    assert_string_equal(o.state, "/default");
    assert_int_equal(o.mode, MODE_UP);
    assert_int_equal(o.ready_fd, -1);
    assert_int_equal(parse_options(&o, "--state", "/s", "--listen", "1234"), 0);
    assert_int_equal(o.port, 1234);
    assert_int_equal(parse_options(&o, "--darken", "--keep", "tcp/22", "--foreground"), 0);
    assert_true(o.darken && o.foreground);
    assert_int_equal(o.keep.count, 1);
    assert_int_equal(parse_options(&o, "--join", "--ready-fd", "5", NULL), 0);
    assert_int_equal(o.mode, MODE_JOIN);
    assert_int_equal(o.ready_fd, 5);
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(parse_options(&o, "--state", NULL, NULL, NULL), ERROR_INVALID);
    assert_int_equal(parse_options(&o, "--state", "", NULL, NULL), ERROR_INVALID);
    assert_int_equal(parse_options(&o, "--keep", "tcp/22", NULL, NULL), ERROR_INVALID);
    assert_int_equal(parse_options(&o, "--darken", "--keep", "22", NULL), ERROR_INVALID);
    assert_int_equal(parse_options(&o, "--join", "--undarken", NULL, NULL), ERROR_INVALID);
    assert_int_equal(parse_options(&o, "up", NULL, NULL, NULL), ERROR_INVALID);
    assert_int_equal(parse_options(&o, "--listen", "0", NULL, NULL), ERROR_INVALID);
    assert_int_equal(parse_options(&o, "--ready-fd", "5000", NULL, NULL), ERROR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(every_error_has_its_line),
        cmocka_unit_test(long_lines_and_nul_bytes_are_refused),
        cmocka_unit_test(a_port_is_replaced_and_the_rest_stays),
        cmocka_unit_test(options_are_taken),
        cmocka_unit_test(wrong_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
