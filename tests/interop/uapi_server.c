#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "uapi.h"

#define DIRECTORY "/var/run/wireguard"
#define READS_MAX 64 /* a turn of the loop */

struct connection {
    struct uapi_server *server;
    struct connection *next;
    int fd;
    struct uapi_request request;
    struct uapi_text reply;
    size_t sent;
    size_t line_len;
    size_t input_at, input_len;
    char line[UAPI_LINE_MAX];
    char input[16384];
};

struct uapi_server {
    struct device *device;
    struct connection *connections;
    int fd;
    int watch; /* inotify on the socket */
    int spare; /* given up to turn a client away when there is no other descriptor */
    bool bound, removed;
    struct sockaddr_un address;
};

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

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

/* Returns 0 when all is sent, ERROR_AGAIN when some waits until the socket is writable. */
static int send_reply(struct connection *c)
{
    while (c->sent < c->reply.len) {
        ssize_t sent = send(c->fd, c->reply.bytes + c->sent, c->reply.len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return errno == EAGAIN ? ERROR_AGAIN : ERROR_IO;
        c->sent += sent > 0 ? (size_t)sent : 0;
    }
    if (c->reply.failed)
        return ERROR_MEMORY;
    uapi_text_free(&c->reply);
    c->sent = 0;
    return 0;
}

/* Takes input up to the end of a request, or all that there is. */
static int take_input(struct connection *c)
{
    while (c->input_at < c->input_len && c->reply.len == 0 && !c->reply.failed) {
        char byte = c->input[c->input_at++];
        if (byte == '\n') {
            c->line[c->line_len] = '\0';
            uapi_line(&c->request, c->server->device, c->line, &c->reply);
            wipe(c->line, c->line_len); /* it may have held a key */
            c->line_len = 0;
        } else if (byte != '\0' && c->line_len < sizeof(c->line) - 1) {
            c->line[c->line_len++] = byte;
        } else {
            return ERROR_MALFORMED;
        }
    }
    wipe(c->input, c->input_at);
    return 0;
}

static int read_input(struct connection *c)
{
    ssize_t len = recv(c->fd, c->input, sizeof(c->input), MSG_DONTWAIT);
    if (len <= 0)
        return len < 0 && (errno == EAGAIN || errno == EINTR) ? ERROR_AGAIN : ERROR_GONE;
    c->input_at = 0;
    c->input_len = (size_t)len;
    return 0;
}

/* One request after the other, each only once the reply to the one before it is sent: who does not read must wait. A
 * long request is not spread over more turns of the loop than it must be, but may not keep the loop from the rest. */
static int serve(struct connection *c)
{
    for (int reads = 0;;) {
        int error = send_reply(c);
        if (error == 0 && c->input_at == c->input_len)
            error = reads++ < READS_MAX ? read_input(c) : ERROR_AGAIN;
        if (error == 0)
            error = take_input(c);
        if (error != 0)
            return error;
    }
}

static void connection_ready(void *context, int fd)
{
    struct connection *c = context;
    struct loop *loop = engine_loop(c->server->device->engine);
    int error = serve(c);
    bool waits = c->reply.len > 0;
    if (error != ERROR_AGAIN || loop_want_write(loop, fd, waits) != 0 || loop_want_read(loop, fd, !waits) != 0)
        close_connection(c);
}

/* ---- The server ---- */

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* A client that is left waiting would make the loop go round and round. */
static void turn_away(struct uapi_server *server)
{
    close_if_open(server->spare);
    close_if_open(accept4(server->fd, NULL, NULL, SOCK_CLOEXEC));
    server->spare = open_spare();
}

static void server_ready(void *context, int fd)
{
    struct uapi_server *server = context;
    int connected = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connected < 0) {
        if (errno == EMFILE || errno == ENFILE)
            turn_away(server);
        return;
    }
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

static bool is_missing(const struct uapi_server *server)
{
    struct stat status;
    return stat(server->address.sun_path, &status) != 0 && errno == ENOENT;
}

static void watch_ready(void *context, int fd)
{
    struct uapi_server *server = context;
    char events[4096];
    while (read(fd, events, sizeof(events)) > 0)
        ;
    server->removed |= is_missing(server);
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

/* Without inotify (fs.inotify.max_user_instances is 128 on many hosts), the socket is looked at whenever there is
 * something else to do. */
static int watch_socket(struct uapi_server *server)
{
    server->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (server->watch < 0)
        return 0;
    if (inotify_add_watch(server->watch, server->address.sun_path, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0)
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
    server->spare = open_spare();
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
    for (struct connection *c = server->connections, *next; c; c = next) {
        next = c->next;
        close_connection(c);
    }
    if (server->bound && !server->removed)
        unlink(server->address.sun_path);
    close_if_open(server->fd);
    close_if_open(server->watch);
    close_if_open(server->spare);
    free(server);
}

bool uapi_server_is_removed(const struct uapi_server *server)
{
    return server->removed || (server->watch < 0 && is_missing(server));
}
