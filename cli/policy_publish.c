#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "ground.h"
#include "ledger/kept.h"
#include "outbox.h"
#include "owner.h"
#include "policy_file.h"
#include "policy_known.h"
#include "policy_test.h"
#include "say.h"
#include "show.h"

#define SUBJECTS_MAX 1024

struct publishing {
    struct policy_file *w;
    uint64_t version;
    uint32_t count; /* of changes, and of openings */
    uint32_t opening_count;
    uint8_t changes[SUBJECTS_MAX * POLICY_CHANGE_SIZE];
    struct outbox_opening openings[SUBJECTS_MAX];
    struct subject subjects[SUBJECTS_MAX];
    uint8_t statement[STATEMENT_MAX];
};

/* Whether they allow the same, in the same order; the lines that they were written in may differ. */
static bool same_rules(const struct rule_set *a, const struct rule_set *b)
{
    bool same = a->count == b->count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = memcmp(&a->rules[i].from, &b->rules[i].from, sizeof(struct subject)) == 0 &&
               memcmp(&a->rules[i].to, &b->rules[i].to, sizeof(struct subject)) == 0 &&
               policy_same_grants(&a->rules[i], &b->rules[i]);
    return same;
}

static int add_change(struct publishing *p, const struct policy_change *change)
{
    if (p->count == SUBJECTS_MAX)
        return ERROR_FULL;
    statement_policy_change_put(p->changes + p->count++ * (size_t)POLICY_CHANGE_SIZE, change);
    return 0;
}

static int add_opening(struct publishing *p, const struct subject *subject, struct rule_set *set,
                       uint8_t commitment[SHA256_SIZE])
{
    struct opening opening = {.kind = OPENING_RULES, .rules = {.subject = *subject, .version = p->version, .set = set}};
    uint8_t *bytes = malloc(OPENING_MAX);
    if (!bytes)
        return ERROR_MEMORY;
    random_draw(NULL, opening.salt, sizeof(opening.salt));
    int len = opening_encode(&opening, bytes, OPENING_MAX);
    int error = len < 0 ? len : opening_commitment(p->w->cli->crypto, commitment, bytes, (size_t)len);
    if (error) {
        free(bytes);
        return error;
    }
    p->openings[p->opening_count++] = (struct outbox_opening){bytes, (size_t)len};
    return 0;
}

/* A subject that rules name: nothing if they are what is in force. */
static int compile_subject(struct publishing *p, const struct subject *subject)
{
    int error = 0;
    struct rule_set *set = policy_of_subject(p->w->rules, subject, &error);
    if (!set)
        return error;
    const struct rule_set *now = policy_rules_now(&p->w->view, subject);
    struct policy_change change = {.subject = *subject};
    if (!now || !same_rules(now, set)) {
        error = p->count == SUBJECTS_MAX ? ERROR_FULL : add_opening(p, subject, set, change.commitment);
        if (!error)
            error = add_change(p, &change);
    }
    rule_set_free(set);
    return error;
}

/* Those that rules name now, and those that had some; ascending, each once. */
static int list_subjects(struct publishing *p, uint32_t *count)
{
    const struct fold *fold = p->w->view.fold;
    uint32_t named = policy_subjects(p->w->rules, p->subjects, SUBJECTS_MAX), old = fold_subject_count(fold);
    if (named + (uint64_t)old > SUBJECTS_MAX)
        return ERROR_FULL;
    for (uint32_t i = 0; i < old; i++) {
        uint8_t commitment[SHA256_SIZE];
        if (fold_subject_at(fold, i, &p->subjects[named], commitment))
            named++;
    }
    qsort(p->subjects, named, sizeof(p->subjects[0]), policy_compare_subjects);
    *count = 0;
    for (uint32_t i = 0; i < named; i++)
        if (i == 0 || policy_compare_subjects(&p->subjects[i], &p->subjects[*count - 1]) != 0)
            p->subjects[(*count)++] = p->subjects[i];
    return 0;
}

static bool is_named(const struct rule_set *rules, const struct subject *subject)
{
    for (uint32_t i = 0; i < rules->count; i++)
        if (policy_compare_subjects(&rules->rules[i].from, subject) == 0 ||
            policy_compare_subjects(&rules->rules[i].to, subject) == 0)
            return true;
    return false;
}

static int compile(struct publishing *p)
{
    uint32_t count = 0;
    int error = list_subjects(p, &count);
    for (uint32_t i = 0; i < count && !error; i++) {
        const struct policy_change gone = {.subject = p->subjects[i], .gone = true};
        error = is_named(p->w->rules, &p->subjects[i]) ? compile_subject(p, &p->subjects[i]) : add_change(p, &gone);
    }
    return error;
}

