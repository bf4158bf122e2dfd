#include "proc/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/log_limit.h"

#define LINE_MAX_LEN 512

/* stderr is the process's, and so is what may be written to it. */
static struct log_limit limit;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* What others chose, a name or a sentence, begins no line of its own. */
static void clean(char *line, int len)
{
    for (int i = 0; i < len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
}

static void put(char line[LINE_MAX_LEN], int len)
{
    len = len < LINE_MAX_LEN - 2 ? len : LINE_MAX_LEN - 2;
    clean(line, len);
    line[len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)len);
    (void)ignored;
}

static void put_suppressed(const char *event, uint64_t lines)
{
    char line[LINE_MAX_LEN] = "";
    put(line, snprintf(line, sizeof(line), "info suppressed event=%s lines=%" PRIu64, event, lines));
}

void log_line(const char *level, const char *event, const char *details, ...)
{
    char line[LINE_MAX_LEN];
    uint64_t suppressed;
    va_list arguments;
    if (!log_limit_passes(&limit, event, now(), &suppressed))
        return;
    int len = snprintf(line, sizeof(line), "%s %s ", level, event);
    va_start(arguments, details);
    len += vsnprintf(line + len, sizeof(line) - (size_t)len - 1, details, arguments);
    va_end(arguments);
    put(line, len);
    if (suppressed > 0)
        put_suppressed(event, suppressed);
}
