#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "say.h"
#include "show.h"
#include "values.h"
#include "wire/names.h"

#define ANSWER_MS 5000
#define COUNT_MAX 1000000
#define DEFAULT_COUNT 3

struct pinging {
    struct cli *cli;
    const char *device;
    uint64_t count, answered;
    uint64_t least, most, sum; /* us */
    json_t *results;           /* with --json */
};

static void print_answer(const struct pinging *p, const json_t *answer, uint64_t us)
{
    const char *path = json_string_value(json_object_get(answer, "path"));
    const char *relay = json_string_value(json_object_get(answer, "relay"));
    printf("%s: %.2f ms, %s%s%s\n", p->device, (double)us / 1000, path ? path : "", relay && *relay ? " by " : "",
           relay ? relay : "");
    fflush(stdout);
}

static void note(struct pinging *p, const json_t *answer, uint64_t us)
{
    p->least = p->answered == 0 || us < p->least ? us : p->least;
    p->most = us > p->most ? us : p->most;
    p->sum += us;
    p->answered++;
    if (!p->cli->json)
        print_answer(p, answer, us);
}

/* A silent device's no names the device; any other will not become a yes. */
static bool is_lost(const json_t *answer)
{
    return json_object_get(answer, "error") && json_object_get(answer, "device");
}

static void take(struct pinging *p, const json_t *answer)
{
    json_int_t us = json_integer_value(json_object_get(answer, "rtt_us"));
    if (!is_lost(answer))
        note(p, answer, us > 0 ? (uint64_t)us : 1);
    else if (!p->cli->json)
        printf("%s: no answer\n", p->device);
    if (p->results)
        json_array_append_new(p->results,
                              json_pack("{s:O?, s:O?, s:O?}", "rtt_us", json_object_get(answer, "rtt_us"), "path",
                                        json_object_get(answer, "path"), "relay", json_object_get(answer, "relay")));
}

/* False: there is no use in asking again, and why was said. */
static bool ask(struct pinging *p)
{
    json_t *answer = control_answer_any(p->cli, "ping", json_pack("{s:s}", "device", p->device), ANSWER_MS);
    bool good = answer && (is_lost(answer) || !control_refused(p->cli, answer));
    if (good)
        take(p, answer);
    json_decref(answer);
    return good;
}

static int finish(struct pinging *p)
{
    if (p->cli->json)
        return show_json(json_pack("{s:s, s:I, s:I, s:O}", "device", p->device, "asked", (json_int_t)p->count,
                                   "answered", (json_int_t)p->answered, "answers", p->results)) ||
                       p->answered == 0
                   ? EXIT_NO
                   : EXIT_DONE;
    if (p->answered > 1)
        printf("%llu of %llu answered; least %.2f, mean %.2f, most %.2f ms\n", (unsigned long long)p->answered,
               (unsigned long long)p->count, (double)p->least / 1000, (double)p->sum / (double)p->answered / 1000,
               (double)p->most / 1000);
    return p->answered > 0 ? EXIT_DONE : EXIT_NO;
}

static int ping(struct pinging *p)
{
    const struct timespec second = {1, 0};
    for (uint64_t i = 0; i < p->count; i++) {
        if (i > 0)
            nanosleep(&second, NULL);
        if (!ask(p))
            return EXIT_NO;
    }
    return finish(p);
}

int command_ping(struct cli *cli, const struct arguments *arguments)
{
    struct pinging p = {.cli = cli, .device = arguments->operands[0], .count = DEFAULT_COUNT};
    const char *count = argument_value(arguments, "-c", 0);
    if (!name_is_valid(p.device, strlen(p.device)))
        return say_usage(cli, "ping", "\"%s\" is no device's name.", p.device);
    if (count && !number_parse(&p.count, count, 1, COUNT_MAX))
        return say_usage(cli, "ping", "\"%s\" is no number of times: 1 to %d.", count, COUNT_MAX);
    p.results = cli->json ? json_array() : NULL;
    int result = ping(&p);
    json_decref(p.results);
    return result;
}