static int sign(struct publishing *p, const struct arguments *arguments, size_t *len)
{
    struct policy_file *w = p->w;
    struct signer signer;
    struct statement s = {.kind = STATEMENT_POLICY, .network = *fold_network(w->view.fold)};
    s.policy.version = p->version;
    fold_policy_hash(w->view.fold, s.policy.against);
    s.policy.change_count = p->count;
    s.policy.changes = p->changes;
    int result = owner_key(w->cli, arguments, &w->state, OWNER_ROLES, signer.seed);
    if (result)
        return result;
    int signed_len = statement_sign(w->cli->crypto, &s, &signer, 1, p->statement, sizeof(p->statement));
    wipe(&signer, sizeof(signer));
    if (signed_len < 0)
        return say_failed(w->cli, signed_len, "The policy cannot be signed");
    *len = (size_t)signed_len;
    return 0;
}

static int tell_published(struct publishing *p, const struct arguments *arguments, enum outbox_outcome outcome)
{
    struct policy_file *w = p->w;
    if (outcome == OUTBOX_STANDS)
        say_progress(w->cli, "Policy version %llu is in the ledger; it changes %u groups or devices.",
                     (unsigned long long)p->version, p->count);
    int result = !w->cli->json ? EXIT_DONE
                               : show_json(json_pack("{s:I, s:i, s:b}", "version", (json_int_t)p->version, "changes",
                                                     (int)p->count, "pending", outcome == OUTBOX_PENDING));
    return result ? result : outbox_exit_code(outcome, arguments);
}

/* The text is kept before the statement goes out, so that there is no policy in force whose text is lost. */
static int keep_text(struct publishing *p, size_t len)
{
    struct policy_file *w = p->w;
    uint8_t hash[SHA256_SIZE];
    char name[POLICY_FILE_NAME_MAX], hex[KEPT_NAME_SIZE];
    int error = crypto_sha256(w->cli->crypto, hash, p->statement, len);
    if (error)
        return say_failed(w->cli, error, "The policy cannot be kept");
    kept_name(hex, hash);
    policy_file_name(name, p->version, "statement");
    int result = state_write(w->cli, &w->state, STATE_POLICY, name, hex, strlen(hex));
    policy_file_name(name, p->version, "yaml");
    return result ? result : state_write(w->cli, &w->state, STATE_POLICY, name, w->text, w->len);
}

static void forget_text(struct publishing *p)
{
    char name[POLICY_FILE_NAME_MAX];
    struct files files = state_files(&p->w->state, STATE_POLICY);
    policy_file_name(name, p->version, "yaml");
    (void)!files_remove(&files, name);
    policy_file_name(name, p->version, "statement");
    (void)!files_remove(&files, name);
}

static int hand_in(struct publishing *p, const struct arguments *arguments, size_t len)
{
    struct policy_file *w = p->w;
    int result = keep_text(p, len);
    if (result)
        return result;
    enum outbox_outcome outcome =
        outbox_submit(w->cli, &w->state, "The policy", p->statement, len, p->openings, p->opening_count);
    if (outcome == OUTBOX_STANDS || outcome == OUTBOX_PENDING)
        return tell_published(p, arguments, outcome);
    forget_text(p);
    return EXIT_NO;
}

static int publish(struct publishing *p, const struct arguments *arguments)
{
    size_t len = 0;
    p->version = fold_policy_version(p->w->view.fold) + 1;
    int error = compile(p);
    if (error == ERROR_FULL)
        return say_no(p->w->cli, "Name groups rather than devices.", "%s changes more than %d groups and devices.",
                      p->w->path, SUBJECTS_MAX);
    if (error)
        return say_failed(p->w->cli, error, "%s cannot be compiled", p->w->path);
    if (p->count == 0) {
        say_progress(p->w->cli, "%s says what is in force already; nothing was published.", p->w->path);
        return p->w->cli->json ? show_json(json_pack("{s:i, s:b}", "changes", 0, "pending", 0)) : EXIT_DONE;
    }
    int result = sign(p, arguments, &len);
    return result ? result : hand_in(p, arguments, len);
}

static int publish_rules(struct policy_file *w, const struct arguments *arguments)
{
    struct publishing *p = calloc(1, sizeof(*p));
    if (!p)
        return say_failed(w->cli, ERROR_MEMORY, "%s cannot be compiled", w->path);
    p->w = w;
    int result = publish(p, arguments);
    for (uint32_t i = 0; i < p->opening_count; i++)
        free((void *)p->openings[i].bytes);
    free(p);
    return result;
}

int command_policy_publish(struct cli *cli, const struct arguments *arguments)
{
    struct policy_file w = {.cli = cli, .path = arguments->operands[0], .signs = true};
    int result = policy_file_read(&w);
    if (!result)
        result = policy_file_look(&w);
    if (!result && view_policy_waits(&w.view))
        result = say_no(cli, "Start the node (nightjar up), so that it goes out; then publish again.",
                        "A policy that was published before still waits in %s/outbox.", w.state.path);
    if (!result)
        result = policy_file_parse(&w);
    if (!result)
        result = policy_tests_run(&w);
    if (!result)
        result = publish_rules(&w, arguments);
    policy_file_close(&w);
    return result;
}
