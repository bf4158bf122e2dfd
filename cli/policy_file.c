#include "policy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"
#include "show.h"

#define ERRORS_MAX 50

/* ---- The file ---- */

int policy_file_read(struct policy_file *w)
{
    int fd = strcmp(w->path, "-") == 0 ? STDIN_FILENO : open(w->path, O_RDONLY | O_CLOEXEC);
    w->text = malloc(POLICY_TEXT_MAX + 1);
    ssize_t count = fd < 0 || !w->text ? -1 : 1;
    while (count > 0 && w->len <= POLICY_TEXT_MAX) {
        count = read(fd, w->text + w->len, POLICY_TEXT_MAX + 1 - w->len);
        w->len += count > 0 ? (size_t)count : 0;
    }
    int error = errno;
    if (fd > STDIN_FILENO)
        close(fd);
    if (count < 0)
        return say_failed(w->cli, error, "%s cannot be read", w->path);
    if (w->len > POLICY_TEXT_MAX)
        return say_no(w->cli, "Split the network, or write broader groups.", "%s is larger than 1 MiB.", w->path);
    return 0;
}

/* ---- Names ---- */

static bool find_group(void *context, const char *name, struct subject *out)
{
    const struct policy_file *w = context;
    return view_group(&w->view, name, out);
}

static bool find_device(void *context, const char *name, struct subject *out)
{
    const struct policy_file *w = context;
    struct device_id id;
    _Static_assert(sizeof(id) == sizeof(*out), "a device is a subject by its id");
    bool known = view_device(&w->view, name, &id);
    memcpy(out->bytes, id.bytes, sizeof(out->bytes));
    return known;
}

/* Without a STATE every name passes, as a group that nobody looked up; it stands for itself. */
static bool assume_group(void *context, const char *name, struct subject *out)
{
    struct policy_file *w = context;
    uint8_t digest[SHA256_SIZE];
    if (!name_is_valid(name, strlen(name)) || crypto_sha256(w->cli->crypto, digest, name, strlen(name)))
        return false;
    memcpy(out->bytes, digest, sizeof(out->bytes));
    w->unchecked++;
    return true;
}

static bool assume_no_device(void *context, const char *name, struct subject *out)
{
    (void)context;
    (void)name;
    (void)out;
    return false;
}

/* Names of groups and devices, in no order. */
static const char *known_name(void *context, uint32_t i)
{
    const struct policy_file *w = context;
    for (uint32_t n = 0; n < w->view.opening_count; n++) {
        const struct opening *o = &w->view.openings[n]->opening;
        uint32_t names = o->kind == OPENING_INVITE ? o->invite.group_count + 1 : 0;
        if (i < names)
            return i == 0 ? o->invite.name : o->invite.groups[i - 1].name;
        i -= names;
    }
    return NULL;
}

/* ---- Reading ---- */

static int say_errors(const struct policy_file *w, const struct policy_error *errors, uint32_t count)
{
    json_t *list = w->cli->json ? json_array() : NULL;
    for (uint32_t i = 0; i < count; i++) {
        fprintf(stderr, "%s:%u:%u: %s\n", w->path, errors[i].line, errors[i].column, errors[i].text);
        if (list)
            json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:s}", "file", w->path, "line", (int)errors[i].line,
                                                  "column", (int)errors[i].column, "text", errors[i].text));
    }
    if (list)
        (void)show_json(json_pack("{s:b, s:o}", "ok", 0, "errors", list));
    return EXIT_NO;
}

int policy_file_parse(struct policy_file *w)
{
    const struct policy_names names = {.group = w->has_state ? find_group : assume_group,
                                       .device = w->has_state ? find_device : assume_no_device,
                                       .context = w,
                                       .known = w->has_state ? known_name : NULL};
    struct policy_error *errors = calloc(ERRORS_MAX, sizeof(*errors));
    uint32_t count = 0;
    int error = errors ? policy_read_tested(&w->rules, &w->tests, w->text, w->len, &names, errors, ERRORS_MAX, &count)
                       : ERROR_MEMORY;
    int result = !error                     ? 0
                 : error == ERROR_MALFORMED ? say_errors(w, errors, count)
                                            : say_failed(w->cli, error, "%s cannot be read", w->path);
    free(errors);
    return result;
}

int policy_file_look(struct policy_file *w)
{
    int result = state_open(w->cli, &w->state);
    if (result)
        return result;
    w->has_state = true;
    if (w->signs && state_lock(w->cli, &w->state))
        return EXIT_NO;
    return view_read(w->cli, &w->view, &w->state) ? EXIT_NO : 0;
}

void policy_file_close(struct policy_file *w)
{
    if (w->rules)
        rule_set_free(w->rules);
    policy_tests_free(&w->tests);
    if (w->has_state) {
        view_clear(&w->view);
        state_close(&w->state);
    }
    free(w->text);
}

/* ---- What is in force ---- */

const struct rule_set *policy_rules_now(const struct view *v, const struct subject *subject)
{
    uint8_t commitment[SHA256_SIZE];
    const struct opening *o = fold_subject(v->fold, subject, commitment) ? view_opening(v, commitment) : NULL;
    return o && o->kind == OPENING_RULES ? o->rules.set : NULL;
}

int policy_compare_subjects(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct subject));
}

void policy_file_name(char out[POLICY_FILE_NAME_MAX], uint64_t version, const char *ending)
{
    snprintf(out, POLICY_FILE_NAME_MAX, "%llu.%s", (unsigned long long)version, ending);
}
