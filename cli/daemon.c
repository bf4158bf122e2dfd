#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "say.h"

#define NOT_RUN 127 /* exit code of a child that could not become the program */

void daemon_add(struct daemon_line *line, const char *word)
{
    if (line->count < DAEMON_WORDS_MAX)
        line->words[line->count++] = word;
}

bool daemon_find(const char *name, char *out, size_t size)
{
    static const char *const places[] = {"", "../libexec/nightjar/", "../lib/nightjar/", "../sbin/"};
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0)
        return false;
    self[len] = 0;
    int folder = (int)(strrchr(self, '/') - self) + 1;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int written = snprintf(out, size, "%.*s%s%s", folder, self, places[i], name);
        if (written > 0 && (size_t)written < size && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

static int find(struct cli *cli, const char *name, char *out, size_t size)
{
    if (daemon_find(name, out, size))
        return 0;
    say_no(cli, "Install all of Nightjar's programs together (make install).",
           "The program %s is missing: it is neither beside this one nor in ../libexec/nightjar.", name);
    return ERROR_NOT_FOUND;
}

static void execute(const char *path, const struct daemon_line *line)
{
    char *argv[DAEMON_WORDS_MAX + 2] = {(char *)path};
    for (unsigned i = 0; i < line->count; i++)
        argv[i + 1] = (char *)line->words[i];
    execv(path, argv);
}

static int wait_for(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Up to `size` or the end of a line. */
static void read_line(int fd, char *said, size_t size)
{
    size_t len = 0;
    while (len + 1 < size) {
        ssize_t count = read(fd, said + len, size - 1 - len);
        if (count == 0 || (count < 0 && errno != EINTR))
            break;
        len += count > 0 ? (size_t)count : 0;
        if (len > 0 && said[len - 1] == '\n')
            break;
    }
    said[len] = 0;
    said[strcspn(said, "\n")] = 0;
}

static int say_not_run(struct cli *cli, const char *path)
{
    say_failed(cli, errno, "%s cannot be run", path);
    return -1;
}

int daemon_run(struct cli *cli, const char *name, const struct daemon_line *line, const struct daemon_io *io)
{
    char path[PATH_MAX];
    int in[2] = {-1, -1}, out[2] = {STDERR_FILENO, STDERR_FILENO};
    if (find(cli, name, path, sizeof(path)))
        return -1;
    if (io && (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)))
        return say_not_run(cli, path);
    pid_t child = fork();
    if (child == 0) {
        if (dup2(out[1], STDOUT_FILENO) >= 0 && (!io || dup2(in[0], STDIN_FILENO) >= 0))
            execute(path, line);
        _exit(NOT_RUN);
    }
    if (io) {
        close(in[0]);
        close(out[1]);
        bool written = write(in[1], io->in, io->in_len) == (ssize_t)io->in_len;
        close(in[1]);
        if (written)
            read_line(out[0], io->out, io->out_size);
        close(out[0]);
    }
    int code = child < 0 ? -1 : wait_for(child);
    return code < 0 || code == NOT_RUN ? say_not_run(cli, path) : code;
}

int daemon_become(struct cli *cli, const char *name, const struct daemon_line *line)
{
    char path[PATH_MAX];
    if (find(cli, name, path, sizeof(path)))
        return EXIT_NO;
    execute(path, line);
    return say_failed(cli, errno, "%s cannot be run", path);
}

int daemon_start(struct cli *cli, const char *name, struct daemon_line *line, char *said, size_t size)
{
    char path[PATH_MAX], number[16];
    int ends[2];
    if (find(cli, name, path, sizeof(path)))
        return -1;
    if (pipe(ends))
        return say_not_run(cli, path);
    snprintf(number, sizeof(number), "%d", ends[1]);
    daemon_add(line, "--ready-fd");
    daemon_add(line, number);
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere >= 0)
            dup2(nowhere, STDERR_FILENO);
        close(ends[0]);
        execute(path, line);
        _exit(NOT_RUN);
    }
    close(ends[1]);
    read_line(ends[0], said, size);
    close(ends[0]);
    /* The daemon's first process ends once the daemon stands by itself. */
    int code = child < 0 ? -1 : wait_for(child);
    if (code < 0 || code == NOT_RUN)
        return say_not_run(cli, path);
    return strcmp(said, "ready") == 0;
}
