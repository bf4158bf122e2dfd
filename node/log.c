#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_LEN 512

void log_line(const char *level, const char *event, const char *details, ...)
{
    char line[LINE_MAX_LEN];
    va_list arguments;
    int len = snprintf(line, sizeof(line), "%s %s ", level, event);
    va_start(arguments, details);
    int more = vsnprintf(line + len, sizeof(line) - (size_t)len - 1, details, arguments);
    va_end(arguments);
    len = len + more < (int)sizeof(line) - 2 ? len + more : (int)sizeof(line) - 2;
    line[len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)len);
    (void)ignored;
}
