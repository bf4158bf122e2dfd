/* nightjar policy diff FILE: what would change, in rules and in effect. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "can.h"
#include "policy/difference.h"
#include "policy_file.h"
#include "say.h"
#include "show.h"

#define PAIRS_SHOWN_MAX 100

/* Devices that policy cannot tell apart. */
struct class
{
    uint32_t like; /* the first of them, in the list */
    uint32_t count;
};

struct effect {
    uint64_t pairs; /* of devices */
    uint32_t shown;
    json_t *list; /* of {from, to, what} */
};

struct diffing {
    struct policy_file *w;
    struct who_list who;
    struct policy_known now;
    struct rule_set changed; /* rules of one side only; borrowed */
    json_t *added, *removed; /* rules, as texts */
    uint32_t class_count;
    struct class *classes;
    uint32_t *class_of; /* of each device */
    struct effect gained, lost;
};

/* ---- Rules ---- */

static void list_missing(struct diffing *d, const struct rule_set *from, const struct rule_set *in, json_t *out)
{
    char text[CAN_TEXT_MAX];
    for (uint32_t i = 0; i < from->count; i++) {
        if (policy_holds_rule(in, &from->rules[i]))
            continue;
        can_print_rule(text, sizeof(text), &from->rules[i]);
        json_array_append_new(out, json_string(text));
        d->changed.rules[d->changed.count++] = from->rules[i];
    }
}

static int compare_rules(struct diffing *d)
{
    d->changed.rules = calloc((size_t)d->now.rules.count + d->w->rules->count + 1, sizeof(struct rule));
    d->added = json_array();
    d->removed = json_array();
    if (!d->changed.rules || !d->added || !d->removed)
        return ERROR_MEMORY;
    list_missing(d, d->w->rules, &d->now.rules, d->added);
    list_missing(d, &d->now.rules, d->w->rules, d->removed);
    return 0;
}

/* ---- Classes ---- */

static bool is_named(const struct rule_set *set, const struct subject *subject)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (policy_compare_subjects(&set->rules[i].from, subject) == 0 ||
            policy_compare_subjects(&set->rules[i].to, subject) == 0)
            return true;
    return false;
}

/* Whether each subject of `a` that any rule names is one of `b`'s too. */
static bool is_within(const struct diffing *d, const struct who *a, const struct who *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!who_is(b, &a->subjects[i]) &&
            (is_named(d->w->rules, &a->subjects[i]) || is_named(&d->now.rules, &a->subjects[i])))
            return false;
    return true;
}

static const struct who *like(const struct diffing *d, uint32_t class)
{
    return &d->who.all[d->classes[class].like];
}

static uint32_t find_class(struct diffing *d, uint32_t device)
{
    const struct who *w = &d->who.all[device];
    uint32_t i = 0;
    while (i < d->class_count && !(is_within(d, w, like(d, i)) && is_within(d, like(d, i), w)))
        i++;
    if (i == d->class_count)
        d->classes[d->class_count++].like = device;
    return i;
}

static bool counts(const struct who *w)
{
    return !w->device || view_is_there(w->device);
}

static int classify(struct diffing *d)
{
    d->classes = calloc(d->who.count + 1, sizeof(struct class));
    d->class_of = calloc(d->who.count + 1, sizeof(uint32_t));
    if (!d->classes || !d->class_of)
        return ERROR_MEMORY;
    for (uint32_t i = 0; i < d->who.count; i++) {
        if (!counts(&d->who.all[i]))
            continue;
        d->class_of[i] = find_class(d, i);
        d->classes[d->class_of[i]].count++;
    }
    return 0;
}

/* ---- Effect ---- */

static void show_pair(struct effect *e, const struct who *from, const struct who *to, struct grant *grants,
                      uint32_t count)
{
    char text[CAN_TEXT_MAX];
    static const char end[] = " (line ";
    struct rule rule = {.grant_count = count, .grants = grants};
    can_print_rule(text, sizeof(text), &rule); /* " -> : tcp 1883 (line 0)" */
    char *line = strstr(text, end);
    if (line)
        *line = 0;
    json_array_append_new(
        e->list, json_pack("{s:s, s:s, s:s}", "from", from->name, "to", to->name, "what", text + strlen(" -> : ")));
    e->shown++;
}

static bool is_of(const struct diffing *d, uint32_t device, uint32_t class)
{
    return counts(&d->who.all[device]) && d->class_of[device] == class;
}

static void show_pairs(struct diffing *d, struct effect *e, uint32_t from, uint32_t to, struct grant *grants,
                       uint32_t count)
{
    for (uint32_t i = 0; i < d->who.count && e->shown < PAIRS_SHOWN_MAX; i++)
        for (uint32_t j = 0; is_of(d, i, from) && j < d->who.count && e->shown < PAIRS_SHOWN_MAX; j++)
            if (i != j && is_of(d, j, to))
                show_pair(e, &d->who.all[i], &d->who.all[j], grants, count);
}

