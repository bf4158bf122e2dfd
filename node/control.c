#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE (10 * UINT64_C(1000000000)) /* for a client that does not read */
#define GROUPS_MAX 256

struct client {
    struct control *control;
    uint32_t id; /* 0: no client */
    int fd;
    bool busy; /* its line has no answer yet */
    char *line;
    size_t line_len;
    char *answer; /* not sent yet */
    size_t answer_len, sent;
    uint64_t moved; /* when it last took some of it, or said something */
};

struct control {
    struct control_setup setup;
    uint32_t last_id;
    struct client clients[CONTROL_CLIENTS];
};

/* ---- Who may ask ---- */

static bool is_in_group(int fd, gid_t gid)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof(groups);
    if (gid == (gid_t)-1 || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
        return false;
    for (size_t i = 0; i < len / sizeof(groups[0]); i++)
        if (groups[i] == gid)
            return true;
    return false;
}

static bool may_ask(const struct control *c, int fd)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return false;
    return who.uid == 0 || who.uid == c->setup.uid || (who.gid == c->setup.gid && c->setup.gid != (gid_t)-1) ||
           is_in_group(fd, c->setup.gid);
}

/* ---- Clients ---- */

static void drop(struct client *client)
{
    loop_remove(client->control->setup.loop, client->fd);
    close(client->fd);
    free(client->line);
    free(client->answer);
    *client = (struct client){.control = client->control};
}

static void want(struct client *client)
{
    struct loop *loop = client->control->setup.loop;
    if (loop_want_read(loop, client->fd, !client->busy) != 0 ||
        loop_want_write(loop, client->fd, client->answer != NULL) != 0)
        drop(client);
}

/* Sends what the socket takes. */
static void push(struct client *client)
{
    while (client->sent < client->answer_len) {
        ssize_t count = send(client->fd, client->answer + client->sent, client->answer_len - client->sent,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
            want(client);
            return;
        }
        if (count < 0) {
            drop(client);
            return;
        }
        client->sent += (size_t)count;
        client->moved = loop_monotonic();
    }
    free(client->answer);
    client->answer = NULL;
    client->busy = false;
    want(client);
}

static struct client *find(struct control *c, uint32_t id)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS; i++)
        if (id != 0 && c->clients[i].id == id)
            return &c->clients[i];
    return NULL;
}

/* Hands a line on and takes it off the buffer; false: there is no whole one. */
static bool take_line(struct client *client)
{
    const char *end = memchr(client->line, '\n', client->line_len);
    if (!end)
        return false;
    size_t len = (size_t)(end - client->line), id = client->id;
    struct control *c = client->control;
    client->busy = true;
    c->setup.line(c->setup.context, (uint32_t)id, client->line, len);
    if (client->id != id)
        return true; /* it was dropped meanwhile */
    client->line_len -= len + 1;
    memmove(client->line, client->line + len + 1, client->line_len);
    return true;
}

static void take_lines(struct client *client)
{
    uint32_t id = client->id;
    while (client->id == id && !client->busy && take_line(client))
        ;
    if (client->id != id)
        return;
    if (!client->busy && client->line_len == CONTROL_LINE_MAX)
        drop(client);
    else
        want(client);
}

static void pull(struct client *client)
{
    ssize_t count =
        recv(client->fd, client->line + client->line_len, CONTROL_LINE_MAX - client->line_len, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        drop(client);
        return;
    }
    client->line_len += (size_t)count;
    client->moved = loop_monotonic();
    take_lines(client);
}

/* Lines that came together wait for each other's answers here, not in the socket. */
static bool has_line(const struct client *client)
{
    return client->id != 0 && !client->busy && client->line_len > 0 && memchr(client->line, '\n', client->line_len);
}

static void ready(void *context, int fd)
{
    struct client *client = context;
    uint32_t id = client->id;
    (void)fd;
    if (client->answer)
        push(client);
    else if (client->busy)
        drop(client); /* only an error is told while it waits */
    else if (!has_line(client))
        pull(client);
    if (client->id == id && has_line(client))
        take_lines(client);
}

static int begin_client(struct control *c, struct client *client, int fd)
{
    char *line = malloc(CONTROL_LINE_MAX);
    if (!line)
        return ERROR_MEMORY;
    int error = loop_add(c->setup.loop, fd, ready, client);
    if (error) {
        free(line);
        return error;
    }
    if (++c->last_id == 0)
        c->last_id = 1;
    *client = (struct client){.control = c, .id = c->last_id, .fd = fd, .line = line, .moved = loop_monotonic()};
    return 0;
}

/* A free place, or that of the client that has been idle for the longest time. */
static struct client *find_place(struct control *c)
{
    struct client *idle = NULL;
    uint64_t since = loop_monotonic() - PATIENCE;
    for (uint32_t i = 0; i < CONTROL_CLIENTS; i++) {
        struct client *client = &c->clients[i];
        if (client->id == 0)
            return client;
        if (!client->busy && client->moved < since) {
            idle = client;
            since = client->moved;
        }
    }
    if (idle)
        drop(idle);
    return idle;
}

static void accept_client(void *context, int listening)
{
    struct control *c = context;
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct client *place = may_ask(c, fd) ? find_place(c) : NULL;
    if (!place || begin_client(c, place, fd) != 0)
        close(fd);
}

/* ---- The socket ---- */

int control_new(struct control **out, const struct control_setup *setup)
{
    struct control *c = calloc(1, sizeof(*c));
    if (!c)
        return ERROR_MEMORY;
    c->setup = *setup;
    for (uint32_t i = 0; i < CONTROL_CLIENTS; i++)
        c->clients[i].control = c;
    int error = loop_add(setup->loop, setup->fd, accept_client, c);
    if (error) {
        free(c);
        return error;
    }
    *out = c;
    return 0;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < CONTROL_CLIENTS; i++)
        if (c->clients[i].id != 0)
            drop(&c->clients[i]);
    loop_remove(c->setup.loop, c->setup.fd);
    free(c);
}

void control_answer(struct control *c, uint32_t id, const char *text, size_t len)
{
    struct client *client = find(c, id);
    if (!client || client->answer)
        return;
    char *answer = len < CONTROL_ANSWER_MAX ? malloc(len + 1) : NULL;
    if (!answer) {
        drop(client);
        return;
    }
    memcpy(answer, text, len);
    answer[len] = '\n';
    client->answer = answer;
    client->answer_len = len + 1;
    client->sent = 0;
    client->moved = loop_monotonic();
    push(client);
}

void control_timer(struct control *c, uint64_t now)
{
    for (uint32_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (c->clients[i].answer && now >= c->clients[i].moved + PATIENCE)
            drop(&c->clients[i]);
        if (has_line(&c->clients[i]))
            take_lines(&c->clients[i]);
    }
}

uint64_t control_deadline(const struct control *c)
{
    uint64_t first = UINT64_MAX;
    for (uint32_t i = 0; i < CONTROL_CLIENTS; i++) {
        if (c->clients[i].answer && c->clients[i].moved + PATIENCE < first)
            first = c->clients[i].moved + PATIENCE;
        if (has_line(&c->clients[i]))
            first = 0;
    }
    return first;
}
