#include "say.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE_MAX 2048

static void print_json(const char *what, const char *todo)
{
    json_t *o = json_pack("{s:i, s:b, s:s, s:s?}", "schema", 1, "ok", 0, "error", what, "todo", todo);
    if (o) {
        json_dumpf(o, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_decref(o);
}

static int no(const struct cli *cli, const char *what, const char *todo)
{
    if (cli->mute)
        return EXIT_NO;
    fprintf(stderr, "nightjar: %s\n", what);
    if (todo)
        fprintf(stderr, "  %s\n", todo);
    if (cli->json)
        print_json(what, todo);
    return EXIT_NO;
}

int say_no(const struct cli *cli, const char *todo, const char *format, ...)
{
    char what[SENTENCE_MAX];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    return no(cli, what, todo);
}

/* What to do about the errors that people can do something about. */
static const char *remedy(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case ERROR_NO_SPACE:
        return "Free some space on that disk and try again; nothing was half-written.";
    case EACCES:
    case EPERM:
    case ERROR_PERMISSION:
        return "Run it as root, or as the user whom the folder belongs to.";
    case EROFS:
        return "The disk is mounted read-only: mount it for writing, or choose another folder with --state.";
    case ENOENT:
    case ERROR_NOT_FOUND:
        return "Check the path.";
    default:
        return NULL;
    }
}

int say_failed(const struct cli *cli, int error, const char *format, ...)
{
    char what[SENTENCE_MAX];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    if (len >= 0 && (size_t)len < sizeof(what))
        snprintf(what + len, sizeof(what) - (size_t)len, ": %s", error > 0 ? strerror(error) : error_sentence(error));
    return no(cli, what, remedy(error));
}

int say_usage(const struct cli *cli, const char *command, const char *format, ...)
{
    char what[SENTENCE_MAX], todo[128];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    snprintf(todo, sizeof(todo), "\"nightjar %s%s--help\" shows how it is used.", command, *command ? " " : "");
    no(cli, what, todo);
    return EXIT_WRONG_USE;
}

void say_progress(const struct cli *cli, const char *format, ...)
{
    va_list list;
    if (cli->quiet)
        return;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

void say_warning(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("nightjar: warning: ", stderr);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}
