#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/kept.h"
#include "policy_file.h"
#include "policy_known.h"
#include "policy_test.h"
#include "say.h"
#include "show.h"

/* ---- check ---- */

static int tell_checked(struct policy_file *w)
{
    if (w->unchecked)
        say_progress(w->cli,
                     "%s: the form is right. There is no node at %s, so groups and devices were not looked up, and "
                     "tests not run: "
                     "\"policy publish\" does that.",
                     w->path, w->cli->state);
    else
        say_progress(w->cli, "%s: right, %u rules, %u tests passed.", w->path, w->rules->count, w->tests.count);
    return w->cli->json ? show_json(json_pack("{s:i, s:b, s:i}", "rules", (int)w->rules->count, "names_checked",
                                              !w->unchecked, "tests", w->has_state ? (int)w->tests.count : 0))
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
    if (!result && w.has_state)
        result = policy_tests_run(&w);
    if (!result)
        result = tell_checked(&w);
    policy_file_close(&w);
    return result;
}

/* ---- show ---- */

static int show_text(struct policy_file *w, const char *text)
{
    if (w->cli->json)
        return show_json(
            json_pack("{s:I, s:s}", "version", (json_int_t)fold_policy_version(w->view.fold), "text", text));
    return fputs(text, stdout) < 0 || fflush(stdout) ? EXIT_NO : EXIT_DONE;
}

/* Whether what was published from here as that version is what is in force. */
static bool is_ours(struct policy_file *w, const struct files *files, uint64_t version)
{
    uint8_t hash[SHA256_SIZE];
    char name[POLICY_FILE_NAME_MAX], now[KEPT_NAME_SIZE], ours[KEPT_NAME_SIZE];
    size_t len;
    fold_policy_hash(w->view.fold, hash);
    kept_name(now, hash);
    policy_file_name(name, version, "statement");
    return files_read(files, name, ours, sizeof(ours), &len) == 0 && len == strlen(now) && memcmp(ours, now, len) == 0;
}

/* The file that was published from here; NULL: it was not. The caller frees. */
static char *read_ours(struct policy_file *w)
{
    char name[POLICY_FILE_NAME_MAX], *text = NULL;
    uint8_t *bytes;
    size_t len;
    uint64_t version = fold_policy_version(w->view.fold);
    struct files files = state_files(&w->state, STATE_POLICY);
    policy_file_name(name, version, "yaml");
    if (!is_ours(w, &files, version) || files_read_new(&files, name, POLICY_TEXT_MAX, &bytes, &len))
        return NULL;
    text = strndup((const char *)bytes, len);
    free(bytes);
    return text;
}

static char *print_rules(const struct rule_set *set)
{
    int len = policy_print(set, NULL, 0);
    char *text = len < 0 ? NULL : malloc((size_t)len + 1);
    if (text)
        (void)!policy_print(set, text, (size_t)len + 1);
    return text;
}

/* What this node knows of it, a line for each rule. */
static char *list_known(struct policy_file *w)
{
    struct policy_known known;
    if (policy_known_read(&known, &w->view))
        return NULL;
    char *text = print_rules(&known.rules);
    policy_known_clear(&known);
    return text;
}

int command_policy_show(struct cli *cli, const struct arguments *arguments)
{
    struct policy_file w = {.cli = cli};
    (void)arguments;
    int result = policy_file_look(&w);
    if (!result) {
        say_progress(cli, "Policy version %llu%s.", (unsigned long long)fold_policy_version(w.view.fold),
                     fold_subject_count(w.view.fold) ? "" : ", which allows nothing");
        char *text = read_ours(&w);
        if (!text)
            text = list_known(&w);
        result = text ? show_text(&w, text) : say_failed(cli, ERROR_MEMORY, "The rules cannot be shown");
        free(text);
    }
    policy_file_close(&w);
    return result;
}
