#include "control.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/hex.h"
#include "ground.h"
#include "say.h"

#define LINE_MAX_LEN (16u << 20)
#define RUN_FOLDER "/run/nightjar"
#define HASH_BYTES 8

struct control {
    int fd;
    char *line;
    size_t len, capacity;
};

int control_hash(struct cli *cli, char out[CONTROL_HASH_SIZE])
{
    char real[PATH_MAX];
    uint8_t digest[SHA256_SIZE];
    _Static_assert(HEX_SIZE(HASH_BYTES) == CONTROL_HASH_SIZE, "digits and a NUL");
    if (!realpath(cli->state, real))
        return errno == EACCES ? ERROR_PERMISSION : ERROR_NOT_FOUND;
    int error = crypto_sha256(cli->crypto, digest, real, strlen(real));
    if (!error)
        hex_print(out, digest, HASH_BYTES);
    return error;
}

static int socket_path(struct cli *cli, struct sockaddr_un *out)
{
    char hash[CONTROL_HASH_SIZE];
    int error = control_hash(cli, hash);
    if (error)
        return error;
    memset(out, 0, sizeof(*out));
    out->sun_family = AF_UNIX;
    snprintf(out->sun_path, sizeof(out->sun_path), RUN_FOLDER "/%s.sock", hash);
    return 0;
}

static int connect_error(int number)
{
    if (number == ENOENT || number == ECONNREFUSED || number == ENOTDIR)
        return ERROR_NOT_FOUND;
    return number == EACCES || number == EPERM ? ERROR_PERMISSION : ERROR_IO;
}

int control_open(struct control **out, struct cli *cli)
{
    struct sockaddr_un address;
    int error = socket_path(cli, &address);
    if (error)
        return error;
    struct control *c = calloc(1, sizeof(*c));
    if (!c)
        return ERROR_MEMORY;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&address, sizeof(address))) {
        error = connect_error(errno);
        control_close(c);
        return error;
    }
    *out = c;
    return 0;
}

pid_t control_peer(const struct control *c)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    return getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? who.pid : 0;
}

void control_close(struct control *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    free(c->line);
    free(c);
}

static int send_line(struct control *c, json_t *question)
{
    char *text = json_dumps(question, JSON_COMPACT);
    if (!text)
        return ERROR_MEMORY;
    size_t len = strlen(text);
    text[len++] = '\n'; /* over the NUL */
    int error = 0;
    for (size_t sent = 0; sent < len && !error;) {
        ssize_t count = send(c->fd, text + sent, len - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            error = ERROR_GONE;
        sent += count > 0 ? (size_t)count : 0;
    }
    free(text);
    return error;
}

static int grow(struct control *c)
{
    if (c->len < c->capacity)
        return 0;
    if (c->capacity >= LINE_MAX_LEN)
        return ERROR_MALFORMED;
    size_t capacity = c->capacity ? 2 * c->capacity : 65536;
    char *line = realloc(c->line, capacity);
    if (!line)
        return ERROR_MEMORY;
    c->line = line;
    c->capacity = capacity;
    return 0;
}

/* One more piece of the answer. */
static int receive_some(struct control *c, int64_t deadline)
{
    struct pollfd ready = {.fd = c->fd, .events = POLLIN};
    int64_t left = deadline - clock_ms();
    int error = grow(c);
    if (error)
        return error;
    if (left <= 0 || (poll(&ready, 1, (int)left) == 0))
        return ERROR_AGAIN;
    ssize_t count = recv(c->fd, c->line + c->len, c->capacity - c->len, MSG_DONTWAIT);
    if (count == 0)
        return ERROR_GONE;
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : ERROR_GONE;
    c->len += (size_t)count;
    return 0;
}

static int receive_line(struct control *c, int timeout_ms, json_t **answer)
{
    int64_t deadline = clock_ms() + timeout_ms;
    char *end = NULL;
    while (!(end = c->len ? memchr(c->line, '\n', c->len) : NULL)) {
        int error = receive_some(c, deadline);
        if (error)
            return error;
    }
    size_t used = (size_t)(end - c->line) + 1;
    *answer = json_loadb(c->line, used - 1, JSON_REJECT_DUPLICATES, NULL);
    memmove(c->line, c->line + used, c->len - used);
    c->len -= used;
    if (json_is_object(*answer))
        return 0;
    json_decref(*answer);
    return ERROR_MALFORMED;
}

int control_ask(struct control *c, const char *cmd, json_t *more, int timeout_ms, json_t **answer)
{
    json_t *question = json_pack("{s:i, s:s}", "v", 1, "cmd", cmd);
    int error = question && (!more || json_object_update(question, more) == 0) ? 0 : ERROR_MEMORY;
    if (!error)
        error = send_line(c, question);
    if (!error)
        error = receive_line(c, timeout_ms, answer);
    json_decref(question);
    json_decref(more);
    return error;
}

static int say_unreachable(struct cli *cli, int error)
{
    if (error == ERROR_NOT_FOUND)
        return say_no(cli, "Start it with \"nightjar up\".", "No daemon runs for %s.", cli->state);
    if (error == ERROR_PERMISSION)
        return say_no(cli, "Run it as root, or as a member of the group nightjar.",
                      "You may not talk to the daemon of %s.", cli->state);
    if (error == ERROR_AGAIN)
        return say_no(cli, "Try again; if it stays so, look at its log.", "The daemon of %s does not answer.",
                      cli->state);
    if (error == ERROR_GONE)
        return say_no(cli, "Try again; if it stays so, look at its log.",
                      "The daemon of %s closed the connection: it ends, or too many ask at once.", cli->state);
    return say_failed(cli, error, "The daemon of %s cannot be asked", cli->state);
}

/* {"error": sentence, "todo": sentence} */
bool control_refused(struct cli *cli, const json_t *answer)
{
    const char *what = json_string_value(json_object_get(answer, "error"));
    if (what)
        say_no(cli, json_string_value(json_object_get(answer, "todo")), "%s", what);
    return what != NULL;
}

json_t *control_answer_any(struct cli *cli, const char *cmd, json_t *more, int timeout_ms)
{
    struct control *c;
    json_t *answer = NULL;
    int error = control_open(&c, cli);
    if (error) {
        json_decref(more);
        say_unreachable(cli, error);
        return NULL;
    }
    error = control_ask(c, cmd, more, timeout_ms, &answer);
    control_close(c);
    if (error)
        say_unreachable(cli, error);
    return error ? NULL : answer;
}

json_t *control_answer(struct cli *cli, const char *cmd, json_t *more, int timeout_ms)
{
    json_t *answer = control_answer_any(cli, cmd, more, timeout_ms);
    if (!answer || !control_refused(cli, answer))
        return answer;
    json_decref(answer);
    return NULL;
}
