#include "reasons.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "say.h"

#define REASONS_FILE "taken"
#define LINES_MAX (16u << 20) /* bytes; what is beyond is not shown */

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

bool reason_is_valid(const char *reason)
{
    size_t len = strlen(reason);
    for (size_t i = 0; i < len; i++)
        if (is_control((unsigned char)reason[i]))
            return false;
    json_t *text = json_string(reason); /* NULL: no UTF-8 */
    json_decref(text);
    return len > 0 && len <= REASON_MAX && text;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t count = write(fd, bytes, len);
        if (count < 0 && errno != EINTR)
            return errno;
        bytes += count > 0 ? count : 0;
        len -= count > 0 ? (size_t)count : 0;
    }
    return fsync(fd) ? errno : 0;
}

static int append(const struct state *s, const char *text)
{
    int fd = openat(s->dirs[STATE_OWNER], REASONS_FILE, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int error = write_all(fd, text, strlen(text));
    return close(fd) && !error ? errno : error;
}

int reasons_add(struct cli *cli, const struct state *s, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL, *whole = NULL;
    int error = text && asprintf(&whole, "%s\n", text) >= 0 ? append(s, whole) : ENOMEM;
    free(whole);
    free(text);
    json_decref(line);
    return error ? say_failed(cli, error, "%s/owner/%s cannot be written", s->path, REASONS_FILE) : 0;
}

/* ---- Showing them ---- */

static bool is_gone(const json_t *device)
{
    static const char *const states[] = {"revoked", "isolated", "uninvited"};
    const char *state = json_string_value(json_object_get(device, "state"));
    for (size_t i = 0; state && i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

/* A later line replaces an earlier one. */
static void note(json_t *devices, const json_t *line)
{
    size_t i;
    json_t *device;
    json_array_foreach(devices, i, device)
    {
        if (!is_gone(device) || strcmp(text(device, "id"), text(line, "id")) != 0 || *text(line, "id") == 0)
            continue;
        json_object_set(device, "taken_by", json_object_get(line, "act"));
        json_object_set(device, "taken_at", json_object_get(line, "time"));
        json_object_set(device, "reason", json_object_get(line, "reason"));
    }
}

static void note_lines(json_t *devices, char *lines)
{
    char *rest = NULL;
    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *parsed = json_loads(line, 0, NULL);
        if (json_is_object(parsed))
            note(devices, parsed);
        json_decref(parsed);
    }
}

static bool read_lines(const char *state, char **out)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/owner/%s", state, REASONS_FILE) >= (int)sizeof(path))
        return false;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char *lines = fd >= 0 ? malloc(LINES_MAX + 1) : NULL;
    ssize_t count = lines ? read(fd, lines, LINES_MAX) : -1;
    if (fd >= 0)
        close(fd);
    if (count < 0) {
        free(lines);
        return false;
    }
    lines[count] = 0;
    *out = lines;
    return true;
}

void reasons_show(struct cli *cli, json_t *answer)
{
    char *lines;
    if (!read_lines(cli->state, &lines))
        return;
    note_lines(json_object_get(answer, "devices"), lines);
    free(lines);
}
