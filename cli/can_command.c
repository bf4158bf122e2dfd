/* nightjar can FROM tcp|udp|icmp|publish|subscribe|coap [WHAT] TO */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "can.h"
#include "control.h"
#include "say.h"
#include "show.h"

#define ANSWER_MS 2000
#define NOTES_MAX 5

struct asking {
    struct cli *cli;
    const char *names[2]; /* from, to */
    const char *verb, *object;
    struct can_what what;
    struct state state;
    struct view view;
    struct who_list who;
    struct policy_known policy;
    struct can_answer answer;
    uint32_t note_count;
    const char *notes[NOTES_MAX];
};

/* ---- Notes ---- */

static void note(struct asking *a, const char *text)
{
    if (a->note_count < NOTES_MAX)
        a->notes[a->note_count++] = text;
}

static bool has_problem(const json_t *status, const char *code)
{
    const json_t *problems = json_object_get(status, "problems");
    for (size_t i = 0; i < json_array_size(problems); i++) {
        const char *found = json_string_value(json_object_get(json_array_get(problems, i), "code"));
        if (found && strcmp(found, code) == 0)
            return true;
    }
    return false;
}

/* How fresh this node's knowledge is: only the daemon hears of what is new. */
static void note_freshness(struct asking *a)
{
    struct control *c;
    json_t *status = NULL;
    int error = control_open(&c, a->cli);
    if (error == ERROR_NOT_FOUND)
        note(a, "The daemon is down: what was decided elsewhere since it last ran is not known here.");
    if (error)
        return;
    error = control_ask(c, "status", NULL, ANSWER_MS, &status);
    control_close(c);
    if (error)
        return;
    if (has_problem(status, "policy-incomplete"))
        note(a, "This node waits for rules of this version that have not arrived, and still goes by the one before.");
    if (has_problem(status, "no-relay"))
        note(a, "This node reaches no relay: what was decided elsewhere since then is not known here.");
    json_decref(status);
}

static void note_all(struct asking *a)
{
    if (a->what.note)
        note(a, a->what.note);
    if (view_policy_waits(&a->view))
        note(a, "A newer policy waits in the outbox; this is about the one in force.");
    note_freshness(a);
}

/* ---- Telling ---- */

static json_t *rule_json(const struct can_answer *answer)
{
    char text[CAN_TEXT_MAX];
    if (!answer->rule)
        return json_null();
    can_print_rule(text, sizeof(text), answer->rule);
    return json_pack("{s:s, s:i, s:I, s:s, s:s}", "text", text, "line", (int)answer->rule->line, "version",
                     (json_int_t)answer->version, "from", answer->rule->from_name, "to", answer->rule->to_name);
}

static json_t *reasons_json(const struct can_answer *answer)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < answer->reason_count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "code", answer->reasons[i].code, "text", answer->reasons[i].text));
    return list;
}

static json_t *answer_json(const struct asking *a)
{
    json_t *notes = json_array();
    for (uint32_t i = 0; i < a->note_count; i++)
        json_array_append_new(notes, json_string(a->notes[i]));
    return json_pack("{s:b, s:s, s:s, s:s?, s:s, s:I, s:o, s:o, s:o}", "can", a->answer.yes, "from", a->names[0],
                     "verb", a->verb, "what", a->object, "to", a->names[1], "policy_version",
                     (json_int_t)(a->view.fold ? fold_policy_version(a->view.fold) : 0), "rule", rule_json(&a->answer),
                     "reasons", reasons_json(&a->answer), "notes", notes);
}

static void print_answer(const struct asking *a)
{
    char rule[CAN_TEXT_MAX];
    puts(a->answer.yes ? "yes" : "no");
    if (a->answer.yes && a->answer.rule) {
        can_print_rule(rule, sizeof(rule), a->answer.rule);
        printf("  %s of policy version %llu\n", rule, (unsigned long long)a->answer.version);
    }
    for (uint32_t i = 0; i < a->answer.reason_count; i++)
        printf("  %s\n", a->answer.reasons[i].text);
    for (uint32_t i = 0; i < a->note_count; i++)
        printf("  (%s)\n", a->notes[i]);
}

static int tell(struct asking *a)
{
    note_all(a);
    if (a->cli->json && show_json(answer_json(a)))
        return EXIT_NO;
    if (!a->cli->json)
        print_answer(a);
    return a->answer.yes ? EXIT_DONE : EXIT_NO;
}

/* ---- Asking ---- */

static void say_unknown(struct asking *a, const char *name)
{
    struct can_answer *answer = &a->answer;
    answer->reasons[answer->reason_count].code = "unknown";
    snprintf(answer->reasons[answer->reason_count++].text, CAN_TEXT_MAX,
             "No device or group called %s is known to this node.", name);
}

static void decide(struct asking *a)
{
    struct who sides[2];
    const struct can_world world = {.view = &a->view, .who = &a->who, .policy = &a->policy};
    for (int i = 0; i < 2; i++)
        if (!who_find(&a->who, &a->view, a->names[i], &sides[i]))
            say_unknown(a, a->names[i]);
    if (a->answer.reason_count > 0)
        return;
    if (strcmp(a->names[0], a->names[1]) == 0 && !sides[0].is_group) {
        a->answer.yes = true;
        note(a, "A device's talk with itself never leaves it, and no rule is asked.");
        return;
    }
    can_decide(&a->answer, &world, &sides[0], &sides[1], &a->what);
}

static int ask(struct asking *a)
{
    if (state_open(a->cli, &a->state))
        return EXIT_NO;
    int result = view_read(a->cli, &a->view, &a->state) ? EXIT_NO : 0;
    if (!result && (who_read(&a->who, &a->view) || policy_known_read(&a->policy, &a->view)))
        result = say_failed(a->cli, ERROR_MEMORY, "The policy in %s cannot be read", a->state.path);
    if (!result) {
        decide(a);
        result = tell(a);
    }
    policy_known_clear(&a->policy);
    who_clear(&a->who);
    view_clear(&a->view);
    state_close(&a->state);
    return result;
}

int command_can(struct cli *cli, const struct arguments *arguments)
{
    bool has_object = arguments->operand_count == 4;
    struct asking *a = calloc(1, sizeof(*a));
    if (!a)
        return say_failed(cli, ERROR_MEMORY, "The question cannot be answered");
    a->cli = cli;
    a->names[0] = arguments->operands[0];
    a->names[1] = arguments->operands[has_object ? 3 : 2];
    a->verb = arguments->operands[1];
    a->object = has_object ? arguments->operands[2] : NULL;
    const char *complaint = can_what_read(&a->what, a->verb, a->object);
    int result = complaint ? say_usage(cli, "can", "%s", complaint) : ask(a);
    free(a);
    return result;
}
