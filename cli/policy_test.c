#include "policy_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "can.h"
#include "say.h"
#include "show.h"

#define SAID_MAX 50

struct running {
    struct policy_file *w;
    struct who_list who;
    struct policy_known known; /* the file's own rules */
    uint32_t failed;
    json_t *errors; /* NULL: people read */
};

static const char *protocol_name(uint8_t protocol)
{
    return protocol == GRANT_TCP ? "tcp" : protocol == GRANT_UDP ? "udp" : "icmp";
}

static void fail(struct running *r, const struct policy_test *test, const char *text)
{
    if (r->failed++ >= SAID_MAX)
        return;
    fprintf(stderr, "%s:%u:%u: %s\n", r->w->path, test->line, test->column, text);
    if (r->errors)
        json_array_append_new(r->errors, json_pack("{s:s, s:i, s:i, s:s}", "file", r->w->path, "line", (int)test->line,
                                                   "column", (int)test->column, "text", text));
}

static void print_what(char *out, size_t size, const struct policy_test *test)
{
    if (test->protocol == GRANT_ICMP)
        snprintf(out, size, "icmp");
    else
        snprintf(out, size, "%s %u", protocol_name(test->protocol), test->port);
}

static void run_test(struct running *r, const struct policy_test *test)
{
    struct who from, to;
    struct can_answer answer;
    char what[16], rule[CAN_TEXT_MAX / 2], text[2 * CAN_TEXT_MAX];
    const struct can_world world = {&r->w->view, &r->who, &r->known, true, !test->can};
    const struct can_what asked = {test->protocol, test->port, NULL};
    if (!who_find(&r->who, &r->w->view, test->from, &from) || !who_find(&r->who, &r->w->view, test->to, &to)) {
        fail(r, test, "this names somebody who is not there any more");
        return;
    }
    can_decide(&answer, &world, &from, &to, &asked);
    print_what(what, sizeof(what), test);
    if (test->can && !answer.yes) {
        snprintf(text, sizeof(text), "%s should be able to begin %s with %s, and cannot: %s", test->from, what,
                 test->to, answer.reason_count > 0 ? answer.reasons[0].text : "");
        fail(r, test, text);
    } else if (!test->can && answer.yes) {
        can_print_rule(rule, sizeof(rule), answer.rule);
        snprintf(text, sizeof(text), "%s should not be able to begin %s with %s, and can: %s", test->from, what,
                 test->to, rule);
        fail(r, test, text);
    }
}

static int run_all(struct running *r)
{
    const struct policy_file *w = r->w;
    for (uint32_t i = 0; i < w->tests.count; i++)
        run_test(r, &w->tests.all[i]);
    if (r->failed == 0)
        return 0;
    fprintf(stderr, "%s: %u of %u tests failed.\n", w->path, r->failed, w->tests.count);
    if (r->errors)
        (void)show_json(json_pack("{s:b, s:i, s:i, s:O}", "ok", 0, "tests", (int)w->tests.count, "failed",
                                  (int)r->failed, "errors", r->errors));
    return EXIT_NO;
}

int policy_tests_run(struct policy_file *w)
{
    struct running r = {.w = w, .errors = w->cli->json ? json_array() : NULL};
    if (w->tests.count == 0) {
        json_decref(r.errors);
        return 0;
    }
    r.known = (struct policy_known){*w->rules, calloc(w->rules->count + 1, sizeof(uint64_t))};
    int error = r.known.versions ? who_read(&r.who, &w->view) : ERROR_MEMORY;
    int result = error ? say_failed(w->cli, error, "The tests of %s cannot be run", w->path) : run_all(&r);
    who_clear(&r.who);
    free(r.known.versions);
    json_decref(r.errors);
    return result;
}

/* ---- test ---- */

static int tell_passed(const struct policy_file *w)
{
    if (w->cli->json)
        return show_json(json_pack("{s:i, s:i}", "tests", (int)w->tests.count, "failed", 0));
    if (w->tests.count > 0)
        printf("%u tests passed\n", w->tests.count);
    else
        puts("no tests; write some below \"tests:\", as {can: NAME, tcp: PORT, to: NAME}");
    return EXIT_DONE;
}

int command_policy_test(struct cli *cli, const struct arguments *arguments)
{
    struct policy_file w = {.cli = cli, .path = arguments->operands[0]};
    int result = policy_file_read(&w);
    if (!result)
        result = policy_file_look(&w);
    if (!result)
        result = policy_file_parse(&w);
    if (!result)
        result = policy_tests_run(&w);
    if (!result)
        result = tell_passed(&w);
    policy_file_close(&w);
    return result;
}
