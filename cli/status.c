#include <stdio.h>
#include <string.h>

#include "control.h"
#include "say.h"
#include "show.h"
#include "values.h"

#define ANSWER_MS 5000

static const char *text_of(const json_t *string)
{
    return json_is_string(string) ? json_string_value(string) : "";
}

static const char *text(const json_t *o, const char *key)
{
    return text_of(json_object_get(o, key));
}

static uint64_t number(const json_t *o, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(o, key));
    return value > 0 ? (uint64_t)value : 0;
}

/* "a, b, c" */
static void print_list(const json_t *list, const char *none)
{
    if (json_array_size(list) == 0)
        fputs(none, stdout);
    for (size_t i = 0; i < json_array_size(list); i++)
        printf("%s%s", i ? ", " : "", text_of(json_array_get(list, i)));
}

/* The answer as it is: the daemon says what its fields are. */
static int print_raw(const json_t *answer)
{
    return json_dumpf(answer, stdout, JSON_COMPACT) || putchar('\n') < 0 || fflush(stdout) ? EXIT_NO : EXIT_DONE;
}

/* ---- status ---- */

static void print_list_line(const char *name, const json_t *list)
{
    if (json_array_size(list) == 0)
        return;
    printf("  %-9s  ", name);
    print_list(list, "");
    putchar('\n');
}

static const char *role(const json_t *a)
{
    bool relay = json_is_true(json_object_get(a, "relay")), controller = json_is_true(json_object_get(a, "controller"));
    if (relay && controller)
        return ", its controller and relay";
    return relay ? ", a relay" : controller ? ", its controller" : "";
}

/* An operator's machine that is the controller too: init --all-on-this-host. */
static bool is_trial(const json_t *a)
{
    bool is_operator = false;
    const json_t *groups = json_object_get(a, "groups");
    for (size_t i = 0; i < json_array_size(groups); i++)
        is_operator |= strcmp(text_of(json_array_get(groups, i)), "operators") == 0;
    return is_operator && json_is_true(json_object_get(a, "controller"));
}

static void print_head(const json_t *a)
{
    const json_t *head = json_object_get(a, "head");
    if (*text(a, "device"))
        printf("%s of network %s%s\n", text(a, "device"), text(a, "network"), role(a));
    else
        printf("no member of network %s (yet, or any more)\n", text(a, "network"));
    if (is_trial(a))
        puts("  trial      operator, controller and relay are all on this host");
    printf("  addresses  ");
    print_list(json_object_get(a, "addresses"), "none");
    putchar('\n');
    print_list_line("groups", json_object_get(a, "groups"));
    printf("  ledger     entry %llu, %.16s\n", (unsigned long long)number(head, "index"), text(head, "hash"));
    if (json_object_get(a, "policy_version"))
        printf("  policy     version %llu\n", (unsigned long long)number(a, "policy_version"));
    printf("  strangers  %s\n", text(json_object_get(a, "strangers"), "what"));
    print_list_line("kept open", json_object_get(json_object_get(a, "strangers"), "open"));
    if (json_is_true(json_object_get(a, "pending")))
        puts("  waiting    something that was signed here is not in the ledger yet");
}

static void print_path(const json_t *path, char *out, size_t size)
{
    char rtt[32] = "";
    const char *kind = text(path, "kind");
    if (number(path, "rtt_us"))
        snprintf(rtt, sizeof(rtt), ", %.1f ms", (double)number(path, "rtt_us") / 1000);
    if (strcmp(kind, "relayed") == 0)
        snprintf(out, size, "relayed by %s%s", text(path, "relay"), rtt);
    else if (strcmp(kind, "direct") == 0)
        snprintf(out, size, "direct, %s%s", text(path, "endpoint"), rtt);
    else
        snprintf(out, size, "none");
}

static void print_peer(const json_t *peer)
{
    char path[160], rx[AMOUNT_MAX], tx[AMOUNT_MAX], ago[AMOUNT_MAX] = "never";
    const json_t *handshake = json_object_get(peer, "last_handshake_s");
    print_path(json_object_get(peer, "path"), path, sizeof(path));
    bytes_print(rx, number(peer, "rx_bytes"));
    bytes_print(tx, number(peer, "tx_bytes"));
    if (json_is_integer(handshake))
        seconds_print(ago, number(peer, "last_handshake_s"));
    printf("  %-20s %-44s %10s %10s %8s\n", text(peer, "device"), path, rx, tx, ago);
    const char *why = text(json_object_get(peer, "path"), "why");
    if (*why)
        printf("    %-18s not direct: %s\n", "", why);
}

static void print_peers(const json_t *peers)
{
    if (json_array_size(peers) == 0) {
        puts("no peers yet");
        return;
    }
    printf("  %-20s %-44s %10s %10s %8s\n", "peer", "path", "received", "sent", "session");
    for (size_t i = 0; i < json_array_size(peers); i++)
        print_peer(json_array_get(peers, i));
}

static void print_problems(const json_t *problems)
{
    for (size_t i = 0; i < json_array_size(problems); i++) {
        const json_t *problem = json_array_get(problems, i);
        const char *device = text(problem, "device");
        printf("! %s%s%s (%s)\n", device, *device ? ": " : "", text(problem, "what"), text(problem, "code"));
        if (*text(problem, "todo"))
            printf("    %s\n", text(problem, "todo"));
    }
}

int command_status(struct cli *cli, const struct arguments *arguments)
{
    (void)arguments;
    int result = EXIT_DONE;
    json_t *answer = control_answer(cli, "status", NULL, ANSWER_MS);
    if (!answer)
        return EXIT_NO;
    if (cli->json) {
        result = print_raw(answer);
    } else {
        print_head(answer);
        print_peers(json_object_get(answer, "peers"));
        print_problems(json_object_get(answer, "problems"));
    }
    json_decref(answer);
    return result;
}
