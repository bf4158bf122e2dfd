#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* As of the passphrase: whoever feeds a list into standard input still answers for himself. */
static int open_terminal(void)
{
    return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

bool ask_is_possible(void)
{
    int terminal = open_terminal();
    if (terminal >= 0)
        close(terminal);
    return terminal >= 0;
}

/* A line without its end, cut to what fits. False: none came. */
static bool read_answer(int terminal, char *out, size_t size)
{
    size_t len = 0;
    for (char c = 0; c != '\n';) {
        ssize_t count = read(terminal, &c, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        if (c != '\n' && c != '\r' && len + 1 < size)
            out[len++] = c;
    }
    out[len] = 0;
    return true;
}

bool ask_yes_on(int terminal, const char *question)
{
    char answer[16];
    if (dprintf(terminal, "%s [y/N] ", question) < 0 || !read_answer(terminal, answer, sizeof(answer)))
        return false;
    return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

bool ask_yes(const char *question)
{
    int terminal = open_terminal();
    bool yes = terminal >= 0 && ask_yes_on(terminal, question);
    if (terminal >= 0)
        close(terminal);
    return yes;
}
