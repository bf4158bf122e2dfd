#include "stops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "control.h"
#include "policy_file.h"
#include "say.h"
#include "values.h"

#define ANSWER_MS 3000
#define SHOWN 20u /* lines of each list */
#define NAMED 6u  /* devices of one rule */
#define SUBJECTS (OPENING_GROUPS_MAX + 2)

/* ---- Who is meant by a rule ---- */

/* `all`, itself, its groups. */
static uint32_t subjects_of(const struct opening_invite *o, const struct device_id *id, struct subject out[SUBJECTS])
{
    uint32_t count = 0;
    memset(&out[count++], 0, sizeof(out[0]));
    memcpy(out[count++].bytes, id->bytes, sizeof(id->bytes));
    for (uint32_t i = 0; i < o->group_count; i++)
        out[count++] = o->groups[i].id;
    return count;
}

static bool is_among(const struct subject *list, uint32_t count, const struct subject *s)
{
    for (uint32_t i = 0; i < count; i++)
        if (policy_compare_subjects(&list[i], s) == 0)
            return true;
    return false;
}

static json_t *names_of(const struct view *v, const struct fold_device *but, const struct subject *s)
{
    struct subject subjects[SUBJECTS];
    json_t *names = json_array();
    for (uint32_t i = 0; i < fold_device_count(v->fold); i++) {
        const struct fold_device *d = fold_device_at(v->fold, i);
        const struct opening_invite *o = d != but && fold_device_is_live(v->fold, d) ? view_invite(v, d) : NULL;
        if (o && is_among(subjects, subjects_of(o, &d->id, subjects), s))
            json_array_append_new(names, json_string(o->name));
    }
    return names;
}

/* ---- The rules in force ---- */

void service_print(char out[SERVICE_MAX], const struct grant *g)
{
    const char *protocol = g->protocol == GRANT_TCP ? "tcp" : "udp";
    if (g->protocol == GRANT_ICMP)
        snprintf(out, SERVICE_MAX, "icmp");
    else if (g->low == 0 && g->high == UINT16_MAX)
        snprintf(out, SERVICE_MAX, "%s/any", protocol);
    else if (g->low == g->high)
        snprintf(out, SERVICE_MAX, "%s/%u", protocol, g->low);
    else
        snprintf(out, SERVICE_MAX, "%s/%u-%u", protocol, g->low, g->high);
}

static json_t *services_of(const struct rule *rule)
{
    char text[SERVICE_MAX];
    json_t *list = json_array();
    for (uint32_t i = 0; i < rule->grant_count; i++) {
        service_print(text, &rule->grants[i]);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static void add_rule(json_t *list, const struct view *v, const struct fold_device *d, const struct rule *rule, bool out)
{
    json_array_append_new(list,
                          json_pack("{s:s, s:s, s:o, s:o}", "direction", out ? "out" : "in", "with",
                                    out ? rule->to_name : rule->from_name, "devices",
                                    names_of(v, d, out ? &rule->to : &rule->from), "services", services_of(rule)));
}

static bool said_before(const json_t *list, const json_t *entry)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), entry))
            return true;
    return false;
}

/* A rule stands in the sets of both of its subjects. */
static void add_new(json_t *list, json_t *found)
{
    size_t i;
    json_t *entry;
    json_array_foreach(found, i, entry)
    {
        if (!said_before(list, entry))
            json_array_append(list, entry);
    }
    json_decref(found);
}

static json_t *rules_of(const struct view *v, const struct fold_device *d, const struct opening_invite *o)
{
    struct subject subjects[SUBJECTS];
    uint32_t count = subjects_of(o, &d->id, subjects);
    json_t *list = json_array();
    for (uint32_t s = 0; s < count; s++) {
        const struct rule_set *set = policy_rules_now(v, &subjects[s]);
        json_t *found = json_array();
        for (uint32_t i = 0; set && i < set->count; i++) {
            if (set->rules[i].grant_count == 0)
                continue;
            if (is_among(subjects, count, &set->rules[i].from))
                add_rule(found, v, d, &set->rules[i], true);
            if (is_among(subjects, count, &set->rules[i].to))
                add_rule(found, v, d, &set->rules[i], false);
        }
        add_new(list, found);
    }
    return list;
}

