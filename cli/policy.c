#include <stdio.h>
#include <stdlib.h>

#include "policy_file.h"
#include "say.h"
#include "show.h"

/* ---- check ---- */

static int tell_checked(struct policy_file *w)
{
    if (w->unchecked)
        say_progress(
            w->cli,
            "%s: the form is right. There is no node at %s, so groups and devices were not looked up: \"policy "
            "publish\" does that.",
            w->path, w->cli->state);
    else
        say_progress(w->cli, "%s: right, %u rules.", w->path, w->rules->count);
    return w->cli->json
               ? show_json(json_pack("{s:i, s:b}", "rules", (int)w->rules->count, "names_checked", !w->unchecked))
               : EXIT_DONE;
}

int command_policy_check(struct cli *cli, const struct arguments *arguments)
{
    struct policy_file w = {.cli = cli, .path = arguments->operands[0]};
    int result = policy_file_read(&w);
    if (!result && state_exists(cli))
        result = policy_file_look(&w);
    if (!result)
        result = policy_file_parse(&w);
    if (!result)
        result = tell_checked(&w);
    policy_file_close(&w);
    return result;
}

/* ---- show ---- */

/* The file that was published from here, if it was. */
static int show_file(struct policy_file *w)
{
    char name[POLICY_FILE_NAME_MAX];
    uint8_t *text;
    size_t len;
    struct files files = state_files(&w->state, STATE_POLICY);
    policy_file_name(name, fold_policy_version(w->view.fold));
    int error = files_read_new(&files, name, POLICY_TEXT_MAX, &text, &len);
    if (error)
        return error;
    fwrite(text, 1, len, stdout);
    free(text);
    return 0;
}

static int print_rules(const struct rule_set *set)
{
    int len = policy_print(set, NULL, 0);
    char *text = len < 0 ? NULL : malloc((size_t)len + 1);
    if (!text)
        return ERROR_MEMORY;
    (void)!policy_print(set, text, (size_t)len + 1);
    fputs(text, stdout);
    free(text);
    return 0;
}

static bool knows(const struct rule_set *set, const struct rule *rule)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (policy_compare_subjects(&set->rules[i].from, &rule->from) == 0 &&
            policy_compare_subjects(&set->rules[i].to, &rule->to) == 0 && set->rules[i].line == rule->line)
            return true;
    return false;
}

/* A rule is told to both of its sides; it is shown once. The rules stay their openings'. */
static int collect(const struct view *v, struct rule_set *out)
{
    for (uint32_t i = 0; i < fold_subject_count(v->fold); i++) {
        struct subject subject;
        uint8_t commitment[SHA256_SIZE];
        const struct rule_set *set =
            fold_subject_at(v->fold, i, &subject, commitment) ? policy_rules_now(v, &subject) : NULL;
        for (uint32_t r = 0; set && r < set->count && out->count < RULES_MAX; r++)
            if (!knows(out, &set->rules[r]))
                out->rules[out->count++] = set->rules[r];
    }
    return 0;
}

static int show_known(struct policy_file *w)
{
    struct rule_set known = {0, calloc(RULES_MAX, sizeof(struct rule))};
    int error = known.rules ? collect(&w->view, &known) : ERROR_MEMORY;
    if (!error)
        error = print_rules(&known);
    free(known.rules);
    return error ? say_failed(w->cli, error, "The rules cannot be shown") : EXIT_DONE;
}

int command_policy_show(struct cli *cli, const struct arguments *arguments)
{
    struct policy_file w = {.cli = cli};
    (void)arguments;
    int result = policy_file_look(&w);
    if (!result) {
        say_progress(cli, "Policy version %llu%s.", (unsigned long long)fold_policy_version(w.view.fold),
                     fold_subject_count(w.view.fold) ? "" : ", which allows nothing");
        result = show_file(&w) == 0 ? EXIT_DONE : show_known(&w);
    }
    policy_file_close(&w);
    return result;
}
