/* nightjar devices */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "reasons.h"
#include "say.h"
#include "show.h"
#include "values.h"

#define ANSWER_MS 5000
#define LIST_MAX_LEN 2600 /* of 32 names */

static const char *text(const json_t *o, const char *key)
{
    const char *found = json_string_value(json_object_get(o, key));
    return found ? found : "";
}

enum column { NAME, STATE, SITE, ADDRESSES, SEEN, COLUMNS };
static const char *const titles[COLUMNS] = {"device", "state", "site", "addresses", "session"};

struct row {
    const json_t *device;
    char cells[COLUMNS][160];
};

/* ---- Cells ---- */

static void join(char *out, size_t size, const json_t *list)
{
    size_t len = 0;
    *out = 0;
    for (size_t i = 0; i < json_array_size(list) && len < size; i++) {
        const char *item = json_string_value(json_array_get(list, i));
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", item ? item : "");
    }
}

/* When its session here began, of those that have one. */
static void print_session(char out[AMOUNT_MAX], const json_t *peers, const char *name)
{
    snprintf(out, AMOUNT_MAX, "-");
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i), *age = json_object_get(peer, "last_handshake_s");
        if (json_is_integer(age) && strcmp(text(peer, "device"), name) == 0)
            seconds_print(out, (uint64_t)json_integer_value(age));
    }
}

static void fill(struct row *r, const json_t *device, const json_t *peers)
{
    const char *site = text(device, "site");
    r->device = device;
    snprintf(r->cells[NAME], sizeof(r->cells[NAME]), "%s", text(device, "name"));
    snprintf(r->cells[STATE], sizeof(r->cells[STATE]), "%s", text(device, "state"));
    snprintf(r->cells[SITE], sizeof(r->cells[SITE]), "%s", *site ? site : "-");
    join(r->cells[ADDRESSES], sizeof(r->cells[ADDRESSES]), json_object_get(device, "addresses"));
    if (!*r->cells[ADDRESSES])
        strcpy(r->cells[ADDRESSES], "-");
    print_session(r->cells[SEEN], peers, text(device, "name"));
}

static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = strcmp(x->cells[NAME], y->cells[NAME]);
    return order ? order : strcmp(x->cells[STATE], y->cells[STATE]);
}

/* ---- The table ---- */

static const char *role(const json_t *device)
{
    bool relay = json_is_true(json_object_get(device, "relay"));
    if (json_is_true(json_object_get(device, "controller")))
        return relay ? " [controller, relay]" : " [controller]";
    return relay ? " [relay]" : "";
}

static void print_row(const struct row *r, const int widths[COLUMNS])
{
    char groups[LIST_MAX_LEN];
    join(groups, sizeof(groups), json_object_get(r->device, "groups"));
    for (int c = 0; c < COLUMNS; c++)
        printf("%s%-*s", c ? "  " : "", widths[c], r->cells[c]);
    printf("  %s%s", groups, role(r->device));
    if (*text(r->device, "reason"))
        printf("  (%s: %s)", text(r->device, "taken_by"), text(r->device, "reason"));
    putchar('\n');
}

static void print_table(struct row *rows, size_t count)
{
    int widths[COLUMNS];
    qsort(rows, count, sizeof(*rows), compare);
    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = (int)strlen(titles[c]);
        for (size_t i = 0; i < count; i++)
            if ((int)strlen(rows[i].cells[c]) > widths[c])
                widths[c] = (int)strlen(rows[i].cells[c]);
    }
    for (int c = 0; c < COLUMNS; c++)
        printf("%s%-*s", c ? "  " : "", widths[c], titles[c]);
    puts("  groups");
    for (size_t i = 0; i < count; i++)
        print_row(&rows[i], widths);
}

static int print(struct cli *cli, const json_t *devices, const json_t *status)
{
    size_t count = json_array_size(devices);
    struct row *rows = calloc(count + 1, sizeof(*rows));
    if (!rows)
        return say_failed(cli, ERROR_MEMORY, "The devices cannot be shown");
    for (size_t i = 0; i < count; i++)
        fill(&rows[i], json_array_get(devices, i), json_object_get(status, "peers"));
    print_table(rows, count);
    free(rows);
    return fflush(stdout) ? EXIT_NO : EXIT_DONE;
}

static int print_people(struct cli *cli, const json_t *answer)
{
    json_t *status = control_answer(cli, "status", NULL, ANSWER_MS);
    int result = status ? print(cli, json_object_get(answer, "devices"), status) : EXIT_NO;
    json_decref(status);
    return result;
}

int command_devices(struct cli *cli, const struct arguments *arguments)
{
    (void)arguments;
    int result;
    json_t *answer = control_answer(cli, "devices", NULL, ANSWER_MS);
    if (!answer)
        return EXIT_NO;
    reasons_show(cli, answer);
    if (cli->json) /* the answer as it is: the daemon says what its fields are */
        result = json_dumpf(answer, stdout, JSON_COMPACT) || putchar('\n') < 0 || fflush(stdout) ? EXIT_NO : EXIT_DONE;
    else
        result = print_people(cli, answer);
    json_decref(answer);
    return result;
}
