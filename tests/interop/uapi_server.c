#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "uapi.h"

#define DIRECTORY "/var/run/wireguard"

struct connection {
    struct uapi_server *server;
    struct connection *next;
    int fd;
    struct uapi_request request;
    struct uapi_text reply;
    size_t sent;
    size_t line_len;
    char line[UAPI_LINE_MAX];
};

struct uapi_server {
    struct device *device;
    struct connection *connections;
    int fd;
    int watch; /* inotify on the socket */
    bool bound, removed;
    struct sockaddr_un address;
};

/* ---- One connection ---- */

static void close_connection(struct connection *c)
{
    struct connection **link = &c->server->connections;
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    loop_remove(engine_loop(c->server->device->engine), c->fd);
    close(c->fd);
    uapi_text_free(&c->reply);
    wipe(c, sizeof(*c));
    free(c);
}

/* Returns false when the connection is beyond use. What does not fit waits until the socket is writable. */
static bool send_reply(struct connection *c)
{
    while (c->sent < c->reply.len) {
        ssize_t sent = send(c->fd, c->reply.bytes + c->sent, c->reply.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return loop_want_write(engine_loop(c->server->device->engine), c->fd, true) == 0;
        if (sent < 0 && errno != EINTR)
            return false;
        c->sent += sent > 0 ? (size_t)sent : 0;
    }
    if (c->reply.failed)
        return false;
    uapi_text_free(&c->reply);
    c->sent = 0;
    return loop_want_write(engine_loop(c->server->device->engine), c->fd, false) == 0;
}

static bool take_bytes(struct connection *c, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            if (bytes[i] == '\0' || c->line_len == sizeof(c->line) - 1)
                return false;
            c->line[c->line_len++] = bytes[i];
            continue;
        }
        c->line[c->line_len] = '\0';
        uapi_line(&c->request, c->server->device, c->line, &c->reply);
        c->line_len = 0;
    }
    return true;
}

/* Reads until nothing waits, so that a long request is not spread over turns of the loop more than it must be. */
static bool read_request(struct connection *c)
{
    char bytes[16384];
    for (;;) {
        ssize_t len = recv(c->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (len < 0)
            return errno == EAGAIN || errno == EINTR;
        bool good = len > 0 && take_bytes(c, bytes, (size_t)len);
        wipe(bytes, (size_t)len);
        if (!good)
            return false;
    }
}

static void connection_ready(void *context, int fd)
{
    struct connection *c = context;
    (void)fd;
    bool good = read_request(c);
    if (!send_reply(c) || !good)
        close_connection(c);
}

/* ---- The server ---- */

static void server_ready(void *context, int fd)
{
    struct uapi_server *server = context;
    int connected = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connected < 0)
        return;
    struct connection *c = calloc(1, sizeof(*c));
    if (!c || loop_add(engine_loop(server->device->engine), connected, connection_ready, c) != 0) {
        free(c);
        close(connected);
        return;
    }
    c->server = server;
    c->fd = connected;
    c->next = server->connections;
    server->connections = c;
}

static void watch_ready(void *context, int fd)
{
    struct uapi_server *server = context;
    struct stat status;
    char events[4096];
    while (read(fd, events, sizeof(events)) > 0)
        ;
    if (stat(server->address.sun_path, &status) != 0 && errno == ENOENT)
        server->removed = true;
}

static bool somebody_answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    if (fd >= 0)
        close(fd);
    return answers;
}

static int listen_at(struct uapi_server *server)
{
    mode_t old = umask(022);
    if (mkdir(DIRECTORY, 0755) != 0 && errno != EEXIST) {
        umask(old);
        return ERROR_IO;
    }
    if (somebody_answers(&server->address)) {
        umask(old);
        return ERROR_IN_USE;
    }
    unlink(server->address.sun_path);
    umask(077);
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    server->bound =
        server->fd >= 0 && bind(server->fd, (struct sockaddr *)&server->address, sizeof(server->address)) == 0;
    umask(old);
    return server->bound && listen(server->fd, 16) == 0 ? 0 : ERROR_IO;
}

static int watch_socket(struct uapi_server *server)
{
    server->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (server->watch < 0 ||
        inotify_add_watch(server->watch, server->address.sun_path, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0)
        return ERROR_IO;
    return loop_add(engine_loop(server->device->engine), server->watch, watch_ready, server);
}

int uapi_server_new(struct uapi_server **out, struct device *device, const char *name)
{
    struct uapi_server *server = calloc(1, sizeof(*server));
    if (!server)
        return ERROR_MEMORY;
    server->device = device;
    server->fd = server->watch = -1;
    server->address.sun_family = AF_UNIX;
    snprintf(server->address.sun_path, sizeof(server->address.sun_path), DIRECTORY "/%s.sock", name);
    int error = listen_at(server);
    if (error == 0)
        error = loop_add(engine_loop(device->engine), server->fd, server_ready, server);
    if (error == 0)
        error = watch_socket(server);
    if (error != 0)
        uapi_server_free(server);
    else
        *out = server;
    return error;
}

void uapi_server_free(struct uapi_server *server)
{
    if (!server)
        return;
    while (server->connections)
        close_connection(server->connections);
    if (server->bound && !server->removed)
        unlink(server->address.sun_path);
    if (server->fd >= 0)
        close(server->fd);
    if (server->watch >= 0)
        close(server->watch);
    free(server);
}

bool uapi_server_is_removed(const struct uapi_server *server)
{
    return server->removed;
}