static void add_effect(struct diffing *d, struct effect *e, uint32_t from, uint32_t to, const struct grant *a,
                       uint32_t a_count, const struct grant *b, uint32_t b_count)
{
    struct grant left[DIFFERENCE_MAX];
    uint32_t count = grants_minus(a, a_count, b, b_count, left);
    uint64_t pairs = (uint64_t)d->classes[from].count * (d->classes[to].count - (from == to));
    if (count == 0 || pairs == 0)
        return;
    e->pairs += pairs;
    show_pairs(d, e, from, to, left, count);
}

static uint32_t grants_of(const struct rule_set *set, const struct who *from, const struct who *to,
                          struct grant out[GRANTS_MAX])
{
    return rules_grants(&set, 1, from->subjects, from->count, to->subjects, to->count, out);
}

static void compare_classes(struct diffing *d, uint32_t i, uint32_t j)
{
    struct grant before[GRANTS_MAX], after[GRANTS_MAX];
    const struct who *from = like(d, i), *to = like(d, j);
    if (grants_of(&d->changed, from, to, before) == 0) /* no rule that changes concerns them */
        return;
    uint32_t before_count = grants_of(&d->now.rules, from, to, before);
    uint32_t after_count = grants_of(d->w->rules, from, to, after);
    add_effect(d, &d->gained, i, j, after, after_count, before, before_count);
    add_effect(d, &d->lost, i, j, before, before_count, after, after_count);
}

static int compare_effects(struct diffing *d)
{
    int error = classify(d);
    d->gained.list = json_array();
    d->lost.list = json_array();
    if (error || !d->gained.list || !d->lost.list)
        return ERROR_MEMORY;
    for (uint32_t i = 0; i < d->class_count; i++)
        for (uint32_t j = 0; j < d->class_count; j++)
            compare_classes(d, i, j);
    return 0;
}

/* ---- Telling ---- */

static void print_rules(const char *sign, const json_t *rules)
{
    for (size_t i = 0; i < json_array_size(rules); i++)
        printf("%s rule  %s\n", sign, json_string_value(json_array_get(rules, i)));
}

static void print_effect(const char *sign, const char *verb, const struct effect *e)
{
    for (size_t i = 0; i < json_array_size(e->list); i++) {
        const json_t *pair = json_array_get(e->list, i);
        printf("%s %s -> %s: %s\n", sign, json_string_value(json_object_get(pair, "from")),
               json_string_value(json_object_get(pair, "to")), json_string_value(json_object_get(pair, "what")));
    }
    if (e->pairs > e->shown)
        printf("%s and %llu pairs of devices more\n", sign, (unsigned long long)(e->pairs - e->shown));
    if (e->pairs > 0)
        printf("%llu pairs of devices %s something\n", (unsigned long long)e->pairs, verb);
}

static int tell(struct diffing *d)
{
    bool same = d->changed.count == 0;
    uint64_t version = fold_policy_version(d->w->view.fold);
    if (d->w->cli->json) {
        int result = show_json(json_pack("{s:b, s:I, s:O, s:O, s:O, s:O, s:I, s:I}", "same", same, "version",
                                         (json_int_t)version, "rules_added", d->added, "rules_removed", d->removed,
                                         "gained", d->gained.list, "lost", d->lost.list, "gained_pairs",
                                         (json_int_t)d->gained.pairs, "lost_pairs", (json_int_t)d->lost.pairs));
        return result ? result : same ? EXIT_DONE : EXIT_NO;
    }
    if (same)
        printf("the same as policy version %llu, which is in force\n", (unsigned long long)version);
    print_rules("-", d->removed);
    print_rules("+", d->added);
    print_effect("-", "lose", &d->lost);
    print_effect("+", "gain", &d->gained);
    if (!same && d->gained.pairs + d->lost.pairs == 0)
        puts("no two devices gain or lose anything");
    return same ? EXIT_DONE : EXIT_NO;
}

static int diff(struct diffing *d)
{
    struct policy_file *w = d->w;
    if (!policy_known_all(&w->view))
        return say_no(w->cli, "Do it on an operator's machine.",
                      "This node does not hold the whole policy that is in force.");
    int error = policy_known_read(&d->now, &w->view);
    if (!error)
        error = who_read(&d->who, &w->view);
    if (!error)
        error = compare_rules(d);
    if (!error)
        error = compare_effects(d);
    return error ? say_failed(w->cli, error, "%s cannot be compared", w->path) : tell(d);
}

static void clear(struct diffing *d)
{
    json_t *all[] = {d->added, d->removed, d->gained.list, d->lost.list};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        json_decref(all[i]);
    free(d->changed.rules);
    free(d->classes);
    free(d->class_of);
    policy_known_clear(&d->now);
    who_clear(&d->who);
}

int command_policy_diff(struct cli *cli, const struct arguments *arguments)
{
    struct policy_file w = {.cli = cli, .path = arguments->operands[0]};
    struct diffing d = {.w = &w};
    int result = policy_file_read(&w);
    if (!result)
        result = policy_file_look(&w);
    if (!result)
        result = policy_file_parse(&w);
    if (!result)
        result = diff(&d);
    clear(&d);
    policy_file_close(&w);
    return result;
}