/* ---- Live flows ---- */

/* NULL: there is no daemon that tells. */
static json_t *ask_flows(struct cli *cli, const char *name)
{
    struct control *c;
    json_t *answer = NULL;
    if (control_open(&c, cli))
        return NULL;
    if (control_ask(c, "flows", json_pack("{s:s}", "device", name), ANSWER_MS, &answer))
        answer = NULL;
    control_close(c);
    if (json_is_array(json_object_get(answer, "flows")))
        return answer;
    json_decref(answer);
    return NULL;
}

json_t *stops_look(struct cli *cli, const struct view *v, const struct fold_device *d)
{
    const struct opening_invite *o = view_invite(v, d);
    json_t *answer = o ? ask_flows(cli, o->name) : NULL, *flows = json_object_get(answer, "flows");
    json_t *stops = json_pack("{s:O?, s:I, s:s, s:o}", "flows", flows, "flows_more",
                              json_integer_value(json_object_get(answer, "more")), "flows_scope",
                              flows ? "Flows between other machines are not seen from here."
                                    : "The daemon does not run here, so that no flows are seen.",
                              "rules", o ? rules_of(v, d, o) : json_array());
    json_decref(answer);
    return stops;
}

/* ---- For people ---- */

static const char *text(const json_t *o, const char *key)
{
    const char *value = json_string_value(json_object_get(o, key));
    return value ? value : "";
}

static void print_flow(const char *name, const json_t *flow)
{
    char idle[AMOUNT_MAX];
    long long port = json_integer_value(json_object_get(flow, "port")),
              count = json_integer_value(json_object_get(flow, "count"));
    seconds_print(idle, (uint64_t)json_integer_value(json_object_get(flow, "idle_s")));
    if (strcmp(text(flow, "protocol"), "relayed") == 0)
        fprintf(stderr, "  %s and %s pass packets through this relay, last %s ago\n", name, text(flow, "peer"), idle);
    else if (strcmp(text(flow, "direction"), "out") == 0)
        fprintf(stderr, "  from here to %s: %s/%lld, %lld open, last used %s ago\n", name, text(flow, "protocol"), port,
                count, idle);
    else
        fprintf(stderr, "  from %s to here: %s/%lld, %lld open, last used %s ago\n", name, text(flow, "protocol"), port,
                count, idle);
}

static void print_texts(const json_t *list, size_t most)
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && i < most; i++)
        fprintf(stderr, "%s%s", i ? ", " : "", json_string_value(json_array_get(list, i)));
    if (count > most)
        fprintf(stderr, " and %zu more", count - most);
}

static void print_rule(const char *name, const json_t *rule)
{
    bool out = strcmp(text(rule, "direction"), "out") == 0;
    const char *with = text(rule, "with");
    const json_t *devices = json_object_get(rule, "devices");
    fprintf(stderr, "  %s may reach %s: ", out ? name : with, out ? with : name);
    print_texts(json_object_get(rule, "services"), NAMED);
    fputs(json_array_size(devices) ? " (" : " (nobody now", stderr);
    print_texts(devices, NAMED);
    fputs(")\n", stderr);
}

static void print_list(const char *name, const json_t *list, void (*print)(const char *, const json_t *))
{
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && i < SHOWN; i++)
        print(name, json_array_get(list, i));
    if (count > SHOWN)
        fprintf(stderr, "  and %zu more\n", count - SHOWN);
}

void stops_print(const struct cli *cli, const char *name, const json_t *stops)
{
    const json_t *flows = json_object_get(stops, "flows"), *rules = json_object_get(stops, "rules");
    if (cli->quiet || cli->json)
        return;
    fprintf(stderr, "Flows with %s now:%s\n", name, json_array_size(flows) ? "" : " none are seen.");
    print_list(name, flows, print_flow);
    fprintf(stderr, "  %s\n", text(stops, "flows_scope"));
    fprintf(stderr, "What the rules let it do, and with it stops:%s\n", json_array_size(rules) ? "" : " nothing.");
    print_list(name, rules, print_rule);
}
