#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ask.h"
#include "reasons.h"
#include "stops.h"
#include "take_away.h"

/* ---- What fits ---- */

static void every_act_has_an_answer_to_everything(void **state)
{
    (void)state;
    for (int act = 0; act < TAKE_AWAYS; act++)
        for (int standing = 0; standing < STANDINGS; standing++) {
            struct take_away_ruling r = take_away_ruling((enum take_away)act, (enum standing)standing);
            assert_true((r.answer == TAKE_AWAY_DO) == (r.what == NULL));
            assert_true(r.answer != TAKE_AWAY_NO || r.todo);
            assert_true(!r.what || strstr(r.what, "%s"));
        }
}

static void what_is_taken_away_is_there(void **state)
{
    (void)state;
    static const struct {
        enum take_away act;
        enum standing standing;
        enum take_away_answer answer;
    } cases[] = {
        {TAKE_AWAY_REVOKE, STANDING_MEMBER, TAKE_AWAY_DO},       {TAKE_AWAY_REVOKE, STANDING_ISOLATED, TAKE_AWAY_DO},
        {TAKE_AWAY_REVOKE, STANDING_REVOKED, TAKE_AWAY_ALREADY}, {TAKE_AWAY_REVOKE, STANDING_INVITED, TAKE_AWAY_NO},
        {TAKE_AWAY_ISOLATE, STANDING_MEMBER, TAKE_AWAY_DO},      {TAKE_AWAY_ISOLATE, STANDING_REVOKED, TAKE_AWAY_NO},
        {TAKE_AWAY_RESTORE, STANDING_ISOLATED, TAKE_AWAY_DO},    {TAKE_AWAY_RESTORE, STANDING_REVOKED, TAKE_AWAY_NO},
        {TAKE_AWAY_RESTORE, STANDING_MEMBER, TAKE_AWAY_ALREADY}, {TAKE_AWAY_UNINVITE, STANDING_INVITED, TAKE_AWAY_DO},
        {TAKE_AWAY_UNINVITE, STANDING_MEMBER, TAKE_AWAY_NO},     {TAKE_AWAY_UNINVITE, STANDING_UNKNOWN, TAKE_AWAY_NO},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(take_away_ruling(cases[i].act, cases[i].standing).answer, cases[i].answer);
}

static void services_are_written_as_in_a_policy(void **state)
{
    (void)state;
    static const struct {
        struct grant grant;
        const char *text;
    } cases[] = {{{GRANT_TCP, 502, 502}, "tcp/502"},
                 {{GRANT_UDP, 9000, 65535}, "udp/9000-65535"},
                 {{GRANT_TCP, 0, 65535}, "tcp/any"},
                 {{GRANT_ICMP, 0, 0}, "icmp"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[SERVICE_MAX];
        service_print(text, &cases[i].grant);
        assert_string_equal(text, cases[i].text);
    }
}

/* ---- Asking ---- */

static bool answered(const char *answer)
{
    int ours, theirs;
    struct termios silent;
    assert_int_equal(openpty(&ours, &theirs, NULL, NULL, NULL), 0);
    assert_int_equal(tcgetattr(theirs, &silent), 0);
    silent.c_lflag &= (tcflag_t)~ECHO; /* so that nothing but the question is read */
    assert_int_equal(tcsetattr(theirs, TCSANOW, &silent), 0);
    assert_int_equal(write(ours, answer, strlen(answer)), (ssize_t)strlen(answer));
    bool yes = ask_yes_on(theirs, "Revoke pump-7 for good?");
    char seen[256] = "";
    assert_true(read(ours, seen, sizeof(seen) - 1) > 0);
    assert_non_null(strstr(seen, "Revoke pump-7 for good? [y/N] "));
    close(ours);
    close(theirs);
    return yes;
}

static void only_yes_is_a_yes(void **state)
{
    (void)state;
    assert_true(answered("y\n"));
    assert_true(answered("YES\n"));
    assert_false(answered("\n"));
    assert_false(answered("n\n"));
    assert_false(answered("yes, but later\n"));
    assert_false(answered("\x04")); /* the end of input */
}

/* ---- Reasons ---- */

static void a_reason_is_one_line_of_text(void **state)
{
    (void)state;
    char longest[REASON_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[REASON_MAX + 1] = 0;
    assert_false(reason_is_valid(longest));
    longest[REASON_MAX] = 0;
    assert_true(reason_is_valid(longest));
    assert_true(reason_is_valid("stolen, S\xc3\xbc"
                                "d"));
    assert_false(reason_is_valid(""));
    assert_false(reason_is_valid("two\nlines"));
    assert_false(reason_is_valid("\x1b[31m"));
    assert_false(reason_is_valid("\xff"));
}

static json_t *line(const char *act, const char *id, const char *reason)
{
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s?}", "time", 7, "act", act, "device", "pump", "id", id, "statement",
                     "00", "reason", reason);
}

static void the_latest_reason_is_shown_for_who_is_gone(void **state)
{
    (void)state;
    char folder[] = "/tmp/nightjar-reasons-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    struct cli cli = {.state = folder};
    struct state s;
    snprintf(path, sizeof(path), "%s/node", folder);
    cli.state = path;
    assert_int_equal(state_begin(&cli, &s), 0);
    assert_int_equal(state_add_folder(&cli, &s, STATE_OWNER), 0);
    assert_int_equal(state_finish(&cli, &s), 0);
    state_close(&s);
    assert_int_equal(state_open(&cli, &s), 0);
    assert_int_equal(reasons_add(&cli, &s, line("isolate", "aa", "odd")), 0);
    assert_int_equal(reasons_add(&cli, &s, line("revoke", "aa", "stolen")), 0);
    assert_int_equal(reasons_add(&cli, &s, line("restore", "bb", NULL)), 0);
    state_close(&s);
    json_t *answer = json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "devices", "id", "aa", "state", "revoked", "id", "bb",
                               "state", "joined");
    reasons_show(&cli, answer);
    const char *reason = NULL, *by = NULL;
    json_t *devices = json_object_get(answer, "devices");
    assert_int_equal(json_unpack(json_array_get(devices, 0), "{s:s, s:s}", "reason", &reason, "taken_by", &by), 0);
    assert_string_equal(reason, "stolen");
    assert_string_equal(by, "revoke");
    assert_null(json_object_get(json_array_get(devices, 1), "taken_by"));
    json_decref(answer);
    state_remove(&cli);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_act_has_an_answer_to_everything),
        cmocka_unit_test(what_is_taken_away_is_there),
        cmocka_unit_test(services_are_written_as_in_a_policy),
        cmocka_unit_test(only_yes_is_a_yes),
        cmocka_unit_test(a_reason_is_one_line_of_text),
        cmocka_unit_test(the_latest_reason_is_shown_for_who_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
