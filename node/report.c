#include "report.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proc/log.h"

static void tell(struct report *r, const char *text)
{
    r->told = true;
    if (r->fd < 0)
        return;
    ssize_t ignored = send(r->fd, text, strlen(text), MSG_NOSIGNAL);
    if (ignored < 0) /* a pipe */
        ignored = write(r->fd, text, strlen(text));
    (void)ignored;
    close(r->fd);
    r->fd = -1;
}

/* sd_notify(3): a datagram to the socket that the environment names; @ begins an abstract name. */
static void notify_systemd(void)
{
    static const char ready[] = "READY=1";
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = name ? strlen(name) : 0;
    if (len < 2 || len >= sizeof(to.sun_path) || (name[0] != '/' && name[0] != '@'))
        return;
    memcpy(to.sun_path, name, len);
    if (name[0] == '@')
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    ssize_t ignored = sendto(fd, ready, strlen(ready), MSG_NOSIGNAL, (struct sockaddr *)&to, to_len);
    (void)ignored;
    close(fd);
}

void report_ready(struct report *r)
{
    if (r->told)
        return;
    notify_systemd();
    tell(r, "ready\n");
}

void report_failure(struct report *r, const char *sentence, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, sentence);
    vsnprintf(text, sizeof(text), sentence, arguments);
    va_end(arguments);
    log_line("error", "failed", "why=\"%s\"", text);
    if (!r->told)
        tell(r, text);
}
